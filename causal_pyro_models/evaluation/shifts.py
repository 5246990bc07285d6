"""Predicted effects of interventions against those that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from causal_pyro_models.errors import DataError, QueryError

if TYPE_CHECKING:
    import pandas as pd


def shifts(treated: pd.DataFrame, untreated: pd.DataFrame) -> pd.DataFrame:
    """How far the mean of each variable moves, in standard deviations of the untreated units.

    Args:
        treated, untreated: a row per unit, the same columns of numbers.

    Returns:
        Columns ``shift`` and ``standard_error``, a row per variable.

    Raises:
        DataError: fewer than two units in either table, columns that differ, values that are missing or no numbers, or
            a variable that is constant in the untreated units.

    Example:
        >>> import pandas as pd
        >>> shifts(pd.DataFrame({"X": [2.0, 4.0]}), pd.DataFrame({"X": [0.0, 2.0]})).round(3)
           shift  standard_error
        X  1.414             1.0
    """
    import pandas as pd

    for what, frame in (("treated", treated), ("untreated", untreated)):
        if not isinstance(frame, pd.DataFrame):
            raise DataError(f"{what} must be a DataFrame, got {type(frame).__name__}.")
        wrong = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name]) or frame[name].isna().any()]
        if wrong:
            raise DataError(f"{what} has values in {wrong} that are missing or no numbers: drop them.")
    if unlike := treated.columns.symmetric_difference(untreated.columns).tolist():
        raise DataError(f"only one of the tables has the columns {unlike}: drop or add them.")
    if min(len(treated), len(untreated)) < 2:
        raise DataError(f"a shift needs at least 2 units on each side, got {len(treated)} and {len(untreated)}.")
    sd = untreated.std()
    if constant := sd.index[sd == 0].tolist():
        raise DataError(f"{constant} are constant in the untreated units, so shifts have no scale: leave them out.")
    error = (treated.var() / len(treated) + untreated.var() / len(untreated)) ** 0.5
    return pd.DataFrame({"shift": (treated.mean() - untreated.mean()) / sd, "standard_error": error / sd})


@dataclass(frozen=True)
class ShiftAgreement:
    """How predicted shifts compare with measured ones.

    Attributes:
        count: the number of shifts.
        error: root mean square of predicted minus measured.
        no_effect_error: the same for the prediction that nothing moves.
        judged: how many shifts were large enough, predicted and measured, to have a direction.
        same_sign: how many of these point the same way.

    Example:
        >>> ShiftAgreement(count=3, error=0.4, no_effect_error=1.1, judged=2, same_sign=2).same_sign
        2
    """

    count: int
    error: float
    no_effect_error: float
    judged: int
    same_sign: int


def agreement(predicted: Sequence[float], measured: Sequence[float], least: float = 0.1) -> ShiftAgreement:
    """Compare predicted shifts with measured ones.

    Args:
        predicted, measured: shifts in standard deviations, ``(n,)``.
        least: shifts smaller than this have no direction; nor has a shift of zero.

    Raises:
        DataError: nothing to compare, sequences of different length, or values that are not finite.
        QueryError: least is negative.

    Example:
        >>> agreement([1.0, -1.0, 0.0], [0.5, 1.0, 2.0])
        ShiftAgreement(count=3, error=1.65..., no_effect_error=1.32..., judged=2, same_sign=1)
    """
    try:
        a, b = np.asarray(predicted, dtype=float), np.asarray(measured, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(f"shifts must be numbers: {error}.") from error
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise DataError("there are shifts that are NaN or infinite: leave them out, on both sides.")
    if not isinstance(least, Real) or not least >= 0:
        raise QueryError(f"least must be a number from 0, got {least!r:.80}.")
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise DataError(f"expected as many predicted shifts as measured ones, got shapes {a.shape} and {b.shape}.")
    clear = (np.abs(a) >= least) & (np.abs(b) >= least) & (a != 0) & (b != 0)
    return ShiftAgreement(
        len(a),
        float(np.sqrt(np.mean((a - b) ** 2))),
        float(np.sqrt(np.mean(b**2))),
        int(clear.sum()),
        int((clear & (np.sign(a) == np.sign(b))).sum()),
    )
