"""What a structural causal model can be built of: a graph, the kinds of its variables, and a node for each."""

from __future__ import annotations

from collections.abc import Mapping

from causal_pyro_models.data.variables import Variable, as_variable
from causal_pyro_models.errors import ModelError, unknown_variable
from causal_pyro_models.graph import CausalGraph, GraphLike, as_graph
from causal_pyro_models.models.node import Node


def checked_graph(graph: GraphLike) -> CausalGraph:
    """The graph, refused where it has no variables."""
    graph = as_graph(graph, ModelError)
    if not graph.variables:
        raise ModelError("the graph of a model must have at least one variable.")
    return graph


def check_unconfounded(graph: CausalGraph, family: str) -> None:
    """Refuse hidden confounding for a family that needs the exact likelihood."""
    if graph.bidirected:
        a, b = sorted(next(iter(graph.bidirected)))
        raise ModelError(
            f"the graph has hidden confounding, for example {a} <-> {b}, and {family} needs an exact likelihood, which "
            f"hidden causes leave it without. Take CausalVAE or CausalGAN, add the confounder as a variable, or drop "
            f"the bidirected edge if you assume there is none."
        )


def checked_variables(graph: CausalGraph, variables: object) -> dict[str, Variable]:
    """The kind of each variable of a graph, in the graph's order.

    Raises:
        ModelError: a variable has no kind, or something that is none.
        UnknownVariableError: a kind is given for something that is no variable of the graph.
    """
    if not isinstance(variables, Mapping):
        raise ModelError(f"variables must be a dict from name to kind, got {type(variables).__name__}.")
    for name in variables:
        if name not in graph.variables:
            raise unknown_variable(name, graph.variables)
    if missing := [name for name in graph.variables if name not in variables]:
        raise ModelError(f"no kind of variable is given for {', '.join(missing)}, for example Continuous().")
    return {name: as_variable(name, variables[name]) for name in graph.variables}


def check_nodes(graph: CausalGraph, nodes: object) -> None:
    """Refuse what is no node for each variable of a graph, or one node for two."""
    if not isinstance(nodes, Mapping):
        raise ModelError(f"nodes must be a dict from variable to Node, got {type(nodes).__name__}.")
    for name in nodes:
        if name not in graph.variables:
            raise unknown_variable(name, graph.variables)
    if missing := [name for name in graph.variables if name not in nodes]:
        raise ModelError(f"no node for {', '.join(missing)}: every variable of the graph needs one.")
    seen: dict[int, str] = {}
    for name, node in nodes.items():
        if not isinstance(node, Node):
            raise ModelError(f"the node of {name!r} must be a Node, got {type(node).__name__}.")
        if (other := seen.setdefault(id(node), name)) != name:
            raise ModelError(f"{other!r} and {name!r} share one node: make one for each.")
