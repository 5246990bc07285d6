"""The preparations of a start, run by the training loop."""

from __future__ import annotations

import torch
from torch import nn, optim

from causal_pyro_models.models.networks.preparation import Preparation
from causal_pyro_models.training.loop import Descent, Loop

CHECKS = 10  # validations of a preparation


class Preparing:
    """The objective of a preparation, which draws its units itself.

    Args:
        preparation: what is moved.
    """

    checks = CHECKS
    deck = None

    def __init__(self, preparation: Preparation) -> None:
        self.preparation = preparation
        self.descent = Descent(preparation.groups(), preparation.learning_rate, betas=(0.9, 0.99))
        self.optimisers: dict[str, optim.Optimizer] = {"optimiser": self.descent.optimiser}
        self.modules: dict[str, nn.Module] = {}

    @torch.enable_grad()
    def update(self, progress: float) -> float:
        return self.descent.step(self.preparation.losses(), progress)

    def validate(self) -> float:
        return self.preparation.validate()

    @torch.enable_grad()
    def culprits(self, units: object, progress: float) -> list[str]:
        return self.descent.not_finite(self.preparation.losses())


def prepare(preparation: Preparation) -> None:
    """Run a preparation by itself, without a bar."""
    Loop(preparation, Preparing(preparation), steps=preparation.steps, patience=CHECKS, label="start").run(False)
