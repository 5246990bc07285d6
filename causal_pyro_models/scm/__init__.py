"""Structural causal models as Pyro programs: mechanisms with explicit noise, handlers, models with known truth."""

from causal_pyro_models.scm import (  # noqa: F401  (the families fill the registry)
    families_continuous,
    families_count,
    families_discrete,
    families_mixture,
    families_shape,
)
from causal_pyro_models.scm.conformance import MechanismReport, check_mechanism
from causal_pyro_models.scm.exogenous import exogenize
from causal_pyro_models.scm.families_mixture import JointNoise
from causal_pyro_models.scm.interventions import intervene, potential
from causal_pyro_models.scm.mechanisms import Mechanism, mechanism, quantile

__all__ = [
    "JointNoise",
    "Mechanism",
    "MechanismReport",
    "check_mechanism",
    "exogenize",
    "intervene",
    "mechanism",
    "potential",
    "quantile",
]
