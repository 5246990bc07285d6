"""Hidden sites with finitely many states are summed out: posteriors against enumeration by hand and by SciPy.

Statistical checks use fixed seeds and 4 standard errors, a false alarm of 6e-5 each.
"""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy import stats

from causal_pyro_models import (
    NUTS,
    ImportanceSampling,
    abduct,
    counterfactual,
    fit_guide,
    probability,
    sample,
    worlds,
)
from causal_pyro_models.errors import AbductionError, EvidenceError, QueryError, UnknownVariableError
from causal_pyro_models.inference.states import drawn
from causal_pyro_models.scm import zoo
from tests.inference.exact import discrete_misses

DATA = torch.tensor([0.1, 0.3, -0.2, 3.2, 2.9, 1.6, 3.4, 0.2])


def mixture():
    """Which of two groups a unit is in, and a level that all share."""
    a = pyro.sample("a", dist.Normal(0.0, 1.0))
    with pyro.plate("people", len(DATA)):
        k = pyro.sample("k", dist.Bernoulli(0.5))
        pyro.sample("y", dist.Normal(a + 3 * k, 0.5))


def on_a_grid():
    """Mean and standard deviation of a given DATA, and the probability of k = 1 of each unit."""
    a, y = np.linspace(-4, 4, 8_001)[:, None], DATA.double().numpy()
    parts = np.stack([stats.norm.logpdf(y, a + 3 * k, 0.5) for k in (0, 1)])
    level = np.logaddexp(*parts).sum(1) + stats.norm.logpdf(a[:, 0])
    weight = np.exp(level - level.max())
    weight /= weight.sum()
    mean = weight @ a[:, 0]
    share = 1 / (1 + np.exp(parts[0] - parts[1]))
    return mean, math.sqrt(weight @ (a[:, 0] - mean) ** 2), weight @ share


def by_nuts():
    return abduct(mixture, {"y": DATA}, NUTS(num_warmup=100, num_chains=2, progress=False), 600, seed=0)


def by_importance():
    return abduct(mixture, {"y": DATA}, ImportanceSampling(), 20_000, seed=0)


def by_guide():
    guide = fit_guide(mixture, {"y": DATA}, steps=300, learning_rate=0.03, seed=0, progress=False)
    return abduct(mixture, {"y": DATA}, guide, 4_000, seed=0)


@pytest.mark.filterwarnings("ignore::causal_pyro_models.errors.CausalWarning")
@pytest.mark.parametrize("method", [by_nuts, by_importance, by_guide])
def test_groups_are_summed_out_beside_a_parameter(method):
    """As with noise of the groups that is drawn, no method comes to a result in reasonable time."""
    noise = method()
    mean, spread, share = on_a_grid()
    error = spread / float(noise.ess.min()) ** 0.5
    assert float(noise.ess.min()) > 90
    assert abs(float(noise.parameters["a"].mean()) - mean) < 4 * error
    assert abs(float(noise.parameters["a"].std()) - spread) < 4 * error
    k = worlds(mixture, noise, {"factual": {}})["factual"]["k"].double().mean(0)
    assert bool(((k - torch.tensor(share)).abs() < 4 * 0.5 / float(noise.ess.min()) ** 0.5).all())
    moved = counterfactual(mixture, noise, {"k": 0.0})
    kept = counterfactual(mixture, noise, {})
    torch.testing.assert_close(kept["y"], DATA.expand_as(kept["y"]).to(kept["y"]))
    torch.testing.assert_close(moved["y"], kept["y"] - 3 * kept["k"])


@settings(max_examples=25)
@given(st.integers(0, 10**4))
def test_random_discrete_models_are_exact(seed):
    """No weights: draws of the exact posterior of all noise, in a world of their own."""
    scm = zoo.random_discrete(4, seed)
    order = scm.graph.topological_order
    values = sample(scm, 1, seed=seed)
    evidence = {order[-1]: values[order[-1]].numpy(), order[1]: values[order[1]].numpy()}
    do = {order[1]: 0}
    world = counterfactual(scm, evidence, do, num_samples=4_000, seed=seed)
    assert world.log_weights is None
    assert not discrete_misses(world, scm.counterfactual(evidence, do))


