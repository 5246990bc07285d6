"""A posterior that exists as the law of a model's parameters: no chains are run again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import torch
from pyro.ops.provenance import get_provenance, track_provenance
from pyro.poutine.messenger import Messenger
from torch import nn

from causal_pyro_models.errors import QueryError, unknown_variable
from causal_pyro_models.inference.arviz_interface import groups_of
from causal_pyro_models.inference.draws import Noise
from causal_pyro_models.inference.held import Held, WithPosterior, held_by
from causal_pyro_models.inference.program import Program, inspect_model, traced
from causal_pyro_models.isolation import isolated
from causal_pyro_models.scm.sites import Model, is_auxiliary, noise_name
from causal_pyro_models.seeding import seeded
from causal_pyro_models.validation import checked_count


@isolated
def with_posterior(
    model: Model,
    posterior: Any,
    sites: Collection[str] | None = None,
    update: bool = False,
    num_draws: int = 1_000,
    seed: int | None = None,
) -> WithPosterior:
    """The model with sites held at joint draws from a posterior that exists, in all verbs.

    A model that was fitted to some units answers for others: let it have its plates in the size of the new units
    (``functools.partial(model, 1)``), and give the draws of its parameters. With draws theta_s of p(theta | D), s = 1
    to S, and evidence e on the new units, an answer is the mean over s of that under p(u | theta_s, e): the evidence
    tells of the units' own noise u, not of theta (a cut), as it has to be where the units are among the data D already.
    With ``update=True`` draw s has the weight p(e | theta_s), which gives p(theta, u | D, e), the posterior given the
    data and the new units, where these are independent given theta.

    Held sites in a plate, such as the levels of groups, are turned into noise under the parents of the same draw, so
    that they move in worlds where their parents are set. Parameters are held fixed across worlds, as everywhere.

    Args:
        model: a callable with Pyro primitives and plates of its own; its parameters are the sites outside of them.
        posterior: samples by site ``(draws, *shape of the site)``, as from ``MCMC.get_samples()``; an ``MCMC`` that has
            run; data of ArviZ (``InferenceData`` or ``DataTree``) with a group ``posterior``; the :class:`Noise` that
            :func:`abduct` gave, of which its parameters are taken; or a trained guide over sites of the model, an
            autoguide or another function that takes no arguments.
        sites: those to hold; None for all in the posterior. Needed where a posterior tells of units, and the model
            has others.
        update: whether evidence on units weighs the draws.
        num_draws: how many draws of a guide to take.
        seed: of these draws.

    Returns:
        The model, again a model. ``num_samples`` of a verb takes all draws in order, or so many at even distances.

    Raises:
        QueryError: a posterior of none of these kinds, draws of another shape than the site has, a held site that
            depends on one that is not, or a model without plates.
        UnknownVariableError: a name that no site has.

    References:
        Plummer (2015), Cuts in Bayesian graphical models. Statistics and Computing.

    Example:
        >>> from functools import partial
        >>> import pyro, pyro.distributions as dist
        >>> from causal_pyro_models import counterfactual
        >>> def model(people):
        ...     effect = pyro.sample("effect", dist.Normal(0.0, 1.0))
        ...     with pyro.plate("people", people):
        ...         x = pyro.sample("X", dist.Normal(0.0, 1.0))
        ...         pyro.sample("Y", dist.Normal(effect * x, 1.0))
        >>> samples = {"effect": torch.tensor([1.5, 2.0, 2.5])}  # from MCMC(...).get_samples(), say
        >>> person = with_posterior(partial(model, 1), samples)
        >>> counterfactual(person, {"X": [1.0], "Y": [3.0]}, {"X": 0.0})["Y"]
        tensor([[1.5000],
                [1.0000],
                [0.5000]])
    """
    if held_by(model) is not None:
        raise QueryError("the model is held at a posterior already: give with_posterior the model itself.")
    num_draws = checked_count(num_draws, "num_draws")
    if not isinstance(update, bool):
        raise QueryError(f"update must be True or False, got {update!r:.80}.")
    with seeded(seed), torch.no_grad():
        program = inspect_model(model)
        if not program.plated:
            raise QueryError(
                "with_posterior needs a model with plates, whose parameters are outside of them, and this one "
                "describes a single unit: put its units in a plate."
            )
        found = _chosen(program, _samples(posterior, num_draws), sites)
        nodes = traced(model).nodes
        held = {name: _shaped(name, value, nodes[name]["fn"]) for name, value in found.items()}
        if len(counts := {name: len(value) for name, value in held.items()}) and len(set(counts.values())) > 1:
            raise QueryError(f"the sites of a posterior must have the same number of draws, got {counts}.")
        _check_closed(model, held)
    return WithPosterior(
        model, Held(held, {name: nodes[name]["fn"].event_dim for name in held}, program.nesting, update)
    )


def _samples(posterior: Any, num_draws: int) -> dict[str, Any]:
    """Draws by name ``(draws, ...)`` of whatever holds them."""
    if "posterior" in (groups := groups_of(posterior)):
        group = groups["posterior"]
        ordered = {str(name): group[name].transpose("chain", "draw", ...).to_numpy() for name in group.data_vars}
        return {name: value.reshape(-1, *value.shape[2:]) for name, value in ordered.items()}
    if isinstance(posterior, Noise):
        return dict(posterior.parameters)
    if hasattr(posterior, "get_samples"):
        return dict(posterior.get_samples())
    if isinstance(posterior, Mapping):
        return dict(posterior)
    if isinstance(posterior, nn.Module) or (callable(posterior) and not isinstance(posterior, type)):
        return _of_guide(posterior, num_draws)
    what = f"{type(posterior).__name__} with the groups {list(groups)}" if groups else f"{posterior!r:.80}"
    raise QueryError(
        f"posterior must be samples by site, an MCMC that has run, data of ArviZ with a posterior, noise from abduct, "
        f"or a guide, got {what}."
    )


def _of_guide(guide: Callable[[], Any], num_draws: int) -> dict[str, torch.Tensor]:
    rows: list[dict[str, torch.Tensor]] = []
    for _ in range(num_draws):
        sites = traced(guide, "the guide").nodes.items()
        rows.append(
            {
                name: site["value"].detach()
                for name, site in sites
                if site["type"] == "sample" and not is_auxiliary(site) and not site["infer"].get("is_auxiliary")
            }
        )
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def _chosen(program: Program, samples: Mapping[str, Any], sites: Collection[str] | None) -> dict[str, torch.Tensor]:
    """The draws of the sites to hold; of sites that follow from others, and of noise, there are none."""
    if isinstance(sites, str):
        raise QueryError(f"sites must be a list of names, got the string {sites!r}.")
    for name in sites or ():
        if name not in samples:
            raise unknown_variable(name, samples, "site of the posterior")
    noise = {noise_name(name) for name in program.sites}
    found = {}
    for name, value in samples.items():
        if sites is not None and name not in sites:
            continue
        if name in noise:
            continue
        if name not in program.sites:
            raise unknown_variable(name, program.sites, "site")
        site = program.sites[name]
        if site.deterministic:
            continue
        if site.observed:
            raise QueryError(f"{name!r} is observed in the model and cannot be held at draws: leave it out of sites.")
        try:
            found[name] = torch.as_tensor(np.asarray(value) if not isinstance(value, torch.Tensor) else value)
        except (TypeError, ValueError) as error:
            raise QueryError(f"the draws of {name!r} must be an array of numbers: {error!s:.120}.") from None
        found[name] = found[name].detach().to(dtype=site.dtype, device=site.device)
        if not bool(torch.isfinite(found[name]).all()):
            raise QueryError(f"the draws of {name!r} hold NaN or infinite values: leave those draws out.")
    if not found:
        raise QueryError(f"the posterior is of {sorted(samples)}, none of which is a parameter of the model.")
    return found


def _shaped(name: str, value: torch.Tensor, fn: Any) -> torch.Tensor:
    """Draws in the shape that the site has in the model."""
    shape = fn.batch_shape + fn.event_shape
    given = tuple(value.shape[1:]) if value.dim() else None
    if given is None or not len(value):
        raise QueryError(f"the draws of {name!r} have shape {tuple(value.shape)}, expected a first dimension of draws.")
    if [size for size in given if size != 1] != [size for size in shape if size != 1]:
        raise QueryError(
            f"the draws of {name!r} are of shape {given}, where the site has {tuple(shape)} in this model: if they are "
            f"of other units, leave them out with sites=[...], and {name!r} is drawn anew."
        )
    if not bool(fn.support.check(value.reshape(len(value), *shape)).all()):
        raise QueryError(f"the draws of {name!r} leave its support: are they of another site, or unconstrained?")
    return value.reshape(len(value), *shape)


def _check_closed(model: Model, held: Collection[str]) -> None:
    """Refuse a site that depends on another which is not held, since its draws tell of that one too."""

    def marked() -> None:
        with _Mark():
            model()

    for name, site in traced(marked).nodes.items():
        if name in held:
            others = get_provenance(site["fn"].log_prob(site["value"].detach().clone())) - {name}
            if open_ := sorted(others.difference(held)):
                raise QueryError(
                    f"{name!r} is held at draws and depends on {open_}, of which there are none: give draws of "
                    f"{'it' if len(open_) == 1 else 'them'} as well, or leave {name!r} out of sites."
                )


class _Mark(Messenger):
    """Marks the value of each random site with its name, so that what is computed from it carries the mark."""

    def _pyro_post_sample(self, msg: Any) -> None:
        if not msg["is_observed"] and not is_auxiliary(msg):
            msg["value"] = track_provenance(msg["value"], frozenset({msg["name"]}))
