"""The analytic models against brute force: explicit noise in plain NumPy, and closed forms derived by hand.

Statistical checks use fixed seeds and |z| < 4.9, a false alarm of 1e-6 each.
"""

import itertools
import math

import networkx as nx
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings, strategies as st
from pyro import poutine
from scipy import stats

from causal_pyro_models.errors import (
    CausalError,
    EvidenceError,
    GraphError,
    InterventionError,
    UnknownVariableError,
)
from causal_pyro_models.scm import mechanism, zoo
from causal_pyro_models.scm.handlers.interventions import potential
from causal_pyro_models.scm.zoo.coupling import gumbel_max_joint, quantile_joint

STRUCTURES = ("chain", "fork", "collider", "triangle", "confounded", "front_door", "instrument", "mediation", "simpson")
LINEAR = [getattr(zoo.linear, name) for name in STRUCTURES]
DISCRETE = [getattr(zoo.discrete, name) for name in STRUCTURES]
NONLINEAR = [getattr(zoo.nonlinear, name) for name in ("chain", "fork", "collider", "triangle", "mediation")]
ARMS = {"X": (0, 1)}
seeds = st.integers(0, 10**6)


def by_name(factories):
    return pytest.mark.parametrize("factory", factories, ids=lambda factory: factory.__name__)


def z_scores(samples, truth):
    """How far the column means are from the truth, in standard errors."""
    samples = np.asarray(samples, dtype=float).reshape(len(samples), -1)
    error = samples.std(0, ddof=1) / math.sqrt(len(samples))
    return (samples.mean(0) - np.ravel(truth)) / np.maximum(error, 1e-9)


def frequency_z(hits, n, p):
    """How far a frequency is from its probability, in standard errors."""
    return (hits - n * p) / math.sqrt(max(n * p * (1 - p), 1.0))


def run(model, n=None, seed=0):
    """Values of the sample sites of a Pyro program, in a plate of n units."""
    pyro.set_rng_seed(seed)
    with poutine.trace() as tracer, pyro.plate("units", n, dim=-1):
        model()
    return {name: tracer.trace.nodes[name]["value"].double().numpy() for name in model.variables}


def log_density(model, values):
    """Joint log density of the Pyro program, one for each unit."""
    data = {name: torch.as_tensor(value) for name, value in values.items()}
    with pyro.plate("units", len(next(iter(data.values()))), dim=-1):
        trace = poutine.trace(poutine.condition(model, data=data)).get_trace()
    trace.compute_log_prob()
    return sum(trace.nodes[name]["log_prob"] for name in data).numpy()


@pytest.fixture
def float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


# ------------------------------------------------------------------------------------------------ linear-Gaussian


def simulate_linear(scm, noise, do=None):
    """The equations of a linear model, written out again."""
    values = {}
    for name in nx.topological_sort(nx.DiGraph([*scm.weights, *((v, "sink") for v in scm.variables)])):
        if name == "sink":
            continue
        x = scm.intercepts[name] + scm.scales[name] * noise[name]
        x = x + sum(w * values[p] for (p, child), w in scm.weights.items() if child == name)
        if do and name in do:
            x = do[name](x) if callable(do[name]) else np.full_like(x, do[name])
        values[name] = x
    return values


def path_sum(scm, source, target):
    """The total effect as the sum over directed paths of the products of their weights (Wright)."""
    graph = nx.DiGraph([*scm.weights])
    if source not in graph or target not in graph:
        return 0.0
    paths = nx.all_simple_paths(graph, source, target)
    return sum(math.prod(scm.weights[edge] for edge in itertools.pairwise(path)) for path in paths)


def slope(law, outcome, regressors):
    """Population regression coefficients of the outcome."""
    i, j = law.index(regressors), law.index([outcome])
    return np.linalg.solve(law.covariance[np.ix_(i, i)], law.covariance[np.ix_(i, j)])[:, 0]


@settings(max_examples=60)
@given(size=st.integers(1, 12), seed=seeds)
def test_linear_law_is_the_matrix_inverse(size, seed):
    scm = zoo.random_linear_gaussian(size, seed)
    a = np.array([[scm.weights.get((p, c), 0.0) for p in scm.variables] for c in scm.variables])
    total = np.linalg.inv(np.eye(size) - a)
    law = scm.law()
    np.testing.assert_allclose(law.mean, total @ [scm.intercepts[v] for v in scm.variables], atol=1e-9)
    noise = np.diag([scm.scales[v] ** 2 for v in scm.variables])
    np.testing.assert_allclose(law.covariance, total @ noise @ total.T, atol=1e-9)


@settings(max_examples=60)
@given(size=st.integers(2, 12), seed=seeds)
def test_linear_effect_is_the_sum_over_paths(size, seed):
    scm = zoo.random_linear_gaussian(size, seed)
    for x, y in itertools.islice(itertools.permutations(scm.variables, 2), 20):
        assert scm.ate({x: (0.0, 1.0)}, y) == pytest.approx(path_sum(scm, x, y), abs=1e-9)


