"""The programs behind bounds: the extremes of functions of the law of response types."""

import heapq
from itertools import count

import numpy as np
from scipy.optimize import LinearConstraint, milp
from scipy.sparse import coo_array, csr_array, eye_array, hstack, vstack

from causal_pyro_models.arrays import Array, Ints
from causal_pyro_models.errors import DataError, EvidenceError, QueryError
from causal_pyro_models.identification.bounding.response_types import ResponseTypes

GAP = 1e-7  # between what is attained and what is not exceeded, at which a search ends
MOST_SPLITS = 200
FAR = 2.0  # standard errors, summed over all frequencies, that a sample may be from the nearest model


def extremes(types: ResponseTypes, value: Array, name: str) -> tuple[float, float, bool]:
    """The least and greatest mean of a function of the response types, and whether models attain both.

    Args:
        types: the response types, and what is known of their law.
        value: the function, at each combination of types.
        name: of the quantity, for messages.
    """
    if not types.block:
        return float(value[0]), float(value[0]), True
    if len(types.active) == 2 and types.known:
        raise QueryError(
            f"{name} depends on two districts whose response types are in doubt, and experiments are taken where there "
            f"is one: leave them out, or merge variables with graph.latent_projection."
        )
    if len(types.active) == 2:
        program = _Bilinear(types, value, name)
        (low, done), (high, ended) = (program.least(sign) for sign in (1.0, -1.0))
        return low, -high, done and ended and types.each_is_general
    left, right, column = _constraints(types, value[None])
    cost = value[column]
    try:
        low, high = (_least(sign * cost, left, right, name) for sign in (1.0, -1.0))
    except NoModelError as failure:
        left, right, idle = _nearest(types, left, right, failure)
        low, high = (_least(sign * np.append(cost, idle), left, right, name) for sign in (1.0, -1.0))
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
    cost, mass = value[column], mass[column]
    try:
        most = -_least(-mass, left, right, name)
    except NoModelError as failure:
        left, right, idle = _nearest(types, left, right, failure)
        cost, mass = np.append(cost, idle), np.append(mass, idle)
        most = -_least(-mass, left, right, name)
    if not most > 1e-12:
        raise impossible(name)
    scaled = hstack([left, csr_array(-right[:, None])])
    total = csr_array(np.append(mass, 0.0)[None])
    left, right = vstack([scaled, total]).tocsr(), np.append(np.zeros(len(right)), 1.0)
    low, high = (_least(sign * np.append(cost, 0.0), left, right, name) for sign in (1.0, -1.0))
    return low, -high, types.sharp


class NoModelError(DataError):
    """No model of the graph has a law."""


def _nearest(
    types: ResponseTypes, left: csr_array, right: Array, failure: NoModelError
) -> tuple[csr_array, Array, Array]:
    """Constraints in place of those that no law of the types meets: the nearest to a sample.

    Returns:
        Matrix, right-hand side, and a zero for each unknown that is added: how far off each constraint is.

    Raises:
        DataError: a law that is exact, or a sample that is farther from all models than chance explains.
    """
    if types.rows is None:
        raise failure
    count, one = len(right), eye_array(len(right))
    apart = hstack([left, one, -one])
    far = np.append(np.zeros(left.shape[1]), np.ones(2 * count))
    distance = _least(far, apart.tocsr(), right, "the distance to the nearest model")
    if distance > FAR * float(np.sqrt(np.clip(right * (1.0 - right), 0.0, None) / types.rows).sum()):
        raise failure
    types.distance = distance / 2.0
    row = csr_array(np.append(far, 1.0)[None])
    wider = vstack([hstack([apart, csr_array((count, 1))]), row]).tocsr()
    return wider, np.append(right, distance * (1.0 + 1e-6) + 1e-9), np.zeros(2 * count + 1)


def impossible(name: str) -> EvidenceError:
    """The error for a condition that never happens."""
    return EvidenceError(f"the condition of {name} has probability zero, so there is nothing to bound.")


def _least(cost: Array, left: csr_array, right: Array, name: str) -> float:
    """The least value of a linear function of unknowns that are 0 or more."""
    return _solved(cost, left, right, name)[0]


