"""Estimands on exact joint tables are the enumerated truth."""

import numpy as np
import pandas as pd
import pytest

from causal_pyro_models.errors import (
    DataError,
    InterventionError,
    NotIdentifiableError,
    QueryError,
    UnknownVariableError,
)
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import Query, Symbol, identify
from causal_pyro_models.identification.estimand_values import quantity_of
from causal_pyro_models.identification.laws.joint_table import JointTable
from causal_pyro_models.scm.zoo.discrete_scm import DiscreteSCM
from tests.identification.literature_worlds import EXPERIMENTS, TRANSPORT
from tests.identification.oracles import another_domain, random_admg, random_model
from tests.identification.test_reduction import changed_in, in_world

BACK_DOOR = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
FRONT_DOOR = CausalGraph(["X", "M", "Y"], [("X", "M"), ("M", "Y")], [("X", "Y")])
NAPKIN = CausalGraph(["W", "R", "X", "Y"], [("W", "R"), ("R", "X"), ("X", "Y")], [("W", "X"), ("W", "Y")])


@pytest.mark.parametrize("seed", range(60))
def test_the_estimand_on_the_exact_joint_is_the_effect(seed):
    """Random graphs of 5 variables with 2 or 3 states each; conditions in half of the queries."""
    rng = np.random.default_rng(seed)
    graph = random_admg(5, rng, 0.5, 0.25)
    model = random_model(graph, rng, {v: int(rng.integers(2, 4)) for v in graph.variables})
    x, y, z = rng.choice(graph.variables, 3, replace=False).tolist()
    query = Query([y], [x], [z] if seed % 2 else [])
    try:
        estimand = identify(graph, query)
    except NotIdentifiableError:
        return
    values = {v: 1 for v in query.names}
    given = [(z, {x: 1}, 1)] if seed % 2 else []
    truth = model.probability([(y, {x: 1}, 1)], given)
    table = JointTable(graph.variables, model.joint())
    assert estimand.evaluate(table, values) == pytest.approx(truth, abs=1e-9)
    del values[y]
    states = range(model.sizes[y])
    mean = sum(k * model.probability([(y, {x: 1}, k)], given) for k in states)
    assert estimand.evaluate(table, values) == pytest.approx(mean, abs=1e-9)
    del values[x]
    control = sum(k * model.probability([(y, {x: 0}, k)], [(z, {x: 0}, 1)] if given else []) for k in states)
    found = estimand.evaluate(table, values, contrast={x: (0, 1)})
    assert found == pytest.approx(mean - control, abs=1e-9)


@pytest.mark.parametrize("graph", [BACK_DOOR, FRONT_DOOR, NAPKIN], ids=["back-door", "front-door", "napkin"])
def test_states_have_names_and_other_variables_do_not_matter(graph):
    model = random_model(graph, np.random.default_rng(0))
    truth = model.probability([("Y", {"X": 1}, 1)])
    joint = np.multiply.outer(model.joint(), [0.5, 0.5])
    table = JointTable([*graph.variables, "other"], joint, {"X": ["no", "yes"], "Y": [-1.0, 3.0]})
    estimand = identify(graph, "P(Y | do(X))")
    assert estimand.evaluate(table, {"X": "yes", "Y": 3.0}) == pytest.approx(truth, abs=1e-9)
    assert estimand.evaluate(table, {"X": "yes"}) == pytest.approx(3.0 * truth - (1 - truth), abs=1e-9)
    assert identify(graph, 'P(Y=3 | do(X="yes"))').evaluate(table) == pytest.approx(truth, abs=1e-9)


