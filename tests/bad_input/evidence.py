"""Evidence that a model cannot have produced, or that does not fit it."""

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import torch

from causal_pyro_models import abduct, counterfactual, intervene, potential, soft, worlds
from causal_pyro_models.errors import AbductionError, EvidenceError, UnknownVariableError
from tests.bad_input.case import Bad
from tests.bad_input.programs import bounded, linear, mixed, one, plated

nan, inf = float("nan"), float("inf")

# A value that the site cannot have, beside the law of the site
IMPOSSIBLE = {
    "bernoulli 2": (dist.Bernoulli(0.5), 2.0),
    "bernoulli 0.5": (dist.Bernoulli(0.5), 0.5),
    "bernoulli -1": (dist.Bernoulli(logits=torch.tensor(1.0)), -1.0),
    "categorical 7": (dist.Categorical(torch.ones(3)), 7),
    "categorical -1": (dist.Categorical(torch.ones(3)), -1),
    "poisson -1": (dist.Poisson(2.0), -1.0),
    "poisson 1.5": (dist.Poisson(2.0), 1.5),
    "binomial 11 of 10": (dist.Binomial(10, torch.tensor(0.5)), 11.0),
    "geometric -2": (dist.Geometric(0.5), -2.0),
    "negative binomial -1": (dist.NegativeBinomial(3, torch.tensor(0.5)), -1.0),
    "ordered logistic 5": (dist.OrderedLogistic(torch.tensor(0.0), torch.tensor([-1.0, 1.0])), 5),
    "gamma -1": (dist.Gamma(2.0, 1.0), -1.0),
    "beta 1.2": (dist.Beta(2.0, 2.0), 1.2),
    "exponential -1": (dist.Exponential(1.0), -1.0),
    "half-normal -1": (dist.HalfNormal(1.0), -1.0),
    "half-cauchy -1": (dist.HalfCauchy(1.0), -1.0),
    "log-normal 0": (dist.LogNormal(0.0, 1.0), 0.0),
    "log-normal -1": (dist.LogNormal(0.0, 1.0), -1.0),
    "uniform 2": (dist.Uniform(0.0, 1.0), 2.0),
    "weibull -1": (dist.Weibull(1.0, 1.0), -1.0),
    "pareto 0.5": (dist.Pareto(1.0, 2.0), 0.5),
    "inverse gamma -1": (dist.InverseGamma(2.0, 1.0), -1.0),
    "chi-square -3": (dist.Chi2(3.0), -3.0),
    "kumaraswamy 1.5": (dist.Kumaraswamy(2.0, 2.0), 1.5),
    "zero-inflated -1": (dist.ZeroInflatedPoisson(torch.tensor(2.0), gate=torch.tensor(0.3)), -1.0),
    "dirichlet sums to 1.5": (dist.Dirichlet(torch.ones(3)), [0.5, 0.5, 0.5]),
    "dirichlet below 0": (dist.Dirichlet(torch.ones(3)), [-0.5, 0.5, 1.0]),
    "one-hot of two": (dist.OneHotCategorical(torch.ones(3)), [1.0, 1.0, 0.0]),
    "mixture of gammas -1": (
        dist.MixtureSameFamily(dist.Categorical(torch.ones(2)), dist.Gamma(torch.ones(2), 1.0)),
        -1.0,
    ),
    "von mises 9": (dist.Uniform(torch.zeros(3), 1.0).to_event(1), [0.5, 0.5, 9.0]),
}
OUT_OF_SUPPORT = [
    Bad(
        f"{what} as evidence",
        EvidenceError,
        ("'X'", "support"),
        lambda law=law, value=value: abduct(one(law), {"X": value}),
    )
    for what, (law, value) in IMPOSSIBLE.items()
]

