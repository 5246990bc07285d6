"""Counterfactual probabilities as linear functions of the law of response types.

A response type of a variable is a function from the values of its parents to its own. Whatever the hidden variables of
a district are, all they do is choose the response types of its members, so that a joint law of response types for each
district is the most general model (Balke and Pearl 1994).
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from causal_pyro_models.errors import QueryError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification.expression import Symbol, Term
from causal_pyro_models.identification.joint import Array, JointTable

MAXIMUM_TYPES = 300_000
"""Combinations of response types beyond which a program is refused."""

Ints = NDArray[np.int64]


class Node(NamedTuple):
    """A variable in a world: only those interventions are listed that it can feel."""

    name: str
    world: tuple[tuple[str, "Source"], ...]


Source: TypeAlias = "int | Node"
"""A value, by its place among the states of the variable; or what a variable is in a world."""


class Worlds:
    """The worlds of some counterfactual events, on one graph.

    Args:
        graph: an acyclic directed mixed graph.
        table: the joint law of its variables.
    """

    def __init__(self, graph: CausalGraph, table: JointTable) -> None:
        self.graph, self.table = graph, table
        self._felt: dict[tuple[str, frozenset[str]], frozenset[str]] = {}

    def event(self, term: Term) -> tuple[Source, int]:
        """What a term says: that a variable in a world has a value."""
        if isinstance(term.value, Symbol):
            raise QueryError(f"bounds need a value for {term.name!r}: write {term.name}=1 rather than {term.name}.")
        return self.node(term.name, self._world(term.do)), self.table.index(term.name, term.value)

    def node(self, name: str, world: Mapping[str, Source]) -> Source:
        """A variable under interventions."""
        if name in world:
            return world[name]
        cut = frozenset(world)
        if (name, cut) not in self._felt:
            self._felt[name, cut] = self.graph.do(cut).ancestors(name)
        felt = self._felt[name, cut]
        return Node(name, tuple((action, world[action]) for action in sorted(world) if action in felt))

    def _world(self, actions: Sequence[Term]) -> dict[str, Source]:
        return {a.name: self.node(a.name, self._world(a.do)) if a.do else self.event(a)[1] for a in actions}

    def parents(self, node: Node) -> dict[str, Source]:
        """What the parents of a variable are in its world."""
        world = dict(node.world)
        return {parent: self.node(parent, world) for parent in self.graph.parents(node.name)}

    def ancestry(self, sources: Sequence[Source]) -> list[Node]:
        """All that has to be known to evaluate some nodes, causes before effects."""
        found: dict[Node, None] = {}

        def visit(source: Source) -> None:
            if isinstance(source, Node) and source not in found:
                for parent in self.parents(source).values():
                    visit(parent)
                found[source] = None

        for source in sources:
            visit(source)
        return list(found)


def kernel(graph: CausalGraph, table: JointTable, kept: frozenset[str]) -> Array:
    """Tian's Q-factor of the members ``kept`` of a district, P(kept | do(their parents)), NaN where data cannot say.

    An axis for each variable of the graph, of size 1 for those that do not matter. The members that are left out are
    summed over; they must not be parents of those kept.

    References:
        Tian and Pearl (2002), A general identification condition for causal effects, lemma 1.
    """
    order = graph.topological_order
    district = graph.district(next(iter(kept)))
    result = np.ones([1] * len(order))
    for v in (v for v in order if v in district):
        before = graph.subgraph(order[: order.index(v) + 1])
        blanket = before.markov_blanket(v)
        numerator = _over(graph, table, blanket | {v})
        denominator = _over(graph, table, blanket)
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = numerator / denominator
            result = np.where(result == 0.0, 0.0, result * factor)
    axes = {v: i for i, v in enumerate(graph.variables)}
    result = result.sum(tuple(axes[v] for v in district - kept), keepdims=True)
    needed = kept.union(*(graph.parents(v) for v in kept))
    return _average(result, tuple(axes[v] for v in graph.variables if v not in needed and result.shape[axes[v]] > 1))


def _over(graph: CausalGraph, table: JointTable, names: frozenset[str]) -> Array:
    """A marginal law with an axis for each variable of the graph."""
    kept = [v for v in graph.variables if v in names]
    sizes = [len(table.states[v]) if v in names else 1 for v in graph.variables]
    return table.array(kept).reshape(sizes)


def _average(values: Array, axes: tuple[int, ...]) -> Array:
    """The mean over axes along which a kernel is constant, of what is known there."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0.0).sum(axes, keepdims=True) / known.sum(axes, keepdims=True))


