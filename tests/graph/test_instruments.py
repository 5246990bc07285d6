"""Instruments against exact effects in linear models, and against every pair of instrument and covariates."""

import numpy as np
import pytest

from causal_pyro_models.errors import GraphError, QueryError, UnknownVariableError
from causal_pyro_models.graph import CausalGraph, Instrument, instruments, is_instrument, proper_backdoor_graph
from tests.generators import examples
from tests.graph.linear import LinearModel
from tests.graph.test_adjustment import random_effect
from tests.graph.test_separators import subsets

IV = CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("X", "Y")], [("X", "Y")])


@examples(250)
def test_the_ratio_of_covariances_is_the_effect_in_linear_models(rng):
    effect = random_effect(rng, several=False)
    graph, (x,), (y,) = effect[0], *map(tuple, effect[1:])
    model = LinearModel(graph, 0)
    ((truth,),) = model.effects([x], [y])
    for z in sorted(set(graph.variables) - {x, y}):
        for given_ in subsets(set(graph.variables) - {x, y, z}):
            if is_instrument(graph, x, y, z, given_):
                numerator, denominator = (model.partial(v, z, sorted(given_)) for v in (y, x))
                np.testing.assert_allclose(numerator, truth * denominator, rtol=0.0, atol=1e-9)
                assert abs(denominator) > 1e-9


@examples(300)
def test_one_is_found_wherever_there_is_any(rng):
    effect = random_effect(rng, several=False)
    graph, (x,), (y,) = effect[0], *map(tuple, effect[1:])
    rest = set(graph.variables) - {x, y}
    any_at_all = any(is_instrument(graph, x, y, z, w) for z in rest for w in subsets(rest - {z}))
    found = list(instruments(graph, x, y))
    assert all(is_instrument(graph, x, y, instrument.variable, instrument.given) for instrument in found)
    assert bool(found) == any_at_all
    cut = proper_backdoor_graph(graph, x, y)
    ancestral = {
        z for z in rest for w in subsets(cut.ancestors([y, z]) - {x, y, z}) if is_instrument(graph, x, y, z, w)
    }
    assert {instrument.variable for instrument in found} == ancestral


@examples(150)
def test_hidden_variables_are_those_of_the_latent_projection(rng):
    effect = random_effect(rng, several=False)
    graph, (x,), (y,) = effect[0], *map(tuple, effect[1:])
    observed = [v for v in graph.variables if v in (x, y) or sum(map(ord, v)) % 2]
    projected = graph.latent_projection(observed)
    assert set(instruments(graph, x, y, observed=observed)) == set(instruments(projected, x, y))


def test_textbook_instrument_and_reasons():
    assert list(instruments(IV, "X", "Y")) == [Instrument("Z")]
    direct = CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("X", "Y"), ("Z", "Y")], [("X", "Y")])
    assert "the path Z -> Y" in is_instrument(direct, "X", "Y", "Z").reason
    idle = CausalGraph(["Z", "X", "Y"], [("X", "Y")], [("X", "Y")])
    assert "independent of the treatment" in is_instrument(idle, "X", "Y", "Z").reason
    after = CausalGraph(["Z", "X", "Y"], [("X", "Z"), ("Z", "Y")], [("X", "Y")])
    assert "causal path" in is_instrument(after, "X", "Y", "Z").reason


def test_mistakes_are_named():
    with pytest.raises(UnknownVariableError, match="'Q'"):
        is_instrument(IV, "X", "Y", "Q")
    with pytest.raises(GraphError, match="disjoint"):
        is_instrument(IV, "X", "Y", "X")
    with pytest.raises(QueryError, match="treatment must be one variable"):
        instruments(IV, ["X", "Z"], "Y")
    with pytest.raises(QueryError, match="instrument must be one variable"):
        is_instrument(IV, "X", "Y", [])
