"""Bounds hold in every model that has the joint law, and those that are called sharp are attained by one."""

import functools

import numpy as np
import pytest

from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import JointTable, bounds, pns_bounds
from tests.identification.oracles import random_admg, random_model
from tests.identification.response_models import AgreeingModels

CLOSE = 1e-6


def reached(agreeing, events, given, starts):
    """The least and the greatest P(events | given) that the search comes to from some models; all have the law."""
    above, below = agreeing.happens(events + given), agreeing.happens(given)
    law, ends = agreeing.joint(agreeing.laws), []
    for sign in (1.0, -1.0):
        found = [agreeing.descended(sign * above, below, laws) for laws in starts]
        for laws in found:
            np.testing.assert_allclose(agreeing.joint(laws), law, rtol=0.0, atol=1e-7)
        ends.append(sign * min(sign * agreeing.probability(above, below, laws) for laws in found))
    return ends


def questions(graph, rng):
    """A query in two worlds, one given what is seen, one given what follows, and a nested one; with their events."""
    x, y, z = rng.choice(graph.variables, 3, replace=False).tolist()
    yield f"P({y}_{{{x}=1}}=1, {y}_{{{x}=0}}=0)", [(y, {x: 1}, 1), (y, {x: 0}, 0)], []
    yield f"P({y}_{{{x}=1}}=1 | {z}=1)", [(y, {x: 1}, 1)], [(z, {}, 1)]
    yield f"P({y}=1 | do({x}=1), {z}=1)", [(y, {x: 1}, 1)], [(z, {x: 1}, 1)]
    yield f"P({y}_{{{x}=1, {z}_{{{x}=0}}}}=1, {z}=0)", [(y, {x: 1, z: (z, {x: 0})}, 1), (z, {}, 0)], []


@functools.cache
def cases():
    """Bounds apart, on random models of random graphs, with the ends that a search over all agreeing models reaches."""
    found = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        graph = random_admg(4, rng, 0.5, 0.25)
        model = random_model(graph, rng)
        agreeing = AgreeingModels(model)
        np.testing.assert_allclose(agreeing.joint(agreeing.laws), model.joint(), rtol=0.0, atol=1e-12)
        for text, events, given in questions(graph, rng):
            claimed = bounds(graph, JointTable(graph.variables, model.joint()), text)
            if claimed.width > 1e-3:
                starts = [agreeing.laws, *(agreeing.drawn(rng) for _ in range(2))]
                found.append((graph, claimed, *reached(agreeing, events, given, starts)))
    return found


def test_no_model_with_the_joint_law_is_outside():
    for graph, claimed, least, greatest in cases():
        assert claimed.lower - CLOSE <= least <= greatest <= claimed.upper + CLOSE, (graph, claimed, least, greatest)


def test_sharp_bounds_are_attained_at_both_ends():
    """By models that were found without the package; and there are bounds of either kind among the cases."""
    sharp = [case for case in cases() if case[1].sharp]
    assert len(sharp) > 10 and len(cases()) - len(sharp) > 5
    for graph, claimed, least, greatest in sharp:
        np.testing.assert_allclose([least, greatest], [claimed.lower, claimed.upper], atol=CLOSE, err_msg=str(graph))


@pytest.mark.parametrize("bidirected", [[], [("X", "A")], [("A", "B")]], ids=["none", "X <-> A", "A <-> B"])
@pytest.mark.parametrize("seed", range(3))
def test_three_unsettled_districts_are_bounded_but_not_sharply(seed, bidirected):
    """X -> A -> B -> C -> Y: how each follows the one before is not settled, which three districts or more share."""
    rng = np.random.default_rng(seed)
    graph = CausalGraph(list("XABCY"), [("X", "A"), ("A", "B"), ("B", "C"), ("C", "Y")], bidirected)
    model = random_model(graph, rng)
    agreeing = AgreeingModels(model)
    claimed = pns_bounds(graph, JointTable(graph.variables, model.joint()), {"X": (0, 1)}, "Y")
    events = [("Y", {"X": 1}, 1), ("Y", {"X": 0}, 0)]
    starts = [agreeing.laws, *(agreeing.drawn(rng) for _ in range(4))]
    least, greatest = reached(agreeing, events, [], starts)
    assert not claimed.sharp
    assert claimed.lower - CLOSE <= least < greatest <= claimed.upper + CLOSE