UNREADABLE = {
    "a string": ("high", ("'high'", "numbers")),
    "strings": (["a", "b"], ("numbers",)),
    "None": (None, ("None", "numbers")),
    "None among words": (["a", None], ("numbers",)),
    "NaN in a tensor": (torch.tensor([1.0, nan]), ("NaN", "not in tensors")),
    "an object array": (np.array([1.0, "b"], dtype=object), ("numbers",)),
    "a nested ragged list": ([[1.0], [1.0, 2.0]], ("numbers",)),
    "complex numbers": ([1.0 + 2.0j], ("numbers", "complex")),
    "a complex tensor": (torch.tensor([1.0 + 2.0j]), ("numbers", "complex")),
    "dates": (np.array(["2024-01-01"], dtype="datetime64[D]"), ("numbers",)),
    "a dict": ({"a": 1.0}, ("numbers",)),
    "a function": (lambda: 1.0, ("numbers",)),
    "NaN": (nan, ("NaN", "drop")),
    "infinity": (inf, ("infinite", "drop")),
    "minus infinity in a tensor": (torch.tensor([0.0, -inf]), ("infinite", "drop")),
    "no unit": ([], ("empty", "at least one unit")),
    "a tensor of no unit": (torch.zeros(0), ("empty", "at least one unit")),
    "a matrix at a scalar site": (torch.zeros(5, 2), ("(5, 2)", "expected (units), or ()")),
    "a dimension for draws": (torch.zeros(100, 5, 1), ("(100, 5, 1)", "expected (units), or ()")),
    "an integer beyond int64": (10**30, ("numbers",)),
    "a masked value": (np.ma.array([1.0, 2.0], mask=[0, 1]), ("numbers", "masked_array")),
    "a sparse tensor": (torch.ones(2).to_sparse(), ("numbers", "every place")),
    "a tensor without values": (torch.ones(2, device="meta"), ("numbers", "meta")),
    "durations": (pd.Series(pd.to_timedelta([1, 2])), ("numbers", "timedelta64")),
    "a set": ({1.0, 2.0}, ("numbers",)),
    "another world": (potential("X", {}), ("numbers", "Potential")),
    "a number beyond float32": (1e300, ("infinite",)),
}
AT_X = [
    Bad(
        f"{what} as evidence", EvidenceError, ("'X'", *says), lambda value=value: abduct(linear, {"X": value, "Y": 0.0})
    )
    for what, (value, says) in UNREADABLE.items()
]

WRONG = {
    "evidence on an unknown site": ({"Q": 1.0}, UnknownVariableError, ("unknown site 'Q'", "X, ")),
    "evidence on a misspelt site": ({"x": 1.0}, UnknownVariableError, ("'x'", "Did you mean 'X'?")),
    "evidence on a number": ({1: 1.0}, UnknownVariableError, ("1", "The sites are")),
    "evidence on noise": ({"U_X": 1.0}, UnknownVariableError, ("'U_X'", "noise of 'X'", "name 'X'")),
    "evidence on a variable and its noise": ({"X": 1.0, "U_X": 1.0}, UnknownVariableError, ("'U_X'", "noise")),
    "evidence on a deterministic site": (
        {"X": 1.0, "D": 2.0},
        EvidenceError,
        ("'D'", "deterministic", "computed from", "soft(value, scale)"),
    ),
    "soft evidence on an unknown site": ({"Q": soft(1.0, 1.0)}, UnknownVariableError, ("'Q'", "The sites are")),
    "soft evidence that is no number": ({"X": soft("high", 1.0)}, EvidenceError, ("'X", "numbers")),
    "soft evidence of another shape": ({"X": soft([[1.0]], 1.0)}, EvidenceError, ("'X", "(1, 1)", "(units)")),
    "evidence as None": (None, EvidenceError, ("dict", "NoneType", "{}")),
    "evidence as a number": (3.0, EvidenceError, ("dict", "float")),
    "evidence as a list": ([1.0, 2.0], EvidenceError, ("dict", "list")),
    "evidence as a string": ("X", EvidenceError, ("dict", "str")),
    "evidence as a tensor": (torch.zeros(3), EvidenceError, ("dict", "Tensor")),
    "evidence as a series": (pd.Series([1.0, 2.0], name="X"), EvidenceError, ("dict", "Series")),
    "units that differ": ({"X": [1.0, 2.0], "Y": [1.0, 2.0, 3.0]}, EvidenceError, ("'Y'", "3 units", "2")),
    "units that differ, vector first": (
        {"V": torch.zeros(4, 3), "B": [0.0, 1.0]},
        EvidenceError,
        ("'B'", "2 units", "4"),
    ),
    "a vector of wrong length": ({"V": [1.0, 2.0]}, EvidenceError, ("'V'", "(2,)", "(units, 3)")),
    "a scalar at a vector site": ({"V": 1.0}, EvidenceError, ("'V'", "()", "(units, 3)")),
    "a draws dimension at a vector site": (
        {"V": torch.zeros(10, 2, 3)},
        EvidenceError,
        ("'V'", "(10, 2, 3)", "(units, 3)"),
    ),
    "a fraction at a categorical site": ({"C": 0.5}, EvidenceError, ("'C'", "whole numbers")),
    "a category of infinity": ({"C": inf}, EvidenceError, ("'C'", "infinite")),
    "an overflow at a categorical site": ({"C": 1e30}, EvidenceError, ("'C'",)),
    "a frame with a column of strings": (
        pd.DataFrame({"X": ["low", "high"]}),
        EvidenceError,
        ("'X'", "numbers", "low"),
    ),
    "a frame with a column of categories": (
        pd.DataFrame({"X": pd.Categorical(["a", "b"])}),
        EvidenceError,
        ("'X'", "numbers"),
    ),
    "a frame without columns": (pd.DataFrame(index=range(5)), EvidenceError, ("columns", "{} for none")),
    "a frame of nothing": (pd.DataFrame(), EvidenceError, ("columns", "{} for none")),
    "a frame in groups": (pd.DataFrame({"X": [1.0]}).groupby("X"), EvidenceError, ("dict", "DataFrameGroupBy")),
    "the class of frames": (pd.DataFrame, EvidenceError, ("dict", "type")),
    "a frame with columns of two levels": (
        pd.DataFrame([[1.0]], columns=pd.MultiIndex.from_tuples([("X", "a")])),
        UnknownVariableError,
        ("('X', 'a')", "The sites are"),
    ),
    "a frame with a column of objects": (
        pd.DataFrame({"X": pd.Series([1.0, "2"], dtype=object)}),
        EvidenceError,
        ("'X'", "numbers", "dtype=object"),
    ),
    "evidence on None": ({None: 1.0}, UnknownVariableError, ("None", "The sites are")),
    "a frame without rows": (pd.DataFrame({"X": []}), EvidenceError, ("'X'", "empty")),
    "a frame with an unknown column": (
        pd.DataFrame({"X": [1.0], "age": [30.0]}),
        UnknownVariableError,
        ("'age'", "The sites are"),
    ),
    "a frame with a column twice": (
        pd.DataFrame([[1.0, 2.0]], columns=["X", "X"]),
        EvidenceError,
        ("'X'", "twice"),
    ),
    "a frame with columns that are numbers": (pd.DataFrame([[1.0, 2.0]]), UnknownVariableError, ("0", "The sites are")),
}
IN_MIXED = [
    Bad(what, error, says, lambda evidence=evidence: abduct(mixed, evidence))
    for what, (evidence, error, says) in WRONG.items()
]


