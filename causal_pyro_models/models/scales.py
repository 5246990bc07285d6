"""Origin and scale of variables whose values single precision cannot hold: time stamps, X + 1e8, X times 1e-30."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pyro.distributions as dist
import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.distributions import Transform, constraints

from causal_pyro_models.data.batches import Batch, Values
from causal_pyro_models.data.variables import Continuous, Positive, Variable
from causal_pyro_models.scm.sites import is_auxiliary, role, value_type

LARGEST_RATIO = 32.0  # of a variable's middle to its spread; float32 then rounds by 4e-6 of the spread
SIZES = (1e-15, 1e15)  # of a spread, whose square and inverse square float32 holds
ROUNDING = 10.0 * torch.finfo(torch.float64).eps  # share of the values that a spread must exceed
NORMAL_IQR = 1.349


class Scales(nn.Module):
    """Origin and scale of some variables; positive ones have those of their logarithm.

    The numbers are float64, and kept as their bits, so that a cast of the model does not round them.

    Args:
        variables: the kinds of the variables, by name.
    """

    def __init__(self, variables: Mapping[str, Variable]) -> None:
        super().__init__()
        self.variables = dict(variables)
        for i, kind in enumerate(self.variables.values()):
            self.register_buffer(f"bits{i}", torch.zeros(2, *kind.event_shape, dtype=torch.int64))

    @classmethod
    def of(cls, variables: Mapping[str, Variable], batch: Batch) -> Scales:
        """Those of the variables that need it.

        Args:
            variables: the kinds of all variables.
            batch: the units, in float64.
        """
        found = {}
        for name, kind in variables.items():
            if isinstance(kind, Continuous | Positive):
                line = _line(kind, batch.values[name][batch.intact(name)])
                if (scale := _needed(kind, line)) is not None:
                    found[name] = torch.stack(scale)
        scales = cls({name: variables[name] for name in found})
        for i, numbers in enumerate(found.values()):
            scales.get_buffer(f"bits{i}").copy_(numbers.view(torch.int64))
        return scales

    def rescaling(self, name: str, dtype: torch.dtype) -> Rescaling:
        """The map from what nodes see of a variable, in their type, to its values."""
        origin, scale = self.get_buffer(f"bits{list(self.variables).index(name)}").view(torch.float64)
        return Rescaling(origin, scale, isinstance(self.variables[name], Positive), dtype)

    def scaled(self, values: Values, dtype: torch.dtype) -> dict[str, Tensor]:
        """Values as nodes see them, those of other variables as they are."""
        return {n: self.rescaling(n, dtype).inv(v) if n in self.variables else v for n, v in values.items()}

    def unscaled(self, values: Values) -> dict[str, Tensor]:
        """Values as data have them, of those that nodes see."""
        return {n: self.rescaling(n, v.dtype)(v) if n in self.variables else v for n, v in values.items()}

    def log_slope(self, name: str, value: Tensor) -> Tensor:
        """The logarithm of the volume of values in units of what nodes see, ``(...)``; zero where that is the same."""
        if name not in self.variables:
            return torch.zeros((), device=value.device)
        rescaling = self.rescaling(name, torch.float64)
        slope = rescaling.log_abs_det_jacobian(rescaling.inv(value), value)
        batch = slope.shape[: slope.dim() - len(self.variables[name].event_shape)]
        return slope.reshape(*batch, -1).sum(-1)

    def at(self, name: str) -> AbstractContextManager[object]:
        """A context in which the site of a variable has its values, where the node speaks of what it sees."""
        return Rescaled(name, self) if name in self.variables else nullcontext()

    @property
    def valid(self) -> bool:
        """Whether all numbers are finite, and scales positive."""
        numbers = [bits.view(torch.float64) for bits in self.buffers()]
        return all(bool(torch.isfinite(pair).all() and (pair[1] > 0).all()) for pair in numbers)


class Rescaling(Transform):
    """From standardised values to those of a variable, in float64.

    Args:
        origin, scale: of the values, or of their logarithms.
        positive: whether logarithms are what is standardised.
        standardised: the type of the standardised values.
    """

    bijective = True
    sign = 1
    dtype = torch.float64  # of the values

    def __init__(self, origin: Tensor, scale: Tensor, positive: bool, standardised: torch.dtype) -> None:
        super().__init__()
        self.origin, self.scale, self.positive, self.standardised = origin, scale, positive, standardised
        self.domain = self.codomain = constraints.positive if positive else constraints.real

    def _call(self, x: Tensor) -> Tensor:
        line = self.origin + self.scale * (x.double().log() if self.positive else x.double())
        return line.exp() if self.positive else line

    def _inverse(self, y: Tensor) -> Tensor:
        line = ((y.double().log() if self.positive else y.double()) - self.origin) / self.scale
        return (line.exp() if self.positive else line).to(self.standardised)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        slope = self.scale.log().expand(y.shape)
        return (slope + y.double().log() - x.double().log() if self.positive else slope).to(self.standardised)


class Rescaled(Messenger):
    """Gives a site the values of its variable where the node inside speaks of standardised ones.

    Args:
        name: the site.
        scales: of some variables, this one among them.
    """

    def __init__(self, name: str, scales: Scales) -> None:
        super().__init__()
        self.name, self.scales = name, scales

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] == self.name and not is_auxiliary(msg) and role(msg) is None:
            rescaling = self.scales.rescaling(self.name, value_type(msg["fn"])[0])
            msg["fn"] = dist.TransformedDistribution(msg["fn"], [rescaling])


def _line(kind: Variable, values: Tensor) -> Tensor:
    return values.log() if isinstance(kind, Positive) else values


def _needed(kind: Variable, line: Tensor) -> tuple[Tensor, Tensor] | None:
    """Origin and scale ``(*event)``, where float32 cannot hold some coordinate; None where it holds all."""
    if len(line) < 2:
        return None
    levels = torch.tensor([0.25, 0.5, 0.75], dtype=line.dtype, device=line.device)
    low, origin, high = line.sort(0).values[(levels * (len(line) - 1)).round().long()]
    scale = (high - low) / NORMAL_IQR
    scale = torch.where(scale > ROUNDING * origin.abs(), scale, (line - origin).abs().mean(0))
    varies = scale > ROUNDING * origin.abs()
    size, middle = scale, origin.abs()
    if isinstance(kind, Positive):
        size, middle = origin.exp(), middle.clamp_min(1.0)
    beyond = (middle > LARGEST_RATIO * scale) | (size < SIZES[0]) | (size > SIZES[1])
    if not bool((varies & beyond).any()):
        return None
    return torch.where(varies, origin, 0.0), torch.where(varies, scale, 1.0)
