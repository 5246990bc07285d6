"""Mechanisms of counts: the smallest integer whose distribution function reaches the noise.

Nothing is tabulated: memory is linear in the batch whatever the size of the counts.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import pyro.distributions as dist
import scipy.special
import torch
from torch import Tensor, distributions as td

from causal_pyro_models.errors import EvidenceError
from causal_pyro_models.scm.density import given_probs
from causal_pyro_models.scm.mechanisms.quantiles import normal_cdf, normal_score, standard_score
from causal_pyro_models.scm.mechanisms.registry import (
    Distribution,
    Mechanism,
    checked_value,
    mechanism,
    quantile,
    unregistered,
)


@dataclass(frozen=True)
class Counts:
    """A distribution over the integers from 0, in float64 and up to the needs of its quantile mechanism.

    Attributes:
        parameters: tensors with the batch shape.
        score: ``score(k, *parameters)``, the normal score of the distribution function at integers ``k >= 0``.
        guess: ``guess(u, *parameters)``, about where a normal score falls; only speed depends on it.
        top: the largest value, inf where there is none, with the batch shape.
        dtype: dtype of the values.
    """

    parameters: tuple[Tensor, ...]
    score: Callable[..., Tensor]
    guess: Callable[..., Tensor]
    top: Tensor
    dtype: torch.dtype


@functools.singledispatch
def counts(distribution: Distribution) -> Counts:
    """The distribution function of a count; dispatches on the distribution's type."""
    raise unregistered(distribution)


@counts.register(td.Poisson)
def _poisson(distribution: td.Poisson) -> Counts:
    rate = distribution.rate.double()
    return Counts(
        (rate,),
        lambda k, rate: normal_score(scipy.special.gammaincc, scipy.special.gammainc, k + 1, rate),
        lambda u, rate: _cornish_fisher(u, rate, rate.sqrt(), rate.rsqrt()),
        torch.full_like(rate, torch.inf),
        distribution.rate.dtype,
    )


@counts.register(td.Binomial)
def _binomial(distribution: td.Binomial) -> Counts:
    total = distribution.total_count.double()
    success, failure = _probabilities(distribution)

    def score(k: Tensor, total: Tensor, success: Tensor, failure: Tensor) -> Tensor:
        left = (total - k).clamp(min=1)
        below = _beta_score(left, k + 1, failure, success)
        return torch.where(k < total, below, torch.inf)

    def guess(u: Tensor, total: Tensor, success: Tensor, failure: Tensor) -> Tensor:
        scale = (total * success * failure).sqrt()
        return _cornish_fisher(u, total * success, scale, (failure - success) / scale)

    total, success, failure = torch.broadcast_tensors(total, success, failure)
    return Counts((total, success, failure), score, guess, total, distribution._param.dtype)


@counts.register(td.NegativeBinomial)
def _negative_binomial(distribution: td.NegativeBinomial) -> Counts:
    return _gamma_poisson(distribution.total_count, *_probabilities(distribution), distribution._param.dtype)


@counts.register(dist.GammaPoisson)
def _gamma_poisson_distribution(distribution: dist.GammaPoisson) -> Counts:
    rate = distribution.rate.double()
    return _gamma_poisson(distribution.concentration, 1 / (1 + rate), rate / (1 + rate), distribution.rate.dtype)


def _gamma_poisson(concentration: Tensor, success: Tensor, failure: Tensor, dtype: torch.dtype) -> Counts:
    def guess(u: Tensor, concentration: Tensor, success: Tensor, failure: Tensor) -> Tensor:
        cdf = normal_cdf(u).clamp(1e-300, 1 - 1e-16).cpu().numpy()
        gamma = scipy.special.gammaincinv(concentration.detach().cpu().numpy(), cdf)
        return torch.as_tensor(gamma, device=u.device) * success / failure

    parameters = torch.broadcast_tensors(concentration.double(), success, failure)
    return Counts(
        parameters,
        lambda k, concentration, success, failure: _beta_score(concentration, k + 1, failure, success),
        guess,
        torch.full_like(parameters[0], torch.inf),
        dtype,
    )


@counts.register(td.Geometric)
def _geometric(distribution: td.Geometric) -> Counts:
    rate = -torch.log1p(-distribution.probs.double())  # P(X > k) = exp(-rate (k + 1))

    def score(k: Tensor, rate: Tensor) -> Tensor:
        log_tail = -rate * (k + 1)
        tail = log_tail.exp()
        return torch.where(tail < 0.5, -torch.special.ndtri(tail), torch.special.ndtri(-torch.expm1(log_tail)))

    return Counts(
        (rate,),
        score,
        lambda u, rate: (-torch.special.log_ndtr(-u) / rate).ceil() - 1,
        torch.full_like(rate, torch.inf),
        distribution.probs.dtype,
    )


