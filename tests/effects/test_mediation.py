"""Direct, indirect and path-specific effects against closed forms, enumeration and each other.

Statistical checks use fixed seeds and |z| < 4.9, a false alarm of 1e-6 each where the estimate is normal.
"""

import itertools

import networkx as nx
import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings, strategies as st

from causal_pyro_models.effects.averages import ate
from causal_pyro_models.effects.mediation import cde, nde, nie, path_specific
from causal_pyro_models.errors import InterventionError, QueryError, UnknownVariableError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.scm import zoo

ARMS, BACK = {"X": (0.0, 1.0)}, {"X": (1.0, 0.0)}
seeds = st.integers(0, 10**6)


def z_score(estimate, truth):
    return (float(estimate.value) - float(truth)) / float(estimate.standard_error)


def interacting():
    """Two mediators in a row, an interaction at Y, and a confounder of M and Y."""
    c = pyro.sample("C", dist.Normal(0.0, 1.0))
    x = pyro.sample("X", dist.Bernoulli(logits=c))
    m = pyro.sample("M", dist.Normal(x + c, 1.0))
    w = pyro.sample("W", dist.Normal(0.5 * m - x, 1.0))
    pyro.sample("Y", dist.Normal(x + 2 * m + 3 * w + x * m * w + c, 1.0))


def test_discrete_mediation_meets_enumeration():
    scm = zoo.discrete.mediation()
    whole = {"X": (0, 1)}
    assert abs(z_score(nde(scm, ARMS, "Y", "M", seed=0), scm.nde(whole, "Y", "M"))) < 4.9
    assert abs(z_score(nie(scm, ARMS, "Y", "M", seed=0), scm.nie(whole, "Y", "M"))) < 4.9
    for m in (0, 1):
        assert abs(z_score(cde(scm, ARMS, "Y", {"M": m}, seed=0), scm.cde(whole, "Y", {"M": m}))) < 4.9


def test_linear_mediation_is_exact():
    scm = zoo.linear.mediation()
    for verb, mediators, truth in ((cde, {"M": 3.0}, 0.5), (nde, "M", 0.5), (nie, ["M"], 1.26)):
        assert float(verb(scm, ARMS, "Y", mediators, num_samples=10, seed=0).value) == pytest.approx(truth, abs=1e-5)


def test_effects_of_the_equations_themselves():
    """By hand: M_x = x + C + e, W_{x,m} = m / 2 - x + f; effects at Y are means of polynomials of C, e, f."""
    truths = {
        # Y_{1, M_0, W_0} - Y_0 = 1 + M_0 W_0, and E[M_0 W_0] = E[M_0^2] / 2 = 1
        "nde both": (nde(interacting, ARMS, "Y", ["M", "W"], seed=0), 2.0),
        # Y_{0, M_1, W_0(M_1)} - Y_0 = 2 + 3 / 2, as W is no mediator of its own and follows M under x = 0
        "nie of M": (nie(interacting, ARMS, "Y", "M", seed=0), 3.5),
        # Y_{0, M_0, W_1} - Y_0 = 3 (W_1 - W_0) = 3 (1 / 2 - 1)
        "nie of W": (nie(interacting, ARMS, "Y", "W", seed=0), -1.5),
        "only X -> W -> Y": (path_specific(interacting, ARMS, "Y", [("X", "W", "Y")], seed=0), -3.0),
        "only X -> M -> Y": (path_specific(interacting, ARMS, "Y", [("X", "M", "Y")], seed=0), 2.0),
        "only X -> M -> W -> Y": (path_specific(interacting, ARMS, "Y", [("X", "M", "W", "Y")], seed=0), 1.5),
        # with X -> Y as well: + 1 + M_0 (W_0 - 1), E = 1 - 0
        "X -> Y and X -> W -> Y": (path_specific(interacting, ARMS, "Y", [("X", "Y"), ("X", "W", "Y")], seed=0), -1.0),
    }
    for name, (estimate, truth) in truths.items():
        if float(estimate.standard_error) < 1e-5:
            assert float(estimate.value) == pytest.approx(truth, abs=1e-4), name
        else:
            assert abs(z_score(estimate, truth)) < 4.9, name


@settings(max_examples=12)
@given(seeds, st.booleans())
def test_total_effect_is_direct_less_reverse_indirect(seed, all_mediators):
    scm = zoo.random_discrete(5, seed, cardinalities=(2, 3))
    order = scm.graph.topological_order
    source, outcome = order[0], order[-1]
    mediators = list(order[1:-1]) if all_mediators else [order[1]]
    forth, back = {source: (0.0, 1.0)}, {source: (1.0, 0.0)}
    options = {"num_samples": 500, "seed": seed}
    total = ate(scm, forth, outcome, **options).value
    for first, second in ((nde, nie), (nie, nde)):
        parts = first(scm, forth, outcome, mediators, **options).value
        assert torch.allclose(total, parts - second(scm, back, outcome, mediators, **options).value, atol=1e-6)


@settings(max_examples=12)
@given(seeds)
def test_paths_make_up_the_effects_they_are_named_after(seed):
    """All paths: the total effect. No path but the edge X -> Y: the direct one. Linear: the product of the weights."""
    scm = zoo.random_linear_gaussian(6, seed)
    order = scm.graph.topological_order
    routes = [
        (a, b, list(map(tuple, nx.all_simple_paths(scm.graph.to_networkx(), a, b))))
        for a, b in itertools.combinations(order, 2)
    ]
    source, outcome, paths = max(routes, key=lambda route: len(route[2]))
    if not paths:
        return
    arms, options = {source: (0.0, 1.0)}, {"num_samples": 4, "seed": seed}
    total = path_specific(scm, arms, outcome, paths, **options)
    assert torch.allclose(total.value, ate(scm, arms, outcome, **options).value, atol=1e-5)
    for path in paths:
        product = 1.0
        for edge in itertools.pairwise(path):
            product *= scm.weights[edge]
        estimate = path_specific(scm, arms, outcome, [path], graph=scm.graph, **options)
        assert float(estimate.value) == pytest.approx(product, abs=1e-4)


