"""The rules of do-calculus: what they allow is true in every model, what they refuse is not."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from causal_pyro_models.errors import QueryError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import Probability, parse, rule_1, rule_2, rule_3
from causal_pyro_models.identification.bit_graph import BitGraph
from causal_pyro_models.identification.expression import terms
from causal_pyro_models.identification.random_laws import random_laws
from causal_pyro_models.identification.rules import licence
from causal_pyro_models.identification.tabulation import Tabulator
from tests.graph.strategies import admgs

MOVES = {
    "delete an observation": lambda g, p, v: rule_1(g, p, delete=v),
    "observe an action": lambda g, p, v: rule_2(g, p, observe=v),
    "act on an observation": lambda g, p, v: rule_2(g, p, act=v),
    "delete an action": lambda g, p, v: rule_3(g, p, delete=v),
}
SIDES = {"delete an observation": "g", "observe an action": "d", "act on an observation": "g", "delete an action": "d"}


@st.composite
def uses(draw, graph):
    """A probability of some variables of a graph, and one variable to move."""
    role = {v: draw(st.sampled_from("yggdd-")) for v in graph.variables}
    sides = {r: [v for v in role if role[v] == r] for r in "ygd"}
    move = draw(st.sampled_from(list(MOVES)))
    movable = sides[SIDES[move]]
    if not sides["y"] or not movable:
        return None
    return move, Probability(terms(sides["y"]), terms(sides["g"]), terms(sides["d"])), draw(st.sampled_from(movable))


def gap(graph, one, other, seed):
    tabulate = Tabulator(graph.variables, random_laws(graph, seed))
    symbols = sorted(one.free | other.free)
    return np.abs(tabulate.over(one, symbols) - tabulate.over(other, symbols)).max()


@settings(max_examples=300)
@given(admgs(max_variables=5), st.data())
def test_a_rule_allows_what_is_true_and_nothing_else(graph, data):
    """A use that is refused fails in random models: separation in the mutilated graph is needed, not only enough."""
    use = data.draw(uses(graph))
    if use is None:
        return
    move, before, v = use
    try:
        after = MOVES[move](graph, before, v)
    except QueryError:
        after = unchecked(move, before, v)
        assert max(gap(graph, before, after, seed) for seed in range(3)) > 1e-9
        return
    assert max(gap(graph, before, after, seed) for seed in range(3)) < 1e-9
    assert back(graph, move, after, v) == before


def unchecked(move, p, v):
    given, do = (tuple(t for t in side if t.name != v) for side in (p.given, p.do))
    given = given + terms([v]) if move == "observe an action" else given
    do = do + terms([v]) if move == "act on an observation" else do
    return Probability(p.outcome, given, do)


def back(graph, move, p, v):
    """The same rule the other way round."""
    return {
        "delete an observation": lambda: rule_1(graph, p, insert=v),
        "observe an action": lambda: rule_2(graph, p, act=v),
        "act on an observation": lambda: rule_2(graph, p, observe=v),
        "delete an action": lambda: rule_3(graph, p, insert=v),
    }[move]()


@settings(max_examples=200)
@given(admgs(max_variables=7), st.data())
def test_masks_separate_as_graphs_do(graph, data):
    """Separation on bit masks in a mutilated graph is that of CausalGraph in the graph with the edges taken out."""
    role = {v: data.draw(st.sampled_from("xyzz-")) for v in graph.variables}
    xs, ys, zs = ([v for v in role if role[v] == r] for r in "xyz")
    over, under = ([v for v in graph.variables if data.draw(st.booleans())] for _ in range(2))
    g = BitGraph(graph)
    found = g.separated(g.mask(xs), g.mask(ys), g.mask(zs), over=g.mask(over), under=g.mask(under))
    assert found == graph.do(over).remove_outgoing(under).m_separated(xs, ys, zs)


def test_what_no_single_rule_does():
    graph = CausalGraph(["W", "X", "Y", "Z"], [])
    for before, after, says in [
        ("P(y | do(x))", "P(z | do(x))", "outcomes differ"),
        ("P(y | do(x))", "P^*(y | do(x))", "outcomes differ"),
        ("P(y | do(x), z)", "P(y | w, x)", "no single rule"),
        ("P(y | do(x), z)", "P(y | do(z), x)", "no single rule"),
        ("P(y | z)", "P(y | w)", "no single rule"),
        ("P(y | do(x))", "P(y | do(x))", "no single rule"),
    ]:
        with pytest.raises(QueryError, match=says):
            licence(graph, parse(before), parse(after))
