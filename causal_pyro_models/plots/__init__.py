"""Pictures of graphs, fits, distributions, counterfactuals and calibration, in matplotlib.

What is drawn is computed in the rooms below; nothing here estimates anything.
"""

from causal_pyro_models.plots.diagnostics import plot_fit_history, plot_ranks
from causal_pyro_models.plots.distributions import plot_interventions, plot_marginals
from causal_pyro_models.plots.effects import plot_counterfactual, plot_dose_response
from causal_pyro_models.plots.graph import plot_graph

__all__ = [
    "plot_counterfactual",
    "plot_dose_response",
    "plot_fit_history",
    "plot_graph",
    "plot_interventions",
    "plot_marginals",
    "plot_ranks",
]
