"""Abduction: what needs a method, the weights that travel with every result, warnings, seeds, plates, kinds of input.

Statistical checks use fixed seeds and 4 standard errors, a false alarm of 6e-5 each.
"""

import functools
import math
import random
import warnings

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy import stats

from causal_pyro_models import (
    NUTS,
    ImportanceSampling,
    abduct,
    ate,
    counterfactual,
    fit_guide,
    potential,
    sample,
    worlds,
)
from causal_pyro_models.errors import AbductionError, CausalWarning, EvidenceError
from causal_pyro_models.inference.weights import pareto_smooth, resampling
from causal_pyro_models.scm import zoo
from tests.inference.exact import discrete_misses, gaussian_misses, linear_case

DRAWS = 20_000
QUIET = "ignore::causal_pyro_models.errors.CausalWarning"


def hidden_mean():
    """Z given X = x is Normal(x / 2, sqrt(1/2)); W is downstream of X, and V of nothing."""
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    x = pyro.sample("X", dist.Normal(z, 1.0))
    pyro.sample("V", dist.Normal(1.0, 2.0))
    pyro.sample("W", dist.Normal(x, 1.0))


class Proposal:
    """A guide for ``hidden_mean``: the posterior of Z, moved and widened."""

    def __init__(self, shift=0.0, widening=1.0):
        self.shift, self.widening = shift, widening

    def __call__(self, evidence):
        pyro.sample("U_Z", dist.Normal(evidence["X"] / 2 + self.shift, self.widening * math.sqrt(0.5)))


def posterior_misses(noise, x):
    """Mean and variance of U_Z that are over 4 standard errors off, against the exact posterior."""
    law = zoo.LinearGaussianSCM({("U_Z", "X"): 1.0}, {"U_Z": 1.0, "X": 1.0}).conditional({"X": x})
    return gaussian_misses(noise, law.marginal(["U_Z"]))


# Who is hidden ---------------------------------------------------------------------------------------------------


def test_a_hidden_site_with_evidence_downstream_needs_a_method():
    def two():
        z, w = (pyro.sample(name, dist.Gamma(2.0, 1.0)) for name in "ZW")
        pyro.sample("X", dist.Normal(z + w, 1.0))

    def one():
        pyro.sample("X", dist.Normal(pyro.sample("Z", dist.Gamma(2.0, 1.0)), 1.0))

    with pytest.raises(AbductionError) as raised:
        abduct(one, {"X": [1.0]})
    assert "evidence on ['X'] bears on ['Z'], which is not observed" in str(raised.value)
    assert "observe it, or pass method=ImportanceSampling()" in str(raised.value)
    with pytest.raises(AbductionError, match=r"bears on \['Z', 'W'\], which are not observed: observe them"):
        counterfactual(two, {"X": [1.0]}, {"X": 0.0})
    conditioned = pyro.poutine.condition(one, data={"X": torch.tensor(1.0)})
    with pytest.raises(AbductionError, match=r"evidence on \['X'\] bears on \['Z'\]"):
        abduct(conditioned, {})


def test_hidden_sites_that_the_evidence_does_not_bear_on_are_drawn_from_their_prior():
    noise = abduct(hidden_mean, {"X": [1.0, -2.0]}, ImportanceSampling(), DRAWS, seed=0)
    assert not posterior_misses(noise, np.array([1.0, -2.0]))
    for name in ("U_V", "U_W"):
        error = math.sqrt(1 / DRAWS)
        assert (noise[name].mean(0).abs() < 4 * error).all()
        assert ((noise[name].var(0) - 1.0).abs() < 4 * math.sqrt(2) * error).all()
    alone = abduct(hidden_mean, {"Z": [0.0]}, num_samples=DRAWS, seed=0)
    assert alone.log_weights is None
    assert abs(float(alone.mean("U_X"))) < 4 * math.sqrt(1 / DRAWS)


def test_observations_written_in_a_model_are_evidence():
    conditioned = pyro.poutine.condition(hidden_mean, data={"X": torch.tensor(1.0)})
    noise = abduct(conditioned, {}, ImportanceSampling(), DRAWS, seed=0)
    assert not posterior_misses(noise, np.array([1.0]))


