"""Hidden common causes: noise shared by the variables of a clique of bidirected edges."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import networkx as nx
import pyro
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from causal_pyro_models.data.batches import Values
from causal_pyro_models.data.variables import Continuous, Discrete, Variable
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models.networks.latent import (
    Latent,
    common_factors,
    principal_directions,
    residuals,
    standardised,
)
from causal_pyro_models.scm.sites import noise_name

POINTS = {1: 32, 2: 128}  # that hidden causes of so many dimensions are averaged over
GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


def cliques(graph: CausalGraph) -> dict[str, tuple[str, ...]]:
    """The maximal cliques of bidirected edges, by the name of the hidden cause that stands for each, "A<->B"."""
    hidden = nx.Graph(tuple(edge) for edge in graph.bidirected)
    order = {name: i for i, name in enumerate(graph.variables)}
    members = sorted(tuple(sorted(clique, key=order.__getitem__)) for clique in nx.find_cliques(hidden))
    return {"<->".join(clique): clique for clique in members}


class Confounder(Latent):
    """A hidden cause of some variables: standard normal, with an amortised posterior given them and their parents.

    Args:
        dim: dimensions of the hidden cause.
        causes: the variables that it causes, each with its observed parents.
        kinds: the kinds of all of these.
        hidden: widths of the encoder's hidden layers.
    """

    def __init__(
        self,
        dim: int,
        causes: Mapping[str, tuple[str, ...]],
        kinds: Mapping[str, Variable],
        hidden: tuple[int, ...],
    ) -> None:
        chosen = {*causes, *(parent for parents in causes.values() for parent in parents)}
        inputs = {name: kind for name, kind in kinds.items() if name in chosen}
        super().__init__(dim, {**inputs, **{_indicator(name): Continuous() for name in inputs}}, hidden)
        self.causes, self.inputs = dict(causes), inputs

    def forward(self, name: str) -> Tensor:
        """Issue the sample statement ``name``."""
        return pyro.sample(name, self.prior())

    def given(self, values: Values, intervened: Values) -> TorchDistributionMixin:
        """The approximate posterior given the inputs' values; one that was set says nothing of the hidden cause."""
        return self.posterior(self._seen(values, intervened))

    def guide(self, name: str, values: Values) -> Tensor:
        """Draw the noise of the hidden cause ``name`` from the approximate posterior."""
        return pyro.sample(noise_name(name), self.given(values, {}))

    def draw_given(self, values: Values, intervened: Values, pointwise: bool = False) -> tuple[Tensor, Tensor]:
        """A draw from the posterior, and its divergence from the prior; see :meth:`Latent.draw`."""
        return self.draw(self._seen(values, intervened), pointwise)

    @torch.no_grad()
    def begin(self, values: Values, intervened: Values) -> Tensor:
        """Start afresh, from what the caused variables have in common beyond their parents.

        Returns:
            Draws of the hidden cause, ``(units, *event)``, for the nodes to start from.
        """
        members, features = [], []
        like = next(self.parameters())
        for name, parents in self.causes.items():
            own = standardised({name: self.inputs[name]}, values, like)
            observed = standardised({parent: self.inputs[parent] for parent in parents}, values, own)
            members.append(own if own.shape[-1] == 1 else _leading(own, observed))
            features.append(observed)
        units = members[0].shape[:1]
        answering = [~intervened[name] if name in intervened else like.new_ones(units).bool() for name in self.causes]
        start = common_factors(torch.cat(members, -1), features, self.variable.dim, torch.stack(answering, -1))
        start = start.reshape(len(start), *self.variable.event_shape)
        self.initialise(self._seen(values, intervened), start)
        return start

    def _seen(self, values: Values, intervened: Values) -> dict[str, Tensor]:
        """The encoder's inputs: the values, and for each whether it was set."""
        inputs = {name: values[name] for name in self.inputs}
        like = next(self.parameters())
        for name, variable in self.inputs.items():
            value = values[name]
            batch = value.shape[: value.dim() - len(variable.event_shape)]
            flag = intervened.get(name)
            inputs[_indicator(name)] = like.new_zeros(batch) if flag is None else flag.to(like.dtype).expand(batch)
        return inputs


