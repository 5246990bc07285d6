"""How good a model is against held-out data and against what interventions really did, and whether it is sound.

What takes a model or its answers and judges them belongs here; effects and other answers do not.
"""

from causal_pyro_models.evaluation.conformance import ModelReport, check_model
from causal_pyro_models.evaluation.held_out import correlation_gaps, distances, likelihood_gain
from causal_pyro_models.evaluation.shifts import ShiftAgreement, agreement, shifts

__all__ = [
    "ModelReport",
    "ShiftAgreement",
    "agreement",
    "check_model",
    "correlation_gaps",
    "distances",
    "likelihood_gain",
    "shifts",
]
