"""A causal graph as integers, for algorithms that look at many parts of one graph: a set of variables is a bit mask."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from causal_pyro_models.graph import CausalGraph


def bits(mask: int) -> Iterator[int]:
    """The positions of the bits of a mask, the lowest first."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


class BitGraph:
    """A causal graph whose variables are bits, in a topological order: the lowest bits are the first causes.

    Args:
        graph: the causal graph.

    Attributes:
        names: the variables, causes before effects.
        parents, children, siblings: the mask of the neighbours of each variable.
        all: the mask of all variables.
    """

    def __init__(self, graph: "CausalGraph") -> None:
        self.names = graph.topological_order
        self.index = {v: i for i, v in enumerate(self.names)}
        n = len(self.names)
        self.all = (1 << n) - 1
        self.parents, self.children, self.siblings = [0] * n, [0] * n, [0] * n
        for a, b in graph.edges:
            i, j = self.index[a], self.index[b]
            self.parents[j] |= 1 << i
            self.children[i] |= 1 << j
        for a, b in graph.bidirected:
            i, j = self.index[a], self.index[b]
            self.siblings[i] |= 1 << j
            self.siblings[j] |= 1 << i

    def mask(self, names: Iterable[str]) -> int:
        """The mask of some variables."""
        found = 0
        for name in names:
            found |= 1 << self.index[name]
        return found

    def named(self, mask: int) -> tuple[str, ...]:
        """The variables of a mask, causes before effects."""
        return tuple(self.names[i] for i in bits(mask))

    def parents_of(self, mask: int) -> int:
        """The parents of some variables, without these variables."""
        found = 0
        for i in bits(mask):
            found |= self.parents[i]
        return found & ~mask

    def ancestors(self, mask: int, within: int) -> int:
        """The ancestors of some variables in the subgraph over ``within``, these variables included."""
        found = todo = mask & within
        while todo:
            i = todo.bit_length() - 1
            above = self.parents[i] & within & ~found
            found |= above
            todo = (todo ^ (1 << i)) | above
        return found

    def descendants(self, mask: int, within: int) -> int:
        """The descendants of some variables in the subgraph over ``within``, these variables included."""
        found = todo = mask & within
        while todo:
            i = (todo & -todo).bit_length() - 1
            below = self.children[i] & within & ~found
            found |= below
            todo = (todo ^ (1 << i)) | below
        return found

    def district(self, mask: int, within: int) -> int:
        """The variables that bidirected edges within ``within`` connect to those of a mask."""
        found = todo = mask
        while todo:
            i = todo.bit_length() - 1
            beside = self.siblings[i] & within & ~found
            found |= beside
            todo = (todo ^ (1 << i)) | beside
        return found

    def districts(self, within: int) -> list[int]:
        """The districts of the subgraph over ``within``."""
        found = []
        while within:
            part = self.district(within & -within, within)
            found.append(part)
            within &= ~part
        return found

    def bypassing(self, keep: int, within: int) -> "BitGraph":
        """The graph of the distribution of fewer variables: those that only pass something on are left without edges.

        These are the variables outside ``keep`` without hidden causes and with one child, which has no hidden causes
        either. Only the subgraph over ``within``, which holds its own ancestors, is looked at. What is identifiable
        stays so, as such a variable has a part in the factor of its child alone.
        """
        graph = object.__new__(BitGraph)
        graph.__dict__.update(self.__dict__)
        graph.parents, graph.children = list(self.parents), list(self.children)
        for i in bits(within & ~keep):
            below = graph.children[i] & within
            child = below.bit_length() - 1
            if below and below == 1 << child and not (self.siblings[i] | self.siblings[child]) & within:
                graph.parents[child] = graph.parents[child] & ~(1 << i) | graph.parents[i]
                for parent in bits(graph.parents[i]):
                    graph.children[parent] = graph.children[parent] & ~(1 << i) | below
                graph.parents[i] = graph.children[i] = 0
        return graph

    def connected(self, xs: int, given: int, among: int, *, over: int = 0, under: int = 0) -> int:
        """All that paths open given ``given`` join to ``xs`` among the ancestors of ``xs``, ``among`` and ``given``.

        Members of ``given`` at which such paths end are included: without them, the ends of the search. The
        ancestors' augmented graph is walked, in which each district and its parents form a clique.

        Args:
            xs: where the paths begin.
            given: what is conditioned on.
            among: where they may end.
            over: variables without the edges into them.
            under: variables without the directed edges out of them.

        References:
            Richardson (2003), Markov properties for acyclic directed mixed graphs, theorem 1.
        """
        parents = [0 if over >> i & 1 else above & ~under for i, above in enumerate(self.parents)]
        within = todo = xs | among | given
        while todo:
            i = todo.bit_length() - 1
            above = parents[i] & ~within
            within |= above
            todo = (todo ^ (1 << i)) | above
        cliques = [1 << i | parents[i] for i in bits(within & over)]
        for district in self.districts(within & ~over):
            clique = district
            for i in bits(district):
                clique |= parents[i]
            cliques.append(clique)
        reached, before = xs, 0
        while reached != before:
            before = reached
            waiting = []
            for clique in cliques:
                if clique & reached & ~given:
                    reached |= clique
                else:
                    waiting.append(clique)
            cliques = waiting
        return reached

    def separated(self, xs: int, ys: int, given: int, *, over: int = 0, under: int = 0) -> bool:
        """Whether ``given`` m-separates ``xs`` from ``ys`` in the graph without some edges, as above."""
        return not self.connected(xs, given, ys, over=over, under=under) & ys
