"""Normal scores: the noise of families known by their distribution function rather than by a formula for draws.

The normal score of a value is ``u = Phi^-1(F(x))``. It is computed in float64 from the shorter of the two tails, so it
stays exact out to 37 standard deviations on both sides, where ``F(x)`` itself saturates. Its inverse is found by a
safeguarded Newton search and differentiated implicitly.
"""

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyro.distributions as dist
import scipy.special
import torch
from torch import Tensor, distributions as td
from torch.distributions import biject_to, constraints

from causal_pyro_models.errors import EvidenceError
from causal_pyro_models.scm.mechanisms.registry import (
    Distribution,
    Mechanism,
    checked_value,
    mechanism,
    standard,
    unregistered,
)

CLOSE = 1e-7  # where a search ends; the step after it squares what is left
Special = Callable[..., Any]  # a NumPy function of arrays, applied elementwise


def standard_score(like: Tensor) -> Distribution:
    """The law of a normal score, with the shape and device of a tensor, in float64."""
    return standard(dist.Normal, like, 0, 1, dtype=torch.float64)


def normal_cdf(u: Tensor) -> Tensor:
    """The standard normal distribution function, accurate in the lower tail, where ``torch.special.ndtr`` is not."""
    twice: Tensor = torch.special.erfc(-u / math.sqrt(2))
    return twice / 2


def normal_score(lower: Special, upper: Special, *args: Tensor) -> Tensor:
    """``Phi^-1`` of a distribution function, from its shorter tail, in float64 and without a gradient.

    Args:
        lower: the distribution function of ``args``.
        upper: one minus it, without cancellation.
        args: tensors that broadcast together.
    """
    like, *_ = args = torch.broadcast_tensors(*args)
    arrays = [np.atleast_1d(a.detach().double().cpu().numpy()) for a in args]
    cdf = lower(*arrays)
    score = scipy.special.ndtri(cdf)
    far = cdf > 0.9
    score[far] = -scipy.special.ndtri(upper(*(a[far] for a in arrays)))
    return torch.from_numpy(score).to(like.device).reshape(like.shape)


class NormalScore(torch.autograd.Function):
    """:func:`normal_score` as a differentiable function of a coordinate and of positive shape parameters.

    The derivative in the coordinate is the ratio of the two densities; those in the parameters are fourth-order
    central differences in float64, accurate to about ten digits.
    """

    @staticmethod
    def forward(ctx: Any, lower: Special, upper: Special, log_density: Special, y: Tensor, *shapes: Tensor) -> Tensor:
        score = normal_score(lower, upper, y, *shapes)
        ctx.functions = lower, upper, log_density
        ctx.save_for_backward(score, y, *shapes)
        return score

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        lower, upper, log_density = ctx.functions
        score, y, *shapes = ctx.saved_tensors
        grads: list[Tensor | None] = [None, None, None]
        grads.append((grad * slope(log_density(y, *shapes), score)).sum_to_size(y.shape))
        for i, shape in enumerate(shapes):
            if not ctx.needs_input_grad[4 + i]:
                grads.append(None)
                continue
            step = 1e-3 * shape

            def moved(by: float, i: int = i, step: Tensor = step) -> Tensor:
                return normal_score(lower, upper, y, *shapes[:i], shapes[i] + by * step, *shapes[i + 1 :])

            derivative = (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * step)
            grads.append((grad * derivative).sum_to_size(shape.shape))
        return tuple(grads)


def differentiable_score(lower: Special, upper: Special, log_density: Special, y: Tensor, *shapes: Tensor) -> Tensor:
    """:class:`NormalScore`, applied."""
    return NormalScore.apply(lower, upper, log_density, y, *shapes)  # type: ignore[no-any-return, no-untyped-call]


def slope(log_density: Tensor, score: Tensor) -> Tensor:
    """The derivative of the normal score: the density over the normal density at the score."""
    return (log_density + score.square() / 2 + 0.5 * math.log(2 * math.pi)).exp()


def invert(
    score: Callable[..., Tensor], log_density: Callable[..., Tensor], u: Tensor, guess: Tensor, *shapes: Tensor
) -> Tensor:
    """The coordinate whose normal score is ``u``, differentiable in ``u`` and in what ``score`` depends on.

    Args:
        score: an increasing differentiable function of ``(y, *shapes)``, elementwise.
        log_density: log density of the coordinate ``(y, *shapes)``, so that the derivative of ``score`` is
            :func:`slope`.
        u: normal scores, float64.
        guess: where to start the search, of the broadcast shape.
        shapes: parameters of that shape. Where they are given, what is found drops out of the search.
    """
    with torch.no_grad():
        y = _search(score, log_density, u.expand_as(guess), guess, *shapes)
    s = score(y, *shapes)
    with torch.no_grad():
        derivative = slope(log_density(y, *shapes), s)
    return y + (u - s) / derivative  # one more Newton step, which carries the implicit gradients


