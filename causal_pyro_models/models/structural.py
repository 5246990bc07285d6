"""A structural causal model with one node module per variable."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any, cast

import pyro
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn

from causal_pyro_models.errors import DataError, ModelError, unknown_variable
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models.variables import Continuous, Variable, as_values

if TYPE_CHECKING:
    import pandas as pd


class Node(nn.Module):
    """A variable given its parents: a small Pyro submodel. A family of mechanisms implements ``distribution``.

    Attributes:
        variable: what kind of variable it is, which says how its data are read.
    """

    variable: Variable = Continuous()

    def distribution(self, parents: Mapping[str, Tensor]) -> TorchDistributionMixin:
        """The distribution of the variable given its parents' values, batched like them."""
        raise ModelError(f"{type(self).__name__} has no distribution: write a class of Node that says it.")

    def forward(self, name: str, parents: Mapping[str, Tensor]) -> Tensor:
        """Issue the sample statement ``name``."""
        return pyro.sample(name, self.distribution(parents))

    def log_prob(self, value: Tensor, parents: Mapping[str, Tensor]) -> Tensor:
        """Log density of values given the parents, ``(...)``."""
        return cast(Tensor, self.distribution(parents).log_prob(value))

    def loss(self, value: Tensor, parents: Mapping[str, Tensor], progress: float) -> Tensor:
        """What training minimises, a scalar; ``progress`` is the share of the training that is done."""
        return -self.log_prob(value, parents).mean()

    def initialise(self, value: Tensor, parents: Mapping[str, Tensor]) -> None:
        """Start afresh as the simplest model of the data that the family has. By default the weights stay."""


def check_graph(graph: object) -> None:
    """Refuse what is no graph, or has no variables."""
    if not isinstance(graph, CausalGraph):
        raise ModelError(f"the graph of a model must be a CausalGraph, got {type(graph).__name__}.")
    if not graph.variables:
        raise ModelError("the graph of a model must have at least one variable.")


