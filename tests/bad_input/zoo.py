"""Analytic models: tables, coefficients, evidence and questions that they cannot take."""

import numpy as np
import pyro.distributions as dist

from causal_pyro_models import potential
from causal_pyro_models.errors import (
    EvidenceError,
    GraphError,
    InterventionError,
    ModelError,
    QueryError,
    UnknownVariableError,
)
from causal_pyro_models.scm.zoo import (
    DiscreteSCM,
    LinearGaussianSCM,
    discrete,
    linear,
    nonlinear,
    random_discrete,
    random_linear_gaussian,
)
from tests.bad_input.case import Bad

nan, inf = float("nan"), float("inf")
COIN = ((), [0.5, 0.5])

BUILT = [
    Bad("tables with a cycle", GraphError, ("cycle", "'X'"), lambda: DiscreteSCM({"X": (("Y",), np.full((2, 2), 0.5)), "Y": (("X",), np.full((2, 2), 0.5))})),
    Bad("a table of an unknown parent", UnknownVariableError, ("'Q'", "X"), lambda: DiscreteSCM({"X": (("Q",), np.full((2, 2), 0.5))})),
    Bad("a table of wrong shape", ModelError, ("'Y'", "(2,)", "(2,)"), lambda: DiscreteSCM({"X": COIN, "Y": (("X",), [0.5, 0.5])})),
    Bad("a table that sums to more", ModelError, ("'X'", "sum 1"), lambda: DiscreteSCM({"X": ((), [0.5, 0.6])})),
    Bad("a table with negative entries", ModelError, ("'X'", "sum 1"), lambda: DiscreteSCM({"X": ((), [-0.5, 1.5])})),
    Bad("a table with NaN", ModelError, ("'X'",), lambda: DiscreteSCM({"X": ((), [nan, 1.0])})),
    Bad("tables as None", ModelError, ("tables", "dict", "None"), lambda: DiscreteSCM(None)),
    Bad("a table without parents", ModelError, ("'X'", "parents", "[0.5, 0.5]"), lambda: DiscreteSCM({"X": [0.5, 0.5]})),
    Bad("a table of three states without parents", ModelError, ("'X'", "parents"), lambda: DiscreteSCM({"X": [0.5, 0.2, 0.3]})),
    Bad("a number as a table", ModelError, ("'X'", "pair", "0.5"), lambda: DiscreteSCM({"X": 0.5})),
    Bad("weights as None", ModelError, ("weights", "dict", "None"), lambda: LinearGaussianSCM(None, {"X": 1.0})),
    Bad("weights as a list", ModelError, ("weights", "dict", "[('X', 'Y')]"), lambda: LinearGaussianSCM([("X", "Y")], {"X": 1.0, "Y": 1.0})),
    Bad("scales as a list", ModelError, ("scales", "dict", "['X']"), lambda: LinearGaussianSCM({}, ["X"])),
    Bad("a weight of three variables", GraphError, ("('X', 'M', 'Y')", "pair"), lambda: LinearGaussianSCM({("X", "M", "Y"): 1.0}, {"X": 1.0, "M": 1.0, "Y": 1.0})),
    Bad("a variable that is a number", GraphError, ("1", "string"), lambda: LinearGaussianSCM({}, {1: 1.0})),
    Bad("a table of words", ModelError, ("'X'", "numbers"), lambda: DiscreteSCM({"X": ((), ["a", "b"])})),
    Bad("a table of one state", ModelError, ("'X'", "2 or more"), lambda: DiscreteSCM({"X": ((), [1.0])})),
    Bad("no table", ModelError, ("at least one variable",), lambda: DiscreteSCM({})),
    Bad("an unknown latent variable", UnknownVariableError, ("'Q'", "X"), lambda: DiscreteSCM({"X": COIN}, latent=["Q"])),
    Bad("weights with a cycle", GraphError, ("cycle",), lambda: LinearGaussianSCM({("X", "Y"): 1.0, ("Y", "X"): 1.0}, {"X": 1.0, "Y": 1.0})),
    Bad("a weight of an unknown variable", UnknownVariableError, ("'Q'", "X"), lambda: LinearGaussianSCM({("Q", "X"): 1.0}, {"X": 1.0})),
    Bad("a scale of zero", ModelError, ("'X'", "scale", "positive"), lambda: LinearGaussianSCM({}, {"X": 0.0})),
    Bad("a negative scale", ModelError, ("'X'", "-1", "positive"), lambda: LinearGaussianSCM({}, {"X": -1.0})),
    Bad("a scale in words", ModelError, ("'X'", "'wide'", "positive"), lambda: LinearGaussianSCM({}, {"X": "wide"})),
    Bad("a weight of NaN", ModelError, ("('X', 'Y')", "nan", "finite"), lambda: LinearGaussianSCM({("X", "Y"): nan}, {"X": 1.0, "Y": 1.0})),
    Bad("an intercept of an unknown variable", UnknownVariableError, ("'Q'", "X"), lambda: LinearGaussianSCM({}, {"X": 1.0}, {"Q": 1.0})),
    Bad("an infinite intercept", ModelError, ("'X'", "inf", "finite"), lambda: LinearGaussianSCM({}, {"X": 1.0}, {"X": inf})),
    Bad("no variable", ModelError, ("at least one variable",), lambda: LinearGaussianSCM({}, {})),
    Bad("a random model of none", QueryError, ("num_variables", "0"), lambda: random_linear_gaussian(0, seed=0)),
    Bad("a random model of a seed in words", QueryError, ("seed", "'a'"), lambda: random_discrete(3, seed="a")),
    Bad("a random model of negative parents", QueryError, ("max_parents", "-1"), lambda: random_discrete(3, seed=0, max_parents=-1)),
    Bad("a random model of single states", QueryError, ("cardinalities", "(1,)"), lambda: random_discrete(3, seed=0, cardinalities=(1,))),
]  # fmt: skip

