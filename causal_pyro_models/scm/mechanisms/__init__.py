"""Mechanisms: the noise of every family of distributions made explicit, a group of families in each file.

A new family is one function registered with ``mechanism``. How programs are run with explicit noise is in ``handlers``.
"""

from causal_pyro_models.scm.mechanisms import continuous, counts, discrete, mixtures, shapes  # noqa: F401 (registered)
from causal_pyro_models.scm.mechanisms.conformance import MechanismReport, check_mechanism
from causal_pyro_models.scm.mechanisms.mixtures import JointNoise
from causal_pyro_models.scm.mechanisms.registry import Mechanism, mechanism, quantile

__all__ = ["JointNoise", "Mechanism", "MechanismReport", "check_mechanism", "mechanism", "quantile"]
