"""The contract of a mechanism as a suite of checks, to run on the families of the package and on one's own."""

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from pyro.distributions.torch_distribution import MaskedDistribution
from torch import Tensor
from torch.distributions import biject_to

from causal_pyro_models.errors import EvidenceError, MechanismError
from causal_pyro_models.isolation import isolated
from causal_pyro_models.scm.checks import Check, CheckReport
from causal_pyro_models.scm.mechanisms.registry import Distribution, Mechanism, mechanism, unregistered
from causal_pyro_models.scm.mechanisms.samples import (
    chi_square,
    draw,
    jacobian,
    kolmogorov,
    kolmogorov_limit,
    normal_limit,
    ranks,
)
from causal_pyro_models.seeding import seeded
from causal_pyro_models.validation import checked_count

FALSE_ALARM = 1e-7  # of one statistical test: a suite of 100 of them on a sound mechanism fails once in 10^5 runs
KOLMOGOROV, NORMAL = kolmogorov_limit(FALSE_ALARM), normal_limit(FALSE_ALARM)
APART = 16  # elements of the batch that are looked at by themselves
SMALL = 64  # draws for the checks that differentiate


@dataclass(repr=False)
class MechanismReport(CheckReport):
    """What :func:`check_mechanism` measured; every check in it passed.

    Example:
        >>> import pyro.distributions as dist
        >>> report = check_mechanism(dist.Normal(torch.tensor([0.0, 5.0]), 2.0))
        >>> report["round trip"].passed, len(report.checks)
        (True, 12)
    """

    def add(self, name: str, figure: float | Tensor, limit: float, failure: str) -> None:
        """Record a check, or raise if its figure is over the limit or is no number."""
        check = Check(name, float(torch.as_tensor(figure).detach()), limit, failure)
        if not check.passed:
            raise MechanismError(f"the mechanism of {self.subject} fails {check}.")
        self.checks.append(check)


