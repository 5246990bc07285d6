"""Eight programs in the style of Pyro's tutorials under every verb: right, wrong or refused, and time against plain Pyro.

python benchmarks/programs.py            # about ten minutes; writes benchmarks/results/
python benchmarks/programs.py --smoke    # a minute; writes nothing

The truth is that of ``by_hand.py``: exact independent draws from the posterior, and worlds on them, without Pyro and
without this package. A number is right within four of its Monte Carlo errors and those of the truth.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import by_hand
import numpy as np
import pyro
import torch
import tutorials
from by_hand import Array, ByHand, Values
from harness import provenance, table, write
from pyro import poutine
from pyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO, TraceEnum_ELBO
from pyro.infer.autoguide import AutoNormal

import causal_pyro_models as cpm

OURS = "causal_pyro_models"
LIMIT = 4.0  # Monte Carlo errors
REFERENCE = 40_000  # draws of the truth
Answer = tuple[float, float]
"""A number and its Monte Carlo error."""
Read = Callable[[Any], Any]


@dataclass(frozen=True)
class Size:
    """How much is drawn: in all, in a chain, and steps of a guide."""

    draws: int = 4_000
    chain: int = 400
    steps: int = 400


@dataclass(frozen=True)
class Case:
    """A program, what is seen of it, and what is asked.

    Attributes:
        name: what the tables call it.
        model: the program.
        hand: the same by hand.
        seen: the sites with evidence.
        treatment: site -> (control, treated).
        outcome: a site, or a function of the values in a world, a number for each unit.
        threshold: above which the outcome is an event.
        parameter: what is hidden from the evidence and is asked for.
        mediator: a site between treatment and outcome.
        causes: whether the treatment is of two values and has natural ones, so that there are treated units.
        given: site -> value for subgroups; of a program of one unit.
        enumerated: whether plain Pyro enumerates its discrete sites.
    """

    name: str
    model: Callable[[], Any]
    hand: ByHand
    seen: Sequence[str]
    treatment: Mapping[str, tuple[float, float]]
    outcome: str | Read
    threshold: float
    parameter: Read
    cut: float
    mediator: str = ""
    causes: bool = True
    enumerated: bool = False
    serial: bool = False
    evidence: dict[str, torch.Tensor] = field(default_factory=dict)

    @cached_property
    def plated(self) -> bool:
        """Whether the program has plates of its own."""
        return not isinstance(self.hand, by_hand.Counts | by_hand.HiddenMarkov)

    def arm(self, which: int) -> dict[str, float]:
        """The control (0) or the treatment (1)."""
        return {name: pair[which] for name, pair in self.treatment.items()}

    def read(self, world: Any) -> Any:
        """The outcome of each unit in a world, ``(draws, units)``."""
        value = world[self.outcome] if isinstance(self.outcome, str) else self.outcome(world)
        return value.reshape(len(value), -1)

    def event(self, world: Any) -> Any:
        """Whether the outcome is above the threshold, in the shape of its units."""
        value = world[self.outcome] if isinstance(self.outcome, str) else self.outcome(world)
        return value > self.threshold

    def group(self, world: Any) -> Any:
        """Whether a unit is treated, in fact."""
        ((name, (_, treated)),) = self.treatment.items()
        return world[name] == treated

    @cached_property
    def facts(self) -> Values:
        """The evidence as arrays."""
        return {name: value.double().numpy() for name, value in self.evidence.items()}


def first(case: Case, world: cpm.Draws) -> Answer:
    """The posterior mean of the outcome of the first unit, and its error."""
    weights = world.shares()
    weights = weights if weights.dim() == 1 else weights.reshape(len(weights), -1)[:, 0]
    value = case.read(world.proposed)[:, 0].double()
    mean = float((weights * value).sum())
    spread = float((weights * (value - mean).square()).sum()) ** 0.5
    return mean, spread / max(float(world.ess.min()), 1.0) ** 0.5


def posterior(estimate: cpm.Estimate, ess: float, index: int | None = None) -> Answer:
    """Value and Monte Carlo error of an estimate whose standard error is a posterior's."""
    value, spread = estimate.value.reshape(-1)[index or 0], estimate.standard_error.reshape(-1)[index or 0]
    return float(value), float(spread) / ess**0.5


def simulated(estimate: cpm.Estimate) -> Answer:
    """Value and Monte Carlo error of an estimate that simulation approaches."""
    return float(estimate.value.reshape(-1)[-1]), float(estimate.standard_error.reshape(-1)[-1])


def of_prior(case: Case, estimate: cpm.Estimate, size: Size) -> Answer:
    """Value and error of an effect without evidence: draws of a program with plates are a posterior's."""
    value, error = simulated(estimate)
    return value, error / size.draws**0.5 if case.plated else error


def sampled(case: Case, model: Any, size: Size) -> Answer:
    """The share of first units with the event."""
    held = case.event(cpm.sample(model, size.draws, seed=1)).reshape(size.draws, -1)[:, 0].double()
    return float(held.mean()), float(held.std()) / size.draws**0.5


