"""Questions about single worlds need no noise mechanism; questions about several worlds together name the site."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions import TorchDistribution
from torch.distributions import constraints

from causal_pyro_models import (
    abduct,
    ate,
    att,
    cate,
    cde,
    counterfactual,
    dose_response,
    intervene,
    ite,
    nde,
    odds_ratio,
    pns,
    policy,
    potential,
    risk_ratio,
    sample,
)
from causal_pyro_models.errors import MechanismError


class Triangular(TorchDistribution):
    """A user's own family: the mean of two uniforms on an interval about ``centre``, without a mechanism."""

    arg_constraints = {"centre": constraints.real}  # noqa: RUF012 (as torch writes it)
    support = constraints.real

    def __init__(self, centre):
        self.centre = torch.as_tensor(centre)
        super().__init__(self.centre.shape, validate_args=False)

    def expand(self, batch_shape, _instance=None):
        return Triangular(self.centre.expand(batch_shape))

    def sample(self, sample_shape=()):
        shape = torch.Size(sample_shape) + self.batch_shape
        return self.centre + torch.rand(shape) + torch.rand(shape) - 1.0

    def log_prob(self, value):
        return torch.log1p(-(value - self.centre).abs().clamp(max=1.0))


def folded():
    z = pyro.sample("Z", dist.Bernoulli(0.4))
    x = pyro.sample("X", dist.Bernoulli(0.2 + 0.5 * z))
    m = pyro.sample("M", Triangular(x + z))
    pyro.sample("Y", dist.FoldedDistribution(dist.Normal(m + x, 1.0)))


def folded_mean(location):
    """E|N(location, 1)|."""
    location = torch.as_tensor(location, dtype=torch.double)
    normal = dist.Normal(torch.zeros((), dtype=torch.double), 1.0)
    return math.sqrt(2 / math.pi) * (-location.square() / 2).exp() + location * (1 - 2 * normal.cdf(-location))


def mean_outcome(x, z=None, m=None):
    """E[Y | do(X = x)], of the units with Z = z where that is given."""
    if z is None:
        return 0.6 * mean_outcome(x, 0, m) + 0.4 * mean_outcome(x, 1, m)
    if m is not None:
        return float(folded_mean(m + x))
    grid = torch.linspace(-1.0, 1.0, 20_001, dtype=torch.double)
    weight = 1 - grid.abs()
    return float((weight * folded_mean(grid + x + z + x)).sum() / weight.sum())


def close(found, truth):
    """Within 4.5 standard errors: one comparison in 150,000 fails by chance."""
    return bool(((found.value - torch.as_tensor(truth)).abs() <= 4.5 * found.standard_error).all())


def test_effects_of_single_worlds_have_the_right_mean():
    arms = {"X": (0.0, 1.0)}
    assert close(ate(folded, arms, "Y", seed=0), mean_outcome(1) - mean_outcome(0))
    assert close(dose_response(folded, {"X": [0.0, 1.0]}, "Y", seed=0), [mean_outcome(0), mean_outcome(1)])
    assert close(cde(folded, arms, "Y", {"M": 0.5}, seed=0), mean_outcome(1, m=0.5) - mean_outcome(0, m=0.5))
    by = cate(folded, arms, "Y", by="Z", seed=0)
    assert close(by, [mean_outcome(1, z) - mean_outcome(0, z) for z in (0, 1)])
    rule = policy(lambda v: v["Z"], ["Z"])
    expected = 0.6 * mean_outcome(0, 0) + 0.4 * mean_outcome(1, 1) - mean_outcome(0)
    assert close(ate(folded, {"X": (0.0, rule)}, "Y", seed=0), expected)
    assert close(ate(folded, {"X": (0.0, dist.Bernoulli(0.5))}, "Y", seed=0), (mean_outcome(1) - mean_outcome(0)) / 2)


def test_ratios_of_events_are_of_the_laws():
    def model():
        x = pyro.sample("X", dist.Bernoulli(0.5))
        pyro.sample("Y", dist.FoldedDistribution(dist.Normal(x, 1.0)))

    above = [float(1 - dist.Normal(x, 1.0).cdf(torch.tensor(1.5)) + dist.Normal(x, 1.0).cdf(torch.tensor(-1.5)))
             for x in (0.0, 1.0)]  # fmt: skip
    arms, outcome = {"X": (0.0, 1.0)}, lambda world: world["Y"] > 1.5
    assert close(risk_ratio(model, arms, outcome, seed=0, num_samples=40_000), above[1] / above[0])
    odds = [p / (1 - p) for p in above]
    assert close(odds_ratio(model, arms, outcome, seed=0, num_samples=40_000), odds[1] / odds[0])


