"""Data as models train on them: values by variable, and which of them were set or are missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from causal_pyro_models.errors import DataError, unknown_variable
from causal_pyro_models.models.tables import as_columns, check_lengths, read
from causal_pyro_models.models.variables import Column, Variable

REGIME = "regime"  # the column that says which variables were set in a row
OBSERVATIONAL = ("", "observational")
READ_AT_ONCE = 1024  # items of a torch Dataset


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


@dataclass(frozen=True)
class Intervened:
    """A table from a regime in which some variables were set from outside, for ``fit``.

    Args:
        data: anything that ``fit`` takes as a table.
        targets: the variables that were set, in all of its rows.
        values: what they were set to, a number or label, or an array with one for each row; by default the columns of
            the data say it.

    Raises:
        DataError: there are no targets, or a value for something that is none.

    Example:
        >>> trial = Intervened({"Y": [0.1, 0.4]}, ["X"], {"X": 1.0})
        >>> from causal_pyro_models.models import Continuous
        >>> batch = encode(trial, {"X": Continuous(), "Y": Continuous()})
        >>> batch.values["X"], batch.intervened["X"]
        (tensor([1., 1.], dtype=torch.float64), tensor([True, True]))
    """

    data: Any
    targets: str | Sequence[str]
    values: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        targets = (self.targets,) if isinstance(self.targets, str) else self.targets
        if not isinstance(targets, Iterable) or not (targets := tuple(targets)):
            raise DataError(f"targets are the names of the variables that were set, got {self.targets!r:.80}.")
        if self.values is not None and not isinstance(self.values, Mapping):
            raise DataError(f"values must be a dict from target to value, got {type(self.values).__name__}.")
        for name in self.values or ():
            if name not in targets:
                raise unknown_variable(name, targets, "target")
        object.__setattr__(self, "targets", targets)


@dataclass(frozen=True)
class Pairs:
    """Units of which the factual and a counterfactual world are both known, for ``fit``.

    Args:
        factual: a table, the units as they were.
        counterfactual: a table of the same units, row by row, as they would have been.
        targets: the variables that were set in the counterfactual world; its table says to what.

    Raises:
        DataError: there are no targets.

    Example:
        >>> Pairs({"X": [0.0], "Y": [0.3]}, {"X": [1.0], "Y": [2.3]}, "X").targets
        ('X',)
    """

    factual: Any
    counterfactual: Any
    targets: str | Sequence[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", Intervened(self.counterfactual, self.targets).targets)


def encode(data: Any, variables: Mapping[str, Variable]) -> Batch:
    """A batch from data, checked: values ``(units, *event)``, float64, indices int64.

    Args:
        data: a DataFrame (pandas, polars or another that narwhals reads), a mapping from names to arrays, a torch
            ``Dataset`` or ``DataLoader`` whose items are such mappings, :class:`Intervened` data, or a list of these.
            NaN, None and masked values are missing. A column ``regime`` names the variables that were set in each row,
            separated by commas; nothing or "observational" says that none was.
        variables: what the columns are.

    Raises:
        DataError: the data are no table, are empty or ragged, have infinite or unknown values, or a value that was set
            and is missing.
        UnknownVariableError: a variable has no column, or a regime sets something that is no variable.

    Example:
        >>> from causal_pyro_models.models import Continuous
        >>> table = {"X": [0.5, 1.5], "Y": [float("nan"), 2.0], "regime": ["X", ""]}
        >>> batch = encode(table, {"X": Continuous(), "Y": Continuous()})
        >>> batch.intervened, batch.missing
        ({'X': tensor([ True, False])}, {'Y': tensor([ True, False])})
    """
    parts = list(data) if isinstance(data, list | tuple) else [data]
    if not parts:
        raise DataError("the list of data is empty.")
    tables = [_columns(part) for part in parts]
    found = [{name: read(name, table, v.event_shape) for name, v in variables.items()} for table in tables]
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
        regime for p, table, n in zip(parts, tables, rows, strict=True) for regime in _regimes(p, table, n, variables)
    ]
    return Batch(values, _intervened(regimes, variables, missing), missing)


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


def _regimes(
    data: Any, columns: Mapping[str, Any], rows: int, variables: Mapping[str, Variable]
) -> list[frozenset[str]]:
    """The variables that were set, row by row."""
    if isinstance(data, Intervened):
        return [frozenset(data.targets)] * rows
    if REGIME in variables or REGIME not in columns:
        return [frozenset()] * rows
    column, absent = read(REGIME, columns)
    return [frozenset() if none else _regime(cell, variables) for cell, none in zip(column, absent, strict=True)]


def _regime(cell: object, variables: Mapping[str, Variable]) -> frozenset[str]:
    """The variables that a cell of the regime column names."""
    if not isinstance(cell, str):
        raise DataError(f"the column {REGIME!r} names the variables that were set, such as 'X' or 'X,Z', got {cell!r}.")
    if cell in variables:
        return frozenset((cell,))
    names = (part.strip() for part in cell.split(","))
    return frozenset(name for name in names if name not in OBSERVATIONAL)


def _intervened(
    regimes: Sequence[frozenset[str]], variables: Mapping[str, Variable], missing: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Which units had each variable set."""
    known = frozenset[str]().union(*dict.fromkeys(regimes))
    if unknown := sorted(known - variables.keys()):
        raise unknown_variable(unknown[0], variables)
    found = {name: torch.tensor([name in regime for regime in regimes]) for name in variables if name in known}
    for name, was_set in found.items():
        if name in missing and bool((unset := was_set & missing[name]).any()):
            row = int(unset.int().argmax())
            raise DataError(f"{name!r} was set in row {row}, but its value there is missing: say what it was set to.")
    return found
