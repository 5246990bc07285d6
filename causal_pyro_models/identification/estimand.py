"""Estimands: what a query comes to, with its proof and its numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification.expressions.expression import Expression, Symbol
from causal_pyro_models.identification.expressions.query import Query
from causal_pyro_models.identification.proofs.derivation import Derivation
from causal_pyro_models.validation import Arms

if TYPE_CHECKING:
    from causal_pyro_models.estimate import Estimate


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
        return self.expression.latex(self.graph.variables)

    def _repr_latex_(self) -> str:
        return f"${self.query.expression.latex(self.graph.variables)} = {self.latex()}$"

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"Estimand({self.query} = {self.text()})"

    def evaluate(
        self,
        source: object,
        values: Mapping[str, Any] | None = None,
        *,
        contrast: Arms | None = None,
        **options: object,
    ) -> "float | Estimate":
        """The number: the probability of the outcome where it has a value, and its mean where it has none.

        Args:
            source: what is known of the observed distribution. A :class:`JointTable` or a law of the zoo; a DataFrame
                with a row for each unit; or a Pyro model. For estimands that stand on experiments or other populations,
                a dict from ``(domain, names that were set)`` to a joint table of the experiment, such as
                ``{("", ()): observed, ("", ("Z",)): randomised}``.
            values: variable -> its value, for each variable of the query that has none there; the outcome may stay
                open.
            contrast: variable -> (control, treated): the value where treated less that under control.
            options: for data and models, see ``estimators.estimands``.

        Returns:
            A float where the distribution is known exactly, otherwise an :class:`Estimate` with its uncertainty.

        Raises:
            QueryError: a value that is missing, or an outcome without a mean.
            DataError: an event that is conditioned on never happens (no positivity).
            UnknownVariableError: a name that the query or the table does not have.

        Example:
            >>> from causal_pyro_models.identification import JointTable, identify
            >>> estimand = identify(CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")]), "P(Y | do(X))")
            >>> joint = JointTable(["Z", "X", "Y"], [[[0.3, 0.1], [0.05, 0.05]], [[0.1, 0.1], [0.1, 0.2]]])
            >>> round(estimand.evaluate(joint, {"X": 1, "Y": 1}), 4)
            0.5833
            >>> round(estimand.evaluate(joint, contrast={"X": (0, 1)}), 4)
            0.2083
        """
        from causal_pyro_models.identification.estimand_values import evaluate  # which needs NumPy

        return evaluate(self.query, self.expression, source, values, contrast, **options)
