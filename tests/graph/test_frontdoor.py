"""Front-door sets against the definition by paths, and against exact effects in linear models."""

import networkx as nx
import numpy as np
import pytest

from causal_pyro_models.errors import NoValidSetError, QueryError, UnknownVariableError
from causal_pyro_models.graph import CausalGraph, frontdoor_sets, is_frontdoor_set, minimal_frontdoor_set
from tests.generators import examples
from tests.graph.linear import LinearModel
from tests.graph.oracles import is_m_connected
from tests.graph.test_adjustment import random_effect
from tests.graph.test_separators import subsets

TAR = CausalGraph(["X", "M", "Y"], [("X", "M"), ("M", "Y")], [("X", "Y")])


def satisfies(graph, x, y, m):
    """Pearl (2009), definition 3.3.3, every path looked at."""
    directed = graph.to_networkx()
    paths = [p for a in x for b in y for p in nx.all_simple_paths(directed, a, b)]
    without_x, without_m = graph.remove_outgoing(x), graph.remove_outgoing(m)
    return (
        all(m & set(path) for path in paths)
        and not any(is_m_connected(without_x, a, b, set()) for a in x for b in m)
        and not any(is_m_connected(without_m, a, b, x) for a in m for b in y)
    )


@examples(200)
def test_the_criterion_is_its_definition(rng):
    effect = random_effect(rng)
    graph, x, y = effect
    for m in subsets(set(graph.variables) - x - y):
        assert bool(is_frontdoor_set(graph, x, y, m)) == satisfies(graph, x, y, m), (graph, x, y, m)


@examples(250)
def test_all_sets_and_a_minimal_one(rng):
    effect = random_effect(rng)
    graph, x, y = effect
    role = {v: rng.choice(list("m-io---")) for v in sorted(set(graph.variables) - x - y)}
    included = frozenset(v for v in role if role[v] == "i")
    observed = frozenset(v for v in role if role[v] != "o")
    rest = subsets(observed - included)
    valid = {included | m for m in rest if is_frontdoor_set(graph, x, y, included | m)}
    found = list(frontdoor_sets(graph, x, y, included=included, observed=observed))
    assert len(found) == len(set(found)) and set(found) == valid
    if valid:
        minimal = minimal_frontdoor_set(graph, x, y, included=included, observed=observed)
        assert minimal in valid and not any(other < minimal for other in valid)
    else:
        with pytest.raises(NoValidSetError, match="front-door"):
            minimal_frontdoor_set(graph, x, y, included=included, observed=observed)


@examples(300)
def test_the_formula_gives_the_effect_in_linear_models(rng):
    effect = random_effect(rng, max_variables=6)
    graph, x, y = effect
    model = LinearModel(graph, 0)
    for m in frontdoor_sets(graph, x, y):
        first = model.regression(sorted(m), sorted(x))
        second = model.regression(sorted(y), [*sorted(m), *sorted(x)])[:, : len(m)]
        np.testing.assert_allclose(second @ first, model.effects(sorted(x), sorted(y)), rtol=0.0, atol=1e-9)


@pytest.mark.parametrize(
    ("edges", "bidirected", "says"),
    [
        ([("X", "M"), ("M", "Y"), ("X", "Y")], [], "do not intercept the directed path X -> Y"),
        ([("X", "M"), ("M", "Y")], [("X", "M")], "X <-> M from the treatment to the mediators is open"),
        ([("X", "M"), ("M", "Y")], [("M", "Y")], "does not block the back-door path M <-> Y"),
    ],
)
def test_reasons(edges, bidirected, says):
    verdict = is_frontdoor_set(CausalGraph(["X", "M", "Y"], edges, bidirected), "X", "Y", "M")
    assert not verdict and says in verdict.reason


def test_mistakes_are_named():
    assert is_frontdoor_set(TAR, "X", "Y", "M")
    with pytest.raises(UnknownVariableError, match="'Q'"):
        frontdoor_sets(TAR, "X", "Y", observed="Q")
    with pytest.raises(QueryError, match="treatment is empty"):
        minimal_frontdoor_set(TAR, (), "Y")
