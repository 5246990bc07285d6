"""The standard causal structures in linear-Gaussian form, solved in closed form."""

import numpy as np

from causal_pyro_models.scm.zoo.base import random_dag
from causal_pyro_models.scm.zoo.linear_gaussian import LinearGaussianSCM


def chain() -> LinearGaussianSCM:
    """X -> M -> Y: the effect of X is the product 0.8 * 1.5, and M screens it off (Pearl 2009, section 1.2.3).

    Example:
        >>> round(float(chain().ate({"X": (0.0, 1.0)}, "Y")), 6)
        1.2
    """
    return LinearGaussianSCM(
        {("X", "M"): 0.8, ("M", "Y"): 1.5},
        scales={"X": 1.0, "M": 0.6, "Y": 0.9},
        intercepts={"X": 0.5, "M": -0.2, "Y": 1.0},
    )


def fork() -> LinearGaussianSCM:
    """X <- Z -> Y: X and Y are correlated, and neither acts on the other (Pearl 2009, section 1.2.3).

    Example:
        >>> law = fork().law()
        >>> round(float(law.covariance[1, 2]), 6), float(fork().ate({"X": (0.0, 1.0)}, "Y"))
        (-0.96, 0.0)
    """
    return LinearGaussianSCM(
        {("Z", "X"): 1.2, ("Z", "Y"): -0.8}, scales={"Z": 1.0, "X": 0.7, "Y": 1.1}, intercepts={"Z": 0.3}
    )


def collider() -> LinearGaussianSCM:
    """X -> C <- Y: X and Y are independent until C is seen (Pearl 2009, section 1.2.3).

    Example:
        >>> law = collider().conditional({"C": 1.0})
        >>> bool(law.covariance[0, 1] < 0)
        True
    """
    return LinearGaussianSCM({("X", "C"): 1.0, ("Y", "C"): 0.7}, scales={"X": 1.0, "Y": 1.3, "C": 0.5})


def triangle() -> LinearGaussianSCM:
    """Z -> X -> Y with Z -> Y: one observed confounder, the back-door case (Pearl 2009, section 3.3.1).

    Example:
        >>> round(float(triangle().ate({"X": (0.0, 1.0)}, "Y")), 6)
        1.5
    """
    return LinearGaussianSCM(
        {("Z", "X"): 0.9, ("Z", "Y"): -1.1, ("X", "Y"): 1.5},
        scales={"Z": 1.0, "X": 0.8, "Y": 0.7},
        intercepts={"Z": 0.2, "X": -0.4, "Y": 0.6},
    )


def confounded() -> LinearGaussianSCM:
    """X -> Y with a hidden cause U of both: regression is biased, the effect 0.7 is not identified (the bow arc).

    References:
        Pearl (2009), Causality, section 3.5.

    Example:
        >>> law = confounded().law()
        >>> round(float(law.covariance[1, 2] / law.covariance[1, 1]), 3)  # regression slope, against the true 0.7
        1.397
    """
    return LinearGaussianSCM(
        {("U", "X"): 1.0, ("U", "Y"): 1.2, ("X", "Y"): 0.7},
        scales={"U": 1.0, "X": 0.85, "Y": 0.5},
        intercepts={"X": 0.1, "Y": -0.3},
        latent=["U"],
    )


def front_door() -> LinearGaussianSCM:
    """X -> M -> Y with a hidden cause U of X and Y: identified through M (Pearl 2009, section 3.3.2).

    Example:
        >>> round(float(front_door().ate({"X": (0.0, 1.0)}, "Y")), 6)
        -0.96
    """
    return LinearGaussianSCM(
        {("U", "X"): 0.9, ("U", "Y"): 1.3, ("X", "M"): 1.2, ("M", "Y"): -0.8},
        scales={"U": 1.0, "X": 0.6, "M": 0.7, "Y": 0.5},
        intercepts={"M": 0.4},
        latent=["U"],
    )


def instrument() -> LinearGaussianSCM:
    """Z -> X -> Y with a hidden cause U of X and Y: cov(Z, Y) / cov(Z, X) is the effect 0.6.

    References:
        Wright (1928), The tariff on animal and vegetable oils, appendix B; Pearl (2009), Causality, section 7.4.5.

    Example:
        >>> law = instrument().law()
        >>> round(float(law.covariance[0, 3] / law.covariance[0, 2]), 6)
        0.6
    """
    return LinearGaussianSCM(
        {("Z", "X"): 1.1, ("U", "X"): 0.8, ("U", "Y"): -1.4, ("X", "Y"): 0.6},
        scales={"Z": 1.2, "U": 1.0, "X": 0.5, "Y": 0.6},
        intercepts={"Z": -0.5, "Y": 0.2},
        latent=["U"],
    )


def mediation() -> LinearGaussianSCM:
    """X -> M -> Y with X -> Y: direct effect 0.5, indirect effect 0.9 * 1.4 (Pearl 2001; 2009, section 4.5).

    Example:
        >>> scm = mediation()
        >>> round(float(scm.nde({"X": (0.0, 1.0)}, "Y", "M")), 6), round(float(scm.nie({"X": (0.0, 1.0)}, "Y", "M")), 6)
        (0.5, 1.26)
    """
    return LinearGaussianSCM(
        {("X", "M"): 0.9, ("M", "Y"): 1.4, ("X", "Y"): 0.5},
        scales={"X": 1.0, "M": 0.8, "Y": 0.6},
        intercepts={"M": 0.3, "Y": -0.7},
    )


def simpson() -> LinearGaussianSCM:
    """Z -> X -> Y with Z -> Y so strong that the slope of Y on X turns negative, while the effect is 0.5.

    References:
        Simpson (1951), The interpretation of interaction in contingency tables; Pearl (2009), Causality, section 6.1.

    Example:
        >>> law = simpson().law()
        >>> bool(law.covariance[1, 2] < 0), float(simpson().ate({"X": (0.0, 1.0)}, "Y"))
        (True, 0.5)
    """
    return LinearGaussianSCM(
        {("Z", "X"): 1.5, ("Z", "Y"): -2.0, ("X", "Y"): 0.5}, scales={"Z": 1.0, "X": 0.5, "Y": 0.4}
    )


def random_linear_gaussian(num_variables: int, seed: int, max_parents: int = 3) -> LinearGaussianSCM:
    """A linear-Gaussian SCM on a random DAG, with weights of 0.3 to 1.2 of either sign and scales of 0.5 to 1.5.

    Args:
        num_variables: number of variables, named ``X0, X1, ...``.
        seed: the same seed gives the same model.
        max_parents: largest number of parents of a variable.

    Example:
        >>> random_linear_gaussian(3, seed=4)
        LinearGaussianSCM(X0 -> X1, X1 -> X2)
    """
    names, edges = random_dag(num_variables, seed, max_parents)
    rng = np.random.default_rng([seed, 1])
    return LinearGaussianSCM(
        {edge: float(rng.choice([-1, 1]) * rng.uniform(0.3, 1.2)) for edge in edges},
        scales={name: float(rng.uniform(0.5, 1.5)) for name in names},
        intercepts={name: float(rng.normal()) for name in names},
    )
