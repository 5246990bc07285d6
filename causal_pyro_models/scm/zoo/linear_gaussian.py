"""Linear-Gaussian structural causal models, solved in closed form at all three levels."""

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch

from causal_pyro_models.arrays import Array
from causal_pyro_models.errors import EvidenceError, InterventionError, ModelError, unknown_variable
from causal_pyro_models.scm.handlers.interventions import Do, Potential
from causal_pyro_models.scm.zoo.base import K, SolvedSCM, broadcast, finite


@dataclass(frozen=True, eq=False)
class GaussianLaw:
    """A multivariate normal law of named variables, possibly degenerate: ``mean + loadings @ U``, U standard normal.

    Attributes:
        names: the d variables.
        mean: (\\*batch, d), the batch being that of the evidence and interventions.
        loadings: (d, k), on k independent noise variables.

    Example:
        >>> law = GaussianLaw(("X", "Y"), np.array([0.0, 1.0]), np.array([[1.0, 0.0], [0.5, 1.0]]))
        >>> law.covariance.tolist()
        [[1.0, 0.5], [0.5, 1.25]]
        >>> float(law.condition({"X": 2.0}).expectation("Y"))
        2.0
    """

    names: tuple[Any, ...]
    mean: Array
    loadings: Array

    @property
    def covariance(self) -> Array:
        """The covariance matrix, (d, d)."""
        return self.loadings @ self.loadings.T

    def index(self, names: Iterable[Hashable]) -> list[int]:
        """The positions of the names."""
        places = {name: i for i, name in enumerate(self.names)}
        for name in (names := list(names)):
            if name not in self.names:
                raise unknown_variable(name, self.names)
        return [places[name] for name in names]

    def expectation(self, name: Hashable) -> Array:
        """The mean of one variable, of the batch shape."""
        return self.mean[..., self.index([name])[0]]

    def variance(self, name: Hashable) -> float:
        """The variance of one variable."""
        loading = self.loadings[self.index([name])[0]]
        return float(loading @ loading)

    def marginal(self, names: Iterable[Hashable]) -> "GaussianLaw":
        """The joint law of some of the variables, in the order given."""
        i = self.index(names := tuple(names))
        return GaussianLaw(names, self.mean[..., i], self.loadings[i])

    def condition(self, evidence: Mapping[Any, Any]) -> "GaussianLaw":
        """The law of all variables given the values of some; those of the evidence become constants.

        Args:
            evidence: variable -> number or array of the batch shape.

        Raises:
            EvidenceError: the evidence is not finite, or contradicts a variable that is constant.
        """
        if not evidence:
            return self
        e = self.index(evidence)
        values = {name: finite(name, value, EvidenceError) for name, value in evidence.items()}
        *seen, _ = broadcast({**values, "the mean of the law": self.mean[..., 0]}, EvidenceError)
        surprise = np.stack(seen, axis=-1) - self.mean[..., e]
        norm = np.linalg.norm(self.loadings[e], axis=1, keepdims=True)
        scale = np.where(norm > 0, norm, 1.0)
        inverse = np.linalg.pinv(self.loadings[e] / scale, rcond=1e-10) / scale.T  # from evidence to its noise
        noise = surprise @ inverse.T
        if (np.abs(noise @ self.loadings[e].T - surprise) > 1e-6 * (1 + np.abs(surprise))).any():
            raise EvidenceError(f"evidence on {list(evidence)} has probability zero: it contradicts a constant.")
        loadings = self.loadings - self.loadings @ inverse @ self.loadings[e]
        return GaussianLaw(self.names, self.mean + noise @ self.loadings.T, loadings)


