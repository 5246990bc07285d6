"""Tests of a graph against data: of every implied independence and Verma constraint, with multiplicity handled."""

from typing import TYPE_CHECKING, Any

from causal_pyro_models.errors import GraphError
from causal_pyro_models.graph import GraphLike, as_graph
from causal_pyro_models.identification.implications import (
    Independence,
    VermaConstraint,
    local_independences,
    verma_constraints,
)
from causal_pyro_models.identification.laws.columns import check_columns, is_discrete
from causal_pyro_models.independence.correlations import canonical_correlation_test
from causal_pyro_models.independence.frequencies import g_test
from causal_pyro_models.independence.multiplicity import benjamini_hochberg, holm
from causal_pyro_models.independence.result import ChiSquared, IndependenceTest
from causal_pyro_models.independence.verma import verma_test

if TYPE_CHECKING:
    import pandas as pd


def test_graph(graph: GraphLike, data: "pd.DataFrame", *, test: IndependenceTest | None = None) -> "pd.DataFrame":
    """A test of each constraint that the graph implies, in the data.

    Tested are the local conditional independences (from which all others follow) and, where all variables are discrete,
    the Verma constraints. A graph is refuted by a small adjusted p-value; large ones do not prove it. In sparse tables
    p-values are those of permutations and resamples, so that they keep their level.

    Args:
        graph: over columns of the data.
        data: a row for each independent unit.
        test: of conditional independence; by default :func:`g_test` where all variables are discrete, otherwise
            :func:`canonical_correlation_test`.

    Returns:
        A row for each constraint, with its ``statistic``, degrees of freedom ``dof``, ``p_value``, and the p-value
        adjusted for the number of tests: ``p_holm`` controls the probability of any false rejection, ``p_bh`` the
        expected share of false ones among the rejections.

    Raises:
        GraphError: the graph implies nothing that these data could refute.
        UnknownVariableError: a variable of the graph that is no column.
        DataError: missing values, or too few rows.

    References:
        Holm (1979), A simple sequentially rejective multiple test procedure; Benjamini and Hochberg (1995), Controlling
        the false discovery rate.

    Example:
        >>> import numpy as np
        >>> import pandas as pd
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=500)
        >>> m = x + rng.normal(size=500)
        >>> data = pd.DataFrame({"X": x, "M": m, "Y": m - x + rng.normal(size=500)})
        >>> table = test_graph("X -> M -> Y", data)
        >>> table["constraint"].tolist(), bool(table["p_holm"][0] < 0.001)
        (['Y ⊥ X | M'], True)
    """
    import pandas as pd

    graph = as_graph(graph)
    check_columns(data, graph.variables)
    discrete = all(is_discrete(data[name]) for name in graph.variables)
    check = test or (g_test if discrete else canonical_correlation_test)
    rows = [_row(i, "independence", _independence(check, data, i)) for i in local_independences(graph)]
    if discrete:
        rows += [_row(c, "Verma", verma_test(data, c)) for c in verma_constraints(graph)]
    if not rows:
        raise GraphError("the graph implies no constraint that these data could refute: it leaves all dependent.")
    table = pd.DataFrame(rows)
    return table.assign(p_holm=holm(table["p_value"]), p_bh=benjamini_hochberg(table["p_value"]))


test_graph.__test__ = False  # type: ignore[attr-defined] # no test of pytest's


def _row(constraint: Independence | VermaConstraint, kind: str, result: ChiSquared) -> dict[str, Any]:
    return {"constraint": str(constraint), "kind": kind, **result._asdict()}


def _independence(check: IndependenceTest, data: "pd.DataFrame", i: Independence) -> ChiSquared:
    return check(data, sorted(i.xs), sorted(i.ys), sorted(i.given))
