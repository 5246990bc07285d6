"""Causal flows: every variable a monotone transformation of its own noise, given its parents."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import singledispatch
from numbers import Integral, Real
from typing import Any, NamedTuple, cast

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn
from torch.distributions.transforms import AffineTransform, Transform
from zuko.transforms import IdentityTransform, MonotonicRQSTransform

from causal_pyro_models.errors import ModelError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models.conditioner import Conditioner
from causal_pyro_models.models.structural import Node, StructuralCausalModel, check_unconfounded, checked_variables
from causal_pyro_models.models.variables import Binary, Categorical, Continuous, Variable

MAX_LOG_SCALE = 7.0  # how far the parents may move the logarithm of a scale
SHAPE_GAIN = 0.1  # the parents' say in the spline, damped: undamped it overfits a few thousand rows
CONSTANT_SCALE = 0.4  # share of the training in which the scale does not depend on the parents
MIN_SLOPE = 0.05  # of a spline's pieces: keeps the round trip below 1e-5 in float32
RIDGE = 1e-3  # on the logistic regression that discrete nodes start from


@dataclass(frozen=True)
class LocationScale:
    """x = m(pa) + s(pa) u."""

    size = 0  # parameters per unit

    def transform(self, parameters: Tensor) -> Transform:
        """The map from the residual (x - m) / s to the noise."""
        identity: Transform = IdentityTransform()
        return identity


@dataclass(frozen=True)
class Spline:
    """x = m(pa) + s(pa) T(u; pa) where the inverse of T is a monotone rational-quadratic spline with identity tails.

    Args:
        bins: pieces of the spline.
        bound: the residual, in units of s, beyond which the spline is the identity.

    Raises:
        ModelError: fewer than two bins, or a bound that is not positive.

    References:
        C. Durkan, A. Bekasov, I. Murray, G. Papamakarios (2019). Neural spline flows. NeurIPS.
    """

    bins: int = 8
    bound: float = 4.0

    def __post_init__(self) -> None:
        numbers = isinstance(self.bins, Integral) and isinstance(self.bound, Real)
        if not (numbers and self.bins >= 2 and 0 < self.bound < math.inf):
            raise ModelError(f"a spline needs at least 2 bins and a positive bound, got {self}.")
        object.__setattr__(self, "bins", int(self.bins))
        object.__setattr__(self, "bound", float(self.bound))

    @property
    def size(self) -> int:
        """Parameters per unit."""
        return 3 * self.bins - 1

    def transform(self, parameters: Tensor) -> Transform:
        """The map from the residual (x - m) / s to the noise."""
        widths, heights, derivatives = parameters.tensor_split((self.bins, 2 * self.bins), -1)
        spline: Transform = MonotonicRQSTransform(widths, heights, derivatives, bound=self.bound, slope=MIN_SLOPE)
        return spline


class FlowParameters(NamedTuple):
    """Location and scale ``(...)`` and residual shape ``(..., residual.size)`` of a flow."""

    location: Tensor
    scale: Tensor
    shape: Tensor

    def log_prob(self, value: Tensor, residual: Spline | LocationScale) -> Tensor:
        """Log density of values: the distribution's own, with the spline evaluated once and in its fast direction."""
        to_noise: Any = residual.transform(self.shape)  # zuko adds call_and_ladj to every transform
        noise, log_slope = to_noise.call_and_ladj((value - self.location) / self.scale)
        return cast(Tensor, log_slope - self.scale.log() - 0.5 * noise.square() - 0.5 * math.log(2 * math.pi))


