"""Joint distributions of finite variables as arrays."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from causal_pyro_models.errors import DataError, unknown_variable

Array = NDArray[np.float64]
MOST_LEVELS = 10
"""A column of numbers with more distinct values is taken as continuous."""
MOST_CELLS = 50_000_000


class JointTable:
    """A joint distribution P(v) of finite variables.

    Args:
        names: the n variables.
        probabilities: one axis for each variable; they sum to one.
        states: variable -> the values along its axis, in order; 0, 1, ... for those it does not name.

    Raises:
        DataError: names and axes that do not fit, probabilities that are none, or states that are not one for each
            place of an axis.

    Example:
        >>> table = JointTable(["X", "Y"], [[0.3, 0.2], [0.1, 0.4]])
        >>> table
        JointTable(X: 0, 1; Y: 0, 1)
        >>> table.array(["Y"])
        array([0.4, 0.6])
    """

    names: tuple[str, ...]
    probabilities: Array
    states: dict[str, tuple[Any, ...]]

    def __init__(
        self, names: Sequence[str], probabilities: Any, states: Mapping[str, Sequence[Any]] | None = None
    ) -> None:
        self.names = _checked_names(names)
        self.probabilities = _checked_probabilities(probabilities, self.names)
        given = dict(states or {})
        for name in given:
            if name not in self.names:
                raise unknown_variable(name, self.names)
        self.states = {
            name: tuple(given.get(name, range(size)))
            for name, size in zip(self.names, self.probabilities.shape, strict=True)
        }
        for name, size in zip(self.names, self.probabilities.shape, strict=True):
            if len(set(self.states[name])) != size:
                raise DataError(
                    f"{name!r} has {len(set(self.states[name]))} distinct states for an axis of {size} probabilities: "
                    f"name each state once."
                )

    @classmethod
    def from_dataframe(cls, data: Any, names: Sequence[str] | None = None) -> "JointTable":
        """The relative frequencies in a DataFrame: the plug-in estimate of the joint distribution.

        Args:
            data: a row for each unit.
            names: the columns to take; None for all.

        Raises:
            DataError: no rows, or missing values.
            UnknownVariableError: a name that is no column.

        Example:
            >>> import pandas as pd
            >>> JointTable.from_dataframe(pd.DataFrame({"X": ["a", "b", "b", "b"]})).array(["X"])
            array([0.25, 0.75])
        """
        columns = list(data.columns) if names is None else list(names)
        for name in columns:
            if name not in data.columns:
                raise unknown_variable(name, data.columns, "column")
        if not len(data):
            raise DataError("the data have no rows: a distribution cannot be read off them.")
        codes, states = [], {}
        for name in columns:
            if data[name].isna().any():
                raise DataError(f"column {name!r} has missing values: drop or impute these rows first.")
            values, code = levels(data, name)
            codes.append(code)
            states[name] = values.tolist()
        shape = [len(states[name]) for name in columns]
        if math.prod(shape) > MOST_CELLS:
            raise DataError(
                f"a table of {columns} would have {math.prod(shape):.3g} cells: bin them, or use regressions."
            )
        counts = np.zeros(shape)
        np.add.at(counts, tuple(codes), 1.0)
        return cls(columns, counts / len(data), states)

    def array(self, variables: Sequence[str]) -> Array:
        """The marginal distribution of some variables, axes in the order given."""
        for name in variables:
            if name not in self.names:
                raise unknown_variable(name, self.names)
        left = [name for name in self.names if name in variables]
        others = tuple(i for i, name in enumerate(self.names) if name not in variables)
        return np.asarray(self.probabilities.sum(others).transpose([left.index(name) for name in variables]))

    def index(self, name: str, value: Any) -> int:
        """The place of a value along the axis of its variable.

        Raises:
            DataError: the variable never takes the value.
        """
        if name not in self.states:
            raise unknown_variable(name, self.names)
        for place, state in enumerate(self.states[name]):
            if state == value:
                return place
        raise DataError(f"{name!r} never has the value {value!r:.80}. Its values are {self.states[name]!r:.200}.")

    def __repr__(self) -> str:
        parts = (f"{name}: {', '.join(str(state) for state in states)}" for name, states in self.states.items())
        return f"JointTable({'; '.join(parts)})"


def as_table(source: Any, names: Iterable[str] | None = None) -> JointTable:
    """A joint table from one, from the frequencies of a DataFrame, or from a law of the zoo."""
    wanted = None if names is None else list(names)
    if isinstance(source, JointTable):
        table = source
    elif hasattr(source, "columns") and hasattr(source, "isna"):
        table = JointTable.from_dataframe(source, wanted)
    elif all(hasattr(source, part) for part in ("names", "states", "probabilities")):
        sizes = np.asarray(source.states).max(0) + 1
        probabilities = np.zeros(sizes)
        np.add.at(probabilities, tuple(np.asarray(source.states).T), source.probabilities)
        table = JointTable(source.names, probabilities)
    else:
        raise DataError(
            f"expected a JointTable, a DataFrame or a law of the zoo, got {type(source).__name__}. Write "
            f"JointTable(['X', 'Y'], probabilities), with an axis for each variable."
        )
    for name in wanted or ():
        if name not in table.names:
            raise unknown_variable(name, table.names)
    return table


def levels(data: Any, name: str) -> tuple[Any, Any]:
    """The distinct values of a column in order, and the place of each row's value among them.

    Raises:
        DataError: values that have no order among them, such as numbers and strings.
    """
    try:
        return np.unique(data[name].to_numpy(), return_inverse=True)
    except TypeError:
        raise DataError(
            f"column {name!r} mixes types that have no order: make them all numbers, or all strings."
        ) from None


def is_discrete(column: Any) -> bool:
    """Whether a column has categories, or numbers of few distinct values."""
    return bool(column.dtype.kind not in "iuf" or column.nunique() <= MOST_LEVELS)


def _checked_names(names: Any) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise DataError(f"names must be a list of variables, one for each axis, got {names!r:.80}.")
    listed = tuple(names)
    for name in listed:
        if not isinstance(name, str) or not name or listed.count(name) > 1:
            raise DataError(f"names must be distinct non-empty strings, got {name!r:.80} among them.")
    return listed


def _checked_probabilities(probabilities: Any, names: tuple[str, ...]) -> Array:
    try:
        array = np.array(probabilities, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"probabilities must be an array of numbers: {error!s:.200}.") from error
    if array.ndim != len(names) or 0 in array.shape:
        raise DataError(f"probabilities have shape {array.shape}, expected an axis for each of {list(names)}.")
    if (bad := array[~((array >= 0.0) & (array < np.inf))]).size:
        raise DataError(f"probabilities must be finite and 0 or more, got {bad[0]}.")
    if abs(array.sum() - 1.0) > 1e-6:
        raise DataError(f"the probabilities sum to {array.sum():.6g}, expected 1: divide counts by their total.")
    return array
