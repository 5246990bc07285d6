"""Selection bias: what is recovered is right, and from the distributions that are at hand alone."""

import numpy as np
import pytest

from causal_pyro_models.errors import NotIdentifiableError, QueryError, UnknownVariableError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import Probability, Query, Symbol
from causal_pyro_models.identification.deciding.selection import recover
from tests.identification.literature_worlds import SELECTION
from tests.identification.oracles import random_admg, random_model, value_of


def with_selection(graph, rng):
    """The graph with a selection variable S that some variables act on."""
    into = [(v, "S") for v in graph.variables if rng.random() < 0.4]
    shared = [(v, "S") for v in graph.variables if rng.random() < 0.15]
    return CausalGraph([*graph.variables, "S"], [*graph.edges, *into], [*graph.bidirected, *shared])


def assert_recovered(expression, graph, query, external, rng):
    """All terms are of the biased or of the external data, and the number is that of all units."""
    for part in expression.walk():
        if isinstance(part, Probability):
            assert any(t == ("S", 1, ()) for t in part.given) or {t.name for t in part.terms} <= set(external)
            assert not part.do
    model = random_model(graph, rng, {v: 2 if v == "S" else int(rng.integers(2, 4)) for v in graph.variables})
    values = {Symbol(v): int(rng.integers(0, 2)) for v in graph.variables}
    do = {t.name: values[t.value] for t in query.treatment}
    outcome, given = ([(t.name, do, values[t.value]) for t in side] for side in (query.outcome, query.conditions))
    found = value_of(expression, {("", frozenset()): model.joint()}, list(graph.variables), values)
    assert found == pytest.approx(model.probability(outcome, given), abs=1e-9)


@pytest.mark.parametrize("case", SELECTION, ids=lambda case: case.source)
def test_literature(case):
    if case.estimand is None:
        with pytest.raises(NotIdentifiableError, match="not recovered"):
            recover(case.graph, case.query, "S", **case.keywords)
        return
    found = recover(case.graph, case.query, "S", **case.keywords)
    assert found.text() == case.estimand
    assert_recovered(
        found, case.graph, Query.parse(case.query), case.keywords.get("external", ()), np.random.default_rng(0)
    )


def test_recovered_estimands_are_right():
    rng = np.random.default_rng(0)
    recovered = 0
    for _ in range(1000):
        names = rng.permutation([f"V{i}" for i in range(4)]).tolist()
        graph = with_selection(random_admg(4, rng, 0.5, 0.25), rng)
        treated = names[1:2] if rng.random() < 0.7 else []
        query = Query(names[:1], treated, [v for v in names[2:] if rng.random() < 0.25])
        external = [v for v in names if rng.random() < 0.4]
        try:
            found = recover(graph, query, "S", external)
        except NotIdentifiableError:
            continue
        recovered += 1
        assert_recovered(found, graph, query, external, rng)
    assert recovered > 300


def test_conditional_recoverability_is_complete():
    """P(y | x) is recovered from the selected units alone exactly where Y _||_ S | X (Bareinboim et al. 2014)."""
    rng = np.random.default_rng(1)
    for _ in range(150):
        graph = with_selection(random_admg(4, rng, 0.5, 0.2), rng)
        if graph.m_separated("V0", "S", "V1"):
            recover(graph, "P(V0 | V1)", "S")
        else:
            with pytest.raises(NotIdentifiableError):
                recover(graph, "P(V0 | V1)", "S")


def test_external_data_stand_in_for_hidden_ancestors():
    """Z is known for all units, and its cause W for the selected only."""
    graph = CausalGraph.from_edges([("W", "Z"), ("Z", "X"), ("Z", "Y"), ("X", "Y"), ("Z", "S"), ("X", "S")])
    found = recover(graph, "P(Y | do(X))", "S", external="Z")
    assert found.text() == "sum_z P(y | S=1, x, z) P(z)"


def test_what_is_hidden_from_the_external_data_is_not_used():
    """P(z | do(a)) needs W, which the external data lack; the selected units do not help, as Z is selected upon."""
    graph = CausalGraph.from_edges([("W", "A"), ("A", "Z"), ("Z", "S")], [("W", "Z")])
    assert recover(graph, "P(Z | do(A))", "S", external=["A", "W", "Z"]).text() == "sum_w P(z | a, w) P(w)"
    with pytest.raises(NotIdentifiableError):
        recover(graph, "P(Z | do(A))", "S", external=["A", "Z"])


def test_counterfactuals_are_recovered():
    graph = CausalGraph.from_edges([("X", "M"), ("X", "Y"), ("M", "Y"), ("X", "S")])
    found = recover(graph, "P(Y_{X=1, M_{X=0}})", "S")
    assert found.text() == "sum_m P(y | m, S=1, X=1) P(m | S=1, X=0)"


@pytest.mark.parametrize(
    ("query", "selection", "external", "error", "match"),
    [
        ("P(Y | S)", "S", (), QueryError, "cannot stand in the query"),
        ("P(Y | X)", "S", "S", QueryError, "cannot stand in the query"),
        ("P(Y | X)", "X", (), QueryError, "cannot stand in the query"),
        ("P(Y)", "X", (), QueryError, "has children: Y, S"),
        ("P(Y | X)", "R", (), UnknownVariableError, "'R'"),
        ("P(Y | Q)", "S", (), UnknownVariableError, "'Q'"),
        ("P(Y | X)", "S", "Q", UnknownVariableError, "'Q'"),
    ],
)
def test_bad_selection(query, selection, external, error, match):
    graph = CausalGraph.from_edges([("X", "Y"), ("X", "S")])
    with pytest.raises(error, match=match):
        recover(graph, query, selection, external)
