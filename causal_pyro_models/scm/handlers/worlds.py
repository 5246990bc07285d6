"""A model in a world: under an intervention, and on given noise."""

import functools
from collections.abc import Collection, Mapping
from typing import Any, overload

import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample

from causal_pyro_models.errors import InterventionError
from causal_pyro_models.scm.handlers.exogenous import Exogenize
from causal_pyro_models.scm.handlers.interventions import Drawn, Intervene, Intervention, Potential, checked_do
from causal_pyro_models.scm.sites import (
    Handled,
    Model,
    is_auxiliary,
    is_deterministic,
    is_variable,
    role,
    unknown_site,
)


class _Lift(Messenger):
    """Makes observations written into a model free again."""

    def _pyro_sample(self, msg: Any) -> None:
        if msg["is_observed"] and role(msg) is None and not is_auxiliary(msg) and not is_deterministic(msg):
            msg.update(is_observed=False, value=None)


def world(
    model: Model,
    noise: Mapping[str, torch.Tensor],
    do: Mapping[str, Intervention],
    drawn: Drawn | None = None,
    keep: Collection[str] = (),
    seed: int | None = None,
) -> Any:
    """Run ``model`` on given noise under an intervention without potentials: action, then prediction.

    Sites without a mechanism are drawn by the random numbers of a seed, and refused where there is none. Observations
    written into the model are of the factual world, and lifted in this one.
    """
    held = {f"{name}__natural" if name in do else name: value for name, value in noise.items()}
    with poutine.condition(data=held), Exogenize(keep, seed=seed), Intervene(do, drawn), _Lift():
        return model()


def resolve(
    model: Model,
    noise: Mapping[str, torch.Tensor],
    do: Mapping[str, Intervention],
    drawn: Drawn,
    keep: Collection[str] = (),
) -> dict[str, Intervention]:
    """The intervention with each potential outcome replaced by its value in its own world on the same noise."""
    resolved = dict(do)
    for name, value in do.items():
        if isinstance(value, Potential):
            inner = resolve(model, noise, value.do, drawn, keep)
            with poutine.block(), poutine.trace() as recorder:
                world(model, noise, inner, drawn, keep)
            values: dict[str, Any] = {k: site["value"] for k, site in recorder.trace.nodes.items() if is_variable(site)}
            if value.name not in values:
                raise unknown_site(value.name, values)
            resolved[name] = values[value.name]
    return resolved


class _Intervened(Handled):
    """A model under an intervention that may hold potential outcomes.

    Potentials need every world on the same noise: the program then draws all noise first, in sight of the handlers
    around it, and computes the worlds from that noise.
    """

    def __init__(self, model: Model, do: Mapping[str, Intervention]) -> None:
        super().__init__(model, lambda: Intervene(self.do))
        self.do = checked_do(do)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if not any(isinstance(value, Potential) for value in self.do.values()):
            return super().forward(*args, **kwargs)
        model = functools.partial(self.model, *args, **kwargs)
        drawn: Drawn = {}
        noise = _draw_noise(model)
        do = resolve(model, noise, self.do, drawn)
        with poutine.block(hide_fn=_is_noise):
            return world(model, noise, do, drawn)


def _is_noise(site: Any) -> bool:
    """Whether a message is of the randomness that worlds share: noise and subsample indices."""
    return site["type"] == "sample" and (role(site) == "exogenous" or site_is_subsample(site))


def _draw_noise(model: Model) -> dict[str, torch.Tensor]:
    with poutine.block(expose_fn=_is_noise), poutine.trace() as recorder, Exogenize():
        model()
    for name, site in recorder.trace.nodes.items():
        if is_variable(site) and site["is_observed"] and role(site) is None and not is_deterministic(site):
            raise InterventionError(
                f"a potential outcome cannot be asked of a model with the observation {name!r} written into it: which "
                f"world it was made in is not said. Give it as evidence to counterfactual(model, evidence, do)."
            )
    sites: Any = recorder.trace.nodes.items()
    return {name: site["value"] for name, site in sites if _is_noise(site)}


@overload
def intervene(model: Model, do: Mapping[str, Intervention]) -> Handled: ...
@overload
def intervene(model: None = None, *, do: Mapping[str, Intervention]) -> Intervene: ...
def intervene(model: Model | None = None, do: Mapping[str, Intervention] | None = None) -> Handled | Intervene:
    """The submodel in which some sites are set from outside, whatever their parents say.

    Stands on ``pyro.do`` and mends its traps: the trace shows the intervened value under the site's own name, a
    second intervention on a site replaces the first (a function composes with it), a name that no site has is an
    error, and a module keeps its parameters.

    A site may be set to a number or tensor that broadcasts over units and over the vector that it is; to a label of its
    variable, where that has some (``infer={"variable": Binary(("no", "yes"))}`` at the site of a program; a tensor
    holds their codes); a function of its natural value (shift and soft interventions); a distribution (stochastic
    intervention); ``policy(function, reads)``, a function of other sites (conditional and dynamic interventions); or
    ``potential(name, do)``, the value of a variable in another world (nested counterfactuals).

    The law that a site has given its parents is replaced, so that a value may lie where this law has no density: beyond
    the ends of a ``Uniform``, or the ``total_count`` of a ``Binomial``. What no member of the family takes is refused:
    a negative ``LogNormal``, a ``Poisson`` that is no whole number, a class that a ``Categorical`` does not have.

    Args:
        model: a callable with Pyro primitives; left out, the handler itself comes back, as a context manager.
        do: what each site is set to.

    Returns:
        The intervened model, again a model and a module; or a context manager when no model is given.

    Raises:
        InterventionError: a value that is not finite, does not broadcast to the site, or that no law of the site's
            family takes; when run, a policy that reads what does not come before its site.
        UnknownVariableError: when run, a name that no site of the model has.

    References:
        Pearl (2009), Causality, definition 7.1.2; Richardson and Robins (2013), Single World Intervention Graphs.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def model():
        ...     x = pyro.sample("X", dist.Normal(0.0, 1.0))
        ...     return pyro.deterministic("Y", 2.0 * x)
        >>> float(intervene(model, {"X": 3.0})())
        6.0
        >>> float(intervene(intervene(model, {"X": 3.0}), {"X": lambda x: x + 1.0})())
        8.0
        >>> with intervene(do={"X": 3.0}):
        ...     print(float(model()))
        6.0
    """
    if do is None:
        raise InterventionError(
            "intervene needs do, a dict from site to intervention: intervene(model, do), or, as a context manager, "
            "intervene(do=do)."
        )
    if model is None:
        return Intervene(do)
    return _Intervened(model, do)
