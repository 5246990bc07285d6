"""Counterfactual events: which potential responses they are about, and the worlds that these fall into."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from causal_pyro_models.errors import QueryError
from causal_pyro_models.identification.expressions.expression import Symbol, Term, Value, unused
from causal_pyro_models.identification.expressions.notation import Text
from causal_pyro_models.identification.worlds.responses import Input, Response, Responses

Component = frozenset[tuple[Response, Value | None]]
"""Some responses with their values, None where these are summed over."""


class CounterfactualGraph:
    """The counterfactual graph of a conjunction of events: the responses it depends on, each once, and their districts.

    Worlds that do not differ for a variable share its response (see :class:`Responses`), where a variable that is seen
    at a value counts as set to it: Shpitser and Pearl's lemma 24, applied in topological order. Only ancestors of the
    events are built. Nested counterfactuals need nothing more: an input that is a response of another world is a link
    to it.

    The probability of the conjunction is the sum, over the values of the responses that are not events, of a product
    with one factor for each district of the graph over the variables that are left.

    Args:
        responses: where the responses of the graph are made.
        events: terms, each a variable with its value and the world it lives in.

    Attributes:
        values: the responses that are events -> their values.
        impossible: whether two events contradict one another, or one contradicts its own intervention.
        nodes: all responses, causes before effects.

    References:
        Shpitser and Pearl (2008), Complete identification methods for the causal hierarchy, make-cg and lines 1 to 5 of
        ID*; Correa, Lee and Bareinboim (2021), Nested counterfactual identification from arbitrary surrogate
        experiments, theorems 1 and 2.

    Example:
        >>> from causal_pyro_models.graph import CausalGraph
        >>> from causal_pyro_models.identification import Query
        >>> graph = CausalGraph.from_edges([("X", "M"), ("M", "Y")])
        >>> print(CounterfactualGraph(Responses(graph), Query.parse("P(Y_{X=1}, M=2)").outcome))
        x, M_{x}=2, m_{X=1}, y_{m}
    """

    def __init__(self, responses: Responses, events: Iterable[Term]) -> None:
        self.responses = responses
        self.graph = responses.graph
        self.events = tuple(events)
        self.values: dict[Response, Value] = {}
        self.impossible = False
        for event in sorted(self.events, key=lambda event: responses.position[event.name]):
            self._observe(event)
        self.nodes = responses.ancestry(self.values)

    def _observe(self, event: Term) -> None:
        """Lines 2, 3 and 5 of ID*: an event gives its response a value, or agrees with the one it has, or cannot be."""
        world = self.responses.world(event.do, self.values)
        found = self.responses.find(event.name, world, self.values)
        if isinstance(found, Response):
            self.values[found] = event.value
        elif found != event.value:
            if isinstance(found, Symbol) != isinstance(event.value, Symbol):
                raise QueryError(
                    f"{event.name!r} is both {event.value!r} and {found!r} in the same units: whether that can be "
                    f"depends on the open value. Give it a value."
                )
            self.impossible = True

    @cached_property
    def districts(self) -> tuple[tuple[Response, ...], ...]:
        """The responses by the district of their variable in the graph over the variables that are left."""
        of = {v: d for d in self.graph.subgraph({r.name for r in self.nodes}).districts for v in d}
        found: dict[frozenset[str], list[Response]] = {}
        for response in self.nodes:
            found.setdefault(of[response.name], []).append(response)
        return tuple(map(tuple, found.values()))

    @cached_property
    def components(self) -> frozenset[Component]:
        """Independent parts: districts, joined where one takes a value from another that is summed over.

        One that two counterfactual graphs have in common has the same probability in both.

        References:
            Correa, Lee and Bareinboim (2021), definition 5 (ancestral components).
        """
        merged: list[set[Response]] = []
        for district in self.districts:
            part = {*district, *(source for response in district for source in response.sources)}
            joined = [other for other in merged if not part.isdisjoint(other)]
            merged = [other for other in merged if part.isdisjoint(other)] + [part.union(*joined)]
        return frozenset(frozenset((response, self.values.get(response)) for response in part) for part in merged)

    @cached_property
    def symbols(self) -> dict[Response, Value]:
        """The value of each event, and a symbol for every other response, which is summed over."""
        taken = {*self.values.values(), *(found for r in self.nodes for found in r.inputs if isinstance(found, Symbol))}
        found = dict(self.values)
        for response in self.nodes:
            if response not in found:
                symbol = unused(Symbol(response.name), (value for value in taken if isinstance(value, Symbol)))
                found[response] = symbol
                taken.add(symbol)
        return found

    def value(self, found: Input) -> Value:
        """The value or the symbol of what a variable is in a world."""
        return self.symbols[found] if isinstance(found, Response) else found

    def term(self, response: Response) -> Term:
        """A response as a term: its value, and its parents as its world."""
        world = tuple(Term(parent, self.value(found)) for parent, found in response.family)
        return Term(response.name, self.symbols[response], world)

    def __str__(self) -> str:
        return ", ".join(self.term(response).render(Text()) for response in self.nodes)


@dataclass(frozen=True)
class Conflict:
    """The witness of a counterfactual that no experiment can tell: one noise in two worlds that differ.

    The responses in ``district`` share hidden causes, or are one variable twice, so that they must be seen in the same
    units; and ``variable`` would have to be at two values there.

    References:
        Shpitser and Pearl (2008), line 8 of ID*; Correa, Lee and Bareinboim (2021), definition 4 and theorem 3.

    Example:
        >>> from causal_pyro_models.errors import NotIdentifiableError
        >>> from causal_pyro_models.graph import CausalGraph
        >>> from causal_pyro_models.identification import identify
        >>> try:
        ...     identify(CausalGraph.from_edges([("X", "Y")]), "P(Y_{X=1}, Y_{X=0})")
        ... except NotIdentifiableError as error:
        ...     error.witness.variable, error.witness.first, error.witness.second
        ('X', 1, 0)
    """

    district: tuple[Term, ...]
    variable: str
    first: Value
    second: Value

    def __str__(self) -> str:
        seen = ", ".join(t.render(Text()) for t in self.district)
        ends = " and ".join(Term(self.variable, value).render(Text()) for value in (self.first, self.second))
        return f"{seen} share their noise, so they must be seen in the same units, which would need {ends} at once"
