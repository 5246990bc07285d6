"""m-separation in linear time, by one walk over the graph; on a graph without bidirected edges it is d-separation."""

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from causal_pyro_models.graph.causal_graph import CausalGraph


def m_connected(graph: "CausalGraph", xs: Collection[str], given: Collection[str]) -> set[str]:
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
