"""The word converged is given only to draws that earn it."""

import math
import warnings

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings, strategies as st

from causal_pyro_models.errors import CausalError
from causal_pyro_models.inference.abduction import abduct
from causal_pyro_models.inference.diagnostics import INDEPENDENT, MARKOV_CHAINS, WEIGHTED, diagnose
from causal_pyro_models.inference.draws import Noise
from causal_pyro_models.inference.importance import ImportanceSampling
from causal_pyro_models.inference.inference_data import to_inference_data
from causal_pyro_models.inference.mcmc import NUTS
from causal_pyro_models.inference.prediction import counterfactual, worlds


def model():
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    pyro.sample("X", dist.Normal(z, 1.0))


def chained(values, divergences=None):
    """Noise as if from Markov chains, from draws ``(chains, draws)``."""
    chains, draws = values.shape[:2]
    flat = torch.as_tensor(values).reshape(chains * draws, *values.shape[2:])
    return Noise(
        {"U_Z": flat},
        {"U_Z": 0},
        chains * draws,
        chains=chains,
        divergences=tuple(divergences or [0] * chains),
        parameters={},
    )


def normal(chains=4, draws=1_000, seed=0):
    return np.random.default_rng(seed).normal(size=(chains, draws, 1))


def autoregressive(rho, draws=1_000):
    noise = normal(4, draws)
    for t in range(1, draws):
        noise[:, t] = rho * noise[:, t - 1] + math.sqrt(1 - rho**2) * noise[:, t]
    return noise


def test_independent_chains_converge_with_the_sample_size_they_have():
    report = diagnose(chained(normal()))
    assert report.converged and report.kind == MARKOV_CHAINS and report.reasons == []
    assert (report.draws, report.chains, report.divergences) == (4_000, 4, 0)
    assert report.table.loc["U_Z[0]", "r_hat"] < 1.01
    assert report.table.loc["U_Z[0]", "ess_bulk"] == pytest.approx(4_000, rel=0.15)


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_effective_sample_size_of_autoregressive_chains(rho):
    report = diagnose(chained(autoregressive(rho)))
    assert report.table.loc["U_Z[0]", "ess_bulk"] == pytest.approx(4_000 * (1 - rho) / (1 + rho), rel=0.25)


@pytest.mark.parametrize(
    ("noise", "reason"),
    [
        (chained(normal(chains=3)), "3 chains"),
        (chained(normal(chains=1)), "1 chain,"),
        (chained(normal() + np.array([0, 0, 0, 1.0])[:, None, None]), "R-hat over 1.01"),
        (chained(normal() * np.array([1, 1, 1, 4.0])[:, None, None]), "R-hat over 1.01"),
        (chained(np.arange(4.0)[:, None, None] * np.ones((4, 500, 1))), "R-hat over 1.01 for U_Z[0], max nan"),
        (chained(autoregressive(0.99)), "bulk effective sample size under 100 a chain"),
        (chained(normal(draws=50)), "effective sample size under 100 a chain"),
        (chained(normal(), [0, 0, 1, 0]), "1 divergent transitions of 4000"),
        (chained(np.where(np.arange(1_000)[:, None] == 3, np.nan, normal())), "max nan"),
        (chained(np.ones((4, 100, 1))), "nothing varies"),
    ],
    ids=["three", "one", "shifted", "wider", "stuck", "slow", "short", "divergent", "nan", "constant"],
)
def test_the_word_converged_is_refused(noise, reason):
    report = diagnose(noise)
    assert not report.converged
    assert any(reason in r for r in report.reasons), report.reasons
    assert "not converged" in repr(report)


def test_what_the_evidence_fixes_is_left_out():
    values = np.concatenate([normal(), np.full((4, 1_000, 1), 0.7)], 2)
    report = diagnose(chained(values))
    assert list(report.table.index) == ["U_Z[0]"] and report.converged


def test_every_scalar_has_a_row():
    noise = Noise(
        {"U_X": torch.randn(400, 2, 3)},
        {"U_X": 1, "mu": 0},
        400,
        chains=4,
        divergences=(0,) * 4,
        parameters={"mu": torch.randn(400)},
    )
    assert list(diagnose(noise).table.index) == ["mu", *(f"U_X[{i},{j}]" for i in range(2) for j in range(3))]


