"""Mechanisms with noise of several parts: mixtures, zero-inflated families, joint distributions."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from torch import Tensor, distributions as td
from torch.distributions import constraints
from zuko.distributions import Joint, Mixture

from causal_pyro_models.errors import EvidenceError, MechanismError
from causal_pyro_models.scm.mechanisms.counts import gate_logits
from causal_pyro_models.scm.mechanisms.discrete import (
    exponential,
    gumbel_argmax,
    gumbel_given_argmax,
    gumbel_law,
    log_probabilities,
    truncated_logistic,
)
from causal_pyro_models.scm.mechanisms.quantiles import cdf_mechanism, in_float64
from causal_pyro_models.scm.mechanisms.registry import (
    Distribution,
    Mechanism,
    checked_value,
    mechanism,
    quantile,
    standard,
    unordered,
)


class JointNoise(dist.TorchDistribution):
    """Independent noises packed in one vector, so that a site has one noise site.

    Args:
        parts: the laws, of one batch shape; each may have any event shape.

    Example:
        >>> noise = JointNoise(dist.Normal(torch.zeros(3), 1.0), dist.Exponential(torch.ones(3, 2)).to_event(1))
        >>> noise.batch_shape, noise.event_shape
        (torch.Size([3]), torch.Size([3]))
        >>> [part.shape for part in noise.split(noise.sample())]
        [torch.Size([3]), torch.Size([3, 2])]
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}

    def __init__(self, *parts: Distribution, validate_args: bool | None = None) -> None:
        self.parts = parts
        self.lengths = [part.event_shape.numel() for part in parts]
        super().__init__(parts[0].batch_shape, torch.Size([sum(self.lengths)]), validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return all(part.has_rsample for part in self.parts)

    @constraints.dependent_property(is_discrete=False, event_dim=1)
    def support(self) -> constraints.Constraint:
        bases = [_elementwise(part.support) for part in self.parts]
        return constraints.independent(constraints.cat(bases, dim=-1, lengths=self.lengths), 1)

    def split(self, noise: Tensor) -> list[Tensor]:
        """The parts of packed noise, each in its own event shape."""
        pieces = noise.split(self.lengths, -1)
        return [v.reshape(v.shape[:-1] + part.event_shape) for v, part in zip(pieces, self.parts, strict=True)]

    def pack(self, *noises: Tensor) -> Tensor:
        """Packed noise from its parts."""
        events = [len(part.event_shape) for part in self.parts]
        return torch.cat([v.reshape(*v.shape[: v.dim() - e], -1) for v, e in zip(noises, events, strict=True)], -1)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.pack(*(part.rsample(torch.Size(sample_shape)) for part in self.parts))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        terms = [part.log_prob(v) for part, v in zip(self.parts, self.split(value), strict=True)]
        return torch.stack(torch.broadcast_tensors(*terms)).sum(0)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "JointNoise":
        parts = (part.expand(torch.Size(batch_shape)) for part in self.parts)
        return JointNoise(*parts, validate_args=self._validate_args)


def _elementwise(constraint: Any) -> constraints.Constraint:
    """The constraint on each number of a noise."""
    while isinstance(constraint, constraints.independent):
        constraint = constraint.base_constraint
    if constraint.event_dim:
        raise MechanismError(f"noise with support {constraint} cannot be packed with others in one vector.")
    elementwise: constraints.Constraint = constraint
    return elementwise


def shared_law(noise: Distribution, right: int = 0) -> Distribution:
    """The law of one component's noise: a noise law without the last batch dimension, which components run along.

    Args:
        noise: a law whose parameters do not change along that dimension, as of any mechanism.
        right: dimensions of the batch to the right of it.
    """
    if isinstance(noise, td.Independent):
        events = noise.reinterpreted_batch_ndims
        return shared_law(noise.base_dist, right + events).to_event(events)
    if isinstance(noise, JointNoise):
        return JointNoise(*(shared_law(part, right) for part in noise.parts))
    parameters = {name: getattr(noise, name) for name in noise.arg_constraints}
    if noise.event_shape or not all(isinstance(p, Tensor) for p in parameters.values()):
        raise MechanismError(f"components with {type(noise).__name__} noise cannot share it in a mixture.")
    first = {name: p.expand(noise.batch_shape).select(-1 - right, 0) for name, p in parameters.items()}
    return type(noise)(**first)


def mixture_mechanism(distribution: Distribution, log_weights: Tensor, components: Distribution) -> Mechanism:
    """Gumbel-max among the components, then the chosen component's own mechanism, on noise that all of them share.

    Args:
        distribution: the mixture.
        log_weights: normalised log weights, of the components' batch shape, float64.
        components: the components along the last batch dimension.
    """
    within, event_dim, size = mechanism(components), len(components.event_shape), log_weights.shape[-1]
    shared = shared_law(within.noise)
    noise = JointNoise(gumbel_law(log_weights), shared)

    def forward(u: Tensor) -> Tensor:
        g, v = noise.split(u)
        every = within.forward(torch.stack([v] * size, -1 - shared.event_dim))
        return _pick(every, gumbel_argmax(log_weights, g), event_dim)

    def abduct(x: Tensor) -> Tensor:
        x = checked_value(distribution, x).unsqueeze(-1 - event_dim)
        log_posterior = log_weights + components.log_prob(x).double()
        if torch.isneginf(log_posterior).all(-1).any():
            raise EvidenceError("a value has probability zero in every component of its mixture.")
        choice = (log_posterior - exponential(log_posterior).log()).argmax(-1)
        chosen = torch.nn.functional.one_hot(choice, size).bool().reshape(*choice.shape, size, *[1] * event_dim)
        extra = choice.shape[: choice.dim() + 1 - len(components.batch_shape)]
        v = within.abduct(torch.where(chosen, x, components.sample(extra)))  # others: any value they can take
        return noise.pack(gumbel_given_argmax(log_weights, choice), _pick(v, choice, shared.event_dim))

    return Mechanism(noise, forward, abduct, bijective=False)


def _pick(values: Tensor, choice: Tensor, event_dim: int) -> Tensor:
    """``values[..., choice, *event]``."""
    dim = values.dim() - 1 - event_dim
    index = choice.reshape(*choice.shape, *[1] * (1 + event_dim))
    shape = torch.broadcast_shapes(index.shape[:dim], values.shape[:dim])
    values, index = values.expand(*shape, *values.shape[dim:]), index.expand(*shape, 1, *values.shape[dim + 1 :])
    return values.gather(len(shape), index).squeeze(len(shape))


@mechanism.register(td.MixtureSameFamily)
def _mixture_same_family(distribution: td.MixtureSameFamily) -> Mechanism:
    components = distribution.component_distribution
    log_weights = log_probabilities(distribution.mixture_distribution).expand(components.batch_shape)
    return mixture_mechanism(distribution, log_weights, components)


@quantile.register(td.MixtureSameFamily)
def _mixture_quantile(distribution: Distribution) -> Mechanism:
    components = distribution.component_distribution
    if components.event_shape or components.support.is_discrete:
        raise unordered(distribution)
    return cdf_mechanism(distribution, in_float64(components).support)


@mechanism.register(dist.MixtureOfDiagNormals)
@mechanism.register(dist.MixtureOfDiagNormalsSharedCovariance)
def _mixture_of_normals(distribution: dist.MixtureOfDiagNormals) -> Mechanism:
    locs = distribution.locs
    scale = distribution.coord_scale
    scale = scale if isinstance(distribution, dist.MixtureOfDiagNormals) else scale.unsqueeze(-2)
    components = dist.Normal(locs, scale.expand_as(locs)).to_event(1)
    log_weights = torch.log_softmax(distribution.component_logits.double(), -1).expand(components.batch_shape)
    return mixture_mechanism(distribution, log_weights, components)


@mechanism.register(Mixture)
def _zuko_mixture(distribution: Mixture) -> Mechanism:
    log_weights = torch.log_softmax(distribution.logits.double(), -1).expand(distribution.base.batch_shape)
    return mixture_mechanism(distribution, log_weights, distribution.base)


@mechanism.register(Joint)
def _zuko_joint(distribution: Joint) -> Mechanism:
    """Independent distributions side by side in one vector."""
    inner = [mechanism(marginal) for marginal in distribution.marginals]
    noise = JointNoise(*(part.noise.expand(distribution.batch_shape) for part in inner))
    values = JointNoise(*(marginal.expand(distribution.batch_shape) for marginal in distribution.marginals))
    return Mechanism(
        noise,
        lambda u: values.pack(*(part.forward(v) for part, v in zip(inner, noise.split(u), strict=True))),
        lambda x: noise.pack(*(part.abduct(v) for part, v in zip(inner, values.split(x), strict=True))),
        all(part.bijective for part in inner),
    )


@mechanism.register(dist.ZeroInflatedDistribution)
def _zero_inflated(distribution: dist.ZeroInflatedDistribution) -> Mechanism:
    """A logistic gate that lets the base distribution through or gives zero; then the base's own mechanism."""
    base, within = distribution.base_dist, mechanism(distribution.base_dist)
    logits = gate_logits(distribution)
    infinity = torch.full_like(logits, math.inf)
    noise = JointNoise(standard(dist.Logistic, logits, 0, 1), within.noise)

    def forward(u: Tensor) -> Tensor:
        e, v = noise.split(u)
        x = within.forward(v)
        return torch.where(e > -logits, torch.zeros_like(x), x)

    def abduct(x: Tensor) -> Tensor:
        x = checked_value(distribution, x, constraints.real)
        chance = torch.ones_like(logits)  # that a zero came from the gate
        if base.support.is_discrete:
            chance = torch.sigmoid(logits - base.log_prob(torch.zeros_like(x)).double())
        gated = (x == 0) & (torch.rand(x.shape, dtype=logits.dtype, device=x.device) < chance)
        low, high = torch.where(gated, -logits, -infinity), torch.where(gated, infinity, -logits)
        behind = base.sample(x.shape[: x.dim() - len(base.batch_shape)])
        return noise.pack(truncated_logistic(low, high), within.abduct(torch.where(gated, behind, x)))

    return Mechanism(noise, forward, abduct, bijective=False)