def test_counterfactuals_and_laws_of_the_zoo():
    scm = DiscreteSCM(
        {
            "Z": ((), [0.3, 0.7]),
            "X": (("Z",), [[0.8, 0.2], [0.4, 0.6]]),
            "Y": (("X", "Z"), [[[0.9, 0.1], [0.6, 0.4]], [[0.5, 0.5], [0.2, 0.8]]]),
        }
    )
    effect = scm.probability({"Y": 1}, do={"X": 1})
    assert identify(BACK_DOOR, "P(Y=1 | do(X=1))").evaluate(scm.law()) == pytest.approx(effect, abs=1e-12)
    treated = scm.counterfactual_probability({"Y": 1}, {"X": 1}, {"X": 0})
    found = identify(BACK_DOOR, "P(Y_{X=1}=1 | X=0)").evaluate(scm.law())
    assert found == pytest.approx(treated, abs=1e-12)


def test_experiments_come_as_tables_of_their_own():
    """A randomised Z in place of the confounded one: P(y | do(x)) from P(v | do(z))."""
    graph = CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("X", "Y")], [("Z", "X"), ("Z", "Y")])
    model = random_model(graph, np.random.default_rng(0))
    estimand = identify(graph, "P(Y=1 | do(X=1))", experiments=["Z"])
    randomised = JointTable(graph.variables, model.law(["Z"]) * np.array([0.3, 0.7])[:, None, None])
    sources = {("", ()): JointTable(graph.variables, model.joint()), ("", ("Z",)): randomised}
    assert estimand.evaluate(sources) == pytest.approx(model.probability([("Y", {"X": 1}, 1)]), abs=1e-9)
    with pytest.raises(DataError, match=r"table of \('', \['Z'\]\)"):
        estimand.evaluate({("", ()): randomised})


def test_what_never_happens_is_not_asked_about():
    """Z = 2 has probability zero, so that P(y | x, Z = 2) is not needed; X = 1 never happens at Z = 0, which is."""
    joint = np.zeros((3, 2, 2))
    joint[0] = [[0.2, 0.1], [0.1, 0.1]]
    joint[1] = [[0.1, 0.1], [0.1, 0.2]]
    estimand = identify(BACK_DOOR, "P(Y=1 | do(X=1))")
    assert estimand.evaluate(JointTable(["Z", "X", "Y"], joint)) == pytest.approx(0.5 * 0.5 + 0.5 * 2 / 3)
    joint[0] = [[0.3, 0.2], [0.0, 0.0]]
    with pytest.raises(DataError, match=r"divides by zero.*bounds"):
        estimand.evaluate(JointTable(["Z", "X", "Y"], joint))


