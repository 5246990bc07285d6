"""Average, conditional and individual effects against closed forms, enumeration and conjugate posteriors.

Statistical checks use fixed seeds and |z| < 4.9, a false alarm of 1e-6 each where the estimate is normal.
"""

import math
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy import stats

from causal_pyro_models.effects.averages import ate, att, cate, ite
from causal_pyro_models.effects.question import Question
from causal_pyro_models.effects.ratios import quotient
from causal_pyro_models.effects.units import difference
from causal_pyro_models.estimate import LINE, LOG, Estimate
from causal_pyro_models.inference.abduction import abduct
from causal_pyro_models.inference.importance import ImportanceSampling
from causal_pyro_models.inference.mcmc import NUTS
from causal_pyro_models.inference.prediction import sample
from causal_pyro_models.inference.program import inspect_model
from causal_pyro_models.scm import zoo
from causal_pyro_models.seeding import seeded

ARMS = {"X": (0.0, 1.0)}
STRUCTURES = ("chain", "triangle", "confounded", "front_door", "instrument", "mediation", "simpson")


def heterogeneous():
    """The effect of X is 1 + Z; X is more likely, and larger, where Z is."""
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    x = pyro.sample("X", dist.Normal(z, 1.0))
    pyro.sample("Y", dist.Normal(x * (1 + z) + z, 1.0))


def binary():
    z = pyro.sample("Z", dist.Bernoulli(0.4))
    x = pyro.sample("X", dist.Bernoulli(0.2 + 0.6 * z))
    pyro.sample("Y", dist.Bernoulli(0.1 + 0.2 * x + 0.3 * z + 0.3 * x * z))


def trial(units=40):
    """A Bayesian trial: Y ~ Normal(tau * X, 1), tau ~ Normal(0, 1), units in a plate."""
    tau = pyro.sample("tau", dist.Normal(0.0, 1.0))
    with pyro.plate("people", units):
        x = pyro.sample("X", dist.Bernoulli(0.5))
        pyro.sample("Y", dist.Normal(tau * x, 1.0))


def trial_data(units=40, tau=0.7):
    x = (torch.arange(units) % 2).float()
    return {"X": x, "Y": tau * x + torch.randn(units, generator=torch.Generator().manual_seed(0))}


def z_score(estimate, truth):
    return (float(estimate.value) - float(truth)) / float(estimate.standard_error)


# Averages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", STRUCTURES)
def test_ate_of_linear_models_is_exact_whatever_the_noise(structure):
    scm = getattr(zoo.linear, structure)()
    estimate = ate(scm, ARMS, "Y", num_samples=50, seed=0)
    assert float(estimate.value) == pytest.approx(float(scm.ate(ARMS, "Y")), abs=1e-5)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_ate_of_discrete_models_meets_enumeration(structure):
    scm = getattr(zoo.discrete, structure)()
    assert abs(z_score(ate(scm, ARMS, "Y", seed=0), scm.ate({"X": (0, 1)}, "Y"))) < 4.9


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_ate_of_random_discrete_models_meets_enumeration(seed):
    scm = zoo.random_discrete(5, seed)
    first, last = scm.graph.topological_order[0], scm.graph.topological_order[-1]
    estimate = ate(scm, {first: (0.0, 1.0)}, last, num_samples=4_000, seed=seed)
    truth = scm.ate({first: (0, 1)}, last)
    if float(estimate.standard_error) == 0.0:
        assert truth == pytest.approx(0.0, abs=1e-3)
    else:
        assert abs(z_score(estimate, truth)) < 5.5  # small counts are skewed


def test_several_treatments_events_and_functions_as_outcomes():
    def model():
        a = pyro.sample("A", dist.Normal(0.0, 1.0))
        b = pyro.sample("B", dist.Normal(a, 1.0))
        pyro.sample("Y", dist.Normal(a + 2 * b, 1.0))
        pyro.sample("C", dist.Categorical(logits=torch.stack([0 * a, a, 2 * a], -1)))

    both = ate(model, {"A": (0.0, 1.0), "B": (1.0, -1.0)}, "Y", num_samples=10, seed=0)
    assert float(both.value) == pytest.approx(-3.0, abs=1e-5)
    e = math.e
    truth = e**2 / (1 + e + e**2) - 1 / 3
    event = ate(model, {"A": (0.0, 1.0)}, {"C": 2}, seed=0)
    assert abs(z_score(event, truth)) < 4.9
    function = ate(model, {"A": (0.0, 1.0)}, lambda world: world["C"] == 2, seed=0)
    assert torch.equal(function.value, event.value)
    exceeds = ate(model, {"A": (0.0, 1.0)}, lambda world: (world["Y"] > 3).float(), seed=0)  # Y_a ~ N(3a, 5)
    assert abs(z_score(exceeds, 0.5 - stats.norm.sf(3 / 5**0.5))) < 4.9


