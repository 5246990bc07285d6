"""Relaxed draws are draws, critics are told what they must be and masked where they must be, and generators follow."""

import copy

import pyro.distributions as dist
import pytest
import torch

from causal_pyro_models.data.batches import Batch
from causal_pyro_models.data.variables import Binary, Categorical, Continuous, Count, Ordinal
from causal_pyro_models.errors import ModelError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models.networks.functions import Linear
from causal_pyro_models.models.nodes.additive import AdditiveNoiseNode
from causal_pyro_models.models.nodes.flow import CausalFlow
from causal_pyro_models.models.nodes.gan import CausalGAN, GANNode, relaxed
from causal_pyro_models.models.structural import StructuralCausalModel
from causal_pyro_models.training.critics import JOINT, PENALTY, Critic, Critics, adversary_of

UNITS = 40_000
LAWS = {
    "binary": (dist.Bernoulli(logits=torch.tensor(0.7)), Binary()),
    "categorical": (dist.Categorical(logits=torch.tensor([0.5, -0.5, 0.0])), Categorical(3)),
    "ordinal": (dist.OrderedLogistic(torch.tensor(0.0), torch.tensor([-1.0, 0.5])), Ordinal(3)),
}


@pytest.mark.parametrize("name", LAWS)
def test_relaxed_draws_are_exact_draws_with_gradients(name):
    """40,000 draws: each frequency has a standard error of at most 0.0025; beyond 5 of them 1 in 1.7 million fails."""
    law, variable = LAWS[name]
    torch.manual_seed(0)
    value, features = relaxed(law.expand((UNITS,)), variable)
    assert torch.equal(features.detach(), variable.features("X", value.detach()).to(features.dtype))
    for level in range(2 if name == "binary" else 3):
        expected = law.log_prob(torch.tensor(float(level) if name == "binary" else level)).exp()
        assert float((value == level).float().mean()) == pytest.approx(float(expected), abs=0.0125)


@pytest.mark.parametrize("variable", [Binary(), Categorical(3), Ordinal(3), Continuous(), Continuous(2)])
def test_every_generator_passes_gradients_on(variable):
    node = GANNode(variable, hidden=(4,))
    model = StructuralCausalModel(CausalGraph(["P", "X"], [("P", "X")]), {"P": GANNode(), "X": node})
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    _, features = node.draw({"P": torch.randn(50)}, 50)
    assert features.shape == (50, variable.width)
    gradients = torch.autograd.grad(features.square().sum(), list(node.parameters()), allow_unused=True)
    assert any(g is not None and bool(g.abs().sum() > 0) for g in gradients)


def test_counts_are_refused_by_the_node_and_left_to_the_likelihood_by_the_model():
    with pytest.raises(ModelError, match="CountNode"):
        GANNode(Count())
    model = CausalGAN(CausalGraph(["X", "N"], [("X", "N")]), {"X": 1, "N": Count()})
    assert model.nodes["X"].adversarial and not model.nodes["N"].adversarial


def test_the_penalty_is_the_squared_distance_of_the_slope_from_one():
    """A linear critic with slope 3 along the features and 5 along the condition: (3 - 1)**2, whatever the units."""
    real, fake, condition = torch.randn(30, 1), torch.randn(30, 1), torch.randn(30, 1)
    critic = Critic(real, condition)
    critic.network = torch.nn.Linear(2, 1)
    with torch.no_grad():
        critic.network.weight.copy_(torch.tensor([[3.0, 5.0]]))
    weight = torch.ones(30)
    gap = (critic(fake, condition) - critic(real, condition)).mean()
    loss = critic.loss(real, fake, condition, weight)
    torch.testing.assert_close(loss, gap + PENALTY * 4.0, rtol=1e-4, atol=1e-4)


def adversary(intervened=None, bidirected=()):
    graph = CausalGraph(["X", "B", "Y"], [("X", "B"), ("X", "Y"), ("B", "Y")], bidirected)
    torch.manual_seed(0)
    x = torch.randn(200)
    b = (x + torch.randn(200) > 0).float()
    values = {"X": x, "B": b, "Y": x + b + torch.randn(200)}
    batch = Batch(values, intervened or {})
    model = CausalGAN(graph, {"X": 1, "B": Binary(), "Y": 1}, hidden=(4,))
    model.initialise(batch)
    return model, adversary_of(model, batch), batch


