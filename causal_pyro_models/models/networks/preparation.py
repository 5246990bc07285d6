"""What a start has to move down a loss before its closed form can be found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Preparation(nn.Module):
    """A short descent that a start needs before its closed form; whoever trains runs it.

    Its parameters are what is moved. It draws its own units, and ends at the weights of the best validation.

    Attributes:
        steps: how many steps to take.
        learning_rate: the peak of the learning rate.
    """

    steps: int
    learning_rate: float

    def groups(self) -> list[dict[str, Any]]:
        """The parameters in groups, each with its ``weight_decay``."""
        return [{"params": list(self.parameters()), "weight_decay": 0.0}]

    def losses(self) -> dict[str, Tensor]:
        """The terms of the loss on some units, by name."""
        raise NotImplementedError

    def validate(self) -> float:
        """The loss on held-out units."""
        raise NotImplementedError


Prepare = Callable[[Preparation], None]
"""Runs a preparation, so that its parameters are moved when it returns."""


def unprepared(preparation: Preparation) -> None:
    """Leave everything as it was drawn."""
