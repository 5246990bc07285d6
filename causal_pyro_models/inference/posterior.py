"""What a method of abduction hands back: draws of latents, and how good they are."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Posterior:
    """Draws of latent sites from their posterior.

    Attributes:
        latents: draws by site, in the shapes the model runs in: a dimension for draws, one for every plate, the event.
        log_weights: normalised log weights ``(draws, units)`` or ``(draws,)``; None where all are equal.
        ess: effective sample size by unit; None where every draw counts.
        pareto_k: Pareto k-hat by unit.
        chains: the number of Markov chains that the draws come from.
        divergences: divergent transitions in each chain.
        states: draws of hidden sites that were summed out, ``(draws, units, *event)``: the sites, not their noise.
    """

    latents: Mapping[str, torch.Tensor]
    log_weights: torch.Tensor | None = None
    ess: torch.Tensor | None = None
    pareto_k: torch.Tensor | None = None
    chains: int = 1
    divergences: tuple[int, ...] = ()
    states: Mapping[str, torch.Tensor] = field(default_factory=dict)
