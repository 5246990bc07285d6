"""Functions of the parents go on straight where there were no data, and start afresh however they were trained."""

import pytest
import torch

from causal_pyro_models.data import Continuous
from causal_pyro_models.models import Linear, Network, Smooth

PARENTS = {"X": Continuous(), "W": Continuous()}


def trained(function, seed=0):
    """A function started on data from -1 to 1 and then changed at random, and those data."""
    torch.manual_seed(seed)
    values = {name: 2.0 * torch.rand(300) - 1.0 for name in PARENTS}
    built = function.connect(PARENTS, 2)
    built.initialise(values, torch.stack([values["X"], values["W"] ** 2], -1))
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return built, values


def test_a_network_goes_on_straight_outside_the_data():
    """Beyond the data second differences are those of a line: zero. Inside they are not."""
    built, _ = trained(Network((8,)))
    far = {"X": torch.tensor([5.0, 6.0, 7.0]), "W": torch.full((3,), 0.3)}
    near = {"X": torch.tensor([-0.8, 0.0, 0.8]), "W": torch.full((3,), 0.3)}
    with torch.no_grad():
        assert float(built(far).diff(2, dim=0).abs().max()) < 1e-4
        assert float(built(near).diff(2, dim=0).abs().max()) > 1e-2


@pytest.mark.parametrize("function", [Linear(), Smooth(5), Network((8,))])
def test_a_start_forgets_what_was_trained(function):
    built, values = trained(function)
    fresh = function.connect(PARENTS, 2)
    target = torch.stack([values["X"] - values["W"], values["W"]], -1)
    residuals = []
    for one in (built, fresh):
        torch.manual_seed(1)
        residuals.append(one.initialise(values, target))
    assert torch.equal(*residuals)
    with torch.no_grad():
        assert torch.equal(built(values), fresh(values))
        torch.testing.assert_close(built(values) + residuals[0], target, atol=1e-4, rtol=0.0)
