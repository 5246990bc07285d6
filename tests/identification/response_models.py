"""All models of a graph that have the joint law of one, by the laws of their response types, and extremes over them.

Nothing of the package is used but the graph. A response type of a variable is a function from its parents to it. What
is hidden in a district draws the types of its members: where every two of them have a hidden cause in common, by any
law that gives P(d | do(parents of d)).
"""

import functools
import itertools
import math

import numpy as np
from scipy.optimize import linprog


class AgreeingModels:
    """The models that agree with one of all hidden states, see :class:`oracles.DiscreteModel`.

    A model is a list of laws, one for each district, of the combinations of types of its members.

    Attributes:
        laws: those of the model itself.
    """

    def __init__(self, model):
        self.graph, self.sizes = model.graph, model.sizes
        self.districts = [sorted(d) for d in self.graph.districts]
        counts = {v: self.sizes[v] ** math.prod(self._inputs(v)) for v in self.graph.variables}
        self.shapes = [[counts[v] for v in district] for district in self.districts]
        assert math.prod(counts.values()) < 100_000, "the array of all combinations of types is too large"
        self.functions = {v: self._functions(v) for v in self.graph.variables}
        self.types = {}  # variable -> the number of its type, along the axis of its district
        for axis, (district, shape) in enumerate(zip(self.districts, self.shapes, strict=True)):
            along = [-1 if a == axis else 1 for a in range(len(self.districts))]
            for v, numbers in zip(district, np.unravel_index(np.arange(math.prod(shape)), shape), strict=True):
                self.types[v] = numbers.reshape(along)
        self.laws = [self._law(model, k) for k in range(len(self.districts))]
        self.constraints = [self._constraints(k) for k in range(len(self.districts))]

    def _inputs(self, v):
        return [self.sizes[p] for p in self.graph.parents(v)]

    def _functions(self, v):
        rows = itertools.product(range(self.sizes[v]), repeat=math.prod(self._inputs(v)))
        return np.array(list(rows)).reshape(-1, *self._inputs(v))

    def _law(self, model, k):
        """What the hidden states of the model make of the types of a district."""
        district, law = self.districts[k], np.zeros(self.shapes[k])
        noise = {pair: p for pair, p in model.hidden.items() if pair[0] in district}
        noise |= {v: model.noise[v] for v in district}
        for states in itertools.product(*(range(len(p)) for p in noise.values())):
            at = dict(zip(noise, states, strict=True))
            place = []
            for v in district:
                hidden = tuple(at[pair] for pair in model.hidden if v in pair)
                response = model.functions[v][(..., *hidden, at[v])].ravel()
                place.append(np.ravel_multi_index(response, [self.sizes[v]] * response.size))
            law[tuple(place)] += math.prod(noise[key][state] for key, state in at.items())
        return law.ravel()

    def _constraints(self, k):
        """What a law of the types of a district must have, as rows that keep their means; None where it must stay.

        They are those of P(d | do(parents of d)), and where two members have no hidden cause in common, those by which
        the law is one of the graph all the same: a member without parents, all others of which have causes in common,
        is independent of the types of those that it has none in common with; or what is drawn anew is one member that
        has causes in common with all others.
        """
        district, types = self.districts[k], dict(zip(self.districts[k], np.indices(self.shapes[k]), strict=True))
        outside = sorted({p for v in district for p in self.graph.parents(v)}.difference(district))
        rows = []
        for values in itertools.product(*(range(self.sizes[v]) for v in [*outside, *district])):
            at = dict(zip([*outside, *district], values, strict=True))
            holds = [self._response(v, types[v], at) == at[v] for v in district]
            rows.append(np.prod(holds, axis=0).ravel())
        apart = {v: [w for w in district if w != v and w not in self.graph.siblings(v)] for v in district}
        if any(apart.values()):
            alone = [v for v in district if all(set(apart[w]) <= {v} for w in district if w != v)]
            root = next((v for v in alone if not self.graph.parents(v)), None)
            hub = next((v for v in district if not apart[v]), None)
            if root is not None:
                others, own = _numbered(types, apart[root]), types[root].ravel()
                chance = np.array([self.laws[k][own == value].sum() for value in range(self.sizes[root])])
                rows += [((own == i) - chance[i]) * (others == j) for i in range(len(chance)) for j in set(others)]
            elif hub is not None:
                others = _numbered(types, [v for v in district if v != hub])
                rows += [others == j for j in set(others)]
            else:
                return None
        return np.array(rows, dtype=float)

    # Events ---------------------------------------------------------------------------------------------------------

    def happens(self, events):
        """Whether each event (variable, do, value) of a conjunction happens, by the types of all districts."""
        held = np.ones([1] * len(self.districts), bool)
        for name, do, value in events:
            held = held & (self._value(name, do) == value)
        return np.broadcast_to(held, [math.prod(shape) for shape in self.shapes]) * 1.0

    def _value(self, name, do):
        if name in do:
            return self._value(*do[name]) if isinstance(do[name], tuple) else np.array(do[name])
        parents = {p: self._value(p, do) for p in self.graph.parents(name)}
        return self._response(name, self.types[name], parents)

    def _response(self, v, types, parents):
        return self.functions[v][(types, *(parents[p] for p in self.graph.parents(v)))]

    def probability(self, above, below, laws):
        """The ratio of what happens to what is given, see :meth:`happens`."""
        return _mean(above, laws) / _mean(below, laws)

    def joint(self, laws):
        """P(v), an array over all variables."""
        weights = functools.reduce(np.multiply.outer, laws)
        values = [np.broadcast_to(self._value(v, {}), weights.shape).ravel() for v in self.graph.variables]
        law = np.zeros([self.sizes[v] for v in self.graph.variables])
        np.add.at(law, tuple(values), weights.ravel())
        return law

    # Extremes -------------------------------------------------------------------------------------------------------

    def descended(self, above, below, laws):
        """Laws of an agreeing model where mean(above) / mean(below) is least, each district's in turn given the rest.

        From one end or another this is the least of all, if not from every start.
        """
        laws, found = list(laws), math.inf
        while (ratio := self.probability(above, below, laws)) < found - 1e-9:
            found = ratio
            for k, constraints in enumerate(self.constraints):
                if constraints is not None:
                    numerator, denominator = (_mean(part, laws, but=[k]) for part in (above, below))
                    laws[k] = _least_ratio(numerator, denominator, constraints, laws[k])
        return laws

    def drawn(self, rng):
        """Laws of an agreeing model at random, each a corner of those that its district can have."""
        return [
            law if constraints is None else _least(rng.normal(size=law.size), constraints, law)
            for constraints, law in zip(self.constraints, self.laws, strict=True)
        ]


def _mean(values, laws, but=()):
    """The mean over the laws of all districts but some."""
    operands = [values, list(range(len(laws)))]
    for k, law in enumerate(laws):
        operands += [law, [k]] if k not in but else []
    return np.einsum(*operands, list(but), optimize="greedy")


def _least(cost, constraints, law):
    """Of the laws that meet the constraints as one does, that with the least mean cost."""
    found = linprog(cost, A_eq=constraints, b_eq=constraints @ law, method="highs")
    assert found.status == 0, found.message
    return found.x


def _least_ratio(numerator, denominator, constraints, law):
    """The same for a ratio of means (Dinkelbach 1967)."""
    while True:
        ratio = (numerator @ law) / (denominator @ law)
        following = _least(numerator - ratio * denominator, constraints, law)
        if (numerator - ratio * denominator) @ following > -1e-10:
            return law
        law = following


def _numbered(types, names):
    """The combination of types of some members, as a number."""
    return np.unique([types[v].ravel() for v in names], axis=1, return_inverse=True)[1].ravel()
