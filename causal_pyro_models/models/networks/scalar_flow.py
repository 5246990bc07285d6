"""Monotone flows of real numbers given features: what every flow of a causal model is made of."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import NamedTuple

import torch
from torch import Tensor, nn

from causal_pyro_models.errors import ModelError
from causal_pyro_models.models.networks.expansion import Expansion
from causal_pyro_models.models.networks.features import tame
from causal_pyro_models.models.networks.monotone import (
    MonotoneMap,
    Quantiles,
    QuantileSpline,
    SlopeSpline,
    normal_scores,
    straight,
)
from causal_pyro_models.models.networks.preparation import Prepare
from causal_pyro_models.models.networks.start import start_locations
from causal_pyro_models.models.registry import register

MAX_LOG_SCALE = 7.0  # how far the parents may move the logarithm of a scale
SMALLEST_SQUARE = 1e-6  # of a residual in its standard deviations, where logarithms are taken
MIN_LOG_SCALE = -11.5  # of the residual, in the variable's standard deviations
UNITS_PER_POINT = 25  # of the map that gives residuals a normal law, at least
HELD_OUT = 10  # every so many units judge whether that map is needed


@register
@dataclass(frozen=True)
class LocationScale:
    """x = m(pa) + s(pa) u.

    Example:
        >>> from causal_pyro_models import CausalFlow, CausalGraph
        >>> CausalFlow(CausalGraph(["X"], []), {"X": 1}, LocationScale()).residual
        LocationScale()
    """

    size = 0  # parameters per unit
    points = 2  # of the map that gives residuals a normal law: a line, and left out

    def maps(self, points: Quantiles, shape: Tensor) -> list[MonotoneMap]:
        """The maps that take the residual (x - m) / s to the noise."""
        return []


@register
@dataclass(frozen=True)
class Spline:
    """x = m(pa) + s(pa) T(u; pa) where the inverse of T is monotone: two splines, of which one depends on the parents.

    The first gives the residuals a standard normal law. The second has a slope that is a function of the parents,
    straight between equally spaced knots.

    Args:
        bins: pieces of the second spline.
        bound: the residual, in standard deviations, beyond which the second spline is straight.

    Raises:
        ModelError: fewer than two bins, or a bound that is not positive.

    Example:
        >>> shape = Spline(bins=4).transform(torch.tensor([0.0, 0.5, -0.5, 0.0, 0.0]))
        >>> value = torch.tensor([-1.0, 0.0, 2.0])
        >>> torch.allclose(shape.inv(shape(value)), value, atol=1e-5)
        True
    """

    bins: int = 8
    bound: float = 3.0

    points = 16  # of the first spline

    def __post_init__(self) -> None:
        numbers = isinstance(self.bins, Integral) and isinstance(self.bound, Real)
        if not (numbers and self.bins >= 2 and 0 < self.bound < math.inf):
            raise ModelError(f"a spline needs at least 2 bins and a positive bound, got {self}.")
        object.__setattr__(self, "bins", int(self.bins))
        object.__setattr__(self, "bound", float(self.bound))

    @property
    def size(self) -> int:
        """Parameters per unit."""
        return self.bins + 1

    def transform(self, parameters: Tensor) -> MonotoneMap:
        """The second spline."""
        return SlopeSpline(parameters, self.bound)

    def maps(self, points: Quantiles, shape: Tensor) -> list[MonotoneMap]:
        """The maps that take the residual (x - m) / s to the noise."""
        return [QuantileSpline(points), self.transform(shape)]


class FlowParameters(NamedTuple):
    """What makes the flow of some units: location and scale ``(..., units)`` and the maps from residual to noise."""

    location: Tensor
    scale: Tensor
    maps: list[MonotoneMap]

    def to_noise(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """The noise behind values ``(..., units)``, and the logarithm of its slope."""
        noise, log_slope = (value - self.location) / self.scale, -self.scale.log()
        for to_noise in self.maps:
            noise, bend = to_noise.call_and_ladj(noise)
            log_slope = log_slope + bend
        return noise, log_slope

    def from_noise(self, noise: Tensor) -> Tensor:
        """The values that noise ``(..., units)`` leads to."""
        for to_noise in reversed(self.maps):
            noise = to_noise.inv(noise)
        return self.location + self.scale * noise

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of values ``(..., units)``, the splines evaluated once and in their fast direction."""
        noise, log_slope = self.to_noise(value)
        return log_slope - 0.5 * noise.square() - 0.5 * math.log(2.0 * math.pi)


