"""Standardisation: the g-formula over covariates that adjust for confounding."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from causal_pyro_models.estimate import Estimate
from causal_pyro_models.estimators.adjustment import adjustment_problem
from causal_pyro_models.estimators.g_computation import GComputation
from causal_pyro_models.estimators.learners import Classifier, LeastSquares, LogisticRegression, Regressor
from causal_pyro_models.estimators.uncertainty import (
    Bootstrap,
    Uncertainty,
    estimated,
)
from causal_pyro_models.graph import (
    CausalGraph,
)
from causal_pyro_models.validation import Arms

if TYPE_CHECKING:
    import pandas as pd


def g_formula(
    data: "pd.DataFrame",
    treatment: Arms,
    outcome: str | Mapping[str, Any],
    *,
    graph: CausalGraph | None = None,
    adjustment: Iterable[str] | None = None,
    regressor: Regressor | None = None,
    classifier: Classifier | None = None,
    uncertainty: Uncertainty | None = None,
    level: float = 0.95,
    seed: int | None = None,
) -> Estimate:
    """The average treatment effect by standardisation: the outcome regression, averaged over the covariates of all.

    Args:
        data: a row for each independent unit.
        treatment: column -> (control, treated); discrete or continuous.
        outcome: a column of numbers; or an event ``{"Y": 2}``, whose probability is compared.
        graph: over columns, from which the adjustment set is taken, or by which it is checked.
        adjustment: the covariates; None for the O-set of the graph or, where hidden variables rule it out, the
            minimal set of least variance.
        regressor: learns the outcome where it is no event and has more than two values (default linear).
        classifier: learns it elsewhere (default logistic).
        uncertainty: default ``Bootstrap()``.
        level: probability of the interval.
        seed: of the bootstrap.

    Raises:
        NoValidSetError: the graph has no valid set among the columns, or the one given is not valid.
        QueryError: neither a graph nor an adjustment set.
        InterventionError: a treatment that is not one column and a pair of values.
        DataError: missing values, or values that never occur.
        UnknownVariableError: a name that is no column.

    References:
        Robins (1986), A new approach to causal inference in mortality studies; Hernán and Robins (2020), Causal
        inference: what if, chapter 13; Henckel, Perković and Maathuis (2022), for the O-set.

    Example:
        >>> import numpy as np
        >>> import pandas as pd
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=2000)
        >>> x = (rng.normal(size=2000) < z).astype(int)
        >>> data = pd.DataFrame({"Z": z, "X": x, "Y": x + 2 * z + rng.normal(size=2000)})
        >>> graph = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
        >>> g_formula(data, {"X": (0, 1)}, "Y", graph=graph, seed=0)  # exactly 1
        ate = 1.018 ± 0.058 (95% interval 0.897 to 1.117)
    """
    problem = adjustment_problem(data, treatment, outcome, graph, adjustment)
    statistic = GComputation(
        data, problem.quantity(), regressor or LeastSquares(), classifier or LogisticRegression(), seed or 0
    )
    return estimated("ate", statistic, uncertainty or Bootstrap(), level, seed)
