"""Abduction by the No-U-Turn sampler over noise sites."""

from dataclasses import dataclass
from typing import Any

import pyro.infer
import torch

from causal_pyro_models.errors import QueryError
from causal_pyro_models.inference.chains import FEWEST_DRAWS, bulk_effective_sample_size
from causal_pyro_models.inference.conditioned import Conditioned
from causal_pyro_models.inference.posterior import Posterior
from causal_pyro_models.inference.potential import Potential
from causal_pyro_models.isolation import let_others
from causal_pyro_models.validation import checked_count


@dataclass(frozen=True)
class NUTS:
    """Abduction by Hamiltonian Monte Carlo over the noise of unobserved sites and population-level parameters.

    Args:
        num_warmup: steps of adaptation in each chain, not returned.
        num_chains: independent chains, run one after the other so that a seed gives the same draws on any machine.
        target_accept: the acceptance probability that the step size is adapted to.
        max_tree_depth: the longest trajectory is two to this power steps.
        progress: shows a progress bar for each chain.

    References:
        Hoffman and Gelman (2014), The No-U-Turn Sampler.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from causal_pyro_models import abduct
        >>> def model():
        ...     z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        ...     pyro.sample("X", dist.Normal(z, 1.0))
        >>> nuts = NUTS(num_warmup=100, progress=False)
        >>> noise = abduct(model, {"X": 2.0}, method=nuts, num_samples=800, seed=0)
        >>> noise["U_Z"].shape, noise.chains
        (torch.Size([800, 1]), 4)
    """

    num_warmup: int = 500
    num_chains: int = 4
    target_accept: float = 0.8
    max_tree_depth: int = 10
    progress: bool = True

    def __post_init__(self) -> None:
        for name, least in {"num_warmup": 0, "num_chains": 1, "max_tree_depth": 1}.items():
            checked_count(getattr(self, name), f"{name} of NUTS", least)
        if not (isinstance(self.target_accept, float) and 0.0 < self.target_accept < 1.0):
            raise QueryError(f"target_accept of NUTS must lie between 0 and 1, got {self.target_accept!r:.80}.")

    def draw(self, conditioned: Conditioned, relevant: list[str], num_samples: int) -> Posterior:
        """Draw the latents of the relevant sites, ``num_samples`` in all chains together."""
        if num_samples % self.num_chains:
            nearest = -(-num_samples // self.num_chains) * self.num_chains
            raise QueryError(
                f"num_samples={num_samples} does not divide into {self.num_chains} chains: ask for {nearest}, say."
            )
        if num_samples < FEWEST_DRAWS * self.num_chains:
            raise QueryError(
                f"num_samples={num_samples} is {num_samples // self.num_chains} draws in each of {self.num_chains} "
                f"chains, and nothing can be said of fewer than {FEWEST_DRAWS}: ask for "
                f"{FEWEST_DRAWS * self.num_chains} or more."
            )
        places = conditioned.places(conditioned.sampled)
        parts: list[dict[str, torch.Tensor]] = []
        divergences: list[int] = []
        with torch.enable_grad(), pyro.validation_enabled(False):
            potential = Potential(conditioned)
            for _ in range(self.num_chains):
                draws, divergent = self._chain(potential, num_samples // self.num_chains)
                parts.append(potential.constrained(draws))
                divergences.append(divergent)
        latents = {}
        for name, place in places.items():
            value = torch.cat([part[name] for part in parts])
            plates = value.dim() - 1 - place.event_dim
            latents[name] = value.reshape(num_samples, *(1,) * (conditioned.program.nesting - plates), *value.shape[1:])
        ess = _effective_sample_size(latents, self.num_chains)
        states = {}
        if conditioned.states.values:
            states = conditioned.states.chosen(conditioned.states.summed(latents, num_samples)[1])
        return Posterior(latents, None, ess, None, self.num_chains, tuple(divergences), states)

    def _chain(self, potential: Potential, num_samples: int) -> tuple[dict[str, torch.Tensor], int]:
        """Unconstrained draws of one chain, and how many of its transitions diverged."""
        divergent = 0

        def after(kernel: Any, _params: Any, stage: str, _i: int) -> None:
            nonlocal divergent
            let_others()
            if stage.startswith("Sample"):
                divergent = len(kernel.diagnostics()["divergences"])

        kernel = pyro.infer.NUTS(
            potential_fn=potential, target_accept_prob=self.target_accept, max_tree_depth=self.max_tree_depth
        )
        mcmc = pyro.infer.MCMC(
            kernel,
            num_samples,
            warmup_steps=self.num_warmup,
            initial_params=potential.start(),
            hook_fn=after,
            disable_progbar=not self.progress,
            transforms={},
        )
        mcmc.run()
        return mcmc.get_samples(), divergent


def _effective_sample_size(latents: dict[str, torch.Tensor], chains: int) -> torch.Tensor:
    """The least bulk effective sample size among the latents of each unit."""
    scalars = torch.cat([value.double().reshape(len(value), -1) for value in latents.values()], 1)
    by_chain = scalars.reshape(chains, -1, scalars.shape[1]).cpu().numpy()
    return torch.tensor([float(bulk_effective_sample_size(by_chain).min())])
