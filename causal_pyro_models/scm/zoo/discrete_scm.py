"""Discrete structural causal models, solved by enumeration at all three levels."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from numpy.typing import NDArray

from causal_pyro_models.arrays import Array, Ints
from causal_pyro_models.errors import EvidenceError, ModelError, unknown_variable
from causal_pyro_models.identification import JointTable
from causal_pyro_models.scm.handlers.interventions import Do, Treatment
from causal_pyro_models.scm.zoo.base import K, SolvedSCM, finite
from causal_pyro_models.scm.zoo.coupling import GUMBEL_MAX, Coupling
from causal_pyro_models.scm.zoo.twin_network import TwinNetwork, as_state, merged


@dataclass(frozen=True, eq=False)
class DiscreteLaw:
    """A joint law of finite variables, as the list of the states that have positive probability.

    Attributes:
        names: the d variables.
        states: (n, d), every row once.
        probabilities: (n,), summing to one.

    Example:
        >>> law = DiscreteLaw(("X", "Y"), np.array([[0, 0], [1, 0], [1, 1]]), np.array([0.5, 0.1, 0.4]))
        >>> law.probability({"Y": 1}), round(law.condition({"X": 1}).probability({"Y": 1}), 6)
        (0.4, 0.8)
    """

    names: tuple[Any, ...]
    states: Ints
    probabilities: Array

    def column(self, name: Hashable) -> Ints:
        """The values of one variable, one for each state."""
        if name not in self.names:
            raise unknown_variable(name, self.names)
        column: Ints = self.states[:, self.names.index(name)]
        return column

    def expectation(self, name: Hashable) -> float:
        """The mean of one variable, its categories read as the numbers 0, 1, ..."""
        return float(self.probabilities @ self.column(name))

    def probability(self, event: Mapping[Any, Any]) -> float:
        """The probability that the variables of the event take the values given."""
        return float(self.probabilities[self._matching(event)].sum())

    def marginal(self, names: Iterable[Hashable]) -> "DiscreteLaw":
        """The joint law of some of the variables, in the order given."""
        kept = tuple(names)
        columns = [self.column(name) for name in kept]
        states = np.stack(columns, axis=1) if columns else np.zeros((len(self.states), 0), dtype=np.int64)
        return DiscreteLaw(kept, *merged(states, self.probabilities))

    def condition(self, evidence: Mapping[Any, Any]) -> "DiscreteLaw":
        """The law of all variables given the values of some.

        Raises:
            EvidenceError: the evidence has probability zero.
        """
        match = self._matching(evidence)
        if not (total := self.probabilities[match].sum()) > 0:
            seen = ", ".join(f"{name} = {value}" for name, value in evidence.items())
            raise EvidenceError(f"the evidence {seen} has probability zero under the model.")
        return DiscreteLaw(self.names, self.states[match], self.probabilities[match] / total)

    def to_table(self) -> JointTable:
        """The law as an array with an axis for each variable.

        Example:
            >>> DiscreteLaw(("X",), np.array([[0], [1]]), np.array([0.25, 0.75])).to_table().probabilities
            array([0.25, 0.75])
        """
        probabilities = np.zeros(self.states.max(0) + 1)
        probabilities[tuple(self.states.T)] = self.probabilities
        return JointTable(self.names, probabilities)

    def _matching(self, event: Mapping[Any, Any]) -> NDArray[np.bool_]:
        match = np.ones(len(self.states), dtype=bool)
        for name, value in event.items():
            match &= self.column(name) == finite(name, value, EvidenceError)
        return match


def _check_pairs(tables: Any) -> None:
    """Refuse tables that are not in the form of a dict to pairs."""
    if not isinstance(tables, Mapping):
        raise ModelError(f"tables must be a dict from variable to (parents, probabilities), got {tables!r:.80}.")
    for name, entry in tables.items():
        if not isinstance(entry, tuple | list) or len(entry) != 2 or not isinstance(entry[0], tuple | list):
            raise ModelError(
                f"the table of {name!r} must be a pair (parents, probabilities), such as ((), [0.5, 0.5]), got "
                f"{entry!r:.80}."
            )


class DiscreteSCM(SolvedSCM[DiscreteLaw, float]):
    """Finite variables with conditional probability tables: a Pyro model of Bernoulli and Categorical sites, solved.

    Values are 0, 1, .... Worlds share the noise of each variable, which the coupling describes; the law over several
    worlds is enumerated variable by variable, in the twin network of all worlds asked about. An intervention may be a
    number, a function of the natural value, or ``potential(...)``.

    Args:
        tables: variable -> (parents, probabilities), the latter of shape (states of each parent in turn, own states).
        latent: the hidden variables.
        coupling: noise of the variables: ``GUMBEL_MAX`` or ``QUANTILE``; they differ from three categories on.

    Raises:
        GraphError: the parents form a cycle.
        UnknownVariableError: a parent or a latent variable without a table.
        ModelError: a table that has the wrong shape, or a row that is not a distribution.

    References:
        Pearl (2009), Causality, section 7.1.4 (twin networks); Balke and Pearl (1994), Probabilistic evaluation of
        counterfactual queries.

    Example:
        >>> scm = DiscreteSCM({"X": ((), [0.4, 0.6]), "Y": (("X",), [[0.7, 0.3], [0.2, 0.8]])})
        >>> scm
        DiscreteSCM(X -> Y)
        >>> scm.probability({"Y": 1}, do={"X": 1})
        0.8
        >>> round(scm.counterfactual_probability({"Y": 0}, do={"X": 0}, evidence={"X": 1, "Y": 1}), 6)  # 1 - 0.3 / 0.8
        0.625
    """

    def __init__(
        self,
        tables: Mapping[str, tuple[Sequence[str], Any]],
        latent: Iterable[str] = (),
        coupling: Coupling = GUMBEL_MAX,
    ) -> None:
        _check_pairs(tables)
        super().__init__(tuple(tables), [(p, child) for child, (ps, _) in tables.items() for p in ps], latent)
        self.coupling = coupling
        self.parents = {name: tuple(tables[name][0]) for name in self.graph.topological_order}
        self.tables = {name: finite(name, table, ModelError) for name, (_, table) in tables.items()}
        for name, table in self.tables.items():
            expected = tuple(n for parent in self.parents[name] for n in self.tables[parent].shape[-1:])
            if table.ndim == 0 or table.shape[:-1] != expected or table.shape[-1] < 2:
                raise ModelError(
                    f"the table of {name!r} has shape {table.shape}, expected {expected} for its parents "
                    f"{self.parents[name]}, then one axis for its own states, 2 or more."
                )
            if not ((table >= 0).all() and np.allclose(table.sum(-1), 1.0, rtol=0.0, atol=1e-9)):
                raise ModelError(f"the table of {name!r} has rows that are not distributions (0 or more, sum 1).")

    def __call__(self) -> dict[str, torch.Tensor]:
        """Run the Pyro program: ``Bernoulli`` at variables of two states, ``Categorical`` at those of more."""
        values: dict[str, torch.Tensor] = {}
        for name, parents in self.parents.items():
            table = torch.as_tensor(self.tables[name], dtype=torch.get_default_dtype())
            probs = table[tuple(values[parent].long() for parent in parents)]
            binary = table.shape[-1] == 2
            fn = dist.Bernoulli(probs[..., 1]) if binary else dist.Categorical(probs)
            infer: Any = {} if binary else dict(self.coupling.infer)
            values[name] = pyro.sample(name, fn, infer=infer)
        return values

    def worlds(
        self,
        worlds: Mapping[K, Do | None],
        evidence: Mapping[str, Any] | None = None,
        variables: Iterable[str] | None = None,
    ) -> DiscreteLaw:
        """The joint law of several worlds on the same noise, given evidence on the factual one.

        Args:
            worlds: name of a world -> its intervention.
            evidence: what was seen of the factual world; any subset of the variables.
            variables: those to keep (default all; fewer is faster).

        Returns:
            The law of the variables, named ``(world, variable)``.

        Raises:
            EvidenceError: the evidence has probability zero.

        Example:
            >>> scm = DiscreteSCM({"X": ((), [0.4, 0.6]), "Y": (("X",), [[0.7, 0.3], [0.2, 0.8]])})
            >>> law = scm.worlds({"treated": {"X": 1}, "control": {"X": 0}})
            >>> round(law.probability({("treated", "Y"): 1, ("control", "Y"): 0}), 6)
            0.5
        """
        self.checked_worlds(worlds)
        self.known(variables := self.variables if variables is None else tuple(variables))
        network = TwinNetwork(self.parents, self.tables, self.coupling)
        numbers = [network.add_world(self.checked_do(do)) for do in worlds.values()]
        keep = [(number, name) for number in numbers for name in variables]
        seen = self._states(evidence or {})
        factual = network.add_world({}) if seen else -1
        states, weights = network.enumerate(keep, {(factual, name): state for name, state in seen.items()})
        names = tuple((world, name) for world in worlds for name in variables)
        return DiscreteLaw(names, states, weights / weights.sum())

    def probability(
        self, event: Mapping[str, Any], do: Do | None = None, given: Mapping[str, Any] | None = None
    ) -> float:
        """P(event | do, given), all within one world.

        Args:
            event: variable -> value.
            do: the intervention, if any.
            given: variable -> value, seen in the same world as the event (after the intervention).
        """
        given = given or {}
        self.known(event)
        law = self._world(do, variables=dict.fromkeys([*event, *given]))
        return law.condition(self._states(given)).probability(self._states(event))

    def counterfactual_probability(
        self, event: Mapping[str, Any], do: Do | None, evidence: Mapping[str, Any] | None = None
    ) -> float:
        """P(event in the world ``do`` | evidence on the factual world).

        Example:
            >>> from causal_pyro_models.scm.handlers.interventions import potential
            >>> from causal_pyro_models.scm.zoo import discrete
            >>> nested = {"X": 1, "M": potential("M", do={"X": 0})}
            >>> round(discrete.mediation().counterfactual_probability({"Y": 1}, do=nested), 6)
            0.56
        """
        return self._world(do, evidence, event).probability(self._states(event))

    def pns(self, treatment: Treatment, outcome: str, evidence: Mapping[str, Any] | None = None) -> float:
        """The probability of necessity and sufficiency, P(Y_treated = 1, Y_control = 0) (Pearl 2009, definition 9.2.3).

        Args:
            treatment: variable -> (control value, treated value).
            outcome: a variable whose state 1 is the event.
            evidence: on the factual world.
        """
        control = {name: pair[0] for name, pair in treatment.items()}
        treated = {name: pair[1] for name, pair in treatment.items()}
        law = self.worlds({1: treated, 0: control}, evidence, [outcome])
        return law.probability({(1, outcome): 1, (0, outcome): 0})

    def pn(self, treatment: Treatment, outcome: str) -> float:
        """The probability of necessity, P(Y_control = 0 | X = treated, Y = 1) (Pearl 2009, definition 9.2.1)."""
        seen = {**{name: pair[1] for name, pair in treatment.items()}, outcome: 1}
        return self.counterfactual_probability({outcome: 0}, {name: pair[0] for name, pair in treatment.items()}, seen)

    def ps(self, treatment: Treatment, outcome: str) -> float:
        """The probability of sufficiency, P(Y_treated = 1 | X = control, Y = 0) (Pearl 2009, definition 9.2.2)."""
        seen = {**{name: pair[0] for name, pair in treatment.items()}, outcome: 0}
        return self.counterfactual_probability({outcome: 1}, {name: pair[1] for name, pair in treatment.items()}, seen)

    def _states(self, event: Mapping[str, Any]) -> dict[str, int]:
        """An event, its names known and its values states of their variables."""
        self.known(event)
        sizes = {name: self.tables[name].shape[-1] for name in event}
        return {name: as_state(name, value, sizes[name], EvidenceError) for name, value in event.items()}
