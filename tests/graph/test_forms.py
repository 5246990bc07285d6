"""A graph in any form is the graph, wherever one is taken."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from causal_pyro_models.data import Continuous
from causal_pyro_models.errors import CausalError, GraphError
from causal_pyro_models.estimators import g_formula
from causal_pyro_models.graph import CausalGraph, adjustment_sets, as_graph, is_adjustment_set
from causal_pyro_models.identification import bounds, identify, local_independences, recover
from causal_pyro_models.independence import test_graph as check_graph_on
from causal_pyro_models.models import CausalFlow, StructuralCausalModel
from causal_pyro_models.models.nodes.flow import FlowNode
from tests.generators import examples
from tests.graph.random_graphs import random_graph

GRAPH = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
DATA = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 3)), columns=list("ZXY"))
GML = """Creator "igraph"
Version 1
graph [
  directed 1
  node [ id 0 label "Z" ]
  node [ id 1 label "X" ]
  node [ id 2 label "Y" ]
  edge [ source 0 target 1 ] edge [ source 0 target 2 weight 0.5 ] edge [ source 1 target 2 ]
]"""
FORMS = {
    "itself": GRAPH,
    "bare edges": "Z -> {X Y}\nX -> Y",
    "dagitty": "dag { Z -> X ; Z -> Y ; X -> Y }",
    "DOT": "/* of a paper */ digraph G { Z -> X, Y; X -> Y }",
    "GML": GML,
    "networkx": nx.DiGraph([("Z", "X"), ("Z", "Y"), ("X", "Y")]),
    "pairs": [("Z", "X"), ("Z", "Y"), ("X", "Y")],
    "a set of pairs": {("Z", "X"), ("Z", "Y"), ("X", "Y")},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_is_the_graph(form):
    assert as_graph(form) == GRAPH


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_wherever_a_graph_is_taken(form):
    assert identify(form, "P(Y | do(X))").expression == identify(GRAPH, "P(Y | do(X))").expression
    assert list(adjustment_sets(form, "X", "Y")) == [frozenset("Z")] and is_adjustment_set(form, "X", "Y", "Z")
    assert local_independences(form) == []
    assert float(g_formula(DATA, {"X": (0.0, 1.0)}, "Y", graph=form, seed=0).value) == float(
        g_formula(DATA, {"X": (0.0, 1.0)}, "Y", graph=GRAPH, seed=0).value
    )
    with pytest.raises(GraphError, match="no constraint"):
        check_graph_on(form, DATA)
    assert CausalFlow(form, {v: Continuous() for v in "XYZ"}).graph == GRAPH
    assert StructuralCausalModel(form, {v: FlowNode() for v in "XYZ"}).graph == GRAPH


@examples(40)
def test_gml_of_networkx_round_trips(rng):
    graph = random_graph(rng, 6, least=1)
    exported = nx.DiGraph()
    exported.add_nodes_from(graph.variables)
    exported.add_edges_from(graph.edges)
    both = [edge for edge in graph.bidirected if edge not in graph.edges and edge[::-1] not in graph.edges]
    exported.add_edges_from(both, dir="both")
    expected = CausalGraph(graph.variables, graph.edges, both)
    assert as_graph("\n".join(nx.generate_gml(exported))) == expected


def test_hidden_nodes_become_bidirected_edges():
    hidden = CausalGraph(["X", "Y"], [("X", "Y")], [("X", "Y")])
    text = 'graph [ directed 1 node [ id "U" label "U" observed "no" ] node [ id "X" label "X" ] node [ id "Y" ]'
    text += ' edge [ source "U" target "X" ] edge [ source "U" target "Y" ] edge [ source "X" target "Y" ] ]'
    assert CausalGraph.from_gml(text) == hidden
    graph = nx.DiGraph([("U", "X"), ("U", "Y"), ("X", "Y")])
    graph.nodes["U"]["observed"] = "no"
    assert CausalGraph.from_networkx(graph) == hidden


@pytest.mark.parametrize(
    ("form", "says"),
    [
        (None, "got NoneType"),
        (3, "got int"),
        ("", "got the str ''"),
        ("a word", "got the str 'a word'"),
        ("dag { X -> Y", "expected a name"),
        (nx.Graph([("X", "Y")]), "DiGraph"),
        ([("X", "Y"), ("Y", "X")], "cycle"),
        ("X -> Y -> X", "cycle"),
        ("graph [ node [ id 0 label 'X' ] ]", "GML graph"),
        ("graph [ node [ id 0 ] node [ id 1 ] edge [ source 0 target 1 ] ]", "undirected"),
        ('graph [ directed 1 node [ id 0 label "X" ] node [ id 1 label "X" ] ]', "two nodes have the label 'X'"),
        ("graph [ directed 1 node [ id 0 ]", "GML graph"),
    ],
)
def test_what_is_no_graph_is_said(form, says):
    with pytest.raises(GraphError, match=says):
        as_graph(form)
    with pytest.raises(CausalError, match=says):
        identify(form, "P(Y | do(X))")


def test_recover_and_bounds_take_text_too():
    assert str(recover("Z -> {X Y S}; X -> {Y S}", "P(Y | do(X))", "S", external="Z"))
    with pytest.raises(CausalError, match="JointTable"):
        bounds("X -> Y; X <-> Y", None, "P(Y=1 | do(X=1))")
