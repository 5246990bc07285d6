"""Values that a real variable takes again and again, found in its data, and how likely its parents make them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn

from causal_pyro_models.data.batches import Values
from causal_pyro_models.data.variables import Categorical, Variable
from causal_pyro_models.models.networks.functions import least_squares
from causal_pyro_models.models.nodes.discrete import CategoricalNode
from causal_pyro_models.scm.mechanisms.atoms import SMALLEST, Atomic, Censored, atom_of, censored

FEWEST = 20  # units at an atom, and distinct values that are none, without which the variable is a discrete one
SMALLEST_SHARE = 0.02  # of the units, at an atom
OFTEN = 5  # times as often as any value that is no atom
MOST = 5  # atoms of a variable
EM_STEPS = 30  # that complete censored values
NEAR, FILLED = 0.1, 0.5  # of the median distance to an atom; and of an even density, that near units must have


def find_atoms(value: Tensor) -> Tensor:
    """The values that stand out by how often they occur in ``(units,)``, in rising order; rounded numbers do not.

    Example:
        >>> find_atoms(torch.cat([torch.zeros(30), torch.linspace(1, 2, 100)]))
        tensor([0.])
        >>> find_atoms(torch.arange(1000.0) % 40)
        tensor([])
    """
    distinct, counts = value.unique(return_counts=True)
    often, order = counts.sort(descending=True)
    found = 0
    for i in range(1, min(MOST, len(often) - FEWEST) + 1):
        if often[i - 1] >= max(FEWEST, SMALLEST_SHARE * len(value)) and often[i - 1] >= OFTEN * often[i]:
            found = i
    atoms: Tensor = distinct[order[:found]].sort().values
    return atoms


def edge_of(value: Tensor, atoms: Tensor) -> int:
    """Where the other values go on from a single atom without a gap: 1 for upwards, -1 for downwards, 0 for neither.

    Example:
        >>> edge_of(torch.cat([torch.zeros(30), torch.linspace(0, 2, 100)]), torch.zeros(1))
        1
        >>> edge_of(torch.cat([torch.zeros(30), torch.linspace(1, 2, 100)]), torch.zeros(1))
        0
    """
    if len(atoms) != 1:
        return 0
    away = value[value != atoms] - atoms
    sign = 1 if bool((away > 0).all()) else -1 if bool((away < 0).all()) else 0
    near = (away.abs() < NEAR * away.abs().median()).double().mean()
    return sign if near >= FILLED * NEAR / 2.0 else 0


class Atoms(nn.Module):
    """The atoms of a variable: its edge, or values that a gate, which is a function of the parents, chooses.

    Args:
        places: their values ``(atoms,)``.
        edge: see :func:`edge_of`.
        parents: the parents' kinds, by name.
        hidden: widths of the gate's hidden layers.
    """

    places: Tensor
    edge: Tensor

    def __init__(self, places: Tensor, edge: Tensor, parents: Mapping[str, Variable], hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("places", places)
        self.register_buffer("edge", edge)
        self.gate: CategoricalNode | None = None
        if not int(edge):
            self.gate = CategoricalNode(Categorical(len(places) + 1), hidden)
            self.gate.connect(parents)
        self.to(places)

    def among(self, value: Tensor) -> Tensor:
        """Which atom each value is, from 1; 0 for none."""
        return atom_of(value, self.places)

    def law(self, base: Any, parents: Values) -> TorchDistributionMixin:
        """The law of the variable whose continuous part is ``base``."""
        if self.gate is None:
            return Censored(base, self.places[0], int(self.edge))
        return Atomic(self.gate.distribution(parents), self.places, base)

    def log_prob(self, density: Tensor, value: Tensor, parents: Values, noise: Callable[[Tensor], Tensor]) -> Tensor:
        """Log density of values.

        Args:
            density: log density of the continuous part.
            value: where that is.
            parents: the parents' values.
            noise: of a value of the continuous part.
        """
        if self.gate is None:
            return censored(density, value, self.places[0], int(self.edge), noise(self.places[0]))
        part = self.among(value)
        return self.gate.log_prob(part, parents) + density.masked_fill(part > 0, 0.0)


def uncensored(line: Tensor, features: Tensor, edge: int) -> Tensor:
    """Values ``(units,)`` with draws of a linear Gaussian law in place of those at the edge, by stochastic EM.

    Args:
        line: the values, of which those at the edge are the smallest (``edge`` 1) or the largest (-1).
        features: ``(units, width)``.
        edge: see :func:`edge_of`.

    References:
        J. Tobin (1958). Estimation of relationships for limited dependent variables. Econometrica 26.
    """
    atom = line.min() if edge > 0 else line.max()
    at, found = line == atom, line.double()
    columns = torch.cat([torch.ones_like(found).unsqueeze(-1), features.double()], -1)
    for _ in range(EM_STEPS):
        location = columns @ least_squares(columns, found.unsqueeze(-1)).squeeze(-1)
        scale = (found - location).std()
        share = torch.rand_like(found).clamp_min(2.0**-54)
        log_beyond = torch.special.log_ndtr(edge * (atom - location) / scale)
        drawn = location + edge * scale * torch.special.ndtri((log_beyond.exp() * share).clamp_min(SMALLEST))
        found = torch.where(at, drawn, found)
    return found.to(line)


def atoms_in(state: Mapping[str, Any], prefix: str, parents: Mapping[str, Variable], hidden: tuple[int, ...]) -> Any:
    """The atoms whose tensors stand under a prefix in a state; None where there are none."""
    places, edge = (state.get(f"{prefix}atoms.{name}") for name in ("places", "edge"))
    if places is None or edge is None:
        return None
    return Atoms(places.detach().clone(), edge.detach().clone(), parents, hidden)
