"""Counterfactuals against closed forms and enumeration: linear-Gaussian and discrete models, partial evidence, nesting.

Means, variances and probabilities lie within 4 standard errors of the truth, a false alarm of 6e-5 for each of the
some 2,000 that are compared; seeds are fixed.
"""

import functools

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings, strategies as st

from causal_pyro_models import ImportanceSampling, abduct, counterfactual, intervene, potential, sample, worlds
from causal_pyro_models.errors import AbductionError, InterventionError, QueryError, UnknownVariableError
from causal_pyro_models.scm import zoo
from tests.inference.exact import discrete_misses, gaussian_misses, linear_case

DRAWS = 40_000


# Linear and Gaussian ---------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_linear_models_with_hidden_confounders_and_partial_evidence(seed):
    scm, evidence, do = linear_case(seed)
    world = counterfactual(scm, evidence, do, ImportanceSampling(), DRAWS, seed=seed)
    assert not gaussian_misses(world, scm.counterfactual(evidence, do))


@pytest.mark.parametrize("name", ["chain", "fork", "collider", "triangle", "front_door", "instrument", "mediation"])
def test_linear_structures_whose_root_and_last_variable_are_seen(name):
    scm = getattr(zoo.linear, name)()
    order = scm.graph.topological_order
    evidence = {order[0]: np.array([0.5, -1.0]), order[-1]: np.array([1.0, 0.0])}
    do = {order[0]: lambda x: -x, order[1]: 0.7}
    world = counterfactual(scm, evidence, do, ImportanceSampling(), DRAWS, seed=0)
    assert not gaussian_misses(world, scm.counterfactual(evidence, do))


def test_worlds_are_joint_and_not_only_marginal():
    """Covariance between two worlds on the same noise, within 4 standard errors."""
    scm = zoo.linear.front_door()
    evidence, do = {"X": 1.0, "Y": -0.5}, {"low": {"M": -1.0, "X": 0.0}, "as it was": {}, "high": {"U": 1.0}}
    result = worlds(scm, evidence, do, ImportanceSampling(), DRAWS, seed=0)
    law = scm.worlds(do, evidence)
    weight = result.noise.shares()[:, 0].double()
    centred = {}
    for world, name in law.names:
        x = result[world].proposed[name][:, 0].double()
        centred[world, name] = x - (weight * x).sum()
    for i, one in enumerate(law.names):
        for j, other in enumerate(law.names):
            product = centred[one] * centred[other]
            covariance = (weight * product).sum()
            error = (weight * (product - covariance)).square().sum().sqrt()
            assert abs(covariance - law.covariance[i, j]) <= 4 * error + 1e-4, (one, other)


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_linear_models_seen_in_full_are_exact(seed):
    scm = zoo.random_linear_gaussian(6, seed)
    evidence = {name: value.double().numpy() for name, value in sample(scm, 4, seed=seed).items()}
    first, second, third = scm.graph.topological_order[:3]
    do = {first: 1.5, third: potential(third, {second: potential(second, {first: -2.0})})}
    world = counterfactual(scm, evidence, do)
    law = scm.counterfactual(evidence, do)
    for name in law.names:
        np.testing.assert_allclose(world[name].numpy(), law.expectation(name) * np.ones(4), rtol=1e-4, atol=1e-4)


def slope_two():
    x = pyro.sample("X", dist.Normal(0.0, 1.0))
    pyro.sample("Y", dist.Normal(2.0 * x, 1.0))


def test_a_linear_counterfactual_has_no_error_but_rounding():
    """Y* = Y + 2 (x* - X), to two roundings of the largest number met, and in a single draw as in many."""
    x, y = torch.randn(2, 10_000) * torch.tensor([[3.0], [10.0]])
    for action in (0.0, 1.0, -7.5):
        world = counterfactual(slope_two, {"X": x, "Y": y}, {"X": action})
        largest = torch.stack([y.abs(), 2 * x.abs(), (y - 2 * x).abs(), torch.full_like(x, 2 * abs(action))]).amax(0)
        error = (world["Y"].double() - (y.double() + 2 * (action - x.double()))).abs()
        assert bool((error <= 2 * torch.finfo(torch.float32).eps * largest).all())
        assert torch.equal(world["X"], torch.full_like(x, action))
        many = counterfactual(slope_two, {"X": x, "Y": y}, {"X": action}, num_samples=2)
        assert torch.equal(many["Y"], world["Y"].expand(2, -1))
    assert torch.equal(counterfactual(slope_two, {"X": x, "Y": y}, {"X": x})["X"], x)


