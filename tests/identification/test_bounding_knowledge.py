"""Bounds by strata, from experiments beside observations, under monotone effects, and from samples."""

import itertools

import numpy as np
import pandas as pd
import pytest

from causal_pyro_models.errors import DataError, QueryError, UnknownVariableError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import ate_bounds, bounds, pn_bounds, pns_bounds, ps_bounds
from causal_pyro_models.identification.bounding import question
from causal_pyro_models.identification.bounding.sampling import broken_independences
from causal_pyro_models.identification.bounding.strata import covariates
from causal_pyro_models.identification.laws.joint_table import JointTable
from tests.generators import examples
from tests.identification.oracles import random_model
from tests.identification.test_bounding import (
    ARMS,
    ARROW,
    BOW,
    CLOSE,
    IV,
    assert_bounds,
    balke_pearl,
    table_of,
)

COVARIATE = CausalGraph(
    ["C", "Z", "X", "Y"], [("C", "Z"), ("C", "X"), ("C", "Y"), ("Z", "X"), ("X", "Y")], [("X", "Y")]
)
BOW_OF_C = CausalGraph(["C", "X", "Y"], [("C", "X"), ("C", "Y"), ("X", "Y")], [("X", "Y")])
QUERIES = ["P(Y=1 | do(X=1))", "P(Y_{X=1}=1, Y_{X=0}=0)", "P(Y_{X=0}=0 | X=1, Y=1)", "P(Y=1, C=1 | do(X=0))"]


@examples(8)
def test_strata_lose_nothing(rng):
    """One covariate of all: as the program over all 256 pairs of response types at once."""
    for graph in (BOW_OF_C, COVARIATE):
        table = table_of(random_model(graph, rng))
        for query in (*QUERIES, "P(Y=1 | do(X=1), C=1)"):
            found = bounds(graph, table, query)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(question, "covariates", lambda *_: frozenset())
                whole = bounds(graph, table, query)
            assert_bounds(found, whole.lower, whole.upper, whole.sharp)


@pytest.mark.parametrize("seed", range(3))
def test_an_instrument_with_three_covariates_is_eight_programs(seed):
    """4e9 response types in one: each stratum has the bounds of Balke and Pearl."""
    names = ["A", "B", "C"]
    graph = CausalGraph(
        [*names, "Z", "X", "Y"],
        [*itertools.product(names, "ZXY"), ("A", "B"), ("Z", "X"), ("X", "Y")],
        [("X", "Y"), ("B", "C")],
    )
    joint = random_model(graph, np.random.default_rng(seed)).joint()
    ends = np.zeros(2)
    for at in itertools.product((0, 1), repeat=3):
        ends += joint[at].sum() * np.array(balke_pearl(joint[at] / joint[at].sum()))
    assert_bounds(ate_bounds(graph, JointTable(graph.variables, joint), ARMS, "Y"), *ends)


def test_covariates_that_are_no_cause_of_some_response_are_let_go_where_types_are_too_many():
    """D is a cause of Y alone: its strata share the types of X, and the bounds hold without being sharp."""
    edges = [*itertools.product("AB", "XY"), ("D", "Y"), ("E", "Y"), ("F", "Y"), ("G", "Y"), ("Z", "X"), ("X", "Y")]
    graph = CausalGraph(["A", "B", "D", "E", "F", "G", "Z", "X", "Y"], edges, [("X", "Y")])
    model = random_model(graph, np.random.default_rng(0))
    found = bounds(graph, table_of(model), "P(Y=1 | do(X=1))")
    truth = model.probability([("Y", {"X": 1}, 1)])
    assert not found.sharp and found.lower - CLOSE <= truth <= found.upper + CLOSE and found.width < 0.9


