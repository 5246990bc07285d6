"""NUTS over noise against closed forms; its seeds, progress bars and what it records.

Means and variances lie within 4 standard errors, which take autocorrelation into account: a false alarm of 6e-5 each.
"""

import math
import re

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from causal_pyro_models import NUTS, abduct, counterfactual
from causal_pyro_models.errors import CausalWarning, QueryError
from causal_pyro_models.scm import zoo
from tests.inference.exact import chain_error, chain_misses, linear_case
from tests.inference.test_abduction import QUIET, double, hidden_mean

pytestmark = pytest.mark.filterwarnings(QUIET)


def test_a_random_linear_model_with_hidden_confounders_and_partial_evidence():
    scm, evidence, do = linear_case(0, units=2)
    noise = abduct(scm, evidence, NUTS(num_warmup=60, num_chains=4, progress=False), 400, seed=0)
    assert not chain_misses(counterfactual(scm, noise, do), scm.counterfactual(evidence, do), chains=4)


def test_the_hidden_confounder_of_a_treatment():
    scm, evidence = zoo.linear.confounded(), {"X": np.array([1.0, -2.0]), "Y": np.array([3.0, 0.0])}
    noise = abduct(scm, evidence, NUTS(num_warmup=80, progress=False), 800, seed=1)
    for do in ({"X": 0.0}, {"X": lambda x: x + 1.0}, {"U": 1.0}):
        world = counterfactual(scm, noise, do)
        assert not chain_misses(world, scm.counterfactual(evidence, do), chains=4)
    assert world.log_weights is None
    assert world.pareto_k is None
    assert torch.equal(world.ess, noise.ess)
    assert (noise.chains, noise.divergences) == (4, (0, 0, 0, 0))
    assert noise["U_U"].shape == (800, 2)
    assert 160 < float(noise.ess) <= 3_200


def test_hidden_noise_beyond_the_evidence_comes_from_the_prior():
    noise = abduct(hidden_mean, {"X": [1.0]}, NUTS(num_warmup=60, progress=False), 400, seed=0)
    assert noise["U_V"].shape == (400, 1)
    assert abs(float(noise["U_V"].mean())) < 4 / math.sqrt(400)
    assert abs(float(noise["U_Z"].mean()) - 0.5) < 4 * float(chain_error(noise["U_Z"], 4))


def test_positive_vector_and_float64_noise():
    def model():
        s = pyro.sample("S", dist.Exponential(1.0))
        z = pyro.sample("Z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyro.sample("X", dist.Exponential(s))
        pyro.sample("Y", dist.Normal(z.sum(-1), 1.0))

    noise = abduct(model, {"X": [0.5, 0.5], "Y": [3.0, -1.5]}, NUTS(60, progress=False), 400, seed=0)
    assert noise["U_Z"].shape == (400, 2, 2)
    for draws, truth in ((noise["U_S"], 2 / 1.5), (noise["U_Z"], torch.tensor([[1.0, 1.0], [-0.5, -0.5]]))):
        assert bool(((draws.mean(0) - truth).abs() < 4 * chain_error(draws, 4)).all())
    wide = abduct(double, {"X": [0.3]}, NUTS(20, num_chains=1, progress=False), 20, seed=0)
    assert wide["U_Z"].dtype == torch.float64


def test_groups_and_people_in_plates():
    def model():
        with pyro.plate("groups", 2, dim=-2):
            g = pyro.sample("G", dist.Normal(0.0, 1.0))
            with pyro.plate("people", 3, dim=-1):
                pyro.sample("X", dist.Normal(g, 1.0))

    x = torch.tensor([[1.0, 2.0, 0.0], [-1.0, 0.5, -1.0]])
    noise = abduct(model, {"X": x}, NUTS(60, progress=False), 400, seed=0)
    assert noise["U_G"].shape == (400, 2)
    assert bool(((noise["U_G"].mean(0) - x.sum(1) / 4).abs() < 4 * chain_error(noise["U_G"], 4)).all())
    world = counterfactual(model, noise, {"G": 0.0})
    torch.testing.assert_close(world["X"], x - noise["U_G"][..., None])


def test_chains_are_independent_and_divide_the_draws():
    noise = abduct(hidden_mean, {"X": [1.0]}, NUTS(30, progress=False), 400, seed=0)
    chains = noise["U_Z"].reshape(4, 100)
    assert len({tuple(chain.tolist()) for chain in chains}) == 4
    with pytest.raises(QueryError, match="num_samples=10 does not divide into 4 chains: ask for 12"):
        abduct(hidden_mean, {"X": [1.0]}, NUTS(progress=False), 10)


@pytest.mark.parametrize("num_samples", [2, 8, 12])
def test_chains_of_too_few_draws_to_be_judged_are_refused(num_samples):
    chains = min(4, num_samples)
    message = f"num_samples={num_samples} is {num_samples // chains} draws in each of {chains} chains"
    with pytest.raises(QueryError, match=message):
        abduct(hidden_mean, {"X": [1.0]}, NUTS(progress=False, num_chains=chains), num_samples)


def test_the_fewest_draws_that_can_be_judged():
    noise = abduct(hidden_mean, {"X": [1.0]}, NUTS(2, num_chains=2, progress=False), 8, seed=0)
    assert noise["U_Z"].shape == (8, 1) and bool(torch.isfinite(noise.ess).all())


def test_divergences_are_counted_in_each_chain():
    def funnel():
        scale = pyro.sample("S", dist.Normal(0.0, 3.0))
        with pyro.plate("units", 4):
            pyro.sample("X", dist.Normal(0.0, (scale / 2).exp()))

    noise = abduct(funnel, {"X": [1e-4] * 4}, NUTS(2, num_chains=2, target_accept=0.1, progress=False), 100, seed=0)
    assert len(noise.divergences) == 2 and 0 < sum(noise.divergences) <= 100


def test_too_few_chains_or_draws_warn():
    with pytest.warns(CausalWarning, match="1 chain, where 4 are the least that can show it"):
        abduct(hidden_mean, {"X": [1.0]}, NUTS(30, num_chains=1, progress=False), 600, seed=0)


def test_a_bar_is_shown_for_each_chain_with_progress_and_none_without(capsys, monkeypatch):
    for name in ("CI", "PYTEST_XDIST_WORKER"):  # where Pyro shows none
        monkeypatch.delenv(name, raising=False)
    ask = {"num_samples": 400, "seed": 0}
    abduct(hidden_mean, {"X": [1.0]}, NUTS(20, progress=False), **ask)
    assert capsys.readouterr() == ("", "")
    abduct(hidden_mean, {"X": [1.0]}, NUTS(20), **ask)
    out, err = capsys.readouterr()
    assert out == ""
    assert len(re.findall(r"Sample: 100%[^\r\n]*\n", err)) == 4  # drawn more than once, a bar ends once