class StructuralCausalModel(nn.Module):
    """A Pyro model of one unit: its nodes, run in the topological order of a graph.

    It is a plain ``torch.nn.Module``, so that its parameters stay out of Pyro's global store.

    Args:
        graph: the causal graph, without bidirected edges.
        nodes: a node for each of its variables.

    Raises:
        ModelError: the graph has bidirected edges, or a node is missing.
        UnknownVariableError: a node belongs to no variable.

    Example:
        >>> import pyro.distributions as dist
        >>> class Shifted(Node):
        ...     def distribution(self, parents):
        ...         return dist.Normal(sum(parents.values(), torch.tensor(0.0)), 1.0)
        >>> model = StructuralCausalModel(CausalGraph(["X", "Y"], [("X", "Y")]), {"X": Shifted(), "Y": Shifted()})
        >>> model.log_prob({"X": torch.tensor(0.0), "Y": torch.tensor(0.0)})
        tensor(-1.8379)
    """

    def __init__(self, graph: CausalGraph, nodes: Mapping[str, Node]) -> None:
        super().__init__()
        check_graph(graph)
        if graph.bidirected:
            a, b = sorted(next(iter(graph.bidirected)))
            raise ModelError(
                f"the graph has hidden confounding, for example {a} <-> {b}, which a model of independent nodes cannot "
                f"express. Add the confounder as a variable, or drop the bidirected edge if you assume there is none."
            )
        if not isinstance(nodes, Mapping):
            raise ModelError(f"nodes must be a dict from variable to Node, got {type(nodes).__name__}.")
        for name in nodes:
            if name not in graph.variables:
                raise unknown_variable(name, graph.variables)
        if missing := [name for name in graph.variables if name not in nodes]:
            raise ModelError(f"no node for {', '.join(missing)}: every variable of the graph needs one.")
        for name, node in nodes.items():
            if not isinstance(node, Node):
                raise ModelError(f"the node of {name!r} must be a Node, got {type(node).__name__}.")
        self.graph = graph
        self._modules_in_order = nn.ModuleList(nodes[name] for name in graph.variables)

    @property
    def nodes(self) -> dict[str, Node]:
        """The node of each variable."""
        return dict(zip(self.graph.variables, cast("list[Node]", list(self._modules_in_order)), strict=True))

    def forward(self) -> dict[str, Tensor]:
        """The Pyro model: a value for each variable of one unit."""
        nodes = self.nodes
        values: dict[str, Tensor] = {}
        for name in self.graph.topological_order:
            values[name] = nodes[name](name, self._parents(name, values))
        return values

    def log_prob(self, values: Mapping[str, Tensor]) -> Tensor:
        """Log density of units, equal to that of the model's trace.

        Args:
            values: a value ``(...)`` for every variable.

        Raises:
            DataError: values that are not finite, or not of one shape.
            ModelError: a variable has no value, or one that is no class of it.
        """
        if not isinstance(values, Mapping):
            raise DataError(f"values must be a dict from variable to tensor, got {type(values).__name__}.")
        if missing := [name for name in self.graph.variables if name not in values]:
            raise ModelError(f"no value for {', '.join(missing)}: the density needs every variable of the graph.")
        for name, node in self.nodes.items():
            if not isinstance(values[name], Tensor) or not bool(torch.isfinite(values[name]).all()):
                raise DataError(f"the values of {name!r} must be a tensor of finite numbers, got {values[name]!r:.80}.")
            node.variable.features(name, values[name])  # refuses what is no class of a discrete variable
        try:
            torch.broadcast_shapes(*(values[name].shape for name in self.graph.variables))
        except RuntimeError:
            shapes = ", ".join(f"{name!r}: {tuple(values[name].shape)}" for name in self.graph.variables)
            raise DataError(f"the values do not broadcast to one shape: {shapes}.") from None
        terms = (node.log_prob(values[name], self._parents(name, values)) for name, node in self.nodes.items())
        return reduce(torch.add, terms)

    # Training, see ``causal_pyro_models.inference.training.Trainable`` ----------------------------------------------

    def encode(self, data: Mapping[str, Any] | pd.DataFrame) -> dict[str, Tensor]:
        """The variables' values in a table, checked, on the model's device and in its precision: ``(units,)`` each.

        Raises:
            DataError: the data do not fit the variables.
            UnknownVariableError: a variable has no column.
        """
        like = next((p for p in self.parameters()), torch.empty(()))
        values = as_values(data, {name: node.variable for name, node in self.nodes.items()})
        cast = {
            name: value.to(like.device, like.dtype if value.is_floating_point() else value.dtype)
            for name, value in values.items()
        }
        for name, value in cast.items():
            if not bool(torch.isfinite(value).all()):
                raise DataError(f"column {name!r} has values beyond the range of {value.dtype}: rescale it.")
        return cast

    def initialise(self, values: Mapping[str, Tensor]) -> None:
        """Start every node afresh, from what the data show at once.

        Raises:
            DataError: a variable is constant.
        """
        for name, node in self.nodes.items():
            value = values[name]
            if bool((value == value[0]).all()):
                raise DataError(
                    f"variable {name!r} is constant ({value[0].item()}) in the training data, so that nothing can be "
                    f"learned about its causes or effects. Leave it out of the graph."
                )
            node.initialise(value, self._parents(name, values))

    def losses(self, values: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
        """Each variable's mean negative log-likelihood; ``progress`` is the share of the training that is done."""
        return {
            name: node.loss(values[name], self._parents(name, values), progress) for name, node in self.nodes.items()
        }

    @torch.no_grad()
    def finish(self, values: Mapping[str, Tensor], validation: Mapping[str, Tensor]) -> None:
        """Return a node to the simple model it started from, unless it does better on held-out units.

        Better by half a standard error of the mean gain: a whole one turns back too many nodes of small data, none at
        all leaves the networks of linear ones in place.

        Args:
            values: the training data.
            validation: the held-out data.
        """
        for name, node in self.nodes.items():
            simple = copy.deepcopy(node)
            simple.initialise(values[name], self._parents(name, values))
            value, parents = validation[name], self._parents(name, validation)
            gain = node.log_prob(value, parents) - simple.log_prob(value, parents)
            if gain.mean() < 0.5 * gain.std() / len(gain) ** 0.5:
                node.load_state_dict(simple.state_dict())

    def _parents(self, name: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {p: values[p] for p in self.graph.parents(name)}
