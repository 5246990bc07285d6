"""A node: a variable given its parents, as a small Pyro submodel."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import singledispatch
from typing import cast

import pyro
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn

from causal_pyro_models.data.batches import Values
from causal_pyro_models.data.variables import Continuous, Variable
from causal_pyro_models.errors import ModelError
from causal_pyro_models.models.networks.preparation import Prepare
from causal_pyro_models.models.networks.scalar_flow import LocationScale, Spline


class Node(nn.Module):
    """A variable given its parents: a small Pyro submodel, whose networks are built when a model connects it.

    A family whose noise is exact given the value implements ``distribution``. One with latents of its own implements
    ``forward``, which samples them under ``name.z``, the ``guide`` over their noise, and ``loss``.

    Args:
        variable: what kind of variable it is, which says how its data are read.

    Example:
        >>> import pyro.distributions as dist
        >>> from causal_pyro_models import CausalGraph, StructuralCausalModel, counterfactual
        >>> class Doubled(Node):
        ...     def distribution(self, parents):
        ...         return dist.Normal(2.0 * sum(parents.values(), torch.zeros(())), 1.0)
        >>> model = StructuralCausalModel(CausalGraph(["X", "Y"], [("X", "Y")]), {"X": Doubled(), "Y": Doubled()})
        >>> counterfactual(model, {"X": [1.0], "Y": [2.5]}, do={"X": 3.0})["Y"]
        tensor([6.5000])
    """

    adversarial = False  # whether it is trained against critics

    def __init__(self, variable: Variable = Continuous()) -> None:
        super().__init__()
        self.variable = variable

    def connect(self, parents: Mapping[str, Variable]) -> None:
        """Build what depends on the parents' kinds. Called once, by the model that the node becomes part of."""

    def distribution(self, parents: Values) -> TorchDistributionMixin:
        """The distribution of the variable given its parents' values, batched like them."""
        raise ModelError(f"{type(self).__name__} has no distribution: write a class of Node that says it.")

    def forward(self, name: str, parents: Values) -> Tensor:
        """Issue the sample statement ``name``."""
        return pyro.sample(name, self.distribution(parents))

    def guide(self, name: str, value: Tensor, parents: Values) -> None:
        """Sample the noise of the node's latents given the value of ``name``; nothing where it has none."""

    @property
    def has_latents(self) -> bool:
        """Whether its noise is not exact given the value."""
        return False

    @property
    def settled(self) -> bool:
        """Whether ``initialise`` left nothing to train."""
        return False

    def log_prob(self, value: Tensor, parents: Values) -> Tensor:
        """Log density of values given the parents, ``(...)``."""
        return cast(Tensor, self.distribution(parents).log_prob(value))

    def loss(self, value: Tensor, parents: Values, progress: float) -> Tensor:
        """What training minimises, per unit; ``progress`` is the share of the training that is done."""
        return -self.log_prob(value, parents)

    def draw_loss(self, value: Tensor, parents: Values, progress: float) -> Tensor:
        """The loss of a single draw of the latents: minus its log importance weight; ``loss`` where there are none."""
        return self.loss(value, parents, progress)

    def initialise(self, value: Tensor, parents: Values) -> None:
        """Start afresh as the simplest model of the data that the family has. By default the weights stay.

        Args:
            value: of the variable, ``(units, *event)``.
            parents: the parents' values, by name.
        """

    def start(self, value: Tensor, parents: Values, prepare: Prepare) -> None:
        """:meth:`initialise` of a family that has to move something down a loss first, which ``prepare`` runs."""
        self.initialise(value, parents)

    def finish(self, value: Tensor, parents: Values, held_out: Tensor, held_out_parents: Values) -> None:
        """Settle what held-out units decide once the training is over. By default nothing."""

    @torch.no_grad()
    def keep_if_better(self, value: Tensor, parents: Values, held_out: Tensor, held_out_parents: Values) -> None:
        """Return to the simple model of ``initialise``, unless the trained one does better on held-out units.

        Better by half a standard error of the mean gain: a whole one turns back too many nodes of small data, none at
        all leaves the networks of linear ones in place.
        """
        simple = copy.deepcopy(self)
        simple.initialise(value, parents)
        gain = simple.loss(held_out, held_out_parents, 1.0) - self.loss(held_out, held_out_parents, 1.0)
        if gain.mean() < 0.5 * gain.std() / len(gain) ** 0.5:
            self.load_state_dict(simple.state_dict())


@singledispatch
def node_for(variable: object, residual: Spline | LocationScale, hidden: tuple[int, ...]) -> Node:
    """The exact node for a kind of variable."""
    raise ModelError(f"a flow has no node for the variable {variable!r:.80}: take a CausalVAE, or a VAENode for it.")
