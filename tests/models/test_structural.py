"""Latents and hidden causes: the guide is over noise, weights make up for it, and the answers are the closed forms."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from causal_pyro_models import ImportanceSampling, abduct, ate, counterfactual, fit, intervene, sample
from causal_pyro_models.data.batches import Batch
from causal_pyro_models.data.variables import Binary, Continuous
from causal_pyro_models.errors import ModelError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models.confounder import cliques
from causal_pyro_models.models.networks.functions import Linear, Network, Smooth
from causal_pyro_models.models.node import Node
from causal_pyro_models.models.nodes.additive import AdditiveNoiseModel
from causal_pyro_models.models.nodes.flow import CausalFlow, FlowNode
from causal_pyro_models.models.nodes.gan import CausalGAN
from causal_pyro_models.models.nodes.vae import CausalVAE
from causal_pyro_models.models.structural import StructuralCausalModel

CHAIN = CausalGraph(["X", "Y"], [("X", "Y")])
CONFOUNDED = CausalGraph(["X", "Y"], [("X", "Y")], [("X", "Y")])


class Latent(Node):
    """x = z + (sum of the parents) + e, z and e standard normal; the guide is the exact posterior, off by ``bias``."""

    bias = 0.0

    def forward(self, name, parents):
        z = pyro.sample(f"{name}.z", dist.Normal(0.0, 1.0))
        return pyro.sample(name, dist.Normal(z + sum(parents.values(), torch.tensor(0.0)), 1.0))

    def guide(self, name, value, parents):
        middle = (value - sum(parents.values(), torch.tensor(0.0))) / 2
        pyro.sample(f"U_{name}.z", dist.Normal(middle + self.bias, 0.5**0.5))


def latent_model(bias=0.0):
    nodes = {"X": Latent(), "Y": Latent()}
    nodes["X"].bias = nodes["Y"].bias = bias
    return StructuralCausalModel(CHAIN, nodes)


def test_the_models_own_guide_answers_where_no_method_is_given():
    """Y_{X=0} = y - x whatever z: exact for every draw; the exact guide gives equal weights."""
    evidence = {"X": [1.0, 0.3], "Y": [2.5, 1.0]}
    world = counterfactual(latent_model(), evidence, {"X": 0.0}, num_samples=400, seed=0)
    torch.testing.assert_close(world["Y"], torch.tensor([1.5, 0.7]).expand(400, 2))
    torch.testing.assert_close(world.ess, torch.full((2,), 400.0), rtol=1e-3, atol=0.0)


def test_weights_correct_a_biased_guide():
    """E[Z_Y | x, y] = (y - x) / 2; 4 standard errors of some 8,000 effective draws of sd 0.7: 1 in 16,000 fails."""
    model = latent_model(bias=0.3)
    noise = abduct(model, {"X": [1.0], "Y": [2.5]}, ImportanceSampling(model.guide), 20_000, seed=0)
    assert 4_000 < float(noise.ess) < 19_000
    assert float(noise.mean("U_Y.z")) == pytest.approx(0.75, abs=4 * 0.71 / float(noise.ess) ** 0.5)


def test_what_no_encoder_reads_comes_from_its_prior():
    """X unobserved: E[X | y] = y / 2, so that E[Y_{X=0} | y] = y / 2."""
    world = counterfactual(latent_model(), {"Y": [2.0]}, {"X": 0.0}, num_samples=40_000, seed=0)
    assert float(world.mean("Y")) == pytest.approx(1.0, abs=0.05)


def test_evidence_on_a_latent_is_taken():
    noise = abduct(latent_model(), {"X": [1.0], "X.z": [0.2], "Y": [2.5], "Y.z": [0.5]}, seed=0)
    assert float(noise["U_X"]) == pytest.approx(0.8)
    partial = abduct(latent_model(), {"X": [1.0], "X.z": [0.2], "Y": [2.5]}, num_samples=2_000, seed=0)
    assert "U_X.z" in partial and float(partial.mean("U_Y.z")) == pytest.approx(0.75, abs=0.1)


def test_every_clique_of_bidirected_edges_is_a_hidden_cause():
    graph = CausalGraph.from_edges([], [("A", "B"), ("B", "C"), ("A", "C"), ("C", "D")])
    assert cliques(graph) == {"A<->B<->C": ("A", "B", "C"), "C<->D": ("C", "D")}


def confounded_data(n=4_000):
    """X = L + E, Y = 2 X + L + F: not identified without the guide's help, yet the joint can be learned."""
    rng = np.random.default_rng(0)
    hidden, e, f = rng.normal(size=(3, n))
    return {"X": hidden + e, "Y": 2 * (hidden + e) + hidden + f}


