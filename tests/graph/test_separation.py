"""m-separation against its definition by paths, against networkx, and against the moral graph."""

import itertools
import random

import networkx as nx
import pytest

from causal_pyro_models.errors import GraphError, UnknownVariableError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.graph.separation import open_path
from tests.generators import examples
from tests.graph.oracles import canonical_dag, disjoint_queries, is_m_connected
from tests.graph.random_graphs import random_graph, random_sets


@examples(150)
def test_m_separation_is_the_absence_of_an_open_path(rng):
    graph = random_graph(rng, 5, least=0)
    for x, y, z in disjoint_queries(graph.variables):
        assert graph.m_separated(x, y, z) == (not is_m_connected(graph, x, y, z)), (graph, x, y, z)


@examples(300)
def test_m_separation_is_d_separation_in_the_canonical_dag(rng):
    graph = random_graph(rng, 9, least=0)
    xs, ys, z = random_sets(rng, graph)
    expected = nx.is_d_separator(canonical_dag(graph), xs, ys, z)
    assert graph.m_separated(xs, ys, z) == graph.m_separated(ys, xs, z) == expected


@examples(200)
def test_separation_in_the_moral_graph_of_the_ancestors(rng):
    """Richardson (2003), theorem 1: m-separation is separation in the augmented graph of the ancestral set."""
    graph = random_graph(rng, 9, least=0)
    xs, ys, z = random_sets(rng, graph)
    moral = graph.subgraph(graph.ancestors(xs | ys | z)).moral()
    moral.remove_nodes_from(z)
    joined = any(nx.has_path(moral, x, y) for x, y in itertools.product(xs, ys))
    assert graph.m_separated(xs, ys, z) == (not joined)


@examples(150)
def test_the_markov_blanket_is_the_smallest_set_that_separates_from_the_rest(rng):
    graph = random_graph(rng, 7, least=0)
    for v in graph.variables:
        blanket = graph.markov_blanket(v)
        assert graph.m_separated(v, set(graph.variables) - blanket - {v}, blanket)
        assert set(graph.moral()[v]) == blanket
        for w in blanket:
            assert not graph.m_separated(v, w, set(graph.variables) - {v, w})


@examples(100)
def test_d_separation_is_m_separation_without_confounding(rng):
    graph = random_graph(rng, 7, confounded=False, least=0)
    xs, ys, z = random_sets(rng, graph)
    assert graph.d_separated(xs, ys, z) == graph.m_separated(xs, ys, z)


@pytest.mark.parametrize(
    ("edges", "bidirected", "given_none", "given_m"),
    [
        ([("X", "M"), ("M", "Y")], [], False, True),  # chain
        ([("M", "X"), ("M", "Y")], [], False, True),  # fork
        ([("X", "M"), ("Y", "M")], [], True, False),  # collider
        ([], [("X", "M"), ("M", "Y")], True, False),  # bidirected collider
        ([("X", "M")], [("M", "Y")], True, False),
        ([("M", "X")], [("M", "Y")], False, True),
    ],
)
def test_three_variables(edges, bidirected, given_none, given_m):
    graph = CausalGraph(["X", "M", "Y"], edges, bidirected)
    assert graph.m_separated("X", "Y") is given_none
    assert graph.m_separated("X", "Y", "M") is given_m


def test_conditioning_on_a_descendant_opens_a_collider():
    graph = CausalGraph.from_edges([("X", "C"), ("Y", "C"), ("C", "D"), ("D", "E")])
    assert graph.d_separated("X", "Y")
    assert not graph.d_separated("X", "Y", "E")


def test_an_empty_set_is_separated_from_everything():
    graph = CausalGraph.from_edges([("X", "Y")])
    assert graph.m_separated([], "Y") and graph.m_separated("X", [])


def test_d_separation_refuses_bidirected_edges():
    with pytest.raises(GraphError, match=r"'X' <-> 'Y'.*m_separated"):
        CausalGraph(["X", "Y"], [], [("X", "Y")]).d_separated("X", "Y")


@pytest.mark.parametrize("sets", [("X", "X", ()), (["X", "Y"], "Z", "X"), ("Z", "Y", ["X", "Y"])])
def test_overlapping_sets_are_refused(sets):
    graph = CausalGraph(["X", "Y", "Z"], [])
    with pytest.raises(GraphError, match="disjoint"):
        graph.m_separated(*sets)


@pytest.mark.parametrize("sets", [("Treatmnt", "Y"), ("Y", ["Treatmnt"]), ("Y", (), {"Treatmnt"})])
def test_unknown_names_suggest_the_nearest(sets):
    graph = CausalGraph(["Treatment", "Y"], [])
    with pytest.raises(UnknownVariableError, match="Did you mean 'Treatment'"):
        graph.m_separated(*sets)


def test_two_thousand_variables():
    rng = random.Random(0)
    names = [f"V{i}" for i in range(2000)]
    pairs = set()
    while len(pairs) < 7000:
        pairs.add(tuple(names[i] for i in sorted(rng.sample(range(2000), 2))))
    pairs = sorted(pairs)
    graph = CausalGraph(names, pairs[:6000], pairs[6000:])
    dag = canonical_dag(graph)
    for _ in range(20):
        x, y, *z = rng.sample(names, 30)
        assert graph.m_separated(x, y, z) == nx.is_d_separator(dag, {x}, {y}, set(z))
    kept = names[::2]
    projected = graph.latent_projection(kept)
    for _ in range(20):
        x, y, *z = rng.sample(kept, 30)
        assert graph.m_separated(x, y, z) == projected.m_separated(x, y, z)


@examples(300)
def test_an_open_path_is_drawn_where_there_is_one(rng):
    """Every step of the path is an edge, and each inner variable lets it pass, by the definition."""
    graph = random_graph(rng, 8)
    role = {v: rng.choice(list("xyzzz--")) for v in graph.variables}
    xs, ys, z = ({v for v in role if role[v] == r} for r in "xyz")
    path = open_path(graph, xs, ys, z)
    assert bool(path) == (not graph.m_separated(xs, ys, z))
    if not path:
        return
    names, arrows = path.split(" ")[::2], path.split(" ")[1::2]
    assert names[0] in xs and names[-1] in ys and len(set(names)) == len(names)
    for a, arrow, b in zip(names, arrows, names[1:], strict=False):
        edge = {"->": (a, b) in graph.edges, "<-": (b, a) in graph.edges, "<->": b in graph.siblings(a)}
        assert edge[arrow]
    for before, v, after in zip(arrows, names[1:], arrows[1:], strict=False):
        collider = before.endswith(">") and after.startswith("<")
        assert v in graph.ancestors(z) if collider else v not in z
