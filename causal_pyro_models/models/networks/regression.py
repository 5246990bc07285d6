"""How a variable's location and scale follow from its parents: a line, smooth curves, or a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from causal_pyro_models.data.batches import Values
from causal_pyro_models.data.variables import Variable
from causal_pyro_models.errors import ModelError
from causal_pyro_models.models.networks.conditioner import Conditioner
from causal_pyro_models.models.registry import CLASSES, register
from causal_pyro_models.validation import checked_count

ACTIVATIONS = {kind.__name__: kind for kind in (nn.SiLU, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.Tanh, nn.Softplus)}
NORMALISATIONS = {kind.__name__: kind for kind in (nn.LayerNorm, nn.RMSNorm)}
CLASSES.update(ACTIVATIONS, **NORMALISATIONS)
DEGREE = 3  # of the pieces of a smooth curve
DEPENDENT = 1e-5  # singular values below this share of the largest are rounding errors of float32


class Regression(nn.Module):
    """Functions of the parents: found in closed form by least squares, and corrected by training."""

    def forward(self, parents: Values) -> Tensor:
        """The functions' values, ``(..., outputs)``; ``(outputs,)`` for a root."""
        raise NotImplementedError

    def initialise(self, parents: Values, target: Tensor) -> Tensor:
        """Start afresh: the first outputs from least squares on a target ``(units, k)``, the others zero.

        Returns:
            The residuals, ``(units, k)``.
        """
        raise NotImplementedError


@register
@dataclass(frozen=True)
class Linear:
    """A linear function of the parents' features, in closed form."""

    def connect(self, parents: Mapping[str, Variable], outputs: int) -> Regression:
        """The function of these parents."""
        return _Basis(parents, outputs, knots=0)


@register
@dataclass(frozen=True)
class Smooth:
    """A sum of smooth curves, one of each of the parents' features: cubic splines, in closed form.

    Outside the range of the training data the curves are straight lines. They do not interact; for parents that do,
    take :class:`Network`.

    Args:
        knots: of each curve, at quantiles of the feature, at least 2.

    Raises:
        ModelError: fewer than two knots.

    References:
        C. de Boor (1978). A practical guide to splines, chapter 10, equation 5.
    """

    knots: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "knots", checked_count(self.knots, "knots"))
        if self.knots < 2:
            raise ModelError(f"a curve needs at least 2 knots, got {self.knots}.")

    def connect(self, parents: Mapping[str, Variable], outputs: int) -> Regression:
        """The function of these parents."""
        return _Basis(parents, outputs, self.knots)


@register
@dataclass(frozen=True)
class Network:
    """A linear function of the parents' features, in closed form, and a network that corrects it.

    Args:
        hidden: widths of the hidden layers.
        activation: a class of ``torch.nn``, one of ``ACTIVATIONS``.
        normalisation: of the hidden layers, one of ``NORMALISATIONS``, each unit by itself; None for none.

    Raises:
        ModelError: a width that is no positive integer, or another activation or normalisation.
    """

    hidden: tuple[int, ...] = (32, 32)
    activation: type[nn.Module] = nn.SiLU
    normalisation: type[nn.Module] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.hidden, tuple | list):
            raise ModelError(f"hidden must be a tuple of widths, such as (32, 32), got {self.hidden!r:.80}.")
        widths = tuple(checked_count(width, "a width of a hidden layer") for width in self.hidden)
        object.__setattr__(self, "hidden", widths)
        if self.activation not in ACTIVATIONS.values():
            raise ModelError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r:.80}.")
        if self.normalisation is not None and self.normalisation not in NORMALISATIONS.values():
            raise ModelError(
                f"normalisation must be None or one of {', '.join(NORMALISATIONS)}, which look at a unit by itself, "
                f"got {self.normalisation!r:.80}."
            )

    def connect(self, parents: Mapping[str, Variable], outputs: int) -> Regression:
        """The function of these parents."""
        return _Corrected(parents, outputs, self)

    def layers(self, inputs: int, outputs: int) -> nn.Sequential:
        """The network, untrained."""
        sizes = (inputs, *self.hidden)
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers.append(nn.Linear(a, b))
            if self.normalisation is not None:
                layers.append(cast(Any, self.normalisation)(b))
            layers.append(self.activation())
        return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))


Mechanism = Linear | Smooth | Network


