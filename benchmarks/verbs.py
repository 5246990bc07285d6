"""Each verb as a question that is put to a program: how this package answers it, and how the program by hand does."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from asked import Answer, Case, Size, Truth, Worlds, flat

import causal_pyro_models as cpm


def of_draws(draws: cpm.Draws, of: Callable[[Any], Any]) -> Answer:
    """The mean of something of the first unit, by the weights of the draws, and its error."""
    weights = draws.shares().double()
    weights = flat(weights)[:, 0] / flat(weights)[:, 0].sum()
    value = flat(of(draws.proposed))[:, 0].double()
    value = value.expand(len(weights))
    mean = (weights * value).sum()
    spread = (weights * (value - mean).square()).sum().sqrt()
    count = float(draws.ess.min()) if draws.ess is not None else len(value)
    return float(mean), float(spread) / math.sqrt(max(count, 1.0))


def of_posterior(estimate: cpm.Estimate, noise: cpm.Noise, entry: int = 0) -> Answer:
    """Value and Monte Carlo error of an estimate whose standard error is a posterior's."""
    spread = float(estimate.standard_error.reshape(-1)[entry])
    return float(estimate.value.reshape(-1)[entry]), spread / math.sqrt(float(noise.ess.min()))


def of_population(estimate: cpm.Estimate, size: Size) -> Answer:
    """The same without evidence, where it is a posterior's if the program has parameters."""
    error = float(estimate.standard_error.reshape(-1)[-1])
    drawn = "posterior" in estimate.doubt.sources
    return float(estimate.value.reshape(-1)[-1]), error / math.sqrt(size.draws) if drawn else error


def seen_or_not(verb: Callable[..., cpm.Estimate], event: bool = False) -> Callable[[Case, Size], Answer]:
    """A question about groups of units: those of the evidence where the program has plates, else the population."""

    def ask(case: Case, size: Size) -> Answer:
        outcome = case.event if event else case.outcome
        more: dict[str, Any] = {"by": case.group} if verb is cpm.cate else {}
        if not case.plated:
            simulated = verb(case.model, case.treatment, outcome, num_samples=size.draws, seed=1, **more)
            return of_population(simulated, size)
        noise = case.noise(size)
        return of_posterior(verb(case.model, case.treatment, outcome, evidence=noise, seed=1, **more), noise, -1)

    return ask


def population(verb: Callable[..., cpm.Estimate], **more: Any) -> Callable[[Case, Size], Answer]:
    """An effect in the population."""

    def ask(case: Case, size: Size) -> Answer:
        arms: Any = case.treatment
        if verb is cpm.dose_response:
            arms = {name: list(points) for name, points in arms.items()}
        return of_population(verb(case.model, arms, case.outcome, num_samples=size.draws, seed=1, **more), size)

    return ask


def on_evidence(verb: Callable[..., cpm.Estimate]) -> Callable[[Case, Size], Answer]:
    """An effect on the units of the evidence."""

    def ask(case: Case, size: Size) -> Answer:
        noise = case.noise(size)
        return of_posterior(verb(case.model, case.treatment, case.outcome, evidence=noise, seed=1), noise)

    return ask


def had_been_treated(method: Callable[[Case, Size], Any]) -> Callable[[Case, Size], Answer]:
    """The outcome of the first unit had it been treated, by a method of abduction."""

    def ask(case: Case, size: Size) -> Answer:
        noise = case.noise(size, method(case, size))
        return of_draws(cpm.counterfactual(case.model, noise, case.arm(1), seed=1), case.effect_on)

    return ask


def all_observed(case: Case, size: Size) -> Answer:
    """The same where every site was observed, so that abduction is exact."""
    draws = cpm.counterfactual(case.model, case.complete, case.arm(1), num_samples=size.draws, seed=1)
    value, error = of_draws(draws, case.effect_on)
    return value, error + 1e-5


