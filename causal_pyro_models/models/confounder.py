"""Hidden common causes: noise shared by the variables of a clique of bidirected edges."""

from __future__ import annotations

from collections.abc import Mapping

import networkx as nx
import pyro
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn

from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models.conditioner import Conditioner
from causal_pyro_models.models.variables import Continuous, Variable
from causal_pyro_models.scm.sites import noise_name

ANNEALED = 0.3  # share of the training over which the weight of the divergence from the prior rises to one


def cliques(graph: CausalGraph) -> dict[str, tuple[str, ...]]:
    """The maximal cliques of bidirected edges, by the name of the hidden cause that stands for each, "A<->B"."""
    hidden = nx.Graph(tuple(edge) for edge in graph.bidirected)
    order = {name: i for i, name in enumerate(graph.variables)}
    members = sorted(tuple(sorted(clique, key=order.__getitem__)) for clique in nx.find_cliques(hidden))
    return {"<->".join(clique): clique for clique in members}


class Confounder(nn.Module):
    """A hidden cause of some variables: standard normal, with an amortised posterior given them and their parents.

    Args:
        variable: ``Continuous(dim)``, the dimensions of the hidden cause.
        inputs: what its posterior is computed from, by name: the variables that it causes, and their parents.
        hidden: widths of the encoder's hidden layers.
    """

    def __init__(self, variable: Continuous, inputs: Mapping[str, Variable], hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.variable = variable
        self.inputs = dict(inputs)
        indicators = {_indicator(name): Continuous() for name in inputs}
        self.encoder = Conditioner({**inputs, **indicators}, 2 * variable.width, hidden)

    def prior(self) -> TorchDistributionMixin:
        """The law of the hidden cause of one unit."""
        like = next(self.parameters())
        zeros = torch.zeros(self.variable.event_shape, dtype=like.dtype, device=like.device)
        return dist.Normal(zeros, 1.0).to_event(zeros.dim())  # type: ignore[no-any-return]

    def forward(self, name: str) -> Tensor:
        """Issue the sample statement ``name``."""
        return pyro.sample(name, self.prior())

    def posterior(
        self, values: Mapping[str, Tensor], intervened: Mapping[str, Tensor] | None = None
    ) -> TorchDistributionMixin:
        """The approximate posterior given the inputs' values; one that was set says nothing of the hidden cause."""
        linear, change = self.encoder(self._seen(values, intervened or {}))
        location, log_scale = (linear + change).chunk(2, -1)
        if not self.variable.event_shape:
            location, log_scale = location.squeeze(-1), log_scale.squeeze(-1)
        scale = log_scale.clamp(-7.0, 3.0).exp()
        return dist.Normal(location, scale).to_event(len(self.variable.event_shape))  # type: ignore[no-any-return]

    def guide(self, name: str, values: Mapping[str, Tensor]) -> Tensor:
        """Draw the noise of the hidden cause ``name`` from the approximate posterior."""
        return pyro.sample(noise_name(name), self.posterior(values))

    def draw(
        self, values: Mapping[str, Tensor], intervened: Mapping[str, Tensor], progress: float
    ) -> tuple[Tensor, Tensor]:
        """A reparameterised draw from the posterior, and its (annealed) divergence from the prior, per unit."""
        posterior = self.posterior(values, intervened)
        divergence: Tensor = torch.distributions.kl_divergence(posterior, self.prior().expand(posterior.batch_shape))
        return posterior.rsample(), min(1.0, progress / ANNEALED) * divergence

    def initialise(self, values: Mapping[str, Tensor], intervened: Mapping[str, Tensor]) -> None:
        """Start afresh: the encoder's inputs standardised, its answer the prior."""
        self.encoder.initialise(self._seen(values, intervened))

    def _seen(self, values: Mapping[str, Tensor], intervened: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The encoder's inputs: the values, and for each whether it was set."""
        inputs = {name: values[name] for name in self.inputs}
        like = next(self.parameters())
        for name, variable in self.inputs.items():
            value = values[name]
            batch = value.shape[: value.dim() - len(variable.event_shape)]
            flag = intervened.get(name)
            inputs[_indicator(name)] = like.new_zeros(batch) if flag is None else flag.to(like.dtype).expand(batch)
        return inputs


def _indicator(name: str) -> str:
    return f"do({name})"
