"""Graphs as DOT and dagitty text."""

import contextlib

import pytest
from hypothesis import given, settings, strategies as st

from causal_pyro_models.errors import GraphError
from causal_pyro_models.graph import CausalGraph
from tests.generators import examples
from tests.graph.random_graphs import random_graph


@examples(80)
def test_round_trips(rng):
    graph = random_graph(rng, 6, least=0)
    for again in (CausalGraph.from_dot(graph.to_dot()), CausalGraph.from_dagitty(graph.to_dagitty())):
        assert again == graph
        assert again.variables == graph.variables


@settings(max_examples=40)
@given(st.lists(st.text(min_size=1), min_size=2, max_size=4, unique=True))
@pytest.mark.parametrize("keyword", ["graph", "Node", "strict", "1.5", "-2", 'a"b', "a\\", '\\"', "a\nb", "// c", "é"])
def test_any_name_survives(keyword, names):
    names = list(dict.fromkeys([keyword, *names]))
    graph = CausalGraph(names, [(names[0], names[1])], [(names[0], names[-1])])
    assert CausalGraph.from_dot(graph.to_dot()) == graph
    assert CausalGraph.from_dagitty(graph.to_dagitty()) == graph


def test_the_text_is_plain():
    graph = CausalGraph(["X", "blood pressure"], [("X", "blood pressure")], [("X", "blood pressure")])
    assert graph.to_dot().splitlines() == [
        "digraph {",
        "  X;",
        '  "blood pressure";',
        '  X -> "blood pressure";',
        '  X -> "blood pressure" [dir=both];',
        "}",
    ]
    assert graph.to_dagitty().splitlines()[-2:] == ['  X <-> "blood pressure";', "}"]


