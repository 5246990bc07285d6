"""Mechanisms of continuous families: closed forms, location-scale families above all."""

from collections.abc import Callable

import pyro.distributions as dist
import torch
from torch import Tensor, distributions as td
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli
from torch.distributions.relaxed_categorical import ExpRelaxedCategorical

from causal_pyro_models.errors import MechanismError
from causal_pyro_models.scm.mechanisms.discrete import gumbel_law
from causal_pyro_models.scm.mechanisms.quantiles import finite, standard_score
from causal_pyro_models.scm.mechanisms.registry import Distribution, Mechanism, checked_value, mechanism, standard


def _location_scale(family: Callable[..., Distribution]) -> Callable[[Distribution], Mechanism]:
    def build(distribution: Distribution) -> Mechanism:
        loc, scale = distribution.loc, distribution.scale
        return Mechanism(
            standard(family, loc, 0, 1),
            lambda u: (loc + scale * u).to(loc.dtype),
            lambda x: (checked_value(distribution, x) - loc) / scale,
        )

    return build


mechanism.register(td.Normal, _location_scale(dist.Normal))
mechanism.register(td.Laplace, _location_scale(dist.Laplace))
mechanism.register(td.Cauchy, _location_scale(dist.Cauchy))
mechanism.register(td.Gumbel, _location_scale(dist.Gumbel))
mechanism.register(dist.Logistic, _location_scale(dist.Logistic))
mechanism.register(dist.SoftLaplace, _location_scale(dist.SoftLaplace))


@mechanism.register(td.HalfNormal)
def _half_normal(distribution: td.HalfNormal) -> Mechanism:
    """A scale family; the AbsTransform that torch builds it with is not invertible."""
    return _scale(distribution, standard(dist.HalfNormal, distribution.scale, 1), distribution.scale)


@mechanism.register(td.HalfCauchy)
def _half_cauchy(distribution: td.HalfCauchy) -> Mechanism:
    return _scale(distribution, standard(dist.HalfCauchy, distribution.scale, 1), distribution.scale)


@mechanism.register(td.Exponential)
def _exponential(distribution: td.Exponential) -> Mechanism:
    return _scale(distribution, standard(dist.Exponential, distribution.rate, 1), 1 / distribution.rate)


def _scale(distribution: Distribution, noise: Distribution, scale: Tensor) -> Mechanism:
    return Mechanism(noise, lambda u: (scale * u).to(scale.dtype), lambda x: checked_value(distribution, x) / scale)


@mechanism.register(td.Uniform)
def _uniform(distribution: td.Uniform) -> Mechanism:
    low, width = distribution.low, distribution.high - distribution.low
    return Mechanism(
        standard(dist.Uniform, low, 0, 1),
        lambda u: (low + width * u).to(low.dtype),
        lambda x: ((checked_value(distribution, x) - low) / width).clamp(0, 1),
    )


@mechanism.register(td.MultivariateNormal)
@mechanism.register(td.LowRankMultivariateNormal)
def _multivariate_normal(distribution: td.MultivariateNormal) -> Mechanism:
    loc, scale_tril = distribution.loc, distribution.scale_tril
    return Mechanism(
        standard(dist.Normal, loc, 0, 1).to_event(1),
        lambda u: (loc + (scale_tril.to(u.dtype) @ u.unsqueeze(-1)).squeeze(-1)).to(loc.dtype),
        lambda x: torch.linalg.solve_triangular(
            scale_tril, (checked_value(distribution, x) - loc).unsqueeze(-1), upper=False
        ).squeeze(-1),
    )


@mechanism.register(td.Kumaraswamy)
def _kumaraswamy(distribution: td.Kumaraswamy) -> Mechanism:
    """``x = (1 - exp(-e / b))^(1 / a)`` of exponential noise, without cancellation near 0."""
    a, b = distribution.concentration1.double(), distribution.concentration0.double()
    dtype = distribution.concentration1.dtype
    return Mechanism(
        standard(dist.Exponential, a, 1),
        lambda e: (-torch.expm1(-e / b)).pow(1 / a).to(dtype),
        lambda x: -b * (-torch.expm1(a * checked_value(distribution, x).double().log())).log(),
    )


