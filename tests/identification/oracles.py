"""Truth by enumeration: random discrete models of an ADMG, their laws, and the value of an expression on them."""

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np

from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification.expressions.expression import Fraction, One, Probability, Product, Sum, Symbol


@dataclass(frozen=True)
class DiscreteModel:
    """A structural causal model with finitely many states of its noise.

    Every bidirected edge is a hidden variable, every variable has a noise of its own, and
    ``functions[v][parents..., hidden..., noise]`` is the value of v. Every value has a positive probability.
    """

    graph: CausalGraph
    sizes: dict[str, int]
    hidden: dict[tuple[str, str], np.ndarray]
    noise: dict[str, np.ndarray]
    functions: dict[str, np.ndarray]

    def _confounders(self, v):
        return [pair for pair in self.hidden if v in pair]

    def kernel(self, v):
        """P(v | parents, hidden), axes in that order: parents, hidden, v."""
        values = np.arange(self.sizes[v])
        return np.einsum("...nv,n->...v", self.functions[v][..., None] == values, self.noise[v])

    def law(self, do=()):
        """The array over all variables of P(v without do | do); the axes of the variables in ``do`` are what is set."""
        axes = {key: i for i, key in enumerate([*self.graph.variables, *self.hidden])}
        operands = []
        for pair, probabilities in self.hidden.items():
            operands += [probabilities, [axes[pair]]]
        for v in self.graph.variables:
            if v in do:
                operands += [np.ones(self.sizes[v]), [axes[v]]]
            else:
                keys = [*self.graph.parents(v), *self._confounders(v), v]
                operands += [self.kernel(v), [axes[key] for key in keys]]
        return np.einsum(*operands, [axes[v] for v in self.graph.variables], optimize="greedy")

    def joint(self):
        """P(v), an array over all variables."""
        return self.law()

    # Counterfactuals ------------------------------------------------------------------------------------------------

    def states(self):
        """Every state of the noise: a dict from hidden pair or variable to an index, and the probabilities."""
        laws = {**self.hidden, **self.noise}
        grids = np.meshgrid(*(np.arange(len(p)) for p in laws.values()), indexing="ij")
        indices = {key: grid.ravel() for key, grid in zip(laws, grids, strict=True)}
        weights = math.prod((laws[key][index] for key, index in indices.items()), start=np.ones(1))
        return indices, weights

    def potential(self, name, do, states):
        """The value of a variable in each state under ``do``: name -> a number, or a pair (name, do) of its own."""
        set_to = {v: self.potential(*value, states) if isinstance(value, tuple) else value for v, value in do.items()}
        values = {}
        for v in self.graph.topological_order:
            if v in set_to:
                values[v] = np.broadcast_to(set_to[v], states[name].shape)
            else:
                keys = [values[p] for p in self.graph.parents(v)]
                keys += [states[key] for key in (*self._confounders(v), v)]
                values[v] = self.functions[v][tuple(keys)]
        return values[name]

    def probability(self, events, given=()):
        """P(events | given) by enumeration; each event is (name, do, value). NaN where ``given`` cannot be."""
        states, weights = self.states()

        def mass(conjunction):
            held = np.ones(len(weights), bool)
            for name, do, value in conjunction:
                held &= self.potential(name, do, states) == value
            return weights[held].sum()

        condition = mass(given)
        return mass([*events, *given]) / condition if condition > 0 else math.nan

    def query(self, terms, given, values):
        """P(terms | given) of counterfactual terms (see ``expression.Term``), its symbols having these values."""
        return self.probability(
            [_event(t, values) for t in terms],
            [_event(t, values) for t in given],
        )


def _event(term, values):
    return term.name, _actions(term.do, values), _value(term.value, values)


def _actions(world, values):
    """An action with a world of its own is nested: what it sets the variable to is a response."""
    return {
        action.name: (action.name, _actions(action.do, values)) if action.do else _value(action.value, values)
        for action in world
    }


def _value(value, values):
    return values[value] if isinstance(value, Symbol) else value


def random_model(graph, rng, sizes=2):
    """A random model of a graph; ``sizes`` is one number of values for all variables, or one for each name."""
    sizes = {v: sizes if isinstance(sizes, int) else sizes[v] for v in graph.variables}
    hidden = {pair: _simplex(2, rng) for pair in graph.bidirected}
    noise = {v: _simplex(sizes[v] + 1, rng) for v in graph.variables}
    model = DiscreteModel(graph, sizes, hidden, noise, {})
    return replace(model, functions={v: _random_function(model, v, rng) for v in graph.variables})


def another_domain(model, changed, rng):
    """The model of another population, where ``changed`` variables have new mechanisms and the rest is shared."""
    noise = {v: _simplex(len(p), rng) if v in changed else p for v, p in model.noise.items()}
    functions = {v: _random_function(model, v, rng) if v in changed else f for v, f in model.functions.items()}
    return replace(model, noise=noise, functions=functions)


def _simplex(n, rng):
    p = rng.dirichlet(np.ones(n)) + 0.3 / n
    return p / p.sum()


def _random_function(model, v, rng):
    """Whatever the parents and the hidden variables are, each value is taken for some state of the noise."""
    inputs = [model.sizes[p] for p in model.graph.parents(v)] + [2 for _ in model._confounders(v)]
    size, states = model.sizes[v], len(model.noise[v])
    columns = np.arange(states) % size
    table = np.array([rng.permutation(columns) for _ in range(math.prod(inputs))])
    return table.reshape(*inputs, states)


# The value of an expression -------------------------------------------------------------------------------------------


def value_of(expression, laws, variables, values):
    """The number that an expression is, read off slowly.

    Args:
        expression: what to evaluate.
        laws: (domain, frozenset of names that are set) -> array over all variables, as :meth:`DiscreteModel.law`.
        variables: the order of the axes.
        values: symbol -> value.
    """
    match expression:
        case One():
            return 1.0
        case Product(factors):
            return math.prod(value_of(factor, laws, variables, values) for factor in factors)
        case Fraction(numerator, denominator):
            return value_of(numerator, laws, variables, values) / value_of(denominator, laws, variables, values)
        case Sum(over, body):
            some = next(iter(laws.values()))
            ranges = [range(some.shape[variables.index(symbol.name)]) for symbol in over]
            return sum(
                value_of(body, laws, variables, {**values, **dict(zip(over, chosen, strict=True))})
                for chosen in itertools.product(*ranges)
            )
        case Probability():
            return _probability(expression, laws, variables, values)
    raise TypeError(expression)


def _probability(p, laws, variables, values):
    law = laws[p.domain, frozenset(t.name for t in p.do)]

    def mass(terms):
        index = [slice(None)] * len(variables)
        for t in p.do:
            index[variables.index(t.name)] = _value(t.value, values)
        for t in terms:
            axis, value = variables.index(t.name), _value(t.value, values)
            assert not t.do, f"{t} lives in a world of its own"
            if index[axis] not in (slice(None), value):
                return 0.0
            index[axis] = value
        return law[tuple(index)].sum()

    return mass(p.outcome + p.given) / mass(p.given)


# Random graphs --------------------------------------------------------------------------------------------------------


def random_admg(n, rng, directed=0.4, bidirected=0.25):
    """A random graph over V0, V1, ... in an order of their own, with each edge there with the given probability."""
    names = [f"V{i}" for i in range(n)]
    order = rng.permutation(names).tolist()
    pairs = list(itertools.combinations(order, 2))
    edges = [pair for pair in pairs if rng.random() < directed]
    return CausalGraph(names, edges, [pair for pair in pairs if rng.random() < bidirected])
