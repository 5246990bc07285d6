"""Monotone maps of the line onto itself, with closed-form inverses: the shapes of a flow's noise."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.transforms import Transform

MAX_LOG_SLOPE = 2.0  # of a slope spline, up and down: keeps the round trip near the rounding error of float32
SLOPES = (0.05, 50.0)  # of a quantile spline, for the same reason
TAIL = 2.5  # standard deviations of the noise from which on a quantile spline is straight
TAIL_UNITS = 8  # that must lie in each tail


class MonotoneMap(Transform):
    """A transform of real numbers that tells its value and the logarithm of its slope at once."""

    domain = constraints.real
    codomain = constraints.real
    bijective = True
    sign = 1

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The value at ``x``, and the logarithm of the slope there."""
        raise NotImplementedError

    def _call(self, x: Tensor) -> Tensor:
        return self.call_and_ladj(x)[0]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.call_and_ladj(x)[1]


class SlopeSpline(MonotoneMap):
    """A quadratic spline: its slope runs straight between equally spaced knots and is constant beyond them.

    The identity where the parameters are zero.

    Args:
        log_slopes: at each knot ``(..., knots)``; values beyond 2 are bent towards it.
        bound: where the last knot is; the first one is at ``-bound``.
    """

    def __init__(self, log_slopes: Tensor, bound: float) -> None:
        super().__init__()
        self.bound, self.bins = bound, log_slopes.shape[-1] - 1
        self.step = 2.0 * bound / self.bins
        self.slopes = (MAX_LOG_SLOPE * torch.tanh(log_slopes / MAX_LOG_SLOPE)).exp()
        self.knots = torch.linspace(-bound, bound, self.bins + 1, dtype=log_slopes.dtype, device=log_slopes.device)

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        inner = x.clamp(-self.bound, self.bound)
        from_knot = ((inner.unsqueeze(-1) - self.knots) / self.step).clamp(-1.0, 1.0)
        distance = from_knot.abs()
        slope = ((1.0 - distance) * self.slopes).sum(-1)
        area = ((from_knot - 0.5 * from_knot * distance) * self.slopes).sum(-1)
        return self.step * area + (x - inner) * slope, slope.log()

    def _inverse(self, y: Tensor) -> Tensor:
        from_knot = ((self.knots.unsqueeze(-1) - self.knots) / self.step).clamp(-1.0, 1.0)
        at_knots = self.step * (self.slopes @ (from_knot - 0.5 * from_knot * from_knot.abs()).T)
        at_knots, slopes = torch.broadcast_tensors(at_knots, self.slopes.expand(*y.shape, -1))
        piece = ((y.unsqueeze(-1) >= at_knots).sum(-1, keepdim=True) - 1).clamp(0, self.bins - 1)
        rise = y - at_knots.gather(-1, piece).squeeze(-1)
        first, last = (slopes.gather(-1, piece + i).squeeze(-1) for i in (0, 1))
        bend = (last - first) / (2.0 * self.step)  # rise = first * run + bend * run^2
        inside = rise.clamp(torch.zeros_like(rise), self.step * (first + last) / 2.0)
        run = 2.0 * inside / (first + (first * first + 4.0 * bend * inside).clamp_min(0.0).sqrt())
        beyond = rise - inside
        outside = beyond / torch.where(beyond > 0.0, last, first)
        x: Tensor = self.knots[piece.squeeze(-1)] + run + outside
        return x


class Quantiles(NamedTuple):
    """A map through points: their places ``x``, values ``y`` and slopes, ``(..., points)`` each."""

    x: Tensor
    y: Tensor
    slopes: Tensor


