"""Separators: all, minimal and minimum ones, as vertex cuts of the moral graph of the ancestors."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import combinations
from numbers import Real
from typing import Any

import networkx as nx

from causal_pyro_models.errors import NoValidSetError, QueryError, unknown_variable
from causal_pyro_models.graph.causal_graph import CausalGraph
from causal_pyro_models.graph.forms import GraphLike, as_graph
from causal_pyro_models.graph.separation import m_connected
from causal_pyro_models.graph.validation import Names, checked_sets

_SOURCE, _TARGET = 0, 1  # what xs and ys become in a cut graph; names are strings


def separators(
    graph: GraphLike, xs: Names, ys: Names, *, included: Names = (), observed: Names | None = None
) -> Iterator[frozenset[str]]:
    """Every set that m-separates ``xs`` from ``ys``; there may be exponentially many, with polynomial delay.

    Args:
        graph: an acyclic directed mixed graph.
        xs, ys: disjoint sets of variables.
        included: variables that every separator must hold.
        observed: the variables that may be used; None for all.

    Raises:
        GraphError: where the sets overlap.
        UnknownVariableError: for a name that the graph does not have.

    References:
        van der Zander, Liśkiewicz and Textor (2019), Separators and adjustment sets in causal graphs: complete criteria
        and an algorithmic framework, algorithm ListSep.

    Example:
        >>> graph = CausalGraph.from_edges([("X", "A"), ("A", "B"), ("B", "Y")])
        >>> [sorted(z) for z in separators(graph, "X", "Y")]
        [['A', 'B'], ['A'], ['B']]
    """
    graph = as_graph(graph)
    x, y, inside, usable = _checked(graph, xs, ys, included, observed)

    def exists(inner: frozenset[str], outer: frozenset[str]) -> bool:
        return separator_between(graph, x, y, inner, outer) is not None

    return sets_between(graph, inside, usable, exists)


def minimal_separators(
    graph: GraphLike, xs: Names, ys: Names, *, included: Names = (), observed: Names | None = None
) -> Iterator[frozenset[str]]:
    """The separators of which no proper subset, that has ``included``, separates; the closest to ``xs`` comes first.

    Args:
        graph, xs, ys, included, observed: see :func:`separators`.

    References:
        van der Zander, Liśkiewicz and Textor (2019), Separators and adjustment sets in causal graphs, proposition 3.16
        (they are cuts of the moral graph); Shen and Liang (1997), Efficient enumeration of all minimal separators in a
        graph.

    Example:
        >>> graph = CausalGraph.from_edges([("X", "A"), ("A", "B"), ("B", "Y")])
        >>> [sorted(z) for z in minimal_separators(graph, "X", "Y")]
        [['A'], ['B']]
    """
    graph = as_graph(graph)
    x, y, inside, usable = _checked(graph, xs, ys, included, observed)
    return (inside | cut for cut in _minimal_cuts(_cut_graph(graph, x, y, inside, usable)))


def closest_separator(
    graph: GraphLike, xs: Names, ys: Names, *, included: Names = (), observed: Names | None = None
) -> frozenset[str]:
    """The minimal separator closest to ``xs``: what it leaves connected to ``ys`` is as much as can be.

    Args:
        graph, xs, ys, included, observed: see :func:`separators`.

    Raises:
        NoValidSetError: where nothing that is observed separates them. Otherwise as :func:`separators`.

    References:
        van der Zander, Textor and Liśkiewicz (2015), Efficiently finding conditional instruments for causal inference
        (nearest separators).

    Example:
        >>> graph = CausalGraph.from_edges([("X", "A"), ("A", "B"), ("B", "Y")])
        >>> sorted(closest_separator(graph, "X", "Y"))
        ['A']
    """
    graph = as_graph(graph)
    for found in minimal_separators(graph, xs, ys, included=included, observed=observed):
        return found
    raise _inseparable(graph, xs, ys)


def minimum_separator(
    graph: GraphLike,
    xs: Names,
    ys: Names,
    *,
    included: Names = (),
    observed: Names | None = None,
    cost: Mapping[str, float] | None = None,
) -> frozenset[str]:
    """A separator with the fewest variables, or of the least total cost.

    Args:
        graph, xs, ys, included, observed: see :func:`separators`.
        cost: variable -> what it costs to use, a positive number; 1 where it is not named.

    Raises:
        NoValidSetError: where nothing that is observed separates them.
        QueryError: a cost that is no positive number. Otherwise as :func:`separators`.

    References:
        van der Zander, Liśkiewicz and Textor (2019), Separators and adjustment sets in causal graphs, algorithm
        FindMinCostSep.

    Example:
        >>> graph = CausalGraph.from_edges([("A", "X"), ("B", "X"), ("A", "C"), ("B", "C"), ("C", "Y")])
        >>> sorted(minimum_separator(graph, "X", "Y")), sorted(minimum_separator(graph, "X", "Y", cost={"C": 3}))
        (['C'], ['A', 'B'])
    """
    graph = as_graph(graph)
    x, y, inside, usable = _checked(graph, xs, ys, included, observed)
    price = dict.fromkeys(graph.variables, 1.0) | _checked_cost(graph, cost)
    cuts = _cut_graph(graph, x, y, inside, usable)
    if cuts.has_edge(_SOURCE, _TARGET):
        raise _inseparable(graph, xs, ys)
    flow = nx.DiGraph()
    flow.add_nodes_from([(_SOURCE, "out"), (_TARGET, "in")])
    flow.add_edges_from(((v, "in"), (v, "out"), {"capacity": price[v]}) for v in cuts if v not in (_SOURCE, _TARGET))
    flow.add_edges_from(edge for a, b in cuts.edges for edge in (((a, "out"), (b, "in")), ((b, "out"), (a, "in"))))
    _, (near, _) = nx.minimum_cut(flow, (_SOURCE, "out"), (_TARGET, "in"))
    return inside | {v for v, side in near if side == "in" and (v, "out") not in near and v != _SOURCE}


def is_minimal_separator(graph: GraphLike, xs: Names, ys: Names, given: Names, *, included: Names = ()) -> bool:
    """Whether ``given`` m-separates ``xs`` from ``ys``, and no proper subset of it that has ``included`` does.

    Args:
        graph, xs, ys, included: see :func:`separators`.
        given: the set in question.

    Example:
        >>> graph = CausalGraph.from_edges([("X", "A"), ("A", "B"), ("B", "Y")])
        >>> is_minimal_separator(graph, "X", "Y", "A"), is_minimal_separator(graph, "X", "Y", ["A", "B"])
        (True, False)
    """
    graph = as_graph(graph)
    x, y, z = checked_sets(graph.variables, xs=xs, ys=ys, given=given)
    _, _, inside, _ = _checked(graph, xs, ys, included, None)
    smaller = (separator_between(graph, x, y, inside, z - {v}) for v in z - inside)
    return inside <= z and graph.m_separated(x, y, z) and all(found is None for found in smaller)


def separator_between(
    graph: CausalGraph, x: frozenset[str], y: frozenset[str], included: frozenset[str], usable: frozenset[str]
) -> frozenset[str] | None:
    """A separator that holds ``included`` and otherwise only ``usable``; None where there is none: O(V + E)."""
    z = (graph.ancestors(x | y | included) & usable - x - y) | included
    return z if y.isdisjoint(m_connected(graph, x, z)) else None


def sets_between(
    graph: CausalGraph,
    included: frozenset[str],
    usable: frozenset[str],
    exists: Callable[[frozenset[str], frozenset[str]], bool],
) -> Iterator[frozenset[str]]:
    """Every set between ``included`` and ``usable`` of a kind for which a test tells whether any lies between two."""
    stack = [(included, usable | included)]
    while stack:
        inner, outer = stack.pop()
        if not exists(inner, outer):
            continue
        if inner == outer:
            yield inner
        else:
            v = next(v for v in graph.variables if v in outer and v not in inner)
            stack += [(inner, outer - {v}), (inner | {v}, outer)]


def _checked(
    graph: CausalGraph, xs: Names, ys: Names, included: Names, observed: Names | None
) -> tuple[frozenset[str], frozenset[str], frozenset[str], frozenset[str]]:
    """xs, ys, included, and the observed variables that are none of these."""
    x, y, inside = checked_sets(graph.variables, xs=xs, ys=ys, included=included)
    (usable,) = checked_sets(graph.variables, observed=graph.variables if observed is None else observed)
    return x, y, inside, usable - x - y - inside


def _checked_cost(graph: CausalGraph, cost: Any) -> dict[str, float]:
    if cost is not None and not isinstance(cost, Mapping):
        raise QueryError(f"cost must be a dict from variable to a positive number, got {cost!r:.80}.")
    for name, value in (cost or {}).items():
        if name not in graph.variables:
            raise unknown_variable(name, graph.variables)
        if isinstance(value, bool) or not isinstance(value, Real) or not 0.0 < float(value) < math.inf:
            raise QueryError(f"the cost of {name!r} must be a positive number, got {value!r:.80}.")
    return dict(cost or {})


def _inseparable(graph: CausalGraph, xs: Names, ys: Names) -> NoValidSetError:
    x, y = checked_sets(graph.variables, xs=xs, ys=ys)
    return NoValidSetError(f"no set of observed variables m-separates {sorted(x)} from {sorted(y)}: measure others.")


def _cut_graph(
    graph: CausalGraph, x: frozenset[str], y: frozenset[str], included: frozenset[str], usable: frozenset[str]
) -> "nx.Graph[Any]":
    """The undirected graph over the usable variables whose cuts between the two ends are the separators."""
    moral: nx.Graph[Any] = graph.subgraph(graph.ancestors(x | y | included)).moral()
    moral.remove_nodes_from(included)
    hidden = set(moral) - usable - x - y
    for component in list(nx.connected_components(moral.subgraph(hidden))):
        moral.add_edges_from(combinations(set(nx.node_boundary(moral, component)), 2))
    moral.remove_nodes_from(hidden)
    cuts = nx.relabel_nodes(moral, dict.fromkeys(x, _SOURCE) | dict.fromkeys(y, _TARGET))
    cuts.add_nodes_from([_SOURCE, _TARGET])
    cuts.remove_edges_from(list(nx.selfloop_edges(cuts)))
    return cuts


def _minimal_cuts(cuts: "nx.Graph[Any]") -> Iterator[frozenset[str]]:
    """The minimal cuts between source and target, each pushed on from one closer to the source (Shen and Liang)."""
    if cuts.has_edge(_SOURCE, _TARGET):
        return
    waiting = [_closest_cut(cuts, {_SOURCE})]
    seen = set(waiting)
    while waiting:
        cut = waiting.pop()
        yield cut
        side = _component(cuts, _SOURCE, cut)
        further = (_closest_cut(cuts, side | {v}) for v in sorted(cut) if not cuts.has_edge(v, _TARGET))
        fresh = [new for new in dict.fromkeys(further) if new not in seen]
        seen.update(fresh)
        waiting += fresh


def _closest_cut(cuts: "nx.Graph[Any]", side: set[Any]) -> frozenset[str]:
    """The minimal cut closest to a connected set that holds the source and has no neighbour of the target."""
    rim = set(nx.node_boundary(cuts, side))
    beyond = _component(cuts, _TARGET, rim)
    return frozenset(nx.node_boundary(cuts, beyond))


def _component(cuts: "nx.Graph[Any]", start: Any, without: Collection[Any]) -> set[Any]:
    """What a node is connected to once some nodes are removed."""
    seen, stack = {start}, [start]
    while stack:
        fresh = [v for v in cuts[stack.pop()] if v not in seen and v not in without]
        seen.update(fresh)
        stack += fresh
    return seen
