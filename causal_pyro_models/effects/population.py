"""What every effect is made of: the outcome in several worlds on the same noise, and estimates from its means."""

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from statistics import NormalDist
from typing import Any

import torch

from causal_pyro_models.errors import CausalError, InterventionError, ModelError, QueryError, unknown_variable
from causal_pyro_models.estimate import Estimate
from causal_pyro_models.inference.abduction import DEFAULT_DRAWS, Method, abduct
from causal_pyro_models.inference.draws import Draws, Noise
from causal_pyro_models.inference.prediction import check_abducted, predict
from causal_pyro_models.inference.program import Program, Site, inspect_model
from causal_pyro_models.scm.handlers.interventions import Do, Intervention, Treatment
from causal_pyro_models.scm.sites import Model, describe_support
from causal_pyro_models.validation import checked_arms, checked_count, checked_level

SIMULATED_UNITS = 10_000

Outcome = str | Mapping[str, Any] | Callable[[Draws], Any]
"""A site; an event, such as ``{"Y": 2}``; or a function of the values in a world, with a number for each unit."""
AnyMethod = Method | Callable[..., Any] | None
Interval = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Ends of an interval from a value and z standard errors."""


def symmetric(value: torch.Tensor, margin: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The interval of a normal estimate."""
    return value - margin, value + margin


