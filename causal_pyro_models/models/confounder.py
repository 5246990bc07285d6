"""Hidden common causes: noise shared by the variables of a clique of bidirected edges."""

from __future__ import annotations

from collections.abc import Mapping

import networkx as nx
import pyro
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from causal_pyro_models.data.batches import Values
from causal_pyro_models.data.variables import Continuous, Variable
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models.networks.latent import (
    Latent,
    common_factors,
    principal_directions,
    residuals,
    standardised,
)
from causal_pyro_models.scm.sites import noise_name


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


def _leading(columns: Tensor, features: Tensor) -> Tensor:
    """The direction of columns that features leave most of unexplained, standardised, ``(units, 1)``."""
    _, directions = principal_directions(residuals(columns, features))
    projected = columns @ directions[:, :1]
    return projected / projected.std(0)


def _indicator(name: str) -> str:
    return f"do({name})"
