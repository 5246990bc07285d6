"""Nonlinear structural causal models with explicit, invertible noise, answered by their equations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch.distributions.transforms import SigmoidTransform

from causal_pyro_models.arrays import Array
from causal_pyro_models.errors import EvidenceError, InterventionError
from causal_pyro_models.isolation import isolated
from causal_pyro_models.scm.handlers.interventions import Do, Potential
from causal_pyro_models.scm.zoo.base import AnalyticSCM, broadcast, finite
from causal_pyro_models.seeding import seeded
from causal_pyro_models.validation import checked_count


@dataclass(frozen=True)
class Equation:
    """One structural equation x = forward(u, \\*parents), increasing in u, and the site that has its law.

    Attributes:
        parents: names of the parents, in the order of the arguments below.
        site: maps the parents' tensors to the distribution of the sample statement.
        forward: maps noise and the parents' arrays to the value.
        inverse: maps value and the parents' arrays to the noise; NaN or infinite outside the support.
        noise: draws n values of the noise from NumPy's global generator.

    Example:
        >>> noisy = Equation(("X",), lambda x: dist.Normal(2 * x, 1.0), lambda u, x: 2 * x + u, lambda y, x: y - 2 * x)
        >>> scm = NonlinearSCM({"X": chain().equations["X"], "Y": noisy})
        >>> round(float(scm.counterfactual({"X": 1.0, "Y": 2.5}, {"X": 2.0})["Y"]), 6)  # the noise of Y is 0.5
        4.5
    """

    parents: tuple[str, ...]
    site: Callable[..., TorchDistributionMixin]
    forward: Callable[..., Array]
    inverse: Callable[..., Array]
    noise: Callable[[int], Array] = np.random.standard_normal


class NonlinearSCM(AnalyticSCM):
    """A Pyro model of continuous sites with its equations beside it, in plain NumPy float64.

    Each equation is increasing in its noise, so with every variable seen the noise is one point and counterfactuals are
    certain. An intervention may be a number or array, a function of the natural value, or ``potential(...)``.

    Args:
        equations: variable -> its equation.

    References:
        Pearl (2009), Causality, section 7.1 (abduction, action, prediction).

    Example:
        >>> scm = triangle()
        >>> seen = scm.simulate(1_000, seed=0)
        >>> same = scm.counterfactual(seen, do={})
        >>> bool(np.allclose(same["Y"], seen["Y"]))
        True
    """

    def __init__(self, equations: Mapping[str, Equation]) -> None:
        super().__init__(tuple(equations), [(p, child) for child, e in equations.items() for p in e.parents])
        self.equations = {name: equations[name] for name in self.graph.topological_order}

    def __call__(self) -> dict[str, torch.Tensor]:
        """Run the Pyro program."""
        values: dict[str, torch.Tensor] = {}
        for name, equation in self.equations.items():
            values[name] = pyro.sample(name, equation.site(*(values[parent] for parent in equation.parents)))
        return values

    @isolated
    def simulate(self, num_samples: int, do: Do | None = None, seed: int | None = None) -> dict[str, Array]:
        """Draw units by the equations, under ``do`` if given: variable -> array of shape (num_samples,).

        Example:
            >>> low, high = (chain().simulate(5, {"X": x}, seed=0)["Y"] for x in (1.0, 2.0))
            >>> np.round(high / low, 4).tolist()  # the same noise, a power of the dose
            [1.5801, 1.5801, 1.5801, 1.5801, 1.5801]
        """
        units = checked_count(num_samples, "num_samples")
        with seeded(seed):
            noise = {name: equation.noise(units) for name, equation in self.equations.items()}
        return self._solve(noise, do)

    def abduct(self, values: Mapping[str, Any]) -> dict[str, Array]:
        """The noise of every variable, given the values of all.

        Raises:
            EvidenceError: a variable is missing, or a value is outside the support.

        Example:
            >>> {name: round(float(u), 6) for name, u in chain().abduct({"X": 1.0, "M": 2.0, "Y": 1.5}).items()}
            {'X': 0.0, 'M': 1.732868, 'Y': -1.856656}
        """
        self.known(values)
        if missing := [name for name in self.variables if name not in values]:
            raise EvidenceError(f"no value for {missing}: the equations need the values of all variables.")
        seen = {name: finite(name, value, EvidenceError) for name, value in values.items()}
        seen = dict(zip(seen, broadcast(seen, EvidenceError), strict=True))
        noise = {}
        for name, equation in self.equations.items():
            with np.errstate(invalid="ignore", divide="ignore"):
                noise[name] = equation.inverse(seen[name], *(seen[parent] for parent in equation.parents))
            if not np.isfinite(noise[name]).all():
                raise EvidenceError(f"a value of {name!r} is outside the support of its distribution.")
        return noise

    def counterfactual(self, values: Mapping[str, Any], do: Do | None) -> dict[str, Array]:
        """The values of all variables in the world ``do``, given those of the factual world.

        Args:
            values: variable -> number or array over units; all variables.
            do: the intervention.

        Example:
            >>> seen = {"X": 1.0, "M": 2.0, "Y": 1.5}
            >>> {name: round(float(x), 4) for name, x in chain().counterfactual(seen, {"X": 4.0}).items()}
            {'X': 4.0, 'M': 4.5948, 'Y': 3.745}
        """
        return self._solve(self.abduct(values), do)

    def _solve(self, noise: Mapping[str, Array], do: Do | None) -> dict[str, Array]:
        do = self.checked_do(do)
        shape = np.broadcast_shapes(*(u.shape for u in noise.values()))
        values: dict[str, Array] = {}
        for name, equation in self.equations.items():
            value: Any = do.get(name)
            if isinstance(value, Potential):
                values[name] = self._solve(noise, value.do)[value.name]
                continue
            x = equation.forward(noise[name], *(values[parent] for parent in equation.parents))
            if name in do:
                x = finite(name, value(torch.as_tensor(x)) if callable(value) else value, InterventionError)
            try:
                values[name] = np.broadcast_to(x, shape).copy()
            except ValueError:
                raise InterventionError(
                    f"variable {name!r} was given values of shape {x.shape}, which does not broadcast to {shape}, the "
                    f"shape of the units."
                ) from None
        return values


Location = Callable[..., Any]  # of torch or numpy, then the parents


def _normal(location: Location, scale: Location, *parents: str) -> Equation:
    """x = location + scale u."""
    return Equation(
        parents,
        lambda *pa: dist.Normal(location(torch, *pa), scale(torch, *pa)),
        lambda u, *pa: location(np, *pa) + scale(np, *pa) * u,
        lambda x, *pa: (x - location(np, *pa)) / scale(np, *pa),
    )


def _log_normal(location: Location, scale: float, *parents: str) -> Equation:
    """x = exp(location + scale u): multiplicative noise on a positive variable."""
    return Equation(
        parents,
        lambda *pa: dist.LogNormal(location(torch, *pa), scale),
        lambda u, *pa: np.exp(location(np, *pa) + scale * u),
        lambda x, *pa: (np.log(x) - location(np, *pa)) / scale,
    )


def _logit_normal(location: Location, scale: float, *parents: str) -> Equation:
    """x = sigmoid(location + scale u), between 0 and 1."""
    return Equation(
        parents,
        lambda *pa: dist.TransformedDistribution(dist.Normal(location(torch, *pa), scale), SigmoidTransform()),
        lambda u, *pa: 1 / (1 + np.exp(-location(np, *pa) - scale * u)),
        lambda x, *pa: (np.log(x / (1 - x)) - location(np, *pa)) / scale,
    )


def _weibull(scale: Location, shape: Location, *parents: str) -> Equation:
    """x = scale u^(1 / shape), u standard exponential: a monotone equation in which u does not separate."""
    return Equation(
        parents,
        lambda *pa: dist.Weibull(scale(torch, *pa), shape(torch, *pa)),
        lambda u, *pa: scale(np, *pa) * u ** (1 / shape(np, *pa)),
        lambda x, *pa: (x / scale(np, *pa)) ** shape(np, *pa),
        np.random.standard_exponential,
    )


def _constant(value: float) -> Location:
    return lambda xp, *pa: value


def chain() -> NonlinearSCM:
    """X -> M -> Y, positive, with multiplicative log-normal noise: elasticities 0.6 and 1.1.

    Example:
        >>> round(float(chain().counterfactual({"X": 1.0, "M": 2.0, "Y": 1.5}, {"X": 2.0})["Y"]), 6)  # 1.5 * 2^0.66
        2.370124
    """
    return NonlinearSCM(
        {
            "X": _log_normal(_constant(0.0), 0.5),
            "M": _log_normal(lambda xp, x: 0.6 * xp.log(x), 0.4, "X"),
            "Y": _log_normal(lambda xp, m: 0.2 + 1.1 * xp.log(m), 0.3, "M"),
        }
    )


def fork() -> NonlinearSCM:
    """X <- Z -> Y with additive noise around tanh and cosine (Hoyer et al. 2009, Nonlinear causal discovery).

    Example:
        >>> round(float(fork().counterfactual({"Z": 0.0, "X": 0.5, "Y": 1.0}, {"Z": 1.0})["X"]), 6)  # tanh(2) + 0.5
        1.464028
    """
    return NonlinearSCM(
        {
            "Z": _normal(_constant(0.0), _constant(1.0)),
            "X": _normal(lambda xp, z: xp.tanh(2 * z), _constant(0.3), "Z"),
            "Y": _normal(lambda xp, z: xp.cos(2 * z), _constant(0.5), "Z"),
        }
    )


def collider() -> NonlinearSCM:
    """X -> C <- Y with C between 0 and 1, its logit the product of the causes and noise.

    Example:
        >>> round(float(collider().counterfactual({"X": 1.0, "Y": 1.0, "C": 0.5}, {"X": 2.0})["C"]), 6)  # sigmoid(1)
        0.731059
    """
    return NonlinearSCM(
        {
            "X": _normal(_constant(0.0), _constant(1.0)),
            "Y": _normal(_constant(0.5), _constant(1.0)),
            "C": _logit_normal(lambda xp, x, y: x * y, 0.5, "X", "Y"),
        }
    )


def triangle() -> NonlinearSCM:
    """Z -> X -> Y with Z -> Y, where the parents move the spread as well as the mean: location-scale noise.

    References:
        Immer et al. (2023), On the identifiability and estimation of causal location-scale noise models.

    Example:
        >>> seen = {"Z": 0.0, "X": 0.0, "Y": 0.5}  # noise of Y: 0.5 / 0.5
        >>> round(float(triangle().counterfactual(seen, {"X": 2.0})["Y"]), 6)  # 0.5 * 2^2 + (0.5 + 0.5 * 2^2) * 1
        4.5
    """
    return NonlinearSCM(
        {
            "Z": _normal(_constant(0.0), _constant(1.0)),
            "X": _normal(lambda xp, z: xp.sin(z), lambda xp, z: 0.4 + 0.2 * z**2, "Z"),
            "Y": _normal(lambda xp, z, x: 0.5 * x**2 - z, lambda xp, z, x: 0.5 + 0.5 * x**2, "Z", "X"),
        }
    )


def mediation() -> NonlinearSCM:
    """X -> M -> Y with X -> Y: a Weibull mediator whose shape X changes, and an outcome in which X and M interact.

    The equation of M is monotone in its noise and neither additive nor location-scale: models that assume either get
    its counterfactuals wrong.

    Example:
        >>> from causal_pyro_models.scm.handlers.interventions import potential
        >>> seen = {"X": 0.0, "M": 4.0, "Y": 4.0}  # noise of M: 4^2 = 16
        >>> nested = {"X": 0.0, "M": potential("M", {"X": 1.0})}
        >>> round(float(mediation().counterfactual(seen, nested)["M"]), 6)  # e^0.3 * 16^(1 / (2 + tanh 1))
        3.683934
    """
    return NonlinearSCM(
        {
            "X": _normal(_constant(0.0), _constant(1.0)),
            "M": _weibull(lambda xp, x: xp.exp(0.3 * x), lambda xp, x: 2 + xp.tanh(x), "X"),
            "Y": _normal(lambda xp, x, m: m * (1 + 0.5 * x), _constant(0.4), "X", "M"),
        }
    )
