"""The covariates that an effect is adjusted for, found or checked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from causal_pyro_models.arrays import Array
from causal_pyro_models.errors import DataError, NoValidSetError, QueryError, unknown_variable
from causal_pyro_models.graph import (
    GraphLike,
    as_graph,
    is_adjustment_set,
    optimal_adjustment_set,
    optimal_minimal_adjustment_set,
)
from causal_pyro_models.identification.estimand_values import Quantity, Summand
from causal_pyro_models.identification.expressions.expression import Probability, Symbol, Term, product, terms, total
from causal_pyro_models.identification.laws.columns import check_columns, levels
from causal_pyro_models.validation import Arms, checked_arms

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class AdjustmentProblem:
    """Checked data: a treatment with two arms, an outcome, covariates."""

    data: "pd.DataFrame"
    treatment: str
    arms: tuple[Any, Any]
    outcome: str
    event: Any  # None where the mean is compared
    covariates: tuple[str, ...]

    def quantity(self) -> Quantity:
        """The adjustment formula under treatment less that under control."""
        z = terms(self.covariates)
        symbol = None if self.event is not None else Symbol(self.outcome)
        y = Term(self.outcome, Symbol(self.outcome) if self.event is None else self.event)
        event = None if self.event is None else (self.outcome, self.event)
        summands = []
        for sign, arm in zip((-1.0, 1.0), self.arms, strict=True):
            factors = [Probability((y,), (Term(self.treatment, arm), *z)), *([Probability(z)] if z else [])]
            expression = total((Symbol(name) for name in self.covariates), product(factors))
            summands.append(Summand(sign, expression, symbol, event))
        return Quantity("ate", tuple(summands))

    def levels(self) -> dict[str, Any]:
        """The levels of the covariates."""
        return {name: levels(self.data, name)[0] for name in self.covariates}

    def response(self) -> Array:
        """The outcome as numbers, or whether the event happens."""
        column = self.data[self.outcome]
        return np.asarray(column if self.event is None else column == self.event, dtype=np.float64)


def adjustment_problem(
    data: "pd.DataFrame",
    treatment: Arms,
    outcome: str | Mapping[str, Any],
    graph: GraphLike | None,
    adjustment: Iterable[str] | None,
) -> AdjustmentProblem:
    """The problem that the arguments of the estimators describe, see :func:`g_formula`."""
    ((x, arms),) = checked_arms(treatment, most=1).items()
    if not isinstance(outcome, str) and not (isinstance(outcome, Mapping) and len(outcome) == 1):
        raise QueryError(f"the outcome must be a column or one event such as {{'Y': 1}}, got {outcome!r:.80}.")
    y, event = (outcome, None) if isinstance(outcome, str) else next(iter(outcome.items()))
    check_columns(data, [x, y])
    z = _covariates(data, x, y, graph, adjustment)
    check_columns(data, z)
    if event is None and data[y].dtype.kind not in "iufb":
        raise QueryError(f"the outcome {y!r} has values that are no numbers: name an event, {{{y!r}: ...}}.")
    if event is not None and not (data[y] == event).any():
        raise DataError(f"{y!r} never has the value {event!r:.80}.")
    return AdjustmentProblem(data, x, (arms[0], arms[1]), y, event, z)


def _covariates(
    data: "pd.DataFrame", x: str, y: str, graph: GraphLike | None, adjustment: Iterable[str] | None
) -> tuple[str, ...]:
    """The adjustment set that was given, once it is checked, or the best of the graph."""
    graph = None if graph is None else as_graph(graph, QueryError)
    if adjustment is not None:
        z = (adjustment,) if isinstance(adjustment, str) else tuple(adjustment)
        for name in z:
            if name not in data.columns:
                raise unknown_variable(name, data.columns, "column")
        verdict = is_adjustment_set(graph, x, y, z) if graph is not None else True
        if not verdict:
            raise NoValidSetError(f"{sorted(z)} is no valid adjustment set: {verdict.reason}")  # type: ignore[union-attr]
        return z
    if graph is None:
        raise QueryError("pass the covariates, adjustment=['Z'], or a graph to choose them by, graph=CausalGraph(...).")
    try:
        best = optimal_adjustment_set(graph, x, y)
    except NoValidSetError:
        best = frozenset()
    columns = frozenset(v for v in graph.variables if v in data.columns)
    if not best or not best <= columns:
        best = optimal_minimal_adjustment_set(graph, x, y, observed=columns)
    return tuple(v for v in graph.variables if v in best)
