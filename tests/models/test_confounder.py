"""Hidden causes of discrete variables: the loss is the likelihood, and what the data identify comes out of it."""

import numpy as np
import pandas as pd
import pytest
import torch

from causal_pyro_models.data import Binary, Categorical, Continuous
from causal_pyro_models.data.batches import Batch
from causal_pyro_models.effects import ate
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import identify
from causal_pyro_models.models import CausalVAE
from causal_pyro_models.models.nodes.flow import FlowNode
from causal_pyro_models.models.nodes.vae import VAENode
from causal_pyro_models.training import fit

FRONT_DOOR = CausalGraph(["X", "M", "Y"], [("X", "M"), ("M", "Y")], [("X", "Y")])


def scrambled(kinds, graph=FRONT_DOOR, **settings):
    torch.manual_seed(0)
    model = CausalVAE(graph, kinds, **settings).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("_nodes"):
                parameter.normal_(std=0.5)
    return model


def units(n, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x, m, y = (torch.randint(k, (n,), generator=generator) for k in (2, 2, 3))
    return {"X": x.double(), "M": m.double(), "Y": y}


@pytest.mark.parametrize("mediator", [Binary(), Continuous()])
def test_the_loss_is_minus_the_log_likelihood(mediator):
    """Against 20,001 points of the prior; the mean of 200 losses of 32 points each, biased by their variance alone."""
    model = scrambled({"X": Binary(), "M": mediator, "Y": Categorical(3)})
    values = units(40)
    z = torch.linspace(-8.0, 8.0, 20_001, dtype=torch.float64).unsqueeze(-1)
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(z) + np.log(16.0 / 20_000)
    with torch.no_grad():
        given = {name: model.nodes[name].log_prob(values[name], {**values, "X<->Y": z}) for name in "XY"}
        expected = (prior + given["X"] + given["Y"]).logsumexp(0)
        found = []
        for _ in range(200):
            losses = model.unit_losses(values, {}, 1.0)
            found.append(-(losses["X"] + losses["Y"] + losses["X<->Y"]))
    torch.testing.assert_close(torch.stack(found).mean(0), expected, rtol=0.0, atol=5e-3)


def test_a_variable_that_was_set_has_no_term():
    model, values = scrambled({"X": Binary(), "M": Binary(), "Y": Categorical(3)}), units(40)
    was_set = {"X": torch.arange(40) < 20}
    losses = model.losses(Batch({n: v[:20] for n, v in values.items()}, {"X": was_set["X"][:20]}), 1.0)
    sum(losses.values()).backward()
    assert all(p.grad is None or not p.grad.any() for p in model.nodes["X"].parameters())
    assert any(p.grad is not None and p.grad.any() for p in model.nodes["Y"].parameters())


def test_two_cliques_with_a_variable_in_common_are_averaged_over_together():
    graph = CausalGraph(["X", "M", "Y"], [("X", "M"), ("M", "Y")], [("X", "M"), ("M", "Y")])
    model, values = scrambled({"X": Binary(), "M": Binary(), "Y": Categorical(3)}, graph), units(10)
    z = torch.linspace(-6.0, 6.0, 201, dtype=torch.float64)
    latents = {"X<->M": z.reshape(-1, 1, 1), "M<->Y": z.reshape(1, -1, 1)}
    prior = sum(torch.distributions.Normal(0.0, 1.0).log_prob(v) + np.log(0.06) for v in latents.values())
    with torch.no_grad():
        given = sum(node.log_prob(values[n], {**values, **latents}) for n, node in model.nodes.items())
        expected = (prior + given).flatten(0, 1).logsumexp(0)
        found = torch.stack([-sum(model.unit_losses(values, {}, 1.0).values()) for _ in range(100)]).mean(0)
    torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-2)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_front_door_is_found(seed):
    """To .03 of the front-door formula on the same 10,000 units, about twice the standard error of either."""
    rng = np.random.default_rng(seed)

    def draw(p):
        return (rng.random(10_000) < p).astype(int)

    hidden = rng.normal(size=10_000)
    x = draw(1 / (1 + np.exp(-2.0 * hidden)))
    m = draw(0.1 + 0.6 * x)
    y = draw(1 / (1 + np.exp(-1.5 * (m - 0.5) - (1.0 + seed) * hidden)))
    data = pd.DataFrame({"X": x, "M": m, "Y": y})
    expected = identify(FRONT_DOOR, "P(Y=1 | do(X))").evaluate(data, contrast={"X": (0, 1)}).value
    model = CausalVAE(FRONT_DOOR, dict.fromkeys("XMY", Binary()))
    fit(model, data, seed=0, progress=False)
    assert abs(ate(model, {"X": (0, 1)}, "Y", num_samples=40_000, seed=0).value - expected) < 0.03


def test_beside_bidirected_edges_a_real_variable_without_them_is_a_flow():
    graph = CausalGraph(["A", "X", "Y", "V"], [("A", "X"), ("X", "Y"), ("A", "V")], [("X", "Y")])
    kinds = {"A": Continuous(), "X": Continuous(), "Y": Continuous(), "V": Continuous(3)}
    model = CausalVAE(graph, kinds)
    assert isinstance(model.nodes["A"], FlowNode)
    assert all(isinstance(model.nodes[name], VAENode) for name in "XYV")
    assert isinstance(CausalVAE(graph, kinds, latent={"A": 1}).nodes["A"], VAENode)
    plain = CausalVAE(CausalGraph(["A", "X"], [("A", "X")]), {"A": 1, "X": 1})
    assert all(isinstance(node, VAENode) for node in plain.nodes.values())