@dataclass(frozen=True)
class Population:
    """Units about whose effects is asked.

    Attributes:
        program: the inspected model.
        noise: draws of the noise of the units.
        posterior: whether the draws are of what is believed about these units and the parameters, so that an effect
            has a posterior; otherwise the draws are themselves units, simulated, and an effect is a number.
    """

    program: Program
    noise: Noise
    posterior: bool

    @classmethod
    def of(cls, model: Model, evidence: Any, method: AnyMethod, num_samples: int | None) -> "Population":
        """The units of the evidence; without any, simulated ones (and parameters from their prior)."""
        program = inspect_model(model)
        check_samples(num_samples)
        if isinstance(evidence, Noise):
            check_abducted(method, num_samples)
            return cls(program, evidence, True)
        if informed(program, evidence):
            return cls(program, _abducted(model, {} if evidence is None else evidence, method, num_samples), True)
        draws = num_samples or (DEFAULT_DRAWS if program.plated else SIMULATED_UNITS)
        return cls(program, abduct(model, {}, method, draws), bool(program.parameters))

    @classmethod
    def given(cls, model: Model, given: Any, method: AnyMethod, num_samples: int | None) -> "Population":
        """Simulated units that have the given values; several values are as many populations."""
        check_samples(num_samples)
        return cls(inspect_model(model), abduct(model, given, method, num_samples or SIMULATED_UNITS), False)

    def outcomes(self, outcome: Outcome, *worlds: Do) -> torch.Tensor:
        """The outcome in each world, ``(draws, units, worlds)`` in float64."""
        if isinstance(outcome, str | Mapping):
            check_outcome(self.program, outcome, *worlds)
        draws = self.draws(*worlds)
        values = [self.values(world, outcome, do).double() for world, do in zip(draws, worlds, strict=True)]
        return torch.stack(torch.broadcast_tensors(*values), -1)

    def draws(self, *worlds: Do) -> list[Draws]:
        """The values of all sites in each world."""
        named = {str(i): do for i, do in enumerate(worlds)}
        return list(predict(self.program, self.noise, named).values())

    def values(self, world: Draws, outcome: Outcome, do: Do | None = None) -> torch.Tensor:
        """A number or truth value for each unit in one world, ``(draws, units)``."""
        if isinstance(outcome, str):
            raw = world[outcome]
        elif isinstance(outcome, Mapping):
            raw = functools.reduce(operator.and_, (world[name] == value for name, value in outcome.items()))
        else:
            raw = self._called(outcome, world)
        value = raw.reshape(1 if world.num_draws is None else len(raw), -1)
        if not torch.isfinite(value).all():
            bad = int((~torch.isfinite(value)).sum())
            where = f" under do({', '.join(f'{k}={v}' for k, v in do.items())})" if do else ""
            raise ModelError(
                f"{shown(outcome)} is NaN or infinite for {bad} of {value.numel()} values{where}: mend the model "
                f"there, or ask about an outcome that is finite."
            )
        return value.expand(world.num_draws or 1, value.shape[1] if self.program.plated else self.noise.units)

    def _called(self, outcome: Any, world: Draws) -> torch.Tensor:
        """What a function makes of the values in a world: a number for each unit."""
        if not callable(outcome):
            raise QueryError(
                f"expected the name of a site, an event such as {{'Y': 1}}, or a function of the values in a world, "
                f"got {outcome!r}."
            )
        try:
            raw = outcome(world)
        except CausalError:
            raise
        except Exception as error:
            raise QueryError(
                f"{shown(outcome)} fails: {type(error).__name__}: {error!s:.200}. It is given a Draws, from which "
                f"world['Y'] is the tensor of a site."
            ) from error
        lead = () if world.num_draws is None else (world.num_draws,)
        came = tuple(raw.shape) if isinstance(raw, torch.Tensor) else type(raw).__name__
        if self.program.plated:
            fits = came[: len(lead)] == lead and len(came) <= len(lead) + self.program.nesting
        else:
            fits = came == (*lead, self.noise.units)
        if not fits:
            expected = ", ".join(map(str, (*lead, *(["plates"] if self.program.plated else [self.noise.units]))))
            raise QueryError(f"{shown(outcome)} gave {came}, expected a number for each unit: ({expected}).")
        return raw  # type: ignore[no-any-return]

    def estimate(
        self,
        name: str,
        terms: torch.Tensor,
        effect: Callable[[torch.Tensor], torch.Tensor],
        level: float,
        per_unit: bool = False,
        interval: Interval = symmetric,
        over: str | None = None,
        labels: Sequence[Any] = (),
    ) -> Estimate:
        """An effect that is a function of the means of some terms over the units.

        Args:
            name: of the effect.
            terms: ``(draws, units, k)``.
            effect: from means ``(..., k)`` to the effect, ``(...)`` or ``(..., n)``.
            level: probability of the interval.
            per_unit: whether every unit has an effect of its own.
            interval: from the value and its margin, where the draws are simulated units (delta method).
            over, labels: what the entries of the effect are.
        """
        level = checked_level(level)
        means, weights = (terms, self.noise.weights) if per_unit else self._over_units(terms)
        count = len(means)
        weight = means.new_full((count,), 1.0 / count) if weights is None else weights.to(means).exp()
        if self.posterior:
            draws = effect(means)
            summary = Draws({name: draws}, {name: 0}, count, weights)
            value, error, ends = summary.mean(name), summary.std(name), summary.interval(name, level)
        else:
            centre = (weight.reshape(weight.shape + (1,) * (means.dim() - weight.dim())) * means).sum(0, keepdim=True)
            at, slope = torch.func.jvp(effect, (centre.expand_as(means).contiguous(),), (means - centre,))[:2]
            draws, value = at + slope, at[0]
            square = (weight.reshape(weight.shape + (1,) * (draws.dim() - weight.dim())) * slope).square()
            error = (square.sum(0) * count / (count - 1)).sqrt() * self._autocorrelation(per_unit)
            ends = interval(value, NormalDist().inv_cdf((1 + level) / 2) * error)
        return Estimate(name, value, error, ends, level, draws, weights, None, over, tuple(labels))

    def _over_units(self, terms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Means over the units of each draw, and the weights of the draws.

        Where units have weights of their own, which they have only where they are independent, each is resampled by
        them, so that every draw holds for all units together.
        """
        weights = self.noise.weights
        if weights is not None and weights.dim() > 1:
            weights = weights.reshape(len(weights), -1)
            if weights.shape[1] == 1:
                return terms.mean(1), weights[:, 0]
            index = torch.multinomial(weights.double().exp().T, len(weights), replacement=True).T
            return terms.gather(0, index[..., None].expand(terms.shape)).mean(1), None
        return terms.mean(1), weights

    def _autocorrelation(self, per_unit: bool) -> torch.Tensor:
        """How much larger the standard error is than that of independent draws; weights account for themselves."""
        ess, count = self.noise.ess, self.noise.num_draws
        if self.noise.weights is not None or ess is None or count is None:
            return torch.ones(())
        factor = (count / ess.double()).sqrt().clamp(min=1.0)
        return factor if per_unit else factor.max()


def _abducted(model: Model, evidence: Any, method: AnyMethod, num_samples: int | None) -> Noise:
    """The noise given evidence; a single draw where the evidence determines it."""
    if method is None and num_samples is None:
        first, second = abduct(model, evidence), abduct(model, evidence)
        if all(torch.equal(first[name], second[name]) for name in first):
            return first
    return abduct(model, evidence, method, num_samples or DEFAULT_DRAWS)


def shown(outcome: Any) -> str:
    """An outcome as an error message shows it."""
    return f"the function {outcome.__name__}" if hasattr(outcome, "__name__") else repr(outcome)


def informed(program: Program, evidence: Any) -> bool:
    """Whether anything was observed, as evidence or in the model itself."""
    given = evidence is not None and not (isinstance(evidence, dict) and not evidence)
    return given or bool(program.observed)


def check_number(name: str, value: Any) -> None:
    """Refuse a treatment that no factual value can be compared with."""
    if not isinstance(value, Real | torch.Tensor):
        raise InterventionError(f"treatment {name!r} must be a number, to tell who was treated, got {value!r}.")


def check_samples(num_samples: int | None) -> None:
    """Refuse a number of draws that no spread can be computed from."""
    if num_samples is not None:
        checked_count(num_samples, "num_samples", 2)


def check_outcome(program: Program, outcome: str | Mapping[str, Any], *worlds: Do) -> None:
    """Refuse what is no site, not a single number, or set by the intervention itself."""
    if not outcome:
        raise QueryError(f"the outcome {outcome!r} is empty: name a site, or an event such as {{'Y': 1}}.")
    for name in [outcome] if isinstance(outcome, str) else outcome:
        if name not in program.sites:
            raise unknown_variable(name, program.sites, "site")
        if any(name in do for do in worlds):
            raise QueryError(f"{name!r} is both the outcome and set by the intervention: ask about another variable.")
        if program.sites[name].place.event_dim:
            raise QueryError(
                f"{name!r} is a vector of shape {tuple(program.sites[name].event_shape)}, expected a number: pass a "
                f"function that makes one of it, such as lambda world: world[{name!r}][..., 0]."
            )
        if isinstance(outcome, Mapping):
            _check_event(name, outcome[name], program.sites[name])


def _check_event(name: str, value: Any, site: Site) -> None:
    """Refuse an event that can never happen; where parents bear on the support (None), only what is no number."""
    support = site.support
    try:
        number = torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise QueryError(f"an event is a site and a number, got {name!r}: {value!r:.80}.") from None
    if number.dim():
        raise QueryError(f"an event is a site and a single number, got {name!r}: {value!r:.80}.")
    if not bool((torch.isfinite(number) if support is None else support.check(number)).all()):
        takes = "finite numbers" if support is None else describe_support(support)
        raise QueryError(f"the event {name!r}: {value!r:.80} never happens: the site takes {takes}.")
    if not site.deterministic and support is not None and not support.is_discrete:
        raise QueryError(
            f"the event {name!r}: {value!r:.80} has probability zero, since the site is continuous: ask about a range, "
            f"such as lambda world: world[{name!r}] > {value!r:.80}."
        )


def arms(program: Program, treatment: Treatment) -> tuple[dict[str, Intervention], dict[str, Intervention]]:
    """The interventions of the control and of the treated world.

    Raises:
        InterventionError: the treatment is not a dict from site to a pair (control, treated).
        UnknownVariableError: a name that no site has.
    """
    pairs = checked_arms(treatment)
    for name in pairs:
        if name not in program.sites:
            raise unknown_variable(name, program.sites, "site")
    return {name: pair[0] for name, pair in pairs.items()}, {name: pair[1] for name, pair in pairs.items()}


def contrasted(
    model: Model, treatment: Treatment, outcome: Outcome, evidence: Any, method: AnyMethod, num_samples: int | None
) -> tuple[Population, torch.Tensor]:
    """The units of the evidence, and their outcomes under control and treatment."""
    control, treated = arms(inspect_model(model), treatment)
    population = Population.of(model, evidence, method, num_samples)
    return population, population.outcomes(outcome, control, treated)