@isolated
def check_mechanism(
    distribution: Distribution,
    *,
    num_samples: int = 20_000,
    seed: int = 0,
    constructor: Callable[[Distribution], Mechanism] = mechanism,
) -> MechanismReport:
    """Whether the mechanism of a distribution keeps its contract; run it on every family that you register.

    A round trip alone shows little: a wrong inverse of a non-bijective transform passes it. The checks are: shapes and
    dtypes; the noise law is free of the parents, whether along the batch or at other parameters; ``forward`` undoes
    ``abduct``; abducted noise of a population follows the noise law, its coordinates uncorrelated; ``forward`` pushes
    the noise law to the distribution; noise and value agree jointly, stratum by stratum of the value, with draws of the
    noise that gave that value (rejection sampling); and for continuous values the density, by the change of variables,
    and the gradients in the noise and in the parameters against finite differences.

    Args:
        distribution: an instance to check, best with a batch of different parameters.
        num_samples: draws for each statistical test, shared among the batch.
        seed: of the draws.
        constructor: how the mechanism is made, for example ``quantile``.

    Returns:
        The checks with their figures. A statistical test gives a false alarm once in 10^7 runs.

    Raises:
        MechanismError: a check failed; the message names it.

    Example:
        >>> import pyro.distributions as dist
        >>> class Triangular(dist.TorchDistribution):  # on (0, width), most likely at the width
        ...     arg_constraints = {"width": dist.constraints.positive}
        ...     support = dist.constraints.positive
        ...     def __init__(self, width):
        ...         self.width = width
        ...         super().__init__(width.shape)
        ...     def expand(self, batch_shape):
        ...         return Triangular(self.width.expand(batch_shape))
        ...     def sample(self, sample_shape=()):
        ...         return self.width * torch.rand(*sample_shape, *self.batch_shape).sqrt()
        ...     def log_prob(self, x):
        ...         return (2 * x / self.width**2).log()
        >>> @mechanism.register(Triangular)
        ... def triangular(d):
        ...     noise = dist.Uniform(torch.zeros_like(d.width), torch.ones_like(d.width))
        ...     return Mechanism(noise, lambda u: d.width * u.sqrt(), lambda x: (x / d.width) ** 2)
        >>> report = check_mechanism(Triangular(torch.tensor([1.0, 5.0])))
        >>> report["round trip"].figure < 1e-6
        True
        >>> @mechanism.register(Triangular)
        ... def forgets_the_root(d):
        ...     noise = dist.Uniform(torch.zeros_like(d.width), torch.ones_like(d.width))
        ...     return Mechanism(noise, lambda u: d.width * u, lambda x: x / d.width)
        >>> check_mechanism(Triangular(torch.tensor([1.0, 5.0])))
        Traceback (most recent call last):
        ...
        causal_pyro_models.errors.MechanismError: ... fails the check 'noise law': ...
    """
    if not isinstance(distribution, torch.distributions.Distribution):
        raise unregistered(distribution)
    num_samples = checked_count(num_samples, "num_samples")
    if not callable(constructor):
        raise MechanismError(f"constructor must be a function such as quantile, got {constructor!r:.80}.")
    while isinstance(distribution, MaskedDistribution):  # a mask hides density, and changes nothing else
        distribution = distribution.base_dist
    with seeded(seed):
        suite = _Suite(distribution, constructor, max(num_samples // _numel(distribution.batch_shape), 500))
        suite.check_shapes()
        suite.check_parent_free()
        suite.check_round_trip()
        suite.check_laws()
        suite.check_strata()
        if not suite.discrete:
            suite.check_slope()
            suite.check_density()
            suite.check_noise_gradient()
            suite.check_parameter_gradient()
    return suite.report


class _Suite:
    """The checks, sharing one population of values ``x`` with abducted noise ``u``, and one of noise ``v`` pushed
    forward to ``y``."""

    def __init__(self, distribution: Distribution, constructor: Callable[[Distribution], Mechanism], n: int):
        self.constructor = constructor
        self.distribution, wide = copy.copy(distribution), copy.copy(distribution)  # Pyro caches and expands in place
        self.wide = self._expanded(wide)
        self.report = MechanismReport(type(distribution).__name__)
        self.family = _family(self.distribution)
        self.mechanism = constructor(self.distribution)
        self.noise = self.mechanism.noise
        self.x = draw(self.distribution, n)
        self.discrete = not self.x.is_floating_point() or bool((self.x == self.x.round()).all())
        self.u = self.mechanism.abduct(self.x).detach()
        self.v = draw(self.noise, n)
        self.y = self.mechanism.forward(self.v).detach()
        x = self._flat(self.x, distribution).double()
        quarters = x.quantile(torch.tensor([0.25, 0.75], dtype=x.dtype), 0)
        self.spread = quarters[1] - quarters[0]

    def _expanded(self, distribution: Distribution) -> Mechanism | None:
        try:
            return self.constructor(distribution.expand(torch.Size((2, *distribution.batch_shape))))
        except NotImplementedError:  # the distribution itself cannot be expanded
            return None

    def _flat(self, value: Tensor, law: Distribution) -> Tensor:
        """Draws by batch by event, each flattened."""
        return value.reshape(-1, _numel(law.batch_shape), _numel(law.event_shape))

    def check_shapes(self) -> None:
        d, m = self.distribution, self.mechanism
        batch, event, of_noise = (torch.Size(s) for s in (d.batch_shape, d.event_shape, self.noise.event_shape))
        stacked = self.v[:6].reshape(3, 2, *self.v.shape[1:])
        pairs: dict[str, tuple[Any, Any]] = {
            "batch of the noise": (self.noise.batch_shape, batch),
            "abducted noise": (self.u.shape, self.x.shape[:1] + batch + of_noise),
            "value": (self.y.shape, self.x.shape),
            "value of stacked noise": (m.forward(stacked).shape, (3, 2, *batch, *event)),
            "dtype of the value": (self.y.dtype, self.x.dtype),
            "noise can be drawn with gradients": (self.noise.has_rsample, True),
        }
        with contextlib.suppress(EvidenceError):  # a value of one batch element may be impossible in another
            first = self.x[(0,) * (self.x.dim() - len(event))]
            pairs["noise of one value for the whole batch"] = (m.abduct(first).shape, batch + of_noise)
        if self.wide is not None:
            noise, value = self.wide.abduct(self.x[0]), self.wide.forward(stacked)
            pairs["expanded noise"] = (noise.shape, (2, *batch, *of_noise))
            pairs["expanded value"] = (value.shape, (3, 2, *batch, *event))
            pairs["same value expanded"] = (torch.allclose(value.reshape(self.y[:6].shape), self.y[:6]), True)
            if not m.bijective:
                pairs["same posterior draw throughout an expanded batch"] = (torch.equal(noise[0], noise[1]), False)
        wrong = [f"{name} is {got}, expected {expected}" for name, (got, expected) in pairs.items() if got != expected]
        self.report.add("shapes", len(wrong), 0, "; ".join(wrong))
        unbounded = biject_to(self.noise.support).inv(self.u)
        finite = torch.isfinite(unbounded).all() & torch.isfinite(self.noise.log_prob(self.u)).all()
        self.report.add("support of the noise", 1 - float(finite), 0, "abducted noise lies outside the noise's support")

    def check_parent_free(self) -> None:
        """The noise law along the batch, and at other parameters of the family."""
        size = _numel(self.noise.batch_shape)
        if size > 1:
            shared = self._flat(self.v, self.noise)[:SMALL, :1].expand(-1, size, -1).reshape(-1, *self.noise.shape())
            log_p = self.noise.log_prob(shared).reshape(-1, size)
            gap = (log_p - log_p[:, :1]).abs().max()
            self.report.add("parent-free in the batch", gap, 1e-4, "the noise law differs between batch elements")
        coordinates, at = self.family
        if coordinates:
            moved = {name: w + 0.3 * torch.randn_like(w) for name, w in coordinates.items()}
            other = self.constructor(at(moved)).noise
            gap = (self.noise.log_prob(self.v[:SMALL]) - other.log_prob(self.v[:SMALL])).abs().max()
            self.report.add("parent-free", gap, 1e-4, "the noise law depends on the parameters of the distribution")

    def check_round_trip(self) -> None:
        back = self._flat(self.mechanism.forward(self.u).detach(), self.distribution)
        x = self._flat(self.x, self.distribution)
        if self.discrete:
            self.report.add("round trip", (back != x).sum(), 0, "values that do not come back from their noise")
            return
        limit = 1e-5 if self.x.dtype == torch.float32 else 1e-6
        error = ((back - x).abs() / (x.abs() + self.spread)).max()
        self.report.add("round trip", error, limit, "forward(abduct(x)) is not x")

    def check_laws(self) -> None:
        u, v = self._flat(self.u, self.noise), self._flat(self.v, self.noise)
        worst = max(float(kolmogorov(a, b).max()) for a, b in _pairs(u, v))
        self.report.add("noise law", worst, KOLMOGOROV, "abducted noise does not follow the noise law")
        if u.shape[-1] > 1:
            score = torch.special.ndtri(ranks(u))
            squares = (score.square() - 1) / math.sqrt(2)
            for name, s in (("correlation", score), ("correlation of squares", squares)):
                z = torch.einsum("nbi,nbj->ij", s, s) / math.sqrt(s.shape[0] * s.shape[1])
                worst = float((z - torch.diag(z.diagonal())).abs().max())
                self.report.add(name, worst, NORMAL, "coordinates of abducted noise depend on each other")
        x, y = self._flat(self.x, self.distribution), self._flat(self.y, self.distribution)
        limit, test = (NORMAL, chi_square) if self.discrete else (KOLMOGOROV, kolmogorov)
        worst = max(float(test(a, b).max()) for a, b in _pairs(x, y))
        self.report.add("pushforward", worst, limit, "forward does not push the noise law to the distribution")

    def check_strata(self) -> None:
        """Within a stratum of the first value coordinate, abducted noise against noise whose value fell there."""
        x, y = (self._flat(value, self.distribution)[:, 0, 0].contiguous() for value in (self.x, self.y))
        u, v = self._flat(self.u, self.noise)[:, 0], self._flat(self.v, self.noise)[:, 0]
        if self.discrete:
            values, counts = x.unique(return_counts=True)
            strata = [(x == k, y == k) for k in values[counts.argsort(descending=True)[:6]]]
        else:
            edges = x.quantile(torch.linspace(0, 1, 7, dtype=x.dtype)[1:-1])
            strata = [(torch.bucketize(x, edges) == k, torch.bucketize(y, edges) == k) for k in range(6)]
        kept = [(i, j) for i, j in strata if min(i.sum(), j.sum()) >= 50]
        worst = max((float(kolmogorov(u[i], v[j]).max()) for i, j in kept), default=0.0)
        self.report.add("posterior", worst, KOLMOGOROV, "given the value, abducted noise has the wrong law")

    def check_slope(self) -> None:
        """A few values and the derivative of each in its noise: draws, batch, event of both."""
        self.few = self.u[:SMALL]
        value, slope = jacobian(self.mechanism.forward, self.few, len(self.noise.event_shape))
        self.value, self.slope = value, slope.reshape(len(self.few), -1, *slope.shape[-2:])
        wrong = (~torch.isfinite(slope)).sum()
        self.report.add("finite gradient", wrong, 0, "the derivative of the value in the noise is not finite")

    def check_density(self) -> None:
        if not self.mechanism.bijective:
            return
        size = self.slope.shape[-1]
        square = self.slope[..., :size, :].double()  # on a simplex, the density is that of all parts but the last
        volume = torch.linalg.slogdet(square).logabsdet
        expected = self.distribution.log_prob(self.value).reshape(volume.shape)
        found = self.noise.log_prob(self.few).reshape(volume.shape) - volume
        limit = 2e-3 if self.x.dtype == torch.float32 else 1e-6
        error = ((found - expected).abs() / (1 + expected.abs())).max()
        self.report.add("density", error, limit, "log p(x) is not log p(u) - log |dx/du|")

    def check_noise_gradient(self) -> None:
        """The directional derivative against a central difference; by its median, since a flow may have kinks."""
        single = self.x.dtype == torch.float32
        direction = (1e-2 if single else 1e-6) * self._flat(torch.randn_like(self.few), self.noise)
        step = direction.reshape(self.few.shape)
        ends = self.mechanism.forward(torch.stack([self.few + step, self.few - step])).detach()
        difference = self._flat(ends[0] - ends[1], self.distribution).double() / 2
        slope = (self.slope.double() @ direction.double().unsqueeze(-1)).squeeze(-1)
        error = ((slope - difference).abs() / (slope.abs() + 1e-3 * direction.abs().mean() * self.spread)).nanmedian()
        limit = 1e-2 if single else 1e-5
        self.report.add("gradient in the noise", error, limit, "it differs from a finite difference")

    def check_parameter_gradient(self) -> None:
        """Along a random direction of the parameters, in float64."""
        coordinates, at = self.family
        if not coordinates or not self.mechanism.bijective:
            return
        coordinates = {name: w.double() for name, w in coordinates.items()}
        direction = {name: torch.randn_like(w) for name, w in coordinates.items()}
        u = self.u[:SMALL].double()

        def value_at(t: Tensor) -> Tensor:
            shifted = {name: w + t * direction[name] for name, w in coordinates.items()}
            return self.constructor(at(shifted)).forward(u)

        t, h = torch.zeros((), dtype=torch.float64, requires_grad=True), 1e-5
        with torch.no_grad():
            difference = (value_at(t + h) - value_at(t - h)) / (2 * h)
        weight = torch.randn_like(difference)
        (slope,) = torch.autograd.grad((value_at(t) * weight).sum(), t)
        scale = (difference * weight).abs().sum()
        error = (slope - (difference * weight).sum()).abs() / scale.clamp(min=1e-12)
        self.report.add("gradient in parameters", error, 1e-6, "it differs from a finite difference")


_ONE_OF = (("probs", "logits"), ("gate", "gate_logits"), ("scale_tril", "covariance_matrix", "precision_matrix"))


def _family(distribution: Distribution) -> tuple[dict[str, Tensor], Callable[[dict[str, Tensor]], Distribution]]:
    """Unconstrained coordinates of a distribution's parameters, and the distribution at other coordinates.

    No coordinates where the distribution cannot be made anew from its parameters.
    """
    try:
        stated = dict(distribution.arg_constraints)
    except NotImplementedError:
        stated = {}
    for group in _ONE_OF:
        present = [name for name in group if name in stated]
        given = [name for name in present if getattr(distribution, name) is getattr(distribution, "_param", None)]
        for name in set(present) - set((given or present)[:1]):
            del stated[name]
    values = {name: getattr(distribution, name) for name in stated}
    transforms, coordinates = {}, {}
    for name, constraint in stated.items():
        try:
            to = biject_to(constraint)
            w = to.inv(values[name])
        except (NotImplementedError, AttributeError, TypeError):
            continue  # a count, or a bound that depends on another parameter
        if torch.isfinite(w).all():
            transforms[name], coordinates[name] = to, w

    def at(moved: dict[str, Tensor]) -> Distribution:
        dtype = next(iter(moved.values())).dtype
        fixed = {name: v.to(dtype) if isinstance(v, Tensor) else v for name, v in values.items() if name not in moved}
        new: Distribution = type(distribution)(**fixed, **{name: transforms[name](w) for name, w in moved.items()})
        return new

    try:
        remade = bool(coordinates) and at(coordinates).batch_shape == distribution.batch_shape
    except (TypeError, ValueError):
        remade = False
    return (coordinates if remade else {}), at


def _numel(shape: tuple[int, ...]) -> int:
    return math.prod(shape)


def _pairs(a: Tensor, b: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Two populations, a column for each coordinate: the whole batch pooled, then the first of its elements apart."""
    size = a.shape[-1]
    yield a.reshape(-1, size), b.reshape(-1, size)
    if a.shape[1] > 1:
        yield a[:, :APART].reshape(len(a), -1), b[:, :APART].reshape(len(b), -1)
