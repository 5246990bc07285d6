"""Policies: what is done by a rule is what is done by its value, unit by unit, on the same noise."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings, strategies as st
from pyro import poutine

from causal_pyro_models import (
    AdditiveNoiseModel,
    Binary,
    Categorical,
    CausalGraph,
    Continuous,
    abduct,
    counterfactual,
    intervene,
    policy,
    potential,
    sample,
    worlds,
)
from causal_pyro_models.errors import InterventionError
from causal_pyro_models.scm.zoo.discrete import random_discrete


def model():
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    x = pyro.sample("X", dist.Normal(z, 1.0))
    pyro.sample("Y", dist.Normal(x * z, 1.0))


def looked_up(table, *names):
    rows = torch.as_tensor(table)
    return policy(lambda v: rows[tuple(v[name].long() for name in names)], names)


@given(st.integers(0, 10_000), st.data())
@settings(max_examples=25, deadline=None)
def test_a_rule_is_its_value_for_each_unit_on_the_same_noise(seed, data):
    scm = random_discrete(5, seed, cardinalities=(2, 3))
    order = list(scm.parents)
    x = data.draw(st.sampled_from(order[1:]))
    reads = data.draw(st.lists(st.sampled_from(order[: order.index(x)]), min_size=1, max_size=2, unique=True))
    size = {name: scm.tables[name].shape[-1] for name in order}
    rng = np.random.default_rng(seed)
    table = rng.integers(0, size[x], tuple(size[name] for name in reads))
    seen = sample(scm, 50, seed=seed)
    noise = abduct(scm, {name: seen[name] for name in order}, seed=seed)
    value = torch.as_tensor(table)[tuple(seen[name].long() for name in reads)]
    found = worlds(scm, noise, {"rule": {x: looked_up(table, *reads)}, "value": {x: value}})
    for name in order:
        assert torch.equal(found["rule"][name], found["value"][name])
    moved = {reads[0]: (seen[reads[0]] + 1) % size[reads[0]], x: looked_up(table, *reads)}
    again = counterfactual(scm, noise, moved)
    index = tuple((moved[n] if n == reads[0] else again[n]).long() for n in reads)
    assert torch.equal(again[x].long(), torch.as_tensor(table)[index])


def test_a_policy_may_read_the_natural_value_of_its_own_site():
    seen = sample(model, 20, seed=0)
    evidence = dict(seen.items())
    shift = {"function": {"X": lambda x: x + 1.0}, "policy": {"X": policy(lambda v: v["X"] + 1.0, ["X"])}}
    found = worlds(model, evidence, shift)
    for name in ("X", "Y"):
        assert torch.equal(found["function"][name], found["policy"][name])
    capped = policy(lambda v: torch.where(v["Z"] > 0, v["X"], v["Z"]), ["Z", "X"])
    assert torch.equal(
        counterfactual(model, evidence, {"X": capped})["X"], torch.where(seen["Z"] > 0, seen["X"], seen["Z"])
    )


def test_a_random_policy_has_its_law_and_the_same_random_numbers_in_all_worlds():
    """A Kolmogorov distance of 10,000 draws over 0.0195 has probability 1e-3."""
    rule = policy(lambda v: dist.Normal(2.0 * v["Z"], 0.5), ["Z"])
    drawn = sample(intervene(model, {"X": rule}), 10_000, seed=0)
    score = dist.Normal(0.0, 1.0).cdf((drawn["X"] - 2.0 * drawn["Z"]) / 0.5).sort().values
    assert float((score - torch.linspace(0.0, 1.0, 10_000)).abs().max()) < 0.0195
    evidence = {"Z": torch.zeros(1_000), "X": torch.zeros(1_000), "Y": torch.zeros(1_000)}
    found = worlds(model, evidence, {"a": {"X": rule}, "b": {"X": rule}, "c": {"Z": 1.0, "X": rule}}, seed=0)
    assert torch.equal(found["a"]["X"], found["b"]["X"])
    assert torch.allclose(found["c"]["X"], found["a"]["X"] + 2.0, atol=1e-5)
    assert float(found["a"]["X"].std()) == pytest.approx(0.5, abs=0.05)


def test_a_random_policy_has_a_density_in_the_trace():
    rule = policy(lambda v: dist.Normal(2.0 * v["Z"], 0.5), ["Z"])
    trace = poutine.trace(intervene(model, {"X": rule})).get_trace()
    trace.compute_log_prob()
    node = trace.nodes["X"]
    expected = dist.Normal(2.0 * trace.nodes["Z"]["value"], 0.5).log_prob(node["value"])
    assert torch.equal(node["log_prob"], expected)


def test_a_policy_acts_within_potentials_and_on_other_interventions():
    seen = {"Z": torch.tensor([1.0, -1.0]), "X": torch.zeros(2), "Y": torch.zeros(2)}
    rule = policy(lambda v: v["Z"] + 1.0, ["Z"])
    nested = counterfactual(model, seen, {"X": potential("X", {"Z": 3.0, "X": rule})})
    assert torch.equal(nested["X"], torch.full((2,), 4.0)) and torch.equal(nested["Z"], seen["Z"])
    composed = sample(intervene(intervene(model, {"Z": 3.0}), {"X": rule}), 2)
    assert torch.equal(composed["X"], torch.full((2,), 4.0))
    with intervene(do={"X": rule}):
        assert float(poutine.trace(model).get_trace().nodes["X"]["value"]) != 0.0


def test_in_plates_a_policy_sees_the_units_of_its_site():
    def nested():
        rate = pyro.sample("rate", dist.Normal(0.0, 1.0))
        with pyro.plate("schools", 2, dim=-2):
            level = pyro.sample("level", dist.Normal(rate, 1.0))
            with pyro.plate("pupils", 3, dim=-1):
                pyro.sample("X", dist.Normal(level, 1.0))

    drawn = sample(intervene(nested, {"X": policy(lambda v: v["level"] + v["rate"], ["level", "rate"])}), 4, seed=0)
    expected = (drawn["level"] + drawn["rate"][:, None])[..., None].expand(4, 2, 3)
    assert torch.allclose(drawn["X"], expected)


@pytest.mark.parametrize("order", [["Z", "X", "Y"], ["X", "Z", "Y"]])
def test_a_model_of_a_graph_computes_first_what_a_policy_reads(order):
    """Z and X are no effects of each other, so that either may come first."""
    torch.manual_seed(0)
    graph = CausalGraph(order, [("X", "Y"), ("Z", "Y")])
    learned = AdditiveNoiseModel(graph, {name: Continuous() for name in order})
    evidence = {"Z": torch.tensor([1.0, 2.0]), "X": torch.zeros(2), "Y": torch.zeros(2)}
    rule = policy(lambda v: 2.0 * v["Z"], ["Z"])
    found = worlds(learned, evidence, {"rule": {"X": rule}, "value": {"X": [2.0, 4.0]}, "both": {"Z": 3.0, "X": rule}})
    assert torch.equal(found["rule"]["Y"], found["value"]["Y"])
    assert torch.equal(found["both"]["X"], torch.full((2,), 6.0))
    assert not torch.equal(found["both"]["Y"], evidence["Y"])
    assert torch.equal(sample(intervene(learned, {"X": rule}), 3, seed=0)["X"].isfinite(), torch.ones(3).bool())
    with pytest.raises(InterventionError, match="reads 'Y', which does not come before"):
        counterfactual(learned, evidence, {"X": policy(lambda v: v["Y"], ["Y"])})


def test_what_a_policy_feels_is_not_held_at_its_factual_value():
    """X reads Z, which W moves: under do(W) all of Z, X and Y change, though X is no effect of W in the graph."""
    graph = CausalGraph(["W", "Z", "X", "Y"], [("W", "Z"), ("X", "Y")])
    torch.manual_seed(0)
    learned = AdditiveNoiseModel(graph, {name: Continuous() for name in "WZXY"})
    evidence = {name: torch.randn(3) for name in "WZXY"}
    rule = policy(lambda v: v["Z"], ["Z"])
    found = counterfactual(learned, evidence, {"W": evidence["W"] + 1.0, "X": rule})
    assert torch.equal(found["X"], found["Z"]) and not torch.allclose(found["Z"], evidence["Z"])


@pytest.mark.parametrize("markov", [False, True])
def test_a_plan_over_time_is_its_values_one_by_one(markov):
    def steps():
        level = pyro.sample("L_0", dist.Normal(0.0, 1.0))
        for t in pyro.markov(range(4)) if markov else range(4):
            a = pyro.sample(f"A_{t}", dist.Bernoulli(logits=level))
            level = pyro.sample(f"L_{t + 1}", dist.Normal(0.8 * level - a, 0.5))

    plan = {f"A_{t}": policy(lambda v, t=t: v[f"L_{t}"] > 0.3, [f"L_{t}"]) for t in range(4)}
    seen = dict(sample(steps, 30, seed=0).items())
    found = counterfactual(steps, seen, plan)
    noise = abduct(steps, seen)
    level = seen["L_0"]
    for t in range(4):
        action = (level > 0.3).float()
        assert torch.equal(found[f"A_{t}"], action)
        level = 0.8 * level - action + 0.5 * noise[f"U_L_{t + 1}"]
        assert torch.allclose(found[f"L_{t + 1}"], level, atol=1e-6)
    assert 0.05 < float(found["A_3"].mean()) < 0.95


def labelled_model():
    law = dist.Categorical(torch.tensor([0.2, 0.3, 0.5]))
    dose = pyro.sample("dose", law, infer={"variable": Categorical(3, (1, 2, 3))})
    arm = pyro.sample("arm", dist.Bernoulli(0.5), infer={"variable": Binary((10, 20))})
    pyro.sample("Y", dist.Normal(dose + arm, 0.1))


def test_functions_of_labels_that_are_numbers_set_labels():
    """clamp(max=2) of the labels 1, 2, 3 leaves 1 where it was 1; as codes it would leave 3."""
    drawn = sample(intervene(labelled_model, {"dose": lambda dose: dose.clamp(max=2)}), 4_000, seed=0)
    assert abs(float((drawn["dose"] == 1).double().mean()) - 0.2) < 5 * (0.16 / 4_000) ** 0.5
    assert not bool((drawn["dose"] == 3).any())
    rule = policy(lambda v: v["dose"].clamp(max=2) * 10, reads=["dose"])
    drawn = sample(intervene(labelled_model, {"arm": rule}), 1_000, seed=0)
    assert torch.equal(drawn["arm"] == 20, drawn["dose"] >= 2)
    for wrong in (lambda dose: dose - 1, lambda dose: dose + 1):
        with pytest.raises(InterventionError, match="'dose' has values that are none of its labels"):
            sample(intervene(labelled_model, {"dose": wrong}), 100, seed=0)
