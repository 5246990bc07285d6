"""The test of a Verma constraint."""

from typing import TYPE_CHECKING, Any

import numpy as np

from causal_pyro_models.arrays import Array
from causal_pyro_models.identification.implications import VermaConstraint
from causal_pyro_models.identification.laws.joint_table import JointTable
from causal_pyro_models.identification.laws.tabulation import Tabulator
from causal_pyro_models.independence.result import ChiSquared, chi_squared

if TYPE_CHECKING:
    import pandas as pd


ENOUGH = 50  # rows for each cell from which on the chi-squared distribution is taken
RESAMPLES = 499


def verma_test(data: "pd.DataFrame", constraint: VermaConstraint) -> ChiSquared:
    """A Wald test that the plug-in estimate of an expression does not depend on variables in it (delta method).

    Below fifty rows for each cell of the table the p-value is that of resamples, of how far these are from the data in
    the same metric; one that leaves a condition empty counts as far.

    Args:
        data: discrete columns, a row for each unit.
        constraint: see :func:`verma_constraints`.

    References:
        Hall and Wilson (1991), Two guidelines for bootstrap hypothesis testing.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from causal_pyro_models.graph import CausalGraph
        >>> from causal_pyro_models.identification import verma_constraints
        >>> edges = [("A", "B"), ("B", "C"), ("C", "D")]
        >>> (constraint,) = verma_constraints(CausalGraph(["A", "B", "C", "D"], edges, bidirected=[("B", "D")]))
        >>> data = pd.DataFrame(np.random.default_rng(0).integers(0, 2, (2000, 4)), columns=list("ABCD"))
        >>> verma_test(data, constraint).dof
        2
    """
    table = JointTable.from_dataframe(data, sorted(constraint.expression.names))
    cells = np.flatnonzero(table.probabilities)

    def contrasts(law: Array) -> Array:
        values, axes = Tabulator(table.names, lambda domain, do: law)(constraint.expression)
        over = tuple(i for i, symbol in enumerate(axes) if symbol.name in constraint.free_of)
        return np.asarray(values - values.mean(over, keepdims=True)).ravel()

    def shifted(cell: Any, step: float) -> Array:
        law = table.probabilities.copy()
        law.flat[cell] += step
        return law

    at = contrasts(table.probabilities)
    steps = 1e-4 * table.probabilities.flat[cells]
    moves = zip(cells, steps, strict=True)
    columns = [(contrasts(shifted(cell, h)) - contrasts(shifted(cell, -h))) / (2.0 * h) for cell, h in moves]
    known = np.isfinite(at)
    slope = np.stack(columns, 1)[known]
    p = table.probabilities.flat[cells]
    covariance = (slope * p) @ slope.T - np.outer(slope @ p, slope @ p)
    values, vectors = np.linalg.eigh(covariance)
    kept = values > 1e-6 * max(values.max(initial=0.0), 1e-12)
    whitened = vectors[:, kept].T / np.sqrt(values[kept])[:, None]
    statistic, dof = len(data) * float(((whitened @ at[known]) ** 2).sum()), int(kept.sum())
    if not dof or len(data) >= ENOUGH * table.probabilities.size:
        return chi_squared(statistic, dof)
    rng, drawn = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        counts = rng.multinomial(len(data), p / p.sum())
        law = np.zeros_like(table.probabilities)
        law.flat[cells] = counts / len(data)
        off = contrasts(law)[known] - at[known]
        drawn.append(np.inf if not np.isfinite(off).all() else len(data) * float(((whitened @ off) ** 2).sum()))
    return ChiSquared(statistic, dof, (1 + int((np.array(drawn) >= statistic).sum())) / (RESAMPLES + 1))
