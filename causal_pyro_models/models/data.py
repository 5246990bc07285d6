"""Data as models train on them: values by variable, and which of them were set or are missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Some units of a table.

    Attributes:
        values: ``(units, *event)`` for each variable; where one is missing, some value of its support.
        intervened: ``(units,)``, true where the variable was set from outside; only variables that were somewhere.
        missing: ``(units,)``, true where the value is missing; only variables that miss some.
        weight: ``(units,)``, the weight of each unit in the objective; None where all count alike.
    """

    values: dict[str, Tensor]
    intervened: dict[str, Tensor] = field(default_factory=dict)
    missing: dict[str, Tensor] = field(default_factory=dict)
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def __getitem__(self, index: Tensor) -> Batch:
        """The units at an index."""

        def part(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: column[index] for name, column in columns.items()}

        weight = None if self.weight is None else self.weight[index]
        return Batch(part(self.values), part(self.intervened), part(self.missing), weight)

    def to(self, device: torch.device, dtype: torch.dtype) -> Batch:
        """The same units elsewhere, real numbers in another precision."""

        def moved(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {n: c.to(device, dtype if c.is_floating_point() else c.dtype) for n, c in columns.items()}

        weight = None if self.weight is None else self.weight.to(device, dtype)
        return Batch(moved(self.values), moved(self.intervened), moved(self.missing), weight)

    def intact(self, *names: str) -> Tensor:
        """``(units,)``, true where none of these values is missing."""
        whole = torch.ones(len(self), dtype=torch.bool, device=next(iter(self.values.values())).device)
        for name in names:
            if name in self.missing:
                whole = whole & ~self.missing[name]
        return whole
