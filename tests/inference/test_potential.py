"""The density that NUTS climbs is the one of Pyro's trace, with mappings that follow supports that move."""

import warnings

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer.mcmc.util import initialize_model
from pyro.ops.integrator import potential_grad

from causal_pyro_models import NUTS, abduct, counterfactual
from causal_pyro_models.errors import AbductionError
from causal_pyro_models.inference.conditioned import Conditioned
from causal_pyro_models.inference.potential import Potential
from causal_pyro_models.inference.program import inspect_model
from causal_pyro_models.scm import zoo
from tests.inference.exact import chain_error, chain_misses


def regression():
    slopes = pyro.sample("slopes", dist.Normal(torch.zeros(2), 2.0).to_event(1))
    scale = pyro.sample("scale", dist.HalfCauchy(1.0))
    share = pyro.sample("share", dist.Dirichlet(torch.ones(3)))
    with pyro.plate("units", 4):
        x = pyro.sample("X", dist.Gamma(2.0, 1.0))
        hidden = pyro.sample("H", dist.Exponential(1.0))
        mean = pyro.deterministic("mean", slopes[..., 0] + slopes[..., 1] * x + hidden * share[..., 0])
        with pyro.poutine.scale(scale=0.5), pyro.poutine.mask(mask=torch.tensor([True, True, False, True])):
            pyro.sample("Y", dist.Normal(mean, scale))


def one_unit():
    s = pyro.sample("S", dist.Exponential(1.0))
    z = pyro.sample("Z", dist.StudentT(5.0, 0.0, s))
    c = pyro.sample("C", dist.Normal(z, 1.0))
    pyro.sample("B", dist.Bernoulli(logits=c))
    pyro.sample("Y", dist.Normal(c + z, s))


def mixture():
    m = pyro.sample("M", dist.Normal(0.0, 1.0))
    k = pyro.sample("K", dist.Bernoulli(0.3))
    pyro.sample("X", dist.Normal(m + 2.0 * k, 1.0))


CASES = {
    "parameters, hidden noise, scale and mask": (
        regression,
        {"X": [0.5, 1.0, 2.0, 0.1], "Y": [1.0, -1.0, 0.5, 2.0]},
    ),
    "a model of one unit": (one_unit, {"B": [1.0, 0.0], "Y": [0.5, -2.0]}),
    "states that are summed over": (mixture, {"X": [0.5, 2.0]}),
}


@pytest.mark.parametrize("case", CASES)
def test_density_and_gradient_are_those_of_the_trace(case):
    model, evidence = CASES[case]
    conditioned = Conditioned.on(inspect_model(model), evidence)
    with pyro.validation_enabled(False):
        _, reference, _, _ = initialize_model(conditioned.sampled_model())
        potential = Potential(conditioned)
        for _ in range(5):
            point = potential.start()
            slope, value = potential_grad(potential, point)
            wanted, expected = potential_grad(reference, point)
            torch.testing.assert_close(value, expected)
            for name in point:
                torch.testing.assert_close(slope[name], wanted[name], rtol=1e-4, atol=1e-4)


def test_a_support_that_moves_with_another_site():
    """P | H = h ~ Uniform(0, h): E P = E H / 2 under the prior, where one mapping for all h would cut P off."""

    def model():
        h = pyro.sample("H", dist.Gamma(4.0, 2.0))
        p = pyro.sample("P", dist.Uniform(0.0, h))
        with pyro.plate("units", 1):
            pyro.sample("X", dist.Normal(p, 100.0))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        noise = abduct(model, {"X": [0.0]}, NUTS(60, num_chains=2, progress=False), 400, seed=0)
    h, p = (noise.parameters[name].double() for name in "HP")
    assert bool((p < h).all())
    for draws, truth in ((h, 2.0), (p, 1.0), (p / h, 0.5), ((p / h).square(), 1 / 3)):
        assert abs(float(draws.mean()) - truth) < 4 * float(chain_error(draws, 2))  # 6e-5 each


def test_an_autoregression_written_with_markov():
    """A linear-Gaussian state-space model against its closed form, 4 standard errors: a false alarm of 6e-5 each."""

    def model():
        state = torch.zeros(())
        for t in pyro.markov(range(1, 4)):
            state = pyro.sample(f"S{t}", dist.Normal(0.8 * state, 1.0))
            pyro.sample(f"Y{t}", dist.Normal(state, 0.5))

    weights = {**{(f"S{t}", f"S{t + 1}"): 0.8 for t in (1, 2)}, **{(f"S{t}", f"Y{t}"): 1.0 for t in (1, 2, 3)}}
    scm = zoo.LinearGaussianSCM(weights, {f"S{t}": 1.0 for t in (1, 2, 3)} | {f"Y{t}": 0.5 for t in (1, 2, 3)})
    evidence = {"Y1": [1.0], "Y2": [-0.5], "Y3": [2.0]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        noise = abduct(model, evidence, NUTS(40, num_chains=2, progress=False), 200, seed=0)
    assert not chain_misses(counterfactual(model, noise, {"S1": 0.0}), scm.counterfactual(evidence, {"S1": 0.0}), 2)


def test_a_discrete_parameter_is_refused():
    def model():
        k = pyro.sample("K", dist.Poisson(3.0))
        with pyro.plate("units", 2):
            pyro.sample("X", dist.Normal(k, 1.0))

    with pytest.raises(AbductionError, match="moves along gradients, and 'K' has discrete values"):
        abduct(model, {"X": [1.0, 2.0]}, NUTS(progress=False), 400)


def test_impossible_evidence_leaves_nowhere_to_start():
    def model():
        p = pyro.sample("P", dist.Uniform(0.0, 1.0))
        with pyro.plate("units", 1):
            pyro.sample("X", dist.Uniform(p, p + 1.0))

    with pytest.raises(AbductionError, match=r"finite at none of 100 random points, so NUTS has nowhere to start"):
        abduct(model, {"X": [3.0]}, NUTS(progress=False), 400)
