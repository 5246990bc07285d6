"""What functions of the parents see: the parents' features side by side, on the scale of the training data."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from causal_pyro_models.data.batches import Values
from causal_pyro_models.data.variables import Variable

WILD = 10.0  # times as far from the median as all but a few values, from which on a value is no part of the scale
FEW = 0.005  # of the values, at least two on each side
STRETCH = 0.1  # of a range, whose slope a function goes on with outside
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


def tame(columns: Tensor) -> Tensor:
    """Columns ``(units, width)`` with the median in place of wild values, which are far from all but a few others.

    Example:
        >>> tame(torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0], [1e6]])).squeeze(-1)
        tensor([0., 1., 2., 3., 4., 2.])
    """
    ordered = columns.sort(0).values
    few = min(max(2, int(FEW * len(ordered))), (len(ordered) - 1) // 3)
    middle = columns.median(0, keepdim=True).values
    far = torch.maximum(ordered[-1 - few] - middle, middle - ordered[few])
    return columns.where(((columns - middle).abs() <= WILD * far) | (far <= 0.0), middle)


def going_on(function: Callable[[Tensor], Tensor], columns: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """A function of columns ``(..., width)`` that outside a range goes on straight, as over the last tenth of it.

    Args:
        function: from columns to ``(..., k)``.
        columns: where its values are asked for.
        low, high: the range.

    Example:
        >>> x = torch.tensor([[0.5], [2.0], [-1.0]])
        >>> going_on(torch.square, x, torch.zeros(1), torch.ones(1)).squeeze(-1)
        tensor([ 0.2500,  2.9000, -0.1000])
    """
    inside = torch.maximum(torch.minimum(columns, high), low)
    value, out = function(inside), columns - inside
    if not bool(out.any()):
        return value
    span = (high - low).clamp_min(torch.finfo(columns.dtype).tiny)
    far = (out.abs() / span).amax(-1, keepdim=True)
    back = inside - STRETCH * out / far.clamp_min(torch.finfo(columns.dtype).tiny)
    return value + (value - function(back)) * far / STRETCH
