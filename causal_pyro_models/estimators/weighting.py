"""Inverse probability weighting."""

import copy
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from causal_pyro_models.arrays import Array, Ints
from causal_pyro_models.data.design import design, labelled
from causal_pyro_models.errors import (
    DataError,
    QueryError,
    warn,
)
from causal_pyro_models.estimate import Estimate
from causal_pyro_models.estimators.adjustment import AdjustmentProblem, adjustment_problem
from causal_pyro_models.estimators.learners import Classifier, LogisticRegression
from causal_pyro_models.estimators.uncertainty import (
    Bootstrap,
    Statistic,
    Uncertainty,
    estimated,
)
from causal_pyro_models.graph import (
    CausalGraph,
)
from causal_pyro_models.identification.laws.columns import is_discrete, levels
from causal_pyro_models.validation import Arms

if TYPE_CHECKING:
    import pandas as pd


RARE = 0.01
"""A propensity below which a warning says that the weights are large."""


def ipw(
    data: "pd.DataFrame",
    treatment: Arms,
    outcome: str | Mapping[str, Any],
    *,
    graph: CausalGraph | None = None,
    adjustment: Iterable[str] | None = None,
    classifier: Classifier | None = None,
    uncertainty: Uncertainty | None = None,
    level: float = 0.95,
    seed: int | None = None,
) -> Estimate:
    """The average treatment effect by inverse probability weighting, the weights of each arm normalised to one (Hájek).

    Args:
        data, outcome, graph, adjustment, level, seed: see :func:`g_formula`.
        treatment: a discrete column -> (control, treated).
        classifier: learns the propensity P(treatment | covariates) (default logistic).
        uncertainty: default ``Bootstrap()``. ``DeltaMethod()`` takes the propensity as known, which errs on the wide
            side.

    Raises:
        DataError: a propensity of zero. Otherwise as :func:`g_formula`.

    References:
        Horvitz and Thompson (1952); Rosenbaum and Rubin (1983), The central role of the propensity score; Hernán and
        Robins (2020), Causal inference: what if, chapter 12.

    Example:
        >>> import pandas as pd
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=2000)
        >>> x = (rng.normal(size=2000) < z / 2).astype(int)
        >>> data = pd.DataFrame({"Z": z, "X": x, "Y": x + 2 * z + rng.normal(size=2000)})
        >>> ipw(data, {"X": (0, 1)}, "Y", adjustment=["Z"], seed=0).value.round(decimals=2)  # exactly 1
        tensor(1.0400, dtype=torch.float64)
    """
    problem = adjustment_problem(data, treatment, outcome, graph, adjustment)
    statistic = Weighted(problem, classifier or LogisticRegression())
    warn_rare(statistic)
    return estimated("ate", statistic, uncertainty or Bootstrap(), level, seed)


class Weighted(Statistic):
    """The Hájek estimator."""

    def __init__(self, problem: AdjustmentProblem, classifier: Classifier) -> None:
        self.problem, self.classifier, self.size = problem, classifier, len(problem.data)
        column = problem.data[problem.treatment]
        if not is_discrete(column):
            raise QueryError(
                f"weighting is for discrete treatments, {problem.treatment!r} is continuous: use g_formula."
            )
        values, self.codes = levels(problem.data, problem.treatment)
        for arm in problem.arms:
            if arm not in values:
                raise DataError(
                    f"{problem.treatment!r} never has the value {arm!r:.80}, its values are {values.tolist()}."
                )
        self.places = [values.tolist().index(arm) for arm in problem.arms]
        columns = [(name, problem.data[name].to_numpy()) for name in problem.covariates]
        self.features = design(columns, labelled(problem.levels()), self.size)
        self.response = problem.response()

    def propensities(self, learn: Ints, at: Ints) -> list[Array]:
        """The probability of each arm for some rows, learned on others.

        Raises:
            DataError: an arm that nobody is in, or a propensity of zero.
        """
        learned = copy.deepcopy(self.classifier)
        learned.fit(self.features[learn], self.codes[learn])
        chances, seen = np.asarray(learned.predict_proba(self.features[at])), np.unique(self.codes[learn]).tolist()
        found = []
        for place, arm in zip(self.places, self.problem.arms, strict=True):
            chance = chances[:, seen.index(place)] if place in seen else np.zeros(1)
            if not (chance > 1e-12).all():
                raise DataError(
                    f"some units have no chance of {self.problem.treatment}={arm!r} given {self.problem.covariates}: "
                    f"their effect cannot be told (no positivity). Leave them out, or see ate_bounds."
                )
            found.append(chance)
        return found

    def _means(self, rows: Ints) -> list[tuple[float, Array]]:
        """Of each arm the mean, and each row's part in it less the mean."""
        parts = []
        for place, chance in zip(self.places, self.propensities(rows, rows), strict=True):
            weight = (self.codes[rows] == place) / chance
            weight = weight / weight.mean()
            mean = float((weight * self.response[rows]).mean())
            parts.append((mean, weight * (self.response[rows] - mean)))
        return parts

    def value(self, rows: Ints) -> float:
        """The number on some of the rows."""
        (control, _), (treated, _) = self._means(rows)
        return treated - control

    def influence(self) -> Array:
        """The influence function, the propensity taken as known."""
        (_, control), (_, treated) = self._means(np.arange(self.size))
        return treated - control


def warn_rare(statistic: Weighted) -> None:
    rows = np.arange(statistic.size)
    least = min(float(chance.min()) for chance in statistic.propensities(rows, rows))
    if least < RARE:
        warn(
            f"the lowest propensity is {least:.2g}: a few units have most of the weight, and the interval may be too "
            f"narrow. Leave out units that are hardly ever in one of the arms.",
        )