def test_worlds_share_their_noise():
    """Without common random numbers the error would be sqrt(2 * 3) / sqrt(n) rather than 1 / sqrt(n)."""
    estimate = ate(heterogeneous, ARMS, "Y", num_samples=10_000, seed=0)
    assert float(estimate.standard_error) == pytest.approx(0.01, rel=0.05)
    assert abs(z_score(estimate, 1.0)) < 4.9


def coverage(units, truth, effect, interval, replications=1_000):
    """How often the interval of an effect holds the truth, over independent parts of one large set of units."""
    terms = units.outcomes("Y", {"X": 0.0}, {"X": 1.0})
    size, count = len(terms) // replications, 0
    for part in (slice(i * size, (i + 1) * size) for i in range(replications)):
        noise = units.noise
        if noise.log_weights is not None:
            noise = replace(noise, log_weights=noise.log_weights[part] - noise.log_weights[part].logsumexp(0))
        _, _, (low, high), _ = replace(units, noise=noise).means(terms[part]).effect(effect, 0.95, interval)
        count += bool(low <= truth <= high)
    return count / replications


def test_intervals_cover_at_their_level():
    """1,000 replications of 400 units at 95%, within 4.9 sd of the binomial count (false alarm about 1e-6 each).

    The bias of a ratio and of the normal approximation is allowed 0.5%.
    """
    tolerance = 4.9 * math.sqrt(0.95 * 0.05 / 1_000) + 0.005
    with seeded(0):
        question = Question("ate", inspect_model(binary), num_samples=400_000)
        everybody, treated = question.units(), question.units_given({"X": 1.0})
    cases = {
        "ate": (everybody, 0.32, difference, LINE),
        "risk ratio": (everybody, 0.54 / 0.22, quotient, LOG),
        "att": (treated, 0.2 + 0.3 * (0.4 * 0.8 / 0.44), difference, LINE),
    }
    for name, case in cases.items():
        assert coverage(*case) == pytest.approx(0.95, abs=tolerance), name


def test_units_that_share_a_group_do_not_count_as_independent():
    def model():
        with pyro.plate("groups", 2, dim=-2):
            b = pyro.sample("B", dist.Normal(0.0, 1.0))
            with pyro.plate("people", 50, dim=-1):
                x = pyro.sample("X", dist.Bernoulli(0.5))
                pyro.sample("Y", dist.Normal(b * x, 1.0))

    estimate = ate(model, ARMS, "Y", num_samples=2_000, seed=0)
    assert float(estimate.standard_error) == pytest.approx(4_000**-0.5, rel=0.1)
    assert abs(z_score(estimate, 0.0)) < 4.9


def test_autocorrelated_draws_widen_the_error():
    units = Question("ate", inspect_model(heterogeneous), num_samples=1_000).units()
    terms = units.outcomes("Y", {"X": 0.0}, {"X": 1.0})
    sticky = replace(units, noise=replace(units.noise, ess=torch.tensor([250.0])))
    independent, dependent = (u.means(terms).effect(difference, 0.95, LINE)[1] for u in (units, sticky))
    assert float(dependent) == pytest.approx(2 * float(independent))


# On the treated, and conditional ---------------------------------------------------------------------------------


def test_att_for_continuous_and_discrete_treatments():
    assert (
        abs(z_score(att(heterogeneous, {"X": (0.0, 2.0)}, "Y", seed=0), 2 * (1 + 1.0))) < 4.9
    )  # Z | X = 2 ~ N(1, 1/2)
    scm = zoo.discrete.triangle()
    assert abs(z_score(att(scm, ARMS, "Y", seed=0), scm.ate({"X": (0, 1)}, "Y", {"X": 1}))) < 4.9