@settings(max_examples=60)
@given(size=st.integers(2, 12), seed=seeds)
def test_linear_counterfactual_with_full_evidence_follows_the_equations(size, seed):
    scm = zoo.random_linear_gaussian(size, seed)
    rng = np.random.default_rng(seed)
    noise = {v: rng.normal(size=5) for v in scm.variables}
    seen = simulate_linear(scm, noise)
    do = {rng.choice(scm.variables): 1.5, rng.choice(scm.variables): lambda x: 2 * x + 1}
    law, truth = scm.counterfactual(seen, do), simulate_linear(scm, noise, do)
    for v in scm.variables:
        np.testing.assert_allclose(law.expectation(v), truth[v], atol=1e-7)
        assert law.variance(v) == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=25)
@given(size=st.integers(2, 12), seed=seeds)
def test_linear_counterfactual_with_partial_evidence_against_simulation(size, seed):
    """Residuals from the conditional mean: centred, uncorrelated with the evidence, of the covariance given."""
    scm = zoo.random_linear_gaussian(size, seed)
    rng, n = np.random.default_rng(seed), 4_000
    noise = {v: rng.normal(size=n) for v in scm.variables}
    seen = [v for v in scm.variables if rng.random() < 0.5] or [scm.variables[0]]
    do = {rng.choice(scm.variables): 0.7}
    factual, other = simulate_linear(scm, noise), simulate_linear(scm, noise, do)
    law = scm.counterfactual({v: factual[v] for v in seen}, do)
    residual = np.stack([other[v] for v in scm.variables], axis=1) - law.mean
    assert np.abs(z_scores(residual, 0)).max() < 4.9
    for v in seen:
        assert np.abs(z_scores(residual * (factual[v] - factual[v].mean())[:, None], 0)).max() < 4.9
    products = residual[:, :, None] * residual[:, None, :]
    assert np.abs(z_scores(products, law.covariance)).max() < 4.9


@by_name(LINEAR)
def test_linear_program_has_the_law(factory, float64):
    scm = factory()
    law = scm.law()
    values = run(scm, 20_000)
    samples = np.stack([values[v] for v in scm.variables], axis=1)
    assert np.abs(z_scores(samples, law.mean)).max() < 4.9
    centred = samples - law.mean
    assert np.abs(z_scores(centred[:, :, None] * centred[:, None, :], law.covariance)).max() < 4.9
    few = {v: x[:50] for v, x in values.items()}
    exact = stats.multivariate_normal(law.mean, law.covariance).logpdf(samples[:50])
    np.testing.assert_allclose(log_density(scm, few), exact, atol=1e-9)


def test_linear_program_broadcasts_over_draws_and_units():
    with pyro.plate("draws", 3, dim=-2), pyro.plate("units", 5, dim=-1):
        values = zoo.linear.front_door()()
    assert {value.shape for value in values.values()} == {(3, 5)}


def test_linear_law_under_do_against_the_program():
    scm = zoo.linear.triangle()
    law = scm.law({"X": 2.0})
    pyro.set_rng_seed(1)
    with pyro.plate("units", 50_000):
        y = poutine.do(scm, {"X": torch.tensor(2.0)})()["Y"].double().numpy()
    assert abs(z_scores(y, law.expectation("Y"))[0]) < 4.9
    assert abs(z_scores((y - law.expectation("Y")) ** 2, law.variance("Y"))[0]) < 4.9


def test_linear_conditional_is_a_regression():
    law = zoo.linear.triangle().law()
    at = zoo.linear.triangle().conditional({"X": 2.0, "Z": -1.0})
    b = slope(law, "Y", ["X", "Z"])
    expected = law.expectation("Y") + b @ ([2.0, -1.0] - law.marginal(["X", "Z"]).mean)
    assert at.expectation("Y") == pytest.approx(expected)
    assert at.variance("Y") == pytest.approx(0.7**2)
    assert at.expectation("X") == pytest.approx(2.0)


def test_linear_structures_do_what_they_are_known_for():
    chain, fork, collider = zoo.linear.chain(), zoo.linear.fork(), zoo.linear.collider()
    assert slope(chain.law(), "Y", ["X", "M"]) == pytest.approx([0.0, 1.5], abs=1e-12)
    assert fork.law().covariance[1, 2] != 0
    assert slope(fork.law(), "Y", ["X", "Z"]) == pytest.approx([0.0, -0.8], abs=1e-12)
    assert fork.ate(ARMS, "Y") == 0
    assert collider.law().covariance[0, 1] == 0
    assert collider.conditional({"C": 0.0}).covariance[0, 1] < -0.1
    triangle = zoo.linear.triangle()
    assert slope(triangle.law(), "Y", ["X", "Z"])[0] == pytest.approx(triangle.ate(ARMS, "Y"))
    confounded = zoo.linear.confounded()
    assert abs(slope(confounded.law(), "Y", ["X"])[0] - confounded.ate(ARMS, "Y")) > 0.3


