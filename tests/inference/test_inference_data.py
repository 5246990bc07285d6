"""What is written to InferenceData is what was drawn, in dimensions that have names."""

import warnings

import arviz
import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch

from causal_pyro_models.errors import CausalError, DataError
from causal_pyro_models.inference.abduction import abduct
from causal_pyro_models.inference.draws import Noise
from causal_pyro_models.inference.importance import ImportanceSampling
from causal_pyro_models.inference.inference_data import to_inference_data
from causal_pyro_models.inference.prediction import counterfactual, sample, worlds

EVIDENCE = {"X": [0.5, -1.0, 2.0]}


def model():
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    x = pyro.sample("X", dist.Normal(z, 1.0))
    pyro.sample("W", dist.Normal(torch.stack([x, z], -1), 1.0).to_event(1))


def population():
    mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
    with pyro.plate("groups", 2, dim=-2), pyro.plate("units", 3, dim=-1):
        pyro.sample("X", dist.Normal(mu, 1.0))


def weighted(n=4_000, evidence=EVIDENCE):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return abduct(model, evidence, ImportanceSampling(), n, seed=0)


def test_worlds_lie_along_a_dimension_of_their_own():
    noise = abduct(model, {"Z": [0.0, 1.0, 2.0], "X": [0.5, 1.5, 2.5]}, num_samples=7, seed=0)
    result = worlds(model, noise, {"as it was": {}, "high": {"X": 3.0}, "low": {"X": -3.0}})
    data = to_inference_data(counterfactual=result)
    group = data.counterfactual
    assert group["W"].dims == ("chain", "draw", "world", "unit", "W_dim_0")
    assert list(group["world"].values) == ["as it was", "high", "low"]
    for name in result:
        for site in ("Z", "X", "W"):
            want = result[name][site].expand(7, 3, *result[name][site].shape[2:])
            np.testing.assert_array_equal(group[site].sel(world=name)[0], want)
    assert (group["X"].sel(world="high") == 3.0).all()


def test_one_world_has_no_such_dimension():
    noise = abduct(model, {"Z": 0.0, "X": [0.5, 1.5]}, seed=0)
    data = to_inference_data(counterfactual=counterfactual(model, noise, {"X": 1.0}))
    assert data.counterfactual["Z"].dims == ("chain", "draw", "unit")
    assert data.counterfactual["Z"].shape == (1, 1, 2)


def test_groups_of_a_whole_analysis_survive_netcdf(tmp_path):
    noise = weighted()
    result = worlds(model, noise, {"do": {"Z": 1.0}, "factual": {}})
    data = to_inference_data(
        prior=sample(model, 50, seed=0),
        posterior=noise,
        predictive=result["factual"],
        counterfactual=result,
        observed=pd.DataFrame(EVIDENCE),
    )
    assert set(data) == {
        "prior", "prior_predictive", "posterior", "sample_stats", "posterior_predictive", "counterfactual",
        "observed_data",
    }  # fmt: skip
    assert list(data.prior_predictive) == ["X"] and set(data.prior) == {"Z", "W"}
    assert dict(data.prior.sizes) == {"chain": 1, "draw": 50, "W_dim_0": 2}
    assert set(data.posterior) == {"U_Z", "U_X", "U_W"}
    np.testing.assert_allclose(data.observed_data["X"], EVIDENCE["X"])
    data.to_netcdf(tmp_path / "draws.nc")
    back = arviz.from_netcdf(tmp_path / "draws.nc")
    for group in data:
        assert back[group].equals(data[group]), group
    assert "resampled" in back.posterior.attrs


def test_weights_become_frequencies():
    noise = weighted(20_000)
    data = to_inference_data(posterior=noise)
    mean = data.posterior["U_Z"].mean(["chain", "draw"])
    np.testing.assert_allclose(mean, noise.mean("U_Z"), atol=0.01)  # systematic resampling adds little
    np.testing.assert_allclose(mean, np.array(EVIDENCE["X"]) / 2, atol=0.05)  # closed form; 5 standard errors
    np.testing.assert_allclose(data.posterior["U_Z"].std(["chain", "draw"]), 0.5**0.5, atol=0.05)
    assert "ArviZ does not know" in data.posterior.attrs["resampled"]
    np.testing.assert_allclose(data.sample_stats["ess"], noise.ess)
    np.testing.assert_allclose(data.sample_stats["pareto_k"], noise.pareto_k)