ASKED = [
    Bad("a law under an unknown do", UnknownVariableError, ("'Q'", "X, M, Y"), lambda: linear.chain().law({"Q": 1.0})),
    Bad("a law under do of NaN", InterventionError, ("'X'", "nan", "finite"), lambda: linear.chain().law({"X": nan})),
    Bad("a law under do of a word", InterventionError, ("'X'", "'high'"), lambda: linear.chain().law({"X": "high"})),
    Bad("a law under do of a distribution", InterventionError, ("'X'", "distribution"), lambda: linear.chain().law({"X": dist.Normal(0.0, 1.0)})),
    Bad("a law under do of a curve", InterventionError, ("'X'", "affine"), lambda: linear.chain().law({"X": lambda x: x**2})),
    Bad("a law under a list", InterventionError, ("dict", "list"), lambda: linear.chain().law(["X"])),
    Bad("a law under a potential of nothing", UnknownVariableError, ("'Q'",), lambda: linear.chain().law({"X": potential("Q", {})})),
    Bad("a law given an unknown variable", UnknownVariableError, ("'Q'",), lambda: linear.chain().conditional({"Q": 1.0})),
    Bad("a law given NaN", EvidenceError, ("'X'", "nan"), lambda: linear.chain().conditional({"X": nan})),
    Bad("a law given a word", EvidenceError, ("'X'", "'high'"), lambda: linear.chain().conditional({"X": "high"})),
    Bad("a law given what contradicts the do", EvidenceError, ("'X'", "probability zero"), lambda: linear.chain().conditional({"X": 2.0}, {"X": 1.0})),
    Bad("a law given units that differ", EvidenceError, ("'X'", "(2,)", "(3,)"), lambda: linear.chain().conditional({"X": [1.0, 2.0], "Y": [1.0, 2.0, 3.0]})),
    Bad("the mean of an unknown variable", UnknownVariableError, ("'Q'", "X"), lambda: linear.chain().law().expectation("Q")),
    Bad("an exact effect of one arm", InterventionError, ("'X'", "pair"), lambda: linear.chain().ate({"X": 1.0}, "Y")),
    Bad("an exact effect on an unknown outcome", UnknownVariableError, ("'Q'",), lambda: linear.chain().ate({"X": (0.0, 1.0)}, "Q")),
    Bad("an exact effect of no dict", InterventionError, ("treatment", "dict"), lambda: linear.chain().ate("X", "Y")),
    Bad("a state that does not exist", InterventionError, ("'X'", "7"), lambda: discrete.chain().law({"X": 7})),
    Bad("half a state", InterventionError, ("'X'", "0.5"), lambda: discrete.chain().law({"X": 0.5})),
    Bad("the probability of a state that does not exist", EvidenceError, ("'Y'", "7"), lambda: discrete.chain().probability({"Y": 7})),
    Bad("the probability of an unknown variable", UnknownVariableError, ("'Q'",), lambda: discrete.chain().probability({"Q": 1})),
    Bad("evidence of probability zero", EvidenceError, ("X", "probability zero"), lambda: discrete.chain().probability({"Y": 1}, do={"X": 0}, given={"X": 1})),
    Bad("the probability of None", QueryError, ("names", "None"), lambda: discrete.chain().probability(None)),
    Bad("the mean of a list", UnknownVariableError, ("['X']", "X, M, Y"), lambda: linear.chain().law().expectation(["X"])),
    Bad("no world of tables", InterventionError, ("worlds", "dict", "{}"), lambda: discrete.chain().worlds({})),
    Bad("worlds of tables as None", InterventionError, ("worlds", "dict", "None"), lambda: discrete.chain().worlds(None)),
    Bad("worlds of weights in a list", InterventionError, ("worlds", "dict", "[{}]"), lambda: linear.chain().worlds([{}])),
    Bad("a shift to a state that does not exist", InterventionError, ("'X'", "7", "0 to 1"), lambda: discrete.chain().law({"X": lambda x: x + 7})),
    Bad("too many worlds of three categories", QueryError, ("Gumbel", "QUANTILE"), lambda: random_discrete(6, seed=1, cardinalities=(3,)).worlds({i: {"X0": i} for i in range(3)})),
    Bad("a nonlinear model without all values", EvidenceError, ("['M', 'Y']",), lambda: nonlinear.chain().abduct({"X": 1.0})),
    Bad("a nonlinear model out of support", EvidenceError, ("'M'", "support"), lambda: nonlinear.chain().abduct({"X": 1.0, "M": -1.0, "Y": 1.0})),
    Bad("a nonlinear model under an unknown do", UnknownVariableError, ("'Q'",), lambda: nonlinear.chain().simulate(3, {"Q": 1.0})),
    Bad("a nonlinear model simulated for no unit", QueryError, ("n", "0"), lambda: nonlinear.chain().simulate(0)),
    Bad("a nonlinear model simulated for half a unit", QueryError, ("n", "0.5"), lambda: nonlinear.chain().simulate(0.5)),
    Bad("a nonlinear model under do of wrong shape", InterventionError, ("'X'", "(3,)", "(2,)"), lambda: nonlinear.chain().simulate(2, {"X": [1.0, 2.0, 3.0]}, seed=0)),
]  # fmt: skip

CASES = [*BUILT, *ASKED]
