"""Population-level parameters: posteriors against conjugate closed forms, by every method, and fixed across worlds.

Statistical checks use fixed seeds and 4 standard errors, a false alarm of 6e-5 each.
"""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer.autoguide import AutoMultivariateNormal, AutoNormal
from scipy import stats

from causal_pyro_models import NUTS, ImportanceSampling, abduct, counterfactual, fit_guide, worlds
from tests.inference.exact import chain_error

CHAINS = 4
pytestmark = pytest.mark.filterwarnings("ignore:the chains may not have converged")  # they are short


def by_importance(model, evidence):
    return abduct(model, evidence, ImportanceSampling(), 40_000, seed=0)


def by_guide(model, evidence, kind=AutoNormal):
    guide = fit_guide(model, evidence, kind, steps=500, learning_rate=0.02, seed=0, progress=False)
    return abduct(model, evidence, guide, 20_000, seed=0)


def by_nuts(model, evidence):
    return abduct(model, evidence, NUTS(num_warmup=80, num_chains=CHAINS, progress=False), 480, seed=0)


METHODS = {"importance sampling": by_importance, "a guide": by_guide, "NUTS": by_nuts}


def misses(noise, draws, truth):
    """Whether the mean or variance of ``(draws,)`` is more than 4 standard errors off that of a law of SciPy."""
    draws = draws.double()
    square = (draws - draws.mean()).square()
    found = []
    for what, values, exact in (("mean", draws, truth.mean()), ("variance", square, truth.var())):
        value = float(values.mean())
        if noise.log_weights is None:
            error = float(chain_error(values, CHAINS))
        else:
            error = float(values.std() / noise.ess.min().sqrt())
        if not abs(value - exact) <= 4 * error:
            found.append((what, value, exact, error))
    return found


NORMAL = torch.tensor([0.3, 1.4, -0.2, 0.9, 2.0])
COUNTS = torch.tensor([2.0, 0.0, 3.0, 1.0, 1.0, 4.0])
TOSSES = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0])


def normal_mean():
    m = pyro.sample("parameter", dist.Normal(0.0, 1.0))
    with pyro.plate("people", len(NORMAL)):
        pyro.sample("X", dist.Normal(m, 1.0))


def poisson_rate():
    rate = pyro.sample("parameter", dist.Gamma(2.0, 1.0))
    with pyro.plate("people", len(COUNTS)):
        pyro.sample("X", dist.Poisson(rate))


def probability():
    p = pyro.sample("parameter", dist.Beta(2.0, 2.0))
    with pyro.plate("people", len(TOSSES)):
        pyro.sample("X", dist.Bernoulli(p))


CONJUGATE = {
    "normal mean": (normal_mean, NORMAL, stats.norm(float(NORMAL.sum()) / 6, math.sqrt(1 / 6))),
    "Poisson rate": (poisson_rate, COUNTS, stats.gamma(2 + float(COUNTS.sum()), scale=1 / (1 + len(COUNTS)))),
    "probability": (probability, TOSSES, stats.beta(2 + float(TOSSES.sum()), 2 + float((1 - TOSSES).sum()))),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CONJUGATE)
def test_conjugate_posteriors(case, method):
    model, data, truth = CONJUGATE[case]
    noise = METHODS[method](model, {"X": data})
    draws = noise.parameters["parameter"]
    assert draws.shape == (noise.num_draws,)
    assert not misses(noise, draws, truth)


SLOPE_X, SLOPE_Y = torch.tensor([-1.0, 0.5, 2.0, 1.0]), torch.tensor([-0.5, 1.0, 3.0, 0.2])


def regression():
    """Y = slope * X + noise: the slope given X and Y is Normal(xy / (1 + xx), 1 / sqrt(1 + xx))."""
    slope = pyro.sample("slope", dist.Normal(0.0, 1.0))
    with pyro.plate("people", 4):
        x = pyro.sample("X", dist.Normal(0.0, 1.0))
        pyro.sample("Y", dist.Normal(slope * x, 1.0))


