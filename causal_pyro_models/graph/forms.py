"""A causal graph from whatever form it comes in."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

import networkx as nx

from causal_pyro_models.errors import CausalError, GraphError
from causal_pyro_models.graph.causal_graph import CausalGraph
from causal_pyro_models.graph.validation import Edge

if TYPE_CHECKING:
    GraphLike: TypeAlias = CausalGraph | str | nx.DiGraph[str] | Iterable[Edge]
    """A causal graph, text (GML, DOT or dagitty), a ``networkx.DiGraph``, or pairs of names."""
else:
    GraphLike = CausalGraph | str | nx.DiGraph | Iterable[Edge]

_COMMENT = r"\s|//[^\n]*|/\*.*?\*/|\#[^\n]*"
_GML = re.compile(rf"(?:{_COMMENT}|(?:creator|version|comment)\s+(?:\"[^\"]*\"|\S+))*graph\s*\[", re.I | re.S)
_DOT = re.compile(rf"(?:{_COMMENT})*(?:strict|digraph|graph)\b(?!\s*(?:->|<-|--))", re.I | re.S)
_EDGES = re.compile(r"->|<-|--|@|[\[{]")


def as_graph(graph: GraphLike, error: type[CausalError] = GraphError) -> CausalGraph:
    """The causal graph that something describes.

    Args:
        graph: a :class:`CausalGraph`, which comes back as it is; text in GML, DOT or the language of dagitty, or bare
            edges such as ``"Z -> X; Z -> Y"``; a ``networkx.DiGraph``; or a collection of pairs ``(cause, effect)``.
        error: raised for what is none of these.

    Raises:
        GraphError: a text that does not parse, or a cycle.

    Example:
        >>> as_graph("Z -> X -> Y; X <-> Y") == as_graph("digraph { Z -> X -> Y; X -> Y [dir=both] }")
        True
        >>> as_graph([("X", "Y")])
        CausalGraph(X -> Y)
    """
    if isinstance(graph, CausalGraph):
        return graph
    if isinstance(graph, str):
        if not _EDGES.search(graph):
            raise error(f"graph must be a CausalGraph, or text with edges such as 'X -> Y', got the str {graph!r:.80}.")
        if _GML.match(graph):
            return CausalGraph.from_gml(graph)
        return CausalGraph.from_dot(graph) if _DOT.match(graph) else CausalGraph.from_dagitty(graph)
    if isinstance(graph, nx.Graph):
        return CausalGraph.from_networkx(graph)
    if isinstance(graph, list | tuple | set | frozenset):
        return CausalGraph.from_edges(sorted(graph) if isinstance(graph, set | frozenset) else graph)
    raise error(
        f"graph must be a CausalGraph, got {type(graph).__name__}. Taken are text (GML, DOT, dagitty), a "
        f"networkx.DiGraph and a list of pairs (cause, effect) as well."
    )
