"""What every model of the zoo has: a graph, hidden variables, and answers that are exact."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin

from causal_pyro_models.arrays import Array
from causal_pyro_models.errors import CausalError, InterventionError, ModelError, QueryError, unknown_variable
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.scm.handlers.interventions import Do, Potential, Treatment, potential
from causal_pyro_models.validation import checked_arms, checked_count


class Law(Protocol):
    """A joint law of named variables, or of the variables of several worlds named ``(world, variable)``."""

    @property
    def names(self) -> tuple[Any, ...]: ...
    def expectation(self, name: Hashable) -> Any: ...
    def condition(self, evidence: Mapping[Any, Any]) -> Self: ...


L = TypeVar("L", bound=Law)
Mean = TypeVar("Mean", float, Array)
K = TypeVar("K")


class AnalyticSCM(ABC):
    """A structural causal model written as a Pyro program of one unit, whose answers are known exactly.

    Args:
        variables: names of all variables, hidden ones included.
        edges: pairs (parent, child).
        latent: variables that nobody observes. They stay sites of the program and nodes of ``graph``.
    """

    def __init__(self, variables: Sequence[str], edges: Iterable[tuple[str, str]], latent: Iterable[str] = ()) -> None:
        if not variables:
            raise ModelError("a model needs at least one variable, got none.")
        self.graph = CausalGraph(variables, edges)
        self.latent = tuple(latent)
        self.known(self.latent)

    @abstractmethod
    def __call__(self) -> dict[str, torch.Tensor]:
        """Run the Pyro program: one sample statement per variable, in topological order."""

    @property
    def variables(self) -> tuple[str, ...]:
        """All variables, in the order in which they were given."""
        return tuple(self.graph.variables)

    @property
    def observed(self) -> tuple[str, ...]:
        """The variables that are not latent."""
        return tuple(name for name in self.variables if name not in self.latent)

    @property
    def observed_graph(self) -> CausalGraph:
        """The latent projection of the graph on the observed variables: hidden causes become bidirected edges."""
        return self.graph.latent_projection(self.observed)

    def known(self, names: Iterable[object]) -> None:
        """Raise UnknownVariableError at the first name that is not a variable."""
        if not isinstance(names, Iterable):
            raise QueryError(f"expected the names of variables, got {names!r:.80}.")
        for name in names:
            if name not in self.variables:
                raise unknown_variable(name, self.variables)

    def checked_do(self, do: Do | None) -> Do:
        """An intervention whose names are known and whose values are of a kind that has an exact answer."""
        do = {} if do is None else do
        if not isinstance(do, Mapping):
            raise InterventionError(f"do must be a dict from variable to intervention, got {type(do).__name__}.")
        self.known(do)
        numbers = {}
        for name, value in do.items():
            if isinstance(value, TorchDistributionMixin):
                raise InterventionError(
                    f"the intervention on {name!r} is a distribution, which the exact answers do not cover: give a "
                    f"number, a function of the natural value, or potential(...)."
                )
            if isinstance(value, Potential):
                self.known([value.name])
                self.checked_do(value.do)
            elif not callable(value):
                numbers[name] = finite(name, value, InterventionError)
        broadcast(numbers, InterventionError)
        return do

    def __repr__(self) -> str:
        edges = ", ".join(f"{a} -> {b}" for a, b in self.graph.edges)
        hidden = f"; latent: {', '.join(self.latent)}" if self.latent else ""
        return f"{type(self).__name__}({edges or ', '.join(self.variables)}{hidden})"


class SolvedSCM(AnalyticSCM, Generic[L, Mean]):
    """An analytic SCM whose joint law over any number of worlds is known; every other answer follows from it."""

    @abstractmethod
    def worlds(
        self,
        worlds: Mapping[K, Do | None],
        evidence: Mapping[str, Any] | None = None,
        variables: Iterable[str] | None = None,
    ) -> L:
        """The joint law of several worlds on the same noise, given evidence on the factual one.

        Args:
            worlds: name of a world -> its intervention.
            evidence: what was seen of the factual world; any subset of the variables.
            variables: those to keep (default all).

        Returns:
            The law of the variables, named ``(world, variable)``.
        """

    def law(self, do: Do | None = None) -> L:
        """The joint law of all variables, under ``do`` if given."""
        return self._world(do)

    def conditional(self, evidence: Mapping[str, Any], do: Do | None = None) -> L:
        """The law of all variables in the world ``do``, given evidence seen in that same world."""
        self.known(evidence)
        return self.law(do).condition(evidence)

    def counterfactual(self, evidence: Mapping[str, Any], do: Do | None) -> L:
        """The law of all variables in the world ``do``, given evidence (full or partial) on the factual one."""
        return self._world(do, evidence)

    def ate(self, treatment: Treatment, outcome: str, evidence: Mapping[str, Any] | None = None) -> Mean:
        """The average effect E[Y_treated - Y_control], among the units that fit the evidence if it is given.

        Args:
            treatment: variable -> (control value, treated value).
            outcome: whose expectation is compared.
            evidence: on the factual world: with none it is the ATE, with the treatment alone the ATT, with covariates
                the CATE, with everything the ITE.
        """
        control, treated = _arms(treatment)
        return self._contrast(treated, control, outcome, evidence)

    def cde(self, treatment: Treatment, outcome: str, mediators: Do, evidence: Mapping[str, Any] | None = None) -> Mean:
        """The controlled direct effect: the effect of the treatment with the mediators held at given values."""
        control, treated = _arms(treatment)
        return self._contrast({**mediators, **treated}, {**mediators, **control}, outcome, evidence)

    def nde(
        self, treatment: Treatment, outcome: str, mediators: Iterable[str], evidence: Mapping[str, Any] | None = None
    ) -> Mean:
        """The natural direct effect E[Y_{x1, M_{x0}} - Y_{x0}] (Pearl 2001, definition 6)."""
        control, treated = _arms(treatment)
        return self._contrast({**_potentials(mediators, control), **treated}, control, outcome, evidence)

    def nie(
        self, treatment: Treatment, outcome: str, mediators: Iterable[str], evidence: Mapping[str, Any] | None = None
    ) -> Mean:
        """The natural indirect effect E[Y_{x0, M_{x1}} - Y_{x0}] (Pearl 2001, definition 8)."""
        control, treated = _arms(treatment)
        return self._contrast({**_potentials(mediators, treated), **control}, control, outcome, evidence)

    @staticmethod
    def checked_worlds(worlds: object) -> None:
        """Refuse what is no dict from the names of worlds to their interventions."""
        if not isinstance(worlds, Mapping) or not worlds:
            raise InterventionError(
                f"worlds takes a dict from the name of each world, at least one, to its do, got {worlds!r:.80}."
            )

    def _world(
        self, do: Do | None, evidence: Mapping[str, Any] | None = None, variables: Iterable[str] | None = None
    ) -> L:
        law = self.worlds({"only": do}, evidence, variables)
        return replace(law, names=tuple(name for _, name in law.names))  # type: ignore[type-var]

    def _contrast(self, do: Do, baseline: Do, outcome: str, evidence: Mapping[str, Any] | None) -> Mean:
        self.known([outcome])
        law = self.worlds({1: do, 0: baseline}, evidence, [outcome])
        found: Mean = law.expectation((1, outcome)) - law.expectation((0, outcome))
        return found


def _arms(treatment: Treatment) -> tuple[dict[str, Any], dict[str, Any]]:
    treatment = checked_arms(treatment)
    return {name: pair[0] for name, pair in treatment.items()}, {name: pair[1] for name, pair in treatment.items()}


def _potentials(mediators: Iterable[str], do: Do) -> dict[str, Potential]:
    if isinstance(mediators, str):
        mediators = [mediators]
    return {name: potential(name, do) for name in mediators}


def broadcast(values: Mapping[K, Array], error: type[CausalError]) -> list[Array]:
    """Arrays in their common shape, or ``error`` naming the variables and their shapes."""
    try:
        return list(np.broadcast_arrays(*values.values()))
    except ValueError:
        shapes = ", ".join(f"{name!r}: {value.shape}" for name, value in values.items())
        raise error(f"the values given do not broadcast to one shape: {shapes}.") from None


def finite(name: object, value: Any, error: type[CausalError]) -> Array:
    """A number, array or tensor as a finite float64 array, or ``error`` naming the variable."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError):
        raise error(f"variable {name!r} was given {value!r:.80}, expected numbers.") from None
    if array.size == 0 or not np.isfinite(array).all():
        raise error(f"variable {name!r} was given {value!r:.80}, expected finite numbers.")
    return array


def random_dag(num_variables: int, seed: int, max_parents: int = 3) -> tuple[tuple[str, ...], list[tuple[str, str]]]:
    """Names ``X0, X1, ...`` and the edges of a random DAG on them, in an order that the names do not betray.

    Each variable gets a uniform number of parents, at most ``max_parents``, among those before it in a random order.

    Example:
        >>> random_dag(3, seed=4)
        (('X0', 'X1', 'X2'), [('X0', 'X1'), ('X1', 'X2')])
    """
    num_variables = checked_count(num_variables, "num_variables")
    max_parents = checked_count(max_parents, "max_parents", 0)
    rng = np.random.default_rng(checked_count(seed, "seed", 0))
    order = [f"X{i}" for i in rng.permutation(num_variables)]
    edges = []
    for i, child in enumerate(order):
        count = rng.integers(0, min(i, max_parents), endpoint=True)
        edges += [(order[j], child) for j in sorted(rng.choice(i, count, replace=False))] if count else []
    return tuple(f"X{i}" for i in range(num_variables)), edges
