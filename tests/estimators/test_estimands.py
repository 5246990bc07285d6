"""Estimands on data and models: closed forms, the exact truth, and intervals that hold what they say."""

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch

from causal_pyro_models import CausalFlow, ate, fit, infer_variables
from causal_pyro_models.errors import DataError, ModelError, QueryError, UnknownVariableError
from causal_pyro_models.estimators.g_computation import GComputation
from causal_pyro_models.estimators.learners import Classifier, LeastSquares, LogisticRegression, Regressor
from causal_pyro_models.estimators.uncertainty import Bootstrap, DeltaMethod
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import (
    JointTable,
    Symbol,
    identify,
    natural_direct_effect,
    natural_indirect_effect,
    parse,
    recover,
)
from causal_pyro_models.identification.estimand_values import Quantity, Summand
from causal_pyro_models.inference.enumeration import joint_table
from causal_pyro_models.scm.zoo.discrete_scm import DiscreteSCM

BACK_DOOR = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
FRONT_DOOR = CausalGraph(["X", "M", "Y"], [("X", "M"), ("M", "Y")], [("X", "Y")])
NAPKIN = CausalGraph(["W", "R", "X", "Y"], [("W", "R"), ("R", "X"), ("X", "Y")], [("W", "X"), ("W", "Y")])
RANDOMISED = CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("X", "Y")], [("Z", "X"), ("Z", "Y")])
EFFECT = identify(BACK_DOOR, "P(Y | do(X))")
SMOKING = identify(FRONT_DOOR, "P(Y | do(X))")

TAR = DiscreteSCM(
    {
        "U": ((), [0.4, 0.6]),
        "X": (("U",), [[0.7, 0.3], [0.2, 0.8]]),
        "M": (("X",), [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]),
        "Y": (("M", "U"), [[[0.9, 0.1], [0.7, 0.3]], [[0.6, 0.4], [0.4, 0.6]], [[0.3, 0.7], [0.1, 0.9]]]),
    },
    latent=["U"],
)
TRUTH = TAR.probability({"Y": 1}, do={"X": 1})


def linear_front_door():
    u = pyro.sample("U", dist.Normal(0.0, 1.0))
    x = pyro.sample("X", dist.Normal(u, 1.0))
    m = pyro.sample("M", dist.Normal(0.8 * x, 1.0))
    pyro.sample("Y", dist.Normal(0.5 * m + u, 1.0))


def test_a_finite_model_is_exact_by_its_densities():
    """Single-precision densities: to 1e-6."""
    found = SMOKING.evaluate(TAR, {"X": 1, "Y": 1})
    assert isinstance(found, float) and found == pytest.approx(TRUTH, abs=1e-6)
    contrast = SMOKING.evaluate(TAR, contrast={"X": (0, 1)})
    assert contrast == pytest.approx(TRUTH - TAR.probability({"Y": 1}, do={"X": 0}), abs=1e-6)


def test_a_model_sampled_gives_an_estimate_near_the_truth():
    """Four standard errors: errs with probability 6e-5 each."""
    found = SMOKING.evaluate(TAR, {"X": 1, "Y": 1}, num_samples=20_000, seed=0)
    assert abs(found.value - TRUTH) < 4 * found.standard_error < 0.05
    linear, again = (
        SMOKING.evaluate(linear_front_door, contrast={"X": (0.0, 1.0)}, num_samples=4000, seed=0) for _ in range(2)
    )
    assert abs(linear.value - 0.4) < 4 * linear.standard_error < 0.2
    assert torch.equal(again.value, linear.value) and torch.equal(again.standard_error, linear.standard_error)


