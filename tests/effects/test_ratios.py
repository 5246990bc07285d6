"""Dose-response curves and ratios against closed forms, and what the effects refuse.

Statistical checks use fixed seeds and |z| < 4.9, a false alarm of 1e-6 each where the estimate is normal.
"""

import math

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats

from causal_pyro_models.effects.averages import ate, att, cate, ite
from causal_pyro_models.effects.dose_response import dose_response
from causal_pyro_models.effects.question import Question
from causal_pyro_models.effects.ratios import odds_quotient, odds_ratio, quotient, risk_ratio
from causal_pyro_models.errors import (
    AbductionError,
    CausalError,
    CausalWarning,
    EvidenceError,
    InterventionError,
    ModelError,
    QueryError,
    UnknownVariableError,
)
from causal_pyro_models.estimate import LOG
from causal_pyro_models.inference.importance import ImportanceSampling
from causal_pyro_models.inference.program import inspect_model
from causal_pyro_models.scm import zoo
from causal_pyro_models.seeding import seeded

ARMS = {"X": (0.0, 1.0)}


def binary():
    z = pyro.sample("Z", dist.Bernoulli(0.4))
    x = pyro.sample("X", dist.Bernoulli(0.2 + 0.6 * z))
    pyro.sample("Y", dist.Bernoulli(0.1 + 0.2 * x + 0.3 * z + 0.3 * x * z))


def curved():
    x = pyro.sample("X", dist.Gamma(2.0, 1.0))
    pyro.sample("Y", dist.Normal(x, 1.0))


def mixed():
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    v = pyro.sample("V", dist.Normal(torch.zeros(3), 1.0).to_event(1))
    x = pyro.sample("X", dist.Normal(z, 1.0))
    pyro.sample("Y", dist.Normal(x + v[..., 0], 1.0))
    pyro.deterministic("Root", (x - 0.5).sqrt())


def test_curve_meets_its_closed_form_on_common_noise():
    def model():
        z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        x = pyro.sample("X", dist.Normal(z, 1.0))
        pyro.sample("Y", dist.Normal(z + x**2, 1.0))

    grid = np.linspace(-2, 2, 9)
    curve = dose_response(model, {"X": grid}, "Y", seed=0)
    assert curve.over == "X" and curve.labels == tuple(grid) and curve.value.shape == (9,)
    z = (curve.value - torch.as_tensor(grid**2)) / curve.standard_error
    assert float(z.abs().max()) < 4.9 and float(z.max() - z.min()) < 1e-3  # the same noise at every point
    assert torch.allclose(curve.standard_error, torch.tensor(0.02**0.5 / 10).double(), rtol=0.05)
    effect = ate(model, {"X": (-2.0, 1.0)}, "Y", seed=0)
    assert float(curve.value[6] - curve.value[0]) == pytest.approx(float(effect.value), abs=1e-6)
    frame = curve.to_dataframe()
    assert list(frame["X"]) == list(grid) and (frame["lower"] < frame["upper"]).all()


def test_curve_of_observed_units_is_theirs():
    scm = zoo.linear.triangle()
    data = {"Z": [0.0, 1.0], "X": [1.0, 1.0], "Y": [2.0, 0.0]}
    curve = dose_response(scm, {"X": [1.0, 3.0]}, "Y", evidence=data, seed=0)
    assert torch.allclose(curve.value, torch.tensor([1.0, 1.0 + 2 * 1.5]).double(), atol=1e-5)
    assert float(curve.standard_error.max()) == 0.0


def test_ratios_meet_their_closed_forms():
    control, treated = 0.22, 0.54
    for verb, truth in (
        (risk_ratio, treated / control),
        (odds_ratio, treated / (1 - treated) / control * (1 - control)),
    ):
        estimate = verb(binary, ARMS, "Y", seed=0)
        assert abs(float(estimate.value) - truth) < 4.9 * float(estimate.standard_error)
        low, high = estimate.interval
        assert float(low * high) == pytest.approx(float(estimate.value) ** 2)  # symmetric on the log scale
        reverse = verb(binary, {"X": (1.0, 0.0)}, "Y", seed=0)
        assert float(reverse.value) == pytest.approx(1 / float(estimate.value))
        assert float(reverse.interval[0]) == pytest.approx(1 / float(high))