class LinearGaussianSCM(SolvedSCM[GaussianLaw, Array]):
    """X_v = intercept_v + sum of weight * parent + scale_v * U_v with U_v standard normal: a Pyro model, solved.

    An intervention may be a number or an array (one value per unit), an affine function of the natural value (a shift
    is ``lambda x: x + 1``), or ``potential(...)``. Evidence may be arrays too: means then have their batch shape.

    Args:
        weights: (parent, child) -> coefficient.
        scales: variable -> standard deviation of its noise, positive; names every variable.
        intercepts: variable -> constant, 0 where not given.
        latent: the hidden variables.

    Raises:
        GraphError: the weights form a cycle.
        UnknownVariableError: a name that ``scales`` does not have.
        ModelError: a scale that is not positive, or a coefficient that is not finite.

    References:
        Pearl (2009), Causality, sections 1.4.1 (structural equations), 5.1 and 7.1 (abduction, action, prediction).

    Example:
        >>> scm = LinearGaussianSCM({("X", "Y"): 2.0}, scales={"X": 1.0, "Y": 3.0})
        >>> scm
        LinearGaussianSCM(X -> Y)
        >>> float(scm.ate({"X": (0.0, 1.0)}, "Y"))
        2.0
        >>> law = scm.counterfactual({"X": 1.0, "Y": 5.0}, do={"X": 2.0})
        >>> round(float(law.expectation("Y")), 6), round(law.variance("Y"), 6)
        (7.0, 0.0)
    """

    def __init__(
        self,
        weights: Mapping[tuple[str, str], float],
        scales: Mapping[str, float],
        intercepts: Mapping[str, float] | None = None,
        latent: Iterable[str] = (),
    ) -> None:
        for what, numbers in (("weights", weights), ("scales", scales), ("intercepts", intercepts or {})):
            if not isinstance(numbers, Mapping):
                raise ModelError(f"{what} must be a dict to numbers, got {numbers!r:.80}.")
        super().__init__(tuple(scales), tuple(weights), latent)
        self.weights, self.scales = dict(weights), dict(scales)
        self.known(intercepts or {})
        self.intercepts = {name: 0.0 for name in scales} | dict(intercepts or {})
        for what, numbers in (("weight", self.weights), ("scale", self.scales), ("intercept", self.intercepts)):
            for name, value in numbers.items():
                expected = "a positive number" if what == "scale" else "a finite number"
                if not _is_finite(value) or (what == "scale" and value <= 0):
                    raise ModelError(f"the {what} of {name!r} is {value!r:.80}, expected {expected}.")

    def __call__(self) -> dict[str, torch.Tensor]:
        """Run the Pyro program: ``Normal(intercept + sum of weight * parent, scale)`` at each variable."""
        values: dict[str, torch.Tensor] = {}
        for name in self.graph.topological_order:
            loc = self.intercepts[name] + sum(self.weights[p, name] * values[p] for p in self.graph.parents(name))
            values[name] = pyro.sample(name, dist.Normal(loc, self.scales[name]))
        return values

    def worlds(
        self,
        worlds: Mapping[K, Do | None],
        evidence: Mapping[str, Any] | None = None,
        variables: Iterable[str] | None = None,
    ) -> GaussianLaw:
        """The joint law of several worlds on the same noise, given evidence on the factual one.

        Args:
            worlds: name of a world -> its intervention.
            evidence: what was seen of the factual world; any subset of the variables.
            variables: those to keep (default all).

        Returns:
            The law of the variables, named ``(world, variable)``. Factual X = B u + c and every other X* = B* u + c*
            are stacked and conditioned together.

        Example:
            >>> scm = LinearGaussianSCM({("X", "Y"): 2.0}, scales={"X": 1.0, "Y": 3.0})
            >>> law = scm.worlds({"up": {"X": lambda x: x + 1}, "as it is": None}, evidence={"Y": 4.0}, variables=["Y"])
            >>> round(float(law.expectation(("up", "Y"))), 6), round(float(law.expectation(("as it is", "Y"))), 6)
            (6.0, 4.0)
        """
        evidence = evidence or {}
        self.checked_worlds(worlds)
        self.known(evidence)
        self.known(variables := self.variables if variables is None else tuple(variables))
        factual = self._solve({})
        names: list[Any] = list(evidence)
        rows = [factual[name] for name in evidence]
        for world, do in worlds.items():
            solution = self._solve(self.checked_do(do))
            names += [(world, name) for name in variables]
            rows += [solution[name] for name in variables]
        offsets = {name: offset for name, (_, offset) in zip(names, rows, strict=True)}
        mean = np.stack(broadcast(offsets, InterventionError), axis=-1)
        law = GaussianLaw(tuple(names), mean, np.stack([loading for loading, _ in rows]))
        return law.condition(evidence).marginal(names[len(evidence) :])

    def _solve(self, do: Do) -> dict[str, tuple[Array, Array]]:
        """Each variable as loadings on the noise of all variables, and an offset of the batch shape."""
        rows: dict[str, tuple[Array, Array]] = {}
        for name in self.graph.topological_order:
            loading = self.scales[name] * np.eye(len(self.variables))[self.variables.index(name)]
            offset = np.asarray(self.intercepts[name])
            for parent in self.graph.parents(name):
                loading = loading + self.weights[parent, name] * rows[parent][0]
                offset = offset + self.weights[parent, name] * rows[parent][1]
            value = do.get(name)
            if isinstance(value, Potential):
                loading, offset = self._solve(value.do)[value.name]
            elif name in do:
                slope, constant = _affine(name, value)
                loading, offset = slope * loading, slope * offset + constant
            rows[name] = loading, offset
        return rows


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except TypeError:
        return False


def _affine(name: str, value: Any) -> tuple[float, Array]:
    """Slope and constant of an intervention as a function of the natural value."""
    if not callable(value):
        return 0.0, finite(name, value, InterventionError)
    probes = torch.tensor([0.0, 1.0, -1.0, 2.5, -40.0], dtype=torch.float64)
    got = np.broadcast_to(finite(name, value(probes), InterventionError), probes.shape)
    constant, slope = got[0], got[1] - got[0]
    if not np.allclose(got, constant + slope * probes.numpy(), rtol=1e-9, atol=1e-9):
        raise InterventionError(
            f"the intervention on {name!r} is not affine in the natural value, so the law is not Gaussian any more: "
            f"give slope * x + constant."
        )
    return float(slope), constant
