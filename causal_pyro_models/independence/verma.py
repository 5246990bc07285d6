"""The test of a Verma constraint."""

from typing import TYPE_CHECKING, Any

import numpy as np

from causal_pyro_models.arrays import Array
from causal_pyro_models.identification.implications import (
    VermaConstraint,
)
from causal_pyro_models.identification.laws.joint_table import JointTable
from causal_pyro_models.identification.laws.tabulation import Tabulator
from causal_pyro_models.independence.result import ChiSquared, chi_squared

if TYPE_CHECKING:
    import pandas as pd


def verma_test(data: "pd.DataFrame", constraint: VermaConstraint) -> ChiSquared:
    """A Wald test that the plug-in estimate of an expression does not depend on variables in it (delta method).

    Args:
        data: discrete columns, a row for each unit.
        constraint: see :func:`verma_constraints`.

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
    scores = vectors[:, kept].T @ at[known]
    return chi_squared(len(data) * float((scores**2 / values[kept]).sum()), int(kept.sum()))