def test_linear_front_door_instrument_and_simpson():
    front_door = zoo.linear.front_door()
    law = front_door.law()
    by_formula = slope(law, "M", ["X"])[0] * slope(law, "Y", ["M", "X"])[0]
    assert by_formula == pytest.approx(front_door.ate(ARMS, "Y"))
    instrument = zoo.linear.instrument()
    law = instrument.law()
    ratio = slope(law, "Y", ["Z"])[0] / slope(law, "X", ["Z"])[0]
    assert ratio == pytest.approx(instrument.ate(ARMS, "Y"))
    assert abs(slope(law, "Y", ["X"])[0] - ratio) > 0.2
    law = zoo.linear.simpson().law()
    assert slope(law, "Y", ["X"])[0] < -0.3
    assert slope(law, "Y", ["X", "Z"])[0] == pytest.approx(0.5)


def test_linear_mediation_splits_the_effect():
    scm = zoo.linear.mediation()
    nde, nie, total = scm.nde(ARMS, "Y", "M"), scm.nie(ARMS, "Y", ["M"]), scm.ate(ARMS, "Y")
    assert (nde, nie) == pytest.approx((0.5, 0.9 * 1.4))
    assert nde + nie == pytest.approx(total)
    assert scm.cde(ARMS, "Y", {"M": 3.0}) == pytest.approx(0.5)


def test_linear_worlds_share_their_noise():
    law = zoo.linear.triangle().worlds({"a": {"X": 1.0}, "b": {"X": 1.0}, "c": {"X": lambda x: x + 1}})
    difference = law.loadings[law.index([("a", "Y")])] - law.loadings[law.index([("b", "Y")])]
    assert np.abs(difference).max() == 0
    assert law.expectation(("c", "X")) == pytest.approx(zoo.linear.triangle().law().expectation("X") + 1)


def test_linear_shift_leaves_the_effect_of_treatment_constant():
    scm = zoo.linear.confounded()
    seen = {"X": np.array([0.0, 1.0, 2.0]), "Y": np.array([1.0, -1.0, 0.5])}
    law = scm.counterfactual(seen, {"X": lambda x: x + 1})
    np.testing.assert_allclose(law.expectation("Y"), seen["Y"] + 0.7)
    assert law.variance("Y") == pytest.approx(0.0, abs=1e-15)  # constant effects: certain although U is hidden
    assert law.variance("U") > 0.1


# ------------------------------------------------------------------------------------------------------- discrete


def brute_force_law(scm, do=None):
    """state -> probability, by the product of the tables over all states."""
    law, do = {}, do or {}
    for state in itertools.product(*(range(scm.tables[v].shape[-1]) for v in scm.variables)):
        at = dict(zip(scm.variables, state, strict=True))
        p = 1.0
        for v in scm.variables:
            row = scm.tables[v][tuple(at[parent] for parent in scm.parents[v])]
            p *= (at[v] == do[v]) if v in do else row[at[v]]
        law[state] = p
    return law


def simulate_discrete(scm, noise, do=None):
    """The equations of a discrete model with uniform noise (quantile) or Gumbel noise, written out again."""
    values = {}
    for v in scm.parents:
        rows = scm.tables[v][tuple(values[p] for p in scm.parents[v])]
        if noise[v].ndim == 1:
            x = (noise[v][:, None] > np.cumsum(rows, -1)[..., :-1]).sum(-1)
        else:
            x = (np.log(rows) + noise[v]).argmax(-1)
        if do and v in do:
            x = do[v](x) if callable(do[v]) else np.full_like(x, do[v])
        values[v] = x
    return values


def discrete_noise(scm, n, rng):
    if scm.coupling is zoo.QUANTILE:
        return {v: rng.random(n) for v in scm.variables}
    return {v: rng.gumbel(size=(n, scm.tables[v].shape[-1])) for v in scm.variables}


def assert_law_matches(law, samples):
    """Every state's frequency, and no sample outside the law; the samples are columns named as in the law."""
    n = len(next(iter(samples.values())))
    counts = {}
    for row in zip(*(samples[name] for name in law.names), strict=True):
        counts[row] = counts.get(row, 0) + 1
    exact = {tuple(s): p for s, p in zip(law.states.tolist(), law.probabilities, strict=True)}
    assert {tuple(map(int, row)) for row in counts} <= exact.keys()
    assert max(abs(frequency_z(counts.get(s, 0), n, p)) for s, p in exact.items()) < 4.9


@settings(max_examples=40)
@given(size=st.integers(1, 7), seed=seeds)
def test_discrete_law_is_the_product_of_the_tables(size, seed):
    scm = zoo.random_discrete(size, seed, cardinalities=(2, 3))
    for do in ({}, {"X0": 1}):
        law = scm.law(do)
        assert law.probabilities.sum() == pytest.approx(1.0)
        exact = {tuple(s): p for s, p in zip(law.states.tolist(), law.probabilities, strict=True)}
        for state, p in brute_force_law(scm, do).items():
            assert exact.get(state, 0.0) == pytest.approx(p, abs=1e-12)