OPEN = identify(BACK_DOOR, "P(Y | do(X))")
TABLE = JointTable(["Z", "X", "Y"], np.full((2, 2, 2), 0.125))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: OPEN.evaluate(TABLE), QueryError, r"needs values for \['X'\]"),
        (lambda: OPEN.evaluate(TABLE, {"X": 7}), DataError, "'X' never has the value 7"),
        (lambda: OPEN.evaluate(TABLE, {"Q": 1}), UnknownVariableError, "'Q'"),
        (lambda: OPEN.evaluate(TABLE, {"Z": 1, "X": 1}), UnknownVariableError, "'Z'"),
        (lambda: OPEN.evaluate(TABLE, [1]), QueryError, "dict"),
        (lambda: OPEN.evaluate(TABLE, contrast={"X": 1}), InterventionError, "pair"),
        (lambda: OPEN.evaluate(TABLE, {"X": 0}, contrast={"X": (0, 1)}), QueryError, "in values and in contrast"),
        (lambda: OPEN.evaluate(TABLE, {"X": 1}, seed=0), QueryError, "'seed'"),
        (lambda: OPEN.evaluate(JointTable(["X", "Y"], [[0.25] * 2] * 2), {"X": 1}), UnknownVariableError, "'Z'"),
        (lambda: identify(BACK_DOOR, "P(Y=1 | do(X))").evaluate(TABLE, {"Y": 1, "X": 1}), QueryError, "already"),
        (lambda: identify(BACK_DOOR, "P(Y, Z | do(X))").evaluate(TABLE, {"X": 1}), QueryError, "One outcome"),
        (lambda: OPEN.evaluate({}, {"X": 1}), DataError, "no tables"),
        (lambda: OPEN.evaluate({"": TABLE}, {"X": 1}), DataError, "key of a table"),
        (lambda: OPEN.evaluate(3, {"X": 1}), DataError, "DataFrame"),
        (
            lambda: OPEN.evaluate(JointTable(["Z", "X", "Y"], np.full((2, 2, 2), 0.125), {"Y": "ab"}), {"X": 1}),
            QueryError,
            "no numbers",
        ),
    ],
)
def test_mistakes_are_named(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_a_dict_of_data_has_an_interval():
    data = pd.DataFrame({"Z": [0, 0, 1, 1] * 10, "X": [0, 1] * 20, "Y": [0, 1, 1, 1] * 10})
    found = OPEN.evaluate({("", ()): data}, {"X": 0})
    assert float(found.value) == pytest.approx(0.5) and float(found.standard_error) > 0


def laws_that_are_read(estimand, models, target, values=None):
    """A table for each domain and experiment, with what is read there alone; what is set is set at random."""
    tables = {}
    for (domain, do), names in quantity_of(estimand.query, estimand.expression, values, None).reads.items():
        model = models.get(domain, target)
        law = model.law(do)
        for v in do:
            weights = np.arange(1.0, model.sizes[v] + 1)
            axis = model.graph.variables.index(v)
            law = law * (weights / weights.sum()).reshape([-1 if i == axis else 1 for i in range(law.ndim)])
        whole = JointTable(model.graph.variables, law)
        tables[domain, tuple(do)] = JointTable(sorted(names), whole.array(sorted(names)))
    return tables


@pytest.mark.parametrize("case", [c for c in EXPERIMENTS + TRANSPORT if c.estimand], ids=lambda case: case.source)
def test_experiments_and_transport_come_from_tables_of_what_is_read(case):
    """Random models of every domain with two or three states a variable; all cases of the literature."""
    estimand = identify(case.graph, case.query, **case.keywords)
    rng = np.random.default_rng(0)
    target = random_model(case.graph, rng, {v: 3 if v in "ZY" else 2 for v in case.graph.variables})
    changed = changed_in(case.keywords.get("selection"))
    models = {domain: another_domain(target, names, rng) for domain, names in changed.items()}
    values = {s.name: int(rng.integers(0, 2)) for s in estimand.query.expression.free}
    tables = laws_that_are_read(estimand, models, target, values)
    symbols = {Symbol(name): value for name, value in values.items()}
    truth = target.query(*in_world(estimand.query), symbols)
    assert estimand.evaluate(tables, values) == pytest.approx(truth, abs=1e-9)
    with pytest.raises(DataError, match="needs the table of"):
        estimand.evaluate({("elsewhere", ()): next(iter(tables.values()))}, values)


def test_states_of_several_tables_are_put_together():
    """The trial has no units with Z = 2, of which the target has none either; and its states come in another order."""
    graph = CausalGraph(BACK_DOOR.variables, BACK_DOOR.edges, [("X", "Y")])
    estimand = identify(graph, "P(Y | do(X))", target="*", experiments={"trial": ["X"]}, selection={"trial": "Z"})
    chances = np.array([[0.5, 0.5], [0.9, 0.2]])  # of Y = 1, for each X, and Z = 1 and 0
    trial = JointTable(["Y", "X", "Z"], 0.25 * np.stack([1.0 - chances, chances]), {"Z": [1, 0]})
    tables = {("*", ()): JointTable(["Z"], [0.3, 0.7, 0.0]), ("trial", ("X",)): trial}
    assert estimand.evaluate(tables, {"X": 1, "Y": 1}) == pytest.approx(0.3 * 0.2 + 0.7 * 0.9)
    tables["*", ()] = JointTable(["Z"], [0.3, 0.6, 0.1])
    with pytest.raises(DataError, match="divides by zero"):
        estimand.evaluate(tables, {"X": 1, "Y": 1})
