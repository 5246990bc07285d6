"""Guides over noise: trained ones answer as the closed form does, and those that cannot are refused.

Statistical checks use fixed seeds and 4 standard errors, a false alarm of 6e-5 each.
"""

import functools
import math
import warnings

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import (
    AutoDelta,
    AutoDiagonalNormal,
    AutoHierarchicalNormalMessenger,
    AutoLaplaceApproximation,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
    AutoNormalMessenger,
    AutoRegressiveMessenger,
)
from torch import nn

from causal_pyro_models import (
    AmortizedGuide,
    ImportanceSampling,
    abduct,
    counterfactual,
    exogenize,
    fit_guide,
    sample,
)
from causal_pyro_models.errors import AbductionError, CausalWarning, FitError
from causal_pyro_models.scm import zoo
from tests.inference.exact import gaussian_misses, linear_case
from tests.inference.test_abduction import double, hidden_mean, posterior_misses, states

DRAWS = 20_000
train = functools.partial(fit_guide, steps=500, learning_rate=0.02, seed=0, progress=False)


# Trained guides --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [AmortizedGuide, AutoMultivariateNormal])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_linear_models_with_hidden_confounders_and_partial_evidence(kind, seed):
    """With families that hold the posterior; weights of too narrow a guide have no variance to take an error from."""
    scm, evidence, do = linear_case(seed)
    guide = train(scm, evidence, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        world = counterfactual(scm, evidence, do, guide, DRAWS, seed=seed)
    assert not gaussian_misses(world, scm.counterfactual(evidence, do))
    assert float(world.ess.min()) > DRAWS / 2


@pytest.mark.parametrize("structure", ["confounded", "instrument"])
def test_guides_of_independent_normals_where_one_variable_is_hidden(structure):
    scm = getattr(zoo.linear, structure)()
    evidence = {name: value.numpy() for name, value in sample(scm, 6, seed=1).items() if name != "U"}
    guide = train(scm, evidence, AutoNormal)
    for do in ({"X": 0.0}, {"X": lambda x: x + 1.0}, {"U": 1.0}):
        world = counterfactual(scm, evidence, do, guide, DRAWS, seed=0)
        assert not gaussian_misses(world, scm.counterfactual(evidence, do))
    assert float(world.ess.min()) > DRAWS / 2


@pytest.mark.parametrize("kind", [AutoDiagonalNormal, AutoMultivariateNormal, AutoLowRankMultivariateNormal])
def test_guides_that_draw_units_together_are_weighted_together(kind):
    """One weight for a draw of all units; weighted unit by unit, the exact family would not come close."""
    scm, evidence = zoo.linear.confounded(), {"X": np.array([1.0, -1.0, 2.0, 0.0]), "Y": np.array([0.0, 1.0, 3.0, 0.0])}
    noise = abduct(scm, evidence, train(scm, evidence, kind), DRAWS, seed=0)
    assert noise.log_weights.shape == (DRAWS,)
    assert noise.ess.shape == noise.pareto_k.shape == (1,)
    assert float(noise.ess) > DRAWS / 2
    for do in ({}, {"X": 0.0}):
        assert not gaussian_misses(counterfactual(scm, noise, do), scm.counterfactual(evidence, do))


def test_an_amortised_guide_answers_for_units_that_it_was_not_trained_on():
    scm = zoo.linear.front_door()
    seen = {name: value for name, value in sample(scm, 200, seed=0).items() if name in ("X", "Y")}
    guide = train(scm, seen, AmortizedGuide, steps=800)
    new = {name: value[:5].numpy() for name, value in sample(scm, 5, seed=1).items() if name in seen}
    noise = abduct(scm, new, guide, DRAWS, seed=0)
    assert float(noise.ess.min()) > DRAWS / 2
    assert not gaussian_misses(counterfactual(scm, noise, {"X": 1.0}), scm.counterfactual(new, {"X": 1.0}))
    alike = abduct(scm, {"X": new["X"], "Y": 0.5}, guide, 2_000, seed=0)
    repeated = abduct(scm, {"X": new["X"], "Y": np.full(5, 0.5)}, guide, 2_000, seed=0)
    assert torch.equal(alike["U_U"], repeated["U_U"])
    with pytest.raises(AbductionError, match=r"trained on evidence on \['X', 'Y'\] and is given evidence on \['X'\]"):
        abduct(scm, {"X": new["X"]}, guide)


class Skewed(nn.Module):
    """A guide for the scale of one unit: a log-normal whose parameters are learned."""

    def __init__(self):
        super().__init__()
        self.loc, self.log_scale = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def forward(self, evidence):
        pyro.sample("U_S", dist.LogNormal(self.loc, self.log_scale.exp()))


def exponential_scale():
    """S ~ Exponential(1) is the rate of X: S given X = x is Gamma(2, 1 + x)."""
    s = pyro.sample("S", dist.Exponential(1.0))
    pyro.sample("X", dist.Exponential(s))


@pytest.mark.parametrize("build", [Skewed, lambda: AutoNormal, lambda: AmortizedGuide])
def test_guides_over_noise_that_is_not_real(build):
    """Positive noise: an own module, an autoguide, and the amortised one with the Jacobian of its transform."""
    guide = train(exponential_scale, {"X": [0.5]}, build())
    noise = abduct(exponential_scale, {"X": [0.5]}, guide, 40_000, seed=0)
    assert float(noise.ess) > 4_000
    assert bool((noise["U_S"] > 0).all())
    u, w = noise.proposed["U_S"][:, 0].double(), noise.shares().reshape(40_000, -1)[:, 0].double()
    mean = float(w @ u)
    assert abs(mean - 2 / 1.5) < 4 * float((w * (u - mean)).square().sum().sqrt())
    variance = float(w @ (u - mean).square())
    assert abs(variance - 2 / 1.5**2) < 4 * float((w * ((u - mean).square() - variance)).square().sum().sqrt())


def test_amortised_guides_over_vectors():
    """Z of two parts, seen through their sum: E[Z] = (s / 3, s / 3), and any direction across has variance 1."""

    def model():
        z = pyro.sample("Z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyro.sample("S", dist.Normal(z.sum(-1), 1.0))
        pyro.sample("T", dist.Normal(torch.zeros(3), 1.0).to_event(1))

    evidence = {"S": [3.0, -1.5], "T": torch.zeros(2, 3)}
    noise = abduct(model, evidence, train(model, evidence, AmortizedGuide), DRAWS, seed=0)
    assert noise["U_Z"].shape == (DRAWS, 2, 2)
    assert float(noise.ess.min()) > DRAWS / 2
    error = 4 * noise.std("U_Z") / noise.ess[:, None].sqrt()
    assert bool(((noise.mean("U_Z") - torch.tensor([[1.0, 1.0], [-0.5, -0.5]])).abs() < error).all())
    across = (noise["U_Z"][:, 0, 0] - noise["U_Z"][:, 0, 1]) / math.sqrt(2)
    assert abs(float(across.square().mean()) - 1.0) < 4 * math.sqrt(2 / float(noise.ess[0]))


@pytest.mark.parametrize("kind", [AutoNormal, AmortizedGuide])
def test_float64_models(kind):
    evidence = {"X": [0.3, -1.0]}
    noise = abduct(double, evidence, train(double, evidence, kind), DRAWS, seed=0)
    assert noise["U_X"].dtype == torch.float64
    assert not posterior_misses(noise, np.array(evidence["X"]))


def test_hidden_noise_beyond_the_evidence_is_left_to_the_prior():
    guide = train(hidden_mean, {"X": [1.0, -2.0]}, AutoNormal)
    noise = abduct(hidden_mean, {"X": [1.0, -2.0]}, guide, DRAWS, seed=0)
    assert not posterior_misses(noise, np.array([1.0, -2.0]))
    assert sorted(name for name, _ in guide.named_parameters()) == [
        "locs.U_Z_unconstrained",
        "scales.U_Z_unconstrained",
    ]
    assert bool((noise["U_V"].mean(0).abs() < 4 / math.sqrt(DRAWS)).all())


def test_an_untrained_guide_is_corrected_or_warned_of():
    """One that has not learned anything is a wide proposal, here still good enough."""
    evidence = {"X": [0.1, -0.2]}
    guide = train(hidden_mean, evidence, AmortizedGuide, steps=1)
    assert not posterior_misses(abduct(hidden_mean, evidence, guide, DRAWS, seed=0), np.array(evidence["X"]))
    far = {"X": [9.0, -9.0]}
    guide = train(hidden_mean, far, AmortizedGuide, steps=1)
    with pytest.warns(CausalWarning):
        abduct(hidden_mean, far, guide, 2_000, seed=0)


# Guides of Pyro's that run the model, and guides that users train ------------------------------------------------

MESSENGERS = [AutoNormalMessenger, AutoHierarchicalNormalMessenger, AutoRegressiveMessenger]
SEEN = torch.tensor([1.0, -2.0, 0.5])


def grouped():
    """mu ~ LogNormal, so that a draw of its noise has another density than it; Z | mu, X | Z are normal."""
    mu = pyro.sample("mu", dist.LogNormal(0.0, 0.5))
    with pyro.plate("people", 3):
        z = pyro.sample("Z", dist.Normal(mu, 1.0))
        pyro.sample("X", dist.Normal(z, 1.0))


def exact_group():
    """E[mu], by quadrature: given mu, the evidence is three normals with variance 2."""
    log_mu = torch.linspace(-5.0, 5.0, 20_001, dtype=torch.float64) * 0.5
    log_p = dist.Normal(0.0, 0.5).log_prob(log_mu)
    log_p = log_p + dist.Normal(log_mu.exp()[:, None], math.sqrt(2.0)).log_prob(SEEN.double()).sum(1)
    return float((log_p - log_p.logsumexp(0)).exp() @ log_mu.exp())


def in_plate(model, people=3):
    def run():
        with pyro.plate("people", people):
            model()

    return run


def by_svi(density, guide, steps=300):
    pyro.set_rng_seed(0)
    svi = SVI(density, guide, pyro.optim.Adam({"lr": 0.03}), Trace_ELBO())
    for _ in range(steps):
        svi.step()
    return guide


@pytest.fixture
def clean_store():
    yield
    pyro.clear_param_store()


@pytest.mark.parametrize("kind", MESSENGERS)
def test_guides_that_run_the_model(kind):
    """Trained by fit_guide; noise that the evidence says nothing about is left to its prior."""
    noise = abduct(hidden_mean, {"X": SEEN}, train(hidden_mean, {"X": SEEN}, kind), DRAWS, seed=0)
    assert not posterior_misses(noise, SEEN.numpy())
    assert float(noise.ess.min()) > 0.9 * DRAWS and "U_V" in noise
    noise = abduct(grouped, {"X": SEEN}, train(grouped, {"X": SEEN}, kind), DRAWS, seed=0)
    mu = noise.replay["mu"].flatten().double()
    weight = noise.shares().reshape(DRAWS, -1)[:, 0].double()
    error = (weight * (mu - exact_group())).square().sum().sqrt()
    assert abs(float(weight @ mu) - exact_group()) < 4 * float(error)


@pytest.mark.parametrize("kind", MESSENGERS)
def test_guides_that_run_the_model_beside_summed_states(kind):
    def model():
        k = pyro.sample("K", dist.Bernoulli(0.3))
        z = pyro.sample("Z", dist.Normal(2.0 * k, 1.0))
        pyro.sample("X", dist.Laplace(z, 1.0))

    evidence = {"X": [0.5, 2.5]}
    noise = abduct(model, evidence, train(model, evidence, kind), DRAWS, seed=0)
    prior = abduct(model, evidence, ImportanceSampling(), 10 * DRAWS, seed=1)
    error = (noise.std("U_Z").square() / noise.ess + prior.std("U_Z").square() / prior.ess).sqrt()
    assert bool(((noise.mean("U_Z") - prior.mean("U_Z")).abs() < 4 * error).all())


@pytest.mark.parametrize("kind", [AutoNormal, AutoMultivariateNormal, *MESSENGERS])
def test_guides_that_users_train_on_the_exogenized_model(kind, clean_store):
    """One unit, a plate of the user's over units, and a model with a parameter, whose noise the guide draws."""
    one = exogenize(pyro.condition(hidden_mean, {"X": SEEN[0]}))
    noise = abduct(hidden_mean, {"X": SEEN[:1]}, by_svi(one, kind(one)), DRAWS, seed=0)
    assert not posterior_misses(noise, SEEN[:1].numpy())
    several = in_plate(exogenize(pyro.condition(hidden_mean, {"X": SEEN})))
    pyro.clear_param_store()
    noise = abduct(hidden_mean, {"X": SEEN}, by_svi(several, kind(several)), DRAWS, seed=0)
    assert not posterior_misses(noise, SEEN.numpy())
    with pytest.raises(AbductionError, match="the guide draws one value of 'U_Z' for all 3 units of the evidence"):
        abduct(hidden_mean, {"X": SEEN}, kind(one), 100)
    pyro.clear_param_store()
    group = exogenize(pyro.condition(grouped, {"X": SEEN}))
    noise = abduct(grouped, {"X": SEEN}, by_svi(group, kind(group)), DRAWS, seed=0)
    mu = noise.replay["mu"].flatten().double()
    weight = noise.shares().reshape(DRAWS, -1)[:, 0].double()
    error = (weight * (mu - exact_group())).square().sum().sqrt()
    assert "U_mu" not in noise and abs(float(weight @ mu) - exact_group()) < 4 * float(error)


def test_functions_with_parameters_in_the_store_are_used_as_svi_left_them(clean_store):
    """Without arguments, with a plate of their own or without, and the store is as it was."""

    def bare():
        loc = pyro.param("loc", torch.zeros(3))
        scale = pyro.param("scale", torch.ones(3), constraint=dist.constraints.positive)
        pyro.sample("U_Z", dist.Normal(loc, scale))

    def plated():
        with pyro.plate("people", 3):
            bare()

    by_svi(in_plate(exogenize(pyro.condition(hidden_mean, {"X": SEEN}))), plated, 500)
    before = {name: value.clone() for name, value in pyro.get_param_store().items()}
    for guide in (bare, plated):
        noise = abduct(hidden_mean, {"X": SEEN}, guide, DRAWS, seed=0)
        assert not posterior_misses(noise, SEEN.numpy())
        assert float(noise.ess.min()) > 0.9 * DRAWS
    after = dict(pyro.get_param_store().items())
    assert list(after) == list(before) and all(torch.equal(after[name], before[name]) for name in before)


def test_guides_take_what_their_model_takes():
    def model(data, scale):
        z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        pyro.sample("X", dist.Normal(z, scale))

    def guide(data, scale):
        pyro.sample("U_Z", dist.Normal(data / (1.0 + scale**2), (scale**2 / (1.0 + scale**2)) ** 0.5))

    bound = functools.partial(model, torch.tensor([1.0, -2.0]), scale=torch.tensor(1.0))
    noise = abduct(bound, {"X": [1.0, -2.0]}, guide, DRAWS, seed=0)
    assert float(noise.ess.min()) > 0.999 * DRAWS
    with pytest.raises(AbductionError, match=r"'guide' takes \(data, scale\): bind them with functools.partial"):
        abduct(hidden_mean, {"X": [1.0]}, guide, 100)


def test_a_guide_without_parameters_is_not_trained():
    class Empty(nn.Module):
        def forward(self, evidence):
            pyro.sample("U_Z", dist.Normal(pyro.param("loc", torch.zeros(())), 1.0))

    with pytest.raises(AbductionError, match="Empty has no parameters to train"):
        train(hidden_mean, {"X": [1.0]}, Empty())


def test_a_guide_that_runs_a_model_which_does_not_broadcast_is_refused():
    def model():
        z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        pyro.sample("X", dist.Normal(z if z > 0 else -z, 1.0))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CausalWarning)
        with pytest.raises(AbductionError, match="AutoNormalMessenger runs the model on all draws at once"):
            train(model, {"X": [1.0]}, AutoNormalMessenger, steps=2)


# Seeds and progress ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [AutoNormal, AutoMultivariateNormal, AmortizedGuide])
def test_one_seed_trains_one_guide(kind):
    def parameters(seed):
        guide = train(hidden_mean, {"X": [1.0, -2.0]}, kind, steps=5, seed=seed)
        return torch.cat([p.detach().flatten() for p in guide.parameters()])

    before = states()
    one, again, other = parameters(1), parameters(1), parameters(2)
    assert states() == before
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.filterwarnings("ignore::causal_pyro_models.errors.CausalWarning")
def test_a_bar_is_shown_with_progress_and_not_without(capsys):
    guide = train(hidden_mean, {"X": [1.0]}, AutoNormal, steps=60)
    assert capsys.readouterr() == ("", "")
    abduct(hidden_mean, {"X": [1.0]}, guide, 500, seed=0)
    assert capsys.readouterr() == ("", "")
    train(hidden_mean, {"X": [1.0]}, AutoNormal, steps=60, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "guide: 100%" in err
    assert "60/60" in err
    assert "loss=" in err


# Refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [AutoDelta, AutoLaplaceApproximation])
def test_point_estimates_are_refused(kind):
    with pytest.raises(AbductionError, match=f"{kind.__name__} is a point estimate"):
        train(hidden_mean, {"X": [1.0]}, kind)


def test_a_guide_of_one_point_is_refused_where_it_is_used():
    """Its weights are all equal, and would look perfect."""

    def point(evidence):
        pyro.sample("U_Z", dist.Delta(evidence["X"] / 2))

    with pytest.raises(AbductionError, match="every draw of 'U_Z' from the guide is the same"):
        abduct(hidden_mean, {"X": [1.0, 2.0]}, point, 100)


def test_nothing_to_guide_is_refused():
    with pytest.raises(AbductionError, match="abduction is exact, without a guide"):
        train(hidden_mean, {"Z": [0.0], "X": [1.0]})


def test_amortised_guides_need_evidence_and_one_unit():
    conditioned = pyro.poutine.condition(hidden_mean, data={"X": torch.tensor(1.0)})
    with pytest.raises(AbductionError, match="none was given: pass what the model has observed as evidence"):
        train(conditioned, {}, AmortizedGuide)
    assert float(abduct(conditioned, {}, train(conditioned, {}), 2_000, seed=0).ess) > 1_000

    def plated():
        with pyro.plate("people", 2):
            hidden_mean()

    with pytest.raises(AbductionError, match="needs a model of one unit"):
        train(plated, {"X": [1.0, 2.0]}, AmortizedGuide)


class Broken(nn.Module):
    """A guide whose scale turns negative as it is trained."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.01))

    def forward(self, evidence):
        pyro.sample("U_Z", dist.Normal(evidence["X"] * 100.0, self.scale))


@pytest.mark.filterwarnings("ignore:Encountered NaN")
def test_a_bound_that_is_no_number_is_reported():
    with pytest.raises(FitError, match=r"the evidence lower bound became .* at step \d+: lower learning_rate"):
        train(hidden_mean, {"X": [1.0]}, Broken(), learning_rate=1e30)
