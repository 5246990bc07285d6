"""The three rules of do-calculus, each checking the separation it needs in the graph it needs it in."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from causal_pyro_models.errors import GraphError, QueryError, unknown_variable
from causal_pyro_models.graph import CausalGraph, GraphLike, as_graph
from causal_pyro_models.graph.validation import Names
from causal_pyro_models.identification.expressions.expression import Probability, Term, in_order, term
from causal_pyro_models.identification.expressions.notation import Latex
from causal_pyro_models.identification.expressions.simplification import ordered


@dataclass(frozen=True)
class Separation:
    """That ``left`` and ``right`` are m-separated given ``given``, in the graph without some edges.

    Args:
        graph: the causal graph.
        left, right, given: variables.
        over: the variables without the edges into them, written with a bar over them.
        under: the variables without the directed edges out of them, written with a bar under them.

    Example:
        >>> graph = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
        >>> needed = Separation(graph, ("Y",), ("X",), given=("Z",), under=("X",))
        >>> print(needed, needed.holds)
        (Y _||_ X | Z) in the graph without the edges out of X True
        >>> needed.mutilated
        CausalGraph(Z -> X, Z -> Y)
    """

    graph: CausalGraph
    left: tuple[str, ...]
    right: tuple[str, ...]
    given: tuple[str, ...] = ()
    over: tuple[str, ...] = ()
    under: tuple[str, ...] = ()

    @cached_property
    def mutilated(self) -> CausalGraph:
        """The graph that the separation is about."""
        return self.graph.do(self.over).remove_outgoing(self.under)

    @property
    def holds(self) -> bool:
        """Whether the graph has the separation."""
        return self.mutilated.m_separated(self.left, self.right, self.given)

    def text(self) -> str:
        """The separation as text."""
        cuts = [f"into {', '.join(self.over)}"] if self.over else []
        cuts += [f"out of {', '.join(self.under)}"] if self.under else []
        given = f" | {', '.join(self.given)}" if self.given else ""
        where = f" without the edges {' and '.join(cuts)}" if cuts else ""
        return f"({', '.join(self.left)} _||_ {', '.join(self.right)}{given}) in the graph{where}"

    def latex(self) -> str:
        """The separation as LaTeX, without the dollar signs."""
        notation = Latex.among(self.graph.variables)
        left, right, given, over, under = (
            ", ".join(map(notation.name, names)) for names in (self.left, self.right, self.given, self.over, self.under)
        )
        bars = (rf"\overline{{{over}}}" if over else "") + (rf"\underline{{{under}}}" if under else "")
        graph = f"G_{{{bars}}}" if bars else "G"
        behind = rf" \mid {given}" if given else ""
        return rf"({left} \perp\!\!\!\perp {right}{behind})_{{{graph}}}"

    def __str__(self) -> str:
        return self.text()


def rule_1(graph: GraphLike, probability: Probability, *, delete: Names = (), insert: Names = ()) -> Probability:
    """The same probability with other observations: P(y | do(x), z, w) = P(y | do(x), z).

    Args:
        graph: the causal graph.
        probability: of the actual world under an intervention, or none.
        delete: conditions to take away.
        insert: variables to condition on as well.

    Raises:
        QueryError: the separation (Y _||_ W | X, Z) does not hold in the graph without edges into X.
        UnknownVariableError: a name that is not there.

    References:
        Pearl (2009), Causality, theorem 3.4.1.

    Example:
        >>> from causal_pyro_models.identification import parse
        >>> graph = CausalGraph.from_edges([("Z", "X"), ("X", "Y")])
        >>> print(rule_1(graph, parse("P(y | x, z)"), delete="Z"))
        P(y | x)
    """
    graph = as_graph(graph)
    _check(graph, probability)
    gone = _taken(probability.given, delete, "condition")
    given = [t for t in probability.given if t not in gone] + _new(graph, insert)
    return _licensed(graph, probability, given, list(probability.do), 1)


def rule_2(graph: GraphLike, probability: Probability, *, observe: Names = (), act: Names = ()) -> Probability:
    """The same probability with actions turned into observations or back: P(y | do(x), do(z), w) = P(y | do(x), z, w).

    Args:
        graph: the causal graph.
        probability: of the actual world under an intervention, or none.
        observe: variables under do that are only observed instead.
        act: observed variables that are set instead.

    Raises:
        QueryError: the separation (Y _||_ Z | X, W) does not hold in the graph without edges into X and out of Z.
        UnknownVariableError: a name that is not there.

    References:
        Pearl (2009), Causality, theorem 3.4.1.

    Example:
        >>> from causal_pyro_models.identification import parse
        >>> graph = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
        >>> print(rule_2(graph, parse("P(y | do(x), z)"), observe="X"))
        P(y | x, z)
    """
    graph = as_graph(graph)
    _check(graph, probability)
    seen, done = _taken(probability.do, observe, "action"), _taken(probability.given, act, "condition")
    given = [t for t in probability.given if t not in done] + seen
    do = [t for t in probability.do if t not in seen] + done
    return _licensed(graph, probability, given, do, 2)


def rule_3(graph: GraphLike, probability: Probability, *, delete: Names = (), insert: Names = ()) -> Probability:
    """The same probability with other actions: P(y | do(x), do(z), w) = P(y | do(x), w).

    Args:
        graph: the causal graph.
        probability: of the actual world under an intervention, or none.
        delete: actions to take away.
        insert: variables to set as well.

    Raises:
        QueryError: the separation (Y _||_ Z | X, W) does not hold in the graph without edges into X and into those of
            Z that are no ancestors of W there.
        UnknownVariableError: a name that is not there.

    References:
        Pearl (2009), Causality, theorem 3.4.1.

    Example:
        >>> from causal_pyro_models.identification import parse
        >>> graph = CausalGraph.from_edges([("Z", "X"), ("X", "Y")])
        >>> print(rule_3(graph, parse("P(z | do(x))"), delete="X"))
        P(z)
    """
    graph = as_graph(graph)
    _check(graph, probability)
    gone = _taken(probability.do, delete, "action")
    do = [t for t in probability.do if t not in gone] + _new(graph, insert)
    return _licensed(graph, probability, list(probability.given), do, 3)


def licence(graph: CausalGraph, before: Probability, after: Probability) -> tuple[int, Separation]:
    """The rule that turns one probability into another, and the separation that it needs.

    Raises:
        QueryError: no single rule does.
    """
    if set(before.outcome) != set(after.outcome) or before.domain != after.domain:
        raise QueryError(f"no rule of do-calculus leads from {before} to {after}: their outcomes differ.")
    given, given_after, do, do_after = map(frozenset, (before.given, after.given, before.do, after.do))
    y, x, w = _named(before.outcome), _named(do & do_after), _named(given & given_after)
    if do == do_after and (given < given_after or given_after < given):
        return 1, Separation(graph, y, _named(given ^ given_after), x + w, over=x)
    if given == given_after and (do < do_after or do_after < do):
        z = _named(do ^ do_after)
        above = graph.do(x).ancestors(w)
        return 3, Separation(graph, y, z, x + w, over=x + tuple(v for v in z if v not in above))
    if (given < given_after and do - do_after == given_after - given and do_after < do) or (
        given_after < given and do_after - do == given - given_after and do < do_after
    ):
        z = _named(do ^ do_after)
        return 2, Separation(graph, y, z, x + w, over=x, under=z)
    raise QueryError(f"no single rule of do-calculus leads from {before} to {after}.")


def _check(graph: CausalGraph, probability: Probability) -> None:
    """Raise unless it is a probability of one world, of variables of the graph."""
    if not isinstance(graph, CausalGraph):
        raise GraphError(f"expected a CausalGraph, got {type(graph).__name__}.")
    if not isinstance(probability, Probability):
        raise QueryError(f"expected a probability, got {probability!r:.80}. Write parse('P(y | do(x), z)').")
    for t in probability.terms:
        if t.do:
            raise QueryError(f"the rules are for one world, and {probability} has {t.name!r} in a world of its own.")
        if t.name not in graph.variables:
            raise unknown_variable(t.name, graph.variables)


def _licensed(graph: CausalGraph, before: Probability, given: list[Term], do: list[Term], rule: int) -> Probability:
    """The new probability, if the rule allows it."""
    after = ordered(Probability(before.outcome, tuple(given), tuple(do), before.domain))
    if after == ordered(before):
        return after
    found, separation = licence(graph, before, after)
    if found != rule or not separation.holds:
        raise QueryError(f"rule {rule} does not turn {before} into {after}: it needs {separation}, which fails.")
    return after


def _taken(group: tuple[Term, ...], names: Names, what: str) -> list[Term]:
    """The terms of some names."""
    known = {t.name: t for t in group}
    wanted = (names,) if isinstance(names, str) or not isinstance(names, Iterable) else tuple(names)
    for name in wanted:
        if name not in known:
            raise unknown_variable(name, known, what)
    return [known[name] for name in wanted]


def _new(graph: CausalGraph, names: Names) -> list[Term]:
    wanted = (names,) if isinstance(names, str) or not isinstance(names, Iterable) else tuple(names)
    for name in wanted:
        if name not in graph.variables:
            raise unknown_variable(name, graph.variables)
    return [term(name) for name in wanted]


def _named(group: Iterable[Term]) -> tuple[str, ...]:
    return tuple(sorted((t.name for t in group), key=in_order))
