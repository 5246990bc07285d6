"""Guides over noise sites: proposals for abduction, trained on the evidence lower bound."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Mapping
from numbers import Real
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoDelta, AutoGuide, AutoLaplaceApproximation, AutoNormal
from pyro.poutine.guide import GuideMessenger
from torch import nn
from torch.distributions import biject_to

from causal_pyro_models.errors import AbductionError, CausalError, FitError, QueryError
from causal_pyro_models.inference.conditioned import Conditioned, latents_of
from causal_pyro_models.inference.guide_calls import Guide as Guide, in_plates
from causal_pyro_models.inference.program import inspect_model, traced
from causal_pyro_models.isolation import isolated, let_others
from causal_pyro_models.scm.handlers.exogenous import Exogenize
from causal_pyro_models.scm.sites import Model, is_auxiliary, noise_name
from causal_pyro_models.seeding import seeded
from causal_pyro_models.validation import checked_count


class AmortizedGuide(nn.Module):
    """A guide that computes the posterior of a unit's noise from the unit's evidence.

    A multivariate normal over the unconstrained noise, its mean and scale given by a network of the standardised
    evidence. Trained on some units, it answers for any others. For models of one unit, with evidence on the same sites.

    Args:
        conditioned: the model on the evidence to learn from (:func:`fit_guide` passes it).
        hidden: width of the two hidden layers.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from causal_pyro_models import abduct
        >>> def model():
        ...     z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        ...     pyro.sample("X", dist.Normal(z, 1.0))
        >>> seen = {"X": torch.linspace(-3.0, 3.0, 50)}
        >>> guide = fit_guide(model, seen, AmortizedGuide, steps=300, seed=0, progress=False)
        >>> noise = abduct(model, {"X": [2.5]}, guide, num_samples=4_000, seed=0)  # a unit that it has not seen
        >>> print(f"{noise.mean('U_Z').item():.2f}, exactly 1.25")
        1.25, exactly 1.25
    """

    centre: torch.Tensor
    spread: torch.Tensor

    def __init__(self, conditioned: Conditioned, hidden: int = 64) -> None:
        super().__init__()
        if not isinstance(conditioned, Conditioned):
            raise AbductionError(
                f"AmortizedGuide cannot be made from {type(conditioned).__name__}: leave that to fit_guide(model, "
                f"evidence, AmortizedGuide)."
            )
        if conditioned.program.plated:
            raise AbductionError("AmortizedGuide needs a model of one unit; use AutoNormal where a model has plates.")
        if not conditioned.evidence:
            raise AbductionError(
                "AmortizedGuide computes the noise from the evidence, and none was given: pass what the model has "
                "observed as evidence, or use AutoNormal."
            )
        latents = [conditioned.latent_name(name) for name in conditioned.sampled]
        sites = traced(conditioned.model()).nodes
        self.shapes = {name: sites[name]["fn"].event_shape for name in latents}
        self.supports = {name: sites[name]["fn"].support for name in latents}
        size = sum(math.prod(_unconstrained(self.supports[n], self.shapes[n])) for n in latents)
        self.observed = sorted(conditioned.evidence)
        features = self._flat(conditioned.evidence, conditioned.units)
        self.size = size
        self.register_buffer("centre", features.mean(0))
        self.register_buffer("spread", features.std(0, correction=0).clamp(min=1e-6))
        self.network = nn.Sequential(
            nn.Linear(features.shape[1], hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, size + size * (size + 1) // 2),
        )

    @staticmethod
    def _flat(evidence: Mapping[str, torch.Tensor], units: int) -> torch.Tensor:
        columns = [evidence[name].to(torch.get_default_dtype()) for name in sorted(evidence)]
        return torch.cat(
            [c.expand(units, *c.shape[1:]).reshape(units, -1) if c.dim() else c.expand(units, 1) for c in columns], 1
        )

    def forward(self, evidence: Mapping[str, torch.Tensor]) -> None:
        if sorted(evidence) != self.observed:
            raise AbductionError(
                f"the guide was trained on evidence on {self.observed} and is given evidence on {sorted(evidence)}: "
                f"train another one with fit_guide."
            )
        units = max((len(v) for v in evidence.values() if v.dim()), default=1)
        features = (self._flat(evidence, units) - self.centre) / self.spread
        out = self.network(features)
        loc, packed = out[:, : self.size], out[:, self.size :]
        tril = torch.zeros(units, self.size, self.size, dtype=out.dtype, device=out.device)
        rows, columns = torch.tril_indices(self.size, self.size)
        tril[:, rows, columns] = packed
        diagonal = nn.functional.softplus(tril.diagonal(dim1=-2, dim2=-1) + 0.5413) + 1e-5
        tril = tril.tril(-1) + torch.diag_embed(diagonal)
        z = pyro.sample("_z", dist.MultivariateNormal(loc, scale_tril=tril), infer={"is_auxiliary": True})
        start = 0
        for name, shape in self.shapes.items():
            transform = biject_to(self.supports[name])
            unconstrained = _unconstrained(self.supports[name], shape)
            stop = start + math.prod(unconstrained)
            part = z[..., start:stop].reshape(z.shape[:-1] + unconstrained)
            value, start = transform(part), stop
            log_density = -transform.log_abs_det_jacobian(part, value)
            log_density = log_density.reshape((*z.shape[:-1], -1)).sum(-1)
            pyro.sample(name, dist.Delta(value, log_density, event_dim=len(shape)))


def _unconstrained(support: Any, shape: torch.Size) -> torch.Size:
    return torch.Size(biject_to(support).inverse_shape(shape))


@isolated
def fit_guide(
    model: Model,
    evidence: Any,
    guide: type[nn.Module] | nn.Module = AutoNormal,
    steps: int = 2_000,
    learning_rate: float = 0.01,
    num_particles: int = 8,
    seed: int | None = None,
    progress: bool = True,
) -> nn.Module:
    """Train a guide over the noise of unobserved sites, for use as the ``method`` of :func:`abduct`.

    Args:
        model: a callable with Pyro primitives.
        evidence: as for :func:`abduct`; an amortised guide learns from all its units.
        guide: what builds the guide: an autoguide class of Pyro (``AutoNormal``, ``AutoMultivariateNormal``, ...,
            ``AutoRegressiveMessenger`` and its kin) or :class:`AmortizedGuide`; or a guide, a module that samples noise
            sites ``U_X``. It is called with what ``functools.partial`` binds to the model, if it takes arguments of the
            same names; else with the evidence, a dict from site to tensor; or without arguments, if it takes none.
        steps: gradient steps of Adam.
        learning_rate: its step size, brought down to zero along a cosine.
        num_particles: draws for each estimate of the bound.
        seed: makes the training reproducible.
        progress: shows a progress bar.

    Returns:
        The trained guide.

    Raises:
        AbductionError: nothing unobserved to guide, or a guide over sites that are not noise.
        QueryError: steps, learning_rate or num_particles is not positive.
        FitError: the bound stopped being a number.

    References:
        Kingma and Welling (2014), Auto-encoding variational Bayes.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from causal_pyro_models import abduct
        >>> def model():
        ...     z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        ...     pyro.sample("X", dist.Normal(z, 1.0))
        >>> evidence = {"X": [-1.0, 0.0, 1.0, 2.0]}
        >>> guide = fit_guide(model, evidence, steps=500, seed=0, progress=False)
        >>> noise = abduct(model, evidence, method=guide, num_samples=4_000, seed=0)
        >>> noise.mean("U_Z").round(decimals=1) + 0.0
        tensor([-0.5000,  0.0000,  0.5000,  1.0000])
    """
    steps, num_particles = checked_count(steps, "steps"), checked_count(num_particles, "num_particles")
    if isinstance(learning_rate, bool) or not isinstance(learning_rate, Real) or not 0.0 < learning_rate < math.inf:
        raise QueryError(f"learning_rate must be a positive number, got {learning_rate!r:.80}.")
    with seeded(seed):
        conditioned = Conditioned.on(inspect_model(model), evidence)
        if not (sampled := conditioned.sampled):
            raise AbductionError(
                "no unobserved site with infinitely many states has evidence downstream: abduction is exact, without a "
                "guide."
            )
        density = conditioned.sampled_model()
        trained = _made(guide, conditioned, density)
        program = conditioned.program
        together = not program.verdict.in_turns
        elbo: Any = Trace_ELBO(num_particles, max_plate_nesting=program.nesting, vectorize_particles=together)
        with torch.enable_grad(), pyro.validation_enabled(False):
            _check_sites(conditioned, trained, [conditioned.latent_name(name) for name in sampled])
            loss = elbo(density, in_plates(trained, conditioned, None))
            if conditioned.states.values:
                loss = functools.partial(_summed_loss, trained, conditioned, num_particles)
            _minimise(loss, trained, steps, learning_rate, progress)
    return trained


def _summed_loss(guide: nn.Module, conditioned: Conditioned, draws: int) -> torch.Tensor:
    """The negative evidence lower bound where sites with finitely many states are summed out."""
    trace = traced(in_plates(guide, conditioned, draws), "the guide")
    proposed = {name: v for name, v in latents_of(trace).items() if not _is_helper(trace.nodes[name])}
    log_q = _log_density(trace, conditioned, draws)
    prior = traced(poutine.condition(conditioned.model(draws), data=proposed))
    latents = {name: proposed[name] for name in map(conditioned.latent_name, conditioned.sampled)}
    total = conditioned.states.summed(latents, draws)[0].sum() - log_q.expand(draws, *log_q.shape[1:]).sum()
    for name in latents:
        log_p = conditioned.per_unit(prior.nodes[name]["fn"].log_prob(latents[name]), draws)
        total = total + log_p.expand(draws, *log_p.shape[1:]).sum()
    return -total / draws


def _made(guide: Any, conditioned: Conditioned, density: Callable[..., Any]) -> nn.Module:
    """A guide that can be trained; made from its class where that is what was given."""
    if isinstance(guide, type) and issubclass(guide, AutoGuide):
        guide = guide(density)
    elif isinstance(guide, type) and issubclass(
        guide, GuideMessenger
    ):  # which runs it to see the laws of what is drawn
        left = {conditioned.latent_name(name) for name in conditioned.unobserved if name not in conditioned.sampled}
        guide = guide(conditioned.model(hide=left))
    elif isinstance(guide, type):
        try:
            guide = guide(conditioned)
        except CausalError:
            raise
        except Exception as error:
            raise AbductionError(
                f"{guide.__name__} cannot be made from the model on the evidence, a Conditioned: "
                f"{type(error).__name__}: {error!s:.200}. Give a class such as AutoNormal or AmortizedGuide, or a "
                f"guide that is made already."
            ) from error
    if not isinstance(guide, nn.Module):
        raise AbductionError(f"a guide to train must be a torch module, got {type(guide).__name__}: make it one.")
    if isinstance(guide, AutoDelta | AutoLaplaceApproximation):
        raise AbductionError(
            f"{type(guide).__name__} is a point estimate and says nothing of uncertainty: use AutoNormal or another."
        )
    return guide


def _minimise(
    loss: Callable[[], torch.Tensor], guide: nn.Module, steps: int, learning_rate: float, progress: bool
) -> None:
    """Bring the negative evidence lower bound down by Adam."""
    from tqdm import trange

    loss()  # the warm-up call: autoguides make their parameters here
    if not any(weight.requires_grad for weight in guide.parameters()):
        raise AbductionError(
            f"{type(guide).__name__} has no parameters to train: give it some as attributes (nn.Parameter, PyroParam), "
            f"since what pyro.param makes is left where SVI trains it."
        )
    optimiser = torch.optim.Adam(guide.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    bar = trange(steps, desc="guide", disable=not progress)
    for step in bar:
        optimiser.zero_grad()
        value = loss()
        if not torch.isfinite(value):
            raise FitError(f"the evidence lower bound became {value.item()} at step {step}: lower learning_rate.")
        value.backward()
        optimiser.step()
        schedule.step()
        let_others()
        if step % 50 == 0:
            bar.set_postfix(loss=f"{value.item():.4g}")


def _check_sites(conditioned: Conditioned, guide: Guide, wanted: Collection[str]) -> Any:
    """The trace of a guide, once its sites are known to be noise sites and to be all that are wanted.

    A guide of ``exogenize(model)`` draws the noise of population-level parameters, which the verbs keep as they are.
    """
    as_noise = {noise_name(name): name for name in conditioned.program.parameters}
    known = {conditioned.latent_name(name) for name in conditioned.program.sites}.union(as_noise)
    trace = traced(in_plates(guide, conditioned, None), "the guide")
    given = [n for n, s in trace.nodes.items() if s["type"] == "sample" and not _is_helper(s)]
    for name in given:
        if name not in known:
            raise AbductionError(
                f"the guide samples {name!r}, which is no noise site. A guide is over noise ({sorted(wanted)}), never "
                f"over the variables themselves: those would be replayed unchanged under an intervention."
            )
    if missing := sorted(set(wanted).difference(as_noise.get(name, name) for name in given)):
        raise AbductionError(f"the guide leaves out {missing}, which the evidence bears on: sample them too.")
    return trace


def _is_helper(site: Any) -> bool:
    return is_auxiliary(site) or bool(site["infer"].get("is_auxiliary"))


def _check_units(conditioned: Conditioned, guide: Guide, trace: Any) -> None:
    """Refuse a guide that was trained on other units, and has parameters for each."""
    if conditioned.program.plated:
        return
    for name, value in latents_of(trace).items():
        site = trace.nodes[name]
        batch = value.shape[: value.dim() - site["fn"].event_dim]
        if conditioned.units > 1 and not _is_helper(site) and all(f.dim != -1 for f in site["cond_indep_stack"]):
            raise AbductionError(
                f"the guide draws one value of {name!r} for all {conditioned.units} units of the evidence: make it of "
                f"a model with a plate over them, or train it by fit_guide(model, evidence, {type(guide).__name__})."
            )
        if batch and batch[-1] not in (1, conditioned.units):
            raise AbductionError(
                f"the guide gives {name!r} for {batch[-1]} units where the evidence has {conditioned.units}: train it "
                f"on this evidence, or train an AmortizedGuide, which answers for any units."
            )


def run_guide(
    guide: Guide | None, conditioned: Conditioned, wanted: Collection[str], draws: int
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Draws of the noise sites of a guide, and their log density under it; nothing and zero without a guide.

    The density is ``(draws, units)``, or ``(draws,)`` where the guide draws units together, as autoguides of one joint
    normal do.
    """
    if guide is None:
        return {}, torch.zeros(())
    _check_units(conditioned, guide, _check_sites(conditioned, guide, wanted))
    trace = traced(in_plates(guide, conditioned, draws), "the guide")
    log_q = _log_density(trace, conditioned, draws)
    proposed = {name: value for name, value in latents_of(trace).items() if not _is_helper(trace.nodes[name])}
    for name, value in proposed.items():
        if draws > 1 and bool((value == value[:1]).all()):
            raise AbductionError(
                f"every draw of {name!r} from the guide is the same, a point estimate that says nothing of "
                f"uncertainty: give it a density, such as AutoNormal has."
            )
    return _of_parameters(conditioned, proposed, log_q, draws)


