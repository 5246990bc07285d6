"""Causal graphs as adjacency matrices, networkx graphs and GML."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import networkx as nx

from causal_pyro_models.errors import GraphError
from causal_pyro_models.graph.validation import Edge, collected

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from causal_pyro_models.arrays import Ints


def networkx_edges(graph: "nx.DiGraph[str]") -> tuple[list[str], list[Edge], list[Edge], list[str]]:
    """Variables, directed, bidirected edges and hidden variables of a ``networkx.DiGraph``.

    Bidirected are the pairs of its attribute "bidirected", hidden the nodes with the attribute ``observed="no"``.
    """
    if not isinstance(graph, nx.Graph) or not graph.is_directed() or graph.is_multigraph():
        raise GraphError(
            f"from_networkx takes a networkx.DiGraph, got {type(graph).__name__}. Bidirected edges go into its graph "
            f"attribute: graph.graph['bidirected'] = [('X', 'Y')]."
        )
    hidden = [name for name, observed in graph.nodes(data="observed") if observed == "no"]
    return list(graph.nodes), list(graph.edges), collected(graph.graph.get("bidirected", ())), hidden


def gml_edges(text: str) -> tuple[list[str], list[Edge], list[Edge], list[str]]:
    """The same of a graph in GML, whose variables are the labels of its nodes (their ids, where there are none).

    Raises:
        GraphError: no GML, an undirected graph, or two nodes of one label.
    """
    if not isinstance(text, str):
        raise GraphError(f"expected a GML string, got {type(text).__name__}.")
    try:
        graph = nx.parse_gml(text, label="id")
    except (nx.NetworkXError, ValueError, RecursionError) as error:
        raise GraphError(f"GML graph: {str(error).removesuffix('.')}.") from error
    if not graph.is_directed():
        raise GraphError("GML graph: it is undirected. Write 'directed 1' behind 'graph [', for causes and effects.")
    names = {node: str(label) for node, label in graph.nodes(data="label", default=None) if label is not None}
    names = {node: names.get(node, str(node)) for node in graph.nodes}
    if twice := [name for name in names.values() if list(names.values()).count(name) > 1]:
        raise GraphError(f"GML graph: two nodes have the label {twice[0]!r}. Labels must be distinct: rename one.")
    variables, hidden = list(names.values()), [names[v] for v, no in graph.nodes(data="observed") if no == "no"]
    both = {(a, b) for a, b, way in graph.edges(data="dir") if way == "both"}
    pairs = [(names[a], names[b], (a, b) in both) for a, b in graph.edges()]
    return variables, [(a, b) for a, b, two in pairs if not two], [(a, b) for a, b, two in pairs if two], hidden


def networkx_graph(variables: Iterable[str], edges: Iterable[Edge], bidirected: Iterable[Edge]) -> "nx.DiGraph[str]":
    """The inverse of :func:`networkx_edges`."""
    graph = nx.DiGraph(bidirected=list(bidirected))
    graph.add_nodes_from(variables)
    graph.add_edges_from(edges)
    return graph


def matrix_edges(matrix: "ArrayLike", variables: Sequence[str], arrow: str) -> list[Edge]:
    """The edges where a matrix is not zero; a matrix of bidirected edges must be symmetric, and gives each one once."""
    import numpy as np

    n = len(variables)
    for labels in (getattr(matrix, axis) for axis in ("index", "columns") if hasattr(matrix, "columns")):
        if any(isinstance(label, str) for label in labels) and list(labels) != list(variables):
            raise GraphError(
                f"the adjacency matrix is labelled {list(labels)}, expected {list(variables)}, in this order."
            )
    try:
        if np.iscomplexobj(matrix) or np.ma.is_masked(matrix):
            raise TypeError("it is complex or masked")
        entries = np.asarray(matrix, dtype=float)
    except (TypeError, ValueError, RuntimeError) as error:  # the last for a torch tensor that requires grad
        reason = str(error).removesuffix(".")
        raise GraphError(f"the adjacency matrix is not a matrix of numbers: {reason}. Expected ({n}, {n}).") from error
    if not n and not entries.size:
        return []
    if entries.shape != (n, n):
        raise GraphError(f"the adjacency matrix has shape {entries.shape}, expected ({n}, {n}): a row per variable.")
    if not np.isfinite(entries).all():
        i, j = np.argwhere(~np.isfinite(entries))[0]
        raise GraphError(
            f"the adjacency matrix holds {entries[i, j]} at [{variables[i]!r}, {variables[j]!r}], expected a finite "
            f"number: zero for no edge."
        )
    if arrow == "<->":
        if (unequal := np.argwhere((entries != 0) != (entries.T != 0))).size:
            i, j = unequal[0]
            raise GraphError(
                f"the matrix of bidirected edges is not symmetric at [{variables[i]!r}, {variables[j]!r}]: "
                f"set both entries, or neither."
            )
        entries = np.triu(entries)
    return [(variables[i], variables[j]) for i, j in np.argwhere(entries)]


def matrix_of(edges: Iterable[Edge], variables: Sequence[str]) -> "Ints":
    """The matrix of zeros and ones with a one at ``[a, b]`` for each edge ``(a, b)``."""
    import numpy as np

    index = {v: i for i, v in enumerate(variables)}
    matrix = np.zeros((len(index), len(index)), dtype=np.int64)
    for a, b in edges:
        matrix[index[a], index[b]] = 1
    return matrix
