"""Training: the verb ``fit``, its loop, checkpoints and callbacks, critics, and what true counterfactuals teach.

What a family minimises belongs to its node in ``models.nodes``; how it is minimised belongs here.
"""

from causal_pyro_models.training.callbacks import Callback, TensorBoard
from causal_pyro_models.training.fitting import fit
from causal_pyro_models.training.likelihood import Trainable
from causal_pyro_models.training.loop import FitResult

__all__ = ["Callback", "FitResult", "TensorBoard", "Trainable", "fit"]
