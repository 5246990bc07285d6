"""Tables of data: DataFrames of any library and mappings of arrays, column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from causal_pyro_models.data.coded import Coded
from causal_pyro_models.data.labels import Column, are_codes, as_array, missing_in, stacked
from causal_pyro_models.data.variables import (
    Binary,
    Categorical,
    Continuous,
    Count,
    Labelled,
    Ordinal,
    Variable,
    as_variable,
)
from causal_pyro_models.errors import DataError, unknown_variable


def as_values(data: Any, variables: Mapping[str, Variable]) -> dict[str, Tensor]:
    """The values of the variables in a complete table, checked: ``(units, *event)`` each, float64, indices int64.

    Args:
        data: a DataFrame (pandas, polars or another that narwhals reads), or a mapping from names to arrays, lists or
            tensors (of codes, where there are labels) ``(units, *event)``. Columns that are no variables are left out.
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
        column, missing = read_variable(name, columns, variable)
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
        array = stacked(as_array(column), event_shape)
    except ValueError as error:
        raise DataError(f"column {name!r} is no array of numbers or labels: {error}.") from error
    if array.ndim == 0 or array.shape[1:] != event_shape:
        one = f"an array {event_shape} for each unit" if event_shape else "one number or label per unit"
        raise DataError(f"column {name!r} must hold {one}, got shape {array.shape}.")
    missing = missing_in(array)
    if isinstance(column, np.ma.MaskedArray):
        missing |= np.ma.getmaskarray(column)
    return array, np.asarray(missing.any(tuple(range(1, missing.ndim))))


def read_variable(name: str, columns: Mapping[str, Any], variable: Variable) -> tuple[Column, Column]:
    """:func:`read` of a variable: a tensor holds codes of its labels, which come as labels."""
    array, missing = read(name, columns, variable.event_shape)
    if not isinstance(columns[name], Tensor) or isinstance(columns[name], Coded):
        return array, missing
    if isinstance(variable, Labelled) and not are_codes(variable.labels):
        labels = np.full(array.shape, None, dtype=object)
        labels[~missing] = variable.decode(torch.as_tensor(array[~missing]))
        return labels, missing
    return array, missing