@dataclass(frozen=True)
class Averaged:
    """Hidden causes whose variables are all discrete: averaged over, so that the loss is the likelihood itself.

    A bound by a normal posterior is loose for them, and the mechanisms that do best on it are not those of the data.
    Each loss takes new points, a lattice of the prior under a random shift, so that no mechanism is fitted to some
    points alone.

    Attributes:
        causes: the hidden causes, by name, with the variables that they cause.
    """

    causes: dict[str, Confounder]

    @property
    def members(self) -> tuple[str, ...]:
        """The variables."""
        return tuple(dict.fromkeys(name for confounder in self.causes.values() for name in confounder.causes))

    @property
    def inputs(self) -> dict[str, Variable]:
        """The variables and their observed parents, with their kinds."""
        return {name: kind for confounder in self.causes.values() for name, kind in confounder.inputs.items()}

    def distinct(self, values: Values, intervened: Values) -> tuple[Values, Values, Tensor]:
        """Units of which no two are alike, what was set in each, and which of them each unit ``(...)`` is.

        Real parents make every unit its own.
        """
        kinds, flags = self.inputs, {name: flag for name, flag in intervened.items() if name in self.members}
        own = [(*values[name].shape[: values[name].dim() - len(kind.event_shape)],) for name, kind in kinds.items()]
        batch = torch.broadcast_shapes(*own, *(flag.shape for flag in flags.values()))
        flat = {
            name: values[name].expand(*batch, *kind.event_shape).reshape(-1, *kind.event_shape)
            for name, kind in kinds.items()
        }
        flags = {name: flag.expand(batch).reshape(-1) for name, flag in flags.items()}
        back = torch.arange(math.prod(batch), device=values[self.members[0]].device)
        if all(isinstance(kind, Discrete) for kind in kinds.values()):
            columns = torch.stack([*flat.values(), *flags.values()], -1).long()
            rows, back = columns.unique(dim=0, return_inverse=True)
            parts = dict(zip((*flat, *(_indicator(name) for name in flags)), rows.unbind(-1), strict=True))
            flat = {name: parts[name].to(value.dtype) for name, value in flat.items()}
            flags = {name: parts[_indicator(name)].bool() for name in flags}
        return flat, flags, back.reshape(batch)

    def points(self, values: Values) -> dict[str, Tensor]:
        """Values of each hidden cause ``(points, ..., *event)``, with as many dimensions as units have."""
        like = next(next(iter(self.causes.values())).parameters())
        sizes = [confounder.variable.dim for confounder in self.causes.values()]
        count = POINTS[sum(sizes)]
        steps = torch.tensor([1.0 / count, GOLDEN][: sum(sizes)], dtype=torch.float64, device=like.device)
        shift = torch.rand(sum(sizes), dtype=torch.float64, device=like.device)
        places = (torch.arange(count, device=like.device).unsqueeze(-1) * steps + shift) % 1.0
        normal = torch.special.ndtri(places.clamp(1e-9, 1.0 - 1e-9)).to(like.dtype)
        units = [1] * values[self.members[0]].dim()
        return {
            name: part.reshape(count, *units, *confounder.variable.event_shape)
            for (name, confounder), part in zip(self.causes.items(), normal.split(sizes, -1), strict=True)
        }

    def terms(self, losses: Mapping[str, Tensor], values: Values, intervened: Values) -> dict[str, Tensor]:
        """The loss of each variable and hidden cause, ``(..., units)``, from those at the points.

        Their sum is minus the logarithm of the average likelihood, and a term of value zero, by which the encoders
        learn the posterior.

        References:
            J. Bornschein, Y. Bengio (2015). Reweighted wake-sleep. ICLR, equation 4.
        """
        joint = torch.stack(torch.broadcast_tensors(*(losses[name] for name in self.members))).sum(0)
        log_share = (-joint).log_softmax(0)
        share = log_share.exp()
        terms = {name: (share * losses[name]).sum(0) for name in self.members}
        divergence = (share * (log_share + math.log(len(share)))).sum(0)
        log_q = [cause.given(values, intervened).log_prob(values[name]) for name, cause in self.causes.items()]
        wake = [-(share.detach() * part).sum(0) for part in log_q]
        terms |= {name: part - part.detach() for name, part in zip(self.causes, wake, strict=True)}
        first = next(iter(self.causes))
        return terms | {first: terms[first] + divergence}


def averaged(confounders: Mapping[str, Confounder], exact: Collection[str]) -> list[Averaged]:
    """The hidden causes that can be averaged over, those with variables in common together.

    Args:
        confounders: the hidden causes, by name.
        exact: the discrete variables whose nodes have no latents of their own.
    """
    shared = nx.Graph()
    for name, confounder in confounders.items():
        shared.add_edges_from((("cause", name), ("variable", member)) for member in confounder.causes)
    found = []
    for part in nx.connected_components(shared):
        causes = {name: confounder for name, confounder in confounders.items() if ("cause", name) in part}
        members = {name for kind, name in part if kind == "variable"}
        if members <= set(exact) and sum(c.variable.dim for c in causes.values()) in POINTS:
            found.append(Averaged(causes))
    return found


def _leading(columns: Tensor, features: Tensor) -> Tensor:
    """The direction of columns that features leave most of unexplained, standardised, ``(units, 1)``."""
    _, directions = principal_directions(residuals(columns, features))
    projected = columns @ directions[:, :1]
    return projected / projected.std(0)


def _indicator(name: str) -> str:
    return f"do({name})"
