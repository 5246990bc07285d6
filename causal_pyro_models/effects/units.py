"""The units that an effect is about: their outcomes in several worlds on the same noise, and effects of the means."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TypeAlias

import torch

from causal_pyro_models.data.coded import Coded, as_numbers, codes, in_codes
from causal_pyro_models.effects.outcomes import Outcome, check_outcome, shown
from causal_pyro_models.effects.support import support_of_worlds
from causal_pyro_models.errors import CausalError, EvidenceError, ModelError, QueryError
from causal_pyro_models.estimate import DIFFERENCE, LINE, Scale, Support
from causal_pyro_models.inference.draws import Draws, Noise
from causal_pyro_models.inference.prediction import predict
from causal_pyro_models.inference.program import Program
from causal_pyro_models.scm.handlers.interventions import Do

Effect: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""From means ``(..., k)`` to an effect, ``(...)`` or ``(..., n)``."""
Ends: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""Lower and upper end of an interval."""


def difference(means: torch.Tensor) -> torch.Tensor:
    """Treated minus control."""
    return means[..., 1] - means[..., 0]


@dataclass(frozen=True)
class Means:
    """Means of some terms over units, draw by draw, and what tells how uncertain an effect is that they come to.

    Attributes:
        values: ``(draws, k)``, or ``(draws, units, k)`` where every unit has means of its own.
        log_weights: normalised log weights of the draws, ``(draws,)`` or ``(draws, units)``; None where all are equal.
        posterior: see :class:`Units`.
        inflation: how much larger the standard error is than that of independent draws.
        support: what was asked outside of the support of the data.
    """

    values: torch.Tensor
    log_weights: torch.Tensor | None
    posterior: bool
    inflation: torch.Tensor
    support: Support | None = None

    def effect(
        self, effect: Effect, level: float, scale: Scale
    ) -> tuple[torch.Tensor, torch.Tensor, Ends, torch.Tensor]:
        """Value, standard error, interval and draws of an effect that is a function of the means.

        Where there is a posterior, they are its mean, standard deviation and quantiles. Otherwise they are those of the
        delta method, symmetric on a scale.
        """
        count = len(self.values)
        if self.posterior:
            effects = self._draws(effect(self.values))
            return effects.mean(""), effects.std(""), effects.interval("", level), effects[""]
        weights = self.values.new_full((count,), 1.0 / count)
        if self.log_weights is not None:
            weights = self.log_weights.to(self.values).exp()
            weights = weights / weights.sum(0, keepdim=True)  # to the precision of the values
        centre = (_aligned(weights, self.values) * self.values).sum(0, keepdim=True)
        at, slope = torch.func.jvp(effect, (centre.expand_as(self.values).contiguous(),), (self.values - centre,))[:2]
        square = (_aligned(weights, slope) * slope).square().sum(0)
        error = (square * count / (count - 1)).sqrt() * self.inflation
        check_scaled(scale, at[0])
        return (
            at[0],
            error,
            scale.ends(at[0], NormalDist().inv_cdf((1 + level) / 2) * error),
            self._draws(at + slope)[""],
        )

    def _draws(self, effects: torch.Tensor) -> Draws:
        return Draws({"": effects}, {"": 0}, len(effects), self.log_weights)


def scale_of(outcomes: torch.Tensor) -> Scale:
    """The natural scale of a difference of mean outcomes: of probabilities where they happen or do not."""
    return DIFFERENCE if bool(((outcomes == 0) | (outcomes == 1)).all()) else LINE


def check_scaled(scale: Scale, values: torch.Tensor) -> None:
    """Refuse a ratio of zero, whose interval on the log scale is none.

    Raises:
        EvidenceError: there is one.
    """
    if not bool(torch.isfinite(scale.line(values)).all()):
        raise EvidenceError(
            "the ratio is 0, or infinite, in the simulated units, so that it has no interval: raise num_samples, or "
            "see ate instead."
        )


def _aligned(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return weights.reshape(weights.shape + (1,) * (values.dim() - weights.dim()))


@dataclass(frozen=True)
class Units:
    """Units about whose effects is asked.

    Attributes:
        program: the inspected model.
        noise: draws of the noise of the units.
        posterior: whether the draws are of what is believed about these units and the parameters, so that an effect
            has a posterior; otherwise the draws are themselves units, simulated, and an effect is a number.
        asked: the support of each set of outcomes that they were asked for.
    """

    program: Program
    noise: Noise
    posterior: bool
    asked: list[Support] = field(default_factory=list)

    def worlds(self, *do: Do) -> list[Draws]:
        """The values of all sites under each intervention, in the draws that the weights belong to."""
        return [world.proposed for world in self._predicted(do)]

    def _predicted(self, do: Sequence[Do]) -> list[Draws]:
        return list(predict(self.program, self.noise, {str(i): actions for i, actions in enumerate(do)}).values())

    def outcomes(self, outcome: Outcome, *do: Do) -> torch.Tensor:
        """The outcome under each intervention, ``(draws, units, worlds)`` in float64."""
        if isinstance(outcome, str | Mapping):
            check_outcome(self.program, outcome, *do)
        worlds = self._predicted(do)
        if (support := support_of_worlds(self.program, worlds, do, outcome)) is not None:
            self.asked.append(support)
        values = [
            self.values(world.proposed, outcome, actions).double() for world, actions in zip(worlds, do, strict=True)
        ]
        return torch.stack(torch.broadcast_tensors(*values), -1)

    def values(self, world: Draws, outcome: Outcome, do: Do | None = None) -> torch.Tensor:
        """A number or truth value for each unit in one world, ``(draws, units)``."""
        raw = self.read(world, outcome)
        if isinstance(outcome, str):
            raw = as_numbers(outcome, raw, world.kinds.get(outcome))
        return self.flat(raw.numbers() if isinstance(raw, Coded) else raw, world, outcome, do)

    def read(self, world: Draws, outcome: Outcome) -> torch.Tensor:
        """What is asked about in one world; of a site with labels it knows these."""
        if isinstance(outcome, str):
            return world[outcome]
        if isinstance(outcome, Mapping):
            parts = {name: (world[name], world.kinds.get(name)) for name in outcome}
            happens = (
                codes(raw) == in_codes(name, outcome[name], kind, QueryError) for name, (raw, kind) in parts.items()
            )
            found: torch.Tensor = functools.reduce(operator.and_, happens)
            return found
        return self._called(outcome, world)

    def flat(self, raw: torch.Tensor, world: Draws, outcome: object, do: Do | None = None) -> torch.Tensor:
        """Finite values of a world, one for each unit, ``(draws, units)``."""
        value = codes(raw).reshape(1 if world.num_draws is None else len(raw), -1)
        if not torch.isfinite(value).all():
            bad = int((~torch.isfinite(value)).sum())
            where = f" under do({', '.join(f'{k}={v}' for k, v in do.items())})" if do else ""
            raise ModelError(
                f"{shown(outcome)} is NaN or infinite for {bad} of {value.numel()} values{where}: mend the model "
                f"there, or ask about an outcome that is finite."
            )
        return value.expand(world.num_draws or 1, value.shape[1] if self.program.plated else self.noise.units)

    def _called(self, outcome: object, world: Draws) -> torch.Tensor:
        """What a function makes of the values in a world: a number for each unit."""
        if not callable(outcome):
            raise QueryError(
                f"expected the name of a site, an event such as {{'Y': 1}}, or a function of the values in a world, "
                f"got {outcome!r}."
            )
        try:
            raw: torch.Tensor = outcome(world)
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
        return raw

    def each(self, terms: torch.Tensor) -> Means:
        """Terms ``(draws, units, k)`` as they are, every unit by itself."""
        return Means(terms, self.noise.log_weights, self.posterior, self._inflation(), self.support)

    def means(self, terms: torch.Tensor) -> Means:
        """Means of terms ``(draws, units, k)`` over the units of each draw.

        Where units have weights of their own, which they have only where they are independent, each is resampled by
        them, so that every draw holds for all units together.
        """
        log_weights = self.noise.log_weights
        if log_weights is not None and log_weights.dim() > 1:
            log_weights = log_weights.reshape(len(log_weights), -1)
            if log_weights.shape[1] == 1:
                log_weights = log_weights[:, 0]
            else:
                terms, log_weights = Draws({"": terms}, {"": 1}, len(terms), log_weights)[""], None
        return Means(terms.mean(1), log_weights, self.posterior, self._inflation().max(), self.support)

    @property
    def support(self) -> Support | None:
        """What was asked outside of the support of the data."""
        return self.asked[-1] if self.asked else None

    def _inflation(self) -> torch.Tensor:
        """By how much the dependence of draws widens the standard error; weights account for themselves."""
        ess, count = self.noise.ess, self.noise.num_draws
        if self.noise.log_weights is not None or ess is None or count is None:
            return torch.ones(())
        return (count / ess.double()).sqrt().clamp(min=1.0)