def test_a_fitted_model_answers_as_its_own_intervention_does():
    """The estimand on the learned joint law is the effect in the learned model: within five Monte Carlo errors."""
    rng = np.random.default_rng(0)
    z = rng.integers(0, 2, 1000)
    x = (rng.random(1000) < 0.3 + 0.4 * z).astype(int)
    data = pd.DataFrame({"Z": z, "X": x, "Y": (rng.random(1000) < 0.1 + 0.4 * x + 0.3 * z).astype(int)})
    model = CausalFlow(BACK_DOOR, infer_variables(data))
    fit(model, data, steps=100, seed=0, progress=False)
    found = EFFECT.evaluate(model, contrast={"X": (0, 1)})
    simulated = ate(model, {"X": (0.0, 1.0)}, "Y", num_samples=20_000, seed=0)
    assert abs(found - float(simulated.value)) < 5 * float(simulated.standard_error) < 0.05


def test_joint_tables_sum_hidden_sites_out_and_keep_deterministic_ones():
    def model():
        u = pyro.sample("U", dist.Bernoulli(0.25))
        v = pyro.sample("V", dist.Categorical(torch.tensor([0.5, 0.3, 0.2])))
        pyro.deterministic("S", u + v)

    table = joint_table(model, ["S", "V"])
    assert table.states["S"] == (0.0, 1.0, 2.0, 3.0)
    np.testing.assert_allclose(table.array(["S"]), [0.375, 0.35, 0.225, 0.05], atol=1e-6)
    np.testing.assert_allclose(table.array(["V"]), [0.5, 0.3, 0.2], atol=1e-6)


def frame(n, seed):
    law = TAR.law().marginal(["X", "M", "Y"])
    rng = np.random.default_rng(seed)
    return pd.DataFrame(law.states[rng.choice(len(law.states), n, p=law.probabilities)], columns=["X", "M", "Y"])


def test_the_delta_method_of_a_conditional_probability_is_its_closed_form():
    data = frame(1000, 0)
    arrow = identify(CausalGraph.from_edges([("X", "Y")]), "P(Y=1 | do(X=1))")
    found = arrow.evaluate(data)
    treated = data[data["X"] == 1]["Y"]
    assert float(found.value) == pytest.approx(treated.mean())
    assert float(found.standard_error) == pytest.approx((treated.var(ddof=0) / len(treated)) ** 0.5, rel=1e-3)


def test_delta_method_and_bootstrap_agree():
    """A standard error of 400 replicates is within 15 percent with probability over 0.9999."""
    data = frame(2000, 1)
    delta = SMOKING.evaluate(data, contrast={"X": (0, 1)}, uncertainty=DeltaMethod())
    resampled = SMOKING.evaluate(data, contrast={"X": (0, 1)}, uncertainty=Bootstrap(400), seed=0)
    assert torch.equal(delta.value, resampled.value)
    assert float(resampled.standard_error) == pytest.approx(float(delta.standard_error), rel=0.15)
    assert repr(delta).startswith("contrast of P(Y | do(X)) = 0.")


def test_intervals_cover_the_truth():
    """Front-door estimates from 100 samples: 95 percent intervals miss 13 or more with probability 0.002."""
    covered = 0
    for seed in range(100):
        low, high = SMOKING.evaluate(frame(800, seed), {"X": 1, "Y": 1}).interval
        covered += float(low) <= TRUTH <= float(high)
    assert covered > 87


def test_linear_regressions_give_the_coefficient():
    rng = np.random.default_rng(0)
    z = rng.normal(size=300)
    x = z + rng.normal(size=300)
    data = pd.DataFrame({"Z": z, "X": x, "Y": 2.0 * x - z + rng.normal(size=300)})
    found = EFFECT.evaluate(data, contrast={"X": (0.0, 1.0)}, uncertainty=Bootstrap(50), seed=0)
    design = np.column_stack([np.ones(300), x, z])
    assert float(found.value) == pytest.approx(np.linalg.lstsq(design, data["Y"], rcond=None)[0][1], abs=1e-9)


class Squares:
    """Regression on features, their squares and the product of the first and the last."""

    def fit(self, features, target):
        self.learned = LeastSquares().fit(self.rich(features), target)
        return self

    def predict(self, features):
        return self.learned.predict(self.rich(features))

    def rich(self, features):
        return np.hstack([features, features**2, features[:, :1] * features[:, -1:]])