@pytest.mark.parametrize("coupling", [zoo.GUMBEL_MAX, zoo.QUANTILE], ids=lambda c: c.name)
@pytest.mark.parametrize("seed", range(6))
def test_discrete_counterfactuals_against_simulation(coupling, seed):
    scm = zoo.random_discrete(5, seed, cardinalities=(2, 3, 4), coupling=coupling)
    rng = np.random.default_rng(seed)
    noise = discrete_noise(scm, 200_000, rng)
    last = list(scm.parents)[-1]
    do = {next(iter(scm.parents)): 1, "X1": lambda x: (x + 1) % 2}
    do.pop(last, None)
    factual, other = simulate_discrete(scm, noise), simulate_discrete(scm, noise, do)
    evidence = {last: 1, "X2": 0}
    hit = (factual[last] == 1) & (factual["X2"] == 0)
    kept = ["X0", "X3", last] if last not in ("X0", "X3") else ["X0", "X3"]
    law = scm.worlds({"cf": do}, evidence, kept)
    assert_law_matches(law, {("cf", v): other[v][hit] for v in kept})


def test_discrete_three_worlds_and_twelve_variables_against_simulation():
    scm = zoo.random_discrete(12, seed=5)
    rng = np.random.default_rng(0)
    noise = discrete_noise(scm, 200_000, rng)
    top, last = next(iter(scm.parents)), list(scm.parents)[-1]
    dos = {"a": {top: 0}, "b": {top: 1}, "c": {"X4": lambda x: 1 - x}}
    factual = simulate_discrete(scm, noise)
    hit = factual[last] == 1
    samples = {(w, last): simulate_discrete(scm, noise, do)[last][hit] for w, do in dos.items()}
    assert_law_matches(scm.worlds(dos, {last: 1}, [last]), samples)
    law = scm.counterfactual({v: int(factual[v][0]) for v in scm.variables}, {top: int(factual[top][0])})
    assert law.states.tolist() == [[int(factual[v][0]) for v in scm.variables]]  # composition


@by_name(DISCRETE)
def test_discrete_program_has_the_law(factory, float64):
    scm = factory()
    values = run(scm, 50_000)
    law = scm.law()
    assert_law_matches(law, {v: x.astype(int) for v, x in values.items()})
    log_p = log_density(scm, {v: torch.as_tensor(law.column(v), dtype=torch.float64) for v in scm.variables})
    np.testing.assert_allclose(np.exp(log_p), law.probabilities, atol=1e-12)


def random_rows(rng, k, n=1):
    rows = rng.dirichlet(np.full(k, 0.7), size=n)
    rows[rng.random(rows.shape) < 0.2] = 0.0
    rows[:, 0] += 1e-3
    return rows / rows.sum(1, keepdims=True)


@settings(max_examples=100)
@given(k=st.integers(2, 7), seed=seeds)
def test_couplings_have_their_margins(k, seed):
    rng = np.random.default_rng(seed)
    p, q = random_rows(rng, k, 3), random_rows(rng, k, 3)
    for joint in (gumbel_max_joint, quantile_joint):
        both = joint([p, q])
        np.testing.assert_allclose(both.sum(2), p, atol=1e-12)
        np.testing.assert_allclose(both.sum(1), q, atol=1e-12)
        np.testing.assert_allclose(both, joint([q, p]).transpose(0, 2, 1), atol=1e-12)
        np.testing.assert_allclose(joint([p, p]), p[:, :, None] * np.eye(k), atol=1e-12)


@pytest.mark.parametrize("coupling", [zoo.GUMBEL_MAX, zoo.QUANTILE], ids=lambda c: c.name)
@pytest.mark.parametrize("k", [2, 3, 5])
def test_couplings_are_those_of_the_mechanisms(coupling, k):
    """The noise of the package's own mechanisms, fed to two configurations; for two states at a Bernoulli site."""
    rng, n = np.random.default_rng(k), 400_000
    p, q = rng.dirichlet(np.ones(k), size=2)
    pyro.set_rng_seed(k)
    of = (lambda row: dist.Bernoulli(torch.tensor(row[1]))) if k == 2 else (lambda r: dist.Categorical(torch.tensor(r)))
    constructor = mechanism if k == 2 else coupling.infer.get("mechanism", mechanism)
    first, second = (constructor(of(row).expand([n])) for row in (p, q))
    u = first.noise.sample()
    x, y = first.forward(u).long().numpy(), second.forward(u).long().numpy()
    exact = coupling.joint([p[None], q[None]])[0]
    counts = np.bincount(k * x + y, minlength=k * k).reshape(k, k)
    assert max(abs(frequency_z(counts[i, j], n, exact[i, j])) for i in range(k) for j in range(k)) < 4.9
    assert (counts[exact == 0] == 0).all()


def test_gumbel_max_joint_against_explicit_gumbels():
    rng, n = np.random.default_rng(3), 400_000
    p, q = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.55, 0.05, 0.4, 0.0])
    g = rng.gumbel(size=(n, 4))
    with np.errstate(divide="ignore"):
        counts = np.bincount(4 * (np.log(p) + g).argmax(1) + (np.log(q) + g).argmax(1), minlength=16).reshape(4, 4)
    exact = gumbel_max_joint([p[None], q[None]])[0]
    assert max(abs(frequency_z(counts[i, j], n, exact[i, j])) for i in range(4) for j in range(4)) < 4.9


