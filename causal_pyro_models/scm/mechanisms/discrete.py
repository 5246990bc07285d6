"""Mechanisms of discrete families: thresholds of a logistic, and Gumbel-max.

The noise is kept in float64, so that the value that was observed comes back in every draw.
"""

import math

import pyro.distributions as dist
import torch
from torch import Tensor, distributions as td
from torch.nn.functional import logsigmoid, one_hot

from causal_pyro_models.errors import EvidenceError
from causal_pyro_models.scm.density import given_probs
from causal_pyro_models.scm.mechanisms.registry import (
    Distribution,
    Mechanism,
    checked_value,
    in_blocks,
    mechanism,
    quantile,
    standard,
)

FEW = 8  # categories


def exponential(like: Tensor) -> Tensor:
    """Standard exponential noise of the shape of a tensor, in float64 and positive; faster than ``exponential_``."""
    draw = torch.rand(like.shape, dtype=torch.float64, device=like.device)
    return draw.clamp_(min=2.0**-54).neg_().log1p_().neg_()


def truncated_logistic(lower: Tensor, upper: Tensor) -> Tensor:
    """A draw of standard logistic noise from ``(lower, upper]``, in float64 and accurate in both tails."""
    if not (lower < upper).all():
        raise EvidenceError("a value has probability zero under the parameters of its site.")
    flip = lower + upper > 0  # work in the lower tail
    a, b = torch.where(flip, -upper, lower), torch.where(flip, -lower, upper)
    ratio = (logsigmoid(a) - logsigmoid(b)).exp()
    v = torch.rand_like(ratio).clamp_(min=2.0**-54)
    log_cdf = logsigmoid(b) + (ratio + v * (1 - ratio)).log()
    e = log_cdf - (-torch.expm1(log_cdf)).log()
    e = torch.where(flip, -e, e)
    return torch.minimum(torch.maximum(e, torch.nextafter(lower, upper)), upper)


def log_probabilities(distribution: Distribution) -> Tensor:
    """Log probabilities; a probability of zero stays zero, torch would clamp it."""
    given = given_probs(distribution)
    log_weights: Tensor = distribution.logits if given is None else given.double().log()
    return log_weights


def _thresholds(distribution: Distribution, cuts: Tensor, dtype: torch.dtype) -> Mechanism:
    """The ordered mechanism ``y = #{k : e > cut_k}`` of logistic noise, for cuts of shape ``(..., K - 1)``, float64."""
    edge = torch.full_like(cuts[..., :1], math.inf)
    edges = torch.cat([-edge, cuts, edge], -1)

    def abduct(y: Tensor) -> Tensor:
        index = checked_value(distribution, y).long().unsqueeze(-1)
        every = edges.expand(*index.shape[:-1], edges.shape[-1])
        return truncated_logistic(every.gather(-1, index).squeeze(-1), every.gather(-1, index + 1).squeeze(-1))

    return Mechanism(
        standard(dist.Logistic, edge.squeeze(-1), 0, 1),
        lambda e: (e.unsqueeze(-1) > cuts).sum(-1).to(dtype),
        abduct,
        bijective=False,
    )


def logistic_given_sign(logits: Tensor, positive: Tensor) -> Tensor:
    """A draw of standard logistic noise ``e``, in float64, given whether ``e > -logits``."""
    logits = logits.double()
    sign = positive.double().mul_(2).sub_(1)
    log_tail = logsigmoid(sign * logits).sub_(exponential(sign))  # of the noise, in the tail that it is in
    if torch.isneginf(log_tail).any():
        raise EvidenceError("a value has probability zero under the parameters of its site.")
    e = torch.expm1(log_tail).neg_().log_().sub_(log_tail).mul_(sign)
    if ((e > -logits) != positive).any():  # by rounding
        above = torch.nextafter(-logits, e.new_tensor(math.inf))
        e = torch.where(positive, torch.maximum(e, above), torch.minimum(e, -logits))
    return e


@quantile.register(td.Bernoulli)
@mechanism.register(td.Bernoulli)
def _bernoulli(distribution: td.Bernoulli) -> Mechanism:
    """The logistic threshold ``y = 1[e > -logit]``: the monotone mechanism, and Gumbel-max with two categories."""
    given = given_probs(distribution)
    logits = distribution.logits if given is None else torch.logit(given.double())
    return Mechanism(
        standard(dist.Logistic, logits, 0, 1, dtype=torch.float64),
        lambda e: (e > -logits).to(distribution._param.dtype),
        lambda y: in_blocks(logistic_given_sign, 0, logits, checked_value(distribution, y) == 1),
        bijective=False,
    )