@pytest.fixture(scope="module")
def confounded():
    model = StructuralCausalModel(CONFOUNDED, {"X": FlowNode(), "Y": FlowNode()})
    fit(model, confounded_data(), steps=150, seed=0, progress=False)
    return model


def test_a_hidden_cause_is_part_of_the_model_and_of_its_noise(confounded):
    data = {name: value[:20] for name, value in confounded_data().items()}
    assert list(sample(confounded, 3, seed=0)) == ["X<->Y", "X", "Y"]
    world = counterfactual(confounded, data, {}, num_samples=50, seed=0)
    for name, value in data.items():
        expected = torch.as_tensor(value, dtype=torch.float32).expand(50, 20)
        torch.testing.assert_close(world[name], expected, rtol=1e-4, atol=1e-4)
    by_prior = abduct(confounded, data, ImportanceSampling(), num_samples=4_000, seed=1)
    by_guide = abduct(confounded, data, num_samples=4_000, seed=1)
    torch.testing.assert_close(by_prior.mean("U_X<->Y"), by_guide.mean("U_X<->Y"), rtol=0.0, atol=0.25)
    assert list(intervene(confounded, {"X": 0.0}).parameters())
    assert ate(confounded, treatment={"X": (0.0, 1.0)}, outcome="Y", seed=0).value.isfinite()


def test_the_loss_is_the_negative_evidence_lower_bound(confounded):
    """Against Pyro's Trace_ELBO of the model and its guide; 4 standard errors of 400 draws each."""
    values = confounded.encode({name: value[:50] for name, value in confounded_data().items()}).values

    def model():
        with pyro.plate("units", 50):
            pyro.poutine.condition(pyro.poutine.uncondition(confounded), data=values)()

    def guide():
        with pyro.plate("units", 50):
            pyro.sample("X<->Y", confounded.confounders["X<->Y"].given(values, {}))

    with torch.no_grad():
        ours = torch.stack([sum(confounded.losses(Batch(values), 1.0).values()) for _ in range(400)])
        theirs = torch.tensor([pyro.infer.Trace_ELBO().loss(model, guide) / 50 for _ in range(400)])
    error = (ours.var() + theirs.var()).sqrt() / 400**0.5
    assert abs(float(ours.mean() - theirs.mean())) < 4 * float(error)


def test_exact_likelihoods_refuse_hidden_causes(confounded):
    with pytest.raises(ModelError, match="CausalFlow needs an exact likelihood"):
        CausalFlow(CONFOUNDED, {"X": 1, "Y": 1})
    with pytest.raises(ModelError, match="hidden confounding"):
        confounded.log_prob({"X": torch.zeros(1), "Y": torch.zeros(1)})


def test_one_node_is_one_variable():
    node = FlowNode()
    with pytest.raises(ModelError, match="share one node"):
        StructuralCausalModel(CHAIN, {"X": node, "Y": node})


def test_do_masks_the_terms_of_what_was_set(confounded):
    values = confounded.encode({name: value[:40] for name, value in confounded_data().items()}).values
    flags = torch.zeros(40, dtype=torch.bool)
    flags[:10] = True
    losses = confounded.unit_losses(values, {"X": flags}, 1.0)
    assert not losses["X"][:10].any() and losses["X"][10:].all() and losses["Y"].all()


@pytest.mark.parametrize(
    "build",
    [
        CausalFlow,
        lambda *args: AdditiveNoiseModel(*args, Linear()),
        lambda *args: AdditiveNoiseModel(*args, Smooth(), heteroscedastic=True),
        lambda *args: AdditiveNoiseModel(*args, Network((4,))),
        CausalVAE,
        CausalGAN,
    ],
)
def test_a_unit_without_a_plate_has_values_of_the_event_alone(build):
    model = build(CausalGraph(["B", "X", "V"], [("B", "X"), ("X", "V")]), {"B": Binary(), "X": 1, "V": Continuous(3)})
    nodes = pyro.poutine.trace(model).get_trace().nodes
    assert [tuple(nodes[name]["value"].shape) for name in "BXV"] == [(), (), (3,)]
