"""Selection bias: what can be recovered from data on selected units, with unbiased data on some variables or none."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from causal_pyro_models.errors import NotIdentifiableError, NoValidSetError, QueryError, unknown_variable
from causal_pyro_models.graph import (
    CausalGraph,
    GraphLike,
    as_graph,
    forbidden_nodes,
    minimum_separator,
    proper_backdoor_graph,
)
from causal_pyro_models.graph.validation import Names
from causal_pyro_models.identification.deciding.bit_graph import BitGraph
from causal_pyro_models.identification.deciding.equality_proof import REARRANGED, plain_proof
from causal_pyro_models.identification.deciding.interventional import HedgeFound, conditional_effect
from causal_pyro_models.identification.deciding.reduction import identify_from
from causal_pyro_models.identification.deciding.reduction_proof import reduction_proof
from causal_pyro_models.identification.deciding.selected import Biased, RecoveryStep, Reweighed, Unbiased
from causal_pyro_models.identification.deciding.sources import Experiments, Source, available, named
from causal_pyro_models.identification.estimand import Estimand
from causal_pyro_models.identification.expressions.expression import (
    Expression,
    Probability,
    Symbol,
    Term,
    product,
    terms,
    total,
)
from causal_pyro_models.identification.expressions.query import Query
from causal_pyro_models.identification.expressions.simplification import simplified
from causal_pyro_models.identification.proofs.derivation import AxiomStep, Derivation, RuleStep, Step
from causal_pyro_models.identification.proofs.rules import Separation, licence


def recover(
    graph: GraphLike,
    query: Query | str,
    selection: str,
    external: Names = (),
    *,
    experiments: Experiments = (),
    target: str = "",
    domains: Mapping[str, Names] | None = None,
) -> Estimand:
    """The estimand of a query when units come into the data by selection: the data are P(v | S=1).

    Tried are: that selection does not matter for the query; adjustment for variables whose distribution is known from
    elsewhere (the selection-back-door criterion); P(v) = P(v without t | t, S=1) P(t) where selection depends on the
    other variables by such variables t, as in a case-control study of known prevalence; and, factor by factor of the
    query, any of these, the algorithm RC, experiments on all units, and other populations. The first alone is complete
    for P(y | x) without external data.

    Args:
        graph: the causal graph, with the selection variable, which has no children.
        query: what is asked about all units.
        selection: the name of the selection variable S, which is 1 for the units in the data.
        external: variables whose joint distribution is known for all units, as from a census.
        experiments, target: as for :func:`identify`; data without experiments are selected in the target population,
            and those of experiments and of other populations are not.
        domains: for every other population the variables whose mechanism may differ there, the argument ``selection``
            of :func:`identify`.

    Returns:
        The estimand: terms with S=1 are of the biased data, terms without S of the external ones. Its ``evaluate``
        takes ``{("S=1", ()): selected, ("", ()): external}``, or the selected units alone where no other are needed.

    Raises:
        NotIdentifiableError: none of the ways recovers it.
        QueryError: the query is about S, or S has children.
        UnknownVariableError: a name that the graph does not have.

    References:
        Bareinboim, Tian and Pearl (2014), Recovering from selection bias in causal and statistical inference,
        theorems 1, 2 and 5 (the selection-back-door criterion); Bareinboim and Tian (2015), Recovering causal effects
        from selection bias; Correa, Tian and Bareinboim (2018), Generalized adjustment under confounding and selection
        biases.

    Example:
        >>> graph = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y"), ("Z", "S"), ("X", "S")])
        >>> print(recover(graph, "P(Y | do(X))", "S", external="Z"))
        sum_z P(y | S=1, x, z) P(z)
        >>> print(recover("X -> Y -> S", "P(Y | X)", "S", external="Y"))
        (P(x | S=1, y) P(y)) / (sum_y' P(x | S=1, y') P(y'))
    """
    graph = as_graph(graph)
    query = Query.parse(query) if isinstance(query, str) else query
    query.check_names(graph)
    known = named(graph, external, "external")
    if selection not in graph.variables:
        raise unknown_variable(selection, graph.variables)
    if selection in query.names or selection in known:
        raise QueryError(f"the selection variable {selection!r} cannot stand in the query or among external ones.")
    if graph.children(selection):
        raise QueryError(f"the selection variable {selection!r} has children: {', '.join(graph.children(selection))}.")
    others = [s for s in available(graph, experiments, target, domains) if s.experiment or s.domain != target]
    if not query.counterfactual and not target:
        found = _unaffected(graph, query, selection) or _adjusted(graph, query, selection, known)
        found = found or _reweighed(graph, query, selection, known)
        if found:
            return _estimand(graph, query, selection, *found)
    whole = Unbiased(graph, domain=target, measured=known)
    biased = Biased(graph, domain=target, selection=selection)
    reweighed = Reweighed(graph, domain=target, measured=known, selection=selection)
    sources: list[Source] = [*([whole] if known else []), biased, *([reweighed] if known else []), *others]
    try:
        expression = identify_from(graph, query, sources)
    except NotIdentifiableError as failure:
        raise NotIdentifiableError(f"not recovered from the selected units: {failure}", failure.witness) from None
    prove = functools.partial(reduction_proof, graph, query, sources, target, expression)
    return Estimand(query, graph, expression, prove, selection)


def _estimand(
    graph: CausalGraph, query: Query, selection: str, expression: Expression, steps: Callable[[], Sequence[Step]]
) -> Estimand:
    """The estimand of an expression in open values, with the steps that lead to it."""
    values = {Symbol(t.name): t.value for t in query.outcome + query.treatment + query.conditions}
    expression = simplified(expression)
    y, x, z = _named_sets(query)
    start = Probability(terms(y), terms(z), terms(x))

    def prove() -> Derivation:
        derivation = Derivation(graph, start, tuple(steps()), values)
        if derivation.open_lines[-1] == expression:
            return derivation
        last = AxiomStep(derivation.open_lines[-1], expression, REARRANGED)
        return Derivation(graph, start, (*derivation.steps, last), values)

    return Estimand(query, graph, simplified(expression.substitute(values)), prove, selection)


Found = tuple[Expression, Callable[[], Sequence[Step]]]


def _named_sets(query: Query) -> tuple[set[str], set[str], set[str]]:
    """The variables of outcome, treatment and conditions."""
    y, x, z = ({t.name for t in side} for side in (query.outcome, query.treatment, query.conditions))
    return y, x, z


def _unaffected(graph: CausalGraph, query: Query, selection: str) -> Found | None:
    """The effect among the selected, where it is that among all, and is identified by what is seen of them."""
    y, x, z = _named_sets(query)
    if not graph.do(x).m_separated(y, selection, x | z):
        return None
    g = BitGraph(graph)
    try:
        equality = conditional_effect(g, g.mask(y), g.mask(x), g.mask([*z, selection]))
    except HedgeFound:
        return None
    found = simplified(equality.expression(g))
    seen = (part for part in found.walk() if isinstance(part, Probability))
    if not all(any(t.name == selection for t in part.given) for part in seen):
        return None

    def steps() -> list[Step]:
        before = Probability(terms(y), terms(z), terms(x))
        after = Probability(terms(y), terms([*z, selection]), terms(x)).substitute({Symbol(selection): 1})
        lemma = [_at_selected(step, selection) for step in plain_proof(graph, g, equality)]
        return [RuleStep(before, after, *licence(graph, before, after)), *lemma]

    return found.substitute({Symbol(selection): 1}), steps


def _at_selected(step: Step, selection: str) -> Step:
    """A step with the value 1 for S."""
    before, after = (side.substitute({Symbol(selection): 1}) for side in (step.before, step.after))
    return replace(step, before=before, after=after)


def _adjusted(graph: CausalGraph, query: Query, selection: str, known: frozenset[str]) -> Found | None:
    """Adjustment for few of the external variables that make up for confounding and selection alike.

    For P(y | x): the sum over c of P(y | x, c, S=1) P(c | x). For P(y | do(x)): that of P(y | x, c, S=1) P(c), where
    c separates y from x and S without the first edges of the causal paths and is no descendant of these.
    """
    y, x, z = _named_sets(query)
    if (x and z) or not z <= known:
        return None
    cut = proper_backdoor_graph(graph, x, y) if x else graph
    usable = known - y - x - (forbidden_nodes(graph, x, y) if x else set())
    try:
        c = set(minimum_separator(cut, y, x | {selection}, included=z, observed=usable | z)) - z
    except NoValidSetError:
        return None
    biased = Probability(terms(y), (Term(selection, 1), *terms([*x, *z, *c])))
    weights = [Probability(terms(c), terms(z))] if c else []
    found = total(map(Symbol, c), product([biased, *weights]))

    def steps() -> list[Step]:
        needed = Separation(graph, tuple(sorted(y)), (selection,), tuple(sorted(x | z | c)))
        before = Probability(terms(y), terms(z), terms(x))
        return [RecoveryStep(before, found, "adjustment (Correa, Tian and Bareinboim 2018)", (needed,))]

    return found, steps


def _reweighed(graph: CausalGraph, query: Query, selection: str, known: frozenset[str]) -> Found | None:
    """The query as a whole, from P(v without t | t, S=1) P(t)."""
    source = Reweighed(graph, measured=known, selection=selection)
    y, x, z = _named_sets(query)
    try:
        return source.kernel(y, x, z), functools.partial(source.proof, y, x, z)
    except NotIdentifiableError:
        return None
