"""Hidden parts that are linear with normal noise have a closed form; what is not of this kind is not taken for it."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings, strategies as st

from causal_pyro_models import ImportanceSampling, abduct, counterfactual, worlds
from causal_pyro_models.errors import AbductionError
from tests.inference.exact import linear_case

DRAWS = 20_000


@settings(max_examples=25)
@given(st.integers(0, 10**4))
def test_random_linear_models_meet_their_closed_form(seed):
    """Hidden confounders, partial evidence: mean and variance within 5 standard errors of 20,000 equal draws (one in a
    million for each of about 1,000 figures)."""
    scm, evidence, do = linear_case(seed)
    world = counterfactual(scm, evidence, do, num_samples=DRAWS, seed=seed)
    assert world.log_weights is None
    law = scm.counterfactual(evidence, do)
    for name in law.names:
        x, variance = world[name].double(), torch.as_tensor(law.variance(name)).expand(3)
        mean = torch.as_tensor(law.expectation(name)).expand(3)
        assert bool(((x.mean(0) - mean).abs() <= 5 * (variance / DRAWS).sqrt() + 1e-3).all()), name
        assert bool(((x.var(0) - variance).abs() <= 5 * variance * math.sqrt(2 / DRAWS) + 1e-3).all()), name


def test_a_regression_whose_coefficients_are_parameters():
    """Conjugate: the precision is that of the prior and of the rows, in units of the noise."""
    x = torch.tensor([[1.0, 0.5], [0.0, -1.0], [2.0, 1.0], [-1.0, 0.3]])
    y = torch.tensor([1.0, 0.2, 2.5, -0.7])

    def model():
        slope = pyro.sample("slope", dist.Normal(torch.tensor([1.0, -1.0]), torch.tensor([2.0, 0.5])).to_event(1))
        with pyro.plate("rows", 4):
            pyro.sample("Y", dist.Normal((slope[..., None, :] * x if slope.dim() == 1 else slope * x).sum(-1), 0.8))

    noise = abduct(model, {"Y": y}, num_samples=40_000, seed=0)
    prior = np.diag([1 / 4.0, 1 / 0.25])
    precision = prior + x.T.double().numpy() @ x.double().numpy() / 0.64
    covariance = np.linalg.inv(precision)
    mean = covariance @ (prior @ [1.0, -1.0] + x.T.double().numpy() @ y.double().numpy() / 0.64)
    drawn = noise.parameters["slope"].double().numpy()
    np.testing.assert_allclose(drawn.mean(0), mean, atol=5 * np.sqrt(covariance.max() / 40_000))
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=5 * covariance.max() * math.sqrt(2 / 40_000))


def test_small_noise_and_vectors_keep_their_digits():
    """Z of two parts seen through a line with noise of 1e-3: the part across stays standard normal."""

    def model():
        z = pyro.sample("Z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyro.sample("S", dist.Normal(z.sum(-1), 1e-3))

    noise = abduct(model, {"S": [3.0, -1.0]}, num_samples=DRAWS, seed=0)
    z = noise["U_Z"].double()
    torch.testing.assert_close(z.sum(-1).mean(0), torch.tensor([3.0, -1.0]).double(), atol=1e-3, rtol=0.0)
    assert bool((z.sum(-1).std(0) < 1.1e-3).all())
    across = (z[..., 0] - z[..., 1]) / math.sqrt(2)
    torch.testing.assert_close(across.std(0), torch.ones(2).double(), atol=0.03, rtol=0.0)


def test_a_counterfactual_on_the_exact_posterior():
    def model():
        x = pyro.sample("X", dist.Normal(0.0, 1.0))
        pyro.sample("Y", dist.Normal(x, 1.0))

    result = worlds(model, {"Y": [2.0]}, {"do": {"X": 0.0}, "factual": {}}, num_samples=DRAWS, seed=0)
    y = result["do"]["Y"]
    assert float(y.mean()) == pytest.approx(1.0, abs=0.03) and float(y.var()) == pytest.approx(0.5, abs=0.03)
    torch.testing.assert_close(result["factual"]["Y"], torch.full((DRAWS, 1), 2.0))


def student_cause():
    z = pyro.sample("Z", dist.StudentT(5.0, 0.0, 1.0))
    pyro.sample("X", dist.Normal(z, 1.0))


def student_effect():
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    pyro.sample("X", dist.StudentT(5.0, z, 1.0))


def gamma_cause():
    pyro.sample("X", dist.Normal(pyro.sample("Z", dist.Gamma(2.0, 1.0)), 1.0))


def curved():
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    pyro.sample("X", dist.Normal(z + 0.01 * z**2, 1.0))


def kinked():
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    pyro.sample("X", dist.Normal(torch.where(z > 2.0, 2 * z, z), 1.0))


def scaled():
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    pyro.sample("X", dist.Normal(0.0, (0.1 * z).exp()))


def without_gradient():
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    pyro.sample("X", dist.Normal(z.detach(), 1.0))


def sunk():
    """The gradient shows a half of it only."""
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    pyro.sample("X", dist.Normal(z + z.detach(), 1.0))


def counted():
    pyro.sample("X", dist.Poisson(pyro.sample("Z", dist.Normal(0.0, 1.0)).exp()))


@pytest.mark.parametrize(
    "model", [student_cause, student_effect, gamma_cause, curved, kinked, scaled, without_gradient, sunk, counted]
)
def test_what_is_not_normal_is_not_taken_for_it(model):
    for seed in range(5):
        with pytest.raises(AbductionError, match="bears on"):
            abduct(model, {"X": [1.0, 2.0, 5.0]}, seed=seed)


def test_a_method_that_is_given_is_used():
    def model():
        z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        pyro.sample("X", dist.Normal(z, 1.0))

    assert abduct(model, {"X": [1.0]}, ImportanceSampling(), 500, seed=0).log_weights is not None
    assert abduct(model, {"X": [1.0]}, seed=0)["U_Z"].shape == (1_000, 1)


@pytest.mark.parametrize("precise", [1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize(
    "bend",
    [lambda z: z + 0.3 * z**2, lambda z: torch.tanh(2 * z), lambda z: z**2, torch.relu],
    ids=["bent", "bounded", "square", "relu"],
)
def test_a_part_that_is_known_well_does_not_hide_one_that_is_not_linear(bend, precise):
    def model():
        a = pyro.sample("A", dist.Normal(0.0, 1.0))
        pyro.sample("Y1", dist.Normal(a, precise))
        z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        pyro.sample("Y2", dist.Normal(bend(z), 1.0))

    with pytest.raises(AbductionError, match="pass method"):
        abduct(model, {"Y1": [1.0], "Y2": [2.0]}, num_samples=10, seed=0)


@pytest.mark.parametrize("precise", [1e-1, 1e-2, 1e-3])
def test_a_part_that_is_known_well_does_not_hinder_a_linear_one(precise):
    def model():
        a = pyro.sample("A", dist.Normal(0.0, 1.0))
        pyro.sample("Y1", dist.Normal(a, precise))
        z = pyro.sample("Z", dist.Normal(0.5 * a, 1.0))
        pyro.sample("Y2", dist.Normal(z, 1.0))

    noise = abduct(model, {"Y1": [1.0], "Y2": [2.0]}, num_samples=20_000, seed=0)
    assert float(noise.mean("U_A")) == pytest.approx(1.0, abs=5 * precise)
    assert float(noise.mean("U_Z")) == pytest.approx(0.75, abs=0.03)  # (2 - 0.5) / 2, of standard deviation 0.7
