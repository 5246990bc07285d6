"""A graph against data: wrong ones are refuted, right ones are not."""

import numpy as np
import pandas as pd
import pytest

from causal_pyro_models.errors import DataError, GraphError, UnknownVariableError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.independence import canonical_correlation_test, test_graph as check_graph
from tests.identification.oracles import random_model
from tests.independence.samples import CHAIN, VERMA, draw


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


def test_a_true_graph_with_sparse_columns_and_an_identifier_is_not_refuted():
    """100 samples of independent columns, four levels, 60 rows: more than 13 at 5 percent have probability 4e-4."""
    graph, refuted = CausalGraph(["ID", "A", "B", "C"], []), 0
    for seed in range(100):
        columns = np.random.default_rng(seed).integers(0, 4, (60, 3))
        data = pd.DataFrame(columns, columns=list("ABC")).assign(ID=[f"unit {i}" for i in range(60)])
        table = check_graph(graph, data)
        refuted += table["p_holm"].min() <= 0.05
        assert table["p_value"][table["constraint"].str.contains("ID")].min() > 0.01
    assert refuted <= 13


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
