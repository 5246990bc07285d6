"""Additive mechanisms find what the data hold, their noise has the law that it says, and bad settings are refused."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from causal_pyro_models import counterfactual, fit, sample
from causal_pyro_models.data.variables import Binary, Categorical, Continuous, Positive
from causal_pyro_models.errors import EvidenceError, ModelError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models.networks.functions import Linear, Network, Smooth, least_squares
from causal_pyro_models.models.networks.laws import Gaussian, Laplace, Learned, Logistic, StudentT, Uniform
from causal_pyro_models.models.nodes.additive import AdditiveNoiseModel, AdditiveNoiseNode

PAIR = CausalGraph(["X", "Y"], [("X", "Y")])
LAWS = [Gaussian(), Laplace(), Logistic(), StudentT(), Uniform(), Learned()]


def connected(mechanism, noise=Gaussian(), variable=Continuous(), heteroscedastic=False, parents=None):
    node = AdditiveNoiseNode(variable, mechanism, noise, heteroscedastic).double()
    node.connect({"X": Continuous()} if parents is None else parents)
    return node.double()


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), dim=st.integers(1, 3))
def test_a_linear_mechanism_starts_as_least_squares(seed, dim):
    torch.manual_seed(seed)
    x, c = torch.randn(80, dim, dtype=torch.float64), torch.randint(0, 3, (80,))
    hot = torch.nn.functional.one_hot(c, 3).double()
    y = x @ torch.randn(dim, dtype=torch.float64) + hot @ torch.randn(3, dtype=torch.float64) + torch.randn(80).double()
    node = connected(Linear(), parents={"X": Continuous(dim), "C": Categorical(3)})
    value = x if dim > 1 else x.squeeze(-1)
    node.initialise(y, {"X": value, "C": c})
    location, scale, _ = node.parameters_given({"X": value, "C": c})
    design = torch.cat([hot, x], 1)
    expected = design @ torch.linalg.lstsq(design, y.unsqueeze(-1)).solution.squeeze(-1)
    torch.testing.assert_close(location.detach(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(scale[0].detach(), (y - expected).std(), rtol=1e-4, atol=1e-4)


def test_dependent_columns_keep_coefficients_small():
    columns = torch.nn.functional.one_hot(torch.randint(0, 3, (300,)), 3).float()
    columns = (columns - columns.mean(0)) / columns.std(0)
    assert float(least_squares(columns, torch.randn(300, 1)).abs().max()) < 1.0


def test_curves_fit_a_curve_and_go_on_as_lines():
    x = torch.linspace(-2.0, 2.0, 400, dtype=torch.float64)
    node = connected(Smooth(8))
    node.initialise(torch.sin(2 * x) + x, {"X": x})
    location = node.parameters_given({"X": x})[0].detach()
    assert float((location - torch.sin(2 * x) - x).abs().max()) < 0.05
    beyond = torch.tensor([2.0, 3.0, 4.0, 5.0], dtype=torch.float64)
    steps = node.parameters_given({"X": beyond})[0].detach().diff()
    torch.testing.assert_close(steps, steps[:1].expand(3), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(node.parameters_given({"X": beyond[:1]})[0].detach(), location[-1:], rtol=0, atol=1e-6)


def test_curves_are_continuous_with_binary_and_constant_parents():
    """A curve of a parent with few values has knots on top of each other."""
    b = torch.tensor([0.0, 1.0, 1.0, 0.0] * 25, dtype=torch.float64)
    node = connected(Smooth(6), parents={"B": Binary(), "C": Continuous()})
    node.initialise(3.0 * b, {"B": b, "C": torch.ones(100).double()})
    location = node.parameters_given({"B": b, "C": torch.ones(100).double()})[0]
    torch.testing.assert_close(location.detach(), 3.0 * b, rtol=0, atol=1e-6)


@pytest.mark.parametrize("noise", LAWS, ids=lambda noise: type(noise).__name__)
def test_scale_is_about_the_standard_deviation(noise):
    """200,000 draws: the sample's standard deviation errs by 1% at most; Student's t has 4 degrees of freedom."""
    torch.manual_seed(0)
    size = (200_000,)
    draws = noise.law(torch.full(size, 1.0), torch.full(size, 2.0), torch.zeros(*size, noise.size)).sample()
    assert float(draws.std()) == pytest.approx(2.0, rel=0.05)
    assert float(draws.mean()) == pytest.approx(1.0, abs=0.03)


def test_uniform_noise_holds_all_of_the_data_and_refuses_what_is_beyond():
    torch.manual_seed(0)
    x = torch.randn(600)
    data = {"X": x, "Y": 2.0 * x + torch.rand(600)}
    model = AdditiveNoiseModel(PAIR, {"X": 1, "Y": 1}, Linear(), Uniform())
    fit(model, data, steps=100, seed=0, progress=False)
    assert bool(torch.isfinite(model.log_prob(data)).all())
    width = 2 * 3**0.5 * float(model.nodes["Y"].parameters_given({"X": x})[1][0].detach())
    assert 1.0 <= width < 1.15
    with pytest.raises(EvidenceError, match="Y"):
        counterfactual(model, {"X": [0.0], "Y": [5.0]}, {"X": 1.0})


def test_heteroscedastic_noise_is_learned():
    torch.manual_seed(0)
    x = torch.randn(3_000)
    data = {"X": x, "Y": x + (0.5 * x).exp() * torch.randn(3_000)}
    model = AdditiveNoiseModel(PAIR, {"X": 1, "Y": 1}, heteroscedastic=True)
    fit(model, data, steps=300, seed=0, progress=False)
    scale = model.nodes["Y"].parameters_given({"X": torch.tensor([-1.0, 1.0])})[1].detach()
    assert float(scale[1] / scale[0]) == pytest.approx(2.718, rel=0.2)


def test_learned_noise_beats_gaussian_noise_on_two_modes():
    torch.manual_seed(0)
    x, u = torch.randn(2_000), torch.randn(2_000)
    data = {"X": x, "Y": x + u.sign() + 0.3 * u}
    best = []
    for noise in (Gaussian(), Learned()):
        model = AdditiveNoiseModel(PAIR, {"X": 1, "Y": 1}, Linear(), noise)
        best.append(min(fit(model, data, steps=300, seed=0, progress=False).history["validation"]))
    assert best[1] < best[0] - 0.2


def test_a_positive_variable_is_additive_in_its_logarithm():
    """Y = exp(X / 2 + U), so that Y_{X=1} = Y exp((1 - X) / 2)."""
    torch.manual_seed(0)
    x = torch.randn(1_000)
    data = {"X": x, "Y": (0.5 * x + 0.3 * torch.randn(1_000)).exp()}
    model = AdditiveNoiseModel(PAIR, {"X": Continuous(), "Y": Positive()}, Linear())
    fit(model, data, steps=20, seed=0, progress=False)
    assert bool((sample(model, 1_000, seed=0)["Y"] > 0).all())
    world = counterfactual(model, {"X": [0.0], "Y": [2.0]}, {"X": 1.0})
    assert float(world["Y"]) == pytest.approx(2.0 * 2.718**0.5, rel=0.05)


def test_both_names_are_one_class():
    assert AdditiveNoiseModel is AdditiveNoiseModel


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: AdditiveNoiseNode(Binary()), "real variable"),
        (lambda: AdditiveNoiseNode(function="linear"), "function"),
        (lambda: AdditiveNoiseNode(noise="gaussian"), "law"),
        (lambda: Smooth(1), "2 knots"),
        (lambda: Network((8,), torch.nn.BatchNorm1d), "activation"),
        (lambda: Network((8,), torch.nn.SiLU, torch.nn.BatchNorm1d), "normalisation"),
        (lambda: Network(8), "tuple of widths"),
        (lambda: AdditiveNoiseModel(CausalGraph(["X", "Y"], [], [("X", "Y")]), {"X": 1, "Y": 1}), "hidden confounding"),
    ],
)
def test_bad_settings_are_refused(wrong, message):
    with pytest.raises(ModelError, match=message):
        wrong()
