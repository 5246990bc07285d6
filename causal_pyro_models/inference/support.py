"""Whether a world leaves the support of the data that its model was learned from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from causal_pyro_models.data.coded import codes
from causal_pyro_models.data.screening import Indistinct
from causal_pyro_models.errors import warn
from causal_pyro_models.estimate import Support
from causal_pyro_models.inference.draws import Draws
from causal_pyro_models.inference.program import Program
from causal_pyro_models.models.structural import StructuralCausalModel
from causal_pyro_models.models.support import DataSupport, nearest, outside, support_of
from causal_pyro_models.scm.sites import Handled

UNITS = 1_000  # of a world, that are looked at
GLANCE = 20  # of a world that nobody asked the support of
STRIKING = 0.1  # share of these that is worth a warning; by chance one world in 1,000 has it
GOLDEN = 0.5 * (5.0**0.5 - 1.0)


def learned(program: Program) -> tuple[StructuralCausalModel | None, set[str]]:
    """The learned model of a program, and the variables that are set in it; None where there is not exactly one."""
    actions: set[str] = set()
    model = program.model
    while isinstance(model, Handled):
        actions |= set(getattr(model, "do", ()))
        model = model.model
    found = program.learned
    return (found[0] if len(found) == 1 and isinstance(found[0], StructuralCausalModel) else None), actions


def learned_support(program: Program) -> DataSupport | None:
    """Where the data are that a program was learned from; None where it was not."""
    model, _ = learned(program)
    return None if model is None else support_of(model)


def support_of_world(
    program: Program, world: Draws, do: Collection[str], outcome: Any = None, units: int = UNITS, density: bool = True
) -> Support | None:
    """What of a world lies outside of the support; None where no mechanism of a learned model is asked anew.

    Args:
        program: the inspected model.
        world: the values of all sites.
        do: the variables that are set.
        outcome: a site or a mapping of sites that is asked about; anything else stands for all sites.
        units: how many draws of units are looked at, evenly spread.
        density: see ``models.support.outside``.
    """
    model, inner = learned(program)
    if model is None or support_of(model) is None:
        return None
    do = [name for name in model.variables if name in inner or name in do]
    outcomes = [outcome] if isinstance(outcome, str) else list(outcome) if isinstance(outcome, Mapping) else None
    chosen = _spread(model, world, units)
    found = outside(model, chosen, do, outcomes, density)
    if not found:
        return None
    far = torch.stack(list(found.values()))
    total, *shares = torch.cat([far.any(0, keepdim=True), far]).double().mean(1).tolist()
    names = [f"{name} given {', '.join(model.graph.parents(name))}" for name in found]
    notes = [str(group) for group in model.indistinct if group.variable in found and _matters(group, do, found)]
    ends = nearest(model, chosen, do) if total else {}
    return Support(total, (total,), dict(zip(names, shares, strict=True)), ends, tuple(notes))


def warn_of_leaving(program: Program, worlds: Mapping[str, Draws], do: Mapping[str, Collection[str]]) -> None:
    """Say so where worlds plainly leave the support of the data, by a glance at a few of their units."""
    for name, world in worlds.items():
        support = support_of_world(program, world, do[name], units=GLANCE, density=False) if do[name] else None
        if support is not None and support.share > STRIKING:
            warn(f"in the world {name!r}, {support}.")


def _matters(group: Indistinct, do: Collection[str], changed: Collection[str]) -> bool:
    """Whether an intervention moves some of the causes and does not set them all."""
    return not set(group.causes) <= set(do) and bool({*do, *changed}.intersection(group.causes))


def _spread(model: StructuralCausalModel, world: Draws, units: int) -> dict[str, Tensor]:
    """Values of some draws of units, ``(units, *event)``, the same in every call."""
    events = {name: kind.event_shape for name, kind in model.variables.items()}
    values = {name: codes(world[name]) for name in events}
    shape = torch.broadcast_shapes(*(v.shape[: v.dim() - len(events[n])] for n, v in values.items()))
    total = shape.numel()
    index = torch.arange(total) if total <= units else (_places(units) * total).long()
    found = {}
    for name, event in events.items():
        value = values[name].expand(*shape, *event).reshape(total, *event)
        found[name] = value[index.to(value.device)]
    return found


def _places(count: int) -> Tensor:
    """Evenly spread numbers from 0 to 1, which meet no period of units within draws."""
    return (GOLDEN * torch.arange(1, count + 1, dtype=torch.float64)).frac()
