"""The programs behind bounds: the extremes of functions of the law of response types."""

import heapq
import math
from itertools import count

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import block_diag, coo_array, csr_array, hstack, vstack

from causal_pyro_models.arrays import Array, Ints
from causal_pyro_models.errors import DataError, EvidenceError
from causal_pyro_models.identification.response_types import ResponseTypes

GAP = 1e-7  # between what is attained and what is not exceeded, at which a search ends
MOST_NODES = 300


def extremes(types: ResponseTypes, value: Array, name: str) -> tuple[float, float, bool]:
    """The least and greatest mean of a function of the response types, and whether models attain both.

    Args:
        types: the response types, and what is known of their law.
        value: the function, at each combination of types.
        name: of the quantity, for messages.
    """
    if not types.block:
        return float(value[0]), float(value[0]), True
    if len(types.active) == 2:
        (low, done), (high, ended) = (_bilinear_extreme(types, sign * value, name) for sign in (1.0, -1.0))
        return low, -high, done and ended and types.each_is_general
    left, right, column = _constraints(types, value[None])
    low, high = (_least(sign * value[column], left, right, name) for sign in (1.0, -1.0))
    return low, -high, types.sharp


def ratio_extremes(types: ResponseTypes, value: Array, mass: Array, name: str) -> tuple[float, float, bool]:
    """The same for the ratio of the means of two functions.

    The unknowns are scaled so that the second mean is one, and their scale is one more unknown.

    References:
        Charnes and Cooper (1962), Programming with linear fractional functionals.
    """
    if not types.block:
        if not mass[0] > 0:
            raise impossible(name)
        return float(value[0] / mass[0]), float(value[0] / mass[0]), True
    left, right, column = _constraints(types, np.stack([value, mass]))
    scaled = hstack([left, csr_array(-right[:, None])])
    total = csr_array(np.append(mass[column], 0.0)[None])
    if _least(-mass[column], left, right, name) > -1e-12:
        raise impossible(name)
    left, right = vstack([scaled, total]).tocsr(), np.append(np.zeros(len(right)), 1.0)
    low, high = (_least(sign * np.append(value[column], 0.0), left, right, name) for sign in (1.0, -1.0))
    return low, -high, types.sharp


def impossible(name: str) -> EvidenceError:
    """The error for a condition that never happens."""
    return EvidenceError(f"the condition of {name} has probability zero, so there is nothing to bound.")


def _least(cost: Array, left: csr_array, right: Array, name: str) -> float:
    """The least value of a linear function of unknowns that are 0 or more."""
    result = linprog(cost, A_eq=left, b_eq=right, method="highs")
    if result.status == 2:
        raise DataError(
            "no model of the graph has this joint law: it breaks a constraint that the graph implies (for an "
            "instrument, Pearl's instrumental inequality). Check the graph; where the law is of a sample, the sample "
            "may be too small."
        )
    if result.status != 0:
        raise DataError(f"the linear program for {name} failed: {result.message}")
    return float(result.fun)


def _constraints(types: ResponseTypes, functions: Array) -> tuple[csr_array, Array, Ints]:
    """The equations of the law of the types, on one of each set of columns that are alike.

    Args:
        types: the response types.
        functions: what must be alike too, ``(k, total)``.

    Returns:
        Matrix, right-hand side, and the combination of types that each column stands for.
    """
    blocks: list[tuple[Ints, Array, Array]] = []  # the row of each column or -1, its coefficient, the right-hand side
    for cells, law in types.observations():
        known = np.isfinite(law)
        place = np.where(known, np.cumsum(known) - 1, -1)
        blocks.append((place[cells], np.ones(types.total), law[known]))
    for states, law, others in types.independences():
        for state, probability in enumerate(law[:-1]):
            blocks.append((others, (states == state) - probability, np.zeros(others.max() + 1)))
    patterns = [np.column_stack([place, weight]) for place, weight, _ in blocks]
    alike = np.column_stack([*patterns, np.round(functions.T, 13)])
    _, column = np.unique(alike, axis=0, return_index=True)
    matrices = []
    for place, weight, right in blocks:
        kept = place[column] >= 0
        entries = (weight[column][kept], (place[column][kept], np.flatnonzero(kept)))
        matrices.append(coo_array(entries, shape=(len(right), len(column))).tocsr())
    return vstack(matrices).tocsr(), np.concatenate([right for *_, right in blocks]), column


# Two districts --------------------------------------------------------------------------------------------------------


