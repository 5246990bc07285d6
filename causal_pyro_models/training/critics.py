"""Critics: what trains the nodes of a model to generate what cannot be told from the data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import singledispatch
from typing import Any, cast

import pyro
import torch
from pyro import poutine
from torch import Tensor, nn

from causal_pyro_models.data.batches import Batch, Values
from causal_pyro_models.models.networks.functions import Network
from causal_pyro_models.models.nodes.gan import GANNode
from causal_pyro_models.models.structural import StructuralCausalModel
from causal_pyro_models.seeding import seeded
from causal_pyro_models.training.adversarial import Adversary

CRITIC = Network((64, 64), nn.LeakyReLU)
CRITIC_STEPS = 3  # for each step of the generators
CRITIC_RATE = 2e-3
GENERATOR_RATE = 1e-4  # at ten times as much generators outrun their critics, measured
PENALTY = 10.0  # on critics whose gradient has another norm than 1
ALONE = 0.2  # share of the training in which critics learn alone, so that generators do not follow untrained ones
CYCLE = 0.1  # weight of the encoders' terms
COMPARED = 1_000  # held-out units that generated ones are compared with
REPEATS = 4  # generated units for each of them
JOINT = "(joint)"


class Critic(nn.Module):
    """A score of features given a condition, whose slope in the features is held near one.

    Args:
        features: what the features look like in the data, ``(units, columns)``; a unit of distance is one standard
            deviation of each.
        condition: number of the columns that are given.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, features: Tensor, condition: Tensor) -> None:
        super().__init__()
        both = torch.cat([features, condition], -1)
        spread = both.std(0)
        self.register_buffer("center", both.mean(0))
        self.register_buffer("scale", spread.masked_fill(spread == 0, 1.0))
        self.network = CRITIC.layers(both.shape[-1], 1).to(both)

    def standardised(self, features: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Both on the scale of the data."""
        split = features.shape[-1]
        features = (features - self.center[:split]) / self.scale[:split]
        return features, (condition - self.center[split:]) / self.scale[split:]

    def score(self, features: Tensor, condition: Tensor) -> Tensor:
        """How real standardised features look, ``(units,)``."""
        score: Tensor = self.network(torch.cat([features, condition], -1)).squeeze(-1)
        return score

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """How real features look, ``(units,)``."""
        return self.score(*self.standardised(features, condition))

    def loss(self, real: Tensor, fake: Tensor, condition: Tensor, weight: Tensor) -> Tensor:
        """Minus the gap between real and generated features, and the gradient penalty between the two."""
        real, given = self.standardised(real, condition)
        fake, _ = self.standardised(fake, condition)
        gap = weighted_mean(self.score(fake, given) - self.score(real, given), weight)
        share = torch.rand_like(real[:, :1])
        between = (share * real + (1.0 - share) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(self.score(between, given).sum(), between, create_graph=True)
        return gap + PENALTY * weighted_mean((slope.norm(dim=-1) - 1.0).square(), weight)


class Critics(nn.Module):
    """The critics of a model, and the losses by which they and the model's generators are trained.

    Each adversarial node without hidden causes has a critic of (node, parents), its parents taken from the data; one
    more critic judges all variables jointly, generated from noise alone, which is what hidden causes are matched by.
    The joint critic is told which variables were set; those keep their values, and have no term of their own. Encoders
    are trained in cycles beside: to find the latents of generated units, and to rebuild units of the data.

    Args:
        model: the model; it stays outside of the module.
        train: the units to train on.

    References:
        I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville (2017). Improved training of Wasserstein GANs.
        NeurIPS.
        M. Kocaoglu, C. Snyder, A. Dimakis, S. Vishwanath (2018). CausalGAN: learning causal implicit generative models
        with adversarial training. ICLR.
    """

    at_start: Tensor
    critic_steps = CRITIC_STEPS
    critic_rate = CRITIC_RATE
    generator_rate = GENERATOR_RATE

    def __init__(self, model: StructuralCausalModel, train: Batch) -> None:
        super().__init__()
        self._model = (model,)  # in a tuple, so that it is no part of this module
        self.settable = tuple(name for name in model.variables if name in train.intervened)
        hidden = {name for members in model.cliques.values() for name in members}
        adversarial = [name for name, node in model.nodes.items() if node.adversarial]
        self.alone: list[str] = [name for name in adversarial if name not in hidden]
        self.cycled = {*hidden, *model.cliques, *(name for name in adversarial if self._node(name).has_latents)}
        self._trained = [*adversarial, *(name for name in hidden if name not in adversarial)]
        self.register_buffer("at_start", torch.full((COMPARED,), torch.nan))
        features = self._features(train.values)
        self._critics = nn.ModuleList(
            Critic(features[name], self._condition(name, features, train)) for name in (*self.alone, JOINT)
        )

    @property
    def model(self) -> StructuralCausalModel:
        """The model whose nodes are trained."""
        return self._model[0]

    @property
    def critics(self) -> dict[str, Critic]:
        """The critics by the name of the variable, and the joint one."""
        return dict(zip((*self.alone, JOINT), self._critics, strict=True))  # type: ignore[arg-type]

    def _node(self, name: str) -> GANNode:
        return cast("GANNode", self.model.nodes[name])

    def critic_parameters(self) -> list[nn.Parameter]:
        """What the critics train."""
        return list(self.parameters())

    def generator_parameters(self) -> list[nn.Parameter]:
        """What the generators train: the adversarial nodes, and hidden causes with all that they bear on."""
        nodes = self.model.nodes
        modules = [*(nodes[name] for name in self._trained), *self.model.confounders.values()]
        return [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]

    def critic_losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """A loss for each critic, its penalty included."""
        with torch.no_grad():
            fake = self._fakes(batch)
        real = self._features(batch.values)
        return {
            name: critic.loss(real[name], fake[name], self._condition(name, real, batch), self._weight(name, batch))
            for name, critic in self.critics.items()
        }

    def generator_losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """For each critic how false it finds the generated units, and the terms of the encoders."""
        if progress < ALONE:
            return {"critics alone": 0.0 * torch.stack([p.sum() for p in self.generator_parameters()]).sum()}
        fake, real = self._fakes(batch), self._features(batch.values)
        with _fixed(self):
            losses = {
                name: weighted_mean(-critic(fake[name], self._condition(name, real, batch)), self._weight(name, batch))
                for name, critic in self.critics.items()
            }
        if self.cycled:
            terms = self.model.losses(batch, 1.0)
            losses |= {f"{name} rebuilt": CYCLE * terms[name] for name in terms if name in self.cycled}
            losses |= {f"{name} found": CYCLE * loss for name, loss in self._found(batch).items()}
        return losses

    @torch.no_grad()
    def validate(self, batch: Batch) -> float:
        """The energy distance of generated units to those of a batch, on the scale of the joint critic.

        That of the first call, the warm start, for as long as the gain on it is within two standard errors.

        References:
            G. Szekely, M. Rizzo (2013). Energy statistics: a class of statistics based on distances.
        """
        batch = batch[torch.arange(min(len(batch), COMPARED))]
        critic, condition = self.critics[JOINT], self._condition(JOINT, {}, batch)
        with seeded(0):  # the same noise at every validation
            repeated = torch.cat([self._generated(batch)[1] for _ in range(REPEATS)])
        fake, _ = critic.standardised(repeated, condition.repeat(REPEATS, 1))
        real, _ = critic.standardised(self._features(batch.values)[JOINT], condition)
        own = torch.cdist(fake, fake).mean() + torch.cdist(real, real).mean()
        terms = 2.0 * torch.cdist(real, fake).mean(-1) - own
        start = self.at_start[: len(terms)]
        if bool(start.isnan().any()):
            start.copy_(terms)
        gain = start - terms
        clear = gain.mean() > 2.0 * gain.std() / len(gain) ** 0.5
        return float((terms if clear or gain.mean() < 0 else start).mean())

    # Units as critics see them --------------------------------------------------------------------------------------

    def _features(self, values: Values) -> dict[str, Tensor]:
        """The features of each variable and of all together, ``(units, columns)``."""
        like = next(self.model.parameters())
        found = {name: kind.features(name, values[name]).to(like.dtype) for name, kind in self.model.variables.items()}
        return {**found, JOINT: torch.cat(list(found.values()), -1)}

    def _condition(self, name: str, features: Values, batch: Batch) -> Tensor:
        """What a critic is told: the features of the parents, or which variables were set."""
        like = next(self.model.parameters())
        if name == JOINT:
            told = [batch.intervened[name].to(like.dtype).unsqueeze(-1) for name in self.settable]
        else:
            told = [features[parent] for parent in self.model.graph.parents(name)]
        return torch.cat(told, -1) if told else like.new_zeros(len(batch), 0)

    def _weight(self, name: str, batch: Batch) -> Tensor:
        """The weight of each unit for a critic; none for that of a variable that was set."""
        like = next(self.model.parameters())
        weight = like.new_ones(len(batch)) if batch.weight is None else batch.weight.to(like.dtype)
        return weight.masked_fill(batch.intervened[name], 0.0) if name in batch.intervened else weight

    def _fakes(self, batch: Batch) -> dict[str, Tensor]:
        """Generated features for each critic."""
        fakes = {}
        for name in self.alone:
            parents = {parent: batch.values[parent] for parent in self.model.graph.parents(name)}
            fakes[name] = self._node(name).draw(parents, len(batch))[1]
        return {**fakes, JOINT: self._generated(batch)[1]}

    def _generated(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """All variables from noise, those that were set as they were; and their features."""
        model, features = self.model, {}
        with poutine.block(), pyro.plate("units", len(batch), dim=-1):
            values = {name: confounder(name) for name, confounder in model.confounders.items()}
            for name in model.graph.topological_order:
                values[name], seen = self._drawn(name, model._parents(name, values), len(batch))
                if name in batch.intervened:
                    was_set = batch.intervened[name]
                    given = model.variables[name].features(name, batch.values[name]).to(seen.dtype)
                    seen = torch.where(was_set.unsqueeze(-1), given, seen)
                    shape = was_set.shape + (1,) * (values[name].dim() - 1)
                    values[name] = torch.where(was_set.reshape(shape), batch.values[name], values[name])
                features[name] = seen
        return values, torch.cat([features[name] for name in model.variables], -1)

    def _drawn(self, name: str, parents: Values, units: int) -> tuple[Tensor, Tensor]:
        """A value of each unit and its features, with gradients where the node has them."""
        node = self.model.nodes[name]
        if node.adversarial:
            return self._node(name).draw(parents, units)
        value: Tensor = node(name, parents)
        return value, self.model.variables[name].features(name, value).to(next(node.parameters()).dtype)

    def _found(self, batch: Batch) -> dict[str, Tensor]:
        """Minus the log density of the encoders at the latents of generated units."""
        model, losses = self.model, {}
        with torch.no_grad():
            values, _ = self._generated(batch)
        for name, confounder in model.confounders.items():
            losses[name] = -confounder.given(values, batch.intervened).log_prob(values[name]).mean()
        for name, node in model.nodes.items():
            if node.adversarial and self._node(name).has_latents:
                losses[name] = self._node(name).encoder_loss(model._parents(name, values), len(batch)).mean()
        return losses


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """The mean over units of some weight; zero where there is none."""
    return (weight * values).sum() / weight.sum().clamp_min(1e-6)


@contextmanager
def _fixed(module: nn.Module) -> Iterator[Any]:
    """Without gradients of the module's own weights."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in module.parameters():
            parameter.requires_grad_(True)


@singledispatch
def adversary_of(model: object, train: Batch) -> Adversary | None:
    """What trains a model against critics after its likelihood; None where nothing does."""
    return None


@adversary_of.register
def _(model: StructuralCausalModel, train: Batch) -> Adversary | None:
    return Critics(model, train) if any(node.adversarial for node in model.nodes.values()) else None
