"""Strata: of covariates that are causes of all that is in doubt, each value has a program of its own."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification.bounding.knowledge import Experiment
from causal_pyro_models.identification.expressions.expression import Term
from causal_pyro_models.identification.laws.joint_table import JointTable


def covariates(
    graph: CausalGraph, causes: Iterable[str], terms: Iterable[Term], experiments: Iterable[Experiment]
) -> frozenset[str]:
    """The largest set of some causes that can be held: unconfounded with the rest, nothing else above them, not set.

    Given them, the response types of the rest have any law, stratum by stratum, if they are causes of all of it.
    """
    set_somewhere = {name for term in terms for name in _set_in(term)}
    held = frozenset(causes) - set_somewhere
    for experiment in experiments:
        held &= frozenset(experiment.table.names) - frozenset(experiment.done)
    while True:
        kept = frozenset(v for v in held if held.issuperset((*graph.parents(v), *graph.siblings(v))))
        if kept == held:
            return held
        held = kept


def _set_in(term: Term) -> Iterator[str]:
    for action in term.do:
        yield action.name
        yield from _set_in(action)


class Stratum:
    """The problem at one value of the covariates.

    Attributes:
        probability: of the stratum.
        graph, table, experiments: without the covariates, given their values.
    """

    def __init__(
        self, graph: CausalGraph, table: JointTable, experiments: Iterable[Experiment], at: dict[str, Any]
    ) -> None:
        self.at = at
        self.probability, self.table = _given(table, at)
        self.graph = graph.subgraph([v for v in graph.variables if v not in at])
        self.experiments = []
        for experiment in experiments:
            mass, inside = _given(experiment.table, at)
            if mass > 0:
                self.experiments.append(Experiment(experiment.done, inside, experiment.rows))

    def events(self, events: Iterable[Term]) -> list[Term] | None:
        """The events without those of the covariates; None where one of these fails."""
        left = [event for event in events if event.name not in self.at]
        fails = any(self.at[event.name] != event.value for event in events if event.name in self.at)
        return None if fails else left


def strata(
    graph: CausalGraph, table: JointTable, experiments: Iterable[Experiment], held: frozenset[str]
) -> Iterator[Stratum]:
    """All strata that occur."""
    names = [v for v in table.names if v in held]
    law = table.array(names)
    for places in np.argwhere(law > 0):
        at = {name: table.states[name][k] for name, k in zip(names, places, strict=True)}
        yield Stratum(graph, table, experiments, at)


def _given(table: JointTable, at: dict[str, Any]) -> tuple[float, JointTable]:
    """The probability of some values, and the law of the others given them."""
    left = [v for v in table.names if v not in at]
    joint = table.array([*at, *left])
    for name, value in at.items():
        if value not in table.states[name]:
            return 0.0, table
        joint = joint[table.states[name].index(value)]
    mass = float(joint.sum())
    if not mass > 0:
        return 0.0, table
    return mass, JointTable(left, joint / mass, {v: table.states[v] for v in left})
