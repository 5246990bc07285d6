"""A tutorial program, what is seen of it and what is asked; and the truth of it, from the same program by hand."""

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
        return flat(self.case.effect_on(self.world(do)))

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
        return flat(self.case.group(self.world({}))).astype(float)

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


def flat(value: Any) -> Any:
    """A column for each unit."""
    return value.reshape(len(value), -1)
