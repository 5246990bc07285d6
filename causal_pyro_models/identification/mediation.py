"""Mediation: direct, indirect and path-specific effects as pairs of nested counterfactual queries.

:func:`identify` takes each of them, and the estimand evaluates to the difference of the two.
"""

import functools
import itertools
from collections.abc import Iterable, Sequence

from causal_pyro_models.errors import QueryError, unknown_variable
from causal_pyro_models.graph import CausalGraph, GraphLike, as_graph
from causal_pyro_models.identification.expressions.expression import Term, Value, term
from causal_pyro_models.identification.expressions.query import Contrast, Query
from causal_pyro_models.validation import Arms, checked_arms


def effect_on_the_treated(treatment: Arms, outcome: str) -> Contrast:
    """The queries of the effect among those who were treated: P(Y_{X=1} | X=1) against P(Y_{X=0} | X=1).

    Args:
        treatment: the treatment -> (control, treated).
        outcome: the variable it is the effect on.

    References:
        Shpitser and Pearl (2009), Effects of treatment on the treated: identification and generalization.

    Example:
        >>> effect_on_the_treated({"X": (0, 1)}, "Y").reference
        Query(P(Y_{X=0} | X=1))
    """
    name, control, treated = _arms(treatment, outcome)
    given = [term(name, treated)]
    active, reference = (Query(term(outcome, do=[term(name, value)]), (), given) for value in (treated, control))
    return Contrast(active, reference)


def natural_direct_effect(treatment: Arms, outcome: str, mediators: str | Iterable[str]) -> Contrast:
    """The queries of the natural direct effect: the mediators stay what they are under control.

    Args:
        treatment: the treatment -> (control, treated).
        outcome: the variable it is the effect on.
        mediators: one variable or several, held together.

    References:
        Pearl (2001), Direct and indirect effects, definition 6.

    Example:
        >>> natural_direct_effect({"X": (0, 1)}, "Y", "M")
        Contrast(active=Query(P(Y_{X=1, M_{X=0}})), reference=Query(P(Y_{X=0})))
        >>> from causal_pyro_models.identification import identify
        >>> print(identify("X -> {M Y}; M -> Y", natural_direct_effect({"X": (0, 1)}, "Y", "M")))
        (sum_m P(y | m, X=1) P(m | X=0)) - P(y | X=0)
    """
    name, control, treated = _arms(treatment, outcome)
    held = _natural(mediators, term(name, control), outcome)
    return Contrast(Query(term(outcome, do=[term(name, treated), *held])), _under(outcome, term(name, control)))


def natural_indirect_effect(treatment: Arms, outcome: str, mediators: str | Iterable[str]) -> Contrast:
    """The queries of the natural indirect effect: only the mediators feel the treatment.

    Args:
        treatment: the treatment -> (control, treated).
        outcome: the variable it is the effect on.
        mediators: one variable or several, together.

    References:
        Pearl (2001), Direct and indirect effects, definition 8.

    Example:
        >>> natural_indirect_effect({"X": (0, 1)}, "Y", "M").active
        Query(P(Y_{X=0, M_{X=1}}))
    """
    name, control, treated = _arms(treatment, outcome)
    held = _natural(mediators, term(name, treated), outcome)
    return Contrast(Query(term(outcome, do=[term(name, control), *held])), _under(outcome, term(name, control)))


def path_specific_effect(graph: GraphLike, treatment: Arms, outcome: str, paths: Iterable[Sequence[str]]) -> Contrast:
    """The queries of the effect along some paths, against control on all.

    In ``active`` every variable gets the active value of a parent where the edge between them lies on a listed path,
    and the value under control where it does not.

    Args:
        graph: the causal graph.
        treatment: the treatment -> (control, treated).
        outcome: the variable it is the effect on.
        paths: directed paths from treatment to outcome, such as ``("X", "M", "Y")``.

    Raises:
        QueryError: no paths, one that is no directed path from treatment to outcome, or paths whose edges make up
            another path that is not listed.

    References:
        Pearl (2001), Direct and indirect effects; Avin, Shpitser and Pearl (2005), Identifiability of path-specific
        effects.

    Example:
        >>> graph = CausalGraph.from_edges([("X", "M"), ("M", "Y"), ("X", "Y")])
        >>> path_specific_effect(graph, {"X": (0, 1)}, "Y", [("X", "M", "Y")]).active
        Query(P(Y_{X=0, M_{X=1}}))
    """
    graph = as_graph(graph)
    name, control, treated = _arms(treatment, outcome)
    edges = _edges(graph, name, outcome, paths)
    changing = graph.descendants(name)

    @functools.cache
    def world(v: str) -> tuple[Term, ...]:
        return tuple(parent_of(p, (p, v) in edges) for p in graph.parents(v) if p in changing)

    def parent_of(p: str, active: bool) -> Term:
        if p == name:
            return term(name, treated if active else control)
        return term(p, do=world(p) if active else [term(name, control)])

    return Contrast(Query(term(outcome, do=world(outcome))), _under(outcome, term(name, control)))