def test_each_draw_keeps_its_weight():
    noise = weighted(500)
    data = to_inference_data(posterior=noise)
    weight, drawn = data.sample_stats["weight"].values[0], data.posterior["U_Z"].values[0]
    for unit in range(3):
        of = dict(zip(noise.proposed["U_Z"][:, unit].tolist(), noise.log_weights[:, unit].exp().tolist(), strict=True))
        np.testing.assert_allclose(weight[:, unit], [of[u] for u in drawn[:, unit].tolist()])


def test_groups_are_resampled_alike():
    noise = weighted()
    data = to_inference_data(posterior=noise, counterfactual=worlds(model, noise, {"factual": {}, "do": {"X": 0.0}}))
    z = data.counterfactual["Z"]
    np.testing.assert_allclose(data.posterior["U_Z"], z.sel(world="factual"))
    np.testing.assert_array_equal(z.sel(world="factual"), z.sel(world="do"))
    np.testing.assert_array_equal(data.posterior["U_Z"].values[0], noise["U_Z"])


def test_draws_of_equal_weight_stay_as_they_are():
    noise = abduct(model, {"Z": 0.0, "X": 1.0}, num_samples=20, seed=0)
    data = to_inference_data(posterior=noise)
    np.testing.assert_array_equal(data.posterior["U_W"][0], noise["U_W"])
    assert "resampled" not in data.posterior.attrs and "sample_stats" not in data


def test_chains_are_split_in_order():
    u = torch.arange(12.0).reshape(12, 1)
    noise = Noise({"U_X": u}, {"U_X": 0}, 12, chains=4, divergences=(0, 1, 0, 2))
    data = to_inference_data(posterior=noise)
    np.testing.assert_array_equal(data.posterior["U_X"].values[:, :, 0], np.arange(12).reshape(4, 3))
    np.testing.assert_array_equal(data.sample_stats["divergences"], [0, 1, 0, 2])
    assert "diverging" not in data.sample_stats


def test_plates_and_parameters():
    draws = sample(population, 5, seed=0)
    x = torch.zeros(2, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        noise = abduct(population, {"X": x}, ImportanceSampling(), 200, seed=0)
    data = to_inference_data(prior=draws, posterior=noise, predictive=None)
    assert data.prior["X"].dims == ("chain", "draw", "X_plate_0", "unit") and data.prior["X"].shape == (1, 5, 2, 3)
    assert data.posterior["mu"].dims == ("chain", "draw") and data.posterior["mu"].shape == (1, 200)
    assert data.posterior["U_X"].dims == ("chain", "draw", "U_X_plate_0", "unit")
    # the noise still belongs to the parameter of its own draw: X = mu + U_X = 0
    np.testing.assert_allclose(data.posterior["U_X"] + data.posterior["mu"], 0.0, atol=1e-6)


def test_arviz_summary_runs_on_it():
    summary = arviz.summary(to_inference_data(posterior=weighted(200)), var_names=["U_Z"])
    assert list(summary.index) == ["U_Z[0]", "U_Z[1]", "U_Z[2]"]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, CausalError, "nothing to convert"),
        ({"prior": {"Z": torch.zeros(3)}}, CausalError, "prior must be Draws, got dict"),
        ({"posterior": sample(model, 2)}, CausalError, "posterior must be Noise, got Draws"),
        ({"counterfactual": 3}, CausalError, "counterfactual must be Draws or Worlds, got int"),
        ({"observed": 3}, CausalError, "observed must be a dict"),
        ({"observed": {"X": ["a", "b"]}}, DataError, "'X' must be numbers"),
    ],
)
def test_bad_arguments_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        to_inference_data(**given)
