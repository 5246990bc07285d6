"""Densities with exact zeros: torch clamps probabilities, so that its ``log_prob`` never says impossible."""

from functools import singledispatch
from typing import Any

import torch
from pyro.distributions.torch_distribution import ExpandedDistribution, MaskedDistribution
from torch import Tensor, distributions as td
from torch.distributions.utils import probs_to_logits

from causal_pyro_models.errors import EvidenceError
from causal_pyro_models.scm.sites import describe_support, describe_value


def log_density(distribution: Any, value: Tensor) -> Tensor:
    """``log_prob``, minus infinity where the probability of the value was given as zero.

    Example:
        >>> import pyro.distributions as dist
        >>> impossible = dist.Bernoulli(torch.tensor(0.0))
        >>> impossible.log_prob(torch.tensor(1.0)), log_density(impossible, torch.tensor(1.0))
        (tensor(-15.9424), tensor(-inf))
    """
    return torch.where(ruled_out(distribution, value), -torch.inf, distribution.log_prob(value))


@singledispatch
def ruled_out(distribution: Any, value: Tensor) -> Tensor:
    """Where a value in the support has probability zero; dispatches on the distribution's type."""
    return torch.zeros((), dtype=torch.bool, device=value.device)


@ruled_out.register(td.Independent)
def _(distribution: Any, value: Tensor) -> Tensor:
    inner = ruled_out(distribution.base_dist, value)
    events = distribution.reinterpreted_batch_ndims
    return inner.flatten(-events).any(-1) if inner.dim() >= events > 0 else inner


@ruled_out.register(ExpandedDistribution)
@ruled_out.register(MaskedDistribution)
def _(distribution: Any, value: Tensor) -> Tensor:
    return ruled_out(distribution.base_dist, value)


@ruled_out.register
def _(distribution: td.Bernoulli, value: Tensor) -> Tensor:
    return torch.where(value == 1, *_at_ends(distribution))


@ruled_out.register
def _(distribution: td.Binomial, value: Tensor) -> Tensor:
    never, always = _at_ends(distribution)
    return (never & (value > 0)) | (always & (value < distribution.total_count))


@ruled_out.register
def _(distribution: td.Categorical, value: Tensor) -> Tensor:
    never, _ = _at_ends(distribution)
    index = value.long().unsqueeze(-1)
    shape = torch.broadcast_shapes(index.shape[:-1], never.shape[:-1])
    return never.expand(*shape, never.shape[-1]).gather(-1, index.expand(*shape, 1)).squeeze(-1)


@ruled_out.register
def _(distribution: td.OneHotCategorical, value: Tensor) -> Tensor:
    never, _ = _at_ends(distribution._categorical)
    return (never & (value == 1)).any(-1)


def given_probs(distribution: Any) -> Tensor | None:
    """The probabilities that a distribution was made from; None where it was made from logits.

    Both may be there: torch computes the one from the other, clamped, and keeps it.
    """
    probs: Tensor | None = vars(distribution).get("probs")
    logits = vars(distribution).get("logits")
    if probs is None or logits is None:
        return probs
    binary = not isinstance(distribution, td.Categorical)
    return probs if torch.equal(probs_to_logits(probs, is_binary=binary), logits) else None


def _at_ends(distribution: Any) -> tuple[Tensor, Tensor]:
    """Where the parameters that were given say a probability of zero, and of one."""
    probs = given_probs(distribution)
    if probs is None:
        return torch.isneginf(distribution.logits), torch.isposinf(distribution.logits)
    return probs == 0, probs == 1


def check_possible(name: str, fn: Any, value: Tensor) -> None:
    """Refuse values outside the support, or of probability zero."""
    check_support(name, fn.support, value)
    if fn.support.is_discrete:
        impossible = torch.isneginf(log_density(fn, value))
        if bool(impossible.any()):
            raise EvidenceError(
                f"evidence on {name!r} has probability zero given its parents, for example "
                f"{describe_value(value[impossible][0])} ({int(impossible.sum())} of {impossible.numel()} values): "
                f"no noise can have produced it."
            )


def check_support(name: str, support: Any, value: Tensor) -> None:
    supported = support.check(value)
    if not bool(supported.all()):
        bad = describe_value(value[~supported][0])
        raise EvidenceError(
            f"evidence on {name!r} lies outside its support, {describe_support(support)}: got for example {bad} "
            f"({int((~supported).sum())} of {supported.numel()} values)."
        )
