"""Tables of data: DataFrames of any library and mappings of arrays, column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any

import numpy as np
from torch import Tensor

from causal_pyro_models.data.labels import Column, as_array, missing_in
from causal_pyro_models.data.variables import Binary, Categorical, Continuous, Ordinal, Variable
from causal_pyro_models.errors import DataError, unknown_variable

MAX_INTEGER_LABELS = 10  # a column of integers with more distinct values than this is read as continuous


def as_values(data: Any, variables: Mapping[str, Variable]) -> dict[str, Tensor]:
    """The values of the variables in a complete table, checked: ``(units, *event)`` each, float64, indices int64.

    Args:
        data: a DataFrame (pandas, polars or another that narwhals reads), or a mapping from names to arrays, tensors or
            lists ``(units, *event)``. Columns that are no variables are left out.
        variables: what the columns are.

    Raises:
        DataError: the table is no table, is empty or ragged, or a column has missing, infinite or unknown values.
        UnknownVariableError: a variable has no column.

    Example:
        >>> as_values({"X": [0.5, 1.5], "Y": ["b", "a"]}, {"X": Continuous(), "Y": Categorical(2, ("a", "b"))})
        {'X': tensor([0.5000, 1.5000], dtype=torch.float64), 'Y': tensor([1, 0])}
    """
    columns = as_columns(data)
    values = {}
    for name, variable in variables.items():
        column, missing = read(name, columns, variable.event_shape)
        if count := int(missing.sum()):
            raise DataError(
                f"column {name!r} has {count} missing values, the first in row {int(missing.argmax())}. "
                f"Drop these rows or impute them first."
            )
        values[name] = variable.encode(name, column)
    check_lengths(values)
    return values


def as_columns(data: Any) -> dict[str, Any]:
    """The columns of a table by name.

    Raises:
        DataError: it is no table, or has a column twice.
    """
    import narwhals as nw

    if isinstance(data, Mapping):
        return dict(data)
    try:
        frame = nw.from_native(data, eager_only=True)
        names = frame.columns
    except nw.exceptions.DuplicateError:
        again = data.columns[data.columns.duplicated()][0]
        raise DataError(f"the data have the column {again!r} twice: drop one.") from None
    except TypeError:
        raise DataError(
            f"expected a DataFrame or a mapping from names to arrays (or, to train on, a list of such tables), got "
            f"{type(data).__name__}. A lazy frame must be collected first."
        ) from None
    return {name: frame[name] for name in names}


def read(name: str, columns: Mapping[str, Any], event_shape: tuple[int, ...] = ()) -> tuple[Column, Column]:
    """A column as an array ``(units, *event)``, and which units miss their value ``(units,)``.

    Raises:
        DataError: the column is no array of this shape.
        UnknownVariableError: there is no such column.
    """
    if name not in columns:
        raise unknown_variable(name, columns, "column")
    column = columns[name]
    if isinstance(column, Tensor):
        column = column.detach().cpu()
    try:
        array = as_array(column)
        if event_shape and array.dtype == object and array.ndim == 1:  # a list in every row
            array = np.stack([np.full(event_shape, np.nan) if row is None else np.asarray(row) for row in array])
    except ValueError as error:
        raise DataError(f"column {name!r} is no array of numbers or labels: {error}.") from error
    if array.ndim == 0 or array.shape[1:] != event_shape:
        one = f"an array {event_shape} for each unit" if event_shape else "one number or label per unit"
        raise DataError(f"column {name!r} must hold {one}, got shape {array.shape}.")
    missing = missing_in(array)
    if isinstance(column, np.ma.MaskedArray):
        missing |= np.ma.getmaskarray(column)
    return array, np.asarray(missing.any(tuple(range(1, missing.ndim))))


def check_lengths(values: Mapping[str, Sized]) -> None:
    """Refuse columns of different lengths, or of none."""
    sizes = {name: len(value) for name, value in values.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(f"the columns differ in length: {sizes}.")
    if 0 in sizes.values():
        raise DataError("the data have no rows.")


def infer_variables(data: Any) -> dict[str, Variable]:
    """What kind of variable each column of a table looks like.

    Numbers with a fraction are continuous; booleans, and any column of two labels or integers, binary; ordered
    categoricals (and polars enums) ordinal; strings, other categoricals and integers of at most ten distinct values
    categorical; other integers continuous. Labels are stored with the kind, so that values come back as labels. Missing
    values say nothing of a kind and are passed over.

    Args:
        data: the table, of pandas, polars or another library that narwhals reads.

    Raises:
        DataError: there are no rows or columns, or a column is constant, has no or infinite values, or has a type that
            is none of these.

    Example:
        >>> import pandas as pd
        >>> infer_variables(pd.DataFrame({"dose": [0.1, 0.7, 0.3], "arm": ["b", "a", "b"], "sick": [0, 1, 1]}))
        {'dose': Continuous(dim=1), 'arm': Binary(labels=('a', 'b')), 'sick': Binary(labels=(0, 1))}
    """
    if isinstance(data, Mapping):
        raise DataError(f"expected a DataFrame, got {type(data).__name__}: make one of it, such as pd.DataFrame(data).")
    columns = as_columns(data)
    rows = len(next(iter(columns.values()))) if columns else 0
    if not rows:
        raise DataError(f"the data have {rows} rows and {len(columns)} columns: there must be some of both.")
    return {str(name): _infer(str(name), column) for name, column in columns.items()}


def _infer(name: str, column: Any) -> Variable:
    """The kind of a column, a narwhals series."""
    array, missing = read(name, {name: column})
    present, kind = array[~missing], column.dtype
    if not len(present):
        raise DataError(f"column {name!r} has no values: leave it out.")
    if kind.is_float() or (kind.is_integer() and missing.any()):
        present = present.astype(np.float64)
        if infinite := int(np.isinf(present).sum()):
            raise DataError(f"column {name!r} has {infinite} infinite values. Remove or correct these rows.")
    labels, ordered = _levels(name, column, present)
    if len(labels) < 2:
        raise DataError(f"column {name!r} is constant ({labels[0]!r}): leave it out.")
    if kind.is_float() and not set(labels) <= {0.0, 1.0}:
        return Continuous()
    if len(labels) == 2:
        return Binary(labels)
    if kind.is_integer() and len(labels) > MAX_INTEGER_LABELS:
        return Continuous()
    return (Ordinal if ordered else Categorical)(len(labels), labels)


def _levels(name: str, column: Any, present: Column) -> tuple[tuple[Any, ...], bool]:
    """The labels of a column, the declared ones where it is a categorical, and whether they are ordered."""
    import narwhals as nw

    declared = getattr(getattr(column.to_native(), "cat", None), "categories", None)  # pandas
    if declared is not None:
        return tuple(declared.tolist()), bool(column.to_native().cat.ordered)
    if isinstance(column.dtype, nw.Enum):
        return tuple(column.dtype.categories), True
    alike = any(all(isinstance(value, label) for value in present) for label in (str, bool | np.bool_))
    if column.dtype.is_numeric() or alike:
        return tuple(np.unique(present).tolist()), False
    raise DataError(
        f"column {name!r} has type {column.to_native().dtype}: convert it to numbers, strings or a categorical."
    )