@settings(max_examples=25)
@given(shift=st.floats(0.5, 5.0), chain=st.integers(0, 3))
def test_a_chain_elsewhere_is_always_found(shift, chain):
    values = normal(draws=250)
    values[chain] += shift
    assert not diagnose(chained(values)).converged


def test_of_sampler_and_of_what_it_is_written_to():
    nuts = NUTS(num_warmup=20, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        noise = abduct(model, {"X": 2.0}, method=nuts, num_samples=80, seed=1)
    direct, written = diagnose(noise), diagnose(to_inference_data(posterior=noise))
    assert direct.kind == written.kind == MARKOV_CHAINS
    np.testing.assert_allclose(direct.table.loc["U_Z[0]"], written.table.loc["U_Z[0]"])
    assert direct.reasons == written.reasons and direct.chains == written.chains == 4


def test_importance_weights_are_judged_unit_by_unit():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        noise = abduct(model, {"X": [0.5, 9.0]}, ImportanceSampling(), 5_000, seed=0)
    report = diagnose(noise)
    assert report.kind == WEIGHTED and not report.converged
    assert len(report.reasons) == 2 and all("unit 1" in r and "unit 0" not in r for r in report.reasons)
    np.testing.assert_allclose(report.table["ess"], noise.ess)
    again = diagnose(to_inference_data(posterior=noise))
    assert again.reasons == report.reasons and again.kind == WEIGHTED
    assert diagnose(worlds(model, noise, {"do": {"Z": 0.0}})).reasons == report.reasons


def test_good_weights_are_trusted():
    report = diagnose(abduct(model, {"X": [0.5, -0.2]}, ImportanceSampling(), 5_000, seed=0))
    assert report.converged and (report.table["ess"] > 100).all()


@pytest.mark.parametrize("k", [0.71, math.nan, math.inf])
def test_bad_pareto_k_is_refused(k):
    weights = torch.log_softmax(torch.randn(1_000, 1), 0)
    noise = Noise({"U_Z": torch.randn(1_000, 1)}, {"U_Z": 0}, 1_000, weights, torch.tensor([500.0]), torch.tensor([k]))
    assert diagnose(noise).reasons[0].startswith("Pareto k-hat over 0.7 for unit 0")


def test_equal_weights_have_no_tail_to_judge():
    weights = torch.full((1_000, 1), -math.log(1_000))
    ess, k = torch.tensor([1_000.0]), torch.tensor([math.inf])
    assert diagnose(Noise({"U_Z": torch.randn(1_000, 1)}, {"U_Z": 0}, 1_000, weights, ess, k)).converged


def test_exact_draws_have_nothing_to_converge():
    exact = abduct(model, {"X": [1.0, 2.0], "Z": 0.0}, num_samples=10, seed=0)
    for result in (exact, to_inference_data(posterior=exact), counterfactual(model, exact, {"Z": 1.0})):
        report = diagnose(result)
        assert report.converged and report.kind == INDEPENDENT and report.draws == 10
        assert "exact" in repr(report)


def test_draws_of_chains_that_they_do_not_record_are_refused():
    noise = chained(normal())
    dependent = Noise(noise.sites, noise.event_dims, 4_000, ess=torch.tensor([900.0]))
    assert "diagnose the noise" in diagnose(dependent).reasons[0]


def test_repr_shows_the_worst_first():
    values = np.concatenate([normal(seed=i) for i in range(20)], 2)
    values[0, :, 13] += 3.0
    lines = repr(diagnose(chained(values))).splitlines()
    assert lines[0] == "4000 draws in 4 Markov chains, 0 divergent: not converged"
    assert (
        next(line for line in lines if line.startswith("U_Z")).startswith("U_Z[13]")
        and lines[-1] == "... and 10 better ones"
    )


@pytest.mark.parametrize("wrong", [None, 3, {"U_Z": torch.zeros(3)}, "posterior"])
def test_anything_else_is_refused(wrong):
    with pytest.raises(CausalError, match="diagnose takes"):
        diagnose(wrong)