ZERO = [
    Bad(
        "one observed where its probability is zero", EvidenceError, ("'X'", "probability zero", "1"),
        lambda: abduct(one(dist.Bernoulli(torch.tensor(0.0))), {"X": 1.0}),
    ),
    Bad(
        "zero observed where its probability is zero", EvidenceError, ("'X'", "probability zero", "2 of 3"),
        lambda: abduct(one(dist.Bernoulli(torch.tensor(1.0))), {"X": [0.0, 1.0, 0.0]}),
    ),
    Bad(
        "a category of probability zero", EvidenceError, ("'X'", "probability zero", "2"),
        lambda: abduct(one(dist.Categorical(torch.tensor([0.5, 0.5, 0.0]))), {"X": 2}),
    ),
    Bad(
        "a one-hot category of probability zero", EvidenceError, ("'X'", "probability zero"),
        lambda: abduct(one(dist.OneHotCategorical(torch.tensor([0.5, 0.5, 0.0]))), {"X": [0.0, 0.0, 1.0]}),
    ),
    Bad(
        "a count that a binomial of probability zero cannot reach", EvidenceError, ("'X'", "probability zero"),
        lambda: abduct(one(dist.Binomial(5, torch.tensor(0.0))), {"X": 1.0}),
    ),
    Bad(
        "an impossible draw though noise comes from its prior", EvidenceError, ("'X'", "probability zero"),
        lambda: counterfactual(one(dist.Bernoulli(torch.tensor(0.0))), {"X": 1.0}, {"X": 0.0}, num_samples=10),
    ),
    Bad(
        "beyond a bound that a parent sets", EvidenceError, ("'X'", "support", "3"),
        lambda: abduct(bounded, {"B": [1.0, 5.0], "X": [3.0, 3.0]}),
    ),
    Bad(
        "below a bound that holds for every unit", EvidenceError, ("'X'", "support", "-1"),
        lambda: abduct(bounded, {"B": [1.0, 5.0], "X": -1.0}),
    ),
    Bad(
        "a value at the very end of a support", EvidenceError, ("'X'",),
        lambda: abduct(one(dist.Beta(2.0, 2.0)), {"X": 1.0}),
    ),
    Bad(
        "a gamma variable of zero", EvidenceError, ("'X'",),
        lambda: abduct(one(dist.Gamma(2.0, 1.0)), {"X": 0.0}),
    ),
    Bad(
        "a value whose noise overflows", EvidenceError, ("'X'",),
        lambda: abduct(one(dist.Gamma(2.0, 1.0)), {"X": 1e30}),
    ),
]  # fmt: skip