def test_a_rare_cause_that_no_draw_of_the_prior_shows():
    """P(B = 1 | Y = 12) is 1 - 9999 exp(-40)."""

    def model():
        b = pyro.sample("B", dist.Bernoulli(1e-4))
        pyro.sample("Y", dist.Normal(20.0 * b, 1.0))

    noise = abduct(model, {"Y": [12.0, 0.0]}, ImportanceSampling(), 1_000, seed=0)
    assert noise.log_weights is None and noise.ess.tolist() == [1_000.0, 1_000.0]
    assert counterfactual(model, noise, {})["B"].mean(0).tolist() == [1.0, 0.0]
    found = probability(model, {"B": 0}, {"Y": [12.0, 0.0]})
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found[0], 9_999 * math.exp(-40), rtol=1e-4)
    assert float(probability(model, {"B": 1}, {"Y": 12.0})) == pytest.approx(1 - 4.2479e-14, abs=2e-16)
    torch.testing.assert_close(counterfactual(model, noise, {"B": 0.0})["Y"].mean(0), torch.tensor([-8.0, 0.0]))


@settings(max_examples=50)
@given(st.integers(0, 10**4))
def test_probabilities_are_those_of_the_joint_table(seed):
    scm = zoo.random_discrete(4, seed)
    order = scm.graph.topological_order
    values = sample(scm, 3, seed=seed)
    evidence = {order[2]: values[order[2]].numpy()}
    event = {order[0]: 1, order[3]: 0}
    for unit in range(3):
        law = scm.counterfactual({order[2]: values[order[2]][unit].numpy()}, {})
        names = list(law.names)
        hit = (law.states[:, names.index(order[0])] == 1) & (law.states[:, names.index(order[3])] == 0)
        found = probability(scm, event, evidence)[unit]
        assert float(found) == pytest.approx(float(law.probabilities[hit].sum()), abs=1e-6)


def test_probabilities_by_draws():
    """X ~ N(0, 1), Y ~ N(X, 1): P(X > 0 | Y = 1) = Phi(1 / sqrt 2); 4 standard errors of 20,000 draws."""

    def model():
        x = pyro.sample("X", dist.Normal(0.0, 1.0))
        pyro.sample("Y", dist.Normal(x, 1.0))

    for method in (None, ImportanceSampling()):
        found = probability(model, lambda world: world["X"] > 0, {"Y": [1.0, -1.0]}, method, 20_000, seed=0)
        truth = torch.tensor(stats.norm.cdf([0.5**0.5, -(0.5**0.5)]))
        assert bool(((found - truth).abs() < 0.02).all())
    assert probability(model, {"Y": 1.0}, {"Y": [1.0, 2.0]}).tolist() == [1.0, 0.0]
    assert probability(model, {"X": 3.0}).tolist() == [0.0]
    with pytest.raises(QueryError, match="the event is empty"):
        probability(model, {})
    with pytest.raises(QueryError, match="dict from site to value or a function"):
        probability(model, 3)
    with pytest.raises(QueryError, match=r"gave float, expected true or false for each of \(units\)"):
        probability(model, lambda world: 3.0, {"X": 0.0, "Y": 1.0})
    with pytest.raises(UnknownVariableError, match="'Q'"):
        probability(model, {"Q": 1})


def test_evidence_of_probability_zero_is_refused():
    def model():
        b = pyro.sample("B", dist.Bernoulli(0.5))
        pyro.sample("Y", dist.Bernoulli(0.0 * b))

    with pytest.raises(EvidenceError, match="probability zero"):
        probability(model, {"B": 1}, {"Y": 1})
    with pytest.raises(EvidenceError):
        abduct(model, {"Y": [1.0]}, num_samples=10)


def test_states_of_several_kinds_are_summed_together():
    """A one-hot, a categorical and a Boolean cause of a normal value: shares by hand."""

    def model():
        c = pyro.sample("C", dist.OneHotCategorical(torch.tensor([0.2, 0.5, 0.3])))
        n = pyro.sample("N", dist.Categorical(torch.tensor([0.36, 0.48, 0.16])))
        b = pyro.sample("B", dist.Bernoulli(0.3 + 0.1 * n))
        pyro.sample("Y", dist.Normal((c * torch.tensor([0.0, 1.0, 2.0])).sum(-1) + n - b, 0.7))

    def by_hand(y):
        shares = torch.zeros(3, 3, 2, dtype=torch.double)
        for c, p in enumerate((0.2, 0.5, 0.3)):
            for n in range(3):
                for b in range(2):
                    chance = 0.3 + 0.1 * n
                    weight = p * stats.binom.pmf(n, 2, 0.4) * (chance if b else 1 - chance)
                    shares[c, n, b] = weight * stats.norm.pdf(y, c + n - b, 0.7)
        return shares / shares.sum()

    seen = {"Y": [1.3, 3.0]}
    for n in range(3):
        truth = torch.stack([by_hand(y)[:, n].sum() for y in seen["Y"]])
        torch.testing.assert_close(probability(model, {"N": n}, seen), truth, rtol=1e-5, atol=1e-6)
    truth = torch.stack([by_hand(y)[1, :, 1].sum() for y in seen["Y"]])
    torch.testing.assert_close(probability(model, {"C": [0.0, 1.0, 0.0], "B": 1}, seen), truth, rtol=1e-5, atol=1e-6)
    world = counterfactual(model, seen, {}, num_samples=10_000, seed=0)
    truth = torch.stack([by_hand(y).sum((1, 2)) for y in seen["Y"]])
    assert bool(((world["C"].double().mean(0) - truth).abs() < 4 * 0.5 / 100).all())


