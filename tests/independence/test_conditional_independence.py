"""Tests of independence and of Verma constraints keep their level, and agree with exact tests where there are any."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from causal_pyro_models.errors import DataError
from causal_pyro_models.identification.implications import verma_constraints
from causal_pyro_models.independence import (
    ChiSquared,
    canonical_correlation_test,
    frequencies,
    g_test,
    verma_test,
)
from tests.identification.oracles import random_model
from tests.independence.samples import CHAIN, VERMA, draw


def uniform(p_values):
    return stats.kstest(p_values, "uniform").pvalue


def test_p_values_of_the_three_tests_are_uniform_where_the_constraint_holds():
    """Kolmogorov-Smirnov on 200 fixed samples each; at this threshold the three err with probability 0.003."""
    rng = np.random.default_rng(0)
    (constraint,) = verma_constraints(VERMA)
    model, chain = random_model(VERMA, rng), random_model(CHAIN, rng, {"X": 2, "M": 3, "Y": 3})
    verma, discrete, linear = [], [], []
    for _ in range(200):
        verma.append(verma_test(draw(model.joint(), "ABCD", 3000, rng), constraint).p_value)
        discrete.append(g_test(draw(chain.joint(), "XMY", 1000, rng), ["X"], ["Y"], ["M"]).p_value)
        z = rng.normal(size=200)
        frame = pd.DataFrame({"X": z + rng.normal(size=200), "Y": rng.normal(size=200) > z, "Z": z})
        linear.append(canonical_correlation_test(frame, ["Y"], ["X"], ["Z"]).p_value)
    assert min(map(uniform, (verma, discrete, linear))) > 0.001


def test_a_partial_correlation_agrees_with_the_t_test():
    """Bartlett's statistic of one number on each side against the exact test: equal to 2 percent at 300 rows."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.normal(size=(300, 3)), columns=["X", "Y", "Z"])
    residual = [frame[v] - np.polyval(np.polyfit(frame["Z"], frame[v], 1), frame["Z"]) for v in "XY"]
    r = np.corrcoef(*residual)[0, 1]
    t = r * np.sqrt(297 / (1 - r**2))
    exact = 2 * stats.t.sf(abs(t), 297)
    assert canonical_correlation_test(frame, ["X"], ["Y"], ["Z"]).p_value == pytest.approx(exact, rel=0.02)


def test_the_g_test_is_scipys_summed_over_strata():
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(rng.integers(0, 3, (600, 3)), columns=["X", "Y", "Z"])
    parts = [
        stats.chi2_contingency(pd.crosstab(part["X"], part["Y"]), correction=False, lambda_="log-likelihood")
        for _, part in frame.groupby("Z")
    ]
    found = g_test(frame, ["X"], ["Y"], ["Z"])
    assert found.statistic == pytest.approx(sum(part.statistic for part in parts))
    assert found.dof == sum(part.dof for part in parts)


def rejected(make, test, samples):
    return sum(test(make(np.random.default_rng(seed))).p_value <= 0.05 for seed in range(samples))


def test_the_g_test_keeps_its_level_in_sparse_tables():
    """Five levels each and 100 rows, where the chi-squared distribution rejects 52 of 200; and three strata of 27 rows.
    More than 21 of 200 at 5 percent have probability 0.0005."""
    for shape, levels, given in ((100, 5, []), (80, 3, ["Z"])):

        def make(rng, n=shape, k=levels):
            return pd.DataFrame({"X": rng.integers(0, k, n), "Y": rng.integers(0, k, n), "Z": rng.integers(0, 3, n)})

        assert 1 <= rejected(make, lambda frame, z=given: g_test(frame, ["X"], ["Y"], z), 200) <= 21


def test_the_permutation_p_value_is_that_of_all_permutations(monkeypatch):
    """Seven rows in two strata, all 144 permutations: a share of 1,999 drawn errs by 0.045 with probability 1e-4."""
    x, y, z = [0, 0, 1, 1, 0, 1, 1], [0, 0, 1, 1, 1, 0, 1], [0, 0, 0, 0, 1, 1, 1]
    frame = pd.DataFrame({"X": x, "Y": y, "Z": z})
    statistics = [
        g_test(frame.assign(Y=[*first, *second]), ["X"], ["Y"], ["Z"]).statistic
        for first in itertools.permutations(y[:4])
        for second in itertools.permutations(y[4:])
    ]
    monkeypatch.setattr(frequencies, "ENOUGH", frequencies.PERMUTATIONS + 1)
    found = g_test(frame, ["X"], ["Y"], ["Z"])
    exact = float(np.mean(np.array(statistics) >= found.statistic - 1e-9))
    assert 0.05 < exact < 0.5 and found.p_value == pytest.approx(exact, abs=0.045)


def test_dependence_in_a_sparse_table_is_found():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5, 100)
    y = np.where(rng.random(100) < 0.5, x, rng.integers(0, 5, 100))
    assert g_test(pd.DataFrame({"X": x, "Y": y}), ["X"], ["Y"]).p_value == 1 / 2000


def test_identifiers_say_nothing():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"ID": [f"u{i}" for i in range(60)], "X": rng.integers(0, 3, 60), "Y": rng.integers(0, 2, 60)})
    assert g_test(frame, ["ID"], ["X"]).p_value == 1.0
    assert g_test(frame, ["X"], ["Y"], ["ID"]) == ChiSquared(0.0, 0, 1.0)


def test_missing_values_are_no_category():
    frame = pd.DataFrame({"X": [0.0, 1.0, None] * 10, "Y": [0, 1] * 15})
    for xs, ys in ((["X"], ["Y"]), (["Y"], ["X"])):
        with pytest.raises(DataError, match="'X' has missing values"):
            g_test(frame, xs, ys)


def test_the_verma_test_keeps_its_level_in_small_samples():
    """30 samples of models of their own, at 2 to 4 rows a cell, of which the chi-squared distribution rejects 6 to 14;
    more than 5 at 5 percent have probability 0.003."""
    (constraint,) = verma_constraints(VERMA)
    for size, n in ((2, 60), (3, 200)):
        count = 0
        for seed in range(30):
            joint = random_model(VERMA, np.random.default_rng(1000 + seed), size).joint()
            count += verma_test(draw(joint, "ABCD", n, np.random.default_rng(seed)), constraint).p_value <= 0.05
        assert count <= 5


def test_a_constant_column_says_nothing():
    frame = pd.DataFrame({"X": np.zeros(50), "Y": np.arange(50.0), "Z": [0, 1] * 25})
    assert canonical_correlation_test(frame, ["X"], ["Y"], ["Z"]) == ChiSquared(0.0, 0, 1.0)
    assert g_test(frame, ["X"], ["Z"]) == ChiSquared(0.0, 0, 1.0)


def test_too_few_rows_for_the_columns():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(4, 4)), columns=list("WXYZ"))
    with pytest.raises(DataError, match="4 rows are too few"):
        canonical_correlation_test(frame, ["X"], ["Y"], ["W", "Z"])
