"""The rules of do-calculus: what they allow is true in every model, what they refuse is not."""

import numpy as np
import pytest

from causal_pyro_models.errors import QueryError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import Probability, parse, rule_1, rule_2, rule_3
from causal_pyro_models.identification.deciding.bit_graph import BitGraph
from causal_pyro_models.identification.expressions.expression import terms
from causal_pyro_models.identification.laws.random_laws import random_laws
from causal_pyro_models.identification.laws.tabulation import Tabulator
from causal_pyro_models.identification.proofs.rules import licence
from tests.generators import examples
from tests.graph.random_graphs import random_graph, random_sets, random_subset

MOVES = {
    "delete an observation": lambda g, p, v: rule_1(g, p, delete=v),
    "observe an action": lambda g, p, v: rule_2(g, p, observe=v),
    "act on an observation": lambda g, p, v: rule_2(g, p, act=v),
    "delete an action": lambda g, p, v: rule_3(g, p, delete=v),
}
SIDES = {"delete an observation": "g", "observe an action": "d", "act on an observation": "g", "delete an action": "d"}


def random_use(rng, graph):
    """A rule, a probability of some variables of a graph, and one variable to move; None where there are too few."""
    role = dict(zip(graph.variables, rng.choice(list("yggdd-"), len(graph.variables)), strict=True))
    sides = {r: [v for v in role if role[v] == r] for r in "ygd"}
    move = str(rng.choice(list(MOVES)))
    movable = sides[SIDES[move]]
    if not sides["y"] or not movable:
        return None
    return move, Probability(*map(terms, sides.values())), str(rng.choice(movable))


def gap(graph, one, other, seed):
    tabulate = Tabulator(graph.variables, random_laws(graph, seed))
    symbols = sorted(one.free | other.free)
    return np.abs(tabulate.over(one, symbols) - tabulate.over(other, symbols)).max()


@examples(300)
def test_a_rule_allows_what_is_true_and_nothing_else(rng):
    """A use that is refused fails in random models: separation in the mutilated graph is needed, not only enough."""
    graph = random_graph(rng, 5, least=2)
    use = random_use(rng, graph)
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


@examples(200)
def test_masks_separate_as_graphs_do(rng):
    """Separation on bit masks in a mutilated graph is that of CausalGraph in the graph with the edges taken out."""
    graph = random_graph(rng, 7, least=0)
    xs, ys, zs = random_sets(rng, graph)
    over, under = (random_subset(rng, graph.variables) for _ in range(2))
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
