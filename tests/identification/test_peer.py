"""Verdicts against another implementation of ID and IDC, y0. Verdicts alone: its estimands are known to be wrong."""

from collections import Counter

import numpy as np
from y0.algorithm.identify import identify_outcomes
from y0.dsl import Variable
from y0.graph import NxMixedGraph

from causal_pyro_models.errors import NotIdentifiableError
from causal_pyro_models.identification import identify
from tests.identification.random_queries import TOLERANCE, gap, random_query

GRAPHS = 300


def verdict_of_peer(graph, query):
    """True, False, or the kind of error that the peer ended in."""

    def variables(names):
        return [Variable(name) for name in names]

    edges, bidirected = ([tuple(variables(edge)) for edge in pairs] for pairs in (graph.edges, graph.bidirected))
    mixed = NxMixedGraph.from_edges(nodes=variables(graph.variables), directed=edges, undirected=bidirected)
    y, x, z = (set(variables(t.name for t in side)) for side in (query.outcome, query.treatment, query.conditions))
    try:
        return identify_outcomes(mixed, treatments=x, outcomes=y, conditions=z or None) is not None
    except Exception as error:
        return type(error).__name__


def test_verdicts_agree_with_the_peer():
    """On 300 random graphs. The peer's crashes are no verdicts; an effect that it misses must be there in numbers."""
    rng = np.random.default_rng(7)
    counted = Counter()
    for _ in range(GRAPHS):
        graph, query = random_query(rng, 4, 7)
        theirs = verdict_of_peer(graph, query)
        try:
            estimand = identify(graph, query)
        except NotIdentifiableError:
            assert theirs is not True, f"{query} in {graph}: the peer identifies it"
            counted["not identifiable" if theirs is False else "crash"] += 1
            continue
        if theirs is False:
            assert gap(estimand, rng) < TOLERANCE, f"{query} in {graph}: the peer does not identify it"
        counted["identifiable" if theirs is True else "missed" if theirs is False else "crash"] += 1
    assert counted["identifiable"] >= 180 and counted["not identifiable"] >= 50
    assert counted["missed"] <= 5 and counted["crash"] <= 60
