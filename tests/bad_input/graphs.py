"""Graphs that cannot be, and questions about names that they do not have."""

import networkx as nx
import numpy as np
import pandas as pd
import torch

from causal_pyro_models import CausalGraph
from causal_pyro_models.errors import GraphError, ModelError, UnknownVariableError
from tests.bad_input.case import Bad
from tests.bad_input.models import computed_twice, silent, twice

nan = float("nan")
ADMG = CausalGraph(["Z", "X", "M", "Y"], [("Z", "X"), ("X", "M"), ("M", "Y")], [("X", "Y")])
DAG = CausalGraph.from_edges([("Z", "X"), ("X", "Y")])

BUILT = [
    Bad("a cycle of two", GraphError, ("cycle", "'X'", "'Y'", "Drop"), lambda: CausalGraph(["X", "Y"], [("X", "Y"), ("Y", "X")])),
    Bad("a cycle of three among others", GraphError, ("cycle", "'B' -> 'C'"), lambda: CausalGraph(["A", "B", "C", "D"], [("A", "B"), ("B", "C"), ("C", "D"), ("D", "B")])),
    Bad("a self-loop", GraphError, ("self-loop", "'X'", "Drop"), lambda: CausalGraph(["X"], [("X", "X")])),
    Bad("confounded with itself", GraphError, ("'X' <-> 'X'", "Drop"), lambda: CausalGraph(["X"], [], [("X", "X")])),
    Bad("a variable twice", GraphError, ("'X'", "twice"), lambda: CausalGraph(["X", "Y", "X"], [])),
    Bad("an edge twice", GraphError, ("'X' -> 'Y'", "twice"), lambda: CausalGraph(["X", "Y"], [("X", "Y"), ("X", "Y")])),
    Bad("a bidirected edge in both directions", GraphError, ("<->", "twice"), lambda: CausalGraph(["X", "Y"], [], [("X", "Y"), ("Y", "X")])),
    Bad("an edge from an unknown variable", UnknownVariableError, ("'Q'", "X, Y"), lambda: CausalGraph(["X", "Y"], [("Q", "Y")])),
    Bad("an edge to a misspelt variable", UnknownVariableError, ("'outcome'", "'Outcome'"), lambda: CausalGraph(["X", "Outcome"], [("X", "outcome")])),
    Bad("confounding with an unknown variable", UnknownVariableError, ("'Q'", "X, Y"), lambda: CausalGraph(["X", "Y"], [], [("X", "Q")])),
    Bad("a name that is a number", GraphError, ("1", "string", "'V1'"), lambda: CausalGraph([1, 2], [])),
    Bad("a name that is None", GraphError, ("None", "string"), lambda: CausalGraph([None], [])),
    Bad("an empty name", GraphError, ("empty",), lambda: CausalGraph(["X", ""], [])),
    Bad("variables as a string", GraphError, ("'XY'", "collection"), lambda: CausalGraph("XY", [])),
    Bad("variables as None", GraphError, ("None", "collection"), lambda: CausalGraph(None, [])),
    Bad("variables as a number", GraphError, ("3", "collection"), lambda: CausalGraph(3, [])),
    Bad("edges as a string", GraphError, ("'X->Y'", "pairs"), lambda: CausalGraph(["X", "Y"], "X->Y")),
    Bad("edges as None", GraphError, ("None", "pairs"), lambda: CausalGraph(["X", "Y"], None)),
    Bad("edges as strings", GraphError, ("'XY'", "pair"), lambda: CausalGraph(["X", "Y"], ["XY"])),
    Bad("an edge of three", GraphError, ("'X', 'M', 'Y'", "pair"), lambda: CausalGraph(["X", "M", "Y"], [("X", "M", "Y")])),
    Bad("an edge of numbers", GraphError, ("1", "string"), lambda: CausalGraph(["X", "Y"], [(1, 2)])),
    Bad("an edge that is None", GraphError, ("None", "pair"), lambda: CausalGraph(["X"], [None])),
    Bad("an edge that is a set", GraphError, ("pair",), lambda: CausalGraph(["X", "Y"], [{"X", "Y"}])),
    Bad("edges alone with a number", GraphError, ("1", "string"), lambda: CausalGraph.from_edges([("X", 1)])),
    Bad("edges alone as None", GraphError, ("None", "pairs"), lambda: CausalGraph.from_edges(None)),
    Bad("edges alone in a cycle", GraphError, ("cycle",), lambda: CausalGraph.from_edges([("X", "Y"), ("Y", "Z"), ("Z", "X")])),
    Bad("an undirected networkx graph", GraphError, ("DiGraph", "Graph"), lambda: CausalGraph.from_networkx(nx.Graph([("X", "Y")]))),
    Bad("a networkx multigraph", GraphError, ("MultiDiGraph",), lambda: CausalGraph.from_networkx(nx.MultiDiGraph([("X", "Y")]))),
    Bad("a networkx cycle", GraphError, ("cycle",), lambda: CausalGraph.from_networkx(nx.DiGraph([("X", "Y"), ("Y", "X")]))),
    Bad("a networkx graph of numbers", GraphError, ("0", "string"), lambda: CausalGraph.from_networkx(nx.path_graph(3, nx.DiGraph))),
    Bad("None as a networkx graph", GraphError, ("DiGraph", "NoneType"), lambda: CausalGraph.from_networkx(None)),
    Bad("an adjacency matrix of wrong shape", GraphError, ("(2, 3)", "(2, 2)"), lambda: CausalGraph.from_adjacency(np.zeros((2, 3)), ["X", "Y"])),
    Bad("an adjacency matrix for other names", GraphError, ("(2, 2)", "(3, 3)"), lambda: CausalGraph.from_adjacency(np.zeros((2, 2)), ["X", "Y", "Z"])),
    Bad("an adjacency vector", GraphError, ("(4,)", "(2, 2)"), lambda: CausalGraph.from_adjacency(np.zeros(4), ["X", "Y"])),
    Bad("an adjacency matrix with NaN", GraphError, ("nan", "'X', 'Y'", "finite"), lambda: CausalGraph.from_adjacency([[0, nan], [0, 0]], ["X", "Y"])),
    Bad("an adjacency matrix of strings", GraphError, ("numbers",), lambda: CausalGraph.from_adjacency([["a", "b"], ["c", "d"]], ["X", "Y"])),
    Bad("an adjacency matrix that is ragged", GraphError, ("numbers",), lambda: CausalGraph.from_adjacency([[0, 1], [0]], ["X", "Y"])),
    Bad("an adjacency matrix that is None", GraphError, ("(2, 2)",), lambda: CausalGraph.from_adjacency(None, ["X", "Y"])),
    Bad("an adjacency matrix under a gradient", GraphError, ("grad",), lambda: CausalGraph.from_adjacency(torch.zeros(2, 2, requires_grad=True), ["X", "Y"])),
    Bad("an adjacency matrix of complex numbers", GraphError, ("numbers", "complex"), lambda: CausalGraph.from_adjacency([[0, 1j], [0, 0]], ["X", "Y"])),
    Bad("an adjacency matrix with a masked entry", GraphError, ("numbers", "masked"), lambda: CausalGraph.from_adjacency(np.ma.array([[0, 1], [0, 0]], mask=[[0, 1], [0, 0]]), ["X", "Y"])),
    Bad("a sparse adjacency matrix", GraphError, ("numbers", "Sparse"), lambda: CausalGraph.from_adjacency(torch.zeros(2, 2).to_sparse(), ["X", "Y"])),
    Bad("an adjacency matrix labelled in another order", GraphError, ("['Y', 'X']", "['X', 'Y']", "order"), lambda: CausalGraph.from_adjacency(pd.DataFrame([[0, 1], [0, 0]], ["Y", "X"], ["Y", "X"]), ["X", "Y"])),
    Bad("a networkx graph with bidirected edges of a number", GraphError, ("pairs", "3"), lambda: CausalGraph.from_networkx(nx.DiGraph([("X", "Y")], bidirected=3))),
    Bad("a networkx graph with an unknown bidirected edge", UnknownVariableError, ("'Q'", "X, Y"), lambda: CausalGraph.from_networkx(nx.DiGraph([("X", "Y")], bidirected=[("X", "Q")]))),
    Bad("edges alone in a dict", GraphError, ("'X'", "pair"), lambda: CausalGraph.from_edges({"X": "Y"})),
    Bad("an adjacency matrix with a loop", GraphError, ("self-loop", "'X'"), lambda: CausalGraph.from_adjacency(np.eye(2), ["X", "Y"])),
    Bad("an adjacency matrix with a cycle", GraphError, ("cycle",), lambda: CausalGraph.from_adjacency([[0, 1], [1, 0]], ["X", "Y"])),
    Bad("a one-sided bidirected matrix", GraphError, ("symmetric", "'X', 'Y'"), lambda: CausalGraph.from_adjacency(np.zeros((2, 2)), ["X", "Y"], [[0, 1], [0, 0]])),
    Bad("an adjacency matrix without names", GraphError, ("None", "collection"), lambda: CausalGraph.from_adjacency(np.zeros((2, 2)), None)),
]  # fmt: skip

