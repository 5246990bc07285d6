"""Causal flows: every variable a monotone transformation of its own noise, given its parents."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from numbers import Integral
from typing import Any, cast

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor
from torch.distributions.transforms import AffineTransform, ExpTransform

from causal_pyro_models.data.batches import Values
from causal_pyro_models.data.variables import Continuous, Positive, Variable
from causal_pyro_models.errors import ModelError
from causal_pyro_models.graph import GraphLike
from causal_pyro_models.models.checked import check_unconfounded, checked_graph, checked_variables
from causal_pyro_models.models.networks.features import encoded
from causal_pyro_models.models.networks.preparation import Prepare, unprepared
from causal_pyro_models.models.networks.scalar_flow import LocationScale, ScalarFlow, Spline, initialise_flows
from causal_pyro_models.models.node import Node, node_for
from causal_pyro_models.models.nodes.atoms import Atoms, atoms_in, edge_of, find_atoms, uncensored
from causal_pyro_models.models.nodes.vector_flow import VectorFlowNode
from causal_pyro_models.models.registry import register
from causal_pyro_models.models.structural import StructuralCausalModel

HIDDEN = (64, 64)  # widths of the hidden layers


@register
class FlowNode(Node):
    """A real variable as a monotone flow of standard normal noise, its parameters functions of the parents.

    Values that the data hold again and again, such as incomes of zero, are atoms: a gate, which is a function of the
    parents as well, chooses between them and the flow.

    Args:
        variable: a real variable, or a positive one, whose logarithm is such a flow.
        residual: the shape of the noise, ``Spline(...)`` or ``LocationScale()``.
        hidden: widths of the hidden layers.

    Example:
        >>> from causal_pyro_models import StructuralCausalModel, abduct, fit
        >>> graph = "X -> Y"
        >>> model = StructuralCausalModel(graph, {"X": FlowNode(), "Y": FlowNode(Positive())})
        >>> x = torch.linspace(-1, 1, 200)
        >>> _ = fit(model, {"X": x, "Y": (x + 0.1 * torch.cos(50 * x)).exp()}, steps=5, seed=0, progress=False)
        >>> sorted(abduct(model, {"X": [0.0], "Y": [1.0]}))
        ['U_X', 'U_Y']
    """

    flow: ScalarFlow

    def __init__(
        self,
        variable: Continuous | Positive = Continuous(),
        residual: Spline | LocationScale = Spline(),
        hidden: tuple[int, ...] = HIDDEN,
    ) -> None:
        super().__init__(variable)
        self.residual, self.hidden = residual, hidden
        self.atoms: Atoms | None = None  # made where the data have some

    def connect(self, parents: Mapping[str, Variable]) -> None:
        self.parents = dict(parents)
        self.flow = ScalarFlow(sum(v.width for v in parents.values()), self.residual, self.hidden)

    @property
    def settled(self) -> bool:
        gate = self.atoms.gate if self.atoms else None
        return self.flow.settled and (gate is None or gate.settled)

    def features(self, parents: Values) -> Tensor:
        """What the flow sees of the parents, ``(..., width)``; ``(0,)`` for a root."""
        return encoded(self.parents, parents, self.flow.mean.dtype)

    def on_line(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Values as the flow sees them, and the logarithm of the slope of that."""
        if isinstance(self.variable, Positive):
            line = value.log()
            return line, -line
        return value, torch.zeros_like(value)

    def distribution(self, parents: Values) -> TorchDistributionMixin:
        features = self.features(parents)
        location, scale, maps = self.flow.given(features, features.shape[:-1])
        noise = dist.Normal(torch.zeros_like(location), torch.ones_like(location))
        from_noise = [to_noise.inv for to_noise in reversed(maps)]
        end = [ExpTransform()] if isinstance(self.variable, Positive) else []
        law = dist.TransformedDistribution(noise, [*from_noise, AffineTransform(location, scale), *end])
        return cast(TorchDistributionMixin, law if self.atoms is None else self.atoms.law(law, parents))

    def log_prob(self, value: Tensor, parents: Values) -> Tensor:
        features = self.features(parents)
        line, log_slope = self.on_line(value)
        density = log_slope + self.flow.given(features, features.shape[:-1]).log_prob(line)
        return self.with_atoms(density, value, parents)

    def with_atoms(self, density: Tensor, value: Tensor, parents: Values) -> Tensor:
        """Log density of values from that of the flow."""
        if self.atoms is None:
            return density

        def noise(place: Tensor) -> Tensor:
            features = self.features(parents)
            line = self.on_line(place.to(features.dtype))[0].expand(features.shape[:-1])
            return self.flow.given(features, features.shape[:-1]).to_noise(line)[0]

        return self.atoms.log_prob(density, value, parents, noise)

    def initialise(self, value: Tensor, parents: Values) -> None:
        self.start(value, parents, unprepared)

    def start(self, value: Tensor, parents: Values, prepare: Prepare) -> None:
        """Start with the location of least squares and noise that does not depend on the parents."""
        features, line = self.begin(value, parents)
        initialise_flows([self.flow], [features], [line], prepare)

    @torch.no_grad()
    def begin(self, value: Tensor, parents: Values) -> tuple[Tensor, Tensor]:
        """Find the atoms and start their gate; what the flow is to start from, its features and values."""
        places = find_atoms(value)
        edge = torch.tensor(edge_of(value, places), device=value.device)
        self.atoms = Atoms(places, edge, self.parents, self.hidden) if len(places) else None
        if self.atoms is not None and self.atoms.gate is not None:
            self.atoms.gate.initialise(self.atoms.among(value), parents)
        return self._beside_atoms(value, parents)

    def _beside_atoms(self, value: Tensor, parents: Values) -> tuple[Tensor, Tensor]:
        """Features and values of the units that are no atoms; censored ones completed."""
        features, line = self.features(parents).detach(), self.on_line(value)[0]
        if self.atoms is None:
            return features, line
        if edge := int(self.atoms.edge):
            return features, uncensored(line, features if self.parents else line.new_empty(len(line), 0), edge)
        rows = self.atoms.among(value) == 0
        return features[rows] if self.parents else features, line[rows]

    @torch.no_grad()
    def finish(self, value: Tensor, parents: Values, held_out: Tensor, held_out_parents: Values) -> None:
        """Return to the start, from all units, unless the trained flow does better on held-out ones."""
        if self.atoms is not None and self.atoms.gate is not None:
            classes = self.atoms.among(value), self.atoms.among(held_out)
            self.atoms.gate.finish(classes[0], parents, classes[1], held_out_parents)
        unseen = self._beside_atoms(held_out, held_out_parents)
        if len(unseen[1]) > 1:
            self.flow.keep_if_better(*self._beside_atoms(value, parents), *unseen)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Atoms are made when they are found, so also when they are read."""
        self.atoms = atoms_in(state_dict, prefix, self.parents, self.hidden)
        super()._load_from_state_dict(state_dict, prefix, *args)


@node_for.register
def _(variable: Continuous, residual: Spline | LocationScale, hidden: tuple[int, ...]) -> Node:
    return (VectorFlowNode if variable.event_shape else FlowNode)(variable, residual, hidden)


@node_for.register
def _(variable: Positive, residual: Spline | LocationScale, hidden: tuple[int, ...]) -> Node:
    return FlowNode(variable, residual, hidden)


def _is_width(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) > 0


@register
class CausalFlow(StructuralCausalModel):
    """A flow per variable, conditioned on the variable's parents; so that its noise can be abducted.

    A real variable is ``x = m(pa) + s(pa) T(u; pa)``, monotone in standard normal noise u, a positive one the
    exponential of such a flow; a discrete one has a conditional law whose parameters depend on the parents. Values are
    on the scale of the data, standardisation is inside. Train it with ``causal_pyro_models.fit``.

    Args:
        graph: the causal graph, without bidirected edges.
        variables: the kind of each variable of the graph, such as ``Continuous()`` or ``Categorical(k)``.
        residual: the shape of real variables' noise, ``Spline(...)`` or ``LocationScale()``.
        hidden: widths of the hidden layers of each variable's network.

    Raises:
        ModelError: the graph has bidirected edges, or a variable has no kind, or one that a flow cannot be.
        UnknownVariableError: a kind is given for something that is no variable of the graph.

    References:
        I. Khemakhem, R. Monti, R. Leech, A. Hyvarinen (2021). Causal autoregressive flows. AISTATS.
        A. Javaloy, P. Sanchez-Martin, I. Valera (2023). Causal normalizing flows: from theory to practice. NeurIPS.

    Example:
        >>> import pyro
        >>> from causal_pyro_models import Binary
        >>> model = CausalFlow("X -> Y", {"X": Binary(), "Y": Continuous()})
        >>> sorted(pyro.poutine.trace(model).get_trace().stochastic_nodes)
        ['X', 'Y']
    """

    def __init__(
        self,
        graph: GraphLike,
        variables: Mapping[str, Variable | int],
        residual: Spline | LocationScale | None = None,
        hidden: tuple[int, ...] = HIDDEN,
    ) -> None:
        graph = checked_graph(graph)
        variables = checked_variables(graph, variables)
        check_unconfounded(graph, "CausalFlow")
        residual = Spline() if residual is None else residual
        if not isinstance(residual, Spline | LocationScale):
            raise ModelError(f"residual must be Spline() or LocationScale(), got {residual!r:.80}.")
        if not isinstance(hidden, tuple | list) or not all(_is_width(width) for width in hidden):
            raise ModelError(f"hidden must be a tuple of widths, such as (64,), got {hidden!r:.80}.")
        hidden = tuple(int(width) for width in hidden)
        nodes = {name: _node(name, variables[name], residual, hidden) for name in graph.variables}
        super().__init__(graph, nodes)
        self.residual, self.hidden = residual, hidden
        self._flows = {name: node for name, node in nodes.items() if isinstance(node, FlowNode)}

    def _initialise_nodes(self, seen: Mapping[str, tuple[Tensor, Values]], prepare: Prepare) -> None:
        """Flows together, other nodes one by one."""
        starts = [node.begin(*seen[name]) for name, node in self._flows.items()]
        features, lines = [features for features, _ in starts], [line for _, line in starts]
        initialise_flows([node.flow for node in self._flows.values()], features, lines, prepare)
        super()._initialise_nodes({name: data for name, data in seen.items() if name not in self._flows}, prepare)

    def _log_densities(self, values: Values) -> dict[str, Tensor]:
        return {name: -loss for name, loss in self._node_losses(self.graph.variables, values, 1.0, False).items()}

    def _node_losses(
        self, names: Collection[str], values: Values, progress: float, pointwise: bool
    ) -> dict[str, Tensor]:
        """Each variable's negative log-likelihood, all flows evaluated together."""
        flows = {name: self._flows[name] for name in names if name in self._flows}
        losses = {}
        if flows:
            for (name, node), density in zip(flows.items(), _densities(flows, values), strict=True):
                losses[name] = -node.with_atoms(density, values[name], self._parents(name, values))
        others = [name for name in names if name not in flows]
        return losses | super()._node_losses(others, values, progress, pointwise)