def with_hidden_cause(seed):
    """U -> X -> Y, U -> Y with four states of U and random tables."""
    rng = np.random.default_rng(seed)
    tables = {
        "U": ((), rng.dirichlet(np.ones(4))),
        "X": (("U",), rng.dirichlet([1, 1], size=4)),
        "Y": (("U", "X"), rng.dirichlet([1, 1], size=(4, 2))),
    }
    return zoo.DiscreteSCM(tables, latent=["U"])


@settings(max_examples=100)
@given(seed=seeds)
def test_probabilities_of_causation_lie_within_the_bounds_of_tian_and_pearl(seed):
    scm = with_hidden_cause(seed)
    p = scm.probability
    y1, y0, y = p({"Y": 1}, do={"X": 1}), p({"Y": 1}, do={"X": 0}), p({"Y": 1})
    xy, xn, nxy, nxn = (p({"X": i, "Y": j}) for i, j in ((1, 1), (1, 0), (0, 1), (0, 0)))
    pns, pn, ps = scm.pns(ARMS, "Y"), scm.pn(ARMS, "Y"), scm.ps(ARMS, "Y")
    e = 1e-12
    assert max(0, y1 - y0, y - y0, y1 - y) - e <= pns <= min(y1, 1 - y0, xy + nxn, y1 - y0 + xn + nxy) + e
    assert max(0, (y - y0) / xy) - e <= pn <= min(1, ((1 - y0) - nxn) / xy) + e
    assert max(0, (y1 - y) / nxn) - e <= ps <= min(1, (y1 - xy) / nxn) + e
    assert pns == pytest.approx(xy * pn + nxn * ps)  # Tian and Pearl (2000), lemma 1


@settings(max_examples=50)
@given(p0=st.floats(0.05, 0.95), p1=st.floats(0.05, 0.95))
def test_probabilities_of_causation_of_one_edge(p0, p1):
    """The threshold mechanism is monotone: PNS is the risk difference, PN the excess risk ratio, where positive."""
    scm = zoo.DiscreteSCM({"X": ((), [0.5, 0.5]), "Y": (("X",), [[1 - p0, p0], [1 - p1, p1]])})
    assert scm.pns(ARMS, "Y") == pytest.approx(max(0.0, p1 - p0), abs=1e-12)
    assert scm.pn(ARMS, "Y") == pytest.approx(max(0.0, 1 - p0 / p1), abs=1e-12)
    assert scm.ps(ARMS, "Y") == pytest.approx(max(0.0, (p1 - p0) / (1 - p0)), abs=1e-12)


def test_discrete_front_door_formula():
    scm, p = zoo.discrete.front_door(), zoo.discrete.front_door().probability
    for x in (0, 1):
        formula = sum(
            p({"M": m}, given={"X": x}) * sum(p({"Y": 1}, given={"M": m, "X": k}) * p({"X": k}) for k in (0, 1))
            for m in (0, 1)
        )
        assert formula == pytest.approx(scm.probability({"Y": 1}, do={"X": x}))
        assert abs(formula - p({"Y": 1}, given={"X": x})) > 0.02


def test_discrete_adjustment_and_simpson_reversal():
    for scm in (zoo.discrete.triangle(), zoo.discrete.simpson()):
        p, sizes = scm.probability, range(scm.tables["Z"].shape[-1])
        by_z = {x: [p({"Y": 1}, given={"X": x, "Z": z}) for z in sizes] for x in (0, 1)}
        adjusted = {x: sum(by_z[x][z] * p({"Z": z}) for z in sizes) for x in (0, 1)}
        assert adjusted[1] - adjusted[0] == pytest.approx(scm.ate(ARMS, "Y"))
    assert all(treated > control for control, treated in zip(by_z[0], by_z[1], strict=True))
    assert p({"Y": 1}, given={"X": 1}) < p({"Y": 1}, given={"X": 0})
    assert adjusted[1] > adjusted[0]


def test_discrete_instrument_bounds_hold_the_effect():
    """The natural bounds of Robins and Manski; the hidden cause biases the naive contrast."""
    scm = zoo.discrete.instrument()
    p = {(y, x, z): scm.probability({"Y": y, "X": x}, given={"Z": z}) for y in (0, 1) for x in (0, 1) for z in (0, 1)}
    lower = {x: max(p[1, x, z] for z in (0, 1)) for x in (0, 1)}
    upper = {x: 1 - max(p[0, x, z] for z in (0, 1)) for x in (0, 1)}
    effect = scm.ate(ARMS, "Y")
    assert lower[1] - upper[0] <= effect <= upper[1] - lower[0]
    naive = scm.probability({"Y": 1}, given={"X": 1}) - scm.probability({"Y": 1}, given={"X": 0})
    assert abs(naive - effect) > 0.02