def test_critics_are_no_part_of_the_model_and_stay_as_they_are_while_generators_train():
    model, duel, batch = adversary()
    own = {id(p) for p in model.parameters()}
    assert not own & {id(p) for p in duel.critic_parameters()}
    assert {id(p) for p in duel.generator_parameters()} == {id(p) for p in model.parameters() if p.requires_grad}
    loss = sum(duel.generator_losses(batch, 1.0).values())
    gradients = torch.autograd.grad(loss, duel.critic_parameters(), allow_unused=True)
    assert all(g is None for g in gradients)
    assert all(p.requires_grad for p in duel.critic_parameters())


def test_what_was_set_has_no_critic_of_its_own_and_keeps_its_value():
    was_set = torch.arange(200) < 100
    _, duel, batch = adversary({"B": was_set})
    values, _ = duel._generated(batch)
    assert torch.equal(values["B"][was_set], batch.values["B"][was_set])
    assert not torch.equal(values["B"][~was_set], batch.values["B"][~was_set])
    assert torch.equal(duel._condition(JOINT, {}, batch).squeeze(-1), was_set.float())
    losses = []
    for flipped in (batch.values["B"], torch.where(was_set, 1.0 - batch.values["B"], batch.values["B"])):
        torch.manual_seed(1)
        changed = Batch({**batch.values, "B": flipped}, batch.intervened)
        losses.append(duel.critic_losses(changed, 1.0)["B"])
    torch.testing.assert_close(losses[0], losses[1])


def test_confounded_variables_are_judged_jointly_alone():
    _, duel, batch = adversary(bidirected=[("X", "Y")])
    assert list(duel.critics) == ["B", JOINT]
    losses = duel.generator_losses(batch, 1.0)
    assert {"X<->Y rebuilt", "X<->Y found", "X rebuilt", "Y rebuilt"} <= set(losses)


def test_generators_follow_their_critics():
    """X ~ N(2, 1) and a generator that starts at N(0, 1): its mean goes more than half of the way."""
    torch.manual_seed(0)
    batch = Batch({"X": 2.0 + torch.randn(512)})
    node = GANNode(generator=AdditiveNoiseNode(Continuous(), Linear()))
    model = StructuralCausalModel(CausalGraph(["X"], []), {"X": node})
    duel = Critics(model, batch)
    critics = torch.optim.Adam(duel.critic_parameters(), 3e-3, betas=(0.0, 0.9))
    generators = torch.optim.Adam(duel.generator_parameters(), 3e-2, betas=(0.0, 0.9))
    for _ in range(60):
        for _ in range(3):
            critics.zero_grad()
            sum(duel.critic_losses(batch, 1.0).values()).backward()
            critics.step()
        generators.zero_grad()
        sum(duel.generator_losses(batch, 1.0).values()).backward()
        generators.step()
    assert 1.0 < float(node.distribution({}).mean.detach()) < 3.0


def test_generators_wait_for_their_critics():
    _, duel, batch = adversary()
    loss = sum(duel.generator_losses(batch, 0.1).values())
    assert all(bool((g == 0).all()) for g in torch.autograd.grad(loss, duel.generator_parameters()))


def test_the_warm_start_stays_unless_it_is_clearly_beaten():
    model, duel, batch = adversary()
    best = copy.deepcopy(model.state_dict())
    start = duel.validate(batch)
    assert duel.validate(batch) == start
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    worse = duel.validate(batch)
    assert worse > start
    other = adversary_of(model, batch)
    assert other.validate(batch) == pytest.approx(worse, rel=1e-5)
    model.load_state_dict(best)
    assert other.validate(batch) < worse


@pytest.mark.parametrize("bidirected", [[], [("X", "Y")]])
def test_only_without_hidden_causes_a_generator_may_be_settled(bidirected):
    torch.manual_seed(0)
    x = torch.randn(2000)
    data = {"X": x, "Y": x + torch.randn(2000)}
    model = CausalGAN(CausalGraph(["X", "Y"], [("X", "Y")], bidirected), {"X": 1, "Y": 1})
    model.initialise(model.encode(data))
    assert model.settled == (set() if bidirected else {"X", "Y"})


def test_models_without_adversarial_nodes_have_no_adversary():
    model = CausalFlow(CausalGraph(["X"], []), {"X": 1})
    assert adversary_of(model, Batch({"X": torch.randn(5)})) is None


def test_generators_of_another_variable_are_refused():
    with pytest.raises(ModelError, match="generator"):
        GANNode(Continuous(2), generator=AdditiveNoiseNode(Continuous()))
