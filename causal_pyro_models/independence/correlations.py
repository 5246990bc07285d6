"""The test of conditional independence by canonical correlations."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from causal_pyro_models.arrays import Array
from causal_pyro_models.data.design import design
from causal_pyro_models.errors import DataError
from causal_pyro_models.identification.laws.columns import is_discrete, levels
from causal_pyro_models.independence.result import ChiSquared, chi_squared

if TYPE_CHECKING:
    import pandas as pd


def canonical_correlation_test(
    data: "pd.DataFrame", xs: Sequence[str], ys: Sequence[str], given: Sequence[str] = ()
) -> ChiSquared:
    """Bartlett's test that the canonical correlations of xs and ys are zero once both are regressed on ``given``.

    Discrete columns enter by an indicator for each level but one. With one number on each side it tests the partial
    correlation. It has power against linear dependence alone.

    Args:
        data: a row for each unit.
        xs, ys, given: columns.

    Raises:
        DataError: too few rows for the number of columns.

    References:
        Bartlett (1947), Multivariate analysis.

    Example:
        >>> import pandas as pd
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=400)
        >>> data = pd.DataFrame({"Z": z, "X": z + rng.normal(size=400), "Y": z + rng.normal(size=400)})
        >>> [round(canonical_correlation_test(data, ["X"], ["Y"], g).p_value, 2) for g in ([], ["Z"])]
        [0.0, 0.79]
    """
    ones = np.ones((len(data), 1))
    basis = _orthonormal(np.hstack([ones, features(data, given)]))
    a, b = (_orthonormal(m - basis @ (basis.T @ m)) for m in (features(data, xs), features(data, ys)))
    p, q = a.shape[1], b.shape[1]
    scale = len(data) - basis.shape[1] - (p + q + 1) / 2
    if scale <= 0:
        raise DataError(f"{len(data)} rows are too few to test {list(xs)} against {list(ys)} given {list(given)}.")
    if not p * q:
        return ChiSquared(0.0, 0, 1.0)
    correlations = np.clip(np.linalg.svd(a.T @ b, compute_uv=False), 0.0, 1.0 - 1e-15)
    return chi_squared(-scale * float(np.log1p(-(correlations**2)).sum()), p * q)


def _orthonormal(matrix: Array) -> Array:
    """An orthonormal basis of the columns, those that are combinations of others left out."""
    norms = np.linalg.norm(matrix, axis=0)
    left, values, _ = np.linalg.svd(matrix / np.where(norms > 0, norms, 1.0), full_matrices=False)
    return np.asarray(left[:, values > 1e-10 * max(len(matrix), 1) ** 0.5])


def features(data: "pd.DataFrame", names: Sequence[str]) -> Array:
    """The columns as numbers, discrete ones of more than two levels by indicators."""
    found = {name: levels(data, name)[0] for name in names}
    numeric = {
        name
        for name in names
        if data[name].dtype.kind in "iufb" and (len(found[name]) == 2 or not is_discrete(data[name]))
    }
    columns = [(name, data[name].to_numpy()) for name in names]
    return design(columns, {name: values for name, values in found.items() if name not in numeric}, len(data))