def recanting_witness(graph: GraphLike, treatment: str, outcome: str, paths: Iterable[Sequence[str]]) -> str | None:
    """The first variable that would have to feel the treatment for one path and not to feel it for another.

    A recanting witness lies on a listed path and has a directed path to the outcome that leaves the listed edges at
    once. Without hidden confounding the effect along the paths is identified exactly where there is none.

    Args:
        graph: the causal graph.
        treatment: the variable whose effect it is.
        outcome: the variable it is the effect on.
        paths: directed paths from treatment to outcome.

    Returns:
        The variable, or None where there is no recanting witness.

    Raises:
        QueryError: as :func:`path_specific_effect`.

    References:
        Avin, Shpitser and Pearl (2005), Identifiability of path-specific effects, theorem 5.

    Example:
        >>> graph = CausalGraph.from_edges([("X", "W"), ("W", "M"), ("W", "Y"), ("M", "Y")])
        >>> recanting_witness(graph, "X", "Y", [("X", "W", "M", "Y")])
        'W'
    """
    graph = as_graph(graph)
    edges = _edges(graph, treatment, outcome, paths)
    active = {child for _, child in edges}
    before = graph.ancestors(outcome)
    for v in graph.topological_order:
        if v in active and any(child in before and (v, child) not in edges for child in graph.children(v)):
            return v
    return None


def _arms(treatment: Arms, outcome: str) -> tuple[str, Value, Value]:
    """The one treatment, with its values under control and when treated."""
    ((name, values),) = checked_arms(treatment, most=1).items()
    if name == outcome:
        raise QueryError(f"{name!r} is the treatment and the outcome. Name two variables.")
    if values[0] == values[1]:
        raise QueryError(f"treatment {name!r} is {values[0]!r} under control and when treated: there is no contrast.")
    return name, *values


def _under(outcome: str, action: Term) -> Query:
    return Query(term(outcome, do=[action]))


def _natural(mediators: str | Iterable[str], action: Term, outcome: str) -> list[Term]:
    """The mediators, each at the value it has under an action."""
    if not isinstance(mediators, Iterable):
        raise QueryError(f"mediators must be the name of a variable or several, got {mediators!r:.80}.")
    names = [mediators] if isinstance(mediators, str) else list(mediators)
    if not names:
        raise QueryError("a direct or indirect effect needs mediators, got none; the total effect is P(Y | do(X)).")
    for name in names:
        if name in (action.name, outcome):
            raise QueryError(f"the mediator {name!r} is also the treatment or the outcome.")
    return [term(name, do=[action]) for name in names]


def _edges(
    graph: CausalGraph, treatment: str, outcome: str, paths: Iterable[Sequence[str]]
) -> frozenset[tuple[str, str]]:
    """The edges of the listed paths, once they are known to make up these paths only."""
    if isinstance(paths, str) or not isinstance(paths, Iterable):
        raise QueryError(f"paths must be a list of paths such as ('X', 'M', 'Y'), got {paths!r:.80}.")
    listed = list(paths)
    if not listed:
        raise QueryError("an effect along paths needs at least one, such as ('X', 'M', 'Y').")
    for path in listed:
        _check_path(graph, treatment, outcome, path)
    edges = frozenset(step for path in listed for step in itertools.pairwise(path))
    if unlisted := set(_paths(treatment, outcome, edges)) - set(map(tuple, listed)):
        raise QueryError(
            f"the edges of the listed paths make up {' -> '.join(min(unlisted))} as well, which is not listed: an "
            f"effect along edges has it too. List it, or leave out a path that shares edges with it."
        )
    return edges


def _check_path(graph: CausalGraph, treatment: str, outcome: str, path: Sequence[str]) -> None:
    if not isinstance(path, tuple | list):
        raise QueryError(f"a path is a sequence of names, such as ('X', 'M', 'Y'), got {path!r:.80}.")
    for name in (treatment, outcome, *path):
        if name not in graph.variables:
            raise unknown_variable(name, graph.variables)
    steps = list(itertools.pairwise(path))
    missing = [step for step in steps if step[0] not in graph.parents(step[1])]
    if missing or not steps or (path[0], path[-1]) != (treatment, outcome):
        why = f"the graph has no edge {missing[0][0]} -> {missing[0][1]}" if missing else "it leads elsewhere"
        raise QueryError(f"{' -> '.join(path)} is no directed path from {treatment!r} to {outcome!r}: {why}.")


def _paths(start: str, end: str, edges: Iterable[tuple[str, str]]) -> Iterable[tuple[str, ...]]:
    """All directed paths over some edges of a graph without cycles."""
    if start == end:
        yield (end,)
        return
    for a, b in edges:
        if a == start:
            for rest in _paths(b, end, edges):
                yield (a, *rest)
