"""Implied constraints: true in every model, strong enough to imply the rest; tests of them keep their level."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from causal_pyro_models.errors import DataError, GraphError, UnknownVariableError
from causal_pyro_models.graph import CausalGraph, is_minimal_separator
from causal_pyro_models.identification.implications import (
    local_independences,
    pairwise_independences,
    verma_constraints,
)
from causal_pyro_models.identification.tables import Tabulator
from causal_pyro_models.independence import (
    ChiSquared,
    benjamini_hochberg,
    canonical_correlation_test,
    g_test,
    holm,
    test_graph as check_graph,
    verma_test,
)
from tests.graph.oracles import disjoint_queries
from tests.graph.strategies import generators, random_graph
from tests.identification.oracles import random_admg, random_model

VERMA = CausalGraph(["A", "B", "C", "D"], [("A", "B"), ("B", "C"), ("C", "D")], [("B", "D")])
CHAIN = CausalGraph.from_edges([("X", "M"), ("M", "Y")])


def separations(graph):
    return [(x, y, z) for x, y, z in disjoint_queries(graph.variables) if graph.m_separated(x, y, z)]


@settings(max_examples=200)
@given(generators())
def test_what_is_implied_is_separated(rng):
    graph = random_graph(rng)
    for independence in local_independences(graph) + pairwise_independences(graph):
        assert graph.m_separated(independence.xs, independence.ys, independence.given)
    pairs = {frozenset((x, y)) for x, y, _ in separations(graph)}
    found = pairwise_independences(graph)
    assert len(found) == len(pairs) and {i.xs | i.ys for i in found} == pairs
    assert all(is_minimal_separator(graph, i.xs, i.ys, i.given) for i in found)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_local_independences_imply_all_separations(seed):
    """Of 300 random graphs over the same variables, those with the local independences have every separation."""
    rng = np.random.default_rng(seed)
    graph = random_admg(4, rng, 0.4, 0.3)
    local, every = local_independences(graph), separations(graph)
    for _ in range(300):
        other = random_admg(4, rng, rng.uniform(0.1, 0.6), rng.uniform(0.0, 0.5))
        if all(other.m_separated(i.xs, i.ys, i.given) for i in local):
            assert all(other.m_separated(*separation) for separation in every), (graph, other)


@settings(max_examples=60)
@given(generators())
def test_without_hidden_variables_there_is_one_for_each_variable_and_no_verma_constraint(rng):
    graph = random_graph(rng)
    dag = CausalGraph(graph.variables, graph.edges)
    local = local_independences(dag)
    assert len(local) <= len(dag.variables)
    assert all(i.given == frozenset(dag.parents(*i.xs)) for i in local)
    assert not verma_constraints(dag)


def test_verma_constraints_hold_in_every_model():
    """Random graphs of 5 variables, few of which have any, and the Verma graph with another cause added at random."""
    rng = np.random.default_rng(0)
    graphs = [random_admg(5, rng, 0.5, 0.3) for _ in range(100)]
    for _ in range(60):
        causes = [("E", v) for v in "ABCD" if rng.random() < 0.3]
        confounded = [("E", v) for v in "ABCD" if rng.random() < 0.3]
        graphs.append(CausalGraph(list("EABCD"), [*VERMA.edges, *causes], [*VERMA.bidirected, *confounded]))
    found = [(graph, constraint) for graph in graphs for constraint in verma_constraints(graph)]
    assert len(found) >= 40
    for graph, constraint in found:
        law = random_model(graph, rng).joint()
        values, axes = Tabulator(graph.variables, lambda domain, do, law=law: law)(constraint.expression)
        for i, symbol in enumerate(axes):
            if symbol.name in constraint.free_of:
                assert np.ptp(values, axis=i).max() < 1e-9, (graph, constraint)


def test_the_verma_graph_has_its_constraint_and_a_graph_with_the_edge_has_none():
    (constraint,) = verma_constraints(VERMA)
    assert str(constraint) == "sum_b P(d | a, b, c) P(b | a) does not depend on a"
    full = CausalGraph(VERMA.variables, [*VERMA.edges, ("A", "D")], VERMA.bidirected)
    assert not verma_constraints(full)
    law = random_model(full, np.random.default_rng(0)).joint()
    values, axes = Tabulator(full.variables, lambda domain, do: law)(constraint.expression)
    assert np.ptp(values, axis=[s.name for s in axes].index("A")).max() > 1e-3


# Tests of data --------------------------------------------------------------------------------------------------------


def draw(law, names, n, rng):
    cells = rng.choice(law.size, size=n, p=law.ravel())
    return pd.DataFrame(np.stack(np.unravel_index(cells, law.shape), 1), columns=list(names))


def uniform(p_values):
    return stats.kstest(p_values, "uniform").pvalue


def test_p_values_of_the_three_tests_are_uniform_where_the_constraint_holds():
    """Kolmogorov-Smirnov on 200 fixed samples each; at this threshold the three err with probability 0.003."""
    rng = np.random.default_rng(0)
    (constraint,) = verma_constraints(VERMA)
    model, chain = random_model(VERMA, rng), random_model(CHAIN, rng, {"X": 2, "M": 3, "Y": 3})
    verma, discrete, linear = [], [], []
    for _ in range(200):
        verma.append(verma_test(draw(model.joint(), "ABCD", 3000, rng), constraint).p_value)
        discrete.append(g_test(draw(chain.joint(), "XMY", 1000, rng), ["X"], ["Y"], ["M"]).p_value)
        z = rng.normal(size=200)
        frame = pd.DataFrame({"X": z + rng.normal(size=200), "Y": rng.normal(size=200) > z, "Z": z})
        linear.append(canonical_correlation_test(frame, ["Y"], ["X"], ["Z"]).p_value)
    assert min(map(uniform, (verma, discrete, linear))) > 0.001


def test_a_wrong_graph_is_refuted_and_the_right_one_is_not():
    """One sample of a law far from each wrong graph; the right graph is refuted with probability 0.001."""
    rng = np.random.default_rng(1)
    full = CausalGraph(VERMA.variables, [*VERMA.edges, ("A", "D")], VERMA.bidirected)
    data = draw(random_model(full, rng).joint(), "ABCD", 5000, rng)
    table = check_graph(VERMA, data)
    assert table["kind"].tolist() == ["independence", "Verma"]
    assert table["p_holm"][0] > 0.001 and table["p_holm"][1] < 1e-6
    x = rng.integers(0, 2, 5000)
    m = np.where(rng.random(5000) < 0.2, 1 - x, x)
    chain = pd.DataFrame({"X": x, "M": m, "Y": np.where(rng.random(5000) < 0.2, 1 - m, m)})
    assert check_graph(CHAIN, chain)["p_holm"].min() > 0.001
    fork = CausalGraph.from_edges([("X", "M"), ("Y", "M")])
    assert check_graph(fork, chain)["p_holm"].min() < 1e-6


def test_continuous_and_mixed_data_take_the_linear_test():
    rng = np.random.default_rng(2)
    x = rng.normal(size=1000)
    group = np.where(x + rng.normal(size=1000) > 0, "high", np.where(rng.random(1000) < 0.5, "low", "none"))
    y = (group == "high") + rng.normal(size=1000)
    data = pd.DataFrame({"X": x, "M": group, "Y": y})
    table = check_graph(CHAIN, data)
    expected = canonical_correlation_test(data, ["X"], ["Y"], ["M"])
    assert table["p_value"][0] == pytest.approx(expected.p_value) and table["p_value"][0] > 0.001
    assert canonical_correlation_test(data, ["X"], ["Y"]).p_value < 1e-6
    assert canonical_correlation_test(data, ["X"], ["M"], ["Y"]).dof == 2


def test_a_partial_correlation_agrees_with_the_t_test():
    """Bartlett's statistic of one number on each side against the exact test: equal to 2 percent at 300 rows."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.normal(size=(300, 3)), columns=["X", "Y", "Z"])
    residual = [frame[v] - np.polyval(np.polyfit(frame["Z"], frame[v], 1), frame["Z"]) for v in "XY"]
    r = np.corrcoef(*residual)[0, 1]
    t = r * np.sqrt(297 / (1 - r**2))
    exact = 2 * stats.t.sf(abs(t), 297)
    assert canonical_correlation_test(frame, ["X"], ["Y"], ["Z"]).p_value == pytest.approx(exact, rel=0.02)


