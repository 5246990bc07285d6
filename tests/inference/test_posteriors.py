"""Posteriors that exist: a hierarchical normal model with known variances, and new people under it, in closed form.

``mu | D ~ N(m, v)``, of which 4,000 draws are given. A person has ``theta ~ N(mu, tau)`` and ``Y ~ N(theta X, s)``.
Statistical checks have fixed seeds and 4 standard errors: a false alarm of 6e-5 each.
"""

import functools
import math
import warnings

import arviz
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import MCMC, NUTS as PyroNUTS, SVI, Trace_ELBO
from pyro.infer.autoguide import AutoDelta, AutoMultivariateNormal

from causal_pyro_models import (
    NUTS,
    ImportanceSampling,
    abduct,
    ate,
    counterfactual,
    intervene,
    probability,
    sample,
    soft,
    to_inference_data,
    with_posterior,
    worlds,
)
from causal_pyro_models.errors import AbductionError, EvidenceError, InterventionError, QueryError, UnknownVariableError
from causal_pyro_models.inference.held import Held

TAU, S = 0.5, 0.8
M, V = 1.2, 0.09
DRAWS = 4_000
MU = M + math.sqrt(V) * torch.randn(DRAWS, generator=torch.Generator().manual_seed(3))
X, Y = torch.tensor([2.0, 1.0, -1.0]), torch.tensor([3.0, 0.5, 0.0])


@pytest.fixture(autouse=True)
def no_parameters_are_left():
    """Those of guides, which Pyro keeps wherever a guide runs."""
    yield
    pyro.clear_param_store()


def people(count):
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    with pyro.plate("people", count):
        theta = pyro.sample("theta", dist.Normal(mu, TAU))
        x = pyro.sample("X", dist.Normal(0.0, 1.0))
        pyro.sample("Y", dist.Normal(theta * x, S))


def person(count=3, update=False, draws=MU):
    return with_posterior(functools.partial(people, count), {"mu": draws}, update=update)


def updated(x=X, y=Y, m=M, v=V):
    """The law of mu once new people are seen: each is a measurement of it, Y / X ~ N(mu, tau² + s² / X²)."""
    for one, other in zip(x.tolist(), y.tolist(), strict=True):
        noise = (one * TAU) ** 2 + S**2
        precision = 1 / v + one**2 / noise
        m, v = (m / v + one * other / noise) / precision, 1 / precision
    return m, v


def of_theta(m, v, x=X, y=Y):
    """Mean and variance of theta given its own evidence, where mu ~ N(m, v) whatever the evidence."""
    precision = 1 / TAU**2 + x**2 / S**2
    return (m / TAU**2 + x * y / S**2) / precision, 1 / precision + v / (TAU**2 * precision) ** 2


def off(draws, mean, variance, worth=None):
    """How many standard errors a mean and a variance of normal draws are off."""
    n = len(draws) if worth is None else worth
    error = torch.stack(
        [(draws.mean(0) - mean) / (variance / n).sqrt(), (draws.var(0) / variance - 1) / (2 / n) ** 0.5]
    )
    return float(error.abs().max())


@pytest.mark.parametrize("method", [None, ImportanceSampling()], ids=["in closed form", "by importance sampling"])
def test_a_new_person_given_each_draw(method):
    world = counterfactual(person(), {"X": X, "Y": Y}, {"X": 1.0}, method=method, seed=0)
    assert world["Y"].shape == (DRAWS, 3)
    mean, variance = of_theta(M, V)
    assert off(world["theta"].double(), mean, variance) < 4.5  # and the bias of 200 proposals
    torch.testing.assert_close(world["Y"], Y + (1.0 - X) * world["theta"], rtol=0.0, atol=1e-4)
    assert torch.equal(world["mu"], MU)  # a cut: in order, and of equal weight


@pytest.mark.parametrize("method", [None, ImportanceSampling()], ids=["in closed form", "by importance sampling"])
def test_new_people_tell_of_the_parameters_where_asked(method):
    """p(theta, u | D, e), theirs being joint: whoever else is seen tells of a person through mu."""
    noise = abduct(person(update=True), {"X": X, "Y": Y}, method=method, seed=0)
    m, v = updated()
    weight = noise.log_weights.exp().double()
    mean = float((weight * MU).sum())
    assert abs(mean - m) < 4 * math.sqrt(v / float(noise.ess)) and abs(m - M) > 10 * math.sqrt(v / float(noise.ess))
    assert abs(float((weight * (MU - mean) ** 2).sum()) / v - 1) < 4 * math.sqrt(2 / float(noise.ess))
    world = counterfactual(person(update=True), noise, {"X": 1.0})
    other, _ = of_theta(m, v)
    assert float((world.mean("theta") - other).abs().max()) < 0.05


