"""Adjustment by regression, by weighting and by both: equal where they must be, unbiased, doubly robust, honest."""

import warnings

import numpy as np
import pandas as pd
import pytest

from causal_pyro_models.errors import (
    CausalWarning,
    DataError,
    InterventionError,
    NoValidSetError,
    QueryError,
    UnknownVariableError,
)
from causal_pyro_models.estimators.augmented import aipw
from causal_pyro_models.estimators.learners import LeastSquares
from causal_pyro_models.estimators.standardisation import g_formula
from causal_pyro_models.estimators.uncertainty import Bootstrap, DeltaMethod
from causal_pyro_models.estimators.weighting import ipw
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import identify

GRAPH = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
ARMS = {"X": (0, 1)}
FEW = Bootstrap(20)


def linear(n, seed, effect=1.0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    x = (rng.random(n) < 1 / (1 + np.exp(-z / 2))).astype(int)
    return pd.DataFrame({"Z": z, "X": x, "Y": effect * x + 2.0 * z + rng.normal(size=n)})


def discrete(n, seed):
    rng = np.random.default_rng(seed)
    z = rng.integers(0, 3, n)
    x = (rng.random(n) < np.array([0.2, 0.5, 0.7])[z]).astype(int)
    y = (rng.random(n) < 0.1 + 0.2 * z + 0.3 * x - 0.1 * x * z).astype(int)
    return pd.DataFrame({"Z": np.array(["a", "b", "c"])[z], "X": x, "Y": y})


def test_saturated_weighting_is_the_adjustment_formula():
    """With a free propensity for each stratum the three estimators are one number (Hernán and Robins 2020, 2.4)."""
    data = discrete(3000, 0)
    formula = identify(GRAPH, "P(Y | do(X))").evaluate(data, contrast=ARMS)
    for estimate in (
        ipw(data, ARMS, "Y", graph=GRAPH, uncertainty=DeltaMethod()),
        aipw(data, ARMS, "Y", graph=GRAPH, folds=1),
    ):
        assert float(estimate.value) == pytest.approx(float(formula.value), abs=1e-4)
    doubly = aipw(data, ARMS, "Y", graph=GRAPH, folds=1)
    assert float(doubly.standard_error) == pytest.approx(float(formula.standard_error), rel=0.01)


def test_intervals_cover_the_truth():
    """95 percent intervals: of 100 by aipw 13 miss with probability 0.002, of 25 by the others 6 with 0.001."""
    missed = {"aipw": 0, "ipw": 0, "g": 0}
    for seed in range(100):
        data = linear(400, seed)
        estimates = {"aipw": aipw(data, ARMS, "Y", adjustment="Z", seed=seed)}
        if seed < 25:
            estimates["ipw"] = ipw(data, ARMS, "Y", adjustment="Z", uncertainty=Bootstrap(60), seed=seed)
            estimates["g"] = g_formula(data, ARMS, "Y", adjustment="Z", uncertainty=Bootstrap(60), seed=seed)
        for name, estimate in estimates.items():
            low, high = map(float, estimate.interval)
            missed[name] += not low <= 1.0 <= high
    assert missed["aipw"] < 13 and missed["ipw"] < 6 and missed["g"] < 6


class Mean:
    """A regression that learns nothing from features."""

    def fit(self, features, target):
        self.mean = np.mean(target)
        return self

    def predict(self, features):
        return np.full(len(features), self.mean)


class Shares:
    """A propensity that learns nothing from features."""

    def fit(self, features, target):
        self.shares = np.bincount(target) / len(target)
        return self

    def predict_proba(self, features):
        return np.tile(self.shares, (len(features), 1))


def test_one_right_model_of_two_is_enough():
    """20,000 rows, 5 standard errors: each errs with probability 6e-7; with both wrong the bias is over 20 of them."""
    data = linear(20_000, 0)
    for options in ({"regressor": Mean()}, {"classifier": Shares()}):
        found = aipw(data, ARMS, "Y", adjustment="Z", **options)
        assert abs(float(found.value) - 1.0) < 5 * float(found.standard_error) < 0.2
    wrong = aipw(data, ARMS, "Y", adjustment="Z", regressor=Mean(), classifier=Shares())
    assert float(wrong.value) - 1.0 > 20 * float(wrong.standard_error)


def test_the_delta_method_of_aipw_is_its_bootstrap():
    """A standard error of 300 replicates is within 20 percent with probability over 0.9999."""
    data = linear(500, 3)
    delta = aipw(data, ARMS, "Y", adjustment="Z", folds=1)
    resampled = aipw(data, ARMS, "Y", adjustment="Z", folds=1, uncertainty=Bootstrap(300), seed=0)
    assert float(resampled.standard_error) == pytest.approx(float(delta.standard_error), rel=0.2)
    known = ipw(data, ARMS, "Y", adjustment="Z", uncertainty=DeltaMethod())
    learned = ipw(data, ARMS, "Y", adjustment="Z", uncertainty=Bootstrap(300), seed=0)
    assert learned.standard_error < known.standard_error


def rich(n, seed):
    """I drives the treatment alone and R the outcome alone."""
    rng = np.random.default_rng(seed)
    i, z, r = rng.normal(size=(3, n))
    x = (rng.random(n) < 1 / (1 + np.exp(-z - 1.5 * i))).astype(int)
    return pd.DataFrame({"I": i, "Z": z, "R": r, "X": x, "Y": x + z + 3.0 * r + rng.normal(size=n)})


RICH = CausalGraph.from_edges([("I", "X"), ("Z", "X"), ("Z", "Y"), ("R", "Y"), ("X", "Y")])


def test_the_default_is_the_optimal_set_and_beats_the_others():
    data = rich(2000, 0)
    default = aipw(data, ARMS, "Y", graph=RICH, seed=0)
    assert default.value == aipw(data, ARMS, "Y", adjustment=["Z", "R"], seed=0).value
    for other in (["Z"], ["Z", "I"], ["Z", "I", "R"]):
        assert default.standard_error < aipw(data, ARMS, "Y", adjustment=other, graph=RICH).standard_error
    without = aipw(data.drop(columns="R"), ARMS, "Y", graph=RICH, seed=0)
    assert without.value == aipw(data, ARMS, "Y", adjustment=["Z"], seed=0).value


def test_events_names_and_several_levels():
    data = discrete(3000, 1)
    names = np.array(["none", "some", "much"])
    data["X"] = names[data["X"] + (np.arange(3000) % 5 == 0)]
    data["Y"] = np.array(["well", "ill"])[data["Y"]]
    for estimator in (g_formula, ipw, aipw):
        arms = {"X": ("none", "some")}
        found, other = (
            estimator(data, arms, {"Y": event}, adjustment=["Z"], uncertainty=Bootstrap(3), seed=0)
            for event in ("ill", "well")
        )
        assert float(found.value) == pytest.approx(-float(other.value), abs=1e-6)
        assert 0.05 < float(found.value) < 0.4


def test_no_covariates_is_the_difference_of_means():
    data = linear(300, 0)
    means = data.groupby("X")["Y"].mean()
    for estimator in (g_formula, ipw, aipw):
        options = {"folds": 1} if estimator is aipw else {"uncertainty": FEW}
        found = estimator(data, ARMS, "Y", adjustment=[], **options)
        assert float(found.value) == pytest.approx(means[1] - means[0], abs=1e-6)


def test_a_continuous_treatment_takes_regressions_only():
    data = linear(300, 0).assign(X=np.random.default_rng(0).normal(size=300))
    assert g_formula(data, {"X": (0.0, 1.0)}, "Y", adjustment="Z", regressor=LeastSquares(), uncertainty=FEW, seed=0)
    for estimator in (ipw, aipw):
        with pytest.raises(QueryError, match=r"'X' is continuous.*g_formula"):
            estimator(data, {"X": (0.0, 1.0)}, "Y", adjustment="Z")


def test_rare_treatments_warn():
    rng = np.random.default_rng(0)
    z = rng.normal(size=2000)
    data = pd.DataFrame({"Z": z, "X": (rng.logistic(size=2000) < 2.5 * z).astype(int), "Y": z})
    with pytest.warns(CausalWarning, match="lowest propensity"):
        ipw(data, ARMS, "Y", adjustment="Z", uncertainty=DeltaMethod())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        aipw(linear(500, 0), ARMS, "Y", adjustment="Z")


DATA = linear(60, 0)
BOW = CausalGraph(["X", "Y"], [("X", "Y")], [("X", "Y")])


@pytest.mark.parametrize("estimator", [g_formula, ipw, aipw], ids=lambda estimator: estimator.__name__)
@pytest.mark.parametrize(
    ("data", "treatment", "outcome", "options", "error", "says"),
    [
        (DATA, {"X": 1}, "Y", {"adjustment": "Z"}, InterventionError, "pair"),
        (DATA, "X", "Y", {"adjustment": "Z"}, InterventionError, "dict"),
        (DATA, {"X": (0, 1), "Z": (0, 1)}, "Y", {"adjustment": []}, InterventionError, "one name"),
        (DATA, {"Q": (0, 1)}, "Y", {"adjustment": "Z"}, UnknownVariableError, "'Q'"),
        (DATA, ARMS, "Q", {"adjustment": "Z"}, UnknownVariableError, "'Q'"),
        (DATA, ARMS, "Y", {"adjustment": ["Q"]}, UnknownVariableError, "'Q'"),
        (DATA, ARMS, ["Y"], {"adjustment": "Z"}, QueryError, "outcome must be"),
        (DATA, ARMS, {"Y": 99.0}, {"adjustment": "Z"}, DataError, "99.0"),
        (DATA, ARMS, "Y", {}, QueryError, "adjustment="),
        (DATA, ARMS, "Y", {"graph": 3}, QueryError, "CausalGraph"),
        (DATA, ARMS, "Y", {"graph": BOW}, NoValidSetError, "X <-> Y stays open"),
        (DATA, ARMS, "Y", {"graph": GRAPH, "adjustment": []}, NoValidSetError, "X <- Z -> Y is open"),
        (DATA.assign(Z=[None] + [1.0] * 59), ARMS, "Y", {"adjustment": "Z"}, DataError, "'Z' has missing"),
        (DATA.assign(Y="a"), ARMS, "Y", {"adjustment": "Z"}, QueryError, "no numbers"),
        (DATA.assign(Y=float("inf")), ARMS, "Y", {"adjustment": "Z"}, DataError, "infinite"),
        (DATA[:1], ARMS, "Y", {"adjustment": "Z"}, DataError, "1 rows"),
        (dict(DATA), ARMS, "Y", {"adjustment": "Z"}, DataError, "DataFrame"),
        (DATA, ARMS, "Y", {"adjustment": "Z", "level": 95}, QueryError, "level"),
    ],
)
def test_mistakes_are_named(estimator, data, treatment, outcome, options, error, says):
    with pytest.raises(error, match=says):
        estimator(data, treatment, outcome, **options)


def test_arms_that_nobody_is_in():
    for estimator in (ipw, aipw):
        with pytest.raises(DataError, match="'X' never has the value 2"):
            estimator(DATA, {"X": (0, 2)}, "Y", adjustment="Z")
    with pytest.raises(QueryError, match="folds"):
        aipw(DATA, ARMS, "Y", adjustment="Z", folds=0)