TEXTS = {
    "nothing": ("", ("line 1", "expected")),
    "no braces": ("digraph X -> Y", ("line 1", "expected '{'")),
    "an open brace": ("digraph { X -> Y", ("line 1", "the end of the text")),
    "an undirected graph": ("graph { X -- Y }", ("line 1", "expected 'digraph'")),
    "an undirected edge": ("digraph { X -- Y }", ("undirected",)),
    "an unknown direction": ("digraph { X -> Y [dir=up] }", ("dir='up'", "forward")),
    "an arrow to nothing": ("digraph { X -> }", ("expected a name", "'}'")),
    "an open string": ('digraph { "X -> Y }', ("does not end",)),
    "a strange sign": ("digraph { X -> Y § }", ("'§'",)),
    "more after the end": ("digraph { X -> Y } Z", ("expected the end",)),
    "a cycle": ("digraph { X -> Y -> X }", ("cycle", "'X'")),
    "a self-loop": ("digraph { X -> X }", ("self-loop", "'X'")),
    "braces without end": ("digraph {" + "{" * 100_000, ("DOT", "braces", "flat")),
    "a port without a name": ("digraph { X: -> Y }", ("column 14", "expected a name")),
    "a label in HTML without end": ("digraph { X [label=<<b>x</b>] }", ("column 20", "does not end")),
    "an error on line 3": ("digraph {\n X -> Y;\n Y -> ;\n}", ("line 3",)),
}
WRITTEN = [
    Bad(f"DOT with {what}", GraphError, says, lambda text=text: CausalGraph.from_dot(text)) for what, (text, says) in TEXTS.items()
] + [
    Bad("DOT as None", GraphError, ("DOT", "NoneType"), lambda: CausalGraph.from_dot(None)),
    Bad("DOT as a path", GraphError, ("line 1",), lambda: CausalGraph.from_dot("my/graph.dot")),
    Bad("DOT as bytes", GraphError, ("DOT", "bytes"), lambda: CausalGraph.from_dot(b"digraph { X -> Y }")),
    Bad("dagitty of a class of graphs", GraphError, ("'dag'", "'pag'"), lambda: CausalGraph.from_dagitty("pag { X -> Y }")),
    Bad("dagitty in the words of DOT", GraphError, ("dagitty", "expected 'dag'"), lambda: CausalGraph.from_dagitty("digraph { X -> Y }")),
    Bad("dagitty with a cycle", GraphError, ("cycle",), lambda: CausalGraph.from_dagitty("dag { X -> Y -> X }")),
    Bad("dagitty as a graph", GraphError, ("dagitty", "CausalGraph"), lambda: CausalGraph.from_dagitty(DAG)),
    Bad("dagitty that ends early", GraphError, ("dagitty", "line 1"), lambda: CausalGraph.from_dagitty("dag { X [latent")),
]  # fmt: skip

