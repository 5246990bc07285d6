"""Values that come back again and again: their share, their noise, and effects on what has them."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from torch.distributions.transforms import AffineTransform

from causal_pyro_models.data import Binary, Continuous
from causal_pyro_models.effects import ate
from causal_pyro_models.errors import EvidenceError
from causal_pyro_models.evaluation import check_model
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.inference import counterfactual, sample
from causal_pyro_models.models import CausalFlow, CausalGAN, load, save
from causal_pyro_models.models.nodes.atoms import edge_of, find_atoms
from causal_pyro_models.scm.mechanisms import check_mechanism, mechanism
from causal_pyro_models.scm.mechanisms.atoms import Atomic, Censored
from causal_pyro_models.training import fit

GRAPH = CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("Z", "Y"), ("X", "Y")])
KINDS = {"Z": Continuous(), "X": Binary(), "Y": Continuous()}


def sigmoid(t):
    return 1 / (1 + np.exp(-t))


def drawn(form, n, seed, do=None):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    x = (rng.random(n) < sigmoid(0.8 * z)).astype(float) if do is None else np.full(n, do)
    if do is not None:
        rng.random(n)
    noise, gate = rng.normal(size=n), rng.random(n)
    if form == "censored":
        y = np.maximum(0.0, 0.5 + x + z + 1.2 * noise)
    else:
        y = np.where(gate < sigmoid(-0.8 - 0.8 * x + 0.7 * z), 0.0, np.exp(0.3 * x + 0.4 * z + 0.5 * noise))
    return {"Z": z, "X": x, "Y": y}


@pytest.fixture(scope="module", params=["censored", "hurdle"])
def trained(request):
    data = drawn(request.param, 3000, 0)
    model = CausalFlow(GRAPH, KINDS)
    fit(model, data, seed=0, progress=False)
    return request.param, data, model


def test_the_share_at_zero_is_that_of_the_data(trained):
    """To 4 standard errors of the two shares together."""
    _, data, model = trained
    share = (data["Y"] == 0).mean()
    found = float((sample(model, 20_000, seed=0)["Y"] == 0).double().mean())
    assert abs(found - share) < 4 * (share * (1 - share) * (1 / 3000 + 1 / 20_000)) ** 0.5


def test_the_effect_is_that_of_the_truth(trained):
    """To 3 standard errors of a difference of means of 3,000 units."""
    form, data, model = trained
    worlds = [drawn(form, 200_000, 1, do)["Y"] for do in (0.0, 1.0)]
    truth = worlds[1].mean() - worlds[0].mean()
    error = 2.0 * data["Y"].std() / 3000**0.5
    assert abs(ate(model, {"X": (0, 1)}, "Y", num_samples=40_000, seed=0).value - truth) < 3 * error


def test_what_happened_comes_back_and_the_laws_hold(trained):
    form, data, model = trained
    factual = {name: torch.as_tensor(values[:200]).float() for name, values in data.items()}
    same = counterfactual(model, factual, {"X": factual["X"]}, num_samples=20, seed=0)["Y"]
    zero = factual["Y"] == 0
    assert bool((same[:, zero] == 0).all())
    assert float((same - factual["Y"]).abs().max()) < 1e-5 * float(factual["Y"].std()) * 10
    exact = {} if form == "censored" else {"gradients": "log-normal amounts bend too fast for finite differences"}
    assert not check_model(model, data, without=exact).failures


def test_censored_values_have_one_noise_and_hurdles_two(trained):
    """max(0, x) is monotone in its noise: the imagined value is the truth's own, to a quarter of its spread."""
    form, _, model = trained
    assert int(model.nodes["Y"].atoms.edge) == (1 if form == "censored" else 0)
    if form == "censored":
        rng = np.random.default_rng(3)
        noise = rng.normal(size=300)
        factual, imagined = np.maximum(0.0, 0.5 + 1.2 * noise), np.maximum(0.0, 1.5 + 1.2 * noise)
        evidence = {"Z": np.zeros(300), "X": np.zeros(300), "Y": factual}
        found = counterfactual(model, evidence, {"X": 1.0}, num_samples=50, seed=0)["Y"].mean(0).numpy()
        assert np.sqrt(np.mean((found - imagined) ** 2)) < 0.25 * imagined.std()


def test_the_mechanisms_are_ones():
    torch.manual_seed(0)
    base = dist.TransformedDistribution(dist.Normal(torch.zeros(2), torch.ones(2)), [AffineTransform(1.0, 2.0)])
    check_mechanism(Atomic(dist.Categorical(torch.tensor([[0.7, 0.3], [0.6, 0.4]])), torch.tensor([0.0]), base))
    for sign in (1, -1):
        noise = dist.Normal(torch.zeros(8), torch.ones(8))
        often = dist.TransformedDistribution(noise, [AffineTransform(0.5 * sign, 2.0)])  # at the atom, .4
        law = Censored(often, torch.tensor(0.0), sign)
        check_mechanism(law)
        x = sign * torch.linspace(0.0, 20.0, 200_001).unsqueeze(-1)[1:]
        beyond = torch.trapezoid(law.log_prob(x).exp(), x.abs(), dim=0) + law.log_prob(torch.tensor(0.0)).exp()
        torch.testing.assert_close(beyond, torch.ones(8), rtol=1e-3, atol=0.0)
        assert bool(torch.isneginf(law.log_prob(torch.tensor(-0.1 * sign))).all())
        with pytest.raises(EvidenceError, match="where none can"):
            mechanism(law).abduct(torch.tensor(-0.1 * sign))


def test_atoms_are_what_stands_out():
    generator = torch.Generator().manual_seed(0)
    smooth = torch.randn(2000, generator=generator)
    assert not len(find_atoms(smooth)) and not len(find_atoms((4 * smooth).round())) and not len(find_atoms(smooth > 0))
    assert find_atoms(smooth.clamp(-1.0, 2.0)).tolist() == [-1.0, 2.0]
    assert find_atoms(torch.cat([torch.zeros(900), (8 * smooth).round()])).tolist() == [0.0]
    assert edge_of(smooth.clamp(max=1.0), torch.ones(1)) == -1 and edge_of(smooth, torch.zeros(1)) == 0


def test_atoms_come_back_from_files_and_go_with_other_data(trained, tmp_path):
    _, data, model = trained
    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    values = {name: torch.as_tensor(column[:100]).float() for name, column in data.items()}
    torch.testing.assert_close(again.log_prob(values), model.log_prob(values), rtol=0.0, atol=0.0)
    fit(again, {**data, "Y": data["Z"] + data["X"]}, steps=5, seed=0, progress=False)
    assert again.nodes["Y"].atoms is None


def test_a_generator_has_atoms_as_well():
    data = drawn("hurdle", 600, 0)
    model = CausalGAN(GRAPH, KINDS)
    fit(model, data, steps=20, adversarial_steps=4, seed=0, progress=False)
    share = float((sample(model, 4000, seed=0)["Y"] == 0).double().mean())
    assert abs(share - (data["Y"] == 0).mean()) < 4 * (0.25 / 600 + 0.25 / 4000) ** 0.5
