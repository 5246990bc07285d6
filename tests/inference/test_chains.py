"""R-hat and effective sample sizes of many scalars at once are those of ArviZ, and of chains whose law is known."""

import arviz
import numpy as np
import pytest
import xarray as xr

from causal_pyro_models.inference.chains import TAILS, bulk_effective_sample_size, r_hat, tail_effective_sample_size


def autoregression(chains, draws, phi, seed=0, scalars=3):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(chains, draws, scalars)) / np.sqrt(1 - phi**2)
    for t in range(1, draws):
        x[:, t] = phi * x[:, t - 1] + rng.normal(size=(chains, scalars))
    return x


@pytest.mark.parametrize("shape", ["as they are", "ties", "apart", "narrower"])
@pytest.mark.parametrize("draws", [4, 5, 6, 7, 50, 201])
@pytest.mark.parametrize("phi", [-0.5, 0.0, 0.9])
@pytest.mark.parametrize("chains", [1, 4])
def test_they_are_those_of_arviz(chains, phi, draws, shape):
    x = autoregression(chains, draws, phi)
    x = {"as they are": x, "ties": np.round(4 * x), "apart": x, "narrower": x}[shape]
    x[0] = x[0] + 2.0 if shape == "apart" else 0.2 * x[0] if shape == "narrower" else x[0]
    data = xr.Dataset({"x": (["chain", "draw", "scalar"], x)})
    np.testing.assert_allclose(bulk_effective_sample_size(x), arviz.ess(data, method="bulk")["x"], rtol=1e-6)
    tails = arviz.ess(data, method="tail", prob=TAILS)["x"]  # ArviZ 1.x has others by default
    np.testing.assert_allclose(tail_effective_sample_size(x), tails, rtol=1e-6)
    if chains > 1:
        np.testing.assert_allclose(r_hat(x), arviz.rhat(data)["x"], rtol=1e-6)


@pytest.mark.parametrize("phi", [-0.3, 0.0, 0.6])
def test_the_effective_sample_size_of_an_autoregression(phi):
    """(1 - phi) / (1 + phi) of the draws, within a tenth: 5 standard errors of the estimate."""
    x = autoregression(4, 5_000, phi)
    np.testing.assert_allclose(bulk_effective_sample_size(x), 20_000 * (1 - phi) / (1 + phi), rtol=0.1)
    assert (r_hat(x) < 1.01).all()


def test_a_constant_has_all_its_draws():
    assert bulk_effective_sample_size(np.ones((2, 10, 1))).tolist() == [20.0]
