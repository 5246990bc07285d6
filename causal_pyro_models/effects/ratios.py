"""Risks compared by their ratio, or by the ratio of their odds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import torch

from causal_pyro_models.effects.outcomes import Outcome, check_binary
from causal_pyro_models.effects.queries import effect_queries
from causal_pyro_models.effects.question import Options, Question, asked
from causal_pyro_models.effects.units import Effect
from causal_pyro_models.errors import EvidenceError
from causal_pyro_models.estimate import LOG, Estimate
from causal_pyro_models.scm.handlers.interventions import Treatment
from causal_pyro_models.scm.sites import Model


def risk_ratio(model: Model, treatment: Treatment, outcome: Outcome, **options: Unpack[Options]) -> Estimate:
    """The causal risk ratio P(Y_treated) / P(Y_control) of a binary outcome or an event.

    Args:
        model, treatment, outcome: see :func:`ate`.
        options: see :class:`Options`.

    Returns:
        The ratio. Where it is approached by simulation its error is that of the delta method, and its interval
        symmetric on the log scale; where there is a posterior, the posterior's of the ratio.

    Raises:
        QueryError: an outcome with other values than 0 and 1.
        EvidenceError: no unit has the outcome under control. Otherwise as :class:`Options` says.

    References:
        Hernán and Robins (2020), Causal inference: what if, section 1.3; Katz et al. (1978), Obtaining confidence
        intervals for the risk ratio in cohort studies.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def model():
        ...     x = pyro.sample("X", dist.Bernoulli(0.5))
        ...     pyro.sample("Y", dist.Bernoulli(0.2 + 0.3 * x))
        >>> risk_ratio(model, {"X": (0.0, 1.0)}, "Y", seed=0)  # exactly 2.5
        risk_ratio = 2.470 ± 0.042 (95% interval 2.389 to 2.554)
    """
    return _ratio(risk_ratio, quotient, model, treatment, outcome, options)


def odds_ratio(model: Model, treatment: Treatment, outcome: Outcome, **options: Unpack[Options]) -> Estimate:
    """The causal odds ratio of a binary outcome or an event, treated against control: that of the population.

    Args:
        model, treatment, outcome: see :func:`ate`.
        options: see :class:`Options`.

    Returns:
        The ratio, with error and interval as in :func:`risk_ratio`.

    Raises:
        QueryError: an outcome with other values than 0 and 1.
        EvidenceError: all units or none have the outcome in one of the worlds. Otherwise as :class:`Options` says.

    References:
        Hernán and Robins (2020), Causal inference: what if, section 1.3; Woolf (1955), On estimating the relation
        between blood group and disease.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def model():
        ...     x = pyro.sample("X", dist.Bernoulli(0.5))
        ...     pyro.sample("Y", dist.Bernoulli(0.2 + 0.3 * x))
        >>> odds_ratio(model, {"X": (0.0, 1.0)}, "Y", seed=0)  # exactly 4
        odds_ratio = 3.992 ± 0.091 (95% interval 3.818 to 4.174)
    """
    return _ratio(odds_ratio, odds_quotient, model, treatment, outcome, options)


def _ratio(
    verb: Callable[..., Estimate],
    effect: Effect,
    model: Model,
    treatment: Treatment,
    outcome: Outcome,
    options: Options,
) -> Estimate:

    def answer(question: Question) -> Estimate:
        basis = question.basis(effect_queries, treatment, outcome)
        arms = question.arms(treatment)
        units = question.units(*arms)
        terms = units.outcomes(outcome, *arms)
        check_binary(terms, outcome)
        return question.answer(units.means(terms), effect, basis, scale=LOG)

    return asked(verb, model, options, answer)


def quotient(means: torch.Tensor) -> torch.Tensor:
    """Treated over control."""
    control, treated = means[..., 0], means[..., 1]
    if bool((control <= 0).any()):
        raise EvidenceError("no unit has the outcome under control, so the risk ratio is infinite: see ate instead.")
    return treated / control


def odds_quotient(means: torch.Tensor) -> torch.Tensor:
    """Odds of the treated over odds under control."""
    if bool(((means <= 0) | (means >= 1)).any()):
        raise EvidenceError(
            "all units or none have the outcome in a world, so its odds are no number: see ate instead."
        )
    odds = means / (1 - means)
    return odds[..., 1] / odds[..., 0]
