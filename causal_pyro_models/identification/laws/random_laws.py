"""Random distributions to check expressions on: of random models of a graph, or of no graph at all."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from causal_pyro_models.arrays import Array
from causal_pyro_models.errors import QueryError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification.laws.tabulation import Regimes

MOST_VARIABLES = 16  # of two values each, in a table over all of them


def random_laws(graph: CausalGraph, seed: int) -> Regimes:
    """The interventional distributions of a random model in which all variables, hidden ones too, have two values.

    Every bidirected edge is a hidden cause of its ends; all probabilities are between 0.1 and 0.9.

    Raises:
        QueryError: more variables than a table can have.
    """
    if len(graph.variables) > MOST_VARIABLES:
        raise QueryError(
            f"random models are for at most {MOST_VARIABLES} variables, the graph has {len(graph.variables)}. Take the "
            f"subgraph over the ancestors of the query."
        )
    rng = np.random.default_rng(seed)
    axis = {key: i for i, key in enumerate([*graph.variables, *graph.bidirected])}
    hidden = [(rng.uniform(0.1, 0.9), axis[pair]) for pair in graph.bidirected]
    kernels = {}
    for v in graph.variables:
        inputs = [axis[p] for p in graph.parents(v)] + [axis[pair] for pair in graph.bidirected if v in pair]
        one = rng.uniform(0.1, 0.9, (2,) * len(inputs))
        kernels[v] = (np.stack([1.0 - one, one], -1), [*inputs, axis[v]])

    @cache
    def law(domain: str, do: frozenset[str]) -> Array:
        operands: list[Any] = []
        for one, place in hidden:
            operands += [np.array([1.0 - one, one]), [place]]
        for v, (kernel, axes) in kernels.items():
            operands += [np.ones(2), [axis[v]]] if v in do else [kernel, axes]
        return np.asarray(np.einsum(*operands, [axis[v] for v in graph.variables], optimize="greedy"))

    return law


def unrestricted(names: Sequence[str], seed: int) -> Regimes:
    """For every domain and intervention a random distribution of its own.

    Among more than ten variables, ten picked at random have two values and the others one.
    """
    rng = np.random.default_rng(seed)
    many = set(rng.permutation(len(names))[:10].tolist())
    shape = [2 if i in many else 1 for i in range(len(names))]

    @cache
    def law(domain: str, do: frozenset[str]) -> Array:
        free = tuple(i for i, name in enumerate(names) if name not in do)
        weights = rng.uniform(0.2, 1.0, shape)
        return np.asarray(weights / weights.sum(axis=free, keepdims=True))

    return law
