"""What functions of the parents see: the parents' features side by side, on the scale of the training data."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from causal_pyro_models.data.batches import Values
from causal_pyro_models.data.variables import Variable

ROUNDING = 10.0  # units of the last place that a constant column may vary by


def encoded(kinds: Mapping[str, Variable], values: Values, dtype: torch.dtype) -> Tensor:
    """The features of some variables side by side, ``(..., width)``; ``(0,)`` where there are none.

    Args:
        kinds: the kind of each variable, by name.
        values: a value ``(..., *event)`` for each.
        dtype: of the result.

    Example:
        >>> from causal_pyro_models.data import Categorical, Continuous
        >>> values = {"dose": torch.tensor([0.5, 1.5]), "arm": torch.tensor([0, 2])}
        >>> encoded({"dose": Continuous(), "arm": Categorical(3)}, values, torch.float32)
        tensor([[0.5000, 1.0000, 0.0000, 0.0000],
                [1.5000, 0.0000, 0.0000, 1.0000]])
    """
    if not kinds:
        return torch.empty(0, dtype=dtype)
    features = [kind.features(name, values[name]).to(dtype) for name, kind in kinds.items()]
    shape = torch.broadcast_shapes(*(f.shape[:-1] for f in features))
    return torch.cat([f.expand(*shape, -1) for f in features], -1)


class Standardised(nn.Module):
    """Columns on the scale of the data that a training begins with, and the range that they have there.

    Args:
        width: number of columns.
    """

    center: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        for name, fill in {"center": 0.0, "scale": 1.0, "low": -1.0, "high": 1.0}.items():
            self.register_buffer(name, torch.full((1, width), fill))

    @torch.no_grad()
    def standardise(self, columns: Tensor, size: Tensor | float = 0.0) -> Tensor:
        """Take scale and range from columns; these, standardised.

        Args:
            columns: ``(units, width)``. A column that varies by no more than rounding is not scaled up.
            size: what rounding is measured by where it is larger than the values, of all columns or ``(width,)``.
        """
        self.center.copy_(columns.mean(0, keepdim=True))
        spread, size = columns.std(0, keepdim=True), columns.abs().amax(0).clamp_min(size)
        self.scale.copy_(torch.where(spread > ROUNDING * torch.finfo(columns.dtype).eps * size, spread, 1.0))
        columns = (columns - self.center) / self.scale
        self.low.copy_(columns.amin(0, keepdim=True))
        self.high.copy_(columns.amax(0, keepdim=True))
        return columns
