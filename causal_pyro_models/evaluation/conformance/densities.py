"""Densities, losses and their gradients: as the program's own trace and the change of variables say."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyro
import scipy.special
import torch
from pyro import poutine
from torch import Tensor, nn

from causal_pyro_models.data.batches import Batch
from causal_pyro_models.evaluation.conformance.noise import Evidence
from causal_pyro_models.evaluation.conformance.subject import Finding, Findings, LeftOut, RecordedSite, Subject, sites
from causal_pyro_models.inference.conditioned import Conditioned
from causal_pyro_models.inference.guides import run_guide
from causal_pyro_models.inference.program import inspect_model, traced
from causal_pyro_models.models import StructuralCausalModel
from causal_pyro_models.scm.mechanisms.samples import draw, jacobian
from causal_pyro_models.seeding import seeded

DENSITY = {torch.float64: 1e-6, torch.float32: 2e-3}  # numeric quantiles have ten digits, and slopes lose some
VECTORISED = {torch.float64: 1e-8, torch.float32: 1e-4}
SMALL = 64  # units for derivatives
VALUES = 8  # of a discrete variable, the most frequent ones, whose frequencies are compared
LEAST_VARIANCE = 50.0  # of a count, for its law to be about normal
REPLICATES = 200  # of the bound
STEP = 1e-5  # of finite differences
SLOPE = 1e-4


def density(subject: Subject) -> Findings:
    """The vectorised density is the trace's, and the trace's is that of its noise or of its samples."""
    model: Any = subject.double or subject.model
    values = subject.few(SMALL)
    if subject.double is not None:
        values = {name: v.double() if v.is_floating_point() else v for name, v in values.items()}
    found = sites(model, values)
    if hasattr(model, "log_prob") and not subject.hidden:
        trace = torch.stack([site.log_prob() for site in found.values()]).sum(0)
        vectorised = model.log_prob(values)
        yield Finding(_error(vectorised, trace), VECTORISED[trace.dtype], "log_prob is not the density of the trace")
    for name, site in found.items():
        if not site.discrete and site.mechanism.bijective:
            by_noise, stated = _change_of_variables(site)
            failure = f"log p of {name!r} is not log p(u) - log |dx/du|"
            yield Finding(_error(by_noise, stated), DENSITY[site.value.dtype], failure)
    yield from _frequencies(subject)


def _change_of_variables(site: RecordedSite) -> tuple[Tensor, Tensor]:
    """The density of a value drawn through the noise, and the one that is stated."""
    u = draw(site.mechanism.noise)
    value, slope = jacobian(site.mechanism.forward, u, len(site.mechanism.noise.event_shape))
    square = slope[..., : slope.shape[-1], :].double()  # on a simplex, the density is that of all parts but the last
    return site.mechanism.noise.log_prob(u) - torch.linalg.slogdet(square).logabsdet, site.law.log_prob(value)


def _frequencies(subject: Subject) -> Findings:
    """How often each value of a discrete variable occurs in the population, against the sum of its probabilities."""
    found = Evidence()
    for name, site in sites(subject.model, subject.population).items():
        if not site.discrete or site.law.event_shape:
            continue
        values, counts = site.value.unique(return_counts=True)
        for value in values[counts.argsort(descending=True)[:VALUES]]:
            chance = replace(site, value=value.expand_as(site.value)).log_prob().double().exp()
            variance = float((chance * (1 - chance)).sum())
            if variance > LEAST_VARIANCE:
                z = float(((site.value == value).double() - chance).sum()) / math.sqrt(variance)
                found.deviate(z, f"{name!r} is {value.item():g} more or less often than its density says")
    yield from found.findings()


def losses(subject: Subject) -> Findings:
    """What is minimised is minus the log density, or with hidden noise a bound of it; of a draw, minus its weight."""
    if not hasattr(subject.model, "losses") or not hasattr(subject.model, "log_prob"):
        raise LeftOut("the model has no losses beside a log_prob")
    if subject.hidden:
        yield from _bound(subject)
        return
    model: Any = subject.double or subject.model
    values = _as_model(model, subject.values)
    with pyro.validation_enabled(False):
        loss, expected = sum(model.losses(_trained_on(model, values), 1.0).values()), _losses_expected(model, values)
    yield Finding(_error(loss, expected), VECTORISED[expected.dtype], "the losses do not sum to minus the log density")


def _bound(subject: Subject) -> Findings:
    """Against the importance weights of the program and its guide, whose mean is the density."""
    model = subject.model
    if not isinstance(model, StructuralCausalModel):
        raise LeftOut("the model has hidden noise and is no StructuralCausalModel")
    values = model.scaled({name: value.expand(REPLICATES, *value.shape) for name, value in subject.evidence.items()})
    with pyro.validation_enabled(False):
        log_weights = _log_weights(subject) + _log_slope(model, subject.evidence)
        own = -_summed(model.unit_losses(values, {}, 1.0, pointwise=True))
        bound = -_summed(model.unit_losses(values, {}, 1.0))
    density = log_weights.logsumexp(0) - math.log(REPLICATES)
    found = Evidence()
    failure = "the losses of one draw are not minus its log importance weight"
    found.deviate(_deviate(own.mean(1), log_weights.mean(1), log_weights.mean()), failure)
    above = _deviate(bound.mean(1), log_weights.mean(1), density.mean())
    failure = "the losses are less than minus the log density by importance sampling"
    found.add(float(scipy.special.ndtr(-above)), failure)
    yield from found.findings()


def _log_weights(subject: Subject) -> Tensor:
    """Log importance weights of draws of the guide, ``(REPLICATES, units)``."""
    model: Any = subject.model
    target = Conditioned(inspect_model(model), subject.evidence, subject.units)
    wanted = [target.latent_name(name) for name in target.relevant]
    proposed, log_q = run_guide(model.guide, target, wanted, REPLICATES)
    trace = traced(poutine.condition(target.model(REPLICATES), data=proposed))
    return target.log_likelihood(trace, REPLICATES) - log_q


def _deviate(a: Tensor, b: Tensor, expected: Tensor) -> float:
    """How far the mean of ``a`` is over what is expected, in standard errors that those of ``b`` are part of."""
    error = ((a.double().var() + b.double().var()) / len(a)).sqrt()
    rounding = 1e-5 * (1 + expected.abs())
    return float((a.double().mean() - expected) / (error + rounding))


def gradients(subject: Subject) -> Findings:
    """The losses' gradients are finite, reach every node, and are those of finite differences in float64."""
    if not hasattr(subject.model, "losses"):
        raise LeftOut("the model has no losses")
    model: Any = subject.double
    if model is None:
        raise LeftOut("the model has no parameters of its own")
    batch = _trained_on(model, _as_model(model, subject.values))

    def loss() -> Tensor:
        with torch.enable_grad(), seeded(subject.seed), pyro.validation_enabled(False):
            return sum(model.losses(batch, 1.0).values(), torch.zeros(()))

    parts = model.nodes if isinstance(model, StructuralCausalModel) else {"the model": model}
    value = loss()
    yield Finding(float(not bool(torch.isfinite(value))), 0.0, "the losses are not finite")
    for name, part in parts.items():
        yield from _slopes(name, part, loss, value)


