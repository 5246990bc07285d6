"""ID and IDC: estimands against the truth under do, verdicts against theory, hedges, and known cases."""

import itertools
from collections import Counter

import numpy as np
import pytest

from causal_pyro_models.errors import GraphError, NotIdentifiableError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import Hedge, Query, identify, parse, verify
from causal_pyro_models.identification.deciding import interventional
from causal_pyro_models.identification.deciding.bit_graph import BitGraph
from causal_pyro_models.identification.deciding.equalities import Observed
from causal_pyro_models.identification.deciding.interventional import HedgeFound, conditional_effect
from causal_pyro_models.identification.deciding.pruning import pruned
from causal_pyro_models.identification.expressions.simplification import simplified
from tests.generators import examples
from tests.graph.random_graphs import random_graph, random_subset, shuffled
from tests.identification.literature import CASES, IDENTIFIABLE, NOT_IDENTIFIABLE
from tests.identification.random_queries import TOLERANCE, check, gap, random_query


def answered(graph, query):
    """The estimand, or the hedge."""
    try:
        return identify(graph, query)
    except NotIdentifiableError as error:
        return error.witness


def identifiable(graph, query):
    return not isinstance(answered(graph, query), Hedge)


# The literature -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in IDENTIFIABLE])
def test_what_is_identifiable_by_the_literature(case):
    estimand = identify(case.graph, case.query)
    assert case.estimand in (None, estimand.text())
    assert gap(estimand, np.random.default_rng(0)) < TOLERANCE
    verify(estimand.derivation, models=1)
    assert estimand.derivation.lines[-1] == estimand.expression


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in NOT_IDENTIFIABLE])
def test_what_is_not_identifiable_by_the_literature(case):
    with pytest.raises(NotIdentifiableError, match="hedge") as refusal:
        identify(case.graph, case.query)
    refusal.value.witness.check()


def test_the_literature_has_60_cases_of_one_kind_and_40_of_the_other():
    assert len(IDENTIFIABLE) >= 60 and len(NOT_IDENTIFIABLE) >= 40
    assert not [pair for pair, n in Counter((case.graph, case.query) for case in CASES).items() if n > 1]


# Random graphs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_random_queries(seed):
    """250 queries each: estimands equal the truth in three models, hedges are hedges, every proof step holds."""
    rng = np.random.default_rng(seed)
    verdicts = Counter(check(*random_query(rng), rng) for _ in range(250))
    assert min(verdicts["identifiable"], verdicts["not identifiable"]) >= 25


def test_the_general_algorithm_alone(monkeypatch):
    """Without the short ways the verdicts are the same, and the estimands as right."""
    rng = np.random.default_rng(10)
    cases = [random_query(rng) for _ in range(250)]
    verdicts = [identifiable(*case) for case in cases]
    monkeypatch.setattr(interventional, "_short_way", lambda g, s: None if s.x else Observed(s))
    for case, verdict in zip(cases, verdicts, strict=True):
        assert check(*case, rng) == ("identifiable" if verdict else "not identifiable")


@examples(300)
def test_effects_of_one_variable_on_all_others(rng):
    """P(all others | do(x)) is identifiable just if no bidirected path joins x to its child (Tian and Pearl 2002)."""
    graph = random_graph(rng, 6, least=2)
    x = str(rng.choice(graph.variables))
    expected = graph.district(x).isdisjoint(graph.children(x))
    assert identifiable(graph, Query(set(graph.variables) - {x}, x)) == expected


@examples(400)
def test_verdicts_go_down_with_hidden_causes_and_up_with_fewer_arrows(rng):
    """What can be told in a graph can be told in every subgraph: an edge less is an assumption more."""
    graph = random_graph(rng, 6, least=2)
    y, x, *rest = shuffled(rng, graph.variables)
    query = Query(y, x, rest[: rng.integers(3)])
    if identifiable(graph, query):
        edges, bidirected = (random_subset(rng, pairs) for pairs in (graph.edges, graph.bidirected))
        assert identifiable(CausalGraph(graph.variables, edges, bidirected), query)


@examples(150)
def test_the_order_and_the_names_of_variables_do_not_matter(rng):
    graph = random_graph(rng, 6, least=2)
    y, x, *rest = shuffled(rng, graph.variables)
    new = dict(zip(graph.variables, shuffled(rng, "ABCDEF"), strict=False))
    renamed = CausalGraph(
        shuffled(rng, list(new.values())),
        [(new[a], new[b]) for a, b in graph.edges],
        [(new[b], new[a]) for a, b in graph.bidirected],
    )
    assert identifiable(graph, Query(y, x, rest[:1])) == identifiable(
        renamed, Query(new[y], new[x], [new[v] for v in rest[:1]])
    )


@examples(150)
def test_variables_that_have_nothing_to_do_with_the_query_do_not_matter(rng):
    """An unconnected part of the graph, isolated variables included, changes neither verdict nor estimand."""
    graph, other = random_graph(rng, 5, least=2), random_graph(rng, 3, least=0)
    y, x, *rest = shuffled(rng, graph.variables)
    query = Query(y, x, rest[:1])
    apart = [[(f"W{a}", f"W{b}") for a, b in pairs] for pairs in (other.edges, other.bidirected)]
    both = CausalGraph(
        [*(f"W{v}" for v in other.variables), *graph.variables],
        [*graph.edges, *apart[0]],
        [*graph.bidirected, *apart[1]],
    )
    one, two = answered(graph, query), answered(both, query)
    assert isinstance(one, Hedge) == isinstance(two, Hedge)
    assert isinstance(one, Hedge) or one.expression == two.expression


