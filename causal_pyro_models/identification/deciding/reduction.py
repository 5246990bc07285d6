"""Identification from any sources: a query, counterfactual or not, as a product of what single worlds can tell.

One algorithm covers ID* and IDC*, experiments as surrogates, transport, and their combinations. The counterfactual
graph of the query falls into districts; each has to live in one world and be identified from one source; districts
that share a world and a source are identified together, which gives the shorter estimand.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from causal_pyro_models.errors import NotIdentifiableError, QueryError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification.deciding.sources import Source
from causal_pyro_models.identification.expressions.expression import (
    ONE,
    ZERO,
    Expression,
    Fraction,
    Probability,
    Symbol,
    Term,
    Value,
    product,
    terms,
    total,
)
from causal_pyro_models.identification.expressions.query import Query
from causal_pyro_models.identification.expressions.simplification import simplified
from causal_pyro_models.identification.worlds.counterfactual_graph import Component, Conflict, CounterfactualGraph
from causal_pyro_models.identification.worlds.responses import Response, Responses, World


@dataclass(frozen=True)
class Kernel:
    """P(outcome | do(settings), given), which a source tells.

    Args:
        source: the source.
        outcome, settings, given: variables.
        values: what stands for the open value of each variable.
    """

    source: Source
    outcome: frozenset[str]
    settings: frozenset[str]
    given: frozenset[str]
    values: Mapping[Symbol, Value]

    def statement(self, domain: str) -> Probability:
        """The kernel itself, in open values."""
        return Probability(terms(self.outcome), terms(self.given), terms(self.settings), domain)

    def estimand(self) -> Expression:
        """The kernel in terms of its source."""
        return self.source.kernel(self.outcome, self.settings, self.given).substitute(self.values)


@dataclass
class Factor:
    """Responses that live in one world and are known from one source: P(responses | do(parents)).

    Attributes:
        world: each variable of the factor, and each parent, with the value or the response that it is at.
        sources: those that determine the factor.
        given: the variables of the factor that are conditioned on.
    """

    responses: tuple[Response, ...]
    world: World
    sources: list[Source]
    given: set[str] = field(default_factory=set)

    @property
    def names(self) -> set[str]:
        """The variables of the factor."""
        return {response.name for response in self.responses}

    @property
    def settings(self) -> frozenset[str]:
        """The parents outside the factor, which its world sets."""
        return frozenset(self.world.keys() - self.names)

    def kernel(self, graph: CounterfactualGraph, shared: set[Response]) -> Kernel:
        """The factor, summed over the responses that are neither events nor used by other factors."""
        kept = {r.name for r in self.responses if r in graph.values or r in shared}
        values = {Symbol(name): graph.value(found) for name, found in self.world.items()}
        return Kernel(self.sources[0], frozenset(kept - self.given), self.settings, frozenset(self.given), values)


@dataclass(frozen=True)
class Reduction:
    """A query as a ratio of sums of products of kernels; ``above`` is None where the event contradicts itself."""

    joint: CounterfactualGraph
    condition: CounterfactualGraph
    above: tuple[Factor, ...] | None
    below: tuple[Factor, ...]

    def kernels(self) -> list[Kernel]:
        """All kernels."""
        sides = (self.joint, self.above or ()), (self.condition, self.below)
        return [kernel for graph, factors in sides for kernel in _kernels(graph, factors) if kernel.outcome]

    def expression(self, write: Callable[[Kernel], Expression]) -> Expression:
        """The ratio, its kernels written in one way or another."""
        if self.above is None:
            return ZERO
        numerator, denominator = _summed(self.joint, self.above, write), _summed(self.condition, self.below, write)
        return numerator if denominator == ONE else Fraction(numerator, denominator)


def identify_from(graph: CausalGraph, query: Query, sources: Sequence[Source]) -> Expression:
    """The estimand of a query in terms of the sources.

    Complete for counterfactual events, nested ones included, with experiments as surrogates, for conditional
    counterfactuals, and for transport.

    Args:
        graph: the causal graph.
        query: what is asked for. Open values written alike are equal; those that differ, such as x and x', stand for
            values that differ.
        sources: the distributions at hand; where several determine a factor, the first is used.

    Returns:
        The estimand, simplified; ``ZERO`` where the event contradicts itself.

    Raises:
        NotIdentifiableError: with the conflict between worlds, or the hedge, as its witness.
        QueryError: the conditions contradict one another.
        UnknownVariableError: a name that the graph does not have.

    References:
        Shpitser and Pearl (2008), Complete identification methods for the causal hierarchy (ID*, IDC*); Lee, Correa and
        Bareinboim (2019), General identifiability with arbitrary surrogate experiments; Lee, Correa and Bareinboim
        (2020), General transportability; Correa, Lee and Bareinboim (2021), Nested counterfactual identification from
        arbitrary surrogate experiments, algorithms 1 and 2.

    Example:
        >>> graph = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
        >>> print(identify_from(graph, Query.parse("P(Y_{X=1} | X=0)"), [Source(graph)]))
        sum_z P(y | X=1, z) P(z | X=0)
    """
    return simplified(reduce(graph, query, sources).expression(Kernel.estimand))


def reduce(graph: CausalGraph, query: Query, sources: Sequence[Source]) -> Reduction:
    """The kernels that a query comes to, each with its source; see :func:`identify_from`."""
    query.check_names(graph)
    outcome, given = ([_in_world(event, query) for event in side] for side in (query.outcome, query.conditions))
    responses = Responses(graph)
    joint, condition = CounterfactualGraph(responses, outcome + given), CounterfactualGraph(responses, given)
    if condition.impossible:
        raise QueryError(f"the conditions of {query} contradict one another: their probability is zero.")
    if joint.impossible:
        return Reduction(joint, condition, None, ())
    try:
        above = _factors(joint, joint.components - condition.components, sources)
        below = _factors(condition, condition.components - joint.components, sources)
    except NotIdentifiableError as failure:
        raise NotIdentifiableError(f"{query} is not identifiable: {failure}.", failure.witness) from None
    if not _shared(below):
        below = [factor for factor in below if not _conditioned(above, factor, condition)]
    return Reduction(joint, condition, tuple(above), tuple(below))


def _in_world(event: Term, query: Query) -> Term:
    """An event with the intervention of the query as its world, checked."""
    _check_world(event)
    return event if event.do else Term(event.name, event.value, query.treatment)


def _check_world(event: Term) -> None:
    names = [action.name for action in event.do]
    for name in names:
        if names.count(name) > 1:
            raise QueryError(f"the world of {event.name!r} sets {name!r} twice. Keep one.")
    for action in event.do:
        _check_world(action)


def _factors(graph: CounterfactualGraph, components: frozenset[Component], sources: Sequence[Source]) -> list[Factor]:
    """The districts of some components as factors, joined where they share a world and a source."""
    wanted = {response for component in components for response, _ in component}
    found: list[Factor] = []
    for district in graph.districts:
        if wanted.isdisjoint(district):
            continue
        factor = Factor(district, _world(graph, district), _able(graph, district, sources))
        for i, other in enumerate(found):
            if joined := _joined(other, factor):
                found[i] = joined
                break
        else:
            found.append(factor)
    return found


def _world(graph: CounterfactualGraph, district: tuple[Response, ...]) -> World:
    """The value of every variable in a district and of its parents; line 8 of ID*."""
    world: World = {}
    inputs = chain.from_iterable(response.family for response in district)
    for name, found in chain(inputs, ((r.name, graph.values.get(r, r)) for r in district)):
        if world.setdefault(name, found) != found:
            ends = graph.value(world[name]), graph.value(found)
            conflict = Conflict(tuple(map(graph.term, district)), name, *ends)
            raise NotIdentifiableError(str(conflict), conflict)
    return world


def _able(graph: CounterfactualGraph, district: tuple[Response, ...], sources: Sequence[Source]) -> list[Source]:
    """The sources that determine a district in its world."""
    names = {response.name for response in district}
    parents = {parent for response in district for parent in response.parents} - names
    able, failures = [], []
    for source in sources:
        if source.shares(names):
            try:
                source.kernel(names, parents)
                able.append(source)
            except NotIdentifiableError as failure:
                failures.append(failure)
    if not able:
        needed = Probability(terms(names), (), terms(parents))
        if failures:
            raise NotIdentifiableError(f"{needed} is needed, but {failures[0]}", failures[0].witness)
        raise NotIdentifiableError(
            f"{needed} is needed, and no source has the mechanism of {' and '.join(sorted(names))}", needed
        )
    return able


def _joined(first: Factor, second: Factor) -> Factor | None:
    """Two factors as one, where their worlds agree and a source determines both."""
    sources = [source for source in first.sources if source in second.sources]
    if not sources or any(first.world.get(name, found) != found for name, found in second.world.items()):
        return None
    return Factor(first.responses + second.responses, first.world | second.world, sources)


def _conditioned(above: list[Factor], below: Factor, condition: CounterfactualGraph) -> bool:
    """Whether a factor below the bar is the margin of one above, which then is conditioned on the same events."""
    for factor in above:
        within = set(factor.responses).issuperset(below.responses) and below.settings.isdisjoint(factor.names)
        if within and factor.sources[0] in below.sources:
            factor.given.update(response.name for response in below.responses if response in condition.values)
            return True
    return False


def _kernels(graph: CounterfactualGraph, factors: Sequence[Factor]) -> list[Kernel]:
    shared = _shared(factors)
    return [factor.kernel(graph, shared) for factor in factors]


def _summed(graph: CounterfactualGraph, factors: Sequence[Factor], write: Callable[[Kernel], Expression]) -> Expression:
    """The product of the factors, summed over what they share."""
    over = [symbol for response in _shared(factors) if isinstance(symbol := graph.value(response), Symbol)]
    return total(over, product(write(kernel) for kernel in _kernels(graph, factors) if kernel.outcome))


def _shared(factors: Sequence[Factor]) -> set[Response]:
    """The responses from which another factor than their own takes an input."""
    return {
        source
        for factor in factors
        for response in factor.responses
        for source in response.sources
        if source not in factor.responses
    }
