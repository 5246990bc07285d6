"""The probability of an event given evidence: summed over states where it can be, else a share of draws."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch

from causal_pyro_models.data.coded import codes, in_codes
from causal_pyro_models.data.variables import Variable
from causal_pyro_models.errors import EvidenceError, QueryError, unknown_variable
from causal_pyro_models.inference.abduction import DEFAULT_DRAWS, Method, abducted
from causal_pyro_models.inference.conditioned import Conditioned
from causal_pyro_models.inference.draws import Draws
from causal_pyro_models.inference.evidence import read_evidence
from causal_pyro_models.inference.gradients import check_graph, graph
from causal_pyro_models.inference.guides import Guide
from causal_pyro_models.inference.measured import with_measurements
from causal_pyro_models.inference.prediction import predict
from causal_pyro_models.inference.program import Program, Site, inspect_model
from causal_pyro_models.inference.solved import with_solutions
from causal_pyro_models.inference.states import States
from causal_pyro_models.isolation import isolated
from causal_pyro_models.scm.sites import Model, as_numbers
from causal_pyro_models.seeding import seeded

Event: TypeAlias = Mapping[str, Any] | Callable[[Draws], torch.Tensor]
"""Values of sites, or a function of the values of all sites that says for each unit whether it is so."""


@isolated
def probability(
    model: Model,
    event: Event,
    evidence: Any = None,
    method: Method | Guide | None = None,
    num_samples: int | None = None,
    seed: int | None = None,
    grad: bool = False,
) -> torch.Tensor:
    """The probability of an event given evidence, for each unit.

    Where the event is about sites with finitely many states, and so are all hidden sites that bear on it or on the
    evidence (up to 10,000 joint states of a unit), their densities are summed: the answer is exact up to the rounding
    of the densities, however small it is. Otherwise it is the share of posterior draws, by their weights.

    Args:
        model: a callable with Pyro primitives.
        event: site -> value or label, all of which have to hold; or a function of a :class:`Draws` that gives true or
            false for each of its draws and units.
        evidence: see :func:`abduct`; None for none.
        method, num_samples, seed: see :func:`abduct`; for answers from draws, 1,000 by default.
        grad: whether the answer has a graph, which one that is summed over states can have, and a share of draws not.

    Returns:
        ``(units,)`` in float64, or ``(*plates)``.

    Raises:
        EvidenceError: the evidence has probability zero.
        QueryError: no event, or a function that does not say for every draw and unit whether it is so.
        UnknownVariableError: a name that no site has.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def model():
        ...     b = pyro.sample("B", dist.Bernoulli(1e-4))
        ...     pyro.sample("Y", dist.Normal(20.0 * b, 1.0))
        >>> probability(model, {"B": 0}, {"Y": 12.0})
        tensor([4.2479e-14], dtype=torch.float64)
    """
    evidence = {} if evidence is None else evidence
    with seeded(seed), graph(grad):
        program = inspect_model(model)
        if isinstance(event, Mapping):
            if not event:
                raise QueryError("the event is empty: name sites and their values, such as {'Y': 1}.")
            for name in event:
                if name not in program.sites:
                    raise unknown_variable(name, program.sites, "site")
            exact = None if program.held else _summed(program, event, evidence)
            if exact is not None:
                check_graph([exact])
                return exact
        elif not callable(event):
            raise QueryError(f"the event must be a dict from site to value or a function, got {event!r:.80}.")
        noise = abducted(program, evidence, method, num_samples, unless_exact=DEFAULT_DRAWS)
        world = predict(program, noise, {"": {}})[""]
        held = _held(event, world.proposed, program.nesting).double()
        check_graph([held])
        draws = Draws({"": held if world.num_draws else held[None]}, {"": 0}, world.num_draws or 1, noise.log_weights)
        return draws.mean("")


def _held(event: Event, world: Draws, nesting: int) -> torch.Tensor:
    """Whether the event holds, for each draw and unit."""
    if not isinstance(event, Mapping):
        found = event(world)
        lead = () if world.num_draws is None else (world.num_draws,)
        if not isinstance(found, torch.Tensor) or found.shape[: len(lead)] != lead or found.dim() > len(lead) + nesting:
            came = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            expected = ", ".join(map(str, (*lead, "units" if nesting == 1 else "plates")))
            raise QueryError(f"the event gave {came}, expected true or false for each of ({expected}).")
        return found.bool()
    held = torch.ones((), dtype=torch.bool)
    for name, value in event.items():
        held = held & _equal(name, codes(world[name]), value, world.event_dims[name], world.kinds.get(name))
    return held


def _equal(name: str, values: torch.Tensor, value: Any, event_dim: int, kind: Variable | None) -> torch.Tensor:
    """Whether values are the one of an event."""
    code = in_codes(name, value, kind, QueryError)
    try:
        same = values == as_numbers(code).to(values.device)
    except (TypeError, ValueError, RuntimeError):
        raise QueryError(
            f"the value of an event must be a number, or a label where the site has some, got {value!r:.80}."
        ) from None
    return same.reshape(*same.shape[: same.dim() - event_dim], -1).all(-1) if event_dim else same


def _held_by(site: Site, name: str, values: torch.Tensor, value: Any) -> torch.Tensor:
    """Whether values of a site are the one of an event."""
    return _equal(name, values, value, site.place.event_dim, site.variable)


def _summed(program: Program, event: Mapping[str, Any], evidence: Any) -> torch.Tensor | None:
    """The probability as a ratio of sums over states; None where there are infinitely many, or units miss evidence."""
    try:
        program, evidence = with_measurements(program, evidence)
        data, units = read_evidence(program, evidence)
        program, data = with_solutions(program, data, units)
    except EvidenceError:  # what is wrong with it, abduction says
        return None
    hidden = [name for name in event if name not in data]
    if not hidden:
        seen = [_held_by(program.sites[name], name, data[name], value) for name, value in event.items()]
        return functools.reduce(torch.logical_and, seen).double().expand(units)
    states = States.of(program, data, units, hidden)
    if any(name not in states.values for name in hidden):
        return None
    first = {name: value[0] for name, value in states.values.items()}
    bearing = Conditioned(program, {**data, **first}, units).relevant
    states = States.of(program, data, units, [*hidden, *bearing])
    if not states.values or any(name not in states.values for name in [*hidden, *bearing]):
        return None
    log_joint = states.log_joint({}, 1)[:, 0]
    size = log_joint.shape[1]
    held = torch.ones(len(log_joint), size, dtype=torch.bool)
    for name, value in event.items():
        if name in data:
            same = _held_by(program.sites[name], name, data[name], value)
        else:
            same = _held_by(program.sites[name], name, states.values[name], value)[:, None]
        held = held & same
    top = log_joint.amax(0)
    if bool(torch.isneginf(top).any()):
        raise EvidenceError("the evidence has probability zero under the model.")
    share = (log_joint - top).exp()
    return (share * held).sum(0) / share.sum(0)
