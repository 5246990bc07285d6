"""The verb: :func:`identify`."""

from collections.abc import Mapping
from typing import overload

from causal_pyro_models.errors import NotIdentifiableError, QueryError
from causal_pyro_models.graph import CausalGraph, GraphLike, as_graph
from causal_pyro_models.graph.validation import Names
from causal_pyro_models.identification.deciding.bit_graph import BitGraph
from causal_pyro_models.identification.deciding.equalities import Equality
from causal_pyro_models.identification.deciding.equality_proof import proof
from causal_pyro_models.identification.deciding.hedge import hedge_found
from causal_pyro_models.identification.deciding.interventional import HedgeFound, conditional_effect
from causal_pyro_models.identification.deciding.pruning import pruned
from causal_pyro_models.identification.deciding.reduction import identify_from
from causal_pyro_models.identification.deciding.reduction_proof import reduction_proof
from causal_pyro_models.identification.deciding.sources import Experiments, available
from causal_pyro_models.identification.estimand import ContrastEstimand, Estimand
from causal_pyro_models.identification.expressions.expression import Symbol, Value
from causal_pyro_models.identification.expressions.query import Contrast, Query, asked
from causal_pyro_models.identification.expressions.simplification import simplified
from causal_pyro_models.identification.proofs.derivation import Derivation


@overload
def identify(
    graph: GraphLike,
    query: Query,
    *,
    experiments: Experiments = (),
    target: str = "",
    selection: Mapping[str, Names] | None = None,
) -> Estimand: ...


@overload
def identify(
    graph: GraphLike,
    query: Contrast,
    *,
    experiments: Experiments = (),
    target: str = "",
    selection: Mapping[str, Names] | None = None,
) -> ContrastEstimand: ...


@overload
def identify(
    graph: GraphLike,
    query: str,
    *,
    experiments: Experiments = (),
    target: str = "",
    selection: Mapping[str, Names] | None = None,
) -> Estimand | ContrastEstimand: ...


def identify(
    graph: GraphLike,
    query: str | Query | Contrast,
    *,
    experiments: Experiments = (),
    target: str = "",
    selection: Mapping[str, Names] | None = None,
) -> Estimand | ContrastEstimand:
    """The estimand of a query: an expression in the available distributions that equals it in every model of the graph.

    Without experiments and other populations the observed distribution P(v) is what is available. The decision is
    complete: where no estimand is found there is none.

    Args:
        graph: the causal graph, with a bidirected edge for every pair with a hidden common cause; a
            :class:`CausalGraph`, or whatever :func:`as_graph` reads, such as ``"Z -> {X Y}; X -> Y"``.
        query: such as ``"P(Y | do(X), Z)"``, ``"E[Y | do(X=1)] - E[Y | do(X=0)]"`` or ``"P(Y_{X=1} | X=0)"``, or a
            :class:`Query` or :class:`Contrast`.
        experiments: variables that have been set in experiments, for example ``["X", ("X", "Z")]``; see
            :func:`available`.
        target: the label of the population that the query is about, where there are several.
        selection: for every other population the variables whose mechanism may differ there.

    Returns:
        An :class:`Estimand`, or a :class:`ContrastEstimand` of a difference of two queries.

    Raises:
        NotIdentifiableError: the query is not determined; ``witness`` is the hedge, or the conflict between worlds.
        QueryError: a query that cannot be asked.
        UnknownVariableError: a name that the graph does not have.
        GraphError: ``graph`` is no causal graph.

    References:
        Tian and Pearl (2002); Shpitser and Pearl (2006), ID and IDC; Shpitser and Pearl (2008), ID* and IDC*; Lee,
        Correa and Bareinboim (2019, 2020), experiments and transport.

    Example:
        >>> graph = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
        >>> print(identify(graph, "P(Y | do(X))"))
        sum_z P(y | x, z) P(z)
        >>> bow = CausalGraph(["X", "Y"], [("X", "Y")], bidirected=[("X", "Y")])
        >>> identify(bow, "P(Y | do(X))")
        Traceback (most recent call last):
        ...
        causal_pyro_models.errors.NotIdentifiableError: P(Y | do(X)) is not identifiable: {X, Y} and {Y} form a hedge
        for P(Y | do(X)): each is connected by hidden causes and leads to Y.
    """
    graph = as_graph(graph)
    if isinstance(query, str):
        query = asked(query)
    if isinstance(query, Contrast):
        active, reference = (
            identify(graph, side, experiments=experiments, target=target, selection=selection) for side in query
        )
        return ContrastEstimand(active, reference)
    if not isinstance(query, Query):
        raise QueryError(f"expected a query, got {query!r:.80}. Write 'P(Y | do(X))' or Query('Y', 'X').")
    query.check_names(graph)
    if query.counterfactual or experiments or target or selection is not None:
        sources = available(graph, experiments, target, selection)
        expression = identify_from(graph, query, sources)
        return Estimand(query, graph, expression, lambda: reduction_proof(graph, query, sources, target, expression))
    return _from_observations(graph, query)


def _from_observations(graph: CausalGraph, query: Query) -> Estimand:
    """The estimand of P(y | do(x), z) in the observed distribution."""
    g = BitGraph(graph)
    y, x, z = (g.mask(event.name for event in side) for side in (query.outcome, query.treatment, query.conditions))
    try:
        equality = conditional_effect(g, y, x, z)
    except HedgeFound as found:
        hedge = hedge_found(graph, g, found)
        raise NotIdentifiableError(f"{query} is not identifiable: {hedge}.", hedge) from None
    values = given_values(query)
    expression, _ = pruned(g, simplified(equality.expression(g)))
    expression = simplified(expression.substitute(values))
    return Estimand(query, graph, expression, lambda: _derivation(graph, g, equality, values))


def _derivation(graph: CausalGraph, g: BitGraph, equality: Equality, values: Mapping[Symbol, Value]) -> Derivation:
    return Derivation(graph, equality.statement.written(g), proof(graph, g, equality), values)


def given_values(query: Query) -> dict[Symbol, Value]:
    """The values that a query of one world gives to the open values of its variables."""
    events = query.outcome + query.treatment + query.conditions
    return {Symbol(event.name): event.value for event in events if event.value != Symbol(event.name)}
