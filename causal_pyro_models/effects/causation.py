"""Probabilities of causation: was the treatment necessary, would it suffice, and both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Unpack

import torch

from causal_pyro_models.effects.outcomes import Outcome, check_binary, checked_number
from causal_pyro_models.effects.queries import causation_queries
from causal_pyro_models.effects.question import Options, Question, asked
from causal_pyro_models.effects.units import Effect, Units
from causal_pyro_models.errors import EvidenceError, InterventionError
from causal_pyro_models.estimate import LOGIT, Estimate
from causal_pyro_models.scm.handlers.interventions import Treatment
from causal_pyro_models.scm.sites import Model


def pn(model: Model, treatment: Treatment, outcome: Outcome, **options: Unpack[Options]) -> Estimate:
    """The probability of necessity P(not Y_control | X = treated, Y): without treatment, no outcome.

    The value holds under the coupling that the model's mechanisms have (a monotone threshold at Bernoulli sites,
    Gumbel-max at categorical ones), and ``bounds`` for every model with the same P(y_x), P(y_x') and P(x, y). There are
    none where there is evidence on units: a posterior of single units is no law of a population.

    Args:
        model: see :func:`ate`.
        treatment: one site of two values -> (control, treated).
        outcome: a binary site, an event ``{"Y": 2}`` or ``{"Y": "rare"}``, or a function of the values in a world
            that gives truth values.
        options: see :class:`Options`.

    Raises:
        EvidenceError: no unit is treated and has the outcome: the probability is not defined.
        QueryError: an outcome with other values than 0 and 1.
        InterventionError: a treatment with other values than the two. Otherwise as :class:`Options` says.

    References:
        Pearl (2009), Causality, definition 9.2.1; Tian and Pearl (2000), Probabilities of causation: bounds and
        identification.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def model():
        ...     x = pyro.sample("X", dist.Bernoulli(0.5))
        ...     pyro.sample("Y", dist.Bernoulli(0.2 + 0.6 * x))
        >>> pn(model, {"X": (0.0, 1.0)}, "Y", seed=0)  # exactly 0.75
        pn = 0.7357 ± 0.0069 (95% interval 0.7219 to 0.7490), from 0.7357 to 0.9822 over all couplings
    """
    return _probability(pn, _pn, model, treatment, outcome, options)


def ps(model: Model, treatment: Treatment, outcome: Outcome, **options: Unpack[Options]) -> Estimate:
    """The probability of sufficiency P(Y_treated | X = control, not Y): with treatment, the outcome.

    Args:
        model, treatment, outcome, options: see :func:`pn`.

    Returns:
        The value under the coupling of the model's mechanisms, and bounds as in :func:`pn`.

    Raises:
        EvidenceError: no unit is untreated and without the outcome. Otherwise as :func:`pn`.

    References:
        Pearl (2009), Causality, definition 9.2.2; Tian and Pearl (2000), Probabilities of causation: bounds and
        identification.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def model():
        ...     x = pyro.sample("X", dist.Bernoulli(0.5))
        ...     pyro.sample("Y", dist.Bernoulli(0.2 + 0.6 * x))
        >>> ps(model, {"X": (0.0, 1.0)}, "Y", seed=0)  # exactly 0.75
        ps = 0.7569 ± 0.0068 (95% interval 0.7433 to 0.7700), from 0.7569 to 1.0000 over all couplings
    """
    return _probability(ps, _ps, model, treatment, outcome, options)


def pns(model: Model, treatment: Treatment, outcome: Outcome, **options: Unpack[Options]) -> Estimate:
    """The probability of necessity and sufficiency P(Y_treated, not Y_control): the outcome follows the treatment.

    Args:
        model, treatment, outcome, options: see :func:`pn`.

    Returns:
        The value under the coupling of the model's mechanisms, and bounds as in :func:`pn`.

    Raises:
        QueryError, InterventionError: as :func:`pn`.

    References:
        Pearl (2009), Causality, definition 9.2.3; Tian and Pearl (2000), Probabilities of causation: bounds and
        identification.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def model():
        ...     x = pyro.sample("X", dist.Bernoulli(0.5))
        ...     pyro.sample("Y", dist.Bernoulli(0.2 + 0.6 * x))
        >>> pns(model, {"X": (0.0, 1.0)}, "Y", seed=0)  # exactly 0.6
        pns = 0.5979 ± 0.0049 (95% interval 0.5883 to 0.6075), from 0.5979 to 0.7941 over all couplings
    """
    return _probability(pns, _pns, model, treatment, outcome, options)


def _probability(
    verb: Callable[..., Estimate],
    effect: Effect,
    model: Model,
    treatment: Treatment,
    outcome: Outcome,
    options: Options,
) -> Estimate:
    """A probability of causation and its bounds, from the law of X, Y, Y_control and Y_treated among the units."""

    def answer(question: Question) -> Estimate:
        arms = question.arms(treatment)
        if len(treatment) != 1:
            raise InterventionError(f"a probability of causation is of one treatment, got {list(treatment)}.")
        basis = question.basis(causation_queries, treatment, outcome, question.name)
        units = question.units()
        worlds = units.outcomes(outcome, *arms)
        x, y = _factual(units, treatment, outcome)
        check_binary(torch.cat([y, worlds.flatten(1)], -1), outcome)
        control, treated = worlds.unbind(-1)
        law = [x * y, x * (1 - y), (1 - x) * y, (1 - x) * (1 - y), control, treated, treated * (1 - control)]
        necessary, sufficient = x * y * (1 - control), (1 - x) * (1 - y) * treated
        terms = torch.stack([*law, necessary, sufficient], -1)
        both = question.answer(units.means(terms), effect, basis, scale=LOGIT)
        value, lower, upper = both.value.unbind(-1)
        return replace(
            both,
            value=value,
            standard_error=both.standard_error[..., 0],
            interval=(both.interval[0][..., 0], both.interval[1][..., 0]),
            draws=None if both.draws is None else both.draws[..., 0],
            bounds=None if units.posterior else (lower, upper),
        )

    return asked(verb, model, options, answer)


def _factual(units: Units, treatment: Treatment, outcome: Outcome) -> tuple[torch.Tensor, torch.Tensor]:
    """Who is treated and who has the outcome, as zeros and ones."""
    ((cause, pair),) = treatment.items()
    values = [checked_number(cause, value, units.program.sites[cause]) for value in pair]
    factual = units.worlds({})[0]
    x = units.flat(factual[cause], factual, cause)
    control, treated = (torch.as_tensor(value, dtype=x.dtype) for value in values)
    if not bool(((x == control) | (x == treated)).all()):
        raise InterventionError(
            f"the treatment {cause!r} takes other values than {pair[0]!r} and {pair[1]!r}: probabilities of causation "
            f"are of a treatment of two values."
        )
    return (x == treated).double(), units.values(factual, outcome).double()


def _pn(means: torch.Tensor) -> torch.Tensor:
    """PN with the bounds of Tian and Pearl (2000) from P(y_x), P(y_x') and P(x, y)."""
    xy, _, ny, nn, control, _, _, necessary, _ = means.unbind(-1)
    _defined(xy, "treated and has the outcome")
    return (
        torch.stack([necessary, (xy + ny - control).clamp(min=0), torch.minimum(xy, 1 - control - nn)], -1)
        / xy[..., None]
    )


def _ps(means: torch.Tensor) -> torch.Tensor:
    """PS with the bounds of Tian and Pearl (2000) from P(y_x), P(y_x') and P(x, y)."""
    xy, _, ny, nn, _, treated, _, _, sufficient = means.unbind(-1)
    _defined(nn, "untreated and without the outcome")
    return (
        torch.stack([sufficient, (treated - xy - ny).clamp(min=0), torch.minimum(nn, treated - xy)], -1) / nn[..., None]
    )


def _pns(means: torch.Tensor) -> torch.Tensor:
    """PNS with the bounds of Tian and Pearl (2000) from P(y_x), P(y_x') and P(x, y)."""
    xy, xn, ny, nn, control, treated, both, _, _ = means.unbind(-1)
    y = xy + ny
    lower = torch.stack([torch.zeros_like(y), treated - control, y - control, treated - y], -1).amax(-1)
    upper = torch.stack([treated, 1 - control, xy + nn, treated - control + xn + ny], -1).amin(-1)
    return torch.stack([both, lower, upper], -1)


def _defined(probability: torch.Tensor, what: str) -> None:
    if bool((probability <= 0).any()):
        raise EvidenceError(
            f"no unit is {what}, so there is nothing to condition on: the event has probability zero, or one so small "
            f"that num_samples must be raised."
        )
