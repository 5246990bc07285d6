"""Hidden noise whose posterior is normal, in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyro
import torch
from pyro import poutine
from torch.distributions import constraints

from causal_pyro_models.errors import ModelError
from causal_pyro_models.inference.conditioned import Conditioned
from causal_pyro_models.inference.evidence import observed_log_prob
from causal_pyro_models.inference.posterior import Posterior
from causal_pyro_models.inference.program import traced
from causal_pyro_models.scm.sites import is_deterministic

MOST_DIMENSIONS = 200  # of the hidden noise of a unit
AT_ONCE = 2**24  # numbers that the hidden noise of all runs holds together
SCALES = (0.5, 1.0, 2.0, 4.0, 8.0)  # of the random points at which the form is checked
RUNS = 10  # they come in, so that a branch which a whole run takes together shows
POINTS = 4  # at each of them, about the origin and about the posterior mean
TOLERANCE = 2e-4  # of density and gradient there, by their size
APART = 0.02  # of the gradient in each direction by itself, in units of its spread
ROUNDING = 1e-4  # of the largest of these, that another may be off by


def normal_posterior(conditioned: Conditioned, draws: int) -> Posterior | None:
    """Exact draws where the log density of hidden noise and evidence is quadratic in the noise; None where it is not.

    So it is for linear mechanisms with normal noise, and population-level parameters with normal priors. The quadratic
    is read off the gradient at the origin and along the axes. At 40 random points of each unit, from half a standard
    deviation to eight about the origin and to three about the posterior mean, gradient and density have to agree with
    it; what differs only where none of these lies goes unseen.

    Args:
        conditioned: the model on evidence.
        draws: the number of draws.

    References:
        C. M. Bishop (2006). Pattern recognition and machine learning, section 2.3.3.

    Example:
        >>> import pyro.distributions as dist
        >>> from causal_pyro_models.inference.program import inspect_model
        >>> def model():
        ...     z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        ...     pyro.sample("X", dist.Normal(z, 1.0))
        >>> conditioned = Conditioned.on(inspect_model(model), {"X": [2.0, -4.0]})  # Z ~ N(x / 2, 1 / 2)
        >>> _ = torch.manual_seed(0)
        >>> normal_posterior(conditioned, 50_000).latents["U_Z"].mean(0).round(decimals=1)
        tensor([ 1., -2.])
    """
    try:
        probe = Probe.of(conditioned)
        found = None if probe is None else probe.quadratic()
    except (ModelError, RuntimeError):  # no gradient, or a program that does not run at these points
        return None
    if probe is None or found is None:
        return None
    return Posterior(probe.latents(found.points(torch.randn(draws, *found.centre.shape, dtype=torch.double))))


class Probe:
    """The log density of latents and evidence, as a function of the latents of each unit as one vector.

    Args:
        conditioned: the model on evidence.
        like: a value of each latent, in the shape the model runs in.
        rows: the number of draws that the model is held at, each of which has a density of its own.

    Attributes:
        units: how many vectors there are: one for each row and unit, or one for each row where units share something.
    """

    def __init__(self, conditioned: Conditioned, like: dict[str, torch.Tensor], rows: int = 1) -> None:
        self.conditioned, self.like, self.rows = conditioned, like, rows
        apart = conditioned.program.independent_units
        self.units = rows * (max(value.shape[1] for value in like.values()) if apart else 1)
        self.sizes = {name: math.prod(value.shape[1 + apart :]) for name, value in like.items()}

    @classmethod
    def of(cls, conditioned: Conditioned) -> Probe | None:
        wanted = [conditioned.latent_name(name) for name in conditioned.relevant]
        with pyro.validation_enabled(False):
            nodes = traced(conditioned.model(1)).nodes
        like = {}
        for name in wanted:
            site = nodes[name]
            if not _is_real(site["fn"].support) or not site["value"].dtype.is_floating_point:
                return None
            shape = site["fn"].batch_shape + site["fn"].event_shape
            lead = (1,) * (conditioned.program.nesting + 1 - len(site["fn"].batch_shape))
            like[name] = site["value"].expand(shape).reshape(lead + tuple(shape))
        probe = cls(conditioned, like)
        size = sum(probe.sizes.values())
        runs = size + 1 + 2 * POINTS * len(SCALES)
        return probe if size <= MOST_DIMENSIONS and runs * size * probe.units <= AT_ONCE else None

    def latents(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """``(draws, units, size)`` as the latents, in the shapes that the model runs in, rows innermost in draws."""
        parts = flat.split(list(self.sizes.values()), -1)
        return {
            name: part.reshape(len(flat) * self.rows, *self.like[name].shape[1:]).to(self.like[name].dtype)
            for name, part in zip(self.sizes, parts, strict=True)
        }

    def gradient(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Log density ``(draws, units)`` at points ``(draws, units, size)``, and its gradient."""
        draws = len(points) * self.rows
        with torch.enable_grad(), pyro.validation_enabled(False):
            points = points.detach().requires_grad_()
            latents = self.latents(points)
            trace = traced(poutine.condition(self.conditioned.model(draws), data=latents))
            total = torch.zeros((), dtype=torch.double)
            for site in trace.nodes.values():
                if site["type"] == "sample" and site["is_observed"] and not is_deterministic(site):
                    total = total + self.conditioned.per_unit(observed_log_prob(site), draws).double()
            total = total.expand(draws, *total.shape[1:]).reshape(draws, -1)
            total = total.expand(draws, self.units // self.rows)
            (slope,) = torch.autograd.grad(total.sum(), points)
        return total.detach().reshape(len(points), self.units), slope

    def quadratic(self) -> Quadratic | None:
        """The log density, where it is quadratic and has a maximum."""
        size = sum(self.sizes.values())
        axes = torch.cat([torch.zeros(1, size), torch.eye(size)]).double()[:, None].expand(-1, self.units, -1)
        value, slope = self.gradient(axes)
        curvature = (slope[1:] - slope[0]).movedim(0, 1)
        factor, failed = torch.linalg.cholesky_ex(-(curvature + curvature.mT) / 2)
        if bool(failed.any()) or not bool(torch.isfinite(factor).all()):
            return None
        found = Quadratic(value[0], slope[0], torch.cholesky_solve(slope[0][..., None], factor)[..., 0], factor)
        scale = torch.tensor(SCALES, dtype=torch.double).repeat(POINTS)[:, None, None]
        random = scale * torch.randn(len(scale), self.units, size, dtype=torch.double)
        near = found.points(scale.clamp(max=3.0) * torch.randn(len(scale), self.units, size, dtype=torch.double))
        points = torch.cat([random, near])[torch.randperm(2 * len(scale))]
        fits = (found.agrees(some, *self.gradient(some)) for some in points.chunk(RUNS))
        return found if all(fits) else None


@dataclass(frozen=True)
class Quadratic:
    """A log density that is quadratic in a vector for each unit.

    Attributes:
        value: at the origin, ``(units,)``.
        slope: its gradient there, ``(units, size)``.
        centre: where it is highest, ``(units, size)``.
        factor: the Cholesky factor of minus its second derivative, ``(units, size, size)``.
    """

    value: torch.Tensor
    slope: torch.Tensor
    centre: torch.Tensor
    factor: torch.Tensor

    def points(self, z: torch.Tensor) -> torch.Tensor:
        """Draws of the normal law with this density, from standard normal ones ``(draws, units, size)``."""
        offset: torch.Tensor = torch.linalg.solve_triangular(self.factor.mT, z[..., None], upper=True)
        return self.centre + offset[..., 0]

    def evidence(self) -> torch.Tensor:
        """The log density of the evidence, the vector integrated out, ``(units,)``."""
        volume = self.centre.shape[-1] / 2 * math.log(2 * math.pi) - self.factor.diagonal(dim1=-2, dim2=-1).log().sum(
            -1
        )
        return self.value + (self.slope * self.centre).sum(-1) / 2 + volume

    def agrees(self, points: torch.Tensor, value: torch.Tensor, slope: torch.Tensor) -> bool:
        """Whether values ``(points, units)`` and gradients of a density are its own."""
        bend = -(self.factor @ (self.factor.mT @ points[..., None]))[..., 0]
        rise = (self.slope * points).sum(-1) + (bend * points).sum(-1) / 2
        reach = self.slope.abs().amax(-1) + bend.abs().amax(-1) + 1.0
        steep = (slope - self.slope - bend).abs().amax(-1) <= TOLERANCE * reach
        level = (value - self.value - rise).abs() <= TOLERANCE * (1 + self.value.abs() + rise.abs())
        left, own = (self._whitened(part) for part in (slope - self.slope - bend, self.slope + bend))
        rounding = ROUNDING * own.abs().amax(-1, keepdim=True)  # of directions that are known much better
        each = left.abs() <= APART * (1 + own.abs()) + rounding
        return bool((steep & level).all() and each.all())

    def _whitened(self, gradient: torch.Tensor) -> torch.Tensor:
        """A gradient in directions that have a standard normal law."""
        found: torch.Tensor = torch.linalg.solve_triangular(self.factor, gradient[..., None], upper=False)
        return found[..., 0]


def _is_real(support: object) -> bool:
    while isinstance(support, type(constraints.independent(constraints.real, 1))):
        support = support.base_constraint
    return support is constraints.real or support is constraints.real_vector
