"""Implied constraints: true in every model, and strong enough to imply the rest."""

import numpy as np
from hypothesis import given, settings, strategies as st

from causal_pyro_models.graph import CausalGraph, is_minimal_separator
from causal_pyro_models.identification.implications import (
    local_independences,
    pairwise_independences,
    verma_constraints,
)
from causal_pyro_models.identification.laws.tabulation import Tabulator
from tests.generators import examples
from tests.graph.oracles import disjoint_queries
from tests.graph.random_graphs import random_graph
from tests.identification.oracles import random_admg, random_model

VERMA = CausalGraph(["A", "B", "C", "D"], [("A", "B"), ("B", "C"), ("C", "D")], [("B", "D")])


def separations(graph):
    return [(x, y, z) for x, y, z in disjoint_queries(graph.variables) if graph.m_separated(x, y, z)]


@examples(200)
def test_what_is_implied_is_separated(rng):
    graph = random_graph(rng)
    for independence in local_independences(graph) + pairwise_independences(graph):
        assert graph.m_separated(independence.xs, independence.ys, independence.given)
    pairs = {frozenset((x, y)) for x, y, _ in separations(graph)}
    found = pairwise_independences(graph)
    assert len(found) == len(pairs) and {i.xs | i.ys for i in found} == pairs
    assert all(is_minimal_separator(graph, i.xs, i.ys, i.given) for i in found)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_local_independences_imply_all_separations(seed):
    """Of 300 random graphs over the same variables, those with the local independences have every separation."""
    rng = np.random.default_rng(seed)
    graph = random_admg(4, rng, 0.4, 0.3)
    local, every = local_independences(graph), separations(graph)
    for _ in range(300):
        other = random_admg(4, rng, rng.uniform(0.1, 0.6), rng.uniform(0.0, 0.5))
        if all(other.m_separated(i.xs, i.ys, i.given) for i in local):
            assert all(other.m_separated(*separation) for separation in every), (graph, other)


@examples(60)
def test_without_hidden_variables_there_is_one_for_each_variable_and_no_verma_constraint(rng):
    graph = random_graph(rng)
    dag = CausalGraph(graph.variables, graph.edges)
    local = local_independences(dag)
    assert len(local) <= len(dag.variables)
    assert all(i.given == frozenset(dag.parents(*i.xs)) for i in local)
    assert not verma_constraints(dag)


def test_verma_constraints_hold_in_every_model():
    """Random graphs of 5 variables, few of which have any, and the Verma graph with another cause added at random."""
    rng = np.random.default_rng(0)
    graphs = [random_admg(5, rng, 0.5, 0.3) for _ in range(100)]
    for _ in range(60):
        causes = [("E", v) for v in "ABCD" if rng.random() < 0.3]
        confounded = [("E", v) for v in "ABCD" if rng.random() < 0.3]
        graphs.append(CausalGraph(list("EABCD"), [*VERMA.edges, *causes], [*VERMA.bidirected, *confounded]))
    found = [(graph, constraint) for graph in graphs for constraint in verma_constraints(graph)]
    assert len(found) >= 40
    for graph, constraint in found:
        law = random_model(graph, rng).joint()
        values, axes = Tabulator(graph.variables, lambda domain, do, law=law: law)(constraint.expression)
        for i, symbol in enumerate(axes):
            if symbol.name in constraint.free_of:
                assert np.ptp(values, axis=i).max() < 1e-9, (graph, constraint)


def test_the_verma_graph_has_its_constraint_and_a_graph_with_the_edge_has_none():
    (constraint,) = verma_constraints(VERMA)
    assert str(constraint) == "sum_b P(d | a, b, c) P(b | a) does not depend on a"
    full = CausalGraph(VERMA.variables, [*VERMA.edges, ("A", "D")], VERMA.bidirected)
    assert not verma_constraints(full)
    law = random_model(full, np.random.default_rng(0)).joint()
    values, axes = Tabulator(full.variables, lambda domain, do: law)(constraint.expression)
    assert np.ptp(values, axis=[s.name for s in axes].index("A")).max() > 1e-3
