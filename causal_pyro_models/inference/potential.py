"""The density of hidden noise as Hamiltonian Monte Carlo sees it: minus its logarithm, of unconstrained values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.ops.integrator import potential_grad
from pyro.poutine.messenger import Messenger
from torch.distributions import biject_to

from causal_pyro_models.errors import AbductionError
from causal_pyro_models.inference.conditioned import Conditioned
from causal_pyro_models.inference.evidence import observed_log_prob
from causal_pyro_models.inference.program import traced
from causal_pyro_models.scm.sites import is_deterministic

TRIES = 100  # of a point from which the density can be climbed


class Potential:
    """Minus the log density of latents and evidence, as a function of the latents mapped to all real numbers.

    One handler puts the latents in place and adds the densities up while the program runs; nothing is recorded. The
    density is the same as that of a Pyro trace, where it costs twice as much.

    Args:
        conditioned: the model on evidence.

    Raises:
        AbductionError: a latent with finitely many or countably many values, which no gradient moves.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from causal_pyro_models.inference.program import inspect_model
        >>> def model():
        ...     s = pyro.sample("S", dist.Exponential(1.0))
        ...     pyro.sample("X", dist.Normal(0.0, s))
        >>> potential = Potential(Conditioned.on(inspect_model(model), {"X": [1.0]}))
        >>> at = {"U_S": torch.zeros(1)}  # S = 1: exp(-1) from the prior, N(1; 0, 1), and the Jacobian 1
        >>> print(f"{float(potential(at)):.4f}, exactly {1.0 + 0.5 + 0.9189:.4f}")
        2.4189, exactly 2.4189
    """

    def __init__(self, conditioned: Conditioned) -> None:
        self.model = conditioned.sampled_model()
        self.moving = {name for name, site in conditioned.program.sites.items() if site.support is None}
        self.transforms: dict[str, Any] = {}  # None where a support moves with the values of other sites
        self._like: dict[str, torch.Tensor] = {}
        nodes = traced(self.model).nodes
        for name, latent in ((name, conditioned.latent_name(name)) for name in conditioned.sampled):
            fn = nodes[latent]["fn"]
            if fn.support.is_discrete:
                raise AbductionError(
                    f"NUTS moves along gradients, and {name!r} has discrete values: use ImportanceSampling(), or put "
                    f"it in a plate over units, where finitely many states are summed over."
                )
            transform = biject_to(fn.support)
            self._like[latent] = transform.inv(nodes[latent]["value"]).detach()
            self.transforms[latent] = None if latent in self.moving else transform

    def __call__(self, unconstrained: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return -self._run(unconstrained).total

    def constrained(self, draws: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The latents of unconstrained draws ``(draws, ...)``."""
        if None not in self.transforms.values():
            return {name: self.transforms[name](value) for name, value in draws.items()}
        count = len(next(iter(draws.values())))
        rows = [self._run({name: value[i] for name, value in draws.items()}).latents for i in range(count)]
        return {name: torch.stack([row[name] for row in rows]) for name in draws}

    def start(self) -> dict[str, torch.Tensor]:
        """A random point from -2 to 2 along each axis, where density and gradient are finite.

        Raises:
            AbductionError: none was found.
        """
        for _ in range(TRIES):
            point = {name: torch.empty_like(value).uniform_(-2.0, 2.0) for name, value in self._like.items()}
            with poutine.block():
                slope, value = potential_grad(self, point)
            if all(bool(torch.isfinite(part).all()) for part in (value, *slope.values())):
                return {name: value.detach() for name, value in point.items()}
        raise AbductionError(
            f"the density of {list(self._like)} given the evidence is finite at none of {TRIES} random points, so NUTS "
            f"has nowhere to start: see whether the evidence is possible under the model."
        )

    def _run(self, unconstrained: Mapping[str, torch.Tensor]) -> _Density:
        with _Density(self, unconstrained) as density:
            self.model()
        return density


class _Density(Messenger):
    """Puts latents in place, and adds up the log density of what is observed, of the latents, and of their mapping."""

    def __init__(self, of: Potential, unconstrained: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.of, self.unconstrained = of, unconstrained
        self.total = torch.zeros(())
        self.latents: dict[str, torch.Tensor] = {}

    def _pyro_sample(self, msg: Any) -> None:
        name, fn = msg["name"], msg["fn"]
        if name not in self.unconstrained:
            return
        point, transform = self.unconstrained[name], self.of.transforms[name] or biject_to(fn.support)
        value = transform(point)
        self.total = self.total + transform.log_abs_det_jacobian(point, value).sum()
        self.latents[name] = value
        msg["value"], msg["is_observed"] = value, True

    def _pyro_post_sample(self, msg: Any) -> None:
        if not msg["is_observed"] or is_deterministic(msg):
            return
        if msg["name"] in self.of.moving:
            log_prob = observed_log_prob(msg)
        else:
            log_prob = scale_and_mask(msg["fn"].log_prob(msg["value"]), msg["scale"], msg["mask"])
        self.total = self.total + log_prob.sum()
