"""The standard causal structures over finite variables, solved by enumeration."""

from collections.abc import Sequence

import numpy as np

from causal_pyro_models.errors import QueryError
from causal_pyro_models.scm.zoo.base import random_dag
from causal_pyro_models.scm.zoo.coupling import GUMBEL_MAX, Coupling
from causal_pyro_models.scm.zoo.discrete_scm import DiscreteSCM


def chain(coupling: Coupling = GUMBEL_MAX) -> DiscreteSCM:
    """X -> M -> Y with three categories of M, so that the couplings differ (Pearl 2009, section 1.2.3).

    Example:
        >>> from causal_pyro_models.scm.zoo import QUANTILE
        >>> ask = {"event": {"Y": 1}, "do": {"X": 1}, "evidence": {"X": 0, "M": 0, "Y": 0}}
        >>> [round(scm.counterfactual_probability(**ask), 4) for scm in (chain(), chain(QUANTILE))]
        [0.3985, 0.4278]
    """
    return DiscreteSCM(
        {
            "X": ((), [0.45, 0.55]),
            "M": (("X",), [[0.5, 0.2, 0.3], [0.15, 0.6, 0.25]]),
            "Y": (("M",), [[0.9, 0.1], [0.35, 0.65], [0.6, 0.4]]),
        },
        coupling=coupling,
    )


def fork() -> DiscreteSCM:
    """X <- Z -> Y: X and Y are associated, and neither acts on the other (Pearl 2009, section 1.2.3).

    Example:
        >>> round(fork().probability({"Y": 1}, given={"X": 1}), 4), round(fork().probability({"Y": 1}, do={"X": 1}), 4)
        (0.7286, 0.54)
    """
    return DiscreteSCM(
        {
            "Z": ((), [0.6, 0.4]),
            "X": (("Z",), [[0.8, 0.2], [0.25, 0.75]]),
            "Y": (("Z",), [[0.7, 0.3], [0.1, 0.9]]),
        }
    )


def collider() -> DiscreteSCM:
    """X -> C <- Y with C a noisy or: once C is seen, either cause explains the other away.

    References:
        Pearl (1988), Probabilistic reasoning in intelligent systems, section 4.3.2.

    Example:
        >>> round(collider().probability({"X": 1}, given={"C": 1}), 4)
        0.6174
        >>> round(collider().probability({"X": 1}, given={"C": 1, "Y": 1}), 4)
        0.3329
    """
    return DiscreteSCM(
        {
            "X": ((), [0.7, 0.3]),
            "Y": ((), [0.8, 0.2]),
            "C": (("X", "Y"), [[[0.95, 0.05], [0.19, 0.81]], [[0.285, 0.715], [0.057, 0.943]]]),
        }
    )


def triangle() -> DiscreteSCM:
    """Z -> X -> Y with Z -> Y, Z of three categories: adjustment for Z gives the effect (Pearl 2009, section 3.3.1).

    Example:
        >>> round(triangle().ate({"X": (0, 1)}, "Y"), 4)
        0.255
    """
    return DiscreteSCM(
        {
            "Z": ((), [0.5, 0.3, 0.2]),
            "X": (("Z",), [[0.8, 0.2], [0.5, 0.5], [0.15, 0.85]]),
            "Y": (("Z", "X"), [[[0.8, 0.2], [0.55, 0.45]], [[0.6, 0.4], [0.4, 0.6]], [[0.45, 0.55], [0.1, 0.9]]]),
        }
    )


def confounded() -> DiscreteSCM:
    """X -> Y with a hidden cause U of both: the bow arc, whose effect is not identified (Pearl 2009, section 3.5).

    Example:
        >>> round(confounded().ate({"X": (0, 1)}, "Y"), 4)
        0.2
    """
    return DiscreteSCM(
        {
            "U": ((), [0.5, 0.5]),
            "X": (("U",), [[0.85, 0.15], [0.2, 0.8]]),
            "Y": (("U", "X"), [[[0.9, 0.1], [0.7, 0.3]], [[0.45, 0.55], [0.25, 0.75]]]),
        },
        latent=["U"],
    )


def front_door() -> DiscreteSCM:
    """Smoking X -> tar M -> cancer Y, with a hidden genotype U of X and Y: identified through M.

    References:
        Pearl (2009), Causality, section 3.3.2 and theorem 3.3.4.

    Example:
        >>> round(front_door().ate({"X": (0, 1)}, "Y"), 4)
        0.1873
    """
    return DiscreteSCM(
        {
            "U": ((), [0.65, 0.35]),
            "X": (("U",), [[0.75, 0.25], [0.2, 0.8]]),
            "M": (("X",), [[0.9, 0.1], [0.2, 0.8]]),
            "Y": (("U", "M"), [[[0.9, 0.1], [0.65, 0.35]], [[0.5, 0.5], [0.2, 0.8]]]),
        },
        latent=["U"],
    )


