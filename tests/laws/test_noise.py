"""Laws 6 and 8, on populations: abducted noise follows the noise law, and its posterior is that of rejection sampling.

Tests are two-sample Kolmogorov-Smirnov with a false alarm of 1e-8 each and correlations of ranks within 6 standard
errors (2e-9 each): about 10,000 in all, so a sound library fails once in 10,000 suites.
"""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings
from pyro import poutine

from causal_pyro_models import abduct, exogenize, sample
from causal_pyro_models.scm.sites import noise_name
from tests.laws.strategies import ALL, DISCRETE, populations

KOLMOGOROV = math.sqrt(-math.log(1e-8 / 2) / 2)


def kolmogorov(a, b):
    """The two-sample Kolmogorov-Smirnov distance, scaled to its law in the limit."""
    both = torch.cat([a, b]).sort().values
    below = [torch.searchsorted(s.sort().values, both, right=True) / len(s) for s in (a, b)]
    return float((below[0] - below[1]).abs().max()) * math.sqrt(len(a) * len(b) / (len(a) + len(b)))


def rank_scores(x):
    """Standard normal scores of the ranks, ties broken by the order of the units; constants give no score."""
    score = torch.special.ndtri((x.argsort(0).argsort(0).double() + 0.5) / len(x))
    return score[:, x.max(0).values > x.min(0).values]


def columns(values):
    return [values[name].double().reshape(len(values[name]), -1) for name in values]


def assert_noise_law(model, units, seed):
    """Noise abducted from a population: its law, its independence among variables, and of the parents' values."""
    population = model.draw(units, seed)
    noise = abduct(model, population, seed=seed + 1)
    prior = sample(exogenize(model), units, seed=seed + 2)
    for name in noise:
        for a, b in zip(columns(noise)[list(noise).index(name)].T, prior[name].reshape(units, -1).T, strict=True):
            assert kolmogorov(a, b.double()) < KOLMOGOROV, (model, name)
    scores = {name: rank_scores(noise[name].double().reshape(units, -1)) for name in noise}
    values = {name: rank_scores(value.double().reshape(units, -1)) for name, value in population.items()}
    for variable in model.random:
        u = scores[noise_name(variable.name)]
        before = model.ancestors(variable.name) - {variable.name}
        others = [scores[noise_name(v.name)] for v in model.random if v is not variable]
        others += [v for name, v in values.items() if name in before]
        if not others:
            continue
        other = torch.cat(others, 1)
        for f in (lambda s: s, lambda s: (s.square() - 1) / math.sqrt(2)):
            z = f(u).T @ other / math.sqrt(units)
            assert z.abs().max() < 6, (model, variable.name, z)


@settings(max_examples=12)
@given(populations(3, max_variables=8))
def test_noise_of_a_population_follows_its_law(models):
    for model in models:
        assert_noise_law(model, 1_000, model.seed)


def assert_posterior_by_rejection(model, units=20_000, draws=1_000):
    """Posterior draws of discrete noise given one unit's values, against noise that gave those values by chance."""
    evidence = model.draw(1, model.seed)
    posterior = abduct(model, evidence, num_samples=draws, seed=model.seed + 1)
    compared = 0
    for v in model.discrete:
        others = {name: value[0] for name, value in evidence.items() if name not in model.descendants(v.name)}
        prior = sample(exogenize(poutine.condition(model, data=others)), units, seed=model.seed + 2)
        accepted = (prior[v.name] == evidence[v.name]).reshape(units, -1).all(1)
        if accepted.sum() < 200:
            continue
        by_chance = prior[noise_name(v.name)][accepted].double().reshape(int(accepted.sum()), -1)
        exact = posterior[noise_name(v.name)].double().reshape(draws, -1)
        pairs = [*zip(exact.T, by_chance.T, strict=True), (exact.sum(1), by_chance.sum(1))]
        if exact.shape[1] > 1:  # the order of the coordinates, which a wrong dependence would show in
            pairs.append((exact[:, 0] - exact[:, 1], by_chance[:, 0] - by_chance[:, 1]))
        for a, b in pairs:
            assert kolmogorov(a, b) < KOLMOGOROV, (model, v.name, evidence[v.name])
        compared += 1
    return compared


@settings(max_examples=8)
@given(populations(2, max_variables=5, families=[*DISCRETE, "Normal"]))
def test_posterior_of_discrete_noise_is_that_of_rejection_sampling(models):
    for model in models:
        assert_posterior_by_rejection(model)


def assert_noise_free_of_its_parent(family):
    """Noise among units with the parent low against those with it high."""

    def model():
        x = pyro.sample("X", dist.Uniform(torch.tensor(-2.0, dtype=torch.float64), 2.0))
        pyro.sample("Y", ALL[family](x, -x, x))

    population = sample(model, 20_000, seed=0)
    noise = abduct(model, population, seed=1)["U_Y"].double().reshape(20_000, -1)
    low = population["X"] < 0
    for u in noise.T:
        assert kolmogorov(u[low], u[~low]) < KOLMOGOROV, family


@pytest.mark.parametrize("family", ["StudentT", "Gamma", "Beta", "InverseGamma", "VonMises", "Dirichlet", "mixture"])
def test_noise_is_free_of_the_parents_where_shapes_depend_on_them(family):
    """The trap of a standard member of the family, whose law would follow the parents."""
    assert_noise_free_of_its_parent(family)