def _slopes(name: str, part: nn.Module, loss: Callable[[], Tensor], value: Tensor) -> Findings:
    """The slope along one random direction of the parameters of a part of the model."""
    weights = [p for p in part.parameters() if p.requires_grad]
    if not weights:
        return
    found = torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True)
    slopes = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True)]
    wrong = sum(int((~torch.isfinite(g)).sum()) for g in slopes)
    yield Finding(float(wrong), 0.0, f"the gradient of the losses in the parameters of {name!r} is not finite")
    reached = any(bool((g != 0).any()) for g in slopes)
    yield Finding(float(not reached), 0.0, f"no gradient of the losses reaches the parameters of {name!r}")
    direction = [torch.randn_like(w) for w in weights]
    ends = []
    for step in (STEP, -2 * STEP, STEP):
        for weight, way in zip(weights, direction, strict=True):
            weight.add_(way, alpha=step)
        ends.append(loss().detach())
    parts = torch.stack([(g * way).sum() for g, way in zip(slopes, direction, strict=True)])
    size = torch.stack([(g * way).abs().sum() for g, way in zip(slopes, direction, strict=True)]).sum()
    difference = (ends[0] - ends[1]) / (2 * STEP)
    error = float((parts.sum() - difference).abs() / (size + 1e-6))
    yield Finding(error, SLOPE, f"the gradient in the parameters of {name!r} is not that of finite differences")


def _as_model(model: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Values in the precision of a model; those of variables that it standardises in float64 stay in that."""
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(()))
    exact = getattr(getattr(model, "scales", None), "variables", ())
    return Batch(values).to(like.device, like.dtype, exact).values


def _trained_on(model: Any, values: dict[str, Tensor]) -> Batch:
    """A batch as ``fit`` gives it to the model."""
    batch = Batch(values)
    return model.as_trained(batch) if isinstance(model, StructuralCausalModel) else batch


def _losses_expected(model: Any, values: dict[str, Tensor]) -> Tensor:
    """Minus the mean log density, of the values as the nodes see them."""
    density: Tensor = model.log_prob(values)
    return -(density + _log_slope(model, values)).mean()


def _log_slope(model: Any, values: dict[str, Tensor]) -> Tensor:
    """The logarithm of the volume of values in units of what the nodes see."""
    slopes = (
        [model.scales.log_slope(n, v) for n, v in values.items()] if isinstance(model, StructuralCausalModel) else []
    )
    return sum(slopes, torch.zeros(()))


def _summed(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum(0)


def _error(one: Tensor, other: Tensor) -> float:
    """The largest difference, relative where numbers are large."""
    return float(((one - other).abs() / (1 + other.abs())).max())
