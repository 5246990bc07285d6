"""Functions of the parents by a line, products and hidden units, of which the first is a regression at the start."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from causal_pyro_models.models.networks.curves import GRID, PIECES, eigencurves, layout, splines
from causal_pyro_models.models.networks.features import Standardised, going_on, tame
from causal_pyro_models.models.networks.ridge import (
    MARGIN,
    PRICE,
    Moments,
    again,
    evidence_ridge,
    grouped_ridge,
    moments,
)

SHARPNESS = (0.5, 4.0)  # of units that look at several features, in their standard deviations
SHARPNESS_ALONE = (0.5, 8.0)  # of units that look at one
CORE = 3.0  # standard deviations within which curves see features about as they are
BLOCK = 4096  # units whose hidden layers fit a processor's cache
MAX_PRODUCTS = 12  # features; of more, products are left to the hidden units
LINE_PRIOR = 5.0  # standard deviation of the line's coefficients, to 1 of all others


Tensors = Mapping[str, Tensor]


class Expansion(Standardised):
    """Functions of features: a location, and further ones.

    The location is a line, products of pairs of features, and either smooth curves or hidden units; :meth:`solve` finds
    it by ridge regression, and leaves out for good what the evidence is against. The further functions are a line and
    one layer of hidden units, zero at the start. Outside the range of the training data the location goes on straight
    (:func:`.features.going_on`), and the further functions stay as they are.

    Args:
        width: number of features.
        further: number of functions beside the location.
        hidden: widths of the hidden layers of the location; of one feature, the first alone, which all functions share.
    """

    middle: Tensor
    spread: Tensor
    open_line: Tensor
    open_units: Tensor
    open_smooth: Tensor
    bends: Tensor
    pairs: Tensor

    def __init__(self, width: int, further: int, hidden: tuple[int, ...]) -> None:
        super().__init__(width)
        self.width, self.hidden = width, hidden if width > 1 else hidden[:1]
        self.register_buffer("middle", torch.zeros(1, width))
        self.register_buffer("spread", torch.ones(1, width))
        pairs = torch.triu_indices(width, width) if width <= MAX_PRODUCTS else torch.zeros(2, 0, dtype=torch.long)
        self.register_buffer("pairs", pairs)
        columns = 1 + width + self.pairs.shape[1]
        first, last = (self.hidden[0], self.hidden[-1]) if self.hidden else (width, width)
        self.line = nn.Parameter(torch.zeros(columns))
        self.bias = nn.Parameter(torch.zeros(further))
        self.register_buffer("open_line", torch.ones(columns))
        self.register_buffer("open_units", torch.ones(last))
        self.layout = layout(width)
        self.smooth = nn.Parameter(torch.zeros(self.layout.columns))
        self.register_buffer("open_smooth", torch.zeros(self.layout.columns))
        self.register_buffer("bends", torch.zeros(width, PIECES + 3, self.layout.rank))
        sizes = pairwise((width, *self.hidden) if width else ())
        for layer, (inputs, outputs) in enumerate(sizes):
            self.register_parameter(f"weight{layer}", nn.Parameter(torch.randn(outputs, inputs) / math.sqrt(inputs)))
            self.register_parameter(f"offset{layer}", nn.Parameter(torch.zeros(outputs)))
        self.takes_units = width > 1 and bool(self.hidden)  # whether the location may have hidden units
        self.apart = width > 1 and bool(self.hidden)  # whether the further functions have hidden units of their own
        if self.apart:
            self.further_weight = nn.Parameter(torch.randn(first, width) / math.sqrt(width))
            self.further_offset = nn.Parameter(torch.zeros(first))
        if width:
            self.location = nn.Parameter(torch.zeros(last))
            self.others = nn.Parameter(torch.zeros(further, first))
            self.slopes = nn.Parameter(torch.zeros(further, width))

    def tensors(self) -> dict[str, Tensor]:
        """What :meth:`at` takes, by name; of several expansions of the same widths it may be stacked."""
        return {
            name: tensor for name, tensor in (*self._parameters.items(), *self._buffers.items()) if tensor is not None
        }

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The location ``(units,)`` and the further functions ``(units, further)`` at ``(units, width)``.

        Without features they are those of one unit.
        """
        tensors = self.tensors()
        if torch.is_grad_enabled() or len(features) <= BLOCK:
            return self.at(tensors, features)
        location, further = zip(*(self.at(tensors, block) for block in features.split(BLOCK)), strict=True)
        return torch.cat(location), torch.cat(further)

    def at(self, tensors: Tensors, features: Tensor) -> tuple[Tensor, Tensor]:
        """:meth:`forward` with given tensors; a leading dimension of theirs is one of the features and the result."""
        if not self.width:
            return tensors["line"], tensors["bias"].unsqueeze(-2)
        features = (features - tensors["center"]) / tensors["scale"]
        location = going_on(partial(self._location, tensors), features, tensors["low"], tensors["high"])
        squashed = self._squashed(tensors, features)
        own = self._further_units(tensors, squashed)
        further = _affine(squashed, tensors["slopes"], tensors["bias"]) + own @ tensors["others"].mT
        return location.squeeze(-1), further

    def _location(self, tensors: Tensors, inside: Tensor) -> Tensor:
        """The location ``(units, 1)`` at standardised features."""
        location = self.line_of(inside) @ (tensors["line"] * tensors["open_line"]).unsqueeze(-1)
        if bool(tensors["open_smooth"].any()):
            curves = self.curves(tensors, inside)
            location = location + curves @ (tensors["smooth"] * tensors["open_smooth"]).unsqueeze(-1)
        if bool(tensors["open_units"].any()):
            units = self.units(tensors, self._squashed(tensors, inside))
            location = location + units @ (tensors["location"] * tensors["open_units"]).unsqueeze(-1)
        return location

    def inputs(self, tensors: Tensors, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Standardised features within the range of the data, the columns of the line, and what hidden units see."""
        features = (features - tensors["center"]) / tensors["scale"]
        inside = torch.maximum(torch.minimum(features, tensors["high"]), tensors["low"])
        return inside, self.line_of(inside), self._squashed(tensors, inside)

    def line_of(self, inside: Tensor) -> Tensor:
        """One, the features, and their products."""
        left, right = self.pairs
        return torch.cat([torch.ones_like(inside[..., :1]), inside, inside[..., left] * inside[..., right]], -1)

    def _squashed(self, tensors: Tensors, features: Tensor) -> Tensor:
        """Features within the range of the data, without the long tails that few units are in."""
        inside = torch.maximum(torch.minimum(features, tensors["high"]), tensors["low"])
        return torch.asinh((inside - tensors["middle"]) / tensors["spread"])

    def curves(self, tensors: Tensors, inside: Tensor) -> Tensor:
        """The columns of smooth curves and of their products, ``(units, columns)``, at standardised features."""
        ends = [self._place(tensors, tensors[end]) for end in ("low", "high")]
        place = (self._place(tensors, inside) - ends[0]) / (ends[1] - ends[0]).clamp_min(torch.finfo(inside.dtype).eps)
        curves = (splines(place.mT) @ tensors["bends"]).transpose(-3, -2)
        factors = torch.cat([inside.unsqueeze(-1), curves], -1).flatten(-2)
        products = factors[..., self.layout.first] * factors[..., self.layout.second]
        return torch.cat([curves.flatten(-2), products], -1)

    def _place(self, tensors: Tensors, inside: Tensor) -> Tensor:
        """Where curves see features: as they are in the middle, with shorter tails."""
        return CORE * torch.asinh((inside - tensors["middle"]) / (CORE * tensors["spread"]))

    def units(self, tensors: Tensors, squashed: Tensor) -> Tensor:
        """The hidden units of the location; the features where there are none."""
        units = squashed
        for layer in range(len(self.hidden)):
            units = _step(_affine(units, tensors[f"weight{layer}"], tensors[f"offset{layer}"]))
        return units

    def _further_units(self, tensors: Tensors, squashed: Tensor) -> Tensor:
        """The hidden units of the further functions."""
        if not self.apart:
            return self.units(tensors, squashed)
        return _step(_affine(squashed, tensors["further_weight"], tensors["further_offset"]))

    @torch.no_grad()
    def place(self, features: Tensor) -> None:
        """Start afresh, the hidden units where data are, and all functions zero."""
        for weights in (*self.last_layer(), self.smooth, self.open_smooth):
            weights.zero_()
        if self.width:
            self.standardise(features)
            self._place_units(self.inputs(self.tensors(), features)[2])

    def last_layer(self) -> list[nn.Parameter]:
        """The parameters that all functions are linear in."""
        return [self.line, self.bias, *((self.location, self.others, self.slopes) if self.width else ())]

    @torch.no_grad()
    def solve(self, features: Tensor, target: Tensor, units: bool = False, scale_of: Tensor | None = None) -> Tensor:
        """Find the location for hidden units that are in place; its residuals ``(units,)``.

        Args:
            features: ``(units, width)``.
            target: ``(units,)``.
            units: whether hidden units are taken beside line and products, and not curves.
            scale_of: ``(units,)``, the scale of each unit's residual; None where they are alike.
        """
        if not self.width:
            return target
        tensors = self.tensors()
        inside, line, squashed = self.inputs(tensors, features)
        more = self.units(tensors, squashed) if units else self.curves(tensors, inside)
        columns = torch.cat([line, more], -1)
        share = torch.ones_like(target) if scale_of is None else 1.0 / scale_of
        data = moments(columns * share.unsqueeze(-1), target * share)
        coefficients, taken = self._regression(data, units)
        values, opened = torch.zeros_like(columns[0]), torch.zeros_like(columns[0])
        values[:], opened[taken] = coefficients.to(line), 1.0
        split = len(self.line), columns.shape[1] - len(self.line)
        for weights in (self.line, self.smooth, self.location, self.open_line, self.open_smooth, self.open_units):
            weights.zero_()
        own = (self.line, self.location if units else self.smooth)
        gates = (self.open_line, self.open_units if units else self.open_smooth)
        for tensor, new in zip((*own, *gates), values.split(split) + opened.split(split), strict=True):
            tensor.copy_(new)
        return target - (columns.double() @ coefficients).to(target)

    @torch.no_grad()
    def solve_further(self, index: int, features: Tensor, target: Tensor) -> Tensor:
        """Find a further function by ridge regression, a constant unless the evidence is for more; its values."""
        columns, coefficients, _ = self._further(features, target)
        bias, slopes, others = coefficients.to(columns).split((1, self.width, self.others.shape[1]))
        self.bias[index] = LINE_PRIOR * bias.squeeze(0)
        self.slopes[index] = LINE_PRIOR * slopes
        self.others[index] = others
        return (columns.double() @ coefficients).to(target)

    @torch.no_grad()
    def tells_of(self, features: Tensor, target: Tensor) -> bool:
        """Whether the evidence is that a further function of the features explains a target."""
        return len(self._further(features, target)[2]) > 1

    def _further(self, features: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The columns of a further function, their coefficients, and those of them that were taken."""
        tensors = self.tensors()
        squashed = self.inputs(tensors, features)[2]
        ones = torch.full_like(squashed[..., :1], LINE_PRIOR)
        columns = torch.cat([ones, LINE_PRIOR * squashed, self._further_units(tensors, squashed)], -1)
        every = torch.arange(columns.shape[-1])
        return columns, *evidence_ridge(columns, target, [every[:1], every[: 1 + self.width], every])

    def standardise(self, columns: Tensor, size: Tensor | float = 0.0) -> Tensor:
        super().standardise(tame(columns), size)
        features = self.inputs(self.tensors(), columns)[0]
        self.middle.copy_(features.median(0, keepdim=True).values)
        spread = 1.4826 * (features - self.middle).abs().median(0, keepdim=True).values
        self.spread.copy_(torch.where(spread > 0.05, spread, 1.0))
        if self.layout.rank:
            self._bend(features)
        return features

    def _bend(self, features: Tensor) -> None:
        """Find the curves of standardised features."""
        tensors = {name: tensor.double() for name, tensor in self.tensors().items()}
        lines = features.double().quantile(
            torch.linspace(0.0, 1.0, GRID).to(features).double(), 0, interpolation="nearest"
        )
        low, high = (self._place(tensors, tensors[end]) for end in ("low", "high"))
        span = (high - low).clamp_min(torch.finfo(features.dtype).eps)
        places = torch.linspace(0.0, 1.0, GRID).to(low)
        for j, line in enumerate(lines.T):
            place = (self._place(tensors, lines) - low)[:, j] / span[0, j]
            grid = low[0, j] + places * span[0, j]
            on_line = tensors["middle"][0, j] + CORE * tensors["spread"][0, j] * torch.sinh(grid / CORE)
            self.bends[j] = eigencurves(place, line, places, on_line, self.layout.rank).to(self.bends)

    def _place_units(self, squashed: Tensor) -> None:
        """Put the steps of the first layer's units where data are."""
        if self.hidden:
            self._place_steps(self.get_parameter("weight0"), self.get_parameter("offset0"), squashed)
        if self.apart:
            self._place_steps(self.further_weight, self.further_offset, squashed)
        for layer in range(1, len(self.hidden)):
            weight = self.get_parameter(f"weight{layer}")
            nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
            nn.init.normal_(self.get_parameter(f"offset{layer}"), std=0.5)

    def _place_steps(self, weight: Tensor, offset: Tensor, squashed: Tensor) -> None:
        units = len(weight)
        alone = self._alone(units)
        direction = nn.functional.normalize(torch.randn_like(weight), dim=1)
        direction[:alone] = torch.eye(self.width).to(weight)[torch.arange(alone) % self.width]
        low, high = (torch.full((units,), math.log(bound)) for bound in SHARPNESS)
        low[:alone], high[:alone] = (math.log(bound) for bound in SHARPNESS_ALONE)
        direction = direction * (low + (high - low) * torch.rand(units)).exp().to(weight).unsqueeze(-1)
        weight.copy_(direction)
        steps = squashed[torch.randint(len(squashed), (units,), device=squashed.device)]
        offset.copy_(-(steps * direction).sum(-1))

    def _alone(self, units: int) -> int:
        """How many of the first layer's units look at one feature alone."""
        return units if self.width == 1 else units // 2 if self.width == 2 else 0

    def _regression(self, data: Moments, units: bool) -> tuple[Tensor, Tensor]:
        """The coefficients of the location, and the columns that are taken."""
        line, start = torch.arange(1 + self.width), len(self.line)
        products = [torch.tensor([column]) for column in range(len(line), start)]
        crossed = [product for product, (j, k) in zip(products, self.pairs.T.tolist(), strict=True) if j != k]
        smooth = [start + torch.tensor(group) for group, _ in self.layout.groups]
        curves, pairs = (smooth[: self.width], smooth[self.width :]) if smooth else ([], [])
        if units:
            hidden = start + torch.arange(len(self.location))
            choices = [products, [hidden], [torch.cat([*products, hidden])]]
        else:
            choices = [products, curves, [*products, *curves], [*crossed, *curves, *pairs]]
        best, chosen, penalties = grouped_ridge(data.of(line), ()), line, 0
        for choice in choices:
            taken = torch.cat([line, *choice])
            places = torch.arange(len(line), len(taken)).split([len(group) for group in choice]) if choice else ()
            found = grouped_ridge(data.of(taken), places)
            if found.evidence > best.evidence + MARGIN + PRICE * max(len(choice) - penalties, 0):
                best, chosen, penalties = found, taken, len(choice)
        smoothed = penalties > 0 and not units
        result = torch.zeros_like(data.moment)
        result[chosen] = again(data.of(chosen), best) if smoothed else best.coefficients
        return result, chosen


def _affine(x: Tensor, weight: Tensor, offset: Tensor) -> Tensor:
    """A linear layer, or several with a leading dimension."""
    if x.dim() == 2:
        return torch.addmm(offset, x, weight.mT)
    return torch.baddbmm(offset.unsqueeze(-2), x, weight.mT)


def _step(x: Tensor) -> Tensor:
    """A smooth step from -1 to 1, four times as fast as tanh on a CPU."""
    return x * torch.rsqrt(1.0 + x * x)
