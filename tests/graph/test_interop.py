"""Graphs as matrices and networkx graphs, and from edges."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch

from causal_pyro_models.errors import GraphError
from causal_pyro_models.graph import CausalGraph
from tests.generators import examples
from tests.graph.random_graphs import random_graph


@examples(80)
def test_round_trips(rng):
    graph = random_graph(rng, 6, least=0)
    directed, confounded = graph.to_adjacency()
    assert directed.sum() == len(graph.edges) and confounded.sum() == 2 * len(graph.bidirected)
    for again in (
        CausalGraph.from_adjacency(directed, graph.variables, confounded),
        CausalGraph.from_networkx(graph.to_networkx()),
    ):
        assert again == graph
        assert again.variables == graph.variables


def test_adjacency_is_parent_by_child():
    directed, _ = CausalGraph(["Y", "X"], [("X", "Y")]).to_adjacency()
    assert directed.tolist() == [[0, 0], [1, 0]]


@pytest.mark.parametrize(
    "matrix",
    [
        [[0, -0.3], [0, 0]],
        np.array([[False, True], [False, False]]),
        torch.tensor([[0.0, 2.0], [0.0, 0.0]]),
        pd.DataFrame([[0, 1], [0, 0]], index=["X", "Y"], columns=["X", "Y"]),
    ],
)
def test_any_array_of_numbers(matrix):
    assert CausalGraph.from_adjacency(matrix, ["X", "Y"]) == CausalGraph(["X", "Y"], [("X", "Y")])


@pytest.mark.parametrize(
    ("matrix", "bidirected", "message"),
    [
        ([[0, 1]], None, r"shape \(1, 2\), expected \(2, 2\)"),
        (np.zeros((3, 3)), None, r"shape \(3, 3\), expected \(2, 2\)"),
        ([0, 1], None, r"shape \(2,\)"),
        ([[0, 1], [0]], None, "not a matrix of numbers"),
        ([["no", "yes"], ["no", "no"]], None, "not a matrix of numbers"),
        (torch.zeros(2, 2, requires_grad=True), None, "not a matrix of numbers.*detach"),
        ([[0, np.nan], [0, 0]], None, r"nan at \['X', 'Y'\]"),
        ([[0, 0], [np.inf, 0]], None, r"inf at \['Y', 'X'\]"),
        ([[1, 0], [0, 0]], None, "self-loop 'X' -> 'X'"),
        ([[0, 1], [1, 0]], None, "cycle"),
        (np.zeros((2, 2)), [[0, 1], [0, 0]], r"not symmetric at \['X', 'Y'\]"),
        (np.zeros((2, 2)), np.eye(2), "self-loop 'X' <-> 'X'"),
    ],
)
def test_matrices_that_are_no_graph(matrix, bidirected, message):
    with pytest.raises(GraphError, match=message):
        CausalGraph.from_adjacency(matrix, ["X", "Y"], bidirected)


def test_networkx_keeps_bow_arcs_and_isolated_variables():
    graph = CausalGraph(["X", "Y", "Z"], [("X", "Y")], [("X", "Y")])
    exported = graph.to_networkx()
    assert list(exported.edges) == [("X", "Y")] and exported.graph["bidirected"] == [("X", "Y")]
    assert CausalGraph.from_networkx(nx.DiGraph([("X", "Y")])) == CausalGraph(["X", "Y"], [("X", "Y")])


@pytest.mark.parametrize("wrong", [nx.Graph(), nx.MultiDiGraph(), [("X", "Y")], None])
def test_only_a_digraph_will_do(wrong):
    with pytest.raises(GraphError, match=r"networkx\.DiGraph"):
        CausalGraph.from_networkx(wrong)


def test_networkx_names_must_be_strings():
    with pytest.raises(GraphError, match="variable 0 is of type int"):
        CausalGraph.from_networkx(nx.DiGraph([(0, 1)]))


def test_from_edges_finds_the_variables():
    graph = CausalGraph.from_edges([("Z", "X"), ("X", "Y")], bidirected=[("W", "Y")])
    assert graph == CausalGraph(["Z", "X", "Y", "W"], [("Z", "X"), ("X", "Y")], [("W", "Y")])
    assert CausalGraph.from_edges([]).variables == ()


@pytest.mark.parametrize("edges", ["XY", ["XY"], [("X", 1)], [("X", ["Y"])], [("X", "Y", "Z")], [None]])
def test_from_edges_refuses_what_is_no_edge(edges):
    with pytest.raises(GraphError):
        CausalGraph.from_edges(edges)
