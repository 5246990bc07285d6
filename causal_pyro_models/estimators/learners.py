"""Learners of regressions: two simple ones, and the protocol by which any other is taken, those of scikit-learn too."""

from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from causal_pyro_models.arrays import Array, Ints
from causal_pyro_models.errors import FitError


@runtime_checkable
class Regressor(Protocol):
    """What learns a mean, E[target | features]; it is copied before each fit."""

    def fit(self, features: Array, target: Array) -> object:
        """Learn from features ``(n, k)`` and a target ``(n,)``."""

    def predict(self, features: Array) -> ArrayLike:
        """The means, ``(n,)``."""


@runtime_checkable
class Classifier(Protocol):
    """What learns probabilities of classes, P(target = c | features); it is copied before each fit."""

    def fit(self, features: Array, target: Ints) -> object:
        """Learn from features ``(n, k)`` and the number of the class of each row, ``(n,)``."""

    def predict_proba(self, features: Array) -> ArrayLike:
        """The probability of each class, ``(n, classes)``."""


class LeastSquares:
    """Linear regression with an intercept.

    Example:
        >>> LeastSquares().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]).predict([[3.0]])
        array([7.])
    """

    def fit(self, features: ArrayLike, target: ArrayLike) -> Self:
        """Learn from features ``(n, k)`` and a target ``(n,)``."""
        self.coefficients = np.linalg.lstsq(_with_ones(features), np.asarray(target, dtype=np.float64), rcond=None)[0]
        return self

    def predict(self, features: ArrayLike) -> Array:
        """The means, ``(n,)``."""
        return np.asarray(_with_ones(features) @ self.coefficients)


class LogisticRegression:
    """Multinomial logistic regression with an intercept, by Newton's method.

    Args:
        ridge: a penalty on the squared coefficients, relative to the mean log likelihood; a little keeps them finite
            where features separate the classes.

    Example:
        >>> features = [[0.0], [0.0], [1.0], [1.0]]
        >>> LogisticRegression().fit(features, [0, 1, 1, 1]).predict_proba([[0.0]]).round(3)
        array([[0.5, 0.5]])
    """

    def __init__(self, ridge: float = 1e-6) -> None:
        self.ridge = ridge

    def fit(self, features: ArrayLike, target: ArrayLike) -> Self:
        """Learn from features ``(n, k)`` and the number of the class of each row, ``(n,)``.

        Raises:
            FitError: the coefficients do not converge.
        """
        matrix, classes = _with_ones(features), np.unique(target)
        self.scale = np.maximum(np.abs(matrix).max(0), 1e-12)
        matrix = matrix / self.scale
        n, k, free = len(matrix), matrix.shape[1], len(classes) - 1
        observed = (np.asarray(target)[:, None] == classes[1:]).astype(np.float64)
        self.coefficients = np.zeros((k, free))
        for _ in range(100):
            p = self._probabilities(matrix)[:, 1:]
            gradient = matrix.T @ (observed - p) / n - self.ridge * self.coefficients
            if np.abs(gradient).max(initial=0.0) < 1e-9:
                return self
            spread = np.einsum("na,ab->nab", p, np.eye(free)) - p[:, :, None] * p[:, None, :]
            hessian = np.einsum("ni,nab,nj->iajb", matrix, spread, matrix, optimize=True).reshape(k * free, -1) / n
            step = np.linalg.solve(hessian + self.ridge * np.eye(k * free), gradient.ravel())
            self.coefficients += step.reshape(k, free) * min(1.0, 5.0 / max(np.abs(step).max(), 1e-12))
        raise FitError("logistic regression does not converge in 100 steps: rescale features, or raise its ridge.")

    def predict_proba(self, features: ArrayLike) -> Array:
        """The probability of each class, ``(n, classes)``."""
        return self._probabilities(_with_ones(features) / self.scale)

    def _probabilities(self, matrix: Array) -> Array:
        logits = np.hstack([np.zeros((len(matrix), 1)), matrix @ self.coefficients])
        weights = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(weights / weights.sum(1, keepdims=True))


def _with_ones(features: ArrayLike) -> Array:
    matrix = np.asarray(features, dtype=np.float64)
    return np.hstack([np.ones((len(matrix), 1)), matrix])
