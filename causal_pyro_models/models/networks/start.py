"""Where locations start: a regression on curves, or on hidden units that are moved to where they explain most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from causal_pyro_models.models.networks.expansion import Expansion
from causal_pyro_models.models.networks.preparation import Preparation, Prepare
from causal_pyro_models.models.networks.ridge import grouped_ridge, moments

STEPS, LEARNING_RATE, BATCH = 300, 0.02, 512
DECAY = 40.0  # of the weights, over the root of the number of units; without it they follow the noise
MIN_UNITS, MAX_UNITS = 200, 50_000  # to move hidden units by; more take memory and tell little
HELD_OUT = 10  # every so many units judge whether hidden units do better than curves
JUDGED = 500  # of these at most, while hidden units are moved

Data = tuple[Tensor, Tensor]


@torch.no_grad()
def start_locations(
    expansions: Sequence[Expansion], features: Sequence[Tensor], targets: Sequence[Tensor], prepare: Prepare
) -> list[Tensor]:
    """Start expansions afresh, the locations ridge regressions; their residuals ``(units,)``.

    Locations are curves of the features and of pairs of them, or a line and hidden units that were moved down the
    squared error, where held-out units speak for those by half a standard error. Gradients then move neither.

    Args:
        expansions: whose hidden units are moved together.
        features: ``(units, width)`` for each.
        targets: ``(units,)`` for each, of mean zero and standard deviation one.
        prepare: moves the hidden units.
    """
    for expansion, inputs in zip(expansions, features, strict=True):
        expansion.place(inputs)
        for name in ("smooth", *_layers(expansion)) if expansion.apart else ():
            expansion.get_parameter(name).requires_grad_(False)
    hidden = [False] * len(targets)
    movable = [i for i, e in enumerate(expansions) if e.takes_units and len(targets[i]) >= MIN_UNITS]
    if movable:
        chosen = _choose([expansions[i] for i in movable], [(features[i], targets[i]) for i in movable], prepare)
        for i, take in zip(movable, chosen, strict=True):
            hidden[i] = take
    starts = zip(expansions, features, targets, hidden, strict=True)
    return [expansion.solve(inputs, target, take) for expansion, inputs, target, take in starts]


def _layers(expansion: Expansion) -> list[str]:
    """The names of what makes the hidden units of the location."""
    return [f"{kind}{layer}" for layer in range(len(expansion.hidden)) for kind in ("weight", "offset")]


def _choose(expansions: Sequence[Expansion], data: Sequence[Data], prepare: Prepare) -> list[bool]:
    """Move the hidden units; whether they do better than curves."""
    seen = [(x[len(y) // HELD_OUT :], y[len(y) // HELD_OUT :]) for x, y in data]
    unseen = [(x[: len(y) // HELD_OUT], y[: len(y) // HELD_OUT]) for x, y in data]

    def errors(units: bool) -> list[Tensor]:
        found = []
        for expansion, part, (features, target) in zip(expansions, seen, unseen, strict=True):
            expansion.solve(*part, units)
            found.append((target - expansion.at(expansion.tensors(), features)[0]).square())
        return found

    curves = errors(False)
    hidden = HiddenUnits(expansions, seen, unseen)
    prepare(hidden)
    hidden.hand_over(expansions)
    gains = [before - after for before, after in zip(curves, errors(True), strict=True)]
    return [bool(gain.mean() > 0.5 * gain.std() / len(gain) ** 0.5) for gain in gains]


class HiddenUnits(Preparation):
    """The hidden units of some locations, and what is linear in them, to be moved down the squared error.

    Locations of the same widths are moved in one pass.

    Args:
        expansions: whose locations they are.
        seen: features and target of each, to move them by.
        unseen: the same, to judge them by.
    """

    steps, learning_rate = STEPS, LEARNING_RATE

    def __init__(self, expansions: Sequence[Expansion], seen: Sequence[Data], unseen: Sequence[Data]) -> None:
        super().__init__()
        alike: dict[Any, list[int]] = {}
        for i, expansion in enumerate(expansions):
            alike.setdefault((expansion.width, expansion.hidden), []).append(i)
        self.alike = list(alike.values())
        self._layouts = tuple(expansions[members[0]] for members in self.alike)  # in a tuple: no part of this module
        self._tables = [[_table(expansions[i], *seen[i], MAX_UNITS) for i in members] for members in self.alike]
        self._judges = [[_table(expansions[i], *unseen[i], JUDGED) for i in members] for members in self.alike]
        self._decay = [DECAY / min(len(seen[i][1]) for i in members) ** 0.5 for members in self.alike]
        self.moved = nn.ModuleList(
            nn.ParameterDict({
                "line": torch.stack([_line_of(self._tables[k][m], layout) for m in range(len(members))]),
                "location": torch.zeros(len(members), len(layout.location)).to(layout.location),
                **{
                    name: torch.stack([expansions[i].get_parameter(name).detach() for i in members])
                    for name in _layers(layout)
                },
            })
            for k, (layout, members) in enumerate(zip(self._layouts, self.alike, strict=True))
        )  # fmt: skip

    def groups(self) -> list[dict[str, Any]]:
        found = []
        for parameters, decay in zip(self._parameters_of(), self._decay, strict=True):
            matrices = [tensor for name, tensor in parameters.items() if name.startswith("weight")]
            others = [tensor for name, tensor in parameters.items() if not name.startswith("weight")]
            found += [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
        return found

    def losses(self) -> dict[str, Tensor]:
        drawn = [
            torch.stack([table[torch.randint(len(table), (BATCH,), device=table.device)] for table in tables])
            for tables in self._tables
        ]
        return {
            f"locations of {layout.width} features": self._errors(i, rows).sum()
            for i, (layout, rows) in enumerate(zip(self._layouts, drawn, strict=True))
        }

    @torch.no_grad()
    def validate(self) -> float:
        total = 0.0
        for i, tables in enumerate(self._judges):
            few = min(map(len, tables))
            total += float(self._errors(i, torch.stack([table[:few] for table in tables])).sum())
        return total

    def hand_over(self, expansions: Sequence[Expansion]) -> None:
        """Give the expansions the hidden units as they are now."""
        for layout, members, parameters in zip(self._layouts, self.alike, self._parameters_of(), strict=True):
            for name in _layers(layout):
                for i, values in zip(members, parameters[name].detach(), strict=True):
                    expansions[i].get_parameter(name).copy_(values)

    def _parameters_of(self) -> list[dict[str, nn.Parameter]]:
        return [dict(part.named_parameters()) for part in self.moved]

    def _errors(self, i: int, rows: Tensor) -> Tensor:
        """The mean squared error ``(k,)`` of each of ``k`` locations of the same widths on rows of their tables."""
        layout, parameters = self._layouts[i], self._parameters_of()[i]
        line, squashed, target = rows.split((len(layout.line), layout.width, 1), -1)
        units = layout.units(parameters, squashed)
        location = line @ parameters["line"].unsqueeze(-1) + units @ parameters["location"].unsqueeze(-1)
        errors: Tensor = (target - location).square().mean((1, 2))
        return errors


def _table(expansion: Expansion, features: Tensor, target: Tensor, most: int) -> Tensor:
    """The columns of the line, what the hidden units see, and the target, ``(units, columns)``."""
    _, line, squashed = expansion.inputs(expansion.tensors(), features[:most])
    return torch.cat([line, squashed, target[:most].unsqueeze(-1)], -1)


def _line_of(table: Tensor, layout: Expansion) -> Tensor:
    """The coefficients of the line alone."""
    columns = table[:, : len(layout.line)]
    return grouped_ridge(moments(columns, table[:, -1]), ()).coefficients.to(table)
