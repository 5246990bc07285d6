"""Calibration passes the exact posterior of normal models and finds those that are off."""

from dataclasses import dataclass

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from causal_pyro_models.errors import AbductionError, CausalError, CausalWarning, ModelError, UnknownVariableError
from causal_pyro_models.inference.calibration import LOG_LIKELIHOOD, Calibration, ecdf_band, sbc
from causal_pyro_models.inference.importance import ImportanceSampling
from causal_pyro_models.inference.posterior import Posterior

pytestmark = pytest.mark.filterwarnings("ignore:.*warnings in the simulations")


def model():
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    pyro.sample("X", dist.Normal(z, 1.0))


def population():
    mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
    with pyro.plate("units", 3):
        pyro.sample("X", dist.Normal(mu, 1.0))


@dataclass(frozen=True)
class Conjugate:
    """Draws of the exact posterior of ``latent`` given X, its mean and scale off by what is asked."""

    latent: str = "U_Z"
    shift: float = 0.0
    scale: float = 1.0
    use_evidence: bool = True

    def draw(self, conditioned, relevant, num_samples):
        x = conditioned.evidence["X"]
        n = x.shape[-1] if self.latent == "mu" else 1
        total = x.sum(-1, keepdim=True) if self.latent == "mu" else x
        mean, sd = (total / (n + 1), (n + 1) ** -0.5) if self.use_evidence else (torch.zeros_like(total), 1.0)
        noise = torch.randn(num_samples, *total.shape)
        return Posterior({self.latent: mean + sd * (self.shift + self.scale * noise)})


def run(method, evidence=("X",), of=model, n=2_000, samples=100, seed=0):
    return sbc(of, method, list(evidence), n, samples, seed=seed, progress=False)


def test_exact_posterior_is_calibrated():
    result = run(Conjugate())  # false alarm 0.01, the level of the test
    assert set(result.ranks) == {"U_Z", "U_X", LOG_LIKELIHOOD}
    assert result.calibrated, result
    assert all(ranks.min() >= 0 and ranks.max() <= 99 and len(ranks) == 2_000 for ranks in result.ranks.values())


@pytest.mark.parametrize(
    "wrong", [{"scale": 0.85}, {"scale": 1.2}, {"shift": 0.15}, {"shift": -0.15}], ids=lambda w: str(w)
)
def test_posterior_that_is_off_is_found(wrong):
    result = run(Conjugate(**wrong))  # power over 0.99 for each
    assert not result.calibrated
    assert result.p_values.loc["U_Z", "adjusted"] < 0.01


def test_scale_off_by_a_tenth_is_found():
    assert not run(Conjugate(scale=0.9), n=4_000).calibrated  # power over 0.99


def test_method_that_ignores_the_evidence_is_found_by_the_likelihood_alone():
    result = run(Conjugate(use_evidence=False))
    assert result.p_values.loc["U_Z", "adjusted"] > 0.01
    assert result.p_values.loc[LOG_LIKELIHOOD, "adjusted"] < 0.01


def test_point_estimate_is_found():
    assert not run(Conjugate(scale=0.0), n=200).calibrated


def test_importance_sampling_is_calibrated():
    assert run(ImportanceSampling(), samples=4_000, n=1_000).calibrated


@pytest.mark.parametrize(("scale", "calibrated"), [(1.0, True), (0.6, False)])
def test_population_level_parameters(scale, calibrated):
    result = run(Conjugate("mu", scale=scale), of=population, n=200)  # power over 0.99
    assert set(result.ranks) == {"mu", "U_X", LOG_LIKELIHOOD}
    assert result.calibrated is calibrated


def test_exact_noise_of_discrete_sites_is_calibrated():
    def discrete():
        a = pyro.sample("A", dist.Bernoulli(0.3))
        b = pyro.sample("B", dist.Categorical(logits=torch.stack([a, -a, 0.5 * a], -1)))
        pyro.sample("C", dist.Poisson(1.0 + b))
        pyro.sample("D", dist.Normal(a, 1.0))

    result = run(None, ["A", "B", "C", "D"], discrete)
    assert set(result.ranks) == {"U_A", "U_B[0]", "U_B[1]", "U_B[2]", "U_C"}  # U_D is fixed
    assert result.calibrated, result


