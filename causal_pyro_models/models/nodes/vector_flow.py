"""Vectors as autoregressive flows: each coordinate a monotone flow given the parents and the coordinates before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn
from torch.distributions import constraints
from torch.distributions.transforms import Transform

from causal_pyro_models.data.batches import Values
from causal_pyro_models.data.variables import Continuous, Variable
from causal_pyro_models.errors import DataError, ModelError
from causal_pyro_models.models.networks.features import encoded
from causal_pyro_models.models.networks.preparation import Prepare, unprepared
from causal_pyro_models.models.networks.scalar_flow import (
    FlowParameters,
    LocationScale,
    ScalarFlow,
    Spline,
    initialise_flows,
)
from causal_pyro_models.models.node import Node
from causal_pyro_models.models.registry import register

WIDE = 30  # coordinates; a longer vector is not trained beyond its start, which takes 10 s of 100 of them
LONGEST = 200  # coordinates


class Autoregressive(Transform):
    """The map from the noise of a vector to its value, a coordinate after the other.

    Args:
        flows: of each coordinate, given the features and the coordinates before it.
        features: ``(..., width)``.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, flows: Sequence[ScalarFlow], features: Tensor) -> None:
        super().__init__()
        self.flows, self.features = flows, features

    def _given(self, before: Sequence[Tensor], batch: torch.Size) -> FlowParameters:
        """The flow of the next coordinate, after those before it ``(*batch,)`` each."""
        flow = self.flows[len(before)]
        if not flow.conditioner.width:
            return flow.given(self.features, ())
        seen = self.features.expand(*batch, self.features.shape[-1])
        return flow.given(torch.cat([seen, *(x.unsqueeze(-1) for x in before)], -1), batch)

    def _call(self, noise: Tensor) -> Tensor:
        value: list[Tensor] = []
        for part in noise.unbind(-1):
            value.append(self._given(value, part.shape).from_noise(part))
        return torch.stack(value, -1)

    def to_noise(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """The noise behind vectors ``(..., dim)``, and the logarithm of its determinant."""
        batch = torch.broadcast_shapes(value.shape[:-1], self.features.shape[:-1])
        parts = value.expand(*batch, value.shape[-1]).unbind(-1)
        pairs = [self._given(parts[:i], batch).to_noise(part) for i, part in enumerate(parts)]
        log_slope = torch.stack([slope.expand(batch) for _, slope in pairs], -1).sum(-1)
        return torch.stack([noise for noise, _ in pairs], -1), log_slope

    def _inverse(self, value: Tensor) -> Tensor:
        return self.to_noise(value)[0]

    def log_abs_det_jacobian(self, noise: Tensor, value: Tensor) -> Tensor:
        return -self.to_noise(value)[1]


@register
class VectorFlowNode(Node):
    """A real vector as an autoregressive flow of standard normal noise, its parameters functions of the parents.

    The noise enters coordinate by coordinate, in their order; another order of the coordinates is another model of the
    counterfactuals, though it may have the same distribution. Of more than 30 coordinates, locations, scales and
    shapes of the noise are regressions in closed form, which no training follows.

    Args:
        variable: ``Continuous(dim)``, of at most 200 coordinates.
        residual: the shape of the noise, ``Spline(...)`` or ``LocationScale()``.
        hidden: widths of the hidden layers.

    Raises:
        ModelError: there are more coordinates.

    References:
        G. Papamakarios, T. Pavlakou, I. Murray (2017). Masked autoregressive flow for density estimation. NeurIPS.

    Example:
        >>> node = VectorFlowNode(Continuous(2), hidden=(4,))
        >>> node.connect({})
        >>> node.distribution({}).event_shape
        torch.Size([2])
    """

    flows: nn.ModuleList

    def __init__(
        self,
        variable: Continuous,
        residual: Spline | LocationScale = Spline(),
        hidden: tuple[int, ...] = (64, 64),
    ) -> None:
        super().__init__(variable)
        if variable.width > LONGEST:
            raise ModelError(
                f"a flow takes the numbers of a vector one after the other, at most {LONGEST} of them, and {variable} "
                f"has {variable.width}: take a CausalVAE, or a VAENode for this variable."
            )
        self.residual, self.hidden = residual, hidden

    def connect(self, parents: Mapping[str, Variable]) -> None:
        self.parents = dict(parents)
        width = sum(v.width for v in parents.values())
        self.flows = nn.ModuleList(
            ScalarFlow(width + i, self.residual, self.hidden) for i in range(self.variable.width)
        )

    @property
    def settled(self) -> bool:
        return self._wide or all(cast(ScalarFlow, flow).settled for flow in self.flows)

    @property
    def _wide(self) -> bool:
        return self.variable.width > WIDE

    def transform(self, parents: Values) -> Autoregressive:
        """The map from noise to value given the parents' values."""
        flows = cast("list[ScalarFlow]", list(self.flows))
        return Autoregressive(flows, encoded(self.parents, parents, flows[0].mean.dtype))

    def distribution(self, parents: Values) -> TorchDistributionMixin:
        transform = self.transform(parents)
        zeros = transform.features.new_zeros(*transform.features.shape[:-1], self.variable.width)
        noise = dist.Normal(zeros, torch.ones_like(zeros)).to_event(1)
        return cast(TorchDistributionMixin, dist.TransformedDistribution(noise, [transform]))

    def log_prob(self, value: Tensor, parents: Values) -> Tensor:
        noise, log_slope = self.transform(parents).to_noise(value)
        return cast(Tensor, log_slope + dist.Normal(torch.zeros_like(noise), 1.0).log_prob(noise).sum(-1))

    def initialise(self, value: Tensor, parents: Values) -> None:
        self.start(value, parents, unprepared)

    @torch.no_grad()
    def start(self, value: Tensor, parents: Values, prepare: Prepare) -> None:
        """Start with the location of least squares and noise that does not depend on the parents, per coordinate.

        Raises:
            DataError: a coordinate is constant.
        """
        if bool((still := (value == value[:1]).all(0)).any()):
            raise DataError(f"coordinate {int(still.int().argmax())} of a vector is constant: leave it out.")
        features, parts = zip(*self._parts(value, parents), strict=True)
        flows = cast("list[ScalarFlow]", list(self.flows))
        initialise_flows(flows, features, parts, unprepared if self._wide else prepare)

    @torch.no_grad()
    def finish(self, value: Tensor, parents: Values, held_out: Tensor, held_out_parents: Values) -> None:
        """Return coordinates to their start, from all units, unless trained flows do better on held-out ones."""
        if self._wide:
            return
        parts = zip(self._parts(value, parents), self._parts(held_out, held_out_parents), strict=True)
        for flow, (seen, unseen) in zip(self.flows, parts, strict=True):
            cast(ScalarFlow, flow).keep_if_better(*seen, *unseen)

    def _parts(self, value: Tensor, parents: Values) -> list[tuple[Tensor, Tensor]]:
        """Features ``(units, width)``, ``(0,)`` where there are none, and values ``(units,)`` of each coordinate."""
        features = self.transform(parents).features
        if not features.numel():
            features = features.new_empty(len(value), 0)
        parts = [(torch.cat([features, value[:, :i]], -1), part) for i, part in enumerate(value.unbind(-1))]
        return [(seen if seen.shape[-1] else seen.new_empty(0), part) for seen, part in parts]
