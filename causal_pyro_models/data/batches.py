"""Data as models train on them: values by variable, and which of them were set or are missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from causal_pyro_models.data.labels import Column
from causal_pyro_models.data.regimes import Intervened, intervened_rows, row_regimes
from causal_pyro_models.data.tables import as_columns, check_lengths, read_variable
from causal_pyro_models.data.variables import Variable
from causal_pyro_models.errors import DataError

Values = Mapping[str, Tensor]  # by variable

READ_AT_ONCE = 1024  # items of a torch Dataset


@dataclass(frozen=True)
class Batch:
    """Some units of a table.

    Attributes:
        values: ``(units, *event)`` for each variable; where one is missing, some value of its support.
        intervened: ``(units,)``, true where the variable was set from outside; only variables that were somewhere.
        missing: ``(units,)``, true where the value is missing; only variables that miss some.
        weight: ``(units,)``, the weight of each unit in the objective; None where all count alike.

    Example:
        >>> batch = Batch({"X": torch.tensor([0.5, 1.5, 2.5])}, intervened={"X": torch.tensor([False, True, True])})
        >>> len(batch), batch[batch.intervened["X"]].values["X"]
        (3, tensor([1.5000, 2.5000]))
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

    def to(self, device: torch.device, dtype: torch.dtype, exact: Collection[str] = ()) -> Batch:
        """The same units elsewhere, real numbers in another precision but for variables that stay ``exact``."""

        def moved(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {
                name: column.to(device, dtype if column.is_floating_point() and name not in exact else column.dtype)
                for name, column in columns.items()
            }

        weight = None if self.weight is None else self.weight.to(device, dtype)
        return Batch(moved(self.values), moved(self.intervened), moved(self.missing), weight)

    def evened(self) -> Batch:
        """As many units that all count alike, each there as often as its weight says (systematic resampling)."""
        if self.weight is None:
            return self
        total = self.weight.double().cumsum(0)
        ticks = (torch.arange(len(self), dtype=total.dtype, device=total.device) + 0.5) * (total[-1] / len(self))
        chosen = self[torch.searchsorted(total, ticks)]
        return Batch(chosen.values, chosen.intervened, chosen.missing)

    def intact(self, *names: str) -> Tensor:
        """``(units,)``, true where none of these values is missing."""
        whole = torch.ones(len(self), dtype=torch.bool, device=next(iter(self.values.values())).device)
        for name in names:
            if name in self.missing:
                whole = whole & ~self.missing[name]
        return whole


def encode(data: Any, variables: Mapping[str, Variable]) -> Batch:
    """A batch from data, checked: values ``(units, *event)``, float64, indices int64.

    Args:
        data: a DataFrame (pandas, polars or another that narwhals reads), a mapping from names to arrays, a torch
            ``Dataset`` or ``DataLoader`` whose items are such mappings, :class:`Intervened` data, or a list of these.
            NaN, None and masked values are missing. A tensor in a mapping holds codes where there are labels. A column
            ``regime`` names the variables that were set in each row, separated by commas; nothing or "observational"
            says that none was.
        variables: what the columns are.

    Raises:
        DataError: the data are no table, are empty or ragged, have infinite or unknown values, or a value that was set
            and is missing.
        UnknownVariableError: a variable has no column, or a regime sets something that is no variable.

    Example:
        >>> from causal_pyro_models.data import Continuous, encode
        >>> table = {"X": [0.5, 1.5], "Y": [float("nan"), 2.0], "regime": ["X", ""]}
        >>> batch = encode(table, {"X": Continuous(), "Y": Continuous()})
        >>> batch.intervened, batch.missing
        ({'X': tensor([ True, False])}, {'Y': tensor([ True, False])})
    """
    parts = list(data) if isinstance(data, list | tuple) else [data]
    if not parts:
        raise DataError("the list of data is empty.")
    tables = [_columns(part) for part in parts]
    found = [{name: read_variable(name, table, v) for name, v in variables.items()} for table in tables]
    for table in found:
        check_lengths({name: column for name, (column, _) in table.items()})
    values, missing = {}, {}
    for name, variable in variables.items():
        column = _joined([table[name][0] for table in found])
        absent = np.concatenate([table[name][1] for table in found])
        present = variable.encode(name, column[~absent])
        values[name] = present
        if absent.any():
            missing[name] = torch.as_tensor(absent)
            stand_in = present[:1] if len(present) else torch.ones(1, *variable.event_shape, dtype=present.dtype)
            values[name] = stand_in.repeat(len(column), *(1 for _ in variable.event_shape))
            values[name][~missing[name]] = present
    rows = [len(next(iter(table.values()))[0]) for table in found]
    regimes = [
        regime
        for p, table, n in zip(parts, tables, rows, strict=True)
        for regime in row_regimes(p, table, n, variables)
    ]
    return Batch(values, intervened_rows(regimes, variables, missing), missing)


def _joined(columns: Sequence[Column]) -> Column:
    """Columns below each other, labels and numbers unchanged."""
    if all(column.dtype.kind in "biuf" for column in columns) or len(columns) == 1:
        return np.concatenate(columns)
    return np.concatenate([column.astype(object) for column in columns])


def _columns(data: Any) -> dict[str, Any]:
    """The columns of one table by name, those that :class:`Intervened` sets included."""
    if isinstance(data, Intervened):
        columns = _columns(data.data)
        rows = max((len(column) for column in columns.values()), default=1)
        for name, value in (data.values or {}).items():
            columns[name] = value if np.ndim(value) else [value] * rows
        return columns
    if isinstance(data, Dataset):
        data = DataLoader(data, batch_size=READ_AT_ONCE)
    if not isinstance(data, DataLoader):
        return as_columns(data)
    parts = list(data)
    if not parts or not all(isinstance(part, Mapping) for part in parts):
        got = type(parts[0]).__name__ if parts else "none at all"
        raise DataError(f"the items of a Dataset must be dicts from variable to value, got {got}.")
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}