class _Corrected(Regression):
    """A conditioner whose network is built to measure."""

    def __init__(self, parents: Mapping[str, Variable], outputs: int, settings: Network) -> None:
        super().__init__()
        self.conditioner = Conditioner(parents, outputs, settings.hidden)
        if parents:
            self.conditioner.network = settings.layers(self.conditioner.center.numel(), outputs)

    def forward(self, parents: Values) -> Tensor:
        linear, change = self.conditioner(parents)
        total: Tensor = linear + change
        return total

    @torch.no_grad()
    def initialise(self, parents: Values, target: Tensor) -> Tensor:
        self.conditioner.initialise(parents)
        if not parents:
            return target
        features = self.conditioner.features(parents)
        slope = least_squares(features, target)
        self.conditioner.slope[: target.shape[-1]] = slope.T
        return target - features @ slope


class _Basis(Regression):
    """A linear function of standardised features and of their cubic B-splines."""

    center: Tensor
    scale: Tensor
    knots: Tensor
    closed: Tensor

    def __init__(self, parents: Mapping[str, Variable], outputs: int, knots: int) -> None:
        super().__init__()
        self.parents = dict(parents)
        width = sum(variable.width for variable in parents.values())
        columns = width * (1 + (knots + DEGREE - 1 if knots else 0))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("knots", _repeated_ends(torch.linspace(-2.0, 2.0, knots).repeat(width, 1)))
        self.register_buffer("center", torch.zeros(columns))
        self.register_buffer("scale", torch.ones(columns))
        self.register_buffer("closed", torch.zeros(outputs, columns))
        if parents:
            self.change = nn.Parameter(torch.zeros(outputs, columns))

    def raw(self, parents: Values) -> Tensor:
        """The parents' features, ``(..., width)``."""
        encoded = [v.features(name, parents[name]).to(self.center.dtype) for name, v in self.parents.items()]
        shape = torch.broadcast_shapes(*(features.shape[:-1] for features in encoded))
        return torch.cat([features.expand(*shape, -1) for features in encoded], -1)

    def curves(self, raw: Tensor) -> Tensor:
        """The features, and the B-splines of each within the range of the knots, ``(..., columns)``."""
        if not self.knots.shape[-1]:
            return raw
        low, high = self.knots[:, 0], self.knots[:, -1]
        x = torch.minimum(raw.clamp(low, high), torch.nextafter(high, low)).unsqueeze(-1)
        basis = ((self.knots[:, :-1] <= x) & (x < self.knots[:, 1:])).to(raw.dtype)
        for degree in range(1, DEGREE + 1):
            width = self.knots[:, degree:] - self.knots[:, :-degree]
            rising = (x - self.knots[:, :-degree]) / width.where(width > 0, torch.inf)
            basis = rising[..., :-1] * basis[..., :-1] + (1 - rising[..., 1:]) * basis[..., 1:]
        return torch.cat([raw, basis.flatten(-2)], -1)

    def features(self, parents: Values) -> Tensor:
        """The basis, standardised, ``(..., columns)``."""
        return (self.curves(self.raw(parents)) - self.center) / self.scale

    def forward(self, parents: Values) -> Tensor:
        if not self.parents:
            return self.bias
        return self.bias + self.features(parents) @ (self.closed + self.change).T

    @torch.no_grad()
    def initialise(self, parents: Values, target: Tensor) -> Tensor:
        self.bias.zero_()
        self.closed.zero_()
        if not parents:
            return target
        self.change.zero_()
        raw = self.raw(parents)
        if self.knots.shape[-1]:
            inner = self.knots.shape[-1] - 2 * DEGREE
            levels = torch.linspace(0.0, 1.0, inner, dtype=torch.float64, device=raw.device)
            self.knots.copy_(_repeated_ends(raw.double().quantile(levels, 0).T))
        columns = self.curves(raw)
        self.center.copy_(columns.mean(0))
        self.scale.copy_(columns.std(0).clamp_min(torch.finfo(raw.dtype).tiny ** 0.5))
        features = self.features(parents)
        lines = slice(0, raw.shape[-1])  # first, so that they are what a curve goes on as
        for part in (lines, slice(raw.shape[-1], None)):
            slope = least_squares(features[:, part], target)
            self.closed[: target.shape[-1], part] = slope.T
            target = target - features[:, part] @ slope
        return target


def _repeated_ends(knots: Tensor) -> Tensor:
    """Knots ``(width, n)``, the first and the last as often as a B-spline of the degree needs them."""
    if not knots.shape[-1]:
        return knots
    return torch.cat([knots[:, :1].repeat(1, DEGREE), knots, knots[:, -1:].repeat(1, DEGREE)], -1)


def least_squares(features: Tensor, target: Tensor) -> Tensor:
    """The coefficients ``(columns, k)`` of the shortest solution of least squares, found in float64.

    Columns that depend on each other but for rounding, such as those of a class each, count as dependent.
    """
    problem = features.detach().double().cpu(), target.detach().double().cpu()
    solution: Tensor = torch.linalg.lstsq(*problem, rcond=DEPENDENT, driver="gelsd").solution
    return solution.to(target)
