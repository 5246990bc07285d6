"""The outcome of a test."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from scipy import stats

if TYPE_CHECKING:
    import pandas as pd


class ChiSquared(NamedTuple):
    """The outcome of a test.

    Attributes:
        statistic: chi-squared in large samples if the constraint holds.
        dof: its degrees of freedom; 0 where the data do not bear on the constraint.
        p_value: the probability of a statistic as large.
    """

    statistic: float
    dof: int
    p_value: float


IndependenceTest = Callable[["pd.DataFrame", Sequence[str], Sequence[str], Sequence[str]], ChiSquared]
"""(data, xs, ys, given) -> the test of their independence."""


def chi_squared(statistic: float, dof: int) -> ChiSquared:
    return ChiSquared(statistic, dof, float(stats.chi2.sf(statistic, dof)) if dof else 1.0)
