"""Values that are missing at random: latent, with an amortised guide that fills them in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from causal_pyro_models.data.batches import Batch, Values
from causal_pyro_models.data.variables import Continuous, Variable
from causal_pyro_models.errors import ModelError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models.networks.preparation import Prepare, unprepared
from causal_pyro_models.models.networks.scalar_flow import Spline
from causal_pyro_models.models.node import Node, node_for

DRAWS = 8  # of the missing values of a unit, at every step of a training
RESAMPLED = 32  # of which one is chosen, where a single completed table is needed
HIDDEN = (32, 32)
MIN_ROWS = 20  # to start a proposal from
GUIDE = "missing values"  # the term of the loss that trains the guide


class Imputer(nn.Module):
    """An approximate posterior of the missing values of a unit given the others.

    Missing values are drawn one variable after the other, each from a conditional distribution given all that is
    observed and all that was drawn before. A value that is missing still is shown as a constant beside an indicator.

    Args:
        variables: the kinds of all variables.
        names: the variables that may be missing, in the order in which they are drawn.

    Raises:
        ModelError: there is no distribution for a kind of variable.
    """

    def __init__(self, variables: Mapping[str, Variable], names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        proposals = []
        for i, name in enumerate(self.names):
            others = {other: kind for other, kind in variables.items() if other != name}
            try:
                node = node_for(variables[name], Spline(), HIDDEN)
            except ModelError as error:
                raise ModelError(f"{name!r} has missing values, which a variable of its kind cannot have.") from error
            node.connect({**others, **{_indicator(later): Continuous() for later in self.names[i + 1 :]}})
            proposals.append(node)
        self._proposals = nn.ModuleList(proposals)
        for i, name in enumerate(self.names):
            self.register_buffer(f"_stand_in_{i}", torch.zeros(variables[name].event_shape))

    @property
    def proposals(self) -> dict[str, Node]:
        """The distribution of each missing variable given the others."""
        return dict(zip(self.names, cast("list[Node]", list(self._proposals)), strict=True))

    def inputs(self, name: str, values: Values, missing: Values) -> dict[str, Tensor]:
        """What the proposal of a variable sees, with all variables before it complete."""
        place = self.names.index(name)
        inputs = {other: value for other, value in values.items() if other != name}
        like = next(self.parameters())
        for i, later in enumerate(self.names[place + 1 :], place + 1):
            value = values[later]
            stand_in = getattr(self, f"_stand_in_{i}").to(value.dtype)
            absent = missing.get(later, torch.zeros((), dtype=torch.bool, device=value.device))
            inputs[later] = torch.where(_over_events(absent, stand_in), stand_in, value)
            inputs[_indicator(later)] = absent.to(like.dtype).expand(value.shape[: value.dim() - stand_in.dim()])
        return inputs

    @torch.no_grad()
    def draw(self, values: Values, missing: Values, draws: int) -> dict[str, Tensor]:
        """Completed values ``(draws, units, *event)``, the observed ones unchanged."""
        filled = {name: value.expand(draws, *value.shape) for name, value in values.items()}
        for name, node in self.proposals.items():
            if name in missing:
                drawn = node.distribution(self.inputs(name, filled, missing)).sample()
                filled[name] = torch.where(
                    _over_events(missing[name], drawn[0, 0]), drawn.to(values[name]), filled[name]
                )
        return filled

    def log_prob(self, values: Values, missing: Values, drawn: Values | None = None) -> Tensor:
        """Log density of the missing values ``(..., units)`` in completed ones.

        Args:
            values: completed.
            missing: which values are missing.
            drawn: which of them come from this distribution; all where None.
        """
        drawn = missing if drawn is None else drawn
        terms = [
            node.log_prob(values[name], self.inputs(name, values, missing)).masked_fill(~drawn[name], 0.0)
            for name, node in self.proposals.items()
            if name in drawn
        ]
        return reduce(torch.add, terms)

    @torch.no_grad()
    def initialise(self, batch: Batch, prepare: Prepare = unprepared) -> None:
        """Start afresh, from the rows that show how each variable goes with the others."""
        for i, (name, node) in enumerate(self.proposals.items()):
            self.get_buffer(f"_stand_in_{i}").copy_(batch.values[name][~batch.missing[name]][0])
            rows = batch[batch.intact(*self.names[: i + 1])]
            value = rows.values[name]
            if len(rows) >= MIN_ROWS and not bool((value == value[0]).all()):
                node.start(value, self.inputs(name, rows.values, rows.missing), prepare)


class Incomplete(Protocol):
    """A model of data that miss values: a ``StructuralCausalModel``.

    Attributes:
        imputer: the guide for missing values; None where there are none.
        graph: the causal graph.
    """

    imputer: Imputer | None
    graph: CausalGraph

    @property
    def nodes(self) -> dict[str, Node]:
        """The node of each variable."""

    @property
    def imputes_by_itself(self) -> bool:
        """Whether every variable has a density given its parents, which can be drawn from."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """What is trained."""

    def unit_losses(
        self, values: Values, intervened: Values, progress: float, *, pointwise: bool = False
    ) -> dict[str, Tensor]:
        """The loss of each unit and variable where values are complete; see ``StructuralCausalModel``."""


def bound(model: Incomplete, batch: Batch, progress: float) -> dict[str, Tensor]:
    """The mean loss of each variable where some values are missing at random, in units with weights.

    The terms sum to minus an importance-weighted bound on the log-likelihood of what is observed. Their gradient is the
    bound's for the model; for the guide it is that of the wake phase, which keeps the proposal wide enough and takes
    discrete variables as they are.

    Args:
        model: a model with an imputer.
        batch: the units.
        progress: the share of the training that is done.

    References:
        Y. Burda, R. Grosse, R. Salakhutdinov (2016). Importance weighted autoencoders. ICLR, equation 8.
        J. Bornschein, Y. Bengio (2015). Reweighted wake-sleep. ICLR, equations 4 and 6.
        P.-A. Mattei, J. Frellsen (2019). MIWAE: deep generative modelling and imputation of incomplete data. ICML.
    """
    absent = torch.stack(list(batch.missing.values())).any(0)
    weight = torch.ones_like(absent, dtype=next(model.parameters()).dtype) if batch.weight is None else batch.weight
    weight = weight / weight.sum()
    parts = []
    if not bool(absent.all()):
        whole = batch[~absent]
        parts.append((weight[~absent], model.unit_losses(whole.values, whole.intervened, progress)))
    if bool(absent.any()):
        parts.append((weight[absent], _incomplete(model, batch[absent], progress)))
    names = dict.fromkeys(name for _, losses in parts for name in losses)
    return {n: reduce(torch.add, [(w * losses[n]).sum() for w, losses in parts if n in losses]) for n in names}


def _incomplete(model: Incomplete, batch: Batch, progress: float) -> dict[str, Tensor]:
    """The terms of :func:`bound` for each of some units that miss something."""
    _, log_weights, losses, log_q = _proposed(model, batch, progress, DRAWS)
    share = log_weights.detach().softmax(0)
    terms = {name: (share * loss).sum(0) for name, loss in losses.items()}
    value = math.log(DRAWS) - log_weights.detach().logsumexp(0)
    wake = -(share * log_q).sum(0)
    terms[GUIDE] = value - reduce(torch.add, terms.values()).detach() + wake - wake.detach()
    return terms


def _proposed(
    model: Incomplete, batch: Batch, progress: float, draws: int
) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor], Tensor]:
    """Completed values, their log importance weights, and what these are made of, ``(draws, units)`` each."""
    imputer = cast(Imputer, model.imputer)
    filled = imputer.draw(batch.values, batch.missing, draws)
    losses = model.unit_losses(filled, batch.intervened, progress, pointwise=True)
    log_q = imputer.log_prob(filled, batch.missing)
    return filled, -reduce(torch.add, losses.values()) - log_q, losses, log_q


@torch.no_grad()
def proposed(model: Incomplete, batch: Batch, draws: int) -> tuple[dict[str, Tensor], Tensor]:
    """Completed values ``(draws, units, *event)``, and their log importance weights ``(draws, units)``.

    A missing value with nothing observed below it is drawn from the model's own conditional, given its parents. Half of
    the others come from the guide and half from their parents likewise, and weights are those of the mixture, so that
    where a density of the evidence is bounded the weights are, however narrow the guide is. Where the model has hidden
    causes or latents, its conditionals are no densities, and all come from the guide.

    References:
        T. Hesterberg (1995). Weighted average importance sampling and defensive mixture distributions. Technometrics.
    """
    imputer, own = model.imputer, model.imputes_by_itself
    leaf = leaves(model.graph, batch.missing) if own else {}
    rest = {name: mask & ~leaf[name] if name in leaf else mask for name, mask in batch.missing.items()}
    rest = {name: mask for name, mask in rest.items() if bool(mask.any())}
    if not rest:
        filled = _filled(model, batch, draws, {})
        return filled, torch.full((draws, len(batch)), -math.log(draws))
    guided = draws if not own else (draws + 1) // 2
    parts = [_filled(model, batch, guided, rest), _filled(model, batch, draws - guided, {})]
    filled = {name: torch.cat([part[name] for part in parts]) for name in batch.values}
    losses = model.unit_losses(filled, batch.intervened, 1.0, pointwise=True)
    log_p = -reduce(torch.add, (_without(loss, leaf.get(name)) for name, loss in losses.items()))
    log_q = cast(Imputer, imputer).log_prob(filled, batch.missing, rest)
    if own:
        log_r = -reduce(torch.add, (losses[name].masked_fill(~mask, 0.0) for name, mask in rest.items()))
        log_q = torch.logaddexp(log_q + math.log(guided / draws), log_r + _log(1 - guided / draws))
    return filled, log_p - log_q


def leaves(graph: CausalGraph, missing: Values) -> dict[str, Tensor]:
    """Where a value is missing and so is all below it, ``(units,)`` by variable."""
    found: dict[str, Tensor] = {}
    for name in reversed(graph.topological_order):
        if name in missing:
            below = (found.get(child, torch.zeros_like(missing[name])) for child in graph.children(name))
            found[name] = reduce(torch.logical_and, below, missing[name])
    return found


def _filled(model: Incomplete, batch: Batch, draws: int, guided: Values) -> dict[str, Tensor]:
    """Completed values: where ``guided`` drawn from the guide, elsewhere from the model given the parents."""
    filled = {name: value.expand(draws, *value.shape) for name, value in batch.values.items()}
    for name in model.graph.topological_order:
        if name not in batch.missing or not draws:
            continue
        sources = {}
        if name in guided:
            proposal = cast(Imputer, model.imputer).proposals[name]
            inputs = cast(Imputer, model.imputer).inputs(name, filled, batch.missing)
            sources[proposal, guided[name]] = inputs
        by_itself = batch.missing[name] & ~guided[name] if name in guided else batch.missing[name]
        if bool(by_itself.any()):
            sources[model.nodes[name], by_itself] = {p: filled[p] for p in model.graph.parents(name)}
        for (node, mask), inputs in sources.items():
            drawn = node.distribution(inputs).expand(torch.Size((draws, len(batch)))).sample()
            filled[name] = torch.where(_over_events(mask, drawn[0, 0]), drawn.to(filled[name]), filled[name])
    return filled


def _without(loss: Tensor, mask: Tensor | None) -> Tensor:
    return loss if mask is None else loss.masked_fill(mask, 0.0)


def _log(share: float) -> float:
    return math.log(share) if share else -math.inf


@torch.no_grad()
def completed(model: Incomplete, batch: Batch) -> Batch:
    """The batch with one draw from the posterior of its missing values in their place."""
    if not batch.missing:
        return batch
    filled, log_weights = proposed(model, batch, RESAMPLED)
    chosen = torch.distributions.Categorical(logits=log_weights.nan_to_num(nan=-torch.inf).T).sample()
    units = torch.arange(len(batch), device=chosen.device)
    return Batch({name: value[chosen, units] for name, value in filled.items()}, batch.intervened, {}, batch.weight)


def _indicator(name: str) -> str:
    return f"missing({name})"


def _over_events(mask: Tensor, event: Tensor) -> Tensor:
    """A mask ``(units,)`` with dimensions for the events."""
    return mask.reshape(mask.shape + (1,) * event.dim())