def test_a_factor_is_evidence_with_other_evidence_and_without():
    """exp(-(z - 2)^2 / 2) says of Z what an observation of 2 with unit noise would: Z is Normal(1, sqrt(1/2))."""

    def model():
        z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        pyro.factor("near two", -0.5 * (z - 2.0) ** 2)
        pyro.sample("W", dist.Normal(0.0, 1.0))

    def curved():
        z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        pyro.factor("near two", -((z - 2.0) ** 4))
        pyro.sample("W", dist.Normal(0.0, 1.0))

    for evidence, units in (({}, 1), ({"W": [0.0, 1.0]}, 2)):
        noise = abduct(model, evidence, ImportanceSampling(), DRAWS, seed=0)
        assert not posterior_misses(noise, np.full(units, 2.0))
        with pytest.raises(AbductionError, match=r"evidence on \[.*'near two'\] bears on \['Z'\]"):
            abduct(curved, evidence)
        assert not posterior_misses(abduct(model, evidence, num_samples=DRAWS, seed=0), np.full(units, 2.0))
    with pytest.raises(AbductionError, match="bears on"):
        counterfactual(curved, {}, {"W": 0.0})
    estimate = ate(model, {"W": (0.0, 1.0)}, "Z", method=ImportanceSampling(), seed=0)
    assert float(estimate.value) == 0.0


# Weights ---------------------------------------------------------------------------------------------------------


def test_weights_are_the_likelihood_smoothed_by_pareto():
    noise = abduct(hidden_mean, {"X": [4.0, -3.0]}, ImportanceSampling(), 2_000, seed=0)
    likelihood = stats.norm.logpdf([4.0, -3.0], noise.proposed["U_Z"].double().numpy())
    smoothed, k = pareto_smooth(torch.as_tensor(likelihood))
    np.testing.assert_allclose(noise.log_weights, smoothed, atol=1e-4)
    np.testing.assert_allclose(noise.pareto_k, k, atol=1e-3)
    np.testing.assert_allclose(noise.ess, 1 / np.exp(2 * smoothed.numpy()).sum(0), rtol=1e-3)
    torch.testing.assert_close(noise.log_weights.exp().sum(0), torch.ones(2))


@pytest.mark.parametrize(("shift", "widening"), [(0.0, 1.5), (0.5, 1.5), (-0.5, 2.0)])
def test_a_guide_is_corrected_by_its_weights(shift, widening):
    noise = abduct(hidden_mean, {"X": [1.0, -2.0]}, Proposal(shift, widening), DRAWS, seed=0)
    assert not posterior_misses(noise, np.array([1.0, -2.0]))
    raw = noise.proposed["U_Z"].mean(0) - torch.tensor([0.5, -1.0])
    torch.testing.assert_close(raw, torch.full((2,), shift), atol=0.05, rtol=0.0)


def test_the_exact_posterior_as_a_guide_has_equal_weights():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        noise = abduct(hidden_mean, {"X": [1.0, -2.0]}, Proposal(), DRAWS, seed=0)
    torch.testing.assert_close(noise.ess, torch.full((2,), float(DRAWS)), rtol=1e-4, atol=0.0)
    assert bool((noise.pareto_k <= 0.7).all())


def test_weights_travel_with_every_result():
    noise = abduct(hidden_mean, {"X": [1.0, -2.0]}, ImportanceSampling(), 2_000, seed=0)
    result = worlds(hidden_mean, noise, {"one": {"X": 1.0}, "two": {}})
    direct = counterfactual(hidden_mean, {"X": [1.0, -2.0]}, {"X": 1.0}, ImportanceSampling(), 2_000, seed=0)
    for draws in (*result.values(), direct):
        assert draws.log_weights.shape == (2_000, 2)
        assert draws.pareto_k.shape == draws.ess.shape == (2,)
        assert torch.equal(draws.log_weights, noise.log_weights)
        assert torch.equal(draws.ess, noise.ess)
        assert torch.equal(draws.pareto_k, noise.pareto_k)
    exact = abduct(hidden_mean, {"Z": [0.0, 1.0], "X": [1.0, 2.0]}, num_samples=7)
    assert exact.log_weights is None
    assert exact.pareto_k is None
    assert exact.ess.tolist() == [7.0, 7.0]
    torch.testing.assert_close(exact.shares(), torch.full((7,), 1 / 7))


