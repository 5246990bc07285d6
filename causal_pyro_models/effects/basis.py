"""What an answer rests on: identification from data, or the parametric assumptions of the model."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from causal_pyro_models.errors import NotIdentifiableError, QueryError
from causal_pyro_models.estimate import Basis, Estimate
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification.expression import Symbol, term
from causal_pyro_models.identification.identify import identify
from causal_pyro_models.identification.query import Query
from causal_pyro_models.inference.draws import Noise


def checked_basis(
    data_graph: CausalGraph | None,
    require_identified: bool,
    offer: str,
    queries: Callable[..., Sequence[Query]],
    *asked: Any,
) -> Basis | None:
    """What the answer to some queries rests on; None where no graph of the data is given.

    Args:
        data_graph: the graph of what is measured, with a bidirected edge for each hidden common cause.
        require_identified: whether to refuse an answer that data do not determine.
        offer: what bounds there are, for the message.
        queries: makes the queries, all of which have to be identifiable, of what is asked.
        asked: its arguments.

    Raises:
        NotIdentifiableError: with the hedge, where identification is required.
        QueryError: no graph where identification is required, or a question that no query of a graph is.
    """
    if data_graph is None:
        if require_identified:
            raise QueryError("require_identified needs the graph of the data: pass data_graph=CausalGraph(...).")
        return None
    if not isinstance(data_graph, CausalGraph):
        raise QueryError(f"data_graph must be a CausalGraph, got {type(data_graph).__name__}.")
    found = queries(*asked)
    text = " and ".join(str(query) for query in found)
    try:
        return Basis(text, tuple(identify(data_graph, query) for query in found))
    except NotIdentifiableError as error:
        if require_identified:
            raise NotIdentifiableError(
                f"{error} Without require_identified=True the answer rests on the form of the model. Of discrete data, "
                f"bounds that hold without it: causal_pyro_models.identification.{offer}.",
                error.witness,
            ) from None
        return Basis(text, (), error.witness, str(error))


def grounded(estimate: Estimate, basis: Basis | None) -> Estimate:
    """The estimate with what it rests on."""
    return replace(estimate, basis=basis)


# Queries of the verbs -------------------------------------------------------------------------------------------------


def effect_queries(treatment: Any, outcome: Any, also: Iterable[str] = ()) -> list[Query]:
    """P(y | do(x)), other variables set as well."""
    return [Query(_outcomes(outcome), [*_treatments(treatment), *also])]


def conditional_queries(treatment: Any, outcome: Any, given: Any) -> list[Query]:
    """P(y_x | z), of the factual values of some variables."""
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


def treated_queries(treatment: Any, outcome: Any) -> list[Query]:
    """P(y_{x'} | x): the outcome of the treated, had they not been."""
    return conditional_queries(treatment, outcome, _treatments(treatment))


def causation_queries(treatment: Any, outcome: Any, kind: str) -> list[Query]:
    """The probability of necessity, of sufficiency, or of both ("pn", "ps", "pns")."""
    (x,), (y,) = _treatments(treatment), _outcomes(outcome)
    here, there = term(x), term(x, Symbol(x, 1))
    happens, fails = term(y), term(y, Symbol(y, 1))
    return {
        "pn": [Query([fails._replace(do=(there,))], (), [here, happens])],
        "ps": [Query([happens._replace(do=(here,))], (), [there, fails])],
        "pns": [Query([happens._replace(do=(here,)), fails._replace(do=(there,))])],
    }[kind]


def contrast_queries(contrast: Callable[..., Any], treatment: Any, outcome: Any, *more: Any) -> list[Query]:
    """The two queries of a direct, an indirect or a path-specific effect."""
    names, outcomes = _treatments(treatment), _outcomes(outcome)
    if len(names) != 1 or len(outcomes) != 1:
        raise QueryError("whether this is identified from the data can be told of one treatment and one outcome.")
    return list(contrast({names[0]: (Symbol(names[0]), Symbol(names[0], 1))}, outcomes[0], *more))


def _treatments(treatment: Any) -> list[str]:
    """The names of what is set, once it is known to be set to values."""
    if isinstance(treatment, str):
        return [treatment]
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


def _outcomes(outcome: Any) -> list[str]:
    if isinstance(outcome, str):
        return [outcome]
    if isinstance(outcome, Mapping):
        return list(outcome)
    raise QueryError(
        "whether an effect is identified from the data can be told of named outcomes: name a site or an event such as "
        "{'Y': 1} rather than a function, or leave out data_graph."
    )
