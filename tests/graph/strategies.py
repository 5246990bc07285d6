"""Random causal graphs for hypothesis."""

import itertools

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
