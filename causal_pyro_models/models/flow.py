"""Causal flows: every variable a monotone transformation of its own noise, given its parents."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce, singledispatch
from numbers import Integral, Real
from typing import NamedTuple, cast

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn
from torch.distributions.transforms import AffineTransform, ExpTransform

from causal_pyro_models.errors import ModelError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models.discrete import BernoulliNode, CategoricalNode, CountNode, OrdinalNode
from causal_pyro_models.models.expansion import Expansion
from causal_pyro_models.models.monotone import (
    MonotoneMap,
    Quantiles,
    QuantileSpline,
    SlopeSpline,
    normal_scores,
    straight,
)
from causal_pyro_models.models.structural import Node, StructuralCausalModel, check_unconfounded, checked_variables
from causal_pyro_models.models.variables import Binary, Categorical, Continuous, Count, Ordinal, Positive, Variable

MAX_LOG_SCALE = 7.0  # how far the parents may move the logarithm of a scale
MIN_LOG_SCALE = -11.5  # of the residual, in the variable's standard deviations
HIDDEN = (64,)  # widths of the hidden layers
UNITS_PER_POINT = 50  # of the map that gives residuals a normal law, at least
HELD_OUT = 10  # every so many units judge whether that map is needed

Values = Mapping[str, Tensor]


@dataclass(frozen=True)
class LocationScale:
    """x = m(pa) + s(pa) u."""

    size = 0  # parameters per unit
    points = 2  # of the map that gives residuals a normal law: a line, and left out

    def maps(self, points: Quantiles, shape: Tensor) -> list[MonotoneMap]:
        """The maps that take the residual (x - m) / s to the noise."""
        return []


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

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of values ``(..., units)``, the splines evaluated once and in their fast direction."""
        noise, log_slope = (value - self.location) / self.scale, -self.scale.log()
        for to_noise in self.maps:
            noise, bend = to_noise.call_and_ladj(noise)
            log_slope = log_slope + bend
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

    @torch.no_grad()
    def initialise(self, features: Tensor, value: Tensor) -> None:
        """Start with the location of least squares and noise that does not depend on the parents."""
        self.mean.copy_(value.mean())
        self.sd.copy_(value.std())
        self._set_law(self.conditioner.initialise(features, (value - self.mean) / self.sd))

    @torch.no_grad()
    def solve(self, features: Tensor, value: Tensor) -> None:
        """The start again from other data, the hidden units left as they are."""
        self._set_law(self.conditioner.solve(features, (value - self.mean) / self.sd)[0])

    def _set_law(self, residual: Tensor) -> None:
        self.log_scale.copy_(residual.std().log().clamp_min(MIN_LOG_SCALE))
        for name, values in _law_of(residual / self.log_scale.exp(), self.residual.points)._asdict().items():
            self.get_buffer(f"law_{name}").copy_(values)