def test_a_draw_of_a_state_comes_up_by_its_probability():
    log_joint = torch.tensor([-1.0, -math.inf, 0.5, -1_000.0]).double()[:, None].expand(4, 100_000)
    shares = drawn(log_joint).bincount(minlength=4).double() / 100_000
    truth = torch.tensor([-1.0, -math.inf, 0.5, -1_000.0]).double().softmax(0)
    assert bool(((shares - truth).abs() <= 4 * 0.5 / 100_000**0.5).all())
    assert float(shares[1]) == float(shares[3]) == 0.0


def test_a_guide_is_over_what_cannot_be_summed():
    def model():
        b = pyro.sample("B", dist.Bernoulli(0.5))
        pyro.sample("Y", dist.Normal(b, 1.0))

    with pytest.raises(AbductionError, match="abduction is exact, without a guide"):
        fit_guide(model, {"Y": [1.0]}, progress=False)


def test_units_whose_states_bear_on_each_other_are_not_summed_apart():
    """What a plate says of its units is checked: where a unit feels the states of others, noise is drawn as before."""

    def model():
        with pyro.plate("people", 2):
            k = pyro.sample("k", dist.Bernoulli(0.5))
            pyro.sample("y", dist.Normal(k.sum(-1, keepdim=True), 0.5))

    with pytest.raises(AbductionError, match="bears on"):
        abduct(model, {"y": torch.tensor([2.0, 2.0])})


def test_what_units_share_is_part_of_the_density():
    """A reading M of the level that all share counts as much as the units' own values: against a grid of the level."""
    y, m = torch.tensor([0.2, 3.1, 2.7, -0.4]), 1.5

    def model():
        level = pyro.sample("level", dist.Normal(0.0, 1.0))
        pyro.sample("M", dist.Normal(level, 0.3))
        with pyro.plate("units", 4):
            k = pyro.sample("k", dist.Bernoulli(0.5))
            pyro.sample("Y", dist.Normal(level + 3.0 * k, 0.5))

    grid = np.linspace(-6, 6, 20_001)
    each = [stats.norm.logpdf(float(v), grid[:, None] + [0.0, 3.0], 0.5) for v in y]
    density = stats.norm.logpdf(grid) + stats.norm.logpdf(m, grid, 0.3)
    density = density + sum(np.logaddexp(*part.T) - np.log(2) for part in each)
    share = np.exp(density - density.max())
    mean = float((share * grid).sum() / share.sum())
    sd = float(np.sqrt((share * (grid - mean) ** 2).sum() / share.sum()))
    noise = abduct(model, {"Y": y, "M": m}, ImportanceSampling(), num_samples=20_000, seed=0)
    weights = noise.shares().reshape(-1)
    found = float((weights * noise.parameters["level"].reshape(-1)).sum())
    assert abs(found - mean) < 4 * sd / float(noise.ess.min()) ** 0.5


def test_thousands_of_joint_states_are_summed():
    """Twelve causes, 4,096 joint states: P(all absent | Y = 0) of a noisy-or is the prior's."""

    def model():
        parts = [pyro.sample(f"B{i}", dist.Bernoulli(0.1)) for i in range(12)]
        total = sum(parts[1:], parts[0])
        pyro.sample("Y", dist.Bernoulli(1 - 0.5**total))

    event = {f"B{i}": 0 for i in range(12)}
    none = 0.9**12
    wanted = none / (0.9 + 0.1 * 0.5) ** 12
    assert float(probability(model, event, {"Y": 0.0})) == pytest.approx(wanted, rel=1e-5)
