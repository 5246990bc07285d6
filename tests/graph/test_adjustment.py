"""Adjustment sets against exact effects in linear models, against the definition, and against every subset."""

import numpy as np
import pytest

from causal_pyro_models.errors import GraphError, NoValidSetError, QueryError, UnknownVariableError
from causal_pyro_models.graph import (
    ADJUSTMENT,
    BACKDOOR,
    CausalGraph,
    adjustment_sets,
    causal_nodes,
    forbidden_nodes,
    is_adjustment_set,
    minimal_adjustment_sets,
    minimum_adjustment_set,
    optimal_adjustment_set,
    optimal_minimal_adjustment_set,
    proper_backdoor_graph,
)
from tests.generators import examples
from tests.graph.linear import LinearModel
from tests.graph.random_graphs import random_graph, random_subset
from tests.graph.test_separators import subsets


def random_effect(rng, max_variables=6, confounded=True, several=True):
    """A graph, and disjoint treatments and outcomes; a cause and an effect in most cases."""
    graph = random_graph(rng, max_variables, confounded)
    names = rng.permutation(graph.variables).tolist()
    pairs = [(a, b) for a in names for b in names if a != b and b in graph.descendants(a)]
    x, y = pairs[rng.integers(len(pairs))] if pairs and rng.random() < 0.8 else names[:2]
    rest = [v for v in names if v not in (x, y)]
    more = rest[:1] if several and rng.random() < 0.3 else []
    return graph, frozenset([x, *more]), frozenset([y])


def is_unbiased(model, x, y, z):
    """Whether the regression on the treatments and z has the total effects as coefficients of the treatments."""
    coefficients = model.regression(y, [*x, *z])[:, : len(x)]
    return np.allclose(coefficients, model.effects(x, y), rtol=0.0, atol=1e-9)


@examples(250)
def test_the_criterion_is_sound_and_complete_in_linear_models(rng):
    """A set is valid exactly where the regression gives the effect in two random models (with probability one)."""
    effect = random_effect(rng)
    graph, x, y = effect
    models = [LinearModel(graph, seed) for seed in (0, 1)]
    for z in subsets(set(graph.variables) - x - y):
        verdict = is_adjustment_set(graph, x, y, z)
        unbiased = [is_unbiased(model, sorted(x), sorted(y), sorted(z)) for model in models]
        if len(x) == 1 or verdict:  # of several treatments, one coefficient may be right for another reason
            assert all(unbiased) == bool(verdict), (graph, x, y, z, verdict)


@examples(200)
def test_backdoor_sets_are_adjustment_sets_by_the_definition(rng):
    effect = random_effect(rng)
    graph, x, y = effect
    for z in subsets(set(graph.variables) - x - y):
        holds = z.isdisjoint(graph.descendants(x)) and graph.remove_outgoing(x).m_separated(x, y, z)
        assert bool(is_adjustment_set(graph, x, y, z, criterion=BACKDOOR)) == holds
        assert not holds or is_adjustment_set(graph, x, y, z)


@examples(200)
@pytest.mark.parametrize("criterion", [ADJUSTMENT, BACKDOOR], ids=lambda criterion: criterion.name)
def test_all_minimal_and_minimum_sets(criterion, rng):
    effect = random_effect(rng)
    graph, x, y = effect
    observed = random_subset(rng, set(graph.variables) - x - y, 0.75)
    valid = {z for z in subsets(observed) if is_adjustment_set(graph, x, y, z, criterion=criterion)}
    minimal = {z for z in valid if not any(other < z for other in valid)}
    assert set(adjustment_sets(graph, x, y, observed=observed, criterion=criterion)) == valid
    assert set(minimal_adjustment_sets(graph, x, y, observed=observed, criterion=criterion)) == minimal
    if valid:
        smallest = minimum_adjustment_set(graph, x, y, observed=observed, criterion=criterion)
        assert smallest in minimal and len(smallest) == min(map(len, valid))
    else:
        with pytest.raises(NoValidSetError, match="stays open"):
            minimum_adjustment_set(graph, x, y, observed=observed, criterion=criterion)


@examples(200)
def test_hidden_variables_are_those_of_the_latent_projection(rng):
    effect = random_effect(rng)
    graph, x, y = effect
    observed = x | y | random_subset(rng, graph.variables)
    projected = graph.latent_projection(observed)
    assert set(adjustment_sets(graph, x, y, observed=observed)) == set(adjustment_sets(projected, x, y))


def variance(model, x, y, z):
    """The asymptotic variance of the least-squares coefficient of x: var(y | x, z) / var(x | z), times n."""
    return model.partial(y, y, [x, *z]) / model.partial(x, x, z)


@examples(300)
def test_the_optimal_set_has_the_least_variance_of_all(rng):
    """Henckel, Perković and Maathuis (2022), theorem 3.13; and the least of the minimal sets for the minimal one."""
    effect = random_effect(rng, confounded=False, several=False)
    graph, (x,), (y,) = effect[0], *map(tuple, effect[1:])
    if y not in graph.descendants(x):
        return
    model = LinearModel(graph, 0)
    variances = {z: variance(model, x, y, sorted(z)) for z in adjustment_sets(graph, x, y)}
    assert variances[optimal_adjustment_set(graph, x, y)] <= min(variances.values()) + 1e-9
    minimal = {z: variances[z] for z in minimal_adjustment_sets(graph, x, y)}
    assert minimal[optimal_minimal_adjustment_set(graph, x, y)] <= min(minimal.values()) + 1e-9


