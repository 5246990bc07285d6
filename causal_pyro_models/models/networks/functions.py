"""Functions of the parents: a line, smooth curves, or a network, that start as least squares."""

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
from causal_pyro_models.models.networks.features import Standardised, encoded, going_on, tame
from causal_pyro_models.models.registry import CLASSES, register
from causal_pyro_models.validation import checked_count

ACTIVATIONS = {kind.__name__: kind for kind in (nn.SiLU, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.Tanh, nn.Softplus)}
NORMALISATIONS = {kind.__name__: kind for kind in (nn.LayerNorm, nn.RMSNorm)}
CLASSES.update(ACTIVATIONS, **NORMALISATIONS)
DEGREE = 3  # of the pieces of a smooth curve
DEPENDENT = 1e-5  # singular values below this share of the largest are rounding errors of float32


class ParentFunction(Standardised):
    """Functions of the parents: linear in columns made of their features, and corrected by training.

    The columns are the features themselves and, for curves, cubic B-splines of each. Training changes the coefficients
    of least squares or, where there is a network, adds to them a network of the columns. Outside the range that the
    features had at the start the functions go on straight (:func:`.features.going_on`).

    Args:
        parents: the parents' kinds, by name.
        outputs: number of functions.
        knots: of the curves; 0 for none.
        network: what corrects; None where the coefficients are trained.
    """

    knots: Tensor
    closed: Tensor

    def __init__(
        self, parents: Mapping[str, Variable], outputs: int, knots: int = 0, network: Network | None = None
    ) -> None:
        width = sum(variable.width for variable in parents.values())
        columns = width * (knots + DEGREE if knots else 1)
        super().__init__(columns)
        self.parents = dict(parents)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("knots", _repeated_ends(torch.linspace(-2.0, 2.0, knots).repeat(width, 1)))
        self.register_buffer("closed", torch.zeros(outputs, columns))  # the coefficients of least squares
        self.network = network.layers(columns, outputs) if parents and network else None
        self.change = nn.Parameter(torch.zeros(outputs, columns)) if parents and not network else None

    def columns(self, raw: Tensor) -> Tensor:
        """Features ``(..., width)``, and the B-splines of each within the range of the knots, ``(..., columns)``."""
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

    def forward(self, parents: Values) -> Tensor:
        """The functions' values, ``(..., outputs)``; ``(outputs,)`` for a root."""
        if not self.parents:
            return self.bias
        raw = encoded(self.parents, parents, self.center.dtype)
        if self.network is None and not self.knots.shape[-1]:  # straight everywhere
            return self._inside((raw - self.center[0]) / self.scale[0])
        lines = slice(0, len(self.knots))
        center, scale, low, high = (part[0, lines] for part in (self.center, self.scale, self.low, self.high))
        if self.knots.shape[-1]:
            low, high = ((end - center) / scale for end in (self.knots[:, 0], self.knots[:, -1]))
        return going_on(self._inside, (raw - center) / scale, low, high)

    def _inside(self, features: Tensor) -> Tensor:
        """The functions' values at standardised features."""
        columns = features
        if self.knots.shape[-1]:
            lines = slice(0, len(self.knots))
            columns = self.columns(features * self.scale[0, lines] + self.center[0, lines])
            columns = (columns - self.center[0]) / self.scale[0]
        coefficients = self.closed if self.change is None else self.closed + self.change
        value = self.bias + columns @ coefficients.T
        return value if self.network is None else value + self.network(columns)

    @torch.no_grad()
    def initialise(self, parents: Values, target: Tensor) -> Tensor:
        """Start afresh: the first outputs from least squares on a target ``(units, k)``, the others zero.

        Returns:
            The residuals, ``(units, k)``.
        """
        self.bias.zero_()
        self.closed.zero_()
        if not self.parents:
            return target
        self._forget_changes()
        raw = tame(encoded(self.parents, parents, self.center.dtype))
        if self.knots.shape[-1]:
            inner = self.knots.shape[-1] - 2 * DEGREE
            levels = torch.linspace(0.0, 1.0, inner, dtype=torch.float64, device=raw.device)
            self.knots.copy_(_repeated_ends(raw.double().quantile(levels, 0).T))
        lines = slice(0, len(self.knots))  # first, so that they are what a curve goes on as
        size = torch.ones_like(self.center[0])  # of a spline, which is at most one; features are of any size
        size[lines] = 0.0
        columns = self.standardise(self.columns(raw), size)
        for part in (lines, slice(lines.stop, None)):
            slope = least_squares(columns[:, part], target)
            self.closed[: target.shape[-1], part] = slope.T
            target = target - columns[:, part] @ slope
        return target

    def _forget_changes(self) -> None:
        """Undo what training changed: random hidden layers, and no correction."""
        if self.change is not None:
            self.change.zero_()
        if self.network is not None:
            *hidden, last = (layer for layer in self.network if isinstance(layer, nn.Linear))
            for layer in hidden:
                nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
                nn.init.normal_(layer.bias, std=0.5)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)


@register
@dataclass(frozen=True)
class Linear:
    """A linear function of the parents' features, in closed form.

    Example:
        >>> from causal_pyro_models.data import Continuous
        >>> x = torch.linspace(-1, 1, 50)
        >>> line = Linear().connect({"X": Continuous()}, 1)
        >>> residuals = line.initialise({"X": x}, 2 * x.unsqueeze(-1))
        >>> line({"X": torch.tensor([0.5])}).detach().round(decimals=3)
        tensor([[1.]])
    """

    def connect(self, parents: Mapping[str, Variable], outputs: int) -> ParentFunction:
        """The functions of these parents."""
        return ParentFunction(parents, outputs)


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

    Example:
        >>> from causal_pyro_models.data import Continuous
        >>> x = torch.linspace(-1, 1, 200)
        >>> curve = Smooth(knots=6).connect({"X": Continuous()}, 1)
        >>> residuals = curve.initialise({"X": x}, torch.sin(3 * x).unsqueeze(-1))
        >>> bool(residuals.abs().max() < 0.05)
        True
    """

    knots: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "knots", checked_count(self.knots, "knots"))
        if self.knots < 2:
            raise ModelError(f"a curve needs at least 2 knots, got {self.knots}.")

    def connect(self, parents: Mapping[str, Variable], outputs: int) -> ParentFunction:
        """The functions of these parents."""
        return ParentFunction(parents, outputs, self.knots)


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

    Example:
        >>> Network((16,)).layers(3, 1)
        Sequential(
          (0): Linear(in_features=3, out_features=16, bias=True)
          (1): SiLU()
          (2): Linear(in_features=16, out_features=1, bias=True)
        )
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

    def connect(self, parents: Mapping[str, Variable], outputs: int) -> ParentFunction:
        """The functions of these parents."""
        return ParentFunction(parents, outputs, network=self)

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


Function = Linear | Smooth | Network


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
