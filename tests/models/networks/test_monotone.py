"""Monotone maps: there and back, slopes that are derivatives, and samples that become normal."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from causal_pyro_models.models.networks.monotone import SLOPES, QuantileSpline, SlopeSpline, normal_scores, straight

X = torch.linspace(-12.0, 12.0, 2001, dtype=torch.float64)


def spline(seed):
    torch.manual_seed(seed)
    return SlopeSpline(3.0 * torch.randn(len(X), 9, dtype=torch.float64), bound=3.0)


def quantiles(seed):
    torch.manual_seed(seed)
    sample = torch.distributions.Gamma(1.5, 1.0).sample((2000,)).double()
    return QuantileSpline(normal_scores(sample, 16))


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), kind=st.sampled_from((spline, quantiles)))
def test_there_and_back_and_the_slope_is_the_derivative(seed, kind):
    to_noise = kind(seed)
    x = X.clone().requires_grad_()
    noise, log_slope = to_noise.call_and_ladj(x)
    (slope,) = torch.autograd.grad(noise.sum(), x)
    torch.testing.assert_close(slope, log_slope.exp(), rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(to_noise.inv(noise.detach()), X, rtol=1e-7, atol=1e-7)


def test_zero_parameters_are_the_identity():
    noise, log_slope = SlopeSpline(torch.zeros(9, dtype=torch.float64), 3.0).call_and_ladj(X)
    torch.testing.assert_close(noise, X)
    torch.testing.assert_close(log_slope, torch.zeros_like(X))
    torch.testing.assert_close(QuantileSpline(straight(5, X)).call_and_ladj(X)[0], X)


def test_a_map_for_each_row():
    sample = torch.randn(2, 2000, generator=torch.Generator().manual_seed(0)).double().exp()
    maps = [normal_scores(row, 8) for row in sample]
    together = QuantileSpline(type(maps[0])(*(torch.stack(parts) for parts in zip(*maps, strict=True))))
    expected = [QuantileSpline(points).call_and_ladj(row)[0] for points, row in zip(maps, sample, strict=True)]
    torch.testing.assert_close(together.call_and_ladj(sample)[0], torch.stack(expected))
    torch.testing.assert_close(together.inv(torch.stack(expected)), sample, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("law", [torch.distributions.Gamma(2.0, 1.0), torch.distributions.StudentT(4.0)])
def test_a_fresh_sample_becomes_standard_normal(law):
    """Kolmogorov-Smirnov of 4,000 draws, the map from 20,000: sqrt(n) D < 2.5 but with probability 1e-5."""
    torch.manual_seed(0)
    to_noise = QuantileSpline(normal_scores(law.sample((20_000,)).double(), 16))
    cdf = torch.special.ndtr(to_noise(law.sample((4_000,)).double())).sort().values
    n = len(cdf)
    assert float((cdf - (torch.arange(n) + 0.5) / n).abs().max() * n**0.5) < 2.5


def test_ties_do_not_make_a_slope_without_bound():
    points = normal_scores(torch.arange(2000).remainder(3).double(), 16)
    low, high = SLOPES[0] * (1 - 1e-9), SLOPES[1] * (1 + 1e-9)
    assert bool(((points.slopes >= low) & (points.slopes <= high)).all())
    assert bool((points.x.diff() > 0).all())
