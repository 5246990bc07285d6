"""Mechanisms of every family: the conformance suite, closed forms, tails, extreme logits, and mutants it must catch."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
import zuko
from hypothesis import given, settings, strategies as st
from pyro.contrib.zuko import ZukoToPyro
from pyro.infer import MCMC, NUTS, SVI, Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from torch import Tensor
from torch.distributions import biject_to

from causal_pyro_models.errors import EvidenceError, MechanismError
from causal_pyro_models.scm import JointNoise, Mechanism, check_mechanism, mechanism, quantile


def numbers(dtype: torch.dtype, *values: float) -> Tensor:
    return torch.tensor(values, dtype=dtype)


# Every family, with a batch of different parameters; one per row of the table in the documentation.
FAMILIES = {
    "Normal": lambda t: dist.Normal(numbers(t, 0, 2, -1), numbers(t, 1, 3, 0.2)),
    "Laplace": lambda t: dist.Laplace(numbers(t, 0, 2), numbers(t, 1, 3)),
    "Cauchy": lambda t: dist.Cauchy(numbers(t, 0, 2), numbers(t, 1, 3)),
    "Gumbel": lambda t: dist.Gumbel(numbers(t, 0, 2), numbers(t, 1, 3)),
    "Logistic": lambda t: dist.Logistic(numbers(t, 0, 2), numbers(t, 1, 3)),
    "SoftLaplace": lambda t: dist.SoftLaplace(numbers(t, 0, 2), numbers(t, 1, 3)),
    "AsymmetricLaplace": lambda t: dist.AsymmetricLaplace(numbers(t, 0, 2), numbers(t, 1, 3), numbers(t, 0.5, 2)),
    "SkewLogistic": lambda t: dist.SkewLogistic(numbers(t, 0, 2), numbers(t, 1, 3), numbers(t, 0.5, 2)),
    "HalfNormal": lambda t: dist.HalfNormal(numbers(t, 1, 3)),
    "HalfCauchy": lambda t: dist.HalfCauchy(numbers(t, 1, 3)),
    "Exponential": lambda t: dist.Exponential(numbers(t, 1, 3)),
    "Uniform": lambda t: dist.Uniform(numbers(t, -1, 3), numbers(t, 1, 4)),
    "Weibull": lambda t: dist.Weibull(numbers(t, 1, 3), numbers(t, 0.8, 2)),
    "Pareto": lambda t: dist.Pareto(numbers(t, 1, 3), numbers(t, 0.8, 2)),
    "LogNormal": lambda t: dist.LogNormal(numbers(t, 0, 1), numbers(t, 1, 0.3)),
    "Kumaraswamy": lambda t: dist.Kumaraswamy(numbers(t, 1, 3), numbers(t, 2, 0.8)),
    "Gamma": lambda t: dist.Gamma(numbers(t, 0.7, 3, 50), numbers(t, 2, 0.8, 1)),
    "Chi2": lambda t: dist.Chi2(numbers(t, 1, 7)),
    "InverseGamma": lambda t: dist.InverseGamma(numbers(t, 1, 3), numbers(t, 2, 0.8)),
    "Beta": lambda t: dist.Beta(numbers(t, 0.9, 3, 40), numbers(t, 2, 0.8, 60)),
    "AffineBeta": lambda t: dist.AffineBeta(numbers(t, 2, 3), numbers(t, 2, 4), numbers(t, -1, 0), numbers(t, 2, 5)),
    "FisherSnedecor": lambda t: dist.FisherSnedecor(numbers(t, 3, 8), numbers(t, 5, 9)),
    "StudentT": lambda t: dist.StudentT(numbers(t, 1.5, 4, 100), numbers(t, 0, 1, 2), numbers(t, 1, 2, 3)),
    "VonMises": lambda t: dist.VonMises(numbers(t, 0.5, -1, 3), numbers(t, 0.3, 4, 200)),
    "ContinuousBernoulli": lambda t: dist.ContinuousBernoulli(numbers(t, 0.2, 0.7)),
    "MultivariateNormal": lambda t: dist.MultivariateNormal(
        numbers(t, 0, 2), torch.stack([torch.eye(2, dtype=t), numbers(t, 2, 1, 1, 2).reshape(2, 2)])
    ),
    "LowRankMultivariateNormal": lambda t: dist.LowRankMultivariateNormal(
        torch.zeros(2, 3, dtype=t), torch.ones(3, 1, dtype=t), numbers(t, 1, 2, 3)
    ),
    "MultivariateStudentT": lambda t: dist.MultivariateStudentT(
        numbers(t, 3, 8), numbers(t, 0, 2), numbers(t, 1, 0, 0.5, 2).reshape(2, 2)
    ),
    "Dirichlet": lambda t: dist.Dirichlet(torch.stack([numbers(t, 1, 2, 3), numbers(t, 5, 0.9, 2)])),
    "LogisticNormal": lambda t: dist.LogisticNormal(numbers(t, 0, 1), numbers(t, 1, 0.5)),
    "RelaxedBernoulli": lambda t: dist.RelaxedBernoulli(numbers(t, 1).squeeze(), probs=numbers(t, 0.3, 0.6)),
    "RelaxedOneHotCategorical": lambda t: dist.RelaxedOneHotCategorical(
        numbers(t, 1).squeeze(), probs=torch.stack([numbers(t, 0.2, 0.3, 0.5), numbers(t, 0.6, 0.2, 0.2)])
    ),
    "Bernoulli": lambda t: dist.Bernoulli(logits=numbers(t, -1, 0.3, 3)),
    "Bernoulli of probs": lambda t: dist.Bernoulli(numbers(t, 0, 0.3, 1)),
    "Categorical": lambda t: dist.Categorical(torch.stack([numbers(t, 0.2, 0.3, 0.5), numbers(t, 0.6, 0, 0.4)])),
    "Categorical of logits": lambda t: dist.Categorical(
        logits=torch.stack([numbers(t, 1, 0, -2), numbers(t, 0, 0, 3)])
    ),
    "OneHotCategorical": lambda t: dist.OneHotCategorical(torch.stack([numbers(t, 2, 3, 5), numbers(t, 6, 0, 4)])),
    "OrderedLogistic": lambda t: dist.OrderedLogistic(numbers(t, 0, 1), numbers(t, -1, 0.5, 2)),
    "Poisson": lambda t: dist.Poisson(numbers(t, 0.3, 4, 1000)),
    "Binomial": lambda t: dist.Binomial(numbers(t, 1, 10, 500), numbers(t, 0.3, 0.8, 0.5)),
    "NegativeBinomial": lambda t: dist.NegativeBinomial(numbers(t, 0.5, 10), numbers(t, 0.3, 0.8)),
    "NegativeBinomial of logits": lambda t: dist.NegativeBinomial(numbers(t, 2, 10), logits=numbers(t, 1, -1)),
    "GammaPoisson": lambda t: dist.GammaPoisson(numbers(t, 0.5, 10), numbers(t, 0.3, 0.8)),
    "Geometric": lambda t: dist.Geometric(numbers(t, 0.3, 0.8)),
    "ZeroInflatedPoisson": lambda t: dist.ZeroInflatedPoisson(numbers(t, 1, 4), gate=numbers(t, 0.3, 0.6)),
    "ZeroInflatedNegativeBinomial": lambda t: dist.ZeroInflatedNegativeBinomial(
        numbers(t, 2, 4), logits=numbers(t, 0, 1), gate_logits=numbers(t, 0, -1)
    ),
    "ZeroInflatedDistribution": lambda t: dist.ZeroInflatedDistribution(
        dist.Geometric(numbers(t, 0.3, 0.8)), gate=numbers(t, 0.3, 0.6)
    ),
    "Mixture of normals": lambda t: dist.MixtureSameFamily(
        dist.Categorical(torch.stack([numbers(t, 0.2, 0.8), numbers(t, 0.7, 0.3)])),
        dist.Normal(torch.stack([numbers(t, 0, 4), numbers(t, -1, 1)]), numbers(t, 1, 2)),
    ),
    "Mixture of vectors": lambda t: dist.MixtureSameFamily(
        dist.Categorical(numbers(t, 0.2, 0.3, 0.5)),
        dist.MultivariateNormal(numbers(t, 0, 1, 2, 3, -1, -2).reshape(3, 2), torch.eye(2, dtype=t)),
    ),
    "Mixture of counts": lambda t: dist.MixtureSameFamily(
        dist.Categorical(numbers(t, 0.2, 0.8)), dist.Poisson(numbers(t, 1, 9))
    ),
    "Mixture of exponentials": lambda t: dist.MixtureSameFamily(
        dist.Categorical(numbers(t, 0.2, 0.8)), dist.Exponential(numbers(t, 1, 9))
    ),
    "MixtureOfDiagNormals": lambda t: dist.MixtureOfDiagNormals(
        numbers(t, 0, 1, 2, 3).reshape(2, 2), numbers(t, 1, 1, 2, 2).reshape(2, 2), numbers(t, 0, 1)
    ),
    "MixtureOfDiagNormalsSharedCovariance": lambda t: dist.MixtureOfDiagNormalsSharedCovariance(
        numbers(t, 0, 1, 2, 3).reshape(2, 2), numbers(t, 1, 2), numbers(t, 0, 1)
    ),
    "Independent": lambda t: dist.Gamma(torch.ones(2, 3, dtype=t), numbers(t, 1, 2, 3)).to_event(1),
    "Independent discrete": lambda t: dist.Categorical(numbers(t, 0.3, 0.7)).expand([2, 3]).to_event(1),
    "Expanded": lambda t: dist.ExpandedDistribution(dist.Logistic(numbers(t, 1).squeeze(), 1.0), torch.Size([3])),
    "Masked": lambda t: dist.Normal(numbers(t, 0, 1), 1.0).mask(torch.tensor([True, False])),
    "Transformed": lambda t: dist.TransformedDistribution(
        dist.Beta(numbers(t, 2, 3), numbers(t, 4, 5)),
        [dist.transforms.AffineTransform(-1.0, 2.0), dist.transforms.TanhTransform().inv],
    ),
    "Transformed vector": lambda t: dist.TransformedDistribution(
        dist.Normal(torch.zeros(2, 3, dtype=t), 1.0).to_event(1), [dist.transforms.OrderedTransform()]
    ),
}


def flow(build: object, dtype: torch.dtype) -> ZukoToPyro:
    """A conditional zuko flow, at two contexts."""
    torch.manual_seed(1)
    return ZukoToPyro(build().to(dtype)(torch.randn(2, 2, dtype=dtype)))  # type: ignore[operator]


FLOWS = {
    "zuko MAF": lambda t: flow(lambda: zuko.flows.MAF(3, 2, transforms=2), t),
    "zuko NSF": lambda t: flow(lambda: zuko.flows.NSF(2, 2, transforms=2), t),
    "zuko univariate NSF": lambda t: flow(lambda: zuko.flows.NSF(1, 2, transforms=1), t),
    "zuko GMM": lambda t: flow(lambda: zuko.flows.GMM(2, 2, components=3), t),
    "zuko BoxUniform": lambda t: ZukoToPyro(zuko.distributions.BoxUniform(numbers(t, 0, 1), numbers(t, 1, 3))),
    "zuko Joint": lambda t: ZukoToPyro(
        zuko.distributions.Joint(
            dist.Gamma(numbers(t, 2, 3), 1.0), dist.Normal(torch.zeros(2, 2, dtype=t), 1.0).to_event(1)
        )
    ),
    "zuko Mixture": lambda t: zuko.distributions.Mixture(dist.Normal(numbers(t, 0, 4), 1.0), numbers(t, 0, 1)),
}

FLOAT32, FLOAT64 = torch.float32, torch.float64
BOTH = pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=["float32", "float64"])
MONOTONE = [
    "Bernoulli",
    "Categorical",
    "Categorical of logits",
    "OrderedLogistic",
    "Poisson",
    "Binomial",
    "NegativeBinomial",
    "Geometric",
    "ZeroInflatedPoisson",
    "Mixture of normals",
    "Mixture of exponentials",
    "Independent discrete",
    "Expanded",
    "Masked",
    "Gamma",
]


@BOTH
@pytest.mark.parametrize("family", [*FAMILIES, *FLOWS])
def test_every_family_keeps_the_contract(family: str, dtype: torch.dtype) -> None:
    """20 to 60 statistical tests a family, each with a false alarm in 10^7: one in 4,000 runs of all."""
    report = check_mechanism({**FAMILIES, **FLOWS}[family](dtype), num_samples=4_000)
    if dtype == FLOAT64:
        assert report["round trip"].figure < 1e-9


@pytest.mark.parametrize("family", MONOTONE)
def test_quantile_coupling_keeps_the_contract(family: str) -> None:
    check_mechanism(FAMILIES[family](FLOAT64), num_samples=4_000, constructor=quantile)


def test_generalized_pareto_in_float32() -> None:
    """Only there: its log density in torch mixes dtypes under the float32 default."""
    concentration = torch.tensor([0.4, -0.5, 0.0])
    check_mechanism(dist.GeneralizedPareto(torch.tensor([0.0, 1, 2]), torch.tensor([1.0, 2, 3]), concentration))


@pytest.mark.parametrize(
    "scalar",
    [
        dist.Normal(1.0, 2.0),
        dist.Gamma(torch.tensor(2.0), torch.tensor(3.0)),
        dist.Bernoulli(torch.tensor(0.3)),
        dist.Poisson(torch.tensor(4.0)),
        dist.Categorical(torch.tensor([0.2, 0.8])),
        dist.MixtureSameFamily(dist.Categorical(torch.tensor([0.2, 0.8])), dist.Normal(torch.tensor([0.0, 3.0]), 1.0)),
        dist.ZeroInflatedPoisson(torch.tensor(2.0), gate=torch.tensor(0.3)),
    ],
    ids=lambda d: type(d).__name__,
)
def test_scalar_and_expanded_parameters(scalar: dist.Distribution) -> None:
    check_mechanism(scalar, num_samples=4_000)
    check_mechanism(scalar.expand([2, 3]), num_samples=4_000)


POSITIVE = st.floats(0.05, 50)
ANY = st.floats(-30, 30)
LINE, HALF_LINE, UNIT = (-1e200, 1e200), (1e-250, 1e250), (1e-250, 1 - 1e-12)  # what draws may round or overflow beyond


@given(st.lists(st.tuples(POSITIVE, POSITIVE, ANY), min_size=4, max_size=4), st.integers(0, 10_000))
@settings(max_examples=10)
def test_round_trip_at_any_parameters(parameters: list[tuple[float, float, float]], seed: int) -> None:
    """Four sets of parameters at a time, as a batch."""
    torch.manual_seed(seed)
    a, b, loc = torch.tensor(parameters, dtype=FLOAT64).T
    laws = {
        dist.Gamma(a, b): HALF_LINE,
        dist.Beta(a, b): UNIT,
        dist.StudentT(a, loc, b): LINE,
        dist.VonMises(loc % 3, a): LINE,
        dist.FisherSnedecor(a, b): HALF_LINE,
        dist.InverseGamma(a, b): HALF_LINE,
        dist.Kumaraswamy(a, b): UNIT,
        dist.Normal(loc, b): LINE,
        dist.AsymmetricLaplace(loc, a, b): LINE,
        dist.Dirichlet(torch.stack([a, b, a + b], -1)): UNIT,
        dist.Weibull(a, b): HALF_LINE,
    }
    for law, possible in laws.items():
        x = law.sample((20,)).clamp(*possible)
        mech = mechanism(law)
        torch.testing.assert_close(mech.forward(mech.abduct(x)), x, rtol=1e-9, atol=1e-12, msg=type(law).__name__)
    for law in (dist.Poisson(a), dist.Binomial(20, a / 50), dist.NegativeBinomial(b, a / 51), dist.Geometric(a / 50)):
        x = law.sample((50,))
        mech = mechanism(law)
        assert torch.equal(mech.forward(mech.abduct(x)), x), type(law).__name__


@pytest.mark.parametrize("build", [mechanism, quantile])
def test_extreme_logits_replay_a_million_times(build: object) -> None:
    """No no-op may change a value: float32, logits of -80 to 80, a category of probability zero."""
    million = 1_000_000
    bernoulli = dist.Bernoulli(logits=torch.tensor([-80.0, -10.0, 0.0, 80.0])).expand([million // 4, 4])
    for y in (torch.zeros(million // 4, 4), torch.ones(million // 4, 4)):
        mech = build(bernoulli)  # type: ignore[operator]
        assert torch.equal(mech.forward(mech.abduct(y)), y)
    categorical = dist.Categorical(logits=torch.tensor([80.0, 79.9, -math.inf, 0.0, -80.0])).expand([million // 4])
    for k in (0, 1, 3, 4):
        y = torch.full((million // 4,), k)
        mech = build(categorical)  # type: ignore[operator]
        assert torch.equal(mech.forward(mech.abduct(y)), y)
    with pytest.raises(EvidenceError, match="zero"):
        build(categorical).abduct(torch.tensor(2))  # type: ignore[operator]


@BOTH
def test_values_far_in_the_tails_come_back(dtype: torch.dtype) -> None:
    rtol = 1e-5 if dtype == FLOAT32 else 1e-9
    one = torch.ones((), dtype=dtype)
    far = {
        dist.Normal(one, one): (-30, 31),
        dist.Gamma(3 * one, 2 * one): (1e-20, 300),
        dist.Beta(2 * one, 5 * one): (1e-30, 0.99999),
        dist.StudentT(4 * one, 0 * one, one): (-1e30, 1e20),
        dist.Laplace(one, one): (-300, 300),
        dist.VonMises(0 * one, 200 * one): (-3, 3),
        dist.InverseGamma(3 * one, 2 * one): (0.01, 1e15),
        dist.LogNormal(0 * one, one): (1e-12, 1e12),
    }
    for law, values in far.items():
        x = torch.tensor(values, dtype=dtype)
        mech = mechanism(law)
        torch.testing.assert_close(mech.forward(mech.abduct(x)), x, rtol=rtol, atol=0, msg=type(law).__name__)
    for law, count in ((dist.Poisson(one), 130.0), (dist.Geometric(one / 2), 900.0), (dist.Poisson(600 * one), 0.0)):
        x = torch.full((1000,), count, dtype=dtype)
        mech = mechanism(law)
        assert torch.equal(mech.forward(mech.abduct(x)), x)


@pytest.mark.parametrize("rate", [1e4, 1e6])
def test_large_counts_replay(rate: float) -> None:
    poisson = dist.Poisson(torch.full((20_000,), rate))
    mech, x = mechanism(poisson), poisson.sample()
    u = mech.abduct(x)
    assert torch.equal(mech.forward(u), x)
    z = (u.mean().abs() * math.sqrt(len(u))).item()
    assert z < 4.9  # false alarm 1e-6


def test_closed_forms() -> None:
    """The noise is what the family says it is."""
    normal = mechanism(dist.Normal(torch.tensor(3.0), 2.0))
    assert normal.abduct(torch.tensor(7.0)).item() == pytest.approx(2.0)
    gamma = mechanism(dist.Exponential(torch.tensor(2.0)))
    assert gamma.abduct(torch.tensor(3.0)).item() == pytest.approx(6.0)
    median = torch.tensor(math.log(2), dtype=FLOAT64)
    assert mechanism(dist.Gamma(torch.ones((), dtype=FLOAT64), 1.0)).abduct(median).item() == pytest.approx(
        0, abs=1e-12
    )
    student = mechanism(dist.StudentT(torch.ones((), dtype=FLOAT64), 0.0, 1.0))  # Cauchy: F(1) = 3/4
    assert student.abduct(torch.ones((), dtype=FLOAT64)).item() == pytest.approx(0.6744897501960817)
    binomial = mechanism(dist.Binomial(2, torch.tensor(0.5)))
    quartile = 0.6744897501960817
    assert binomial.forward(numbers(FLOAT64, -quartile - 1e-9, -quartile + 1e-9, quartile + 1e-9)).tolist() == [0, 1, 2]


def test_quantile_is_monotone_and_gumbel_max_is_not() -> None:
    """Raising every cumulative odds moves no unit down under the quantile coupling; under Gumbel-max some go down."""
    before = dist.Categorical(torch.tensor([0.3, 0.4, 0.3])).expand([20_000])
    after = dist.Categorical(torch.tensor([0.28, 0.2, 0.52])).expand([20_000])
    y = before.sample()
    assert (quantile(after).forward(quantile(before).abduct(y)) >= y).all()
    assert (mechanism(after).forward(mechanism(before).abduct(y)) < y).any()


def test_the_noise_of_a_mixture_is_shared_by_its_components() -> None:
    weights = dist.Categorical(torch.tensor([0.5, 0.5]))
    locs = torch.tensor([0.0, 10.0])
    mech = mechanism(dist.MixtureSameFamily(weights, dist.Normal(locs, 1.0)))
    assert isinstance(mech.noise, JointNoise)
    assert mech.noise.event_shape == (3,)
    values = mech.forward(torch.tensor([[1.0, 0.0, 0.7], [0.0, 1.0, 0.7]]))
    assert values.tolist() == pytest.approx([0.7, 10.7])


NOISES = {
    name: mechanism({**FAMILIES, **FLOWS}[name](FLOAT32)).noise
    for name in ("Normal", "Exponential", "Uniform", "Gamma", "Categorical", "ZeroInflatedPoisson", "HalfCauchy")
} | {"Mixture of exponentials": mechanism(FAMILIES["Mixture of exponentials"](FLOAT32)).noise}


@pytest.mark.parametrize("name", NOISES)
def test_guides_and_samplers_reach_every_noise_law(name: str) -> None:
    noise = NOISES[name]

    def model() -> None:
        with pyro.plate_stack("plates", noise.batch_shape):
            pyro.sample("U", noise)

    with pyro.get_param_store().scope():
        guide = AutoNormal(model)
        loss = SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO()).step()
        draw = guide()["U"]
    assert math.isfinite(loss)
    assert noise.support.check(draw).all()
    unconstrained = biject_to(noise.support).inv(noise.sample((5,)))
    assert torch.isfinite(unconstrained).all()
    mcmc = MCMC(NUTS(model, max_tree_depth=3), num_samples=5, warmup_steps=5, disable_progbar=True)
    mcmc.run()
    assert noise.support.check(mcmc.get_samples()["U"]).all()


def test_nuts_over_noises_of_two_dtypes() -> None:
    """A float32 model whose Normal noise is float32 and whose Gamma score is float64."""
    normal, gamma = mechanism(dist.Normal(torch.zeros(()), 1.0)), mechanism(dist.Gamma(torch.tensor(2.0), 1.0))

    def model() -> None:
        z = normal.forward(pyro.sample("U_Z", normal.noise))
        x = gamma.forward(pyro.sample("U_X", gamma.noise))
        pyro.sample("Y", dist.Normal(z + x, 0.5), obs=torch.tensor(3.0))

    mcmc = MCMC(NUTS(model, max_tree_depth=4), num_samples=20, warmup_steps=20, disable_progbar=True)
    mcmc.run()
    assert torch.isfinite(mcmc.get_samples()["U_X"]).all()


# ---------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "law",
    [
        dist.Delta(torch.tensor(0.0)),
        dist.Stable(torch.tensor(1.5), torch.tensor(0.0)),
        dist.FoldedDistribution(dist.Normal(0.0, 1.0)),
        dist.RelaxedBernoulliStraightThrough(torch.tensor(1.0), probs=torch.tensor(0.5)),
        dist.Multinomial(3, torch.ones(3)),
        dist.LKJ(3, torch.tensor(1.0)),
        dist.Empirical(torch.zeros(3), torch.ones(3)),
        dist.BetaBinomial(torch.tensor(1.0), torch.tensor(1.0), 4),
        dist.TransformedDistribution(dist.Normal(0.0, 1.0), [dist.transforms.AbsTransform()]),
    ],
    ids=lambda d: type(d).__name__,
)
def test_families_without_a_mechanism_are_refused(law: dist.Distribution) -> None:
    with pytest.raises(MechanismError):
        mechanism(law)


@pytest.mark.parametrize("family", ["OneHotCategorical", "Dirichlet", "MultivariateNormal", "Mixture of counts"])
def test_values_without_an_order_have_no_quantile_coupling(family: str) -> None:
    with pytest.raises(MechanismError, match="order"):
        quantile(FAMILIES[family](FLOAT32))


@pytest.mark.parametrize(
    ("family", "value"),
    [
        ("Normal", math.nan),
        ("Normal", math.inf),
        ("Exponential", -1.0),
        ("Gamma", -1.0),
        ("Gamma", 0.0),
        ("Gamma", 1e6),
        ("Beta", 1.5),
        ("Beta", 1.0),
        ("Uniform", 100.0),
        ("LogNormal", 0.0),
        ("LogNormal", -2.0),
        ("VonMises", 4.0),
        ("Bernoulli", 0.5),
        ("Bernoulli of probs", 1.0),
        ("Categorical", 3),
        ("Categorical", 1),
        ("Poisson", -1.0),
        ("Poisson", 1.5),
        ("Binomial", 11.0),
        ("ZeroInflatedPoisson", -1.0),
        ("ZeroInflatedPoisson", math.nan),
        ("Mixture of normals", math.inf),
        ("zuko univariate NSF", math.nan),
        ("RelaxedOneHotCategorical", 1.0),
    ],
)
def test_impossible_values_are_refused(family: str, value: float) -> None:
    law = {**FAMILIES, **FLOWS}[family](FLOAT32)
    with pytest.raises(EvidenceError):
        mechanism(law).abduct(torch.full(law.event_shape, value) if law.event_shape else torch.tensor(value))


def test_a_value_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(EvidenceError, match="shape"):
        mechanism(dist.Normal(torch.zeros(3), 1.0)).abduct(torch.zeros(2))


# ---------------------------------------------------------------------------------------------- mutants


def _standard(law: type, distribution: dist.Distribution, **shape: Tensor) -> dist.Distribution:
    return law(**shape, loc=torch.zeros_like(distribution.loc), scale=torch.ones_like(distribution.scale))


def half_normal_by_abs(d: dist.Distribution) -> Mechanism:
    """AbsTransform inverted: round-trips, and the noise is never negative."""
    noise = dist.Normal(torch.zeros_like(d.scale), 1.0)
    return Mechanism(noise, lambda u: (d.scale * u).abs(), lambda x: x / d.scale)


def gumbels_not_truncated(d: dist.Distribution) -> Mechanism:
    """The winner raised above the others, which keep their prior."""
    good = mechanism(d)

    def abduct(y: Tensor) -> Tensor:
        y = y.expand(torch.broadcast_shapes(y.shape, d.batch_shape))
        winner, log_weights = y.unsqueeze(-1), d.logits.expand(*y.shape, d.logits.shape[-1])
        g = good.noise.sample(y.shape[: y.dim() - len(d.batch_shape)])
        top = (g + log_weights).max(-1, keepdim=True).values + 1
        return g.scatter(-1, winner, top - log_weights.gather(-1, winner))

    return Mechanism(good.noise, good.forward, abduct, bijective=False)


def student_with_its_own_df(d: dist.Distribution) -> Mechanism:
    return Mechanism(
        _standard(dist.StudentT, d, df=d.df), lambda u: d.loc + d.scale * u, lambda x: (x - d.loc) / d.scale
    )


def wrong_sign(d: dist.Distribution) -> Mechanism:
    return Mechanism(_standard(dist.Gumbel, d), lambda u: d.loc - d.scale * u, lambda x: (d.loc - x) / d.scale)


def point_posterior(d: dist.Distribution) -> Mechanism:
    noise = dist.Logistic(torch.zeros_like(d.logits), torch.ones_like(d.logits))
    return Mechanism(noise, lambda e: (e > -d.logits).float(), lambda y: (2 * y - 1) * 3 - d.logits, bijective=False)


def scale_forgotten(d: dist.Distribution) -> Mechanism:
    noise = dist.Normal(torch.zeros_like(d.loc), d.scale)
    return Mechanism(noise, lambda u: d.loc + u, lambda x: x - d.loc)


def same_draw_for_all(d: dist.Distribution) -> Mechanism:
    """One posterior draw of the first unit, given to every unit."""
    good = mechanism(d)

    def abduct(x: Tensor) -> Tensor:
        u = good.abduct(x)
        return u[..., :1].expand(u.shape)

    return Mechanism(good.noise, good.forward, abduct, bijective=False)


def uniform_that_saturates(d: dist.Distribution) -> Mechanism:
    noise = dist.Uniform(torch.zeros_like(d.loc), torch.ones_like(d.loc))
    return Mechanism(noise, d.icdf, d.cdf)


def detached(d: dist.Distribution) -> Mechanism:
    good = mechanism(d)
    fixed = d.concentration.detach()
    return Mechanism(good.noise, mechanism(dist.Gamma(fixed, d.rate)).forward, good.abduct)


def claims_a_point(d: dist.Distribution) -> Mechanism:
    """Right draws for the noise law, wrong density: the noise is stretched on both sides."""
    good = mechanism(d)
    return Mechanism(good.noise, lambda u: good.forward(u) + 1e-3 * u, good.abduct)


MUTANTS = [
    (half_normal_by_abs, "HalfNormal", "noise law"),
    (gumbels_not_truncated, "Categorical of logits", "noise law"),
    (student_with_its_own_df, "StudentT", "parent-free in the batch"),
    (wrong_sign, "Gumbel", "noise law"),
    (point_posterior, "Bernoulli", "shapes|noise law"),
    (scale_forgotten, "Normal", "parent-free in the batch"),
    (same_draw_for_all, "Poisson", "round trip|noise law"),
    (uniform_that_saturates, "Normal", "round trip|support"),
    (detached, "Gamma", "gradient in parameters"),
    (claims_a_point, "Normal", "round trip"),
]


@pytest.mark.parametrize(("mutant", "family", "check"), MUTANTS, ids=lambda m: getattr(m, "__name__", str(m)))
def test_broken_mechanisms_are_caught(mutant: object, family: str, check: str) -> None:
    with pytest.raises(MechanismError, match=f"fails the check '({check})"):
        check_mechanism(FAMILIES[family](FLOAT32), constructor=mutant)  # type: ignore[arg-type]


def test_parent_dependence_is_caught_without_a_batch() -> None:
    with pytest.raises(MechanismError, match="parent-free"):
        check_mechanism(dist.StudentT(torch.tensor(3.0), 0.0, 1.0), constructor=student_with_its_own_df)


def test_check_leaves_the_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    first = check_mechanism(FAMILIES["Poisson"](FLOAT32), num_samples=1_000, seed=3)
    assert torch.equal(before, torch.random.get_rng_state())
    again = check_mechanism(FAMILIES["Poisson"](FLOAT32), num_samples=1_000, seed=3)
    assert repr(first) == repr(again)
    assert "checks passed" in repr(first)
