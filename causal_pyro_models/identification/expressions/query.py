"""Queries: what may be asked of a causal graph, as text or piece by piece."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from causal_pyro_models.errors import QueryError, unknown_variable
from causal_pyro_models.identification.expressions.expression import Probability, Symbol, Term, Value, in_order, term
from causal_pyro_models.identification.expressions.notation import Latex, Text
from causal_pyro_models.identification.expressions.parsing import Reader

if TYPE_CHECKING:
    from causal_pyro_models.graph import CausalGraph

Events = str | Term | Iterable[str | Term] | Mapping[str, Value]
"""Names, names with values, or terms."""


@dataclass(frozen=True, init=False)
class Query:
    """A probability or a mean that is asked for: P(outcome | do(treatment), conditions), E[outcome | ...].

    Args:
        outcome: the variables whose distribution is asked for, at least one: a name, several names, a mapping from
            names to values, or terms (see :func:`term`), which may live in worlds of their own.
        treatment: what is set by intervention, in the same forms.
        conditions: what is conditioned on, in the same forms.
        mean: whether the mean of the outcome is asked for, which is one variable without a value.

    Raises:
        QueryError: no outcome, a name that is no string, a variable in two places, a value that is none, or the mean of
            an event.

    References:
        Pearl (2009), Causality, chapters 3 and 7.

    Example:
        >>> Query("Y", "X", ["Z"])
        Query(P(Y | do(X), Z))
        >>> Query({"Y": 1}, {"X": 0}) == Query.parse("P(Y=1 | do(X=0))")
        True
        >>> Query.parse("P(Y_{X=1, M_{X=0}})").counterfactual
        True
        >>> Query.parse("E[Y | do(X=1)]")
        Query(E[Y | do(X=1)])
    """

    outcome: tuple[Term, ...]
    treatment: tuple[Term, ...]
    conditions: tuple[Term, ...]
    mean: bool = False

    def __init__(self, outcome: Events, treatment: Events = (), conditions: Events = (), *, mean: bool = False) -> None:
        sides = {"outcome": outcome, "treatment": treatment, "conditions": conditions}
        for side, events in sides.items():
            object.__setattr__(self, side, _events(events, side))
        if not self.outcome:
            raise QueryError("the query has no outcome. Name one: Query('Y', 'X') asks for P(Y | do(X)).")
        object.__setattr__(self, "mean", mean)
        if mean and (len(self.outcome) > 1 or not isinstance(self.outcome[0].value, Symbol)):
            raise QueryError(
                f"{self.text()} is no mean of one variable: leave its value open, E[Y | ...], or ask for P(Y=1 | ...)."
            )
        self._check_overlap()

    @classmethod
    def parse(cls, text: str) -> "Query":
        """The query that a text describes, such as ``P(Y | do(X), Z)``, ``E[Y | do(X)]`` or ``P(Y_{X=1} | X=0, Y=0)``.

        Names are written as the graph has them, those that are no plain words in double quotes. Values are numbers,
        words, strings in double quotes, or open values such as x and x'.

        Raises:
            QueryError: with the column of what does not fit.
        """
        return cls._of(text, *Reader(text, "query", lambda word: word).read(Reader.asked))

    @classmethod
    def _of(cls, text: str, found: Probability, mean: bool) -> "Query":
        if found.domain:
            raise QueryError(f"the query {text!r:.200} names a domain. Say which with target= instead.")
        return cls(found.outcome, found.do, found.given, mean=mean)

    @property
    def counterfactual(self) -> bool:
        """Whether an event of the query lives in a world of its own."""
        return any(event.do for event in self.outcome + self.conditions)

    @property
    def names(self) -> tuple[str, ...]:
        """The variables of the query, those of worlds included, each once."""
        events = self.outcome + self.treatment + self.conditions
        return tuple(dict.fromkeys(name for event in events for name in event.names()))

    @property
    def expression(self) -> Probability:
        """The distribution that it is about, as an expression."""
        return Probability(self.outcome, self.conditions, self.treatment)

    def text(self) -> str:
        """The query as text; :meth:`parse` reads it back."""
        written = self.expression.render(_Names())
        return f"E[{written[2:-1]}]" if self.mean else written

    def latex(self, names: Iterable[str] = ()) -> str:
        """The query as LaTeX, without the dollar signs, told apart from some other names as well."""
        written = self.expression.latex(names)
        if not self.mean:
            return written
        notation = Latex.among(self.expression.names.union(names))
        (outcome,) = self.outcome
        lower, upper = outcome.render(notation), notation.name(outcome.name)
        world = [action.render(notation) for action in outcome.do]
        upper = notation.world(upper, world) if world else upper
        return rf"\operatorname{{E}}\left[{upper}{written[2 + len(lower) : -1]}\right]"

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"Query({self.text()})"

    def check_names(self, graph: "CausalGraph") -> None:
        """Raise UnknownVariableError for a name that the graph does not have."""
        known = frozenset(graph.variables)
        for name in self.names:
            if name not in known:
                raise unknown_variable(name, graph.variables)

    def _check_overlap(self) -> None:
        for action in self.treatment:
            if action.do:
                raise QueryError(f"treatment {action.name!r} has a world of its own: a do(...) sets it by itself.")
        if self.counterfactual:
            if self.treatment:
                raise QueryError(
                    f"the query {self.text()} has do(...) and worlds as well. Write each world at its event, Y_{{X=1}}."
                )
            return
        for name, count in Counter(event.name for event in self.outcome + self.treatment + self.conditions).items():
            if count > 1:
                raise QueryError(
                    f"variable {name!r} stands in the query {self.text()} more than once. Outcome, treatment and "
                    f"conditions must be disjoint: drop it from one, or say in which world it is, as in Y_{{X=1}}."
                )


class Contrast(NamedTuple):
    """An effect: how far the distribution of the outcome in ``active`` is from that in ``reference``.

    Example:
        >>> Contrast.parse("E[Y | do(X=1)] - E[Y | do(X=0)]")
        Contrast(active=Query(E[Y | do(X=1)]), reference=Query(E[Y | do(X=0)]))
    """

    active: Query
    reference: Query

    @classmethod
    def parse(cls, text: str) -> "Contrast":
        """The difference that a text describes, such as ``E[Y | do(X=1)] - E[Y]``.

        Raises:
            QueryError: with the column of what does not fit, or no difference.
        """
        found = asked(text)
        if isinstance(found, Query):
            raise QueryError(f"{text!r:.200} is no difference: write 'E[Y | do(X=1)] - E[Y | do(X=0)]'.")
        return found

    def text(self) -> str:
        """The difference as text; :meth:`parse` reads it back."""
        return f"{self.active.text()} - {self.reference.text()}"


def asked(text: str) -> Query | Contrast:
    """The query, or the difference of two, that a text describes."""
    sides = [Query._of(text, *side) for side in Reader(text, "query", lambda word: word).read(Reader.difference)]
    return sides[0] if len(sides) == 1 else Contrast(*sides)


class _Names(Text):
    """A query is written with names, and with an open value only where it has primes."""

    def symbol(self, name: str, primes: int) -> str:
        """The variable itself for x, an equation for x'."""
        plain = self.name(name)
        marks = "'" * primes
        return f"{plain}={name.lower()}{marks}" if marks and plain == name else plain + marks