class QuantileSpline(MonotoneMap):
    """A monotone rational-quadratic interpolant through given points, straight beyond them.

    Args:
        points: one map ``(points,)``, or one for each row of the argument ``(rows, points)``.

    References:
        J. Gregory, R. Delbourgo (1982). Piecewise rational quadratic interpolation to monotonic data. IMA Journal of
            Numerical Analysis 2.
    """

    def __init__(self, points: Quantiles) -> None:
        super().__init__()
        self.points = points

    def _piece(self, knots: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        """Of the piece that each value is in: where it starts, its size, and the slopes at its ends and across."""
        index = torch.searchsorted(knots, value.detach().contiguous(), right=True) - 1
        index = index.clamp(0, knots.shape[-1] - 2)
        x, y, slopes = self.points

        def at(table: Tensor, place: Tensor) -> Tensor:
            return table[place] if table.dim() == 1 else table.gather(-1, place)

        x0, y0 = at(x, index), at(y, index)
        width, height = at(x, index + 1) - x0, at(y, index + 1) - y0
        return x0, y0, width, height, height / width, at(slopes, index), at(slopes, index + 1)

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x0, y0, width, height, across, first, last = self._piece(self.points.x, x)
        share = (x - x0) / width
        t = share.clamp(0.0, 1.0)
        mixed = t * (1.0 - t)
        below = across + (first + last - 2.0 * across) * mixed
        value = y0 + height * (across * t * t + first * mixed) / below
        above = last * t * t + 2.0 * across * mixed + first * (1.0 - t) ** 2
        log_slope = 2.0 * across.log() + above.log() - 2.0 * below.log()
        return value + (share - t) * width * torch.where(share < 0.0, first, last), log_slope

    def _inverse(self, y: Tensor) -> Tensor:
        x0, y0, width, height, across, first, last = self._piece(self.points.y, y)
        rise = y - y0
        inside = torch.minimum(rise.clamp_min(0.0), height)
        excess = inside * (first + last - 2.0 * across)
        a, b, c = height * (across - first) + excess, height * first - excess, -across * inside
        t = -2.0 * c / (b + (b * b - 4.0 * a * c).clamp_min(0.0).sqrt())
        beyond = rise - inside
        return x0 + t * width + beyond / torch.where(beyond > 0.0, last, first)


def straight(points: int, like: Tensor) -> Quantiles:
    """The identity as a map through points."""
    y = torch.linspace(-TAIL, TAIL, points, dtype=like.dtype, device=like.device)
    return Quantiles(y.clone(), y, torch.ones_like(y))


def normal_scores(sample: Tensor, points: int) -> Quantiles:
    """The map that gives a sample ``(units,)`` a standard normal law, through its quantiles.

    The slopes of the tails maximise the likelihood of the units in them.
    """
    units, like, sample = len(sample), sample, sample.double()
    tail = min(TAIL, float(torch.special.ndtri(torch.tensor(1.0 - TAIL_UNITS / units, dtype=torch.float64))))
    y = torch.linspace(-tail, tail, points, dtype=torch.float64, device=sample.device)
    height = y.diff()
    width = sample.quantile(torch.special.ndtr(y)).diff().clamp(height / SLOPES[1], height / SLOPES[0])
    middle = points // 2
    x = torch.cat([width.new_zeros(1), width.cumsum(0)])
    x = x - x[middle] + sample.quantile(torch.special.ndtr(y[middle]))
    across = height / width
    slopes = torch.empty_like(y)
    slopes[1:-1] = (width[1:] + width[:-1]) / (width[:-1] / across[1:] + width[1:] / across[:-1])
    for end, beyond in ((0, x[0] - sample), (-1, sample - x[-1])):
        beyond = beyond[beyond > 0]
        # the root of d/ds sum(log s - (tail + s * beyond)^2 / 2)
        squares, line = beyond.square().sum(), tail * beyond.sum()
        root = (-line + (line * line + 4.0 * squares * len(beyond)).sqrt()) / (2.0 * squares)
        slope = root if len(beyond) else across[end]
        slopes[end] = slope.clamp(across[end] / 5.0, 5.0 * across[end]).clamp(*SLOPES)
    return Quantiles(x.to(like), y.to(like), slopes.to(like))
