"""Means and differences as queries: they parse, are identified, and come to the enumerated numbers."""

import numpy as np
import pytest

from causal_pyro_models.errors import NotIdentifiableError, QueryError, UnknownVariableError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import (
    Contrast,
    ContrastEstimand,
    JointTable,
    Query,
    Symbol,
    identify,
    natural_direct_effect,
    natural_indirect_effect,
    path_specific_effect,
)
from tests.identification.oracles import random_admg, random_model

BACK_DOOR = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
MEDIATED = CausalGraph.from_edges([("W", "X"), ("W", "Y"), ("X", "M"), ("X", "Y"), ("M", "Y")])


@pytest.mark.parametrize(
    "text",
    ["E[Y | do(X=1)]", "E[Y]", "E[Y | do(X), Z=1]", "E[Y_{X=1} | X=0]", "E[Y_{X=1, M_{X=0}}]", 'E["a b" | do(X)]'],
)
def test_means_are_read_and_written(text):
    query = Query.parse(text)
    assert query.mean and query.text() == text and query != Query.parse(text.replace("E[", "P(").replace("]", ")"))


@pytest.mark.parametrize("text", ["E[Y | do(X=1)] - E[Y | do(X=0)]", "P(Y=1 | do(X=1)) - P(Y=1)", "E[Y | X=-1] - E[Y]"])
def test_differences_are_read_and_written(text):
    assert Contrast.parse(text).text() == text
    assert identify(BACK_DOOR, text) == identify(BACK_DOOR, Contrast.parse(text))


def mean(model, outcome, do, given=()):
    return sum(k * model.probability([(outcome, do, k)], given) for k in range(model.sizes[outcome]))


