"""Which programs broadcast, and which draw random numbers outside of their sites: told by replays."""

import functools
import gc
import random

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

import causal_pyro_models as cpm
from causal_pyro_models.errors import ModelError
from causal_pyro_models.inference import verdicts
from causal_pyro_models.inference.program import inspect_model

pytestmark = pytest.mark.filterwarnings("ignore::causal_pyro_models.errors.CausalWarning")


def of_one_unit(loc, last=False):
    """X, then Y about a function of X; with ``last``, a site that is right stands in between."""

    def model():
        x = pyro.sample("X", dist.Normal(0.0, 1.0))
        if last:
            pyro.sample("W", dist.Normal(x, 1.0))
        pyro.sample("Y", dist.Normal(loc(x), 1.0))

    return model


def in_a_plate(loc):
    def model():
        s = pyro.sample("S", dist.Normal(0.0, 1.0))
        with pyro.plate("rows", 4):
            x = pyro.sample("X", dist.Normal(s, 1.0))
            pyro.sample("Y", dist.Normal(loc(x), 1.0))

    return model


MIXING = {  # units, or draws
    "mean": lambda x: x - x.mean(),
    "softmax": lambda x: x.exp() / x.exp().sum(),
    "over units": lambda x: x - x.mean(-1, keepdim=True) if x.dim() else x,
    "over draws": lambda x: x - x.mean(0) if x.dim() else x,
    "the first unit": lambda x: x[..., :1] if x.dim() else x,
    "the last draw": lambda x: x[-1] if x.dim() else x,
    "transposed": lambda x: x.mT if x.dim() > 1 else x,
    "sorted": lambda x: x.sort(-1).values if x.dim() else x,
    "cumulated": lambda x: x.cumsum(0) if x.dim() else x,
    "any": lambda x: torch.where((x > 0).any(), 1.0, -1.0),
    "size": lambda x: x * x.numel(),
}


@pytest.mark.parametrize("name", MIXING)
@pytest.mark.parametrize("last", [False, True])
def test_units_that_mix_in_a_model_of_one_unit_are_found(name, last):
    assert inspect_model(of_one_unit(MIXING[name], last)).verdict.in_turns


def test_branches_of_all_units_show_in_one_of_the_rounds():
    """A round misses one of three such programs; of 20 the rounds together miss few."""
    found = 0
    for before in range(20):

        def model(before=before):
            pyro.sample("W", dist.Normal(torch.zeros(before + 1), 1.0).to_event(1))
            x = pyro.sample("X", dist.Normal(0.0, 1.0))
            pyro.sample("Y", dist.Normal(torch.where((x > 0).any(), 1.0, -1.0), 1.0))

        found += inspect_model(model).verdict.in_turns
    assert found >= 19


@pytest.mark.parametrize("law", [
    lambda x: dist.Uniform(x.mean() - 1.0, x.mean() + 1.0),
    lambda x: dist.Uniform(x.mean() - 50.0, x.mean() + 50.0),
    lambda x: dist.Normal(0.0, x.exp().sum()),
    lambda x: dist.Bernoulli(logits=x.sum()),
    lambda x: dist.Categorical(logits=torch.stack([x, x.mean().expand(x.shape)], -1)),
    lambda x: dist.Gamma(x.exp().mean(), 1.0),
    lambda x: dist.Delta(x - x.mean()),
])  # fmt: skip
def test_it_shows_in_whatever_part_of_a_law(law):
    def model():
        x = pyro.sample("X", dist.Normal(0.0, 1.0))
        pyro.sample("Y", law(x))

    assert inspect_model(model).verdict.in_turns


def test_it_shows_in_deterministic_values_and_factors():
    def deterministic():
        x = pyro.sample("X", dist.Normal(0.0, 1.0))
        pyro.deterministic("Y", x - x.mean())

    def factor():
        x = pyro.sample("X", dist.Normal(0.0, 1.0))
        pyro.factor("Y", x.sum().expand(x.shape))

    assert inspect_model(deterministic).verdict.in_turns and inspect_model(factor).verdict.in_turns


@pytest.mark.parametrize("name", ["over units", "the first unit", "sorted", "size of the plate"])
def test_units_of_a_plate_may_mix(name):
    """They are what the model says; its draws may not."""
    loc = MIXING.get(name, lambda x: x * x.shape[-1])
    found = inspect_model(in_a_plate(loc)).verdict
    assert not found.in_turns


@pytest.mark.parametrize("name", ["mean", "softmax", "over draws", "the last draw", "cumulated", "size"])
def test_draws_of_a_plate_may_not_mix(name):
    assert inspect_model(in_a_plate(MIXING[name])).verdict.in_turns


