"""Models with refits: a mixture of models, which is one more model, and the doubt that its components differ by."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar, cast

import torch
from torch import nn

from causal_pyro_models.errors import QueryError
from causal_pyro_models.inference.program import Program
from causal_pyro_models.models.stand_in import WithStandIns
from causal_pyro_models.models.structural import StructuralCausalModel
from causal_pyro_models.scm.sites import Handled, Model

Learned = TypeVar("Learned", bound=StructuralCausalModel)


def refits(program: Program) -> tuple[Model, ...]:
    """The refits of a program to random halves of the data: itself, with a refit in the place of each learned model.

    There are none where a learned model has none. Several learned models were refitted each by itself; there are as
    many refits as the one with the fewest has.

    Example:
        >>> from causal_pyro_models import CausalFlow, CausalGraph, fit, intervene
        >>> from causal_pyro_models.inference.program import inspect_model
        >>> flow = CausalFlow(CausalGraph(["X"], []), {"X": 1})
        >>> _ = fit(flow, {"X": torch.linspace(-1, 1, 100)}, refits=3, seed=0, progress=False)
        >>> [len(refits(inspect_model(model))) for model in (flow, intervene(flow, {"X": 0.0}), lambda: flow())]
        [3, 3, 3]
    """
    learned = [cast(StructuralCausalModel, model) for model in program.learned]
    if learned == [program.model]:
        return learned[0].refits
    count = min((len(model.refits) for model in learned), default=0)
    return tuple(_with({model: model.refits[k] for model in learned}, program.model) for k in range(count))


def _with(instead: Mapping[nn.Module, nn.Module], model: Model) -> Model:
    """A model with others in the place of learned ones; under handlers, and by its refit itself where it is one."""
    if isinstance(model, Handled):
        return model.around(_with(instead, model.model))
    if isinstance(model, nn.Module) and model in instead:
        return instead[model]
    return WithStandIns(model, instead)


def alone(model: Learned) -> Learned:
    """The fit to all data, without its refits; its weights are those of the model."""
    twin = copy.copy(model)
    twin.refits = ()
    return twin


def fitted(program: Program) -> str:
    """The class of the models that a program learned from data; empty for a program as it was written."""
    names = [type(model).__name__ for model in program.learned if any(True for _ in model.parameters())]
    inner = program.model
    while isinstance(inner, Handled):
        inner = inner.model
    if not names and isinstance(inner, nn.Module) and any(True for _ in inner.parameters()):
        names = [type(inner).__name__]
    return " and ".join(dict.fromkeys(names))


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
