"""Structural equations with explicit noise, looked up by the distribution at a site.

A site ``X ~ p(x | pa)`` is read as ``X = f(pa, U)`` with noise ``U`` whose law does not depend on the parents.
``mechanism(distribution)`` gives that reading; ``mechanism.register(DistributionType)`` adds one for a new family.
This module holds the registry and the distributions that wrap others; the families are in their own modules.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyro.distributions as dist
import torch
from pyro.contrib.zuko import ZukoToPyro
from pyro.distributions.torch_distribution import ExpandedDistribution, MaskedDistribution
from torch import Tensor, distributions as td
from torch.distributions import constraints
from zuko.distributions import NormalizingFlow

from causal_pyro_models.errors import EvidenceError, MechanismError
from causal_pyro_models.scm.sites import all_finite, describe_support

dist.enable_validation(dist.is_validation_enabled())  # which the import of zuko switched off for all of torch

BLOCK = 2**14  # units worked on at once

Distribution: TypeAlias = Any  # torch's and Pyro's; they share no base with all of to_event, mask and event_dim


@dataclass(frozen=True)
class Mechanism:
    """The structural equation ``x = forward(u)`` of one site, its parents already plugged in.

    Attributes:
        noise: law of the noise ``U``; the same whatever the parents, with the batch shape of the site's distribution.
        forward: maps noise to the value of the site, in the dtype of the distribution's parameters.
        abduct: an exact draw from the posterior of the noise given the value of the site; raises
            :class:`EvidenceError` for a value that the distribution cannot take.
        bijective: True when that posterior is a single point.

    Example:
        >>> width = torch.tensor([1.0, 4.0])  # of the law of width * sqrt(U), U uniform
        >>> noise = standard(dist.Uniform, width, 0, 1)
        >>> triangular = Mechanism(noise, lambda u: width * u.sqrt(), lambda x: (x / width) ** 2)
        >>> triangular.forward(torch.tensor([0.25, 0.25])), triangular.abduct(torch.tensor([0.5, 2.0]))
        (tensor([0.5000, 2.0000]), tensor([0.2500, 0.2500]))
    """

    noise: Distribution
    forward: Callable[[Tensor], Tensor]
    abduct: Callable[[Tensor], Tensor]
    bijective: bool = True


@functools.singledispatch
def mechanism(distribution: Distribution) -> Mechanism:
    """The structural equation behind a distribution. Dispatches on the distribution's type.

    Args:
        distribution: the distribution at a site, its parameters (the parents) plugged in.

    Returns:
        The :class:`Mechanism` of the site. Continuous univariate families that are not registered but have a working
        ``cdf`` and ``icdf`` get a standard normal score as their noise.

    Raises:
        MechanismError: the family has no mechanism.

    Example:
        >>> from causal_pyro_models.scm import mechanism
        >>> mech = mechanism(dist.Normal(torch.tensor([0.0, 10.0]), 2.0))
        >>> mech.abduct(torch.tensor([1.0, 7.0]))
        tensor([ 0.5000, -1.5000])
        >>> mech.forward(torch.tensor([0.5, -1.5]))
        tensor([1., 7.])
    """
    raise unregistered(distribution)


@functools.singledispatch
def quantile(distribution: Distribution) -> Mechanism:
    """The monotone (quantile) coupling of an ordered site: the value grows with one scalar noise, whatever the parents.

    For discrete sites the coupling is an assumption that data cannot check. ``mechanism`` takes Gumbel-max for
    categorical sites and mixtures; this is the other common choice.

    Args:
        distribution: the distribution at a site: Bernoulli, Categorical (in the order of its categories),
            OrderedLogistic, a count, or a continuous univariate family, mixtures included.

    Raises:
        MechanismError: the values of the site have no order.

    Example:
        >>> from causal_pyro_models.scm import quantile
        >>> education = dist.Categorical(probs=torch.tensor([0.2, 0.3, 0.5]))
        >>> quantile(education).forward(torch.tensor([-3.0, -1.0, 3.0]))  # logistic against cumulative log odds
        tensor([0, 1, 2])

        In a model: ``pyro.sample("E", education, infer={"mechanism": quantile})``.

    References:
        Pearl (2000), Causality, section 9.2 (monotonicity).
    """
    if not getattr(distribution, "event_shape", ()) and (found := mechanism(distribution)).bijective:
        return found
    raise unordered(distribution)


def not_one(distribution: object) -> MechanismError:
    """The error for what is no distribution."""
    if isinstance(distribution, type):
        name = distribution.__name__
        return MechanismError(f"expected a distribution, got the class {name}: give an instance, {name}(...).")
    return MechanismError(
        f"expected a distribution, got {type(distribution).__name__}: give one of pyro.distributions, such as "
        f"Normal(0.0, 1.0)."
    )


def unordered(distribution: Distribution) -> MechanismError:
    """The error for a family without a quantile coupling."""
    if not isinstance(distribution, td.Distribution):
        return not_one(distribution)
    name = type(distribution).__name__
    return MechanismError(
        f"the values of {name} have no order that a quantile coupling could follow. Leave the default mechanism in "
        f"place, or register one with quantile.register({name})."
    )


def unregistered(distribution: Distribution) -> MechanismError:
    """The error for a family without a mechanism."""
    if not isinstance(distribution, td.Distribution):
        return not_one(distribution)
    name = type(distribution).__name__
    return MechanismError(
        f"no mechanism is registered for {name}, so its noise cannot be made explicit. Register one with "
        f"mechanism.register({name}), or draw the site from a registered family."
    )


def standard(
    law: Callable[..., Distribution], like: Tensor, *parameters: float, dtype: torch.dtype | None = None
) -> Distribution:
    """A noise law with the same parameters for every unit, which are held in the memory of one number.

    Args:
        law: a family, such as ``dist.Normal``.
        like: a parameter of the site's distribution, whose shape, type and device the noise takes.
        parameters: those of the law, such as 0 and 1.
        dtype: the type of the noise where it is not that of ``like``.

    Example:
        >>> noise = standard(dist.Normal, torch.tensor([3.0, 5.0]), 0, 1)
        >>> noise.batch_shape, noise.mean
        (torch.Size([2]), tensor([0., 0.]))
    """
    parameter = (torch.full((), p, dtype=dtype or like.dtype, device=like.device) for p in parameters)
    return law(*parameter, validate_args=False).expand(like.shape)


def in_blocks(function: Callable[..., Tensor], event_dim: int, *tensors: Tensor) -> Tensor:
    """A function of values, unit by unit, worked on in blocks whose intermediate results stay in a CPU's cache.

    Args:
        function: takes tensors ``(units, *event)`` and gives one.
        event_dim: dimensions on the right that belong to a unit.
        tensors: of batch shapes that broadcast.
    """
    batch = torch.broadcast_shapes(*(t.shape[: t.dim() - event_dim] for t in tensors))
    tensors = tuple(t.expand(batch + t.shape[t.dim() - event_dim :]) for t in tensors)
    if math.prod(batch) <= BLOCK or tensors[0].device.type != "cpu":
        return function(*tensors)
    rows = max(1, BLOCK // math.prod(batch[1:]))
    blocks = zip(*(t.split(rows) for t in tensors), strict=True)
    return torch.cat([function(*block) for block in blocks])


def checked_value(distribution: Distribution, value: Tensor, support: constraints.Constraint | None = None) -> Tensor:
    """The value, broadcast to the shape of the distribution, after a check that it lies in the support.

    Args:
        distribution: the distribution at a site.
        value: what was observed there, of a shape that broadcasts with the distribution's.
        support: the support to check where it is not the distribution's own.

    Raises:
        EvidenceError: the value is not finite, outside the support, or of a shape that does not fit.

    Example:
        >>> checked_value(dist.Exponential(torch.tensor([1.0, 2.0])), torch.tensor(0.5))
        tensor([0.5000, 0.5000])
        >>> checked_value(dist.Exponential(torch.tensor(1.0)), torch.tensor(-0.5))
        Traceback (most recent call last):
        ...
        causal_pyro_models.errors.EvidenceError: a value lies outside the support of Exponential, ...
    """
    name, shape = type(distribution).__name__, distribution.batch_shape + distribution.event_shape
    if not isinstance(value, Tensor):
        raise EvidenceError(f"a value of {name} must be a tensor, got {value!r:.80}.")
    try:
        if value.shape[max(0, value.dim() - len(shape)) :] != shape:  # broadcast_shapes takes longer than all else here
            value = value.expand(torch.broadcast_shapes(value.shape, shape))
    except RuntimeError:
        message = f"a value of shape {tuple(value.shape)} does not fit {name} of shape {tuple(shape)}."
        raise EvidenceError(message) from None
    if support is None:
        support = _support(distribution)
    if not (all_finite(value) and (support is constraints.real or support.check(value).all())):
        raise EvidenceError(
            f"a value lies outside the support of {name}, finite {describe_support(support)}: the values given range "
            f"from {value.min().item():.6g} to {value.max().item():.6g}."
        )
    return value


def _support(distribution: Distribution) -> constraints.Constraint:
    try:
        support: constraints.Constraint = distribution.support
        return support
    except NotImplementedError:  # zuko's flows and mixtures do not state one
        return constraints.real


Constructor = Callable[[Distribution], Mechanism]


def _independent(build: Constructor, distribution: Distribution) -> Mechanism:
    inner = build(distribution.base_dist)
    noise = inner.noise.to_event(distribution.reinterpreted_batch_ndims)
    return Mechanism(noise, inner.forward, inner.abduct, inner.bijective)


def _expanded(build: Constructor, distribution: ExpandedDistribution) -> Mechanism:
    inner = build(distribution.base_dist)
    return Mechanism(
        inner.noise.expand(distribution.batch_shape),
        inner.forward,
        lambda x: inner.abduct(checked_value(distribution, x)),
        inner.bijective,
    )


def _masked(build: Constructor, distribution: MaskedDistribution) -> Mechanism:
    inner = build(distribution.base_dist)
    return Mechanism(inner.noise.mask(distribution._mask), inner.forward, inner.abduct, inner.bijective)


def _transformed(build: Constructor, distribution: td.TransformedDistribution) -> Mechanism:
    """The base's mechanism, then the transforms; the base may itself depend on the parents."""
    transforms = distribution.transforms
    _require_bijective(distribution, *transforms)
    inner = build(distribution.base_dist)

    def forward(u: Tensor) -> Tensor:
        x = inner.forward(u)
        for transform in transforms:
            x = transform(x)
        return x

    def abduct(x: Tensor) -> Tensor:
        x = checked_value(distribution, x)
        for transform in reversed(transforms):
            x = _inverse(transform, x)
        return inner.abduct(x)

    return Mechanism(inner.noise, forward, abduct, inner.bijective)


