"""Kinds of variables: what values they take, how data become tensors, and what a child sees of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Number
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from causal_pyro_models.errors import DataError, ModelError, unknown_variable

if TYPE_CHECKING:
    import pandas as pd

Label = str | int | float | bool
Column = np.ndarray[Any, Any]

MAX_INTEGER_LABELS = 10  # a column of integers with more distinct values than this is read as continuous


@dataclass(frozen=True)
class Continuous:
    """A real number per unit."""

    width = 1  # number of features that a child sees

    def features(self, name: str, value: Tensor) -> Tensor:
        """The value as a single feature, ``(..., 1)``."""
        return value.unsqueeze(-1)

    def encode(self, name: str, column: Column) -> Tensor:
        """A column of data as values, float64."""
        if np.iscomplexobj(column):
            raise DataError(f"column {name!r} holds complex numbers: give its real and imaginary part a column each.")
        try:
            numeric = column.dtype.kind in "biuf"
            if not numeric and (column.dtype.kind in "mM" or not all(isinstance(v, Number) for v in column)):
                raise TypeError(f"they are of type {column.dtype}")
            values = torch.as_tensor(column.astype(np.float64))
        except (TypeError, ValueError) as error:
            raise DataError(
                f"column {name!r} is declared Continuous but holds values that are not numbers ({error}). "
                f"Convert them, or declare the variable Categorical with its labels."
            ) from error
        _check_finite(name, values.numpy())
        return values


@dataclass(frozen=True)
class Binary:
    """Zero or one per unit, as a float.

    Args:
        labels: what the data call zero and one; by default 0 and 1, or False and True.

    Raises:
        ModelError: there are not two distinct labels.
    """

    labels: tuple[Label, ...] = (0, 1)

    width = 1

    def __post_init__(self) -> None:
        if not isinstance(self.labels, tuple | list) or len(self.labels) != 2 or not _distinct(self.labels):
            raise ModelError(f"a binary variable needs two distinct labels, such as (0, 1), got {self.labels!r}.")
        object.__setattr__(self, "labels", _plain(self.labels))

    def features(self, name: str, value: Tensor) -> Tensor:
        """The value as a single feature, ``(..., 1)``.

        Raises:
            ModelError: a value is neither 0 nor 1.
        """
        if not bool(((value == 0) | (value == 1)).all()):
            raise ModelError(f"variable {name!r} was given a value that is neither 0 nor 1.")
        return value.unsqueeze(-1)

    def encode(self, name: str, column: Column) -> Tensor:
        """A column of labels as zeros and ones, float64."""
        return _indices(name, column, self.labels).double()


@dataclass(frozen=True)
class Categorical:
    """One of ``k`` classes per unit; its values are the class indices 0 to k-1.

    Args:
        k: number of classes, at least 2.
        labels: what the data call the classes, in the order of their indices; by default the indices themselves.

    Raises:
        ModelError: ``k`` is below 2, or there are not ``k`` distinct labels.
    """

    k: int
    labels: tuple[Label, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, Integral) or self.k < 2:
            raise ModelError(f"a categorical variable needs k >= 2 classes, got {self.k!r}.")
        object.__setattr__(self, "k", int(self.k))
        if not self.labels:
            object.__setattr__(self, "labels", tuple(range(self.k)))
        if not isinstance(self.labels, tuple | list) or len(self.labels) != self.k or not _distinct(self.labels):
            raise ModelError(f"a variable of {self.k} classes needs as many distinct labels, got {self.labels!r}.")
        object.__setattr__(self, "labels", _plain(self.labels))

    @property
    def width(self) -> int:
        """Number of features that a child sees."""
        return self.k

    def features(self, name: str, value: Tensor) -> Tensor:
        """The value as a one-hot vector, ``(..., k)``.

        Raises:
            ModelError: a value is no class index.
        """
        hot = value.unsqueeze(-1) == torch.arange(self.k, device=value.device)
        if not bool(hot.any(-1).all()):
            raise ModelError(f"variable {name!r} was given a value that is none of its classes 0 to {self.k - 1}.")
        return hot

    def encode(self, name: str, column: Column) -> Tensor:
        """A column of labels as class indices, int64."""
        return _indices(name, column, self.labels)


Variable = Continuous | Binary | Categorical


def _distinct(labels: tuple[Label, ...]) -> bool:
    return all(isinstance(label, Hashable) for label in labels) and len(set(labels)) == len(labels)


def _plain(labels: Sequence[Any]) -> tuple[Label, ...]:
    """Labels as Python's own strings and numbers, which a file can hold."""
    return tuple(label.item() if isinstance(label, np.generic) else label for label in labels)


def _check_finite(name: str, values: Column) -> None:
    if infinite := int(np.isinf(values).sum()):
        raise DataError(f"column {name!r} has {infinite} infinite values. Remove or correct these rows.")


