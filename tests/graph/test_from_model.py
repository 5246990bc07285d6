"""Graphs traced from Pyro models: what a run shows, and what it cannot."""

import pyro
import pyro.distributions as dist
import pytest
import torch

from causal_pyro_models.errors import ModelError
from causal_pyro_models.graph import CausalGraph
from tests.generators import examples
from tests.graph.random_graphs import random_graph


@examples(40)
def test_a_model_that_follows_a_graph_gives_it_back(rng):
    graph = random_graph(rng, 7, confounded=False, least=0)
    families = [
        lambda m: dist.Normal(m, 1.0),
        lambda m: dist.Bernoulli(logits=m),
        lambda m: dist.Poisson(m.exp()),
        lambda m: dist.Categorical(logits=torch.stack([m, -m])),
        lambda m: dist.Gamma(m.exp(), 1.0),
        lambda m: dist.LogNormal(m, 1.0),
    ]

    def model():
        values = {}
        for i, v in enumerate(graph.topological_order):
            location = sum((0.1 * values[p] for p in graph.parents(v)), torch.tensor(0.0))
            values[v] = pyro.sample(v, families[i % len(families)](location))

    if graph.variables:
        assert CausalGraph.from_model(model) == graph


def test_observed_and_deterministic_sites():
    def model():
        x = pyro.sample("X", dist.Normal(0.0, 1.0), obs=torch.tensor(0.5))
        m = pyro.deterministic("M", 2.0 * x)
        pyro.sample("Y", dist.Normal(m, 1.0), obs=torch.tensor(1.0))
        pyro.deterministic("C", torch.tensor(1.0))

    assert CausalGraph.from_model(model) == CausalGraph(["X", "M", "Y", "C"], [("X", "M"), ("M", "Y")])


def test_plates_subsamples_and_factors_are_left_out():
    def model():
        scale = pyro.sample("scale", dist.LogNormal(0.0, 1.0))
        with pyro.plate("units", 10, subsample_size=3):
            x = pyro.sample("X", dist.Normal(torch.zeros(2), scale).to_event(1))
            pyro.factor("penalty", -(x**2).sum(-1))
            pyro.sample("Y", dist.Bernoulli(logits=x[..., 0]).mask(torch.tensor(True)))

    assert CausalGraph.from_model(model) == CausalGraph.from_edges([("scale", "X"), ("X", "Y")])


def test_networks_and_sequences_are_followed():
    network = torch.nn.Linear(2, 1)

    def model():
        steps = [pyro.sample("X_0", dist.Normal(0.0, 1.0))]
        for t in pyro.markov(range(1, 4)):
            steps.append(pyro.sample(f"X_{t}", dist.Normal(steps[-1], 1.0)))
        pyro.sample("Y", dist.Normal(network(torch.stack(steps[:2])), 1.0).to_event(1))

    chain = [(f"X_{t}", f"X_{t + 1}") for t in range(3)]
    assert CausalGraph.from_model(model) == CausalGraph.from_edges([*chain, ("X_0", "Y"), ("X_1", "Y")])


def test_what_tracing_misses():
    """Numbers, branches and in-place writes hide their source, as the docstring says."""

    def model():
        x = pyro.sample("X", dist.Normal(0.0, 1.0))
        pyro.sample("number", dist.Normal(float(x), 1.0))
        pyro.sample("branch", dist.Normal(1.0 if x > 0 else -1.0, 1.0))
        buffer = torch.zeros(1)
        buffer[0] = x
        pyro.sample("in_place", dist.Normal(buffer[0], 1.0))

    assert CausalGraph.from_model(model).edges == ()


def test_nothing_is_left_behind():
    def model():
        loc = pyro.param("loc", torch.tensor(0.0))
        pyro.sample("X", dist.Normal(loc, 1.0))

    before = torch.get_rng_state()
    assert CausalGraph.from_model(model).variables == ("X",)
    assert torch.equal(before, torch.get_rng_state())
    assert "loc" not in pyro.get_param_store()


def test_models_that_are_none():
    with pytest.raises(ModelError, match="no sample or deterministic sites"):
        CausalGraph.from_model(lambda: None)
    with pytest.raises(ModelError, match="got int"):
        CausalGraph.from_model(3)


def test_two_sites_of_one_name():
    def model():
        pyro.sample("X", dist.Normal(0.0, 1.0))
        pyro.sample("X", dist.Normal(0.0, 1.0))

    with pytest.raises(ModelError, match="two sites named 'X'"):
        CausalGraph.from_model(model)
