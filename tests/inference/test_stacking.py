"""Laws put together have the type of each, and its densities."""

import pyro.distributions as dist
import pytest
import torch
from pyro.distributions import transforms as T

from causal_pyro_models.errors import ModelError
from causal_pyro_models.inference.stacking import Runs, stacked

R = torch.rand
LAWS = {
    "Normal": lambda: dist.Normal(R(()), R(()) + 0.1),
    "Normal in a plate": lambda: dist.Normal(R(3), R(()) + 0.1),
    "Gamma": lambda: dist.Gamma(R(3) + 1, R(3) + 1),
    "Beta": lambda: dist.Beta(R(3) + 1, R(3) + 1),
    "StudentT": lambda: dist.StudentT(R(3) + 3, R(3), R(3) + 0.1),
    "Uniform": lambda: dist.Uniform(R(3), R(3) + 1),
    "LogNormal": lambda: dist.LogNormal(R(3), R(3) + 0.1),
    "HalfCauchy": lambda: dist.HalfCauchy(R(3) + 0.1),
    "Weibull": lambda: dist.Weibull(R(3) + 1, R(3) + 1),
    "InverseGamma": lambda: dist.InverseGamma(R(3) + 1, R(3) + 1),
    "VonMises": lambda: dist.VonMises(R(3), R(3) + 0.1),
    "Bernoulli": lambda: dist.Bernoulli(R(3)),
    "Bernoulli of logits": lambda: dist.Bernoulli(logits=R(3)),
    "certain Bernoulli": lambda: dist.Bernoulli(torch.tensor([0.0, 1.0, 0.5])),
    "Categorical": lambda: dist.Categorical(R(3, 4)),
    "Categorical of logits": lambda: dist.Categorical(logits=R(4)),
    "OneHotCategorical": lambda: dist.OneHotCategorical(R(3, 4)),
    "Binomial": lambda: dist.Binomial(5, R(3)),
    "NegativeBinomial": lambda: dist.NegativeBinomial(R(3) + 1, logits=R(3)),
    "Poisson": lambda: dist.Poisson(R(3)),
    "Multinomial": lambda: dist.Multinomial(5, R(3, 4)),
    "GammaPoisson": lambda: dist.GammaPoisson(R(3) + 1, R(3) + 1),
    "BetaBinomial": lambda: dist.BetaBinomial(R(3) + 1, R(3) + 1, 5),
    "DirichletMultinomial": lambda: dist.DirichletMultinomial(R(3, 4) + 1, 5),
    "ZeroInflatedPoisson": lambda: dist.ZeroInflatedPoisson(R(3) + 1, gate=R(3)),
    "ZeroInflatedPoisson of logits": lambda: dist.ZeroInflatedPoisson(R(3) + 1, gate_logits=R(3)),
    "OrderedLogistic": lambda: dist.OrderedLogistic(R(3), torch.arange(3.0) + R(())),
    "Dirichlet": lambda: dist.Dirichlet(R(3, 4) + 1),
    "MultivariateNormal": lambda: dist.MultivariateNormal(R(3, 2), torch.eye(2) * (R(()) + 1)),
    "LowRankMultivariateNormal": lambda: dist.LowRankMultivariateNormal(R(3, 2), R(3, 2, 1), R(3, 2) + 1),
    "LKJCholesky": lambda: dist.LKJCholesky(3, R(()) + 1),
    "RelaxedBernoulli": lambda: dist.RelaxedBernoulli(torch.tensor(0.5), R(3)),
    "FoldedDistribution": lambda: dist.FoldedDistribution(dist.Normal(R(3), 1.0)),
    "mixture": lambda: dist.MixtureSameFamily(dist.Categorical(R(3, 2)), dist.Normal(R(3, 2), R(3, 2) + 0.1)),
    "MaskedMixture": lambda: dist.MaskedMixture(R(3) > 0.5, dist.Normal(R(3), 1.0), dist.Normal(R(3), 2.0)),
    "vector": lambda: dist.Normal(R(3, 2), 1.0).to_event(1),
    "expanded vector": lambda: dist.Normal(R(()), 1.0).expand([3, 2]).to_event(1),
    "expanded and masked": lambda: dist.Beta(R(()) + 1, 1.0).expand([3]).mask(R(3) > 0.5),
    "Delta": lambda: dist.Delta(R(3, 2), R(3), event_dim=1),
    "affine": lambda: dist.TransformedDistribution(
        dist.Normal(R(3), 1.0), [T.AffineTransform(R(3), R(()) + 1), T.ExpTransform()]
    ),
    "affine vector": lambda: dist.TransformedDistribution(
        dist.Normal(R(3, 2), 1.0).to_event(1), [T.AffineTransform(R(2), R(()) + 1, event_dim=1)]
    ),
    "inverse": lambda: dist.TransformedDistribution(
        dist.Uniform(torch.zeros(3), 1.0), [T.SigmoidTransform().inv, T.AffineTransform(R(()), 2.0)]
    ),
}


@pytest.mark.parametrize("name", LAWS)
def test_densities_are_those_of_each(name):
    laws = [LAWS[name]() for _ in range(6)]
    whole = stacked(laws, Runs("S", (2, 3), 1))
    assert whole.batch_shape == (2, 3, 1, *laws[0].batch_shape) and whole.event_shape == laws[0].event_shape
    assert type(whole) is type(laws[0])
    values = [law.sample() for law in laws]
    found = whole.log_prob(torch.stack(values).reshape(2, 3, 1, *values[0].shape))
    expected = torch.stack([law.log_prob(value) for law, value in zip(laws, values, strict=True)])
    torch.testing.assert_close(found, expected.reshape(found.shape), rtol=1e-5, atol=1e-5)


def test_gradients_reach_the_parameters_of_each():
    locs = [torch.tensor(float(i), requires_grad=True) for i in range(3)]
    whole = stacked([dist.Normal(loc, 1.0) for loc in locs], Runs("S", (3,), 0))
    whole.log_prob(torch.zeros(3)).sum().backward()
    assert [float(loc.grad) for loc in locs] == [0.0, -1.0, -2.0]


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        (dist.Normal(0.0, 1.0), dist.Exponential(1.0), "Exponential and Normal"),
        (dist.Categorical(torch.ones(2)), dist.Categorical(torch.ones(3)), "shapes"),
        (dist.Normal(torch.zeros(2), 1.0).to_event(1), dist.Normal(torch.zeros(3), 1.0).to_event(1), "events of shape"),
        (
            dist.ImproperUniform(dist.constraints.real, (), ()),
            dist.ImproperUniform(dist.constraints.real, (), ()),
            "Imp",
        ),
        (
            dist.TransformedDistribution(dist.Normal(0.0, 1.0), [T.ExpTransform()]),
            dist.TransformedDistribution(dist.Normal(0.0, 1.0), [T.TanhTransform()]),
            "another way",
        ),
    ],
)
def test_what_cannot_be_put_together_is_refused_by_name(one, other, why):
    with pytest.raises(ModelError, match=f"'S'.*{why}"):
        stacked([one, other], Runs("S", (2,), 0))
