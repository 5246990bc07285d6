"""Dose-response curves."""

from collections.abc import Sequence
from typing import Any

import torch

from causal_pyro_models.effects.basis import checked_basis, effect_queries, grounded
from causal_pyro_models.effects.population import AnyMethod, Outcome, Population
from causal_pyro_models.errors import QueryError
from causal_pyro_models.estimate import Estimate
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.scm.sites import Model, as_numbers
from causal_pyro_models.seeding import seeded

_OFFER = "bounds(graph, data, 'P(Y=1 | do(X=1))')"


def dose_response(
    model: Model,
    treatment: str,
    grid: Sequence[float] | torch.Tensor,
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
    """The curve x -> E[Y_x] of mean potential outcomes, on the same noise at every point.

    Args:
        model, outcome, evidence, method, num_samples, level, seed, data_graph, require_identified: see :func:`ate`.
        treatment: a site.
        grid: its values, ``(points,)``.

    Returns:
        A value for each point; the intervals hold point by point.

    Raises:
        QueryError: a grid that is empty or holds anything but finite numbers. Otherwise as :func:`ate`.

    References:
        Imbens (2000), The role of the propensity score in estimating dose-response functions.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def model():
        ...     x = pyro.sample("X", dist.Normal(0.0, 1.0))
        ...     pyro.sample("Y", dist.Bernoulli(logits=2.0 * x))
        >>> dose_response(model, "X", [-1.0, 0.0, 1.0], "Y", seed=0)  # exactly 0.119, 0.5, 0.881
        dose_response by X:
          X = -1: 0.1252 ± 0.0033 (95% interval 0.1187 to 0.1317)
          X = 0: 0.5117 ± 0.0050 (95% interval 0.5019 to 0.5215)
          X = 1: 0.8851 ± 0.0032 (95% interval 0.8788 to 0.8914)
    """
    points = _points(treatment, grid)
    basis = checked_basis(data_graph, require_identified, _OFFER, effect_queries, treatment, outcome)
    with seeded(seed), torch.no_grad():
        population = Population.of(model, evidence, method, num_samples)
        terms = population.outcomes(outcome, *({treatment: point} for point in points))
        curve = population.estimate("dose_response", terms, lambda means: means, level, over=treatment, labels=points)
        return grounded(curve, basis)


def _points(treatment: str, grid: Any) -> list[float]:
    if not isinstance(treatment, str):
        raise QueryError(f"the treatment of a dose-response curve is the name of a site, got {treatment!r:.80}.")
    try:
        points = as_numbers(grid)
        points = points if points.is_complex() else points.double()
    except (TypeError, ValueError, RuntimeError):
        raise QueryError(f"the grid of {treatment!r} must be numbers, got {grid!r:.80}.") from None
    if points.dim() != 1 or not len(points) or points.is_complex() or not torch.isfinite(points).all():
        raise QueryError(f"the grid of {treatment!r} must be a list of finite numbers, at least one; got {grid!r:.80}.")
    return points.tolist()