def _law_of(residual: Tensor, points: int) -> Quantiles:
    """The map that gives residuals ``(units,)`` a standard normal law; a line unless held-out units speak for more."""
    line = straight(points, residual)
    if points == 2 or len(residual) < UNITS_PER_POINT * points:
        return line
    seen, unseen = residual[len(residual) // HELD_OUT :], residual[: len(residual) // HELD_OUT]
    noise, log_slope = QuantileSpline(normal_scores(seen, points)).call_and_ladj(unseen)
    gain = log_slope - 0.5 * noise.square() + 0.5 * unseen.square()
    return normal_scores(residual, points) if gain.mean() > gain.std() / len(gain) ** 0.5 else line


class FlowNode(Node):
    """A real variable as a monotone flow of standard normal noise, its parameters functions of the parents.

    Args:
        variable: a real variable, or a positive one, whose logarithm is such a flow.
        residual: the shape of the noise, ``Spline(...)`` or ``LocationScale()``.
        hidden: widths of the hidden layers.
    """

    flow: ScalarFlow

    def __init__(
        self,
        variable: Continuous | Positive = Continuous(),
        residual: Spline | LocationScale = Spline(),
        hidden: tuple[int, ...] = HIDDEN,
    ) -> None:
        super().__init__(variable)
        self.residual, self.hidden = residual, hidden

    def connect(self, parents: Mapping[str, Variable]) -> None:
        self.parents = dict(parents)
        self.flow = ScalarFlow(sum(v.width for v in parents.values()), self.residual, self.hidden)

    def features(self, parents: Values) -> Tensor:
        """What the flow sees of the parents, ``(..., width)``; ``(0,)`` for a root."""
        if not self.parents:
            return self.flow.mean.new_empty(0)
        encoded = [v.features(name, parents[name]).to(self.flow.mean.dtype) for name, v in self.parents.items()]
        shape = torch.broadcast_shapes(*(features.shape[:-1] for features in encoded))
        return torch.cat([features.expand(*shape, -1) for features in encoded], -1)

    def on_line(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Values as the flow sees them, and the logarithm of the slope of that."""
        if isinstance(self.variable, Positive):
            line = value.log()
            return line, -line
        return value, torch.zeros_like(value)

    def distribution(self, parents: Values) -> TorchDistributionMixin:
        features = self.features(parents)
        location, scale, maps = self.flow.given(features, features.shape[:-1])
        noise = dist.Normal(torch.zeros_like(location), torch.ones_like(location))
        from_noise = [to_noise.inv for to_noise in reversed(maps)]
        end = [ExpTransform()] if isinstance(self.variable, Positive) else []
        law = dist.TransformedDistribution(noise, [*from_noise, AffineTransform(location, scale), *end])
        return cast(TorchDistributionMixin, law)

    def log_prob(self, value: Tensor, parents: Values) -> Tensor:
        features = self.features(parents)
        line, log_slope = self.on_line(value)
        return log_slope + self.flow.given(features, features.shape[:-1]).log_prob(line)

    def initialise(self, value: Tensor, parents: Values) -> None:
        """Start with the location of least squares and noise that does not depend on the parents."""
        self.flow.initialise(self.features(parents).detach(), self.on_line(value)[0])
        self.start = {name: tensor.clone() for name, tensor in self.state_dict().items()}

    @torch.no_grad()
    def finish(self, value: Tensor, parents: Values, held_out: Tensor, held_out_parents: Values) -> None:
        """Return to the start, from all units, unless the trained flow does better on held-out ones.

        Better by a standard error of the mean gain: by less, chance alone leaves the networks of linear ones in place.
        """
        simple = copy.deepcopy(self)
        simple.load_state_dict(self.start)
        gain = self.log_prob(held_out, held_out_parents) - simple.log_prob(held_out, held_out_parents)
        if gain.mean() <= gain.std() / len(gain) ** 0.5:
            self.load_state_dict(self.start)
            everyone = {name: torch.cat([values, held_out_parents[name]]) for name, values in parents.items()}
            self.flow.solve(self.features(everyone), self.on_line(torch.cat([value, held_out]))[0])


@singledispatch
def node_for(variable: object, residual: Spline | LocationScale, hidden: tuple[int, ...]) -> Node:
    """The exact node for a kind of variable."""
    raise ModelError(f"a flow has no node for the variable {variable!r:.80}: take a CausalVAE, or a VAENode for it.")


@node_for.register
def _(variable: Continuous | Positive, residual: Spline | LocationScale, hidden: tuple[int, ...]) -> Node:
    return FlowNode(variable, residual, hidden)


@node_for.register
def _(variable: Binary, residual: Spline | LocationScale, hidden: tuple[int, ...]) -> Node:
    return BernoulliNode(variable, hidden)


@node_for.register
def _(variable: Categorical, residual: Spline | LocationScale, hidden: tuple[int, ...]) -> Node:
    return CategoricalNode(variable, hidden)


@node_for.register
def _(variable: Ordinal, residual: Spline | LocationScale, hidden: tuple[int, ...]) -> Node:
    return OrdinalNode(variable, hidden)


@node_for.register
def _(variable: Count, residual: Spline | LocationScale, hidden: tuple[int, ...]) -> Node:
    return CountNode(variable, hidden)


def _is_width(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) > 0


class CausalFlow(StructuralCausalModel):
    """A flow per variable, conditioned on the variable's parents; so that its noise can be abducted.

    A real variable is ``x = m(pa) + s(pa) T(u; pa)``, monotone in standard normal noise u, a positive one the
    exponential of such a flow; a discrete one has a conditional law whose parameters depend on the parents. Values are
    on the scale of the data, standardisation is inside. Train it with ``causal_pyro_models.fit``.

    Args:
        graph: the causal graph, without bidirected edges.
        variables: the kind of each variable of the graph, such as ``Continuous()`` or ``Categorical(k)``.
        residual: the shape of real variables' noise, ``Spline(...)`` or ``LocationScale()``.
        hidden: widths of the hidden layers of each variable's network.

    Raises:
        ModelError: the graph has bidirected edges, or a variable has no kind, or one that a flow cannot be.
        UnknownVariableError: a kind is given for something that is no variable of the graph.

    References:
        I. Khemakhem, R. Monti, R. Leech, A. Hyvarinen (2021). Causal autoregressive flows. AISTATS.
        A. Javaloy, P. Sanchez-Martin, I. Valera (2023). Causal normalizing flows: from theory to practice. NeurIPS.

    Example:
        >>> import pyro
        >>> from causal_pyro_models.graph import CausalGraph
        >>> model = CausalFlow(CausalGraph(["X", "Y"], [("X", "Y")]), {"X": Binary(), "Y": Continuous()})
        >>> sorted(pyro.poutine.trace(model).get_trace().stochastic_nodes)
        ['X', 'Y']
    """

    def __init__(
        self,
        graph: CausalGraph,
        variables: Mapping[str, Variable | int],
        residual: Spline | LocationScale | None = None,
        hidden: tuple[int, ...] = HIDDEN,
    ) -> None:
        variables = checked_variables(graph, variables)
        check_unconfounded(graph, "CausalFlow")
        residual = Spline() if residual is None else residual
        if not isinstance(residual, Spline | LocationScale):
            raise ModelError(f"residual must be Spline() or LocationScale(), got {residual!r:.80}.")
        if not isinstance(hidden, tuple | list) or not all(_is_width(width) for width in hidden):
            raise ModelError(f"hidden must be a tuple of widths, such as (64,), got {hidden!r:.80}.")
        hidden = tuple(int(width) for width in hidden)
        nodes = {name: node_for(variables[name], residual, hidden) for name in graph.variables}
        super().__init__(graph, nodes)
        self.residual, self.hidden = residual, hidden
        self._flows = {name: node for name, node in nodes.items() if isinstance(node, FlowNode)}

    def log_prob(self, values: Values) -> Tensor:
        self._check_values(values)
        return -reduce(torch.add, self._node_losses(values, 1.0).values())

    def _node_losses(self, values: Values, progress: float) -> dict[str, Tensor]:
        """Each variable's negative log-likelihood, all flows evaluated together."""
        losses = {}
        if self._flows:
            densities = _densities(self._flows, values)
            losses = {name: -density for name, density in zip(self._flows, densities, strict=True)}
        for name in [name for name in self.graph.variables if name not in losses]:
            losses[name] = self.nodes[name].loss(values[name], self._parents(name, values), progress)
        return losses


def _densities(nodes: Mapping[str, FlowNode], values: Values) -> list[Tensor]:
    """Log densities of variables with flows: one run of the conditioners of each width, and one of the splines."""
    lines = {name: node.on_line(values[name]) for name, node in nodes.items()}
    features = {name: node.features(values) for name, node in nodes.items()}
    shapes = (*(line.shape for line, _ in lines.values()), *(f.shape[:-1] for f in features.values()))
    batch = torch.broadcast_shapes(*shapes)
    alike: dict[int, list[str]] = {}
    for name, node in nodes.items():
        alike.setdefault(node.flow.conditioner.width, []).append(name)
    locations: dict[str, Tensor] = {}
    further: dict[str, Tensor] = {}
    for names in alike.values():
        conditioners = [nodes[name].flow.conditioner for name in names]
        inputs = torch.stack([features[name].expand(*batch, -1).reshape(math.prod(batch), -1) for name in names])
        answers = conditioners[0].at(_stacked([c.tensors() for c in conditioners]), inputs)
        locations |= zip(names, answers[0].expand(-1, math.prod(batch)), strict=True)
        further |= zip(names, answers[1].expand(-1, math.prod(batch), -1), strict=True)
    flows = [node.flow for node in nodes.values()]
    together = flows[0].at(
        _stacked([flow.tensors() for flow in flows]),
        torch.stack([locations[name] for name in nodes]),
        torch.stack([further[name] for name in nodes]),
    )
    density = together.log_prob(torch.stack([line.expand(batch).reshape(-1) for line, _ in lines.values()]))
    return [slope + part.reshape(batch) for (_, slope), part in zip(lines.values(), density, strict=True)]


def _stacked(tensors: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors of several modules as ones with a leading dimension, numbers as columns."""
    stacked = {name: torch.stack([each[name] for each in tensors]) for name in tensors[0]}
    return {name: tensor.unsqueeze(-1) if tensor.dim() == 1 else tensor for name, tensor in stacked.items()}
