"""What the verbs ask, as queries of a causal graph: whether data determine their answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from causal_pyro_models.effects.outcomes import Outcome
from causal_pyro_models.errors import QueryError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification.expressions.expression import Symbol, Term, term
from causal_pyro_models.identification.expressions.query import Contrast, Query
from causal_pyro_models.inference.draws import Noise
from causal_pyro_models.scm.handlers.interventions import Potential, Treatment
from causal_pyro_models.scm.handlers.policies import Policy
from causal_pyro_models.validation import Arms

_MEDIATION = "bounds(graph, data, 'P(Y_{X=1, M_{X=0}}=1)')"
_EFFECT = "bounds(graph, data, 'P(Y=1 | do(X=1))')"
BOUNDS = {
    "ate": "ate_bounds(graph, data, ...)",
    "att": "bounds(graph, data, 'P(Y_{X=0}=1 | X=1)')",
    "cate": "bounds(graph, data, 'P(Y=1 | do(X=1), Z=1)')",
    "ite": "bounds(graph, data, 'P(Y_{X=1}=1 | X=0, Y=0)')",
    "risk_ratio": _EFFECT,
    "odds_ratio": _EFFECT,
    "dose_response": _EFFECT,
    "cde": _MEDIATION,
    "nde": _MEDIATION,
    "nie": _MEDIATION,
    "path_specific": _MEDIATION,
    "pn": "pn_bounds(graph, data, ...)",
    "ps": "ps_bounds(graph, data, ...)",
    "pns": "pns_bounds(graph, data, ...)",
}
"""For each verb, what of ``causal_pyro_models.identification`` bounds an answer that data do not determine."""


def effect_queries(treatment: Treatment, outcome: Outcome, also: Mapping[str, Any] | None = None) -> list[Query]:
    """P(y | do(x)), other variables set as well; P(y, z | do(x)) where a policy for x reads z.

    The law of y under do(X = g(Z)) is the sum of P(y, z | do(x)) over z at x = g(z), and so for a plan of several.

    References:
        Pearl (2009), Causality, section 4.2; Tian (2008), Identifying dynamic sequential plans.
    """
    also = also or {}
    outcomes, names = _outcomes(outcome), list(dict.fromkeys([*_treatments(treatment), *also]))
    _check_set(also)
    reads = policies_in(treatment, also)
    if any(name in reads[name] for name in reads):  # the natural value is of a world in which it was not set
        world = [term(name, Symbol(name, 1)) for name in names]
        return [Query([term(y, None, world) for y in outcomes] + _read(reads, world, outcomes))]
    read = [event.name for event in _read(reads, [term(name) for name in names], outcomes)]
    return [Query([*outcomes, *read], names)]


def conditional_queries(treatment: Treatment, outcome: Outcome, given: Any) -> list[Query]:
    """P(y_x | w), of the factual values of some variables: their names, or anything that holds evidence on them.

    It is P(y_x, z_x | w) where a policy for x reads z, as in :func:`effect_queries`.
    """
    if hasattr(given, "to_frame"):  # a row of a table
        given = list(given.index)
    if (not isinstance(given, Mapping | list | tuple | str) and not hasattr(given, "columns")) or isinstance(
        given, Noise
    ):
        raise QueryError(
            "whether this is identified from the data can be told of named variables: pass the names or the evidence "
            "itself rather than a function or abducted noise, or leave out data_graph."
        )
    names = [given] if isinstance(given, str) else [str(name) for name in given]
    world = [term(name, Symbol(name, 1)) for name in _treatments(treatment)]
    reads = _read(policies_in(treatment), world, [*names, *_outcomes(outcome)])
    outcomes = [term(y, Symbol(y, 1) if y in names else None, world) for y in _outcomes(outcome)]
    return [Query(outcomes + reads, (), names)]


def treated_queries(treatment: Treatment, outcome: Outcome) -> list[Query]:
    """P(y_{x'} | x): the outcome of the treated, had they not been."""
    return conditional_queries(treatment, outcome, _treatments(treatment))


OF_PLANS: tuple[Callable[..., list[Query]], ...] = (effect_queries, conditional_queries, treated_queries)
"""Those that ask for what policies read, too, so that they tell what comes of a plan."""


def causation_queries(treatment: Treatment, outcome: Outcome, kind: str) -> list[Query]:
    """The probability of necessity, of sufficiency, or of both ("pn", "ps", "pns")."""
    x, y = _single(treatment, outcome)
    here, there = term(x), term(x, Symbol(x, 1))
    happens, fails = term(y), term(y, Symbol(y, 1))
    return {
        "pn": [Query([fails._replace(do=(there,))], (), [here, happens])],
        "ps": [Query([happens._replace(do=(here,))], (), [there, fails])],
        "pns": [Query([happens._replace(do=(here,)), fails._replace(do=(there,))])],
    }[kind]


def contrast_queries(contrast: Callable[[Arms, str], Contrast], treatment: Treatment, outcome: Outcome) -> list[Query]:
    """The two queries of a direct, an indirect or a path-specific effect."""
    x, y = _single(treatment, outcome)
    return list(contrast({x: (Symbol(x), Symbol(x, 1))}, y))


def policies_in(*parts: object) -> dict[str, tuple[str, ...]]:
    """For each variable that a policy sets, what is read for it, in all arms; parts that hold no policy are ignored."""
    found: dict[str, tuple[str, ...]] = {}
    for part in parts:
        for name, values in part.items() if isinstance(part, Mapping) else ():
            for value in values if isinstance(values, tuple | list) and len(values) <= 2 else (values,):
                if isinstance(value, Policy):
                    found[name] = tuple(dict.fromkeys((*found.get(name, ()), *value.reads)))
    return found


def undecided_plan(graph: CausalGraph, reads: Mapping[str, Sequence[str]], asked: Sequence[Query]) -> str:
    """Why the queries of a plan would not tell what comes of it; empty where they do.

    They tell where no policy reads an effect of what it sets, through the other policies either.
    """
    done = {action.name for query in asked for event in query.outcome for action in (*event.do, *query.treatment)}
    for x, names in reads.items():
        effects = _effects(graph, reads, done, x)
        if late := [name for name in names if name != x and name in effects]:
            return f"the policy for {x} reads {late[0]}, which is an effect of {x} in the graph of the data."
    changed = {name for x in done if x in graph.variables for name in {x, *graph.descendants(x)}}
    for name in sorted(event.name for query in asked for event in query.conditions):
        if name in changed and any(name in names for names in reads.values()):
            return f"a policy reads {name}, whose factual value is given and which the plan changes."
    return ""


def _effects(graph: CausalGraph, reads: Mapping[str, Sequence[str]], done: Collection[str], x: str) -> frozenset[str]:
    """The effects of a variable in the world of a plan, where what is set depends on what was read for it alone."""
    reached: set[str] = set()
    new = [x]
    while new:
        cause = new.pop()
        natural = [y for y in (graph.children(cause) if cause in graph.variables else ()) if y not in done]
        by_plan = [y for y, names in reads.items() if cause in names and cause != y]
        kept = [y for y, names in reads.items() if y in names and cause in graph.parents(y)]
        fresh = {*natural, *by_plan, *kept} - reached
        reached |= fresh
        new += fresh
    return frozenset(reached)


def _read(reads: Mapping[str, Sequence[str]], world: Sequence[Term], known: Collection[str]) -> list[Term]:
    """What policies read beside what is known: in the world of the plan, and a natural value where it is not set."""
    found = {}
    for x, names in reads.items():
        for name in names:
            if name == x:
                found[name] = term(name, None, [action for action in world if action.name != x])
            elif all(action.name != name for action in world):
                found[name] = term(name, None, world)
    return [event for name, event in found.items() if name not in known]


def _single(treatment: Treatment, outcome: Outcome) -> tuple[str, str]:
    """The one treatment and the one outcome."""
    names, outcomes = _treatments(treatment), _outcomes(outcome)
    if len(names) != 1 or len(outcomes) != 1:
        raise QueryError("whether this is identified from the data can be told of one treatment and one outcome.")
    return names[0], outcomes[0]


def _treatments(treatment: object) -> list[str]:
    """The names of what is set, once it is known to be set to values or by policies."""
    if not isinstance(treatment, Mapping):
        return []  # refused by the verb itself
    for name, pair in treatment.items():
        values = pair if isinstance(pair, tuple | list) else ()
        for value in values:
            _check_set({name: value})
        if any(hasattr(value, "log_prob") for value in values):
            raise _unnamed(name, pair)
    return list(treatment)


def _check_set(do: Mapping[str, Any]) -> None:
    """Refuse what is set to a function of its natural value, or to its value in another world."""
    for name, value in do.items():
        if (callable(value) or isinstance(value, Potential)) and not hasattr(value, "log_prob"):
            raise _unnamed(name, value)


def _unnamed(name: str, value: object) -> QueryError:
    return QueryError(
        f"whether an effect is identified from the data can be told of treatments that are set to values, or by "
        f"policies whose reads are named, got {value!r:.80} for {name!r}: write policy(function, reads), or leave out "
        f"data_graph."
    )


def _outcomes(outcome: object) -> list[str]:
    if isinstance(outcome, str):
        return [outcome]
    if isinstance(outcome, Mapping):
        return list(outcome)
    raise QueryError(
        "whether an effect is identified from the data can be told of named outcomes: name a site or an event such as "
        "{'Y': 1} rather than a function, or leave out data_graph."
    )
