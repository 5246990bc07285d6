"""Effects from data by covariate adjustment: standardisation, inverse probability weighting, and both at once."""

import copy
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from causal_pyro_models.errors import (
    CausalWarning,
    DataError,
    InterventionError,
    NoValidSetError,
    QueryError,
    checked_count,
    unknown_variable,
)
from causal_pyro_models.graph import (
    CausalGraph,
    is_adjustment_set,
    optimal_adjustment_set,
    optimal_minimal_adjustment_set,
)
from causal_pyro_models.identification.evaluation import Question
from causal_pyro_models.identification.expression import Probability, Symbol, Term, product, terms, total
from causal_pyro_models.identification.joint import is_discrete, levels
from causal_pyro_models.inference.estimate import Estimate
from causal_pyro_models.inference.g_computation import GComputation, checked_columns, design
from causal_pyro_models.inference.learners import Classifier, LeastSquares, LogisticRegression, Regressor
from causal_pyro_models.inference.uncertainty import (
    Array,
    Bootstrap,
    DeltaMethod,
    Statistic,
    Uncertainty,
    estimated,
)

if TYPE_CHECKING:
    import pandas as pd

RARE = 0.01
"""A propensity below which a warning says that the weights are large."""


def g_formula(
    data: "pd.DataFrame",
    treatment: Mapping[str, tuple[Any, Any]],
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
        >>> import pandas as pd
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=2000)
        >>> x = (rng.normal(size=2000) < z).astype(int)
        >>> data = pd.DataFrame({"Z": z, "X": x, "Y": x + 2 * z + rng.normal(size=2000)})
        >>> graph = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
        >>> g_formula(data, {"X": (0, 1)}, "Y", graph=graph, seed=0)  # exactly 1
        ate = 1.018 ± 0.058 (95% interval 0.897 to 1.117)
    """
    problem = _problem(data, treatment, outcome, graph, adjustment)
    statistic = GComputation(
        data, problem.questions(), regressor or LeastSquares(), classifier or LogisticRegression(), seed or 0
    )
    return estimated("ate", statistic, uncertainty or Bootstrap(), level, seed)


def ipw(
    data: "pd.DataFrame",
    treatment: Mapping[str, tuple[Any, Any]],
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
    problem = _problem(data, treatment, outcome, graph, adjustment)
    statistic = _Weighted(problem, classifier or LogisticRegression())
    _warn_rare(statistic)
    return estimated("ate", statistic, uncertainty or Bootstrap(), level, seed)


def aipw(
    data: "pd.DataFrame",
    treatment: Mapping[str, tuple[Any, Any]],
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
    problem = _problem(data, treatment, outcome, graph, adjustment)
    learners = regressor or LeastSquares(), classifier or LogisticRegression()
    statistic = _Augmented(problem, *learners, checked_count(folds, "folds"), seed or 0)
    _warn_rare(statistic)
    return estimated("ate", statistic, uncertainty or DeltaMethod(), level, seed)


# The data -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Problem:
    """Checked data: a treatment with two arms, an outcome, covariates."""

    data: "pd.DataFrame"
    treatment: str
    arms: tuple[Any, Any]
    outcome: str
    event: Any  # None where the mean is compared
    covariates: tuple[str, ...]

    def questions(self) -> list[Question]:
        """The adjustment formula under control and under treatment."""
        z = terms(self.covariates)
        symbol = None if self.event is not None else Symbol(self.outcome)
        y = Term(self.outcome, Symbol(self.outcome) if self.event is None else self.event)
        event = None if self.event is None else (self.outcome, self.event)
        found = []
        for sign, arm in zip((-1.0, 1.0), self.arms, strict=True):
            factors = [Probability((y,), (Term(self.treatment, arm), *z)), *([Probability(z)] if z else [])]
            expression = total((Symbol(name) for name in self.covariates), product(factors))
            found.append(Question(sign, expression, symbol, event))
        return found

    def levels(self) -> dict[str, Any]:
        """The levels of the covariates."""
        return {name: levels(self.data, name)[0] for name in self.covariates}

    def response(self) -> Array:
        """The outcome as numbers, or whether the event happens."""
        column = self.data[self.outcome]
        return np.asarray(column if self.event is None else column == self.event, dtype=np.float64)


def _problem(
    data: Any, treatment: Any, outcome: Any, graph: CausalGraph | None, adjustment: Iterable[str] | None
) -> _Problem:
    if not isinstance(treatment, Mapping) or len(treatment) != 1:
        raise InterventionError(
            f"treatment must be a dict from one column to (control, treated), such as {{'X': (0, 1)}}, got "
            f"{treatment!r:.80}."
        )
    ((x, arms),) = treatment.items()
    if not isinstance(arms, tuple | list) or len(arms) != 2:
        raise InterventionError(f"treatment {x!r} must be a pair (control, treated), got {arms!r:.80}.")
    if not isinstance(outcome, str) and not (isinstance(outcome, Mapping) and len(outcome) == 1):
        raise QueryError(f"the outcome must be a column or one event such as {{'Y': 1}}, got {outcome!r:.80}.")
    y, event = (outcome, None) if isinstance(outcome, str) else next(iter(outcome.items()))
    checked_columns(data, [x, y])
    z = _covariates(data, x, y, graph, adjustment)
    checked_columns(data, z)
    if event is None and data[y].dtype.kind not in "iufb":
        raise QueryError(f"the outcome {y!r} has values that are no numbers: name an event, {{{y!r}: ...}}.")
    if event is not None and not (data[y] == event).any():
        raise DataError(f"{y!r} never has the value {event!r:.80}.")
    return _Problem(data, x, (arms[0], arms[1]), y, event, z)


def _covariates(
    data: Any, x: str, y: str, graph: CausalGraph | None, adjustment: Iterable[str] | None
) -> tuple[str, ...]:
    """The adjustment set that was given, once it is checked, or the best of the graph."""
    if graph is not None and not isinstance(graph, CausalGraph):
        raise QueryError(f"graph must be a CausalGraph, got {type(graph).__name__}.")
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


# The estimators -------------------------------------------------------------------------------------------------------


class _Weighted(Statistic):
    """The Hájek estimator."""

    def __init__(self, problem: _Problem, classifier: Classifier) -> None:
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
        self.features = design(columns, problem.levels()) if columns else np.zeros((self.size, 0))
        self.response = problem.response()

    def propensities(self, learn: Any, at: Any) -> list[Array]:
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

    def _means(self, rows: Any) -> list[tuple[float, Array]]:
        """Of each arm the mean, and each row's part in it less the mean."""
        parts = []
        for place, chance in zip(self.places, self.propensities(rows, rows), strict=True):
            weight = (self.codes[rows] == place) / chance
            weight = weight / weight.mean()
            mean = float((weight * self.response[rows]).mean())
            parts.append((mean, weight * (self.response[rows] - mean)))
        return parts

    def value(self, rows: Any) -> float:
        """The number on some of the rows."""
        (control, _), (treated, _) = self._means(rows)
        return treated - control

    def influence(self) -> Array:
        """The influence function, the propensity taken as known."""
        (_, control), (_, treated) = self._means(np.arange(self.size))
        return treated - control


class _Augmented(_Weighted):
    """The cross-fitted doubly robust estimator."""

    def __init__(self, problem: _Problem, regressor: Regressor, classifier: Classifier, folds: int, seed: int) -> None:
        super().__init__(problem, classifier)
        self.regressor, self.folds, self.seed = regressor, folds, seed
        self.binary = bool(np.isin(self.response, (0.0, 1.0)).all())

    def _scores(self, rows: Any) -> Array:
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

    def _outcome(self, learn: Any, at: Any) -> Array:
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

    def value(self, rows: Any) -> float:
        """The number on some of the rows."""
        return float(self._scores(rows).mean())

    def influence(self) -> Array:
        """The scores less their mean."""
        scores = self._scores(np.arange(self.size))
        return np.asarray(scores - scores.mean())


def _warn_rare(statistic: _Weighted) -> None:
    rows = np.arange(statistic.size)
    least = min(float(chance.min()) for chance in statistic.propensities(rows, rows))
    if least < RARE:
        warnings.warn(
            f"the lowest propensity is {least:.2g}: a few units have most of the weight, and the interval may be too "
            f"narrow. Leave out units that are hardly ever in one of the arms.",
            CausalWarning,
            stacklevel=3,
        )