@pytest.mark.filterwarnings(QUIET)
def test_a_bad_proposal_warns_of_its_tail():
    with pytest.warns(CausalWarning, match=r"Pareto k-hat .* as high as .* \(over 0.7 for 2 of 2 units\)"):
        noise = abduct(hidden_mean, {"X": [1.0, -2.0]}, Proposal(widening=0.3), 5_000, seed=0)
    assert bool((noise.pareto_k > 0.7).all())


@pytest.mark.filterwarnings(QUIET)
def test_few_draws_that_count_warn_of_their_number():
    def precise():
        z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        pyro.sample("X", dist.Normal(z, 1e-3))

    with pytest.warns(CausalWarning, match=r"effective sample size as low as \d+ of 2000 draws \(under 100 for 1 of 1"):
        noise = abduct(precise, {"X": [0.5]}, ImportanceSampling(), 2_000, seed=0)
    assert float(noise.ess) < 100


@pytest.mark.filterwarnings(QUIET)
def test_a_warning_counts_the_units_it_is_about():
    with pytest.warns(CausalWarning, match="for 1 of 3 units"):
        abduct(hidden_mean, {"X": [0.0, 1.0, 12.0]}, ImportanceSampling(), 2_000, seed=0)


def test_a_good_proposal_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        abduct(hidden_mean, {"X": [0.5, -1.0]}, ImportanceSampling(), 2_000, seed=0)
        abduct(hidden_mean, {"X": [5.0, -8.0]}, Proposal(widening=1.2), 2_000, seed=0)
        abduct(zoo.discrete.confounded(), {"X": 1, "Y": 1}, ImportanceSampling(), 2_000, seed=0)


def test_draws_that_cannot_have_been_are_left_out():
    """Z given X = 0.5 and X uniform on (Z - 1, Z + 1) is a standard normal cut off outside (-0.5, 1.5)."""

    def model():
        z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        x = pyro.sample("X", dist.Uniform(z - 1.0, z + 1.0))
        pyro.sample("Y", dist.Normal(x + z, 1.0))

    noise = abduct(model, {"X": [0.5]}, ImportanceSampling(), DRAWS, seed=0)
    assert bool(((noise["U_Z"] > -0.5) & (noise["U_Z"] < 1.5)).all())
    truth = stats.truncnorm(-0.5, 1.5)
    error = truth.std() / math.sqrt(float(noise.ess))
    assert abs(float(noise.mean("U_Z")) - truth.mean()) < 4 * error
    world = counterfactual(model, noise, {"Z": lambda z: z + 1.0})
    torch.testing.assert_close(world["X"], torch.full((DRAWS, 1), 1.5))
    with pytest.raises(EvidenceError, match="probability zero under every one of 100 draws"):
        abduct(model, {"X": [50.0]}, ImportanceSampling(), 100, seed=0)


def test_the_tensor_of_a_counterfactual_is_of_its_posterior():
    """X ~ N(0, 1), Y ~ N(X, 1), Y = 2 seen, do(X = 0): Y is U_Y, of mean 1 and variance 1/2."""

    def model():
        pyro.sample("Y", dist.Normal(pyro.sample("X", dist.Normal(0.0, 1.0)), 1.0))

    y = counterfactual(model, {"Y": [2.0]}, {"X": 0.0}, ImportanceSampling(), 20_000, seed=0)["Y"]
    assert float(y.mean()) == pytest.approx(1.0, abs=0.03) and float(y.var()) == pytest.approx(0.5, abs=0.03)


