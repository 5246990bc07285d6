"""The laws that the noise of an additive mechanism may have, each scaled by about its standard deviation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor
from torch.distributions.transforms import AffineTransform

from causal_pyro_models.models.networks.scalar_flow import Spline
from causal_pyro_models.models.registry import register


@dataclass(frozen=True)
class NoiseLaw:
    """A law of the noise; it has ``size`` parameters beside location and scale, which do not depend on the parents."""

    @property
    def size(self) -> int:
        """Number of parameters of the law's shape, zero at the start of a training."""
        return 0

    def law(self, location: Tensor, scale: Tensor, shape: Tensor) -> TorchDistributionMixin:
        """The distribution of the variable, given location and scale ``(...)`` and shape ``(..., size)``."""
        raise NotImplementedError

    def objective(self, value: Tensor, location: Tensor, scale: Tensor, shape: Tensor) -> Tensor:
        """What training raises, ``(...)``: the log density."""
        return cast(Tensor, self.law(location, scale, shape).log_prob(value))

    def slack(self, residual: Tensor) -> Tensor:
        """The factor by which the scale must grow after training for residuals ``(units, ...)``, in units of it."""
        return torch.ones_like(residual[0])


@register
@dataclass(frozen=True)
class Gaussian(NoiseLaw):
    """Normal noise.

    Example:
        >>> zero, one = torch.tensor(0.0), torch.tensor(1.0)
        >>> law = Gaussian().law(zero, one, torch.zeros(0))
        >>> law.log_prob(zero)
        tensor(-0.9189)
    """

    def law(self, location: Tensor, scale: Tensor, shape: Tensor) -> TorchDistributionMixin:
        return _law(dist.Normal(location, scale))


@register
@dataclass(frozen=True)
class Laplace(NoiseLaw):
    """Laplace noise.

    Example:
        >>> zero, one = torch.tensor(0.0), torch.tensor(1.0)
        >>> law = Laplace().law(zero, one, torch.zeros(0))
        >>> law.log_prob(zero)
        tensor(-0.3466)
    """

    def law(self, location: Tensor, scale: Tensor, shape: Tensor) -> TorchDistributionMixin:
        return _law(dist.Laplace(location, scale / math.sqrt(2.0)))


@register
@dataclass(frozen=True)
class Logistic(NoiseLaw):
    """Logistic noise.

    Example:
        >>> zero, one = torch.tensor(0.0), torch.tensor(1.0)
        >>> law = Logistic().law(zero, one, torch.zeros(0))
        >>> law.log_prob(zero)
        tensor(-0.7909)
    """

    def law(self, location: Tensor, scale: Tensor, shape: Tensor) -> TorchDistributionMixin:
        return _law(dist.Logistic(location, scale * math.sqrt(3.0) / math.pi))


@register
@dataclass(frozen=True)
class StudentT(NoiseLaw):
    """Student's t with learned degrees of freedom, above 1 and 4 at the start.

    Example:
        >>> zero, one = torch.tensor(0.0), torch.tensor(1.0)
        >>> law = StudentT().law(zero, one, torch.zeros(1))
        >>> law.log_prob(zero)
        tensor(-0.6343)
    """

    @property
    def size(self) -> int:
        return 1

    def law(self, location: Tensor, scale: Tensor, shape: Tensor) -> TorchDistributionMixin:
        freedom = 1.0 + 3.0 * shape.squeeze(-1).exp()
        return _law(dist.StudentT(freedom, location, scale / math.sqrt(2.0)))


@register
@dataclass(frozen=True)
class Uniform(NoiseLaw):
    """Uniform noise: location and scale are fitted to the first two moments, then the ends to the largest residuals.

    The likelihood itself has no slope that training could follow: it is flat inside the bounds and zero outside. Not
    for variables with hidden causes, whose residuals are not known.

    Example:
        >>> zero, one = torch.tensor(0.0), torch.tensor(1.0)
        >>> law = Uniform().law(zero, one, torch.zeros(0))
        >>> law.log_prob(zero)
        tensor(-1.2425)
    """

    def law(self, location: Tensor, scale: Tensor, shape: Tensor) -> TorchDistributionMixin:
        half = scale * math.sqrt(3.0)
        return _law(dist.Uniform(location - half, location + half))

    def objective(self, value: Tensor, location: Tensor, scale: Tensor, shape: Tensor) -> Tensor:
        return cast(Tensor, dist.Normal(location, scale).log_prob(value))

    def slack(self, residual: Tensor) -> Tensor:
        largest = residual.abs().amax(0) / math.sqrt(3.0)
        return largest * (1.0 + 1e-5)


@register
@dataclass(frozen=True)
class Learned(NoiseLaw):
    """NoiseLaw of any smooth law, learned as a monotone spline of standard normal noise.

    Args:
        spline: its pieces and its range.

    Example:
        >>> zero, one = torch.tensor(0.0), torch.tensor(1.0)
        >>> law = Learned().law(zero, one, torch.zeros(17))
        >>> law.log_prob(zero)
        tensor(-0.9189)
    """

    spline: Spline = Spline(bins=16, bound=4.0)

    @property
    def size(self) -> int:
        return self.spline.size

    def law(self, location: Tensor, scale: Tensor, shape: Tensor) -> TorchDistributionMixin:
        shape = shape.expand(*location.shape, self.size)
        noise = dist.Normal(torch.zeros_like(location), torch.ones_like(location))
        return _law(
            dist.TransformedDistribution(noise, [self.spline.transform(shape).inv, AffineTransform(location, scale)])
        )


def _law(distribution: Any) -> TorchDistributionMixin:
    return cast(TorchDistributionMixin, distribution)