# Discrete --------------------------------------------------------------------------------------------------------


def binary_and_categorical(dtype):
    """Sites whose log odds are as extreme as those of a saturated network."""
    logits = torch.tensor([-80.0, -30.0, -5.0, 0.0, 5.0, 30.0, 80.0], dtype=dtype)
    a = pyro.sample("A", dist.Bernoulli(logits=logits).to_event(1))
    b = pyro.sample("B", dist.Bernoulli(logits=logits * (2 * a - 1)).to_event(1))
    odds = logits * (2 * b - 1)
    table = torch.stack([torch.zeros_like(odds), odds, -logits.flip(-1).expand_as(odds)], -1)
    pyro.sample("C", dist.Categorical(logits=table).to_event(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("likely", [True, False])
def test_an_action_that_changes_nothing_changes_no_discrete_site(dtype, likely):
    """More than 1e6 draws of the noise of every site; also where the value seen had a probability of exp(-80)."""
    model = functools.partial(binary_and_categorical, dtype)
    units = 50
    if likely:
        evidence = dict(sample(model, units, seed=1))
    else:
        shape = (units, 7)
        evidence = {
            "A": torch.randint(0, 2, shape).to(dtype),
            "B": torch.randint(0, 2, shape).to(dtype),
            "C": torch.randint(0, 3, shape),
        }
    noise = abduct(model, evidence, num_samples=3_000, seed=0)
    assert noise["U_B"].numel() > 1e6
    same = {name: value.to(dtype) for name, value in evidence.items()}
    result = worlds(
        model,
        noise,
        {
            "nothing": {},
            "itself": {"A": lambda a: a},
            "its value": {"A": same["A"], "B": same["B"]},
            "its potential": {"B": potential("B", {"A": same["A"]})},
        },
    )
    for name, world in result.items():
        for site, value in evidence.items():
            assert torch.equal(world[site], value.expand(world[site].shape)), (name, site)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from([zoo.GUMBEL_MAX, zoo.QUANTILE]))
def test_discrete_models_seen_in_full_meet_enumeration(seed, coupling):
    scm = zoo.random_discrete(4, seed, cardinalities=(2, 3), coupling=coupling)
    first = scm.graph.topological_order[0]
    evidence = {name: int(value) for name, value in sample(scm, 1, seed=seed).items()}
    do = {first: 1 - min(evidence[first], 1)}
    world = counterfactual(scm, evidence, do, num_samples=20_000, seed=seed)
    assert not discrete_misses(world, scm.counterfactual(evidence, do))


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from([zoo.GUMBEL_MAX, zoo.QUANTILE]))
def test_discrete_models_seen_in_part_meet_enumeration(seed, coupling):
    scm = zoo.random_discrete(4, seed, cardinalities=(2, 3), coupling=coupling)
    order = scm.graph.topological_order
    values = sample(scm, 1, seed=seed)
    evidence = {name: int(values[name]) for name in order[1::2]}
    for do in ({order[0]: 1}, {order[1]: 0}, {order[0]: lambda x: 1 - x.clamp(max=1)}):
        world = counterfactual(scm, evidence, do, ImportanceSampling(), 20_000, seed=seed)
        assert not discrete_misses(world, scm.counterfactual(evidence, do))


