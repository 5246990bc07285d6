"""Laws 1 to 5 and 9 on 1,000 random models: consistency, effectiveness, composition, reversibility, locality, sameness.

Float64 to 1e-6 and float32 to 1e-5, discrete variables and equal worlds to the last bit.
"""

import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings, strategies as st

from causal_pyro_models import intervene, sample, worlds
from tests.laws.laws import LAWS, MORE_LAWS, Study, predictions_by_hand
from tests.laws.strategies import BIJECTIVE, populations

COUNT = 10  # models in an example


def check(models, laws, units=3, draws=None):
    for model in models:
        study = Study(model, units, draws)
        for law in laws:
            law(study)


@settings(max_examples=45)
@given(populations(COUNT), st.integers(1, 20))
def test_models_of_one_unit(models, units):
    check(models, LAWS, units)


@settings(max_examples=10)
@given(populations(COUNT, max_variables=8), st.integers(1, 5))
def test_posterior_draws(models, draws):
    check(models, LAWS, 2, draws)


@pytest.mark.parametrize("plates", [1, 2])
@settings(max_examples=12)
@given(populations(COUNT), st.sampled_from([None, None, 1, 3]))
def test_models_with_plates_of_their_own(plates, models, draws):
    check([model.with_plates(plates) for model in models], LAWS, draws=draws)


@pytest.mark.parametrize("plates", [0, 2])
@settings(max_examples=5)
@given(populations(COUNT, dtype=torch.float32), st.sampled_from([None, 2]))
def test_float32(plates, models, draws):
    check([model.with_plates(plates) for model in models], LAWS, draws=draws)


@pytest.mark.parametrize("plates", [0, 2])
@settings(max_examples=6)
@given(populations(COUNT, max_variables=8), st.sampled_from([None, 2]))
def test_every_kind_of_intervention(plates, models, draws):
    check([model.with_plates(plates) for model in models], MORE_LAWS, 2, draws)


@settings(max_examples=5)
@given(populations(COUNT, families=BIJECTIVE))
def test_predictions_by_hand(models):
    """The laws do not show what an action changes: copies of the facts satisfy most of them."""
    check(models, [predictions_by_hand], units=4)


@settings(max_examples=50)
@given(st.floats(-0.9, 0.9), st.floats(-0.9, 0.9), st.floats(-3, 3), st.integers(0, 2**32 - 1))
def test_reversibility_of_linear_feedback(a, b, x, seed):
    """Law 4 where X = a Y + U_X and Y = b X + U_Y are solved together.

    A program is recursive, so each half of the system is written as the program that computes it: one solves for X and
    keeps the equation of Y, the other the reverse. Y_x = y and X_y = x together hold for the solution, and for it only.
    """
    noise = {"E": torch.tensor([1.5, -0.3], dtype=torch.float64), "F": torch.tensor([0.2, 2.0], dtype=torch.float64)}

    def system(solve_for_x):
        e, f = (pyro.sample(n, dist.Normal(torch.zeros((), dtype=torch.float64), 1.0)) for n in "EF")
        if solve_for_x:
            x = pyro.deterministic("X", (e + a * f) / (1 - a * b))
            pyro.deterministic("Y", b * x + f)
        else:
            y = pyro.deterministic("Y", (f + b * e) / (1 - a * b))
            pyro.deterministic("X", a * y + e)

    def answer(solve_for_x, do):
        return worlds(lambda: system(solve_for_x), noise, {"do": do}, seed=seed)["do"]

    solution = answer(True, {})
    torch.testing.assert_close(answer(False, {})["X"], solution["X"])
    back = answer(False, {"Y": answer(True, {"X": solution["X"]})["Y"]})["X"]
    torch.testing.assert_close(back, solution["X"])
    other = answer(False, {"Y": answer(True, {"X": x})["Y"]})["X"]
    torch.testing.assert_close(other - solution["X"], a * b * (x - solution["X"]))


def test_sampling_an_intervened_model_shows_effectiveness_and_locality():
    def model():
        x = pyro.sample("X", dist.Normal(0.0, 1.0))
        y = pyro.sample("Y", dist.Normal(x, 1.0))
        pyro.sample("Z", dist.Normal(y, 1.0))

    seen, done = sample(model, 100, seed=3), sample(intervene(model, {"Y": 2.0}), 100, seed=3)
    assert torch.equal(done["Y"], torch.full((100,), 2.0))
    assert torch.equal(done["X"], seen["X"])
