"""Counterfactual probabilities as linear functions of the law of response types.

A response type of a variable is a function from the values of its parents to its own. Whatever the hidden variables of
a district are, all they do is choose the response types of its members, so that a joint law of response types for each
district is the most general model (Balke and Pearl 1994).
"""

import copy
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from causal_pyro_models.arrays import Array, Ints
from causal_pyro_models.errors import QueryError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.graph.validation import Edge
from causal_pyro_models.identification.expressions.expression import Symbol, Term, Value
from causal_pyro_models.identification.laws.joint_table import JointTable
from causal_pyro_models.identification.worlds.responses import Input, Response, Responses, World

MAXIMUM_TYPES = 300_000
"""Combinations of response types beyond which a program is refused."""


Known = tuple[Array, float]
"""A function of the combination of response types, and its mean."""

PlacedEvent = tuple[Input, int]
"""What a variable is in a world, and the place of a value among the states of the variable."""


def event_of(responses: Responses, table: JointTable, term: Term) -> PlacedEvent:
    """What a term says, each value by its place among the states of its variable."""
    placed = _placed(table, term)
    return responses.find(placed.name, responses.world(placed.do)), _place(placed.value)


def _placed(table: JointTable, term: Term, nested: bool = False) -> Term:
    world = tuple(_placed(table, action, bool(action.do)) for action in term.do)
    if nested:
        return term._replace(do=world)
    if isinstance(term.value, Symbol):
        raise QueryError(f"bounds need a value for {term.name!r}: write {term.name}=1 rather than {term.name}.")
    return Term(term.name, table.index(term.name, term.value), world)


def _place(value: Value) -> int:
    assert isinstance(value, int), "values have been put in places"
    return value


def _many(count: int) -> str:
    """A number, however large."""
    return f"{count:.4g}" if count.bit_length() < 1000 else f"1e+{int(count.bit_length() * math.log10(2))}"


def _ranks(states: Sequence[Any]) -> Ints:
    """The place of each state in the order of their values, if these are numbers, else as they are listed."""
    try:
        return np.argsort(np.argsort(np.array([float(state) for state in states])))
    except (TypeError, ValueError):
        return np.arange(len(states))


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
        responses: those of the graph.
        table: the joint law of its variables.
        events: what is asked about.
        monotone: pairs (cause, effect) of neighbours, where no unit's effect goes down as the cause goes up.
        rows: of the sample that the law is the frequencies of; None where it is exact.

    Attributes:
        known: what is known of their law beside the observed one.
        distance: in total variation, of the nearest law that a model has from a sample that no model fits.
    """

    def __init__(
        self,
        responses: Responses,
        table: JointTable,
        events: Iterable[PlacedEvent],
        monotone: Iterable[Edge] = (),
        rows: float | None = None,
    ) -> None:
        self.responses, self.graph, self.table = responses, responses.graph, table
        self.monotone, self.known = tuple(monotone), list[Known]()
        self.rows, self.distance = rows, 0.0
        self.nodes = self._needed(events)
        self.kernels: dict[frozenset[str], Array] = {}  # of the parts that the observed law settles
        self.active: dict[frozenset[str], dict[frozenset[str], Array]] = {}  # the districts that it does not settle
        for district in self.graph.districts:
            if members := [response for response in self.nodes if response.name in district]:
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

    def enumerate(self) -> "ResponseTypes":
        """The same, with all combinations of response types in a row.

        Raises:
            QueryError: there are more than ``MAXIMUM_TYPES`` of them.
        """
        if self.total > MAXIMUM_TYPES:
            each = ", ".join(f"{v}: {_many(count)}" for v, count in zip(self.block, self.counts, strict=True))
            raise QueryError(
                f"the bounds need {_many(self.total)} combinations of response types ({each}), at most "
                f"{MAXIMUM_TYPES:,} are handled: merge states, or leave out variables with graph.latent_projection."
            )
        numbers = np.unravel_index(np.arange(self.total), self.counts) if self.block else ()
        self.types = dict(zip(self.block, numbers, strict=True))
        return self

    def _needed(self, events: Iterable[PlacedEvent]) -> tuple[Response, ...]:
        """The responses that events depend on."""
        return self.responses.ancestry(found for found, _ in events if isinstance(found, Response))

    def _settled(self, members: Sequence[Response]) -> list[frozenset[str]]:
        """The parts of a district whose kernels say all that is asked of it, if they are known; empty where none can.

        That takes one value for each variable in a part, and for each parent of a part.
        """
        one = {response.name: response for response in members}
        parts = list(self.graph.subgraph(one).districts)
        for part in parts:
            world: World = {name: one[name] for name in part}
            for response in (response for response in members if response.name in part):
                for name, found in [(response.name, response), *response.family]:
                    if world.setdefault(name, found) != found:
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

    def allowed(self) -> Array:
        """Whether no response in a combination of types goes down where it must not."""
        fine = np.ones(self.total, dtype=bool)
        for cause, effect in self.monotone:
            if effect not in self.types:
                continue
            parents = self.graph.parents(effect)
            others = [v for v in parents if v != cause]
            rising = np.argsort(_ranks(self.table.states[cause]))
            ranks = _ranks(self.table.states[effect])
            for values in itertools.product(*(range(self.sizes[v]) for v in others)):
                at: dict[str, int | Ints] = dict(zip(others, values, strict=True))
                path = [ranks[self._value(effect, {**at, cause: int(k)})] for k in rising]
                for low, high in itertools.pairwise(path):
                    fine &= low <= high
        return fine

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

    def probability(self, events: Sequence[PlacedEvent]) -> Array:
        """The probability of a conjunction of events given each combination of response types."""
        needed = self._needed(events)
        free = [response for response in needed if response.name not in self.types]
        result = np.zeros(self.total)
        for values in itertools.product(*(range(self.sizes[response.name]) for response in free)):
            settled: dict[Response, int | Ints] = dict(zip(free, values, strict=True))
            for response in needed:
                if response.name in self.types:
                    settled[response] = self._value(response.name, self._parents(response, settled))
            weight = self._weight(free, settled)
            for found, value in events:
                weight = weight * ((settled[found] if isinstance(found, Response) else _place(found)) == value)
            result += weight
        return result

    def _weight(self, free: Sequence[Response], settled: Mapping[Response, int | Ints]) -> Array:
        """The probability of what the settled parts are, given what their parents are."""
        weight = np.ones(self.total)
        for part, law in self.kernels.items():
            members = [response for response in free if response.name in part]
            at: dict[str, int | Ints] = {}
            for response in members:
                at |= self._parents(response, settled)
            at |= {response.name: settled[response] for response in members}
            if members:
                absent = tuple(i for i, v in enumerate(self.graph.variables) if v in part and v not in at)
                weight = weight * self._entry(law.sum(absent, keepdims=True), at)
        return weight

    def _entry(self, law: Array, at: Mapping[str, int | Ints]) -> Array:
        """The entries of a kernel at values of its variables and their parents."""
        index = tuple(at.get(v, 0) if size > 1 else 0 for v, size in zip(self.graph.variables, law.shape, strict=True))
        return np.asarray(law[index])

    def _parents(self, response: Response, settled: Mapping[Response, int | Ints]) -> dict[str, int | Ints]:
        """The values of the parents of a response."""
        return {v: settled[found] if isinstance(found, Response) else _place(found) for v, found in response.family}

    def _value(self, name: str, parents: Mapping[str, int | Ints]) -> Ints:
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
                at[v] = self._value(v, at)
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