@mechanism.register(td.GeneralizedPareto)
def _generalized_pareto(distribution: td.GeneralizedPareto) -> Mechanism:
    """``x = loc + scale (exp(c e) - 1) / c`` of exponential noise, which is ``loc + scale e`` at ``c = 0``."""
    loc, scale, c = (p.double() for p in (distribution.loc, distribution.scale, distribution.concentration))
    flat = c.abs() < 1e-5
    safe = torch.where(flat, 1.0, c)

    def forward(e: Tensor) -> Tensor:
        series = e * (1 + c * e / 2 * (1 + c * e / 3))
        return (loc + scale * torch.where(flat, series, torch.expm1(safe * e) / safe)).to(distribution.loc.dtype)

    def abduct(x: Tensor) -> Tensor:
        z = (checked_value(distribution, x) - loc) / scale
        return torch.where(flat, z * (1 - c * z / 2 * (1 - c * z * 2 / 3)), torch.log1p(safe * z) / safe)

    return Mechanism(standard(dist.Exponential, loc, 1), forward, abduct)


@mechanism.register(dist.AsymmetricLaplace)
def _asymmetric_laplace(distribution: dist.AsymmetricLaplace) -> Mechanism:
    """The normal score; both tails have their closed form."""
    loc, left, right = (p.double() for p in (distribution.loc, distribution.left_scale, distribution.right_scale))
    log_left, log_right = (left / (left + right)).log(), (right / (left + right)).log()

    def forward(u: Tensor) -> Tensor:
        below = left * (torch.special.log_ndtr(u) - log_left).clamp(max=0)
        above = right * (log_right - torch.special.log_ndtr(-u)).clamp(min=0)
        x: Tensor = loc + below + above
        return x.to(distribution.loc.dtype)

    def abduct(x: Tensor) -> Tensor:
        z = checked_value(distribution, x) - loc
        low = torch.special.ndtri((log_left + z.clamp(max=0) / left).exp())
        high = -torch.special.ndtri((log_right - z.clamp(min=0) / right).exp())
        return finite(torch.where(z < 0, low, high))

    return Mechanism(standard_score(loc), forward, abduct)


@mechanism.register(LogitRelaxedBernoulli)
def _logit_relaxed_bernoulli(distribution: LogitRelaxedBernoulli) -> Mechanism:
    logits, temperature = distribution.logits, distribution.temperature
    return Mechanism(
        standard(dist.Logistic, logits, 0, 1),
        lambda e: ((logits + e) / temperature).to(logits.dtype),
        lambda x: checked_value(distribution, x) * temperature - logits,
    )


@mechanism.register(ExpRelaxedCategorical)
def _relaxed_categorical(distribution: ExpRelaxedCategorical) -> Mechanism:
    """Gumbel noise, known from the value up to a common shift whose posterior is the log of a Gamma."""
    logits, temperature = distribution.logits.double(), distribution.temperature.double().unsqueeze(-1)

    def abduct(x: Tensor) -> Tensor:
        g = checked_value(distribution, x) * temperature - logits
        total = dist.Gamma(torch.full_like(g[..., 0], g.shape[-1]), 1.0).sample()
        return g + torch.logsumexp(-g, -1, keepdim=True) - total.log().unsqueeze(-1)

    return Mechanism(
        gumbel_law(logits),
        lambda g: torch.log_softmax((logits + g) / temperature, -1).to(distribution.logits.dtype),
        abduct,
        bijective=False,
    )


@mechanism.register(dist.RelaxedBernoulliStraightThrough)
@mechanism.register(dist.RelaxedOneHotCategoricalStraightThrough)
def _straight_through(distribution: Distribution) -> Mechanism:
    raise MechanismError(
        f"{type(distribution).__name__} draws discrete values under a continuous density, so its noise is not defined. "
        f"Use the discrete family or the relaxed one."
    )
