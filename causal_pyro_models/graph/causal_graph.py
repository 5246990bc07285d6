"""The causal graph: an immutable acyclic directed mixed graph over named variables."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain, combinations
from typing import TYPE_CHECKING, Any, NoReturn

import networkx as nx

from causal_pyro_models.errors import GraphError, unknown_variable
from causal_pyro_models.graph import dot, interop
from causal_pyro_models.graph.projection import project
from causal_pyro_models.graph.separation import m_connected
from causal_pyro_models.graph.validation import (
    Edge,
    Names,
    checked_edges,
    checked_names,
    checked_sets,
    collected,
    layers,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from causal_pyro_models.arrays import Ints


class CausalGraph:
    """An acyclic directed mixed graph: ``X -> Y`` where X is a cause of Y, ``X <-> Y`` where a hidden cause has both.

    Immutable and hashable. Two graphs are equal when they have the same variables and edges, in whatever order.
    Neighbours are tuples in the order of ``variables``, so that a loop over them is reproducible; ancestors,
    districts and other closures are frozensets. Where a method takes ``vs``, one name stands for a set of one.

    Args:
        variables: distinct non-empty names.
        edges: pairs ``(cause, effect)``.
        bidirected: unordered pairs of variables with a hidden common cause.

    Raises:
        GraphError: for a cycle, a self-loop, a duplicate, or a name that is not a string.
        UnknownVariableError: for an edge at a name that is not among the variables.

    References:
        Richardson (2003), Markov properties for acyclic directed mixed graphs; Pearl (2009), Causality, chapter 1.

    Example:
        >>> graph = CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("X", "Y")], bidirected=[("X", "Y")])
        >>> graph
        CausalGraph(Z -> X, X -> Y, X <-> Y)
        >>> graph.parents("Y"), graph.siblings("Y")
        (('X',), ('X',))
        >>> graph.do("X")
        CausalGraph(Z, X -> Y)
        >>> graph.m_separated("Z", "Y", given="X")
        False
    """

    variables: tuple[str, ...]
    edges: tuple[Edge, ...]
    bidirected: tuple[Edge, ...]

    def __init__(self, variables: Iterable[str], edges: Iterable[Edge], bidirected: Iterable[Edge] = ()) -> None:
        names = checked_names(variables)
        index = {v: i for i, v in enumerate(names)}
        self._fill(names, checked_edges(edges, index, "->"), checked_edges(bidirected, index, "<->"))
        _ = self.generations  # raises where there is a cycle

    def _fill(self, variables: tuple[str, ...], edges: tuple[Edge, ...], bidirected: tuple[Edge, ...]) -> None:
        self.__dict__.update(variables=variables, edges=edges, bidirected=bidirected)

    def _with(self, variables: tuple[str, ...], edges: Iterable[Edge], bidirected: Iterable[Edge]) -> "CausalGraph":
        """A part of this graph, which needs no check."""
        graph = object.__new__(CausalGraph)
        graph._fill(variables, tuple(edges), tuple(bidirected))
        return graph

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a CausalGraph is immutable, {name!r} cannot be set. Build another graph.")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a CausalGraph is immutable, {name!r} cannot be deleted. Build another graph.")

    # Other forms ----------------------------------------------------------------------------------------------------

    @classmethod
    def from_edges(cls, edges: Iterable[Edge], bidirected: Iterable[Edge] = ()) -> "CausalGraph":
        """The graph over the names that the edges mention, in that order.

        Example:
            >>> CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")]).variables
            ('Z', 'X', 'Y')
        """
        directed, confounded = collected(edges), collected(bidirected)
        ends = chain.from_iterable(pair for pair in directed + confounded if isinstance(pair, tuple | list))
        return cls(dict.fromkeys(name for name in ends if isinstance(name, str)), directed, confounded)

    @classmethod
    def from_networkx(cls, graph: "nx.DiGraph[str]") -> "CausalGraph":
        """The causal graph of a ``networkx.DiGraph``, the inverse of :meth:`to_networkx`.

        Bidirected edges are read from the graph attribute ``graph.graph["bidirected"]``, a list of pairs; nodes with
        the attribute ``observed="no"`` are hidden by :meth:`latent_projection`.
        """
        return cls._with_hidden(*interop.networkx_edges(graph))

    def to_networkx(self) -> "nx.DiGraph[str]":
        """The directed edges as a ``networkx.DiGraph``, with the bidirected pairs in its attribute ``"bidirected"``.

        Example:
            >>> graph = CausalGraph(["X", "Y"], [("X", "Y")], bidirected=[("X", "Y")])
            >>> graph.to_networkx().graph
            {'bidirected': [('X', 'Y')]}
        """
        return interop.networkx_graph(self.variables, self.edges, self.bidirected)

    @classmethod
    def from_adjacency(
        cls, matrix: "ArrayLike", variables: Sequence[str], bidirected: "ArrayLike | None" = None
    ) -> "CausalGraph":
        """The graph with ``i -> j`` where ``matrix[i, j]`` is not zero: ``A[parent, child]``.

        Args:
            matrix: square, any array of finite numbers, shape ``(n, n)``.
            variables: the n names.
            bidirected: symmetric matrix of the bidirected edges, shape ``(n, n)``; None for none.

        Example:
            >>> CausalGraph.from_adjacency([[0, 1], [0, 0]], ["X", "Y"])
            CausalGraph(X -> Y)
        """
        names = checked_names(variables)
        edges = interop.matrix_edges(matrix, names, "->")
        return cls(names, edges, () if bidirected is None else interop.matrix_edges(bidirected, names, "<->"))

    def to_adjacency(self) -> "tuple[Ints, Ints]":
        """The matrices ``A[parent, child]`` of the directed and (symmetric) of the bidirected edges, zeros and ones."""
        confounded = interop.matrix_of(self.bidirected, self.variables)
        return interop.matrix_of(self.edges, self.variables), confounded + confounded.T

    @classmethod
    def from_dot(cls, text: str) -> "CausalGraph":
        """The graph of a DOT string; ``dir=both`` or ``<->`` makes an edge bidirected, other attributes are ignored.

        Variables with the attribute ``observed=no`` are hidden by :meth:`latent_projection`.

        Example:
            >>> CausalGraph.from_dot("digraph { Z -> {X Y}; X -> Y [dir=both] }")
            CausalGraph(Z -> X, Z -> Y, X <-> Y)
        """
        return cls._described(text, dot.DOT)

    @classmethod
    def from_gml(cls, text: str) -> "CausalGraph":
        """The graph of a GML string, as igraph, Gephi and networkx write it; labels become the names.

        Nodes with ``observed "no"`` are hidden by :meth:`latent_projection`, edges with ``dir "both"`` are bidirected.

        References:
            Himsolt (1997), GML: a portable graph file format.

        Example:
            >>> text = 'graph [ directed 1 node [ id 0 label "X" ] node [ id 1 label "Y" ] edge [ source 0 target 1 ] ]'
            >>> CausalGraph.from_gml(text)
            CausalGraph(X -> Y)
        """
        return cls._with_hidden(*interop.gml_edges(text))

    def to_dot(self) -> str:
        """The graph in DOT, for Graphviz and :meth:`from_dot`."""
        return dot.write(dot.DOT, self.variables, self.edges, self.bidirected)

    @classmethod
    def from_dagitty(cls, text: str) -> "CausalGraph":
        """The graph of a dagitty string; variables marked ``latent`` are hidden by :meth:`latent_projection`.

        Other attributes (exposure, outcome, positions) are ignored. Edges may stand without ``dag { }`` around them.

        References:
            Textor et al. (2016), Robust causal inference using directed acyclic graphs: the R package dagitty.

        Example:
            >>> CausalGraph.from_dagitty('dag { X [exposure,pos="0,1"] ; U [latent] ; X -> M -> Y ; U -> {X Y} }')
            CausalGraph(X -> M, M -> Y, X <-> Y)
        """
        return cls._described(text, dot.DAGITTY)

    def to_dagitty(self) -> str:
        """The graph in the language of dagitty, for dagitty.net, the R package and :meth:`from_dagitty`."""
        return dot.write(dot.DAGITTY, self.variables, self.edges, self.bidirected)

    @classmethod
    def _described(cls, text: str, language: dot.Language) -> "CausalGraph":
        found = dot.parse(text, language)
        return cls._with_hidden(found.variables, found.edges, found.bidirected, found.hidden)

    @classmethod
    def _with_hidden(
        cls, variables: Iterable[str], edges: Iterable[Edge], bidirected: Iterable[Edge], hidden: Collection[str]
    ) -> "CausalGraph":
        graph = cls(variables, edges, bidirected)
        return graph.latent_projection(set(graph.variables).difference(hidden)) if hidden else graph

    @classmethod
    def from_model(cls, model: Callable[[], object]) -> "CausalGraph":
        """The graph that one run of a Pyro model shows: a cross-check of a stated graph, which may miss edges.

        Sample and deterministic sites become variables, and tensors are followed from site to site. Not seen are
        dependences through in-place writes into other tensors, through numbers (``float(x)``, ``x.item()``, NumPy),
        and through branches (``if x > 0``), nor sites that this run did not visit. Plates, subsamples and
        factors are left out. Random state and parameters stay as they were.

        Raises:
            ModelError: for a model without sites, or with two of one name.

        Example:
            >>> import pyro, pyro.distributions as dist
            >>> def model():
            ...     x = pyro.sample("X", dist.Normal(0.0, 1.0))
            ...     m = pyro.deterministic("M", 2.0 * x)
            ...     pyro.sample("Y", dist.Normal(m, 1.0))
            >>> CausalGraph.from_model(model)
            CausalGraph(X -> M, M -> Y)
        """
        from causal_pyro_models.graph.provenance import site_parents  # the only part that needs Pyro

        found = site_parents(model)
        return cls(found, [(parent, site) for site, parents in found.items() for parent in parents])

    # Neighbours and closures ----------------------------------------------------------------------------------------

    @cached_property
    def _parents(self) -> dict[str, tuple[str, ...]]:
        return self._neighbours((child, parent) for parent, child in self.edges)

    @cached_property
    def _children(self) -> dict[str, tuple[str, ...]]:
        return self._neighbours(self.edges)

    @cached_property
    def _siblings(self) -> dict[str, tuple[str, ...]]:
        return self._neighbours(pair for a, b in self.bidirected for pair in ((a, b), (b, a)))

    def _neighbours(self, pairs: Iterable[Edge]) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {v: [] for v in self.variables}
        for v, neighbour in pairs:
            found[v].append(neighbour)
        return {v: tuple(names) for v, names in found.items()}

    def _names(self, vs: Names) -> tuple[str, ...]:
        names = (vs,) if isinstance(vs, str) or not isinstance(vs, Iterable) else tuple(vs)
        for name in names:
            self._of(name, self._parents)
        return names

    def _of(self, v: str, neighbours: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        try:
            return neighbours[v]
        except (KeyError, TypeError):
            raise unknown_variable(v, self.variables) from None

    def parents(self, v: str) -> tuple[str, ...]:
        """The variables with a directed edge into ``v``."""
        return self._of(v, self._parents)

    def children(self, v: str) -> tuple[str, ...]:
        """The variables with a directed edge from ``v``."""
        return self._of(v, self._children)

    def siblings(self, v: str) -> tuple[str, ...]:
        """The variables with a bidirected edge to ``v`` (spouses, in Richardson's terms)."""
        return self._of(v, self._siblings)

    def ancestors(self, vs: Names) -> frozenset[str]:
        """An(vs): every variable with a directed path to one of ``vs``, and ``vs`` themselves.

        Example:
            >>> sorted(CausalGraph.from_edges([("X", "M"), ("M", "Y")]).ancestors("M"))
            ['M', 'X']
        """
        return _closure(self._names(vs), self._parents)

    def descendants(self, vs: Names) -> frozenset[str]:
        """De(vs): every variable with a directed path from one of ``vs``, and ``vs`` themselves."""
        return _closure(self._names(vs), self._children)

    @cached_property
    def generations(self) -> tuple[tuple[str, ...], ...]:
        """The variables by the length of the longest directed path into them."""
        return layers(self._parents, self._children)

    @cached_property
    def topological_order(self) -> tuple[str, ...]:
        """The variables, causes before effects: the generations one after another."""
        return tuple(chain.from_iterable(self.generations))

    @cached_property
    def districts(self) -> tuple[frozenset[str], ...]:
        """The c-components: the sets of variables that bidirected edges connect, singletons included."""
        found: dict[str, frozenset[str]] = {}
        for v in self.variables:
            if v not in found:
                district = _closure((v,), self._siblings)
                found.update(dict.fromkeys(district, district))
        return tuple(dict.fromkeys(found.values()))

    @cached_property
    def _district(self) -> dict[str, frozenset[str]]:
        return {v: district for district in self.districts for v in district}

    def district(self, v: str) -> frozenset[str]:
        """The district (c-component) that holds ``v``."""
        (name,) = self._names((v,))
        return self._district[name]

    def markov_blanket(self, v: str) -> frozenset[str]:
        """The smallest set that m-separates ``v`` from all the rest.

        The districts of ``v`` and of its children, and the parents of those districts, without ``v``. Without
        bidirected edges: parents, children and the children's other parents.

        References:
            Richardson (2003), Markov properties for acyclic directed mixed graphs.

        Example:
            >>> graph = CausalGraph.from_edges([("X", "Y"), ("Z", "Y"), ("Y", "W")])
            >>> sorted(graph.markov_blanket("X"))
            ['Y', 'Z']
        """
        districts = {self.district(u) for u in (v, *self.children(v))}
        return frozenset(u for district in districts for u in self._with_parents(district)) - {v}

    def _with_parents(self, vs: Collection[str]) -> set[str]:
        return {*vs, *(parent for v in vs for parent in self._parents[v])}

    # Surgery --------------------------------------------------------------------------------------------------------

    def do(self, vs: Names) -> "CausalGraph":
        """The graph of the submodel under do(vs): without the edges, directed and bidirected, into ``vs``.

        References:
            Pearl (2009), Causality, section 3.4, where a bar over X denotes it.
        """
        cut = set(self._names(vs))
        edges = (edge for edge in self.edges if edge[1] not in cut)
        return self._with(self.variables, edges, (pair for pair in self.bidirected if cut.isdisjoint(pair)))

    def remove_outgoing(self, vs: Names) -> "CausalGraph":
        """The graph without the directed edges out of ``vs``, written with a bar under X in the do-calculus."""
        cut = set(self._names(vs))
        return self._with(self.variables, (edge for edge in self.edges if edge[0] not in cut), self.bidirected)

    def subgraph(self, vs: Names) -> "CausalGraph":
        """The induced graph over ``vs``: the edges with both ends there."""
        kept = set(self._names(vs))
        return self._with(
            tuple(v for v in self.variables if v in kept),
            (edge for edge in self.edges if kept.issuperset(edge)),
            (pair for pair in self.bidirected if kept.issuperset(pair)),
        )

    def latent_projection(self, observed: Names) -> "CausalGraph":
        """The graph over ``observed`` with the other variables hidden: same ancestors and m-separations among them.

        References:
            Verma and Pearl (1990), Equivalence and synthesis of causal models; Richardson et al. (2023), Nested Markov
            properties for acyclic directed mixed graphs.

        Example:
            >>> CausalGraph.from_edges([("U", "X"), ("U", "Y"), ("X", "M"), ("M", "Y")]).latent_projection(["X", "Y"])
            CausalGraph(X -> Y, X <-> Y)
        """
        kept = set(self._names(observed))
        return CausalGraph([v for v in self.variables if v in kept], *project(self, kept))

    # Separation -----------------------------------------------------------------------------------------------------

    def m_separated(self, xs: Names, ys: Names, given: Names = ()) -> bool:
        """Whether ``given`` blocks every path between ``xs`` and ``ys``; directed and bidirected edges alike.

        On a graph without bidirected edges this is d-separation. An empty set is separated from everything.

        Raises:
            GraphError: where two of the three sets overlap.

        References:
            Richardson (2003), Markov properties for acyclic directed mixed graphs.

        Example:
            >>> graph = CausalGraph(["X", "M", "Y"], [("X", "M"), ("M", "Y")], bidirected=[("M", "Y")])
            >>> graph.m_separated("X", "Y"), graph.m_separated("X", "Y", given="M")
            (False, False)
        """
        x, y, z = checked_sets(self.variables, xs=xs, ys=ys, given=given)
        return y.isdisjoint(m_connected(self, x, z))

    def d_separated(self, xs: Names, ys: Names, given: Names = ()) -> bool:
        """d-separation, for a graph without hidden confounding: :meth:`m_separated`, which is defined for every graph.

        Raises:
            GraphError: where the graph has bidirected edges, or two of the three sets overlap.

        Example:
            >>> CausalGraph.from_edges([("X", "Z"), ("Z", "Y")]).d_separated("X", "Y", given="Z")
            True
        """
        if self.bidirected:
            a, b = self.bidirected[0]
            raise GraphError(f"d-separation is for graphs without bidirected edges, got {a!r} <-> {b!r}: m_separated.")
        return self.m_separated(xs, ys, given)

    def moral(self) -> "nx.Graph[str]":
        """The moral graph, undirected: neighbours are those dependent given all the rest (see :meth:`markov_blanket`).

        With bidirected edges it is the augmented graph, where each district and its parents form a clique.

        References:
            Lauritzen (1996), Graphical Models, section 2.1.1; Richardson (2003), Markov properties for acyclic
            directed mixed graphs.
        """
        graph = nx.Graph()
        graph.add_nodes_from(self.variables)
        for district in self.districts:
            graph.add_edges_from(combinations(self._with_parents(district), 2))
        return graph

    # Identity -------------------------------------------------------------------------------------------------------

    @cached_property
    def _key(self) -> tuple[frozenset[Any], ...]:
        return frozenset(self.variables), frozenset(self.edges), frozenset(map(frozenset, self.bidirected))

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, CausalGraph) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        touched = set(chain.from_iterable(self.edges + self.bidirected))
        parts = [v for v in self.variables if v not in touched]
        parts += [f"{a} -> {b}" for a, b in self.edges] + [f"{a} <-> {b}" for a, b in self.bidirected]
        more = [f"... {len(parts) - 40} more"] if len(parts) > 40 else []
        return f"CausalGraph({', '.join(parts[:40] + more)})"


def _closure(start: Collection[str], neighbours: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    seen, stack = set(start), list(start)
    while stack:
        fresh = [v for v in neighbours[stack.pop()] if v not in seen]
        seen.update(fresh)
        stack += fresh
    return frozenset(seen)
