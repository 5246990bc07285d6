"""Potential responses: one object exactly where they are equal for every unit in every model."""

import itertools

import numpy as np
from hypothesis import given, settings, strategies as st

from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import CounterfactualGraph, Responses, term
from causal_pyro_models.identification.worlds.responses import Response
from tests.identification.counterfactual_queries import random_event
from tests.identification.oracles import random_admg, random_model

MODELS = 8


def actions(world):
    """An intervention as the enumerated models take it."""
    return {a.name: (a.name, actions(a.do)) if a.do else a.value for a in world}


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1))
def test_a_response_is_one_object_exactly_where_it_is_equal_for_every_unit_in_every_model(seed):
    """Worlds of random graphs, nested ones among them. Different responses may be equal in one small model by chance,
    with probability below 1/2, so that eight models at random tell them apart but for 1 pair in 256; these seeds have
    none."""
    rng = np.random.default_rng(seed)
    graph = random_admg(4, rng, 0.5, 0.2)
    responses = Responses(graph)
    events = [random_event(graph, rng) for _ in range(8)]
    found = [responses.find(event.name, responses.world(event.do)) for event in events]
    models = [random_model(graph, rng) for _ in range(MODELS)]
    units = [model.states()[0] for model in models]
    for (first, one), (second, other) in itertools.combinations(zip(events, found, strict=True), 2):
        if first.name == second.name:
            alike = [
                np.array_equal(*(model.potential(e.name, actions(e.do), states) for e in (first, second)))
                for model, states in zip(models, units, strict=True)
            ]
            assert all(alike) == (one == other), (graph, first, second)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_causes_come_before_effects(seed):
    rng = np.random.default_rng(seed)
    graph = random_admg(5, rng, 0.5, 0.2)
    responses = Responses(graph)
    events = [random_event(graph, rng) for _ in range(4)]
    found = [responses.find(event.name, responses.world(event.do)) for event in events]
    asked = [response for response in found if isinstance(response, Response)]
    order = responses.ancestry(asked)
    assert len(set(order)) == len(order) and set(asked) <= set(order)
    for i, response in enumerate(order):
        assert set(response.sources) <= set(order[:i])


def test_worlds_that_do_not_differ_are_merged():
    graph = CausalGraph.from_edges([("X", "M"), ("M", "Y"), ("W", "Y")])
    events = [term("Y", 1, [term("X", 1)]), term("Y", 1, [term("X", 1), term("Z", 0)]), term("W", 0), term("X", 1)]
    merged = CounterfactualGraph(Responses(graph), events)
    assert [response.name for response in merged.nodes] == ["X", "W", "M", "Y"]
    assert not merged.impossible
    apart = CounterfactualGraph(Responses(graph), [*events[:3], term("X", 0), term("M", 2)])
    assert str(apart) == "X=0, W=0, M_{X=0}=2, m_{X=1}, Y_{m, W=0}=1"
