"""Real data that come with the package, each with its source and licence.

Simulated models with known answers belong in ``scm.zoo``; readers of a user's own files in ``data``.
"""

from causal_pyro_models.datasets.protein_signalling import Sachs, sachs
from causal_pyro_models.datasets.tables import lalonde, nhefs

__all__ = ["Sachs", "lalonde", "nhefs", "sachs"]
