"""PN, PS and PNS against enumeration, their bounds against the theorem, and the identities among them.

Statistical checks use fixed seeds and |z| < 4.9, a false alarm of 1e-6 each where the estimate is normal.
"""

import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings, strategies as st

from causal_pyro_models.effects.causation import pn, pns, ps
from causal_pyro_models.effects.question import Question
from causal_pyro_models.errors import CausalError, EvidenceError, InterventionError, QueryError, UnknownVariableError
from causal_pyro_models.inference.importance import ImportanceSampling
from causal_pyro_models.inference.program import inspect_model
from causal_pyro_models.scm import zoo
from causal_pyro_models.seeding import seeded

ARMS = {"X": (0.0, 1.0)}
VERBS = (pn, ps, pns)


def z_score(estimate, truth):
    return (float(estimate.value) - float(truth)) / float(estimate.standard_error)


def contained(estimate, slack=1e-9):
    low, high = estimate.bounds
    return bool(low - slack <= estimate.value <= high + slack)


def exact_bounds(scm):
    """The theorem of Tian and Pearl, from enumerated P(y_x), P(y_x') and P(x, y)."""
    treated, control = (scm.probability({"Y": 1}, do={"X": x}) for x in (1, 0))
    xy, xn, ny, nn = (scm.probability({"X": x, "Y": y}) for x, y in ((1, 1), (1, 0), (0, 1), (0, 0)))
    y = xy + ny
    return {
        pn: (max(0.0, (y - control) / xy), min(1.0, (1 - control - nn) / xy)),
        ps: (max(0.0, (treated - y) / nn), min(1.0, (treated - xy) / nn)),
        pns: (
            max(0.0, treated - control, y - control, treated - y),
            min(treated, 1 - control, xy + nn, treated - control + xn + ny),
        ),
    }


@pytest.mark.parametrize("structure", ["chain", "triangle", "confounded", "front_door", "instrument", "simpson"])
def test_probabilities_and_bounds_meet_enumeration(structure):
    scm = getattr(zoo.discrete, structure)()
    bounds = exact_bounds(scm)
    for verb in VERBS:
        estimate = verb(scm, ARMS, "Y", num_samples=40_000, seed=0)
        assert abs(z_score(estimate, getattr(scm, verb.__name__)({"X": (0, 1)}, "Y"))) < 4.9
        assert contained(estimate)
        for end, truth in zip(estimate.bounds, bounds[verb], strict=True):
            assert float(end) == pytest.approx(truth, abs=0.05)


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_bounds_contain_the_point_under_every_coupling(seed):
    for coupling in (zoo.GUMBEL_MAX, zoo.QUANTILE):
        scm = zoo.random_discrete(4, seed, cardinalities=(2, 3), coupling=coupling)
        first, last = scm.graph.topological_order[0], scm.graph.topological_order[-1]
        if scm.tables[first].shape[-1] != 2:
            continue
        for verb in VERBS:
            assert contained(verb(scm, {first: (0.0, 1.0)}, {last: 0}, num_samples=500, seed=seed))


def test_monotone_and_unconfounded_models_attain_the_lower_bounds():
    """Bernoulli sites have monotone thresholds: PNS = P(y_x) - P(y_x'), PN = PNS / P(y_x) (Tian and Pearl 2000)."""

    def model():
        x = pyro.sample("X", dist.Bernoulli(0.4))
        pyro.sample("Y", dist.Bernoulli(0.2 + 0.5 * x))

    for verb, truth in ((pn, 5 / 7), (ps, 5 / 8), (pns, 0.5)):
        estimate = verb(model, ARMS, "Y", seed=0)
        assert abs(z_score(estimate, truth)) < 4.9
        assert float(estimate.bounds[0]) == pytest.approx(truth, abs=0.03)


def test_decomposition_under_any_coupling():
    """PNS = P(x, y) PN + P(x', y') PS (Tian and Pearl 2000, lemma 1), exactly, on the same draws."""
    for structure in ("triangle", "confounded", "simpson"):
        scm = getattr(zoo.discrete, structure)()
        necessity, sufficiency, both = (verb(scm, ARMS, "Y", seed=2) for verb in VERBS)
        xy, nn = shares(scm, seed=2)
        assert float(both.value) == pytest.approx(xy * float(necessity.value) + nn * float(sufficiency.value))


