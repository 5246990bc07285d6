"""The laws fail where a mechanism or a handler is broken: each test breaks one, and names the check that notices.

A broken mechanism mostly keeps the round trip from value to noise and back, which therefore shows little by itself.
"""

import importlib
from contextlib import contextmanager

import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import distributions as td
from torch.nn.functional import one_hot

from causal_pyro_models import Mechanism, mechanism
from causal_pyro_models.scm.handlers.exogenous import Exogenize
from tests.laws import laws
from tests.laws.laws import Study, predictions_by_hand
from tests.laws.strategies import random_scm
from tests.laws.test_density import assert_density_unchanged, float64
from tests.laws.test_noise import assert_noise_free_of_its_parent, assert_noise_law, assert_posterior_by_rejection


def standard_normal(x):
    return dist.Normal(torch.zeros_like(x), torch.ones_like(x))


def wrong_sign(d):
    return Mechanism(standard_normal(d.loc), lambda u: d.loc + d.scale * u, lambda x: (d.loc - x) / d.scale)


def wrong_scale(d):
    return Mechanism(standard_normal(d.loc), lambda u: d.loc + 2 * d.scale * u, lambda x: (x - d.loc) / (2 * d.scale))


def without_location(d):
    return Mechanism(standard_normal(d.loc), lambda u: d.scale * u, lambda x: x / d.scale)


def half_precision(d):
    return Mechanism(
        standard_normal(d.loc), lambda u: d.loc + d.scale * u, lambda x: ((x - d.loc) / d.scale).half().double()
    )


def fresh_randomness(d):
    return Mechanism(
        standard_normal(d.loc),
        lambda u: d.loc + d.scale * (u + 1e-8 * torch.randn_like(u)),
        lambda x: (x - d.loc) / d.scale,
    )


def absolute_value(d):
    return Mechanism(standard_normal(d.scale), lambda u: d.scale * u.abs(), lambda x: x / d.scale)


def standard_student(d):
    zero, one = torch.zeros_like(d.loc), torch.ones_like(d.scale)
    return Mechanism(dist.StudentT(d.df, zero, one), lambda u: d.loc + d.scale * u, lambda x: (x - d.loc) / d.scale)


def logistic_threshold(abduct):
    def build(d):
        logits = d.logits.double()
        noise = dist.Logistic(torch.zeros_like(logits), torch.ones_like(logits))
        return Mechanism(noise, lambda e: (e > -logits).to(logits.dtype), lambda x: abduct(x, logits, noise), False)

    return build


bernoulli_from_prior = logistic_threshold(lambda x, logits, noise: noise.sample(x.shape[: x.dim() - logits.dim()]))
bernoulli_at_a_point = logistic_threshold(lambda x, logits, noise: -logits + 2 * x - 1)


def gumbel_without_truncation(d):
    log_weights = d.logits

    def abduct(x):
        g = dist.Gumbel(torch.zeros_like(log_weights), 1.0).sample(x.shape[: x.dim() - log_weights.dim() + 1])
        best = (log_weights + g).amax(-1, keepdim=True) - log_weights
        return torch.where(one_hot(x, log_weights.shape[-1]).bool(), best + 1e-6, g)

    noise = dist.Gumbel(torch.zeros_like(log_weights), torch.ones_like(log_weights)).to_event(1)
    return Mechanism(noise, lambda g: (log_weights + g).argmax(-1), abduct, False)


def midpoint_of_interval(d):
    right = mechanism_of_poisson(d)

    def cdf(k):
        return torch.special.gammaincc((k + 1).clamp(min=1e-9), d.rate)

    def abduct(x):
        return torch.special.ndtri((torch.where(x > 0, cdf(x - 1), 0.0) + cdf(x)) / 2)

    return Mechanism(right.noise, right.forward, abduct, False)


mechanism_of_poisson = mechanism.dispatch(td.Poisson)


@contextmanager
def registered(family, build):
    right = mechanism.dispatch(family)
    mechanism.register(family, build)
    try:
        yield
    finally:
        mechanism.register(family, right)


def law(check):
    """A law of worlds, as a check on a model."""

    def on_study(model):
        check(Study(model))

    return on_study


def noise_law(model):
    assert_noise_law(model, 1_000, model.seed)


@float64()
def density(model):
    assert_density_unchanged(model, [v.name for v in model.random])


