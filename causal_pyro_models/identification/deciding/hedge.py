"""Hedges: the structures in a graph for which an effect cannot be told from the observed distribution."""

from dataclasses import dataclass

from causal_pyro_models.errors import GraphError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification.deciding.bit_graph import BitGraph
from causal_pyro_models.identification.deciding.interventional import HedgeFound


@dataclass(frozen=True)
class Hedge:
    """Two C-forests, one inside the other and with the same roots, of which only the larger meets the treatment.

    Where there is a hedge for P(outcome | do(treatment)), two models exist that agree on the graph and on the
    distribution of all observed variables, and differ on the effect.

    Args:
        graph: the causal graph.
        outcome: the variables whose distribution is asked for.
        treatment: the variables that are set.
        forest: the larger C-forest, a subgraph: every variable has at most one child there, and the bidirected edges
            form a tree.
        core: the smaller one, a subgraph of the larger.

    References:
        Shpitser and Pearl (2006), Identification of joint interventional distributions, definition 6 and theorem 4.

    Example:
        >>> from causal_pyro_models.errors import NotIdentifiableError
        >>> from causal_pyro_models.identification import identify
        >>> bow = CausalGraph(["X", "Y"], [("X", "Y")], bidirected=[("X", "Y")])
        >>> try:
        ...     identify(bow, "P(Y | do(X))")
        ... except NotIdentifiableError as error:
        ...     hedge = error.witness
        >>> hedge.check()
        >>> hedge.forest, hedge.core, hedge.roots
        (CausalGraph(X -> Y, X <-> Y), CausalGraph(Y), ('Y',))
    """

    graph: CausalGraph
    outcome: tuple[str, ...]
    treatment: tuple[str, ...]
    forest: CausalGraph
    core: CausalGraph

    @property
    def roots(self) -> tuple[str, ...]:
        """The variables of the core without a child there."""
        return tuple(v for v in self.core.variables if not self.core.children(v))

    def check(self) -> None:
        """Raise GraphError unless this is a hedge, by the definition."""
        for part, whole in ((self.core, self.forest), (self.forest, self.graph)):
            inside = (set(a) <= set(b) for a, b in zip(_parts(part), _parts(whole), strict=True))
            _require(all(inside), f"{part!r} is not part of {whole!r}")
        for tree in (self.core, self.forest):
            _require(len(tree.districts) == 1, f"the bidirected edges of {tree!r} do not connect it")
            _require(len(tree.bidirected) == len(tree.variables) - 1, f"the bidirected edges of {tree!r} form no tree")
            _require(all(len(tree.children(v)) <= 1 for v in tree.variables), f"two children in {tree!r}")
            ends = tuple(v for v in tree.variables if not tree.children(v))
            _require(set(ends) == set(self.roots), f"the roots of {tree!r} are {ends}, not {self.roots}")
        _require(not set(self.treatment).isdisjoint(self.forest.variables), "the larger forest misses the treatment")
        _require(set(self.treatment).isdisjoint(self.core.variables), "the smaller forest meets the treatment")
        above = self.graph.do(self.treatment).ancestors(self.outcome)
        _require(above.issuperset(self.roots), "a root is no cause of the outcome once the treatment is set")

    def __str__(self) -> str:
        forest, core, roots = (", ".join(names) for names in (self.forest.variables, self.core.variables, self.roots))
        return (
            f"{{{forest}}} and {{{core}}} form a hedge for P({', '.join(self.outcome)} | do({', '.join(self.treatment)}"
            f")): each is connected by hidden causes and leads to {roots}"
        )


def hedge_between(
    graph: CausalGraph, outcome: tuple[str, ...], treatment: tuple[str, ...], forest: set[str], core: set[str]
) -> Hedge:
    """The hedge over two sets of variables, both connected by hidden causes, all ancestors of the smaller."""
    inner = _spanning(graph.subgraph(core), None)
    return Hedge(graph, outcome, treatment, _spanning(graph.subgraph(forest), inner), inner)


def hedge_found(graph: CausalGraph, g: BitGraph, found: HedgeFound) -> Hedge:
    """The hedge at which the search for an estimand in ``graph``, as ``g``, ended."""
    y, x = g.named(found.statement.y), g.named(found.statement.x)
    return hedge_between(graph, y, x, set(g.named(found.forest)), set(g.named(found.core)))


def _spanning(graph: CausalGraph, inner: CausalGraph | None) -> CausalGraph:
    """A C-forest over all variables of a graph that holds a smaller one."""
    edges = {} if inner is None else dict(inner.edges)
    kept = frozenset(() if inner is None else inner.variables)
    for v in graph.variables:
        if v not in kept and graph.children(v):
            edges[v] = graph.children(v)[0]
    tree = [] if inner is None else list(inner.bidirected)
    reached = list(kept or graph.variables[:1])
    for v in reached:
        for u in graph.siblings(v):
            if u not in reached:
                reached.append(u)
                tree.append((v, u))
    return CausalGraph(graph.variables, edges.items(), tree)


def _parts(graph: CausalGraph) -> tuple[set[object], ...]:
    return set(graph.variables), set(graph.edges), set(map(frozenset, graph.bidirected))


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise GraphError(f"not a hedge: {problem}.")