def _indices(name: str, column: Column, labels: tuple[Label, ...]) -> Tensor:
    index = {label: i for i, label in enumerate(labels)}
    values = column.tolist()
    if unknown := sorted({str(v) for v in values if not isinstance(v, Hashable) or v not in index}):
        raise DataError(
            f"column {name!r} has values that are none of its labels {list(labels)!r}: {', '.join(unknown[:5])}. "
            f"Correct these rows, or declare the variable with all its labels."
        )
    return torch.tensor([index[v] for v in values], dtype=torch.int64)


def as_values(data: Mapping[str, Any] | pd.DataFrame, variables: Mapping[str, Variable]) -> dict[str, Tensor]:
    """The values of the variables in a table, checked: ``(units,)`` each, float64, class indices int64.

    Args:
        data: a DataFrame, or a mapping from names to one-dimensional arrays, tensors or lists of equal length. Columns
            that are no variables are left out.
        variables: what the columns are.

    Raises:
        DataError: the table is no table, is empty or ragged, or a column has missing, infinite or unknown values.
        UnknownVariableError: a variable has no column.

    Example:
        >>> as_values({"X": [0.5, 1.5], "Y": ["b", "a"]}, {"X": Continuous(), "Y": Categorical(2, ("a", "b"))})
        {'X': tensor([0.5000, 1.5000], dtype=torch.float64), 'Y': tensor([1, 0])}
    """
    if not isinstance(data, Mapping) and not hasattr(data, "columns"):
        raise DataError(f"expected a DataFrame or a mapping from names to arrays, got {type(data).__name__}.")
    columns = list(data) if isinstance(data, Mapping) else list(data.columns)
    values = {}
    for name, variable in variables.items():
        if name not in columns:
            raise unknown_variable(name, columns, "column")
        values[name] = variable.encode(name, _column(name, data[name]))
    sizes = {name: len(value) for name, value in values.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(f"the columns differ in length: {sizes}.")
    if 0 in sizes.values():
        raise DataError("the data have no rows.")
    return values


def _column(name: str, column: Any) -> Column:
    import pandas as pd

    if isinstance(column, Tensor):
        column = column.detach().cpu()
    try:
        array = np.asarray(column)
    except ValueError as error:
        raise DataError(f"column {name!r} is no array of numbers or labels: {error}.") from error
    if array.ndim != 1:
        raise DataError(f"column {name!r} must hold one number or label per unit, got shape {array.shape}.")
    missing = pd.isna(array)
    if isinstance(column, np.ma.MaskedArray):
        missing |= np.ma.getmaskarray(column)
    if count := int(missing.sum()):
        raise DataError(
            f"column {name!r} has {count} missing values, the first in row {int(missing.argmax())}. "
            f"Drop these rows or impute them first."
        )
    return array


def infer_variables(data: pd.DataFrame) -> dict[str, Variable]:
    """What kind of variable each column of a table looks like.

    Numbers with a fraction are continuous; booleans, and any column of two labels or integers, binary; strings, pandas
    categoricals and integers of at most ten distinct values categorical; other integers continuous.

    Args:
        data: the table.

    Raises:
        DataError: there are no rows or columns, or a column is constant, has missing or infinite values, or has a type
            that is none of these.

    Example:
        >>> import pandas as pd
        >>> infer_variables(pd.DataFrame({"dose": [0.1, 0.7, 0.3], "arm": ["b", "a", "b"], "sick": [0, 1, 1]}))
        {'dose': Continuous(), 'arm': Binary(labels=('a', 'b')), 'sick': Binary(labels=(0, 1))}
    """
    if not hasattr(data, "columns"):
        raise DataError(f"expected a DataFrame, got {type(data).__name__}.")
    if 0 in data.shape:
        raise DataError(f"the data have {data.shape[0]} rows and {data.shape[1]} columns: there must be some of both.")
    for name, again in zip(data.columns, data.columns.duplicated(), strict=True):
        if again:
            raise DataError(f"the data have the column {name!r} twice: drop one.")
    return {str(name): _infer(str(name), data[name]) for name in data.columns}


def _infer(name: str, column: pd.Series) -> Variable:
    import pandas as pd

    array = _column(name, column)
    kind = pd.api.types
    if kind.is_float_dtype(column.dtype):
        _check_finite(name, array)
    if kind.is_float_dtype(column.dtype) and not set(np.unique(array)) <= {0.0, 1.0}:
        return Continuous()
    if isinstance(column.dtype, pd.CategoricalDtype):
        labels = tuple(column.cat.categories.tolist())
    elif not kind.is_complex_dtype(column.dtype) and (
        kind.is_numeric_dtype(column.dtype)
        or any(all(isinstance(value, label) for value in array) for label in (str, bool | np.bool_))
    ):
        labels = tuple(np.unique(array).tolist())
    else:
        raise DataError(f"column {name!r} has type {column.dtype}: convert it to numbers, strings or a categorical.")
    if len(labels) < 2:
        raise DataError(f"column {name!r} is constant ({labels[0]!r}): leave it out.")
    if len(labels) == 2:
        return Binary(labels)
    if kind.is_numeric_dtype(column.dtype) and len(labels) > MAX_INTEGER_LABELS:
        return Continuous()
    return Categorical(len(labels), labels)