@pytest.mark.parametrize("structure", ["confounded", "front_door", "instrument"])
def test_att_with_a_hidden_confounder(structure):
    scm = getattr(zoo.discrete, structure)()
    assert abs(z_score(att(scm, ARMS, "Y", seed=1), scm.ate({"X": (0, 1)}, "Y", {"X": 1}))) < 4.9


def test_att_is_the_mean_ite_of_the_treated_and_ate_of_all():
    data = sample(binary, 200, seed=0)
    noise = abduct(binary, dict(data), num_samples=50, seed=0)
    individual = ite(binary, ARMS, "Y", evidence=noise).value
    assert float(ate(binary, ARMS, "Y", evidence=noise).value) == pytest.approx(float(individual.mean()))
    treated = individual[data["X"] == 1]
    assert float(att(binary, ARMS, "Y", evidence=noise).value) == pytest.approx(float(treated.mean()))


def test_att_in_a_model_with_plates_averages_over_its_treated_units():
    def model():
        with pyro.plate("people", 20):
            heterogeneous_binary()

    def heterogeneous_binary():
        z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        x = pyro.sample("X", dist.Bernoulli(logits=z))
        pyro.sample("Y", dist.Normal(x * z, 1.0))

    plated = att(model, ARMS, "Y", num_samples=1_000, seed=0)
    single = att(heterogeneous_binary, ARMS, "Y", num_samples=20_000, seed=1)
    error = math.hypot(float(plated.standard_error), float(single.standard_error))
    assert abs(float(plated.value) - float(single.value)) < 4.9 * error


def test_cate_at_covariate_values():
    def model():
        z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        w = pyro.sample("W", dist.Normal(z, 1.0))
        x = pyro.sample("X", dist.Normal(z, 1.0))
        pyro.sample("Y", dist.Normal(x * (1 + z + 2 * w), 1.0))

    scalar = cate(model, ARMS, "Y", given={"Z": 1.0}, seed=0)  # W | Z = 1 ~ N(1, 1)
    assert scalar.value.shape == () and abs(z_score(scalar, 4.0)) < 4.9
    exact = cate(model, ARMS, "Y", given={"Z": [0.0, 1.0], "W": [1.0, 2.0]}, seed=0)
    assert exact.over == "Z, W" and exact.labels == ((0.0, 1.0), (1.0, 2.0))
    assert torch.allclose(exact.value, torch.tensor([3.0, 6.0]).double(), atol=1e-5)
    curve = cate(model, ARMS, "Y", given={"W": torch.tensor([-1.0, 1.0])}, seed=0)  # Z | W = w ~ N(w/2, 1/2)
    z = (curve.value - torch.tensor([1 - 0.5 - 2, 1 + 0.5 + 2])) / curve.standard_error
    assert curve.labels == (-1.0, 1.0) and curve.value.shape == (2,) and float(z.abs().max()) < 4.9


def test_cate_given_the_treated_value_is_att():
    given = cate(heterogeneous, ARMS, "Y", given={"X": 1.0}, num_samples=500, seed=3)
    assert torch.equal(given.value, att(heterogeneous, ARMS, "Y", num_samples=500, seed=3).value)


def test_cate_given_a_consequence_meets_enumeration():
    scm = zoo.discrete.front_door()
    estimate = cate(scm, ARMS, "Y", given={"M": 0, "Y": 0}, seed=0)
    assert abs(z_score(estimate, scm.ate({"X": (0, 1)}, "Y", {"M": 0, "Y": 0}))) < 4.9


def test_cate_by_subgroup_and_their_mixture():
    by_site = cate(binary, ARMS, "Y", by="Z", seed=0)
    assert by_site.over == "Z" and by_site.labels == (0.0, 1.0)
    z = (by_site.value - torch.tensor([0.2, 0.5])) / by_site.standard_error
    assert float(z.abs().max()) < 4.9
    by_label = cate(binary, ARMS, "Y", by=lambda world: world["Z"] == 1, seed=0)
    assert by_label.labels == (False, True) and torch.equal(by_label.value, by_site.value)
    share = sample_share(binary, seed=0)
    mixed = (1 - share) * by_site.value[0] + share * by_site.value[1]
    assert float(mixed) == pytest.approx(float(ate(binary, ARMS, "Y", seed=0).value))


def sample_share(model, seed):
    """The share of Z = 1 among the units that an effect under the same seed is about."""
    with seeded(seed):
        return float(Question("cate", inspect_model(model)).units().worlds({})[0]["Z"].mean())


