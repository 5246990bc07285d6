"""Causal graphs, directed edges for causes and bidirected ones for hidden confounding, and what is read off them.

Separators, adjustment and front-door sets, instruments and formats are here: all that needs no distribution. What an
expression of probabilities or a table enters belongs in ``identification``.
"""

from causal_pyro_models.graph.adjustment import (
    ADJUSTMENT,
    BACKDOOR,
    Criterion,
    Verdict,
    adjustment_sets,
    causal_nodes,
    forbidden_nodes,
    is_adjustment_set,
    minimal_adjustment_sets,
    minimum_adjustment_set,
    optimal_adjustment_set,
    optimal_minimal_adjustment_set,
    proper_backdoor_graph,
)
from causal_pyro_models.graph.causal_graph import CausalGraph
from causal_pyro_models.graph.forms import GraphLike, as_graph
from causal_pyro_models.graph.frontdoor import frontdoor_sets, is_frontdoor_set, minimal_frontdoor_set
from causal_pyro_models.graph.instruments import Instrument, instruments, is_instrument
from causal_pyro_models.graph.separators import (
    closest_separator,
    is_minimal_separator,
    minimal_separators,
    minimum_separator,
    separators,
)

__all__ = [
    "ADJUSTMENT",
    "BACKDOOR",
    "CausalGraph",
    "Criterion",
    "GraphLike",
    "Instrument",
    "Verdict",
    "adjustment_sets",
    "as_graph",
    "causal_nodes",
    "closest_separator",
    "forbidden_nodes",
    "frontdoor_sets",
    "instruments",
    "is_adjustment_set",
    "is_frontdoor_set",
    "is_instrument",
    "is_minimal_separator",
    "minimal_adjustment_sets",
    "minimal_frontdoor_set",
    "minimal_separators",
    "minimum_adjustment_set",
    "minimum_separator",
    "optimal_adjustment_set",
    "optimal_minimal_adjustment_set",
    "proper_backdoor_graph",
    "separators",
]
