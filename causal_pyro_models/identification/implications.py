"""What a graph says about data: the conditional independences and the Verma constraints that it implies."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from causal_pyro_models.arrays import Array
from causal_pyro_models.errors import GraphError
from causal_pyro_models.graph import CausalGraph, GraphLike, as_graph
from causal_pyro_models.graph.separators import closest_separator, separator_between
from causal_pyro_models.identification.deciding.bit_graph import BitGraph, bits
from causal_pyro_models.identification.deciding.equalities import (
    Equality,
    Extracted,
    Marginal,
    Statement,
    contiguous_order,
)
from causal_pyro_models.identification.deciding.interventional import chain
from causal_pyro_models.identification.expressions.expression import Expression, in_order
from causal_pyro_models.identification.expressions.simplification import simplified
from causal_pyro_models.identification.laws.tabulation import Tabulator

EMPTY: frozenset[str] = frozenset()
CONSTANT = 1e-9  # relative range below which a function of probabilities is taken not to vary


@dataclass(frozen=True)
class Independence:
    """A conditional independence that a graph implies.

    Attributes:
        xs, ys: sets of variables that are independent of one another.
        given: what they are independent given.

    Example:
        >>> print(Independence(frozenset("X"), frozenset("YW"), frozenset("Z")))
        X ⊥ W, Y | Z
    """

    xs: frozenset[str]
    ys: frozenset[str]
    given: frozenset[str] = EMPTY

    def __str__(self) -> str:
        x, y, z = (", ".join(sorted(names, key=in_order)) for names in (self.xs, self.ys, self.given))
        return f"{x} ⊥ {y} | {z}" if z else f"{x} ⊥ {y}"


@dataclass(frozen=True)
class VermaConstraint:
    """A function of the observed distribution that does not depend on variables in it.

    Attributes:
        expression: the function; it equals P(members | do(parents)), for a set of members that the graph implies.
        members: that set.
        free_of: the variables that the expression has and does not depend on.

    Example:
        >>> edges = [("A", "B"), ("B", "C"), ("C", "D")]
        >>> (constraint,) = verma_constraints(CausalGraph(["A", "B", "C", "D"], edges, bidirected=[("B", "D")]))
        >>> print(constraint)
        sum_b P(d | a, b, c) P(b | a) does not depend on a
    """

    expression: Expression
    members: frozenset[str]
    free_of: frozenset[str]

    def __str__(self) -> str:
        names = ", ".join(sorted((name.lower() for name in self.free_of), key=in_order))
        return f"{self.expression.text()} does not depend on {names}"


def local_independences(graph: GraphLike) -> list[Independence]:
    """The ordered local Markov property: a list of independences from which all m-separations of the graph follow.

    Each variable is independent of what comes before it given its Markov blanket there, for the predecessors and for
    the ancestral subsets of them in which its district is smaller. Without bidirected edges there is at most one for
    each variable.

    Args:
        graph: an acyclic directed mixed graph.

    References:
        Richardson (2003), Markov properties for acyclic directed mixed graphs, theorem 2; Geiger and Pearl (1990), On
        the logic of causal models.

    Example:
        >>> [str(i) for i in local_independences(CausalGraph.from_edges([("X", "Z"), ("Z", "Y"), ("X", "W")]))]
        ['W ⊥ Z | X', 'Y ⊥ W, X | Z']
    """
    graph = as_graph(graph)
    found = []
    order = graph.topological_order
    for i, v in enumerate(order):
        for ancestral in _ancestral_sets(graph.subgraph(order[: i + 1]), v):
            blanket = ancestral.markov_blanket(v)
            if rest := frozenset(ancestral.variables) - blanket - {v}:
                found.append(Independence(frozenset({v}), rest, blanket))
    return found


def _ancestral_sets(graph: CausalGraph, v: str) -> Iterator[CausalGraph]:
    """For each district that v has in an ancestral subset, the subgraph over the largest such subset."""
    waiting = [graph]
    seen = set()
    while waiting:
        current = waiting.pop()
        district = current.district(v)
        outside = {w for member in district for w in graph.siblings(member)} - district
        largest = graph.subgraph(set(graph.variables) - graph.descendants(outside))
        if district in seen:
            continue
        seen.add(district)
        yield largest
        for w in sorted(district - largest.ancestors(v)):
            waiting.append(largest.subgraph(set(largest.variables) - largest.descendants(w)))


def pairwise_independences(graph: GraphLike) -> list[Independence]:
    """One independence for each pair that any set m-separates: given a minimal separator, nearest to the first.

    Args:
        graph: an acyclic directed mixed graph.

    References:
        van der Zander, Liśkiewicz and Textor (2019), Separators and adjustment sets in causal graphs.

    Example:
        >>> [str(i) for i in pairwise_independences(CausalGraph.from_edges([("X", "Z"), ("Z", "Y"), ("X", "W")]))]
        ['X ⊥ Y | Z', 'Z ⊥ W | X', 'Y ⊥ W | Z']
    """
    graph = as_graph(graph)
    usable = frozenset(graph.variables)
    return [
        Independence(x, y, closest_separator(graph, x, y))
        for x, y in combinations(map(frozenset, zip(graph.variables, strict=True)), 2)
        if separator_between(graph, x, y, EMPTY, usable - x - y) is not None
    ]


def verma_constraints(graph: GraphLike) -> list[VermaConstraint]:
    """Constraints on the observed distribution that are no conditional independences, found by Tian's method.

    For each set of variables whose distribution under intervention the graph identifies, its estimand may hold
    variables that it must not depend on. Left out are those that follow from conditional independences.

    Args:
        graph: an acyclic directed mixed graph.

    References:
        Verma and Pearl (1990), Equivalence and synthesis of causal models; Tian and Pearl (2002), On the testable
        implications of causal models with hidden variables.

    Example:
        >>> edges = [("W", "R"), ("R", "X"), ("X", "Y")]
        >>> napkin = CausalGraph(["W", "R", "X", "Y"], edges, bidirected=[("W", "X"), ("W", "Y")])
        >>> [sorted(constraint.free_of) for constraint in verma_constraints(napkin)]
        [['R']]
    """
    graph = as_graph(graph)
    g = BitGraph(graph)
    found = []
    tabulator = None
    for equality in _intrinsic_factors(g):
        members = frozenset(g.named(equality.statement.y))
        needed = members.union(*(graph.parents(v) for v in members))
        expression = simplified(equality.expression(g))
        extra = [symbol for symbol in expression.free if symbol.name not in needed]
        if extra:
            tabulator = tabulator or _generic_law(graph)
            values, axes = tabulator(expression)
            varying = frozenset(s.name for s in extra if _varies(values, axes.index(s)))
            if varying:
                found.append(VermaConstraint(expression, members, varying))
    return found


def _intrinsic_factors(g: BitGraph) -> Iterator[Equality]:
    """How each intrinsic set is identified that is not a district of the whole graph."""
    waiting: list[Equality] = [chain(g, t, g.all) for t in g.districts(g.all)]
    seen = {equality.statement.y for equality in waiting}
    for whole in waiting:  # grows while it is read
        t = whole.statement.y
        for v in bits(t):
            a = t & ~(1 << v)
            if not a or g.descendants(1 << v, t) != 1 << v:
                continue
            rest = Marginal(Statement(a, g.parents_of(a)), whole)
            for d in g.districts(a):
                if d not in seen:
                    seen.add(d)
                    here = Statement(d, g.parents_of(d))
                    part = rest if d == a else Extracted(here, rest, contiguous_order(g, a, d))
                    waiting.append(part)
                    yield part


def _varies(values: Array, axis: int) -> bool:
    return bool((np.ptp(values, axis=axis) > CONSTANT * np.abs(values).max()).any())


def _generic_law(graph: CausalGraph) -> Tabulator:
    """Expressions on a random law with the conditional independences of the graph and no other constraint of it.

    It is one of the maximal ancestral graph with the same m-separations, in which every pair without a separator is
    joined.

    References:
        Richardson and Spirtes (2002), Ancestral graph Markov models.
    """
    every = frozenset(graph.variables)
    directed: list[tuple[str, str]] = []
    bidirected: list[tuple[str, str]] = []
    for a, b in combinations(graph.topological_order, 2):
        x, y = frozenset({a}), frozenset({b})
        if separator_between(graph, x, y, EMPTY, every - x - y) is None:
            (directed if a in graph.ancestors(b) else bidirected).append((a, b))
    rng = np.random.default_rng(0)
    axes = {name: i for i, name in enumerate([*graph.variables, *bidirected])}
    operands: list[object] = []
    for pair in bidirected:
        operands += [rng.dirichlet(np.ones(2)), [axes[pair]]]
    for v in graph.variables:
        inputs = [axes[a] for a, b in directed if b == v] + [axes[pair] for pair in bidirected if v in pair]
        operands += [rng.dirichlet(np.ones(2), size=[2] * len(inputs)), [*inputs, axes[v]]]
    if len(axes) > 40:
        raise GraphError(f"Verma constraints are for small graphs, got {len(graph.variables)} variables.")
    law: Array = np.einsum(*operands, list(range(len(graph.variables))), optimize="greedy")  # type: ignore[call-overload]
    return Tabulator(graph.variables, lambda domain, do: law)
