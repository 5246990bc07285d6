"""Locations start as the regressions they should be: hidden units moved where that pays, left out where not needed."""

import pytest
import torch

from causal_pyro_models.models.networks.expansion import Expansion
from causal_pyro_models.models.networks.start import start_locations
from causal_pyro_models.training.preparing import prepare


def features(n, width, seed=0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


def noise(n, seed=1):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed))


def error(expansion, x, truth):
    with torch.no_grad():
        return float((expansion(x)[0] - truth).square().mean().sqrt())


def steep(x):
    """A function of one direction of the features, far from a parabola."""
    return torch.tanh(3.0 * (x[:, 0] + 0.5 * x[:, 1] - x[:, 2])) + 0.3 * x[:, 3]


def test_moved_units_find_a_direction_that_random_ones_miss():
    torch.manual_seed(0)
    x, new = features(8000, 6), features(2000, 6, 2)
    random, moved = Expansion(6, 1, (64, 64)), Expansion(6, 1, (64, 64))
    target = steep(x) + 0.3 * noise(8000)
    random.place(x)
    random.solve(x, target)
    residual = start_locations([moved], [x], [target], prepare)[0]
    assert error(moved, new, steep(new)) < 0.6 * error(random, new, steep(new))
    torch.testing.assert_close(residual, target - moved(x)[0].detach(), atol=1e-4, rtol=0.0)


def test_random_units_come_back_where_moving_them_did_not_help():
    torch.manual_seed(0)
    x, new = features(4000, 2), features(1000, 2, 2)
    random, spoiled = Expansion(2, 1, (64,)), Expansion(2, 1, (64,))
    random.place(x)
    random.solve(x, torch.sin(2.0 * x[:, 0]) + 0.3 * noise(4000))

    def spoil(units):
        for parameter in units.parameters():
            parameter.data.zero_()

    start_locations([spoiled], [x], [torch.sin(2.0 * x[:, 0]) + 0.3 * noise(4000)], spoil)
    assert error(spoiled, new, torch.sin(2.0 * new[:, 0])) < 1.5 * error(random, new, torch.sin(2.0 * new[:, 0]))


def test_a_line_and_products_need_no_units():
    """In each of the 8 functions units are taken by chance with a probability below one in six: 3 and fewer are few."""
    torch.manual_seed(0)
    expansions = [Expansion(3, 1, (32, 32)) for _ in range(8)]
    inputs = [features(1500, 3, i) for i in range(8)]
    targets = [x[:, 0] - x[:, 1] * x[:, 2] + noise(1500, 10 + i) for i, x in enumerate(inputs)]
    start_locations(expansions, inputs, targets, prepare)
    assert sum(bool(e.open_units.any()) for e in expansions) <= 3
    for expansion in expansions:
        plain = expansion.open_line.tolist()
        assert plain == [1.0] * len(plain)


def test_units_that_follow_the_noise_are_left_out():
    """Without the word of held-out units, the evidence takes moved ones in 3 of these 8 lines."""
    taken = 0
    for seed in range(8):
        torch.manual_seed(seed)
        x, expansion = features(600, 6, seed), Expansion(6, 1, (32, 32))
        start_locations([expansion], [x], [x[:, 0] + noise(600, 100 + seed)], prepare)
        taken += bool(expansion.open_units.any())
    assert taken <= 1


def test_expansions_of_different_numbers_of_units_start_together():
    torch.manual_seed(0)
    together = [Expansion(4, 1, (32, 32)) for _ in range(2)]
    inputs = [features(3000, 4), features(4000, 4, 5)]
    start_locations(together, inputs, [steep(x) + 0.2 * noise(len(x)) for x in inputs], prepare)
    for expansion in together:
        new = features(1000, 4, 2)
        assert error(expansion, new, steep(new)) < 0.15


@pytest.mark.parametrize("n", [50, 150])
def test_few_units_do_without_moved_ones(n):
    torch.manual_seed(0)
    x, new = features(n, 4), features(500, 4, 2)
    expansion = Expansion(4, 1, (32, 32))
    start_locations([expansion], [x], [x[:, 0] + 0.3 * noise(n)], prepare)
    assert error(expansion, new, new[:, 0]) < 0.5


def test_gradients_move_what_is_linear_in_the_units_and_the_further_functions_own():
    torch.manual_seed(0)
    expansion = Expansion(3, 2, (8, 8))
    start_locations([expansion], [features(300, 3)], [noise(300)], prepare)
    moved = {name for name, parameter in expansion.named_parameters() if parameter.requires_grad}
    assert moved == {"line", "location", "others", "slopes", "bias", "further_weight", "further_offset"}
    alone = Expansion(1, 2, (8, 8))
    start_locations([alone], [features(300, 1)], [noise(300)], prepare)
    assert all(parameter.requires_grad for parameter in alone.parameters()) and not hasattr(alone, "weight1")
