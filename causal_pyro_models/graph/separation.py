"""m-separation in linear time, by one walk over the graph; on a graph without bidirected edges it is d-separation."""

from collections.abc import Collection, Sequence

from causal_pyro_models.graph.mixed_graph import MixedGraph


def m_connected(graph: MixedGraph, xs: Collection[str], given: Collection[str]) -> set[str]:
    """The variables outside ``given`` that an m-connecting path given ``given`` joins to one of ``xs``, those included.

    A ball enters a variable at an arrowhead or at a tail, and each (variable, mark) is visited once: O(V + E).
    A variable outside ``given`` lets it pass unless it is a collider on the way, one in ``given`` only if it is; at a
    collider with a descendant in ``given`` the ball goes down to it, turns there, and comes back.

    References:
        Shachter (1998), Bayes-Ball; Koller and Friedman (2009), algorithm 3.1; Richardson (2003), Markov properties
        for acyclic directed mixed graphs, for bidirected edges.
    """
    stack = [(x, False) for x in xs]  # (variable, whether entered at an arrowhead)
    seen = set(stack)
    reached = set()
    while stack:
        v, at_head = stack.pop()
        blocked = v in given
        onward = []
        if not blocked:
            reached.add(v)
            onward += [(child, True) for child in graph.children(v)]
        if at_head == blocked:
            onward += [(parent, False) for parent in graph.parents(v)]
            onward += [(sibling, True) for sibling in graph.siblings(v)]
        fresh = [state for state in onward if state not in seen]
        seen.update(fresh)
        stack += fresh
    return reached


def open_path(graph: MixedGraph, xs: Collection[str], ys: Collection[str], given: Collection[str]) -> str:
    """A path between xs and ys that is m-connecting given a set, drawn with its edges; empty where there is none.

    A shortest walk whose colliders are ancestors of ``given`` and whose other inner variables are outside it. Where
    it meets a variable twice, the part between is cut out: what is left is still open.

    Example:
        >>> from causal_pyro_models.graph import CausalGraph
        >>> open_path(CausalGraph(["X", "C", "Y"], [("X", "C")], [("C", "Y")]), "X", "Y", {"C"})
        'X -> C <-> Y'
    """
    turning = graph.ancestors(given)
    walks = [((x, False), [(x, "")]) for x in graph.variables if x in xs]  # (variable, entered at a head), the walk
    seen = {state for state, _ in walks}
    for (v, at_head), walk in walks:  # grows while it is read
        if v in ys:
            return _drawn(walk)
        onward = []
        if v not in given:
            onward += [(child, True, " -> ") for child in graph.children(v)]
        if v in turning if at_head else v not in given:
            onward += [(sibling, True, " <-> ") for sibling in graph.siblings(v)]
            onward += [(parent, False, " <- ") for parent in graph.parents(v)]
        for w, head, arrow in onward:
            if (w, head) not in seen:
                seen.add((w, head))
                walks.append(((w, head), [*walk, (w, arrow)]))
    return ""


def _drawn(walk: Sequence[tuple[str, str]]) -> str:
    path: list[tuple[str, str]] = []
    for v, arrow in walk:
        names = [name for name, _ in path]
        path = path[: names.index(v) + 1] if v in names else [*path, (v, arrow)]
    return "".join(arrow + v for v, arrow in path)
