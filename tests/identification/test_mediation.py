"""Mediation: the queries mean what their names say, and the recanting witness is what stands in their way."""

import itertools

import numpy as np
import pytest

from causal_pyro_models.errors import InterventionError, NotIdentifiableError, QueryError, UnknownVariableError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import Conflict, identify
from causal_pyro_models.identification.mediation import (
    effect_on_the_treated,
    natural_direct_effect,
    natural_indirect_effect,
    path_specific_effect,
    recanting_witness,
)
from tests.identification.oracles import random_admg, random_model, value_of

ARMS = {"X": (0, 1)}
TRIANGLE = CausalGraph.from_edges([("X", "M"), ("M", "Y"), ("X", "Y")])


def directed_paths(graph, start, end):
    if start == end:
        return [(end,)]
    return [(start, *rest) for child in graph.children(start) for rest in directed_paths(graph, child, end)]


def closed_under_edges(paths, chosen):
    """Whether the edges of the chosen paths make up no other path."""
    edges = {step for path in chosen for step in itertools.pairwise(path)}
    return all(path in chosen for path in paths if set(itertools.pairwise(path)) <= edges)


def along_paths(model, source, outcome, paths, control, treated):
    """P(outcome = 1), the outcome computed path by path: each argument at what the paths that end with it bring."""
    states, weights = model.states()

    def value(v, suffix):
        """The value of v as the outcome gets it along the rest of a path, from v on."""
        if v == source:
            return np.full(len(weights), treated if suffix in paths else control)
        inputs = [value(parent, (parent, *suffix)) for parent in model.graph.parents(v)]
        inputs += [states[key] for key in (*model._confounders(v), v)]
        return model.functions[v][tuple(inputs)]

    return weights[value(outcome, (outcome,)) == 1].sum()


def number(model, query):
    return model.query(query.outcome, query.conditions, {t.value: 1 for t in query.outcome})


@pytest.mark.parametrize("seed", range(60))
def test_path_specific_effects(seed):
    """Against a computation path by path; identified, without hidden causes, exactly where no witness recants."""
    rng = np.random.default_rng(seed)
    graph = random_admg(5, rng, 0.6, 0.0)
    source, outcome = graph.topological_order[0], graph.topological_order[-1]
    paths = directed_paths(graph, source, outcome)
    if not paths:
        return
    for _ in range(5):
        chosen = [path for path in paths if rng.random() < 0.5]
        if not chosen or not closed_under_edges(paths, chosen):
            continue
        query = path_specific_effect(graph, {source: (0, 1)}, outcome, chosen).active
        model = random_model(graph, rng)
        truth = along_paths(model, source, outcome, chosen, 0, 1)
        witness = recanting_witness(graph, source, outcome, chosen)
        if witness is None:
            assert number(model, query) == pytest.approx(truth)
            estimand = identify(graph, query).expression
            found = value_of(estimand, {("", frozenset()): model.joint()}, list(graph.variables), one(query))
            assert found == pytest.approx(truth, abs=1e-9)
        else:
            with pytest.raises(NotIdentifiableError) as caught:
                identify(graph, query)
            assert isinstance(caught.value.witness, Conflict)


def one(query):
    return {t.value: 1 for t in query.outcome}


def test_only_what_the_treatment_changes_is_set():
    graph = CausalGraph.from_edges([("X", "M"), ("M", "Y"), ("X", "Y"), ("C", "M"), ("C", "Y")])
    contrast = path_specific_effect(graph, ARMS, "Y", [("X", "M", "Y")])
    assert contrast.active.text() == "P(Y_{X=0, M_{X=1}})"


def test_natural_effects_are_path_specific_ones():
    direct = path_specific_effect(TRIANGLE, ARMS, "Y", [("X", "Y")])
    indirect = path_specific_effect(TRIANGLE, ARMS, "Y", [("X", "M", "Y")])
    model = random_model(TRIANGLE, np.random.default_rng(0))
    for effect, same in ((natural_direct_effect, direct), (natural_indirect_effect, indirect)):
        contrast = effect(ARMS, "Y", "M")
        assert number(model, contrast.active) == pytest.approx(number(model, same.active))
        assert contrast.reference == same.reference


