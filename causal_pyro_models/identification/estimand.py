"""Estimands: what a query comes to, with its proof and its numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification.derivation import Derivation
from causal_pyro_models.identification.expression import Expression, Symbol
from causal_pyro_models.identification.query import Query


@dataclass(frozen=True, repr=False)
class Estimand:
    """A query as an expression in the distributions that are available; see :func:`identify`.

    Args:
        query: what was asked.
        graph: the causal graph.
        expression: what it equals in every model of the graph.
        prove: makes the derivation, when somebody asks for it.

    Example:
        >>> from causal_pyro_models.identification import identify
        >>> graph = CausalGraph(["X", "M", "Y"], [("X", "M"), ("M", "Y")], bidirected=[("X", "Y")])
        >>> print(identify(graph, "P(Y | do(X))"))
        sum_m P(m | x) sum_x' P(y | m, x') P(x')
    """

    query: Query
    graph: CausalGraph
    expression: Expression
    prove: Callable[[], Derivation] = field(compare=False)

    @cached_property
    def derivation(self) -> Derivation:
        """The proof: each line with the rule, and the separation that the rule needs."""
        return self.prove()

    @property
    def arbitrary(self) -> frozenset[Symbol]:
        """The free symbols of the expression that the query does not have: it is the same at all their values."""
        return self.expression.free - self.query.expression.free

    def text(self) -> str:
        """The estimand as text; :func:`parse` reads it back."""
        return self.expression.text()

    def latex(self) -> str:
        """The estimand as LaTeX, without the dollar signs."""
        return self.expression.latex()

    def _repr_latex_(self) -> str:
        return f"${self.query.expression.latex()} = {self.latex()}$"

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"Estimand({self.query} = {self.text()})"

    def evaluate(self, source: Any, values: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """The number, from an exact joint table, a model or data; see :func:`evaluate`."""
        from causal_pyro_models.identification.evaluation import evaluate

        return evaluate(self, source, values, **options)
