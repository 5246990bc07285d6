"""The model that is checked, its data, and what several checks look at: noise, worlds, a population, its sites."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from pyro import poutine
from torch import Tensor, nn

from causal_pyro_models.data.batches import Values
from causal_pyro_models.errors import CausalWarning, DataError, EvidenceError, ModelError
from causal_pyro_models.graph import CausalGraph, as_graph
from causal_pyro_models.inference import Draws, Method, Noise, abduct, counterfactual, sample
from causal_pyro_models.inference.evidence import read_evidence
from causal_pyro_models.inference.program import Program, inspect_model, traced
from causal_pyro_models.models import StructuralCausalModel
from causal_pyro_models.models.stand_in import WithStandIns
from causal_pyro_models.scm.handlers.exogenous import site_mechanism
from causal_pyro_models.scm.mechanisms.registry import Distribution, Mechanism
from causal_pyro_models.scm.mechanisms.samples import draw
from causal_pyro_models.scm.sites import Model, is_deterministic, is_variable, noise_name

UNITS = 30  # whose worlds are looked at
DRAWS = 8  # of the noise of each, where some of it is hidden
MIN_ROWS = 20
ERROR_RATE = 1e-6  # of the statistical tests of one check, all together
ROUNDING = {torch.float64: 1e-8, torch.float32: 1e-5}  # in standard deviations of a variable


class LeftOut(Exception):
    """A check does not apply to a model; the message says why."""


@dataclass(frozen=True)
class Finding:
    """A figure, the limit for it, and what it means that the figure is over it."""

    figure: float
    limit: float
    failure: str

    @property
    def excess(self) -> float:
        """The figure in units of the limit; infinite where it is no number."""
        if self.figure <= self.limit:
            return self.figure / self.limit if self.limit else 0.0
        return self.figure / self.limit if self.limit and math.isfinite(self.figure) else math.inf


Findings = Iterator[Finding]


@dataclass(frozen=True)
class RecordedSite:
    """A site that has noise, its parents' values and its own given: ``(units, *event)``."""

    law: Distribution
    mechanism: Mechanism
    value: Tensor

    @property
    def discrete(self) -> bool:
        """Whether its values can be counted."""
        try:
            return not self.value.is_floating_point() or bool(self.law.support.is_discrete)
        except NotImplementedError:  # zuko's flows state no support
            return False

    def can_take(self, value: Tensor) -> Tensor:
        """Which of the units' values lie in the support, ``(units,)``."""
        try:
            inside: Tensor = self.law.support.check(value)
        except NotImplementedError:
            inside = torch.isfinite(value).flatten(value.dim() - len(self.law.event_shape)).all(-1)
        return inside

    def log_prob(self) -> Tensor:
        """Log density of the value, ``(units,)``; minus infinity outside the support."""
        inside = self.can_take(self.value)
        if not bool(inside.all()):
            over_events = inside.reshape(*inside.shape, *(1 for _ in self.law.event_shape))
            possible = torch.where(over_events, self.value, draw(self.law))
            return torch.where(inside, self.law.log_prob(possible), -torch.inf)
        found: Tensor = self.law.log_prob(self.value)
        return found