def test_delta_method_matches_the_spread_over_seeds():
    """The sd of log risk ratios over 120 seeds is within 32% of the stated error (4.9 sd of a sample sd)."""
    estimates = [risk_ratio(binary, ARMS, "Y", num_samples=500, seed=seed) for seed in range(120)]
    spread = torch.stack([e.value.log() for e in estimates]).std()
    stated = torch.stack([e.standard_error / e.value for e in estimates]).mean()
    assert float(spread) == pytest.approx(float(stated), rel=0.32)


@pytest.mark.parametrize("size", [50, 100, 200])
def test_log_scale_intervals_cover_in_small_samples(size):
    """2,000 replications at 95%, within 4.9 sd of the binomial count (false alarm about 1e-6 each).

    The normal approximation of a log ratio of 11 and 27 expected events in 50 units is allowed 1%.
    """
    replications, control, treated = 2_000, 0.22, 0.54
    with seeded(0):
        units = Question("risk_ratio", inspect_model(binary), num_samples=replications * size).units()
    terms = units.outcomes("Y", {"X": 0.0}, {"X": 1.0}).reshape(replications, size, 1, 2)
    truths = {quotient: treated / control, odds_quotient: treated / (1 - treated) / control * (1 - control)}
    for effect, truth in truths.items():
        ends = [units.means(part).effect(effect, 0.95, LOG)[2] for part in terms]
        covered = sum(bool(low <= truth <= high) for low, high in ends) / replications
        assert covered == pytest.approx(0.95, abs=4.9 * math.sqrt(0.95 * 0.05 / replications) + 0.01), effect


@pytest.mark.parametrize("verb", [risk_ratio, odds_ratio])
@pytest.mark.parametrize("size", [2, 3, 5, 10])
def test_intervals_of_tiny_samples_are_positive_and_contain_the_value(verb, size):
    """Or there is none: where nobody has the outcome under control, or the odds are no number, it is said."""
    answered = 0
    for seed in range(40):
        try:
            estimate = verb(binary, ARMS, "Y", num_samples=size, level=0.99, seed=seed)
        except EvidenceError:
            continue
        low, high = estimate.interval
        assert 0 < low <= estimate.value <= high < math.inf and math.isfinite(estimate.standard_error)
        assert bool(low == high) is (float(estimate.standard_error) == 0.0)
        answered += 1
    assert answered >= 10


def test_ratio_of_a_posterior_is_that_of_its_draws():
    def model():
        p = pyro.sample("p", dist.Beta(2.0, 2.0))
        with pyro.plate("people", 200):
            x = pyro.sample("X", dist.Bernoulli(0.5))
            pyro.sample("Y", dist.Bernoulli(0.2 + 0.7 * p * x))

    x = (torch.arange(200) % 2).float()
    data = {"X": x, "Y": x * (torch.arange(200) % 4 == 1).float() + (1 - x) * (torch.arange(200) % 10 == 0).float()}
    estimate = risk_ratio(model, ARMS, "Y", evidence=data, method=ImportanceSampling(), num_samples=4_000, seed=0)
    assert float(estimate.draws.mean()) == pytest.approx(float(estimate.value), abs=0.01)
    outside = (estimate.draws < estimate.interval[0]) | (estimate.draws > estimate.interval[1])
    assert float(outside.double().mean()) == pytest.approx(0.05, abs=0.01)


def test_events_of_continuous_outcomes():
    estimate = risk_ratio(mixed, ARMS, lambda world: world["Y"] > 1, seed=0)  # Y_x ~ N(x, 2)
    assert abs(float(estimate.value) - 0.5 / stats.norm.sf(1 / math.sqrt(2))) < 4.9 * float(estimate.standard_error)


@pytest.mark.filterwarnings("ignore::causal_pyro_models.errors.CausalWarning")
def test_too_few_effective_draws_warn():
    with pytest.warns(CausalWarning, match="effective sample size"):
        att(mixed, {"X": (0.0, 6.0)}, "Y", num_samples=200, seed=0)