def test_what_is_confounded_or_set_or_follows_is_no_stratum():
    confounded = CausalGraph(BOW_OF_C.variables, BOW_OF_C.edges, [("X", "Y"), ("C", "X")])
    model = random_model(confounded, np.random.default_rng(0))
    truth = model.probability([("Y", {"X": 1}, 1)])
    found = bounds(confounded, table_of(model), "P(Y=1 | do(X=1))")
    assert found.lower - CLOSE <= truth <= found.upper + CLOSE
    opened = CausalGraph(COVARIATE.variables, COVARIATE.edges[1:], [("X", "Y"), ("Z", "C"), ("C", "X")])
    assert covariates(opened, {"C"}, [], []) == frozenset()  # given C, the instrument tells of the types of X
    assert covariates(COVARIATE, {"C"}, [], []) == {"C"} and covariates(COVARIATE, {"X"}, [], []) == frozenset()
    table = table_of(random_model(BOW_OF_C, np.random.default_rng(1)))
    set_too = bounds(BOW_OF_C, table, "P(Y=1 | do(X=1, C=1))")
    stratum = table.array(["C", "X", "Y"])[1] / table.array(["C"])[1]
    assert_bounds(set_too, stratum[1, 1], stratum[1, 1] + 1 - stratum[1].sum())


# Experiments ----------------------------------------------------------------------------------------------------------


def trial_of(model, done, names):
    """What an experiment on a random half of the units gives, over some variables."""
    law = model.law(done)
    for v in done:
        law = law / model.sizes[v]
    return JointTable(model.graph.variables, law).array(names), names


@examples(40)
def test_experiments_beside_observations_have_the_bounds_of_tian_and_pearl(rng):
    """Tian and Pearl (2000), theorem 1 and its corollaries: PNS, PN and PS from both kinds of data."""
    model = random_model(BOW, rng)
    joint = model.joint()
    trial = JointTable(["Y", "X"], trial_of(model, ["X"], ["Y", "X"])[0])
    treated, control = (model.probability([("Y", {"X": x}, 1)]) for x in (1, 0))
    y = joint[:, 1].sum()
    keywords = {"experiments": {"X": trial}}
    low = max(0.0, treated - control, y - control, treated - y)
    agree = joint[1, 1] + joint[0, 0]
    high = min(treated, 1 - control, agree, treated - control + joint[1, 0] + joint[0, 1])
    assert_bounds(pns_bounds(BOW, table_of(model), ARMS, "Y", **keywords), low, high)
    low, high = max(0.0, (y - control) / joint[1, 1]), min(1.0, (1 - control - joint[0, 0]) / joint[1, 1])
    assert_bounds(pn_bounds(BOW, table_of(model), ARMS, "Y", **keywords), low, high)
    low, high = max(0.0, (treated - y) / joint[0, 0]), min(1.0, (treated - joint[1, 1]) / joint[0, 0])
    assert_bounds(ps_bounds(BOW, table_of(model), ARMS, "Y", **keywords), low, high)
    assert_bounds(ate_bounds(BOW, table_of(model), ARMS, "Y", **keywords), treated - control, treated - control)


def test_the_figures_of_one_trial_and_one_survey():
    survey = JointTable(["X", "Y"], [[0.4, 0.3], [0.2, 0.1]])
    trial = JointTable(["X", "Y"], [[0.3, 0.2], [0.15, 0.35]])
    assert_bounds(pns_bounds(BOW, survey, ARMS, "Y", experiments={"X": trial}), 0.3, 0.5)


@examples(6)
def test_experiments_count_in_strata_and_without_the_covariates(rng):
    """A trial that measured the covariate is used in each stratum, one that did not for all units: both hold."""
    model = random_model(BOW_OF_C, rng)
    pair = [("Y", {"X": 1}, 1), ("Y", {"X": 0}, 0)]
    truth, plain = model.probability(pair), pns_bounds(BOW_OF_C, table_of(model), ARMS, "Y")
    widths = []
    for names in (["C", "X", "Y"], ["X", "Y"]):
        law, order = trial_of(model, ["X"], names)
        found = pns_bounds(BOW_OF_C, table_of(model), ARMS, "Y", experiments={("X",): JointTable(order, law)})
        assert found.lower - CLOSE <= truth <= found.upper + CLOSE
        widths.append(found.width)
    assert widths[0] <= widths[1] + CLOSE <= plain.width + 2 * CLOSE