def test_path_specific_is_natural_where_there_is_one_mediator():
    scm = zoo.discrete.mediation()
    options = {"num_samples": 300, "seed": 4}
    direct = path_specific(scm, ARMS, "Y", [("X", "Y")], **options)
    assert torch.equal(direct.draws, nde(scm, ARMS, "Y", "M", **options).draws)
    indirect = path_specific(scm, ARMS, "Y", [("X", "M", "Y")], **options)
    assert torch.equal(indirect.draws, nie(scm, ARMS, "Y", "M", **options).draws)


def test_paths_in_a_model_with_plates_and_deterministic_sites():
    def model():
        slope = pyro.sample("slope", dist.Normal(2.0, 0.1))
        with pyro.plate("people", 5):
            x = pyro.sample("X", dist.Normal(0.0, 1.0))
            m = pyro.deterministic("M", slope * x)
            pyro.sample("Y", dist.Normal(m - x, 1.0))

    estimate = path_specific(model, ARMS, "Y", [("X", "M", "Y")], num_samples=500, seed=0)
    assert float(estimate.value) == pytest.approx(2.0, abs=0.03)
    assert float(estimate.standard_error) == pytest.approx(0.1, rel=0.2)
    assert float(nde(model, ARMS, "Y", "M", num_samples=500, seed=0).value) == pytest.approx(-1.0, abs=1e-5)


def test_effects_of_observed_units():
    """With all noise known the mediation of a unit is a number: 1 + M_0 W_0 as above."""
    evidence = {"C": [0.5], "X": [1.0], "M": [2.0], "W": [0.25], "Y": [0.0]}
    m0 = 2.0 - 1.0
    w0 = 0.25 + 1.0 - 0.5 * (2.0 - m0)
    estimate = nde(interacting, ARMS, "Y", ["M", "W"], evidence=evidence, seed=0)
    assert float(estimate.value) == pytest.approx(1 + m0 * w0, abs=1e-5)
    assert float(estimate.standard_error) < 1e-6  # X is discrete, and its noise, which does not matter here, unknown


BAD = [
    (lambda: nde(interacting, ARMS, "Y", "Q"), UnknownVariableError, "'Q'"),
    (lambda: nde(interacting, ARMS, "Y", []), QueryError, "mediators"),
    (lambda: nie(interacting, ARMS, "Y", "X"), QueryError, "'X'"),
    (lambda: nie(interacting, ARMS, "Y", ["M", "Y"]), QueryError, "'Y'"),
    (lambda: cde(interacting, ARMS, "Y", ["M"]), InterventionError, "mediators must be a dict"),
    (lambda: cde(interacting, ARMS, "Y", {}), QueryError, "mediators"),
    (lambda: cde(interacting, ARMS, "Y", {"M": float("nan")}), InterventionError, "'M'"),
    (lambda: path_specific(interacting, ARMS, "Y", []), QueryError, "at least one path"),
    (lambda: path_specific(interacting, ARMS, "Y", ["XY"]), QueryError, "sequence of names"),
    (lambda: path_specific(interacting, ARMS, "Y", [("X",)]), QueryError, "no directed path"),
    (lambda: path_specific(interacting, ARMS, "Y", [("X", "C", "Y")]), QueryError, "no edge X -> C"),
    (lambda: path_specific(interacting, ARMS, "Y", [("M", "Y")]), QueryError, "no directed path from 'X' to 'Y'"),
    (lambda: path_specific(interacting, ARMS, "Y", [("X", "M", "Q", "Y")]), UnknownVariableError, "'Q'"),
    (lambda: path_specific(interacting, ARMS, "Q", [("X", "Q")]), UnknownVariableError, "'Q'"),
    (
        lambda: path_specific(interacting, {"X": (0.0, 1.0), "C": (0.0, 1.0)}, "Y", [("X", "Y")]),
        InterventionError,
        "one",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=[str(i) for i in range(len(BAD))])
def test_bad_questions(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_paths_whose_edges_make_up_another_are_refused():
    def model():
        x = pyro.sample("X", dist.Normal(0.0, 1.0))
        a = pyro.sample("A", dist.Normal(x, 1.0))
        b = pyro.sample("B", dist.Normal(x, 1.0))
        m = pyro.sample("M", dist.Normal(a + b, 1.0))
        c = pyro.sample("C", dist.Normal(m, 1.0))
        d = pyro.sample("D", dist.Normal(m, 1.0))
        pyro.sample("Y", dist.Normal(c + d, 1.0))

    crossing = [("X", "A", "M", "C", "Y"), ("X", "B", "M", "D", "Y")]
    with pytest.raises(QueryError, match="X -> A -> M -> D -> Y as well"):
        path_specific(model, ARMS, "Y", crossing)


def test_a_graph_that_is_stated_wins():
    """M -> Y goes through a Python number per unit, which a trace cannot follow."""

    def model():
        x = pyro.sample("X", dist.Bernoulli(0.5))
        m = pyro.sample("M", dist.Normal(x, 1.0))
        hidden = torch.tensor(m.detach().numpy())
        pyro.sample("Y", dist.Normal(hidden + x, 1.0))

    graph = CausalGraph.from_edges([("X", "M"), ("M", "Y"), ("X", "Y")])
    stated = path_specific(model, ARMS, "Y", [("X", "M", "Y")], graph=graph, num_samples=10, seed=0)
    assert float(stated.value) == pytest.approx(1.0, abs=1e-5)