def _solved(cost: Array, left: csr_array, right: Array, name: str) -> tuple[float, Array]:
    """The same, and where it is taken; ``milp`` is ``linprog`` in half the time where the program is small."""
    result = milp(cost, constraints=LinearConstraint(left, right, right))
    if result.status == 2:
        raise NoModelError(
            "no model of the graph has this joint law: it breaks a constraint that the graph implies (for an "
            "instrument, Pearl's instrumental inequality), or the experiments or the monotone effects beside it do. "
            "Check the graph; where the law is of a sample, the sample may be too small."
        )
    if result.status != 0:
        raise DataError(f"the linear program for {name} failed: {result.message}")
    return float(result.fun), np.asarray(result.x)


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
    known = np.array([function for function, _ in types.known]).reshape(len(types.known), types.total)
    alike = np.column_stack([*patterns, np.round(known.T, 13), np.round(functions.T, 13)])
    allowed = np.flatnonzero(types.allowed())
    if not len(allowed):
        raise DataError("no response types are left: the effects cannot all go the way that monotone says.")
    _, first = np.unique(alike[allowed], axis=0, return_index=True)
    column = allowed[first]
    matrices = [csr_array(known[:, column])] if len(known) else []
    for place, weight, right in blocks:
        kept = place[column] >= 0
        entries = (weight[column][kept], (place[column][kept], np.flatnonzero(kept)))
        matrices.append(coo_array(entries, shape=(len(right), len(column))).tocsr())
    means = np.array([mean for _, mean in types.known])
    return vstack(matrices).tocsr(), np.concatenate([means, *(right for *_, right in blocks)]), column


# Two districts --------------------------------------------------------------------------------------------------------


class _Bilinear:
    """The mean of a function of the types of two independent districts: constant + a q + b r + sum_k (A q)_k (B r)_k.

    q and r are the laws of the types of the districts. What their equations settle of them is taken out of the
    products, so that there are as few factors k as can be.

    Args:
        types: the response types, and what is known of their law.
        value: the function, at each combination of types.
        name: of the quantity, for messages.
    """

    def __init__(self, types: ResponseTypes, value: Array, name: str) -> None:
        self.name, self.ends = name, {1.0: float(value.min()), -1.0: -float(value.max())}
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
        self.simplex = self._simplex()

    def least(self, sign: float) -> tuple[float, bool]:
        """The least of the mean, or of minus the mean, and whether the search came to its end.

        The mean is linear in the factors of the first district and, with the best that the second can do, concave in
        them: over a simplex of factors it lies above the plane through its values at the vertices. The least there is
        that of a linear program, and the simplex is split at its solution, until the least bound of all is attained.

        References:
            Horst (1976), An algorithm for nonconvex programming problems; Locatelli and Raber (2000), Finiteness result
            for the simplicial branch-and-bound algorithm based on omega-subdivisions.
        """
        heights: dict[bytes, float] = {}
        waiting: list[tuple[float, int, Array, Array, Array]] = []
        order = count()

        def height(at: Array) -> float:
            key = at.tobytes()
            if key not in heights:
                cost = sign * (self.costs[1] + at @ self.factors[1])
                heights[key] = _least(cost, self.left[1], self.right[1], self.name)
            return heights[key]

        def consider(vertices: Array) -> float:
            least, q, shares = self._relaxed(sign * self.costs[0], vertices, [height(vertex) for vertex in vertices])
            at = self.factors[0] @ q
            bound = max(least + sign * self.constant, self.ends[sign])
            heapq.heappush(waiting, (bound, next(order), vertices, at, shares))
            return sign * (self.constant + float(self.costs[0] @ q)) + height(at)

        best = consider(self.simplex)
        for _ in range(MOST_SPLITS):
            bound, _, vertices, at, shares = heapq.heappop(waiting)
            if bound >= best - GAP:
                return bound, True
            for i in np.flatnonzero(shares > 1e-9):
                part = vertices.copy()
                part[i] = at
                best = min(best, consider(part))
        return waiting[0][0], False

    def _relaxed(self, cost: Array, vertices: Array, heights: list[float]) -> tuple[float, Array, Array]:
        """The least of a linear function and the plane through some heights, in a simplex of the first factors.

        With the law of the first district there, and the share of each vertex in its factors.
        """
        rows = [
            hstack([self.left[0], csr_array((len(self.right[0]), len(vertices)))]),
            hstack([csr_array(self.factors[0]), csr_array(-vertices.T)]),
            csr_array(np.append(np.zeros(len(cost)), np.ones(len(vertices)))[None]),
        ]
        right = np.concatenate([self.right[0], np.zeros(len(self.factors[0])), [1.0]])
        least, solution = _solved(np.append(cost, heights), vstack(rows).tocsr(), right, self.name)
        q, shares = np.split(solution, [len(cost)])
        return least, q, shares

    def _simplex(self) -> Array:
        """The vertices (k + 1, k) of a simplex that holds all that the first factors can be."""
        ends = [[sign * self._first(sign * row) for row in self.factors[0]] for sign in (1.0, -1.0)]
        width = np.maximum(np.subtract(ends[1], ends[0]), 1e-9)
        found = []
        for sign, corner in zip((1.0, -1.0), np.array(ends), strict=True):
            across = sign / width
            reach = -self._first(-across @ self.factors[0]) - float(across @ corner)
            found.append((reach, np.vstack([corner, corner + reach * sign * np.diag(width)])))
        return min(found, key=lambda pair: pair[0])[1]

    def _first(self, cost: Array) -> float:
        """The least of a linear function of the first law."""
        return _least(cost, self.left[0], self.right[0], self.name)