XYZ = ["X", "Y", "Z"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("digraph{X->Y->Z}", CausalGraph(XYZ, [("X", "Y"), ("Y", "Z")])),
        ("digraph G { X; Y Z }", CausalGraph(XYZ, [])),
        ("DiGraph { X <- Y <-> Z }", CausalGraph(XYZ, [("Y", "X")], [("Y", "Z")])),
        ("digraph { X -> Y [dir=back]; Y -> Z [dir = both, color=red] }", CausalGraph(XYZ, [("Y", "X")], [("Y", "Z")])),
        ("digraph { X <- Y [dir=back]; Z }", CausalGraph(XYZ, [("X", "Y")])),
        ("digraph { {X Y} -> Z }", CausalGraph(XYZ, [("X", "Z"), ("Y", "Z")])),
        ("digraph { X -> {Y -> Z} }", CausalGraph(XYZ, [("X", "Y"), ("X", "Z"), ("Y", "Z")])),
        ("digraph { subgraph cluster_a { X; Y } -> subgraph { Z } }", CausalGraph(XYZ, [("X", "Z"), ("Y", "Z")])),
        (
            "digraph { edge [dir=both]; X -> Y; { edge [dir=back] Y -> Z } X -> Z }",
            CausalGraph(XYZ, [("Z", "Y")], [("X", "Y"), ("X", "Z")]),
        ),
        ("digraph { X, Y -> Z }", CausalGraph(XYZ, [("X", "Z"), ("Y", "Z")])),
        ("digraph { {X, Y} -> Z }", CausalGraph(XYZ, [("X", "Z"), ("Y", "Z")])),
        ("digraph { X -> Y, Z; Y, Z [color=red] }", CausalGraph(XYZ, [("X", "Y"), ("X", "Z")])),
        ("digraph { U, V [observed=no]; U -> X, Y; V -> Z }", CausalGraph(XYZ, [], [("X", "Y")])),
        ("digraph { X:out:e -> Y:in; Z [label=<a <b>bold</b> label>] }", CausalGraph(XYZ, [("X", "Y")])),
        ('digraph { "X" -> "Y" + "Y"; Z }', CausalGraph(["X", "YY", "Z"], [("X", "YY")])),
        ("strict digraph { X -> Y; X -> Y; Z }", CausalGraph(XYZ, [("X", "Y")])),
        ("digraph { U [observed=no]; U -> X; U -> Y; Y -> Z }", CausalGraph(XYZ, [("Y", "Z")], [("X", "Y")])),
        (
            'digraph "a graph" {\n  rankdir=LR; graph [size="2,2"]; node [shape=circle]\n  // a comment\n# another\n'
            '  X [label="the -> cause", pos="1,-2.5!"][color=red];  /* X -> Z\n */ X -> "Y" -> Z;\n}\n',
            CausalGraph(XYZ, [("X", "Y"), ("Y", "Z")]),
        ),
    ],
)
def test_dot(text, expected):
    assert CausalGraph.from_dot(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('dag { X [exposure,pos="0,1"] ; X -> {Y Z} }', CausalGraph(XYZ, [("X", "Y"), ("X", "Z")])),
        ("dag{ X -> Y <- Z ; X <-> Z }", CausalGraph(XYZ, [("X", "Y"), ("Z", "Y")], [("X", "Z")])),
        ("dag { X -> Y [beta=-.5] Y <-> {X Z} }", CausalGraph(XYZ, [("X", "Y")], [("X", "Y"), ("Y", "Z")])),
        ("X -> Y <- Z\nX <-> Z", CausalGraph(XYZ, [("X", "Y"), ("Z", "Y")], [("X", "Z")])),
        ("U [latent]; X -> Y; U -> {Y Z}", CausalGraph(XYZ, [("X", "Y")], [("Y", "Z")])),
        ("dag { U [unobserved] X -> Y U -> {Y Z} }", CausalGraph(XYZ, [("X", "Y")], [("Y", "Z")])),
        (
            'dag {\nbb="-2.5,-3,2,3"\n"body mass" [latent,pos="-1,0"]\nX\nY [outcome]\nZ\n"body mass" -> Y\nX -> Y\n'
            'Z -> "body mass"\n}',
            CausalGraph(XYZ, [("X", "Y"), ("Z", "Y")]),
        ),
        (
            "dag { node -> edge -> graph }",
            CausalGraph(["node", "edge", "graph"], [("node", "edge"), ("edge", "graph")]),
        ),
    ],
)
def test_dagitty(text, expected):
    assert CausalGraph.from_dagitty(text) == expected


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("", "line 1, column 1", "expected 'digraph', got 'the end of the text'"),
        ("graph { X -- Y }", "line 1, column 1", "expected 'digraph', got 'graph'"),
        ("digraph { X -> Y", "line 1, column 17", "expected a name, got 'the end of the text'"),
        ("digraph { X -> Y } Z", "line 1, column 20", "expected the end of the text, got 'Z'"),
        ("digraph {\n  X -> ;\n}", "line 2, column 8", "expected a name, got ';'"),
        ("digraph {\n  X -> Y;\n  X -- Z\n}", "line 3, column 5", "undirected"),
        ("digraph { X -> Y [dir=none] }", "line 1, column 13", "undirected"),
        ("digraph { X -> Y [dir=up] }", "line 1, column 13", "dir='up'"),
        ('digraph {\n "X -> Y }', "line 2, column 2", "string or comment that does not end"),
        ("digraph { X /* -> Y }", "line 1, column 13", "string or comment that does not end"),
        ("digraph { X -> Y [dir= }", "line 1, column 24", "expected a name, got '}'"),
        ("digraph { X -> ÷ }", "line 1, column 16", "unexpected '÷'"),
        ("digraph { X - > Y }", "line 1, column 13", "unexpected '-'"),
        ("digraph { X, -> Z }", "line 1, column 14", "expected a name, got '->'"),
        ("digraph { X [label=<a <b> c] }", "line 1, column 20", "string that does not end"),
        ("digraph { node -> X }", "line 1, column 16", "expected a name, got '->'"),
    ],
)
def test_malformed_dot_is_pointed_at(text, where, message):
    with pytest.raises(GraphError, match=f"DOT graph, {where}: .*{message}"):
        CausalGraph.from_dot(text)


@pytest.mark.parametrize(
    "text", ["pdag { X -- Y }", "dag X -> Y", "dag { X -- Y }", "dag { X @-> Y }", "X", "pdag { X -> Y }"]
)
def test_malformed_dagitty_is_pointed_at(text):
    with pytest.raises(GraphError, match=r"dagitty graph, line 1, column \d+: "):
        CausalGraph.from_dagitty(text)


@pytest.mark.parametrize("wrong", [None, b"digraph { X }", 3])
def test_text_must_be_a_string(wrong):
    with pytest.raises(GraphError, match="expected a DOT string"):
        CausalGraph.from_dot(wrong)


def test_a_cycle_in_the_text():
    with pytest.raises(GraphError, match="cycle"):
        CausalGraph.from_dot("digraph { X -> Y -> X }")


@settings(max_examples=300)
@given(st.lists(st.sampled_from(["X", "Y", '"', "{", "}", "[", "]", "=", "->", "<->", ";", "edge", " ", "//", "/*"])))
def test_any_text_gives_a_graph_or_a_graph_error(parts):
    with contextlib.suppress(GraphError):
        CausalGraph.from_dot("digraph {" + " ".join(parts) + "}")
