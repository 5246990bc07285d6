"""Structural causal models as Pyro programs: mechanisms with explicit noise, handlers, models with known truth."""

from causal_pyro_models.scm.handlers import exogenize, intervene, potential
from causal_pyro_models.scm.mechanisms import (
    JointNoise,
    Mechanism,
    MechanismReport,
    check_mechanism,
    mechanism,
    quantile,
)

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
