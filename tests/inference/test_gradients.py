"""Gradients of answers: against closed forms, against finite differences under one seed, or a refusal by name."""

from __future__ import annotations

import copy
import functools

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import causal_pyro_models as cpm
from causal_pyro_models.errors import AbductionError, QueryError

DOUBLE = torch.float64
STEP = 1e-5  # of central differences in float64, which are then good to 1e-8 or so


class Curved(nn.Module):
    """Z ~ N(0, 1), X | Z ~ N(bZ, 1), Y | X, Z ~ N(aX^2 + bZ, e^a): E[Y_x] = ax^2."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.7, dtype=DOUBLE))
        self.b = nn.Parameter(torch.tensor(-0.4, dtype=DOUBLE))

    def forward(self):
        z = pyro.sample("Z", dist.Normal(torch.zeros((), dtype=DOUBLE), 1.0))
        x = pyro.sample("X", dist.Normal(self.b * z, 1.0))
        pyro.sample("Y", dist.Normal(self.a * x.square() + self.b * z, self.a.exp()))


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=DOUBLE, requires_grad=True)


def differences(answer, at):
    """Central differences of an answer in some tensors, each a number, that it is a function of."""
    found = []
    for tensor in at:
        ends = []
        for step in (STEP, -STEP):
            with torch.no_grad():
                tensor += step
                ends.append(answer().detach().sum())
                tensor -= step
        found.append((ends[0] - ends[1]) / (2 * STEP))
    return torch.stack(found)


def check(answer, at, tolerance=1e-6):
    """``answer(grad)`` has the gradient of its finite differences, and the same value with a graph as without."""
    value = answer(grad=True)
    gradients = torch.autograd.grad(value.sum(), at, allow_unused=True)
    gradients = torch.stack([torch.zeros_like(t) if g is None else g for g, t in zip(gradients, at, strict=True)])
    expected = differences(functools.partial(answer, grad=False), at)
    assert torch.allclose(gradients, expected, rtol=tolerance, atol=tolerance), (gradients, expected)
    plain = answer(grad=False)
    assert torch.equal(value.detach(), plain) and not plain.requires_grad
    return gradients


# Effects ---------------------------------------------------------------------------------------------------------


def test_an_average_effect_has_the_gradient_of_its_closed_form():
    model, x = Curved(), number(1.5)
    gradients = check(
        lambda grad: cpm.ate(model, {"X": (0.0, x)}, "Y", num_samples=50, seed=0, grad=grad).value,
        [x, model.a, model.b],
    )
    assert torch.allclose(gradients, torch.tensor([2 * 0.7 * 1.5, 1.5**2, 0.0], dtype=DOUBLE), atol=1e-6)


EFFECTS = {
    "ite": lambda m, x, y, **o: cpm.ite(m, {"X": (0.0, x)}, "Y", evidence={"Z": [0.1], "X": [0.4], "Y": y[None]}, **o),
    "cate": lambda m, x, y, **o: cpm.cate(m, {"X": (0.0, x)}, "Y", by=lambda w: w["Z"] > 0, num_samples=50, **o),
    "dose_response": lambda m, x, y, **o: cpm.dose_response(
        m, {"X": torch.stack([x, 2 * x])}, lambda w: w["Y"].sin(), num_samples=50, **o
    ),
    "nde": lambda m, x, y, **o: cpm.nde(m, {"Z": (0.0, x)}, lambda w: w["Y"].cos(), "X", num_samples=50, **o),
    "nie": lambda m, x, y, **o: cpm.nie(m, {"Z": (0.0, x)}, lambda w: w["Y"].cos(), "X", num_samples=50, **o),
    "cde": lambda m, x, y, **o: cpm.cde(m, {"Z": (0.0, x)}, "Y", {"X": y}, num_samples=50, **o),
}


@pytest.mark.parametrize("verb", EFFECTS)
def test_effects_against_finite_differences(verb):
    model, x, y = Curved(), number(1.5), number(0.8)
    check(lambda grad: EFFECTS[verb](model, x, y, seed=0, grad=grad).value, [x, y, model.a, model.b])


def test_only_the_value_of_an_estimate_has_a_graph():
    estimate = cpm.ate(Curved(), {"X": (0.0, 1.0)}, "Y", num_samples=50, seed=0, grad=True)
    assert estimate.value.requires_grad
    assert not any(t.requires_grad for t in (estimate.standard_error, *estimate.interval, estimate.draws))
    assert str(estimate).startswith("ate = 0.7") and len(estimate.to_dataframe()) == 1


def test_transforms_of_torch():
    model = Curved()

    def effect(x):
        return cpm.ate(model, {"X": (0.0, x)}, "Y", num_samples=50, seed=0, grad=True).value

    x = torch.tensor(1.5, dtype=DOUBLE)
    assert torch.allclose(torch.func.grad(effect)(x), 2 * model.a * x)
    assert torch.allclose(torch.func.jacrev(effect)(x), 2 * model.a * x)
    assert torch.allclose(torch.func.grad(torch.func.grad(effect))(x), 2 * model.a)


@pytest.mark.parametrize("randomness", ["error", "same", "different"])
def test_vmap_is_refused(randomness):
    """With and without a gradient; values could not be checked there, and a bad one would give a number in silence."""
    for verb in (
        lambda x: cpm.ate(Curved(), {"X": (0.0, x)}, "Y", num_samples=50, seed=0).value,
        lambda x: cpm.ate(Curved(), {"X": (0.0, x)}, "Y", num_samples=50, seed=0, grad=True).value,
        lambda x: cpm.sample(cpm.intervene(Curved(), {"X": x}), 5, grad=True)["Y"],
        lambda x: cpm.counterfactual(Curved(), {"Z": [0.0], "X": [0.0], "Y": [0.0]}, {"X": x})["Y"],
        lambda x: cpm.probability(Curved(), lambda world: world["Y"] > x),
    ):
        with pytest.raises(QueryError, match="vmap does not let them: ask dose_response"):
            torch.func.vmap(verb, randomness=randomness)(torch.ones(2, dtype=DOUBLE))


def test_learned_models_and_their_refits():
    """Of a flow, whose refits share no parameters with it."""
    x = torch.linspace(-2.0, 2.0, 200)
    flow = cpm.CausalFlow(cpm.CausalGraph(["X", "Y"], [("X", "Y")]), {"X": 1, "Y": 1})
    cpm.fit(flow, {"X": x, "Y": x + x**2 / 4 + 0.1 * torch.cos(50 * x)}, steps=5, refits=2, seed=0, progress=False)
    flow.double()
    at = number(0.7)
    check(lambda grad: cpm.ate(flow, {"X": (0.0, at)}, "Y", num_samples=100, seed=0, grad=grad).value, [at], 1e-4)
    seen = {"X": torch.tensor([0.3], dtype=DOUBLE), "Y": torch.tensor([0.5], dtype=DOUBLE)}
    plain = copy.deepcopy(flow)
    plain.refits = ()
    check(lambda grad: cpm.counterfactual(plain, seen, {"X": at}, seed=0, grad=grad)["Y"], [at], 1e-4)


# Worlds and samples ----------------------------------------------------------------------------------------------


def test_a_counterfactual_has_the_gradient_of_its_closed_form():
    """Y_x = ax^2 + (y - a x'^2): the noise of the evidence is held, whatever parameters and evidence are."""
    model, x, seen, y = Curved(), number(1.5), number(0.2), number(1.0)
    evidence = {"Z": torch.tensor([0.3], dtype=DOUBLE)}
    gradients = check(
        lambda grad: cpm.counterfactual(model, {**evidence, "X": seen, "Y": y}, {"X": x}, grad=grad)["Y"],
        [x, seen, y, model.a, model.b],
    )
    expected = [2 * 0.7 * 1.5, -2 * 0.7 * 0.2, 1.0, 1.5**2 - 0.2**2, 0.0]
    assert torch.allclose(gradients, torch.tensor(expected, dtype=DOUBLE), atol=1e-6)


LAWS = {
    "Gamma": lambda x, t: dist.Gamma(t.exp(), (t + 0.1 * x).exp()),
    "Beta": lambda x, t: dist.Beta(t.exp(), (0.3 * x).exp()),
    "StudentT": lambda x, t: dist.StudentT(5.0 * torch.ones_like(t), t * x, t.exp()),
    "Weibull": lambda x, t: dist.Weibull((t * x).exp(), t.exp()),
    "VonMises": lambda x, t: dist.VonMises(t * x, t.exp()),
    "LogNormal": lambda x, t: dist.LogNormal(t * x, t.exp()),
    "vector": lambda x, t: dist.MultivariateNormal(
        torch.stack([t * x, t + x], -1), t.exp() * torch.eye(2, dtype=DOUBLE)
    ),
}


@pytest.mark.parametrize("family", LAWS)
def test_worlds_of_families_against_finite_differences(family):
    """In evidence, action and parameters, through the inverse of the mechanism and back."""
    t, x = number(0.3), number(0.8)

    def model():
        cause = pyro.sample("X", dist.Normal(torch.zeros((), dtype=DOUBLE), 1.0))
        pyro.sample("Y", LAWS[family](cause, t))

    y = torch.tensor([0.4, 0.2] if family == "vector" else 0.4, dtype=DOUBLE)[None].requires_grad_()
    seen = number(-0.5)
    world = functools.partial(cpm.counterfactual, model, {"X": seen, "Y": y}, {"X": x}, seed=0)
    check(lambda grad: world(grad=grad)["Y"], [t, x, seen], 1e-5)
    (slope,) = torch.autograd.grad(world(grad=True)["Y"].sum(), y)
    step = torch.full_like(y, STEP)
    ends = [cpm.counterfactual(model, {"X": seen, "Y": y + s}, {"X": x}, seed=0)["Y"].sum() for s in (step, -step)]
    assert abs(float(slope.sum() - (ends[0] - ends[1]) / (2 * STEP))) < 1e-5


@pytest.mark.parametrize("family", sorted(set(LAWS) - {"Gamma", "Beta", "StudentT", "VonMises"}))
def test_samples_against_finite_differences(family):
    """Of families that a seed draws alike at other parameters: by a transform, not by rejection."""
    t = number(0.3)

    def model():
        cause = pyro.sample("X", dist.Normal(t, 1.0))
        pyro.sample("Y", LAWS[family](cause, t))

    check(lambda grad: cpm.sample(model, 20, seed=0, grad=grad)["Y"], [t])


def test_rejection_samplers_have_implicit_gradients():
    """d E[Y] / dt of Gamma(e^t, 1) is e^t: 40,000 draws, 4 standard errors, a false alarm of 6e-5."""
    t = number(0.3)
    draws = cpm.sample(lambda: pyro.sample("Y", dist.Gamma(t.exp(), 1.0)), 40_000, seed=0, grad=True)["Y"]
    (slope,) = torch.autograd.grad(draws.mean(), t)
    assert abs(float(slope - t.exp())) < 4 * float(draws.detach().std()) / 40_000**0.5


def test_parameters_of_the_population_and_of_the_store():
    """Of a model with plates, in a hyperparameter from pyro.param."""

    def model():
        scale = pyro.param("scale", torch.tensor(1.3, dtype=DOUBLE))
        mu = pyro.sample("mu", dist.Normal(torch.zeros((), dtype=DOUBLE), scale))
        with pyro.plate("units", 3):
            pyro.sample("Y", dist.Normal(mu.exp(), 1.0))

    draws = cpm.sample(model, 10, seed=0, grad=True)
    parameter = pyro.get_param_store()._params["scale"]
    check(lambda grad: cpm.sample(model, 10, seed=0, grad=grad)["Y"], [parameter])
    assert draws["mu"].requires_grad
    pyro.clear_param_store()


def test_answers_are_without_graph_unless_asked():
    model, x = Curved(), number(1.0)
    seen = {"Z": [0.0], "X": [0.0], "Y": [0.0]}
    answers = [
        cpm.sample(model, 3)["Y"],
        cpm.counterfactual(model, seen, {"X": x})["Y"],
        cpm.worlds(model, seen, {"a": {"X": x}})["a"]["Y"],
        cpm.ate(model, {"X": (0.0, x)}, "Y", num_samples=10).value,
    ]
    assert not any(answer.requires_grad for answer in answers)


# Probabilities ---------------------------------------------------------------------------------------------------


def test_a_probability_that_is_summed_has_an_exact_gradient():
    a, b, x = number(0.7), number(-0.4), number(1.5)

    def model():
        z = pyro.sample("Z", dist.Bernoulli(torch.sigmoid(a)))
        pyro.sample("Y", dist.Bernoulli(torch.sigmoid(b + z * x)))

    check(lambda grad: cpm.probability(model, {"Z": 1}, {"Y": 1}, grad=grad), [a, b, x])
    found = torch.autograd.grad(cpm.probability(model, {"Z": 1}, {"Y": 1}, grad=True).sum(), [a, b, x])
    p = torch.sigmoid(a)
    both = p * torch.sigmoid(b + x)
    exact = torch.autograd.grad(both / (both + (1 - p) * torch.sigmoid(b)), [a, b, x])
    assert torch.allclose(torch.stack(found), torch.stack(exact))


def test_events_in_nested_plates_have_a_probability_each():
    def model():
        with pyro.plate("rows", 4, dim=-2), pyro.plate("columns", 5, dim=-1):
            pyro.sample("Y", dist.Normal(torch.arange(5.0), 1.0))

    found = cpm.probability(model, lambda world: world["Y"] > 2.0, num_samples=2_000, seed=0)
    exact = 1 - dist.Normal(torch.arange(5.0), 1.0).cdf(torch.tensor(2.0))
    assert found.shape == (4, 5) and float((found - exact).abs().max()) < 5 * 0.5 / 2_000**0.5


# Refusals --------------------------------------------------------------------------------------------------------


def jumps(kind):
    t = number(0.3)

    def model():
        if kind == "Bernoulli":
            z = pyro.sample("Z", dist.Bernoulli(torch.sigmoid(t)))
        elif kind == "Poisson":
            z = pyro.sample("Z", dist.Poisson(t.exp()))
        elif kind == "Categorical":
            z = pyro.sample("Z", dist.Categorical(logits=torch.stack([t, -t]))).double()
        else:
            mix = dist.Categorical(logits=torch.stack([t, -t]))
            z = pyro.sample("Z", dist.MixtureSameFamily(mix, dist.Normal(torch.tensor([0.0, 5.0], dtype=DOUBLE), 1.0)))
        pyro.sample("Y", dist.Normal(t * z, 1.0))

    return model


@pytest.mark.parametrize("kind", ["Bernoulli", "Poisson", "Categorical", "MixtureSameFamily"])
def test_sites_that_jump_are_refused_by_name(kind):
    """The pathwise gradient would be t times zero where the probabilities move: wrong, and no one would know."""
    model = jumps(kind)
    seen = {"Z": [1.0], "Y": [0.5]}
    for ask in (
        lambda: cpm.sample(model, 5, grad=True),
        lambda: cpm.counterfactual(model, seen, {"Y": lambda y: y + 1.0}, seed=0, grad=True),
        lambda: cpm.dose_response(model, {"Y": [0.0, 1.0]}, "Z", num_samples=10, grad=True),
    ):
        with pytest.raises(QueryError, match=f"site 'Z', which jumps: along the draws of a {kind} "):
            ask()


def test_a_site_that_jumps_is_no_hindrance_where_it_is_set_or_depends_on_nothing():
    model = jumps("Bernoulli")
    assert cpm.ate(model, {"Z": (0.0, 1.0)}, "Y", num_samples=10, seed=0, grad=True).value.requires_grad
    x = number(0.5)

    def fixed():
        z = pyro.sample("Z", dist.Bernoulli(torch.tensor(0.3, dtype=DOUBLE)))
        cause = pyro.sample("X", dist.Normal(z, 1.0))
        pyro.sample("Y", dist.Normal(cause * z, 1.0))

    check(lambda grad: cpm.ate(fixed, {"X": (0.0, x)}, "Y", num_samples=100, seed=0, grad=grad).value, [x])


def test_what_has_no_gradient_is_refused():
    model, x = Curved(), number(1.0)
    for ask in (
        lambda: cpm.ate(model, {"X": (0.0, x)}, lambda world: world["Y"] > 0, num_samples=10, grad=True),
        lambda: cpm.probability(model, lambda world: world["Y"] > 0, grad=True),
        lambda: cpm.sample(lambda: pyro.sample("X", dist.Normal(0.0, 1.0)), grad=True),
    ):
        with pytest.raises(QueryError, match="the answer has no gradient"):
            ask()
    for ask in (
        lambda: cpm.ate(model, {"X": (0.0, x)}, "Y", evidence={"Y": [1.0]}, grad=True),
        lambda: cpm.att(model, {"X": (0.0, 1.0)}, "Y", grad=True),
        lambda: cpm.counterfactual(model, {"Y": [1.0]}, {"X": x}, cpm.ImportanceSampling(), 10, grad=True),
    ):
        with pytest.raises(AbductionError, match="draws of a posterior do not say how it changes"):
            ask()
    noise = cpm.abduct(model, {"Z": [0.0], "X": [0.0], "Y": [0.0]})
    for ask in (
        lambda: cpm.worlds(model, noise, {"a": {"X": x}}, grad=True),
        lambda: cpm.ate(model, {"X": (0.0, x)}, "Y", evidence=noise, grad=True),
    ):
        with pytest.raises(QueryError, match="give the evidence itself"):
            ask()
    for bad in (1, "yes", None):
        with pytest.raises(QueryError, match="grad must be True or False"):
            cpm.sample(model, grad=bad)
        with pytest.raises(QueryError, match="grad must be True or False"):
            cpm.ate(model, {"X": (0.0, x)}, "Y", grad=bad)


def test_a_verb_inside_of_one_with_a_gradient_has_none_unless_asked():
    model, x = Curved(), number(1.0)
    seen = []

    def outcome(world):
        seen.append(cpm.sample(model, 2)["Y"].requires_grad)
        return world["Y"]

    assert cpm.ate(model, {"X": (0.0, x)}, outcome, num_samples=10, grad=True).value.requires_grad
    assert seen and not any(seen)
