"""Where locations start: a regression on hidden units, which are random or moved to where they explain most."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from causal_pyro_models.models.networks.expansion import Expansion

STEPS, LEARNING_RATE, BATCH = 300, 0.02, 512
DECAY = 40.0  # of the weights, over the root of the number of units; without it they follow the noise
MIN_UNITS = 200  # to move hidden units by
HELD_OUT = 10  # every so many units judge whether hidden units are needed

Data = tuple[Tensor, Tensor]


@torch.no_grad()
def initialise(expansions: Sequence[Expansion], features: Sequence[Tensor], targets: Sequence[Tensor]) -> list[Tensor]:
    """Start expansions of the same widths afresh, the locations ridge regressions; their residuals ``(units,)``.

    The hidden units of one feature are random steps. Those of several are random too or, where that explains held-out
    units better, moved down the squared error; they are left out unless held-out units speak for them by half a
    standard error, and gradients no longer move them.

    Args:
        expansions: of the same widths, whose hidden units are moved together.
        features: ``(units, width)`` for each.
        targets: ``(units,)`` for each, of mean zero and standard deviation one.
    """
    for expansion, inputs in zip(expansions, features, strict=True):
        expansion.place(inputs)
    curved = [True] * len(targets)
    if expansions[0].apart:
        for expansion in expansions:
            for name in _layers(expansion):
                expansion.get_parameter(name).requires_grad_(False)
        if min(map(len, targets)) >= MIN_UNITS:
            curved = _choose(expansions, list(zip(features, targets, strict=True)))
    starts = zip(expansions, features, targets, curved, strict=True)
    return [expansion.solve(inputs, target, take) for expansion, inputs, target, take in starts]


def _layers(expansion: Expansion) -> list[str]:
    """The names of what makes the hidden units of the location."""
    return [f"{kind}{layer}" for layer in range(len(expansion.hidden)) for kind in ("weight", "offset")]


def _choose(expansions: Sequence[Expansion], data: Sequence[Data]) -> list[bool]:
    """Leave the hidden units random, or move them; whether they do better than none."""
    seen = [(x[len(y) // HELD_OUT :], y[len(y) // HELD_OUT :]) for x, y in data]
    unseen = [(x[: len(y) // HELD_OUT], y[: len(y) // HELD_OUT]) for x, y in data]

    def errors(curved: bool) -> list[Tensor]:
        found = []
        for expansion, part, (features, target) in zip(expansions, seen, unseen, strict=True):
            expansion.solve(*part, curved)
            found.append((target - expansion.at(expansion.tensors(), features)[0]).square())
        return found

    random = [{name: expansion.get_parameter(name).clone() for name in _layers(expansion)} for expansion in expansions]
    with_random, without = errors(True), errors(False)
    _move(expansions, seen)
    curved = []
    for expansion, before, *alternatives in zip(expansions, random, with_random, errors(True), without, strict=True):
        best = min(alternatives[:2], key=torch.mean)
        if best is alternatives[0]:
            expansion.load_state_dict(before, strict=False)
        gain = alternatives[2] - best
        curved.append(bool(gain.mean() > 0.5 * gain.std() / len(gain) ** 0.5))
    return curved


def _move(expansions: Sequence[Expansion], data: Sequence[Data]) -> None:
    """Move hidden units, and what is linear in them, down the squared error of the location."""
    first = expansions[0]
    tables = []
    for expansion, (features, target) in zip(expansions, data, strict=True):
        line, squashed = expansion.inputs(expansion.tensors(), features[: STEPS * BATCH])
        tables.append(torch.cat([line, squashed, target[: STEPS * BATCH].unsqueeze(-1)], -1))
    sizes = (len(first.line), first.width, 1)
    names = ["line", "location", *_layers(first)]
    moved = {name: torch.stack([e.get_parameter(name).detach() for e in expansions]).requires_grad_() for name in names}
    matrices = [tensor for name, tensor in moved.items() if name.startswith("weight")]
    others = [tensor for name, tensor in moved.items() if not name.startswith("weight")]
    decay = DECAY / min(len(target) for _, target in data) ** 0.5
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.99), fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        drawn = [table[torch.randint(len(table), (BATCH,), device=table.device)] for table in tables]
        line, squashed, target = torch.stack(drawn).split(sizes, -1)
        with torch.enable_grad():
            units = first.units(moved, squashed)
            location = line @ moved["line"].unsqueeze(-1) + units @ moved["location"].unsqueeze(-1)
            loss = (target - location).square().mean((1, 2)).sum()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
    for name in _layers(first):
        for expansion, values in zip(expansions, moved[name].detach(), strict=True):
            expansion.get_parameter(name).copy_(values)
