"""Couplings of a discrete variable across worlds: the law of its responses to several parent configurations at once.

The conditional probabilities of a discrete variable do not say how its values in different worlds go together; that is
an assumption about its noise. Both couplings here are the noise of a mechanism, and their joint laws are exact.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np

from causal_pyro_models.arrays import Array
from causal_pyro_models.errors import QueryError
from causal_pyro_models.scm.mechanisms.registry import quantile


@dataclass(frozen=True)
class Coupling:
    """How one variable responds to several parent configurations with the same noise.

    Attributes:
        name: what it is called in messages.
        joint: maps the probabilities under r configurations, each (n, k), to the law of the r responses,
            (n, k, ..., k) with r axes of size k.
        infer: what the sample statement says to choose the mechanism with this noise.

    Example:
        >>> p, q = np.array([[0.2, 0.3, 0.5]]), np.array([[0.5, 0.3, 0.2]])
        >>> for coupling in (GUMBEL_MAX, QUANTILE):
        ...     joint = coupling.joint([p, q])[0]  # the same margins, put together in another way
        ...     print(coupling.name, joint.sum(1).round(3), joint.trace().round(3))
        GUMBEL_MAX [0.2 0.3 0.5] 0.631
        QUANTILE [0.2 0.3 0.5] 0.4
    """

    name: str
    joint: Callable[[Sequence[Array]], Array]
    infer: dict[str, Any] = field(default_factory=dict)


def quantile_joint(rows: Sequence[Array]) -> Array:
    """Responses of ``X = F^-1(U | pa)``, U uniform: the lengths of the overlaps of the intervals that give each value.

    Example:
        >>> quantile_joint([np.array([[0.5, 0.5]]), np.array([[0.2, 0.8]])]).round(6).tolist()
        [[[0.2, 0.3], [0.0, 0.5]]]
    """
    upper = [_along(row.cumsum(1), axis, len(rows)) for axis, row in enumerate(rows)]
    lower = [_along(row.cumsum(1) - row, axis, len(rows)) for axis, row in enumerate(rows)]
    overlap = reduce(np.minimum, upper) - reduce(np.maximum, lower)
    return np.where(overlap > 1e-14, overlap, 0.0)  # what is smaller comes of rounding in the sums


def gumbel_max_joint(rows: Sequence[Array]) -> Array:
    """Responses of ``X = argmax_k (log p_k(pa) + G_k)``, G standard Gumbel, to one or two configurations p and q.

    With E_k = exp(-G_k) exponential, X = argmin_k E_k / p_k. Integrating E out leaves, for i and j distinct,
    P(i, j) = p_i q_j (F(s_i) - F(s_j))^+ with s_k = p_k / (p_k + q_k), F(s) the integral of 1 / T^2 from 0 to s, and
    T(s) = sum_k max((1 - s) p_k, s q_k) linear between the s_k, where 1 / T^2 integrates to width / (T(left) T(right)).
    Two categories are a logistic threshold, which is the quantile coupling.

    References:
        Oberst and Sontag (2019), Counterfactual off-policy evaluation with Gumbel-max structural causal models.

    Raises:
        QueryError: more than two configurations of more than two categories.

    Example:
        >>> gumbel_max_joint([np.array([[0.2, 0.3, 0.5]]), np.array([[0.2, 0.3, 0.5]])]).round(6).tolist()
        [[[0.2, 0.0, 0.0], [0.0, 0.3, 0.0], [0.0, 0.0, 0.5]]]
    """
    if len(rows) == 1 or rows[0].shape[1] == 2:
        return quantile_joint(rows)
    if len(rows) > 2:
        raise QueryError(
            f"a variable of {rows[0].shape[1]} categories meets {len(rows)} parent configurations at once, and its "
            f"Gumbel-max responses are solved for two at most: ask about fewer worlds, or use coupling=QUANTILE."
        )
    p, q = rows
    both = p + q
    s = np.divide(p, both, out=np.full_like(p, 0.5), where=both > 0)
    order = np.argsort(s, axis=1)
    knots = np.take_along_axis(s, order, axis=1)
    total = np.maximum((1 - knots)[:, :, None] * p[:, None, :], knots[:, :, None] * q[:, None, :]).sum(2)
    pieces = np.diff(knots, axis=1) / (total[:, 1:] * total[:, :-1])
    integral, at = np.zeros_like(p), np.zeros_like(p)
    np.put_along_axis(integral, order[:, 1:], pieces.cumsum(1), axis=1)
    np.put_along_axis(at, order, total, axis=1)
    joint = p[:, :, None] * q[:, None, :] * np.maximum(integral[:, :, None] - integral[:, None, :], 0.0)
    i = np.arange(p.shape[1])
    joint[:, i, i] = p * (1 - s) / at
    return joint


def _along(values: Array, axis: int, axes: int) -> Array:
    return values.reshape(len(values), *(-1 if a == axis else 1 for a in range(axes)))


GUMBEL_MAX = Coupling("GUMBEL_MAX", gumbel_max_joint)
"""Gumbel-max noise, the default of the package; for two categories it is the monotone coupling."""

QUANTILE = Coupling("QUANTILE", quantile_joint, {"mechanism": quantile})
"""One uniform noise and the inverse distribution function: the monotone coupling for any number of categories."""
