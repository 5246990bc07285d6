"""Regimes: which variables were set from outside, and true counterfactual pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from causal_pyro_models.data.tables import read
from causal_pyro_models.data.variables import Variable
from causal_pyro_models.errors import DataError, unknown_variable

REGIME = "regime"  # the column that says which variables were set in a row


OBSERVATIONAL = ("", "observational")


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
        >>> from causal_pyro_models.data import Continuous, encode
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


def row_regimes(
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


def intervened_rows(
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