@pytest.mark.parametrize("method", METHODS)
def test_worlds_hold_the_parameter_that_was_drawn(method):
    """Y* = Y + slope (x* - X) in every draw, so that its mean and variance are those of the slope, moved and scaled."""
    noise = METHODS[method](regression, {"X": SLOPE_X, "Y": SLOPE_Y})
    result = worlds(regression, noise, {"factual": {}, "none": {"X": 0.0}, "more": {"X": lambda x: x + 1.0}})
    slope = noise.parameters["slope"]
    for name, x in (("factual", SLOPE_X), ("none", 0 * SLOPE_X), ("more", SLOPE_X + 1.0)):
        assert torch.equal(result[name]["slope"], slope)
        torch.testing.assert_close(result[name]["Y"], SLOPE_Y + slope[:, None] * (x - SLOPE_X), atol=1e-5, rtol=1e-5)
    precision = 1 + float(SLOPE_X @ SLOPE_X)
    posterior = stats.norm(float(SLOPE_X @ SLOPE_Y) / precision, precision**-0.5)
    for unit, moved, step in ((2, result["none"]["Y"], float(-SLOPE_X[2])), (0, result["more"]["Y"], 1.0)):
        truth = stats.norm(float(SLOPE_Y[unit]) + step * posterior.mean(), abs(step) * posterior.std())
        assert not misses(noise, moved[:, unit], truth)


@pytest.mark.parametrize("method", [by_importance, lambda m, e: by_guide(m, e, AutoMultivariateNormal), by_nuts])
def test_a_parameter_and_hidden_noise_of_each_unit(method):
    """X_i = M + Z_i + error: all of M and Z given X are jointly normal, M through the mean of X alone."""

    def model():
        m = pyro.sample("M", dist.Normal(0.0, 1.0))
        with pyro.plate("people", 3):
            z = pyro.sample("Z", dist.Normal(0.0, 1.0))
            pyro.sample("X", dist.Normal(m + z, 1.0))

    x = np.array([2.0, 0.0, 1.0])
    noise = method(model, {"X": torch.tensor(x).float()})
    precision = 1 + 3 / 2  # of M: that of its prior, and 3 units of variance 2
    mean = x.sum() / 2 / precision
    assert not misses(noise, noise.parameters["M"], stats.norm(mean, precision**-0.5))
    for i in range(3):
        law = stats.norm((x[i] - mean) / 2, math.sqrt(0.5 + 0.25 / precision))
        assert not misses(noise, noise["U_Z"][:, i], law)
        again = counterfactual(model, noise, {"M": 0.0})["X"][:, i]
        torch.testing.assert_close(again, float(x[i]) - noise.parameters["M"], atol=1e-5, rtol=1e-5)


def test_an_observed_parameter_needs_no_method():
    noise = abduct(regression, {"slope": 0.5, "X": SLOPE_X, "Y": SLOPE_Y})
    torch.testing.assert_close(noise["U_Y"], SLOPE_Y - 0.5 * SLOPE_X)
    assert noise.parameters["slope"] == 0.5
    assert "U_slope" not in noise


def test_parameters_without_evidence_come_from_their_prior():
    noise = abduct(regression, {"X": SLOPE_X}, num_samples=20_000, seed=0)
    assert abs(float(noise.parameters["slope"].mean())) < 4 / math.sqrt(20_000)
    assert abs(float(noise.parameters["slope"].var()) - 1.0) < 4 * math.sqrt(2 / 20_000)


def test_a_shift_of_a_parameter_is_of_its_posterior_draws():
    noise = abduct(normal_mean, {"X": NORMAL}, num_samples=100, seed=0)
    shift = {"parameter": lambda value: value + 1.0}
    result = worlds(
        normal_mean, noise, {"seen": {}, "shifted": shift, "twice": {"parameter": lambda value: 2.0 * value}}
    )
    seen = result["seen"]["parameter"]
    assert torch.equal(result["shifted"]["parameter"], seen + 1.0) and torch.equal(
        result["twice"]["parameter"], 2 * seen
    )
    torch.testing.assert_close(result["shifted"]["X"], (NORMAL + 1.0).expand(100, -1), rtol=0.0, atol=1e-5)