@settings(max_examples=15)
@given(st.integers(0, 10**4))
def test_tensors_of_linear_models_have_the_moments_of_their_closed_form(seed):
    """Units at once, and worlds on the same noise: within 5 standard errors of the effective number of draws (one in
    a million for each of about 600 figures).

    The draws that the weights belong to are the prior's, whose moments fail.
    """
    scm, evidence, do = linear_case(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = worlds(scm, evidence, {"do": do, "factual": {}}, ImportanceSampling(), 20_000, seed=seed)
    drawn, law = result["do"], scm.counterfactual(evidence, do)
    enough = result.noise.ess > 500
    for name in law.names:
        x, variance = drawn[name].double(), torch.as_tensor(law.variance(name)).expand(3)
        error = 5 * (variance / result.noise.ess).sqrt() + 1e-3
        assert bool((((x.mean(0) - torch.as_tensor(law.expectation(name))).abs() <= error) | ~enough).all()), name
        spread = 5 * 2**0.5 * variance / result.noise.ess.sqrt() + 1e-3
        assert bool((((x.var(0) - variance).abs() <= spread) | ~enough).all()), name
    for name in evidence:
        seen = torch.as_tensor(evidence[name]).expand(20_000, 3)
        torch.testing.assert_close(result["factual"][name], seen, atol=1e-3, rtol=1e-4)


def test_even_weights_stay_as_they_are():
    """Where the largest is under four times the mean, there is no tail to be smoothed."""
    noise = abduct(hidden_mean, {"X": [0.5]}, ImportanceSampling(), 2_000, seed=0)
    likelihood = torch.tensor(stats.norm.logpdf(0.5, noise.proposed["U_Z"].double().numpy()))
    torch.testing.assert_close(noise.log_weights.double(), likelihood.log_softmax(0), atol=1e-4, rtol=0.0)
    assert noise.pareto_k.tolist() == [0.0]


def test_a_world_may_be_set_to_what_another_one_had_in_each_draw():
    """Draws that are shown and those that the weights belong to are not mixed up."""
    noise = abduct(hidden_mean, {"X": [2.0, -1.0]}, ImportanceSampling(), 2_000, seed=0)
    factual = counterfactual(hidden_mean, noise, {})
    again = counterfactual(hidden_mean, noise, {"X": factual["X"], "Z": factual["Z"]})
    for name in factual:
        torch.testing.assert_close(again[name], factual[name])
    nested = worlds(hidden_mean, noise, {"moved": {"W": potential("W", {"X": factual["X"] + 1.0})}})["moved"]
    torch.testing.assert_close(nested["W"], factual["W"] + 1.0)
    torch.testing.assert_close(again.mean("W"), factual["W"].mean(0), atol=1e-4, rtol=0.0)


def test_draws_hold_together_across_sites_worlds_and_calls():
    noise = abduct(hidden_mean, {"X": [2.0, -1.0]}, ImportanceSampling(), 2_000, seed=0)
    one, two = (counterfactual(hidden_mean, noise, {"Z": value}) for value in (0.0, 1.0))
    assert torch.equal(one["X"], noise["U_X"])
    torch.testing.assert_close(two["X"], one["X"] + 1.0)
    torch.testing.assert_close(noise["U_Z"] + noise["U_X"], torch.tensor([2.0, -1.0]).expand(2_000, 2))


@settings(max_examples=50)
@given(st.lists(st.floats(0.0, 5.0), min_size=1, max_size=40).filter(lambda w: sum(w) > 0))
def test_a_draw_comes_up_as_often_as_its_weight_says(weights):
    weights = torch.tensor(weights, dtype=torch.double) / sum(weights)
    counts = resampling(weights.log()).bincount(minlength=len(weights))
    assert bool(((counts - len(weights) * weights).abs() <= 1 + 1e-6).all())
    assert not bool(counts[weights == 0].any())


def test_weights_of_units_that_share_something_are_joint():
    """Two levels of plates: one weight for a draw, and its posterior mean in closed form."""

    def model():
        with pyro.plate("groups", 2, dim=-2):
            g = pyro.sample("G", dist.Normal(0.0, 1.0))
            with pyro.plate("people", 3, dim=-1):
                pyro.sample("X", dist.Normal(g, 1.0))

    x = torch.tensor([[1.0, 2.0, 0.0], [-1.0, 0.5, -1.0]])
    noise = abduct(model, {"X": x}, ImportanceSampling(), 50_000, seed=0)
    assert noise.log_weights.shape == (50_000,)
    assert noise.ess.shape == noise.pareto_k.shape == (1,)
    truth = x.sum(1) / 4
    assert noise["U_G"].shape[:2] == (50_000, 2)
    found = noise.mean("U_G").reshape(2)
    assert bool(((found - truth).abs() < 4 * 0.5 / noise.ess.sqrt()).all())
    world = counterfactual(model, noise, {"G": 1.0})
    torch.testing.assert_close(world.mean("X"), x + 1.0 - found[:, None], atol=1e-4, rtol=0.0)


def test_units_of_a_plate_have_weights_of_their_own():
    def model():
        with pyro.plate("people", 3):
            hidden_mean()

    x = [1.0, -2.0, 0.0]
    noise = abduct(model, {"X": x}, ImportanceSampling(), DRAWS, seed=0)
    assert noise.log_weights.shape == (DRAWS, 3)
    assert not posterior_misses(noise, np.array(x))
    guided = abduct(model, {"X": x}, InPlate(), DRAWS, seed=0)
    assert guided.log_weights.shape == (DRAWS, 3)
    assert not posterior_misses(guided, np.array(x))


class InPlate(Proposal):
    def __call__(self, evidence):
        with pyro.plate("people", 3):
            pyro.sample("U_Z", dist.Normal(evidence["X"] / 2 + 0.3, 1.0))


# Subsampled plates -----------------------------------------------------------------------------------------------


def test_subsampled_plates_are_exact_where_nothing_is_hidden():
    index = torch.tensor([3, 70, 12])

    def model():
        with pyro.plate("people", 100, subsample=index) as which:
            x = pyro.sample("X", dist.Normal(which.float(), 1.0))
            pyro.sample("Y", dist.Normal(2.0 * x, 1.0))

    evidence = {"X": [3.5, 69.0, 12.0], "Y": [7.0, 138.5, 23.0]}
    noise = abduct(model, evidence)
    torch.testing.assert_close(noise["U_X"], torch.tensor([0.5, -1.0, 0.0]))
    world = counterfactual(model, evidence, {"X": 0.0})
    torch.testing.assert_close(world["Y"], torch.tensor([0.0, 0.5, -1.0]), atol=1e-4, rtol=0.0)


@pytest.mark.parametrize("how", [{"subsample_size": 4}, {"subsample": torch.arange(4)}])
def test_subsampled_plates_with_hidden_sites_are_refused(how):
    """Pyro would count every unit 25 times."""

    def local():
        with pyro.plate("people", 100, **how):
            hidden_mean()

    def shared():
        m = pyro.sample("M", dist.Normal(0.0, 1.0))
        with pyro.plate("people", 100, **how):
            pyro.sample("X", dist.Normal(m, 1.0))

    evidence = {"X": torch.arange(4.0)}
    for model in (local, shared):
        for method in (None, ImportanceSampling(), NUTS(progress=False)):
            with pytest.raises(AbductionError, match=r"the plate 'people' is subsampled.*Declare the plate over"):
                abduct(model, evidence, method)
        with pytest.raises(AbductionError, match="the plate 'people' is subsampled"):
            fit_guide(model, evidence, progress=False)


# Input -----------------------------------------------------------------------------------------------------------


def test_a_dataframe_and_a_dict_are_the_same_evidence():
    frame = pd.DataFrame({"Z": [0.0, 1.0, 2.0], "X": [0, 1, 3]}, index=[10, 20, 30])
    from_frame = abduct(hidden_mean, frame)
    from_dict = abduct(hidden_mean, {name: frame[name].to_numpy() for name in frame})
    for name in ("U_Z", "U_X"):
        assert torch.equal(from_frame[name], from_dict[name])
    torch.testing.assert_close(from_frame["U_X"], torch.tensor([0.0, 0.0, 1.0]))
    hidden = abduct(hidden_mean, frame[["X"]], ImportanceSampling(), 4_000, seed=0)
    assert not posterior_misses(hidden, frame["X"].to_numpy(float))


def test_a_scalar_is_evidence_on_every_unit():
    noise = abduct(hidden_mean, {"Z": 0.5, "X": [1.0, 2.0, 3.0]}, num_samples=2)
    assert noise["U_Z"].shape == noise["U_X"].shape == (2, 3)
    assert torch.equal(noise["U_Z"], torch.full((2, 3), 0.5))
    single = abduct(hidden_mean, {"Z": 0.5, "X": [1.0], "W": [1.0, 2.0]})
    assert single["U_X"].shape == (2,)


def double():
    one = torch.tensor(1.0, dtype=torch.float64)
    z = pyro.sample("Z", dist.Normal(0 * one, one))
    x = pyro.sample("X", dist.Normal(z, one))
    b = pyro.sample("B", dist.Bernoulli(logits=x))
    pyro.sample("Y", dist.Normal(x + z + b, one))


def test_float64_models_are_answered_in_float64():
    evidence = {"Z": [0.1], "X": [0.3], "B": [1.0], "Y": [1.7]}
    world = counterfactual(double, evidence, {"X": 1.0})
    assert {name: value.dtype for name, value in world.items()} == dict.fromkeys("ZXBY", torch.float64)
    exact = counterfactual(double, evidence, {"X": 1.0, "B": 0.0})
    assert abs(float(exact["Y"]) - 1.4) < 1e-15
    noise = abduct(double, {"X": [0.3, -1.0], "Y": [1.7, 0.0]}, ImportanceSampling(), DRAWS, seed=0)
    assert noise["U_Z"].dtype == noise.log_weights.dtype == torch.float64
    law = zoo.LinearGaussianSCM({("U_Z", "X"): 1.0}, {"U_Z": 1.0, "X": 1.0}).conditional({"X": np.array([0.3, -1.0])})
    only_x = abduct(double, {"X": [0.3, -1.0]}, ImportanceSampling(), DRAWS, seed=0)
    assert not gaussian_misses(only_x, law.marginal(["U_Z"]))


def test_learned_parameters_are_neither_sites_nor_noise():
    def model():
        slope = pyro.param("slope", torch.tensor(2.0))
        x = pyro.sample("X", dist.Normal(0.0, 1.0))
        pyro.sample("Y", dist.Normal(slope * x, 1.0))

    with pyro.get_param_store().scope():
        noise = abduct(model, {"X": [1.0], "Y": [2.5]})
        assert list(noise) == ["U_X", "U_Y"]
        assert counterfactual(model, noise, {"X": 0.0})["Y"].tolist() == [0.5]
        assert abduct(model, {"Y": [2.5]}, ImportanceSampling(), 500, seed=0)["U_Y"].shape == (500, 1)


# Seeds -----------------------------------------------------------------------------------------------------------


def states():
    """The global states of torch, Python and NumPy."""
    return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()


EVIDENCE = {"X": [1.0, -0.5]}
METHODS = {
    "importance sampling": ImportanceSampling(),
    "a guide": Proposal(0.2, 1.3),
    "NUTS": NUTS(num_warmup=10, num_chains=2, progress=False),
}


@pytest.mark.filterwarnings(QUIET)
@pytest.mark.parametrize("name", METHODS)
def test_one_seed_gives_one_result_by_every_method(name):
    ask = functools.partial(counterfactual, hidden_mean, EVIDENCE, {"X": 0.0}, METHODS[name], num_samples=20)
    before = states()
    one, again, other = ask(seed=3), ask(seed=3), ask(seed=4)
    assert states() == before
    for site in ("Z", "V", "W"):
        assert torch.equal(one[site], again[site])
        assert not torch.equal(one[site], other[site])
    if one.log_weights is not None:
        assert torch.equal(one.log_weights, again.log_weights)
    torch.randn(1)
    assert torch.equal(ask(seed=3)["Z"], one["Z"])


@pytest.mark.parametrize(
    "ask",
    [
        functools.partial(sample, double, 50),
        functools.partial(abduct, double, {"X": [0.0, 1.0], "Z": 0.0, "B": 1.0}, num_samples=50),
        functools.partial(abduct, double, {"X": [0.0, 1.0], "Z": 0.0, "B": 1.0}),
        functools.partial(counterfactual, double, {"X": 1.0, "Z": 0.0, "B": 1.0}, {"X": dist.Normal(0.0, 1.0)}),
    ],
)
def test_one_seed_gives_one_result_where_no_method_is_needed(ask):
    before = states()
    one, again, other = ask(seed=3), ask(seed=3), ask(seed=4)
    assert states() == before
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    pyro.set_rng_seed(1)
    unseeded = ask()
    pyro.set_rng_seed(1)
    assert all(torch.equal(unseeded[name], value) for name, value in ask().items())
    assert states() != before


def test_hidden_noise_and_discrete_evidence_together_meet_enumeration():
    """A continuous proposal does not exist for them; importance sampling from the prior needs none."""
    scm = zoo.discrete.triangle()
    evidence = {"X": 1, "Y": 0}
    noise = abduct(scm, evidence, ImportanceSampling(), DRAWS, seed=0)
    for do in ({}, {"X": 0}, {"Z": 2}):
        assert not discrete_misses(counterfactual(scm, noise, do), scm.counterfactual(evidence, do))
