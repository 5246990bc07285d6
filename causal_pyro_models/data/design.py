"""Columns of a table as the numbers of a regression."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def design(columns: Sequence[tuple[str, Any]], levels: Mapping[str, Any], rows: int) -> NDArray[np.float64]:
    """Columns as features ``(rows, k)``: those with levels by an indicator for each level but one, others as they are.

    Args:
        columns: name and values ``(rows,)`` of each; a name may come twice.
        levels: the levels of columns that are no numbers, or whose numbers are names.
        rows: the number of rows.

    Example:
        >>> design([("dose", np.array([1, 3])), ("arm", np.array(["b", "a"]))], {"arm": np.array(["a", "b"])}, 2)
        array([[1., 1.],
               [3., 0.]])
    """
    parts = [np.zeros((rows, 0))]
    for name, values in columns:
        column = np.asarray(values)[:, None]
        parts.append(column == levels[name][1:] if name in levels else column.astype(np.float64))
    return np.hstack(parts).astype(np.float64)


def labelled(levels: Mapping[str, Any]) -> dict[str, Any]:
    """Of the levels of some columns, those that are no numbers."""
    return {name: values for name, values in levels.items() if np.asarray(values).dtype.kind not in "iufb"}