def never():
    x = pyro.sample("X", dist.Bernoulli(0.5))
    pyro.sample("Y", dist.Bernoulli(0.0 * x))


def always():
    x = pyro.sample("X", dist.Bernoulli(0.5))
    pyro.sample("Y", dist.Bernoulli(1.0 + 0.0 * x))


def people():
    tau = pyro.sample("tau", dist.Normal(0.0, 1.0))
    with pyro.plate("people", 4):
        x = pyro.sample("X", dist.Bernoulli(0.5))
        pyro.sample("Y", dist.Normal(tau * x, 1.0))


BAD = {
    "outcome unknown": (lambda: ate(mixed, ARMS, "Yy"), UnknownVariableError, "'Yy'"),
    "outcome of an event unknown": (lambda: ate(mixed, ARMS, {"Q": 1}), UnknownVariableError, "'Q'"),
    "outcome empty": (lambda: ate(mixed, ARMS, {}), QueryError, "empty"),
    "outcome a number": (lambda: ate(mixed, ARMS, 3), QueryError, "got 3"),
    "outcome is the treatment": (lambda: ate(mixed, ARMS, "X"), QueryError, "'X' is both"),
    "outcome is noise": (lambda: ate(mixed, ARMS, "U_Y"), UnknownVariableError, "'U_Y'"),
    "outcome a vector": (lambda: ate(mixed, ARMS, "V"), QueryError, r"'V' is a vector of shape \(3,\)"),
    "function of a vector": (lambda: ate(mixed, ARMS, lambda w: w["V"]), QueryError, "number for each unit"),
    "function of a mean": (lambda: ate(mixed, ARMS, lambda w: w["Y"].mean()), QueryError, "number for each unit"),
    "function of units": (lambda: ate(mixed, ARMS, lambda w: w["Y"].mean(0)), QueryError, "number for each unit"),
    "function of plates": (lambda: ate(people, ARMS, lambda w: w["Y"].mean()), QueryError, "number for each unit"),
    "function without a value": (lambda: ate(mixed, ARMS, lambda w: None), QueryError, "NoneType"),
    "outcome not finite": (lambda: ate(mixed, ARMS, "Root"), ModelError, "'Root' is NaN or infinite"),
    "treatment unknown": (lambda: ate(mixed, {"Xx": (0, 1)}, "Y"), UnknownVariableError, "'Xx'"),
    "treatment a name": (lambda: ate(mixed, "X", "Y"), InterventionError, "pair"),
    "treatment empty": (lambda: ate(mixed, {}, "Y"), InterventionError, "pair"),
    "treatment not a pair": (lambda: ate(mixed, {"X": 1.0}, "Y"), InterventionError, "'X' must be a pair"),
    "treatment of three": (lambda: ate(mixed, {"X": (0, 1, 2)}, "Y"), InterventionError, "'X' must be a pair"),
    "treatment NaN": (lambda: ate(mixed, {"X": (0.0, math.nan)}, "Y"), InterventionError, "'X'"),
    "treatment not a value": (lambda: ate(mixed, {"X": (None, 1.0)}, "Y"), InterventionError, "'X'"),
    "treatment off support": (lambda: ate(binary, {"X": (0.0, 2.0)}, "Y"), InterventionError, "'X'"),
    "one sample": (lambda: ate(mixed, ARMS, "Y", num_samples=1), QueryError, "num_samples"),
    "half a sample": (lambda: ate(mixed, ARMS, "Y", num_samples=2.5), QueryError, "num_samples"),
    "samples a truth value": (lambda: att(mixed, ARMS, "Y", num_samples=True), QueryError, "num_samples"),
    "level in percent": (lambda: ate(mixed, ARMS, "Y", level=95), QueryError, "level"),
    "level of one": (lambda: ate(mixed, ARMS, "Y", level=1.0), QueryError, "level"),
    "seed negative": (lambda: ate(mixed, ARMS, "Y", seed=-1), CausalError, "seed"),
    "model not callable": (lambda: ate(3, ARMS, "Y"), ModelError, "int"),
    "evidence needs a method": (lambda: ate(curved, ARMS, "Y", evidence={"Y": [1.0]}), AbductionError, "method"),
    "evidence empty": (lambda: ate(mixed, ARMS, "Y", evidence=pd.DataFrame({"X": []})), EvidenceError, "empty"),
    "ite without evidence": (lambda: ite(mixed, ARMS, "Y", evidence={}), EvidenceError, "ite needs evidence"),
    "att of a function": (lambda: att(mixed, {"X": (0.0, abs)}, "Y"), InterventionError, "'X' must be a number"),
    "att of the impossible": (lambda: att(binary, {"X": (0.0, 2.0)}, "Y"), EvidenceError, "'X'"),
    "att of nobody": (
        lambda: att(binary, ARMS, "Y", evidence={"Z": [0.0, 1.0], "X": [0.0, 0.0], "Y": [0.0, 1.0]}),
        EvidenceError,
        "'treated'",
    ),
    "cate of nothing": (lambda: cate(mixed, ARMS, "Y"), QueryError, "given"),
    "cate of both": (lambda: cate(mixed, ARMS, "Y", given={"Z": 1.0}, by="Z"), QueryError, "given"),
    "cate with evidence twice": (lambda: cate(mixed, ARMS, "Y", given={"Z": 1.0}, evidence={}), QueryError, "given"),
    "cate given an unknown": (lambda: cate(mixed, ARMS, "Y", given={"Q": 1.0}), UnknownVariableError, "'Q'"),
    "cate given NaN": (lambda: cate(mixed, ARMS, "Y", given={"Z": math.nan}), EvidenceError, "'Z'"),
    "cate given, with plates": (lambda: cate(people, ARMS, "Y", given={"X": 1.0}), QueryError, "by="),
    "cate by a continuous site": (lambda: cate(mixed, ARMS, "Y", by="Z"), QueryError, "'Z' takes 10000"),
    "cate by an unknown": (lambda: cate(mixed, ARMS, "Y", by="Q"), UnknownVariableError, "'Q'"),
    "cate by a vector": (lambda: cate(mixed, ARMS, "Y", by="V"), QueryError, "'V'"),
    "cate by a number": (lambda: cate(mixed, ARMS, "Y", by=3), QueryError, "got 3"),
    "subgroup of one": (
        lambda: cate(binary, ARMS, "Y", by="Z", evidence={"Z": [0, 0, 1], "X": [0, 1, 0], "Y": [0, 0, 0]}),
        EvidenceError,
        "1 units in the subgroup 1",
    ),
    "grid empty": (lambda: dose_response(mixed, {"X": []}, "Y"), QueryError, "'X'"),
    "grid of NaN": (lambda: dose_response(mixed, {"X": [0.0, math.nan]}, "Y"), QueryError, "'X'"),
    "grid of words": (lambda: dose_response(mixed, {"X": ["a"]}, "Y"), QueryError, "'X'"),
    "grid a number": (lambda: dose_response(mixed, {"X": 1.0}, "Y"), QueryError, "'X'"),
    "curve of an unknown": (lambda: dose_response(mixed, {"Q": [1.0]}, "Y"), UnknownVariableError, "'Q'"),
    "curve of the outcome": (lambda: dose_response(mixed, {"Y": [1.0]}, "Y"), QueryError, "'Y' is both"),
    "ratio of means": (lambda: risk_ratio(mixed, ARMS, "Y"), QueryError, "'Y' must be 0 or 1"),
    "risk of zero": (lambda: risk_ratio(never, ARMS, "Y"), EvidenceError, "no unit has the outcome"),
    "odds of zero": (lambda: odds_ratio(never, ARMS, "Y"), EvidenceError, "none"),
    "odds of one": (lambda: odds_ratio(always, ARMS, "Y"), EvidenceError, "all units"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_questions(case):
    call, error, message = BAD[case]
    with pytest.raises(error, match=message) as caught:
        call()
    assert isinstance(caught.value, CausalError)
