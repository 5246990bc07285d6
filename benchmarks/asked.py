"""What is asked of the tutorial programs, each question of this package and of the same program by hand."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyro
import torch
from by_hand import Array, ByHand, Values, repeated
from pyro import poutine

import causal_pyro_models as cpm

REFERENCE = 40_000  # draws of the truth
Answer = tuple[float, float]
"""A number and its Monte Carlo error."""


@dataclass(frozen=True)
class Size:
    """How much is drawn: in all, of a program that runs in turns, and in a chain; and the steps of a guide."""

    draws: int = 4_000
    turns: int = 500
    chain: int = 60
    steps: int = 300

    def of(self, case: "Case") -> "Size":
        """That of a program."""
        return replace(self, draws=min(self.draws, self.turns)) if case.in_turns else self


@dataclass(frozen=True)
class Case:
    """A program, what is seen of it, and what is asked.

    Attributes:
        name: what tables call it.
        model: the program.
        hand: the same by hand.
        plated: whether it has plates of its own; otherwise it describes one unit.
        seen: the sites with evidence.
        treatment: site -> (control, treated).
        outcome: a site, or a function of the values in a world, a number for each unit.
        threshold: above which the outcome is an event.
        hidden: what the evidence does not show and is asked for, a number for each unit or one for all.
        cut: above which it is asked how probable it is.
        seed: of the run of the program that the evidence is from.
        fixed: evidence that is none of a run.
        groups: whether units are treated or not in fact, so that those who are can be asked about.
        in_turns: whether it does not broadcast, and runs for one draw after the other.
        mediator: a site between treatment and outcome.
    """

    name: str
    model: Callable[[], Any]
    hand: ByHand
    plated: bool
    seen: Sequence[str]
    treatment: Mapping[str, tuple[float, float]]
    outcome: str | Callable[[Any], Any]
    threshold: float
    hidden: Callable[[Any], Any]
    cut: float
    seed: int = 1
    fixed: Mapping[str, torch.Tensor] | None = None
    groups: bool = True
    in_turns: bool = False
    mediator: str = ""

    @cached_property
    def complete(self) -> dict[str, torch.Tensor]:
        """The values of all sites in a run of the program."""
        pyro.set_rng_seed(self.seed)
        with torch.no_grad():
            nodes = poutine.block(poutine.trace(self.model).get_trace)().nodes
        pyro.clear_param_store()
        sites = {name: site["value"] for name, site in nodes.items() if site["type"] == "sample"}
        plates = [frame.name for site in nodes.values() for frame in site.get("cond_indep_stack", ())]
        return {n: v.detach() if self.plated else v.reshape(1) for n, v in sites.items() if n not in plates}

    @cached_property
    def evidence(self) -> dict[str, torch.Tensor]:
        """The values of what is seen."""
        return dict(self.fixed) if self.fixed else {name: self.complete[name] for name in self.seen}

    @property
    def plain_evidence(self) -> dict[str, torch.Tensor]:
        """The evidence as the program itself has it, one unit without a dimension."""
        return {name: value if self.plated else value.reshape(()) for name, value in self.evidence.items()}

    @property
    def nesting(self) -> int:
        """How many plates lie in one another."""
        return max((value.dim() for value in self.plain_evidence.values()), default=0) if self.plated else 0

    def arm(self, which: int) -> dict[str, float]:
        """The control (0) or the treatment (1)."""
        return {name: pair[which] for name, pair in self.treatment.items()}

    def effect_on(self, world: Any) -> Any:
        """The outcome in a world."""
        return world[self.outcome] if isinstance(self.outcome, str) else self.outcome(world)

    def event(self, world: Any) -> Any:
        """Whether it is above the threshold."""
        return self.effect_on(world) > self.threshold

    def group(self, world: Any) -> Any:
        """Whether a unit is treated, in fact."""
        ((name, (_, treated)),) = self.treatment.items()
        return world[name] == treated

    def noise(self, size: Size, method: Any = None) -> cpm.Noise:
        """The noise given the evidence, by importance sampling where no method is given."""
        return cpm.abduct(self.model, self.evidence, method or cpm.ImportanceSampling(), size.draws, seed=1)


@dataclass(frozen=True)
class Truth:
    """The worlds of a case by hand, on draws of the prior and of the posterior."""

    case: Case

    @cached_property
    def prior(self) -> "Worlds":
        """In the population."""
        return Worlds(self.case, self.case.hand.prior(REFERENCE, np.random.default_rng(0)))

    @cached_property
    def posterior(self) -> "Worlds":
        """Given the evidence."""
        seen = _arrays(self.case.evidence)
        return Worlds(self.case, self.case.hand.posterior(REFERENCE, seen, np.random.default_rng(0)))

    @property
    def asked(self) -> "Worlds":
        """Those of questions about groups: with evidence, where the program has plates."""
        return self.posterior if self.case.plated else self.prior

    @cached_property
    def complete(self) -> "Worlds":
        """Given the values of all sites."""
        sites = repeated(_arrays(self.case.complete), REFERENCE)
        return Worlds(self.case, self.case.hand.noise(sites, np.random.default_rng(0)))


@dataclass(frozen=True)
class Worlds:
    """Worlds on the same draws, each question an array ``(draws, units)``."""

    case: Case
    drawn: Values

    def world(self, do: Mapping[str, float]) -> Values:
        """All sites under an intervention."""
        return self.case.hand.world(self.drawn, do)

    def outcome(self, do: Mapping[str, float]) -> Array:
        """The outcome under an intervention."""
        return _flat(self.case.effect_on(self.world(do)))

    def event(self, do: Mapping[str, float]) -> Array:
        """Whether it is above the threshold."""
        return (self.outcome(do) > self.case.threshold).astype(float)

    @cached_property
    def effects(self) -> Array:
        """Treated less control."""
        return self.outcome(self.case.arm(1)) - self.outcome(self.case.arm(0))

    @cached_property
    def treated(self) -> Array:
        """Whether a unit is treated, in fact."""
        return _flat(self.case.group(self.world({}))).astype(float)

    def mean(self, of: Array) -> Answer:
        """The mean over units and draws."""
        over = of.mean(1)
        return float(over.mean()), float(over.std()) / math.sqrt(len(over))

    def ratio(self, above: Array, below: Array) -> Answer:
        """Of a program with plates the posterior mean of a ratio of sums over units; else a ratio of means."""
        if self.case.plated:
            return self.mean((above.sum(1) / below.sum(1))[:, None])
        value = float(above.mean() / below.mean())
        return value, float((above - value * below).std() / below.mean()) / math.sqrt(len(above))


def _arrays(values: Mapping[str, torch.Tensor]) -> Values:
    return {name: value.double().numpy() for name, value in values.items()}


def _flat(value: Any) -> Any:
    return value.reshape(len(value), -1)


def of_draws(case: Case, draws: cpm.Draws, of: Callable[[Any], Any]) -> Answer:
    """The mean of something of the first unit, by the weights of the draws, and its error."""
    weights = draws.shares().double()
    weights = _flat(weights)[:, 0] / _flat(weights)[:, 0].sum()
    value = _flat(of(draws.proposed))[:, 0].double()
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
        return of_draws(case, cpm.counterfactual(case.model, noise, case.arm(1), seed=1), case.effect_on)

    return ask


def all_observed(case: Case, size: Size) -> Answer:
    """The same where every site was observed, so that abduction is exact."""
    draws = cpm.counterfactual(case.model, case.complete, case.arm(1), num_samples=size.draws, seed=1)
    value, error = of_draws(case, draws, case.effect_on)
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
    held = _flat(case.event(cpm.sample(model, size.draws, seed=1)).double())[:, 0]
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


def _hidden(case: Case, worlds: Worlds) -> Answer:
    return worlds.mean((_flat(case.hidden(worlds.world({})))[:, :1] > case.cut).astype(float))


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
    Verb("pn", seen_or_not(cpm.pn, event=True), lambda c, t: _necessary(c, t.asked), lambda c: c.groups),
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
    Verb("probability", probable, lambda c, t: _hidden(c, t.posterior)),
]
