"""Structural causal models as Pyro programs: mechanisms with explicit noise, handlers, models with known truth.

What holds of any one program belongs here; families that learn belong in ``models``, the verbs in ``inference``.
"""

from causal_pyro_models.scm.handlers import exogenize, intervene, policy, potential
from causal_pyro_models.scm.mechanisms import (
    JointNoise,
    Mechanism,
    MechanismReport,
    check_mechanism,
    checked_value,
    mechanism,
    quantile,
    standard,
)

__all__ = [
    "JointNoise",
    "Mechanism",
    "MechanismReport",
    "check_mechanism",
    "checked_value",
    "exogenize",
    "intervene",
    "mechanism",
    "policy",
    "potential",
    "quantile",
    "standard",
]
