"""What a site may be set to: scalars broadcast, and the law that a site has given its parents does not bind."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import Predictive

from causal_pyro_models import (
    CausalGraph,
    Continuous,
    NeuralCausalModel,
    ate,
    counterfactual,
    intervene,
    sample,
)
from causal_pyro_models.errors import InterventionError
from causal_pyro_models.models import Uniform
from causal_pyro_models.scm.sites import support_of_family


def vectors():
    z = pyro.sample("Z", dist.Normal(torch.zeros(3), 1.0).to_event(1))
    d = pyro.deterministic("D", 2.0 * z, event_dim=1)
    e = pyro.deterministic("E", z.sum(-1))
    pyro.sample("Y", dist.Normal(d.sum(-1) + e, 1.0))


def plated():
    with pyro.plate("units", 4):
        z = pyro.sample("Z", dist.Normal(torch.zeros(3), 1.0).to_event(1))
        d = pyro.deterministic("D", 2.0 * z, event_dim=1)
        pyro.sample("Y", dist.Normal(d.sum(-1), 1.0))


def managed(model, do):
    def run():
        with intervene(do=do):
            return model()

    return run


SEEN = {"Y": torch.zeros(())}
WAYS = {
    "trace": lambda m, do: poutine.trace(intervene(m, do)).get_trace().nodes,
    "context manager": lambda m, do: poutine.trace(managed(m, do)).get_trace().nodes,
    "condition": lambda m, do: poutine.trace(poutine.condition(intervene(m, do), SEEN)).get_trace().nodes,
    "Predictive": lambda m, do: Predictive(intervene(m, do), num_samples=5)(),
    "parallel Predictive": lambda m, do: Predictive(intervene(m, do), num_samples=5, parallel=True)(),
    "sample": lambda m, do: sample(intervene(m, do), 5),
    "counterfactual": lambda m, do: counterfactual(m, {}, do, num_samples=5),
}  # fmt: skip


@pytest.mark.parametrize(("model", "name"), [*((vectors, name) for name in "ZDE"), *((plated, name) for name in "ZD")])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("value", [2, 2.0, torch.tensor(2.0)])
def test_a_scalar_broadcasts_to_a_vector_and_to_a_deterministic_site(model, way, name, value):
    node = WAYS[way](model, {name: value})[name]
    found = node["value"] if isinstance(node, dict) else node
    shape = (() if name == "E" else (3,)) if model is vectors else (4, 3)
    assert found.shape[found.dim() - len(shape) :] == shape and bool((found == 2.0).all())


def test_a_scalar_broadcasts_in_a_plate_of_the_caller():
    with pyro.plate("outside", 7):
        nodes = poutine.trace(intervene(vectors, {"Z": 1.0})).get_trace().nodes
    assert nodes["Z"]["value"].shape[-1] == 3 and nodes["Y"]["value"].shape == (7,)


def test_an_effect_of_a_scalar_on_a_vector_is_exact():
    assert float(ate(vectors, {"Z": (0.0, 1.0)}, "Y", seed=0).value) == pytest.approx(9.0, abs=1e-4)
    assert float(ate(vectors, {"D": (0.0, 1.0)}, "Y", seed=0).value) == pytest.approx(3.0, abs=1e-4)


def bounded():
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    x = pyro.sample("X", dist.Uniform(z - 1.0, z + 1.0))
    pyro.sample("Y", dist.Normal(2.0 * x, 1.0))


def test_a_value_may_leave_the_support_given_the_parents():
    assert float(ate(bounded, {"X": (1.0, 9.0)}, "Y", seed=0).value) == pytest.approx(16.0, abs=1e-4)
    found = counterfactual(bounded, {"Z": [0.0], "X": [0.5], "Y": [2.0]}, {"X": 5.0})
    assert float(found["Y"]) == pytest.approx(11.0)
    with pytest.raises(InterventionError, match="NaN"):
        counterfactual(bounded, {"Z": [0.0], "X": [0.5], "Y": [2.0]}, {"X": float("nan")})


def test_a_neural_causal_model_with_uniform_noise_takes_interventions():
    torch.manual_seed(0)
    graph = CausalGraph.from_edges([("X", "Y")])
    model = NeuralCausalModel(graph, {"X": Continuous(), "Y": Continuous()}, noise=Uniform())
    assert bool((sample(intervene(model, {"X": 50.0}), 3, seed=0)["X"] == 50.0).all())


COUNT = torch.tensor([2.0, 5.0])
TAKES = [
    (dist.Uniform(0.0, 1.0), [-5.0, 7.0], []),
    (dist.Uniform(torch.zeros(2), 1.0).to_event(1), [[-5.0, 7.0]], []),
    (dist.Binomial(COUNT, 0.5), [0.0, 12.0], [-1.0, 2.5]),
    (dist.BetaBinomial(2.0, 2.0, COUNT), [12.0], [-1.0, 2.5]),
    (dist.Pareto(1.0, 2.0), [0.5], [-1.0]),
    (dist.LogNormal(0.0, 1.0), [3.0], [-1.0]),
    (dist.Poisson(2.0), [3.0], [-1.0, 1.5]),
    (dist.Beta(2.0, 2.0), [0.5], [1.5]),
    (dist.Categorical(torch.ones(3)), [2.0], [3.0, -1.0]),
    (dist.MixtureSameFamily(dist.Categorical(torch.ones(2)), dist.Uniform(torch.zeros(2), 1.0)), [4.0], []),
    (dist.Uniform(0.0, 1.0).mask(False).expand([2]), [4.0], []),
]


@pytest.mark.parametrize(("law", "inside", "outside"), TAKES)
def test_bounds_that_are_parameters_fall_away_and_those_of_the_family_stay(law, inside, outside):
    support = support_of_family(law)
    before = repr(law.support)
    assert all(bool(support.check(torch.tensor(value)).all()) for value in inside)
    assert not any(bool(support.check(torch.tensor(value)).any()) for value in outside)
    assert repr(law.support) == before
