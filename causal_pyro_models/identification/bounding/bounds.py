"""Bounds on what is not identifiable: the extremes over all models of a graph that agree with the joint law."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from causal_pyro_models.errors import InterventionError, QueryError, unknown_variable
from causal_pyro_models.graph import CausalGraph, GraphLike, as_graph
from causal_pyro_models.graph.validation import Edge
from causal_pyro_models.identification.bounding.knowledge import Experiments, Knowledge, resampled
from causal_pyro_models.identification.bounding.question import Question, WeightedSum
from causal_pyro_models.identification.bounding.sampling import Sampling, broken_independences, resampled_interval
from causal_pyro_models.identification.expressions.expression import Term
from causal_pyro_models.identification.expressions.query import Query
from causal_pyro_models.identification.laws.columns import is_dataframe
from causal_pyro_models.identification.laws.joint_table import Joint, JointTable, as_table
from causal_pyro_models.validation import Arms, checked_arms

IDENTIFIED = 1e-7  # bounds that are closer than this are one number, which the solver approached from both sides


@dataclass(frozen=True)
class Bounds:
    """The least and the greatest value that a quantity has in the models of a graph with a given joint law.

    Attributes:
        name: of the quantity.
        lower, upper: the bounds; equal, but for rounding, where the quantity is identifiable.
        sharp: whether each bound is attained by a model. Where not, the bounds hold but could be narrower: some
            independences among hidden variables that no linear program can express were let go, or what links the
            strata of a covariate.
        interval: of bounds from data, an interval that holds both bounds of the law that the data are from with
            probability ``level``; None for exact laws, and where most resamples fit no model of the graph.
        level: of the interval.
        broken: independences that the graph implies and the law does not have (of data: Holm's p-value below 0.01).
            The bounds are about models of the graph, of which none has this law; of data, about those nearest to it.

    Example:
        >>> Bounds("P(Y=1 | do(X=1))", 0.3, 0.8, True)
        P(Y=1 | do(X=1)) from 0.3000 to 0.8000 (sharp)
        >>> 0.5 in Bounds("ate", -0.2, 0.8, True)
        True
    """

    name: str
    lower: float
    upper: float
    sharp: bool
    interval: tuple[float, float] | None = None
    level: float = 0.95
    broken: tuple[str, ...] = ()

    @property
    def width(self) -> float:
        """How far the bounds are apart."""
        return self.upper - self.lower

    def __contains__(self, value: float) -> bool:
        return self.lower <= value <= self.upper

    def __repr__(self) -> str:
        text = f"{self.name} from {self.lower:.4f} to {self.upper:.4f} ({'sharp' if self.sharp else 'not sharp'})"
        if self.interval:
            text += f", {100 * self.level:g}% interval {self.interval[0]:.4f} to {self.interval[1]:.4f}"
        return "\n  ".join([text, *(f"the law breaks {independence} of the graph" for independence in self.broken)])


def bounds(
    graph: GraphLike,
    joint: Joint,
    query: str | Query,
    *,
    experiments: Experiments | None = None,
    monotone: Iterable[Edge] = (),
    level: float = 0.95,
    replicates: int = 100,
    seed: int = 0,
) -> Bounds:
    """Bounds on a query, interventional or counterfactual, from the joint law of the observed variables.

    The hidden variables of each district choose the response types of its members, in any way that brings about the
    joint law; the query is linear in the law of the types of one district, or a ratio of two such, which a linear
    program bounds. Where two districts matter it is bilinear, and bounded by branch and bound.

    Args:
        graph: an acyclic directed mixed graph.
        joint: the law of its variables: a :class:`JointTable`, a DataFrame (its frequencies), or a law of the zoo.
        query: such as ``"P(Y=1 | do(X=1))"`` or ``"P(Y_{X=0}=0 | X=1, Y=1)"``, every value given.
        experiments: what was set -> the joint law of some variables in an experiment on the same population, what was
            set among them: ``{"X": trial}``. Only how they depend on what was set is used.
        monotone: edges (cause, effect) along which no unit's effect goes down as its cause goes up, such as "no
            defiers", ``[("Z", "X")]``. Values that are no numbers go up in the order of the states.
        level: of the interval of bounds from data.
        replicates: resamples that the interval is made of; 0 for none.
        seed: of the resamples.

    Measured covariates that are causes of all that is in doubt are taken stratum by stratum, each a program of its own.

    Raises:
        QueryError: a value is left open, there are too many response types, or experiments where two districts are in
            doubt.
        DataError: a value that never occurs, or a law that no model of the graph has.
        EvidenceError: the event conditioned on has probability zero.

    References:
        Balke and Pearl (1994), Counterfactual probabilities: computational methods, bounds and applications; Balke and
        Pearl (1997), Bounds on treatment effects from studies with imperfect compliance; Sachs et al. (2023), A general
        method for deriving tight symbolic bounds on causal effects.

    Example:
        >>> bow = CausalGraph(["X", "Y"], [("X", "Y")], bidirected=[("X", "Y")])
        >>> joint = JointTable(["X", "Y"], [[0.3, 0.2], [0.1, 0.4]])
        >>> bounds(bow, joint, "P(Y=1 | do(X=1))")
        P(Y=1 | do(X=1)) from 0.4000 to 0.9000 (sharp)
    """
    graph = as_graph(graph)
    asked = Query.parse(query) if isinstance(query, str) else query
    if not isinstance(asked, Query):
        raise QueryError(f"expected a Query or its text, such as 'P(Y=1 | do(X=1))', got {type(query).__name__}.")
    asked.check_names(graph)
    events, given = ([_under(term, asked.treatment) for term in side] for side in (asked.outcome, asked.conditions))
    knowledge = Knowledge.checked(graph, experiments, monotone)
    return _solved(
        asked.text(),
        graph,
        joint,
        [(1.0, events + given)],
        [(1.0, given)] if given else [],
        knowledge,
        Sampling(level, replicates, seed),
    )


def ate_bounds(
    graph: GraphLike,
    joint: Joint,
    treatment: Arms,
    outcome: str | Mapping[str, Any],
    *,
    experiments: Experiments | None = None,
    monotone: Iterable[Edge] = (),
    level: float = 0.95,
    replicates: int = 100,
    seed: int = 0,
) -> Bounds:
    """Bounds on the average treatment effect E[Y_treated - Y_control].

    Args:
        graph, joint: see :func:`bounds`.
        treatment: variable -> (control, treated); several variables together.
        outcome: a variable whose states are numbers; or an event ``{"Y": 2}``, whose probability is compared.
        experiments, monotone, level, replicates, seed: see :func:`bounds`.

    Raises:
        InterventionError: the treatment is not a dict from variable to a pair.
        QueryError: the outcome has states that are no numbers, or is treated itself. Otherwise as :func:`bounds`.

    References:
        Balke and Pearl (1997), Bounds on treatment effects from studies with imperfect compliance.

    Example:
        >>> iv = CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("X", "Y")], bidirected=[("X", "Y")])
        >>> law = [[[0.36, 0.04], [0.03, 0.07]], [[0.09, 0.01], [0.12, 0.28]]]
        >>> ate_bounds(iv, JointTable(["Z", "X", "Y"], law), {"X": (0, 1)}, "Y")
        ate from 0.2800 to 0.6800 (sharp)
    """
    graph = as_graph(graph)
    control, treated = _arms(graph, treatment)
    worth = _worth(as_table(joint, graph.variables), outcome, treatment)
    name = outcome if isinstance(outcome, str) else next(iter(outcome))
    objective = [
        (sign * value, [Term(name, state, world)])
        for sign, world in ((1.0, treated), (-1.0, control))
        for state, value in worth
    ]
    knowledge = Knowledge.checked(graph, experiments, monotone)
    return _solved("ate", graph, joint, objective, [], knowledge, Sampling(level, replicates, seed))


def pn_bounds(
    graph: GraphLike,
    joint: Joint,
    treatment: Arms,
    outcome: str | Mapping[str, Any],
    *,
    experiments: Experiments | None = None,
    monotone: Iterable[Edge] = (),
    level: float = 0.95,
    replicates: int = 100,
    seed: int = 0,
) -> Bounds:
    """Bounds on the probability of necessity P(not Y_control | X = treated, Y).

    Args:
        graph, joint: see :func:`bounds`.
        treatment: one variable -> (control, treated).
        outcome: a variable of states 0 and 1; or an event ``{"Y": 2}``.
        experiments, monotone, level, replicates, seed: see :func:`bounds`.

    Raises:
        InterventionError, QueryError: as :func:`ate_bounds`. Otherwise as :func:`bounds`.

    References:
        Pearl (2009), Causality, definition 9.2.1; Tian and Pearl (2000), Probabilities of causation: bounds and
        identification.

    Example:
        >>> bow = CausalGraph(["X", "Y"], [("X", "Y")], bidirected=[("X", "Y")])
        >>> pn_bounds(bow, JointTable(["X", "Y"], [[0.3, 0.2], [0.1, 0.4]]), {"X": (0, 1)}, "Y")
        pn from 0.0000 to 1.0000 (sharp)
    """
    graph = as_graph(graph)
    control, treated, happens, fails = _causation(graph, joint, treatment, outcome)
    seen = [*treated, happens]
    objective = [(1.0, [event._replace(do=control), *seen]) for event in fails]
    knowledge = Knowledge.checked(graph, experiments, monotone)
    return _solved("pn", graph, joint, objective, [(1.0, seen)], knowledge, Sampling(level, replicates, seed))


def ps_bounds(
    graph: GraphLike,
    joint: Joint,
    treatment: Arms,
    outcome: str | Mapping[str, Any],
    *,
    experiments: Experiments | None = None,
    monotone: Iterable[Edge] = (),
    level: float = 0.95,
    replicates: int = 100,
    seed: int = 0,
) -> Bounds:
    """Bounds on the probability of sufficiency P(Y_treated | X = control, not Y).

    Args:
        graph, joint, treatment, outcome: see :func:`pn_bounds`.
        experiments, monotone, level, replicates, seed: see :func:`bounds`.

    References:
        Pearl (2009), Causality, definition 9.2.2; Tian and Pearl (2000), Probabilities of causation: bounds and
        identification.

    Example:
        >>> bow = CausalGraph(["X", "Y"], [("X", "Y")], bidirected=[("X", "Y")])
        >>> ps_bounds(bow, JointTable(["X", "Y"], [[0.3, 0.2], [0.1, 0.4]]), {"X": (0, 1)}, "Y")
        ps from 0.0000 to 1.0000 (sharp)
    """
    graph = as_graph(graph)
    control, treated, happens, fails = _causation(graph, joint, treatment, outcome)
    seen = [[*control, event] for event in fails]
    objective = [(1.0, [happens._replace(do=treated), *events]) for events in seen]
    knowledge = Knowledge.checked(graph, experiments, monotone)
    return _solved(
        "ps", graph, joint, objective, [(1.0, events) for events in seen], knowledge, Sampling(level, replicates, seed)
    )


def pns_bounds(
    graph: GraphLike,
    joint: Joint,
    treatment: Arms,
    outcome: str | Mapping[str, Any],
    *,
    experiments: Experiments | None = None,
    monotone: Iterable[Edge] = (),
    level: float = 0.95,
    replicates: int = 100,
    seed: int = 0,
) -> Bounds:
    """Bounds on the probability of necessity and sufficiency P(Y_treated, not Y_control).

    Args:
        graph, joint, treatment, outcome: see :func:`pn_bounds`.
        experiments, monotone, level, replicates, seed: see :func:`bounds`.

    References:
        Pearl (2009), Causality, definition 9.2.3; Tian and Pearl (2000), Probabilities of causation: bounds and
        identification.

    Example:
        >>> bow = CausalGraph(["X", "Y"], [("X", "Y")], bidirected=[("X", "Y")])
        >>> law = JointTable(["X", "Y"], [[0.3, 0.2], [0.1, 0.4]])
        >>> pns_bounds(bow, law, {"X": (0, 1)}, "Y")
        pns from 0.0000 to 0.7000 (sharp)
        >>> trial = JointTable(["X", "Y"], [[0.3, 0.2], [0.1, 0.4]])
        >>> pns_bounds(bow, law, {"X": (0, 1)}, "Y", experiments={"X": trial})
        pns from 0.4000 to 0.6000 (sharp)
        >>> pns_bounds(bow, law, {"X": (0, 1)}, "Y", experiments={"X": trial}, monotone=[("X", "Y")])
        pns from 0.4000 to 0.4000 (sharp)
    """
    graph = as_graph(graph)
    control, treated, happens, fails = _causation(graph, joint, treatment, outcome)
    objective = [(1.0, [happens._replace(do=treated), event._replace(do=control)]) for event in fails]
    knowledge = Knowledge.checked(graph, experiments, monotone)
    return _solved("pns", graph, joint, objective, [], knowledge, Sampling(level, replicates, seed))


# The program ----------------------------------------------------------------------------------------------------------


def _solved(
    name: str,
    graph: CausalGraph,
    joint: Joint,
    objective: WeightedSum,
    condition: WeightedSum,
    knowledge: Knowledge,
    sampling: Sampling,
) -> Bounds:
    """The extremes of one weighted sum of probabilities over another, or of the first where there is no condition."""
    question = Question(name, graph, objective, condition, knowledge.monotone)
    possible = all(weight > 0.0 for weight, _ in objective)  # a probability, which a search without end may overlook

    table, own = as_table(joint, graph.variables), len(joint) if is_dataframe(joint) else None
    rows = knowledge.rows(own)

    def ends(law: JointTable, known: Knowledge) -> tuple[float, float, bool, float]:
        lower, upper, sharp, distance = question.extremes(law, known.experiments, rows)
        return (max(lower, 0.0), min(upper, 1.0), sharp, distance) if possible else (lower, upper, sharp, distance)

    def again(rng: np.random.Generator) -> tuple[float, float]:
        return ends(resampled(table, own, rng), knowledge.resampled(rng))[:2]

    lower, upper, sharp, distance = ends(table, knowledge)
    interval = None if rows is None else resampled_interval((lower, upper), again, sampling)
    if interval and possible:
        interval = max(interval[0], 0.0), min(interval[1], 1.0)
    broken = broken_independences(graph, table, own)
    if distance > IDENTIFIED:
        broken += (f"an inequality, of which the nearest law is {distance:.2g} away,",)
    sharp = sharp or upper - lower < IDENTIFIED
    return Bounds(name, lower, upper, sharp and not broken, interval, sampling.level, broken)


# What is asked --------------------------------------------------------------------------------------------------------


def _under(term: Term, treatment: tuple[Term, ...]) -> Term:
    """A term of an interventional query in the world of its treatment."""
    return term._replace(do=treatment) if treatment else term


def _arms(graph: CausalGraph, treatment: Any) -> tuple[tuple[Term, ...], tuple[Term, ...]]:
    pairs = checked_arms(treatment)
    for name in pairs:
        if name not in graph.variables:
            raise unknown_variable(name, graph.variables)
    control, treated = (tuple(Term(name, pair[arm]) for name, pair in pairs.items()) for arm in (0, 1))
    return control, treated


def _worth(table: JointTable, outcome: Any, treatment: Mapping[str, Any]) -> list[tuple[Any, float]]:
    """The states of an outcome and what each counts for: itself, or one where an event happens."""
    if isinstance(outcome, Mapping) and len(outcome) == 1:
        ((name, event),) = outcome.items()
        table.index(name, event)
        worth = [(event, 1.0)]
    elif isinstance(outcome, str):
        name = outcome
        if name not in table.names:
            raise unknown_variable(name, table.names)
        if bad := [state for state in table.states[name] if not isinstance(state, Real)]:
            raise QueryError(
                f"{name!r} has the state {bad[0]!r:.80}, which is no number: name an event, {{{name!r}: ...}}."
            )
        worth = [(state, float(state)) for state in table.states[name] if state]
    else:
        raise QueryError(f"the outcome must be a variable or one event such as {{'Y': 1}}, got {outcome!r:.80}.")
    if name in treatment:
        raise QueryError(f"{name!r} is both the outcome and the treatment: ask about another variable.")
    return worth


def _causation(
    graph: CausalGraph, joint: Joint, treatment: Any, outcome: Any
) -> tuple[tuple[Term, ...], tuple[Term, ...], Term, list[Term]]:
    """The two arms, the outcome as an event, and the ways in which it can fail."""
    control, treated = _arms(graph, treatment)
    if len(control) != 1:
        raise InterventionError(f"a probability of causation is of one treatment, got {list(treatment)}.")
    table = as_table(joint, graph.variables)
    worth = _worth(table, outcome, treatment)
    name = outcome if isinstance(outcome, str) else next(iter(outcome))
    if [value for _, value in worth] != [1.0]:
        raise QueryError(
            f"{name!r} has the states {table.states[name]!r:.80}, not 0 and 1: name an event, {{{name!r}: 2}}."
        )
    happens = worth[0][0]
    return control, treated, Term(name, happens), [Term(name, s) for s in table.states[name] if s != happens]