@pytest.mark.parametrize("seed", range(30))
def test_differences_on_the_exact_joint_are_those_of_effects(seed):
    """Random graphs of 5 variables with 2 or 3 states each; one in three is not identifiable."""
    rng = np.random.default_rng(seed)
    graph = random_admg(5, rng, 0.5, 0.15)
    model = random_model(graph, rng, {v: int(rng.integers(2, 4)) for v in graph.variables})
    x, y, z = rng.choice(graph.variables, 3, replace=False).tolist()
    table = JointTable(graph.variables, model.joint())
    try:
        effect = identify(graph, f"E[{y} | do({x}=1)] - E[{y} | do({x}=0), {z}=1]")
    except NotIdentifiableError:
        return
    truth = mean(model, y, {x: 1}) - mean(model, y, {x: 0}, [(z, {x: 0}, 1)])
    assert effect.evaluate(table) == pytest.approx(truth, abs=1e-9)
    left_open = identify(graph, f"P({y} | do({x})) - P({y} | do({x}=0), {z}=1)")
    assert left_open.evaluate(table, {x: 1}) == pytest.approx(truth, abs=1e-9)
    event = model.probability([(y, {x: 1}, 1)]) - model.probability([(y, {x: 0}, 1)], [(z, {x: 0}, 1)])
    assert left_open.evaluate(table, {x: 1, y: 1}) == pytest.approx(event, abs=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_effects_of_mediation_are_those_of_nested_worlds(seed):
    rng = np.random.default_rng(seed)
    model = random_model(MEDIATED, rng, {"W": 2, "X": 2, "M": 3, "Y": 3})
    table = JointTable(MEDIATED.variables, model.joint())
    arms = {"X": (0, 1)}
    direct = mean(model, "Y", {"X": 1, "M": ("M", {"X": 0})}) - mean(model, "Y", {"X": 0})
    indirect = mean(model, "Y", {"X": 0, "M": ("M", {"X": 1})}) - mean(model, "Y", {"X": 0})
    found = [
        identify(MEDIATED, contrast).evaluate(table)
        for contrast in (
            natural_direct_effect(arms, "Y", "M"),
            natural_indirect_effect(arms, "Y", "M"),
            path_specific_effect(MEDIATED, arms, "Y", [("X", "M", "Y")]),
        )
    ]
    assert found == pytest.approx([direct, indirect, indirect], abs=1e-9)
    total = identify(MEDIATED, "E[Y | do(X=1)] - E[Y | do(X=0)]").evaluate(table)
    reverse = identify(MEDIATED, natural_indirect_effect({"X": (1, 0)}, "Y", "M")).evaluate(table)
    assert total == pytest.approx(direct - reverse, abs=1e-9)


def test_estimands_of_means_and_differences_are_written_out():
    effect = identify(BACK_DOOR, "E[Y | do(X=1)] - E[Y]")
    assert isinstance(effect, ContrastEstimand) and effect.query.reference == Query("Y", mean=True)
    assert effect.text() == "(sum_y y sum_z P(y | X=1, z) P(z)) - (sum_y y P(y))"
    assert identify("X -> Y", "P(Y=1 | do(X=1)) - P(Y=1)").text() == "P(Y=1 | X=1) - P(Y=1)"
    napkin = CausalGraph(["W", "R", "X", "Y"], [("W", "R"), ("R", "X"), ("X", "Y")], [("W", "X"), ("W", "Y")])
    assert identify(napkin, "E[Y | do(X)]").text().startswith("sum_y y ((sum_w P(x, y | r, w) P(w)) / (")
    assert effect._repr_latex_() == (
        r"$\operatorname{E}\left[Y \mid \operatorname{do}(X=1)\right] - \operatorname{E}\left[Y\right] = "
        r"\left(\sum_{y} y \, \sum_{z} P(y \mid X=1, z) \, P(z)\right) - \left(\sum_{y} y \, P(y)\right)$"
    )


def test_a_mean_of_another_world_in_latex():
    assert Query.parse("E[Y_{X=1} | X=0]").latex() == r"\operatorname{E}\left[{Y}_{X=1} \mid X=0\right]"


TABLE = JointTable(["Z", "X", "Y"], np.full((2, 2, 2), 0.125))
EFFECT = identify(BACK_DOOR, "E[Y | do(X=1)] - E[Y | do(X)]")


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: Query.parse("E[Y=1 | do(X)]"), QueryError, "no mean of one variable"),
        (lambda: Query.parse("E[Y, Z | do(X)]"), QueryError, "no mean of one variable"),
        (lambda: Query.parse("E[Y | do(X)"), QueryError, "expected ']'"),
        (lambda: Query.parse("E(Y | do(X))"), QueryError, r"expected '\['"),
        (lambda: Query.parse("E[Y] - E[Y]"), QueryError, "expected the end, got '-'"),
        (lambda: Contrast.parse("E[Y]"), QueryError, "no difference"),
        (lambda: identify(BACK_DOOR, "E[Y] - "), QueryError, "expected 'P'"),
        (lambda: identify(BACK_DOOR, "E[Y] - E[Q]"), UnknownVariableError, "'Q'"),
        (lambda: identify("X -> Y; X <-> Y", "E[Y | do(X=1)] - E[Y]"), NotIdentifiableError, r"E\[Y \| do\(X=1\)\]"),
        (lambda: identify(BACK_DOOR, "E[Y | do(X)]").evaluate(TABLE, {"X": 1, "Y": 1}), QueryError, "mean of 'Y'"),
        (lambda: EFFECT.evaluate(TABLE), QueryError, r"needs values for \['X'\]"),
        (lambda: EFFECT.evaluate(TABLE, {"Q": 1}), UnknownVariableError, "'Q'"),
        (lambda: EFFECT.evaluate(TABLE, {"X": 0, "Y": 1}), QueryError, "mean of 'Y'"),
        (lambda: EFFECT.evaluate(TABLE, 3), QueryError, "dict"),
        (lambda: identify(BACK_DOOR, "E[Y] - E[Y | X=1]").evaluate(TABLE, {"X": 1}), QueryError, "in both queries"),
        (lambda: EFFECT.evaluate(TABLE, {"X": 0}, seed=1), QueryError, "'seed'"),
    ],
)
def test_mistakes_are_named(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_symbols_of_worlds_stay_apart():
    assert Query.parse("E[Y_{X=x} | X=x']").conditions[0].value == Symbol("X", 1)
