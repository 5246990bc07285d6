"""How much of what a world asks of a learned model's mechanisms lies outside the joint support of their causes."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from causal_pyro_models.data.batches import Batch, Values
from causal_pyro_models.data.labels import Label
from causal_pyro_models.data.variables import Continuous, Count, Ordinal, Positive
from causal_pyro_models.errors import ModelError
from causal_pyro_models.models.missing import completed
from causal_pyro_models.models.neighbours import JUDGED, Neighbours
from causal_pyro_models.models.networks.features import encoded
from causal_pyro_models.models.structural import StructuralCausalModel

RAREST = 0.0025  # share of rows whose own density, given their causes, counts as none
LEAST_ROWS = 20


class DataSupport(nn.Module):
    """The support of the causes of some variables, and the density below which a variable has next to no rows.

    Args:
        shapes: size of the sample and number of features, by the name of the variable.
    """

    rarest: Tensor

    def __init__(self, shapes: Mapping[str, tuple[int, int]]) -> None:
        super().__init__()
        self.names = tuple(shapes)
        self._parts = nn.ModuleList(Neighbours(*shape) for shape in shapes.values())
        self.register_buffer("rarest", torch.full((len(shapes),), -torch.inf))

    @property
    def neighbours(self) -> dict[str, Neighbours]:
        """The rows of the causes of each variable."""
        return dict(zip(self.names, cast("list[Neighbours]", list(self._parts)), strict=True))

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """What it was built with."""
        return {name: (len(part.rows), len(part.center)) for name, part in self.neighbours.items()}

    def lowest(self, name: str) -> float:
        """The log density of a variable given its causes that few rows are below; minus infinity where it has none."""
        return float(self.rarest[self.names.index(name)]) if name in self.names else -math.inf


def support_of(model: StructuralCausalModel) -> DataSupport | None:
    """Where the data are that the model was trained on; None where it was not trained."""
    return cast("DataSupport | None", model.support)


@torch.no_grad()
def remember(model: StructuralCausalModel, train: Batch, held_out: Batch) -> None:
    """Keep with the model where the data are that it was trained on.

    Args:
        model: the model at the end of its training.
        train, held_out: the units, as the nodes see them and in random order.
    """
    parts = [completed(model, part[torch.arange(min(len(part), JUDGED))]) for part in (train, held_out)]
    joined = {name: torch.cat([part.values[name] for part in parts]) for name in model.variables}
    found, rarest = {}, []
    for name in model.graph.topological_order:
        told = torch.cat([model._telling(name, part) for part in parts])
        if not model.graph.parents(name) or int(told.sum()) < LEAST_ROWS:
            continue
        values = {variable: value[told] for variable, value in joined.items()}
        found[name] = Neighbours.of(_features(model, name, values))
        rarest.append(_rarest(model, name, values))
    support = DataSupport({name: (len(part.rows), len(part.center)) for name, part in found.items()})
    support._parts = nn.ModuleList(found.values())
    support.rarest = torch.stack(rarest) if rarest else support.rarest
    model.support = support


def outside(
    model: StructuralCausalModel,
    values: Values,
    do: Collection[str],
    outcomes: Collection[str] | None = None,
    density: bool = True,
) -> dict[str, Tensor]:
    """Which units of a world ask a mechanism for what its data do not show.

    Asked are the mechanisms that an intervention changes the causes of. Outside of their joint support are causes that
    lie far from all rows, and those of which one was set to what the model itself gives next to no density, given the
    others.

    Args:
        model: a trained model.
        values: of all variables in the world, ``(units, *event)``.
        do: the variables that are set.
        outcomes: what is asked about; None for all variables.
        density: whether to look at the density, too.

    Returns:
        Mechanism to ``(units,)``.
    """
    support = support_of(model)
    if support is None:
        return {}
    values, neighbours = model.scaled(values), support.neighbours
    rare = {name: _is_rare(model, support, name, values) if density else None for name in do}
    found = {}
    for name in asked(model, do, outcomes):
        if name not in neighbours:
            continue
        far = neighbours[name].outside(_features(model, name, values))
        parents = set(model.graph.parents(name))
        for cause in parents & set(do):
            if (unlikely := rare[cause]) is not None and parents.issuperset(model.graph.parents(cause)):
                far = far | unlikely
        found[name] = far
    return found


def asked(model: StructuralCausalModel, do: Collection[str], outcomes: Collection[str] | None = None) -> list[str]:
    """The variables, not set themselves, that an intervention reaches on the way to some outcomes."""
    graph, reached = model.graph, set(do)
    for name in graph.topological_order:
        if reached.intersection(graph.parents(name)):
            reached.add(name)
    if outcomes is not None:
        reached &= set(outcomes).union(*(graph.ancestors(name) for name in outcomes))
    return [name for name in graph.topological_order if name in reached and name not in do]


def nearest(model: StructuralCausalModel, values: Values, do: Collection[str]) -> dict[str, Label]:
    """The value of the data that is nearest to one that a variable was set to beyond them, to two digits of its spread.

    Of an ordinal variable it is the label of a level.

    Args:
        model, values, do: see :func:`outside`.
    """
    support = support_of(model)
    found: dict[str, Label] = {}
    scaled = model.scaled({name: values[name] for name in do})
    for name in do if support is not None else ():
        kind = model.variables[name]
        if kind.event_shape or not isinstance(kind, Continuous | Positive | Count | Ordinal):
            continue
        given = kind.features(name, scaled[name]).reshape(-1)
        for child, part in cast(DataSupport, support).neighbours.items():
            if name in model.graph.parents(child):
                column = _columns(model, child)[name][0]
                low, high, spread = part.low[column], part.high[column], part.spread[column]
                beyond = given[(given < low) | (given > high)]
                if len(beyond):
                    end = beyond.median().clamp(low, high)
                    ends = torch.stack([end, end + spread])
                    ends = model.scales.unscaled({name: ends.exp() if isinstance(kind, Positive) else ends})[name]
                    shown, further = ends.tolist()
                    if isinstance(kind, Ordinal):
                        found[name] = kind.labels[round(shown)]
                        continue
                    found[name] = round(shown, 1 - math.floor(math.log10(abs(further - shown) or 1.0)))
    return found


def _columns(model: StructuralCausalModel, name: str) -> dict[str, tuple[int, int]]:
    """The features of each cause of a variable: their first column, and the one behind the last."""
    parents = model.graph.parents(name)
    ends = [0]
    for parent in parents:
        ends.append(ends[-1] + model.variables[parent].width)
    return dict(zip(parents, pairwise(ends), strict=True))


def _features(model: StructuralCausalModel, name: str, values: Values) -> Tensor:
    """The features of the causes of a variable, as the nodes see them, ``(units, width)``."""
    like = next(model.parameters(), torch.empty(()))
    return encoded({parent: model.variables[parent] for parent in model.graph.parents(name)}, values, like.dtype)


def _densities(model: StructuralCausalModel, name: str, values: Values) -> Tensor | None:
    """The log density of a real variable given its causes; None where that is not known."""
    hidden = any(name in members for members in model.cliques.values())
    if hidden or not isinstance(model.variables[name], Continuous | Positive):
        return None
    try:
        return model.nodes[name].log_prob(values[name], model._parents(name, values))
    except ModelError:  # a node with latents of its own
        return None


def _rarest(model: StructuralCausalModel, name: str, values: Values) -> Tensor:
    densities = _densities(model, name, values)
    if densities is None:
        return next(model.parameters()).new_tensor(-torch.inf)
    return densities.sort().values[int(RAREST * (len(densities) + 1))]


def _is_rare(model: StructuralCausalModel, support: DataSupport, name: str, values: Values) -> Tensor | None:
    """Which units a variable was set to a value that it has next to never, given its causes."""
    lowest = support.lowest(name)
    densities = None if math.isinf(lowest) else _densities(model, name, values)
    return None if densities is None else ~(densities >= lowest)
