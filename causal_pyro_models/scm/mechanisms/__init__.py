"""Mechanisms: the noise of every family of distributions made explicit, a group of families in each file.

A new family is one function registered with ``mechanism``; what it needs is here. How programs run with explicit noise
belongs in ``handlers``, models that are learned in ``models``.
"""

from causal_pyro_models.scm.mechanisms import atoms, continuous, counts, discrete, mixtures, shapes  # noqa: F401 (registered)
from causal_pyro_models.scm.mechanisms.conformance import MechanismReport, check_mechanism
from causal_pyro_models.scm.mechanisms.mixtures import JointNoise
from causal_pyro_models.scm.mechanisms.registry import Mechanism, checked_value, mechanism, quantile, standard

__all__ = [
    "JointNoise",
    "Mechanism",
    "MechanismReport",
    "check_mechanism",
    "checked_value",
    "mechanism",
    "quantile",
    "standard",
]