class FlowNode(Node):
    """A real variable as a monotone flow of standard normal noise, its parameters functions of the parents.

    Args:
        variable: a real variable.
        residual: the shape of the noise, ``Spline(...)`` or ``LocationScale()``.
        hidden: widths of the hidden layers.
    """

    conditioner: Conditioner
    mean: Tensor
    sd: Tensor

    def __init__(
        self,
        variable: Continuous = Continuous(),
        residual: Spline | LocationScale = Spline(),
        hidden: tuple[int, ...] = (32, 32),
    ) -> None:
        super().__init__(variable)
        self.residual, self.hidden = residual, hidden
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("sd", torch.ones(()))

    def connect(self, parents: Mapping[str, Variable]) -> None:
        self.conditioner = Conditioner(parents, 2 + self.residual.size, self.hidden)

    def parameters_given(self, parents: Mapping[str, Tensor], progress: float = 1.0) -> FlowParameters:
        """The flow's parameters given the parents' values."""
        linear, change = self.conditioner(parents)
        log_scale = linear[..., 1]
        if progress >= CONSTANT_SCALE:
            log_scale = log_scale + MAX_LOG_SCALE * torch.tanh(change[..., 1] / MAX_LOG_SCALE)
        location = self.mean + self.sd * (linear[..., 0] + change[..., 0])
        return FlowParameters(location, self.sd * log_scale.exp(), linear[..., 2:] + SHAPE_GAIN * change[..., 2:])

    def distribution(self, parents: Mapping[str, Tensor]) -> TorchDistributionMixin:
        location, scale, shape = self.parameters_given(parents)
        noise = dist.Normal(torch.zeros_like(location), torch.ones_like(location))
        from_noise = [self.residual.transform(shape).inv, AffineTransform(location, scale)]
        return cast(TorchDistributionMixin, dist.TransformedDistribution(noise, from_noise))

    def log_prob(self, value: Tensor, parents: Mapping[str, Tensor]) -> Tensor:
        return self.parameters_given(parents).log_prob(value, self.residual)

    def loss(self, value: Tensor, parents: Mapping[str, Tensor], progress: float) -> Tensor:
        return -self.parameters_given(parents, progress).log_prob(value, self.residual)

    def finish(self, *data: Any) -> None:
        self.keep_if_better(*data)

    @torch.no_grad()
    def initialise(self, value: Tensor, parents: Mapping[str, Tensor]) -> None:
        """Start as the linear-Gaussian model of least squares."""
        self.mean.copy_(value.mean())
        self.sd.copy_(value.std())
        self.conditioner.initialise(parents)
        residual = ((value - self.mean) / self.sd).double().cpu()
        if parents:
            features = self.conditioner.features(parents).double().cpu()
            slope = torch.linalg.lstsq(features, residual.unsqueeze(-1), driver="gelsd").solution.squeeze(-1)
            self.conditioner.slope[0] = slope.to(self.mean)
            residual = residual - features @ slope
        self.conditioner.bias[1] = residual.std().clamp_min(1e-5).log().to(self.mean)


