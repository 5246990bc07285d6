"""Mechanisms of continuous families with shape parameters, through the normal score of a real coordinate.

A shape parameter may depend on the parents, so the family has no standard member with a parent-free law. The noise is
the normal score instead: each family gives the distribution function of a coordinate that its values are a simple
function of (the log of a Gamma, the logit of a Beta, the angle of a VonMises).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro.distributions as dist
import scipy.special
import torch
from torch import Tensor, distributions as td
from torch.distributions import constraints
from torch.nn.functional import logsigmoid

from causal_pyro_models.scm.mechanisms.quantiles import differentiable_score, finite, invert, standard_score
from causal_pyro_models.scm.mechanisms.registry import Mechanism, checked_value, mechanism


@dataclass(frozen=True)
class Coordinate:
    """A real random coordinate with positive shape parameters, in float64.

    Attributes:
        lower: its distribution function of ``(y, *shapes)``, on arrays.
        upper: one minus that, without cancellation.
        log_density: its log density of ``(y, *shapes)``, on tensors.
        guess: about where a normal score falls, of ``(u, *shapes)``.
    """

    lower: Callable[..., Any]
    upper: Callable[..., Any]
    log_density: Callable[..., Tensor]
    guess: Callable[..., Tensor]

    def score(self, y: Tensor, *shapes: Tensor) -> Tensor:
        """The normal score of a coordinate, differentiable."""
        return finite(self._score(y, *shapes))

    def value(self, u: Tensor, *shapes: Tensor) -> Tensor:
        """The coordinate with a normal score, differentiable."""
        u, *shapes = torch.broadcast_tensors(u.double(), *shapes)
        guess = self.guess(u.detach(), *(shape.detach() for shape in shapes))
        return invert(self._score, self.log_density, u, guess, *shapes)

    def _score(self, y: Tensor, *shapes: Tensor) -> Tensor:
        return differentiable_score(self.lower, self.upper, self.log_density, y, *shapes)


def _gamma_guess(u: Tensor, shape: Tensor) -> Tensor:
    cube_root = 1 - 1 / (9 * shape) + u / (3 * shape.sqrt())  # Wilson and Hilferty (1931)
    small = (torch.special.log_ndtr(u) + torch.lgamma(shape + 1)) / shape
    return torch.where(cube_root > 0.3, shape.log() + 3 * cube_root.clamp(min=0.3).log(), small)


LOG_GAMMA = Coordinate(
    lambda y, shape: scipy.special.gammainc(shape, np.exp(y)),
    lambda y, shape: scipy.special.gammaincc(shape, np.exp(y)),
    lambda y, shape: shape * y - y.exp() - torch.lgamma(shape),
    _gamma_guess,
)


def _logit_beta_cdf(y: Any, a: Any, b: Any) -> Any:
    """Of the logit of a Beta, from the end of the unit interval that is nearer."""
    left, near = y < 0, scipy.special.expit(-np.abs(y))
    cdf = np.empty_like(y)
    scipy.special.betainc(a, b, near, out=cdf, where=left)
    scipy.special.betaincc(b, a, near, out=cdf, where=~left)
    return cdf


LOGIT_BETA = Coordinate(
    _logit_beta_cdf,
    lambda y, a, b: _logit_beta_cdf(-y, b, a),
    lambda y, a, b: a * logsigmoid(y) + b * logsigmoid(-y) + torch.lgamma(a + b) - torch.lgamma(a) - torch.lgamma(b),
    lambda u, a, b: torch.digamma(a) - torch.digamma(b) + u * (torch.polygamma(1, a) + torch.polygamma(1, b)).sqrt(),
)


def _asinh_student_density(y: Tensor, df: Tensor) -> Tensor:
    log_density: Tensor = td.StudentT(df, validate_args=False).log_prob(y.sinh())
    return log_density + torch.logaddexp(y, -y) - math.log(2)


ASINH_STUDENT = Coordinate(
    lambda y, df: scipy.special.stdtr(df, np.sinh(y)),
    lambda y, df: scipy.special.stdtr(df, -np.sinh(y)),
    _asinh_student_density,
    lambda u, df: u.sign() * (df * (u.square() / df).clamp(max=600).expm1()).sqrt().asinh(),
)

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)


def _von_mises_cdf(angle: Any, concentration: Any) -> Any:
    """The distribution function, by quadrature of the tail on the near side from where it is 40 e-folds down."""
    near = -np.abs(angle)
    start = -np.arccos(np.clip(np.cos(near) - 40 / concentration, -1, 1))
    integral = np.zeros_like(near)
    for node, weight in zip((_NODES + 1) / 2, _WEIGHTS / 2, strict=True):
        back = (near - start) * node / 2  # cos(near - 2 back) - cos(near) = 2 sin(near - back) sin(back)
        integral += weight * np.exp(2 * concentration * np.sin(near - back) * np.sin(back))
    log_scale = -2 * concentration * np.sin(near / 2) ** 2 - np.log(2 * np.pi * scipy.special.i0e(concentration))
    tail = (near - start) * integral * np.exp(log_scale)
    return np.where(angle <= 0, tail, 1 - tail)


def _to_angle(y: Any) -> Any:
    return np.pi * scipy.special.erf(y / math.sqrt(2))


def _von_mises_density(y: Tensor, concentration: Tensor) -> Tensor:
    angle = math.pi * torch.special.erf(y / math.sqrt(2))
    uniform = -y.square() / 2 - 0.5 * math.log(2 * math.pi)
    log_density: Tensor = (
        uniform - 2 * concentration * (angle / 2).sin().square() - torch.special.i0e(concentration).log()
    )
    return log_density


def _von_mises_guess(u: Tensor, concentration: Tensor) -> Tensor:
    narrow = torch.special.ndtri(0.5 + u.abs() * (concentration.rsqrt() / (2 * math.pi)).clamp(max=0.4 / u.abs()))
    return u.sign() * torch.minimum(u.abs(), narrow)


# The coordinate is the normal score of the angle under the uniform law on the circle.
VON_MISES = Coordinate(
    lambda y, concentration: _von_mises_cdf(_to_angle(y), concentration),
    lambda y, concentration: _von_mises_cdf(_to_angle(-y), concentration),
    _von_mises_density,
    _von_mises_guess,
)


@mechanism.register(td.Gamma)
def _gamma(distribution: td.Gamma) -> Mechanism:
    shape, rate = distribution.concentration.double(), distribution.rate.double()
    dtype = distribution.rate.dtype
    return Mechanism(
        standard_score(rate),
        lambda u: (LOG_GAMMA.value(u, shape).exp() / rate).to(dtype).clamp(min=torch.finfo(dtype).tiny),
        lambda x: LOG_GAMMA.score((checked_value(distribution, x).double() * rate).log(), shape),
    )


@mechanism.register(td.Beta)
def _beta(distribution: td.Beta) -> Mechanism:
    a, b = distribution.concentration1.double(), distribution.concentration0.double()
    dtype = distribution.concentration1.dtype
    info = torch.finfo(dtype)
    return Mechanism(
        standard_score(a),
        lambda u: torch.sigmoid(LOGIT_BETA.value(u, a, b)).to(dtype).clamp(info.tiny, 1 - info.eps / 2),
        lambda x: LOGIT_BETA.score(torch.logit(checked_value(distribution, x).double()), a, b),
    )


@mechanism.register(td.FisherSnedecor)
def _fisher_snedecor(distribution: td.FisherSnedecor) -> Mechanism:
    """The odds of a Beta(df1 / 2, df2 / 2), scaled."""
    df1, df2 = distribution.df1.double(), distribution.df2.double()
    log_ratio = df2.log() - df1.log()
    return Mechanism(
        standard_score(df1),
        lambda u: (LOGIT_BETA.value(u, df1 / 2, df2 / 2) + log_ratio).exp().to(distribution.df1.dtype),
        lambda x: LOGIT_BETA.score(checked_value(distribution, x).double().log() - log_ratio, df1 / 2, df2 / 2),
    )


@mechanism.register(td.StudentT)
def _student_t(distribution: td.StudentT) -> Mechanism:
    df, loc, scale = distribution.df.double(), distribution.loc.double(), distribution.scale.double()
    return Mechanism(
        standard_score(loc),
        lambda u: (loc + scale * ASINH_STUDENT.value(u, df).sinh()).to(distribution.loc.dtype),
        lambda x: ASINH_STUDENT.score(((checked_value(distribution, x) - loc) / scale).asinh(), df),
    )


@mechanism.register(dist.MultivariateStudentT)
def _multivariate_student_t(distribution: dist.MultivariateStudentT) -> Mechanism:
    """The Rosenblatt transform: given the coordinates before it, each coordinate is a scaled Student t."""
    loc, scale_tril = distribution.loc.double(), distribution.scale_tril.double()
    size = loc.shape[-1]
    df = distribution.df.double().unsqueeze(-1) + torch.arange(size, dtype=torch.float64, device=loc.device)

    def abduct(x: Tensor) -> Tensor:
        centred = (checked_value(distribution, x) - loc).unsqueeze(-1)
        z = torch.linalg.solve_triangular(scale_tril, centred, upper=False).squeeze(-1)
        squares = df[..., :1] + z.square().cumsum(-1) - z.square()
        return ASINH_STUDENT.score((z * (df / squares).sqrt()).asinh(), df)

    def forward(u: Tensor) -> Tensor:
        t = ASINH_STUDENT.value(u, df).sinh()
        squares, z = df[..., 0], []
        for k in range(size):
            z.append(t[..., k] * (squares / df[..., k]).sqrt())
            squares = squares + z[-1].square()
        x: Tensor = loc + (scale_tril @ torch.stack(z, -1).unsqueeze(-1)).squeeze(-1)
        return x.to(distribution.loc.dtype)

    return Mechanism(standard_score(loc).to_event(1), forward, abduct)


@mechanism.register(td.VonMises)
def _von_mises(distribution: td.VonMises) -> Mechanism:
    """The score of the angle from ``loc``, cut at the antipode."""
    loc, concentration = distribution.loc.double(), distribution.concentration.double()
    circle = constraints.interval(-math.pi, math.pi)

    def wrap(angle: Tensor) -> Tensor:
        return (angle + math.pi) % (2 * math.pi) - math.pi

    def forward(u: Tensor) -> Tensor:
        angle = math.pi * torch.special.erf(VON_MISES.value(u, concentration) / math.sqrt(2))
        return wrap(loc + angle).to(distribution.loc.dtype)

    def abduct(x: Tensor) -> Tensor:
        angle = wrap(checked_value(distribution, x, circle).double() - loc)
        return VON_MISES.score(torch.special.ndtri(0.5 + angle / (2 * math.pi)), concentration)

    return Mechanism(standard_score(loc), forward, abduct)


@mechanism.register(td.Dirichlet)
def _dirichlet(distribution: td.Dirichlet) -> Mechanism:
    """Stick breaking: each part is a Beta share of what the parts before it left (Connor and Mosimann 1969)."""
    concentration = distribution.concentration.double()
    dtype = distribution.concentration.dtype
    rest = concentration.flip(-1).cumsum(-1).flip(-1)[..., 1:]
    first = concentration[..., :-1]

    def forward(u: Tensor) -> Tensor:
        y = LOGIT_BETA.value(u, first, rest)
        left = torch.nn.functional.pad(logsigmoid(-y).cumsum(-1), (1, 0))
        taken = torch.nn.functional.pad(logsigmoid(y), (0, 1))
        return (left + taken).exp().to(dtype).clamp(min=torch.finfo(dtype).tiny)

    def abduct(x: Tensor) -> Tensor:
        x = checked_value(distribution, x, _SIMPLEX).double()
        left = x.flip(-1).cumsum(-1).flip(-1)[..., 1:]
        return LOGIT_BETA.score(x[..., :-1].log() - left.log(), first, rest)

    return Mechanism(standard_score(first).to_event(1), forward, abduct)


class _Simplex(constraints.Constraint):
    """The simplex, with room for the rounding of many parts in float32."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-4)


_SIMPLEX = _Simplex()