def check_lengths(values: Mapping[str, Sized]) -> None:
    """Refuse columns of different lengths, or of none."""
    sizes = {name: len(value) for name, value in values.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(f"the columns differ in length: {sizes}.")
    if 0 in sizes.values():
        raise DataError("the data have no rows.")


class Kinds(dict[str, Variable]):
    """The kinds of the columns of a table, printed with what speaks for each."""

    def __init__(self, kinds: Mapping[str, Variable], reasons: Mapping[str, str]) -> None:
        super().__init__(kinds)
        self.reasons = dict(reasons)

    def __repr__(self) -> str:
        rows = [(name, f"{kind!r:.60}", self.reasons.get(name, "as given")) for name, kind in self.items()]
        first, second = (max((len(row[i]) for row in rows), default=0) for i in (0, 1))
        return "\n".join(f"{name:{first}}  {kind:{second}}  {reason}" for name, kind, reason in rows)


def infer_variables(data: Any, kinds: Mapping[str, Variable | type[Labelled] | int] | None = None) -> Kinds:
    """What kind of variable each column of a table looks like.

    - truth values, 0 and 1, any two labels or whole numbers: ``Binary``;
    - whole numbers from 0 up, however many: ``Count``;
    - other numbers: ``Continuous``;
    - strings and unordered categories: ``Categorical``;
    - ordered categories (and polars enums): ``Ordinal``.

    Labels are stored with the kind, so that values come back as labels. Missing values say nothing of a kind and are
    passed over; whole numbers that are floats because some are missing count as whole numbers. The result is a dict,
    and printed as a table with what speaks for each kind.

    Args:
        data: the table, of pandas, polars or another library that narwhals reads.
        kinds: what some columns are, where that is something else: a kind, or ``Categorical``, ``Ordinal`` or
            ``Binary`` itself, whose labels are then those of the column, in their order.

    Raises:
        DataError: there are no rows or columns, or a column is constant, has no or infinite values, or has a type that
            is none of these, such as that of datetimes.
        UnknownVariableError: a kind is given for something that is no column.

    Example:
        >>> import pandas as pd
        >>> columns = {"dose": [0.1, 0.7, 0.3], "arm": ["b", "a", "b"], "sick": [0, 1, 1], "site": [1, 2, 3]}
        >>> table = pd.DataFrame(columns)
        >>> infer_variables(table)
        dose  Continuous(dim=1)          numbers with a fraction
        arm   Binary(labels=('a', 'b'))  two strings
        sick  Binary(labels=(0, 1))      two whole numbers
        site  Count()                    whole numbers from 0 up
        >>> infer_variables(table, kinds={"site": Categorical})["site"]
        Categorical(k=3, labels=(1, 2, 3))
    """
    if isinstance(data, Mapping):
        raise DataError(f"expected a DataFrame, got {type(data).__name__}: make one of it, such as pd.DataFrame(data).")
    columns = {str(name): column for name, column in as_columns(data).items()}
    rows = len(next(iter(columns.values()))) if columns else 0
    if not rows:
        raise DataError(f"the data have {rows} rows and {len(columns)} columns: there must be some of both.")
    found, reasons = {}, {}
    for name in kinds or {}:
        if name not in columns:
            raise unknown_variable(name, columns, "column")
    for name, column in columns.items():
        given = (kinds or {}).get(name)
        if given is None:
            found[name], reasons[name] = _infer(name, column)
        else:
            found[name], reasons[name] = _as_given(name, column, given), "as given"
    return Kinds(found, reasons)


def _as_given(name: str, column: Any, given: Any) -> Variable:
    """The kind that a column is said to be, its labels read off the column where they are not."""
    if given not in (Binary, Categorical, Ordinal):
        return as_variable(name, given)
    array, missing = read(name, {name: column})
    labels, _ = _levels(name, column, array[~missing], dates=True)
    if len(labels) < 2:
        raise DataError(f"column {name!r} is constant ({labels!r:.80}): leave it out.")
    return Binary(labels) if given is Binary else cast(Variable, given(len(labels), labels))


def _infer(name: str, column: Any) -> tuple[Variable, str]:
    """The kind of a column, a narwhals series, and what speaks for it."""
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
    whole = kind.is_integer() or (kind.is_float() and missing.any() and all(x == round(x) for x in labels))
    if kind.is_float() and not whole and not set(labels) <= {0.0, 1.0}:
        return Continuous(), "numbers with a fraction"
    if ordered or _categories(column) is not None:
        what = f"{'ordered' if ordered else 'unordered'} categories"
    elif kind.is_numeric():
        what = "whole numbers"
    else:
        what = "strings" if isinstance(labels[0], str) else "truth values"
    if len(labels) == 2:
        return Binary(labels), f"two {what}"
    if what == "whole numbers":
        return (Count(), "whole numbers from 0 up") if labels[0] >= 0 else (Continuous(), "negative whole numbers")
    return (Ordinal if ordered else Categorical)(len(labels), labels), what


def _categories(column: Any) -> Any:
    """The declared categories of a pandas column; None where it is no categorical."""
    return getattr(getattr(column.to_native(), "cat", None), "categories", None)


def _levels(name: str, column: Any, present: Column, dates: bool = False) -> tuple[tuple[Any, ...], bool]:
    """The labels of a column, the declared ones where it is a categorical, and whether they are ordered.

    Args:
        name: the column.
        column: a narwhals series.
        present: its values.
        dates: whether datetimes are labels.
    """
    import narwhals as nw

    if (declared := _categories(column)) is not None:
        return tuple(declared.tolist()), bool(column.to_native().cat.ordered)
    if isinstance(column.dtype, nw.Enum):
        return tuple(column.dtype.categories), True
    alike = any(all(isinstance(value, label) for value in present) for label in (str, bool | np.bool_))
    if column.dtype.is_numeric() or alike:
        return tuple(np.unique(present).tolist()), False
    if dates and column.dtype.is_temporal():
        return tuple(np.unique(present)), False
    raise DataError(
        f"column {name!r} has type {column.to_native().dtype}: convert it to numbers, strings or a categorical, or say "
        f"what it is, such as infer_variables(data, kinds={{{name!r}: Ordinal}})."
    )
