"""Estimands: what a query comes to, with its proof and its numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification.expressions.expression import Expression, Fraction, Product, Sum, Symbol
from causal_pyro_models.identification.expressions.notation import Latex, Text
from causal_pyro_models.identification.expressions.query import Contrast, Query
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
        selection: the variable that is 1 for the selected units, of what :func:`recover` found.

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
    selection: str | None = None

    @cached_property
    def derivation(self) -> Derivation:
        """The proof: each line with the rule, and the separation that the rule needs."""
        return self.prove()

    @property
    def arbitrary(self) -> frozenset[Symbol]:
        """The free symbols of the expression that the query does not have: it is the same at all their values."""
        return self.expression.free - self.query.expression.free

    def text(self) -> str:
        """The estimand as text; :func:`parse` reads that of a probability back."""
        return self._written(self.expression.notation())

    def latex(self) -> str:
        """The estimand as LaTeX, without the dollar signs."""
        return self._written(Latex.among(self.expression.names.union(self.graph.variables)))

    def _written(self, notation: Text) -> str:
        """The expression, or the mean of the outcome in it."""
        body = self.expression.render(notation)
        if not self.query.mean:
            return body
        value = self.query.outcome[0].value
        assert isinstance(value, Symbol)
        symbol = notation.symbol(*value)
        body = notation.group(body) if isinstance(self.expression, Fraction) else body
        return notation.sum([symbol], notation.product([symbol, body]))

    def _repr_latex_(self) -> str:
        return f"${self.query.latex(self.graph.variables)} = {self.latex()}$"

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
                a dict from ``(domain, names that were set)`` to a joint table of the experiment or a DataFrame, such as
                ``{("", ()): observed, ("", ("Z",)): randomised}``; each needs only what the estimand reads there.
            values: variable -> its value, for each variable of the query that has none there; the outcome may stay
                open.
            contrast: variable -> (control, treated): the value where treated less that under control.
            options: for data and models, see ``estimators.estimands``.

        Returns:
            A float where the distribution is known exactly, otherwise an :class:`Estimate` with its uncertainty: of
            several DataFrames that of all of them, as independent samples.

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
        from causal_pyro_models.identification.estimand_values import (  # which need NumPy
            evaluate,
            of_selected,
            quantity_of,
        )

        expression = of_selected(self.expression, self.selection, source) if self.selection else self.expression
        return evaluate(quantity_of(self.query, expression, values, contrast), source, **options)


@dataclass(frozen=True, repr=False)
class ContrastEstimand:
    """The difference of two queries as that of two estimands; see :func:`identify`.

    Args:
        active, reference: the estimands.

    Example:
        >>> from causal_pyro_models.identification import JointTable, identify
        >>> effect = identify("Z -> {X Y}; X -> Y", "E[Y | do(X=1)] - E[Y | do(X=0)]")
        >>> joint = JointTable(["Z", "X", "Y"], [[[0.3, 0.1], [0.05, 0.05]], [[0.1, 0.1], [0.1, 0.2]]])
        >>> round(effect.evaluate(joint), 4)
        0.2083
    """

    active: Estimand
    reference: Estimand

    @property
    def query(self) -> Contrast:
        """What was asked."""
        return Contrast(self.active.query, self.reference.query)

    def text(self) -> str:
        """The difference as text."""
        return " - ".join(_in_parentheses(side, side.text(), Text()) for side in (self.active, self.reference))

    def latex(self) -> str:
        """The difference as LaTeX, without the dollar signs."""
        return " - ".join(_in_parentheses(side, side.latex(), Latex()) for side in (self.active, self.reference))

    def _repr_latex_(self) -> str:
        variables = self.active.graph.variables
        return f"${' - '.join(query.latex(variables) for query in self.query)} = {self.latex()}$"

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"ContrastEstimand({self.query.text()} = {self.text()})"

    def evaluate(
        self, source: object, values: Mapping[str, Any] | None = None, **options: object
    ) -> "float | Estimate":
        """The number: the difference of two probabilities, or of two means where the outcome has no value.

        Both sides are computed from the same rows, so that the interval is that of the difference.

        Args:
            source: see :meth:`Estimand.evaluate`.
            values: variable -> its value, wherever a query has none for it.
            options: for data and models, see ``estimators.estimands``.

        Raises:
            QueryError, DataError, UnknownVariableError: see :meth:`Estimand.evaluate`.
        """
        from causal_pyro_models.identification.estimand_values import difference_of, evaluate

        sides = [(side.query, side.expression) for side in (self.active, self.reference)]
        return evaluate(difference_of(sides, values), source, **options)


def _in_parentheses(estimand: Estimand, written: str, notation: Text) -> str:
    """An estimand as one side of a difference: a sum reaches to the end."""
    open_ended = estimand.query.mean or isinstance(estimand.expression, Sum | Product)
    return notation.group(written) if open_ended else written