def _bilinear_extreme(types: ResponseTypes, value: Array, name: str) -> tuple[float, bool]:
    """The least mean of a function of the types of two independent districts, and whether the search came to its end.

    The function is a sum of k products of means of one district each. Over a box of the first factors each product lies
    above two planes (McCormick), which is a linear program; boxes are split until the least bound of all is attained.

    References:
        McCormick (1976), Computability of global solutions to factorable nonconvex programs; Al-Khayyal and Falk
        (1983), Jointly constrained biconvex programming.
    """
    search = _Search(types, value, name)
    low, high = search.ranges(0)
    order = count()
    boxes: list[tuple[float, int, Array, Array, Array, Array]] = []

    def consider(low: Array, high: Array) -> float:
        found = search.relaxed(low, high)
        if found is None:
            return math.inf
        bound, attained, first, gaps = found
        bound = max(bound, float(value.min()))  # no mean is less
        heapq.heappush(boxes, (bound, next(order), low, high, first, gaps))
        return attained

    best = consider(low, high)
    for _ in range(MOST_NODES):
        bound, _, low, high, first, gaps = heapq.heappop(boxes)
        if bound >= best - GAP:
            return bound, True
        k = int(np.argmax(gaps))
        middle = np.clip(first[k], low[k] + 0.1 * (high[k] - low[k]), high[k] - 0.1 * (high[k] - low[k]))
        for lower, upper in ((low[k], middle), (middle, high[k])):
            inner_low, inner_high = low.copy(), high.copy()
            inner_low[k], inner_high[k] = lower, upper
            best = min(best, consider(inner_low, inner_high))
    return boxes[0][0], False


class _Search:
    """The relaxations of a bilinear program: constant + cost q + cost r + sum over k of (A q)_k (B r)_k.

    q and r are the laws of the types of two districts. What their equations settle of them is taken out of the
    products, so that k is as small as can be.
    """

    def __init__(self, types: ResponseTypes, value: Array, name: str) -> None:
        self.name = name
        first, second = types.active
        matrix = np.zeros([types.restricted(district).total for district in types.active])
        matrix[types.number_of(first), types.number_of(second)] = value
        self.left, self.right, inverses = [], [], []
        for district in types.active:
            left, right, column = _constraints(types.restricted(district), matrix.T)
            matrix = matrix[column].T  # after both it is the right way round again
            self.left.append(left)
            self.right.append(right)
            inverses.append(np.linalg.pinv(left.toarray()))
        q, r = (inverse @ right for inverse, right in zip(inverses, self.right, strict=True))
        self.constant, self.costs = -float(q @ matrix @ r), (matrix @ r, q @ matrix)
        free = matrix - inverses[0] @ (self.left[0] @ matrix)
        free = free - (inverses[1] @ (self.left[1] @ free.T)).T
        u, s, v = np.linalg.svd(free, full_matrices=False)
        kept = s > 1e-10 * max(float(np.abs(matrix).max()), 1e-300)
        self.factors = (u[:, kept] * s[kept]).T, v[kept]
        self.k = int(kept.sum())
        self.second = self.ranges(1)

    def ranges(self, side: int) -> tuple[Array, Array]:
        """The least and greatest value of each factor of one side."""
        ends = [
            [sign * _least(sign * row, self.left[side], self.right[side], self.name) for row in self.factors[side]]
            for sign in (1.0, -1.0)
        ]
        return np.array(ends[0]), np.array(ends[1])

    def relaxed(self, low: Array, high: Array) -> tuple[float, float, Array, Array] | None:
        """In a box of the first factors: a lower bound, a value attained, the factors there, how loose each term is.

        None where the box is empty.
        """
        a, b = (csr_array(factor) for factor in self.factors)
        least, most = self.second
        eye, none = csr_array(np.eye(self.k)), csr_array((self.k, self.k))
        rows = [
            hstack([csr_array(least[:, None] * self.factors[0]), csr_array(low[:, None] * self.factors[1]), -eye]),
            hstack([csr_array(most[:, None] * self.factors[0]), csr_array(high[:, None] * self.factors[1]), -eye]),
            hstack([a, csr_array(b.shape), none]),
            hstack([-a, csr_array(b.shape), none]),
        ]
        sizes = a.shape[1], b.shape[1]
        result = linprog(
            np.concatenate([*self.costs, np.ones(self.k)]),
            A_ub=vstack(rows).tocsr(),
            b_ub=np.concatenate([low * least, high * most, high + 1e-12, -low + 1e-12]),
            A_eq=hstack([block_diag(self.left), csr_array((sum(map(len, self.right)), self.k))]).tocsr(),
            b_eq=np.concatenate(self.right),
            bounds=[(0, None)] * sum(sizes) + [(None, None)] * self.k,
            method="highs",
        )
        if result.status != 0:
            return None
        q, r, t = np.split(result.x, [sizes[0], sum(sizes)])
        first, second = self.factors[0] @ q, self.factors[1] @ r
        there = self.costs[1] + first @ self.factors[1]
        attained = float(self.costs[0] @ q) + _least(there, self.left[1], self.right[1], self.name)
        return float(result.fun) + self.constant, attained + self.constant, first, first * second - t