@examples(300)
def test_with_hidden_variables_the_optimal_minimal_set_has_the_least_variance_of_the_minimal_ones(rng):
    effect = random_effect(rng, several=False)
    graph, (x,), (y,) = effect[0], *map(tuple, effect[1:])
    observed = random_subset(rng, graph.variables, 0.7)
    minimal = list(minimal_adjustment_sets(graph, x, y, observed=observed))
    if not minimal or y not in graph.descendants(x):
        return
    model = LinearModel(graph, 0)
    best = optimal_minimal_adjustment_set(graph, x, y, observed=observed)
    assert variance(model, x, y, sorted(best)) <= min(variance(model, x, y, sorted(z)) for z in minimal) + 1e-9


@examples(200)
def test_parts_of_the_criterion_by_paths(rng):
    effect = random_effect(rng)
    graph, x, y = effect
    paths = [[v] for v in x]
    for path in paths:
        paths += [[*path, v] for v in graph.children(path[-1]) if v not in x]
    causal = {v for path in paths if path[-1] in y for v in path[1:]}
    causal |= {v for path in paths for i, v in enumerate(path) if i and y & set(path[1:i])} & graph.ancestors(y)
    assert causal_nodes(graph, x, y) == causal
    assert forbidden_nodes(graph, x, y) == graph.descendants(causal) - x
    dropped = set(graph.edges) - set(proper_backdoor_graph(graph, x, y).edges)
    assert dropped == {(a, b) for a, b in graph.edges if a in x and b in causal}


BUTTERFLY = CausalGraph.from_edges(
    [("Z1", "Z3"), ("Z2", "Z3"), ("Z1", "X"), ("Z3", "X"), ("Z3", "Y"), ("Z2", "Y"), ("X", "Y")]
)
M_BIAS = CausalGraph.from_edges([("U1", "X"), ("U1", "M"), ("U2", "M"), ("U2", "Y"), ("X", "Y")])


def test_the_butterfly_takes_the_collider_and_one_wing():
    minimal = {frozenset(z) for z in minimal_adjustment_sets(BUTTERFLY, "X", "Y")}
    assert minimal == {frozenset({"Z3", "Z1"}), frozenset({"Z3", "Z2"})}
    assert optimal_adjustment_set(BUTTERFLY, "X", "Y") == {"Z2", "Z3"}


def test_m_bias_says_which_path_the_collider_opens():
    assert is_adjustment_set(M_BIAS, "X", "Y", [])
    assert is_adjustment_set(M_BIAS, "X", "Y", "M").reason == ("the path X <- U1 -> M <- U2 -> Y is open given {'M'}.")


def test_reasons_name_the_causal_path():
    graph = CausalGraph.from_edges([("X", "M"), ("M", "Y"), ("M", "C"), ("X", "D")])
    assert is_adjustment_set(graph, "X", "Y", "C").reason == (
        "'C' is a descendant of 'M', which lies on the causal path X -> M -> Y."
    )
    assert is_adjustment_set(graph, "X", "Y", "D")
    assert is_adjustment_set(graph, "X", "Y", "D", criterion=BACKDOOR).reason == (
        "'D' is a descendant of the treatment: X -> D."
    )
    assert is_adjustment_set(graph, "X", "Y", ()).reason.startswith("nothing is a valid adjustment set")


def test_the_bow_has_no_set():
    bow = CausalGraph(["X", "Y"], [("X", "Y")], [("X", "Y")])
    assert not list(adjustment_sets(bow, "X", "Y"))
    for find in (minimum_adjustment_set, optimal_adjustment_set, optimal_minimal_adjustment_set):
        with pytest.raises(NoValidSetError, match="X <-> Y stays open"):
            find(bow, "X", "Y")


def test_no_set_is_best_under_hidden_confounding_of_a_mediator_and_the_outcome():
    graph = CausalGraph(["Z", "X", "Y", "W"], [("Z", "X"), ("Z", "Y"), ("X", "Y")], [("Y", "W")])
    with pytest.raises(NoValidSetError, match="Y <-> W"):
        optimal_adjustment_set(graph, "X", "Y")
    assert optimal_minimal_adjustment_set(graph, "X", "Y") == {"Z"}


def test_nothing_to_estimate_has_no_best_set():
    with pytest.raises(NoValidSetError, match="no descendant"):
        optimal_adjustment_set(CausalGraph.from_edges([("Z", "X"), ("Z", "Y")]), "X", "Y")


def test_mistakes_are_named():
    with pytest.raises(UnknownVariableError, match="'Q'"):
        adjustment_sets(BUTTERFLY, "X", "Y", observed="Q")
    with pytest.raises(GraphError, match=r"'X'.*disjoint"):
        is_adjustment_set(BUTTERFLY, "X", "Y", "X")
    with pytest.raises(QueryError, match="treatment is empty"):
        is_adjustment_set(BUTTERFLY, [], "Y", "Z1")
    with pytest.raises(QueryError, match="outcome is empty"):
        minimal_adjustment_sets(BUTTERFLY, "X", [])
    with pytest.raises(NoValidSetError, match="'M' lies on the causal path X -> M -> Y"):
        adjustment_sets(CausalGraph.from_edges([("X", "M"), ("M", "Y")]), "X", "Y", included="M")
