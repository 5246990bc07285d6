"""Causal graphs: directed edges for causes, bidirected edges for hidden confounding."""

from causal_pyro_models.graph.causal_graph import CausalGraph
from causal_pyro_models.graph.separators import (
    closest_separator,
    is_minimal_separator,
    minimal_separators,
    minimum_separator,
    separators,
)

__all__ = [
    "CausalGraph",
    "closest_separator",
    "is_minimal_separator",
    "minimal_separators",
    "minimum_separator",
    "separators",
]
