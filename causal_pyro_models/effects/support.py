"""The support of an answer: what its worlds ask of a learned model that the data do not show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from causal_pyro_models.errors import QueryError, SupportError, warn
from causal_pyro_models.estimate import Support
from causal_pyro_models.inference.draws import Draws
from causal_pyro_models.inference.program import Program
from causal_pyro_models.inference.support import learned_support, support_of_world
from causal_pyro_models.scm.handlers.interventions import Do


def support_of_worlds(program: Program, worlds: Sequence[Draws], do: Sequence[Do], outcome: Any) -> Support | None:
    """What the worlds under some interventions ask of a learned model; None of a program that was not learned.

    Args:
        program: the inspected model.
        worlds: the values of all sites in each world.
        do: the intervention of each.
        outcome: what is asked about.
    """
    found = [support_of_world(program, world, actions, outcome) for world, actions in zip(worlds, do, strict=True)]
    told = [world for world in found if world is not None]
    if not told:
        return None
    shares = tuple(world.share for world in told)
    mechanisms = {name: 0.0 for world in told for name in world.mechanisms}
    nearest: dict[str, Any] = {}
    for world in told:
        nearest = {**world.nearest, **nearest}
        for name, share in world.mechanisms.items():
            mechanisms[name] += share / len(told)
    notes = tuple(dict.fromkeys(note for world in told for note in world.notes))
    return Support(sum(shares) / len(shares), shares, mechanisms, nearest, notes)


def check_supported(program: Program, support: Support | None, required: bool) -> None:
    """Say what an answer asks outside of the support, or refuse it.

    Raises:
        QueryError: support is required of a program that was not learned from data.
        SupportError: some of what is asked lies outside, and is required not to.
    """
    if required and learned_support(program) is None:
        raise QueryError("require_support needs a model that fit trained: what data it was learned from is not known.")
    if support is None or not str(support):
        return
    if required:
        raise SupportError(f"{_line(support)}. Without require_support=True the answer rests on the form of the model.")
    warn(f"{_line(support)}.")


def _line(support: Support) -> str:
    return ". ".join(part.strip() for part in str(support).splitlines())