class ResponseTypes:
    """The response types of the districts that the observed law does not settle, and what is linear in their law.

    Args:
        worlds: the graph and the law of its variables.
        sources: the nodes that events are about.

    Raises:
        QueryError: there are more than ``MAXIMUM_TYPES`` combinations of response types.
    """

    def __init__(self, worlds: Worlds, sources: Sequence[Source]) -> None:
        self.worlds, self.graph, self.table = worlds, worlds.graph, worlds.table
        self.nodes = worlds.ancestry(sources)
        self.kernels: dict[frozenset[str], Array] = {}
        self.active: list[frozenset[str]] = []
        for district in self.graph.districts:
            if members := [node for node in self.nodes if node.name in district]:
                known = self._known(district, members)
                if known is None:
                    self.active.append(district)
                else:
                    self.kernels[frozenset(node.name for node in members)] = known
        block = frozenset[str]().union(*self.active)
        self.block = [v for v in self.graph.topological_order if v in block]
        self.sizes = {v: len(self.table.states[v]) for v in self.graph.variables}
        self.counts = [self.sizes[v] ** math.prod(self.sizes[p] for p in self.graph.parents(v)) for v in self.block]
        self.total = math.prod(self.counts)
        if self.total > MAXIMUM_TYPES:
            each = ", ".join(f"{v}: {count:.4g}" for v, count in zip(self.block, self.counts, strict=True))
            raise QueryError(
                f"the bounds need {self.total:.4g} combinations of response types ({each}), at most {MAXIMUM_TYPES:,} "
                f"are handled: merge states, or leave out variables with graph.latent_projection."
            )
        numbers = np.unravel_index(np.arange(self.total), self.counts) if block else ()
        self.types = dict(zip(self.block, numbers, strict=True))

    def _known(self, district: frozenset[str], members: Sequence[Node]) -> Array | None:
        """The kernel of a district where it says all that is asked of it, else None."""
        node_of = {node.name: node for node in members}
        seen: dict[str, Source] = dict(node_of)
        for node in members:
            for parent, source in self.worlds.parents(node).items():
                if (parent in district and parent not in node_of) or seen.setdefault(parent, source) != source:
                    return None
        if len(node_of) < len(members):
            return None
        found = kernel(self.graph, self.table, frozenset(node_of))
        return found if np.isfinite(found).all() else None

    @property
    def sharp(self) -> bool:
        """Whether every joint law of these types is one that a model of the graph can have."""
        return len(self.active) <= 1 and all(self._is_general(district) for district in self.active)

    def _is_general(self, district: frozenset[str]) -> bool:
        """Whether the hidden variables of a district can bring about any law that :meth:`independences` allows."""

        def clique(members: frozenset[str]) -> bool:
            return all(b in self.graph.siblings(a) for a, b in itertools.combinations(members, 2))

        return clique(district) or any(clique(district - {v}) for v in district if not self.graph.parents(v))

    # What is linear in the law of the types ---------------------------------------------------------------------------

    def probability(self, events: Sequence[tuple[Source, int]]) -> Array:
        """The probability of a conjunction of events given each combination of response types."""
        needed = self.worlds.ancestry([source for source, _ in events])
        free = [node for node in needed if node.name not in self.types]
        result = np.zeros(self.total)
        for values in itertools.product(*(range(self.sizes[node.name]) for node in free)):
            settled: dict[Node, int | Ints] = dict(zip(free, values, strict=True))
            for node in needed:
                if node.name in self.types:
                    settled[node] = self._response(node.name, self._values(self.worlds.parents(node), settled))
            weight = np.ones(len(result))
            for source, value in events:
                weight = weight * ((settled[source] if isinstance(source, Node) else source) == value)
            for kept, law in self._kernels_of(free):
                weight = weight * self._entry(law, kept, settled, free)
            result += weight
        return result

    def _kernels_of(self, free: Sequence[Node]) -> Iterator[tuple[frozenset[str], Array]]:
        names = {node.name for node in free}
        return ((kept, law) for kept, law in self.kernels.items() if kept & names)

    def _entry(
        self, law: Array, kept: frozenset[str], settled: Mapping[Node, int | Ints], free: Sequence[Node]
    ) -> Array:
        """The entry of a kernel at the values that its variables and their parents have."""
        at: dict[str, int | Ints] = {}
        members = [node for node in free if node.name in kept]
        for node in members:
            at |= self._values(self.worlds.parents(node), settled)
        for node in members:
            at[node.name] = settled[node]
        absent = tuple(i for i, v in enumerate(self.graph.variables) if v in kept and v not in at)
        law = law.sum(absent, keepdims=True)
        index = tuple(at[v] if v in at and law.shape[i] > 1 else 0 for i, v in enumerate(self.graph.variables))
        return np.asarray(law[index])

    def _values(self, sources: Mapping[str, Source], settled: Mapping[Node, int | Ints]) -> dict[str, int | Ints]:
        return {name: settled[source] if isinstance(source, Node) else source for name, source in sources.items()}

    def _response(self, name: str, parents: Mapping[str, int | Ints]) -> Ints:
        """The value of a variable in each combination of types: a digit of the number of its type."""
        place: int | Ints = 0
        for parent in self.graph.parents(name):
            place = place * self.sizes[parent] + parents[parent]
        size = self.sizes[name]
        return np.asarray(self.types[name] // np.power(size, place, dtype=np.int64) % size)

    def observations(self) -> Iterator[tuple[Ints, Array]]:
        """For each value of the parents outside: which cell each combination falls into, and the law of the cells.

        The probability of a cell is NaN where data cannot say.
        """
        inside = set(self.block)
        outside = [v for v in self.graph.variables if v not in inside and inside & set(self.graph.children(v))]
        laws = [kernel(self.graph, self.table, district) for district in self.active]
        shape = [self.sizes[v] for v in self.block]
        for values in itertools.product(*(range(self.sizes[v]) for v in outside)):
            at: dict[str, int | Ints] = dict(zip(outside, values, strict=True))
            for v in self.block:
                at[v] = self._response(v, at)
            cells = np.ravel_multi_index([np.asarray(at[v]) for v in self.block], shape)
            fixed = dict(zip(outside, values, strict=True))
            index = tuple(slice(None) if v in inside else fixed.get(v, 0) for v in self.graph.variables)
            law = np.ones([1] * len(self.block))
            for part in laws:
                clipped = tuple(
                    at_v if isinstance(at_v, slice) or size > 1 else 0
                    for at_v, size in zip(index, part.shape, strict=True)
                )
                law = law * part[clipped].transpose(self._block_axes())
            yield cells, np.broadcast_to(law, shape).ravel()

    def _block_axes(self) -> list[int]:
        """The places of the block's variables in topological order among those of the graph."""
        listed = [v for v in self.graph.variables if v in set(self.block)]
        return [listed.index(v) for v in self.block]

    def independences(self) -> Iterator[tuple[Ints, Array, Ints]]:
        """Members without parents, whose own law is observed, are independent of the types of those not confounded.

        For each: its value and its law, and the combination of the others' types.
        """
        for district in self.active:
            for v in sorted(district):
                apart = [w for w in self.block if w in district - {v} - set(self.graph.siblings(v))]
                if apart and not self.graph.parents(v):
                    sizes = [self.counts[self.block.index(w)] for w in apart]
                    others = np.ravel_multi_index([self.types[w] for w in apart], sizes)
                    yield self.types[v], self.table.array([v]), others