@pytest.mark.parametrize("name", ["confounded", "front_door", "instrument"])
def test_discrete_hidden_confounders_meet_enumeration(name):
    scm = getattr(zoo.discrete, name)()
    for y in (0, 1):
        evidence, do = {"X": 1, "Y": y}, {"X": 0}
        world = counterfactual(scm, evidence, do, ImportanceSampling(), 20_000, seed=y)
        assert not discrete_misses(world, scm.counterfactual(evidence, do))


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_nested_discrete_counterfactuals_meet_enumeration(seed):
    """A potential within a potential, with evidence on the last variable alone and on two."""
    scm = zoo.random_discrete(4, seed, max_parents=2, cardinalities=(2, 3), coupling=zoo.QUANTILE)
    a, b, c, d = scm.graph.topological_order
    values = sample(scm, 1, seed=seed)
    do = {a: 1, c: potential(c, {a: 0, b: potential(b, {a: 1})})}
    for seen in ([d], [b, d]):
        evidence = {name: int(values[name]) for name in seen}
        world = counterfactual(scm, evidence, do, ImportanceSampling(), 20_000, seed=seed)
        assert not discrete_misses(world, scm.counterfactual(evidence, do))


def test_the_natural_effects_of_one_patient_who_was_cured():
    """Y under drug and the enzyme that there would be without, given Y alone, in the numbers of Pearl (2012)."""
    scm = zoo.discrete.mediation()
    nested = {"X": 1, "M": potential("M", {"X": 0})}
    world = counterfactual(scm, {"Y": 1}, nested, ImportanceSampling(), DRAWS, seed=0)
    assert not discrete_misses(world, scm.counterfactual({"Y": 1}, nested))
    assert scm.counterfactual_probability({"Y": 1}, nested, {"Y": 1}) != pytest.approx(0.56, abs=0.05)


# Results ---------------------------------------------------------------------------------------------------------


def test_noise_of_abduction_serves_any_number_of_worlds():
    noise = abduct(slope_two, {"X": [1.0], "Y": [2.5]}, num_samples=3, seed=0)
    result = worlds(slope_two, noise, {"zero": {"X": 0.0}, "one": {"X": 1.0}})
    assert result.noise is noise
    assert list(result) == ["zero", "one"]
    assert len(result) == 2
    assert torch.equal(result["zero"]["Y"], counterfactual(slope_two, noise, {"X": 0.0})["Y"])
    with pytest.raises(UnknownVariableError, match="Did you mean 'zero'"):
        result["zeros"]
    with pytest.raises(QueryError, match="abducted already"):
        worlds(slope_two, noise, {"zero": {"X": 0.0}}, num_samples=3)
    with pytest.raises(AbductionError, match="another model, which has no site 'Z'"):
        worlds(zoo.linear.triangle(), noise, {"zero": {"X": 0.0}})


def test_samples_of_models_with_plates_are_whole_models():
    def model():
        m = pyro.sample("M", dist.Normal(0.0, 1.0))
        with pyro.plate("groups", 2, dim=-2), pyro.plate("people", 3, dim=-1):
            pyro.sample("X", dist.Normal(m, 1.0))
        with pyro.plate("rows", 2, dim=-2):
            pyro.sample("V", dist.Normal(torch.zeros(4), 1.0).to_event(1))

    shapes = {"M": (5,), "X": (5, 2, 3), "V": (5, 2, 4)}
    assert {name: tuple(value.shape) for name, value in sample(model, 5, seed=0).items()} == shapes
    assert len(set(sample(model, 5, seed=0)["M"].tolist())) == 5
    set_to = sample(intervene(model, {"X": 1.0}), 5, seed=0)["X"]
    assert torch.equal(set_to, torch.ones(5, 2, 3))


def test_parameters_whose_law_an_action_changes_are_refused():
    def model():
        scale = pyro.sample("scale", dist.Gamma(2.0, 2.0))
        slope = pyro.sample("slope", dist.Normal(0.0, scale))
        with pyro.plate("people", 2):
            pyro.sample("Y", dist.Normal(slope, 1.0))

    evidence = {"scale": 1.0, "slope": 0.5, "Y": [1.0, 2.0]}
    with pytest.raises(InterventionError, match="the law of the population-level parameter 'slope' changes"):
        counterfactual(model, evidence, {"scale": 3.0})
    both = counterfactual(model, evidence, {"scale": 3.0, "slope": 1.5})
    torch.testing.assert_close(both["Y"], torch.tensor([2.0, 3.0]))
