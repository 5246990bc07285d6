"""Where rows of data are: the distance to the nearest of a sample of them, and how far rows of their law lie."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

STORED = 1_000  # rows of the sample
JUDGED = 1_200  # rows whose distances settle the limit
NEIGHBOUR, ROWS_PER_NEIGHBOUR = 10, 50  # the one whose distance counts; an earlier one in small samples
HELD = 0.995  # share of rows that lie within the limit
STRAIGHT = 3.0  # standard deviations up to which features count as they are; beyond, by their logarithm
DIRECTIONS = 20  # of the largest variance, that wide features are reduced to
LEAST_VARIANCE = 1e-6  # of a direction, to 1 of a feature; in it lie features that determine each other
TOLERANCE = 1e-3  # of the limit, where rows repeat each other
ORDINARY = 6.0  # robust standard deviations beyond which values have no say in the covariance
NORMAL_IQR = 1.349
FARTHER = 3.0  # times as far from the middle as any row
BLOCK = 128  # rows whose distances fit a processor's cache


class Neighbours(nn.Module):
    """A sample of rows of features, and the distance from it that few rows of the same law exceed.

    Distances are to the tenth nearest row of the sample, between features that are whitened: in units of what the
    data vary by in each direction, so that a combination of values which the data have none of is far from them. Where
    features have long tails, these are drawn in. A feature that is three times as far from its middle as in any row is
    outside, too, which many features would hide.

    Args:
        rows: size of the sample.
        width: number of features.

    References:
        V. Vovk, A. Gammerman, G. Shafer (2005). Algorithmic learning in a random world, chapter 2: the limit is that of
        conformal prediction.
        C. Loftsgaarden, C. Quesenberry (1965). A nonparametric estimate of a multivariate density function.

    Example:
        >>> x = torch.linspace(-3, 3, 500).unsqueeze(-1)
        >>> near = Neighbours.of(torch.cat([x, x + 0.1 * torch.cos(50 * x)], -1))
        >>> near.outside(torch.tensor([[1.0, 1.0], [1.0, 2.0], [9.0, 9.0]]))
        tensor([False,  True,  True])
    """

    center: Tensor
    spread: Tensor
    low: Tensor
    high: Tensor
    first: Tensor
    last: Tensor
    axes: Tensor
    rows: Tensor
    limit: Tensor

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        directions = min(width, DIRECTIONS)
        for name in ("center", "spread", "low", "high", "first", "last"):
            self.register_buffer(name, torch.zeros(width))
        self.register_buffer("axes", torch.zeros(width, directions))
        self.register_buffer("rows", torch.zeros(rows, directions))
        self.register_buffer("limit", torch.zeros(()))

    @classmethod
    @torch.no_grad()
    def of(cls, features: Tensor) -> Neighbours:
        """From features ``(units, width)`` in random order."""
        found = cls(min(STORED, len(features)), features.shape[-1]).to(features)
        found._scale(features)
        whitened = found.whitened(features[:JUDGED])
        found.rows.copy_(whitened[: len(found.rows)])
        itself = (torch.arange(len(whitened), device=features.device) < len(found.rows)).long()
        places = found.neighbour - 1 + itself.unsqueeze(-1)
        count = min(found.neighbour + 1, len(found.rows))
        squares = torch.cat([part.topk(count, largest=False).values for part in found._squares(whitened)])
        distances = squares.gather(1, places).squeeze(-1).clamp_min(0.0).sqrt().sort().values
        rank = min(int(HELD * (len(distances) + 1)) + 1, len(distances))
        beyond = max(1.0, 1.0 / (1.0 - HELD) / len(distances)) ** 0.5  # where too few rows show the limit
        beyond *= 1.0 + len(found.center) / len(distances)  # these rows made the directions that they are measured in
        found.limit.copy_((distances[rank - 1] * beyond).clamp_min(TOLERANCE))
        return found

    @property
    def neighbour(self) -> int:
        """Which neighbour's distance counts."""
        return max(1, min(NEIGHBOUR, len(self.rows) // ROWS_PER_NEIGHBOUR))

    def whitened(self, features: Tensor) -> Tensor:
        """Features ``(..., width)`` as distances are measured in, ``(..., directions)``."""
        return _drawn_in((features.to(self.center) - self.center) / self.spread) @ self.axes

    def outside(self, features: Tensor) -> Tensor:
        """``(units,)``, true where features ``(units, width)`` lie farther out than all but few rows of the data."""
        near = [(part <= self.limit.double().square()).sum(1) for part in self._squares(self.whitened(features))]
        offset = features.to(self.center) - self.center
        beyond = (offset > FARTHER * (self.last - self.center)) | (offset < FARTHER * (self.first - self.center))
        return (torch.cat(near) < self.neighbour) | beyond.any(1)  # few are near what is no number

    def _squares(self, whitened: Tensor) -> Iterator[Tensor]:
        """The squared distances to each row of the sample, ``(block, rows)`` at a time."""
        rows, whitened = self.rows.double(), whitened.double()
        size, turned = rows.square().sum(1), -2.0 * rows.T
        for block in whitened.split(BLOCK):
            yield torch.addmm(size, block, turned).add_(block.square().sum(1, keepdim=True))

    def _scale(self, features: Tensor) -> None:
        """Take center, spread, range and directions from features."""
        few = features[:JUDGED].double()
        order = few.sort(0).values
        quarters = [order[round(share * (len(few) - 1))] for share in (0.25, 0.5, 0.75)]
        spread = (quarters[2] - quarters[0]) / NORMAL_IQR
        spread = torch.where(spread > 0, spread, few.std(0))
        spread = torch.where(spread > 0, spread, 1.0)
        columns = _drawn_in((few - quarters[1]) / spread).clamp(-ORDINARY, ORDINARY)
        deviation = columns.std(0)
        deviation = torch.where(deviation > 0, deviation, 1.0)
        shrunk = len(deviation) / len(few)
        correlation = ((columns - columns.mean(0)) / deviation).T.cov().reshape(len(deviation), -1)
        correlation = (1 - shrunk) * correlation + shrunk * torch.eye(len(deviation)).to(correlation)
        variances, directions = torch.linalg.eigh(correlation)
        axes = directions / deviation.unsqueeze(-1) / variances.clamp_min(LEAST_VARIANCE).sqrt()
        tail = (1 - HELD) / 2
        found = {
            "center": quarters[1],
            "spread": spread,
            "low": order[round(tail * (len(few) - 1))],
            "high": order[round((1 - tail) * (len(few) - 1))],
            "first": order[0],
            "last": order[-1],
            "axes": axes[:, -self.axes.shape[1] :],
        }
        for name, values in found.items():
            self.get_buffer(name).copy_(values)


def _drawn_in(z: Tensor) -> Tensor:
    """Standardised features with their far tails on a logarithmic scale."""
    size = z.abs()
    return torch.where(size > STRAIGHT, z.sign() * (STRAIGHT + torch.log1p((size - STRAIGHT).clamp_min(0.0))), z)
