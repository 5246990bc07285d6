"""The contract that every model family keeps: ``check_model``, and what it does not ask."""

from __future__ import annotations

import dataclasses
import math
import warnings

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO
from scipy.stats import kstest

import causal_pyro_models as cpm
from causal_pyro_models.data.batches import Batch
from causal_pyro_models.errors import ModelError
from causal_pyro_models.evaluation.conformance.suite import CHECKS
from causal_pyro_models.models.nodes.vae import CausalVAE
from causal_pyro_models.scm.handlers import exogenous
from causal_pyro_models.seeding import seeded
from tests.contracts.families import FAMILIES, SCALARS, Family, graph, model_of, table, trained

pytestmark = pytest.mark.filterwarnings("ignore::causal_pyro_models.errors.CausalWarning")

LATENT = [name for name, family in FAMILIES.items() if not family.exact]
DRAWS = 20
every_family = pytest.mark.parametrize("name", FAMILIES)


def columns_of(model):
    return {name: table()[name] for name in model.variables}


def evidence_of(model, units=30):
    return {name: value[:units] for name, value in columns_of(model).items()}


def draws_of(name):
    """Where there are latents, a few draws of them."""
    return None if FAMILIES[name].exact else DRAWS


@every_family
def test_a_family_keeps_every_law(name):
    """Statistical tests of check_model reject a sound family once in 300,000 runs; of 15, once in 20,000."""
    model, family = model_of(name), FAMILIES[name]
    report = cpm.check_model(model, columns_of(model), without=family.without)
    assert report.left_out == family.without
    assert len(report.checks) + len(report.left_out) == len(CHECKS)


@every_family
def test_a_family_whose_abduction_is_shifted_is_noticed(name, monkeypatch):
    """Half a standard deviation of the noise of Y: nothing that is copied from the evidence may hide it."""
    right = exogenous.site_mechanism

    def shifted(site):
        law = right(site)
        return dataclasses.replace(law, abduct=lambda x: law.abduct(x) + 0.5) if site["name"] == "Y" else law

    monkeypatch.setattr(exogenous, "site_mechanism", shifted)
    model = model_of(name)
    others = {check: "not asked here" for check in CHECKS if check != "consistency"}
    with pytest.raises(ModelError, match="'consistency': 'Y' does not come back from the noise"):
        cpm.check_model(model, columns_of(model), without=others)


@every_family
def test_two_worlds_with_the_same_noise_and_action_never_differ(name):
    model = model_of(name)
    action = {"X": 0.5, "B": 1.0}
    worlds = cpm.worlds(
        model, evidence_of(model), {"one": action, "two": dict(action)}, num_samples=draws_of(name), seed=0
    )
    for site, values in worlds["one"].items():
        assert torch.equal(values, worlds["two"][site]), site


@every_family
def test_all_randomness_is_in_the_abducted_noise(name):
    """The noise determines the world, whatever the random state is when the world is run."""
    model = model_of(name)
    noise = cpm.abduct(model, evidence_of(model), num_samples=draws_of(name), seed=0)
    one, two = (cpm.counterfactual(model, noise, do={"B": 1.0}, seed=seed) for seed in (1, 2))
    for site, values in one.items():
        assert torch.equal(values, two[site]), site


@pytest.mark.parametrize("name", LATENT)
def test_law_of_noise_abducted_by_a_guide(name):
    """Kolmogorov-Smirnov on 1,500 units of the model itself: over the bound with probability 2 exp(-2 * 2.5**2) = 7e-6.

    A latent's draw from its approximate posterior, weighted, deviates by what the family states.
    """
    family, model = FAMILIES[name], model_of(name)
    values = cpm.sample(model, 1_500, seed=3)
    observed = {site: values[site] for site in model.variables}
    noise = cpm.abduct(model, observed, num_samples=DRAWS, seed=4)
    for site in ("U_X", "U_Y", "U_V"):
        if not _is_normal(model, site):
            continue
        for column in _resampled(noise, site).reshape(1_500, -1).T:
            distance = kstest(column.double().numpy(), "norm").statistic
            assert distance < 2.5 / math.sqrt(len(column)) + family.deviation, site


def _resampled(noise, site):
    """One of the draws of each unit."""
    chosen = torch.randint(noise.num_draws, (noise.units,))
    return noise[site][chosen, torch.arange(len(chosen))]


def _is_normal(model, site):
    trace = poutine.trace(cpm.exogenize(model)).get_trace()
    law = trace.nodes[site]["fn"]
    while hasattr(law, "base_dist"):
        law = law.base_dist
    return isinstance(law, torch.distributions.Normal)