def test_groups_by_an_index_are_found_whether_there_are_as_many_as_draws_or_not():
    for groups in (1, 2, 3, 10):
        ids = torch.arange(6) % groups

        def model(groups=groups, ids=ids):
            with pyro.plate("groups", groups):
                a = pyro.sample("A", dist.Normal(0.0, 1.0))
            with pyro.plate("rows", 6):
                pyro.sample("Y", dist.Normal(a[ids], 1e-6))

        drawn = cpm.sample(model, groups, seed=0)
        assert torch.allclose(drawn["Y"], drawn["A"][:, ids], atol=1e-4)


@pytest.mark.parametrize(
    "model",
    [
        of_one_unit(lambda x: 2.0 * x),
        of_one_unit(lambda x: torch.where(x > 0, 1e6 + x, -1e6)),
        of_one_unit(lambda x: torch.tensor([1.0, 2.0])[(x > 0).long()]),
        of_one_unit(lambda x: torch.stack([x, x], -1).mean(-1)),
        in_a_plate(lambda x: x.exp()),
    ],
)
def test_programs_that_broadcast_are_left_alone(model):
    found = inspect_model(model).verdict
    assert not found.in_turns and not found.coupled


def test_the_rounding_of_wide_numbers_is_no_difference():
    """Narrow laws far from zero, in float32: sums over 200 columns differ in their last bits with the shape."""
    weight = torch.randn(200)

    def model():
        x = pyro.sample("X", dist.Normal(torch.zeros(200), 1.0).to_event(1))
        pyro.sample("Y", dist.Normal(1e4 + (x * weight).sum(-1), 1e-3))
        pyro.deterministic("Z", (x * 1e3 * weight).sum(-1))
        pyro.deterministic("N", torch.sqrt(x[..., 0]))

    assert not inspect_model(model).verdict.in_turns


NOISES = {
    "torch.randn": lambda x: x + torch.randn(()),
    "torch.randn_like": lambda x: x + torch.randn_like(x),
    "random": lambda x: x + random.random(),
    "numpy": lambda x: x + np.random.rand(),
    "dropout": lambda x: torch.nn.functional.dropout(x + 1.0, 0.5),
    "rare dropout": lambda x: torch.nn.functional.dropout(x + 1.0, 0.1),
    "distribution": lambda x: x + dist.Normal(0.0, 1.0).sample(),
    "branch": lambda x: x + random.random() if x > 0 else x - random.random(),
}


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("kind", [of_one_unit, in_a_plate])
def test_randomness_outside_of_sites_is_refused_by_the_name_of_the_site(name, kind):
    if name == "branch" and kind is in_a_plate:
        pytest.skip("a branch on a vector")
    for verb in (lambda m: cpm.sample(m, 5), lambda m: cpm.abduct(m, {"X": torch.zeros(4), "Y": torch.zeros(4)})):
        with pytest.raises(ModelError, match=r"'Y' is another.*outside of pyro\.sample"):
            verb(kind(NOISES[name]))


def test_random_numbers_that_no_law_depends_on_are_let_be():
    def model():
        torch.nn.Linear(2, 2)
        x = pyro.sample("X", dist.Normal(0.0, 1.0))
        pyro.sample("Y", dist.Normal(x, 1.0))

    assert cpm.sample(model, 3).keys() == {"X", "Y"}


def test_dropout_is_refused_in_training_mode_alone():
    network = torch.nn.Sequential(torch.nn.Linear(1, 20), torch.nn.Dropout(0.5), torch.nn.Linear(20, 1))

    def model():
        x = pyro.sample("X", dist.Normal(0.0, 1.0))
        pyro.sample("Y", dist.Normal(network(x[..., None])[..., 0], 1.0))

    for _ in range(2):
        network.eval()
        cpm.sample(model, 5)
        network.train()
        with pytest.raises(ModelError, match="'Y'"):
            cpm.sample(model, 5)


def test_what_runs_share_is_refused():
    class Keeps:
        def __call__(self):
            self.x = pyro.sample("X", dist.Normal(0.0, 1.0))
            y = pyro.sample("Y", dist.Normal(1.0 if self.x > 0 else 0.0, 1.0))
            pyro.sample("Z", dist.Normal(self.x + y, 1.0))

    with pytest.raises(ModelError, match=r"'Z'.*local variables"):
        cpm.sample(Keeps(), 5)


def test_the_random_state_is_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    inspect_model(of_one_unit(MIXING["mean"]))
    assert torch.equal(torch.rand(3), expected)


