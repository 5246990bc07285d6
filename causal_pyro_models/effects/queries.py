"""What the verbs ask, as queries of a causal graph: whether data determine their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from causal_pyro_models.effects.outcomes import Outcome
from causal_pyro_models.errors import QueryError
from causal_pyro_models.identification.expressions.expression import Symbol, term
from causal_pyro_models.identification.expressions.query import Contrast, Query
from causal_pyro_models.inference.draws import Noise
from causal_pyro_models.scm.handlers.interventions import Treatment
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


def effect_queries(treatment: Treatment, outcome: Outcome, also: Iterable[str] = ()) -> list[Query]:
    """P(y | do(x)), other variables set as well."""
    return [Query(_outcomes(outcome), [*_treatments(treatment), *also])]


def conditional_queries(treatment: Treatment, outcome: Outcome, given: Any) -> list[Query]:
    """P(y_x | z), of the factual values of some variables: their names, or anything that holds evidence on them."""
    if (not isinstance(given, Mapping | list | tuple | str) and not hasattr(given, "columns")) or isinstance(
        given, Noise
    ):
        raise QueryError(
            "whether this is identified from the data can be told of named variables: pass the names or the evidence "
            "itself rather than a function or abducted noise, or leave out data_graph."
        )
    names = [given] if isinstance(given, str) else [str(name) for name in given]
    world = [term(name, Symbol(name, 1)) for name in _treatments(treatment)]
    return [Query([term(y, Symbol(y, 1) if y in names else None, world) for y in _outcomes(outcome)], (), names)]


def treated_queries(treatment: Treatment, outcome: Outcome) -> list[Query]:
    """P(y_{x'} | x): the outcome of the treated, had they not been."""
    return conditional_queries(treatment, outcome, _treatments(treatment))


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


def _single(treatment: Treatment, outcome: Outcome) -> tuple[str, str]:
    """The one treatment and the one outcome."""
    names, outcomes = _treatments(treatment), _outcomes(outcome)
    if len(names) != 1 or len(outcomes) != 1:
        raise QueryError("whether this is identified from the data can be told of one treatment and one outcome.")
    return names[0], outcomes[0]


def _treatments(treatment: object) -> list[str]:
    """The names of what is set, once it is known to be set to values."""
    if not isinstance(treatment, Mapping):
        return []  # refused by the verb itself
    for name, pair in treatment.items():
        if any(
            callable(value) or hasattr(value, "log_prob") for value in (pair if isinstance(pair, tuple | list) else ())
        ):
            raise QueryError(
                f"whether an effect is identified from the data can be told of treatments that are set to values, got "
                f"{pair!r:.80} for {name!r}: leave out data_graph."
            )
    return list(treatment)


def _outcomes(outcome: object) -> list[str]:
    if isinstance(outcome, str):
        return [outcome]
    if isinstance(outcome, Mapping):
        return list(outcome)
    raise QueryError(
        "whether an effect is identified from the data can be told of named outcomes: name a site or an event such as "
        "{'Y': 1} rather than a function, or leave out data_graph."
    )
