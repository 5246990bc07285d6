"""Curves are the first eigenfunctions of the prior of smoothing splines, and regressions on them are hardly biased."""

import pytest
import torch

from causal_pyro_models.models.networks.curves import GRID, PIECES, eigencurves, layout, splines
from causal_pyro_models.models.networks.expansion import Expansion
from causal_pyro_models.models.networks.features import going_on, tame


def test_splines_sum_to_one_and_are_smooth():
    place = torch.linspace(0.0, 1.0, 2001, dtype=torch.float64, requires_grad=True)
    values = splines(place)
    torch.testing.assert_close(values.sum(-1), torch.ones_like(place))
    (slope,) = torch.autograd.grad((values * torch.arange(PIECES + 3)).sum(), place)
    torch.testing.assert_close(slope, torch.full_like(place, float(PIECES)))


def test_curves_are_orthogonal_to_lines_and_to_each_other_with_the_sizes_of_the_prior():
    places = torch.linspace(0.0, 1.0, GRID, dtype=torch.float64)
    curves = splines(places) @ eigencurves(places, places, places, places, 4)
    lines = torch.stack([torch.ones_like(places), places], 1)
    assert float((lines.T @ curves / GRID).abs().max()) < 1e-3
    gram = curves.T @ curves / GRID
    # of free ends, the integrated squared second derivative has the eigenvalues 4.730^4, 7.853^4, 10.996^4, 14.137^4
    expected = (4.730 / torch.tensor([4.730, 7.853, 10.996, 14.137]).double()) ** 4
    torch.testing.assert_close(gram.diagonal(), expected, rtol=0.05, atol=0.0)
    assert float((gram - gram.diagonal().diag()).abs().max()) < 1e-3


@pytest.mark.parametrize("width", [0, 1, 2, 3, 6, 12, 20, 40])
def test_a_layout_names_every_column_once(width):
    found = layout(width)
    columns = [column for group, _ in found.groups for column in group]
    assert columns == list(range(found.columns)) and len(found.first) == len(found.second)
    assert found.columns == width * found.rank + len(found.first) <= 260
    for group, features in found.groups[width:] if found.rank else ():
        for column in group:
            product = column - width * found.rank
            factors = found.first[product], found.second[product]
            assert tuple(factor // (1 + found.rank) for factor in factors) == features


def test_the_difference_between_two_groups_is_hardly_biased_where_curves_confound_them():
    """Groups by sin 2z, which the outcome depends on: over 24 data sets of 500 units the mean is off by less than .06,
    about three standard errors of it."""
    found = []
    for seed in range(24):
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        z = torch.randn(500, generator=generator)
        wave = torch.sin(2.0 * z)
        x = (torch.rand(500, generator=generator) < torch.sigmoid(1.5 * wave)).float()
        y = x + 2.0 * wave + torch.randn(500, generator=generator)
        expansion = Expansion(2, 1, (8,))
        features = torch.stack([z, x], 1)
        expansion.place(features)
        expansion.solve(features, (y - y.mean()) / y.std())
        ones = torch.ones_like(x)
        with torch.no_grad():
            high, low = (expansion(torch.stack([z, part], 1))[0] for part in (ones, 0.0 * ones))
        found.append(float((high - low).mean() * y.std()) - 1.0)
    assert abs(sum(found) / len(found)) < 0.06


def test_a_function_goes_on_straight_on_every_side():
    low, high = torch.tensor([-1.0, 0.0]).double(), torch.tensor([1.0, 2.0]).double()
    weights = torch.tensor([[2.0], [-3.0]]).double()
    x = 10.0 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(going_on(lambda t: t @ weights, x, low, high), x @ weights)
    out = torch.tensor([[3.0, 1.0], [5.0, 1.0], [7.0, 1.0]]).double()
    first, second, third = going_on(lambda t: t.exp().sum(-1, keepdim=True), out, low, high)
    torch.testing.assert_close(third - second, second - first)


@pytest.mark.parametrize("n", [20, 200, 2000])
def test_wild_values_are_no_part_of_a_scale_and_tails_are(n):
    torch.manual_seed(0)
    honest = torch.stack([torch.randn(n), torch.randn(n).exp(), (torch.rand(n) < 0.01).float()], 1)
    assert torch.equal(tame(honest), honest)
    wild = honest.clone()
    wild[0] = torch.tensor([1e6, -1e6, 1.0])
    assert tame(wild)[0, :2].abs().max() < 5.0 and torch.equal(tame(wild)[1:], honest[1:])