def test_the_standard_error_is_that_of_the_answers():
    """The mean square of 60 errors in their own standard errors lies within 0.5 and 1.7 but for 1 in 1,000."""
    truth = mean_outcome(1) - mean_outcome(0)
    found = [ate(folded, {"X": (0.0, 1.0)}, "Y", seed=seed, num_samples=500) for seed in range(60)]
    square = torch.stack([((f.value - truth) / f.standard_error).square() for f in found]).mean()
    assert 0.5 < float(square) < 1.7


def test_worlds_share_the_random_numbers_of_a_site_without_a_mechanism():
    """What the treatment does not move is the same in both worlds, and what it moves differs by less."""

    def model():
        w = pyro.sample("W", Triangular(torch.tensor(0.0)))
        x = pyro.sample("X", dist.Bernoulli(0.5))
        pyro.sample("Y", Triangular(10.0 * w + x))

    assert float(ate(model, {"X": (0.0, 1.0)}, "W", seed=0).standard_error) == 0.0
    effect = ate(model, {"X": (0.0, 1.0)}, "Y", seed=0)
    assert float(effect.value) == pytest.approx(1.0, abs=1e-4) and float(effect.standard_error) < 1e-4
    by = cate(model, {"X": (0.0, 1.0)}, "Y", by=lambda world: world["W"] > 0, seed=0)
    assert torch.allclose(by.value, torch.ones(2, dtype=torch.double), atol=1e-4)


def test_a_plated_model_and_one_under_an_intervention_need_none_either():
    def plated():
        rate = pyro.sample("rate", Triangular(torch.tensor(0.0)))
        with pyro.plate("units", 50):
            x = pyro.sample("X", dist.Bernoulli(0.5))
            pyro.sample("Y", Triangular(rate + 2.0 * x))

    assert float(ate(plated, {"X": (0.0, 1.0)}, "Y", seed=0).value) == pytest.approx(2.0, abs=1e-3)
    drawn = sample(intervene(folded, {"X": 1.0, "Z": 0.0}), 20_000, seed=0)["Y"]
    assert float(drawn.mean()) == pytest.approx(mean_outcome(1, 0), abs=0.04)


SEEN = {"Z": [0.0], "X": [1.0], "M": [1.0], "Y": [1.0]}
ARMS = {"X": (0.0, 1.0)}
SEVERAL = {
    "abduct": lambda: abduct(folded, SEEN),
    "counterfactual": lambda: counterfactual(folded, {"Z": [0.0], "X": [1.0]}, {"X": 0.0}),
    "ite": lambda: ite(folded, ARMS, "Y", evidence=SEEN),
    "ate of units": lambda: ate(folded, ARMS, "Y", evidence={"Z": [0.0]}),
    "ate of nested worlds": lambda: ate(folded, {"X": (0.0, 1.0), "M": (0.0, potential("M", {"X": 0.0}))}, "Y"),
    "att": lambda: att(folded, ARMS, "Y"),
    "nde": lambda: nde(folded, ARMS, "Y", "M"),
    "pns": lambda: pns(folded, ARMS, lambda world: world["Y"] > 1),
    "cate by an effect": lambda: cate(folded, ARMS, "Y", by=lambda world: world["M"] > 0.5),
    "cate by the treatment": lambda: cate(folded, ARMS, "Y", by="X"),
}


@pytest.mark.parametrize("question", SEVERAL)
def test_questions_of_several_worlds_name_the_site(question):
    with pytest.raises(MechanismError, match=r"site '(M|Y)'.*no mechanism is registered"):
        SEVERAL[question]()


def test_a_setting_that_is_no_mechanism_is_still_refused():
    def model():
        x = pyro.sample("X", dist.Bernoulli(0.5))
        pyro.sample("Y", dist.Normal(x, 1.0), infer={"mechanism": "quantile"})

    with pytest.raises(MechanismError, match="expected a function"):
        ate(model, ARMS, "Y")