def test_weights_without_hidden_noise():
    def tosses(count):
        p = pyro.sample("p", dist.Beta(1.0, 3.0))  # whose density is in the draws already
        with pyro.plate("tosses", count):
            pyro.sample("X", dist.Bernoulli(p))

    draws = torch.distributions.Beta(4.0, 6.0).sample((DRAWS,))
    toss = functools.partial(tosses, 4)
    noise = abduct(with_posterior(toss, {"p": draws}, update=True), {"X": [1.0, 1.0, 1.0, 0.0]}, seed=0)
    shares = noise.log_weights.exp()
    assert abs(float((shares * draws).sum()) - 7 / 14) < 4 * math.sqrt(7 * 7 / 14**2 / 15 / float(noise.ess))
    noise = abduct(with_posterior(toss, {"p": draws}), {"X": [1.0, 1.0, 1.0, 0.0]}, seed=0)
    assert noise.log_weights is None and torch.equal(noise.parameters["p"], draws)


def test_hidden_states_given_each_draw():
    """H ~ B(p), Y ~ N(2 H, 1): P(H = 1 | p, y) by Bayes, on the average over the draws of p."""

    def carriers(count):
        p = pyro.sample("p", dist.Beta(1.0, 1.0))
        with pyro.plate("people", count):
            h = pyro.sample("H", dist.Bernoulli(p))
            pyro.sample("Y", dist.Normal(2.0 * h, 1.0))

    draws, y = torch.linspace(0.05, 0.6, 2_000), torch.tensor([0.0, 1.5])
    model = with_posterior(functools.partial(carriers, 2), {"p": draws})
    odds = (draws / (1 - draws))[:, None] * (2 * y - 2).exp()
    truth = (odds / (1 + odds)).mean(0)
    for method in (None, ImportanceSampling()):
        world = counterfactual(model, {"Y": y}, {}, method=method, seed=0)
        assert bool(((world["H"].mean(0) - truth).abs() < 4 * (0.25 / 2_000) ** 0.5).all())
    assert bool(((probability(model, {"H": 1}, {"Y": y}, seed=0) - truth).abs() < 4 * (0.25 / 2_000) ** 0.5).all())


def test_seeing_and_doing_are_under_the_posterior():
    drawn = sample(intervene(person(1), {"X": 2.0}), 20_000, seed=0)
    assert off(drawn["Y"].double()[:, 0], torch.tensor(2 * M), torch.tensor(4 * (V + TAU**2) + S**2)) < 4.5
    estimate = ate(person(2_000), {"X": (0.0, 1.0)}, "Y", seed=0)
    assert float(estimate.value) == pytest.approx(float(MU.mean()), abs=4 * TAU / math.sqrt(2_000 * DRAWS))
    low, high = (float(end) for end in estimate.interval)
    assert (high - low) / 2 / 1.96 == pytest.approx(math.sqrt(V + TAU**2 / 2_000), rel=0.06)


def test_draws_come_in_order_thinned_evenly_or_again():
    assert Held({"a": torch.zeros(10)}, {"a": 0}, 1, False).chosen(5).tolist() == [1, 3, 5, 7, 9]
    evidence = {"X": X, "Y": Y}
    few = abduct(person(), evidence, num_samples=400, seed=0)
    assert torch.equal(few.parameters["mu"], MU[5::10])
    many = abduct(person(draws=MU[:7]), evidence, num_samples=21, seed=0)
    assert torch.equal(many.parameters["mu"], MU[:7].repeat(3)) and many["U_theta"][0, 0] != many["U_theta"][7, 0]


def groups(sizes=(3, 4)):
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.HalfNormal(1.0))
    with pyro.plate("groups", sizes[0], dim=-2):
        level = pyro.sample("level", dist.Normal(mu, tau))
        with pyro.plate("people", sizes[1], dim=-1):
            pyro.sample("Y", dist.Normal(level, 1.0))


@pytest.mark.parametrize("shape", [(3, 1), (3,)])
def test_held_levels_of_groups_follow_their_parents(shape):
    """Draws of values become noise: under do(mu) a level moves with it, and people with their level."""
    generator = torch.Generator().manual_seed(0)
    mu, tau = torch.randn(50, generator=generator), torch.rand(50, generator=generator) + 0.5
    level = mu[:, None] + tau[:, None] * torch.randn(50, 3, generator=generator)
    model = with_posterior(groups, {"mu": mu, "tau": tau, "level": level.reshape(50, *shape)})
    y = torch.randn(3, 4, generator=generator)
    result = worlds(model, {"Y": y}, {"seen": {}, "set": {"mu": 2.0}, "shift": {"level": lambda v: v + 1.0}})
    torch.testing.assert_close(result["seen"]["level"], level)
    torch.testing.assert_close(result.noise["U_level"], (level - mu[:, None]) / tau[:, None])
    moved = 2.0 - mu[:, None] + level
    torch.testing.assert_close(result["set"]["level"], moved)
    torch.testing.assert_close(result["set"]["Y"], y + (moved - level)[..., None])
    torch.testing.assert_close(result["shift"]["Y"], (y + 1.0).expand(50, 3, 4))
    with pytest.raises(InterventionError, match="law of the population-level parameter 'b' changes"):
        counterfactual(with_posterior(_chain, {"a": mu, "b": tau}), {"X": [0.0, 1.0]}, {"a": 0.0})


