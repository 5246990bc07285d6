"""Covariate adjustment: which sets are valid and why others are not, all of them, the smallest, the most efficient."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from causal_pyro_models.errors import NoValidSetError, QueryError
from causal_pyro_models.graph.causal_graph import CausalGraph
from causal_pyro_models.graph.forms import GraphLike, as_graph
from causal_pyro_models.graph.separation import open_path
from causal_pyro_models.graph.separators import (
    closest_separator,
    minimal_separators,
    minimum_separator,
    separator_between,
    separators,
)
from causal_pyro_models.graph.validation import Names, checked_sets


@dataclass(frozen=True)
class Verdict:
    """Whether a set does what it is asked to; true where it does.

    Attributes:
        valid: the answer.
        reason: what speaks against the set, or that nothing does.

    Example:
        >>> verdict = is_adjustment_set(CausalGraph.from_edges([("X", "M"), ("M", "Y")]), "X", "Y", "M")
        >>> bool(verdict), verdict.reason
        (False, "'M' lies on the causal path X -> M -> Y.")
    """

    valid: bool
    reason: str

    def __bool__(self) -> bool:
        return self.valid


Sets = Callable[[CausalGraph, frozenset[str], frozenset[str]], frozenset[str]]
Surgery = Callable[[CausalGraph, frozenset[str], frozenset[str]], CausalGraph]


@dataclass(frozen=True)
class Criterion:
    """What makes a set valid: it holds nothing forbidden, and m-separates treatment and outcome in a mutilated graph.

    Attributes:
        name: of the criterion.
        forbidden: the variables that no valid set holds, given graph, treatment and outcome.
        surgery: the graph in which a valid set m-separates treatment and outcome.
        why_forbidden: says of a forbidden variable why it is.

    Example:
        >>> graph = CausalGraph.from_edges([("X", "M"), ("M", "Y"), ("X", "C")])
        >>> [sorted(c.forbidden(graph, frozenset("X"), frozenset("Y"))) for c in (ADJUSTMENT, BACKDOOR)]
        [['M', 'Y'], ['C', 'M', 'Y']]
    """

    name: str
    forbidden: Sets
    surgery: Surgery
    why_forbidden: Callable[[CausalGraph, frozenset[str], frozenset[str], str], str]


def causal_nodes(graph: GraphLike, treatment: Names, outcome: Names) -> frozenset[str]:
    """cn(X, Y): the variables on proper causal paths from treatment to outcome, without the treatment itself.

    A causal path is a directed one, and proper where only its first variable is a treatment.

    Example:
        >>> sorted(causal_nodes(CausalGraph.from_edges([("X", "M"), ("M", "Y"), ("X", "C")]), "X", "Y"))
        ['M', 'Y']
    """
    graph = as_graph(graph)
    x, y = checked_sets(graph.variables, treatment=treatment, outcome=outcome)
    return (graph.descendants(x) - x) & graph.remove_outgoing(x).ancestors(y)


def forbidden_nodes(graph: GraphLike, treatment: Names, outcome: Names) -> frozenset[str]:
    """The variables that bias an adjustment: the causal nodes and all their descendants, without the treatment.

    References:
        Perković, Textor, Kalisch and Maathuis (2018), Complete graphical characterization and construction of
        adjustment sets in Markov equivalence classes of ancestral graphs, definition 3.

    Example:
        >>> graph = CausalGraph.from_edges([("X", "M"), ("M", "Y"), ("M", "C"), ("X", "D")])
        >>> sorted(forbidden_nodes(graph, "X", "Y"))
        ['C', 'M', 'Y']
    """
    graph = as_graph(graph)
    (x,) = checked_sets(graph.variables, treatment=treatment)
    return graph.descendants(causal_nodes(graph, treatment, outcome)) - x


def proper_backdoor_graph(graph: GraphLike, treatment: Names, outcome: Names) -> CausalGraph:
    """The graph without the first edge of every proper causal path from treatment to outcome.

    References:
        van der Zander, Liśkiewicz and Textor (2019), Separators and adjustment sets in causal graphs, definition 4.3.

    Example:
        >>> proper_backdoor_graph(CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y"), ("X", "C")]), "X", "Y")
        CausalGraph(Z -> X, Z -> Y, X -> C)
    """
    graph = as_graph(graph)
    (x,) = checked_sets(graph.variables, treatment=treatment)
    causal = causal_nodes(graph, treatment, outcome)
    kept = (edge for edge in graph.edges if not (edge[0] in x and edge[1] in causal))
    return CausalGraph(graph.variables, kept, graph.bidirected)


def _why_on_causal_path(graph: CausalGraph, x: frozenset[str], y: frozenset[str], v: str) -> str:
    causal = causal_nodes(graph, x, y)
    on_path = v if v in causal else next(w for w in graph.variables if w in causal and v in graph.descendants(w))
    at = frozenset({on_path})
    to, onward = directed_path(graph.do(x), x, at), directed_path(graph.remove_outgoing(x), at, y)
    path = " -> ".join(to + onward[1:])
    if v == on_path:
        return f"{v!r} lies on the causal path {path}."
    return f"{v!r} is a descendant of {on_path!r}, which lies on the causal path {path}."


def _why_descendant(graph: CausalGraph, x: frozenset[str], y: frozenset[str], v: str) -> str:
    return f"{v!r} is a descendant of the treatment: {' -> '.join(directed_path(graph, x, {v}))}."


ADJUSTMENT = Criterion("adjustment", forbidden_nodes, proper_backdoor_graph, _why_on_causal_path)
"""The generalised adjustment criterion, sound and complete for adjustment (Shpitser et al. 2010; Perković et al. 2018).
"""
BACKDOOR = Criterion(
    "back-door",
    lambda graph, x, y: graph.descendants(x) - x,
    lambda graph, x, y: graph.remove_outgoing(x),
    _why_descendant,
)
"""Pearl's back-door criterion: no descendant of the treatment, every back-door path blocked (Pearl 2009, 3.3.1)."""


def is_adjustment_set(
    graph: GraphLike, treatment: Names, outcome: Names, adjustment: Names, *, criterion: Criterion = ADJUSTMENT
) -> Verdict:
    """Whether P(y | do(x)) = sum over z of P(y | x, z) P(z) in every model of the graph, and if not, why.

    Args:
        graph: an acyclic directed mixed graph.
        treatment, outcome, adjustment: disjoint sets of variables.
        criterion: ``ADJUSTMENT``, which is complete, or ``BACKDOOR``.

    Raises:
        GraphError: where the sets overlap.
        UnknownVariableError: for a name that the graph does not have.
        QueryError: for an empty treatment or outcome.

    References:
        Pearl (2009), Causality, definition 3.3.1; Shpitser, VanderWeele and Robins (2010), On the validity of covariate
        adjustment for estimating causal effects; Perković et al. (2018), theorem 5.

    Example:
        >>> graph = CausalGraph.from_edges([("U", "X"), ("U", "Z"), ("Z", "Y"), ("X", "Y"), ("X", "C"), ("U", "C")])
        >>> is_adjustment_set(graph, "X", "Y", "Z")
        Verdict(valid=True, reason="{'Z'} is a valid adjustment set for the effect of {'X'} on {'Y'}.")
        >>> is_adjustment_set(graph, "X", "Y", [])
        Verdict(valid=False, reason='the path X <- U -> Z -> Y is open given nothing.')
        >>> is_adjustment_set(graph, "X", "Y", ["Z", "C"], criterion=BACKDOOR).reason
        "'C' is a descendant of the treatment: X -> C."
        >>> bool(is_adjustment_set(graph, "X", "Y", ["Z", "C"]))
        True
    """
    graph = as_graph(graph)
    x, y, z = checked_sets(graph.variables, treatment=treatment, outcome=outcome, adjustment=adjustment)
    check_effect(x, y)
    if bad := z & criterion.forbidden(graph, x, y):
        return Verdict(False, criterion.why_forbidden(graph, x, y, min(bad, key=graph.variables.index)))
    path = open_path(criterion.surgery(graph, x, y), x, y, z)
    if path:
        return Verdict(False, f"the path {path} is open given {listed(z)}.")
    effect = f"the effect of {listed(x)} on {listed(y)}"
    return Verdict(True, f"{listed(z)} is a valid {criterion.name} set for {effect}.")


def adjustment_sets(
    graph: GraphLike,
    treatment: Names,
    outcome: Names,
    *,
    included: Names = (),
    observed: Names | None = None,
    criterion: Criterion = ADJUSTMENT,
) -> Iterator[frozenset[str]]:
    """Every valid adjustment set; there may be exponentially many, with polynomial delay.

    Args:
        graph, treatment, outcome, criterion: see :func:`is_adjustment_set`.
        included: variables that every set must hold.
        observed: the variables that may be used; the others are latent. None for all.

    Raises:
        NoValidSetError: an included variable is forbidden. Otherwise as :func:`is_adjustment_set`.

    References:
        van der Zander, Liśkiewicz and Textor (2019), Separators and adjustment sets in causal graphs (ListAdj).

    Example:
        >>> graph = CausalGraph.from_edges([("U", "X"), ("U", "Z"), ("Z", "Y"), ("X", "Y")])
        >>> [sorted(z) for z in adjustment_sets(graph, "X", "Y")]
        [['U', 'Z'], ['U'], ['Z']]
        >>> [sorted(z) for z in adjustment_sets(graph, "X", "Y", observed="Z")]
        [['Z']]
    """
    graph = as_graph(graph)
    problem = _problem(graph, treatment, outcome, included, observed, criterion)
    return separators(problem.graph, problem.x, problem.y, included=problem.included, observed=problem.usable)


def minimal_adjustment_sets(
    graph: GraphLike,
    treatment: Names,
    outcome: Names,
    *,
    included: Names = (),
    observed: Names | None = None,
    criterion: Criterion = ADJUSTMENT,
) -> Iterator[frozenset[str]]:
    """The valid adjustment sets of which no proper subset is valid.

    Args:
        graph, treatment, outcome, included, observed, criterion: see :func:`adjustment_sets`.

    References:
        van der Zander, Liśkiewicz and Textor (2019), Separators and adjustment sets in causal graphs.

    Example:
        >>> graph = CausalGraph.from_edges([("U", "X"), ("U", "Z"), ("Z", "Y"), ("X", "Y")])
        >>> [sorted(z) for z in minimal_adjustment_sets(graph, "X", "Y")]
        [['U'], ['Z']]
    """
    graph = as_graph(graph)
    problem = _problem(graph, treatment, outcome, included, observed, criterion)
    return minimal_separators(problem.graph, problem.x, problem.y, included=problem.included, observed=problem.usable)


def minimum_adjustment_set(
    graph: GraphLike,
    treatment: Names,
    outcome: Names,
    *,
    included: Names = (),
    observed: Names | None = None,
    criterion: Criterion = ADJUSTMENT,
    cost: Mapping[str, float] | None = None,
) -> frozenset[str]:
    """A valid adjustment set with the fewest variables, or of the least total cost.

    Args:
        graph, treatment, outcome, included, observed, criterion: see :func:`adjustment_sets`.
        cost: variable -> what it costs to measure, a positive number; 1 where it is not named.

    Raises:
        NoValidSetError: no set of observed variables is valid; the message names a path that cannot be blocked.

    Example:
        >>> graph = CausalGraph.from_edges([("A", "X"), ("B", "X"), ("A", "C"), ("B", "C"), ("C", "Y"), ("X", "Y")])
        >>> sorted(minimum_adjustment_set(graph, "X", "Y"))
        ['C']
    """
    graph = as_graph(graph)
    problem = _problem(graph, treatment, outcome, included, observed, criterion)
    problem.check_exists()
    return minimum_separator(
        problem.graph, problem.x, problem.y, included=problem.included, observed=problem.usable, cost=cost
    )


def optimal_adjustment_set(graph: GraphLike, treatment: Names, outcome: Names) -> frozenset[str]:
    """The O-set: of all valid adjustment sets the one that estimates with the least asymptotic variance.

    The parents of the causal nodes that are not forbidden. It is optimal for linear and for nonparametric (AIPW)
    estimation alike.

    Args:
        graph: without hidden confounding of the causal nodes, where no set need be the best.
        treatment, outcome: disjoint sets of variables.

    Raises:
        NoValidSetError: no set is valid, a causal node is confounded by a hidden variable, or the outcome is no
            descendant of the treatment (there is nothing to estimate).

    References:
        Henckel, Perković and Maathuis (2022), Graphical criteria for efficient total effect estimation via adjustment
        in causal linear models; Rotnitzky and Smucler (2020), Efficient adjustment sets for population average causal
        treatment effect estimation in graphical models.

    Example:
        >>> graph = CausalGraph.from_edges([("I", "X"), ("Z", "X"), ("Z", "Y"), ("R", "Y"), ("X", "Y")])
        >>> sorted(optimal_adjustment_set(graph, "X", "Y"))
        ['R', 'Z']
    """
    graph = as_graph(graph)
    problem = _problem(graph, treatment, outcome, (), None, ADJUSTMENT)
    problem.check_exists()
    causal = causal_nodes(graph, problem.x, problem.y)
    if apart := problem.y - causal:
        raise NoValidSetError(
            f"{listed(apart)} is no descendant of the treatment {listed(problem.x)}: it has no effect there, and no "
            f"set is the best to estimate it with. See minimum_adjustment_set."
        )
    for v in graph.variables:
        if v in causal and graph.siblings(v):
            raise NoValidSetError(
                f"the O-set holds the hidden cause of {v} <-> {graph.siblings(v)[0]}, which is not observed: with "
                f"hidden variables no set need be the best. See optimal_minimal_adjustment_set."
            )
    parents = {parent for v in causal for parent in graph.parents(v)}
    return frozenset(parents) - forbidden_nodes(graph, problem.x, problem.y) - problem.x


def optimal_minimal_adjustment_set(
    graph: GraphLike, treatment: Names, outcome: Names, *, observed: Names | None = None
) -> frozenset[str]:
    """Of the minimal adjustment sets the one with the least asymptotic variance, the closest to the outcome.

    It exists whenever any set is valid, hidden variables or not.

    Args:
        graph, treatment, outcome, observed: see :func:`adjustment_sets`.

    Raises:
        NoValidSetError: no set of observed variables is valid.

    References:
        Smucler, Sapienza and Rotnitzky (2022), Efficient adjustment sets in causal graphical models with hidden
        variables.

    Example:
        >>> graph = CausalGraph.from_edges([("A", "X"), ("A", "B"), ("B", "Y"), ("X", "Y")])
        >>> sorted(optimal_minimal_adjustment_set(graph, "X", "Y"))
        ['B']
    """
    graph = as_graph(graph)
    problem = _problem(graph, treatment, outcome, (), observed, ADJUSTMENT)
    problem.check_exists()
    return closest_separator(problem.graph, problem.y, problem.x, observed=problem.usable)


@dataclass(frozen=True)
class _Problem:
    """Adjustment as separation in a mutilated graph with some variables ruled out."""

    graph: CausalGraph
    x: frozenset[str]
    y: frozenset[str]
    included: frozenset[str]
    usable: frozenset[str]

    def check_exists(self) -> None:
        """Refuse where nothing separates, with a path that stays open."""
        if separator_between(self.graph, self.x, self.y, self.included, self.usable) is None:
            most = (self.graph.ancestors(self.x | self.y | self.included) & self.usable) | self.included
            path = open_path(self.graph, self.x, self.y, most)
            raise NoValidSetError(
                f"no set of observed variables is valid: the path {path} stays open, for example given {listed(most)}. "
                f"Ask identify whether the effect is identifiable in another way."
            )


def _problem(
    graph: CausalGraph,
    treatment: Names,
    outcome: Names,
    included: Names,
    observed: Names | None,
    criterion: Criterion,
) -> _Problem:
    x, y, inside = checked_sets(graph.variables, treatment=treatment, outcome=outcome, included=included)
    (seen,) = checked_sets(graph.variables, observed=graph.variables if observed is None else observed)
    check_effect(x, y)
    forbidden = criterion.forbidden(graph, x, y)
    if bad := inside & forbidden:
        why = criterion.why_forbidden(graph, x, y, min(bad, key=graph.variables.index))
        raise NoValidSetError(f"no valid {criterion.name} set holds {listed(bad)}: {why}")
    return _Problem(criterion.surgery(graph, x, y), x, y, inside, seen - x - y - inside - forbidden)


def check_effect(x: frozenset[str], y: frozenset[str]) -> None:
    """Refuse an effect of nothing, or on nothing."""
    for what, names in (("treatment", x), ("outcome", y)):
        if not names:
            raise QueryError(f"the {what} is empty: name at least one variable.")


def directed_path(graph: CausalGraph, start: frozenset[str], end: Collection[str]) -> list[str]:
    """A shortest directed path from one set to the other; empty where there is none."""
    paths = [[v] for v in graph.variables if v in start]
    seen = set(start)
    for path in paths:  # grows while it is read
        if path[-1] in end:
            return path
        fresh = [v for v in graph.children(path[-1]) if v not in seen]
        seen.update(fresh)
        paths += [[*path, v] for v in fresh]
    return []


def listed(names: frozenset[str] | set[str]) -> str:
    """A set as messages show it, its names sorted."""
    return f"{{{', '.join(map(repr, sorted(names)))}}}" if names else "nothing"