def test_a_verdict_is_kept_for_a_model_and_for_functions_made_anew_of_it():
    class Runs:
        count = 0

    def model(scale=1.0):
        Runs.count += 1
        x = pyro.sample("X", dist.Normal(0.0, 1.0))
        pyro.sample("Y", dist.Normal(x, scale))

    def cost(made):
        before = Runs.count
        inspect_model(made())
        return Runs.count - before

    assert cost(lambda: model) > 1 and cost(lambda: model) == 1
    assert cost(lambda: lambda: model()) > 1
    for made in (lambda: functools.partial(model, 2.0), lambda: functools.partial(model, torch.tensor(3.0))):
        kept = made()
        assert cost(lambda kept=kept: functools.partial(kept.func, *kept.args)) > 1
        assert cost(lambda kept=kept: functools.partial(kept.func, *kept.args)) == 1
    assert cost(lambda: cpm.intervene(model, {"X": 1.0})) == 1
    assert cost(lambda: cpm.exogenize(model)) == 1


def test_a_verdict_is_about_what_a_function_refers_to():
    def made(loc):
        return lambda: pyro.sample("Y", dist.Normal(loc(pyro.sample("X", dist.Normal(0.0, 1.0))), 1.0))

    assert not inspect_model(made(lambda x: x)).verdict.in_turns
    assert inspect_model(made(lambda x: x - x.mean())).verdict.in_turns


def test_a_verdict_looks_at_globals():
    space = {"pyro": pyro, "dist": dist, "loc": lambda x: x}
    exec("def model():\n pyro.sample('Y', dist.Normal(loc(pyro.sample('X', dist.Normal(0., 1.))), 1.))", space)
    assert not inspect_model(space["model"]).verdict.in_turns
    space["loc"] = lambda x: x - x.mean()
    assert inspect_model(space["model"]).verdict.in_turns


def test_verdicts_hold_no_models():
    before = len(verdicts._known)

    class Model:
        def __call__(self):
            pyro.sample("X", dist.Normal(0.0, 1.0))

    for _ in range(verdicts.MOST + 5):
        verdicts.remember(Model(), inspect_model(of_one_unit(lambda x: x)).verdict)
    gc.collect()
    assert before <= len(verdicts._known) <= verdicts.MOST
    assert not any(isinstance(held, Model) for held in gc.get_objects())


def neighbours(ids, first="n", size=6):
    """A Y for each unit, whose mean is the A of another; in one plate, or in two."""

    def model():
        with pyro.plate(first, size):
            a = pyro.sample("A", dist.Normal(0.0, 1.0))
            if first == "n":
                pyro.sample("Y", dist.Normal(a[..., ids], 1.0))
        if first != "n":
            with pyro.plate("n", len(ids)):
                pyro.sample("Y", dist.Normal(a[..., ids], 1.0))

    return model


SEEN = torch.tensor([1.0, 2.0, 3.0, 1.5, 2.5, 3.5])


@pytest.mark.parametrize("ids", [[1, 0, 3, 2, 5, 4], [0, 0, 1, 2, 3, 4], [0, 1, 2, 3, 5, 4], [0, 1, 2, 3, 3, 5]])
@pytest.mark.parametrize("first", ["n", "groups"])
def test_units_that_bear_on_each_other_are_weighed_together(ids, first):
    """Against the closed form: A has precision 1 + its number of rows. 5 standard errors of 40,000 draws."""
    ids, model = torch.tensor(ids), neighbours(torch.tensor(ids), first)
    with pytest.warns(cpm.CausalWarning):  # of few effective draws: six numbers are weighed at once
        noise = cpm.abduct(model, {"Y": SEEN}, cpm.ImportanceSampling(), 40_000, seed=0)
    precision = 1.0 + torch.bincount(ids, minlength=6)
    exact = torch.zeros(6).index_add(0, ids, SEEN) / precision
    error = 5 / (float(noise.ess.min()) * precision).sqrt()
    assert bool(((noise.mean("U_A").reshape(-1) - exact).abs() < error).all())


def test_plates_of_different_sizes_are_weighed_together():
    ids = torch.tensor([0, 1, 2, 0, 1, 2])
    noise = cpm.abduct(neighbours(ids, "groups", 3), {"Y": SEEN}, cpm.ImportanceSampling(), 20_000, seed=0)
    exact = torch.tensor([2.5, 4.5, 6.5]) / 3
    error = 5 / (3 * float(noise.ess.min())) ** 0.5
    assert torch.allclose(noise.mean("U_A").reshape(-1).float(), exact, rtol=0.0, atol=error)


@pytest.mark.parametrize("size", [2, 3, 6])
@pytest.mark.parametrize("law", [dist.Normal(0.0, 1.0), dist.Bernoulli(0.01), dist.Categorical(torch.ones(3))])
def test_any_unit_that_bears_on_any_other_is_found(size, law):
    def model(source, target):
        with pyro.plate("n", size):
            x = pyro.sample("X", law)
            pyro.sample("Y", dist.Normal(1.0 * x[..., [source]] * (torch.arange(size) == target), 1.0))

    for source in range(size):
        for target in range(size):
            found = inspect_model(functools.partial(model, source, target)).verdict
            assert not found.in_turns and found.coupled == (source != target)
