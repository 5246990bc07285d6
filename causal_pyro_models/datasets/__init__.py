"""Real data that come with the package."""

from causal_pyro_models.datasets.sachs import Sachs, sachs

__all__ = ["Sachs", "sachs"]
