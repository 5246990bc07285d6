"""Two samples against each other, the ranks of one, and the slope of a function of one: what checks compute."""

import math
from collections.abc import Callable

import scipy.special  # whose import takes a tenth of that of scipy.stats
import torch
from torch import Tensor

from causal_pyro_models.scm.mechanisms.registry import Distribution

RARE = 20  # draws of a value, below which the chi-square pools it with others


def draw(distribution: Distribution, *sample_shape: int) -> Tensor:
    """Draws of any distribution; some of Pyro's wrappers can only be called."""
    shape = torch.Size(sample_shape)
    with torch.no_grad():
        value: Tensor = distribution(shape) if callable(distribution) else distribution.sample(shape)
    return value


def kolmogorov(a: Tensor, b: Tensor) -> Tensor:
    """The two-sample Kolmogorov-Smirnov distance of each column, scaled so that its law does not depend on the sizes.

    Over ``t`` with probability ``2 exp(-2 t**2)`` at most, in the limit of large samples of one law.

    Args:
        a, b: samples ``(draws, columns)``, of any number of draws each.

    Example:
        >>> a, b = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([[1.0], [2.0]])
        >>> kolmogorov(a, b) / (4 * 2 / (4 + 2)) ** 0.5
        tensor([0.5000], dtype=torch.float64)
    """
    values, order = torch.cat([a, b]).sort(0)
    first = order < len(a)
    gap = first.double().cumsum(0) / len(a) - (~first).double().cumsum(0) / len(b)
    complete = torch.ones_like(values, dtype=torch.bool)  # where all that are equal have been counted
    complete[:-1] = values[1:] != values[:-1]
    return (gap.abs() * complete).amax(0) * math.sqrt(len(a) * len(b) / (len(a) + len(b)))


def kolmogorov_limit(false_alarm: float) -> float:
    """What the scaled distance is over with a probability of ``false_alarm``."""
    return math.sqrt(-math.log(false_alarm / 2) / 2)


def chi_square(a: Tensor, b: Tensor) -> Tensor:
    """The two-sample chi-square of integer values as a normal deviate, rare values pooled into one cell; by column."""
    return torch.tensor([_chi_square(x, y) for x, y in zip(a.T, b.T, strict=True)])


def _chi_square(a: Tensor, b: Tensor) -> float:
    values, index = torch.cat([a, b]).unique(return_inverse=True)
    table = torch.stack([torch.bincount(i, minlength=len(values)) for i in index.split([len(a), len(b)])]).double()
    rare = table.sum(0) < RARE
    table = torch.cat([table[:, ~rare], table[:, rare].sum(1, keepdim=True)], 1)
    table = table[:, table.sum(0) > 0]
    if table.shape[1] < 2:
        return 0.0
    expected = table.sum(1, keepdim=True) * table.sum(0) / table.sum()
    statistic = float(((table - expected).square() / expected).sum())
    return float(-scipy.special.ndtri(scipy.special.chdtrc(table.shape[1] - 1, statistic)))


def normal_limit(false_alarm: float) -> float:
    """What a normal deviate is over, on either side, with a probability of ``false_alarm``."""
    return float(-scipy.special.ndtri(false_alarm / 2))


def ranks(u: Tensor) -> Tensor:
    """The ranks along the first dimension, between 0 and 1."""
    return (u.argsort(dim=0, stable=True).argsort(0).double() + 0.5) / len(u)


def jacobian(forward: Callable[[Tensor], Tensor], u: Tensor, event_dim: int) -> tuple[Tensor, Tensor]:
    """Values and their derivatives in the noise, unit by unit.

    Args:
        forward: computes each unit's value from its own noise.
        u: noise ``(..., *event)``.
        event_dim: dimensions of a unit's noise.

    Returns:
        The values, and the derivatives ``(..., size of a value, size of a noise)``.

    Example:
        >>> value, slope = jacobian(torch.exp, torch.zeros(3), 0)
        >>> value, slope.shape
        (tensor([1., 1., 1.]), torch.Size([3, 1, 1]))
    """
    batch = u.shape[: u.dim() - event_dim]
    with torch.enable_grad():
        u = u.detach().clone().requires_grad_()
        x = forward(u)
        flat = x.reshape(*batch, -1)
        rows = [torch.autograd.grad(flat[..., j].sum(), u, retain_graph=True)[0] for j in range(flat.shape[-1])]
    return x.detach(), torch.stack([row.reshape(*batch, -1) for row in rows], -2)