def test_what_is_drawn_has_its_spread_and_independent_factors_are_drawn_independently():
    """E[M^2] under do(X=0) is var(M | X=0) = 1; E[AB] is 0 under P(a) P(b) for correlated A and B. Five standard
    errors of 20,000 rows, 0.05."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=20_000)
    m = x + rng.normal(size=20_000)
    data = pd.DataFrame({"X": x, "M": m, "Y": m**2})
    found = SMOKING.evaluate(data, {"X": 0.0}, regressor=Squares(), uncertainty=Bootstrap(2), seed=0)
    assert float(found.value) == pytest.approx(1.0, abs=0.05)
    pair = pd.DataFrame({"A": x, "B": m, "Y": x * m})
    summand = Summand(1.0, parse("sum_{a, b} P(y | a, b) P(a) P(b)", ["A", "B", "Y"]), Symbol("Y"), None)
    statistic = GComputation(pair, Quantity("E[AB]", (summand,)), Squares(), LogisticRegression(), 0)
    assert statistic.value(np.arange(len(pair))) == pytest.approx(0.0, abs=0.05)


def test_a_chosen_learner_is_used_and_left_untouched():
    rng = np.random.default_rng(0)
    z = rng.normal(size=4000)
    x = z + rng.normal(size=4000)
    data = pd.DataFrame({"Z": z, "X": x, "Y": x**2 + z + rng.normal(size=4000)})
    learner = Squares()
    found = EFFECT.evaluate(data, contrast={"X": (0.0, 2.0)}, regressor=learner, uncertainty=Bootstrap(30), seed=0)
    assert abs(float(found.value) - 4.0) < 4 * float(found.standard_error) < 0.4
    assert not hasattr(learner, "learned")
    straight = EFFECT.evaluate(data, contrast={"X": (0.0, 2.0)}, uncertainty=Bootstrap(30), seed=0)
    assert abs(float(straight.value) - 4.0) > 1.0


def test_logistic_outcomes_mixed_covariates_and_drawn_mediators():
    """A binary outcome and a mediator of three names, regressions for all: within 4 standard errors of the truth."""
    data = frame(4000, 2)
    data["M"] = np.array(["low", "mid", "high"])[data["M"]]
    found = SMOKING.evaluate(data, {"X": 1, "Y": 1}, classifier=LogisticRegression(), uncertainty=Bootstrap(30), seed=0)
    assert abs(float(found.value) - TRUTH) < 4 * float(found.standard_error) < 0.15


def test_the_learners_follow_the_protocol_and_find_the_maximum():
    assert isinstance(LeastSquares(), Regressor) and isinstance(LogisticRegression(), Classifier)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 2))
    target = rng.integers(0, 3, 500) * (features[:, 0] > 0)
    learned = LogisticRegression(ridge=0.0).fit(features, target)
    chances = learned.predict_proba(features)
    scores = (target[:, None] == [0, 1, 2]) - chances
    np.testing.assert_allclose(np.column_stack([np.ones(500), features]).T @ scores, 0.0, atol=1e-5)
    separated = LogisticRegression().fit([[0.0], [1.0]], [0, 1]).predict_proba([[0.0], [1.0]])
    assert separated[0, 0] > 0.95 and separated[1, 1] > 0.95


def gaussian():
    pyro.sample("X", dist.Normal(0.0, 1.0))


def plated():
    with pyro.plate("units", 3):
        pyro.sample("X", dist.Bernoulli(0.5))


MIXED = pd.DataFrame({"W": np.arange(30.0), "R": np.arange(30.0), "X": np.arange(30.0), "Y": np.arange(30.0)})
TWO = pd.DataFrame({"Z": [0, 1] * 20, "X": [0, 0, 1, 1] * 10, "Y": [0, 1, 1, 0] * 10})

LINE = pd.DataFrame({"Z": np.arange(30.0), "X": np.arange(30.0), "Y": np.arange(30.0) ** 2})
GAPS = pd.DataFrame({"Z": [0, 0, 1, 1], "X": [0, 1, 0, 1], "Y": [0, 1, 1, 0]})


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: joint_table(gaussian, ["X"]), ModelError, "infinitely many states"),
        (lambda: joint_table(plated, ["X"]), ModelError, "plates"),
        (lambda: joint_table(TAR, ["Q"]), UnknownVariableError, "'Q'"),
        (lambda: EFFECT.evaluate(TAR, {"X": 1}), UnknownVariableError, "'Z'"),
        (lambda: EFFECT.evaluate(gaussian, {"X": 1}), UnknownVariableError, "'Y'|'Z'"),
        (lambda: identify(NAPKIN, "P(Y | do(X))").evaluate(MIXED, {"X": 1.0}), QueryError, "ratio.*discrete"),
        (lambda: EFFECT.evaluate(TWO.drop(columns="Z"), {"X": 1}), UnknownVariableError, "unknown column 'Z'"),
        (lambda: EFFECT.evaluate(TWO.assign(Y=[None, 1.0] * 20), {"X": 1}), DataError, "missing"),
        (lambda: EFFECT.evaluate(TWO[:1], {"X": 1}), DataError, "1 rows"),
        (lambda: EFFECT.evaluate(TWO, {"X": 9}), DataError, "'X' never has the value 9"),
        (lambda: EFFECT.evaluate(LINE.assign(Y="a"), {"X": 1.0}), QueryError, "has no mean"),
        (lambda: EFFECT.evaluate(LINE, {"X": 1.0, "Y": 0.5}), DataError, "0.5.*continuous"),
        (
            lambda: EFFECT.evaluate(GAPS, {"X": 1}, uncertainty=Bootstrap(20), seed=0),
            DataError,
            "bootstrap samples fail",
        ),
        (lambda: EFFECT.evaluate(TWO, {"X": 1}, level=2.0), QueryError, "level"),
        (
            lambda: EFFECT.evaluate(TWO, {"X": 1}, uncertainty="bootstrap"),
            QueryError,
            r"Bootstrap\(...\) or DeltaMethod",
        ),
        (lambda: EFFECT.evaluate(TWO, {"X": 1}, uncertainty=Bootstrap(1)), QueryError, "replicates"),
        (
            lambda: EFFECT.evaluate(TWO, {"X": 1}, regressor=LeastSquares(), uncertainty=DeltaMethod()),
            QueryError,
            "influence function",
        ),
        (
            lambda: identify(RANDOMISED, "P(Y | do(X))", experiments=["Z"]).evaluate(TWO, {"X": 1}),
            DataError,
            "several distributions",
        ),
    ],
)
def test_mistakes_are_named(call, error, says):
    with pytest.raises(error, match=says):
        call()


LINEAR = identify("Z -> {X Y}; X -> {M Y}; M -> Y", "E[Y | do(X=1)] - E[Y | do(X=0)]")


def mediated(n, seed):
    """Direct effect 2, indirect effect 1.5, in units of a treatment confounded by Z."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    x = z + rng.normal(size=n)
    m = 0.5 * x + rng.normal(size=n)
    return pd.DataFrame({"Z": z, "X": x, "M": m, "Y": 2 * x + 3 * m - z + rng.normal(size=n)})


