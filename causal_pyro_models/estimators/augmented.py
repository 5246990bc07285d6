"""Augmented inverse probability weighting, doubly robust."""

import copy
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from causal_pyro_models.arrays import Array, Ints
from causal_pyro_models.estimate import Estimate
from causal_pyro_models.estimators.adjustment import AdjustmentProblem, adjustment_problem
from causal_pyro_models.estimators.learners import Classifier, LeastSquares, LogisticRegression, Regressor
from causal_pyro_models.estimators.uncertainty import (
    DeltaMethod,
    Uncertainty,
    estimated,
)
from causal_pyro_models.estimators.weighting import Weighted, warn_rare
from causal_pyro_models.graph import (
    CausalGraph,
)
from causal_pyro_models.validation import Arms, checked_count

if TYPE_CHECKING:
    import pandas as pd


def aipw(
    data: "pd.DataFrame",
    treatment: Arms,
    outcome: str | Mapping[str, Any],
    *,
    graph: CausalGraph | None = None,
    adjustment: Iterable[str] | None = None,
    regressor: Regressor | None = None,
    classifier: Classifier | None = None,
    folds: int = 5,
    uncertainty: Uncertainty | None = None,
    level: float = 0.95,
    seed: int | None = None,
) -> Estimate:
    """The average treatment effect by augmented inverse probability weighting, cross-fitted.

    Doubly robust: consistent where the outcome regression or the propensity is learned right; with both it has the
    least asymptotic variance of all estimators with this adjustment set.

    Args:
        data, outcome, graph, adjustment, level, seed: see :func:`g_formula`.
        treatment: a discrete column -> (control, treated).
        regressor, classifier: learn the outcome in each arm; the classifier learns the propensity too.
        folds: each row's outcome and propensity are learned on the other folds; 1 learns on all rows.
        uncertainty: default ``DeltaMethod()``.

    References:
        Robins, Rotnitzky and Zhao (1994), Estimation of regression coefficients when some regressors are not always
        observed; Chernozhukov et al. (2018), Double/debiased machine learning for treatment and structural parameters.

    Example:
        >>> import pandas as pd
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=2000)
        >>> x = (rng.normal(size=2000) < z / 2).astype(int)
        >>> data = pd.DataFrame({"Z": z, "X": x, "Y": x + 2 * z + rng.normal(size=2000)})
        >>> aipw(data, {"X": (0, 1)}, "Y", adjustment=["Z"], seed=0)  # exactly 1
        ate = 1.045 ± 0.050 (95% interval 0.947 to 1.143)
    """
    problem = adjustment_problem(data, treatment, outcome, graph, adjustment)
    learners = regressor or LeastSquares(), classifier or LogisticRegression()
    statistic = Augmented(problem, *learners, checked_count(folds, "folds"), seed or 0)
    warn_rare(statistic)
    return estimated("ate", statistic, uncertainty or DeltaMethod(), level, seed)


class Augmented(Weighted):
    """The cross-fitted doubly robust estimator."""

    def __init__(
        self, problem: AdjustmentProblem, regressor: Regressor, classifier: Classifier, folds: int, seed: int
    ) -> None:
        super().__init__(problem, classifier)
        self.regressor, self.folds, self.seed = regressor, folds, seed
        self.binary = bool(np.isin(self.response, (0.0, 1.0)).all())

    def _scores(self, rows: Ints) -> Array:
        """Of each row the score whose mean is the effect."""
        fold = np.random.default_rng(self.seed).permutation(len(rows)) % self.folds
        scores = np.zeros(len(rows))
        for k in range(self.folds):
            here, others = rows[fold == k], rows[fold != k] if self.folds > 1 else rows
            for sign, place, chance in zip((-1.0, 1.0), self.places, self.propensities(others, here), strict=True):
                mean = self._outcome(others[self.codes[others] == place], here)
                inside = self.codes[here] == place
                scores[fold == k] += sign * (mean + inside / chance * (self.response[here] - mean))
        return scores

    def _outcome(self, learn: Ints, at: Ints) -> Array:
        """The expected outcome of some rows, learned on others."""
        y = self.response[learn]
        if len(np.unique(y)) < 2:
            return np.full(len(at), y.mean())
        if self.binary:
            classifier = copy.deepcopy(self.classifier)
            classifier.fit(self.features[learn], y.astype(np.int64))
            return np.asarray(classifier.predict_proba(self.features[at]))[:, 1]
        regressor = copy.deepcopy(self.regressor)
        regressor.fit(self.features[learn], y)
        return np.asarray(regressor.predict(self.features[at]), dtype=np.float64)

    def value(self, rows: Ints) -> float:
        """The number on some of the rows."""
        return float(self._scores(rows).mean())

    def influence(self) -> Array:
        """The scores less their mean."""
        scores = self._scores(np.arange(self.size))
        return np.asarray(scores - scores.mean())
