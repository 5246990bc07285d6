"""Abduction: the posterior of the noise given evidence."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import pyro
import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample

from causal_pyro_models.errors import AbductionError, EvidenceError, unheard, warn
from causal_pyro_models.inference.conditioned import Conditioned
from causal_pyro_models.inference.diagnostics import MAXIMUM_PARETO_K, MINIMUM_ESS, diagnose
from causal_pyro_models.inference.draws import Noise, mixed
from causal_pyro_models.inference.evidence import Observe, read_cells
from causal_pyro_models.inference.gaussian import normal_posterior
from causal_pyro_models.inference.given_posterior import given_posterior
from causal_pyro_models.inference.gradients import check_determined
from causal_pyro_models.inference.guides import Guide
from causal_pyro_models.inference.held import Held
from causal_pyro_models.inference.importance import ImportanceSampling
from causal_pyro_models.inference.mcmc import NUTS
from causal_pyro_models.inference.measured import with_measurements
from causal_pyro_models.inference.mixtures import refits, shared
from causal_pyro_models.inference.posterior import Posterior
from causal_pyro_models.inference.program import Program, inspect_model, traced
from causal_pyro_models.inference.ragged import Group, alike, joined
from causal_pyro_models.inference.solved import Solved, slope_name
from causal_pyro_models.inference.weights import resampling
from causal_pyro_models.isolation import isolated
from causal_pyro_models.models.structural import StructuralCausalModel
from causal_pyro_models.scm.handlers.exogenous import Exogenize
from causal_pyro_models.scm.sites import Model, all_finite, noise_name, role
from causal_pyro_models.seeding import seeded
from causal_pyro_models.validation import checked_count

DEFAULT_DRAWS = 1_000


@runtime_checkable
class Method(Protocol):
    """A way to draw the noise of unobserved sites from their posterior.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> class Conjugate:  # Z | X = x ~ N(x / 2, 1 / 2)
        ...     def draw(self, conditioned, relevant, num_samples):
        ...         x = conditioned.evidence["X"]
        ...         return Posterior({"U_Z": x / 2 + 0.5**0.5 * torch.randn(num_samples, len(x))})
        >>> def model():
        ...     z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        ...     pyro.sample("X", dist.Normal(z, 1.0))
        >>> noise = abduct(model, {"X": [2.0]}, Conjugate(), num_samples=10_000, seed=0)
        >>> print(f"{noise.mean('U_Z').item():.2f}, exactly 1.00")
        1.00, exactly 1.00
    """

    def draw(self, conditioned: Conditioned, relevant: list[str], num_samples: int) -> Posterior:
        """Draws of the latents of the relevant sites, and how good they are."""


@isolated
def abduct(
    model: Model,
    evidence: Any,
    method: Method | Guide | None = None,
    num_samples: int | None = None,
    seed: int | None = None,
) -> Noise:
    """The posterior of the noise given evidence, unit by unit.

    The noise of observed sites is exact: a point where the mechanism is a bijection, an exact posterior draw where it
    is not (discrete sites, mixtures). Unobserved sites without evidence downstream are drawn from their prior, which is
    their posterior. So it is with those that the evidence bears on where their posterior has a closed form: all have
    finitely many states, up to 10,000 joint ones of a unit, or all are linear with normal noise. Others need a
    ``method``; the noise of the observed ones is then exact given each of its draws.

    Evidence on a deterministic site that is an invertible function of one hidden site, given the rest, is solved for
    that one; what is hidden beside it weighs by the density of the evidence, its Jacobian included. Of other functions,
    and where a measurement has an error, give :func:`soft` evidence.

    Importance sampling resamples once, so that all draws are of equal weight; see :class:`Draws`.

    Args:
        model: a callable with Pyro primitives. Without a plate it describes one unit.
        evidence: a DataFrame with a row for each unit, or one row of it; a dict from site to an array ``(units,
            *event)``, a scalar holding for every unit; or a world, a :class:`Draws` with one value for each unit. A
            tensor holds the model's own values, and all else labels where a site has some. In a model of one unit, NaN
            or None in anything but a tensor is missing for its unit, which is answered by the rest of its evidence.
        method: None for exact abduction, or for the guide of a learned model that has one;
            ``ImportanceSampling(...)``, ``NUTS(...)``, or a guide over noise sites from :func:`fit_guide`. A guide is
            the proposal of importance sampling. By these, sites with finitely many states are summed over.
        num_samples: the number of posterior draws. None gives one exact draw and no leading dimension, or 1,000
            draws where the evidence bears on hidden sites; of a model with refits one draw of each, or 1,000 of all
            together.
        seed: makes the draws reproducible and leaves the global random state untouched.

    Returns:
        ``U_X`` for each site ``X``: ``(num_samples, units, *event)``, or ``(units, *event)`` where ``num_samples`` is
        None; with effective sample size, and the log weights and Pareto k-hat of importance sampling.

    Raises:
        AbductionError: an unobserved site has evidence downstream and no closed form, and no method was given; or a
            plate is subsampled.
        EvidenceError: evidence that the model cannot have produced, or on a deterministic site that cannot be solved.
        UnknownVariableError: evidence on a name that no site has.

    Warns:
        CausalWarning: effective sample size under 100, or Pareto k-hat over 0.7.

    References:
        Pearl (2009), Causality, theorem 7.1.7, step 1.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def model():
        ...     x = pyro.sample("X", dist.Normal(0.0, 1.0))
        ...     pyro.sample("Y", dist.Normal(2.0 * x, 1.0))
        >>> abduct(model, {"X": [1.0, 2.0], "Y": [2.5, 3.0]})["U_Y"]
        tensor([ 0.5000, -1.0000])
    """
    with seeded(seed), torch.no_grad():
        return abducted_by_all(inspect_model(model), evidence, method, num_samples)


def abducted_by_all(program: Program, evidence: Any, method: Method | Guide | None, num_samples: int | None) -> Noise:
    """:func:`abduct` in a model that is inspected already, under the seed and without gradients.

    Of a model with refits each has its share of the draws; the evidence on units does not tell between them.
    """
    others = refits(program)
    if not others:
        return abducted(program, evidence, method, num_samples)
    if num_samples is not None:
        shared(checked_count(num_samples, "num_samples"), len(others))
    whole = abducted(program, evidence, method, None, unless_exact=num_samples)
    draws = num_samples or whole.num_draws
    shares = [None] * len(others) if draws is None else shared(draws, len(others))
    with unheard():
        parts = [
            abducted(inspect_model(refit), evidence, method, share) for refit, share in zip(others, shares, strict=True)
        ]
    return replace(whole, **mixed(whole, parts))


def abducted(
    program: Program,
    evidence: Any,
    method: Method | Guide | None,
    num_samples: int | None,
    unless_exact: int | None = None,
    seed: int | None = None,
) -> Noise:
    """The noise in a model as it is, whatever refits it has; see :func:`abducted_by_all`.

    Args:
        program, evidence, method, num_samples: as there.
        unless_exact: draws where ``num_samples`` is None and the evidence does not determine the noise.
        seed: by which worlds draw the sites that have no mechanism, where each is asked about by itself.
    """
    if num_samples is not None:
        num_samples = checked_count(num_samples, "num_samples, where it is not None,")
    if isinstance(method, type) or not (method is None or callable(method) or isinstance(method, Method)):
        raise AbductionError(
            f"method must be None, ImportanceSampling(), NUTS(), or a guide from fit_guide(model, evidence), got "
            f"{method!r:.80}."
        )
    _check_noise_is_implicit(program)
    program, evidence = with_measurements(program, evidence)
    if program.held is not None:
        noise = _under_posterior(program, program.held, evidence, method, num_samples, seed)
        _warn_of(noise)
        return noise
    groups = alike(program, *read_cells(program, evidence))
    draws = num_samples
    if any(conditioned.relevant for conditioned, _ in groups):
        draws = num_samples or unless_exact or DEFAULT_DRAWS
    noise = _of_groups(groups, method, draws, seed)
    if draws is None and unless_exact is not None and not noise.exact:
        noise = _of_groups(groups, method, unless_exact, seed)
    _warn_of(noise)
    return noise


def _under_posterior(
    program: Program, held: Held, evidence: Any, method: Any, num_samples: int | None, seed: int | None
) -> Noise:
    """The noise given each draw of the parameters that the model is held at."""
    conditioned = Conditioned.on(program, evidence)
    with held.at(held.chosen(1)):  # at one draw, as what is hidden is looked for by comparing runs
        check_determined(conditioned.sampled)
    posterior, rows = given_posterior(conditioned, held, method, num_samples)
    with held.at(rows):
        return replace(_completed(conditioned, len(rows), posterior, seed), exact=False)


def _of_groups(groups: Sequence[Group], method: Method | Guide | None, draws: int | None, seed: int | None) -> Noise:
    """The noise of all units, abducted group by group."""
    parts = []
    for conditioned, _ in groups:
        check_determined(conditioned.relevant)
        posterior = _posterior(conditioned, method, draws or 1) if conditioned.relevant else Posterior({})
        parts.append(_completed(conditioned, draws, posterior, seed))
    return parts[0] if len(parts) == 1 else joined(parts, [units for _, units in groups])


def _posterior(conditioned: Conditioned, method: Method | Guide | None, draws: int) -> Posterior:
    """Draws of the hidden noise: exact ones where they can be had, else those of a method."""
    if method is not None and not isinstance(method, Method):
        method = ImportanceSampling(method)
    if (method is None or isinstance(method, ImportanceSampling | NUTS)) and not conditioned.sampled:
        return Posterior({}, states=conditioned.states.draw(draws))
    if method is None and not conditioned.states.values and (found := normal_posterior(conditioned, draws)):
        return found
    if method is None and isinstance(conditioned.program.model, StructuralCausalModel):
        method = ImportanceSampling(conditioned.program.model.guide)
    if method is None:
        raise _open(conditioned)
    return method.draw(conditioned, conditioned.relevant, draws)


def _check_noise_is_implicit(program: Program) -> None:
    for name in program.sites:
        explicit = program.sites.get(noise_name(name))
        if explicit is not None and explicit.role == "exogenous":
            raise AbductionError(
                f"the model has the noise {noise_name(name)!r} of {name!r} made explicit already: pass the model "
                f"before exogenize or before an intervention with potential(...), and the intervention as do."
            )


def _open(conditioned: Conditioned) -> AbductionError:
    """The error for unobserved sites that the evidence bears on, and no method to draw them."""
    relevant, observed = conditioned.relevant, sorted({*conditioned.evidence, *conditioned.program.observed})
    return AbductionError(
        f"the evidence on {observed} bears on {relevant}, which {'is' if len(relevant) == 1 else 'are'} not "
        f"observed: observe {'it' if len(relevant) == 1 else 'them'}, or pass method=ImportanceSampling(), "
        f"method=NUTS(), or a guide from fit_guide(model, evidence)."
    )


def _completed(conditioned: Conditioned, draws: int | None, posterior: Posterior, seed: int | None = None) -> Noise:
    """All noise, from draws of the latents: that of the observed sites is abducted exactly."""
    program, latents = conditioned.program, posterior.latents
    held = {**conditioned.evidence, **posterior.states}
    drawn = bool(latents or posterior.states)

    def complete() -> None:
        with (
            poutine.condition(data=dict(latents)),
            Exogenize(program.parameters, seed=seed),
            Observe(held, check=() if drawn else program.parameters),
        ):
            program.batched(conditioned.units, draws)()

    with pyro.validation_enabled(False) if drawn else nullcontext():
        trace = traced(complete)
    if unseen := [name for name in conditioned.evidence if name not in trace.nodes]:
        raise EvidenceError(
            f"the evidence on {unseen[0]!r} cannot be: given the rest of it, the model does not come by this site."
        )
    if not drawn:
        _check_solved(program, trace)
    sites: dict[str, Any] = {name: s for name, s in trace.nodes.items() if _is_replayed(s, program)}
    noise = {name: program.values(s, draws) for name, s in sites.items() if role(s) == "exogenous"}
    for name, value in noise.items():
        if not all_finite(value):
            raise EvidenceError(
                f"the noise {name!r} abducted from the evidence is not finite: the value of {name[2:]!r} is impossible "
                f"or too extreme under the model."
            )
    return Noise(
        noise,
        {name: getattr(site["fn"], "event_dim", 0) for name, site in sites.items()},
        draws,
        posterior.log_weights,
        posterior.ess if posterior.ess is not None else torch.full((conditioned.units,), float(draws or 1)),
        posterior.pareto_k,
        parameters={name: _equal(program.values(sites[name], draws), posterior) for name in program.parameters},
        units=conditioned.units,
        replay={name: site["value"] for name, site in sites.items()},
        variables=frozenset(program.sites),
        factual={n: trace.nodes[n]["value"] for n in conditioned.evidence if role(trace.nodes[n]) != "measured"},
        chains=posterior.chains,
        divergences=posterior.divergences,
        seed=seed,
        exact=not drawn and all(_is_determined(site) for site in sites.values()),
        kinds={name: site.variable for name, site in program.sites.items() if site.variable is not None},
    )


def _check_solved(program: Program, trace: Any) -> None:
    """Refuse evidence on a deterministic site that no value of the hidden one gives."""
    if not isinstance(program, Solved):
        return
    for name in program.targets:
        impossible = torch.isneginf(trace.nodes[slope_name(name)]["fn"].log_factor)
        if bool(impossible.any()):
            raise EvidenceError(
                f"evidence on {name!r} cannot be: no value of {program.hidden[name]!r}, of which it is a function, "
                f"gives it ({int(impossible.sum())} of {impossible.numel()} values)."
            )


def _equal(parameter: torch.Tensor, posterior: Posterior) -> torch.Tensor:
    """Draws of equal weight of a parameter, which all units share."""
    return parameter if posterior.log_weights is None else parameter[resampling(posterior.log_weights)]


def _is_replayed(site: Any, program: Program) -> bool:
    """Whether worlds take over a site of a trace: noise, population-level parameters, indices of a subsample."""
    if site["type"] != "sample":
        return False
    return role(site) == "exogenous" or site["name"] in program.parameters or site_is_subsample(site)


def _is_determined(site: Any) -> bool:
    """Whether a replayed site has the value that it has in every abduction, where no latents were drawn."""
    if site_is_subsample(site):
        return site["fn"].subsample_size in (None, site["fn"].size)
    return bool(site["infer"]["bijective"] if "bijective" in site["infer"] else site["is_observed"])


def _warn_of(noise: Noise) -> None:
    """Say so when the draws are too few or too unequal to be trusted."""
    dependent = noise.ess is not None and noise.num_draws is not None and bool((noise.ess < noise.num_draws).any())
    if noise.ess is not None and dependent and bool((noise.ess < MINIMUM_ESS).any()):
        low = int((noise.ess < MINIMUM_ESS).sum())
        warn(
            f"effective sample size as low as {noise.ess.min():.0f} of {noise.num_draws} draws (under "
            f"{MINIMUM_ESS} for {low} of {noise.ess.numel()} units): raise num_samples, or use a better proposal "
            f"(fit_guide) or NUTS().",
        )
    if noise.pareto_k is not None and bool((noise.pareto_k > MAXIMUM_PARETO_K).any()):
        high = int((noise.pareto_k > MAXIMUM_PARETO_K).sum())
        warn(
            f"Pareto k-hat of the importance weights is as high as {noise.pareto_k.max():.2f} (over "
            f"{MAXIMUM_PARETO_K} for {high} of {noise.pareto_k.numel()} units), so their estimates are not reliable: "
            f"use a better proposal (fit_guide) or NUTS().",
        )
    if noise.chains > 1 or noise.divergences:
        report = diagnose(noise)
        if not report.converged:
            warn(f"the chains may not have converged: {'; '.join(report.reasons)}.")