class _DiscreteNode(Node):
    """A discrete variable with logits that are functions of the parents."""

    conditioner: Conditioner
    outputs: int  # number of logits

    def __init__(self, variable: Binary | Categorical, hidden: tuple[int, ...] = (32, 32)) -> None:
        super().__init__(variable)
        self.hidden = hidden

    def connect(self, parents: Mapping[str, Variable]) -> None:
        self.conditioner = Conditioner(parents, self.outputs, self.hidden)

    def finish(self, *data: Any) -> None:
        self.keep_if_better(*data)

    def law(self, logits: Tensor) -> TorchDistributionMixin:
        """The distribution with these logits, ``(..., outputs)``."""
        raise NotImplementedError

    def distribution(self, parents: Mapping[str, Tensor]) -> TorchDistributionMixin:
        linear, change = self.conditioner(parents)
        return self.law(linear + change)

    def initialise(self, value: Tensor, parents: Mapping[str, Tensor]) -> None:
        """Start as a logistic regression."""
        conditioner = self.conditioner
        conditioner.initialise(parents)
        features = conditioner.features(parents).detach()
        slope, bias = nn.Parameter(conditioner.slope.clone()), nn.Parameter(conditioner.bias.detach().clone())
        optimiser: Any = torch.optim.LBFGS([slope, bias], max_iter=100, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimiser.zero_grad()
            fit = self.law(bias + features @ slope.T).log_prob(value).mean()
            loss: Tensor = RIDGE * (slope.square().sum() + bias.square().sum()) - fit
            torch.autograd.backward(loss)
            return loss

        with torch.enable_grad():
            optimiser.step(closure)
        with torch.no_grad():
            conditioner.slope.copy_(slope)
            conditioner.bias.copy_(bias)


class BernoulliNode(_DiscreteNode):
    """A binary variable with a log-odds that is a function of the parents."""

    outputs = 1

    def __init__(self, variable: Binary = Binary(), hidden: tuple[int, ...] = (32, 32)) -> None:
        super().__init__(variable, hidden)

    def law(self, logits: Tensor) -> TorchDistributionMixin:
        return cast(TorchDistributionMixin, dist.Bernoulli(logits=logits.squeeze(-1)))


class CategoricalNode(_DiscreteNode):
    """A categorical variable with logits that are functions of the parents."""

    def __init__(self, variable: Categorical, hidden: tuple[int, ...] = (32, 32)) -> None:
        super().__init__(variable, hidden)
        self.outputs = variable.k

    def law(self, logits: Tensor) -> TorchDistributionMixin:
        return cast(TorchDistributionMixin, dist.Categorical(logits=logits))


@singledispatch
def node_for(variable: object, residual: Spline | LocationScale, hidden: tuple[int, ...]) -> Node:
    """The exact node for a kind of variable."""
    raise NotImplementedError


@node_for.register
def _(variable: Continuous, residual: Spline | LocationScale, hidden: tuple[int, ...]) -> Node:
    return FlowNode(variable, residual, hidden)


@node_for.register
def _(variable: Binary, residual: Spline | LocationScale, hidden: tuple[int, ...]) -> Node:
    return BernoulliNode(variable, hidden)


@node_for.register
def _(variable: Categorical, residual: Spline | LocationScale, hidden: tuple[int, ...]) -> Node:
    return CategoricalNode(variable, hidden)


def _is_width(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) > 0


class CausalFlow(StructuralCausalModel):
    """A flow per variable, conditioned on the variable's parents; so that its noise can be abducted.

    A real variable is ``x = m(pa) + s(pa) T(u; pa)``, monotone in standard normal noise u; a discrete one is Bernoulli
    or categorical with logits that depend on the parents. Values are on the scale of the data, standardisation is
    inside. Train it with ``causal_pyro_models.fit``.

    Args:
        graph: the causal graph, without bidirected edges.
        variables: ``Continuous()``, ``Binary()`` or ``Categorical(k)`` for each variable of the graph.
        residual: the shape of real variables' noise, ``Spline(...)`` or ``LocationScale()``.
        hidden: widths of the hidden layers of each variable's network.

    Raises:
        ModelError: the graph has bidirected edges, or a variable has no kind.
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
        variables: Mapping[str, Variable],
        residual: Spline | LocationScale | None = None,
        hidden: tuple[int, ...] = (32, 32),
    ) -> None:
        variables = checked_variables(graph, variables)
        check_unconfounded(graph, "CausalFlow")
        residual = Spline() if residual is None else residual
        if not isinstance(residual, Spline | LocationScale):
            raise ModelError(f"residual must be Spline() or LocationScale(), got {residual!r:.80}.")
        if not isinstance(hidden, tuple | list) or not all(_is_width(width) for width in hidden):
            raise ModelError(f"hidden must be a tuple of widths, such as (32, 32), got {hidden!r:.80}.")
        hidden = tuple(int(width) for width in hidden)
        nodes = {name: node_for(variables[name], residual, hidden) for name in graph.variables}
        super().__init__(graph, nodes)
        self.residual, self.hidden = residual, hidden

    def _node_losses(self, values: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
        """Each variable's negative log-likelihood, all real variables' splines evaluated together."""
        losses, flows = {}, {}
        for name, node in self.nodes.items():
            if isinstance(node, FlowNode):
                flows[name] = node.parameters_given(self._parents(name, values), progress)
            else:
                losses[name] = node.loss(values[name], self._parents(name, values), progress)
        if flows:
            value = torch.stack([values[name] for name in flows])
            units = value.shape[1:]
            stacked = FlowParameters(
                torch.stack([flow.location.expand(units) for flow in flows.values()]),
                torch.stack([flow.scale.expand(units) for flow in flows.values()]),
                torch.stack([flow.shape.expand(*units, -1) for flow in flows.values()]),
            )
            losses |= zip(flows, -stacked.log_prob(value, self.residual), strict=True)
        return losses