class Unused:
    """A learner that nothing is to be learned with."""

    def fit(self, features, target):
        raise AssertionError("a marginal takes no regression")


def test_a_bare_marginal_is_a_number():
    """The effect on what is no descendant is zero, and the mean under do is that of the column, without a learner."""
    data = mediated(200, 0)
    marginal = identify(LINEAR.active.graph, "E[Z | do(X)]")
    contrast = marginal.evaluate(data, contrast={"X": (0.0, 1.0)}, seed=0, regressor=Unused())
    assert float(contrast.value) == float(contrast.standard_error) == 0.0
    found = marginal.evaluate(data, {"X": 1.0}, seed=0)
    assert float(found.value) == pytest.approx(data["Z"].mean(), abs=1e-12)
    assert float(found.standard_error) == pytest.approx(data["Z"].std() / 200**0.5, rel=0.15)
    share = identify(LINEAR.active.graph, "P(Z=1 | do(X))").evaluate(
        data.assign(Z=(data["Z"] > 0) * 1), {"X": 1.0}, seed=0
    )
    assert float(share.value) == pytest.approx((data["Z"] > 0).mean(), abs=1e-12)
    words = data.assign(Z=[f"unit {i}" for i in range(200)])
    with pytest.raises(QueryError, match="'Z' has no mean"):
        marginal.evaluate(words, {"X": 1.0}, seed=0, classifier=LogisticRegression())


