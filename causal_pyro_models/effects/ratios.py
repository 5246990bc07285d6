"""Risks compared by their ratio, or by the ratio of their odds."""

from collections.abc import Callable
from typing import Any

import torch

from causal_pyro_models.effects.basis import checked_basis, effect_queries, grounded
from causal_pyro_models.effects.population import AnyMethod, Outcome, contrasted, shown
from causal_pyro_models.errors import EvidenceError, QueryError
from causal_pyro_models.estimate import Estimate
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.scm.handlers.interventions import Treatment
from causal_pyro_models.scm.sites import Model
from causal_pyro_models.seeding import seeded

_OFFER = "bounds(graph, data, 'P(Y=1 | do(X=1))')"


def risk_ratio(
    model: Model,
    treatment: Treatment,
    outcome: Outcome,
    *,
    evidence: Any = None,
    method: AnyMethod = None,
    num_samples: int | None = None,
    level: float = 0.95,
    seed: int | None = None,
    data_graph: CausalGraph | None = None,
    require_identified: bool = False,
) -> Estimate:
    """The causal risk ratio P(Y_treated) / P(Y_control) of a binary outcome or an event.

    Args:
        model, treatment, outcome, evidence, method, num_samples, level, seed, data_graph, require_identified: see
            :func:`ate`.

    Returns:
        The ratio. Where it is approached by simulation its error is that of the delta method, and its interval
        symmetric on the log scale; where there is a posterior, the posterior's of the ratio.

    Raises:
        QueryError: an outcome with other values than 0 and 1.
        EvidenceError: no unit has the outcome under control. Otherwise as :func:`ate`.

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
    basis = checked_basis(data_graph, require_identified, _OFFER, effect_queries, treatment, outcome)
    ratio = _ratio("risk_ratio", quotient, model, treatment, outcome, evidence, method, num_samples, level, seed)
    return grounded(ratio, basis)


def odds_ratio(
    model: Model,
    treatment: Treatment,
    outcome: Outcome,
    *,
    evidence: Any = None,
    method: AnyMethod = None,
    num_samples: int | None = None,
    level: float = 0.95,
    seed: int | None = None,
    data_graph: CausalGraph | None = None,
    require_identified: bool = False,
) -> Estimate:
    """The causal odds ratio of a binary outcome or an event, treated against control: that of the population.

    Args:
        model, treatment, outcome, evidence, method, num_samples, level, seed, data_graph, require_identified: see
            :func:`ate`.

    Returns:
        The ratio, with error and interval as in :func:`risk_ratio`.

    Raises:
        QueryError: an outcome with other values than 0 and 1.
        EvidenceError: all units or none have the outcome in one of the worlds. Otherwise as :func:`ate`.

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
    basis = checked_basis(data_graph, require_identified, _OFFER, effect_queries, treatment, outcome)
    ratio = _ratio("odds_ratio", _odds_quotient, model, treatment, outcome, evidence, method, num_samples, level, seed)
    return grounded(ratio, basis)


def _ratio(
    name: str,
    effect: Callable[[torch.Tensor], torch.Tensor],
    model: Model,
    treatment: Treatment,
    outcome: Outcome,
    evidence: Any,
    method: AnyMethod,
    num_samples: int | None,
    level: float,
    seed: int | None,
) -> Estimate:
    with seeded(seed), torch.no_grad():
        population, terms = contrasted(model, treatment, outcome, evidence, method, num_samples)
        check_binary(terms, outcome)
        return population.estimate(name, terms, effect, level, interval=on_log_scale)


def check_binary(values: torch.Tensor, outcome: Any) -> None:
    """Refuse an outcome that does not happen or not happen."""
    if not bool(((values == 0) | (values == 1)).all()):
        raise QueryError(
            f"{shown(outcome)} must be 0 or 1, got values from {values.min():g} to {values.max():g}: name an event, "
            f"such as outcome={{'Y': 2}} or outcome=lambda world: world['Y'] > 3."
        )


def quotient(means: torch.Tensor) -> torch.Tensor:
    """Treated over control."""
    control, treated = means[..., 0], means[..., 1]
    if bool((control <= 0).any()):
        raise EvidenceError("no unit has the outcome under control, so the risk ratio is infinite: see ate instead.")
    return treated / control


def _odds_quotient(means: torch.Tensor) -> torch.Tensor:
    if bool(((means <= 0) | (means >= 1)).any()):
        raise EvidenceError(
            "all units or none have the outcome in a world, so its odds are no number: see ate instead."
        )
    odds = means / (1 - means)
    return odds[..., 1] / odds[..., 0]


def on_log_scale(value: torch.Tensor, margin: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The interval of a positive estimate whose logarithm is normal."""
    factor = (margin / value).exp()
    return value / factor, value * factor
