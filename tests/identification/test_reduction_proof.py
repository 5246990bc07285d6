"""Derivations of counterfactual, surrogate and transported queries: every step checks, and a wrong one is refused."""

from dataclasses import replace

import numpy as np
import pytest

from causal_pyro_models.errors import DerivationError, NotIdentifiableError, QueryError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import ZERO, identify, parse, verify
from causal_pyro_models.identification.deciding.reduction_proof import LemmaStep, SharedStep, WorldsStep
from causal_pyro_models.identification.proofs.derivation import opened
from tests.identification.counterfactual_queries import random_query
from tests.identification.literature_worlds import COUNTERFACTUAL, EXPERIMENTS, MEDIATOR, TRANSPORT
from tests.identification.oracles import random_admg
from tests.identification.test_reduction import random_transport

TRIANGLE = CausalGraph.from_edges([tuple(pair.split(">")) for pair in MEDIATOR.split()])
NDE = identify(TRIANGLE, "P(Y_{X=1, M_{X=0}})").derivation
PROVED = [case for case in COUNTERFACTUAL + EXPERIMENTS + TRANSPORT if case.estimand is not None]


def assert_proved(estimand, seed):
    verify(estimand.derivation, models=1, seed=seed)
    assert estimand.derivation.lines[-1] == estimand.expression


@pytest.mark.parametrize("case", PROVED, ids=lambda case: case.source)
def test_literature(case):
    assert_proved(identify(case.graph, case.query, **case.keywords), seed=0)


def test_random_counterfactuals():
    rng = np.random.default_rng(0)
    proved = 0
    for seed in range(150):
        graph = random_admg(int(rng.integers(2, 5)), rng, 0.5, 0.25)
        try:
            estimand = identify(graph, random_query(graph, rng))
        except (NotIdentifiableError, QueryError):
            continue
        assert_proved(estimand, seed)
        proved += estimand.expression != ZERO
    assert proved > 40


def test_random_transport():
    rng = np.random.default_rng(1)
    for seed in range(120):
        graph, query, experiments, selection = random_transport(rng)
        try:
            estimand = identify(graph, query, experiments=experiments, target="here", selection=selection)
        except NotIdentifiableError:
            continue
        assert_proved(estimand, seed)


def test_a_kernel_that_stands_twice_is_proved_once():
    graph = CausalGraph.from_edges([("C", "X"), ("C", "M"), ("C", "Y"), ("X", "M"), ("X", "Y")])
    estimand = identify(graph, "P(X=0 | Y=0, M_{X=1}=1)")
    assert [str(step.before) for step in estimand.derivation].count("P(M=1 | do(c, X=1))") == 1
    assert_proved(estimand, seed=0)


def test_text():
    assert NDE.text() == "\n".join(
        [
            "    P(y_{X=1, m_{X=0}})",
            "  = sum_m P(m | do(X=0)) P(y | do(m, X=1))",
            "      counterfactual graph: districts are independent, each in one world",
            "  = sum_m P(m | X=0) P(y | do(m, X=1))",
            "      rule 2: (M _||_ X) in the graph without the edges out of X",
            "  = sum_m P(m | X=0) P(y | m, X=1)",
            "      rule 2: (Y _||_ M, X) in the graph without the edges out of M, X",
            "  = sum_m P(y | m, X=1) P(m | X=0)",
            "      probability axiom: sums, products and fractions simplified",
        ]
    )
    assert r"P(m \mid X=0)" in NDE.latex() and r"\perp" in NDE.latex()


def step_of(kind, derivation=NDE):
    return next(step for step in derivation if isinstance(step, kind))


def test_a_wrong_reduction_is_refused():
    step = step_of(WorldsStep)
    wrong = replace(step, after=parse("sum_m P(m | do(X=1)) P(y | do(m, X=1))"))
    with pytest.raises(DerivationError, match="apart by"):
        wrong.check(TRIANGLE, 0)


def test_a_wrong_lemma_is_refused():
    step = step_of(LemmaStep)
    with pytest.raises(DerivationError, match="not what its proof shows"):
        replace(step, after=parse("P(m | X=1)")).check(TRIANGLE, 0)
    with pytest.raises(DerivationError, match="another graph"):
        step.check(CausalGraph.from_edges([("X", "M")]), 0)
    bow = CausalGraph(["X", "M", "Y"], TRIANGLE.edges, [("X", "M")])
    moved = [replace(s, separation=replace(s.separation, graph=bow)) for s in step.lemma]
    with pytest.raises(DerivationError, match="does not have"):
        replace(step, lemma=replace(step.lemma, graph=bow, steps=tuple(moved))).check(bow, 0)


def test_populations_that_differ_in_the_outcome_are_refused():
    graph = CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("Z", "Y"), ("X", "Y")], [("X", "Y")])
    found = identify(graph, "P(Y | do(X))", experiments={"trial": ["X"]}, target="*", selection={"trial": "Z"})
    lemma = next(s.lemma for s in found.derivation if isinstance(s, LemmaStep) and step_is_shared(s))
    step = step_of(SharedStep, lemma)
    step.check(graph, 0)
    with pytest.raises(DerivationError, match="differ at Y"):
        replace(step, changed=("Y",)).check(graph, 0)
    with pytest.raises(DerivationError, match="more than their population"):
        replace(step, after=parse("P^trial(y | do(x))")).check(graph, 0)
    with pytest.raises(DerivationError, match="share probabilities"):
        replace(step, after=ZERO).check(graph, 0)


def step_is_shared(step):
    return any(isinstance(inner, SharedStep) for inner in step.lemma)


def test_opened_values_stay_distinct():
    first, second = opened([parse("P(y | X=1) P(y | X=0)"), parse('P(y | X=1) P(x | Z="a")')])
    assert first.text() == "P(y | x') P(y | x'')"
    assert second.text() == "P(y | x') P(x | z)"
