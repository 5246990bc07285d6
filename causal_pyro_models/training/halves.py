"""Random halves of data, for refits."""

from __future__ import annotations

import torch
from torch import Tensor

from causal_pyro_models.data.batches import Batch
from causal_pyro_models.errors import DataError

HALVES = 100  # drawn at most, until every variable varies in one


def half(batch: Batch) -> Tensor:
    """The indices of a random half of the units, in which every variable varies that varies in all.

    Raises:
        DataError: no such half was found.
    """
    for _ in range(HALVES):
        rows = torch.randperm(len(batch))[: len(batch) // 2]
        part = batch[rows]
        constant = [name for name in batch.values if not _varies(part, name) and _varies(batch, name)]
        if not constant:
            return rows
    raise DataError(
        f"variable {constant[0]!r} varies in so few rows that it is constant in random halves of them: fit with "
        f"refits=0, or leave it out of the graph."
    )


def _varies(batch: Batch, name: str) -> bool:
    """Whether a variable has two values at least, where it is observed and not set."""
    rows = batch.intact(name)
    value = batch.values[name][rows & ~batch.intervened[name] if name in batch.intervened else rows]
    return len(value) > 0 and not bool((value == value[0]).all())


def half_of_pairs(pairs: tuple[Batch, ...]) -> tuple[Batch, ...]:
    if not pairs:
        return ()
    chosen = torch.randperm(len(pairs[0]))[: len(pairs[0]) // 2]
    return tuple(part[chosen] for part in pairs)