# Evidence and posteriors ------------------------------------------------------------------------------------------


def test_ite_is_exact_where_the_evidence_determines_the_noise():
    scm = zoo.linear.triangle()
    frame = pd.DataFrame({"Z": [0.1, -1.0], "X": [0.5, 2.0], "Y": [1.0, 1.5]})
    estimate = ite(scm, {"X": (frame["X"].mean(), -1.0)}, "Y", evidence=frame, seed=0)
    assert estimate.labels == (0, 1) and estimate.over == "unit"
    assert torch.allclose(estimate.value, torch.full((2,), 1.5 * (-1.0 - 1.25)).double(), atol=1e-5)
    assert float(estimate.standard_error.max()) == 0.0
    assert torch.equal(estimate.interval[0], estimate.value)


def test_ite_of_discrete_sites_is_a_distribution():
    scm = zoo.discrete.triangle()
    evidence = {"Z": [0, 2], "X": [1, 0], "Y": [1, 0]}
    estimate = ite(scm, ARMS, "Y", evidence=evidence, num_samples=20_000, seed=0)
    for i in range(2):
        p = scm.ate({"X": (0, 1)}, "Y", {name: values[i] for name, values in evidence.items()})
        assert abs(float(estimate.value[i]) - p) < 4.9 * math.sqrt(p * (1 - p) / 20_000)  # the effect is 0 or 1
        assert float(estimate.standard_error[i]) == pytest.approx(math.sqrt(p * (1 - p)), rel=0.05)
    assert ite(scm, ARMS, "Y", evidence=evidence, seed=0).draws.shape == (1_000, 2)


def test_partial_evidence_gives_the_posterior_of_the_effect():
    """Z | X = x ~ N(x / 2, 1 / 2): the effect 1 + Z of each unit, and the mean over three units."""
    x = torch.tensor([0.0, 1.0, 2.0])
    method = ImportanceSampling()
    each = ite(heterogeneous, ARMS, "Y", evidence={"X": x}, method=method, num_samples=20_000, seed=0)
    assert torch.allclose(each.value, 1 + x.double() / 2, atol=0.05)
    assert torch.allclose(each.standard_error, torch.full((3,), 0.5**0.5).double(), rtol=0.05)
    width = each.interval[1] - each.interval[0]
    assert torch.allclose(width, torch.full((3,), 2 * 1.96 * 0.5**0.5).double(), rtol=0.05)
    together = ate(heterogeneous, ARMS, "Y", evidence={"X": x}, method=method, num_samples=20_000, seed=0)
    assert float(together.value) == pytest.approx(1.5, abs=0.03)
    assert float(together.standard_error) == pytest.approx((0.5 / 3) ** 0.5, rel=0.05)
    alone = ate(heterogeneous, ARMS, "Y", evidence={"X": 2.0}, method=method, num_samples=20_000, seed=0)
    assert float(alone.value) == pytest.approx(2.0, abs=0.05) and float(alone.draws.mean()) == pytest.approx(
        float(alone.value), abs=0.01
    )


@pytest.mark.parametrize(
    ("method", "draws"),
    [(ImportanceSampling(), 20_000), (NUTS(num_warmup=50, progress=False), 600)],
    ids=["importance", "nuts"],
)
def test_bayesian_ate_is_the_posterior_of_the_parameter(method, draws):
    """Conjugate: tau | data ~ N(sum of treated y / (1 + n), 1 / (1 + n)); the effect of every unit is tau."""
    data = trial_data()
    treated = data["Y"][data["X"] == 1].double()
    mean, sd = float(treated.sum()) / (1 + len(treated)), (1 + len(treated)) ** -0.5
    estimate = ate(trial, ARMS, "Y", evidence=data, method=method, num_samples=draws, seed=0)
    assert float(estimate.value) == pytest.approx(mean, abs=0.25 * sd)
    assert float(estimate.standard_error) == pytest.approx(sd, rel=0.15)
    low, high = (float(end) for end in estimate.interval)
    assert low == pytest.approx(mean - 1.96 * sd, abs=0.5 * sd) and high == pytest.approx(
        mean + 1.96 * sd, abs=0.5 * sd
    )
    assert estimate.draws.shape == (draws,)


