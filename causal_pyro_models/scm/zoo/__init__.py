"""Structural causal models whose answers are known exactly, as ground truth for everything else.

``linear``, ``discrete`` and ``nonlinear`` hold the standard structures by name: ``zoo.linear.front_door()``. Their
answers are closed forms and enumerations of their own; models that are learned belong in ``models``.
"""

from causal_pyro_models.scm.zoo import discrete, linear, nonlinear
from causal_pyro_models.scm.zoo.coupling import GUMBEL_MAX, QUANTILE, Coupling
from causal_pyro_models.scm.zoo.discrete import random_discrete
from causal_pyro_models.scm.zoo.discrete_scm import DiscreteLaw, DiscreteSCM
from causal_pyro_models.scm.zoo.linear import random_linear_gaussian
from causal_pyro_models.scm.zoo.linear_gaussian import GaussianLaw, LinearGaussianSCM
from causal_pyro_models.scm.zoo.nonlinear import Equation, NonlinearSCM

__all__ = [
    "GUMBEL_MAX",
    "QUANTILE",
    "Coupling",
    "DiscreteLaw",
    "DiscreteSCM",
    "Equation",
    "GaussianLaw",
    "LinearGaussianSCM",
    "NonlinearSCM",
    "discrete",
    "linear",
    "nonlinear",
    "random_discrete",
    "random_linear_gaussian",
]
