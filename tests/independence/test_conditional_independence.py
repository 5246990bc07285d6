"""Tests of independence and of Verma constraints keep their level, and agree with exact tests where there are any."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from causal_pyro_models.errors import DataError
from causal_pyro_models.identification.implications import verma_constraints
from causal_pyro_models.independence import ChiSquared, canonical_correlation_test, g_test, verma_test
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


def test_a_constant_column_says_nothing():
    frame = pd.DataFrame({"X": np.zeros(50), "Y": np.arange(50.0), "Z": [0, 1] * 25})
    assert canonical_correlation_test(frame, ["X"], ["Y"], ["Z"]) == ChiSquared(0.0, 0, 1.0)
    assert g_test(frame, ["X"], ["Z"]) == ChiSquared(0.0, 0, 1.0)


def test_too_few_rows_for_the_columns():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(4, 4)), columns=list("WXYZ"))
    with pytest.raises(DataError, match="4 rows are too few"):
        canonical_correlation_test(frame, ["X"], ["Y"], ["W", "Z"])
