"""The programs that a question about a graph comes to: one, or one for each stratum of its covariates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from causal_pyro_models.arrays import Array
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.graph.validation import Edge
from causal_pyro_models.identification.bounding.extremes import extremes, impossible, ratio_extremes
from causal_pyro_models.identification.bounding.knowledge import Experiment, events_of, known_of
from causal_pyro_models.identification.bounding.response_types import (
    MAXIMUM_TYPES,
    PlacedEvent,
    ResponseTypes,
    event_of,
)
from causal_pyro_models.identification.bounding.strata import covariates, strata
from causal_pyro_models.identification.expressions.expression import Term
from causal_pyro_models.identification.laws.joint_table import JointTable
from causal_pyro_models.identification.worlds.responses import Responses

WeightedSum = Sequence[tuple[float, Sequence[Term]]]
"""A weighted sum of probabilities of conjunctions of events."""

Placed = Sequence[tuple[float, Sequence[PlacedEvent]]]
"""The same, as a law of response types sees it."""


@dataclass(frozen=True)
class Question:
    """How one weighted sum of probabilities over another is bounded, or the first where there is no condition.

    Attributes:
        name: for messages.
        graph: the causal graph.
        objective, condition: the two sums.
        monotone: see :func:`bounds`.
    """

    name: str
    graph: CausalGraph
    objective: WeightedSum
    condition: WeightedSum
    monotone: tuple[Edge, ...] = ()

    @property
    def factual(self) -> bool:
        """Whether the mass of the condition is known."""
        return all(not term.do for _, events in self.condition for term in events)

    @property
    def terms(self) -> list[Term]:
        return [term for _, events in [*self.objective, *self.condition] for term in events]

    def extremes(
        self, table: JointTable, experiments: Sequence[Experiment], rows: float | None = None
    ) -> tuple[float, float, bool, float]:
        """The least and the greatest value, whether both are attained, and how far the law is from one of a model.

        Args:
            table: the law, or the frequencies of a sample.
            experiments: beside it.
            rows: of the sample, or of the smallest one where experiments are samples; None for laws.
        """
        types, above, below = self._types(table, experiments, rows)
        held, exact = self._held(types, experiments)
        if not held:
            return *self._whole(types.enumerate(), above, below, table, experiments), types.distance
        mass = _mass(self.condition, table)
        if not mass > 0:
            raise impossible(self.name)
        lower = upper = distance = 0.0
        for stratum in strata(self.graph, table, experiments, held):
            inside = [(weight, stratum.events(events)) for weight, events in self.objective]
            kept = [(weight, events) for weight, events in inside if events]
            share = stratum.probability / mass
            constant = sum(weight for weight, events in inside if events == [])
            part = Question(self.name, stratum.graph, kept, [], self._inside(stratum.graph))
            low, high, attained, apart = 0.0, 0.0, True, 0.0
            if kept:
                inside_rows = None if rows is None else rows * stratum.probability
                low, high, attained, apart = part.extremes(stratum.table, stratum.experiments, inside_rows)
            distance += stratum.probability * apart
            lower, upper = lower + share * (low + constant), upper + share * (high + constant)
            exact = exact and attained
        return lower, upper, exact, distance

    def _inside(self, graph: CausalGraph) -> tuple[Edge, ...]:
        return tuple(pair for pair in self.monotone if pair in graph.edges)

    def _types(
        self, table: JointTable, experiments: Sequence[Experiment], rows: float | None
    ) -> tuple[ResponseTypes, Placed, Placed]:
        responses = Responses(self.graph)
        above, below = (
            [(weight, [event_of(responses, table, term) for term in events]) for weight, events in weighted]
            for weighted in (self.objective, self.condition)
        )
        events = [event for _, events in above + below for event in events]
        events += events_of(responses, table, experiments)
        return ResponseTypes(responses, table, events, self.monotone, rows), above, below

    def _held(self, types: ResponseTypes, experiments: Sequence[Experiment]) -> tuple[frozenset[str], bool]:
        """The covariates to take stratum by stratum, and whether nothing is lost by it."""
        if len(types.active) != 1 or not self.factual:
            return frozenset(), True
        causes = [frozenset(self.graph.parents(v)) for v in types.block]
        held = covariates(self.graph, frozenset.intersection(*causes), self.terms, experiments)
        fewer = math.log(types.total) / _states(types, held)  # each type is one function for each stratum
        if fewer <= math.log(MAXIMUM_TYPES):
            return held, True
        outcomes = {term.name for term in self.terms if term.do}
        wider = frozenset().union(*(self.graph.parents(v) for v in types.block if v in outcomes))
        return covariates(self.graph, wider, self.terms, experiments), False

    def _whole(
        self, types: ResponseTypes, above: Placed, below: Placed, table: JointTable, experiments: Sequence[Experiment]
    ) -> tuple[float, float, bool]:
        """The program over all response types at once."""
        types.known = known_of(types, types.responses, table, experiments)

        def coefficients(weighted: Placed) -> Array:
            return np.asarray(np.sum([weight * types.probability(events) for weight, events in weighted], axis=0))

        value = coefficients(above)
        if not self.factual:
            return ratio_extremes(types, value, coefficients(below), self.name)
        mass = _mass(self.condition, table)
        if not mass > 0:
            raise impossible(self.name)
        return extremes(types, value / mass, self.name)


def _states(types: ResponseTypes, names: frozenset[str]) -> int:
    return int(np.prod([types.sizes[v] for v in names], dtype=int))


def _mass(condition: WeightedSum, table: JointTable) -> float:
    """The probability of a condition of the actual world; one where there is none."""
    return sum(weight * _observed(table, events) for weight, events in condition) if condition else 1.0


def _observed(table: JointTable, events: Sequence[Term]) -> float:
    """The probability of a conjunction of events in the actual world."""
    places: dict[str, int] = {}
    for name, value, _ in events:
        if places.setdefault(name, place := table.index(name, value)) != place:
            return 0.0
    return float(table.array(list(places))[tuple(places.values())])
