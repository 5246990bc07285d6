"""Tests of a graph against data: of every implied independence and Verma constraint, with multiplicity handled."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import stats

from causal_pyro_models.errors import DataError, GraphError, unknown_variable
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification.implications import (
    Independence,
    VermaConstraint,
    local_independences,
    verma_constraints,
)
from causal_pyro_models.identification.joint import Array, JointTable, is_discrete, levels
from causal_pyro_models.identification.tables import Tabulator

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


def test_graph(graph: CausalGraph, data: "pd.DataFrame", *, test: IndependenceTest | None = None) -> "pd.DataFrame":
    """A test of each constraint that the graph implies, in the data.

    Tested are the local conditional independences (from which all others follow) and, where all variables are discrete,
    the Verma constraints. A graph is refuted by a small adjusted p-value; large ones do not prove it.

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
        >>> import pandas as pd
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=500)
        >>> m = x + rng.normal(size=500)
        >>> data = pd.DataFrame({"X": x, "M": m, "Y": m - x + rng.normal(size=500)})
        >>> table = test_graph(CausalGraph.from_edges([("X", "M"), ("M", "Y")]), data)
        >>> table["constraint"].tolist(), bool(table["p_holm"][0] < 0.001)
        (['Y ⊥ X | M'], True)
    """
    import pandas as pd

    _check_data(graph, data)
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


# Tests ----------------------------------------------------------------------------------------------------------------


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
    x, y, z = (_codes(data, names) for names in (xs, ys, given))
    statistic, dof = 0.0, 0
    for stratum in np.unique(z):
        inside = z == stratum
        counts = stats.contingency.crosstab(x[inside], y[inside]).count
        expected = np.outer(counts.sum(1), counts.sum(0)) / counts.sum()
        seen = counts > 0
        statistic += 2.0 * float((counts[seen] * np.log(counts[seen] / expected[seen])).sum())
        dof += (counts.shape[0] - 1) * (counts.shape[1] - 1)
    return _chi_squared(max(statistic, 0.0), dof)


def canonical_correlation_test(
    data: "pd.DataFrame", xs: Sequence[str], ys: Sequence[str], given: Sequence[str] = ()
) -> ChiSquared:
    """Bartlett's test that the canonical correlations of xs and ys are zero once both are regressed on ``given``.

    Discrete columns enter by an indicator for each level but one. With one number on each side it tests the partial
    correlation. It has power against linear dependence alone.

    Args:
        data: a row for each unit.
        xs, ys, given: columns.

    Raises:
        DataError: too few rows for the number of columns.

    References:
        Bartlett (1947), Multivariate analysis.

    Example:
        >>> import pandas as pd
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=400)
        >>> data = pd.DataFrame({"Z": z, "X": z + rng.normal(size=400), "Y": z + rng.normal(size=400)})
        >>> [round(canonical_correlation_test(data, ["X"], ["Y"], g).p_value, 2) for g in ([], ["Z"])]
        [0.0, 0.79]
    """
    ones = np.ones((len(data), 1))
    basis = _orthonormal(np.hstack([ones, _design(data, given)]))
    a, b = (_orthonormal(m - basis @ (basis.T @ m)) for m in (_design(data, xs), _design(data, ys)))
    p, q = a.shape[1], b.shape[1]
    scale = len(data) - basis.shape[1] - (p + q + 1) / 2
    if scale <= 0:
        raise DataError(f"{len(data)} rows are too few to test {list(xs)} against {list(ys)} given {list(given)}.")
    if not p * q:
        return ChiSquared(0.0, 0, 1.0)
    correlations = np.clip(np.linalg.svd(a.T @ b, compute_uv=False), 0.0, 1.0 - 1e-15)
    return _chi_squared(-scale * float(np.log1p(-(correlations**2)).sum()), p * q)


def verma_test(data: "pd.DataFrame", constraint: VermaConstraint) -> ChiSquared:
    """A Wald test that the plug-in estimate of an expression does not depend on variables in it (delta method).

    Args:
        data: discrete columns, a row for each unit.
        constraint: see :func:`verma_constraints`.

    Example:
        >>> import pandas as pd
        >>> edges = [("A", "B"), ("B", "C"), ("C", "D")]
        >>> (constraint,) = verma_constraints(CausalGraph(["A", "B", "C", "D"], edges, bidirected=[("B", "D")]))
        >>> data = pd.DataFrame(np.random.default_rng(0).integers(0, 2, (2000, 4)), columns=list("ABCD"))
        >>> verma_test(data, constraint).dof
        2
    """
    table = JointTable.from_dataframe(data, sorted(constraint.expression.names))
    cells = np.flatnonzero(table.probabilities)

    def contrasts(law: Array) -> Array:
        values, axes = Tabulator(table.names, lambda domain, do: law)(constraint.expression)
        over = tuple(i for i, symbol in enumerate(axes) if symbol.name in constraint.free_of)
        return np.asarray(values - values.mean(over, keepdims=True)).ravel()

    def shifted(cell: Any, step: float) -> Array:
        law = table.probabilities.copy()
        law.flat[cell] += step
        return law

    at = contrasts(table.probabilities)
    steps = 1e-4 * table.probabilities.flat[cells]
    moves = zip(cells, steps, strict=True)
    columns = [(contrasts(shifted(cell, h)) - contrasts(shifted(cell, -h))) / (2.0 * h) for cell, h in moves]
    known = np.isfinite(at)
    slope = np.stack(columns, 1)[known]
    p = table.probabilities.flat[cells]
    covariance = (slope * p) @ slope.T - np.outer(slope @ p, slope @ p)
    values, vectors = np.linalg.eigh(covariance)
    kept = values > 1e-6 * max(values.max(initial=0.0), 1e-12)
    scores = vectors[:, kept].T @ at[known]
    return _chi_squared(len(data) * float((scores**2 / values[kept]).sum()), int(kept.sum()))


def holm(p_values: Any) -> Array:
    """Holm's adjusted p-values: rejecting those below alpha errs at all with probability at most alpha.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1.0)


