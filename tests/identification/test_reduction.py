"""Counterfactual, surrogate and transported queries: the verdicts and numbers of the literature and of random cases."""

import numpy as np
import pytest
import torch

from causal_pyro_models.errors import NotIdentifiableError, QueryError, UnknownVariableError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import (
    ZERO,
    Conflict,
    Probability,
    Query,
    Symbol,
    identify,
    term,
)
from causal_pyro_models.identification.deciding.hedge import Hedge
from causal_pyro_models.identification.deciding.reduction import identify_from
from causal_pyro_models.identification.deciding.sources import EVERY, EveryExperiment, available
from tests.identification.counterfactual_queries import random_query
from tests.identification.literature import IDENTIFIABLE
from tests.identification.literature_worlds import BACK_DOOR, BOW, COUNTERFACTUAL, EXPERIMENTS, MEDIATOR, TRANSPORT
from tests.identification.local_identifiability import Mixture
from tests.identification.oracles import another_domain, random_admg, random_model, value_of

torch.set_num_threads(1)


def in_world(query):
    """Outcome and conditions of a query as terms with its treatment as their world."""
    return [[event if event.do else event._replace(do=query.treatment) for event in side] for side in _sides(query)]


def _sides(query):
    return query.outcome, query.conditions


def changed_in(selection):
    return {d: [names] if isinstance(names, str) else list(names) for d, names in (selection or {}).items()}


def assert_true(expression, graph, query, sources, selection, seed, least=2):
    """The expression equals the query in a random model of every domain; every free symbol has a random value."""
    rng = np.random.default_rng(seed)
    target = random_model(graph, rng, {v: int(rng.integers(least, 4)) for v in graph.variables})
    models = {d: another_domain(target, changed, rng) for d, changed in changed_in(selection).items()}
    laws = {(s.domain, s.experiment): models.get(s.domain, target).law(s.experiment) for s in sources}
    values = {symbol: int(rng.integers(0, 2)) for symbol in expression.free | query.expression.free}
    for symbol in values:  # values that are written differently are different
        if symbol.primes:
            values[symbol] = 1 - values.get(Symbol(symbol.name), 1 - values[symbol])
    truth = target.query(*in_world(query), values)
    if np.isnan(truth):
        return
    found = 0.0 if expression == ZERO else value_of(expression, laws, list(graph.variables), values)
    assert found == pytest.approx(truth, abs=1e-9)


# The literature -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", COUNTERFACTUAL + EXPERIMENTS + TRANSPORT, ids=lambda case: case.source)
def test_literature(case):
    query, keywords = Query.parse(case.query), case.keywords
    if case.estimand is None:
        with pytest.raises(NotIdentifiableError) as caught:
            identify(case.graph, query, **keywords)
        if isinstance(caught.value.witness, Hedge):
            caught.value.witness.check()
        else:
            assert isinstance(caught.value.witness, Conflict | Probability)
        return
    estimand = identify(case.graph, query, **keywords)
    assert estimand.text() == case.estimand
    numbers = query if all(isinstance(t.value, Symbol | int) for t in _words(query)) else None
    if numbers:
        sources = available(case.graph, **keywords)
        for seed in range(3):
            assert_true(estimand.expression, case.graph, query, sources, keywords.get("selection"), seed, least=3)


def _words(query):
    return [
        t for side in (query.outcome, query.treatment, query.conditions) for event in side for t in (event, *event.do)
    ]


# Random counterfactuals -----------------------------------------------------------------------------------------------


def random_counterfactuals(count, seed, largest=4):
    rng = np.random.default_rng(seed)
    while count:
        graph = random_admg(int(rng.integers(2, largest + 1)), rng, 0.5, 0.25)
        try:
            query = random_query(graph, rng)
        except QueryError:
            continue  # a variable twice in the actual world
        count -= 1
        yield graph, query


def test_counterfactual_estimands_are_right():
    sources, verdicts = {}, {"zero": 0, "identified": 0, "not": 0, "impossible": 0}
    for seed, (graph, query) in enumerate(random_counterfactuals(600, seed=0)):
        sources = available(graph)
        try:
            found = identify_from(graph, query, sources)
        except NotIdentifiableError:
            verdicts["not"] += 1
            continue
        except QueryError:
            model = random_model(graph, np.random.default_rng(seed))
            assert np.isnan(model.query(query.outcome, query.conditions, {}))
            verdicts["impossible"] += 1
            continue
        verdicts["zero" if found == ZERO else "identified"] += 1
        for draw in range(3):
            assert_true(found, graph, query, sources, None, 3 * seed + draw)
    assert min(verdicts.values()) > 20  # the queries are of every kind


