"""Summaries of draws respect their weights, and tables hold what was drawn, row by row."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings, strategies as st

from causal_pyro_models import Draws, ImportanceSampling, abduct, counterfactual, sample, worlds
from causal_pyro_models.errors import QueryError

VALUES = torch.tensor([[1.0, 10.0], [2.0, 40.0], [3.0, 30.0], [4.0, 20.0]])
WEIGHTS = torch.tensor([[0.1, 0.25], [0.2, 0.05], [0.3, 0.3], [0.4, 0.4]])


def weighted(values=VALUES, weights=WEIGHTS):
    return Draws({"X": values}, {"X": 0}, len(values), weights.log())


def model():
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    x = pyro.sample("X", dist.Normal(z, 1.0))
    pyro.sample("V", dist.Normal(torch.stack([x, z, x], -1), 1.0).to_event(1))


EVIDENCE = {"X": [1.0, -2.0]}


# Summaries -------------------------------------------------------------------------------------------------------


def test_moments_by_hand():
    draws = weighted()
    torch.testing.assert_close(draws.mean("X"), torch.tensor([3.0, 21.5]))
    second = torch.tensor([0.1 + 0.8 + 2.7 + 6.4, 25.0 + 80.0 + 270.0 + 160.0])
    torch.testing.assert_close(draws.std("X"), (second - torch.tensor([3.0, 21.5]).square()).sqrt())


@pytest.mark.parametrize(
    ("q", "expected"),
    [(0.0, [1, 10]), (0.1, [1, 10]), (0.2, [2, 10]), (0.5, [3, 20]), (0.6, [3, 20]), (0.7, [4, 30]), (1.0, [4, 40])],
)
def test_quantiles_by_hand(q, expected):
    assert weighted().quantile("X", q).tolist() == expected


def test_an_interval_is_two_quantiles():
    low, high = weighted().interval("X", 0.5)
    assert (low.tolist(), high.tolist()) == ([2.0, 10.0], [4.0, 30.0])


@settings(max_examples=50)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=30), st.integers(0, 1_000))
def test_a_weight_of_k_is_k_equal_draws(counts, seed):
    """Mean, standard deviation and every quantile agree with those of the draws repeated."""
    counts = torch.tensor(counts)
    values = torch.randn(len(counts), generator=torch.Generator().manual_seed(seed))
    draws = weighted(values[:, None], (counts / counts.sum())[:, None])
    repeated = values.repeat_interleave(counts)
    torch.testing.assert_close(draws.mean("X")[0], repeated.mean())
    torch.testing.assert_close(draws.std("X")[0], repeated.std(correction=0))
    for q in (0.0, 0.025, 0.31, 0.5, 0.9, 1.0):
        exact = np.quantile(repeated.numpy(), q, method="inverted_cdf")
        on_a_step = abs(q * len(repeated) - round(q * len(repeated))) < 1e-6
        assert on_a_step or float(draws.quantile("X", q)[0]) == exact


@pytest.mark.parametrize("off", [None, 0.0, -5e-6])
def test_quantiles_of_many_draws_do_not_drift(off):
    """Weights in float32 sum to one but for rounding."""
    n = 50_000
    weights = None if off is None else torch.full((n,), off - math.log(n))
    draws = Draws({"X": torch.arange(n).float()[:, None]}, {"X": 0}, n, weights)
    for q in (0.00002, 0.25, 0.5, 0.999, 1.0):
        assert float(draws.quantile("X", q)) == round(q * n) - 1


def test_weights_of_a_draw_hold_for_all_its_units_and_parts():
    values = torch.stack([VALUES, -VALUES], -1)
    joint = Draws({"V": values, "N": (10 * VALUES).long()}, {"V": 1, "N": 0}, 4, WEIGHTS[:, 0].log())
    torch.testing.assert_close(joint.mean("V")[:, 0], torch.tensor([3.0, 26.0]))
    torch.testing.assert_close(joint.mean("V")[:, 1], -joint.mean("V")[:, 0])
    torch.testing.assert_close(joint.mean("N"), torch.tensor([30.0, 260.0]))
    torch.testing.assert_close(joint.std("V")[0, 0], torch.tensor(1.0))
    assert joint.quantile("V", 0.5)[:, 1].tolist() == [-3.0, -30.0]


def test_summaries_of_a_result_use_its_weights():
    world = counterfactual(model, EVIDENCE, {"X": 0.0}, ImportanceSampling(), 3_000, seed=0)
    weight = world.log_weights.exp()
    torch.testing.assert_close(world.mean("Z"), (weight * world.proposed["Z"]).sum(0))
    assert not torch.allclose(world.mean("Z"), world.proposed["Z"].mean(0), atol=0.05)
    equal = world.proposed
    torch.testing.assert_close(equal.mean("Z"), equal["Z"].mean(0))
    torch.testing.assert_close(equal.std("Z"), equal["Z"].std(0, correction=0))


def test_what_is_shown_names_sites_shapes_and_quality():
    noise = abduct(model, EVIDENCE, ImportanceSampling(), 1_000, seed=0)
    assert "U_V: (1000, 2, 3) torch.float32" in repr(noise)
    assert f"effective sample size: {float(noise.ess.min()):.0f} (lowest of 2)" in repr(noise)
    assert f"Pareto k-hat: {float(noise.pareto_k.max()):.2f} (highest of 2)" in repr(noise)
    shown = repr(worlds(model, noise, {"one": {}, "two": {"X": 0.0}}))
    assert shown.count("X (1000, 2)") == 2
    assert "effective" not in repr(sample(model, 3, seed=0))


# Tables ----------------------------------------------------------------------------------------------------------


def test_the_table_of_samples():
    draws = sample(model, 4, seed=0)
    frame = draws.to_dataframe()
    assert list(frame.columns) == ["unit", "Z", "X", "V[0]", "V[1]", "V[2]"]
    assert isinstance(frame.index, pd.RangeIndex)
    assert frame["unit"].tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(frame["X"], draws["X"])
    np.testing.assert_array_equal(frame[["V[0]", "V[1]", "V[2]"]], draws["V"])


def test_the_table_of_noise():
    noise = abduct(model, EVIDENCE, ImportanceSampling(), 500, seed=0)
    frame = noise.to_dataframe()
    assert list(frame.columns) == ["draw", "unit", "U_Z", "U_X", "U_V[0]", "U_V[1]", "U_V[2]"]
    assert len(frame) == 1_000
    for draw, unit in ((0, 0), (0, 1), (123, 1), (499, 0)):
        row = frame[(frame["draw"] == draw) & (frame["unit"] == unit)].iloc[0]
        assert row["U_Z"] == float(noise["U_Z"][draw, unit])
        assert row["U_V[2]"] == float(noise["U_V"][draw, unit, 2])
    np.testing.assert_allclose(frame.groupby("unit")["U_Z"].mean(), noise.mean("U_Z"), atol=0.02)


def test_the_table_of_worlds():
    noise = abduct(model, {"Z": 0.5, **EVIDENCE}, num_samples=3, seed=0)
    result = worlds(model, noise, {"low": {"X": 0.0}, "high": {"X": lambda x: x + 10.0}})
    frame = result.to_dataframe()
    assert list(frame.columns) == ["world", "draw", "unit", "Z", "X", "V[0]", "V[1]", "V[2]"]
    assert frame["world"].tolist() == ["low"] * 6 + ["high"] * 6
    assert frame["draw"].tolist() == [0, 0, 1, 1, 2, 2] * 2
    assert frame["unit"].tolist() == [0, 1] * 6
    assert isinstance(frame.index, pd.RangeIndex)
    np.testing.assert_array_equal(frame["X"][6:], result["high"]["X"].flatten())
    weighty = worlds(model, abduct(model, EVIDENCE, ImportanceSampling(), 500, seed=0), {"low": {"X": 0.0}})
    assert list(weighty.to_dataframe().columns[:4]) == ["world", "draw", "unit", "Z"]


def test_the_table_of_one_exact_draw_and_of_a_parameter():
    def plated():
        m = pyro.sample("M", dist.Normal(0.0, 1.0))
        with pyro.plate("people", 2):
            pyro.sample("X", dist.Normal(m, 1.0))

    single = counterfactual(model, {"Z": 0.5, **EVIDENCE}, {"X": 0.0}).to_dataframe()
    assert list(single.columns[:3]) == ["unit", "Z", "X"]
    frame = counterfactual(plated, EVIDENCE, {}, ImportanceSampling(), 200, seed=0).to_dataframe()
    assert list(frame.columns) == ["draw", "unit", "M", "X"]
    assert frame.groupby("draw")["M"].nunique().eq(1).all()


def test_vectors_and_matrices_have_a_column_for_each_part():
    draws = Draws({"A": torch.arange(12.0).reshape(2, 2, 3)}, {"A": 2})
    frame = draws.to_dataframe()
    assert list(frame.columns) == ["unit", *(f"A[{i},{j}]" for i in range(2) for j in range(3))]
    assert frame["A[1,2]"].tolist() == [5.0, 11.0]


def test_sites_that_no_table_can_hold_together_are_refused():
    def nested():
        with pyro.plate("groups", 2, dim=-2):
            g = pyro.sample("G", dist.Normal(0.0, 1.0))
            with pyro.plate("people", 3, dim=-1):
                pyro.sample("X", dist.Normal(g, 1.0))

    def named():
        pyro.sample("draw", dist.Normal(70.0, 10.0))
        pyro.sample("world", dist.Normal(0.0, 1.0))

    with pytest.raises(QueryError, match="'G' has 2 units and another site 6, so they lie in different plates"):
        sample(nested, 4, seed=0).to_dataframe()
    draws = sample(named, 3, seed=0)
    assert list(draws.to_dataframe().columns) == ["unit", "draw", "world"]
    with pytest.raises(QueryError, match="'draw' has the name of another column"):
        replace(draws, num_draws=3).to_dataframe()
    with pytest.raises(QueryError, match="'world' has the name of another column"):
        worlds(named, dict(draws), {"one": {}}).to_dataframe()
