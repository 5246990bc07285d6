"""Columns of a DataFrame as variables: checked, and their levels."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from causal_pyro_models.arrays import Ints
from causal_pyro_models.errors import DataError, unknown_variable

if TYPE_CHECKING:
    import pandas as pd

MOST_LEVELS = 10
"""A column of numbers with more distinct values is taken as continuous."""


def check_columns(data: "pd.DataFrame", names: Iterable[str], least: int = 2) -> None:
    """Refuse what is no DataFrame, has fewer rows than ``least``, or lacks a column or a value in one.

    Raises:
        DataError: missing or infinite values, or too few rows.
        UnknownVariableError: a name that is no column.
    """
    if not is_dataframe(data):
        raise DataError(f"expected a DataFrame with a row for each unit, got {type(data).__name__}.")
    for name in names:
        if name not in data.columns:
            raise unknown_variable(name, data.columns, "column")
        if data[name].isna().any():
            raise DataError(f"column {name!r} has missing values: drop or impute these rows first.")
        if data[name].dtype.kind == "f" and not np.isfinite(data[name].to_numpy()).all():
            raise DataError(f"column {name!r} has infinite values: drop these rows first.")
    if len(data) < least:
        raise DataError(f"the data have {len(data)} rows, expected at least {least}.")


def is_dataframe(data: object) -> "TypeGuard[pd.DataFrame]":
    """Whether something is a DataFrame of pandas."""
    return hasattr(data, "columns") and hasattr(data, "isna")


def levels(data: "pd.DataFrame", name: str) -> tuple[np.ndarray[Any, Any], Ints]:
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


def is_discrete(column: "pd.Series[Any]") -> bool:
    """Whether a column has categories, or numbers of few distinct values."""
    return bool(column.dtype.kind not in "iuf" or column.nunique() <= MOST_LEVELS)