def _of_parameters(
    conditioned: Conditioned, proposed: dict[str, torch.Tensor], log_q: torch.Tensor, draws: int
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Draws of population-level parameters where the guide drew their noise, with the density that they then have.

    A mechanism turns the noise law into the law of the parameter, so that the density of the guide changes by the
    ratio of these two.
    """
    program = conditioned.program
    noise = {noise_name(name): name for name in program.parameters if noise_name(name) in proposed}
    if not noise:
        return proposed, log_q
    held = {name: proposed[name] for name in noise}
    forward = traced(
        poutine.condition(Exogenize(observed_noise=False)(program.batched(conditioned.units, draws)), held)
    )
    values = {name: forward.nodes[name]["value"] for name in noise.values()}
    prior = traced(poutine.condition(program.batched(conditioned.units, draws), values))
    for u, name in noise.items():
        log_u = forward.nodes[u]["fn"].log_prob(held[u])
        log_x = prior.nodes[name]["fn"].log_prob(values[name])
        log_q = log_q + conditioned.per_unit(log_x, draws) - conditioned.per_unit(log_u, draws)
    return {**{name: value for name, value in proposed.items() if name not in noise}, **values}, log_q


def _log_density(trace: Any, conditioned: Conditioned, draws: int) -> torch.Tensor:
    """Log density of a guide in a trace of it; see :func:`run_guide`."""
    sites = [s for s in trace.nodes.values() if s["type"] == "sample" and not is_auxiliary(s)]
    parts = [conditioned.per_unit(site["fn"].log_prob(site["value"]), draws) for site in sites]
    if any(all(frame.dim != -1 for frame in site["cond_indep_stack"]) for site in sites):
        parts = [part.reshape(draws, -1).sum(1) for part in parts]
    return functools.reduce(torch.add, parts)
