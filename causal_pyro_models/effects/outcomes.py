"""What effects are asked of: treatments and outcomes, and which of them a model can be asked about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, TypeAlias

import torch

from causal_pyro_models.data.coded import has_mean, in_codes, no_mean
from causal_pyro_models.data.variables import Labelled
from causal_pyro_models.errors import InterventionError, QueryError, unknown_variable
from causal_pyro_models.inference.draws import Draws
from causal_pyro_models.inference.program import Program, Site
from causal_pyro_models.scm.handlers.interventions import Do, Potential
from causal_pyro_models.scm.handlers.policies import Policy
from causal_pyro_models.scm.sites import describe_support

UnitFunction: TypeAlias = Callable[[Draws], torch.Tensor]
"""A function of the values in a world, with a number or a truth value for each draw and unit."""
Number: TypeAlias = float | torch.Tensor
Outcome: TypeAlias = str | Mapping[str, Any] | UnitFunction
"""A site; an event, such as ``{"Y": 2}`` or ``{"Y": "rare"}``; or a function of the values in a world."""


def shown(outcome: object) -> str:
    """An outcome as an error message shows it."""
    return f"the function {outcome.__name__}" if hasattr(outcome, "__name__") else repr(outcome)


def checked_number(name: str, value: Any, site: Site) -> Number:
    """The value of a treatment in the model, once it is known to be one that factual values can be compared with."""
    rule = callable(value) or isinstance(value, Policy | Potential)
    value = value if rule else in_codes(name, value, site.variable, InterventionError)
    if not isinstance(value, Real | torch.Tensor):
        raise InterventionError(f"treatment {name!r} must be a number, to tell who was treated, got {value!r}.")
    return value if isinstance(value, torch.Tensor) else float(value)


def check_binary(values: torch.Tensor, outcome: object) -> None:
    """Refuse an outcome that does not happen or not happen."""
    if not bool(((values == 0) | (values == 1)).all()):
        raise QueryError(
            f"{shown(outcome)} must be 0 or 1, got values from {values.min():g} to {values.max():g}: name an event, "
            f"such as outcome={{'Y': 2}} or outcome=lambda world: world['Y'] > 3."
        )


def check_outcome(program: Program, outcome: str | Mapping[str, Any], *worlds: Do, mean: bool = True) -> None:
    """Refuse what is no site, not a single number, without the mean that it may need, or set by the intervention."""
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
        kind = program.sites[name].variable
        if isinstance(outcome, str) and mean and isinstance(kind, Labelled) and not has_mean(kind):
            raise no_mean(name, kind)
        if isinstance(outcome, Mapping):
            _check_event(name, outcome[name], program.sites[name])


def _check_event(name: str, value: object, site: Site) -> None:
    """Refuse an event that can never happen; where parents bear on the support (None), only what is no number."""
    support, code = site.support, in_codes(name, value, site.variable, QueryError)
    try:
        number = torch.as_tensor(code, dtype=torch.float64)
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