def _zuko(build: Constructor, distribution: ZukoToPyro) -> Mechanism:
    return build(distribution.dist)


def _zuko_flow(build: Constructor, distribution: NormalizingFlow) -> Mechanism:
    """A zuko flow; its transform maps data to noise."""
    _require_bijective(distribution, distribution.transform)
    inner = build(distribution.base)
    return Mechanism(
        inner.noise,
        lambda u: _inverse(distribution.transform, inner.forward(u)),
        lambda x: inner.abduct(distribution.transform(checked_value(distribution, x))),
        inner.bijective,
    )


for _wrapper, _build in {
    td.Independent: _independent,
    ExpandedDistribution: _expanded,
    MaskedDistribution: _masked,
    td.TransformedDistribution: _transformed,
    ZukoToPyro: _zuko,
    NormalizingFlow: _zuko_flow,
}.items():
    mechanism.register(_wrapper, functools.partial(_build, mechanism))
    quantile.register(_wrapper, functools.partial(_build, quantile))


@mechanism.register(dist.Delta)
def _delta(distribution: dist.Delta) -> Mechanism:
    raise MechanismError("Delta is deterministic: its site has no noise. Write pyro.deterministic(name, value).")


def _require_bijective(distribution: Distribution, *transforms: td.Transform) -> None:
    for transform in transforms:
        if not transform.bijective:
            raise MechanismError(
                f"{type(distribution).__name__}: {type(transform).__name__} is not bijective, so inverting it does not "
                f"give the noise. Register a mechanism for the distribution as a whole."
            )


def _inverse(transform: td.Transform, y: Tensor) -> Tensor:
    try:
        x: Tensor = transform.inv(y)
        return x
    except (KeyError, NotImplementedError):
        raise MechanismError(f"{type(transform).__name__} has no inverse, so its noise cannot be abducted.") from None