def test_counterfactual_verdicts_are_right():
    identified = refused = 0
    for seed, (graph, query) in enumerate(random_counterfactuals(300, seed=1)):
        rng = np.random.default_rng(seed)
        try:
            found = identify_from(graph, query, available(graph)) != ZERO
        except NotIdentifiableError:
            found = False
            # A model may by chance have no unit of the kind that the query is about: then another one is drawn.
            assert not all(determined(graph, query, [("", ())], rng) for _ in range(12))
            refused += 1
        except QueryError:
            continue
        if found and identified < 60:
            identified += 1
            assert any(determined(graph, query, [("", ())], rng) for _ in range(5))
    assert refused > 40 and identified > 40


def determined(graph, query, sources, rng, changed=None):
    """Whether, near a random model, the sources tell all that the query depends on."""
    return Mixture(graph, rng, changed).determines(sources, *in_world(query))


def test_open_values_are_right_for_all_values():
    graph = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
    query = Query([term("Y", do=[term("X")])], (), [term("X", Symbol("X", 1))])
    found = identify(graph, query).expression
    model = random_model(graph, np.random.default_rng(0), 3)
    for x in range(3):
        for other in range(3):
            values = {Symbol("X"): x, Symbol("X", 1): other, Symbol("Y"): 1}
            truth = model.query(query.outcome, query.conditions, values)
            assert value_of(found, {("", frozenset()): model.joint()}, list("ZXY"), values) == pytest.approx(truth)


@pytest.mark.parametrize(
    ("graph", "query"),
    [
        (CausalGraph(["X", "Y", "Z"], [("Z", "X"), ("Z", "Y")], [("X", "Y")]), "P(Z=0, X=0 | Y_{Z=0}=0)"),
        (CausalGraph(["W", "X", "Y"], [("W", "X"), ("X", "Y")], [("W", "Y")]), "P(X=1 | Y_{X=1, W=0}=1)"),
    ],
)
def test_a_condition_of_a_world_is_not_one_of_the_actual_world(graph, query):
    """The evidence is about a world that sets what the query sees at the same value by itself."""
    query = Query.parse(query)
    found = identify(graph, query).expression
    for seed in range(3):
        assert_true(found, graph, query, available(graph), None, seed)


def test_interventional_queries_agree_with_the_observational_engine():
    rng = np.random.default_rng(2)
    for _ in range(150):
        graph = random_admg(int(rng.integers(2, 6)), rng, 0.4, 0.3)
        y, x, *rest = rng.permutation(graph.variables).tolist()
        query = Query(y, x, [v for v in rest if rng.random() < 0.3])
        try:
            known = identify(graph, query)
        except NotIdentifiableError:
            with pytest.raises(NotIdentifiableError):
                identify_from(graph, query, available(graph))
            continue
        found = identify_from(graph, query, available(graph))
        model = random_model(graph, rng)
        values = {Symbol(v): int(rng.integers(0, 2)) for v in graph.variables}
        numbers = [
            value_of(e, {("", frozenset()): model.joint()}, list(graph.variables), values)
            for e in (found, known.expression)
        ]
        assert numbers[0] == pytest.approx(numbers[1], abs=1e-9)


@pytest.mark.parametrize("case", IDENTIFIABLE, ids=lambda case: case.id)
def test_interventional_queries_take_their_textbook_form(case):
    found = identify_from(case.graph, Query.parse(case.query), available(case.graph))
    assert found == identify(case.graph, case.query).expression


def test_the_conflict_names_the_variable_and_its_two_values():
    with pytest.raises(NotIdentifiableError, match="X=1 and X=0 at once") as caught:
        identify(CausalGraph.from_edges([("X", "Y")], [("X", "Y")]), "P(Y_{X=1} | X=0)")
    conflict = caught.value.witness
    assert (conflict.variable, conflict.first, conflict.second) == ("X", 1, 0)
    assert {t.name for t in conflict.district} == {"X", "Y"}


@pytest.mark.parametrize(
    ("edges", "query", "error", "match"),
    [
        (BOW, "P(Y_{X=1} | X=0, X_{Y=1}=1)", QueryError, "contradict one another"),
        (BOW, "P(Y_{X=1} | X_{X=1}=0)", QueryError, "contradict one another"),
        (BOW, "P(Y_{X=1, X=0})", QueryError, "'X' twice"),
        (MEDIATOR, "P(Y_{M_{X=1, X=0}})", QueryError, "'X' twice"),
        (BOW, "P(X_{X=1})", QueryError, "depends on the open value"),
        (BOW, "P(Y_{Z=1})", UnknownVariableError, "'Z'"),
        (BOW, "P(Y_{X_{W=0}})", UnknownVariableError, "'W'"),
    ],
)
def test_bad_counterfactuals(edges, query, error, match):
    graph = CausalGraph.from_edges(
        [tuple(pair.split(">")) for pair in edges.split() if ">" in pair],
        [tuple(pair.split("=")) for pair in edges.split() if "=" in pair],
    )
    with pytest.raises(error, match=match):
        identify(graph, query)


