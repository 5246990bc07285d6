"""Enumeration of a discrete structural causal model in several worlds on the same noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from causal_pyro_models.arrays import Array, Ints
from causal_pyro_models.errors import CausalError, EvidenceError, InterventionError, QueryError
from causal_pyro_models.scm.handlers.interventions import Do, Potential
from causal_pyro_models.scm.zoo.base import finite
from causal_pyro_models.scm.zoo.coupling import Coupling

InWorld = tuple[int, str]  # the number of a world, and one of its variables
LARGEST = 2**24


@dataclass
class TwinNetwork:
    """The joint states of several worlds and their weights, grown variable by variable.

    The noise of the variables is independent, so given the parents in every world the values of a variable in all
    worlds follow its coupling. States without weight or against the evidence go at once, and so do the columns that
    nothing needs any more: this is variable elimination along the topological order.

    Args:
        parents: variable -> its parents, in topological order of the variables.
        tables: variable -> probabilities, of shape (states of each parent, own states).
        coupling: how a variable responds to several configurations of its parents.

    References:
        Balke and Pearl (1994), Probabilistic evaluation of counterfactual queries; Pearl (2009), section 7.1.4.
    """

    parents: Mapping[str, Sequence[str]]
    tables: Mapping[str, Array]
    coupling: Coupling
    worlds: list[dict[str, Any]] = field(default_factory=list)  # variable -> state, map from natural state, or source
    columns: dict[InWorld, Ints] = field(default_factory=dict)
    weights: Array = field(default_factory=lambda: np.ones(1))

    def add_world(self, do: Do) -> int:
        """Add a world, and those that its potential outcomes refer to; returns its number."""
        number = len(self.worlds)
        self.worlds.append({})
        self.worlds[number] = {name: self._resolve(name, value) for name, value in do.items()}
        return number

    def enumerate(self, keep: Sequence[InWorld], evidence: Mapping[InWorld, int]) -> tuple[Ints, Array]:
        """The states of the variables to keep, (n, kept), with P(state, evidence), (n,).

        Raises:
            EvidenceError: the evidence has probability zero.
        """
        order = list(self.parents)
        for i, name in enumerate(order):
            self._grow(name)
            for variable, state in evidence.items():
                if variable[1] == name:
                    self._select(np.flatnonzero(self.columns[variable] == state))
            if not len(self.weights):
                seen = ", ".join(f"{variable[1]} = {state}" for variable, state in evidence.items())
                raise EvidenceError(f"the evidence {seen} has probability zero under the model.")
            self._forget({*keep, *self._needed(order[i + 1 :])})
            if len(self.weights) > LARGEST:
                raise QueryError(f"more than {LARGEST} joint states at {name!r}: keep fewer variables or worlds.")
        return self._merge(keep)

    def _resolve(self, name: str, value: Any) -> int | Ints | InWorld:
        states = self.tables[name].shape[-1]
        if isinstance(value, Potential):
            order = list(self.parents)
            if order.index(value.name) > order.index(name) or self.tables[value.name].shape[-1] != states:
                raise InterventionError(
                    f"{name!r} cannot be set to a potential value of {value.name!r}: it comes later in the topological "
                    f"order, or has another number of states."
                )
            return self.add_world(value.do), value.name
        if callable(value):
            natural = torch.arange(states, dtype=torch.get_default_dtype() if states == 2 else torch.long)
            mapped = np.broadcast_to(finite(name, value(natural), InterventionError), (states,))
            return np.array([as_state(name, x, states, InterventionError) for x in mapped])
        return as_state(name, value, states, InterventionError)

    def _needed(self, later: Sequence[str]) -> set[InWorld]:
        parents = {parent for name in later for parent in self.parents[name]}
        sources = {do[name] for do in self.worlds for name in later if isinstance(do.get(name), tuple)}
        return {(w, parent) for w in range(len(self.worlds)) for parent in parents} | sources

    def _grow(self, name: str) -> None:
        """Add the columns of one variable in all worlds; the nested worlds come after those that refer to them."""
        natural = [w for w, do in enumerate(self.worlds) if not isinstance(do.get(name), int | tuple)]
        if natural:
            self._respond(name, natural)
        for w in reversed(range(len(self.worlds))):
            match self.worlds[w].get(name):
                case int(state):
                    self.columns[w, name] = np.full(len(self.weights), state)
                case tuple(source):
                    self.columns[w, name] = self.columns[source]
                case np.ndarray() as mapped:
                    self.columns[w, name] = mapped[self.columns[w, name]]

    def _respond(self, name: str, worlds: Sequence[int]) -> None:
        """Split every state by the natural values of a variable in some worlds, in proportion to their coupling."""
        table, parents = self.tables[name], self.parents[name]
        rows = table.reshape(-1, table.shape[-1])
        configurations = np.zeros((len(self.weights), len(worlds)), dtype=np.int64)
        for parent, size in zip(parents, table.shape[:-1], strict=True):
            configurations = configurations * size + np.stack([self.columns[w, parent] for w in worlds], axis=1)
        same = (configurations[:, :, None] == configurations[:, None, :]).argmax(2)  # first world of equal parents
        patterns, which = np.unique(same, axis=0, return_inverse=True)
        chosen, values, shares = [], [], []
        for i, pattern in enumerate(patterns):
            members, distinct = np.flatnonzero(which.ravel() == i), np.unique(pattern)
            joint = self.coupling.joint([rows[configurations[members, first]] for first in distinct])
            hits = np.nonzero(joint)
            chosen.append(members[hits[0]])
            values.append(np.stack(hits[1:], axis=1)[:, np.searchsorted(distinct, pattern)])
            shares.append(joint[hits])
        self._select(np.concatenate(chosen))
        self.weights = self.weights * np.concatenate(shares)
        self.columns |= {(w, name): column for w, column in zip(worlds, np.concatenate(values).T, strict=True)}

    def _select(self, rows: NDArray[np.intp]) -> None:
        self.columns = {variable: column[rows] for variable, column in self.columns.items()}
        self.weights = self.weights[rows]

    def _forget(self, needed: set[InWorld]) -> None:
        """Sum out the columns that are not needed any more."""
        kept = [variable for variable in self.columns if variable in needed]
        if len(kept) < len(self.columns):
            states, self.weights = self._merge(kept)
            self.columns = dict(zip(kept, states.T, strict=True))

    def _merge(self, kept: Sequence[InWorld]) -> tuple[Ints, Array]:
        columns = [self.columns[variable] for variable in kept]
        states = np.stack(columns, axis=1) if columns else np.zeros((len(self.weights), 0), dtype=np.int64)
        return merged(states, self.weights)


def merged(states: Ints, weights: Array) -> tuple[Ints, Array]:
    """Equal rows of states as one, with the sum of their weights."""
    if states.shape[1] == 0:
        return states[:1], weights.sum(keepdims=True)
    distinct, which = np.unique(states, axis=0, return_inverse=True)
    return distinct, np.bincount(which.ravel(), weights=weights).astype(np.float64)


def as_state(name: str, value: Any, states: int, error: type[CausalError]) -> int:
    """A value of a variable as one of the states 0, 1, ..., or ``error`` naming the variable."""
    array = finite(name, value, error)
    if array.size != 1 or not 0 <= (number := array.item()) < states or number != int(number):
        raise error(f"variable {name!r} was given {value!r}, expected one of its states 0 to {states - 1}.")
    return int(number)
