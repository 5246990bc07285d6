"""Worlds and noise of a model with refits: a mixture, whose draws are those of its components."""

import numpy as np
import pytest
import torch
from scipy.stats import t

from causal_pyro_models import CausalFlow, CausalGraph, CausalVAE, abduct, counterfactual, fit, impute, worlds
from causal_pyro_models.data import Binary, Continuous
from causal_pyro_models.errors import AbductionError, QueryError
from causal_pyro_models.inference.draws import Draws, mixed

GRAPH = CausalGraph.from_edges([("X", "M"), ("X", "Y"), ("M", "Y")])
UNITS = {"X": [0.0, 1.0], "M": [0, 1], "Y": [0.5, 0.5]}
DO = {"treated": {"X": 1.0}, "control": {"X": 0.0}}


@pytest.fixture(scope="module")
def model():
    draw = np.random.default_rng(0)
    x = draw.normal(size=200)
    m = (draw.random(200) < 1 / (1 + np.exp(-x))) * 1
    model = CausalFlow(GRAPH, {"X": Continuous(), "M": Binary(), "Y": Continuous()})
    fit(model, {"X": x, "M": m, "Y": x + m + draw.normal(size=200)}, steps=10, refits=3, seed=0, progress=False)
    return model


def test_draws_are_those_of_the_refits(model):
    found = worlds(model, UNITS, DO, num_samples=10, seed=0)
    assert found["treated"]["Y"].shape == (10, 2)
    assert [part.num_draws for part in found["treated"].parts] == [10, 4, 3, 3]
    for world in found.values():
        for name in GRAPH.variables:
            assert torch.equal(world[name], torch.cat([part[name] for part in world.parts[1:]]))


def test_laws_hold_in_every_draw(model):
    """Effectiveness, consistency and the same noise in all worlds hold component by component, so for all draws."""
    found = worlds(model, UNITS, {**DO, "as it was": {}, "again": {"X": 1.0}}, num_samples=30, seed=0)
    assert bool((found["treated"]["X"] == 1.0).all())
    assert torch.equal(found["treated"]["Y"], found["again"]["Y"])
    for name, value in UNITS.items():
        torch.testing.assert_close(found["as it was"][name], torch.tensor(value).expand(30, 2), check_dtype=False)


def test_noise_is_kept_for_later_worlds(model):
    noise = abduct(model, UNITS, num_samples=9, seed=0)
    one, other = (worlds(model, noise, DO)["treated"]["Y"] for _ in range(2))
    assert torch.equal(one, other) and torch.equal(one, worlds(model, UNITS, DO, num_samples=9, seed=0)["treated"]["Y"])
    with pytest.raises(AbductionError, match="3 refits"):
        worlds(model.refits[0], noise, DO)


def test_without_a_number_of_draws_there_is_one_of_each_refit(model):
    assert counterfactual(model, UNITS, {"X": 1.0}, seed=0)["Y"].shape == (3, 2)
    with pytest.raises(QueryError, match="at least 3"):
        counterfactual(model, UNITS, {"X": 1.0}, num_samples=2)


def test_mean_and_interval_are_about_the_fit_to_all_data():
    """Refits that answer 0.5, 1.5, 2.5, 3.5 and a fit that answers 2.5: Student's t, against SciPy."""
    whole, *refits = (Draws({"Y": torch.tensor([value])}, {"Y": 0}) for value in (2.5, 0.5, 1.5, 2.5, 3.5))
    found = Draws(**mixed(whole, refits))
    assert found["Y"].flatten().tolist() == [0.5, 1.5, 2.5, 3.5] and found.mean("Y").item() == 2.5
    sd = np.std([0, 1, 2, 3], ddof=1)
    np.testing.assert_allclose(np.ravel(found.interval("Y")), t.interval(0.95, 3, loc=2.5, scale=sd), rtol=1e-6)
    np.testing.assert_allclose(found.std("Y").item(), sd, rtol=1e-6)


