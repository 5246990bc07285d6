"""What is called in the course of a training."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Protocol

from torch import nn

from causal_pyro_models.errors import QueryError


class Callback(Protocol):
    """Called at every validation of a training.

    Args:
        label: what the training is called, "fit" or "adversarial".
        model: the model with its weights as they are, not its best ones.
        record: the last entry of the history: ``step``, ``loss``, ``validation`` and ``learning_rate``.

    Example:
        >>> from causal_pyro_models import CausalFlow, CausalGraph, fit
        >>> steps = []
        >>> def watch(label, model, record):
        ...     steps.append((label, record["step"]))
        >>> model = CausalFlow(CausalGraph(["X"], []), {"X": 1})
        >>> _ = fit(model, {"X": [0.1 * i**2 for i in range(40)]}, callbacks=[watch], seed=0, progress=False, steps=3)
        >>> steps[0]
        ('fit', 0)
    """

    def __call__(self, label: str, model: nn.Module, record: Mapping[str, float]) -> None: ...


class TensorBoard:
    """Writes the course of a training for TensorBoard.

    Args:
        folder: where its event files go; ``tensorboard --logdir`` takes it.

    Raises:
        QueryError: TensorBoard is not installed.

    Example:
        >>> import tempfile
        >>> callback = TensorBoard(tempfile.mkdtemp())
        >>> callback("fit", nn.Identity(), {"step": 1, "loss": 2.0})
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise QueryError("TensorBoard is not installed: pip install 'causal_pyro_models[tensorboard]'.") from error
        self.writer = SummaryWriter(str(folder))

    def __call__(self, label: str, model: nn.Module, record: Mapping[str, float]) -> None:
        for name, value in record.items():
            if name != "step":
                self.writer.add_scalar(f"{label}/{name}", value, int(record["step"]))
        self.writer.flush()