@counts.register(dist.ZeroInflatedDistribution)
def _zero_inflated(distribution: dist.ZeroInflatedDistribution) -> Counts:
    base = counts(distribution.base_dist)
    gate = gate_logits(distribution).sigmoid()

    def score(k: Tensor, gate: Tensor, *parameters: Tensor) -> Tensor:
        inner = base.score(k, *parameters)
        low = torch.special.ndtri(gate + (1 - gate) * normal_cdf(inner))
        return torch.where(inner < 0, low, -torch.special.ndtri((1 - gate) * normal_cdf(-inner)))

    return Counts(
        (gate, *base.parameters), score, lambda u, gate, *parameters: base.guess(u, *parameters), base.top, base.dtype
    )


def gate_logits(distribution: dist.ZeroInflatedDistribution) -> Tensor:
    """Log odds of an extra zero in float64; Pyro's lazy conversion would clamp them, and break ``expand``."""
    given: Tensor | None = vars(distribution).get("gate_logits")
    return torch.logit(distribution.gate.double()) if given is None else given.double()


def _probabilities(distribution: Distribution) -> tuple[Tensor, Tensor]:
    """Probabilities of success and failure in float64, both without cancellation."""
    given = given_probs(distribution)
    if given is None:
        logits = distribution.logits.double()
        return torch.sigmoid(logits), torch.sigmoid(-logits)
    probs = given.double()
    return probs, 1 - probs


def _beta_score(a: Tensor, b: Tensor, x: Tensor, rest: Tensor) -> Tensor:
    """Normal score of the Beta(a, b) distribution function at ``x = 1 - rest``."""
    return normal_score(
        lambda a, b, x, rest: scipy.special.betainc(a, b, x),
        lambda a, b, x, rest: scipy.special.betainc(b, a, rest),
        a,
        b,
        x,
        rest,
    )


def _cornish_fisher(u: Tensor, mean: Tensor, scale: Tensor, skewness: Tensor) -> Tensor:
    return mean + scale * (u + skewness * (u.square() - 1) / 6)


def count_mechanism(distribution: Distribution) -> Mechanism:
    """The quantile mechanism ``x = min{k : u <= score(k)}``; the noise is the normal score of the usual uniform.

    Normal scores resolve both tails alike, where a uniform would saturate at 1.
    """
    law = counts(distribution)

    def abduct(x: Tensor) -> Tensor:
        k = checked_value(distribution, x).double()
        below = torch.where(k > 0, law.score((k - 1).clamp(min=0), *law.parameters), -torch.inf)
        return truncated_normal(below, law.score(k, *law.parameters))

    return Mechanism(standard_score(law.top), lambda u: smallest_count(law, u).to(law.dtype), abduct, bijective=False)


for _family in (td.Poisson, td.Binomial, td.NegativeBinomial, td.Geometric, dist.GammaPoisson):
    mechanism.register(_family, count_mechanism)
    quantile.register(_family, count_mechanism)
quantile.register(dist.ZeroInflatedDistribution, count_mechanism)


def truncated_normal(lower: Tensor, upper: Tensor) -> Tensor:
    """A draw of standard normal noise from ``(lower, upper]``, accurate in both tails."""
    if not (lower < upper).all():
        raise EvidenceError("a value has probability zero, to float64, under the parameters of its site.")
    flip = lower + upper > 0  # work in the lower tail
    a = normal_cdf(torch.where(flip, -upper, lower))
    b = normal_cdf(torch.where(flip, -lower, upper))
    u = torch.special.ndtri(a + torch.rand_like(a).clamp_(min=2.0**-54) * (b - a))
    return torch.minimum(torch.maximum(torch.where(flip, -u, u), torch.nextafter(lower, upper)), upper)


def smallest_count(law: Counts, u: Tensor) -> Tensor:
    """The smallest integer whose score is at least ``u``: steps of growing size from a guess, then bisection."""
    u, top, *parameters = torch.broadcast_tensors(u.detach().double(), law.top, *law.parameters)
    shape = u.shape
    u, top, *parameters = (t.reshape(-1) for t in (u, top, *parameters))
    k = torch.minimum(law.guess(u, *parameters).round().nan_to_num(0.0).clamp(min=0), top)
    answer, active, step = torch.empty_like(u), torch.arange(len(u), device=u.device), 1.0
    low, high = torch.full_like(u, -1.0), top  # score(low) < u <= score(high)
    while len(active):
        reached = law.score(k, *parameters) >= u
        high, low = torch.where(reached, k, high), torch.where(reached, low, k)
        walk = torch.where(reached, k - step, k + step)
        k = torch.where((low >= 0) & (high < top), ((low + high) / 2).floor(), walk).clamp(min=low + 1, max=high - 1)
        found = ~(high - low > 1)
        answer[active[found]] = high[found]
        active, u, top, k, low, high, *parameters = (t[~found] for t in (active, u, top, k, low, high, *parameters))
        step *= 2
    return answer.reshape(shape)
