"""Separators against the definition: every subset is tried."""

import itertools

import pytest

from causal_pyro_models.errors import GraphError, NoValidSetError, QueryError, UnknownVariableError
from causal_pyro_models.graph import (
    CausalGraph,
    closest_separator,
    is_minimal_separator,
    minimal_separators,
    minimum_separator,
    separators,
)
from tests.generators import examples
from tests.graph.random_graphs import random_graph, shuffled

CHAIN = CausalGraph.from_edges([("X", "A"), ("A", "B"), ("B", "Y")])


def subsets(variables):
    variables = list(variables)
    for size in range(len(variables) + 1):
        yield from map(frozenset, itertools.combinations(variables, size))


def random_problem(rng, max_variables=6):
    """A graph, disjoint xs, ys (not empty) and included, and the observed variables."""
    if rng.random() < 0.5:
        graph = parallel_paths(rng, max_variables)
        (first, *rest, second), shares = graph.variables, [0.0, 0.0, 0.1, 0.1, 0.8]
    else:
        graph = random_graph(rng, max_variables)
        (first, second, *rest), shares = shuffled(rng, graph.variables), [0.1, 0.1, 0.1, 0.15, 0.55]
    roles = dict(zip(rest, rng.choice(list("xyio-"), len(rest), p=shares).tolist(), strict=True))
    roles |= {first: "x", second: "y"}
    x, y, i, hidden = (frozenset(v for v in roles if roles[v] == role) for role in "xyio")
    return graph, x, y, i, frozenset(graph.variables) - hidden


def parallel_paths(rng, max_variables):
    """The first variable joined to the last by open paths through all others, which many sets cut, and a few edges."""
    first, *between, last = (f"V{i}" for i in range(max_variables))
    edges = set()
    for names in (between[::2], between[1::2]):
        path, turn = [first, *names, last], int(rng.integers(len(names) + 1))
        edges |= {(b, a) if i < turn else (a, b) for i, (a, b) in enumerate(itertools.pairwise(path))}
    order = CausalGraph.from_edges(edges).topological_order
    more = [pair for pair in itertools.combinations(order, 2) if rng.random() < 0.05 and pair != (first, last)]
    return CausalGraph([first, *between, last], edges.union(more), [pair for pair in more if rng.random() < 0.3])


def brute_force(graph, x, y, included, observed):
    usable = observed - x - y - included
    return {included | z for z in subsets(usable) if graph.m_separated(x, y, included | z)}


@examples(150)
def test_all_separators(rng):
    problem = random_problem(rng)
    graph, x, y, i, observed = problem
    found = list(separators(graph, x, y, included=i, observed=observed))
    assert len(found) == len(set(found)) and set(found) == brute_force(*problem)


@examples(250)
def test_minimal_separators(rng):
    problem = random_problem(rng, 7)
    graph, x, y, i, observed = problem
    every = brute_force(*problem)
    minimal = {z for z in every if not any(other < z for other in every)}
    found = list(minimal_separators(graph, x, y, included=i, observed=observed))
    assert len(found) == len(set(found)) and set(found) == minimal
    for z in every:
        assert is_minimal_separator(graph, x, y, z, included=i) == (
            not any(other < z for other in brute_force(graph, x, y, i, z))
        )


@examples(250)
def test_a_minimum_separator_costs_the_least(rng):
    problem = random_problem(rng, 7)
    graph, x, y, i, observed = problem
    cost = {v: int(rng.integers(1, 4)) for v in graph.variables}
    every = brute_force(*problem)
    if not every:
        for find in (minimum_separator, closest_separator):
            with pytest.raises(NoValidSetError, match="separates"):
                find(graph, x, y, included=i, observed=observed)
        return
    cheapest = minimum_separator(graph, x, y, included=i, observed=observed, cost=cost)
    assert cheapest in every
    assert sum(cost[v] for v in cheapest) == min(sum(cost[v] for v in z) for z in every)
    smallest = minimum_separator(graph, x, y, included=i, observed=observed)
    assert smallest in every and len(smallest) == min(map(len, every))


@examples(150)
def test_the_closest_separator_leaves_the_most_connected_to_the_other_side(rng):
    problem = random_problem(rng, 6)
    graph, x, y, i, observed = problem
    minimal = list(minimal_separators(graph, x, y, included=i, observed=observed))
    if not minimal:
        return
    moral = graph.subgraph(graph.ancestors(x | y | i)).moral()

    def beyond(z):
        rest = moral.subgraph(set(moral) - z)
        joined = set(y)
        while more := {w for v in joined for w in rest[v]} - joined:
            joined |= more
        return joined

    closest = closest_separator(graph, x, y, included=i, observed=observed)
    assert closest == minimal[0]
    for z in minimal:
        assert beyond(z) <= beyond(closest)


def test_neighbours_have_no_separator():
    graph = CausalGraph(["X", "Y", "Z"], [("X", "Y")])
    assert not list(separators(graph, "X", "Y")) and not list(minimal_separators(graph, "X", "Y"))


def test_a_separator_may_have_to_hold_a_collider():
    graph = CausalGraph.from_edges([("X", "C"), ("Y", "C"), ("X", "A"), ("A", "Y")])
    with pytest.raises(NoValidSetError):
        closest_separator(graph, "X", "Y", included="C")
    assert closest_separator(graph, "X", "Y") == {"A"}


@pytest.mark.parametrize(
    "find", [separators, minimal_separators, closest_separator, minimum_separator], ids=lambda find: find.__name__
)
def test_mistakes_are_named_at_once(find):
    with pytest.raises(UnknownVariableError, match="'Q'"):
        find(CHAIN, "X", "Q")
    with pytest.raises(UnknownVariableError, match="'Q'"):
        find(CHAIN, "X", "Y", observed=["A", "Q"])
    with pytest.raises(GraphError, match="disjoint"):
        find(CHAIN, "X", ["X", "Y"])
    with pytest.raises(GraphError, match="included"):
        find(CHAIN, "X", "Y", included="X")


@pytest.mark.parametrize("cost", [{"A": 0}, {"A": float("nan")}, {"A": "cheap"}, {"A": True}, [1, 2]])
def test_costs_are_positive_numbers(cost):
    with pytest.raises(QueryError, match="positive number"):
        minimum_separator(CHAIN, "X", "Y", cost=cost)
    with pytest.raises(UnknownVariableError, match="'Q'"):
        minimum_separator(CHAIN, "X", "Y", cost={"Q": 1})
