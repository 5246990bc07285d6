"""Seeing, doing and imagining: samples, and worlds on abducted noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch

from causal_pyro_models.data.variables import Variable
from causal_pyro_models.errors import AbductionError, InterventionError, ModelError, QueryError
from causal_pyro_models.inference.abduction import Method, abducted_by_all
from causal_pyro_models.inference.draws import Draws, Noise, Worlds, mixed
from causal_pyro_models.inference.gradients import check_graph, graph, pathwise
from causal_pyro_models.inference.guides import Guide
from causal_pyro_models.inference.mixtures import refits
from causal_pyro_models.inference.program import Program, inspect_model, traced
from causal_pyro_models.inference.support import warn_of_leaving
from causal_pyro_models.isolation import isolated
from causal_pyro_models.models.structural import StructuralCausalModel
from causal_pyro_models.scm.handlers.interventions import Intervention, Potential, checked_do
from causal_pyro_models.scm.handlers.worlds import resolve, world
from causal_pyro_models.scm.sites import Model, is_auxiliary, is_variable, role
from causal_pyro_models.seeding import seeded
from causal_pyro_models.validation import checked_count


@isolated
def sample(model: Model, num_samples: int = 1, seed: int | None = None, grad: bool = False) -> Draws:
    """Samples of every site of a model: seeing, or doing where the model is an intervened one.

    Args:
        model: a callable with Pyro primitives. Without a plate it describes one unit, and ``num_samples`` units are
            drawn; with plates of its own the whole model is drawn so many times.
        num_samples: the number of samples.
        seed: makes them reproducible and leaves the global random state untouched.
        grad: whether the samples have a graph: derivatives along the draws (the reparameterisation trick) in parameters
            and interventions that require a gradient.

    Returns:
        Site to tensor ``(num_samples, *event)``, or ``(num_samples, *plates, *event)``; at an intervened site the
        value it was set to.

    Raises:
        QueryError: num_samples is not a positive integer; with grad, nothing requires a gradient, or it would go
            through a site that jumps.
        ModelError: the model has no sites or needs arguments, draws random numbers outside of ``pyro.sample``, or has
            a ``pyro.factor``, which only draws with weights can honour.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from causal_pyro_models import intervene
        >>> def model():
        ...     x = pyro.sample("X", dist.Bernoulli(0.5))
        ...     pyro.sample("Y", dist.Normal(x, 1.0))
        >>> sample(model, 3, seed=0)["X"]
        tensor([1., 0., 1.])
        >>> sample(intervene(model, {"X": 0.0}), 3, seed=0)["X"]
        tensor([0., 0., 0.])
    """
    num_samples = checked_count(num_samples, "num_samples")
    with seeded(seed), graph(grad):
        program = inspect_model(model)
        if program.factors:
            raise ModelError(
                f"sample runs a program forwards, which cannot honour its pyro.factor {program.factors[0]!r}, since "
                f"that weighs draws. Draw from counterfactual(model, {{}}, {{}}, method=ImportanceSampling()), which "
                f"does, or leave it out."
            )
        draws = num_samples if program.plated else None
        trace = traced(pathwise(program.batched(num_samples, draws)))
        values, event_dims, kinds = _values(program, trace, draws, lambda site: role(site) != "natural")
        check_graph(values.values())
    return Draws(values, event_dims, draws, kinds=kinds)


@isolated
def worlds(
    model: Model,
    evidence: Any,
    do: Mapping[str, Mapping[str, Intervention]],
    method: Method | Guide | None = None,
    num_samples: int | None = None,
    seed: int | None = None,
    grad: bool = False,
) -> Worlds:
    """Several worlds on the same noise: what would have been under each intervention, given the evidence.

    Args:
        model: a callable with Pyro primitives.
        evidence: what was observed in the factual world; see :func:`abduct`. Or the :class:`Noise` that it came to.
        do: the intervention of each world, by the name of the world; ``{}`` is the factual world.
        method, num_samples, seed: see :func:`abduct`.
        grad: whether the values have a graph: derivatives in parameters, evidence and interventions that require a
            gradient, the random numbers held fixed.

    Returns:
        World to site to tensor ``(num_samples, units, *event)``, weights attached.

    Raises:
        InterventionError: an intervention that a site cannot take.
        QueryError: with grad, nothing requires a gradient, or it would go through a site that jumps.
        UnknownVariableError: an intervention on a name that no site has.

    References:
        Balke and Pearl (1994), Probabilistic evaluation of counterfactual queries (twin networks).

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def model():
        ...     x = pyro.sample("X", dist.Normal(0.0, 1.0))
        ...     pyro.sample("Y", dist.Normal(2.0 * x, 1.0))
        >>> result = worlds(model, {"X": [1.0], "Y": [2.5]}, {"low": {"X": 0.0}, "high": {"X": 2.0}})
        >>> result["low"]["Y"], result["high"]["Y"]
        (tensor([0.5000]), tensor([4.5000]))
    """
    if not isinstance(do, Mapping) or not do:
        raise InterventionError(
            f"worlds takes a dict from the name of each world, at least one, to its intervention, got {do!r:.80}."
        )
    do = {name: checked_do(actions, f"the do of world {name!r}") for name, actions in do.items()}
    if isinstance(evidence, Noise):
        check_abducted(method, num_samples, grad)
    with seeded(seed), graph(grad):
        program = inspect_model(model)
        noise = evidence if isinstance(evidence, Noise) else abducted_by_all(program, evidence, method, num_samples)
        result = predict_by_all(program, noise, do)
        warn_of_leaving(program, result, do)
        check_graph(value for draws in result.values() for value in draws.sites.values())
        return result


def counterfactual(
    model: Model,
    evidence: Any,
    do: Mapping[str, Intervention],
    method: Method | Guide | None = None,
    num_samples: int | None = None,
    seed: int | None = None,
    grad: bool = False,
) -> Draws:
    """What would have been under ``do``, given what was: abduction, action, prediction.

    Args:
        model: a callable with Pyro primitives.
        evidence: what was observed in the factual world; see :func:`abduct`. Or the :class:`Noise` that it came to.
        do: what each intervened site is set to; see :func:`intervene`.
        method, num_samples, seed: see :func:`abduct`.
        grad: whether the values have a graph; see :func:`worlds`.

    Returns:
        Site to tensor ``(num_samples, units, *event)`` (no leading dimension where ``num_samples`` is None), with the
        weights of the draws, their effective sample size and Pareto k-hat.

    Raises:
        AbductionError: an unobserved site has evidence downstream and no method was given.
        EvidenceError: evidence that the model cannot have produced.
        InterventionError: an intervention that a site cannot take.
        UnknownVariableError: a name that no site has.

    References:
        Pearl (2009), Causality, theorem 7.1.7.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def model():
        ...     x = pyro.sample("X", dist.Normal(0.0, 1.0))
        ...     pyro.sample("Y", dist.Normal(2.0 * x, 1.0))
        >>> counterfactual(model, {"X": [1.0], "Y": [2.5]}, do={"X": 0.0})["Y"]
        tensor([0.5000])
        >>> x = torch.tensor(0.0, requires_grad=True)
        >>> y = counterfactual(model, {"X": [1.0], "Y": [2.5]}, do={"X": x}, grad=True)["Y"]
        >>> torch.autograd.grad(y.sum(), x)
        (tensor(2.),)
    """
    return worlds(model, evidence, {"do": do}, method, num_samples, seed, grad)["do"]


def check_abducted(method: object, num_samples: int | None, grad: bool = False) -> None:
    """Refuse settings of an abduction where the noise itself is given."""
    if grad:
        raise QueryError(
            "grad=True, and the noise given does not say how it depends on the evidence and the model: give the "
            "evidence itself."
        )
    if method is not None or num_samples is not None:
        raise QueryError("the noise given is abducted already: leave out method and num_samples, or give evidence.")


def predict_by_all(program: Program, noise: Noise, do: Mapping[str, Mapping[str, Intervention]]) -> Worlds:
    """Action and prediction, by the fit to all data and by each refit where the noise is of a model with refits.

    Raises:
        AbductionError: the noise was abducted from another model.
    """
    if not noise.parts:
        return predict(program, noise, do)
    programs = [program, *map(inspect_model, refits(program))]
    if len(programs) != len(noise.parts):
        raise AbductionError(
            f"the noise given was abducted from a model with {len(noise.parts) - 1} refits, and this one has "
            f"{len(programs) - 1}: abduct it from this."
        )
    whole, *parts = (
        predict(each, part, do) for each, part in zip(programs, cast("tuple[Noise]", noise.parts), strict=True)
    )
    return Worlds({name: Draws(**mixed(whole[name], [part[name] for part in parts])) for name in do}, noise)


def predict(program: Program, noise: Noise, do: Mapping[str, Mapping[str, Intervention]]) -> Worlds:
    """Action and prediction: run each world on the same noise."""
    if noise.variables and (missing := [name for name in program.sites if name not in noise.variables]):
        raise AbductionError(
            f"the noise given was abducted from another model, which has no site {missing[0]!r}: abduct it from this."
        )
    if noise.log_weights is not None and any(_by_draw(program, noise, actions) for actions in do.values()):
        noise = noise.of_equal_weight()
    run = pathwise(program.batched(noise.units, noise.num_draws))
    shared = dict(noise.replay)  # and noise that only some worlds come by, drawn once
    drawn: dict[Any, torch.Tensor] = {}
    result = {}
    for name, actions in do.items():
        resolved = resolve(run, shared, actions, drawn, program.parameters)
        affected = pathwise(_without_unaffected(program, noise, actions).batched(noise.units, noise.num_draws))
        trace = traced(partial(world, affected, shared, resolved, drawn, program.parameters, noise.seed))
        for site_name, site in trace.nodes.items():
            if site["type"] == "sample" and role(site) == "exogenous":
                shared.setdefault(site_name, site["value"])
        if set(actions) & set(program.parameters):
            _check_parameters(
                program, trace, traced(lambda: world(run, shared, {}, drawn, program.parameters, noise.seed)), actions
            )
        values, event_dims, kinds = _values(program, trace, noise.num_draws, is_variable)
        quality = noise.log_weights, noise.ess, noise.pareto_k
        result[name] = Draws(values, event_dims, noise.num_draws, *quality, kinds=kinds)
    return Worlds(result, noise)


def _by_draw(program: Program, noise: Noise, do: Mapping[str, Intervention]) -> bool:
    """Whether a site is set to a value for each draw that is shown, as the tensor of another world is."""
    for name, value in do.items():
        if isinstance(value, Potential) and _by_draw(program, noise, value.do):
            return True
        place = program.sites[name].place if name in program.sites else None
        dims = 0 if place is None else place.event_dim + (len(place.plates) if program.plated else 1)
        if isinstance(value, torch.Tensor) and value.dim() > dims and len(value) == noise.num_draws:
            return True
    return False


def _without_unaffected(program: Program, noise: Noise, do: Mapping[str, Intervention]) -> Program:
    """Where the graph is known, what was observed and is not affected keeps its value, and is not computed again."""
    model = program.model
    if not isinstance(model, StructuralCausalModel) or not set(do) <= set(model.graph.variables):
        return program
    if program.verdict.in_turns:  # whose runs are each of one unit, where the values are those of all
        return program
    affected = set(do).union(*(model.graph.descendants(name) for name in do))
    unaffected = {name: value for name, value in noise.factual.items() if name not in affected}
    return replace(program, model=partial(model, unaffected))


def _check_parameters(program: Program, trace: Any, factual: Any, do: Mapping[str, Intervention]) -> None:
    """Refuse to hold a parameter fixed whose own law an intervention on another parameter changes."""
    for name in program.parameters:
        if name in do or name not in trace.nodes or name not in factual.nodes:
            continue
        before, after = (t.nodes[name]["fn"].log_prob(t.nodes[name]["value"]) for t in (factual, trace))
        if not torch.equal(before, after):
            raise InterventionError(
                f"the law of the population-level parameter {name!r} changes under do({', '.join(do)}), while "
                f"parameters are held fixed across worlds: intervene on {name!r} as well, or put it in a plate."
            )


def _values(
    program: Program, trace: Any, draws: int | None, chosen: Callable[[Any], bool]
) -> tuple[dict[str, torch.Tensor], dict[str, int], dict[str, Variable]]:
    """Of the chosen sites of a trace the values, how many dimensions an event has, and the kinds that they say."""
    values, event_dims, kinds = {}, {}, {}
    for name, site in trace.nodes.items():
        if site["type"] == "sample" and not is_auxiliary(site) and chosen(site):
            values[name] = program.values(site, draws)
            event_dims[name] = site["fn"].event_dim
            if "variable" in site["infer"]:
                kinds[name] = site["infer"]["variable"]
    return values, event_dims, kinds
