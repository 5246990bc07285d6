"""Evidence on deterministic sites is solved for a hidden one, and weighs by the density of the evidence itself."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings, strategies as st
from pyro import poutine

from causal_pyro_models import (
    NUTS,
    ImportanceSampling,
    abduct,
    ate,
    counterfactual,
    fit_guide,
    ite,
    probability,
    sample,
    soft,
    with_posterior,
)
from causal_pyro_models.errors import EvidenceError
from causal_pyro_models.inference.conditioned import Conditioned
from causal_pyro_models.inference.program import inspect_model, traced

STANDARD = dist.Normal(0.0, 1.0)
FLOAT = st.floats(-2.0, 2.0)


def log_normal():
    x = pyro.sample("X", dist.Normal(0.0, 1.0))
    u = pyro.sample("U", dist.Normal(0.0, 1.0))
    pyro.deterministic("Y", torch.exp(0.5 * x + u))


def test_a_function_of_one_noise_is_solved_for_it():
    noise = abduct(log_normal, {"X": [1.0, 2.0, 0.0], "Y": [1.0, 3.0, 1e-4]})
    expected = torch.tensor([1.0, 3.0, 1e-4]).log() - torch.tensor([0.5, 1.0, 0.0])
    assert torch.allclose(noise["U_U"], expected, atol=1e-5) and noise.exact
    world = counterfactual(log_normal, noise, {"X": 0.0})
    assert torch.allclose(world["Y"], expected.exp(), rtol=1e-5)
    effect = ite(log_normal, {"X": (0.0, 1.0)}, "Y", evidence={"X": [1.0], "Y": [1.0]})
    assert float(effect.value) == pytest.approx(1.0 - math.exp(-0.5), abs=1e-5)


FUNCTIONS = {
    "cubic": (lambda u: u**3 + u, 0.7),
    "falling": (lambda u: -2.0 * u.sinh(), 1.3),
    "logistic": (lambda u: u.sigmoid(), -1.5),
    "far": (lambda u: 1e6 + 1e3 * u, 2.0),
    "steep": (lambda u: torch.expm1(3.0 * u), -2.5),
    "two branches": (lambda u: torch.where(u > 0, 3.0 * u, 0.2 * u), -1.0),
    "tiny": (lambda u: 1e-9 * u, 0.4),
}
LAWS = {
    "normal": dist.Normal(0.0, 1.0),
    "far normal": dist.Normal(0.5, 3.0),
    "exponential": dist.Exponential(1.0),
    "uniform": dist.Uniform(-3.0, 3.0),
    "student": dist.StudentT(3.0, 0.0, 1.0),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_monotone_functions_are_inverted_on_the_support_of_the_hidden_site(function, law):
    h, u = FUNCTIONS[function]
    u = abs(u) if law == "exponential" else u

    def model():
        pyro.deterministic("Y", h(pyro.sample("U", LAWS[law])))

    target = h(torch.tensor([u], dtype=torch.double))
    noise = abduct(model, {"Y": target}, seed=0)
    found = counterfactual(model, noise, {})["U"]
    assert float(found) == pytest.approx(u, rel=1e-3 if function in ("far", "two branches") else 1e-4)


def normal_posterior(a, b, c, s, x, y):
    """Z ~ N(0, 1), X = aZ + N(0, 1), Y = bX + cZ + sU."""
    precision = 1.0 + a**2 + (c / s) ** 2
    return (a * x + c / s**2 * (y - b * x)) / precision, precision**-0.5


@given(FLOAT, FLOAT, FLOAT, st.floats(0.3, 2.0), FLOAT, FLOAT)
@settings(max_examples=15, deadline=None)
def test_a_hidden_cause_behind_a_linear_function_has_its_closed_form(a, b, c, s, x, y):
    """Exact draws: a mean of 2,000 is within 5 standard errors but for 6 of 10 million."""

    def model():
        z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        x = pyro.sample("X", dist.Normal(a * z, 1.0))
        u = pyro.sample("U", dist.Normal(0.0, 1.0))
        pyro.deterministic("Y", b * x + c * z + s * u)

    noise = abduct(model, {"X": [x], "Y": [y]}, num_samples=2_000, seed=0)
    mean, sd = normal_posterior(a, b, c, s, x, y)
    assert float(noise.mean("U_Z")) == pytest.approx(mean, abs=5 * sd / 2_000**0.5)
    assert float(noise.std("U_Z")) == pytest.approx(sd, rel=0.1)
    assert noise.log_weights is None
    back = counterfactual(model, noise, {})
    assert torch.allclose(back["Y"], torch.tensor(y, dtype=back["Y"].dtype), atol=1e-4)


def scaled():
    """The slope in the noise is the hidden cause: without the Jacobian 1 / Z the posterior is another one."""
    z = pyro.sample("Z", dist.LogNormal(0.0, 0.5))
    u = pyro.sample("U", dist.Normal(0.0, 1.0))
    pyro.deterministic("Y", z * u)


def posterior_of_scale(y):
    """The mean of log Z / 0.5, the noise of Z, given Y = y: exactly, and without the Jacobian."""
    z = torch.linspace(1e-3, 30.0, 300_001, dtype=torch.double)
    plain = (dist.LogNormal(0.0, 0.5).log_prob(z) + dist.Normal(0.0, 1.0).log_prob(y / z)).exp()
    noise = z.log() / 0.5
    return [float((w * noise).sum() / w.sum()) for w in (plain / z, plain)]


def test_hidden_causes_weigh_by_the_density_of_the_evidence_with_its_jacobian():
    """20,000 draws, 0.04 is 4 standard errors of the weighted mean; the Jacobian moves it by 0.25."""
    exact, without = posterior_of_scale(2.0)
    noise = abduct(scaled, {"Y": [2.0]}, ImportanceSampling(), num_samples=20_000, seed=0)
    assert float(noise.mean("U_Z")) == pytest.approx(exact, abs=0.04)
    assert abs(exact - without) > 0.2


@pytest.mark.parametrize(
    "function", [lambda z, u: z * u, lambda z, u: torch.sinh(z * u) + z, lambda z, u: u + u**3 / z]
)
def test_the_density_of_the_evidence_has_the_gradient_of_its_differences(function):
    """What guides and NUTS move along: derivatives of the solution and of its Jacobian, against central differences."""

    def model():
        z = pyro.sample("Z", dist.LogNormal(torch.tensor(0.0, dtype=torch.double), 0.5))
        u = pyro.sample("U", dist.Normal(torch.tensor(0.0, dtype=torch.double), 1.0))
        pyro.deterministic("Y", function(z, u))

    conditioned = Conditioned.on(inspect_model(model), {"Y": [2.0]})

    def density(z):
        with pyro.validation_enabled(False):
            trace = traced(poutine.condition(conditioned.model(len(z)), data={"U_Z": z[:, None]}))
        return conditioned.log_likelihood(trace, len(z))[:, 0]

    z = torch.tensor([-1.0, 0.2, 1.5], dtype=torch.double, requires_grad=True)
    (gradient,) = torch.autograd.grad(density(z).sum(), z)
    with torch.no_grad():
        step = (density(z + 1e-4) - density(z - 1e-4)) / 2e-4
    assert torch.allclose(gradient, step, rtol=1e-5, atol=1e-6)


def test_a_guide_is_trained_on_the_density_of_the_evidence():
    guide = fit_guide(scaled, {"Y": [2.0]}, steps=400, seed=0, progress=False)
    noise = abduct(scaled, {"Y": [2.0]}, guide, num_samples=4_000, seed=0)
    assert float(noise.mean("U_Z")) == pytest.approx(posterior_of_scale(2.0)[0], abs=0.15)
    assert float(noise.ess.min()) > 400


def test_nuts_moves_along_the_gradient_of_the_solution():
    """Bulk effective sample sizes are over 100 of 400 draws: 0.35 is 4 standard errors of a mean of spread 0.85."""
    method = NUTS(num_warmup=100, num_chains=2, progress=False)
    noise = abduct(scaled, {"Y": [2.0]}, method, num_samples=400, seed=0)
    assert float(noise.mean("U_Z")) == pytest.approx(posterior_of_scale(2.0)[0], abs=0.35)
    assert sum(noise.divergences) < 10


def mixed():
    b = pyro.sample("B", dist.Bernoulli(0.3))
    u = pyro.sample("U", dist.Normal(0.0, 1.0))
    pyro.deterministic("Y", (1.0 + 2.0 * b) * u + b)


def test_states_are_summed_over_with_the_jacobian_of_each():
    weight = [0.7 * dist.Normal(0.0, 1.0).log_prob(torch.tensor(2.0)).exp(),
              0.3 * dist.Normal(1.0, 3.0).log_prob(torch.tensor(2.0)).exp()]  # fmt: skip
    exact = float(weight[1] / sum(weight))
    assert float(probability(mixed, {"B": 1}, {"Y": 2.0})) == pytest.approx(exact, abs=1e-6)
    noise = abduct(mixed, {"Y": [2.0]}, num_samples=20_000, seed=0)
    assert float(counterfactual(mixed, noise, {}).mean("B")) == pytest.approx(exact, abs=0.015)


def test_vectors_plates_and_missing_cells_are_solved_element_by_element():
    def vector():
        u = pyro.sample("U", dist.Normal(torch.zeros(3), 1.0).to_event(1))
        pyro.deterministic("Y", torch.exp(u) * torch.tensor([1.0, 2.0, 3.0]), event_dim=1)

    y = torch.tensor([[1.0, 2.0, 3.0], [0.5, 4.0, 1.0]])
    found = abduct(vector, {"Y": y})["U_U"]
    assert torch.allclose(found, (y / torch.tensor([1.0, 2.0, 3.0])).log(), atol=1e-5)

    def plated():
        rate = pyro.sample("rate", dist.Normal(0.0, 1.0))
        with pyro.plate("units", 4):
            u = pyro.sample("U", dist.Normal(rate, 1.0))
            pyro.deterministic("Y", 2.0 * u)

    y = torch.tensor([1.0, 2.0, 3.0, 4.0])
    noise = abduct(plated, {"Y": y}, num_samples=4_000, seed=0)  # rate | U ~ N(sum / 5, 1 / 5)
    assert float(noise.parameters["rate"].mean()) == pytest.approx(float(y.sum()) / 2 / 5, abs=0.04)

    def unit():
        u = pyro.sample("U", dist.Normal(0.0, 1.0))
        pyro.deterministic("Y", 2.0 * u)
        pyro.sample("X", dist.Normal(u, 1.0))

    noise = abduct(unit, {"Y": [2.0, math.nan], "X": [0.0, 1.0]}, num_samples=4_000, seed=0)
    assert torch.allclose(noise["U_U"][:, 0], torch.ones(4_000)) and noise.mean("U_U")[1] == pytest.approx(
        0.5, abs=0.06
    )


def test_each_of_two_deterministic_sites_has_a_hidden_one_of_its_own():
    def model():
        u = pyro.sample("U", dist.Normal(0.0, 1.0))
        a = pyro.deterministic("A", 2.0 * u)
        v = pyro.sample("V", dist.Normal(0.0, 1.0))
        pyro.deterministic("B", a + v**3 + v)

    noise = abduct(model, {"A": [1.0], "B": [3.0]})
    assert torch.allclose(noise["U_U"], torch.tensor(0.5)) and torch.allclose(
        noise["U_V"], torch.tensor(1.0), atol=1e-5
    )


def person(update):
    """A person under a posterior of three draws of the slope."""

    def people():
        slope = pyro.sample("slope", dist.Normal(0.0, 1.0))
        with pyro.plate("people", 1):
            x = pyro.sample("X", dist.Normal(0.0, 1.0))
            u = pyro.sample("U", dist.Normal(0.0, 1.0))
            pyro.deterministic("Y", torch.exp(slope * x + u))

    return with_posterior(people, {"slope": torch.tensor([1.5, 2.0, 2.5])}, update=update)


def test_under_a_posterior_each_draw_has_its_solution_and_its_weight():
    evidence, expected = {"X": [1.0], "Y": [3.0]}, math.log(3.0) - torch.tensor([1.5, 2.0, 2.5])
    assert torch.allclose(abduct(person(False), evidence)["U_U"][:, 0], expected, atol=1e-5)
    weights = abduct(person(True), evidence).log_weights.flatten().softmax(0)
    assert torch.allclose(weights, (-expected.square() / 2).softmax(0), atol=1e-4)
    near = abduct(person(False), {"X": soft([1.0], 0.1), "Y": [3.0]}, num_samples=30, seed=0)
    assert set(near.sites) == {"U_X", "U_U"}
    total = near["U_X"][:, 0] * near.parameters["slope"].reshape(-1) + near["U_U"][:, 0]
    assert torch.allclose(total, torch.full((30,), math.log(3.0)), atol=1e-4)


def one(function, law=STANDARD):
    return lambda: pyro.deterministic("Y", function(pyro.sample("U", law)))


def two(function):
    return lambda: pyro.deterministic(
        "Y", function(pyro.sample("U", dist.Normal(0.0, 1.0)), pyro.sample("B", dist.Bernoulli(0.5)))
    )


REFUSED = {
    "a square": (one(lambda u: u**2), 1.0, "does not rise everywhere"),
    "a flat part": (one(torch.relu), 1.0, "does not rise everywhere"),
    "a wave": (one(torch.sin), 0.5, "does not rise everywhere"),
    "a constant": (lambda: (pyro.sample("U", dist.Normal(0.0, 1.0)), pyro.deterministic("Y", torch.tensor(1.0))), 1.0,
                   "follows from what is observed"),
    "a count": (one(lambda u: 2.0 * u, dist.Poisson(2.0)), 4.0, "discrete"),
    "a later discrete site": (two(lambda u, b: u + b), 1.0, "'B', the last hidden site"),
    "a sum of a vector": (
        one(lambda u: u.sum(-1), dist.Normal(torch.zeros(2), 1.0).to_event(1)), 1.0, "another shape"),
    "components that mix": (
        lambda: pyro.deterministic("Y", (u := pyro.sample("U", dist.Normal(torch.zeros(2), 1.0).to_event(1)))
                                   + 0.5 * u.flip(-1), event_dim=1), [[1.0, 2.0]], "share"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_solved_is_refused_with_both_ways_out(case):
    model, value, says = REFUSED[case]
    with pytest.raises(EvidenceError, match=says) as refusal:
        abduct(model, {"Y": value})
    assert "sites it is computed from" in str(refusal.value) and "soft(value, scale)" in str(refusal.value)


def test_evidence_that_no_value_of_the_hidden_site_gives_is_refused():
    with pytest.raises(EvidenceError, match=r"no value of 'U'.*\(1 of 2 values\)"):
        abduct(one(torch.exp), {"Y": [1.0, -0.5]})
    with pytest.raises(EvidenceError, match=r"probability zero|no value|support"):
        abduct(one(lambda u: 2.0 * u, dist.Uniform(0.0, 1.0)), {"Y": [3.0]})


# Soft evidence --------------------------------------------------------------------------------------------------------


@given(FLOAT, st.floats(0.2, 3.0), st.floats(0.2, 2.0))
@settings(max_examples=15, deadline=None)
def test_soft_evidence_on_normal_sites_has_its_closed_form(value, scale, slope):
    """Exact draws: 5 standard errors of 2,000."""

    def model():
        u = pyro.sample("U", dist.Normal(0.0, 1.0))
        y = pyro.deterministic("Y", slope * u)
        pyro.sample("X", dist.Normal(y, 1.0))

    for name, variance in {"U": scale**2, "Y": scale**2 / slope**2, "X": (1 + scale**2) / slope**2}.items():
        centre = value if name == "U" else value / slope
        noise = abduct(model, {name: soft([value], scale)}, num_samples=2_000, seed=0)
        precision = 1.0 + 1.0 / variance
        assert float(noise.mean("U_U")) == pytest.approx(
            centre / variance / precision, abs=5 * precision**-0.5 / 2_000**0.5
        )
        assert set(noise.sites) == {"U_U", "U_X"}


def square():
    u = pyro.sample("U", dist.Normal(0.5, 1.0))
    x = pyro.sample("X", dist.Bernoulli(logits=u))
    pyro.deterministic("Y", u**2 + x)


def test_soft_evidence_on_a_function_that_has_no_inverse_weighs():
    u = torch.linspace(-8.0, 8.0, 160_001, dtype=torch.double)
    prior = dist.Normal(0.5, 1.0).log_prob(u).exp()
    treated = u.sigmoid()
    weights = [prior * (1 - treated) * dist.Normal(2.0, 0.5).log_prob(u**2).exp(),
               prior * treated * dist.Normal(2.0, 0.5).log_prob(u**2 + 1).exp()]  # fmt: skip
    exact = float(weights[1].sum() / (weights[0] + weights[1]).sum())
    world = counterfactual(square, {"Y": soft([2.0], 0.5)}, {}, method=ImportanceSampling(), num_samples=40_000, seed=0)
    assert float(world.mean("X")) == pytest.approx(exact, abs=0.02)
    effect = ate(
        square, {"X": (0.0, 1.0)}, "Y", evidence={"Y": soft([2.0, 3.0], 0.5)}, method=ImportanceSampling(), seed=0
    )
    assert float(effect.value) == pytest.approx(1.0, abs=1e-5)
    total = (weights[0] + weights[1]).sum()
    mean = float((((weights[0] + weights[1]) * u).sum()) / total)
    assert float(world.mean("U")) == pytest.approx(mean, abs=0.06)


def test_soft_evidence_on_classes_and_beside_hard_evidence():
    def model():
        b = pyro.sample("B", dist.Bernoulli(0.3))
        pyro.sample("Y", dist.Normal(b, 1.0))

    odds = 0.3 / 0.7 * math.exp(-0.5 * (0.2**2 - 0.8**2) / 0.25) * math.exp(-0.5 * (1.0 - 4.0))
    found = probability(model, {"B": 1}, {"B": soft(0.8, 0.5), "Y": 2.0})
    assert float(found) == pytest.approx(odds / (1 + odds), abs=1e-5)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf, "wide", None, True, [1.0]])
def test_a_scale_that_is_no_positive_number_is_refused(scale):
    with pytest.raises(EvidenceError, match="scale of soft evidence must be a positive number"):
        soft(1.0, scale)


def test_a_small_error_is_nearly_the_evidence_itself():
    hard = abduct(log_normal, {"X": [1.0], "Y": [2.0]})["U_U"]
    noise = abduct(log_normal, {"X": [1.0], "Y": soft([2.0], 0.05)}, ImportanceSampling(), num_samples=20_000, seed=0)
    assert float(noise.mean("U_U")) == pytest.approx(float(hard), abs=0.02)
    assert sample(log_normal, 2, seed=0).keys() == {"X", "U", "Y"}
