"""The models of the benchmark: as ordinary Pyro programs, and rewritten by hand for ChiRho with explicit noise.

What is written by hand for ChiRho is lean: noise in float32, a uniform threshold for the Bernoulli, the published
top-down algorithm with torch's own sampler for the Categorical, no check of the evidence, and only the sites that a
world needs.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise

import pyro
import pyro.distributions as dist
import torch
from chirho.counterfactual.handlers import MultiWorldCounterfactual, SingleWorldCounterfactual
from chirho.indexed.ops import IndexSet, gather
from chirho.interventional.handlers import do
from chirho.observational.handlers import condition
from pyro import poutine
from torch import Tensor

Values = Mapping[str, Tensor]
CATEGORIES = torch.tensor([[0.2, 0.5], [0.0, 0.0], [-0.3, 0.8]])  # intercept and slope of the score of each
CHAIN = [f"X{k}" for k in range(12)]


def mixed() -> None:
    """Five nodes: a Normal, a Bernoulli, a LogNormal, a Categorical and a Normal."""
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    x = pyro.sample("X", dist.Bernoulli(logits=1.5 * z))
    m = pyro.sample("M", dist.LogNormal(0.3 * z + 0.5 * x, 0.4))
    c = pyro.sample("C", dist.Categorical(logits=_scores(m)))
    pyro.sample("Y", dist.Normal(2.0 * x - z + 0.7 * m + 0.5 * c, 1.0))


def mixed_by_hand() -> None:
    """:func:`mixed` with its noise explicit."""
    z = _equation("Z", pyro.sample("U_Z", dist.Normal(0.0, 1.0)))
    x = _equation("X", (pyro.sample("U_X", dist.Uniform(0.0, 1.0)) < torch.sigmoid(1.5 * z)).float())
    m = _equation("M", (0.3 * z + 0.5 * x + 0.4 * pyro.sample("U_M", dist.Normal(0.0, 1.0))).exp())
    gumbel = pyro.sample("U_C", dist.Gumbel(torch.zeros(3), torch.ones(3)).to_event(1))
    c = _equation("C", (_scores(m) + gumbel).argmax(-1))
    _equation("Y", 2.0 * x - z + 0.7 * m + 0.5 * c + pyro.sample("U_Y", dist.Normal(0.0, 1.0)))


def mixed_noise(values: Values) -> dict[str, Tensor]:
    """An exact draw from the posterior of the noise of :func:`mixed_by_hand`.

    References:
        Maddison, Tarlow and Minka (2014), A* sampling; Oberst and Sontag (2019), section 3 (top-down Gumbels).
    """
    z, x, m, c, y = (values[name] for name in "ZXMCY")
    p, within = torch.sigmoid(1.5 * z), torch.rand_like(z)
    log_p = torch.log_softmax(_scores(m), -1)
    gumbel, winner = -torch.empty_like(log_p).exponential_().log(), c.unsqueeze(-1)
    top = gumbel.gather(-1, winner)
    below = -torch.logaddexp(-top, -(log_p + gumbel)) - log_p
    return {
        "U_Z": z,
        "U_X": torch.where(x == 1, p * within, p + (1 - p) * within),
        "U_M": (m.log() - 0.3 * z - 0.5 * x) / 0.4,
        "U_C": below.scatter(-1, winner, top - log_p.gather(-1, winner)),
        "U_Y": y - (2.0 * x - z + 0.7 * m + 0.5 * c),
    }


def _equation(name: str, value: Tensor) -> Tensor:
    return pyro.deterministic(name, value, event_dim=0)  # type: ignore[no-any-return]


def _scores(m: Tensor) -> Tensor:
    return CATEGORIES[:, 0] + CATEGORIES[:, 1] * m.unsqueeze(-1)


def chain() -> None:
    """Twelve variables in a row."""
    x = pyro.sample("X0", dist.Normal(0.0, 1.0))
    for name in CHAIN[1:]:
        x = pyro.sample(name, dist.Normal(0.5 * x, 1.0))


def chain_by_hand() -> None:
    """:func:`chain` with its noise explicit."""
    x = _equation("X0", pyro.sample("U_X0", dist.Normal(0.0, 1.0)))
    for name in CHAIN[1:]:
        x = _equation(name, 0.5 * x + pyro.sample(f"U_{name}", dist.Normal(0.0, 1.0)))


def chain_noise(values: Values) -> dict[str, Tensor]:
    """The noise of :func:`chain_by_hand`."""
    noise = {f"U_{name}": values[name] - 0.5 * values[parent] for parent, name in pairwise(CHAIN)}
    return {"U_X0": values["X0"], **noise}


def one_world(model: Callable[[], None], noise: Values, actions: Values) -> dict[str, Tensor]:
    """ChiRho: the values in the counterfactual world alone."""
    with torch.no_grad(), SingleWorldCounterfactual():
        return _run(model, noise, actions)


def two_worlds(model: Callable[[], None], noise: Values, actions: Values) -> dict[str, Tensor]:
    """ChiRho: the values in the factual and the counterfactual world, along a dimension on the left."""
    with torch.no_grad(), MultiWorldCounterfactual(first_available_dim=-2):
        return _run(model, noise, actions)


def all_worlds(model: Callable[[], None], noise: Values, actions: Values) -> dict[str, dict[str, Tensor]]:
    """ChiRho: every combination of the interventions, and of those the worlds with a single one."""
    with torch.no_grad(), MultiWorldCounterfactual(first_available_dim=-2):
        values = _run(model, noise, actions)
        index = {acted: IndexSet(**{name: {int(name == acted)} for name in actions}) for acted in actions}
        return {
            acted: {name: gather(value, index[acted], event_dim=0).flatten() for name, value in values.items()}
            for acted in actions
        }


def as_written(model: Callable[[], None], evidence: Values, actions: Values) -> dict[str, Tensor]:
    """ChiRho on an ordinary model, conditioned on its own sites: the values in the counterfactual world."""
    with torch.no_grad(), MultiWorldCounterfactual(first_available_dim=-2):
        values = _run(model, evidence, actions)
        index = IndexSet(**{name: {1} for name in actions})
        return {name: gather(value, index, event_dim=0).flatten() for name, value in values.items()}


def _run(model: Callable[[], None], data: Values, actions: Values) -> dict[str, Tensor]:
    units = len(next(iter(data.values())))
    with do(actions=actions), condition(data=data), poutine.trace() as recorder, pyro.plate("units", units, dim=-1):
        model()
    skipped = {"units", *(name for name in data if name.startswith("U_"))}
    nodes = recorder.trace.nodes.items()
    return {name: site["value"] for name, site in nodes if site["type"] == "sample" and name not in skipped}
