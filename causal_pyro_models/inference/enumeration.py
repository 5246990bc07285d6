"""The joint law of models with finitely many states, by their densities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from pyro import poutine

from causal_pyro_models.data.coded import as_labels
from causal_pyro_models.errors import ModelError
from causal_pyro_models.identification.laws.joint_table import JointTable
from causal_pyro_models.inference.program import Program, inspect_model, traced
from causal_pyro_models.inference.states import finite_states
from causal_pyro_models.isolation import isolated
from causal_pyro_models.scm.density import log_density
from causal_pyro_models.scm.sites import Model, unknown_site

MOST_STATES = 2_000_000
"""Joint states of a model beyond which it is sampled rather than enumerated."""

MOST_IN_TURNS = 20_000
"""The same of a model that does not broadcast."""


@isolated
def joint_table(model: Model, names: Sequence[str]) -> JointTable:
    """The joint law of some sites of a model with finitely many states, by its densities.

    Args:
        model: a callable with Pyro primitives, of one unit, whose sites are Bernoulli, Categorical or alike.
        names: the sites to keep; the others are summed out.

    Raises:
        ModelError: a site with infinitely many states, plates, observed sites, or too many joint states.
        UnknownVariableError: a name that no site has.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def model():
        ...     u = pyro.sample("U", dist.Bernoulli(0.5))
        ...     pyro.sample("X", dist.Bernoulli(0.2 + 0.6 * u))
        >>> joint_table(model, ["X"]).probabilities.round(4)
        array([0.5, 0.5])
    """
    program = inspect_model(model)
    if not is_finite(program):
        raise ModelError(
            f"the model cannot be enumerated: it has plates, observed sites, a site with infinitely many states, or "
            f"more than {MOST_STATES:,} joint states. Sample it: cpm.sample(model, num_samples).to_dataframe()."
        )
    return enumerated(program, names)


def is_finite(program: Program) -> bool:
    """Whether a model of one unit has finitely many joint states, and no more than can be enumerated."""
    free = [site for site in program.sites.values() if not site.deterministic]
    counts = [len(states) for site in free if (states := finite_states(site)) is not None]
    single = not program.plated and not program.observed and all(not site.event_shape for site in free)
    most = MOST_IN_TURNS if program.verdict.in_turns else MOST_STATES
    return single and len(counts) == len(free) and bool(np.prod(counts, dtype=float) <= most)


def enumerated(program: Program, names: Sequence[str]) -> JointTable:
    for name in names:
        if name not in program.sites:
            raise unknown_site(name, program.sites)
    free = {name: site for name, site in program.sites.items() if not site.deterministic}
    axes = [axis for site in free.values() if (axis := finite_states(site)) is not None]
    places = torch.meshgrid(*(torch.arange(len(axis)) for axis in axes), indexing="ij")
    grids = [axis[place.reshape(-1)] for axis, place in zip(axes, places, strict=True)]
    with torch.no_grad():
        data = dict(zip(free, grids, strict=True))
        conditioned = poutine.condition(program.batched(len(grids[0])), data=data)
        trace = traced(conditioned)
        parts = [log_density(trace.nodes[name]["fn"], trace.nodes[name]["value"]).double() for name in free]
        law = torch.stack([part.expand(len(grids[0])) for part in parts]).sum(0).exp().cpu().numpy()
        values = {name: trace.nodes[name]["value"].expand(len(law)).cpu().numpy() for name in names}
    states, codes = {}, []
    for name in names:
        levels, code = np.unique(values[name], return_inverse=True)
        states[name] = as_labels(torch.as_tensor(levels), program.sites[name].variable)
        codes.append(code)
    table = np.zeros([len(states[name]) for name in names])
    np.add.at(table, tuple(codes), law / law.sum())
    return JointTable(names, table, states)