@every_family
def test_exogenize_leaves_the_joint_density_unchanged(name):
    model = model_of(name)
    evidence = {site: value[:7] for site, value in evidence_of(model).items()}

    def run():
        with pyro.plate("units", 7):
            model()

    latents = poutine.trace(poutine.condition(run, evidence)).get_trace()
    held = {site: latents.nodes[site]["value"] for site in latents.stochastic_nodes if site not in evidence}
    plain = latents.log_prob_sum()
    explicit = poutine.condition(
        cpm.exogenize(poutine.condition(run, evidence)), {f"U_{site}": value for site, value in held.items()}
    )
    torch.testing.assert_close(poutine.trace(explicit).get_trace().log_prob_sum(), plain, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", LATENT)
def test_the_loss_is_minus_the_evidence_lower_bound(name):
    """30 means of 20 draws each; beyond 5 standard errors (Student's t) with probability 6e-6."""
    model = model_of(name)
    evidence = {site: torch.cat([value] * 20) for site, value in evidence_of(model, units=10).items()}

    def run(observed):
        with pyro.plate("units", 200):
            return cpm.exogenize(poutine.condition(model, observed))()

    def guide(observed):
        with pyro.plate("units", 200):
            model.guide(observed)

    with torch.no_grad(), pyro.validation_enabled(False):
        bound = torch.tensor([Trace_ELBO().loss(run, guide, evidence) / 200 for _ in range(30)])
        ours = torch.stack([sum(model.losses(Batch(evidence), 1.0).values()) for _ in range(30)])
    error = math.sqrt((bound.var() + ours.var()) / 30)
    assert abs(float(bound.mean() - ours.mean())) < 5 * error + 1e-4


@pytest.mark.parametrize("name", LATENT)
def test_models_with_latents_say_that_they_have_no_density(name):
    with pytest.raises(ModelError, match=r"closed form|hidden confounding"):
        model_of(name).log_prob(evidence_of(model_of(name)))


@every_family
def test_parameters_survive_wrapping(name):
    model = model_of(name)
    own = {id(p) for p in model.parameters()}
    for wrapped in (cpm.intervene(model, {"B": 1.0}), cpm.exogenize(model)):
        assert {id(p) for p in wrapped.parameters()} == own


@every_family
def test_do_masks_the_right_terms(name):
    """A variable that was set has no term; those of the others stay, where no hidden cause joins them."""
    model = model_of(name)
    values = evidence_of(model)
    was_set = torch.arange(30) < 15
    with seeded(0), torch.no_grad():
        free = model.unit_losses(values, {}, 1.0)
    with seeded(0), torch.no_grad():
        masked = model.unit_losses(values, {"K": was_set}, 1.0)
    assert bool((masked["K"][was_set] == 0).all())
    for site in model.variables:
        rows = ~was_set if site == "K" else torch.ones(30, dtype=torch.bool)
        torch.testing.assert_close(masked[site][rows], free[site][rows])


@every_family
def test_every_verb_answers(name):
    model = model_of(name)
    evidence = {site: value[:5] for site, value in evidence_of(model).items()}
    drawn = cpm.sample(cpm.intervene(model, {"B": 1.0}), 200, seed=0)
    assert bool((drawn["B"] == 1).all()) and drawn["Y"].shape == (200,)
    assert drawn["K"].dtype == torch.int64
    average = cpm.ate(model, {"B": (0.0, 1.0)}, "Y", num_samples=500, seed=0)
    assert math.isfinite(float(average.value)) and float(average.standard_error) > 0
    single = cpm.ite(model, {"B": (0.0, 1.0)}, "Y", evidence=evidence, num_samples=draws_of(name), seed=0)
    assert single.value.shape == (5,) and bool(torch.isfinite(single.value).all())


@pytest.mark.parametrize("name", LATENT)
def test_draws_come_with_weights_and_diagnostics(name):
    model = model_of(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        noise = cpm.abduct(model, evidence_of(model, 5), cpm.ImportanceSampling(model.guide), 50, seed=0)
    assert noise.log_weights.shape == (50, 5)
    assert noise.ess.shape == (5,) and bool((noise.ess >= 1).all()) and bool((noise.ess <= 50 + 1e-3).all())
    assert noise.pareto_k.shape == (5,)


def test_weights_of_importance_know_nothing_of_a_tempered_divergence():
    """A VAE trained with four times the divergence is weighed as the model that it is."""
    model = trained(Family(lambda: CausalVAE(graph(), SCALARS, 1, (8,), beta=4.0), False, True))
    others = {check: "not asked here" for check in CHECKS if check != "losses"}
    cpm.check_model(model, columns_of(model), without=others)