def instrument() -> DiscreteSCM:
    """A trial with non-compliance: assignment Z -> treatment X -> outcome Y, and a hidden cause U of X and Y.

    References:
        Balke and Pearl (1997), Bounds on treatment effects from studies with imperfect compliance; Pearl (2009),
        Causality, section 8.2.

    Example:
        >>> round(instrument().ate({"X": (0, 1)}, "Y"), 4)
        0.32
    """
    return DiscreteSCM(
        {
            "Z": ((), [0.5, 0.5]),
            "U": ((), [0.6, 0.4]),
            "X": (("Z", "U"), [[[0.95, 0.05], [0.7, 0.3]], [[0.35, 0.65], [0.1, 0.9]]]),
            "Y": (("U", "X"), [[[0.7, 0.3], [0.4, 0.6]], [[0.85, 0.15], [0.5, 0.5]]]),
        },
        latent=["U"],
    )


def mediation() -> DiscreteSCM:
    """X -> M -> Y with X -> Y and interaction: drug, enzyme, cure, in the numbers of Pearl.

    References:
        Pearl (2012), The causal mediation formula: a guide to the assessment of pathways and mechanisms
        (NDE = 0.32, NIE = 0.035, total effect 0.46).

    Example:
        >>> scm, arms = mediation(), {"X": (0, 1)}
        >>> round(scm.nde(arms, "Y", "M"), 6), round(scm.nie(arms, "Y", "M"), 6), round(scm.ate(arms, "Y"), 6)
        (0.32, 0.035, 0.46)
    """
    return DiscreteSCM(
        {
            "X": ((), [0.5, 0.5]),
            "M": (("X",), [[0.6, 0.4], [0.25, 0.75]]),
            "Y": (("X", "M"), [[[0.8, 0.2], [0.7, 0.3]], [[0.6, 0.4], [0.2, 0.8]]]),
        }
    )


def simpson() -> DiscreteSCM:
    """Kidney stones: stone size Z -> treatment X -> success Y with Z -> Y, in the numbers of the trial.

    Open surgery (X = 1) does better with small stones (Z = 0) and with large ones, and worse overall.

    References:
        Charig et al. (1986), Comparison of treatment of renal calculi, BMJ 292:879; Pearl (2009), section 6.1.

    Example:
        >>> scm = simpson()
        >>> [round(scm.probability({"Y": 1}, given={"X": x}), 2) for x in (0, 1)]
        [0.83, 0.78]
        >>> [round(scm.probability({"Y": 1}, do={"X": x}), 2) for x in (0, 1)]
        [0.78, 0.83]
    """
    return DiscreteSCM(
        {
            "Z": ((), [357 / 700, 343 / 700]),
            "X": (("Z",), [[270 / 357, 87 / 357], [80 / 343, 263 / 343]]),
            "Y": (
                ("Z", "X"),
                [[[36 / 270, 234 / 270], [6 / 87, 81 / 87]], [[25 / 80, 55 / 80], [71 / 263, 192 / 263]]],
            ),
        }
    )


def random_discrete(
    num_variables: int,
    seed: int,
    max_parents: int = 3,
    cardinalities: Sequence[int] = (2,),
    coupling: Coupling = GUMBEL_MAX,
) -> DiscreteSCM:
    """A discrete SCM on a random DAG, its rows drawn from a uniform Dirichlet and kept away from 0.

    Args:
        num_variables: number of variables, named ``X0, X1, ...``.
        seed: the same seed gives the same model.
        max_parents: largest number of parents of a variable.
        cardinalities: the numbers of states to draw from.
        coupling: noise of the variables of three states and more.

    Example:
        >>> random_discrete(3, seed=4)
        DiscreteSCM(X0 -> X1, X1 -> X2)
    """
    if not cardinalities or any(isinstance(c, bool) or not isinstance(c, int) or c < 2 for c in cardinalities):
        raise QueryError(f"cardinalities must be integers of at least 2, got {cardinalities!r}.")
    names, edges = random_dag(num_variables, seed, max_parents)
    rng = np.random.default_rng([seed, 2])
    size = {name: int(rng.choice(cardinalities)) for name in names}
    tables = {}
    for name in names:
        parents = tuple(parent for parent, child in edges if child == name)
        rows = rng.dirichlet(np.ones(size[name]), tuple(size[parent] for parent in parents))
        tables[name] = parents, 0.9 * rows + 0.1 / size[name]
    return DiscreteSCM(tables, coupling=coupling)
