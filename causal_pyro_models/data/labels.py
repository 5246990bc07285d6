"""Labels of classes, and the codes that stand for them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from datetime import datetime
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from causal_pyro_models.errors import CausalError, DataError, ModelError, suggestion

Label = str | int | float | bool | datetime
Column = np.ndarray[Any, Any]


def checked_labels(k: int, labels: object) -> tuple[Label, ...]:
    """The labels of ``k`` classes, by default 0 to k-1; ModelError where they are not as many distinct ones."""
    labels = labels or tuple(range(k))
    if not isinstance(labels, tuple | list) or len(labels) != k or not are_distinct(labels):
        raise ModelError(f"a variable of {k} classes needs as many distinct labels, got {labels!r:.200}.")
    return plain(labels)


def are_distinct(labels: Sequence[Any]) -> bool:
    """Whether labels can be told apart."""
    return all(isinstance(label, Hashable) for label in labels) and len(set(labels)) == len(labels)


def plain(labels: Sequence[Any]) -> tuple[Label, ...]:
    """Labels as Python's own strings, numbers and datetimes, which a file can hold."""
    return tuple(_plain(label) for label in labels)


def _plain(label: Any) -> Any:
    if isinstance(label, np.datetime64):
        return label.astype("datetime64[us]").item()
    if isinstance(label, datetime) and hasattr(label, "to_pydatetime"):
        return label.to_pydatetime(warn=False)
    return label.item() if isinstance(label, np.generic) else label


def are_numbers(labels: Sequence[Any]) -> bool:
    """Whether labels are numbers or truth values, so that they have a mean."""
    return all(isinstance(label, Real) for label in labels)


def are_codes(labels: Sequence[Any]) -> bool:
    """Whether labels are the codes that stand for them, so that there is nothing to translate."""
    return are_numbers(labels) and all(label == i for i, label in enumerate(labels))


def as_array(values: Any) -> Column:
    """A column or a single value as an array; numbers among labels stay numbers.

    Raises:
        ValueError: a ragged list.
    """
    array = np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)
    if isinstance(values, list | tuple) and array.dtype.kind in "US":
        array = np.asarray(values, dtype=object)
    return array


def stacked(array: Column, event_shape: tuple[int, ...]) -> Column:
    """A column with a list in every row as an array ``(units, *event)``; any other as it is.

    Raises:
        ValueError: the lists are not alike.
    """
    if not event_shape or array.dtype != object or array.ndim != 1:
        return array
    return np.stack([np.full(event_shape, np.nan) if row is None else np.asarray(row) for row in array])


def missing_in(array: Column) -> Column:
    """Where an array holds NaN, None, NaT or another mark of a missing value."""
    if array.dtype.kind in "biu":
        return np.zeros(array.shape, dtype=bool)
    import pandas as pd

    return np.asarray(pd.isna(array))


def coded(name: str, column: Column, labels: tuple[Label, ...], error: type[CausalError] = DataError) -> Tensor:
    """Labels as their codes, int64, in the shape of the array.

    Args:
        name: the variable.
        column: an array of labels.
        labels: all of them; strings and days name datetimes.
        error: what is raised where a value is none of them.
    """
    index = {label: i for i, label in enumerate(labels)}
    if column.dtype.kind == "M":
        column = column.astype("datetime64[us]")
    values = column.reshape(-1).tolist()
    if all(isinstance(label, datetime) for label in labels):
        values = [_as_datetime(value) for value in values]
    unknown = [value for value in values if not isinstance(value, Hashable) or value not in index]
    if unknown:
        raise unknown_label(name, unknown, labels, error)
    return torch.tensor([index[v] for v in values], dtype=torch.int64).reshape(column.shape)


def unknown_label(
    name: str, unknown: Sequence[Any], labels: Sequence[Label], error: type[CausalError] = DataError
) -> CausalError:
    """The error for values that are none of the labels of a variable."""
    alike = any(str(value) == str(label) for value in unknown for label in labels)  # "1" where the label is 1
    shown = sorted({repr(value) if alike else str(value) for value in unknown})
    hint = suggestion(unknown[0], labels) if isinstance(unknown[0], str) and not alike else ""
    listing = ", ".join(map(repr, labels[:20])) + (", ..." if len(labels) > 20 else "")
    return error(
        f"variable {name!r} has values that are none of its labels [{listing}]: {', '.join(shown[:5]):.200}.{hint} "
        f"Correct them, or declare the variable with all its labels. (A torch.Tensor holds their codes, 0 to "
        f"{len(labels) - 1}.)"
    )


def _as_datetime(value: Any) -> Any:
    """What names a datetime, such as a string or a day, as one; anything else as it is."""
    import pandas as pd

    if isinstance(value, datetime):
        return _plain(value)
    try:
        return value if isinstance(value, Real) else _plain(pd.Timestamp(value))
    except (TypeError, ValueError):
        return value


def decoded(value: Tensor, labels: tuple[Label, ...]) -> Column:
    """Codes as labels."""
    with torch._C.DisableTorchFunctionSubclass():  # of those that know their labels the codes
        index = value.detach().cpu().numpy()
    if not np.isin(index, np.arange(len(labels))).all():
        raise DataError(f"values must be the indices 0 to {len(labels) - 1} of the labels {list(labels)!r}.")
    return _as_column(labels)[index.reshape(-1).astype(np.int64)].reshape(index.shape)


def _as_column(labels: tuple[Label, ...]) -> Column:
    """Labels as an array, of their own type where they share one."""
    kinds = {type(label) for label in labels}
    if kinds == {datetime} and all(label.tzinfo is None for label in labels):  # type: ignore[union-attr]
        return np.array(labels, dtype="datetime64[us]")
    column: Column = np.empty(len(labels), dtype=object)
    column[:] = labels
    return np.array(labels) if len(kinds) == 1 and kinds <= {bool, int, float} else column
