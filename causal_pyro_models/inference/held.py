"""Draws from a posterior that exists, which a model holds some of its sites at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from pyro.poutine.messenger import Messenger

from causal_pyro_models.scm.sites import Handled, Model, is_auxiliary, role


@dataclass(eq=False)
class Held:
    """Joint draws of some sites, and which of them the model runs at.

    Attributes:
        draws: by site ``(draws, *plates, *event)``, a dimension for each plate of the model up to its outermost there.
        event_dims: how many dimensions on the right belong to a single value, by site.
        nesting: how many dimensions the plates of the model take.
        update: whether evidence weighs the draws.
        rows: the draws that a run takes, in turn; None for random ones.
        lead: over how many draws the model runs; None where it runs once.
    """

    draws: Mapping[str, torch.Tensor]
    event_dims: Mapping[str, int]
    nesting: int
    update: bool
    rows: torch.Tensor | None = None
    lead: int | None = None

    def __len__(self) -> int:
        return len(next(iter(self.draws.values())))

    @contextmanager
    def at(self, rows: torch.Tensor) -> Iterator[None]:
        """Run the model at these draws: the first, or one after the other over a plate of draws, again and again."""
        before, self.rows = self.rows, rows
        try:
            yield
        finally:
            self.rows = before

    @contextmanager
    def over(self, draws: int | None) -> Iterator[None]:
        """Run the model over a plate of so many draws."""
        before, self.lead = self.lead, draws
        try:
            yield
        finally:
            self.lead = before

    def chosen(self, count: int | None) -> torch.Tensor:
        """All draws in order; fewer of them at even distances, or more by going round."""
        size, count = len(self), count or len(self)
        steps = torch.arange(count)
        return steps % size if count >= size else (2 * steps + 1) * size // (2 * count)

    def index(self) -> torch.Tensor:
        """The draws of the next run."""
        shape = () if self.lead is None else (self.lead,)
        if self.rows is None:
            return torch.randint(len(self), shape)
        return self.rows[torch.arange(self.lead or 1) % len(self.rows)].reshape(shape)


def held_by(model: Model) -> Held | None:
    """The draws that a model holds sites at, under whatever handlers it is."""
    while isinstance(model, Handled):
        if isinstance(model, WithPosterior):
            return model.held
        model = model.model
    return None


class WithPosterior(Handled):
    """A model some of whose sites are held at draws from a posterior; see :func:`with_posterior`."""

    def __init__(self, model: Model, held: Held) -> None:
        super().__init__(model, lambda: _Hold(held))
        self.held = held


class _Hold(Messenger):
    """Puts a joint draw in place, whose density is that of its posterior already."""

    def __init__(self, held: Held) -> None:
        super().__init__()
        self.held = held

    def __enter__(self) -> Any:
        self.index = self.held.index()
        return super().__enter__()

    def _pyro_sample(self, msg: Any) -> None:
        held, name = self.held, msg["name"]
        if name not in held.draws or role(msg) is not None or is_auxiliary(msg):
            return
        value = held.draws[name][self.index.to(held.draws[name].device)]
        if held.lead is not None:
            plates = value.dim() - 1 - held.event_dims[name]
            value = value.reshape(held.lead, *(1,) * (held.nesting - plates), *value.shape[1:])
        msg.update(value=value, is_observed=True, mask=False)