SEED = 5  # gives four variables
MUTANTS = [
    (wrong_sign, td.Normal, ["Normal"], law(laws.consistency)),
    (half_precision, td.Normal, ["Normal"], law(laws.consistency)),
    (fresh_randomness, td.Normal, ["Normal"], law(laws.composition)),
    (fresh_randomness, td.Normal, ["Normal"], law(laws.determinism)),
    (wrong_scale, td.Normal, ["Normal"], noise_law),
    (wrong_scale, td.Normal, ["Normal"], density),
    (without_location, td.Normal, ["Normal"], noise_law),
    (without_location, td.Normal, ["Normal"], density),
    (absolute_value, td.HalfNormal, ["HalfNormal"], noise_law),
    (absolute_value, td.HalfNormal, ["HalfNormal"], density),
    (bernoulli_from_prior, td.Bernoulli, ["Bernoulli"], law(laws.consistency)),
    (bernoulli_at_a_point, td.Bernoulli, ["Bernoulli"], noise_law),
    (bernoulli_at_a_point, td.Bernoulli, ["Bernoulli"], assert_posterior_by_rejection),
    (gumbel_without_truncation, td.Categorical, ["Categorical"], noise_law),
    (gumbel_without_truncation, td.Categorical, ["Categorical"], assert_posterior_by_rejection),
    (midpoint_of_interval, td.Poisson, ["Poisson"], noise_law),
    (midpoint_of_interval, td.Poisson, ["Poisson"], assert_posterior_by_rejection),
    (standard_student, td.StudentT, "StudentT", assert_noise_free_of_its_parent),
]


@pytest.mark.parametrize(
    ("mutant", "family", "families", "check"), MUTANTS, ids=[f"{m[0].__name__}-{i}" for i, m in enumerate(MUTANTS)]
)
def test_a_broken_mechanism_is_noticed(mutant, family, families, check):
    subject = families if isinstance(families, str) else random_scm(SEED, 5, families, deterministic=0.0, coupled=0.0)
    check(subject)
    with registered(family, mutant), pytest.raises(AssertionError):
        check(subject)


VERBS = importlib.import_module("causal_pyro_models.inference.prediction")
right_world = VERBS.world


def forgets_the_noise(model, noise, do, drawn=None, keep=(), seed=None):
    return right_world(model, {}, do, drawn, keep, seed)


def forgets_the_action(model, noise, do, drawn=None, keep=(), seed=None):
    return right_world(model, noise, {}, drawn, keep, seed)


def draws_policies_anew(model, noise, do, drawn=None, keep=(), seed=None):
    return right_world(model, noise, do, None, keep, seed)


def shifts_every_action(model, noise, do, drawn=None, keep=(), seed=None):
    return right_world(
        model, noise, {k: (lambda x: x + 1) if callable(v) else v for k, v in do.items()}, drawn, keep, seed
    )


def replays_the_facts(evidence):
    """What a guide over endogenous variables does: nothing follows from an intervention."""

    def world(model, noise, do, drawn=None, keep=(), seed=None):
        with poutine.condition(data={name: value for name, value in evidence.items() if name not in do}):
            return right_world(model, noise, do, drawn, keep, seed)

    return world


@pytest.mark.parametrize(
    ("world", "check"),
    [
        (forgets_the_noise, laws.consistency),
        (forgets_the_noise, laws.composition),
        (forgets_the_noise, laws.locality),
        (forgets_the_noise, laws.determinism),
        (forgets_the_action, laws.effectiveness),
        (forgets_the_action, laws.effectiveness_of_every_kind),
        (shifts_every_action, laws.composition),
        (draws_policies_anew, laws.determinism_of_policies),
        (forgets_the_noise, predictions_by_hand),
        (forgets_the_action, predictions_by_hand),
    ],
)
def test_a_broken_world_is_noticed(monkeypatch, world, check):
    models = [random_scm(seed, 6, ["Normal", "Gumbel", "StudentT"]) for seed in (3, 4, 5)]
    for model in models:
        check(Study(model))
    monkeypatch.setattr(VERBS, "world", world)
    with pytest.raises(AssertionError):
        for model in models:
            check(Study(model))


def test_only_predictions_by_hand_notice_facts_that_are_replayed(monkeypatch):
    """Laws 2 and 5 hold where nothing downstream of an action changes: predictions must be compared with others."""
    noticed = 0
    for seed in range(5):
        study = Study(random_scm(seed, 6, ["Normal", "Gumbel", "StudentT"]))
        with monkeypatch.context() as patch:
            patch.setattr(Exogenize, "_pyro_post_sample", lambda self, msg: None)
            patch.setattr(VERBS, "world", replays_the_facts(study.evidence))
            laws.effectiveness(study)
            laws.locality(study)
            try:
                predictions_by_hand(study)
            except AssertionError:
                noticed += 1
    assert noticed > 0
