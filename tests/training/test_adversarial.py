"""Adversarial training follows the likelihood: critics and generators in turns, stopped and resumed like any other."""

import pytest
import torch

from causal_pyro_models import CausalGraph, fit
from causal_pyro_models.data.batches import Batch
from causal_pyro_models.errors import DataError, FitError
from causal_pyro_models.models.nodes.gan import CausalGAN
from causal_pyro_models.training.adversarial import Duel
from causal_pyro_models.training.critics import Critics, adversary_of
from causal_pyro_models.training.loop import Deck

GRAPH = CausalGraph(["X", "Y"], [("X", "Y")])
SETTINGS = {"steps": 6, "adversarial_steps": 6, "batch_size": 50, "seed": 0, "progress": False}


def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(120, generator=generator)
    return {"X": x, "Y": x**2 + torch.randn(120, generator=generator)}


def model():
    return CausalGAN(GRAPH, {"X": 1, "Y": 1}, hidden=(8,))


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


class Stopped(Exception):
    pass


@pytest.mark.parametrize(("phase", "step"), [("fit", 6), ("adversarial", 0), ("adversarial", 4), ("adversarial", 6)])
def test_stopped_in_either_phase_it_ends_with_the_same_bits(tmp_path, phase, step):
    def stop(label, model, record):
        if (label, record["step"]) == (phase, step):
            raise Stopped

    whole, again = model(), model()
    result = fit(whole, data(), **SETTINGS)
    with pytest.raises(Stopped):
        fit(model(), data(), checkpoint=tmp_path / "fit", callbacks=[stop], **SETTINGS)
    resumed = fit(again, data(), checkpoint=tmp_path / "fit", **SETTINGS)
    assert same(whole, again)
    assert resumed.to_dataframe().equals(result.to_dataframe())
    assert resumed.adversarial.to_dataframe().equals(result.adversarial.to_dataframe())
    assert result.adversarial.steps == 6


def test_adversarial_training_takes_complete_data():
    columns = data()
    columns["Y"][3] = float("nan")
    with pytest.raises(DataError, match="'Y' has 1 missing values, the first in row 3, and adversarial training"):
        fit(model(), columns, **SETTINGS)


class Adversary(torch.nn.Module):
    """A generator of one number against a critic of one, each with a loss that says whose step it is."""

    critic_steps, critic_rate, generator_rate = 3, 0.1, 0.1

    def __init__(self, generator):
        super().__init__()
        self.critic, self.generator, self.turns = torch.nn.Parameter(torch.zeros(())), [generator], []

    def critic_parameters(self):
        return [self.critic]

    def generator_parameters(self):
        return self.generator

    def critic_losses(self, batch, progress):
        self.turns.append("critic")
        return {"critic": (self.critic - 1.0).square() * batch.values["X"].mean()}

    def generator_losses(self, batch, progress):
        self.turns.append("generator")
        return {"generator": (self.generator[0] - self.critic.detach()).square()}

    def validate(self, batch):
        return float(self.generator[0].detach())


def test_critics_have_their_steps_before_each_of_the_generators():
    adversary = Adversary(torch.nn.Parameter(torch.tensor(5.0)))
    batch = Batch({"X": torch.ones(4)})
    duel = Duel(adversary, Deck(batch, torch.arange(4), 4), batch)
    for _ in range(2):
        duel.update(0.2)
    assert adversary.turns == ["critic"] * 3 + ["generator"] + ["critic"] * 3 + ["generator"]
    assert 0.0 < float(adversary.critic) < 1.0 and float(adversary.generator[0]) < 5.0
    assert duel.validate() == float(adversary.generator[0])
    duel = Duel(adversary, Deck(Batch({"X": torch.tensor([1.0, torch.nan])}), torch.arange(2), 2), batch)
    assert duel.culprits(torch.tensor([1]), 0.2) == ["critic"] and not duel.culprits(torch.tensor([0]), 0.2)


def test_a_fault_of_a_critic_is_named():
    class Spoilt(CausalGAN):
        pass

    @adversary_of.register
    def _(model: Spoilt, train: Batch):
        critics = Critics(model, train)
        losses = critics.critic_losses
        critics.critic_losses = lambda batch, progress: {n: t * torch.nan for n, t in losses(batch, progress).items()}
        return critics

    spoilt = Spoilt(GRAPH, {"X": 1, "Y": 1}, hidden=(8,))
    with pytest.raises(FitError, match="not finite at step 1"):
        fit(spoilt, data(), **SETTINGS)
    assert all(bool(torch.isfinite(p).all()) for p in spoilt.parameters())