def sometimes():
    """Y only where X is over -10."""
    x = pyro.sample("X", dist.Normal(0.0, 1.0))
    if x > -10.0:
        pyro.sample("Y", dist.Normal(x, 1.0))


def written(law, value):
    """A model with an observation of its own."""

    def model():
        pyro.sample("X", dist.Normal(0.0, 1.0))
        pyro.sample("Y", law, obs=torch.tensor(value))

    return model


# torch keeps the odds that it computed, with zero clamped to something positive
ODDS = {
    "bernoulli": (dist.Bernoulli(torch.tensor(0.0)), 1.0),
    "categorical": (dist.Categorical(torch.tensor([0.5, 0.5, 0.0])), 2),
    "one-hot": (dist.OneHotCategorical(torch.tensor([0.5, 0.5, 0.0])), [0.0, 0.0, 1.0]),
    "binomial": (dist.Binomial(5, torch.tensor(0.0)), 1.0),
    "negative binomial": (dist.NegativeBinomial(3.0, torch.tensor(0.0)), 2.0),
}


def after_odds(law, value):
    assert law.logits is not None
    return abduct(one(law), {"X": value})


HIDDEN_ZERO = [
    Bad(f"{what} of probability zero, after its odds were computed", EvidenceError, ("'X'", "probability zero"), lambda law=law, value=value: after_odds(law, value))
    for what, (law, value) in ODDS.items()
] + [
    Bad(f"an observation in the model of {what}", EvidenceError, ("'Y'", says), lambda law=law, value=value: abduct(written(law, value), {}))
    for what, law, value, says in (
        ("NaN", dist.Normal(0.0, 1.0), nan, "support"),
        ("infinity", dist.Normal(0.0, 1.0), inf, "support"),
        ("two heads of a coin", dist.Bernoulli(0.5), 2.0, "support"),
        ("a negative time", dist.Exponential(1.0), -1.0, "support"),
        ("probability zero", dist.Bernoulli(torch.tensor(0.0)), 1.0, "probability zero"),
    )
] + [
    Bad("evidence on a site that the rest of it rules out", EvidenceError, ("'Y'", "does not come by"), lambda: abduct(sometimes, {"X": -20.0, "Y": 3.0})),
]  # fmt: skip

PLACED = [
    Bad(
        "evidence on what was intervened on", EvidenceError, ("'X'", "contradicts the intervention", "leave it out"),
        lambda: abduct(intervene(linear, {"X": 1.0}), {"X": 2.0}),
    ),
    Bad(
        "evidence on what was shifted", EvidenceError, ("'X'", "contradicts the intervention"),
        lambda: abduct(intervene(linear, {"X": lambda x: x + 1}), {"X": 2.0}),
    ),
    Bad(
        "too many units in a plate", EvidenceError, ("'X'", "(7,)", "(4,)"),
        lambda: abduct(plated, {"slope": 1.0, "X": torch.zeros(7), "Y": torch.zeros(4)}),
    ),
    Bad(
        "units at a population-level parameter", EvidenceError, ("'slope'", "(4,)", "()"),
        lambda: abduct(plated, {"slope": torch.zeros(4), "X": torch.zeros(4), "Y": torch.zeros(4)}),
    ),
    Bad(
        "a draws dimension in a plate", EvidenceError, ("'X'", "(10, 4)"),
        lambda: abduct(plated, {"slope": 1.0, "X": torch.zeros(10, 4), "Y": torch.zeros(4)}),
    ),
    Bad(
        "several worlds of impossible evidence", EvidenceError, ("'X'", "NaN"),
        lambda: worlds(linear, {"X": nan, "Y": 0.0}, {"a": {"X": 0.0}, "b": {"X": 1.0}}),
    ),
    Bad(
        "noise of another model", AbductionError, ("another model", "'B'", "abduct"),
        lambda: counterfactual(mixed, abduct(one(dist.Normal(0.0, 1.0)), {"X": 1.0}), {"B": 0.0}),
    ),
]  # fmt: skip

CASES = [*OUT_OF_SUPPORT, *AT_X, *IN_MIXED, *ZERO, *HIDDEN_ZERO, *PLACED]
