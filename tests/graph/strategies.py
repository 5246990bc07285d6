"""Random causal graphs for hypothesis."""

import itertools

import numpy as np
from hypothesis import strategies as st

from causal_pyro_models.graph import CausalGraph


@st.composite
def admgs(draw, max_variables=6, confounded=True):
    """An acyclic directed mixed graph whose variables are listed in an order of their own."""
    n = draw(st.integers(0, max_variables))
    names = draw(st.permutations([f"V{i}" for i in range(n)]))
    pairs = list(itertools.combinations(names, 2))
    edges = [pair for pair in pairs if draw(st.integers(0, 2)) == 0]
    bidirected = [pair[::-1] for pair in pairs if confounded and draw(st.integers(0, 3)) == 0]
    return CausalGraph(sorted(names), draw(st.permutations(edges)), draw(st.permutations(bidirected)))


@st.composite
def queries(draw, graph):
    """Disjoint sets xs, ys (not empty) and given."""
    role = {v: draw(st.sampled_from(["x", "y", "z", "z", "-"])) for v in graph.variables}
    xs, ys, given = ({v for v in role if role[v] == r} for r in "xyz")
    return xs, ys, given


@st.composite
def generators(draw):
    """A random number generator: what is drawn from it varies more than what hypothesis draws, and does not shrink."""
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1)))


def random_graph(rng, max_variables=6, confounded=True):
    """A random graph of nearly as many variables as there may be, sparse or dense, in an order of its own."""
    n = max_variables - int(rng.choice(3, p=[0.6, 0.3, 0.1]))
    order = rng.permutation([f"V{i}" for i in range(n)]).tolist()
    pairs = list(itertools.combinations(order, 2))
    directed, bidirected = rng.uniform(0.2, 0.7), rng.uniform(0.0, 0.4) * confounded
    edges = [pair for pair in pairs if rng.random() < directed]
    return CausalGraph(sorted(order), edges, [pair for pair in pairs if rng.random() < bidirected])


def random_subset(rng, names, share=0.5):
    """Each of the names with the given probability."""
    return frozenset(name for name in sorted(names) if rng.random() < share)