@settings(max_examples=40)
@given(seed=seeds)
def test_discrete_natural_effects_are_the_mediation_formula(seed):
    rng = np.random.default_rng(seed)
    m, y = rng.dirichlet(np.ones(3), size=2), rng.dirichlet(np.ones(2), size=(2, 3))
    scm = zoo.DiscreteSCM({"X": ((), [0.5, 0.5]), "M": (("X",), m), "Y": (("X", "M"), y)})
    mean = y[..., 1]
    assert scm.nde(ARMS, "Y", "M") == pytest.approx((mean[1] - mean[0]) @ m[0])
    assert scm.nie(ARMS, "Y", "M") == pytest.approx(mean[0] @ (m[1] - m[0]))
    assert scm.cde(ARMS, "Y", {"M": 2}) == pytest.approx(mean[1, 2] - mean[0, 2])
    nested = {"X": 1, "M": potential("M", {"X": 0})}
    assert scm.counterfactual_probability({"Y": 1}, nested) == pytest.approx(mean[1] @ m[0])


def test_discrete_nested_counterfactual_with_evidence_against_simulation():
    scm = zoo.discrete.mediation()
    noise = discrete_noise(scm, 400_000, np.random.default_rng(8))
    factual, at0 = simulate_discrete(scm, noise), simulate_discrete(scm, noise, {"X": 0})
    hit = (factual["X"] == 1) & (factual["Y"] == 1)
    y = simulate_discrete(scm, noise, {"X": 1, "M": lambda x: at0["M"]})["Y"][hit]
    exact = scm.counterfactual_probability({"Y": 1}, {"X": 1, "M": potential("M", {"X": 0})}, {"X": 1, "Y": 1})
    assert abs(frequency_z(y.sum(), len(y), exact)) < 4.9
    twice = potential("M", {"X": potential("X", {"X": 0})})
    assert scm.counterfactual_probability({"Y": 1}, {"X": 1, "M": twice}, {"X": 1, "Y": 1}) == pytest.approx(exact)


def test_ett_follows_from_evidence_on_the_treatment():
    """E[Y_1 - Y_0 | X = 1], by weighting the strata with P(Z | X = 1)."""
    scm = zoo.discrete.simpson()
    p = scm.probability
    strata = [
        p({"Z": z}, given={"X": 1}) * (p({"Y": 1}, given={"X": 1, "Z": z}) - p({"Y": 1}, given={"X": 0, "Z": z}))
        for z in (0, 1)
    ]
    assert scm.ate(ARMS, "Y", evidence={"X": 1}) == pytest.approx(sum(strata))


# ------------------------------------------------------------------------------------------------------ nonlinear


@by_name(NONLINEAR)
def test_nonlinear_equations_invert_and_increase(factory):
    scm = factory()
    seen = scm.simulate(2_000, seed=1)
    noise = scm.abduct(seen)
    for name, equation in scm.equations.items():
        parents = [seen[p] for p in equation.parents]
        np.testing.assert_allclose(equation.forward(noise[name], *parents), seen[name], rtol=1e-9)
        assert (equation.forward(noise[name] + 0.01, *parents) > seen[name]).all()


@by_name(NONLINEAR)
def test_nonlinear_sites_have_the_law_of_the_equations(factory, float64):
    """log p(x | pa) = log p(u) + log du/dx, the derivative taken numerically."""
    scm = factory()
    seen = scm.simulate(300, seed=2)
    noise = scm.abduct(seen)
    for name, equation in scm.equations.items():
        parents, x, h = [seen[p] for p in equation.parents], seen[name], 1e-6 * np.abs(seen[name])
        rate = (equation.inverse(x + h, *parents) - equation.inverse(x - h, *parents)) / (2 * h)
        base = stats.norm if equation.noise is np.random.standard_normal else stats.expon
        site = equation.site(*map(torch.as_tensor, parents)).log_prob(torch.as_tensor(x)).numpy()
        np.testing.assert_allclose(site, base.logpdf(noise[name]) + np.log(rate), atol=1e-5)


@by_name(NONLINEAR)
def test_nonlinear_program_and_simulation_agree(factory):
    """Kolmogorov-Smirnov on each margin, factual and under an intervention; false alarm 1e-6 each."""
    scm = factory()
    drawn, simulated = run(scm, 20_000), scm.simulate(20_000, seed=3)
    assert min(stats.ks_2samp(drawn[v], simulated[v]).pvalue for v in scm.variables) > 1e-6
    pyro.set_rng_seed(4)
    with pyro.plate("units", 20_000):
        drawn = poutine.do(scm, {"X": torch.tensor(0.5)})()
    simulated = scm.simulate(20_000, {"X": 0.5}, seed=5)
    others = [v for v in scm.variables if v != "X"]
    assert min(stats.ks_2samp(drawn[v].numpy(), simulated[v]).pvalue for v in others) > 1e-6
    assert (simulated["X"] == 0.5).all()


