"""Adversarial training: critics and generators in turns."""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor, nn

from causal_pyro_models.data.batches import Batch
from causal_pyro_models.training.loop import CHECKS, Deck, Descent, decayed

BETAS = (0.0, 0.9)  # of Adam; momentum lets the two sides run after each other


class Adversary(Protocol):
    """What adversarial training asks of the critics of a model, beside being a ``torch.nn.Module``.

    Attributes:
        critic_steps: steps of the critics for each of the generators.
        critic_rate: learning rate of the critics.
        generator_rate: of the generators, far smaller, so that critics keep up with them.
    """

    critic_steps: int
    critic_rate: float
    generator_rate: float

    def critic_parameters(self) -> list[nn.Parameter]:
        """What the critics train; no part of the model."""

    def generator_parameters(self) -> list[nn.Parameter]:
        """What the generators train, of the model."""

    def critic_losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """A loss for each critic, its penalty included."""

    def generator_losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """The losses of the generators."""

    def validate(self, batch: Batch) -> float:
        """How far generated units are from held-out ones, smaller is better."""


class Duel:
    """The objective of an adversary.

    Args:
        adversary: a module with the methods of :class:`Adversary`.
        deck: the units to train on.
        held_out: the units to validate on.

    References:
        I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville (2017). Improved training of Wasserstein GANs.
            NeurIPS, algorithm 1.
    """

    checks = CHECKS

    def __init__(self, adversary: Adversary, deck: Deck, held_out: Batch) -> None:
        self.adversary, self.deck, self.held_out = adversary, deck, held_out
        self.critics = Descent(decayed(adversary.critic_parameters()), adversary.critic_rate, BETAS)
        self.generators = Descent(decayed(adversary.generator_parameters()), adversary.generator_rate, BETAS)
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "generators": self.generators.optimiser,
            "critics": self.critics.optimiser,
        }
        self.modules: dict[str, nn.Module] = {"adversary": cast(nn.Module, adversary)}

    def update(self, progress: float) -> float:
        for _ in range(self.adversary.critic_steps):
            self.critics.step(self.adversary.critic_losses(self.deck.draw(), progress), progress)
        return self.generators.step(self.adversary.generator_losses(self.deck.draw(), progress), progress)

    def validate(self) -> float:
        return float(self.adversary.validate(self.held_out))

    def culprits(self, units: Tensor, progress: float) -> list[str]:
        batch = self.deck.train[units]
        critics = self.critics.not_finite(self.adversary.critic_losses(batch, progress))
        return critics + self.generators.not_finite(self.adversary.generator_losses(batch, progress))