def probable(case: Case, size: Size) -> Answer:
    """The probability that what is hidden is above a value, given the evidence."""
    method = cpm.ImportanceSampling()
    p = cpm.probability(
        case.model, lambda world: case.hidden(world) > case.cut, case.evidence, method, size.draws, seed=1
    )
    value = float(p.reshape(-1)[0])
    return value, math.sqrt(max(value * (1 - value), 1e-4) / float(case.noise(size).ess.min()))


def sampled(case: Case, model: Any, size: Size) -> Answer:
    """The probability of the event of the first unit."""
    held = flat(case.event(cpm.sample(model, size.draws, seed=1)).double())[:, 0]
    return float(held.mean()), float(held.std()) / math.sqrt(size.draws)


@dataclass(frozen=True)
class Verb:
    """A question that is put to every case for which it has a meaning."""

    name: str
    ours: Callable[[Case, Size], Answer]
    truth: Callable[[Case, Truth], Answer]
    has_meaning: Callable[[Case], bool] = lambda case: True


def _nuts(case: Case, size: Size) -> cpm.NUTS:
    return cpm.NUTS(num_warmup=size.chain, num_chains=1, progress=False)


def _guide(case: Case, size: Size) -> torch.nn.Module:
    return cpm.fit_guide(case.model, case.evidence, steps=size.steps, seed=1, progress=False)


def _treated(case: Case, worlds: Worlds) -> Answer:
    return worlds.mean(worlds.outcome(case.arm(1))[:, :1])


def _chain(ask: Callable[[Case, Size], Answer]) -> Callable[[Case, Size], Answer]:
    return lambda case, size: ask(case, replace(size, draws=size.chain))


def _necessary(case: Case, worlds: Worlds) -> Answer:
    happened = worlds.treated * worlds.event({})
    return worlds.ratio(happened * (1 - worlds.event(case.arm(0))), happened)


def _sufficient(case: Case, worlds: Worlds) -> Answer:
    neither = (1 - worlds.treated) * (1 - worlds.event({}))
    return worlds.ratio(neither * worlds.event(case.arm(1)), neither)


def _odds(case: Case, worlds: Worlds) -> Answer:
    """The ratio of odds of independent units, its error by the delta method."""
    control, treated = worlds.event(case.arm(0))[:, 0], worlds.event(case.arm(1))[:, 0]
    below, above = control.mean(), treated.mean()
    value = above / (1 - above) / (below / (1 - below))
    slope = treated / (above * (1 - above)) - control / (below * (1 - below))
    return float(value), float(value * slope.std()) / math.sqrt(len(slope))


def in_arviz(case: Case, size: Size) -> Answer:
    """The outcome of the first unit had it been treated, read from ArviZ's container."""
    noise = case.noise(size)
    world = cpm.counterfactual(case.model, noise, case.arm(1), seed=1)
    held = cpm.to_inference_data(posterior=noise, counterfactual=world)["counterfactual"][case.outcome].values
    values = held.reshape(held.shape[0] * held.shape[1], -1)[:, 0]
    return float(values.mean()), float(values.std()) / math.sqrt(float(noise.ess.min()))


def conformance(case: Case, size: Size) -> Answer:
    """How many of the laws of the library the program breaks."""
    data = cpm.sample(case.model, 200, seed=1).to_dataframe().drop(columns="unit")
    graph = cpm.CausalGraph.from_model(case.model)
    return float(len(cpm.check_model(case.model, data, graph=graph, strict=False).failures)), 0.0


def _hidden(case: Case, worlds: Worlds) -> Answer:
    return worlds.mean((flat(case.hidden(worlds.world({})))[:, :1] > case.cut).astype(float))


def _moved(worlds: Worlds, do: Mapping[str, float]) -> Answer:
    return worlds.mean(worlds.outcome(do) - worlds.outcome(worlds.case.arm(0)))


