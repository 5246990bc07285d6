"""What is known beside the joint law: experiments, and that effects go one way."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from causal_pyro_models.arrays import Array
from causal_pyro_models.errors import QueryError, unknown_variable
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.graph.validation import Edge
from causal_pyro_models.identification.bounding.response_types import Known, ResponseTypes, event_of
from causal_pyro_models.identification.expressions.expression import Term
from causal_pyro_models.identification.laws.columns import is_dataframe
from causal_pyro_models.identification.laws.joint_table import Joint, JointTable, as_table
from causal_pyro_models.identification.worlds.responses import Responses

STRETCH = 2.0  # of the differences of resamples from the sample, see ``sampling``

Experiments = Mapping[str | tuple[str, ...], Joint]
"""What was set -> the joint law of some variables, what was set among them."""


@dataclass(frozen=True)
class Experiment:
    """P(v | do(x)) of some variables v, for every x that occurs.

    Attributes:
        done: what was set.
        table: its joint law with the others.
        rows: of the sample that this is the frequencies of; None where it is exact.
    """

    done: tuple[str, ...]
    table: JointTable
    rows: int | None = None

    def settings(self) -> Iterator[dict[str, Any]]:
        """The values that were set."""
        law = self.table.array(self.done)
        for places in np.argwhere(law > 0):
            yield {name: self.table.states[name][k] for name, k in zip(self.done, places, strict=True)}

    def cells(
        self, graph: CausalGraph, observed: JointTable, setting: Mapping[str, Any]
    ) -> Iterator[tuple[Any, float]]:
        """Each value of the other variables, as events under the setting, with its probability.

        What the setting does not reach has the law that is observed, so that two samples cannot contradict each other.
        """
        reached = graph.descendants(self.done)
        before = [v for v in self.table.names if v not in reached]
        after = [v for v in self.table.names if v in reached and v not in self.done]
        joint = self.table.array([*self.done, *before, *after])
        law = joint[tuple(self.table.states[name].index(value) for name, value in setting.items())]
        given = law.sum(tuple(range(len(before), law.ndim)), keepdims=True)
        weight = observed.array(before)
        world = tuple(Term(name, value) for name, value in setting.items())
        for places in itertools.product(*(range(size) for size in law.shape)):
            here = places[: len(before)]
            mass = float(given[(*here, *(0 for _ in after))])
            values = [self.table.states[v][k] for v, k in zip([*before, *after], places, strict=True)]
            if mass > 0:
                share = float(weight[tuple(observed.index(v, x) for v, x in zip(before, values, strict=False))])
                events = [Term(v, x, world) for v, x in zip([*before, *after], values, strict=True)]
                yield events, float(law[places]) / mass * share


@dataclass(frozen=True)
class Knowledge:
    """Experiments beside the joint law, and edges along which no unit's effect goes down.

    Attributes:
        experiments: each with its law.
        monotone: pairs (cause, effect): edges of the graph.
    """

    experiments: tuple[Experiment, ...] = ()
    monotone: tuple[Edge, ...] = ()

    @classmethod
    def checked(cls, graph: CausalGraph, experiments: Any, monotone: Any) -> "Knowledge":
        """From the arguments of :func:`bounds`."""
        if not isinstance(experiments or {}, Mapping):
            raise QueryError(f"experiments must be a dict from what was set to a law, got {experiments!r:.80}.")
        if isinstance(monotone, str) or not isinstance(monotone, Iterable):
            raise QueryError(f"monotone must be a list of edges such as [('X', 'Y')], got {monotone!r:.80}.")
        found = [_experiment(graph, key, law) for key, law in (experiments or {}).items()]
        pairs = [tuple(pair) if isinstance(pair, tuple | list) else (pair,) for pair in monotone]
        for pair in pairs:
            if pair not in graph.edges:
                raise QueryError(f"monotone has {pair!r:.80}, which is no edge of the graph: write (cause, effect).")
        return cls(tuple(found), tuple(pairs))

    def rows(self, own: int | None) -> int | None:
        """The rows of the smallest sample, of the joint law or of an experiment; None where all are exact."""
        return min((n for n in (own, *(e.rows for e in self.experiments)) if n is not None), default=None)

    def resampled(self, rng: np.random.Generator) -> "Knowledge":
        """The same with every experiment's sample drawn anew."""
        drawn = (replace(e, table=resampled(e.table, e.rows, rng)) for e in self.experiments)
        return replace(self, experiments=tuple(drawn))


def _experiment(graph: CausalGraph, key: Any, law: Joint) -> Experiment:
    done = (key,) if isinstance(key, str) else tuple(key)
    for name in done:
        if name not in graph.variables:
            raise unknown_variable(name, graph.variables)
    if is_dataframe(law):
        table, rows = JointTable.from_dataframe(law, [v for v in graph.variables if v in law.columns]), len(law)
    else:
        whole, rows = as_table(law), None
        kept = [v for v in graph.variables if v in whole.names]
        table = JointTable(kept, whole.array(kept), {v: whole.states[v] for v in kept})
    for name in done:
        if name not in table.names:
            raise unknown_variable(name, table.names)
    return Experiment(done, table, rows)


def resampled(table: JointTable, rows: int | None, rng: np.random.Generator) -> JointTable:
    """The frequencies of a sample drawn anew, ``STRETCH`` times as far off; a law that is exact stays as it is."""
    if rows is None:
        return table
    law = table.probabilities / table.probabilities.sum()
    off = rng.multinomial(rows, law.ravel()).reshape(law.shape) / rows - law
    drawn = np.clip(law + STRETCH * off, 0.0, None)
    return JointTable(table.names, drawn / drawn.sum(), table.states)


def known_of(
    types: ResponseTypes, responses: Responses, table: JointTable, experiments: Iterable[Experiment]
) -> list[Known]:
    """What experiments say about the law of the response types: the mean of a function, each."""
    rows: list[Known] = []
    for experiment in experiments:
        for setting in experiment.settings():
            for events, probability in experiment.cells(types.graph, table, setting):
                placed = [event_of(responses, table, event) for event in events]
                function: Array = types.probability(placed)
                if np.ptp(function) > 0:  # otherwise the joint law settles it
                    rows.append((function, probability))
    return rows


def events_of(responses: Responses, table: JointTable, experiments: Iterable[Experiment]) -> list[Any]:
    """All events that experiments tell of."""
    return [
        event_of(responses, table, event)
        for experiment in experiments
        for setting in experiment.settings()
        for events, _ in experiment.cells(responses.graph, table, setting)
        for event in events
    ]
