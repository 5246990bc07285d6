"""The G-test of conditional independence of discrete variables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from causal_pyro_models.arrays import Ints
from causal_pyro_models.independence.result import ChiSquared, chi_squared

if TYPE_CHECKING:
    import pandas as pd


def g_test(data: "pd.DataFrame", xs: Sequence[str], ys: Sequence[str], given: Sequence[str] = ()) -> ChiSquared:
    """The likelihood-ratio test of conditional independence of discrete variables, stratum by stratum.

    Args:
        data: a row for each unit.
        xs, ys, given: columns.

    References:
        Agresti (2013), Categorical data analysis, section 3.2; Spirtes, Glymour and Scheines (2000), Causation,
        prediction, and search, section 5.5 (degrees of freedom where cells are empty).

    Example:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"X": [0, 0, 1, 1] * 25, "Y": [0, 1, 0, 1] * 25})
        >>> g_test(data, ["X"], ["Y"])
        ChiSquared(statistic=0.0, dof=1, p_value=1.0)
    """
    x, y, z = (codes(data, names) for names in (xs, ys, given))
    statistic, dof = 0.0, 0
    for stratum in np.unique(z):
        inside = z == stratum
        counts = stats.contingency.crosstab(x[inside], y[inside]).count
        expected = np.outer(counts.sum(1), counts.sum(0)) / counts.sum()
        seen = counts > 0
        statistic += 2.0 * float((counts[seen] * np.log(counts[seen] / expected[seen])).sum())
        dof += (counts.shape[0] - 1) * (counts.shape[1] - 1)
    return chi_squared(max(statistic, 0.0), dof)


def codes(data: "pd.DataFrame", names: Sequence[str]) -> Ints:
    """One integer for each row: which combination of values it has."""
    if not names:
        return np.zeros(len(data), dtype=np.int64)
    return np.asarray(data.groupby(list(names), observed=True, sort=False).ngroup(), dtype=np.int64)