@by_name(NONLINEAR)
def test_nonlinear_counterfactuals_are_the_other_world_of_the_same_noise(factory):
    scm = factory()
    for do in ({"X": 0.7}, {"X": lambda x: x + 0.1}, {}):
        factual, other = scm.simulate(500, seed=6), scm.simulate(500, do, seed=6)
        answer = scm.counterfactual(factual, do)
        for v in scm.variables:
            np.testing.assert_allclose(answer[v], other[v], rtol=1e-8, atol=1e-10)


def test_nonlinear_counterfactuals_by_hand():
    z, x, y = 0.4, -0.3, 1.2
    answer = zoo.nonlinear.triangle().counterfactual({"Z": z, "X": x, "Y": y}, {"Z": 1.0})
    x_new = math.sin(1.0) + 0.6 * (x - math.sin(z)) / (0.4 + 0.2 * z**2)
    u = (y - 0.5 * x**2 + z) / (0.5 + 0.5 * x**2)
    assert answer["X"] == pytest.approx(x_new)
    assert answer["Y"] == pytest.approx(0.5 * x_new**2 - 1.0 + (0.5 + 0.5 * x_new**2) * u)
    seen = {"X": 0.2, "M": 1.3, "Y": 1.0}
    answer = zoo.nonlinear.mediation().counterfactual(seen, {"X": 1.0, "M": potential("M", {"X": -1.0})})
    u = (1.3 / math.exp(0.06)) ** (2 + math.tanh(0.2))
    m = math.exp(-0.3) * u ** (1 / (2 - math.tanh(1.0)))
    assert answer["M"] == pytest.approx(m)
    assert answer["Y"] == pytest.approx(1.5 * m + 1.0 - 1.3 * 1.1)


def test_nonlinear_simulation_keeps_the_global_state():
    before = np.random.get_state()[1].copy()
    a, b = (zoo.nonlinear.fork().simulate(3, seed=9) for _ in range(2))
    assert all((a[v] == b[v]).all() for v in a)
    assert (np.random.get_state()[1] == before).all()


# ------------------------------------------------------------------------------------------------- graph, errors


@pytest.mark.parametrize("module", [zoo.linear, zoo.discrete], ids=["linear", "discrete"])
def test_hidden_causes_become_bidirected_edges(module):
    scm = module.instrument()
    assert scm.latent == ("U",) and scm.observed == ("Z", "X", "Y")
    assert set(scm.graph.edges) == {("Z", "X"), ("U", "X"), ("U", "Y"), ("X", "Y")}
    assert set(scm.observed_graph.edges) == {("Z", "X"), ("X", "Y")}
    assert [set(pair) for pair in scm.observed_graph.bidirected] == [{"X", "Y"}]
    assert "latent: U" in repr(scm)


def test_the_same_seed_gives_the_same_random_model():
    assert zoo.random_linear_gaussian(6, 3).weights == zoo.random_linear_gaussian(6, 3).weights
    assert zoo.random_linear_gaussian(6, 3).weights != zoo.random_linear_gaussian(6, 4).weights
    a, b = zoo.random_discrete(6, 3), zoo.random_discrete(6, 3)
    assert all((a.tables[v] == b.tables[v]).all() for v in a.variables)


