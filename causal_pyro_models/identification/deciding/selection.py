"""Selection bias: what can be recovered from data on selected units, with unbiased data on some variables or none."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, combinations

from causal_pyro_models.errors import NotIdentifiableError, QueryError, unknown_variable
from causal_pyro_models.graph import CausalGraph, GraphLike, as_graph
from causal_pyro_models.graph.validation import Names
from causal_pyro_models.identification.deciding.bit_graph import BitGraph, bits
from causal_pyro_models.identification.deciding.equalities import Equality, Statement, summed
from causal_pyro_models.identification.deciding.hedge import hedge_found
from causal_pyro_models.identification.deciding.interventional import HedgeFound, conditional_effect, extracted
from causal_pyro_models.identification.deciding.reduction import identify_from
from causal_pyro_models.identification.deciding.sources import Source, named
from causal_pyro_models.identification.expressions.expression import (
    ONE,
    Expression,
    Fraction,
    Probability,
    Symbol,
    Term,
    product,
    terms,
    total,
)
from causal_pyro_models.identification.expressions.query import Query
from causal_pyro_models.identification.expressions.simplification import simplified


def recover(graph: GraphLike, query: Query | str, selection: str, external: Names = ()) -> Expression:
    """The estimand of a query when units come into the data by selection: all data are P(v | S=1).

    Three ways are tried: that selection does not matter for the query; adjustment for variables whose distribution is
    known from elsewhere, which includes the selection-back-door criterion; and, factor by factor of the query, recovery
    from the biased data or from the external ones. The first alone is complete for P(y | x) without external data.

    Args:
        graph: the causal graph, with the selection variable, which has no children.
        query: what is asked about all units.
        selection: the name of the selection variable S, which is 1 for the units in the data.
        external: variables whose joint distribution is known for all units, as from a census.

    Returns:
        The estimand: terms with S=1 are of the biased data, terms without S of the external ones.

    Raises:
        NotIdentifiableError: none of the ways recovers it.
        QueryError: the query is about S, or S has children.
        UnknownVariableError: a name that the graph does not have.

    References:
        Bareinboim, Tian and Pearl (2014), Recovering from selection bias in causal and statistical inference,
        theorem 1, corollary 2 and theorem 5 (the selection-back-door criterion); Bareinboim and Tian (2015), Recovering
        causal effects from selection bias.

    Example:
        >>> graph = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y"), ("Z", "S"), ("X", "S")])
        >>> print(recover(graph, "P(Y | do(X))", "S", external="Z"))
        sum_z P(y | S=1, x, z) P(z)
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
    if not query.counterfactual:
        found = _unaffected(graph, query, selection) or _adjusted(graph, query, selection, known)
        if found:
            return simplified(found.substitute({Symbol(t.name): t.value for t in _all_terms(query)}))
    sources = [Unbiased(graph, measured=known), Biased(graph, selection=selection)]
    try:
        return identify_from(graph, query, sources if known else sources[1:])
    except NotIdentifiableError as failure:
        raise NotIdentifiableError(f"not recovered from the selected units: {failure}", failure.witness) from None


def _all_terms(query: Query) -> tuple[Term, ...]:
    return query.outcome + query.treatment + query.conditions


def _named_sets(query: Query) -> tuple[set[str], set[str], set[str]]:
    """The variables of outcome, treatment and conditions."""
    y, x, z = ({t.name for t in side} for side in (query.outcome, query.treatment, query.conditions))
    return y, x, z


def _unaffected(graph: CausalGraph, query: Query, selection: str) -> Expression | None:
    """The effect among the selected, where it is that among all, and is identified by what is seen of them."""
    y, x, z = _named_sets(query)
    if not graph.do(x).m_separated(y, selection, x | z):
        return None
    g = BitGraph(graph)
    try:
        found = simplified(conditional_effect(g, g.mask(y), g.mask(x), g.mask([*z, selection])).expression(g))
    except HedgeFound:
        return None
    seen = (part for part in found.walk() if isinstance(part, Probability))
    if not all(any(t.name == selection for t in part.given) for part in seen):
        return None
    return found.substitute({Symbol(selection): 1})


def _adjusted(graph: CausalGraph, query: Query, selection: str, known: frozenset[str]) -> Expression | None:
    """Adjustment for a smallest set of the external variables that makes up for confounding and selection alike.

    For P(y | x): the sum over c of P(y | x, c, S=1) P(c | x). For P(y | do(x)): the selection-back-door formula.
    """
    y, x, z = _named_sets(query)
    if (x and z) or not z <= known:
        return None
    candidates = sorted(known - y - x - z)
    for c in chain.from_iterable(combinations(candidates, size) for size in range(len(candidates) + 1)):
        if graph.m_separated(y, selection, x | z | set(c)) and _blocks_back_doors(graph, y, x, set(c)):
            biased = Probability(terms(y), (Term(selection, 1), *terms([*x, *z, *c])))
            weights = [Probability(terms(c), terms(z))] if c else []
            return total(map(Symbol, c), product([biased, *weights]))
    return None