def test_what_one_fit_leaves_open_is_added():
    """Draws N(k, 1) in refit k = -1, 0, 1: standard deviation sqrt(1 + 1), and the interval of both."""
    torch.manual_seed(0)
    parts = [Draws({"Y": k + torch.randn(20_000, 1)}, {"Y": 0}, 20_000) for k in (0.0, -1.0, 0.0, 1.0)]
    found = Draws(**mixed(parts[0], parts[1:]))
    assert found.std("Y").item() == pytest.approx(2**0.5, abs=0.03)
    half = np.hypot(t.ppf(0.975, 2), 1.96)
    assert [float(end) for end in found.interval("Y")] == pytest.approx([-half, half], abs=0.2)


def test_families_with_latents_have_their_share_of_draws():
    draw = np.random.default_rng(0)
    x = draw.normal(size=100)
    model = CausalVAE(CausalGraph.from_edges([("X", "Y")]), {"X": 1, "Y": 1})
    fit(model, {"X": x, "Y": x + draw.normal(size=100)}, steps=5, refits=2, seed=0, progress=False)
    found = counterfactual(model, {"X": [0.5], "Y": [1.0]}, {"X": 0.0}, seed=0)
    assert found["Y"].shape == (1_000, 1) and [part.num_draws for part in found.parts] == [1_000, 500, 500]


def test_missing_values_are_imputed_by_every_refit():
    """An observed value is in all draws; a missing one is drawn by each refit, its mean by the fit to all data."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=300)
    y = np.where(draw.random(300) < 0.3, np.nan, 2 * x + 0.1 * draw.normal(size=300))
    model = CausalFlow(CausalGraph.from_edges([("X", "Y")]), {"X": 1, "Y": 1})
    fit(model, {"X": x, "Y": y}, steps=20, refits=3, seed=0, progress=False)
    drawn = impute(model, {"X": [0.5, 1.0], "Y": [np.nan, 2.0]}, num_samples=60, seed=0)
    assert drawn["Y"].shape == (60, 2) and len(drawn.parts) == 4
    assert bool((drawn["Y"][:, 1] == 2.0).all())
    low, high = (float(end[0]) for end in drawn.interval("Y"))
    assert low < 1.0 < high and abs(float(drawn.mean("Y")[0]) - 1.0) < 0.2
    assert list(drawn.table(seed=0)["Y"])[1] == 2.0


def part(values, log_weights=None, ess=None, pareto_k=None) -> Draws:
    return Draws({"Y": values}, {"Y": 0}, len(values), log_weights, ess, pareto_k)


def test_weights_and_shares_are_those_of_the_components():
    """Refits of 1 and 3 draws; the second has weights for each of two units, the first has none."""
    one = part(torch.zeros(1, 2), None, torch.ones(2), None)
    weights = torch.tensor([[0.5, 0.2], [0.25, 0.2], [0.25, 0.6]]).log()
    other = part(torch.ones(3, 2), weights, torch.tensor([2.0, 1.5]), torch.tensor([0.1, 0.9]))
    found = Draws(**mixed(one, [one, other]))
    torch.testing.assert_close(found.log_weights.exp(), torch.cat([torch.full((1, 2), 0.25), 0.75 * weights.exp()]))
    assert found.ess.tolist() == [3.0, 2.5]
    swapped = Draws(**mixed(one, [other, one]))
    torch.testing.assert_close(swapped.pareto_k, torch.tensor([0.1, 0.9]))


def test_the_noise_of_few_draws_is_no_doubt_of_the_data():
    """Refits of one law, ten draws each: of 400 units the mean spread between them is under a tenth of that of their
    means, which is 10 ** -0.5; its standard error is .008."""
    torch.manual_seed(0)
    parts = [part(torch.randn(10, 400)) for _ in range(41)]
    between, _ = Draws(**mixed(parts[0], parts[1:]))._between("Y")
    assert float(between.square().mean()) ** 0.5 < 0.15 < 10**-0.5


def test_an_interval_of_a_discrete_site_is_of_its_values(model):
    """Also where its values are floating point."""
    found = counterfactual(model, UNITS, {"X": 1.0}, num_samples=60, seed=0)
    for end in found.interval("M"):
        assert set(end.tolist()) <= {0.0, 1.0}
