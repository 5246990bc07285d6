"""Abduction in a model whose parameters are held at draws from a posterior: the hidden noise given each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pyro
import torch

from causal_pyro_models.errors import AbductionError, EvidenceError
from causal_pyro_models.inference.conditioned import Conditioned, latents_of
from causal_pyro_models.inference.gaussian import POINTS, SCALES, Probe
from causal_pyro_models.inference.held import Held
from causal_pyro_models.inference.importance import ImportanceSampling
from causal_pyro_models.inference.posterior import Posterior
from causal_pyro_models.inference.program import traced
from causal_pyro_models.inference.states import AT_ONCE, IN_TURNS, drawn
from causal_pyro_models.inference.weights import effective_sample_size, pareto_smooth

PROPOSALS = 200  # for each draw of the parameters
ENOUGH = 20.0  # of them, by their weights, that make a draw count in full


@dataclass(frozen=True)
class _Part:
    """Hidden noise given some draws of the parameters, and the log density of the evidence given each of these."""

    evidence: torch.Tensor
    latents: Mapping[str, torch.Tensor] = field(default_factory=dict)
    states: Mapping[str, torch.Tensor] = field(default_factory=dict)
    worth: torch.Tensor | None = None  # effective sample size of the proposals, (draws, units)


def given_posterior(
    conditioned: Conditioned, held: Held, method: object, count: int | None
) -> tuple[Posterior, torch.Tensor]:
    """Hidden noise given each draw of the parameters and the evidence, and which draws these are.

    With draws theta_s of p(theta | D) and evidence e, noise u_s is drawn from p(u | theta_s, e). Draws are of equal
    weight, so that the evidence does not bear on the parameters (a cut), or weighed by p(e | theta_s), which gives
    p(theta, u | D, e) where D and e are independent given theta.

    Args:
        conditioned: the model on evidence.
        held: its draws of the parameters.
        method: None for exact draws, or ``ImportanceSampling()`` from the prior of the noise.
        count: how many draws; None for all.

    References:
        Plummer (2015), Cuts in Bayesian graphical models; Rubin (1988), Using the SIR algorithm to simulate posterior
        distributions.
    """
    rows = held.chosen(count)
    for name in conditioned.evidence:
        if name in held.draws:
            raise EvidenceError(
                f"evidence on {name!r} contradicts the draws of it that the model is held at: leave it out, or leave "
                f"{name!r} out of the sites of with_posterior."
            )
    with held.at(rows[:1]), pyro.validation_enabled(False):
        draw, size = _way(conditioned, method)
    if conditioned.program.verdict.in_turns:
        size = min(size, IN_TURNS // (PROPOSALS * conditioned.units))
    parts = []
    for some in rows.split(max(1, size)):
        with held.at(some), pyro.validation_enabled(False):
            parts.append(draw(conditioned, len(some)))
    evidence = torch.cat([part.evidence for part in parts])
    latents = {name: torch.cat([part.latents[name] for part in parts]) for name in parts[0].latents}
    states = {name: torch.cat([part.states[name] for part in parts]) for name in parts[0].states}
    possible = ~torch.isneginf(evidence)
    if not bool(possible.any() if held.update else possible.all()):
        raise EvidenceError(
            f"the evidence has probability zero under {int((~possible).sum())} of {len(rows)} draws of the parameters: "
            f"it contradicts them."
        )
    ess = (
        None if parts[0].worth is None else _worth(torch.cat([part.worth for part in parts if part.worth is not None]))
    )
    if not held.update:
        return Posterior(latents, None, ess, None, states=states), rows
    latents, states = ({n: v[possible] for n, v in values.items()} for values in (latents, states))
    weights, k = pareto_smooth(evidence[possible].to(torch.get_default_dtype()))
    return Posterior(latents, weights, effective_sample_size(weights).reshape(1), k, states=states), rows[possible]


def _way(conditioned: Conditioned, method: object) -> tuple[Callable[[Conditioned, int], _Part], int]:
    """How the hidden noise is drawn, and given how many draws of the parameters at once."""
    relevant, states = conditioned.relevant, conditioned.states
    if method is not None and not (isinstance(method, ImportanceSampling) and method.guide is None):
        raise AbductionError(
            "where parameters are held at draws from a posterior, the noise of units is drawn given each of them: "
            "leave method out for exact draws, or pass ImportanceSampling() without a guide."
        )
    if not relevant:
        return _without_hidden, AT_ONCE
    if not conditioned.sampled:
        return _states, AT_ONCE // (states.count * states.units_at_once())
    if method is None:
        probe = None if states.values else Probe.of(conditioned)
        if probe is None or probe.quadratic() is None:
            raise AbductionError(
                f"the evidence on {sorted(conditioned.evidence)} bears on {relevant}, which are not observed and whose "
                f"posterior given the parameters has no closed form: pass method=ImportanceSampling()."
            )
        size = sum(probe.sizes.values())
        return _normal, AT_ONCE // ((size + 1 + 2 * POINTS * len(SCALES)) * size * probe.units)
    return _weighed, AT_ONCE // (PROPOSALS * max(1, states.count) * states.units_at_once())


def _without_hidden(conditioned: Conditioned, draws: int) -> _Part:
    total = conditioned.log_likelihood(traced(conditioned.model(draws)), draws)
    return _Part(total.double().reshape(draws, -1).sum(1))


def _states(conditioned: Conditioned, draws: int) -> _Part:
    joint = conditioned.states.log_joint({}, draws)
    return _Part(joint.logsumexp(0).sum(1), states=conditioned.states.chosen(drawn(joint)))


def _normal(conditioned: Conditioned, draws: int) -> _Part:
    one = Probe.of(conditioned)
    probe = Probe(conditioned, one.like if one else {}, draws)
    found = probe.quadratic() if one else None
    if found is None:
        raise AbductionError(
            "the posterior of the noise is normal given some draws of the parameters only: pass "
            "method=ImportanceSampling()."
        )
    point = found.points(torch.randn(1, *found.centre.shape, dtype=torch.double))
    latents = {name: value.reshape(draws, *probe.like[name].shape[1:]) for name, value in probe.latents(point).items()}
    return _Part(found.evidence().reshape(draws, -1).sum(1), latents)


def _weighed(conditioned: Conditioned, draws: int) -> _Part:
    """One of the proposals from the prior of the noise for each draw of the parameters, chosen by its weight."""
    runs = PROPOSALS * draws
    trace = traced(conditioned.model(runs))
    wanted = [conditioned.latent_name(name) for name in conditioned.sampled]
    latents = {name: value for name, value in latents_of(trace).items() if name in wanted}
    index = None
    if conditioned.states.values:
        log_p, index = conditioned.states.summed(latents, runs)
    else:
        log_p = conditioned.log_likelihood(trace, runs)
    log_p = torch.where(log_p.isnan(), -torch.inf, log_p).double().reshape(PROPOSALS, draws, -1)
    chosen = drawn(log_p)
    log_w = log_p - log_p.logsumexp(0)
    evidence = (log_p.logsumexp(0) - torch.tensor(float(PROPOSALS)).log()).sum(1)
    found = {name: _pick(value.expand(runs, *value.shape[1:]), chosen) for name, value in latents.items()}
    states = {} if index is None else conditioned.states.chosen(_pick(index, chosen))
    return _Part(evidence, found, states, effective_sample_size(log_w))


def _pick(value: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Of values ``(proposals x draws, ...)`` the chosen proposal for each draw and unit."""
    value = value.reshape(PROPOSALS, chosen.shape[0], *value.shape[1:])
    rest = chosen.reshape(1, *chosen.shape, *(1,) * (value.dim() - 3)) if value.dim() > 2 else chosen.reshape(1, -1)
    return value.gather(0, rest.expand(1, *value.shape[1:])).squeeze(0)


def _worth(worth: torch.Tensor) -> torch.Tensor:
    """Of how many draws the proposals were enough, by unit."""
    return (worth / ENOUGH).clamp(max=1.0).sum(0)
