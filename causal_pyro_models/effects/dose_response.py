"""Dose-response curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch

from causal_pyro_models.data.coded import as_labels, in_codes
from causal_pyro_models.effects.outcomes import Outcome
from causal_pyro_models.effects.queries import effect_queries
from causal_pyro_models.effects.question import Options, Question, asked
from causal_pyro_models.errors import QueryError, unknown_variable
from causal_pyro_models.estimate import LINE, LOGIT, Estimate
from causal_pyro_models.inference.program import Program
from causal_pyro_models.scm.sites import Model, as_numbers


def dose_response(
    model: Model, treatment: Mapping[str, Sequence[Any] | torch.Tensor], outcome: Outcome, **options: Unpack[Options]
) -> Estimate:
    """The curve x -> E[Y_x] of mean potential outcomes, on the same noise at every point.

    Args:
        model, outcome: see :func:`ate`.
        treatment: one site -> the grid of its values or labels, ``(points,)``.
        options: see :class:`Options`.

    Returns:
        A value for each point; the intervals hold point by point.

    Raises:
        QueryError: not one treatment, or a grid that is empty or holds anything but finite numbers. Otherwise as
            :class:`Options` says.

    References:
        Imbens (2000), The role of the propensity score in estimating dose-response functions.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def model():
        ...     x = pyro.sample("X", dist.Normal(0.0, 1.0))
        ...     pyro.sample("Y", dist.Bernoulli(logits=2.0 * x))
        >>> dose_response(model, {"X": [-1.0, 0.0, 1.0]}, "Y", seed=0)  # exactly 0.119, 0.5, 0.881
        dose_response by X:
          X = -1: 0.1252 ± 0.0033 (95% interval 0.1189 to 0.1318)
          X = 0: 0.5117 ± 0.0050 (95% interval 0.5019 to 0.5215)
          X = 1: 0.8851 ± 0.0032 (95% interval 0.8787 to 0.8912)
    """

    def answer(question: Question) -> Estimate:
        name, points = _grid(treatment, question.program)
        basis = question.basis(effect_queries, treatment, outcome)
        do = [{name: point} for point in points]
        units = question.units(*do)
        terms = units.outcomes(outcome, *do)
        labels = as_labels(points, question.program.sites[name].variable)
        scale = LOGIT if bool(((terms == 0) | (terms == 1)).all()) else LINE
        return question.answer(units.means(terms), lambda means: means, basis, scale, name, labels)

    return asked(dose_response, model, options, answer)


def _grid(treatment: object, program: Program) -> tuple[str, torch.Tensor]:
    """The one treatment and the points of its grid, as the model has them."""
    if not isinstance(treatment, Mapping) or len(treatment) != 1:
        raise QueryError(
            f"the treatment of a dose-response curve is a dict from one site to its grid, such as {{'X': [0.0, 1.0]}}, "
            f"got {treatment!r:.80}."
        )
    ((name, grid),) = treatment.items()
    if name not in program.sites:
        raise unknown_variable(name, program.sites, "site")
    grid = in_codes(name, grid, program.sites[name].variable, QueryError)
    try:
        points: Any = as_numbers(grid)
        points = points if points.is_complex() else points.double()
    except (TypeError, ValueError, RuntimeError):
        raise QueryError(f"the grid of {name!r} must be numbers, got {grid!r:.80}.") from None
    if points.dim() != 1 or not len(points) or points.is_complex() or not torch.isfinite(points).all():
        raise QueryError(f"the grid of {name!r} must be a list of finite numbers, at least one; got {grid!r:.80}.")
    return name, points