def test_the_g_test_is_scipys_summed_over_strata():
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(rng.integers(0, 3, (600, 3)), columns=["X", "Y", "Z"])
    parts = [
        stats.chi2_contingency(pd.crosstab(part["X"], part["Y"]), correction=False, lambda_="log-likelihood")
        for _, part in frame.groupby("Z")
    ]
    found = g_test(frame, ["X"], ["Y"], ["Z"])
    assert found.statistic == pytest.approx(sum(part.statistic for part in parts))
    assert found.dof == sum(part.dof for part in parts)


@settings(max_examples=100)
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8))
def test_adjusted_p_values_are_those_of_the_definitions(p):
    p = np.array(p)
    m, order = len(p), np.sort(p)
    steps_down = [max(min(1.0, (m - j) * order[j]) for j in range(i + 1)) for i in range(m)]
    steps_up = [min(min(1.0, order[j] * m / (j + 1)) for j in range(i, m)) for i in range(m)]
    np.testing.assert_allclose(np.sort(holm(p)), steps_down)
    np.testing.assert_allclose(np.sort(benjamini_hochberg(p)), steps_up)
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p))
    assert (holm(p) >= benjamini_hochberg(p) - 1e-12).all()


def test_a_constant_column_says_nothing():
    frame = pd.DataFrame({"X": np.zeros(50), "Y": np.arange(50.0), "Z": [0, 1] * 25})
    assert canonical_correlation_test(frame, ["X"], ["Y"], ["Z"]) == ChiSquared(0.0, 0, 1.0)
    assert g_test(frame, ["X"], ["Z"]) == ChiSquared(0.0, 0, 1.0)


FRAME = pd.DataFrame({"X": [0, 1, 0, 1], "M": [0, 0, 1, 1], "Y": [0.0, 1.0, 2.0, 3.0]})


@pytest.mark.parametrize(
    ("graph", "data", "error", "says"),
    [
        (CHAIN, FRAME.drop(columns="Y"), UnknownVariableError, "unknown column 'Y'"),
        (CHAIN, FRAME.assign(Y=[0.0, 1.0, None, 3.0]), DataError, "missing"),
        (CHAIN, FRAME[:1], DataError, "1 rows"),
        (CHAIN, {"X": [1.0]}, DataError, "DataFrame"),
        (CausalGraph.from_edges([("X", "Y")]), FRAME, GraphError, "no constraint"),
    ],
)
def test_mistakes_are_named(graph, data, error, says):
    with pytest.raises(error, match=says):
        check_graph(graph, data)


def test_too_few_rows_for_the_columns():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(4, 4)), columns=list("WXYZ"))
    with pytest.raises(DataError, match="4 rows are too few"):
        canonical_correlation_test(frame, ["X"], ["Y"], ["W", "Z"])
