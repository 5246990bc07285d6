"""Random causal graphs, and sets of their variables."""

import itertools

from causal_pyro_models.graph import CausalGraph


def random_graph(rng, max_variables=6, confounded=True, least=None):
    """A random graph, sparse or dense, in an order of its own.

    Of nearly as many variables as there may be, or of any number from ``least`` on.
    """
    fewer = int(rng.choice(3, p=[0.6, 0.3, 0.1])) if least is None else int(rng.integers(max_variables - least + 1))
    names = [f"V{i}" for i in range(max_variables - fewer)]
    pairs = list(itertools.combinations(shuffled(rng, names), 2))
    directed, bidirected = rng.uniform(0.2, 0.7), rng.uniform(0.0, 0.4) * confounded
    edges = [pair for pair in pairs if rng.random() < directed]
    return CausalGraph(names, edges, [pair for pair in pairs if rng.random() < bidirected])


def shuffled(rng, items):
    """The items in random order."""
    return [items[i] for i in rng.permutation(len(items))]


def random_subset(rng, names, share=0.5):
    """Each of the names with the given probability."""
    return frozenset(name for name in sorted(names) if rng.random() < share)


def random_sets(rng, graph):
    """Disjoint sets xs, ys and given."""
    role = dict(zip(graph.variables, rng.choice(list("xyzz-"), len(graph.variables)), strict=True))
    return tuple({v for v in role if role[v] == r} for r in "xyz")