def _search(
    score: Callable[..., Tensor], log_density: Callable[..., Tensor], u: Tensor, guess: Tensor, *shapes: Tensor
) -> Tensor:
    """The coordinates by Newton's steps, where these stay within what is known of them, and else by bisection."""
    found, active = guess.clone(), torch.ones_like(guess, dtype=torch.bool)
    y, low, high = guess, torch.full_like(guess, -math.inf), torch.full_like(guess, math.inf)
    for _ in range(200):
        s = score(y, *shapes)
        above = s > u
        low, high = torch.where(above, low, y), torch.where(above, y, high)
        proposal = y - (s - u) / slope(log_density(y, *shapes), s)
        far = torch.where(above, y - 1 - y.abs(), y + 1 + y.abs())
        middle = torch.where(torch.isfinite(low + high), (low + high) / 2, far)
        within = (proposal >= low) & (proposal <= high) & ((proposal - y).abs() <= 1 + y.abs())
        moved = torch.where(within, proposal, middle)
        going = ~((moved - y).abs() <= CLOSE * (1 + y.abs()))
        found[active] = moved.flatten()
        if not bool(going.any()):
            break
        y = moved
        if shapes:
            active[active.clone()] = going.flatten()
            y, low, high, u, shapes = y[going], low[going], high[going], u[going], tuple(p[going] for p in shapes)
    return found


def finite(score: Tensor) -> Tensor:
    """The scores, after a check that no value lay where the distribution function is 0 or 1 to float64."""
    if not torch.isfinite(score).all():
        raise EvidenceError(
            "a value lies at the end of its support or so far in a tail that its probability underflows float64."
        )
    return score


def in_float64(part: Any) -> Any:
    """A shallow copy of a distribution with every floating tensor in float64, distributions inside it included."""
    if isinstance(part, Tensor):
        return part.double() if part.is_floating_point() else part
    if isinstance(part, td.Distribution):
        new = copy.copy(part)
        new.__dict__.update({name: in_float64(value) for name, value in vars(part).items()})
        return new
    return part


def parameter_of(distribution: Distribution) -> Tensor:
    """Some floating parameter of a distribution or of those inside it: values come in its dtype, on its device."""
    for value in vars(distribution).values():
        if isinstance(value, td.Distribution):
            return parameter_of(value)
        if isinstance(value, Tensor) and value.is_floating_point():
            return value
    return torch.zeros(())


@mechanism.register(td.Distribution)
def cdf_mechanism(distribution: Distribution, support: constraints.Constraint | None = None) -> Mechanism:
    """The normal score of a continuous univariate distribution known by its ``cdf`` and ``log_prob``.

    The upper tail is taken from ``1 - cdf``, so it resolves values out to 8 standard deviations there.

    Args:
        distribution: the distribution at a site.
        support: its support, where it is not stated in a form that ``biject_to`` knows.
    """
    exact, parameter = in_float64(distribution), parameter_of(distribution)
    origin = torch.zeros(distribution.batch_shape, dtype=torch.float64, device=parameter.device)
    try:
        support = exact.support if support is None else support
        if distribution.event_shape or support.is_discrete:
            raise unregistered(distribution)
        to_support = biject_to(support)
        exact.cdf(to_support(origin))
    except (AttributeError, NotImplementedError):
        raise unregistered(distribution) from None

    def score(y: Tensor) -> Tensor:
        cdf = exact.cdf(to_support(y))
        return torch.where(cdf < 0.5, torch.special.ndtri(cdf), -torch.special.ndtri(1 - cdf))

    def log_density(y: Tensor) -> Tensor:
        x = to_support(y)
        density: Tensor = exact.log_prob(x) + to_support.log_abs_det_jacobian(y, x)
        return density

    def forward(u: Tensor) -> Tensor:
        u = u.double()
        guess = origin.expand(torch.broadcast_shapes(u.shape, origin.shape))
        x: Tensor = to_support(invert(score, log_density, u, guess))
        return x.to(parameter.dtype)

    return Mechanism(
        standard_score(origin),
        forward,
        lambda x: finite(score(to_support.inv(checked_value(distribution, x).double()))),
    )