class Subject:
    """A model under check.

    The worlds are those of the model as a plain program: every site is computed from its noise. The verbs copy what an
    intervention does not affect, which would hide a wrong inverse.

    Args:
        model: of one unit, without observations in it.
        data: a row for each unit.
        graph: of a model that has none of its own.
        method: how hidden noise is abducted.
        num_samples: units of the population for statistical tests.
        seed: of everything that is random.

    Attributes:
        values: what the data say of each variable, ``(rows, *event)``.
        evidence: the same of the first units.
        graph: the causal graph; None where nobody stated it.
    """

    def __init__(
        self,
        model: Model,
        data: Any,
        graph: CausalGraph | None,
        method: Method | Callable[..., object] | None,
        num_samples: int,
        seed: int,
    ) -> None:
        self.model, self.data, self.method, self.num_samples, self.seed = model, data, method, num_samples, seed
        self.graph = model.graph if isinstance(model, StructuralCausalModel) else graph and as_graph(graph)
        self.program = inspect_model(model)
        if self.program.plated or self.program.observed:
            what = f"the observation {self.program.observed[0]!r}" if self.program.observed else "plates of its own"
            raise ModelError(f"check_model takes a model of one unit, and this one has {what}: take it out.")
        self.plain = plain(model)
        self.values = _complete(model, self.program, data)
        self.evidence = {name: value[:UNITS] for name, value in self.values.items()}
        self.units = len(next(iter(self.evidence.values())))
        self.hidden = [
            name for name, s in self.program.sites.items() if not s.deterministic and name not in self.values
        ]
        self.draws = DRAWS if self.hidden else None

    @cached_property
    def noise(self) -> Noise:
        """The noise behind the evidence, in draws of equal weight."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CausalWarning)  # of so few draws
            return abduct(self.model, self.evidence, self.method, self.draws, self.seed).of_equal_weight()

    def world(self, do: Mapping[str, Tensor]) -> Draws:
        """The world under an intervention, every site computed from the noise behind the evidence.

        On random numbers that are not those of the factual world: nothing but the noise may be random in a world.
        """
        return counterfactual(self.plain, self.noise, do, seed=self.seed + 3)

    @cached_property
    def factual(self) -> Draws:
        """The world without an intervention, computed like any other."""
        return counterfactual(self.plain, self.noise, {}, seed=self.seed)

    def elsewhere(self, name: str) -> Tensor:
        """For each unit the value of a variable on another unit's noise of it, which is one that it may be set to."""
        site, axis = noise_name(name), 0 if self.draws is None else 1
        noise = replace(self.noise, replay={**self.noise.replay, site: self.noise[site].roll(1, axis)})
        return counterfactual(self.plain, noise, {}, seed=self.seed)[name]

    @cached_property
    def population(self) -> dict[str, Tensor]:
        """Units of the model itself, what it hides included."""
        return self.only_random(sample(self.plain, self.num_samples, self.seed + 1))

    def only_random(self, values: Values) -> dict[str, Tensor]:
        """The values of sites that have noise."""
        return {name: value for name, value in values.items() if not self.program.sites[name].deterministic}

    @cached_property
    def double(self) -> nn.Module | None:
        """The model in float64; None where there is nothing to cast."""
        return self.cast(torch.float64)

    def cast(self, dtype: torch.dtype, device: str | None = None) -> nn.Module | None:
        """A copy of the model in another precision, or elsewhere; None where it has no tensors of its own."""
        if not isinstance(self.model, nn.Module):
            return None
        tensors = [*self.model.parameters(), *self.model.buffers()]
        if not any(tensor.is_floating_point() for tensor in tensors):
            return None
        return copy.deepcopy(self.model).to(device=device, dtype=dtype)

    def gap(self, name: str, one: Tensor, other: Tensor) -> tuple[float, float]:
        """How far two values of a variable are apart, and the limit for rounding.

        Discrete values: how many differ. Others: the largest difference in standard deviations of the variable.
        """
        other = other.expand_as(one)
        if not one.is_floating_point() or self.is_discrete(name):
            return float((one != other).sum()), 0.0
        coarsest = max((one.dtype, self.precision), key=lambda dtype: torch.finfo(dtype).eps)
        return float((one - other).abs().div(self.spread(name)).max()), ROUNDING.get(coarsest, 1e-2)

    @property
    def precision(self) -> torch.dtype:
        """The type of the model's parameters; the finest where it has none."""
        parameters = self.model.parameters() if isinstance(self.model, nn.Module) else iter(())
        return next((parameter.dtype for parameter in parameters), torch.float64)

    def spread(self, name: str) -> Tensor:
        """The standard deviation of each coordinate of a variable, in the data or the model's own population."""
        value = (self.values if name in self.values else self.population)[name].double()
        sd = value.std(0)
        return torch.where(sd > 0, sd, 1.0)

    @cached_property
    def _discrete(self) -> dict[str, bool]:
        return {name: site.discrete for name, site in sites(self.model, self.few(2)).items()}

    def is_discrete(self, name: str) -> bool:
        """Whether the values of a site with noise can be counted."""
        return self._discrete.get(name, False)

    def few(self, units: int) -> dict[str, Tensor]:
        """Some units of the population."""
        return {name: value[:units] for name, value in self.population.items()}


def plain(model: Model) -> Model:
    """The model as a function like any other, whatever class it is of."""

    return WithStandIns(model, {})


def sites(model: Model, values: Values, gradients: bool = False) -> dict[str, RecordedSite]:
    """The sites of a model that have noise, given the values of all of them, ``(units, *event)`` each."""
    program = inspect_model(plain(model))
    units = len(next(iter(values.values())))
    with torch.set_grad_enabled(gradients):
        trace = traced(poutine.condition(program.batched(units), data=dict(values)))
        return {
            name: RecordedSite(site["fn"], site_mechanism(site), site["value"])
            for name, site in trace.nodes.items()
            if is_variable(site) and not is_deterministic(site)
        }


def _complete(model: Model, program: Program, data: Any) -> dict[str, Tensor]:
    """The values of rows in which nothing is missing and nothing was set."""
    if hasattr(model, "encode"):
        batch = model.encode(data)
        apart = [*batch.missing.values(), *batch.intervened.values()]
        values = batch.values if not apart else batch[~torch.stack(apart).any(0)].values
    else:
        values, units = read_evidence(program, data)
        for name in values:
            if program.sites[name].deterministic:
                raise EvidenceError(
                    f"the data hold {name!r}, which is deterministic and has no noise to check: drop it."
                )
        alike = {name: v for name, v in values.items() if v.dim() == program.sites[name].place.event_dim}
        values = values | {name: v.expand(units, *v.shape) for name, v in alike.items()}
    rows = min((len(value) for value in values.values()), default=0)
    if rows < MIN_ROWS:
        raise DataError(
            f"check_model needs at least {MIN_ROWS} rows in which nothing is missing and nothing was set, got {rows}."
        )
    return dict(values)
