"""A cell of the evidence that is NaN is missing for its unit alone: the answer is that of the unit by itself."""

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings, strategies as st

from causal_pyro_models import (
    CausalFlow,
    CausalGraph,
    ImportanceSampling,
    abduct,
    ate,
    counterfactual,
    fit,
    fit_guide,
    ite,
    sample,
    worlds,
)
from causal_pyro_models.errors import AbductionError, CausalWarning, EvidenceError
from causal_pyro_models.scm import zoo

NAN = float("nan")


def chain():
    x = pyro.sample("X", dist.Normal(0.0, 1.0))
    m = pyro.sample("M", dist.Normal(0.8 * x, 1.0))
    pyro.sample("Y", dist.Normal(m + 0.5 * x, 1.0))


@settings(max_examples=15)
@given(st.integers(0, 10**4))
def test_each_unit_has_the_posterior_that_it_has_alone(seed):
    """Random linear models, cells left out at random: mean and variance in closed form, unit by unit, within 5 standard
    errors of 10,000 equal draws (one in a million for each of about 1,000 figures)."""
    rng = np.random.default_rng(seed)
    scm = zoo.random_linear_gaussian(4, seed)
    values = sample(scm, 6, seed=seed)
    evidence = {n: np.where(rng.random(6) < 0.4, NAN, values[n].double().numpy()) for n in scm.graph.variables}
    first, second, *_ = scm.graph.topological_order
    do = {first: 1.0, second: lambda natural: natural - 0.5}
    world = counterfactual(scm, evidence, do, num_samples=10_000, seed=seed)
    for unit in range(6):
        seen = {name: float(value[unit]) for name, value in evidence.items() if np.isfinite(value[unit])}
        law = scm.counterfactual(seen, do)
        for name in law.names:
            x, variance = world[name][:, unit].double(), float(np.ravel(law.variance(name))[0])
            error = float(x.mean()) - float(np.ravel(law.expectation(name))[0])
            assert abs(error) <= 5 * (variance / 10_000) ** 0.5 + 1e-3, (name, unit)
            assert abs(float(x.var()) - variance) <= 5 * variance * (2 / 10_000) ** 0.5 + 1e-3, (name, unit)