@pytest.mark.parametrize(
    ("edges", "long", "short"),
    [
        ("X -> M -> Y", "sum_m P(y | m) P(m | x)", "P(y | x)"),
        ("X -> M -> Y; X -> Y", "sum_m P(y | m) P(m | x)", "sum_m P(y | m) P(m | x)"),
        ("X -> M -> Y", "sum_m P(y | m) P(m)", "P(y)"),
        ("X -> M -> Y", "sum_m P(y | m, x) P(m)", "P(y)"),
        ("X -> M -> Y; X -> Y", "sum_m P(y | m, x) P(m)", "sum_m P(y | m, x) P(m)"),
        ("X -> M -> Y", "sum_x P(y | m, x) P(x)", "P(y | m)"),
        ("X -> M -> Y; X <-> Y", "sum_x P(y | m, x) P(x)", "sum_x P(y | m, x) P(x)"),
        ("X -> Y; X -> Z", "P(y | x, z)", "P(y | x)"),
    ],
)
def test_the_graph_shortens_what_it_may(edges, long, short):
    """Independences make factors a chain and drop idle conditions; where the graph has no such, nothing changes."""
    graph = BitGraph(CausalGraph.from_dagitty(f"dag {{ {edges} }}"))
    assert pruned(graph, simplified(parse(long)))[0].text() == short


def test_a_long_chain_of_mediators():
    """Variables that only pass something on cost nothing, and leave no trace in the estimand."""
    names = [f"V{i}" for i in range(200)]
    graph = CausalGraph(names, list(itertools.pairwise(names)), [("V0", "V199")])
    assert identify(graph, "P(V199 | do(V0))").text() == "sum_v198 P(v198 | v0) sum_v0' P(v199 | v0', v198) P(v0')"


# What is handed back --------------------------------------------------------------------------------------------------


def test_an_estimand_shows_itself():
    found = identify(CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")]), "P(Y | do(X))")
    assert str(found) == found.text() == "sum_z P(y | x, z) P(z)"
    assert found.latex() == r"\sum_{z} P(y \mid x, z) \, P(z)"
    assert found._repr_latex_() == rf"$P(y \mid \operatorname{{do}}(x)) = {found.latex()}$"
    assert found == identify(found.graph, found.query) and "P(Y | do(X))" in repr(found)
    assert found.derivation is found.derivation


def test_arbitrary_values():
    napkin = CausalGraph.from_dagitty("dag { W -> R -> X -> Y; W <-> X; W <-> Y }")
    assert {symbol.name for symbol in identify(napkin, "P(Y | do(X))").arbitrary} == {"R"}
    assert not identify(napkin, "P(Y | do(R))").arbitrary


def test_a_query_without_a_treatment_is_its_own_estimand():
    graph = CausalGraph.from_edges([("X", "Y"), ("Y", "Z")])
    assert identify(graph, "P(Y=1, X | Z)").text() == "P(x, Y=1 | z)"
    assert identify(graph, "P(Z | Y, X)").text() == "P(z | y)", "X tells nothing more"


def test_values_replace_open_values_and_free_the_primes():
    front_door = CausalGraph.from_dagitty("dag { X -> M -> Y; X <-> Y }")
    found = identify(front_door, Query({"Y": "high"}, {"X": 0}))
    assert found.text() == 'sum_m P(m | X=0) sum_x P(Y="high" | m, x) P(x)'
    assert identify(front_door, "P(Y | do(X=x'))").text() == "sum_m P(m | x') sum_x P(y | m, x) P(x)"


def test_no_plan_reads_a_variable_as_its_own_condition():
    """Q-factors are carried through: no factor conditions on what it is the probability of, for any query."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        graph, query = random_query(rng)
        g = BitGraph(graph)
        masks = (g.mask(t.name for t in side) for side in (query.outcome, query.treatment, query.conditions))
        try:
            found = conditional_effect(g, *masks).expression(g)
        except HedgeFound:
            continue
        for p in found.walk():
            names = [t.name for t in getattr(p, "terms", ())]
            assert len(names) == len(set(names))


def test_a_hedge_is_checked_by_its_definition():
    graph = CausalGraph.from_dagitty("dag { X -> A -> Y; X -> B; X <-> A; A <-> B; B <-> Y; X <-> Y }")
    hedge = answered(graph, "P(Y | do(X))")
    hedge.check()
    whole, core = hedge.forest, hedge.core
    wrong = {
        "not part of": Hedge(graph, hedge.outcome, hedge.treatment, core, whole),
        "misses the treatment": Hedge(graph, hedge.outcome, ("B",), whole, core),
        "meets the treatment": Hedge(graph, hedge.outcome, hedge.treatment, whole, whole),
        "do not connect": Hedge(graph, hedge.outcome, hedge.treatment, whole, CausalGraph(core.variables, core.edges)),
        "no cause of the outcome": Hedge(graph, ("B",), hedge.treatment, whole, core),
    }
    for says, bad in wrong.items():
        if says == "do not connect" and len(core.variables) == 1:
            continue
        with pytest.raises(GraphError, match=says):
            bad.check()