def test_contrasts_on_data_have_one_joint_interval():
    """Within 4 standard errors of the truth; sides on the same rows move together."""
    data = mediated(2000, 1)
    graph = LINEAR.active.graph
    direct = identify(graph, natural_direct_effect({"X": (0.0, 1.0)}, "Y", "M"))
    found = direct.evaluate(data, seed=0, uncertainty=Bootstrap(50))
    assert abs(float(found.value) - 2.0) < 4 * float(found.standard_error) < 0.3
    indirect = identify(graph, natural_indirect_effect({"X": (0.0, 1.0)}, "Y", "M"))
    found = indirect.evaluate(data, seed=0, uncertainty=Bootstrap(50))
    assert abs(float(found.value) - 1.5) < 4 * float(found.standard_error) < 0.5
    whole = LINEAR.evaluate(data, seed=0, uncertainty=Bootstrap(50))
    assert abs(float(whole.value) - 3.5) < 4 * float(whole.standard_error) < 0.5
    sides = [side.evaluate(data, seed=0, uncertainty=Bootstrap(50)) for side in (LINEAR.active, LINEAR.reference)]
    assert float(whole.standard_error) < sum(float(side.standard_error) ** 2 for side in sides) ** 0.5


def test_a_difference_of_discrete_data_has_the_interval_of_the_contrast():
    data = frame(1000, 0)
    one = identify(SMOKING.graph, "E[Y | do(X=1)] - E[Y | do(X=0)]").evaluate(data)
    other = SMOKING.evaluate(data, contrast={"X": (0, 1)})
    assert torch.equal(one.value, other.value) and torch.equal(one.standard_error, other.standard_error)
    with_nothing_set = identify(SMOKING.graph, "E[Y | do(X=1)] - E[Y]").evaluate(data)
    assert 0 < float(with_nothing_set.standard_error) < float(one.standard_error)


TRIED = CausalGraph(BACK_DOOR.variables, BACK_DOOR.edges, [("X", "Y")])
TRIAL = identify(TRIED, "P(Y | do(X))", target="*", experiments={"trial": ["X"]}, selection={"trial": "Z"})
CENSUS = DiscreteSCM(
    {
        "Z": ((), [0.2, 0.8]),
        "X": ((), [0.5, 0.5]),
        "Y": (("X", "Z"), [[[0.9, 0.1], [0.6, 0.4]], [[0.7, 0.3], [0.1, 0.9]]]),
    }
)
ELSEWHERE = DiscreteSCM(
    {
        "Z": ((), [0.7, 0.3]),
        "X": ((), [0.5, 0.5]),
        "Y": (("X", "Z"), [[[0.9, 0.1], [0.6, 0.4]], [[0.7, 0.3], [0.1, 0.9]]]),
    }
)
CENSUS_EFFECT = CENSUS.probability({"Y": 1}, do={"X": 1}) - CENSUS.probability({"Y": 1}, do={"X": 0})


def drawn(scm, names, n, seed):
    law = scm.law().marginal(names)
    rng = np.random.default_rng(seed)
    return pd.DataFrame(law.states[rng.choice(len(law.states), n, p=law.probabilities)], columns=names)


def test_transport_from_samples_has_an_interval_that_covers():
    """100 pairs of a trial and a census: 95 percent intervals miss 13 or more with probability 0.002."""
    covered = 0
    for seed in range(100):
        tables = {
            ("trial", ("X",)): drawn(ELSEWHERE, ["X", "Z", "Y"], 600, 2 * seed),
            ("*", ()): drawn(CENSUS, ["Z"], 200, 2 * seed + 1),
        }
        low, high = TRIAL.evaluate(tables, contrast={"X": (0, 1)}).interval
        covered += float(low) <= CENSUS_EFFECT <= float(high)
    assert covered > 87