def _blocks_back_doors(graph: CausalGraph, y: set[str], x: set[str], c: set[str]) -> bool:
    """Conditions (i) and (ii) of the selection-back-door criterion; nothing to block where x is empty."""
    after = c & graph.descendants(x)
    before = c - after
    return graph.remove_outgoing(x).m_separated(y, x, before) and graph.m_separated(after, y, x | before)


@dataclass(frozen=True)
class Unbiased(Source):
    """P(t): the distribution of some variables for all units.

    Args:
        measured: these variables.
    """

    measured: frozenset[str] = frozenset()

    @cached_property
    def seen(self) -> CausalGraph:
        """The graph with all other variables hidden."""
        return self.graph.latent_projection(self.measured)

    def shares(self, variables: Collection[str]) -> bool:
        """Whether the variables and their parents are measured."""
        return self.measured.issuperset(variables) and all(
            self.measured.issuperset(self.graph.parents(v)) for v in variables
        )


@dataclass(frozen=True)
class Biased(Source):
    """P(v | S=1): all variables of the selected units.

    Args:
        selection: the name of S.
    """

    selection: str = ""

    def shares(self, variables: Collection[str]) -> bool:
        """Whether they are seen, as all but S are."""
        return self.selection not in variables

    def kernel(self, outcome: Collection[str], treatment: Collection[str], given: Collection[str] = ()) -> Expression:
        """P(outcome | do(treatment), given), in terms of the biased distribution.

        Raises:
            NotIdentifiableError: the algorithm does not recover it.
        """
        if given:
            joint = self.kernel({*outcome, *given}, treatment)
            return Fraction(joint, total(map(Symbol, outcome), joint))
        g = BitGraph(self.graph)
        y, x, s = (g.mask(names) for names in (outcome, treatment, [self.selection]))
        d = g.ancestors(y, g.all & ~x)
        try:
            parts = [_recovered(g, c, s).expression(g) for c in g.districts(d)]
        except HedgeFound as found:
            found.statement = Statement(y, x)
            hedge = hedge_found(self.graph, g, found)
            raise NotIdentifiableError(str(hedge), hedge) from None
        return summed(g, d & ~y, product(parts))


@dataclass(frozen=True)
class Recovered(Equality):
    """Q[d], found from the selected units.

    Args:
        found: the expression.
    """

    found: Expression

    def expression(self, g: BitGraph) -> Expression:
        """The expression."""
        return self.found


@dataclass(frozen=True)
class Weights:
    """A multiple of Q[within] at S=1, as far as the factors divided out are known.

    Args:
        g: the graph.
        s: the mask of S.
        within: the variables it is about, S left out.
        found: an expression of it; None for P(within | S=1) itself.
    """

    g: BitGraph
    s: int
    within: int
    found: Expression | None = None

    def margin(self, mask: int) -> "Weights":
        """Summed over the variables outside ``mask``."""
        return Weights(self.g, self.s, mask, self.found and self.of(mask))

    def of(self, mask: int) -> Expression:
        """The margin as an expression."""
        if self.found:
            return summed(self.g, self.within & ~mask, self.found)
        return Probability(terms(self.g.named(mask)), self._selected) if mask else ONE

    @property
    def _selected(self) -> tuple[Term, ...]:
        return (Term(self.g.named(self.s)[0], 1),)

    def district(self, d: int) -> Expression:
        """Q[d], for a district d without ancestors of S."""
        return product(self._conditional(v, self.within & ((1 << v) - 1)) for v in bits(d))

    def _conditional(self, v: int, earlier: int) -> Expression:
        """P(v | earlier, S=1), in which neither S nor a later ancestor of it makes a difference."""
        one = 1 << v
        if self.found:
            return Fraction(self.of(earlier | one), self.of(earlier))
        district = self.g.district(one, earlier | one)
        pillow = (district | self.g.parents_of(district)) & ~one
        return Probability(terms(self.g.named(one)), self._selected + terms(self.g.named(pillow)))

    def without(self, districts: list[int]) -> "Weights":
        """The factors of some districts divided out."""
        known = product(self.district(d) for d in districts)
        rest = self.within & ~sum(districts)
        return Weights(self.g, self.s, rest, Fraction(self.of(self.within), known))


def _recovered(g: BitGraph, c: int, s: int) -> Equality:
    """How Q[c] is recovered from P(v | S=1), for a district c of an effect.

    At every step ``weights`` stand for a multiple of Q[within] at S=1. A district of that without ancestors of S comes
    after S in some order, so the multiple cancels in its conditional probabilities; it is divided out, which may leave
    fewer ancestors of S among the rest.

    References:
        Bareinboim and Tian (2015), Recovering causal effects from selection bias, algorithm RC.
    """
    weights = Weights(g, s, g.all & ~s)
    while True:
        within = g.ancestors(c | s, weights.within | s)
        weights = weights.margin(within & ~s)
        before = g.ancestors(s, within)
        districts = [d for d in g.districts(within) if not d & before]
        for d in districts:
            if d & c:
                whole = Recovered(Statement(d, g.parents_of(d)), weights.district(d))
                return whole if d == c else extracted(g, c, whole)
        if not districts:
            names = ", ".join(g.named(c))
            raise NotIdentifiableError(f"what selection takes into account cannot be told from {names}", g.named(c))
        weights = weights.without(districts)
