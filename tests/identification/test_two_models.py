"""What is not identifiable is so: two models that agree on P(v) and differ on the query, found by optimisation."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from causal_pyro_models.errors import NotIdentifiableError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import Query, identify
from causal_pyro_models.identification.laws.tabulation import Tabulator

APART = 0.1  # how far apart the two models shall be on the query
EQUAL = 1e-7  # how far apart they may be on P(v)
POSITIVE = 1e-3  # the least that any P(v) may be: identification supposes that all values occur

CASES = {
    "bow": ("X -> Y; X <-> Y", "P(Y | do(X))"),
    "instrument": ("Z -> X -> Y; X <-> Y", "P(Y | do(X))"),
    "a confounded first step": ("X -> Z -> Y; X <-> Z", "P(Y | do(X))"),
    "front door with a direct path": ("X -> M -> Y; X -> Y; X <-> Y", "P(Y | do(X))"),
    "bow within strata": ("Z -> X; Z -> Y; X -> Y; X <-> Y", "P(Y | do(X), Z)"),
    "a hidden chain": ("Z -> X -> Y; X <-> Z; Z <-> Y", "P(Y | do(X))"),
    "two outcomes": ("X -> A; X -> B; X <-> A; A <-> B", "P(A, B | do(X))"),
    "a condition that harms": ("X -> Z; X <-> Z; Y -> Z; X -> Y", "P(Y | do(X), Z)"),
}


class Family:
    """All models of a graph over variables of two values in which every hidden variable has four.

    A model is a vector of reals: the logits of its probabilities.
    """

    def __init__(self, graph, hidden_states=4):
        self.graph = graph
        self.axes = {key: i for i, key in enumerate([*graph.variables, *graph.bidirected])}
        self.parts = {pair: (hidden_states - 1,) for pair in graph.bidirected}
        for v in graph.variables:
            causes = [2] * len(graph.parents(v)) + [hidden_states for pair in graph.bidirected if v in pair]
            self.parts[v] = tuple(causes)
        self.size = sum(int(np.prod(shape)) for shape in self.parts.values())

    def law(self, logits, do=()):
        """The array of P(v without do | do), with an axis for each variable."""
        operands, start = [], 0
        for key, shape in self.parts.items():
            stop = start + int(np.prod(shape))
            part, start = logits[start:stop].reshape(shape), stop
            if key in do:
                operands += [np.ones(2), [self.axes[key]]]
            elif isinstance(key, tuple):
                weights = np.exp(np.append(part, 0.0))
                operands += [weights / weights.sum(), [self.axes[key]]]
            else:
                one = 1.0 / (1.0 + np.exp(-part))
                causes = [*self.graph.parents(key), *(pair for pair in self.graph.bidirected if key in pair), key]
                operands += [np.stack([1.0 - one, one], -1), [self.axes[cause] for cause in causes]]
        return np.einsum(*operands, [self.axes[v] for v in self.graph.variables], optimize="greedy")

    def answer(self, logits, query):
        """The query at all values of its variables."""
        do = frozenset(t.name for t in query.treatment)
        return Tabulator(self.graph.variables, lambda domain, names: self.law(logits, do))(query.expression)[0]


def two_models(graph, query, rng, attempts=5):
    """The logits of two models that agree on P(v), and are apart on the query where all its variables are 1."""
    family = Family(graph)

    def residuals(logits):
        one, two = np.split(logits, 2)
        observed = (family.law(one) - family.law(two)).ravel()
        apart = family.answer(one, query).flat[-1] - family.answer(two, query).flat[-1] - APART
        return np.append(observed, apart)

    for _ in range(attempts):
        start = rng.normal(scale=1.0, size=2 * family.size)
        found = least_squares(residuals, start, xtol=1e-14, ftol=1e-14, gtol=1e-14, max_nfev=60)
        one, two = np.split(found.x, 2)
        if np.abs(found.fun).max() < EQUAL and min(family.law(one).min(), family.law(two).min()) > POSITIVE:
            return family, one, two
    raise AssertionError(f"no two models found for {query} in {graph}")


@pytest.mark.parametrize("name", CASES)
def test_two_models_agree_on_what_is_seen_and_differ_on_the_query(name):
    edges, text = CASES[name]
    graph, query = CausalGraph.from_dagitty(f"dag {{ {edges} }}"), Query.parse(text)
    with pytest.raises(NotIdentifiableError):
        identify(graph, query)
    family, one, two = two_models(graph, query, np.random.default_rng(0))
    assert np.abs(family.law(one) - family.law(two)).max() < EQUAL
    assert np.abs(family.answer(one, query) - family.answer(two, query)).max() > 0.99 * APART


def test_there_are_no_two_models_where_the_query_is_identifiable():
    graph, query = CausalGraph.from_dagitty("dag { X -> M -> Y; X <-> Y }"), Query.parse("P(Y | do(X))")
    identify(graph, query)
    with pytest.raises(AssertionError, match="no two models"):
        two_models(graph, query, np.random.default_rng(0), attempts=3)