# Monotone effects -----------------------------------------------------------------------------------------------------


def response_law(rng, instrument):
    """A law over (types of X, types of Y) without defiers of the instrument, and the law of Z, X, Y that it makes."""
    x_types, y_types = ((0, 0), (0, 1), (1, 1)), tuple(itertools.product((0, 1), repeat=2))
    shares = rng.dirichlet(np.ones(12)).reshape(3, 4)
    joint = np.zeros((2, 2, 2))
    for (i, x), (j, y), z in itertools.product(enumerate(x_types), enumerate(y_types), (0, 1)):
        joint[z, x[z], y[x[z]]] += instrument[z] * shares[i, j]
    return joint, float(sum(shares[:, j].sum() * (y[1] - y[0]) for j, y in enumerate(y_types)))


@examples(40)
def test_monotone_effects_make_causation_a_number(rng):
    """Tian and Pearl (2000), theorem 3: of a monotone outcome PNS = P(y_x) - P(y_x'), with and without confounding."""
    law = np.sort(rng.uniform(0.1, 0.9, 2))
    table = JointTable(["X", "Y"], [[0.5 * (1 - law[0]), 0.5 * law[0]], [0.5 * (1 - law[1]), 0.5 * law[1]]])
    for found, truth in (
        (pns_bounds(ARROW, table, ARMS, "Y", monotone=[("X", "Y")]), law[1] - law[0]),
        (pn_bounds(ARROW, table, ARMS, "Y", monotone=[("X", "Y")]), (law[1] - law[0]) / law[1]),
        (ps_bounds(ARROW, table, ARMS, "Y", monotone=[("X", "Y")]), (law[1] - law[0]) / (1 - law[0])),
        (pns_bounds(BOW, table, ARMS, "Y", monotone=[("X", "Y")], experiments={"X": table}), law[1] - law[0]),
    ):
        assert_bounds(found, truth, truth)


@examples(25)
def test_no_defiers(rng):
    """The truth lies within, and the bounds are no wider; under no defiers they are the bounds of Robins and Manski."""
    joint, truth = response_law(rng, np.array([0.4, 0.6]))
    table = JointTable(["Z", "X", "Y"], joint)
    found = ate_bounds(IV, table, ARMS, "Y", monotone=[("Z", "X")])
    assert found.lower - CLOSE <= truth <= found.upper + CLOSE
    p = joint / joint.sum((1, 2), keepdims=True)
    low = p[1, 1, 1] - (p[0, 0, 1] + p[0, 1].sum())
    high = p[1, 1, 1] + p[1, 0].sum() - p[0, 0, 1]
    assert_bounds(found, low, high)
    free = ate_bounds(IV, table, ARMS, "Y")
    assert free.lower - CLOSE <= found.lower and found.upper <= free.upper + CLOSE


def test_monotone_in_the_order_of_numbers_and_of_words():
    """States that are listed backwards are numbers all the same; words go up as they are listed."""
    law = [[0.15, 0.35], [0.3, 0.2]]
    backwards = JointTable(["X", "Y"], law, {"X": [1, 0], "Y": [0, 1]})
    assert_bounds(pns_bounds(ARROW, backwards, ARMS, "Y", monotone=[("X", "Y")]), 0.3, 0.3)
    words = JointTable(["X", "Y"], law, {"X": ["treated", "control"], "Y": [0, 1]})
    with pytest.raises(DataError, match="monotone"):
        pns_bounds(ARROW, words, {"X": ("control", "treated")}, "Y", monotone=[("X", "Y")])


