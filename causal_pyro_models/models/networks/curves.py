"""Smooth curves of features, and products of pairs of them: the columns of a smoothing-spline analysis of variance.

The curves of a feature are the first eigenfunctions of the prior of cubic smoothing splines at its quantiles, straight
lines taken out, each times the root of its eigenvalue, the first of which is one. So one normal prior on the
coefficients of a feature's curves is that prior, and one on the products of two features' that of their interaction.

References:
    G. Wahba (1990). Spline models for observational data, chapters 1 and 10.
    C. Gu (2013). Smoothing spline ANOVA models, chapter 2.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

PIECES = 20  # of the uniform cubic splines that curves are kept as
GRID = 200  # quantiles of a feature that its curves are found at
RANKS = {1: 16, 2: 10, 12: 8, 32: 4}  # curves of each feature, where there are at most so many features
MOST_PRODUCTS = 80  # of curves, over all pairs of features
TOGETHER = {2: 48}  # of these the most a pair has, where there are at most so many features
FEW = 20


class Layout(NamedTuple):
    """Which columns there are: the curves of each feature, then products of two of a pair's line and curves.

    Attributes:
        rank: number of curves of a feature.
        first, second: the factors of each product, among line and curves of the first feature, then of the next.
        groups: of columns, those of a feature and those of a pair, with the features of each.
    """

    rank: int
    first: list[int]
    second: list[int]
    groups: list[tuple[range, tuple[int, ...]]]

    @property
    def columns(self) -> int:
        """How many there are."""
        return self.groups[-1][0].stop if self.groups else 0


@cache
def layout(width: int) -> Layout:
    """The columns for features of a number."""
    rank = next((rank for most, rank in RANKS.items() if width <= most), 0) if width else 0
    pairs = list(combinations(range(width), 2))
    factors = [(a, b) for a in range(1 + rank) for b in range(1 + rank) if a + b]
    factors.sort(key=lambda pair: (max(pair[0], 1) * max(pair[1], 1), sum(pair)))  # the largest prior variance first
    few = min(next((n for most, n in TOGETHER.items() if width <= most), FEW), MOST_PRODUCTS // max(len(pairs), 1))
    factors = factors[:few] if rank and few > 1 else []
    first = [j * (1 + rank) + a for j, _ in pairs for a, _ in factors]
    second = [k * (1 + rank) + b for _, k in pairs for _, b in factors]
    sizes: list[tuple[int, tuple[int, ...]]] = [(rank, (j,)) for j in range(width)]
    sizes += [(len(factors), pair) for pair in pairs]
    groups: list[tuple[range, tuple[int, ...]]] = []
    start = 0
    for size, features in sizes:
        if size:
            groups.append((range(start, start + size), features))
            start += size
    return Layout(rank, first, second, groups)


def splines(place: Tensor) -> Tensor:
    """Uniform cubic B-splines at places ``(...)`` in [0, 1], ``(..., PIECES + 3)``."""
    centers = torch.arange(-1, PIECES + 2, dtype=place.dtype, device=place.device)
    away = (PIECES * place.unsqueeze(-1) - centers).abs()
    near = (1.0 - away).clamp_min(0.0)
    values: Tensor = ((2.0 - away).clamp_min(0.0) ** 3 - 4.0 * near * near * near) / 6.0
    return values


def eigencurves(place: Tensor, line: Tensor, places: Tensor, lines: Tensor, rank: int) -> Tensor:
    """The coefficients on :func:`splines` of the curves of a feature, ``(PIECES + 3, rank)``; zero of two values.

    Args:
        place, line: a feature's quantiles, as places in [0, 1] and as they enter a line, ``(quantiles,)`` in float64.
        places, lines: the same on a grid from 0 to 1.
        rank: number of curves.
    """
    if len(place.unique()) < 3:
        return place.new_zeros(PIECES + 3, rank)
    straight = torch.linalg.qr(torch.stack([torch.ones_like(line), line], 1)).Q
    kernel = _kernel(place, place)
    inner = kernel - straight @ (straight.T @ kernel)
    inner = inner - (inner @ straight) @ straight.T
    values, vectors = torch.linalg.eigh(inner)
    values, vectors = values.flip(0)[:rank], vectors.flip(1)[:, :rank]
    kept = values > 1e-9 * values[0]
    values = values.where(kept, torch.inf)
    on_line = torch.linalg.lstsq(torch.stack([torch.ones_like(line), line], 1), kernel @ vectors).solution
    curves = _kernel(places, place) @ vectors - torch.stack([torch.ones_like(lines), lines], 1) @ on_line
    curves = len(place) ** 0.5 * curves / values * (values / values[0]).sqrt().where(kept, 0.0)
    coefficients: Tensor = torch.linalg.lstsq(splines(places), curves).solution
    return coefficients


def _kernel(s: Tensor, t: Tensor) -> Tensor:
    """The covariance of once integrated Brownian motion."""
    low, high = torch.minimum(s.unsqueeze(-1), t), torch.maximum(s.unsqueeze(-1), t)
    return low * low * (3.0 * high - low) / 6.0