def _events(events: Events, side: str) -> tuple[Term, ...]:
    """The terms of one side of a query, checked."""
    if isinstance(events, str | Term):
        events = (events,)
    if isinstance(events, Mapping):
        return tuple(_checked(Term(name, value), side) for name, value in events.items())
    if not isinstance(events, Iterable):
        raise QueryError(f"{side} must be names, terms or a mapping from names to values, got {events!r:.80}.")
    listed = tuple(events)
    if isinstance(events, set | frozenset):
        listed = tuple(sorted(listed, key=lambda event: in_order(event if isinstance(event, str) else event.name)))
    return tuple(_checked(event if isinstance(event, Term) else term(event), side) for event in listed)


def _checked(event: Term, side: str) -> Term:
    """The term, its names and values checked."""
    if not isinstance(event.name, str) or not event.name:
        raise QueryError(f"{side}: {event.name!r:.80} is no name of a variable. Write a non-empty string.")
    value = event.value
    if not isinstance(value, str | int | float | Symbol):
        raise QueryError(f"{side}: {event.name!r} has the value {value!r:.80}, expected a number or a string.")
    if isinstance(value, float) and value - value != 0.0:
        raise QueryError(f"{side}: {event.name!r} has the value {value!r}, expected a finite number or a string.")
    if isinstance(value, Symbol) and value.name != event.name:
        raise QueryError(f"{side}: {event.name!r} has an open value of {value.name!r}. Use Symbol({event.name!r}).")
    for action in event.do:
        _checked(action, f"the world of {event.name!r}")
    return event
