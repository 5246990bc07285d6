"""Bounds against closed forms, against the enumerated truth, and against identification."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from causal_pyro_models.errors import (
    DataError,
    EvidenceError,
    InterventionError,
    NotIdentifiableError,
    QueryError,
    UnknownVariableError,
)
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import Bounds, ate_bounds, bounds, pn_bounds, pns_bounds, ps_bounds
from causal_pyro_models.identification.identify import identify
from causal_pyro_models.identification.laws.joint_table import JointTable
from tests.generators import examples
from tests.identification.oracles import random_admg, random_model

BOW = CausalGraph(["X", "Y"], [("X", "Y")], [("X", "Y")])
ARROW = CausalGraph(["X", "Y"], [("X", "Y")])
IV = CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("X", "Y")], [("X", "Y")])
ARMS = {"X": (0, 1)}
CLOSE = 1e-7  # what the solver is exact to


def table_of(model):
    return JointTable(model.graph.variables, model.joint())


def assert_bounds(found, lower, upper, sharp=True):
    assert found.sharp is sharp
    np.testing.assert_allclose([found.lower, found.upper], [lower, upper], rtol=0.0, atol=CLOSE)


def balke_pearl(law):
    """Balke and Pearl (1997), equation 8: bounds on the effect from p[y, x, z] = P(y, x | z)."""
    p = {(y, x, z): law[z, x, y] / law[z].sum() for y in (0, 1) for x in (0, 1) for z in (0, 1)}
    lower = max(
        p[1, 1, 1] + p[0, 0, 0] - 1,
        p[1, 1, 0] + p[0, 0, 1] - 1,
        p[1, 1, 0] - p[1, 1, 1] - p[1, 0, 1] - p[0, 1, 0] - p[1, 0, 0],
        p[1, 1, 1] - p[1, 1, 0] - p[1, 0, 0] - p[0, 1, 1] - p[1, 0, 1],
        -p[0, 1, 1] - p[1, 0, 1],
        -p[0, 1, 0] - p[1, 0, 0],
        p[0, 0, 1] - p[0, 1, 1] - p[1, 0, 1] - p[0, 1, 0] - p[0, 0, 0],
        p[0, 0, 0] - p[0, 1, 0] - p[1, 0, 0] - p[0, 1, 1] - p[0, 0, 1],
    )
    upper = min(
        1 - p[0, 1, 1] - p[1, 0, 0],
        1 - p[0, 1, 0] - p[1, 0, 1],
        -p[0, 1, 0] + p[0, 1, 1] + p[0, 0, 1] + p[1, 1, 0] + p[0, 0, 0],
        -p[0, 1, 1] + p[1, 1, 1] + p[0, 0, 1] + p[0, 1, 0] + p[0, 0, 0],
        p[1, 1, 1] + p[0, 0, 1],
        p[1, 1, 0] + p[0, 0, 0],
        -p[1, 0, 1] + p[1, 1, 1] + p[0, 0, 1] + p[1, 1, 0] + p[1, 0, 0],
        -p[1, 0, 0] + p[1, 1, 0] + p[0, 0, 0] + p[1, 1, 1] + p[1, 0, 1],
    )
    return lower, upper


@examples(60)
def test_an_instrument_has_the_bounds_of_balke_and_pearl(rng):
    joint = random_model(IV, rng).joint()
    assert_bounds(ate_bounds(IV, JointTable(["Z", "X", "Y"], joint), ARMS, "Y"), *balke_pearl(joint))


@examples(25)
def test_a_confounded_instrument_bounds_as_much(rng):
    """Z <-> X says as much about the effect as Z -> X: Z is independent of how Y responds, and its law is known."""
    joint = random_model(IV, rng).joint()
    confounded = CausalGraph(["Z", "X", "Y"], [("X", "Y")], [("Z", "X"), ("X", "Y")])
    assert_bounds(ate_bounds(confounded, JointTable(["Z", "X", "Y"], joint), ARMS, "Y"), *balke_pearl(joint))


@examples(40)
def test_without_an_instrument_they_are_the_natural_bounds(rng):
    """Robins (1989), Manski (1990): P(x, y) <= P(y | do(x)) <= P(x, y) + 1 - P(x), for any number of states."""
    xs, ys = rng.integers(2, 4, 2).tolist()
    joint = random_model(BOW, rng, {"X": xs, "Y": ys}).joint()
    x, y = xs - 1, ys - 1
    found = bounds(BOW, JointTable(["X", "Y"], joint), f"P(Y={y} | do(X={x}))")
    assert_bounds(found, joint[x, y], joint[x, y] + 1 - joint[x].sum())


@examples(40)
def test_probabilities_of_causation_have_the_bounds_of_tian_and_pearl(rng):
    """Tian and Pearl (2000): section 4.2.1 without confounding, and the bounds from the joint law alone with it."""
    joint = random_model(ARROW, rng).joint()
    control, treated = joint[:, 1] / joint.sum(1)
    table = JointTable(["X", "Y"], joint)
    low, high = max(0.0, treated - control), min(treated, 1 - control)
    assert_bounds(pns_bounds(ARROW, table, ARMS, "Y"), low, high)
    assert_bounds(pn_bounds(ARROW, table, ARMS, "Y"), low / treated, high / treated)
    assert_bounds(ps_bounds(ARROW, table, ARMS, "Y"), low / (1 - control), high / (1 - control))
    confounded = random_model(BOW, rng).joint()
    table = JointTable(["X", "Y"], confounded)
    assert_bounds(pns_bounds(BOW, table, ARMS, "Y"), 0.0, confounded[1, 1] + confounded[0, 0])
    assert_bounds(pn_bounds(BOW, table, ARMS, "Y"), 0.0, 1.0)


def random_problem(rng, most_types=4000):
    """A random graph of two to four variables, and a model of it with two or three states, whose bounds are quick."""
    while True:
        size = int(rng.integers(2, 5))
        graph = random_admg(size, rng, directed=0.6, bidirected=0.4)
        sizes = {v: 3 if size < 4 and rng.random() < 0.3 else 2 for v in graph.variables}
        inputs = {v: math.prod(sizes[p] for p in graph.parents(v)) for v in graph.variables}
        if math.prod(sizes[v] ** inputs[v] for v in graph.variables) <= most_types:
            return graph, random_model(graph, rng, sizes)


@examples(60)
def test_the_truth_lies_within(rng):
    """Effects and probabilities of causation of random models of random graphs, of two and three states."""
    graph, model = random_problem(rng)
    x, y = rng.choice(graph.variables, 2, replace=False)
    table = table_of(model)

    def within(found, truth):
        assert 0.0 <= found.lower <= found.upper + CLOSE <= 1.0 + 2 * CLOSE
        assert found.lower - CLOSE <= truth <= found.upper + CLOSE, (graph, x, y, found, truth)

    within(bounds(graph, table, f"P({y}=1 | do({x}=1))"), model.probability([(y, {x: 1}, 1)]))
    event = {y: 1}
    both = [(y, {x: 1}, 1), (y, {x: 0}, 1)]
    pns = model.probability(both[:1]) - model.probability(both)
    within(pns_bounds(graph, table, {x: (0, 1)}, event), pns)
    if model.sizes[x] == 2:
        seen = [(x, {}, 1), (y, {}, 1)]
        within(pn_bounds(graph, table, {x: (0, 1)}, event), 1 - model.probability([(y, {x: 0}, 1)], seen))
        unseen = [(x, {}, 0)]
        pairs = [(y, {x: 1}, 1), (y, {}, 1)]
        ps = (model.probability(pairs[:1], unseen) - model.probability(pairs, unseen)) / (
            1 - model.probability(pairs[1:], unseen)
        )
        within(ps_bounds(graph, table, {x: (0, 1)}, event), ps)


@examples(40)
def test_two_districts_are_bounded_sharply(rng):
    """X -> M -> Y: the share u of units whose M follows X, and w of those whose Y follows M, each range over an
    interval, and the bilinear PNS = u w + (u - a)(w - b) takes its extremes at the corners."""
    chain = CausalGraph.from_edges([("X", "M"), ("M", "Y")])
    model = random_model(chain, rng)
    m0, m1 = (model.probability([("M", {"X": x}, 1)]) for x in (0, 1))
    y0, y1 = (model.probability([("Y", {"M": m}, 1)]) for m in (0, 1))
    us, ws = (max(0.0, m1 - m0), min(m1, 1 - m0)), (max(0.0, y1 - y0), min(y1, 1 - y0))
    corners = [u * w + (u - m1 + m0) * (w - y1 + y0) for u in us for w in ws]
    assert_bounds(pns_bounds(chain, table_of(model), ARMS, "Y"), min(corners), max(corners))


def vertices(constraints, values):
    """The corners of a polytope of probabilities: every basis is tried."""
    rank = np.linalg.matrix_rank(constraints)
    found = []
    for basis in map(list, itertools.combinations(range(constraints.shape[1]), rank)):
        if np.linalg.matrix_rank(constraints[:, basis]) == rank:
            corner = np.zeros(constraints.shape[1])
            corner[basis] = np.linalg.lstsq(constraints[:, basis], values)[0]
            found += [corner] if corner.min() > -1e-12 else []
    return np.array(found)


@pytest.mark.parametrize("seed", range(6))
def test_a_search_that_has_to_branch_finds_the_extremes_over_all_corners(seed):
    """X -> M -> Y with three states of M: the extremes of a bilinear function lie at a corner of each polytope."""
    rng = np.random.default_rng(seed)
    chain = CausalGraph.from_edges([("X", "M"), ("M", "Y")])
    model = random_model(chain, rng, {"X": 2, "M": 3, "Y": 2})
    m = np.array([[model.probability([("M", {"X": x}, k)]) for k in range(3)] for x in (0, 1)])
    y = np.array([model.probability([("Y", {"M": k}, 1)]) for k in range(3)])
    pairs = list(itertools.product(range(3), repeat=2))  # (M under control, M under treatment)
    types = list(itertools.product((0, 1), repeat=3))  # Y at each state of M
    first = [[float(pair[x] == k) for pair in pairs] for x in (0, 1) for k in range(3)]
    second = [*([float(t[k]) for t in types] for k in range(3)), [1.0] * 8]
    q = vertices(np.array(first), m.ravel())
    r = vertices(np.array(second), np.append(y, 1.0))
    follows = np.array([[t[after] * (1 - t[before]) for t in types] for before, after in pairs])
    every = q @ follows @ r.T
    assert_bounds(pns_bounds(chain, table_of(model), ARMS, "Y"), every.min(), every.max())


@examples(30)
def test_conditions_after_the_intervention_are_bounded_by_ratios(rng):
    """Z causes Y: within each stratum of Z the natural bounds hold. And the truth lies within where Z is an effect."""
    graph = CausalGraph(["Z", "X", "Y"], [("Z", "Y"), ("X", "Y")], [("X", "Y")])
    joint = random_model(graph, rng).joint()
    stratum = joint[1] / joint[1].sum()
    found = bounds(graph, JointTable(["Z", "X", "Y"], joint), "P(Y=1 | do(X=1), Z=1)")
    assert_bounds(found, stratum[1, 1], stratum[1, 1] + 1 - stratum[1].sum())
    after = CausalGraph(["X", "Y", "Z"], [("X", "Y"), ("X", "Z")], [("X", "Y"), ("X", "Z"), ("Y", "Z")])
    model = random_model(after, rng)
    found = bounds(after, table_of(model), "P(Y=1 | do(X=1), Z=1)")
    assert found.sharp and found.width > 1e-3
    assert found.lower - CLOSE <= model.probability([("Y", {"X": 1}, 1)], [("Z", {"X": 1}, 1)]) <= found.upper + CLOSE


FRONT_DOOR = CausalGraph(["X", "M", "Y"], [("X", "M"), ("M", "Y")], [("X", "Y")])
NAPKIN = CausalGraph(["W", "R", "X", "Y"], [("W", "R"), ("R", "X"), ("X", "Y")], [("W", "X"), ("W", "Y")])
BACK_DOOR = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])


@pytest.mark.parametrize("graph", [FRONT_DOOR, NAPKIN, BACK_DOOR], ids=["front-door", "napkin", "back-door"])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_identifiable_is_bounded_to_a_point(graph, seed):
    model = random_model(graph, np.random.default_rng(seed))
    truth = model.probability([("Y", {"X": 1}, 1)])
    assert_bounds(bounds(graph, table_of(model), "P(Y=1 | do(X=1))"), truth, truth)


@pytest.mark.parametrize("seed", range(3))
def test_conditional_effects_nested_counterfactuals_and_numbers_as_outcomes(seed):
    rng = np.random.default_rng(seed)
    model = random_model(BACK_DOOR, rng)
    truth = model.probability([("Y", {"X": 1}, 1)], [("Z", {}, 1)])
    assert_bounds(bounds(BACK_DOOR, table_of(model), "P(Y=1 | do(X=1), Z=1)"), truth, truth)

    graph = CausalGraph.from_edges([("X", "M"), ("X", "Y"), ("M", "Y")])
    model = random_model(graph, rng)
    nested = model.probability([("Y", {"X": 1, "M": ("M", {"X": 0})}, 1)])
    found = bounds(graph, table_of(model), "P(Y_{X=1, M_{X=0}}=1)")
    assert_bounds(found, nested, nested)

    scored = random_model(BOW, rng, {"X": 2, "Y": 3}).joint()
    table = JointTable(["X", "Y"], scored, {"Y": [0.0, 10.0, 20.0]})
    low, high = ate_bounds(BOW, table, ARMS, "Y").lower, ate_bounds(BOW, table, ARMS, "Y").upper
    means = scored @ [0.0, 10.0, 20.0]
    assert abs(low - (means[1] - means[0] - 20.0 * scored[1].sum())) < 20 * CLOSE
    assert abs(high - (means[1] + 20.0 * scored[0].sum() - means[0])) < 20 * CLOSE


def test_a_proxy_of_the_hidden_variable_narrows_the_bounds():
    """A variable after everything else still tells about the response types of its district."""
    x, y = np.meshgrid([0, 1], [0, 1], indexing="ij")
    joint = np.zeros((2, 2, 2))
    joint[x, y, (x == y).astype(int)] = [[0.4, 0.1], [0.1, 0.4]]
    proxy = CausalGraph(["X", "Y", "W"], [("X", "Y")], [("X", "Y"), ("X", "W"), ("Y", "W")])
    blind = ate_bounds(BOW, JointTable(["X", "Y"], joint.sum(2)), ARMS, "Y")
    seen = ate_bounds(proxy, JointTable(["X", "Y", "W"], joint), ARMS, "Y")
    assert blind.lower - CLOSE <= seen.lower and seen.upper <= blind.upper + CLOSE


def test_data_give_the_bounds_of_their_frequencies():
    data = pd.DataFrame({"X": ["no"] * 5 + ["yes"] * 5, "Y": [0, 0, 0, 1, 1, 0, 1, 1, 1, 1]})
    assert_bounds(bounds(BOW, data, 'P(Y=1 | do(X="yes"))'), 0.4, 0.9)


def test_values_that_are_never_seen_bound_nothing():
    joint = np.array([[[0.25, 0.25], [0.25, 0.25]], [[0.0, 0.0], [0.0, 0.0]]])
    assert_bounds(bounds(BACK_DOOR, JointTable(["X", "Z", "Y"], joint), "P(Y=1 | do(X=1))"), 0.0, 1.0)


def test_a_law_that_breaks_the_instrumental_inequality_is_refused():
    joint = np.zeros((2, 2, 2))
    joint[0, 1, 0] = joint[1, 1, 1] = 0.5  # the same treatment and another outcome, by the instrument alone
    with pytest.raises(DataError, match="instrumental inequality"):
        ate_bounds(IV, JointTable(["Z", "X", "Y"], joint), ARMS, "Y")


def test_an_impossible_condition_is_refused():
    graph = CausalGraph(["X", "Z", "Y"], [("X", "Z"), ("X", "Y")], [("X", "Y")])
    joint = np.zeros((2, 2, 2))
    joint[:, 0] = 0.25
    with pytest.raises(EvidenceError, match="probability zero"):
        bounds(graph, JointTable(["X", "Z", "Y"], joint), "P(Y=1 | do(X=1), Z=1)")
    table = JointTable(["X", "Y"], [[0.5, 0.5], [0.0, 0.0]])
    for graph in (BOW, ARROW):
        with pytest.raises(EvidenceError, match="probability zero"):
            bounds(graph, table, "P(Y_{X=0}=0 | X=1, Y=1)")


def test_too_many_response_types_are_refused_with_their_number():
    names = [f"Z{i}" for i in range(5)]
    edges = [(z, v) for z in names for v in ("X", "Y")] + [("X", "Y")]
    graph = CausalGraph([*names, "X", "Y"], edges, [("X", "Y"), *((z, "X") for z in names)])
    with pytest.raises(QueryError, match=r"X: 4\.295e\+09.*latent_projection"):
        ate_bounds(graph, JointTable(graph.variables, np.full([2] * 7, 2.0**-7)), ARMS, "Y")


HALF = JointTable(["X", "Y"], [[0.25, 0.25], [0.25, 0.25]])


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: bounds(BOW, HALF, "P(Y | do(X=1))"), QueryError, "value for 'Y'"),
        (lambda: bounds(BOW, HALF, "P(Y=1 | do(X))"), QueryError, "value for 'X'"),
        (lambda: bounds(BOW, HALF, "P(Y=2 | do(X=1))"), DataError, "'Y' never has the value 2"),
        (lambda: bounds(BOW, HALF, "P(Q=1 | do(X=1))"), UnknownVariableError, "'Q'"),
        (lambda: bounds(BOW, HALF, 3), QueryError, "int"),
        (lambda: bounds(IV, HALF, "P(Y=1 | do(X=1))"), UnknownVariableError, "'Z'"),
        (lambda: bounds(BOW, [[0.5, 0.5]], "P(Y=1 | do(X=1))"), DataError, "JointTable"),
        (lambda: ate_bounds(BOW, HALF, {"X": 1}, "Y"), InterventionError, r"pair \(control, treated\)"),
        (lambda: ate_bounds(BOW, HALF, "X", "Y"), InterventionError, "dict"),
        (lambda: ate_bounds(BOW, HALF, {"Q": (0, 1)}, "Y"), UnknownVariableError, "'Q'"),
        (lambda: ate_bounds(BOW, HALF, ARMS, "X"), QueryError, "both the outcome and the treatment"),
        (lambda: ate_bounds(BOW, HALF, ARMS, 3), QueryError, "outcome must be"),
        (lambda: pns_bounds(BOW, JointTable(["X", "Y"], [[0.5, 0.5]], {"X": [1]}), ARMS, "Y"), DataError, "0"),
        (
            lambda: pn_bounds(BOW, JointTable(["X", "Y"], [[0.25] * 2] * 2, {"Y": [1, 2]}), ARMS, "Y"),
            QueryError,
            "event",
        ),
        (
            lambda: ate_bounds(BOW, JointTable(["X", "Y"], [[0.25] * 2] * 2, {"Y": "ab"}), ARMS, "Y"),
            QueryError,
            "no number",
        ),
    ],
)
def test_mistakes_are_named(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_bounds_print_and_contain():
    found = Bounds("ate", -0.25, 0.75, False)
    assert 0.75 in found and 0.8 not in found and found.width == 1.0
    assert repr(found) == "ate from -0.2500 to 0.7500 (not sharp)"


@pytest.mark.parametrize("seed", range(60))
def test_bounds_are_a_point_exactly_where_identify_finds_an_estimand(seed):
    """Two engines that share nothing but the graph, on random graphs of 4 variables and three models of each: in one
    of them alone the unidentified part may happen not to matter."""
    rng = np.random.default_rng(seed)
    graph = random_admg(4, rng, 0.6, 0.35)
    x, y = rng.choice(graph.variables, 2, replace=False).tolist()
    try:
        identify(graph, f"P({y} | do({x}))")
        identified = True
    except NotIdentifiableError:
        identified = False
    widths = []
    for _ in range(3):
        model = random_model(graph, rng)
        found = bounds(graph, table_of(model), f"P({y}=1 | do({x}=1))")
        assert found.lower - CLOSE <= model.probability([(y, {x: 1}, 1)]) <= found.upper + CLOSE
        widths.append(found.width)
    assert (max(widths) < 1e-6) == identified, (graph, x, y, widths)


@pytest.mark.parametrize("seed", range(20))
def test_bounds_on_counterfactuals_are_a_point_exactly_where_identify_finds_an_estimand(seed):
    """The effect on the untreated, an effect given another variable, and an event in two worlds."""
    rng = np.random.default_rng(seed)
    graph = random_admg(4, rng, 0.6, 0.35)
    x, y, z = rng.choice(graph.variables, 3, replace=False).tolist()
    queries = {
        f"P({y}_{{{x}=1}}=1 | {x}=0)": ([(y, {x: 1}, 1)], [(x, {}, 0)]),
        f"P({y}_{{{x}=1}}=1 | {z}=1)": ([(y, {x: 1}, 1)], [(z, {}, 1)]),
        f"P({y}_{{{x}=1}}=1, {z}_{{{x}=0}}=1)": ([(y, {x: 1}, 1), (z, {x: 0}, 1)], []),
    }
    models = [random_model(graph, rng) for _ in range(2)]
    for query, events in queries.items():
        try:
            estimand = identify(graph, query)
        except NotIdentifiableError:
            estimand = None
        found = [bounds(graph, table_of(model), query) for model in models]
        assert (max(each.width for each in found) < 1e-5) == (estimand is not None), (graph, query, found)
        for each, model in zip(found, models, strict=True):
            truth = model.probability(*events)
            assert each.lower - 1e-6 <= truth <= each.upper + 1e-6
            assert estimand is None or abs(estimand.evaluate(table_of(model)) - truth) < 1e-9