def shares(scm, seed):
    with seeded(seed):
        world = Question("pn", inspect_model(scm)).units().worlds({})[0]
    x, y = world["X"], world["Y"]
    return float((x * y).double().mean()), float(((1 - x) * (1 - y)).double().mean())


def test_events_and_functions_as_outcomes():
    def model():
        x = pyro.sample("X", dist.Bernoulli(0.5))
        pyro.sample("Y", dist.Normal(x, 1.0))

    def tall(world):
        return world["Y"] > 0.5

    estimate = pns(model, ARMS, tall, seed=0)
    normal = torch.distributions.Normal(0.0, 1.0).cdf(torch.tensor(0.5))
    assert abs(z_score(estimate, 2 * normal - 1)) < 4.9  # Y_x = x + u: u in (-0.5, 0.5]
    assert float(estimate.value) == pytest.approx(float(estimate.bounds[0]), abs=0.02)
    flipped = pns(model, {"X": (1.0, 0.0)}, lambda world: world["Y"] <= 0.5, seed=0)
    assert torch.equal(flipped.value, estimate.value)


def test_among_observed_units():
    """Given data, PN is the mean over the exposed cases of the chance that each would not have been one."""

    def model():
        x = pyro.sample("X", dist.Bernoulli(0.5))
        pyro.sample("Y", dist.Bernoulli(0.2 + 0.6 * x))

    data = {"X": [1.0, 1.0, 0.0, 0.0], "Y": [1.0, 0.0, 1.0, 0.0]}
    estimate = pn(model, ARMS, "Y", evidence=data, num_samples=20_000, seed=0)
    assert float(estimate.value) == pytest.approx(0.75, abs=4.9 * (0.75 * 0.25 / 20_000) ** 0.5)
    assert estimate.bounds is None  # four units are no population


def test_with_parameters_to_learn():
    def model():
        p = pyro.sample("p", dist.Beta(1.0, 1.0))
        with pyro.plate("people", 40):
            x = pyro.sample("X", dist.Bernoulli(0.5))
            pyro.sample("Y", dist.Bernoulli(0.1 + 0.8 * p * x))

    x = (torch.arange(40) % 2).float()
    data = {"X": x, "Y": (torch.arange(40) % 4 == 1).float()}
    estimate = pn(model, ARMS, "Y", evidence=data, method=ImportanceSampling(), num_samples=2_000, seed=0)
    assert 0.6 < float(estimate.value) < 0.95 and float(estimate.standard_error) > 0 and estimate.bounds is None
    assert estimate.draws.shape == (2_000,)


def categorical():
    x = pyro.sample("X", dist.Categorical(torch.ones(3) / 3))
    pyro.sample("Y", dist.Bernoulli(0.2 + 0.2 * x))


def never():
    x = pyro.sample("X", dist.Bernoulli(0.5))
    pyro.sample("Y", dist.Bernoulli(0.0 * x))


def binary():
    x = pyro.sample("X", dist.Bernoulli(0.5))
    y = pyro.sample("Y", dist.Bernoulli(0.2 + 0.5 * x))
    pyro.sample("W", dist.Normal(y, 1.0))


BAD = [
    (lambda verb: verb(never, ARMS, "Y"), EvidenceError, "treated"),
    (lambda verb: verb(categorical, {"X": (0, 1)}, "Y"), InterventionError, "'X' takes other values"),
    (lambda verb: verb(binary, ARMS, "W"), QueryError, "'W' must be 0 or 1"),
    (lambda verb: verb(binary, ARMS, "Q"), UnknownVariableError, "'Q'"),
    (lambda verb: verb(binary, ARMS, "X"), QueryError, "'X' is both"),
    (lambda verb: verb(binary, {"X": (0.0, 1.0), "W": (0.0, 1.0)}, "Y"), InterventionError, "one treatment"),
    (lambda verb: verb(binary, {"X": (0.0, lambda x: x)}, "Y"), InterventionError, "'X' must be a number"),
    (lambda verb: verb(binary, "X", "Y"), InterventionError, "pair"),
]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=[str(i) for i in range(len(BAD))])
def test_bad_questions(call, error, message, verb):
    if error is EvidenceError and verb is not pn:
        assert float(verb(never, ARMS, "Y", num_samples=100, seed=0).value) == 0.0
        return
    with pytest.raises(error, match=message) as caught:
        call(verb)
    assert isinstance(caught.value, CausalError)
