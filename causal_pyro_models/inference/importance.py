"""Importance sampling of the noise, from its prior or from a guide, with Pareto-smoothed weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyro
import torch
from pyro import poutine

from causal_pyro_models.errors import AbductionError, EvidenceError
from causal_pyro_models.inference.conditioned import Conditioned, latents_of
from causal_pyro_models.inference.evidence import observed_log_prob
from causal_pyro_models.inference.guides import Guide, run_guide
from causal_pyro_models.inference.posterior import Posterior
from causal_pyro_models.inference.program import traced
from causal_pyro_models.inference.weights import effective_sample_size, pareto_smooth

STATE = ""  # beside the latents: the number of the joint state of the sites that are summed out


@dataclass(frozen=True)
class ImportanceSampling:
    """Abduction by importance sampling: latent noise from a proposal, weighted by the evidence.

    Weights are Pareto-smoothed, unit by unit where the units share nothing random and the guide draws each on its own.
    Hidden sites with finitely many states, up to 10,000 joint ones of a unit, are not sampled but summed over; where
    nothing else is hidden, the draws are exact. Categories with parents in their number of states are sampled.

    Effective sample size and k-hat judge the weights of the draws that there are. They cannot see a mode of the
    posterior that no draw of the proposal came near: all weights then are even, k-hat is low, and the answer is that of
    the modes that were found. So it is with a hidden cause of which the evidence can be explained by rare values alone,
    and with a guide, such as a normal one, that has learned one of several modes. Where that may be, compare with NUTS
    from several chains, or with a wider proposal.

    Args:
        guide: the proposal, a guide over noise sites (see :func:`fit_guide`); None draws from the prior.

    References:
        Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from causal_pyro_models import counterfactual
        >>> def model():
        ...     z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        ...     x = pyro.sample("X", dist.Normal(z, 1.0))
        ...     pyro.sample("Y", dist.Normal(x + z, 1.0))
        >>> evidence = {"X": [1.0], "Y": [2.0]}
        >>> world = counterfactual(
        ...     model, evidence, {"X": 0.0}, method=ImportanceSampling(), num_samples=20_000, seed=0
        ... )
        >>> print(f"{world.mean('Y').item():.2f}, exactly 1.00")
        1.00, exactly 1.00
    """

    guide: Guide | None = None

    def __post_init__(self) -> None:
        if self.guide is not None and (isinstance(self.guide, type) or not callable(self.guide)):
            raise AbductionError(
                f"the guide of ImportanceSampling must be a function or what fit_guide returns, got {self.guide!r:.80}."
            )

    def draw(self, conditioned: Conditioned, relevant: list[str], num_samples: int) -> Posterior:
        """Draw the latents of the relevant sites and weight them."""
        with pyro.validation_enabled(False):
            wanted = [conditioned.latent_name(name) for name in conditioned.sampled]
            proposed, log_q = run_guide(self.guide, conditioned, wanted, num_samples)
            states = conditioned.states.values
            if any(conditioned.latent_name(name) in proposed for name in states):  # the guide draws them itself
                wanted, states = [conditioned.latent_name(name) for name in relevant], {}
            trace = traced(poutine.condition(conditioned.model(num_samples), data=proposed))
            latents = {**latents_of(trace), **proposed}
            latents = {name: latents[name] for name in wanted}
            if states:
                log_p, latents[STATE] = conditioned.states.summed(latents, num_samples)
                for name in proposed:
                    log_p = log_p + conditioned.per_unit(observed_log_prob(trace.nodes[name]), num_samples)
            else:
                log_p = conditioned.log_likelihood(trace, num_samples)
            if log_q.dim() == 1:
                log_p = log_p.reshape(num_samples, -1).sum(1)
        posterior = _weighted(latents, log_p - log_q)
        if not states:
            return posterior
        index = posterior.latents[STATE]
        return replace(
            posterior,
            latents={name: value for name, value in posterior.latents.items() if name != STATE},
            states=conditioned.states.chosen(index),
        )


def _weighted(latents: dict[str, torch.Tensor], log_weights: torch.Tensor) -> Posterior:
    log_weights = torch.where(log_weights.isnan(), -torch.inf, log_weights)
    dead = torch.isneginf(log_weights).all(0)
    if bool(dead.any()):
        raise EvidenceError(
            f"the evidence has probability zero under every one of {log_weights.shape[0]} draws of the unobserved "
            f"noise, for {int(dead.sum())} of {dead.numel()} units: it contradicts the model, or needs a better "
            f"proposal (fit_guide) or NUTS()."
        )
    best = log_weights.argmax(0, keepdim=True)
    impossible = torch.isneginf(log_weights)
    latents = {name: _replaced(value, impossible, best) for name, value in latents.items()}
    smoothed, pareto_k = pareto_smooth(log_weights)
    return Posterior(latents, smoothed, effective_sample_size(smoothed).reshape(-1), pareto_k.reshape(-1))


def _replaced(value: torch.Tensor, impossible: torch.Tensor, best: torch.Tensor) -> torch.Tensor:
    """Draws of weight zero, replaced by the best one, so that all that follows runs on possible worlds."""
    extra = (1,) * (value.dim() - impossible.dim())
    full = impossible.reshape(impossible.shape + extra)
    chosen = value.gather(0, best.reshape(best.shape + extra).expand(1, *value.shape[1:]))
    return torch.where(full, chosen, value)
