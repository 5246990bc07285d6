"""The G-test of conditional independence of discrete variables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from causal_pyro_models.arrays import Ints
from causal_pyro_models.identification.laws.columns import check_columns
from causal_pyro_models.independence.result import ChiSquared, chi_squared

if TYPE_CHECKING:
    import pandas as pd

SMALL, TINY, MOST_SMALL = 5.0, 1.0, 0.2  # expected counts, of which at most that share is small and none is tiny
PERMUTATIONS, ENOUGH = 1999, 20


def g_test(data: "pd.DataFrame", xs: Sequence[str], ys: Sequence[str], given: Sequence[str] = ()) -> ChiSquared:
    """The likelihood-ratio test of conditional independence of discrete variables, stratum by stratum.

    Where expected counts are small (Cochran's rule: more than a fifth under 5, or one under 1), the p-value is that of
    permutations within the strata, which is exact in tables of any size: 1,999 of them, or as many as it takes until 20
    have a statistic as large. A column of identifiers then says nothing, with a p-value of 1.

    Args:
        data: a row for each unit.
        xs, ys, given: columns.

    Raises:
        DataError: missing values.
        UnknownVariableError: a name that is no column.

    References:
        Agresti (2013), Categorical data analysis, section 3.2; Spirtes, Glymour and Scheines (2000), Causation,
        prediction, and search, section 5.5 (degrees of freedom where cells are empty); Cochran (1954), Some methods for
        strengthening the common chi-squared tests; Besag and Clifford (1991), Sequential Monte Carlo p-values.

    Example:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"X": [0, 0, 1, 1] * 25, "Y": [0, 1, 0, 1] * 25})
        >>> g_test(data, ["X"], ["Y"])
        ChiSquared(statistic=0.0, dof=1, p_value=1.0)
    """
    check_columns(data, [*xs, *ys, *given], least=1)
    x, y, z = (codes(data, names) for names in (xs, ys, given))
    dof, fixed, small, cells, least = 0, 0.0, 0, 0, np.inf
    for stratum in np.unique(z):
        inside = z == stratum
        rows, columns = np.bincount(x[inside]), np.bincount(y[inside])
        rows, columns, size = rows[rows > 0], columns[columns > 0], int(inside.sum())
        fixed += _information(np.array([size])) - _information(rows) - _information(columns)
        if freedom := (len(rows) - 1) * (len(columns) - 1):
            dof += freedom
            cells += len(rows) * len(columns)
            small += _pairs_below(rows, columns, SMALL * size)
            least = min(least, rows.min() * columns.min() / size)
    groups = np.unique(np.stack([z, x]), axis=1, return_inverse=True)[1].ravel()
    statistic = max(2.0 * (_together(groups, y) + fixed), 0.0)
    if dof and (least < TINY or small > MOST_SMALL * cells):
        return ChiSquared(statistic, dof, _permutation_p_value(groups, y, z))
    return chi_squared(statistic, dof)


def _information(counts: Ints) -> float:
    """The sum of n log n."""
    return float((counts * np.log(np.maximum(counts, 1))).sum())


def _together(groups: Ints, y: Ints) -> float:
    """That of the cells that a group and a value of y share."""
    return _information(np.unique(groups * (int(y.max(initial=0)) + 1) + y, return_counts=True)[1])


def _pairs_below(rows: Ints, columns: Ints, bound: float) -> int:
    """How many products of a row's and a column's count are below a bound."""
    return int(np.searchsorted(np.sort(columns), bound / rows, side="left").sum())


def _permutation_p_value(groups: Ints, y: Ints, z: Ints) -> float:
    """The share of permutations of y within the values of z with a statistic as large, this one counted."""
    rng = np.random.default_rng(0)
    order = np.argsort(z, kind="stable")
    groups, y, z = groups[order], y[order], z[order]
    found = _together(groups, y)
    as_large = 0
    for drawn in range(1, PERMUTATIONS + 1):
        shuffled = y[np.lexsort((rng.random(len(z)), z))]
        as_large += _together(groups, shuffled) >= found - 1e-9 * max(found, 1.0)
        if as_large == ENOUGH:
            return ENOUGH / drawn
    return (as_large + 1) / (PERMUTATIONS + 1)


def codes(data: "pd.DataFrame", names: Sequence[str]) -> Ints:
    """One integer for each row: which combination of values it has."""
    if not names:
        return np.zeros(len(data), dtype=np.int64)
    return np.asarray(data.groupby(list(names), observed=True, sort=False).ngroup(), dtype=np.int64)