def test_observations_written_into_the_model_are_evidence():
    data = trial_data()

    def observed():
        tau = pyro.sample("tau", dist.Normal(0.0, 1.0))
        with pyro.plate("people", len(data["X"])):
            x = pyro.sample("X", dist.Bernoulli(0.5), obs=data["X"])
            pyro.sample("Y", dist.Normal(tau * x, 1.0), obs=data["Y"])

    method = ImportanceSampling()
    given = ate(trial, ARMS, "Y", evidence=data, method=method, num_samples=5_000, seed=0)
    written = ate(observed, ARMS, "Y", method=method, num_samples=5_000, seed=0)
    assert float(written.value) == pytest.approx(float(given.value), abs=0.02)


def test_parameters_without_evidence_come_from_their_prior():
    estimate = ate(trial, ARMS, "Y", seed=0)
    assert estimate.draws.shape == (1_000,)
    assert float(estimate.standard_error) == pytest.approx(1.0, rel=0.15)
    assert float(estimate.interval[0]) == pytest.approx(-1.96, abs=0.4)


def test_bayesian_subgroups_of_observed_units():
    def model():
        low, high = pyro.sample("low", dist.Normal(0.0, 1.0)), pyro.sample("high", dist.Normal(0.0, 1.0))
        with pyro.plate("people", 30):
            z = pyro.sample("Z", dist.Bernoulli(0.5))
            x = pyro.sample("X", dist.Bernoulli(0.5))
            pyro.sample("Y", dist.Normal((low * (1 - z) + high * z) * x, 1.0))

    generator = torch.Generator().manual_seed(1)
    z, x = (torch.arange(30) < 10).float(), (torch.arange(30) % 2).float()
    data = {"Z": z, "X": x, "Y": (2 * z - 1) * x + torch.randn(30, generator=generator)}
    estimate = cate(model, ARMS, "Y", by="Z", evidence=data, method=ImportanceSampling(), num_samples=20_000, seed=0)
    for i in range(2):
        group = data["Y"][(x == 1) & (z == i)].double()
        assert float(estimate.value[i]) == pytest.approx(float(group.sum()) / (1 + len(group)), abs=0.1)
        assert float(estimate.standard_error[i]) == pytest.approx((1 + len(group)) ** -0.5, rel=0.1)
    assert (
        att(model, ARMS, "Y", evidence=data, method=ImportanceSampling(), num_samples=2_000, seed=0).value.shape == ()
    )


# Seeds, and what comes back ----------------------------------------------------------------------------------------


def test_same_seed_same_bits_and_the_global_state_stays():
    state = torch.get_rng_state()
    first, second, other = (ate(binary, ARMS, "Y", num_samples=200, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.draws, second.draws) and not torch.equal(first.draws, other.draws)
    assert float(first.draws.mean()) == pytest.approx(float(first.value))


def test_estimates_read_well():
    estimate = ate(binary, ARMS, "Y", seed=0)
    assert repr(estimate).startswith("ate = 0.3") and "(95% interval " in repr(estimate)
    with pytest.raises(FrozenInstanceError):
        estimate.value = torch.zeros(())
    row = estimate.to_dataframe()
    assert list(row.columns) == ["value", "standard_error", "lower", "upper", "doubt"] and len(row) == 1
    assert row["doubt"].item() == "simulation"
    vector = cate(binary, ARMS, "Y", by="Z", seed=0)
    table = vector.to_dataframe()
    assert list(table["Z"]) == [0.0, 1.0] and np.allclose(table["value"], vector.value)
    assert repr(vector).splitlines()[0] == "cate by Z:" and repr(vector).splitlines()[2].startswith("  Z = 1: 0.")


def test_reprs_of_extremes():
    def shown(value, error, **more):
        x = torch.tensor(value, dtype=torch.float64)
        return repr(Estimate("e", x, torch.tensor(error, dtype=torch.float64), (x, x), **more))

    assert shown(2.0, 0.0) == "e = 2 ± 0 (95% interval 2 to 2)"
    assert shown(0.5, 1e-9) == "e = 0.5 ± 1e-09 (95% interval 0.5 to 0.5)"
    assert shown(12_345.6, 420.0, level=0.9) == "e = 12346 ± 420 (90% interval 12346 to 12346)"
    many = torch.zeros(30)
    lines = repr(Estimate("e", many, many, (many, many), over="unit", labels=tuple(range(30)))).splitlines()
    assert len(lines) == 12 and lines[-1] == "  ... 20 more"
