"""Selection bias: what is recovered is right, and from the distributions that are at hand alone."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from causal_pyro_models.errors import DataError, DerivationError, NotIdentifiableError, QueryError, UnknownVariableError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import JointTable, Probability, Query, Symbol, identify, parse, verify
from causal_pyro_models.identification.deciding.selected import RecoveryStep
from causal_pyro_models.identification.deciding.selection import recover
from tests.identification.literature_worlds import SELECTION
from tests.identification.oracles import another_domain, random_admg, random_model, value_of


def with_selection(graph, rng):
    """The graph with a selection variable S that some variables act on."""
    into = [(v, "S") for v in graph.variables if rng.random() < 0.4]
    shared = [(v, "S") for v in graph.variables if rng.random() < 0.15]
    return CausalGraph([*graph.variables, "S"], [*graph.edges, *into], [*graph.bidirected, *shared])


def assert_recovered(estimand, graph, query, external, rng):
    """All terms are of the biased or of the external data, and the number is that of all units."""
    expression = estimand.expression
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
        if recovered % 5 == 0:
            verify(found.derivation, models=1)
    assert recovered > 400


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
    """P(z | do(a)) needs W: of all units, or of the selected ones, which selection by Z takes from all with P(a, z)."""
    graph = CausalGraph.from_edges([("W", "A"), ("A", "Z"), ("Z", "S")], [("W", "Z")])
    assert recover(graph, "P(Z | do(A))", "S", external=["A", "W", "Z"]).text() == "sum_w P(z | a, w) P(w)"
    found = recover(graph, "P(Z | do(A))", "S", external=["A", "Z"])
    assert_recovered(found, graph, Query("Z", "A"), ["A", "Z"], np.random.default_rng(0))
    for external in ("A", ["A", "W"]):
        with pytest.raises(NotIdentifiableError):
            recover(graph, "P(Z | do(A))", "S", external=external)


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


@pytest.mark.parametrize("case", [c for c in SELECTION if c.estimand], ids=lambda case: case.source)
def test_proofs_are_right(case):
    verify(recover(case.graph, case.query, "S", **case.keywords).derivation, models=2)


def test_a_proof_in_another_graph_is_refused():
    found = recover("X -> Y -> S", "P(Y | do(X))", "S", external="Y")
    assert "rule 1: (X _||_ S | Y)" in found.derivation.text()
    with pytest.raises(DerivationError):
        verify(replace(found.derivation, graph=CausalGraph.from_edges([("X", "Y"), ("Y", "S"), ("X", "S")])))
    wrong = RecoveryStep(parse("P(y | do(x))"), parse("P(y | x, S=1)"), "no theorem")
    with pytest.raises(DerivationError, match="random model"):
        wrong.check(CausalGraph.from_edges([("X", "Y"), ("Y", "S")]), 0)


def joint_is_recovered(graph, names, external):
    """Sets t of the external variables, by brute force, and what P(v) = P(v without t | t, S=1) P(t) holds for."""
    for size in range(len(external) + 1):
        for t in itertools.combinations(external, size):
            known = {v for v in graph.variables if v != "S" and (v in t or graph.m_separated(v, "S", t))}
            if names <= known:
                yield known


def test_what_the_joint_distribution_gives_is_recovered():
    """Whatever is identified in a distribution that is recovered by one set of external variables or another."""
    rng = np.random.default_rng(3)
    counted = 0
    for _ in range(400):
        names = rng.permutation([f"V{i}" for i in range(4)]).tolist()
        graph = with_selection(random_admg(4, rng, 0.5, 0.2), rng)
        query = Query(names[:1], names[1:2] if rng.random() < 0.7 else [], [v for v in names[2:] if rng.random() < 0.2])
        external = [v for v in names if rng.random() < 0.5]
        for known in joint_is_recovered(graph, set(query.names), external):
            try:
                identify(graph.latent_projection(known), query)
            except NotIdentifiableError:
                continue
            recover(graph, query, "S", external)
            counted += 1
            break
    assert counted > 100


def test_case_control_data_with_a_known_prevalence():
    """Bayes' rule: P(y | x) from P(x | y) of cases and controls and P(y); an arrow X -> S spoils it."""
    graph = CausalGraph.from_edges([("X", "Y"), ("Y", "S")])
    found = recover(graph, "P(Y | do(X))", "S", external="Y")
    selected = JointTable(["Y", "X"], [[0.4, 0.1], [0.2, 0.3]])  # half of the selected are cases
    everyone = JointTable(["Y"], [0.95, 0.05])
    sources = {("S=1", ()): selected, ("", ()): everyone}
    cases, controls = 0.6 * 0.05, 0.2 * 0.95
    assert found.evaluate(sources, {"X": 1, "Y": 1}) == pytest.approx(cases / (cases + controls), abs=1e-12)
    with pytest.raises(NotIdentifiableError):
        recover(graph, "P(Y | do(X))", "S")
    with pytest.raises(NotIdentifiableError):
        recover(CausalGraph.from_edges([("X", "Y"), ("Y", "S"), ("X", "S")]), "P(Y | do(X))", "S", external="Y")


