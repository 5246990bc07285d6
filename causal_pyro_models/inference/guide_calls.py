"""How a guide is called, whoever wrote and trained it: with what arguments, in which plates, on which parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeAlias

import pyro
import torch
from pyro import poutine
from pyro.contrib.easyguide import EasyGuide
from pyro.infer.autoguide import AutoGuide
from pyro.nn.module import PyroModule
from pyro.poutine.guide import GuideMessenger
from torch import nn

from causal_pyro_models.errors import AbductionError
from causal_pyro_models.inference.conditioned import Conditioned
from causal_pyro_models.inference.program import DRAWS, UNITS, traced
from causal_pyro_models.scm.sites import Handled
from causal_pyro_models.seeding import seeded

Guide: TypeAlias = Callable[..., object]
"""A Pyro program over noise sites, called with the evidence, with what its model takes, or without arguments."""

AUTOMATIC = (AutoGuide, GuideMessenger, EasyGuide)
"""Guides of Pyro's that are made from a model, whose plates they bring with them."""


def in_plates(guide: Guide, conditioned: Conditioned, draws: int | None) -> Callable[[], Any]:
    """A guide over draws and units, kept out of the global parameter store (which merges equal names in silence).

    Modules of Pyro hold their parameters themselves, and must not meet those of others; any other guide sees what the
    store has, where SVI has left what it trained. The guides that are effects run the model, and only what they draw of
    it counts.

    Raises:
        AbductionError: a guide that takes other arguments, or that runs a model which does not broadcast.
    """
    if isinstance(guide, GuideMessenger) and conditioned.program.verdict.in_turns:
        raise AbductionError(
            f"{type(guide).__name__} runs the model on all draws at once, and this one does not broadcast: use "
            f"AutoNormal or another guide that does not run it."
        )
    args, kwargs = _arguments(guide, conditioned)
    store = pyro.get_param_store()
    in_units = not conditioned.program.plated and not isinstance(guide, AUTOMATIC)
    if in_units and not isinstance(guide, nn.Module):
        in_units = not _has_plates(partial(guide, *args, **kwargs))

    def run() -> Any:
        with ExitStack() as around:
            around.enter_context(store.scope(None if isinstance(guide, PyroModule) else store.get_state()))
            if isinstance(guide, GuideMessenger):
                around.enter_context(poutine.block(hide_fn=lambda site: bool(site.get("is_observed"))))
            if draws is not None:
                around.enter_context(pyro.plate(DRAWS, draws, dim=-conditioned.program.nesting - 1))
            if in_units:
                around.enter_context(pyro.plate(UNITS, conditioned.units, dim=-1))
            return guide(*args, **kwargs)

    return run


def _has_plates(guide: Guide) -> bool:
    """Whether a guide declares a plate over units itself."""
    store = pyro.get_param_store()
    with seeded(0), store.scope(store.get_state()), torch.no_grad():
        sites = [site for site in traced(guide, "the guide").nodes.values() if site["type"] == "sample"]
    return any(frame.dim == -1 for site in sites for frame in site["cond_indep_stack"])


def _arguments(guide: Guide, conditioned: Conditioned) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a guide is called with."""
    if isinstance(guide, AutoGuide | EasyGuide):  # which have run their model once, and do not again
        return (), {}
    model = _inner(conditioned.program.model)
    taken = _signature(guide.model if isinstance(guide, GuideMessenger) else guide)
    if type(model) is partial and list(taken.parameters) == list(_signature(model.func).parameters):
        return model.args, model.keywords
    if isinstance(guide, GuideMessenger):
        return (), {}
    for args in ((conditioned.evidence,), ()):
        try:
            taken.bind(*args)
        except TypeError:
            continue
        return args, {}
    raise AbductionError(
        f"a guide is called with the evidence (a dict from site to tensor), without arguments, or with those that "
        f"functools.partial binds to its model, and {getattr(guide, '__name__', type(guide).__name__)!r} takes "
        f"{taken}: bind them with functools.partial(guide, ...)."
    )


def _inner(model: Any) -> Any:
    """A program without the handlers of this package around it."""
    while isinstance(model, Handled):
        model = model.model
    return model


def _signature(program: Any) -> inspect.Signature:
    inner = _inner(program)
    try:
        return inspect.signature(inner.forward if isinstance(inner, nn.Module) else inner)
    except ValueError:  # of programs under Pyro's handlers
        return inspect.signature(lambda *args, **kwargs: None)
