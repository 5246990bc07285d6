"""Latent projection: the graph over some of the variables that says the same about them."""

from collections.abc import Collection
from itertools import combinations, product

from causal_pyro_models.graph.mixed_graph import MixedGraph
from causal_pyro_models.graph.validation import Edge


def project(graph: MixedGraph, observed: Collection[str]) -> tuple[list[Edge], list[Edge]]:
    """The directed and bidirected edges among ``observed`` once the other variables are hidden.

    ``a -> b`` where a directed path from a to b has only hidden variables inside; ``a <-> b`` where such paths lead to
    both from one hidden variable, or from the two ends of a bidirected edge.
    """
    heirs: dict[str, set[str]] = {}  # the first observed variables on the directed paths out of each variable
    for v in reversed(graph.topological_order):
        heirs[v] = set().union(*({c} if c in observed else heirs[c] for c in graph.children(v)))
    directed = [(a, b) for a in observed for b in heirs[a]]

    confounded = {frozenset(pair) for v in graph.variables if v not in observed for pair in combinations(heirs[v], 2)}
    for ends in graph.bidirected:
        below = ({v} if v in observed else heirs[v] for v in ends)
        confounded |= {frozenset((a, b)) for a, b in product(*below) if a != b}
    return directed, [(a, b) for a, b in confounded]
