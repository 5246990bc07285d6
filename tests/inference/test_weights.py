"""Importance weights: the tail that is fitted to them, and ArviZ's smoothing where it still has one to compare with."""

import arviz
import numpy as np
import pytest
import torch

from causal_pyro_models.inference.weights import EVEN_WEIGHT, pareto_smooth, resampling

SHAPES = [0.3, 0.7, 1.2]


def of_pareto(k, count, tail):
    """Log weights whose largest are quantiles of a generalised Pareto law, over a body of equal ones."""
    p = np.arange(0.5, tail) / tail
    excess = ((1 - p) ** -k - 1) / k
    return torch.from_numpy(np.log(np.concatenate([np.full(count - tail, 1.0) - 1e-9, 1.0 + excess])))


@pytest.mark.parametrize("k", SHAPES)
def test_the_shape_of_a_pareto_tail_is_found(k):
    """Up to the prior, which is worth 10 draws at a half, and to what a fit to quantiles is off."""
    count = 10_000
    tail = int(np.ceil(3 * count**0.5))
    _, found = pareto_smooth(of_pareto(k, count, tail)[:, None])
    assert float(found) == pytest.approx((tail * k + 10 * 0.5) / (tail + 10), abs=0.03)


@pytest.mark.parametrize("k", SHAPES)
def test_smoothing_keeps_the_order_and_the_body_and_ends_at_the_largest_weight(k):
    raw = of_pareto(k, 2_000, 135)[torch.randperm(2_000, generator=torch.Generator().manual_seed(0))][:, None]
    smoothed, _ = pareto_smooth(raw)
    torch.testing.assert_close(smoothed.exp().sum(0), torch.ones(1, dtype=torch.double))
    assert bool((smoothed[raw.flatten().argsort()].diff(dim=0) > -1e-9).all())
    shift = (smoothed - raw).flatten()
    body = raw.flatten() < raw.median() + 1e-6
    assert float(shift[body].std()) < 1e-12 and bool((smoothed <= raw.max() + shift[body].mean() + 1e-9).all())


def test_even_weights_have_no_tail():
    raw = torch.rand(1_000, 1, dtype=torch.double).log().clamp(min=-1.0)
    assert float(raw.max() - raw.logsumexp(0)) < np.log(EVEN_WEIGHT / 1_000)
    smoothed, k = pareto_smooth(raw)
    torch.testing.assert_close(smoothed, raw - raw.logsumexp(0))
    assert float(k) == 0.0


def test_units_are_smoothed_by_themselves():
    raw = 2.0 * torch.randn(500, 3, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    together, ks = pareto_smooth(raw)
    for i in range(3):
        alone, k = pareto_smooth(raw[:, i : i + 1])
        torch.testing.assert_close(together[:, i], alone[:, 0])
        assert float(ks[i]) == float(k)


@pytest.mark.skipif("psislw" not in vars(arviz), reason="ArviZ 1.x smooths weights of predictions only")
@pytest.mark.parametrize("seed", range(20))
def test_it_is_what_arviz_makes_of_them(seed):
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(1, rng.choice([100, 1_000]))) * rng.choice([1.0, 4.0, 10.0])
    raw[0, : seed % 3] = -np.inf  # draws of weight zero
    smoothed, k = pareto_smooth(torch.from_numpy(raw).T)
    expected, shape = arviz.psislw(np.where(np.isneginf(raw), np.finfo(float).min / 4, raw))
    np.testing.assert_allclose(smoothed.exp().T, np.exp(expected), atol=1e-12)
    np.testing.assert_allclose(k, shape, rtol=1e-9)


def test_resampling_follows_the_weights():
    weights = torch.tensor([0.5, 0.25, 0.0, 0.25])
    assert torch.bincount(resampling(weights.log(), 400), minlength=4).tolist() == [200, 100, 0, 100]