def abducted(case: Case, method: Any, draws: int) -> cpm.Noise:
    """The noise given the evidence."""
    return cpm.abduct(case.model, case.evidence, method, draws, seed=1)


def counterfactual(case: Case, method: Any, draws: int) -> Answer:
    """The outcome of the first unit had it been treated."""
    noise = abducted(case, method, draws)
    return first(case, cpm.counterfactual(case.model, noise, case.arm(1), seed=1))


def guided(case: Case, size: Size) -> Answer:
    """The same with a guide that is trained first."""
    guide = cpm.fit_guide(case.model, case.evidence, steps=size.steps, seed=1, progress=False)
    return counterfactual(case, guide, size.draws)


def chains(size: Size) -> cpm.NUTS:
    """One chain, as in plain Pyro."""
    return cpm.NUTS(num_warmup=size.chain // 2, num_chains=1, progress=False)


def effect(verb: Callable[..., cpm.Estimate], informed: bool = False, **more: Any) -> Callable[[Case, Size], Answer]:
    """An effect in the population, or on the units of the evidence."""

    def ask(case: Case, size: Size) -> Answer:
        outcome = case.event if verb in (cpm.pn, cpm.ps, cpm.pns, cpm.risk_ratio) else case.outcome
        if informed or (case.plated and verb in (cpm.att, cpm.cate, cpm.pn, cpm.pns, cpm.risk_ratio)):
            noise = abducted(case, cpm.ImportanceSampling(), size.draws)
            return posterior(verb(case.model, case.treatment, outcome, evidence=noise, seed=1, **more), float(noise.ess.min()))
        return of_prior(case, verb(case.model, case.treatment, outcome, num_samples=size.draws, seed=1, **more), size)

    return ask


def by_group(case: Case, size: Size) -> Answer:
    """The effect among the treated, as a subgroup."""
    arms, model = case.treatment, case.model
    if not case.plated:
        return simulated(cpm.cate(model, arms, case.outcome, by=case.group, num_samples=size.draws, seed=1))
    noise = abducted(case, cpm.ImportanceSampling(), size.draws)
    return posterior(cpm.cate(model, arms, case.outcome, by=case.group, evidence=noise, seed=1), float(noise.ess.min()), -1)


def curve(case: Case, size: Size) -> Answer:
    """The last point of a dose-response curve."""
    ((name, points),) = case.treatment.items()
    return of_prior(
        case, cpm.dose_response(case.model, {name: list(points)}, case.outcome, num_samples=size.draws, seed=1), size
    )


def probable(case: Case, size: Size) -> Answer:
    """The probability that what is hidden is above a value, given the evidence."""
    method, cut = cpm.ImportanceSampling(), case.cut
    noise = abducted(case, method, size.draws)
    p = cpm.probability(case.model, lambda w: case.parameter(w) > cut, case.evidence, method, size.draws, seed=1)
    value = float(p.reshape(-1)[0])
    return value, math.sqrt(value * (1 - value) / float(noise.ess.min())) + 1e-4


def all_seen(case: Case, size: Size) -> Answer:
    """The counterfactual outcome of the first unit where all sites were observed."""
    seen = complete(case)
    draws = cpm.counterfactual(case.model, seen, case.arm(1), num_samples=size.draws, seed=1)
    value = case.read(draws)[:, 0].double()
    return float(value.mean()), float(value.std()) / size.draws**0.5 + 1e-4


def complete(case: Case) -> dict[str, torch.Tensor]:
    """Values of all sites: one run of the program that has the evidence in it, found by importance sampling by hand."""
    pyro.set_rng_seed(2)
    with torch.no_grad():
        nodes = poutine.trace(case.model).get_trace().nodes
    values = {n: s["value"].detach() for n, s in nodes.items() if s["type"] == "sample" and "Subsample" not in type(s["fn"]).__name__}
    return values if case.plated else {name: value.reshape(1) for name, value in values.items()}


@dataclass
class Truth:
    """The truth of a case: worlds by hand on draws of the prior and of the posterior."""

    case: Case

    @cached_property
    def prior(self) -> dict[str, Values]:
        """The worlds in the population."""
        return self._worlds(self.case.hand.prior(REFERENCE, np.random.default_rng(0)))

    @cached_property
    def posterior(self) -> dict[str, Values]:
        """The worlds given the evidence."""
        return self._worlds(self.case.hand.posterior(REFERENCE, self.case.facts, np.random.default_rng(0)))

    @cached_property
    def complete(self) -> Array:
        """The outcome of the first unit had it been treated, all sites seen."""
        seen = {name: value.double().numpy() for name, value in complete(self.case).items()}
        return self._outcome(self._worlds(self.case.hand.posterior(REFERENCE, seen, np.random.default_rng(0)))["1"])[:, 0]

    def _worlds(self, hidden: Values) -> dict[str, Values]:
        hand, case = self.case.hand, self.case
        found = {"": hand.world(hidden, {}), "0": hand.world(hidden, case.arm(0)), "1": hand.world(hidden, case.arm(1))}
        if case.mediator:
            found["direct"] = hand.world(hidden, {"X": 1.0, "X for M": 0.0})
        return found

    def _outcome(self, world: Values) -> Array:
        return np.asarray(self.case.read(world), float)

    def effects(self, worlds: dict[str, Values]) -> Array:
        """Treated less control of each unit."""
        return self._outcome(worlds["1"]) - self._outcome(worlds["0"])

    def events(self, worlds: dict[str, Values]) -> tuple[Array, Array, Array, Array]:
        """Whether each unit is treated and has the event; and has it under control, and under treatment."""
        found = [np.asarray(self.case.event(worlds[name]), float).reshape(REFERENCE, -1) for name in ("", "0", "1")]
        return np.asarray(self.case.group(worlds[""]), float).reshape(REFERENCE, -1), *found


def mean(draws: Array) -> Answer:
    """Their mean and its error."""
    return float(draws.mean()), float(draws.std()) / math.sqrt(len(draws))


def ratio(case: Case, above: Array, below: Array) -> Answer:
    """Of a program with plates the posterior mean of the ratio of sums over units; else the ratio of means."""
    if case.plated:
        return mean(above.sum(1) / below.sum(1))
    value = above.mean() / below.mean()
    return float(value), float((above - value * below).std() / below.mean()) / math.sqrt(len(above))


def among_treated(case: Case, truth: Truth) -> Answer:
    """The effect on the treated."""
    worlds = truth.posterior if case.plated else truth.prior
    inside = truth.events(worlds)[0]
    return ratio(case, truth.effects(worlds) * inside, inside)


def necessity(case: Case, truth: Truth) -> Answer:
    """P(no event under control | treated, event)."""
    x, y, control, _ = truth.events(truth.posterior if case.plated else truth.prior)
    return ratio(case, x * y * (1 - control), x * y)


def both(case: Case, truth: Truth) -> Answer:
    """P(event under treatment, none under control)."""
    _, _, control, treated = truth.events(truth.posterior if case.plated else truth.prior)
    return mean((treated * (1 - control)).mean(1))


def risks(case: Case, truth: Truth) -> Answer:
    """The ratio of risks."""
    _, _, control, treated = truth.events(truth.posterior if case.plated else truth.prior)
    return ratio(case, treated, control)


def whether(case: Case, world: Values) -> Answer:
    """The probability of the event of the first unit."""
    return mean(np.asarray(case.event(world), float).reshape(REFERENCE, -1)[:, 0])


@dataclass(frozen=True)
class Verb:
    """A question that is put to every case that it has a meaning for."""

    name: str
    ours: Callable[[Case, Size], Answer]
    truth: Callable[[Case, Truth], Answer]
    asked: Callable[[Case], bool] = lambda case: True


def _causes(case: Case) -> bool:
    return case.causes


def _mediated(case: Case) -> bool:
    return bool(case.mediator)


def treated_first(case: Case, truth: Truth) -> Answer:
    """The outcome of the first unit had it been treated, given the evidence."""
    return mean(truth._outcome(truth.posterior["1"])[:, 0])


IMPORTANCE = cpm.ImportanceSampling()
VERBS = [
    Verb("sample", lambda c, s: sampled(c, c.model, s), lambda c, t: whether(c, t.prior[""])),
    Verb("intervene", lambda c, s: sampled(c, cpm.intervene(c.model, c.arm(1)), s), lambda c, t: whether(c, t.prior["1"])),
    Verb("counterfactual, all observed", all_seen, lambda c, t: mean(t.complete)),
    Verb("counterfactual, importance sampling", lambda c, s: counterfactual(c, IMPORTANCE, s.draws), treated_first),
    Verb("counterfactual, NUTS", lambda c, s: counterfactual(c, chains(s), s.chain), treated_first),
    Verb("counterfactual, a guide", guided, treated_first),
    Verb("ate", effect(cpm.ate), lambda c, t: mean(t.effects(t.prior).mean(1))),
    Verb("ate on evidence", effect(cpm.ate, True), lambda c, t: mean(t.effects(t.posterior).mean(1))),
    Verb("ite", effect(cpm.ite, True), lambda c, t: mean(t.effects(t.posterior)[:, 0])),
    Verb("att", effect(cpm.att), among_treated, _causes),
    Verb("cate by subgroup", by_group, among_treated, _causes),
    Verb("dose_response", curve, lambda c, t: mean(t._outcome(t.prior["1"]).mean(1))),
    Verb("risk_ratio", effect(cpm.risk_ratio), risks),
    Verb("pn", effect(cpm.pn), necessity, _causes),
    Verb("pns", effect(cpm.pns), both, _causes),
    Verb("nde", effect(cpm.nde, mediators="M"), lambda c, t: mean((t._outcome(t.prior["direct"]) - t._outcome(t.prior["0"])).mean(1)), _mediated),
    Verb("nie, of the reverse", lambda c, s: reverse(c, s), lambda c, t: mean((t._outcome(t.prior["1"]) - t._outcome(t.prior["direct"])).mean(1)), _mediated),
    Verb("probability", probable, lambda c, t: mean(np.asarray(c.parameter(t.posterior[""]) > c.cut, float).reshape(REFERENCE, -1)[:, 0])),
]
