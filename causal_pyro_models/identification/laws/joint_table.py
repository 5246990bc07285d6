"""Joint distributions of finite variables as arrays."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from causal_pyro_models.arrays import Array
from causal_pyro_models.errors import DataError, unknown_variable
from causal_pyro_models.identification.laws.columns import check_columns, is_dataframe, levels

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

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
        self, names: Sequence[str], probabilities: "ArrayLike", states: Mapping[str, Sequence[Any]] | None = None
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
    def from_dataframe(cls, data: "pd.DataFrame", names: Sequence[str] | None = None) -> "JointTable":
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
        check_columns(data, columns, least=1)
        codes, states = [], {}
        for name in columns:
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


@runtime_checkable
class Tabulated(Protocol):
    """A joint law of finitely many states that can be written as a table, such as a law of the zoo."""

    def to_table(self) -> JointTable:
        """The law as a table."""


Joint: TypeAlias = "JointTable | Tabulated | pd.DataFrame"
"""A joint law of finite variables: a table, what can be written as one, or data, for their frequencies."""


def as_table(source: Joint, names: Iterable[str] | None = None) -> JointTable:
    """A joint table from one, from the frequencies of a DataFrame, or from a law of the zoo."""
    wanted = None if names is None else list(names)
    if isinstance(source, JointTable):
        table = source
    elif isinstance(source, Tabulated):
        table = source.to_table()
    elif is_dataframe(source):
        table = JointTable.from_dataframe(source, wanted)
    else:
        raise DataError(
            f"expected a JointTable, a DataFrame or a law of the zoo, got {type(source).__name__}. Write "
            f"JointTable(['X', 'Y'], probabilities), with an axis for each variable."
        )
    for name in wanted or ():
        if name not in table.names:
            raise unknown_variable(name, table.names)
    return table


def _checked_names(names: object) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise DataError(f"names must be a list of variables, one for each axis, got {names!r:.80}.")
    listed = tuple(names)
    for name in listed:
        if not isinstance(name, str) or not name or listed.count(name) > 1:
            raise DataError(f"names must be distinct non-empty strings, got {name!r:.80} among them.")
    return listed


def _checked_probabilities(probabilities: "ArrayLike", names: tuple[str, ...]) -> Array:
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
