"""A layout keeps causes above effects, nodes and edges clear of each other, and crossings few."""

from itertools import combinations, pairwise

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.plots.layout import GAP, layered


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 14))
    names = [f"V{i}" * draw(st.integers(1, 4)) for i in range(n)]
    pairs = list(combinations(names, 2))
    return CausalGraph(names, draw(st.lists(st.sampled_from(pairs), unique=True, max_size=25)) if pairs else [])


def widths(graph):
    return {v: 0.6 * len(v) + 1 for v in graph.variables}


@settings(max_examples=60)
@given(graphs())
def test_causes_lie_above_effects_and_nodes_apart(graph):
    places, routes = layered(graph, widths(graph))
    assert set(places) == set(graph.variables) and set(routes) == set(graph.edges)
    for (a, b), route in routes.items():
        assert route[0] == places[a] and route[-1] == places[b]
        assert all(upper[1] > lower[1] for upper, lower in pairwise(route))
    for (u, (xu, yu)), (v, (xv, yv)) in combinations(places.items(), 2):
        if yu == yv:
            assert abs(xu - xv) >= (widths(graph)[u] + widths(graph)[v]) / 2 + GAP - 1e-9


@settings(max_examples=60)
@given(graphs())
def test_edges_pass_beside_nodes(graph):
    places, routes = layered(graph, widths(graph))
    for route in routes.values():
        for x, y in route[1:-1]:
            for v, (xv, yv) in places.items():
                assert y != yv or abs(x - xv) >= widths(graph)[v] / 2 + GAP - 1e-9


def segments_crossing(routes):
    """Pairs of segments between the same two layers that cross."""
    by_layer = {}
    for route in routes:
        for (x0, y0), (x1, y1) in pairwise(route):
            by_layer.setdefault((y0, y1), []).append((x0, x1))
    return sum(
        (a0 - b0) * (a1 - b1) < 0 for pairs in by_layer.values() for (a0, a1), (b0, b1) in combinations(pairs, 2)
    )


@pytest.mark.parametrize("seed", range(3))
def test_fewer_crossings_than_layers_in_the_order_given(seed):
    rng = np.random.default_rng(seed)
    names = [f"V{i}" for i in range(25)]
    edges = [(a, b) for a, b in combinations(names, 2) if rng.random() < 0.08]
    graph = CausalGraph(names, edges)
    _, routes = layered(graph, widths(graph))
    plain = nx.multipartite_layout(
        nx.DiGraph(edges), {i: [v for v in layer if graph.parents(v) or graph.children(v)] for i, layer in
                            enumerate(graph.generations)}, align="horizontal",
    )  # fmt: skip
    straight = sum(
        _cross(plain[a], plain[b], plain[c], plain[d])
        for (a, b), (c, d) in combinations(edges, 2)
        if len({a, b, c, d}) == 4
    )
    assert segments_crossing(routes.values()) < 0.7 * straight


def _cross(a, b, c, d):
    def side(p, q, r):
        return np.sign((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]))

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def test_a_tree_has_no_crossings():
    edges = [(f"{'0' * i}x{j}", f"{'0' * (i + 1)}x{2 * j + k}") for i in range(4) for j in range(2**i) for k in (1, 0)]
    graph = CausalGraph.from_edges(sorted(edges, key=lambda e: hash(e) % 7))
    assert segments_crossing(layered(graph, widths(graph))[1].values()) == 0