def benjamini_hochberg(p_values: Any) -> Array:
    """Adjusted p-values of Benjamini and Hochberg: of those rejected below alpha, a share of alpha is false.

    Example:
        >>> benjamini_hochberg([0.01, 0.04, 0.03])
        array([0.03, 0.04, 0.04])
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")[::-1]
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum.accumulate(p[order] * len(p) / np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1.0)


# Columns --------------------------------------------------------------------------------------------------------------


def _check_data(graph: CausalGraph, data: Any) -> None:
    if not hasattr(data, "columns") or not hasattr(data, "isna"):
        raise DataError(f"expected a DataFrame with a row for each unit, got {type(data).__name__}.")
    for name in graph.variables:
        if name not in data.columns:
            raise unknown_variable(name, data.columns, "column")
        if data[name].isna().any():
            raise DataError(f"column {name!r} has missing values: drop or impute these rows first.")
    if len(data) < 2:
        raise DataError(f"the data have {len(data)} rows: too few to test anything.")


def _codes(data: "pd.DataFrame", names: Sequence[str]) -> Any:
    """One integer for each row: which combination of values it has."""
    if not names:
        return np.zeros(len(data), dtype=np.int64)
    return data.groupby(list(names), observed=True, sort=False).ngroup().to_numpy()


def _design(data: "pd.DataFrame", names: Sequence[str]) -> Array:
    """The columns as numbers, discrete ones of more than two levels by indicators."""
    parts = [np.zeros((len(data), 0))]
    for name in names:
        values, codes = levels(data, name)
        numeric = data[name].dtype.kind in "iufb" and (len(values) == 2 or not is_discrete(data[name]))
        parts.append(data[[name]].to_numpy(np.float64) if numeric else np.eye(len(values))[codes][:, 1:])
    return np.hstack(parts)


def _orthonormal(matrix: Array) -> Array:
    """An orthonormal basis of the columns, those that are combinations of others left out."""
    norms = np.linalg.norm(matrix, axis=0)
    left, values, _ = np.linalg.svd(matrix / np.where(norms > 0, norms, 1.0), full_matrices=False)
    return np.asarray(left[:, values > 1e-10 * max(len(matrix), 1) ** 0.5])


def _chi_squared(statistic: float, dof: int) -> ChiSquared:
    return ChiSquared(statistic, dof, float(stats.chi2.sf(statistic, dof)) if dof else 1.0)
