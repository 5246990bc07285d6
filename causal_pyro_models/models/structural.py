"""A structural causal model with one node module per variable."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import reduce
from typing import Any, cast

import pyro
import torch
from pyro import poutine
from torch import Tensor, nn

from causal_pyro_models.data.batches import Batch, Values, encode
from causal_pyro_models.data.coded import codes
from causal_pyro_models.data.screening import Indistinct, screened
from causal_pyro_models.data.variables import Continuous, Discrete, Variable
from causal_pyro_models.errors import DataError, ModelError, unknown_variable
from causal_pyro_models.graph import GraphLike
from causal_pyro_models.isolation import isolated
from causal_pyro_models.models.checked import check_nodes, check_unconfounded, checked_graph
from causal_pyro_models.models.confounder import Averaged, Confounder, averaged, cliques
from causal_pyro_models.models.missing import Imputer, bound, completed
from causal_pyro_models.models.networks.preparation import Prepare, unprepared
from causal_pyro_models.models.node import Node
from causal_pyro_models.models.registry import register
from causal_pyro_models.models.scales import Scales
from causal_pyro_models.models.stand_in import running
from causal_pyro_models.scm.handlers.exogenous import Exogenize
from causal_pyro_models.scm.handlers.policies import reads_first
from causal_pyro_models.scm.sites import Telling, noise_name, role
from causal_pyro_models.validation import checked_count

ENCODER = (32, 32)  # widths of the hidden layers that read a hidden cause off the values


@register
class StructuralCausalModel(nn.Module):
    """A Pyro model of one unit: its nodes, run in the topological order of a graph.

    Nodes of any families mix. Each maximal clique of bidirected edges becomes a hidden cause, standard normal noise
    that its variables share, named after them (``"X<->Y"``); it is trained on the evidence lower bound with its guide.
    The model is a plain ``torch.nn.Module``, so that its parameters stay out of Pyro's global store.

    Args:
        graph: the causal graph.
        nodes: a node for each of its variables.
        confounder_dim: dimensions of each hidden cause.

    Raises:
        ModelError: a node is missing, or is part of another model.
        UnknownVariableError: a node belongs to no variable.

    Example:
        >>> import pyro.distributions as dist
        >>> class Shifted(Node):
        ...     def distribution(self, parents):
        ...         return dist.Normal(sum(parents.values(), torch.tensor(0.0)), 1.0)
        >>> model = StructuralCausalModel("X -> Y", {"X": Shifted(), "Y": Shifted()})
        >>> model.log_prob({"X": torch.tensor(0.0), "Y": torch.tensor(0.0)})
        tensor(-1.8379)
    """

    @isolated
    def __init__(self, graph: GraphLike, nodes: Mapping[str, Node], confounder_dim: int = 1) -> None:
        super().__init__()
        graph = checked_graph(graph)
        check_nodes(graph, nodes)
        self.graph = graph
        self.confounder_dim = checked_count(confounder_dim, "confounder_dim")
        self.variables: dict[str, Variable] = {name: nodes[name].variable for name in graph.variables}
        self.cliques = cliques(graph)
        if clash := [name for name in self.cliques if name in self.variables]:
            raise ModelError(f"the variable {clash[0]!r} has the name of a hidden cause: rename it.")
        hidden = Continuous(self.confounder_dim)
        kinds = {**self.variables, **dict.fromkeys(self.cliques, hidden)}
        self._causes = {
            name: (*graph.parents(name), *(c for c, members in self.cliques.items() if name in members))
            for name in graph.variables
        }
        for name in graph.variables:
            nodes[name].connect({cause: kinds[cause] for cause in self._causes[name]})
        self._nodes = nn.ModuleList(nodes[name] for name in graph.variables)
        self.imputer: Imputer | None = None  # made where the data to train on miss values
        self.refits: tuple[StructuralCausalModel, ...] = ()  # to random halves of the data, see ``fit``; no parts of it
        self.scales = Scales({})  # of variables that float32 cannot hold in the data to train on
        self.indistinct: tuple[Indistinct, ...] = ()  # causes that the data do not tell apart
        self.support: nn.Module | None = None  # made at the end of a training, see ``models.support``
        self._confounders = nn.ModuleList(
            Confounder(self.confounder_dim, {m: graph.parents(m) for m in members}, self.variables, ENCODER)
            for members in self.cliques.values()
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """What moves or casts the model moves and casts its refits."""
        for refit in self.refits:
            refit._apply(fn, recurse)
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    @property
    def nodes(self) -> dict[str, Node]:
        """The node of each variable."""
        return dict(zip(self.graph.variables, cast("list[Node]", list(self._nodes)), strict=True))

    @property
    def confounders(self) -> dict[str, Confounder]:
        """The hidden causes, by name."""
        return dict(zip(self.cliques, cast("list[Confounder]", list(self._confounders)), strict=True))

    def _parents(self, name: str, values: Values) -> dict[str, Tensor]:
        return {cause: values[cause] for cause in self._causes[name]}

    def scaled(self, values: Values) -> dict[str, Tensor]:
        """Values as the nodes see them: standardised where float32 cannot hold them."""
        return self.scales.scaled(values, self._like.dtype)

    @property
    def _like(self) -> Tensor:
        """A tensor of the model's type, on its device."""
        return next((parameter for parameter in self.parameters()), torch.empty(()))

    def _sampled(self, name: str, values: Values) -> Tensor:
        """Issue the sample statements of a variable."""
        with self.scales.at(name):
            return cast(Tensor, self.nodes[name](name, self.scaled(self._parents(name, values))))

    def forward(self, held: Values | None = None) -> dict[str, Tensor]:
        """The Pyro model: a value for each hidden cause and variable of one unit.

        Args:
            held: values of variables whose nodes are not to be run.
        """
        if (instead := running(self)) is not self:
            return cast(StructuralCausalModel, instead).forward(held)
        held = held or {}
        with Telling(self.variables):
            values = {name: confounder(name) for name, confounder in self.confounders.items()}
            for name in reads_first(self.graph.topological_order, self.graph.parents):
                if name in held:
                    event_dim = len(self.variables[name].event_shape)
                    values[name] = pyro.deterministic(name, held[name], event_dim=event_dim)
                else:
                    values[name] = self._sampled(name, values)
        return values

    def guide(self, evidence: Values) -> None:
        """The approximate posterior of all hidden noise given evidence on some variables, as a Pyro guide.

        Hidden causes and latents are drawn from their encoders where what these read was observed, all else from its
        prior; importance weights make up for the difference.

        Args:
            evidence: values ``(units, *event)`` by variable.
        """
        with poutine.block(hide=[noise_name(name) for name in evidence]):
            values, seen = dict(evidence), self.scaled(evidence)
            for name, confounder in self.confounders.items():
                if all(read in evidence for read in confounder.inputs):
                    values.setdefault(name, confounder.guide(name, seen))
                elif name not in evidence:
                    values[name] = _from_prior(confounder, name)
            nodes = self.nodes
            for name in self.graph.topological_order:
                if name in evidence:
                    nodes[name].guide(name, seen[name], self.scaled(self._parents(name, values)))
                else:
                    values[name] = _from_prior(self._sampled, name, values)

    def log_prob(self, values: Values) -> Tensor:
        """Log density of units, equal to that of the model's trace.

        Args:
            values: a value ``(..., *event)`` for every variable.

        Raises:
            DataError: values that are not finite, or not of one shape.
            ModelError: a variable has no value, or one that is no class of it; the model has hidden causes or latents,
                so that its density has no closed form.
        """
        return reduce(torch.add, self.log_probs(values).values())

    def log_probs(self, values: Values) -> dict[str, Tensor]:
        """The terms of :meth:`log_prob`: each variable's log density given its parents."""
        check_unconfounded(self.graph, "log_prob")
        self._check_values(values)
        values = {name: codes(value) for name, value in values.items()}
        found, slope = self._log_densities(self.scaled(values)), self.scales.log_slope
        return {name: density - slope(name, values[name]).to(density) for name, density in found.items()}

    def _log_densities(self, values: Values) -> dict[str, Tensor]:
        """Each variable's log density given its parents, where values are as the nodes see them."""
        return {name: node.log_prob(values[name], self._parents(name, values)) for name, node in self.nodes.items()}

    def _check_values(self, values: object) -> None:
        if not isinstance(values, Mapping):
            raise DataError(f"values must be a dict from variable to tensor, got {type(values).__name__}.")
        if missing := [name for name in self.variables if name not in values]:
            raise ModelError(f"no value for {', '.join(missing)}: the density needs every variable of the graph.")
        shapes = {}
        for name, variable in self.variables.items():
            if not isinstance(values[name], Tensor) or not bool(torch.isfinite(values[name]).all()):
                raise DataError(f"the values of {name!r} must be a tensor of finite numbers, got {values[name]!r:.80}.")
            variable.features(name, values[name])  # refuses what is no class of a discrete variable
            shapes[name] = values[name].shape[: values[name].dim() - len(variable.event_shape)]
        try:
            torch.broadcast_shapes(*shapes.values())
        except RuntimeError:
            given = ", ".join(f"{name!r}: {tuple(shape)}" for name, shape in shapes.items())
            raise DataError(f"the values do not broadcast to one shape: {given}.") from None

    # Training, see ``training.fitting.Trainable`` ----------------------------------------------

    def begin(self, data: Any) -> Batch:
        """Data to train afresh on, as the nodes see them: which variables are standardised first is settled here.

        Raises:
            DataError: the data do not fit the variables.
            UnknownVariableError: a variable has no column.
        """
        batch = encode(data, self.variables)
        self.support = None
        self.scales = Scales.of(self.variables, batch)
        parents = {name: self.graph.parents(name) for name in self.graph.topological_order}
        self.indistinct = screened(batch, self.variables, parents)
        self.scales.to(self._like.device)
        return self.as_trained(self._moved(batch))

    def encode(self, data: Any) -> Batch:
        """Data as a batch, checked, on the model's device and in its precision; see ``data.encode``.

        Variables that float32 cannot hold stay in float64.

        Raises:
            DataError: the data do not fit the variables.
            UnknownVariableError: a variable has no column.
        """
        return self._moved(encode(data, self.variables))

    def as_trained(self, batch: Batch) -> Batch:
        """An encoded batch with its values as the nodes see them, which all of training is about."""
        return replace(batch, values=self.scaled(batch.values))

    def _moved(self, batch: Batch) -> Batch:
        batch = batch.to(self._like.device, self._like.dtype, exact=self.scales.variables)
        for name, value in batch.values.items():
            if not bool(torch.isfinite(value).all()):
                raise DataError(f"column {name!r} has values beyond the range of {value.dtype}: rescale it.")
        return batch

    def initialise(self, batch: Batch, prepare: Prepare = unprepared) -> None:
        """Start every node afresh, from what the data show at once.

        Args:
            batch: the units.
            prepare: runs what has to be moved down a loss before; ``fit`` gives it.

        Raises:
            DataError: a variable is constant.
        """
        batch = batch.evened()
        self.impute_with(batch.missing)
        values = dict(batch.values)
        for name, confounder in self.confounders.items():
            values[name] = confounder.begin(batch.values, batch.intervened)
        seen = {}
        for name in self.nodes:
            rows = self._telling(name, batch)
            value = values[name][rows]
            if not len(value) or bool((value == value[0]).all()):
                raise DataError(_constant(name, value))
            seen[name] = value, {cause: values[cause][rows] for cause in self._causes[name]}
        self._initialise_nodes(seen, prepare)
        if self.imputer:
            self.imputer.initialise(batch, prepare)

    def _initialise_nodes(self, seen: Mapping[str, tuple[Tensor, Values]], prepare: Prepare) -> None:
        """Start nodes afresh, each from values of its own and of its causes."""
        for name, (value, causes) in seen.items():
            self.nodes[name].start(value, causes, prepare)

    def impute_with(self, names: Collection[str]) -> None:
        """Make a guide for missing values of these variables, or none where there are none."""
        if unknown := [name for name in names if name not in self.variables]:
            raise unknown_variable(unknown[0], self.variables)
        missing, like = [name for name in self.graph.topological_order if name in names], self._like
        self.imputer = Imputer(self.variables, missing).to(like.device, like.dtype) if missing else None

    @property
    def imputes_by_itself(self) -> bool:
        """Whether every variable has a density given its parents, which can be drawn from."""
        return not self.cliques and all(
            type(node).distribution is not Node.distribution for node in self.nodes.values()
        )

    def _telling(self, name: str, batch: Batch) -> Tensor:
        """``(units,)``, true where a unit's values show how the variable answers to its parents."""
        rows = batch.intact(name, *self.graph.parents(name))
        return rows & ~batch.intervened[name] if name in batch.intervened else rows

    @property
    def settled(self) -> frozenset[str]:
        """Variables of which ``initialise`` left nothing to train."""
        return frozenset(
            name
            for name, node in self.nodes.items()
            if node.settled and not any(cause in self.cliques for cause in self._causes[name])
        )

    def losses(self, batch: Batch, progress: float, without: Collection[str] = ()) -> dict[str, Tensor]:
        """The mean loss of each variable and hidden cause, whose sum bounds the negative log-likelihood per unit.

        A unit that was intervened on has no term for the variables that were set. Missing values are averaged over, see
        ``models.missing.bound``.

        Args:
            batch: the units.
            progress: the share of the training that is done.
            without: variables to leave out, where no values are missing.
        """
        if batch.missing:
            return bound(self, batch, progress)
        losses = self.unit_losses(batch.values, batch.intervened, progress, without)
        if batch.weight is None:
            return {name: loss.mean() for name, loss in losses.items()}
        return {name: (batch.weight * loss).mean() / batch.weight.mean() for name, loss in losses.items()}

    def unit_losses(
        self,
        values: Values,
        intervened: Values,
        progress: float,
        without: Collection[str] = (),
        pointwise: bool = False,
    ) -> dict[str, Tensor]:
        """The terms of :meth:`losses` for each unit, ``(..., units)``, where values are complete.

        Args:
            values: a value ``(..., units, *event)`` for every variable.
            intervened: ``(units,)``, true where the variable was set from outside.
            progress: the share of the training that is done.
            without: variables to leave out.
            pointwise: whether the terms are those of one draw of the latents, whose sum is minus the logarithm of its
                importance weight.
        """
        values, told = dict(values), set(without)
        losses: dict[str, Tensor] = {}
        for group in self._averaged():
            distinct, flags, back = group.distinct(values, intervened)
            distinct = {**distinct, **group.points(distinct)}
            terms = self._masked(group.members, distinct, flags, progress, pointwise)
            losses |= {name: term[back] for name, term in group.terms(terms, distinct, flags).items()}
            told |= losses.keys()
        for name, confounder in self.confounders.items():
            if name not in told:
                values[name], losses[name] = confounder.draw_given(values, intervened, pointwise)
        names = [name for name in self.nodes if name not in told]
        return losses | self._masked(names, values, intervened, progress, pointwise)

    def _masked(
        self, names: Collection[str], values: Values, intervened: Values, progress: float, pointwise: bool
    ) -> dict[str, Tensor]:
        """The losses of variables, none where they were set."""
        losses = self._node_losses(names, values, progress, pointwise)
        return {n: loss.masked_fill(intervened[n], 0.0) if n in intervened else loss for n, loss in losses.items()}

    def _averaged(self) -> list[Averaged]:
        """The hidden causes that the losses average over."""
        exact = [n for n, node in self.nodes.items() if isinstance(node.variable, Discrete) and not node.has_latents]
        return averaged(self.confounders, exact)

    def _node_losses(
        self, names: Collection[str], values: Values, progress: float, pointwise: bool
    ) -> dict[str, Tensor]:
        found = {}
        for name in names:
            loss = self.nodes[name].draw_loss if pointwise else self.nodes[name].loss
            found[name] = loss(values[name], self._parents(name, values), progress)
        return found

    @torch.no_grad()
    def finish(self, train: Batch, validation: Batch) -> None:
        """Let every node without hidden causes settle what the held-out units decide."""
        train, validation = completed(self, train.evened()), completed(self, validation.evened())
        for name, node in self.nodes.items():
            if any(cause in self.cliques for cause in self._causes[name]):
                continue
            seen, unseen = (batch[self._telling(name, batch)].values for batch in (train, validation))
            if len(unseen[name]) > 1:
                node.finish(seen[name], self._parents(name, seen), unseen[name], self._parents(name, unseen))


def _constant(name: str, value: Tensor) -> str:
    if not len(value):
        return (
            f"no row shows how variable {name!r} answers to its parents: it is set from outside, or it or a parent is "
            f"missing, in all of them. Give some rows of observations."
        )
    shown = f" ({value[0].item()})" if value[0].numel() == 1 else ""
    return (
        f"variable {name!r} is constant{shown} in the training data, so that nothing can be learned about its causes "
        f"or effects. Leave it out of the graph."
    )


def _from_prior(part: Callable[..., object], name: str, *inputs: Values) -> Tensor:
    """The value of a part of the model on noise drawn from its prior; only the noise is seen from outside."""
    with poutine.block(hide_fn=lambda site: role(site) != "exogenous"), Exogenize():
        return cast(Tensor, part(name, *inputs))