def test_a_law_that_monotone_effects_cannot_have_is_refused():
    joint = np.array([[[0.1, 0.1], [0.2, 0.1]], [[0.2, 0.2], [0.05, 0.05]]])
    with pytest.raises(DataError, match="monotone"):
        ate_bounds(IV, JointTable(["Z", "X", "Y"], joint), ARMS, "Y", monotone=[("Z", "X")])


# Samples and broken laws ----------------------------------------------------------------------------------------------


def drawn(table, n, seed):
    law = table.probabilities
    cells = np.random.default_rng(seed).choice(law.size, n, p=law.ravel())
    return pd.DataFrame(np.stack(np.unravel_index(cells, law.shape), 1), columns=list(table.names))


def test_the_interval_of_a_natural_bound_is_that_of_its_frequency():
    """The lower bound of P(y | do(x)) is P(x, y), whose standard error is known; within 15 percent at 400 resamples."""
    data = drawn(JointTable(["X", "Y"], [[0.3, 0.2], [0.1, 0.4]]), 1000, 0)
    found = bounds(BOW, data, "P(Y=1 | do(X=1))", replicates=400)
    share = ((data["X"] == 1) & (data["Y"] == 1)).mean()
    assert found.lower == pytest.approx(share, abs=CLOSE)
    margin = 1.96 * (share * (1 - share) / 1000) ** 0.5
    assert found.lower - found.interval[0] == pytest.approx(margin, rel=0.15)
    assert "95% interval" in repr(found)
    again = bounds(BOW, data, "P(Y=1 | do(X=1))", replicates=400)
    assert again == found and bounds(BOW, data, "P(Y=1 | do(X=1))", replicates=400, seed=1) != found
    narrower = bounds(BOW, data, "P(Y=1 | do(X=1))", level=0.5)
    assert found.interval[0] < narrower.interval[0] < narrower.lower
    assert bounds(BOW, data, "P(Y=1 | do(X=1))", replicates=0).interval is None
    assert bounds(BOW, JointTable(["X", "Y"], [[0.3, 0.2], [0.1, 0.4]]), "P(Y=1 | do(X=1))").interval is None


def test_intervals_hold_both_bounds():
    """60 samples of an instrument and of two arms that are alike, where the bounds are drawn apart: 95 percent
    intervals miss 9 or more with probability 0.002."""
    even = JointTable(["X", "Y"], np.full((2, 2), 0.25))
    instrument = table_of(random_model(IV, np.random.default_rng(1)))
    for graph, table, call in ((ARROW, even, pns_bounds), (IV, instrument, ate_bounds)):
        truth, missed = call(graph, table, ARMS, "Y"), 0
        for seed in range(60):
            low, high = call(graph, drawn(table, 400, seed), ARMS, "Y", replicates=40).interval
            missed += not low <= truth.lower + CLOSE <= truth.upper <= high + CLOSE
        assert missed < 9


def test_experiments_that_are_data_are_in_the_interval():
    survey = JointTable(["X", "Y"], [[0.4, 0.3], [0.2, 0.1]])
    trial = drawn(JointTable(["X", "Y"], [[0.3, 0.2], [0.15, 0.35]]), 500, 0)
    found = pns_bounds(BOW, survey, ARMS, "Y", experiments={"X": trial})
    exact = pns_bounds(BOW, survey, ARMS, "Y", experiments={"X": JointTable.from_dataframe(trial)})
    assert_bounds(found, exact.lower, exact.upper)
    assert exact.interval is None and found.interval[0] < found.lower - 0.03