def test_vector_sites():
    def vector():
        z = pyro.sample("Z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyro.sample("X", dist.Normal(z.sum(-1), 1.0))

    result = run(ImportanceSampling(), of=vector, samples=2_000, n=500)
    assert set(result.ranks) == {"U_Z[0]", "U_Z[1]", "U_X", LOG_LIKELIHOOD}
    assert result.calibrated


def test_same_seed_same_ranks_and_global_state_untouched():
    before = torch.get_rng_state()
    first, second, other = (run(Conjugate(), n=50, seed=s) for s in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all((first.ranks[name] == second.ranks[name]).all() for name in first.ranks)
    assert not (first.ranks["U_Z"] == other.ranks["U_Z"]).all()


def test_batches_join_in_order(monkeypatch):
    monkeypatch.setattr("causal_pyro_models.inference.calibration.BATCH", 100 * 40)
    result = run(Conjugate(shift=0.5), n=101)
    assert len(result.ranks["U_Z"]) == 101
    assert result.ranks["U_Z"].mean() == pytest.approx(99 * 0.362, abs=16)  # P(N(0.5, 2) < 0); 5 standard errors


def test_false_alarms_come_at_the_stated_rate():
    rng = np.random.default_rng(0)
    alarms = sum(not Calibration({n: rng.integers(0, 100, 300) for n in "abc"}, 99, 0.1).calibrated for _ in range(400))
    assert alarms <= 66  # at most Binomial(400, 0.1): exceeded with probability 3e-5
    assert alarms >= 8  # and not for want of alarms


def test_band_holds_as_a_whole():
    rng = np.random.default_rng(1)
    z, lower, upper = ecdf_band(500, 19, 0.1)
    ranks = rng.integers(0, 20, (2_000, 500))
    ecdf = (ranks[:, :, None] <= np.arange(19)).mean(1)
    inside = ((ecdf >= lower) & (ecdf <= upper)).all(1).mean()
    assert inside == pytest.approx(0.9, abs=0.04)  # standard error 0.007, and the steps of a discrete law
    assert (np.diff(z) > 0).all()
    assert (lower < z).all() and (z < upper).all()


def test_low_effective_sample_size_is_reported_once():
    with pytest.warns(CausalWarning, match="warnings in the simulations") as caught:
        run(ImportanceSampling(), n=200, samples=150)
    assert len(caught) == 1


def test_repr_says_what_failed():
    text = repr(run(Conjugate(scale=0.5), n=500))
    assert text.startswith("not calibrated (alpha 0.01): 500 simulations, ranks among 99 draws")
    assert "U_Z" in text


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"evidence": []}, CausalError, "at least one"),
        ({"evidence": "X"}, CausalError, "list of names"),
        ({"evidence": ["W"]}, UnknownVariableError, "unknown site 'W'"),
        ({"num_samples": 50}, CausalError, "at least num_ranked"),
        ({"num_simulations": 0}, CausalError, "at least 1"),
        ({"alpha": 1.5}, CausalError, "between 0 and 1"),
        ({"evidence": ["X", "Z"], "method": None}, CausalError, "nothing open"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, message):
    given = {"method": Conjugate(), "evidence": ["X"], "num_simulations": 20, "num_samples": 99, **arguments}
    with pytest.raises(error, match=message):
        sbc(model, **given, seed=0, progress=False)


def test_observed_model_is_refused():
    def observed():
        z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        pyro.sample("X", dist.Normal(z, 1.0), obs=torch.tensor(1.0))

    with pytest.raises(ModelError, match=r"\['X'\] are observed"):
        run(Conjugate(), of=observed)


def test_draws_that_are_not_finite_are_refused():
    def nan(conditioned, relevant, num_samples):
        return Posterior({"mu": torch.full((num_samples, 1), torch.nan)})

    broken = type("Broken", (), {"draw": staticmethod(nan)})()
    with pytest.raises((AbductionError, CausalError), match="finite"):
        run(broken, of=population, n=5)
