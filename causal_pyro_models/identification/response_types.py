"""Counterfactual probabilities as linear functions of the law of response types.

A response type of a variable is a function from the values of its parents to its own. Whatever the hidden variables of
a district are, all they do is choose the response types of its members, so that a joint law of response types for each
district is the most general model (Balke and Pearl 1994).
"""

import copy
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from causal_pyro_models.arrays import Array, Ints
from causal_pyro_models.errors import QueryError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification.expression import Symbol, Term
from causal_pyro_models.identification.joint_table import JointTable

MAXIMUM_TYPES = 300_000
"""Combinations of response types beyond which a program is refused."""


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

    def observed(self, events: Sequence[tuple[Source, int]]) -> float:
        """The probability of a conjunction of events in the actual world."""
        values: dict[str, int] = {}
        for source, value in events:
            if isinstance(source, Node) and values.setdefault(source.name, value) != value:
                return 0.0
        return float(self.table.array(list(values))[tuple(values.values())])

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


def intrinsic_kernels(graph: CausalGraph, table: JointTable, district: frozenset[str]) -> dict[frozenset[str], Array]:
    """Tian's Q-factors P(s | do(parents of s)) of a district and of all parts of it that the joint law identifies.

    Each has an axis for each variable of the graph, of size 1 for those that do not matter; NaN where data cannot say.

    References:
        Tian and Pearl (2002), A general identification condition for causal effects, lemmas 1 to 4; Richardson et al.
        (2023), Nested Markov properties for acyclic directed mixed graphs (intrinsic sets).
    """
    axes = {v: i for i, v in enumerate(graph.variables)}
    found = {district: _average(graph, district, _district_kernel(graph, table, district))}
    waiting = [district]
    while waiting:
        whole = waiting.pop()
        inside = graph.subgraph(whole)
        for v in (v for v in whole if not inside.children(v)):
            rest = whole - {v}
            law = found[whole].sum(axes[v], keepdims=True)
            for part in inside.subgraph(rest).districts:
                if part not in found:
                    found[part] = _average(graph, part, _part_kernel(graph, law, rest, part))
                    waiting.append(part)
    return found


def _district_kernel(graph: CausalGraph, table: JointTable, district: frozenset[str]) -> Array:
    """Lemma 1: the product of the laws of the members, each given its Markov blanket among its predecessors."""
    order = graph.topological_order
    result = np.ones([1] * len(order))
    for i, v in enumerate(order):
        if v in district:
            blanket = graph.subgraph(order[: i + 1]).markov_blanket(v)
            result = _times(result, _over(graph, table, blanket | {v}), _over(graph, table, blanket))
    return result


def _part_kernel(graph: CausalGraph, law: Array, rest: frozenset[str], part: frozenset[str]) -> Array:
    """Lemma 4: the factor of one of the districts that a set of variables falls apart into."""
    axes = {v: i for i, v in enumerate(graph.variables)}
    order = [v for v in graph.topological_order if v in rest]
    result = np.ones([1] * len(axes))
    for i, v in enumerate(order):
        if v in part:
            upto = law.sum(tuple(axes[w] for w in order[i + 1 :]), keepdims=True)
            result = _times(result, upto, upto.sum(axes[v], keepdims=True))
    return result


