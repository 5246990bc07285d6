"""Models with refits: a mixture of models, which is one more model, and the doubt that its components differ by."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

from causal_pyro_models.errors import QueryError
from causal_pyro_models.models.structural import StructuralCausalModel
from causal_pyro_models.scm.sites import Handled, Model

Learned = TypeVar("Learned", bound=StructuralCausalModel)


def refits(model: Model) -> tuple[Model, ...]:
    """The refits of a model to random halves of its data, under the interventions that it is under; none by default.

    Example:
        >>> from causal_pyro_models import CausalFlow, CausalGraph, fit, intervene
        >>> flow = CausalFlow(CausalGraph(["X"], []), {"X": 1})
        >>> _ = fit(flow, {"X": torch.linspace(-1, 1, 100)}, refits=3, seed=0, progress=False)
        >>> len(refits(flow)), len(refits(intervene(flow, {"X": 0.0})))
        (3, 3)
    """
    if not isinstance(model, Handled):
        return tuple(getattr(model, "refits", ()))
    return tuple(_around(model, refit) for refit in refits(model.model))


def alone(model: Learned) -> Learned:
    """The fit to all data, without its refits; its weights are those of the model."""
    twin = copy.copy(model)
    twin.refits = ()
    return twin


def _around(handled: Handled, model: Model) -> Handled:
    """The same handler around another model."""
    twin = copy.copy(handled)
    twin.__dict__["_modules"] = dict(handled._modules)
    twin.model = model
    return twin


def fitted(model: Model) -> str:
    """The class of a model that was learned from data; empty for a program as it was written."""
    while isinstance(model, Handled):
        model = model.model
    learned = isinstance(model, nn.Module) and any(True for _ in model.parameters())
    return type(model).__name__ if learned else ""


def shared(draws: int, refits: int) -> list[int]:
    """How many of some draws each refit has.

    Raises:
        QueryError: fewer draws than refits.
    """
    if draws < refits:
        raise QueryError(f"num_samples must be at least {refits}, the number of the model's refits, got {draws}.")
    return [draws // refits + (k < draws % refits) for k in range(refits)]


def student(level: float, refits: int) -> float:
    """Half an interval in standard deviations of so many refits."""
    from scipy.stats import t

    return float(t.ppf((1 + level) / 2, refits - 1))


def widened(
    value: torch.Tensor, ends: tuple[torch.Tensor, torch.Tensor], spread: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """How far an interval reaches below and above its value, once an independent, symmetric doubt is added.

    Args:
        value: the middle.
        ends: of the interval without that doubt.
        spread: half the interval of that doubt alone.

    References:
        G. Zou, A. Donner (2008). Construction of confidence limits about effect measures. Statistics in Medicine.
    """
    low, high = ends
    return (spread.square() + (value - low).square()).sqrt(), (spread.square() + (high - value).square()).sqrt()