ASKED = {
    "parents": lambda v: ADMG.parents(v),
    "children": lambda v: ADMG.children(v),
    "siblings": lambda v: ADMG.siblings(v),
    "ancestors": lambda v: ADMG.ancestors(v),
    "descendants": lambda v: ADMG.descendants(["X", v]),
    "district": lambda v: ADMG.district(v),
    "markov_blanket": lambda v: ADMG.markov_blanket(v),
    "do": lambda v: ADMG.do([v]),
    "remove_outgoing": lambda v: ADMG.remove_outgoing(v),
    "subgraph": lambda v: ADMG.subgraph(["X", v]),
    "latent_projection": lambda v: ADMG.latent_projection(["X", v]),
    "m_separated": lambda v: ADMG.m_separated("X", v),
    "m_separated given": lambda v: ADMG.m_separated("X", "Y", given=[v]),
    "d_separated": lambda v: DAG.d_separated(v, "Y"),
}
NAMES = {"an unknown variable": "Q", "a number": 3, "None": None, "a list of lists": ["X"]}
QUESTIONS = [
    Bad(f"{method} of {what}", UnknownVariableError, (f"{name!r}", "variables are: Z, X"), lambda ask=ask, name=name: ask(name))
    for method, ask in ASKED.items()
    for what, name in (NAMES.items() if method in ("parents", "do", "m_separated given") else [("an unknown variable", "Q")])
    if not (method == "m_separated given" and what == "None")
] + [
    Bad("separation of a set from itself", GraphError, ("'X'", "xs", "ys", "disjoint"), lambda: ADMG.m_separated("X", ["X", "Y"])),
    Bad("separation given one of the sets", GraphError, ("'X'", "given", "disjoint"), lambda: ADMG.m_separated("X", "Y", given="X")),
    Bad("d-separation with hidden confounding", GraphError, ("'X' <-> 'Y'", "m_separated"), lambda: ADMG.d_separated("X", "Y")),
    Bad("the graph of None", ModelError, ("model", "NoneType"), lambda: CausalGraph.from_model(None)),
    Bad("the graph of a model without sites", ModelError, ("sites", "pyro.sample"), lambda: CausalGraph.from_model(silent)),
    Bad("the graph of a model with two sites of a name", ModelError, ("'X'", "Rename"), lambda: CausalGraph.from_model(twice)),
    Bad("the graph of a model that computes a site again", ModelError, ("'X'", "Rename"), lambda: CausalGraph.from_model(computed_twice)),
    Bad("the graph of a model with arguments", ModelError, ("'x'", "argument"), lambda: CausalGraph.from_model(lambda x: x)),
]  # fmt: skip

CASES = [*BUILT, *WRITTEN, *QUESTIONS]
