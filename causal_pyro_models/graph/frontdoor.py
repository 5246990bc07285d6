"""Front-door adjustment: mediators that carry all of an effect and are not confounded beyond what adjusts for."""

from collections.abc import Iterator

from causal_pyro_models.errors import NoValidSetError
from causal_pyro_models.graph.adjustment import Verdict, check_effect, directed_path, listed
from causal_pyro_models.graph.causal_graph import CausalGraph
from causal_pyro_models.graph.forms import GraphLike, as_graph
from causal_pyro_models.graph.separation import m_connected, open_path
from causal_pyro_models.graph.separators import sets_between
from causal_pyro_models.graph.validation import Names, checked_sets


def is_frontdoor_set(graph: GraphLike, treatment: Names, outcome: Names, mediators: Names) -> Verdict:
    """Whether mediators satisfy the front-door criterion, and if not, why.

    They intercept every directed path from treatment to outcome; no back-door path from treatment to them is open; and
    the treatment blocks every back-door path from them to the outcome. Then P(y | do(x)) = sum over m of P(m | x) times
    the sum over x' of P(y | m, x') P(x').

    Args:
        graph: an acyclic directed mixed graph.
        treatment, outcome, mediators: disjoint sets of variables.

    Raises:
        GraphError: where the sets overlap.
        UnknownVariableError: for a name that the graph does not have.
        QueryError: for an empty treatment or outcome.

    References:
        Pearl (2009), Causality, definition 3.3.3 and theorem 3.3.4.

    Example:
        >>> graph = CausalGraph(["X", "M", "Y"], [("X", "M"), ("M", "Y")], bidirected=[("X", "Y")])
        >>> bool(is_frontdoor_set(graph, "X", "Y", "M"))
        True
        >>> is_frontdoor_set(graph, "X", "Y", []).reason
        'the mediators do not intercept the directed path X -> M -> Y.'
    """
    graph = as_graph(graph)
    x, y, m = checked_sets(graph.variables, treatment=treatment, outcome=outcome, mediators=mediators)
    check_effect(x, y)
    if path := directed_path(graph.do(m), x, y):
        return Verdict(False, f"the mediators do not intercept the directed path {' -> '.join(path)}.")
    if back := open_path(graph.remove_outgoing(x), x, m, ()):
        return Verdict(False, f"the back-door path {back} from the treatment to the mediators is open.")
    if back := open_path(graph.remove_outgoing(m), m, y, x):
        return Verdict(False, f"the treatment does not block the back-door path {back} from mediators to outcome.")
    return Verdict(True, f"{listed(m)} is a valid front-door set for the effect of {listed(x)} on {listed(y)}.")


def frontdoor_sets(
    graph: GraphLike, treatment: Names, outcome: Names, *, included: Names = (), observed: Names | None = None
) -> Iterator[frozenset[str]]:
    """Every front-door set; there may be exponentially many, with polynomial delay.

    Args:
        graph, treatment, outcome: see :func:`is_frontdoor_set`.
        included: variables that every set must hold.
        observed: the variables that may be used; the others are latent. None for all.

    References:
        Jeong, Tian and Bareinboim (2022), Finding and listing front-door adjustment sets.

    Example:
        >>> edges = [("X", "A"), ("A", "B"), ("B", "Y")]
        >>> graph = CausalGraph(["X", "A", "B", "Y"], edges, bidirected=[("X", "Y")])
        >>> [sorted(m) for m in frontdoor_sets(graph, "X", "Y")]
        [['A', 'B'], ['A'], ['B']]
    """
    graph = as_graph(graph)
    x, y, inside, usable = _checked(graph, treatment, outcome, included, observed)

    def exists(inner: frozenset[str], outer: frozenset[str]) -> bool:
        return _largest(graph, x, y, inner, outer) is not None

    return sets_between(graph, inside, usable, exists)


def minimal_frontdoor_set(
    graph: GraphLike, treatment: Names, outcome: Names, *, included: Names = (), observed: Names | None = None
) -> frozenset[str]:
    """A front-door set of which no proper subset (that has ``included``) is one.

    Args:
        graph, treatment, outcome, included, observed: see :func:`frontdoor_sets`.

    Raises:
        NoValidSetError: there is no front-door set.

    References:
        Wienöbst, van der Zander and Liśkiewicz (2024), Linear-time algorithms for front-door adjustment.

    Example:
        >>> edges = [("X", "A"), ("A", "B"), ("B", "Y")]
        >>> graph = CausalGraph(["X", "A", "B", "Y"], edges, bidirected=[("X", "Y")])
        >>> sorted(minimal_frontdoor_set(graph, "X", "Y"))
        ['B']
    """
    graph = as_graph(graph)
    x, y, inside, usable = _checked(graph, treatment, outcome, included, observed)
    found = _largest(graph, x, y, inside, usable | inside)
    if found is None:
        raise NoValidSetError(
            f"no observed variables satisfy the front-door criterion for the effect of {listed(x)} on {listed(y)}: ask "
            f"identify whether it is identifiable in another way."
        )
    for v in graph.variables:
        smaller = _largest(graph, x, y, inside, found - {v}) if v in found else None
        found = found if smaller is None else smaller
    return found


def _checked(
    graph: CausalGraph, treatment: Names, outcome: Names, included: Names, observed: Names | None
) -> tuple[frozenset[str], frozenset[str], frozenset[str], frozenset[str]]:
    x, y, inside = checked_sets(graph.variables, treatment=treatment, outcome=outcome, included=included)
    (seen,) = checked_sets(graph.variables, observed=graph.variables if observed is None else observed)
    check_effect(x, y)
    return x, y, inside, seen - x - y - inside


def _largest(
    graph: CausalGraph, x: frozenset[str], y: frozenset[str], included: frozenset[str], usable: frozenset[str]
) -> frozenset[str] | None:
    """The largest front-door set among ``usable`` that holds ``included``; None where there is none.

    Sets without open back-door paths from the treatment, or to the outcome, are closed under union: so there is a
    largest, and if that does not intercept all directed paths, no smaller one does.
    """
    found = usable - m_connected(graph.remove_outgoing(x), x, frozenset())
    while bad := {m for m in found if not y.isdisjoint(m_connected(graph.remove_outgoing(found), {m}, x))}:
        found -= bad
    intercepted = not directed_path(graph.do(found), x, y)
    return found if included <= found and intercepted else None
