"""The training loop: its learning rate rises and falls as it should, and every step sees that of its place."""

import math

import pytest
import torch

from causal_pyro_models.training.loop import WARM_UP, Descent, Loop, decayed, schedule


def test_the_learning_rate_rises_briefly_and_falls_along_a_cosine():
    rise = [schedule(WARM_UP * i / 10) for i in range(11)]
    assert rise == sorted(rise) and 0.0 < rise[0] < 0.1 and rise[9] < 1.0
    assert max(schedule(i / 1000) for i in range(1001)) == pytest.approx(1.0, abs=2e-3)
    for progress in (0.1, 0.5, 0.9, 1.0):
        assert schedule(progress) == pytest.approx(0.5 * (1.0 + math.cos(math.pi * progress)))


class Slide:
    """Minimises w, by a step of the learning rate each: Adam without momentum moves by just that."""

    checks, deck, modules = 10, None, {}

    def __init__(self, weight, learning_rate):
        self.weight, self.descent, self.rates = weight, Descent(decayed([weight]), learning_rate, (0.0, 0.0)), []
        self.optimisers = {"optimiser": self.descent.optimiser}

    def update(self, progress):
        before = float(self.weight.detach())
        loss = self.descent.step({"w": self.weight.sum()}, progress)
        self.rates.append(before - float(self.weight.detach()))
        return loss

    def validate(self):
        return float(self.weight.detach())

    def culprits(self, units, progress):
        return []


def test_every_step_of_a_loop_has_the_rate_of_its_place():
    model = torch.nn.Linear(1, 1, bias=False).double()
    slide = Slide(model.weight, 0.5)
    result = Loop(model, slide, steps=200, patience=10, label="slide").run(progress=False)
    assert slide.rates == pytest.approx([0.5 * schedule(step / 200) for step in range(200)], rel=1e-5)
    assert slide.rates[0] < 0.1 * slide.rates[4]
    assert result.best_step == result.steps == 200
    assert result.history["step"] == list(range(0, 201, 20))


def test_a_loop_that_stops_improving_ends_early_with_its_best_weights():
    class Uphill(Slide):
        def validate(self):
            return abs(float(self.weight.detach()) + 5.0)

    model = torch.nn.Linear(1, 1, bias=False).double()
    torch.nn.init.zeros_(model.weight)
    result = Loop(model, Uphill(model.weight, 0.5), steps=200, patience=2, label="slide").run(progress=False)
    assert result.best_step < result.steps == result.best_step + 40
    assert float(model.weight.detach()) == pytest.approx(-5.0, abs=5.0)
    assert min(result.history["validation"]) == pytest.approx(abs(float(model.weight.detach()) + 5.0))


def test_the_loss_of_a_short_last_stretch_is_its_mean():
    """25 steps of 10 checks: a validation every 2 steps, and one after the last step alone; the weight falls evenly."""
    model = torch.nn.Linear(1, 1, bias=False).double()
    torch.nn.init.zeros_(model.weight)
    slide = Slide(model.weight, 0.5)
    weights = []
    update = slide.update
    slide.update = lambda progress: weights.append(update(progress)) or weights[-1]
    history = Loop(model, slide, steps=25, patience=100, label="slide").run(progress=False).history
    assert history["step"] == [*range(0, 25, 2), 25]
    assert history["loss"][-1] == pytest.approx(weights[24])
    assert history["loss"][-2] == pytest.approx((weights[22] + weights[23]) / 2)
