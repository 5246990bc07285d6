"""What a table should be looked at for before a model learns from it: wild values, and causes that say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from causal_pyro_models.data.batches import Batch
from causal_pyro_models.data.labels import Column
from causal_pyro_models.data.variables import Categorical, Continuous, Count, Image, Positive, Variable
from causal_pyro_models.errors import warn

WILD = 20.0  # robust standard deviations from the median
GAP = 10.0  # times as far from the median as the farthest of the other values
MOST_WILD = 0.05  # share of the rows; more are a part of the distribution
SHOWN = 5  # rows
NORMAL_MAD = 1.4826
LOOKED_AT = 2_000  # rows, evenly spread, that tell whether columns determine each other
EXACT = 1e-5  # standard deviations left over of what is determined
SLIGHT = 1e-3  # coefficient, in standard deviations, of what has no part in it
ROWS_PER_COLUMN = 2


@dataclass(frozen=True)
class Indistinct:
    """Causes of a variable that determine each other, so that data do not tell their effects on it apart.

    Attributes:
        variable: whose causes they are.
        causes: which of them.
        how: how they determine each other.

    Example:
        >>> print(Indistinct("Y", ("X", "W"), "X is a linear function of W"))
        among the causes of Y, X is a linear function of W: the data do not tell the effects of X and W on Y apart
    """

    variable: str
    causes: tuple[str, ...]
    how: str

    def __str__(self) -> str:
        return (
            f"among the causes of {self.variable}, {self.how}: the data do not tell the effects of "
            f"{_listed(self.causes)} on {self.variable} apart"
        )


def screened(
    batch: Batch, variables: Mapping[str, Variable], causes: Mapping[str, Sequence[str]]
) -> tuple[Indistinct, ...]:
    """The causes that the data do not tell apart, once a warning names them, and the rows of wild values.

    Args:
        batch, variables, causes: see :func:`indistinct_causes`.
    """
    found = tuple(indistinct_causes(batch, variables, causes))
    for line in (*wild_values(batch, variables), *map(str, found)):
        warn(f"{line}.")
    return found


def wild_values(batch: Batch, variables: Mapping[str, Variable]) -> list[str]:
    """A line for each column of numbers that has values far beyond all others, with their rows.

    Far are more than 20 robust standard deviations from the median, and ten times as far as any other value.

    Example:
        >>> x = torch.linspace(-1, 1, 200).double()
        >>> x[7] = 1e6
        >>> wild_values(Batch({"X": x}), {"X": Continuous()})
        ["column 'X' has 1 wild value (1e+06 in row 7), where all others lie from -1 to 1"]
    """
    lines = []
    for name, kind in variables.items():
        if isinstance(kind, Continuous | Positive | Count) and not kind.event_shape:
            rows = np.flatnonzero(batch.intact(name).numpy())
            values = batch.values[name].numpy()
            wild = rows[_wild(values[rows])]
            if len(wild):
                others = np.setdiff1d(rows, wild)
                shown = ", ".join(f"{values[row]:g} in row {row}" for row in wild[:SHOWN])
                more = ", ..." if len(wild) > SHOWN else ""
                lines.append(
                    f"column {name!r} has {len(wild)} wild value{'s' if len(wild) > 1 else ''} ({shown}{more}), where "
                    f"all others lie from {values[others].min():g} to {values[others].max():g}"
                )
    return lines


def _wild(values: Column) -> Column:
    """Indices of the values that lie far beyond all others."""
    distance = np.abs(values - np.median(values))
    scale = NORMAL_MAD * np.median(distance)
    if scale == 0 and distance.any():
        scale = NORMAL_MAD * np.median(distance[distance > 0])
    order = np.argsort(distance)
    few = order[len(order) - 1 - int(MOST_WILD * len(order)) :]
    sizes = distance[few]
    jumps = (sizes[1:] > WILD * scale) & (sizes[1:] > GAP * np.maximum(sizes[:-1], scale))
    return np.sort(few[1 + jumps.argmax() :]) if jumps.any() else few[:0]


def indistinct_causes(
    batch: Batch, variables: Mapping[str, Variable], causes: Mapping[str, Sequence[str]]
) -> list[Indistinct]:
    """The causes that determine each other: copies, exact linear combinations, one-to-one recodings.

    Args:
        batch: the units, in float64.
        variables: what the columns are.
        causes: of each variable.

    Example:
        >>> x, w = torch.linspace(-1, 1, 200).double(), torch.linspace(0, 9, 200).double().cos()
        >>> batch = Batch({"X": x, "W": w, "V": x.exp(), "Y": x + w})
        >>> variables = dict.fromkeys(batch.values, Continuous())
        >>> [found.how for found in indistinct_causes(batch, variables, {"Y": ("X", "W", "V")})]
        ['V is a one-to-one function of X']
    """
    found = []
    for name, parents in causes.items():
        parents = [parent for parent in parents if not isinstance(variables[parent], Image)]
        if len(parents) > 1:
            rows = torch.nonzero(batch.intact(*parents)).squeeze(-1)
            if not len(rows):
                continue
            rows = rows[torch.linspace(0, len(rows) - 1, min(len(rows), LOOKED_AT)).long()]
            columns = {parent: batch.values[parent][rows].numpy() for parent in parents}
            linear = _linear(name, {p: _features(variables[p], p, batch.values[p][rows]) for p in parents})
            told = [set(group.causes) for group in linear]
            pairs = [pair for pair in combinations(parents, 2) if not any(group.issuperset(pair) for group in told)]
            found += [*linear, *(_recoding(name, *pair, columns) for pair in pairs)]
    return [group for group in found if group is not None]


def _features(kind: Variable, name: str, values: torch.Tensor) -> Column:
    """Standardised columns ``(rows, k)`` of a cause, those that are constant left out."""
    features = (values.unsqueeze(-1) if isinstance(kind, Positive) else kind.features(name, values)).double().numpy()
    features = features[:, 1:] if isinstance(kind, Categorical) else features
    spread = features.std(0)
    varies = np.isfinite(spread) & (spread > 1e-12 * np.abs(features).max(0, initial=0.0))
    standardised: Column = (features[:, varies] - features[:, varies].mean(0)) / spread[varies]
    return standardised


def _linear(name: str, blocks: Mapping[str, Column]) -> list[Indistinct]:
    """Causes that are linear functions of others."""
    width = sum(block.shape[1] for block in blocks.values())
    if any(len(block) < ROWS_PER_COLUMN * width + 10 for block in blocks.values()):
        return []
    found: dict[frozenset[str], Indistinct] = {}
    for cause, block in blocks.items():
        others = {other: columns for other, columns in blocks.items() if other != cause and columns.shape[1]}
        if not others or not block.shape[1]:
            continue
        design = np.hstack(list(others.values()))
        gram, moment = design.T @ design / len(design), design.T @ block / len(design)
        near = np.linalg.lstsq(gram, moment, rcond=1e-10)[0]
        if ((block - design @ near).std(0) > 100 * EXACT).any():  # moments are half as precise
            continue
        solution = np.linalg.lstsq(design, block, rcond=1e-10)[0]
        if ((block - design @ solution).std(0) > EXACT).any():
            continue
        part = np.split(np.abs(solution).max(1), np.cumsum([columns.shape[1] for columns in others.values()])[:-1])
        takes = [other for other, sizes in zip(others, part, strict=True) if sizes.max() > SLIGHT]
        if not takes:
            continue
        how = "a linear function" if block.shape[1] == 1 and len(takes) == 1 else "a function"
        how = "a linear combination" if len(takes) > 1 else how
        found.setdefault(
            frozenset([cause, *takes]), Indistinct(name, (cause, *takes), f"{cause} is {how} of {_listed(takes)}")
        )
    return list(found.values())


def _recoding(name: str, one: str, other: str, columns: Mapping[str, Column]) -> Indistinct | None:
    """Two causes of which each tells the other: by their values where these repeat, else by their order."""
    a, b = columns[one], columns[other]
    if a.ndim > 1 or b.ndim > 1:
        return None
    (levels, x), (others, y) = (np.unique(column, return_inverse=True) for column in (a, b))
    if len(levels) != len(others) or len(np.unique(x * len(others) + y)) != len(levels):
        return None
    ordered = y[np.argsort(x, kind="stable")]
    steps = np.diff(ordered)
    if len(levels) > len(a) / 2 and not ((steps >= 0).all() or (steps <= 0).all()):
        return None
    what = "recoding" if len(levels) <= len(a) / 2 else "function"
    return Indistinct(name, (one, other), f"{other} is a one-to-one {what} of {one}")


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