def test_total_effect_is_the_direct_less_the_reversed_indirect_one():
    model = random_model(TRIANGLE, np.random.default_rng(1))

    def effect(contrast):
        return number(model, contrast.active) - number(model, contrast.reference)

    total = model.probability([("Y", {"X": 1}, 1)]) - model.probability([("Y", {"X": 0}, 1)])
    back = natural_indirect_effect({"X": (1, 0)}, "Y", "M")
    assert effect(natural_direct_effect(ARMS, "Y", "M")) - effect(back) == pytest.approx(total)


def test_mediation_formulas():
    assert str(identify(TRIANGLE, natural_direct_effect(ARMS, "Y", "M").active)) == "sum_m P(y | m, X=1) P(m | X=0)"
    assert str(identify(TRIANGLE, natural_indirect_effect(ARMS, "Y", "M").active)) == "sum_m P(y | m, X=0) P(m | X=1)"


def test_effect_on_the_treated():
    graph = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
    contrast = effect_on_the_treated(ARMS, "Y")
    assert str(identify(graph, contrast.active)) == "P(y | X=1)"
    assert str(identify(graph, contrast.reference)) == "sum_z P(y | X=0, z) P(z | X=1)"


def test_recanting_witness_of_the_kite():
    """Avin, Shpitser and Pearl (2005): W passes on the treatment to M, and not to Y."""
    graph = CausalGraph.from_edges([("X", "W"), ("W", "M"), ("W", "Y"), ("M", "Y")])
    assert recanting_witness(graph, "X", "Y", [("X", "W", "M", "Y")]) == "W"
    assert recanting_witness(graph, "X", "Y", [("X", "W", "M", "Y"), ("X", "W", "Y")]) is None
    with pytest.raises(NotIdentifiableError, match=r"w_{X=0}, w'_{X=1}"):
        identify(graph, path_specific_effect(graph, ARMS, "Y", [("X", "W", "M", "Y")]).active)


def test_recanting_district():
    """Shpitser (2013): no witness, but hidden causes tie a variable that feels the treatment to one that does not."""
    graph = CausalGraph.from_edges([("X", "A"), ("X", "B"), ("A", "Y"), ("B", "Y")], [("A", "B")])
    assert recanting_witness(graph, "X", "Y", [("X", "A", "Y")]) is None
    with pytest.raises(NotIdentifiableError) as caught:
        identify(graph, path_specific_effect(graph, ARMS, "Y", [("X", "A", "Y")]).active)
    assert {t.name for t in caught.value.witness.district} == {"A", "B"}


@pytest.mark.parametrize(
    ("paths", "error", "match"),
    [
        ([], QueryError, "at least one"),
        ("XMY", QueryError, "must be a list"),
        (7, QueryError, "must be a list"),
        (["XMY"], QueryError, "sequence of names"),
        ([("X", "Y", "M")], QueryError, "no edge Y -> M"),
        ([("M", "Y")], QueryError, "leads elsewhere"),
        ([("X",)], QueryError, "leads elsewhere"),
        ([("X", "N", "Y")], UnknownVariableError, "'N'"),
    ],
)
def test_bad_paths(paths, error, match):
    with pytest.raises(error, match=match):
        path_specific_effect(TRIANGLE, ARMS, "Y", paths)


def test_paths_whose_edges_make_up_another_one():
    graph = CausalGraph.from_edges([("X", "A"), ("X", "B"), ("A", "C"), ("B", "C"), ("C", "D"), ("C", "E")])
    graph = CausalGraph.from_edges([*graph.edges, ("D", "Y"), ("E", "Y")])
    with pytest.raises(QueryError, match="X -> A -> C -> E -> Y as well"):
        path_specific_effect(graph, ARMS, "Y", [("X", "A", "C", "D", "Y"), ("X", "B", "C", "E", "Y")])


@pytest.mark.parametrize(
    ("treatment", "mediators", "match"),
    [
        ({}, "M", "dict from name"),
        ("X", "M", "dict from name"),
        ({"X": 1}, "M", r"\(control, treated\)"),
        ({"X": (1, 1)}, "M", "no contrast"),
        ({"Y": (0, 1)}, "M", "the treatment and the outcome"),
        (ARMS, [], "needs mediators"),
        (ARMS, 1, "must be the name"),
        (ARMS, "X", "also the treatment"),
    ],
)
def test_bad_mediation(treatment, mediators, match):
    with pytest.raises((InterventionError, QueryError), match=match):
        natural_direct_effect(treatment, "Y", mediators)
