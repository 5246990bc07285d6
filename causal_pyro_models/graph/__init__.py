"""Causal graphs: directed edges for causes, bidirected edges for hidden confounding."""

from causal_pyro_models.graph.causal_graph import CausalGraph

__all__ = ["CausalGraph"]
