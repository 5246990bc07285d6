"""How good a model is: against held-out data, and against what really happened under interventions."""

from causal_pyro_models.evaluation.held_out import correlation_gaps, distances, likelihood_gain
from causal_pyro_models.evaluation.shifts import ShiftAgreement, agreement, shifts

__all__ = ["ShiftAgreement", "agreement", "correlation_gaps", "distances", "likelihood_gain", "shifts"]
