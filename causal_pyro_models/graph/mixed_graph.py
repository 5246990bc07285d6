"""What algorithms ask of a graph with directed and bidirected edges."""

from collections.abc import Collection
from typing import Protocol


class MixedGraph(Protocol):
    """An acyclic graph with directed and bidirected edges, such as a ``CausalGraph``."""

    @property
    def variables(self) -> tuple[str, ...]:
        """All variables."""

    @property
    def topological_order(self) -> tuple[str, ...]:
        """All variables, causes before effects."""

    @property
    def bidirected(self) -> Collection[tuple[str, str]]:
        """The pairs with a hidden common cause."""

    def parents(self, v: str) -> Collection[str]:
        """The direct causes."""

    def children(self, v: str) -> Collection[str]:
        """The direct effects."""

    def siblings(self, v: str) -> Collection[str]:
        """The variables with which it has a hidden cause in common."""

    def ancestors(self, vs: Collection[str]) -> Collection[str]:
        """The variables and all their causes."""