def test_a_sample_that_no_model_has_is_bounded_by_the_nearest_law():
    """Frequencies a little beyond the instrumental inequality; far beyond it they are refused."""
    far = np.array([[[0.01, 0.0], [0.48, 0.01]], [[0.0, 0.01], [0.03, 0.46]]])
    joint = np.array([[[0.01, 0.0], [0.23, 0.26]], [[0.0, 0.01], [0.265, 0.225]]])
    rows = np.repeat(np.arange(8), np.round(400 * joint.ravel()).astype(int))
    data = pd.DataFrame(np.stack(np.unravel_index(rows, joint.shape), 1), columns=["Z", "X", "Y"])
    with pytest.raises(DataError, match="instrumental inequality"):
        ate_bounds(IV, JointTable(["Z", "X", "Y"], joint), ARMS, "Y")
    found = ate_bounds(IV, data, ARMS, "Y", replicates=20)
    assert not found.sharp and "an inequality" in found.broken[-1] and found.interval is not None
    rows = np.repeat(np.arange(8), np.round(400 * far.ravel()).astype(int))
    data = pd.DataFrame(np.stack(np.unravel_index(rows, far.shape), 1), columns=["Z", "X", "Y"])
    with pytest.raises(DataError, match="instrumental inequality"):
        ate_bounds(IV, data, ARMS, "Y", replicates=0)


def test_independences_that_the_law_breaks_are_named():
    """Z and W are unconnected in the graph; under 1 percent of samples of a true graph are accused."""
    graph = CausalGraph(["W", "Z", "X", "Y"], [("Z", "X"), ("W", "Y"), ("X", "Y")], [("X", "Y")])
    model = random_model(graph, np.random.default_rng(0))
    fine = table_of(model)
    assert bounds(graph, fine, "P(Y=1 | do(X=1))").broken == ()
    law = np.einsum("wz,wzxy->wzxy", np.array([[1.5, 0.5], [0.5, 1.5]]), fine.probabilities)
    tilted = JointTable(graph.variables, law / law.sum())
    found = bounds(graph, tilted, "P(Y=1 | do(X=1))")
    assert any("W" in text and "Z" in text for text in found.broken) and not found.sharp
    assert "the law breaks" in repr(found)
    sample = drawn(tilted, 500, 0)
    assert bounds(graph, sample, "P(Y=1 | do(X=1))", replicates=0).broken
    accused = sum(bool(accusations(graph, drawn(fine, 300, seed))) for seed in range(200))
    assert accused <= 7  # of 200 at 1 percent, more with probability 0.001


def accusations(graph, data):
    return broken_independences(graph, JointTable.from_dataframe(data), len(data))


SURVEY = JointTable(["X", "Y"], [[0.4, 0.3], [0.2, 0.1]])
CHAIN = CausalGraph.from_edges([("X", "M"), ("M", "Y")])


@pytest.mark.parametrize(
    ("keywords", "error", "says"),
    [
        ({"experiments": [SURVEY]}, QueryError, "dict from what was set"),
        ({"experiments": {"Q": SURVEY}}, UnknownVariableError, "'Q'"),
        ({"experiments": {"X": JointTable(["Y"], [0.5, 0.5])}}, UnknownVariableError, "'X'"),
        ({"experiments": {"X": 3}}, DataError, "JointTable"),
        ({"monotone": "XY"}, QueryError, "list of edges"),
        ({"monotone": [("Y", "X")]}, QueryError, "no edge"),
        ({"monotone": ["XY"]}, QueryError, "no edge"),
        ({"level": 2.0}, QueryError, "level"),
        ({"replicates": -1}, QueryError, "replicates"),
    ],
)
def test_mistakes_are_named(keywords, error, says):
    with pytest.raises(error, match=says):
        pns_bounds(BOW, SURVEY, ARMS, "Y", **keywords)


def test_experiments_across_two_districts_are_refused():
    model = random_model(CHAIN, np.random.default_rng(0))
    trial = JointTable(["X", "Y"], trial_of(model, ["X"], ["X", "Y"])[0])
    with pytest.raises(QueryError, match="two districts"):
        pns_bounds(CHAIN, table_of(model), ARMS, "Y", experiments={"X": trial})
