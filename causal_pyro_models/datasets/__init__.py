"""Real data that come with the package."""

from causal_pyro_models.datasets.protein_signalling import Sachs, sachs

__all__ = ["Sachs", "sachs"]
