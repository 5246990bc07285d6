"""How sure an estimate from data is: by the bootstrap, or by the delta method."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch

from causal_pyro_models.arrays import Array, Ints
from causal_pyro_models.errors import CausalError, DataError, QueryError
from causal_pyro_models.estimate import Estimate
from causal_pyro_models.isolation import isolated
from causal_pyro_models.seeding import seeded
from causal_pyro_models.validation import checked_count, checked_level

Spread = tuple[float, tuple[float, float]]
"""A standard error, and the ends of an interval."""


class Statistic(ABC):
    """A number that is computed from the rows of a data set.

    Attributes:
        size: the number of rows.

    Example:
        >>> class Mean(Statistic):
        ...     def __init__(self, column):
        ...         self.column, self.size = np.asarray(column), len(column)
        ...     def value(self, rows):
        ...         return float(self.column[rows].mean())
        ...     def influence(self):
        ...         return self.column - self.column.mean()
        >>> estimated("mean", Mean([1.0, 2.0, 3.0, 6.0]), DeltaMethod(), 0.95, seed=0)
        mean = 3.0 ± 1.1 (95% interval 0.9 to 5.1)
    """

    size: int

    @abstractmethod
    def value(self, rows: Ints) -> float:
        """The number on some of the rows, which may be repeated."""

    def influence(self) -> Array:
        """How much each row moves the number, ``(n,)`` with mean zero (its influence function).

        Raises:
            QueryError: it is not known.
        """
        raise QueryError(
            "the delta method is for estimates with a known influence function: of discrete data without a regressor, "
            "or by ipw and aipw. Use uncertainty=Bootstrap() here."
        )


@dataclass(frozen=True)
class Bootstrap:
    """Resampling of rows: the standard error is the spread of the replicates, the interval their quantiles.

    Args:
        replicates: how many resamples.

    References:
        Efron and Tibshirani (1993), An introduction to the bootstrap, chapter 13.

    Example:
        >>> import pandas as pd
        >>> from causal_pyro_models import g_formula
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=500)
        >>> data = pd.DataFrame({"X": x, "Y": 2 * x + rng.normal(size=500)})
        >>> g_formula(data, {"X": (0.0, 1.0)}, "Y", adjustment=[], uncertainty=Bootstrap(100), seed=0)
        ate = 2.005 ± 0.045 (95% interval 1.922 to 2.081)
    """

    replicates: int = 300

    def spread(self, statistic: Statistic, value: float, level: float, rng: np.random.Generator) -> Spread:
        """The standard error, and the ends of the interval.

        Raises:
            DataError: more than one in ten resamples gives no number.
        """
        count = checked_count(self.replicates, "replicates", 2)
        draws, failures = [], []
        for _ in range(count):
            try:
                draws.append(statistic.value(rng.integers(0, statistic.size, statistic.size)))
            except CausalError as error:
                failures.append(error)
        if len(failures) > count / 10:
            raise DataError(f"{len(failures)} of {count} bootstrap samples fail, for example: {failures[0]}")
        low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
        return float(np.std(draws, ddof=1)), (float(low), float(high))


@dataclass(frozen=True)
class DeltaMethod:
    """The normal approximation: the standard error is the spread of the influence function over the root of n.

    References:
        van der Vaart (1998), Asymptotic statistics, chapter 3.

    Example:
        >>> import pandas as pd
        >>> from causal_pyro_models.graph import CausalGraph
        >>> from causal_pyro_models.identification import identify
        >>> data = pd.DataFrame({"X": [0, 1] * 50, "Y": [0, 1, 0, 0] * 25})
        >>> estimand = identify(CausalGraph.from_edges([("X", "Y")]), "P(Y | do(X))")
        >>> estimand.evaluate(data, contrast={"X": (0, 1)}, uncertainty=DeltaMethod())
        contrast of P(Y | do(X)) = 0.500 ± 0.071 (95% interval 0.361 to 0.639)
    """

    def spread(self, statistic: Statistic, value: float, level: float, rng: np.random.Generator) -> Spread:
        """The standard error, and the ends of the interval."""
        error = float(np.std(statistic.influence(), ddof=1) / statistic.size**0.5)
        margin = NormalDist().inv_cdf((1 + level) / 2) * error
        return error, (value - margin, value + margin)


Uncertainty = Bootstrap | DeltaMethod


@isolated
def estimated(name: str, statistic: Statistic, uncertainty: Uncertainty, level: float, seed: int | None) -> Estimate:
    """The value of a statistic on all rows, with its uncertainty.

    Args:
        name: what is estimated.
        statistic: the number; see :class:`Statistic` for an example.
        uncertainty: ``Bootstrap(...)``, or ``DeltaMethod()`` where the statistic knows its influence function.
        level: probability of the interval.
        seed: of the bootstrap.

    Raises:
        QueryError: a setting out of its range, or the delta method for a statistic without an influence function.
        DataError: more than one in ten resamples gives no number.

    Example:
        >>> class Mean(Statistic):
        ...     def __init__(self, values):
        ...         self.values, self.size = np.asarray(values), len(values)
        ...     def value(self, rows):
        ...         return float(self.values[rows].mean())
        ...     def influence(self):
        ...         return self.values - self.values.mean()
        >>> estimated("mean", Mean([0.0, 1.0, 2.0, 3.0]), DeltaMethod(), 0.95, seed=None)
        mean = 1.50 ± 0.65 (95% interval 0.23 to 2.77)
    """
    level = checked_level(level)
    if not isinstance(uncertainty, Bootstrap | DeltaMethod):
        raise QueryError(f"uncertainty must be Bootstrap(...) or DeltaMethod(), got {uncertainty!r:.80}.")
    with seeded(seed):
        rng = np.random.default_rng(int(torch.randint(2**31, ())))
    value = statistic.value(np.arange(statistic.size))
    error, ends = uncertainty.spread(statistic, value, level, rng)
    number, spread, low, high = (torch.tensor(x, dtype=torch.float64) for x in (value, error, *ends))
    return Estimate(name, number, spread, (low, high), level)