class ScalarFlow(nn.Module):
    """A monotone flow of real numbers given features.

    Args:
        width: number of features.
        residual: the shape of the noise.
        hidden: widths of the hidden layers.
    """

    mean: Tensor
    sd: Tensor
    log_scale: Tensor

    def __init__(self, width: int, residual: Spline | LocationScale, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.residual = residual
        self.conditioner = Expansion(width, 1 + residual.size, hidden)
        for name, fill in {"mean": 0.0, "sd": 1.0, "log_scale": 0.0}.items():
            self.register_buffer(name, torch.tensor(fill))
        self.settled = False  # whether the start is all there is to find: the noise does not depend on the features
        for name, values in straight(residual.points, torch.empty(()))._asdict().items():
            self.register_buffer(f"law_{name}", values)

    def tensors(self) -> dict[str, Tensor]:
        """The flow's own tensors by name; of several flows of the same residual they may be stacked."""
        return {name: tensor for name, tensor in self._buffers.items() if tensor is not None}

    def given(self, features: Tensor, batch: tuple[int, ...]) -> FlowParameters:
        """The flow given features ``(*batch, width)``; ``(0,)`` without parents, where the batch is empty."""
        location, further = self.conditioner(features.reshape(math.prod(batch), features.shape[-1]))
        return self.at(self.tensors(), location.reshape(batch), further.reshape(*batch, -1))

    def at(self, tensors: Mapping[str, Tensor], location: Tensor, further: Tensor) -> FlowParameters:
        """The flow with given tensors, and with the conditioner's answers."""
        mean, sd = tensors["mean"], tensors["sd"]
        log_scale = tensors["log_scale"] + MAX_LOG_SCALE * torch.tanh(further[..., 0] / MAX_LOG_SCALE)
        maps = self.residual.maps(Quantiles(*(tensors[f"law_{name}"] for name in Quantiles._fields)), further[..., 1:])
        return FlowParameters(mean + sd * location, sd * log_scale.exp(), maps)

    def standardise(self, value: Tensor) -> Tensor:
        """Take mean and standard deviation from values that are not wild; the standardised ones, wild ones zero."""
        value = tame(value.unsqueeze(-1)).squeeze(-1)
        self.mean.copy_(value.mean())
        self.sd.copy_(value.std())
        return (value - self.mean) / self.sd

    def begin(self, features: Tensor, target: Tensor, residual: Tensor) -> None:
        """Start with noise of the residuals of the conditioner's location."""
        self._set_law(features, target, residual)
        self.start = {name: tensor.clone() for name, tensor in self.state_dict().items()}

    @torch.no_grad()
    def solve(self, features: Tensor, value: Tensor) -> None:
        """The start again from other data, the hidden units left as they are."""
        target = (tame(value.unsqueeze(-1)).squeeze(-1) - self.mean) / self.sd
        self._set_law(features, target, self.conditioner.solve(features, target, self._hidden))

    @torch.no_grad()
    def keep_if_better(self, features: Tensor, value: Tensor, held_out_features: Tensor, held_out: Tensor) -> None:
        """Return to the start, from all units, unless the trained flow does better on held-out ones.

        Better by a standard error of the mean gain: by less, chance alone leaves the networks of linear ones in place.
        """
        simple = copy.deepcopy(self)
        simple.load_state_dict(self.start)
        trained, start = (
            flow.given(held_out_features, held_out_features.shape[:-1]).log_prob(held_out) for flow in (self, simple)
        )
        gain = trained - start
        if gain.mean() <= gain.std() / len(gain) ** 0.5:
            self.load_state_dict(self.start)
            everyone = torch.cat([features, held_out_features]) if features.dim() > 1 else features
            self.solve(everyone, torch.cat([value, held_out]))

    def _set_law(self, features: Tensor, target: Tensor, residual: Tensor) -> None:
        """Scale and shape of the noise, and the location again with units weighted by that scale.

        Whether the noise depends on the features is told by its squares and its cubes.
        """
        residual, self.settled = self._scaled(residual), len(target) >= UNITS_PER_POINT * self.residual.points
        if self.conditioner.width:
            log_size = 0.5 * residual.square().clamp_min(SMALLEST_SQUARE).log()
            change = self.conditioner.solve_further(0, features, log_size - log_size.mean())
            if bool((change != change[0]).any()):
                scale = (MAX_LOG_SCALE * torch.tanh(change / MAX_LOG_SCALE)).exp()
                residual = self._scaled(self.conditioner.solve(features, target, self._hidden, scale) / scale)
                self.settled = False
        for name, values in _law_of(residual, self.residual.points)._asdict().items():
            self.get_buffer(f"law_{name}").copy_(values)
        if self.settled and self.conditioner.width:
            noise = _normal_noise(residual)
            moments = noise.square() - 1.0, noise**3 - 3.0 * noise
            self.settled = not any(self.conditioner.tells_of(features, moment) for moment in moments)

    @property
    def _hidden(self) -> bool:
        """Whether the location has hidden units."""
        return bool(self.conditioner.open_units.any())

    def _scaled(self, residual: Tensor) -> Tensor:
        """Residuals in units of their standard deviation, which is kept."""
        self.log_scale.copy_(residual.std().log().clamp_min(MIN_LOG_SCALE))
        return residual / self.log_scale.exp()


@torch.no_grad()
def initialise_flows(
    flows: Sequence[ScalarFlow], features: Sequence[Tensor], values: Sequence[Tensor], prepare: Prepare
) -> None:
    """Start flows with location and log-scale of least squares and noise of one shape.

    Args:
        flows: any number of them.
        features: ``(units, width)`` for each.
        values: ``(units,)`` for each.
        prepare: moves the hidden units of their locations.
    """
    targets = [flow.standardise(value) for flow, value in zip(flows, values, strict=True)]
    residuals = start_locations([flow.conditioner for flow in flows], features, targets, prepare)
    for flow, *start in zip(flows, features, targets, residuals, strict=True):
        flow.begin(*start)


def _normal_noise(residual: Tensor) -> Tensor:
    """Residuals ``(units,)`` at the normal quantiles of their ranks."""
    ranks = residual.argsort().argsort().to(residual)
    noise: Tensor = torch.special.ndtri((ranks + 0.5) / len(residual))
    return noise


def _law_of(residual: Tensor, points: int) -> Quantiles:
    """The map that gives residuals ``(units,)`` a standard normal law; a line unless held-out units speak for more."""
    line = straight(points, residual)
    if points == 2 or len(residual) < UNITS_PER_POINT * points:
        return line
    seen, unseen = residual[len(residual) // HELD_OUT :], residual[: len(residual) // HELD_OUT]
    noise, log_slope = QuantileSpline(normal_scores(seen, points)).call_and_ladj(unseen)
    gain = log_slope - 0.5 * noise.square() + 0.5 * unseen.square()
    return normal_scores(residual, points) if gain.mean() > gain.std() / len(gain) ** 0.5 else line
