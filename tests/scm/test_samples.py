"""What checks compute of samples, against SciPy and by hand."""

import math

import pytest
import scipy.stats
import torch

from causal_pyro_models.scm.checks import Check, CheckReport
from causal_pyro_models.scm.mechanisms.samples import (
    chi_square,
    jacobian,
    kolmogorov,
    kolmogorov_limit,
    normal_limit,
    ranks,
)


@pytest.mark.parametrize("round_to", [0, 3])
@pytest.mark.parametrize("sizes", [(50, 50), (30, 200)])
def test_kolmogorov_is_scipys_column_by_column_with_ties_too(sizes, round_to):
    n, m = sizes
    a, b = torch.randn(n, 3).round(decimals=round_to), (torch.randn(m, 3) + 0.3).round(decimals=round_to)
    expected = [scipy.stats.ks_2samp(x, y).statistic for x, y in zip(a.T, b.T, strict=True)]
    torch.testing.assert_close(
        kolmogorov(a, b), torch.tensor(expected, dtype=torch.float64) * math.sqrt(n * m / (n + m))
    )


def test_chi_square_is_the_test_of_homogeneity_as_a_normal_deviate():
    a, b = torch.poisson(torch.full((400, 2), 2.0)), torch.poisson(torch.full((300, 2), 2.2))
    for k, z in enumerate(chi_square(a, b).tolist()):
        table = torch.stack([sample[:, k].long().bincount(minlength=12) for sample in (a, b)])
        rare = table.sum(0) < 20
        assert rare.any() and table[:, rare].sum(1).all()
        table = torch.cat([table[:, ~rare], table[:, rare].sum(1, keepdim=True)], 1)
        p_value = scipy.stats.chi2_contingency(table.numpy(), correction=False).pvalue
        assert z == pytest.approx(scipy.stats.norm.isf(p_value), rel=1e-5)


def test_limits_have_the_probability_that_they_are_for():
    assert 2 * scipy.stats.norm.sf(normal_limit(0.01)) == pytest.approx(0.01)
    assert scipy.stats.kstwobign.sf(kolmogorov_limit(0.01)) == pytest.approx(0.01, rel=1e-3)


def test_ranks_lie_between_zero_and_one():
    assert ranks(torch.tensor([[3.0], [1.0], [2.0], [2.0]])).flatten().tolist() == [0.875, 0.125, 0.375, 0.625]


def test_jacobian_of_each_unit_is_its_own():
    u = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    value, slope = jacobian(lambda u: torch.stack([u.prod(-1), u.sum(-1)], -1), u, 1)
    assert value.tolist() == [[2.0, 3.0], [12.0, 7.0]]
    assert slope.tolist() == [[[2.0, 1.0], [1.0, 1.0]], [[4.0, 3.0], [1.0, 1.0]]]


def test_a_report_counts_what_passed():
    report = CheckReport("It", [Check("one", 0.5, 1.0), Check("other", math.nan, 1.0, "it is no number")])
    assert report["one"].passed and not report["other"].passed
    assert repr(report).splitlines()[0] == "It: 1 of 2 checks passed"
    assert "FAILED: it is no number" in repr(report)