VERBS = [
    Verb("sample", lambda c, s: sampled(c, c.model, s), lambda c, t: t.prior.mean(t.prior.event({})[:, :1])),
    Verb(
        "intervene",
        lambda c, s: sampled(c, cpm.intervene(c.model, c.arm(1)), s),
        lambda c, t: t.prior.mean(t.prior.event(c.arm(1))[:, :1]),
    ),
    Verb("counterfactual, all sites observed", all_observed, lambda c, t: _treated(c, t.complete)),
    Verb(
        "counterfactual, importance sampling",
        had_been_treated(lambda c, s: cpm.ImportanceSampling()),
        lambda c, t: _treated(c, t.posterior),
    ),
    Verb("counterfactual, NUTS", _chain(had_been_treated(_nuts)), lambda c, t: _treated(c, t.posterior)),
    Verb("counterfactual, a guide", had_been_treated(_guide), lambda c, t: _treated(c, t.posterior)),
    Verb("ate", population(cpm.ate), lambda c, t: t.prior.mean(t.prior.effects)),
    Verb("ate on evidence", on_evidence(cpm.ate), lambda c, t: t.posterior.mean(t.posterior.effects)),
    Verb("ite", on_evidence(cpm.ite), lambda c, t: t.posterior.mean(t.posterior.effects[:, :1])),
    Verb("dose_response", population(cpm.dose_response), lambda c, t: t.prior.mean(t.prior.outcome(c.arm(1)))),
    Verb(
        "att",
        seen_or_not(cpm.att),
        lambda c, t: t.asked.ratio(t.asked.effects * t.asked.treated, t.asked.treated),
        lambda c: c.groups,
    ),
    Verb(
        "cate by subgroup",
        seen_or_not(cpm.cate),
        lambda c, t: t.asked.ratio(t.asked.effects * t.asked.treated, t.asked.treated),
        lambda c: c.groups,
    ),
    Verb(
        "risk_ratio",
        seen_or_not(cpm.risk_ratio, event=True),
        lambda c, t: t.asked.ratio(t.asked.event(c.arm(1)), t.asked.event(c.arm(0))),
        lambda c: not c.plated,
    ),
    Verb("odds_ratio", seen_or_not(cpm.odds_ratio, event=True), lambda c, t: _odds(c, t.asked), lambda c: not c.plated),
    Verb("pn", seen_or_not(cpm.pn, event=True), lambda c, t: _necessary(c, t.asked), lambda c: c.groups),
    Verb("ps", seen_or_not(cpm.ps, event=True), lambda c, t: _sufficient(c, t.asked), lambda c: c.groups),
    Verb(
        "pns",
        seen_or_not(cpm.pns, event=True),
        lambda c, t: t.asked.mean(t.asked.event(c.arm(1)) * (1 - t.asked.event(c.arm(0)))),
        lambda c: c.groups,
    ),
    Verb(
        "nde",
        population(cpm.nde, mediators="M"),
        lambda c, t: _moved(t.prior, {"X": 1.0, "X of M": 0.0}),
        lambda c: bool(c.mediator),
    ),
    Verb(
        "nie",
        population(cpm.nie, mediators="M"),
        lambda c, t: _moved(t.prior, {"X": 0.0, "X of M": 1.0}),
        lambda c: bool(c.mediator),
    ),
    Verb(
        "cde",
        population(cpm.cde, mediators={"M": 1.0}),
        lambda c, t: t.prior.mean(t.prior.outcome({"X": 1.0, "M": 1.0}) - t.prior.outcome({"X": 0.0, "M": 1.0})),
        lambda c: bool(c.mediator),
    ),
    Verb(
        "path_specific",
        population(cpm.path_specific, paths=[("X", "M", "Y")]),
        lambda c, t: _moved(t.prior, {"X": 0.0, "X of M": 1.0}),
        lambda c: bool(c.mediator),
    ),
    Verb("to_inference_data", in_arviz, lambda c, t: _treated(c, t.posterior), lambda c: isinstance(c.outcome, str)),
    Verb("check_model", conformance, lambda c, t: (0.0, 0.0), lambda c: not c.plated),
    Verb("probability", probable, lambda c, t: _hidden(c, t.posterior)),
]
