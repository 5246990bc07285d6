"""Intervals of models with refits cover the truth as often as they say, and say what they hold."""

import copy
import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy.stats import binom, t

from causal_pyro_models import CausalFlow, CausalGraph, abduct, ate, dose_response, fit, intervene, ite, pns, risk_ratio
from causal_pyro_models.data import Binary, Continuous
from causal_pyro_models.effects.question import doubted
from causal_pyro_models.errors import AbductionError, EvidenceError
from causal_pyro_models.estimate import DIFFERENCE, LINE, LOG, LOGIT, Doubt, Estimate
from tests.cli.command import linear

CHAIN = CausalGraph.from_edges([("X", "M"), ("M", "Y"), ("X", "Y")])
KINDS = dict.fromkeys(CHAIN.variables, Continuous())
TRUTH = 2.0  # of do(X = 1) against do(X = 0) on Y
ARMS = {"X": (0.0, 1.0)}
SIMULATED = Doubt(simulation=True, fitted="Mean")


def answer(value, error=0.0, **more):
    value = torch.as_tensor(value, dtype=torch.float64)
    return Estimate("mean", value, torch.full_like(value, error), (value, value), **{"doubt": SIMULATED, **more})


def of_means(draw: np.random.Generator, rows: int, refits: int, error: float = 0.0) -> Estimate:
    """The answer where a model is the mean of its rows, and the truth is zero."""
    data = torch.as_tensor(draw.normal(size=rows))
    means = [data.mean(), *(data[draw.permutation(rows)[: rows // 2]].mean() for _ in range(refits))]
    whole, *parts = (answer(mean + error * draw.normal(), error) for mean in means)
    return doubted(whole, parts)


def covers(estimate: Estimate, truth: float) -> bool:
    low, high = estimate.interval
    return bool(low <= truth <= high)


@pytest.mark.parametrize(("refits", "error"), [(2, 0.0), (4, 0.0), (12, 0.0), (12, 0.1)])
def test_intervals_of_a_mean_cover_it(refits, error):
    """Of 1,000 intervals 95% hold the truth, within 3 points; a true coverage of 95% fails with probability 3e-5.

    Simulation error on top only widens, since refits have it too.
    """
    draw = np.random.default_rng(refits)
    covered = sum(covers(of_means(draw, 100, refits, error), 0.0) for _ in range(1_000)) / 1_000
    assert covered > 0.92
    assert error or covered < 0.98


def test_the_same_check_sees_intervals_that_are_too_short():
    """Normal quantiles for so few refits, or the spread of refits taken for that of their mean, fall below 92%."""
    draw = np.random.default_rng(0)
    estimates = [of_means(draw, 100, 4) for _ in range(1_000)]
    for shrink in (1.96 / t.ppf(0.975, 3), 0.5):
        held = [abs(e.value) <= shrink * (e.interval[1] - e.value) for e in estimates]
        assert np.mean(held) < 0.92


def test_the_interval_is_that_of_student():
    """Against SciPy, with refits that answer 0, 1, 2, 3 and a model that answers 2, simulated with error 0.5."""
    estimate = doubted(answer(2.0, 0.5), [answer(float(i)) for i in range(4)])
    sd = np.sqrt(np.var([0, 1, 2, 3], ddof=1) + 0.25)
    np.testing.assert_allclose(estimate.standard_error, sd)
    np.testing.assert_allclose(estimate.interval, t.interval(0.95, 3, loc=2.0, scale=sd))
    assert estimate.draws.tolist() == [0, 1, 2, 3] and float(estimate.value) == 2 and estimate.level == 0.95
    assert estimate.doubt == Doubt(data=True, simulation=True, fitted="Mean", refits=4)


@settings(deadline=None)
@given(st.floats(0.01, 0.99), st.lists(st.floats(0.01, 0.99), min_size=2, max_size=12), st.floats(0.0, 0.5))
def test_intervals_are_of_the_natural_scale(value, values, error):
    """Those of a ratio are positive and those of a probability within 0 and 1; on their scale they are Student's."""
    for scale, line in ((LOG, np.log), (LOGIT, lambda p: np.log(p / (1 - p)))):
        whole = answer(value, error, scale=scale)
        found = doubted(whole, [answer(v, error, scale=scale) for v in values])
        low, high = (float(end) for end in found.interval)
        assert 0 < low <= value <= high and (scale is LOG or high <= 1)
        slope = 1 / value if scale is LOG else 1 / (value * (1 - value))
        margin = t.ppf(0.975, len(values) - 1) * np.hypot(line(np.array(values)).std(ddof=1), slope * error)
        if margin < 5:
            np.testing.assert_allclose([line(low), line(high)], [line(value) - margin, line(value) + margin], atol=1e-6)


@settings(deadline=None)
@given(st.floats(-2, 2), st.floats(0, 2), st.floats(0, 2), st.lists(st.floats(-2, 2), min_size=2, max_size=12))
def test_a_posterior_is_widened_at_both_ends(value, below, above, values):
    """An interval of a posterior, symmetric or not, keeps its ends where the refits agree, and never gets shorter."""
    whole = answer(value, doubt=Doubt(posterior=True, fitted="Mean"))
    whole = Estimate(
        "mean", whole.value, whole.standard_error, (whole.value - below, whole.value + above), doubt=whole.doubt
    )
    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1)
    found = doubted(whole, [answer(v) for v in values])
    wanted = value - np.hypot(below, half), value + np.hypot(above, half)
    np.testing.assert_allclose([float(end) for end in found.interval], wanted, atol=1e-9)


def test_a_probability_at_the_edge_has_an_interval():
    found = doubted(answer(1.0, scale=LOGIT), [answer(v, scale=LOGIT) for v in (1.0, 0.98, 0.99)])
    low, high = (float(end) for end in found.interval)
    assert 0.5 < low < 0.99 and high == 1.0
    assert LOGIT.ends(torch.tensor(0.0), torch.tensor(0.0))[0] == 0.0


def test_the_effect_of_a_fitted_model_covers_the_truth():
    """X -> M -> Y, linear: of 60 data sets at least 52 intervals hold the effect 2.

    At a true coverage of 95% fewer do with probability 3e-3; were the intervals half as long (a coverage of 76% by
    Student's t), so many would with probability 0.03. Least squares in place of the flow came to 55 in a trial.
    """
    held = []
    for seed in range(60):
        model = CausalFlow(CHAIN, KINDS)
        fit(model, linear(150, seed), steps=2, refits=5, seed=seed, progress=False)
        held.append(covers(ate(model, ARMS, "Y", num_samples=500, seed=0), TRUTH))
    assert binom.cdf(51, 60, 0.95) < 3.5e-3
    assert sum(held) >= 52


@pytest.fixture(scope="module")
def models():
    """The same binary treatment and outcome, without refits and with four."""
    graph = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
    draw = np.random.default_rng(0)
    z = draw.normal(size=300)
    x = (draw.random(300) < 1 / (1 + np.exp(-z))) * 1
    data = {"Z": z, "X": x, "Y": (draw.random(300) < 1 / (1 + np.exp(-x - z))) * 1}
    kinds = {"Z": Continuous(), "X": Binary(), "Y": Binary()}
    fits = {refits: CausalFlow(graph, kinds) for refits in (0, 4)}
    for refits, model in fits.items():
        fit(model, data, steps=20, refits=refits, seed=0, progress=False)
    return fits


def test_refits_leave_the_fit_and_its_values_as_they_are(models):
    """The value is that of the fit to all data, whichever verb is asked."""
    for one, other in zip(models[0].state_dict().values(), models[4].state_dict().values(), strict=True):
        assert torch.equal(one, other)
    for verb in (ate, risk_ratio, pns):
        alone, doubtful = (verb(model, ARMS, "Y", seed=0, num_samples=500) for model in models.values())
        assert torch.equal(alone.value, doubtful.value)
        assert doubtful.interval[0] < alone.interval[0] and doubtful.interval[1] > alone.interval[1]
    curve = dose_response(models[4], {"X": [0.0, 1.0]}, "Y", seed=0, num_samples=500)
    assert curve.scale is LOGIT and curve.draws.shape == (4, 2)
    assert dose_response(models[4], {"X": [0.0, 1.0]}, "Z", seed=0, num_samples=500).scale is LINE


def test_evidence_does_not_weigh_the_refits(models):
    """Each refit answers by itself: for the units of the evidence its answer is that of the refit alone."""
    units = {"Z": [0.0, 1.0], "X": [0, 1], "Y": [1, 1]}
    found = ite(models[4], ARMS, "Y", evidence=units, num_samples=200, seed=0)
    for refit, drawn in zip(models[4].refits, found.draws, strict=True):
        assert torch.equal(ite(refit, ARMS, "Y", evidence=units, num_samples=200, seed=0).value, drawn)


def test_an_estimate_says_what_its_interval_holds(models):
    graph = models[0].graph
    alone, doubtful = (ate(m, ARMS, "Y", num_samples=500, seed=0, data_graph=graph) for m in models.values())
    assert "of the simulation alone" in repr(alone) and "interval" not in repr(alone) and "refits=12" in repr(alone)
    assert "(95% interval" in repr(doubtful) and "4 refits" in repr(doubtful) and "CausalFlow" in repr(doubtful)
    assert alone.to_dataframe()["doubt"].item() == "simulation"
    assert doubtful.to_dataframe()["doubt"].item() == "data and simulation"
    units = {"Z": [0.0], "X": [0], "Y": [1]}
    posterior = ite(models[0], ARMS, "Y", evidence=units, num_samples=200, seed=0)
    assert posterior.to_dataframe()["doubt"].item() == "posterior" and "alone" in repr(posterior)


def test_an_answer_that_is_not_identified_is_given_its_form(models):
    confounded = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")], [("X", "Y")])
    assert "given that form" in repr(ate(models[4], ARMS, "Y", num_samples=500, seed=0, data_graph=confounded))


def test_refits_are_under_the_interventions_of_their_model(models):
    """do(Z = 2) holds in every refit: it is the same as asking of both variables at once."""
    under = ate(intervene(models[4], {"Z": 2.0}), ARMS, "Y", num_samples=500, seed=0)
    both = ate(models[4], {"Z": (2.0, 2.0), **ARMS}, "Y", num_samples=500, seed=0)
    torch.testing.assert_close(under.draws, both.draws, atol=0.1, rtol=0.0)
    assert under.doubt.refits == 4


def test_noise_of_all_is_asked_of_all(models):
    units = {"Z": [0.0, 1.0], "X": [0, 1], "Y": [1, 1]}
    noise = abduct(models[4], units, num_samples=400, seed=0)
    found = ate(models[4], ARMS, "Y", evidence=noise, seed=0)
    assert found.doubt.refits == 4 and found.draws.shape == (4,)
    with pytest.raises(AbductionError, match=r"0 refits.*4"):
        ate(models[4], ARMS, "Y", evidence=abduct(models[0], units, num_samples=10, seed=0))


@pytest.mark.parametrize("wrapped", [lambda m: functools.partial(m), lambda m: lambda: m(), lambda m: copy.deepcopy(m)])
def test_a_learned_model_inside_of_a_program_keeps_its_doubt(models, wrapped):
    """Whatever calls it: refits run in its place, and without any the answer says so."""
    for refits, model in models.items():
        plain, inside = (ate(m, ARMS, "Y", num_samples=500, seed=0) for m in (model, wrapped(model)))
        assert inside.doubt == plain.doubt and inside.doubt.refits == refits
        torch.testing.assert_close(torch.stack(inside.interval), torch.stack(plain.interval))


def test_refits_simulate_the_same_units_where_no_seed_is_given(models):
    """Refits that are copies of one model agree to the last bit, though units are drawn anew."""
    model = copy.deepcopy(models[4])
    model.refits = tuple(copy.deepcopy(models[0]) for _ in range(3))
    found = ate(model, ARMS, "Y", num_samples=200)
    assert float(found.draws.std()) == 0.0


def test_support_is_required_of_the_fit_to_all_data_alone(models):
    assert models[4].refits[0].support is None
    found = ate(models[4], ARMS, "Y", num_samples=200, seed=0, require_support=True)
    assert found.doubt.refits == 4


def test_differences_of_probabilities_keep_within_their_range(models):
    units = {"Z": [0.0, 3.0], "X": [0, 1], "Y": [0, 1]}
    found = ite(models[4], ARMS, "Y", evidence=units, num_samples=200, seed=0)
    low, high = found.interval
    assert bool((low >= -1.0).all()) and bool((high <= 1.0).all())
    found = doubted(answer(0.9, scale=DIFFERENCE), [answer(v, scale=DIFFERENCE) for v in (0.2, 0.9, -0.4)])
    assert [float(end) for end in found.interval] == [-1.0, 1.0]


def test_a_ratio_of_zero_has_no_interval():
    with pytest.raises(EvidenceError, match="ratio is 0"):
        doubted(answer(0.5, scale=LOG), [answer(v, scale=LOG) for v in (0.5, 0.0)])


def test_units_have_no_bounds_of_a_population(models):
    units = {"Z": [0.0, 1.0], "X": [1, 1], "Y": [1, 1]}
    assert pns(models[4], ARMS, "Y", evidence=units, num_samples=200, seed=0).bounds is None
    assert pns(models[4], ARMS, "Y", num_samples=200, seed=0).bounds is not None


def test_labels_have_as_many_digits_as_tell_them_apart():
    two = torch.zeros(2)
    close = Estimate("e", two, two, (two, two), over="X", labels=(100_000_000.0, 100_000_001.0))
    assert "X = 100000000:" in repr(close) and "X = 100000001:" in repr(close)
    assert "X = 0.5:" in repr(Estimate("e", two, two, (two, two), over="X", labels=(0.5, 1.0)))
    large = torch.tensor(1e8, dtype=torch.float64)
    assert repr(Estimate("e", large, torch.tensor(0.05), (large, large))).startswith("e = 100000000.000 ± 0.050")
