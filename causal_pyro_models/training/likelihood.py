"""The objective of a model's own losses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from causal_pyro_models.data.batches import Batch
from causal_pyro_models.errors import FitError
from causal_pyro_models.models.networks.preparation import Prepare
from causal_pyro_models.models.structural import StructuralCausalModel
from causal_pyro_models.training.loop import CHECKS, Deck, Descent, decayed
from causal_pyro_models.training.pairs import pair_errors

WEIGHT_DECAY = 0.3  # of matrices, not of biases; the networks overfit a few thousand rows without it


@runtime_checkable
class Trainable(Protocol):
    """What ``fit`` asks of a model, which is a ``torch.nn.Module``.

    A model whose start may be final for some variables names them as ``settled``; its ``losses`` take a third argument,
    variables to leave out. What trains a model against critics afterwards is registered with
    ``training.critics.adversary_of``.

    Example:
        >>> from causal_pyro_models import CausalFlow, CausalGraph
        >>> isinstance(CausalFlow(CausalGraph(["X"], []), {"X": 1}), Trainable)
        True
    """

    def encode(self, data: Any) -> Batch:
        """Data as a batch, checked, on the model's device."""

    def initialise(self, batch: Batch, prepare: Prepare) -> None:
        """Start afresh, from what the training data show at once; ``prepare`` runs what has to be moved for that."""

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Each variable's mean loss over the units, whose sum is minimised; schedules follow ``progress`` in [0, 1]."""

    def finish(self, train: Batch, validation: Batch) -> None:
        """Decide what the held-out units decide once the training is over."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """What is trained, as of a ``torch.nn.Module``."""


class Likelihood:
    """The objective of a model's own losses, and of true counterfactual pairs where there are any.

    Args:
        model: what is trained.
        deck: the units to train on.
        held_out: the units to validate on.
        learning_rate: its peak.
        pairs: pairs to train and to validate on, each the factual and the counterfactual units.
    """

    checks = CHECKS

    def __init__(
        self,
        model: Trainable,
        deck: Deck,
        held_out: Batch,
        learning_rate: float,
        pairs: Sequence[tuple[Batch, Batch]] = (),
    ) -> None:
        self.model, self.deck, self.held_out, self.pairs = model, deck, held_out, pairs
        train = deck.train
        plain = not pairs and not train.missing and train.weight is None  # all that the start knows of
        self.settled: frozenset[str] = getattr(model, "settled", frozenset()) if plain else frozenset()
        self.constant, self.idle = 0.0, False
        if self.settled:
            with torch.no_grad():
                start = model.losses(train[torch.arange(min(len(train), len(held_out)))], 0.0)
            self.constant = float(sum(start[name] for name in self.settled))
            self.idle = self.settled >= start.keys()
        self.descent = Descent(decayed(model.parameters(), WEIGHT_DECAY), learning_rate, betas=(0.9, 0.99))
        self.idle = self.idle or not self.descent.weights
        self.optimisers: dict[str, torch.optim.Optimizer] = {"optimiser": self.descent.optimiser}
        self.modules: dict[str, nn.Module] = {}

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Every term of the loss on a batch; a batch of pairs as large is drawn to it."""
        given = (batch, progress, self.settled) if self.settled else (batch, progress)
        losses: dict[str, Tensor] = self.model.losses(*given)
        if self.pairs:
            factual, counterfactual = self.pairs[0]
            chosen = torch.randperm(len(factual))[: max(2, len(batch))]
            terms = pair_errors(self._structural(), factual[chosen], counterfactual[chosen])
            losses = losses | {f"{name} in pairs": term for name, term in terms.items()}
        return losses

    def _structural(self) -> StructuralCausalModel:
        if not isinstance(self.model, StructuralCausalModel):
            raise FitError(f"pairs teach a StructuralCausalModel, got {type(self.model).__name__}: leave them out.")
        return self.model

    def update(self, progress: float) -> float:
        return self.constant + self.descent.step(self.losses(self.deck.draw(), progress), progress)

    def validate(self) -> float:
        terms = list(self.model.losses(self.held_out, 1.0).values())
        for pairs in self.pairs[1:]:
            terms += pair_errors(self._structural(), *pairs).values()
        return float(sum(terms))

    def culprits(self, units: Tensor, progress: float) -> list[str]:
        return self.descent.not_finite(self.losses(self.deck.train[units], progress))
