"""The number that an estimand is: from exact joint tables here, from data and models in ``estimators.estimands``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from causal_pyro_models.arrays import Array
from causal_pyro_models.errors import DataError, QueryError, unknown_variable
from causal_pyro_models.extensions import load_for
from causal_pyro_models.identification.expressions.expression import Expression, Probability, Symbol, Term
from causal_pyro_models.identification.expressions.query import Query
from causal_pyro_models.identification.laws.columns import is_dataframe
from causal_pyro_models.identification.laws.joint_table import Joint, JointTable, Tabulated, as_table
from causal_pyro_models.identification.laws.tabulation import Tabulator
from causal_pyro_models.validation import Arms, checked_arms

if TYPE_CHECKING:
    from causal_pyro_models.estimate import Estimate

Laws: TypeAlias = "Joint | Mapping[tuple[str, Iterable[str]], Joint]"
"""One joint law, or one for each domain and each set of variables that were set there."""

Regime = tuple[str, frozenset[str]]
"""A domain, and the variables that were set there."""


@dataclass(frozen=True)
class Summand:
    """An expression whose symbols have values, but for the outcome whose mean is asked for.

    Attributes:
        sign: what it counts for in a contrast.
        expression: a number, or a distribution of the outcome.
        outcome: the open outcome; None where a probability is asked for.
        event: the outcome and its value; None where a mean is asked for.
    """

    sign: float
    expression: Expression
    outcome: Symbol | None
    event: tuple[str, Any] | None


@dataclass(frozen=True)
class Quantity:
    """What is asked of an estimand: a probability or a mean, or the contrast of two.

    Attributes:
        name: in words.
        summands: one, or those of the two arms of the contrast; the quantity is their signed sum.
    """

    name: str
    summands: tuple[Summand, ...]

    @property
    def names(self) -> frozenset[str]:
        """The variables that it depends on."""
        return frozenset[str]().union(*(summand.expression.names for summand in self.summands))

    @property
    def reads(self) -> dict[Regime, frozenset[str]]:
        """The variables that it depends on in each domain and experiment."""
        found: dict[Regime, frozenset[str]] = {}
        for summand in self.summands:
            for part in summand.expression.walk():
                if isinstance(part, Probability):
                    regime = part.domain, frozenset(t.name for t in part.do)
                    found[regime] = found.get(regime, frozenset()) | part.names
        return found


def evaluate(quantity: Quantity, source: object, **options: object) -> "float | Estimate":
    """The number that a quantity is; see :meth:`Estimand.evaluate`."""
    load_for(evaluate_on, type(source))
    return evaluate_on(source, quantity, **options)


@singledispatch
def evaluate_on(source: object, quantity: Quantity, **options: object) -> "float | Estimate":
    """A quantity, by the type of the source; rooms above register theirs."""
    raise DataError(
        f"expected a joint table, a DataFrame with a row for each unit or a model, got {type(source).__name__}."
    )


@evaluate_on.register(Mapping)
def evaluate_on_laws(
    source: Mapping[tuple[str, Iterable[str]], Joint], quantity: Quantity, **options: object
) -> "float | Estimate":
    """A quantity on a dict of joint laws: exact, unless one of them is a sample."""
    laws = by_regime(source)
    for law in laws.values():
        if is_dataframe(law):
            load_for(evaluate_on_samples, type(law))
            return evaluate_on_samples(law, laws, quantity, **options)
    return evaluate_on_tables(source, quantity, **options)


@singledispatch
def evaluate_on_samples(
    sample: object, laws: Mapping[Regime, Joint], quantity: Quantity, **options: object
) -> "float | Estimate":
    """A quantity on several laws of which some are samples, by the type of a sample; rooms above register theirs."""
    raise DataError(f"expected a DataFrame with a row for each unit, got {type(sample).__name__}.")


@evaluate_on.register(JointTable)
@evaluate_on.register(Tabulated)
def evaluate_on_tables(source: Laws, quantity: Quantity, **options: object) -> float:
    """A quantity on one joint law, or on a dict of them, which are exact."""
    if options:
        raise QueryError(f"a joint table is exact, it takes no option {next(iter(options))!r}: leave it out.")
    return JointTables.of(source, quantity).value(quantity)


def quantity_of(
    query: Query, expression: Expression, values: Mapping[str, Any] | None, contrast: Arms | None
) -> Quantity:
    """The quantity that some values, or two arms of them, make of an estimand."""
    given = _checked_values(query, values, "values")
    if contrast is None:
        return Quantity(query.text(), (_summand(query, expression, given, 1.0),))
    pairs = _checked_values(query, contrast, "contrast")
    for name in checked_arms(pairs, "contrast"):
        if name in given:
            raise QueryError(f"{name!r} is in values and in contrast: drop it from one.")
    control, treated = ({name: pair[arm] for name, pair in pairs.items()} for arm in (0, 1))
    arms = (-1.0, given | control), (1.0, given | treated)
    summands = tuple(_summand(query, expression, arm, sign) for sign, arm in arms)
    return Quantity(f"contrast of {query.text()}", summands)


def difference_of(sides: Iterable[tuple[Query, Expression]], values: Mapping[str, Any] | None) -> Quantity:
    """The quantity that the difference of two estimands is, with some values wherever they are open."""
    listed = list(sides)
    if values is not None and not isinstance(values, Mapping):
        raise QueryError(f"values must be a dict from variable to value, got {values!r:.80}.")
    names = dict.fromkeys(name for query, _ in listed for name in query.names)
    open_in = [{symbol.name for symbol in query.expression.free} for query, _ in listed]
    for name in values or {}:
        if name not in names:
            raise unknown_variable(name, names)
        if not any(name in found for found in open_in):
            raise QueryError(f"{name!r} has a value in both queries already: drop it from values.")
    summands = []
    for sign, (query, expression), found in zip((1.0, -1.0), listed, open_in, strict=True):
        given = {name: value for name, value in (values or {}).items() if name in found}
        summands.append(_summand(query, expression, _checked_values(query, given, "values"), sign))
    return Quantity(" - ".join(query.text() for query, _ in listed), tuple(summands))


def _checked_values(query: Query, values: Any, what: str) -> dict[str, Any]:
    if values is not None and not isinstance(values, Mapping):
        raise QueryError(f"{what} must be a dict from variable to value, got {values!r:.80}.")
    open_names = {symbol.name for symbol in query.expression.free}
    for name in values or {}:
        if name not in query.names:
            raise unknown_variable(name, query.names)
        if name not in open_names:
            raise QueryError(f"{name!r} has a value in the query {query} already: drop it from {what}.")
        if query.mean and name == query.outcome[0].name and Symbol(name) == query.outcome[0].value:
            raise QueryError(f"{query} is the mean of {name!r}, which has no value: drop it from {what}.")
    return {name: getattr(value, "item", lambda v=value: v)() for name, value in (values or {}).items()}


def _summand(query: Query, expression: Expression, given: Mapping[str, Any], sign: float) -> Summand:
    left = {symbol for symbol in query.expression.free if symbol.name not in given}
    outcomes = [event for event in query.outcome if event.value in left]
    missing = left - {event.value for event in outcomes}
    if missing or len(outcomes) > 1:
        names = sorted({symbol.name for symbol in missing} or {event.name for event in outcomes})
        raise QueryError(
            f"{query} needs values for {names}: pass values={{{names[0]!r}: ...}}. One outcome may stay open."
        )
    expression = expression.substitute({s: given[s.name] for s in query.expression.free if s.name in given})
    for event in outcomes:
        return Summand(sign, expression, Symbol(event.name, next(s.primes for s in left if s == event.value)), None)
    first = query.outcome[0]
    return Summand(sign, expression, None, (first.name, given.get(first.name, first.value)))


class JointTables:
    """Joint tables by domain and experiment, and the numbers that follow from them.

    Args:
        tables: (domain, variables that were set) -> the table, which needs to hold what the quantity reads there.
        quantity: what is asked of them.
    """

    def __init__(self, tables: Mapping[Regime, JointTable], quantity: Quantity) -> None:
        self.reads = quantity.reads
        self.tables = {regime: table_of(tables, regime) for regime in self.reads}
        for regime, names in self.reads.items():
            for name in sorted(names):
                if name not in self.tables[regime].names:
                    raise unknown_variable(name, self.tables[regime].names)
        order = dict.fromkeys(name for table in self.tables.values() for name in table.names)
        known = frozenset().union(*self.reads.values())
        self.names = [name for name in order if name in known]
        self.states = {name: self._merged(name) for name in self.names}
        sizes = {name: len(states) for name, states in self.states.items()}
        self._laws: dict[Regime, Array] = {}
        self.tabulate = Tabulator(self.names, self._regime, self._place, sizes)

    @classmethod
    def of(cls, source: Laws, quantity: Quantity) -> "JointTables":
        """Of one law, or of a dict of them."""
        return cls({regime: as_table(table) for regime, table in by_regime(source).items()}, quantity)

    def _merged(self, name: str) -> tuple[Any, ...]:
        """The states that a variable has in one table or another."""
        read = (table for regime, table in self.tables.items() if name in self.reads[regime])
        return tuple(dict.fromkeys(state for table in read for state in table.states[name]))

    def _place(self, name: str, value: Any) -> int:
        if value not in self.states[name]:
            raise DataError(f"{name!r} never has the value {value!r:.80}. Its values are {self.states[name]!r:.200}.")
        return self.states[name].index(value)

    def _regime(self, domain: str, do: frozenset[str]) -> Array:
        """A law over all variables, with one value for those that are not read there."""
        if (domain, do) not in self._laws:
            table, read = self.tables[domain, do], self.reads[domain, do]
            joint = table.array([name for name in self.names if name in read])
            for axis, name in enumerate(name for name in self.names if name in read):
                wider = np.zeros((*joint.shape[:axis], len(self.states[name]), *joint.shape[axis + 1 :]))
                places = [self.states[name].index(state) for state in table.states[name]]
                wider[(slice(None),) * axis + (places,)] = joint
                joint = wider
            joint = joint.reshape([len(self.states[name]) if name in read else 1 for name in self.names])
            others = tuple(i for i, name in enumerate(self.names) if name not in do)
            with np.errstate(invalid="ignore"):
                self._laws[domain, do] = joint / joint.sum(others, keepdims=True) if do else joint
        return self._laws[domain, do]

    def value(self, quantity: Quantity) -> float:
        """The number that a quantity is."""
        return float(sum(summand.sign * self._mean(summand) for summand in quantity.summands))

    def _mean(self, summand: Summand) -> float:
        values, axes = self.tabulate(summand.expression)
        extra = tuple(i for i, symbol in enumerate(axes) if symbol != summand.outcome)  # of whose values all will do
        known = np.isfinite(values)
        with np.errstate(invalid="ignore"):
            values = np.where(known, values, 0.0).sum(extra) / known.sum(extra)
        if summand.outcome is not None:
            values = (values * numbers(summand.outcome.name, self.states)).sum()
        if not np.isfinite(values):
            raise DataError(
                f"{summand.expression.text():.200} divides by zero: a condition in it never happens. The effect there "
                f"cannot be told without assumptions; see the bounds."
            )
        return float(values)


def by_regime(source: Laws) -> dict[Regime, Joint]:
    """The laws of a dict by domain and experiment, its keys checked; one law is that of what was only seen."""
    if not isinstance(source, Mapping):
        return {("", frozenset()): source}
    laws: dict[Regime, Joint] = {}
    for key, law in source.items():
        if not isinstance(key, tuple) or len(key) != 2 or not isinstance(key[0], str) or isinstance(key[1], str):
            raise DataError(
                f"the key of a table is (domain, names that were set), such as ('', ('Z',)), got {key!r:.80}."
            )
        laws[key[0], frozenset(key[1])] = law
    if not laws:
        raise DataError("there are no tables: pass at least {('', ()): JointTable(...)}.")
    return laws


def of_selected(expression: Expression, selection: str, source: object) -> Expression:
    """An expression with terms of the selected units (S=1) in front of what is to be evaluated on.

    In a dict of laws these units are a domain of their own, "S=1" (or "*, S=1", of the domain "*"). A law without S is
    theirs; one that has S, of a joint table or a model, is that of all units.

    Raises:
        DataError: one law without S, or one sample, where those of all units are needed as well.
    """
    if not isinstance(source, Mapping):
        table = source.to_table() if isinstance(source, Tabulated) else source
        if (isinstance(table, JointTable) and selection in table.names) or callable(source):
            return expression
    selected = Term(selection, 1)

    def walk(e: Expression) -> Expression:
        if isinstance(e, Probability) and selected in e.given:
            given = tuple(t for t in e.given if t != selected)
            return Probability(e.outcome, given, e.do, f"{e.domain}, {selection}=1" if e.domain else f"{selection}=1")
        if isinstance(e, Probability) and selected in e.outcome:
            raise QueryError(f"{e} has no value in data on selected units.")
        return e.rebuilt(tuple(map(walk, e.parts)))

    found = walk(expression)
    if isinstance(source, Mapping):
        return found
    if any(isinstance(part, Probability) and not part.domain for part in found.walk()):
        raise DataError(
            f"the estimand stands on all units as well as on those with {selection}=1: pass "
            f"{{('{selection}=1', ()): selected, ('', ()): all}}, two tables or DataFrames."
        )
    return _without_domain(found)


def _without_domain(e: Expression) -> Expression:
    if isinstance(e, Probability):
        return Probability(e.outcome, e.given, e.do)
    return e.rebuilt(tuple(map(_without_domain, e.parts)))


def table_of(tables: Mapping[Regime, Any], regime: Regime) -> Any:
    """The law of a domain and experiment.

    Raises:
        DataError: there is none.
    """
    if regime not in tables:
        raise DataError(
            f"the estimand needs the table of ({regime[0]!r}, {sorted(regime[1])}), got those of "
            f"{[(domain, sorted(names)) for domain, names in tables]}."
        )
    return tables[regime]


def numbers(name: str, states: Mapping[str, tuple[Any, ...]]) -> Array:
    """The states of a variable as numbers, which a mean can be taken of."""
    try:
        return np.array([float(state) for state in states[name]])
    except (TypeError, ValueError):
        raise QueryError(
            f"{name!r} has states that are no numbers, {states[name]!r:.80}: ask for a probability, "
            f"values={{{name!r}: ...}}."
        ) from None