def _times(result: Array, numerator: Array, denominator: Array) -> Array:
    """A product with a ratio; zero times whatever cannot be known is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(result == 0.0, 0.0, result * (numerator / denominator))


def _over(graph: CausalGraph, table: JointTable, names: frozenset[str]) -> Array:
    """A marginal law with an axis for each variable of the graph."""
    kept = [v for v in graph.variables if v in names]
    sizes = [len(table.states[v]) if v in names else 1 for v in graph.variables]
    return table.array(kept).reshape(sizes)


def _average(graph: CausalGraph, members: frozenset[str], values: Array) -> Array:
    """The mean of a kernel, where it is known, over the values of variables that it does not depend on."""
    needed = members.union(*(graph.parents(v) for v in members))
    axes = tuple(i for i, v in enumerate(graph.variables) if v not in needed)
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
        self.kernels: dict[frozenset[str], Array] = {}  # of the parts that the observed law settles
        self.active: dict[frozenset[str], dict[frozenset[str], Array]] = {}  # the districts that it does not settle
        for district in self.graph.districts:
            if members := [node for node in self.nodes if node.name in district]:
                intrinsic = intrinsic_kernels(self.graph, self.table, district)
                parts = self._settled(members)
                if parts and all(part in intrinsic and np.isfinite(intrinsic[part]).all() for part in parts):
                    self.kernels |= {part: intrinsic[part] for part in parts}
                else:
                    self.active[district] = intrinsic
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

    def _settled(self, members: Sequence[Node]) -> list[frozenset[str]]:
        """The parts of a district whose kernels say all that is asked of it, if they are known; empty where none can.

        That takes one value for each variable in a part, and for each parent of a part.
        """
        node_of = {node.name: node for node in members}
        parts = list(self.graph.subgraph(node_of).districts)
        for part in parts:
            seen: dict[str, Source] = {name: node_of[name] for name in part}
            for node in (node for node in members if node.name in part):
                for name, source in [(node.name, node), *self.worlds.parents(node).items()]:
                    if seen.setdefault(name, source) != source:
                        return []
        return parts

    @property
    def sharp(self) -> bool:
        """Whether every joint law of these types is one that a model of the graph can have."""
        return len(self.active) <= 1 and self.each_is_general

    @property
    def each_is_general(self) -> bool:
        """Whether every law of the types of each district, independent of the others, is one of a model."""
        return all(self._is_general(district) for district in self.active)

    def restricted(self, district: frozenset[str]) -> "ResponseTypes":
        """The types of one active district alone."""
        part = copy.copy(self)
        part.active = {district: self.active[district]}
        part.block = [v for v in self.block if v in district]
        part.counts = [self.counts[self.block.index(v)] for v in part.block]
        part.total = math.prod(part.counts)
        numbers = np.unravel_index(np.arange(part.total), part.counts)
        part.types = dict(zip(part.block, numbers, strict=True))
        return part

    def number_of(self, district: frozenset[str]) -> Ints:
        """Of each combination of types the number that it has among those of one district."""
        members = [v for v in self.block if v in district]
        counts = [self.counts[self.block.index(v)] for v in members]
        return np.asarray(np.ravel_multi_index([self.types[v] for v in members], counts))

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
            weight = self._weight(free, settled)
            for source, value in events:
                weight = weight * ((settled[source] if isinstance(source, Node) else source) == value)
            result += weight
        return result

    def _weight(self, free: Sequence[Node], settled: Mapping[Node, int | Ints]) -> Array:
        """The probability of what the settled parts are, given what their parents are."""
        weight = np.ones(self.total)
        for part, law in self.kernels.items():
            members = [node for node in free if node.name in part]
            at: dict[str, int | Ints] = {}
            for node in members:
                at |= self._values(self.worlds.parents(node), settled)
            at |= {node.name: settled[node] for node in members}
            if members:
                absent = tuple(i for i, v in enumerate(self.graph.variables) if v in part and v not in at)
                weight = weight * self._entry(law.sum(absent, keepdims=True), at)
        return weight

    def _entry(self, law: Array, at: Mapping[str, int | Ints]) -> Array:
        """The entries of a kernel at values of its variables and their parents."""
        index = tuple(at.get(v, 0) if size > 1 else 0 for v, size in zip(self.graph.variables, law.shape, strict=True))
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
        """Laws that are known: which cell each combination of types falls into, and the probabilities of the cells.

        There is one for each choice of an intrinsic set in each district, and for each value of their parents. A
        probability is NaN where data cannot say.
        """
        general = self.sharp
        for choice in itertools.product(
            *([None, *([d] if general else kernels)] for d, kernels in self.active.items())
        ):
            chosen = [part for part in choice if part is not None]
            if chosen:
                laws = [kernels[part] for part, kernels in zip(choice, self.active.values(), strict=True) if part]
                yield from self._cells(frozenset[str]().union(*chosen), laws)

    def _cells(self, kept: frozenset[str], laws: Sequence[Array]) -> Iterator[tuple[Ints, Array]]:
        inside = [v for v in self.graph.topological_order if v in kept]
        outside = [v for v in self.graph.variables if v not in kept and not kept.isdisjoint(self.graph.children(v))]
        shape = [self.sizes[v] for v in inside]
        grid = dict(zip(inside, np.indices(shape), strict=True))
        for values in itertools.product(*(range(self.sizes[v]) for v in outside)):
            at: dict[str, int | Ints] = dict(zip(outside, values, strict=True))
            law = np.ones(shape)
            for part in laws:
                law = law * self._entry(part, {**at, **grid})
            for v in inside:
                at[v] = self._response(v, at)
            yield np.ravel_multi_index([np.asarray(at[v]) for v in inside], shape), law.ravel()

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