def test_the_number_of_a_recovered_estimand():
    """Random models with two or three states: from laws of the selected and of all, alone or whole."""
    graph = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y"), ("Z", "S"), ("X", "S")])
    model = random_model(graph, np.random.default_rng(0), {"Z": 3, "X": 2, "Y": 3, "S": 2})
    joint = model.joint()
    selected = joint[..., 1] / joint[..., 1].sum()
    found = recover(graph, "P(Y | do(X))", "S", external="Z")
    of_selected, of_all = JointTable(["Z", "X", "Y"], selected), JointTable(graph.variables, joint)
    truth = model.probability([("Y", {"X": 1}, 1)])
    sources = {("S=1", ()): of_selected, ("", ()): JointTable(["Z"], joint.sum((1, 2, 3)))}
    for source in (sources, of_all):
        assert found.evaluate(source, {"X": 1, "Y": 1}) == pytest.approx(truth, abs=1e-9)
    with pytest.raises(DataError, match=r"\('S=1', \(\)\): selected"):
        found.evaluate(of_selected, {"X": 1, "Y": 1})
    alone = recover(graph, "P(Y | do(X), Z)", "S")
    truth = model.probability([("Y", {"X": 1}, 1)], [("Z", {"X": 1}, 2)])
    for source in (of_selected, of_all, {("S=1", ()): of_selected}):
        assert alone.evaluate(source, {"X": 1, "Y": 1, "Z": 2}) == pytest.approx(truth, abs=1e-9)


def test_selection_transport_and_experiments_combine():
    """M is transported from a trial elsewhere, Y's own factor is of the selected, and Z is known for all."""
    graph = CausalGraph.from_edges([("X", "M"), ("M", "Y"), ("Z", "Y"), ("Z", "S")], [("X", "M")])
    keywords = {"experiments": {"trial": ["X"]}, "target": "*", "domains": {"trial": ["Z", "Y"]}}
    with pytest.raises(NotIdentifiableError):
        recover(graph, "P(Y | do(X))", "S", external="Z", target="*", domains={"trial": ["Z", "Y"]})
    with pytest.raises(NotIdentifiableError):
        recover(graph, "P(Y | do(X))", "S", **keywords)
    found = recover(graph, "P(Y | do(X))", "S", external="Z", **keywords)
    assert found.text() == "sum_m P^trial(m | do(x)) sum_z P^*(y | m, S=1, z) P^*(z)"
    verify(found.derivation)
    rng = np.random.default_rng(0)
    target = random_model(graph, rng, {v: 2 if v in "SX" else 3 for v in graph.variables})
    trial = another_domain(target, ["Z", "Y"], rng)
    laws = {
        ("*", frozenset()): target.joint(),
        ("trial", frozenset("X")): trial.law(["X"]),
    }
    values = {Symbol("X"): 1, Symbol("Y"): 2}
    truth = target.probability([("Y", {"X": 1}, 2)])
    assert value_of(found.expression, laws, list(graph.variables), values) == pytest.approx(truth, abs=1e-9)
    randomised = trial.law(["X"]) * np.array([0.5, 0.5]).reshape([2 if v == "X" else 1 for v in graph.variables])
    whole = JointTable(graph.variables, target.joint())
    units = JointTable(graph.variables, randomised)
    at = graph.variables.index("S")
    chosen = np.take(target.joint(), 1, at)
    selected = JointTable([v for v in graph.variables if v != "S"], chosen / chosen.sum())
    tables = {
        ("*, S=1", ()): selected,
        ("*", ()): JointTable(["Z"], whole.array(["Z"])),
        ("trial", ("X",)): JointTable(["X", "M"], units.array(["X", "M"])),
    }
    assert found.evaluate(tables, {"X": 1, "Y": 2}) == pytest.approx(truth, abs=1e-9)