LIN, DIS, NON = zoo.linear.triangle(), zoo.discrete.triangle(), zoo.nonlinear.triangle()
BINARY = ((), [0.5, 0.5])


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: LIN.law({"XX": 1.0}), UnknownVariableError, "Did you mean 'X'"),
        (lambda: LIN.counterfactual({"W": 1.0}, {}), UnknownVariableError, "'W'"),
        (lambda: LIN.conditional({"W": 1.0}), UnknownVariableError, "'W'"),
        (lambda: LIN.ate({"X": (0, 1)}, "W"), UnknownVariableError, "'W'"),
        (lambda: LIN.law().expectation("W"), UnknownVariableError, "'W'"),
        (lambda: LIN.law({"X": potential("W", {})}), UnknownVariableError, "'W'"),
        (lambda: LIN.law({"X": math.nan}), InterventionError, "'X'"),
        (lambda: LIN.law({"X": "high"}), InterventionError, "'X'"),
        (lambda: LIN.law({"X": None}), InterventionError, "'X'"),
        (lambda: LIN.law({"X": lambda x: x**2}), InterventionError, "affine"),
        (lambda: LIN.law({"X": dist.Normal(0.0, 1.0)}), InterventionError, "distribution"),
        (lambda: LIN.law([("X", 1.0)]), InterventionError, "dict"),
        (lambda: LIN.ate({"X": 1.0}, "Y"), InterventionError, "pair"),
        (lambda: LIN.counterfactual({"X": math.inf}, {}), EvidenceError, "'X'"),
        (lambda: LIN.counterfactual({"X": []}, {}), EvidenceError, "'X'"),
        (lambda: LIN.counterfactual({"X": [1.0, 2.0], "Y": [1.0, 2.0, 3.0]}, {}), EvidenceError, "broadcast"),
        (lambda: LIN.counterfactual({"X": [1.0, 2.0]}, {"X": [1.0, 2.0, 3.0]}), EvidenceError, r"\(3,\)"),
        (lambda: LIN.law({"X": [1.0, 2.0], "Z": [1.0, 2.0, 3.0]}), InterventionError, "'Z'"),
        (lambda: LIN.conditional({"X": 1.0}, do={"X": 2.0}), EvidenceError, "probability zero"),
        (lambda: zoo.LinearGaussianSCM({}, {}), CausalError, "at least one"),
        (lambda: zoo.LinearGaussianSCM({("X", "Y"): 1.0}, {"X": 1.0}), UnknownVariableError, "'Y'"),
        (lambda: zoo.LinearGaussianSCM({}, {"X": 1.0}, {"Z": 1.0}), UnknownVariableError, "'Z'"),
        (lambda: zoo.LinearGaussianSCM({}, {"X": 1.0}, latent=["Z"]), UnknownVariableError, "'Z'"),
        (lambda: zoo.LinearGaussianSCM({}, {"X": 0.0}), CausalError, "positive"),
        (lambda: zoo.LinearGaussianSCM({("X", "Y"): math.nan}, {"X": 1.0, "Y": 1.0}), CausalError, "finite"),
        (lambda: zoo.LinearGaussianSCM({("X", "Y"): 1, ("Y", "X"): 1}, {"X": 1.0, "Y": 1.0}), GraphError, "cycle"),
        (lambda: DIS.law({"XX": 1}), UnknownVariableError, "Did you mean 'X'"),
        (lambda: DIS.law({"X": 2}), InterventionError, "states 0 to 1"),
        (lambda: DIS.law({"X": 0.5}), InterventionError, "'X'"),
        (lambda: DIS.law({"X": lambda x: x + 1}), InterventionError, "'X'"),
        (lambda: DIS.law({"Z": potential("Y", {})}), InterventionError, "later"),
        (lambda: DIS.counterfactual({"Z": 3}, {}), EvidenceError, "states 0 to 2"),
        (lambda: DIS.counterfactual({"Z": [0, 1]}, {}), EvidenceError, "'Z'"),
        (lambda: DIS.probability({"Y": 2}), EvidenceError, "states 0 to 1"),
        (lambda: DIS.probability({"W": 1}), UnknownVariableError, "'W'"),
        (lambda: DIS.probability({"Y": 1}, do={"X": 1}, given={"X": 0}), EvidenceError, "probability zero"),
        (lambda: zoo.DiscreteSCM({"X": ((), [1.0, 0.0])}).counterfactual({"X": 1}, {}), EvidenceError, "zero"),
        (lambda: zoo.DiscreteSCM({"X": ((), [0.6, 0.5])}), CausalError, "distributions"),
        (lambda: zoo.DiscreteSCM({"X": ((), [1.2, -0.2])}), CausalError, "distributions"),
        (lambda: zoo.DiscreteSCM({"X": ((), 0.5)}), CausalError, "shape"),
        (lambda: zoo.DiscreteSCM({"X": BINARY, "Y": (("X",), [0.5, 0.5])}), CausalError, "'Y'"),
        (lambda: zoo.DiscreteSCM({"Y": (("X",), [[0.5, 0.5]] * 2)}), UnknownVariableError, "'X'"),
        (lambda: DIS.worlds({i: {"Z": i} for i in range(3)}).probability({(7, "Y"): 1}), UnknownVariableError, "7"),
        (lambda: NON.abduct({"X": 1.0, "Z": 0.0}), EvidenceError, "'Y'"),
        (lambda: NON.abduct({"W": 1.0}), UnknownVariableError, "'W'"),
        (lambda: NON.simulate(3, {"W": 1.0}), UnknownVariableError, "'W'"),
        (lambda: NON.simulate(3, {"X": math.inf}), InterventionError, "'X'"),
        (lambda: NON.simulate(3, {"X": [1.0, 2.0]}), InterventionError, "'X'"),
        (lambda: NON.abduct({"X": 1.0, "Z": [0.0, 1.0], "Y": [0.0] * 3}), EvidenceError, "broadcast"),
        (lambda: NON.simulate(3, seed=-1), CausalError, "seed"),
        (lambda: zoo.nonlinear.chain().abduct({"X": -1.0, "M": 1.0, "Y": 1.0}), EvidenceError, "'X'"),
        (lambda: zoo.nonlinear.collider().abduct({"X": 0.0, "Y": 0.0, "C": 1.0}), EvidenceError, "'C'"),
        (lambda: zoo.random_linear_gaussian(0, 1), CausalError, "num_variables"),
        (lambda: zoo.random_linear_gaussian(3, -1), CausalError, "seed"),
        (lambda: zoo.random_discrete(3, 1, cardinalities=(1,)), CausalError, "cardinalities"),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_gumbel_max_beyond_two_configurations_is_refused():
    scm = zoo.DiscreteSCM(
        {"Z": ((), [0.5, 0.3, 0.2]), "Y": (("Z",), [[0.2, 0.3, 0.5], [0.4, 0.4, 0.2], [0.1, 0.1, 0.8]])}
    )
    with pytest.raises(CausalError, match="QUANTILE"):
        scm.worlds({i: {"Z": i} for i in range(3)})
