"""The outcome of a test."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from scipy import stats

if TYPE_CHECKING:
    import pandas as pd


class ChiSquared(NamedTuple):
    """The outcome of a test.

    Attributes:
        statistic: chi-squared in large samples if the constraint holds.
        dof: its degrees of freedom; 0 where the data do not bear on the constraint.
        p_value: the probability of a statistic as large.

    Example:
        >>> statistic, dof, p_value = chi_squared(3.84, 1)
        >>> round(p_value, 3)
        0.05
    """

    statistic: float
    dof: int
    p_value: float


class IndependenceTest(Protocol):
    """A test of the conditional independence of columns, such as :func:`g_test`, for :func:`test_graph`.

    Example:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from causal_pyro_models.graph import CausalGraph
        >>> from causal_pyro_models.independence import canonical_correlation_test, test_graph
        >>> def of_ranks(data, xs, ys, given):
        ...     return canonical_correlation_test(data.rank(), xs, ys, given)
        >>> rng = np.random.default_rng(0)
        >>> data = pd.DataFrame({"X": rng.normal(size=300), "Y": rng.standard_cauchy(300)})
        >>> bool(test_graph(CausalGraph(["X", "Y"], []), data, test=of_ranks)["p_value"][0] > 0.05)
        True
    """

    def __call__(
        self, data: "pd.DataFrame", xs: Sequence[str], ys: Sequence[str], given: Sequence[str], /
    ) -> ChiSquared:
        """The test of xs and ys given others."""


def chi_squared(statistic: float, dof: int) -> ChiSquared:
    """The outcome of a statistic that is chi-squared where the constraint holds."""
    return ChiSquared(statistic, dof, float(stats.chi2.sf(statistic, dof)) if dof else 1.0)