def test_weights_of_some_units_stand_beside_exact_draws_of_others():
    def model():
        z = pyro.sample("Z", dist.Gamma(2.0, 1.0))
        pyro.sample("X", dist.Normal(z, 1.0))

    evidence = {"Z": [1.0, NAN, 3.0, NAN], "X": [2.0, 2.0, NAN, -1.0]}
    noise = abduct(model, evidence, ImportanceSampling(), 4_000, seed=0)
    assert noise.log_weights.shape == (4_000, 4) and noise.ess.shape == noise.pareto_k.shape == (4,)
    torch.testing.assert_close(noise.ess[[0, 2]], torch.full((2,), 4_000.0).to(noise.ess))
    assert float(noise.ess[[1, 3]].max()) < 3_999
    alone = abduct(model, {"X": [2.0, -1.0]}, ImportanceSampling(), 4_000, seed=1)
    world, by_itself = counterfactual(model, noise, {}), counterfactual(model, alone, {})
    error = 4 * by_itself.std("Z") * (2 / noise.ess[[1, 3]]).sqrt()
    assert bool(((world.mean("Z")[[1, 3]] - by_itself.mean("Z")).abs() < error).all())
    torch.testing.assert_close(world["Z"][:, [0, 2]], torch.tensor([1.0, 3.0]).expand(4_000, 2), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(world["X"][:, [0, 1, 3]], torch.tensor([2.0, 2.0, -1.0]).expand(4_000, 3))


def test_what_nobody_needs_leaves_abduction_a_single_draw():
    """Y is missing and bears on nothing: all other noise is exact, and Y comes from its law."""
    evidence = pd.DataFrame({"X": [1.0, 0.0], "M": [0.5, 1.0], "Y": [NAN, 0.3]})
    world = counterfactual(chain, evidence, {"X": 0.0}, seed=0)
    assert world["M"].shape == (2,) and world.num_draws is None
    torch.testing.assert_close(world["M"], torch.tensor([-0.3, 1.0]))
    torch.testing.assert_close(world["Y"][1], torch.tensor(0.3))
    each = ite(chain, {"X": (0.0, 1.0)}, "Y", evidence=evidence, seed=0)
    torch.testing.assert_close(each.value, torch.full((2,), 1.3).double(), atol=1e-4, rtol=0.0)
    whole = ate(chain, {"X": (0.0, 1.0)}, "Y", evidence=evidence, seed=0)
    assert float(whole.value) == pytest.approx(1.3, abs=1e-4)


def test_a_column_that_all_units_miss_is_as_not_given():
    full = {"X": [1.0, 0.0, 2.0], "M": [0.5, 1.0, 0.0]}
    one, two = (counterfactual(chain, e, {"X": 0.0}, seed=0) for e in (full, {**full, "Y": [NAN, NAN, NAN]}))
    assert all(torch.equal(one[name], two[name]) for name in one)
    nothing = abduct(chain, {"Y": [NAN] * 5}, num_samples=3, seed=0)
    assert nothing.units == 5 and nothing["U_X"].shape == (3, 5)


def test_discrete_variables_and_vectors_may_be_missing():
    def model():
        k = pyro.sample("K", dist.Categorical(torch.tensor([0.2, 0.3, 0.5])))
        v = pyro.sample("V", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyro.sample("Y", dist.Normal(k + v.sum(-1), 1.0))

    evidence = {"K": [0.0, NAN, 2.0], "V": [[1.0, 1.0], [0.5, 0.0], [NAN, NAN]], "Y": [2.0, 1.0, 2.5]}
    result = worlds(model, evidence, {"factual": {}, "do": {"K": 1}}, num_samples=4_000, seed=0)
    kept = result["factual"]
    assert kept["K"].dtype == torch.int64
    assert bool((kept["K"][:, 0] == 0).all()) and bool((kept["K"][:, 2] == 2).all())
    share = torch.tensor([0.2, 0.3, 0.5]).log() + dist.Normal(torch.arange(3) + 0.5, 1.0).log_prob(torch.tensor(1.0))
    counts = kept["K"][:, 1].bincount(minlength=3) / 4_000
    assert bool(((counts - share.softmax(0)).abs() < 4 * 0.5 / 4_000**0.5).all())
    torch.testing.assert_close(kept["V"][:, 2].mean(0), torch.full((2,), 0.5 / 3), atol=0.06, rtol=0.0)
    torch.testing.assert_close(kept["Y"], torch.tensor(evidence["Y"]).expand(4_000, 3), atol=1e-4, rtol=0.0)
    broken = {**evidence, "V": [[1.0, NAN], [0.5, 0.0], [1.0, 1.0]]}
    with pytest.raises(EvidenceError, match="'V' is NaN in a part of the value of a unit"):
        abduct(model, broken, num_samples=10)


def test_what_cannot_be_missing_says_so():
    with pytest.raises(AbductionError, match=r"evidence on \['Y'\] bears on \['Z'\]"):

        def gamma():
            pyro.sample("Y", dist.Normal(pyro.sample("Z", dist.Gamma(2.0, 1.0)), 1.0))

        abduct(gamma, {"Z": [1.0, NAN], "Y": [1.0, 1.0]})
    with pytest.raises(EvidenceError, match=r"'X' is NaN for 1 of 2 units, and here all units must have it"):
        fit_guide(chain, {"X": [1.0, NAN], "Y": [0.0, 0.0]}, progress=False)

    def plated():
        with pyro.plate("people", 2):
            chain()

    with pytest.raises(EvidenceError, match="'X' holds 1 NaN"):
        abduct(plated, {"X": [1.0, NAN]})


@pytest.mark.filterwarnings(f"ignore::{CausalWarning.__module__}.CausalWarning")
def test_rows_with_gaps_of_a_trained_model():
    """X -> M -> Y with X -> Y, M missing for some: Y under X = 0 is Y - X, whatever M was."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=2_000)
    m = x + rng.normal(size=2_000)
    y = 2 * m - x + rng.normal(size=2_000)
    data = pd.DataFrame({"X": x, "M": np.where(rng.random(2_000) < 0.4, NAN, m), "Y": y})
    model = CausalFlow(CausalGraph(["X", "M", "Y"], [("X", "M"), ("M", "Y"), ("X", "Y")]), dict.fromkeys("XMY", 1))
    fit(model, data, steps=200, seed=0, progress=False)
    rows = data.iloc[:12]
    world = counterfactual(model, rows, {"X": 0.0}, num_samples=500, seed=0)
    error = world.mean("Y").detach().double().numpy() - (y - x)[:12]
    assert np.abs(error).mean() < 0.2
    torch.testing.assert_close(world["X"], torch.zeros(500, 12))