def _chain():
    a = pyro.sample("a", dist.Normal(0.0, 1.0))
    b = pyro.sample("b", dist.Normal(a, 1.0))
    with pyro.plate("units", 2):
        pyro.sample("X", dist.Normal(b, 1.0))


def fitted(count=40):
    def model():
        mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
        with pyro.plate("people", count):
            pyro.sample("Y", dist.Normal(mu, 1.0), obs=data)

    data = torch.linspace(-1.0, 2.0, count)
    precision = 1 / 25 + count
    return model, float(data.sum()) / precision, precision**-0.5


def by_chains():
    mcmc = MCMC(PyroNUTS(fitted()[0]), 200, warmup_steps=50, disable_progbar=True)
    mcmc.run()
    return mcmc


def by_guide():
    model, *_ = fitted()
    guide = AutoMultivariateNormal(model)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.03}), Trace_ELBO(num_particles=10, vectorize_particles=True))
    for _ in range(250):
        svi.step()
    return guide


def by_this():
    def model():
        mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
        with pyro.plate("people", 40):
            pyro.sample("Y", dist.Normal(mu, 1.0))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return abduct(model, {"Y": torch.linspace(-1.0, 2.0, 40)}, NUTS(30, progress=False), 200, seed=0)


KINDS = {
    "MCMC": by_chains,
    "samples": lambda: by_chains().get_samples(),
    "NumPy samples": lambda: {name: value.numpy() for name, value in by_chains().get_samples().items()},
    "guide": by_guide,
    "noise": by_this,
    "data of ArviZ": lambda: to_inference_data(posterior=by_this()),
    "data of ArviZ from elsewhere": lambda: _converted(by_chains().get_samples(group_by_chain=True)),
}


def _converted(samples):
    data = {"posterior": {name: value.numpy() for name, value in samples.items()}}
    return arviz.from_dict(**data) if "InferenceData" in vars(arviz) else arviz.from_dict(data)


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_holds_the_posterior(kind):
    _, mean, spread = fitted()
    posterior = KINDS[kind]()

    def one():
        mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
        with pyro.plate("people", 1):
            pyro.sample("Y", dist.Normal(mu, 1.0))

    model = with_posterior(one, posterior, num_draws=400, seed=0)
    mu = abduct(model, {"Y": [0.0]}).parameters["mu"]
    assert abs(float(mu.mean()) - mean) < 5 * spread / math.sqrt(100)  # of chains of 200 draws
    assert float(mu.std()) == pytest.approx(spread, rel=0.35)


def test_a_guide_of_one_point():
    guide = AutoDelta(fitted()[0])
    guide()
    model = with_posterior(functools.partial(_mean, 1), guide, num_draws=3)
    assert len(set(abduct(model, {"Y": [0.0]}).parameters["mu"].tolist())) == 1


def _mean(count):
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    with pyro.plate("people", count):
        pyro.sample("Y", dist.Normal(mu, 1.0))