@quantile.register(dist.OrderedLogistic)
@mechanism.register(dist.OrderedLogistic)
def _ordered_logistic(distribution: dist.OrderedLogistic) -> Mechanism:
    """The latent-variable reading of the model: ``predictor + e`` against the cutpoints, ``e`` logistic."""
    cuts = distribution.cutpoints.double() - distribution.predictor.double().unsqueeze(-1)
    return _thresholds(distribution, cuts, torch.int64)


@quantile.register(td.Categorical)
def _categorical_quantile(distribution: td.Categorical) -> Mechanism:
    """Logistic noise against the cumulative log odds of the categories in their order."""
    log_weights = log_probabilities(distribution).double()
    below = log_weights.logcumsumexp(-1)[..., :-1]
    above = log_weights.flip(-1).logcumsumexp(-1).flip(-1)[..., 1:]
    return _thresholds(distribution, below - above, torch.int64)


def gumbel_argmax(log_weights: Tensor, g: Tensor) -> Tensor:
    """The category that Gumbel noise ``(..., K)`` leads to."""
    return in_blocks(lambda w, g: _argmax(w + g), 1, log_weights, g)


def _argmax(score: Tensor) -> Tensor:
    """The argmax over the last dimension, column by column where there are few, which is faster than torch's."""
    if score.shape[-1] > FEW:
        return score.argmax(-1)
    best, *others = score.unbind(-1)
    index = torch.zeros_like(best, dtype=torch.int64)
    for k, other in enumerate(others, 1):
        index.masked_fill_(other > best, k)
        best = torch.maximum(best, other)
    return index


def gumbel_given_argmax(log_weights: Tensor, winner: Tensor) -> Tensor:
    """A draw of Gumbel noise ``g``, in float64, given that ``argmax(log_weights + g)`` is the winner, top-down.

    Args:
        log_weights: log probabilities, shape ``(..., K)``.
        winner: the observed category, shape ``(...)``, int64.

    References:
        Maddison, Tarlow and Minka (2014), A* sampling; Oberst and Sontag (2019), section 3.
    """
    return in_blocks(_top_down, 1, log_weights, winner.unsqueeze(-1))


def _top_down(log_weights: Tensor, winner: Tensor) -> Tensor:
    log_weights = log_weights.double()
    given = log_weights.gather(-1, winner)
    if torch.isneginf(given).any():
        raise EvidenceError("a category has probability zero under the parameters of its site.")
    e = exponential(log_weights)
    best = e.gather(-1, winner)  # exp(-maximum); the maximum is a standard Gumbel, whichever category wins
    g = log_weights.exp().mul_(best).add_(e).log_().neg_()  # Gumbel noise below what the maximum leaves the others
    g.scatter_(-1, winner, -best.log() - given)
    score = log_weights + g
    top = score.gather(-1, winner)
    if (score >= top).sum() != winner.numel():  # rounding can tie or swap what was drawn here
        margin = score - top
        slack = 1e-12 * (1 + g.abs() + log_weights.clamp(min=-1e6).abs())
        g = torch.where((margin >= 0).scatter(-1, winner, False), g - margin - slack, g)
    return g


def gumbel_law(log_weights: Tensor) -> Distribution:
    return standard(dist.Gumbel, log_weights, 0, 1, dtype=torch.float64).to_event(1)


@mechanism.register(td.Categorical)
def _categorical(distribution: td.Categorical) -> Mechanism:
    """Gumbel-max (Oberst and Sontag 2019)."""
    log_weights = log_probabilities(distribution)
    return Mechanism(
        gumbel_law(log_weights),
        lambda g: gumbel_argmax(log_weights, g),
        lambda y: gumbel_given_argmax(log_weights, checked_value(distribution, y).long()),
        bijective=False,
    )


@mechanism.register(td.OneHotCategorical)
def _one_hot(distribution: td.OneHotCategorical) -> Mechanism:
    """Gumbel-max, as for Categorical."""
    log_weights = log_probabilities(distribution._categorical)
    size, dtype = log_weights.shape[-1], distribution._param.dtype
    return Mechanism(
        gumbel_law(log_weights),
        lambda g: one_hot(gumbel_argmax(log_weights, g), size).to(dtype),
        lambda y: gumbel_given_argmax(log_weights, checked_value(distribution, y).argmax(-1)),
        bijective=False,
    )