def test_the_doubt_of_each_sample_counts():
    """Delta method and bootstrap agree within 15 percent; an exact table adds no doubt, nor one that is not read."""
    trial, census = drawn(ELSEWHERE, ["X", "Z", "Y"], 800, 0), drawn(CENSUS, ["Z"], 100, 1)
    tables = {("trial", ("X",)): trial, ("*", ()): census}
    delta = TRIAL.evaluate(tables, contrast={"X": (0, 1)})
    resampled = TRIAL.evaluate(tables, contrast={"X": (0, 1)}, uncertainty=Bootstrap(400), seed=0)
    assert float(resampled.standard_error) == pytest.approx(float(delta.standard_error), rel=0.15)
    exact = {**tables, ("*", ()): JointTable(["Z"], [0.2, 0.8])}
    surer = TRIAL.evaluate({**exact, ("other", ()): census}, contrast={"X": (0, 1)})
    assert float(surer.standard_error) < float(delta.standard_error)
    variance = 0.0
    for z, weight in ((0, 0.2), (1, 0.8)):
        for x in (0, 1):
            inside = trial[(trial["X"] == x) & (trial["Z"] == z)]["Y"]
            variance += weight**2 * inside.var(ddof=0) / len(inside)
    assert float(surer.standard_error) == pytest.approx(variance**0.5, rel=2e-3)


def test_mistakes_with_several_tables_are_named():
    trial, census = drawn(ELSEWHERE, ["X", "Z", "Y"], 80, 0), drawn(CENSUS, ["Z"], 100, 1)
    tables = {("trial", ("X",)): trial, ("*", ()): census}
    values = {"X": 1, "Y": 1}
    for wrong, error, says in (
        ({"trial": trial}, DataError, "key of a table"),
        ({("trial", ("X",)): trial}, DataError, r"needs the table of \('\*', \[\]\)"),
        ({**tables, ("*", ()): census.rename(columns={"Z": "Q"})}, UnknownVariableError, "'Z'"),
        ({**tables, ("*", ()): census.assign(Z=np.arange(100.0))}, DataError, "'Z' is continuous"),
        ({**tables, ("*", ()): census.assign(Z=None)}, DataError, "missing"),
    ):
        with pytest.raises(error, match=says):
            TRIAL.evaluate(wrong, values)
    with pytest.raises(QueryError, match="no learners"):
        TRIAL.evaluate(tables, values, regressor=LeastSquares())


def test_selected_units_and_a_census_have_a_joint_interval():
    """A case-control study of known prevalence: within 4 standard errors, most of them from the study."""
    risk = recover("X -> Y -> S", "E[Y | do(X)]", "S", external="Y")
    rng = np.random.default_rng(0)
    x = rng.random(200_000) < 0.3
    y = rng.random(200_000) < np.where(x, 0.04, 0.01)
    units = pd.DataFrame({"X": x * 1, "Y": y * 1})
    chosen = pd.concat([units[units["Y"] == 1][:1000], units[units["Y"] == 0][:1000]])
    sources = {("S=1", ()): chosen, ("", ()): units[["Y"]]}
    found = risk.evaluate(sources, contrast={"X": (0, 1)})
    assert abs(float(found.value) - 0.03) < 4 * float(found.standard_error) < 0.012
    exact = risk.evaluate({**sources, ("", ()): JointTable(["Y"], [0.981, 0.019])}, contrast={"X": (0, 1)})
    assert float(exact.standard_error) < float(found.standard_error)
    with pytest.raises(DataError, match="all units as well"):
        risk.evaluate(chosen, {"X": 1})
    seen = recover("X -> Y; X -> S", "E[Y | do(X)]", "S").evaluate(units[units["X"] == 1], {"X": 1})
    assert float(seen.value) == pytest.approx(units[units["X"] == 1]["Y"].mean())