UNEVEN = {"mu": torch.zeros(5), "tau": torch.ones(4)}
LEVELS = {"mu": torch.zeros(5), "tau": torch.ones(5), "level": torch.zeros(5, 8)}


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda: with_posterior(groups, LEVELS), QueryError, r"'level' are of shape \(8,\), where .* \(3, 1\)"),
        (lambda: with_posterior(groups, {"level": torch.zeros(5, 3)}), QueryError, r"depends on \['mu', 'tau'\]"),
        (lambda: with_posterior(groups, {"nu": torch.zeros(5)}), UnknownVariableError, "'nu'"),
        (lambda: with_posterior(groups, LEVELS, sites=["nu"]), UnknownVariableError, "'nu'"),
        (lambda: with_posterior(groups, LEVELS, sites="mu"), QueryError, "a list of names"),
        (lambda: with_posterior(groups, UNEVEN), QueryError, "same number of draws"),
        (lambda: with_posterior(groups, {**UNEVEN, "tau": -torch.ones(5)}), QueryError, "leave its"),
        (lambda: with_posterior(groups, {"mu": [np.nan, 1.0]}), QueryError, "NaN or infinite"),
        (lambda: with_posterior(groups, {"mu": ["a"]}), QueryError, "an array of numbers"),
        (lambda: with_posterior(groups, 3), QueryError, "posterior must be samples by site"),
        (lambda: with_posterior(fitted()[0], {"Y": torch.zeros(5, 40)}), QueryError, "'Y' is observed in the model"),
        (lambda: with_posterior(lambda: pyro.sample("X", dist.Normal(0.0, 1.0)), {"X": [1.0]}), QueryError, "plates"),
        (lambda: with_posterior(person(), {"mu": MU}), QueryError, "held at a posterior already"),
        (lambda: abduct(person(), {"mu": 0.0}), EvidenceError, "contradicts the draws of it"),
        (lambda: abduct(person(), {"Y": Y}, NUTS(progress=False)), AbductionError, "given each of them"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(ask, error, message):
    with pytest.raises(error, match=message):
        ask()


def test_a_posterior_of_more_than_the_parameters():
    model = with_posterior(groups, LEVELS, sites=["mu", "tau"])
    world = counterfactual(model, {"Y": torch.zeros(3, 4)}, {"mu": 1.0}, method=ImportanceSampling(), seed=0)
    assert world["level"].shape == (5, 3)


def test_evidence_that_no_draw_allows():
    def model():
        p = pyro.sample("p", dist.Uniform(0.0, 5.0))
        with pyro.plate("units", 1):
            pyro.sample("X", dist.Uniform(p, p + 1.0))

    draws = {"p": torch.tensor([0.0, 1.0, 2.0])}
    with pytest.raises(EvidenceError, match="probability zero under 2 of 3 draws"):
        abduct(with_posterior(model, draws), {"X": [1.5]})
    noise = abduct(with_posterior(model, draws, update=True), {"X": [1.5]})
    assert noise.parameters["p"].tolist() == [1.0]


def test_a_program_that_runs_for_one_draw_after_the_other():
    """``X @ b`` broadcasts over no draws. T ~ N(0, s), Y ~ N(x b + T, 1): T | y is normal given b and s."""
    design = torch.tensor([[1.0, 2.0], [0.0, 1.0], [2.0, -1.0]])

    def model():
        b = pyro.sample("b", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        s = pyro.sample("s", dist.HalfNormal(1.0))
        with pyro.plate("units", 3):
            t = pyro.sample("T", dist.Normal(0.0, s))
            pyro.sample("Y", dist.Normal(design @ b + t, 1.0))

    generator = torch.Generator().manual_seed(0)
    b, s = torch.randn(100, 2, generator=generator), torch.rand(100, generator=generator) + 0.5
    y = torch.tensor([1.0, 2.0, 3.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        world = counterfactual(with_posterior(model, {"b": b, "s": s}), {"Y": y}, {}, seed=0)
    share = (s**2 / (1 + s**2))[:, None]
    z = (world["T"] - (y - b @ design.T) * share) / share.sqrt()
    assert off(z.double().reshape(-1, 1), torch.zeros(1), torch.ones(1)) < 4
    torch.testing.assert_close(world["Y"], y.expand(100, 3), rtol=0.0, atol=1e-4)


def test_measurements_with_error():
    """theta is measured with error .5: its posterior given each draw, and with it mu where asked."""
    measured = {"theta": soft([1.0, 2.0], 0.5)}
    theta = counterfactual(person(2), measured, {}, seed=0)["theta"]
    assert off(theta.double(), (M + torch.tensor([1.0, 2.0])) / 2, torch.tensor(0.125 + 0.25 * V)) < 4
    noise = abduct(person(2, update=True), measured, seed=0)
    precision = 1 / V + 2 / (TAU**2 + 0.5**2)  # two measurements of N(mu, tau² + 0.5²)
    m, v = (M / V + 3.0 / (TAU**2 + 0.5**2)) / precision, 1 / precision
    mean = float((noise.log_weights.exp() * MU).sum())
    assert abs(mean - m) < 4 * math.sqrt(v / float(noise.ess))


def test_a_question_leaves_the_draws_as_they_were():
    """A world is asked of draws in order; a run by itself takes a random one, before and after."""
    asked, fresh = person(), person()
    counterfactual(asked, {"X": X, "Y": Y}, {"X": 0.0}, num_samples=3)
    with pyro.poutine.trace() as before:
        pyro.set_rng_seed(0)
        asked()
    with pyro.poutine.trace() as after:
        pyro.set_rng_seed(0)
        fresh()
    assert before.trace.nodes["mu"]["value"] == after.trace.nodes["mu"]["value"]