# Experiments and transport --------------------------------------------------------------------------------------------


def subset(names, rng, share):
    return [v for v in names if rng.random() < share]


def random_transport(rng):
    """A graph, a query of it, what was done in three domains, and how two of them differ from the third."""
    graph = random_admg(int(rng.integers(3, 6)), rng, 0.5, 0.3)
    y, x, *rest = rng.permutation(graph.variables).tolist()
    query = Query({y: 1}, {x: 0}, dict.fromkeys(subset(rest, rng, 0.25), 1))
    names = graph.variables
    experiments = {
        "here": [subset(names, rng, 0.3) for _ in range(rng.integers(0, 2))],
        "a": [subset(names, rng, 0.4) for _ in range(rng.integers(0, 3))],
        "b": [subset(names, rng, 0.4)],
    }
    return graph, query, experiments, {"a": subset(names, rng, 0.3), "b": subset(names, rng, 0.3)}


def test_transported_estimands_are_right():
    rng = np.random.default_rng(3)
    several = 0
    for seed in range(500):
        graph, query, experiments, selection = random_transport(rng)
        sources = available(graph, experiments, "here", selection)
        try:
            found = identify_from(graph, query, sources)
        except NotIdentifiableError:
            continue
        several += len({p.domain for p in found.walk() if isinstance(p, Probability)}) > 1
        assert_true(found, graph, query, sources, selection, seed)
    assert several > 5


def test_transport_verdicts_are_right():
    rng = np.random.default_rng(4)
    verdicts = {True: 0, False: 0}
    for _ in range(45):
        graph, query, experiments, selection = random_transport(rng)
        if len(graph.variables) > 4:
            continue
        sources = available(graph, experiments, "here", selection)
        pairs = [({"here": ""}.get(s.domain, s.domain), s.experiment) for s in sources]
        try:
            identify_from(graph, query, sources)
            verdict = True
        except NotIdentifiableError:
            verdict = False
        verdicts[verdict] += 1
        assert verdict == all(determined(graph, query, pairs, rng, selection) for _ in range(1 if verdict else 8))
    assert min(verdicts.values()) > 5


def test_every_experiment_identifies_every_effect():
    rng = np.random.default_rng(5)
    for seed in range(60):
        graph = random_admg(4, rng, 0.5, 0.4)
        y, x, z, _ = rng.permutation(graph.variables).tolist()
        query = Query(y, x, z)
        found = identify(graph, query, experiments=[EVERY]).expression
        laws = {frozenset(t.name for t in p.do) for p in found.walk() if isinstance(p, Probability)}
        sources = [s for do in laws for s in available(graph, {"": [do]})]
        assert_true(found, graph, query, sources, None, seed)


def test_counterfactuals_are_reduced_to_experiments():
    """With all experiments at hand, ID* of the paper remains: only conflicts between worlds are in the way."""
    graph = CausalGraph.from_edges([("X", "Y"), ("X", "M"), ("M", "Y")], [("X", "Y"), ("X", "M")])
    found = identify(graph, "P(Y_{X=1, M_{X=0}})", experiments=[EVERY])
    assert found.text() == "sum_m P(m | do(X=0)) P(y | do(m, X=1))"
    assert [type(s) for s in available(graph, [EVERY])][-1] is EveryExperiment


@pytest.mark.parametrize(
    ("keywords", "error", "match"),
    [
        ({"experiments": ["W"]}, UnknownVariableError, "'W'"),
        ({"experiments": 1}, QueryError, "list of experiments"),
        ({"experiments": [1]}, QueryError, "a variable or several"),
        ({"experiments": {"trial": ["X"]}}, UnknownVariableError, "domain 'trial'"),
        ({"target": "here"}, QueryError, "needs selection"),
        ({"target": 1, "selection": {"a": "Z"}}, QueryError, "must be the label"),
        ({"target": "a", "selection": {"a": "Z"}}, QueryError, "not in selection"),
        ({"selection": {"a": "Z"}}, QueryError, "not in selection"),
        ({"target": "here", "selection": "Z"}, QueryError, "a mapping"),
        ({"target": "here", "selection": {"a": "W"}}, UnknownVariableError, "'W'"),
        ({"target": "here", "selection": {"a": "Z"}, "experiments": ["X"]}, QueryError, "give a mapping"),
    ],
)
def test_bad_sources(keywords, error, match):
    graph = CausalGraph.from_edges([tuple(pair.split(">")) for pair in BACK_DOOR.split()])
    with pytest.raises(error, match=match):
        identify(graph, "P(Y | do(X))", **keywords)