CausalNormalizingFlow = CausalFlow  # its long name


def _node(name: str, variable: Variable, residual: Spline | LocationScale, hidden: tuple[int, ...]) -> Node:
    try:
        return node_for(variable, residual, hidden)
    except ModelError as error:
        raise ModelError(f"variable {name!r}: {error}") from None


def _densities(nodes: Mapping[str, FlowNode], values: Values) -> list[Tensor]:
    """Log densities of variables with flows: one run of the conditioners of each width, and one of the splines."""
    lines = {name: node.on_line(values[name]) for name, node in nodes.items()}
    features = {name: node.features(values) for name, node in nodes.items()}
    shapes = (*(line.shape for line, _ in lines.values()), *(f.shape[:-1] for f in features.values()))
    batch = torch.broadcast_shapes(*shapes)
    locations: dict[str, Tensor] = {}
    further: dict[str, Tensor] = {}
    for names in _alike(nodes).values():
        conditioners = [nodes[name].flow.conditioner for name in names]
        inputs = torch.stack([features[name].expand(*batch, -1).reshape(math.prod(batch), -1) for name in names])
        answers = conditioners[0].at(_stacked([c.tensors() for c in conditioners]), inputs)
        locations |= zip(names, answers[0].expand(-1, math.prod(batch)), strict=True)
        further |= zip(names, answers[1].expand(-1, math.prod(batch), -1), strict=True)
    flows = [node.flow for node in nodes.values()]
    together = flows[0].at(
        _stacked([flow.tensors() for flow in flows]),
        torch.stack([locations[name] for name in nodes]),
        torch.stack([further[name] for name in nodes]),
    )
    density = together.log_prob(torch.stack([line.expand(batch).reshape(-1) for line, _ in lines.values()]))
    return [slope + part.reshape(batch) for (_, slope), part in zip(lines.values(), density, strict=True)]


def _alike(nodes: Mapping[str, FlowNode]) -> dict[int, list[str]]:
    """The names of nodes by the width of what they are conditioned on."""
    alike: dict[int, list[str]] = {}
    for name, node in nodes.items():
        alike.setdefault(node.flow.conditioner.width, []).append(name)
    return alike


def _stacked(tensors: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors of several modules as ones with a leading dimension, numbers as columns."""
    stacked = {name: torch.stack([each[name] for each in tensors]) for name in tensors[0]}
    return {name: tensor.unsqueeze(-1) if tensor.dim() == 1 else tensor for name, tensor in stacked.items()}
