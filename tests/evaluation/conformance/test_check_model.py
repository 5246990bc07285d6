"""A sound model passes every check, and each fault fails the check that names it, and no other."""

import importlib

import pyro
import pyro.distributions as dist
import pytest
import torch

from causal_pyro_models import CausalGraph, ImportanceSampling, check_model, fit
from causal_pyro_models.errors import AbductionError, DataError, ModelError, QueryError
from causal_pyro_models.evaluation.conformance.suite import CHECKS
from tests.evaluation.conformance.sinh import sinh_data, sinh_model


def trained(fault=""):
    model = sinh_model(fault)
    fit(model, sinh_data(), steps=20, seed=0, progress=False)
    return model


def without_all_but(*names):
    return {name: "not asked here" for name in CHECKS if name not in names}


def failed(report):
    return [check.name for check in report.failures]


def test_a_sound_node_passes_every_check():
    """The statistical tests of a sound model reject once in 300,000 seeds."""
    report = check_model(trained(), sinh_data())
    assert [check.name for check in report.checks] == list(CHECKS)
    assert not report.left_out and not report.failures


def test_a_parent_that_nothing_was_learned_of_yet_is_read():
    """All weights of the parents are zero before the training, so that only gradients tell."""
    asked = without_all_but("reads its parents")
    assert not failed(check_model(sinh_model(), sinh_data(), without=asked))
    assert failed(check_model(sinh_model("a parent ignored"), sinh_data(), without=asked, strict=False))


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("a shifted inverse", "consistency"),
        ("a wrong Jacobian", "density"),
        ("a parent ignored", "reads its parents"),
        ("noise that depends on a parent", "noise law"),
        ("float32 saturates", "precision"),
        ("a seed ignored", "seeds"),
        ("a loss apart", "losses"),
        ("a gradient cut", "gradients"),
        ("a number kept out of the state", "files"),
        ("a fixed precision", "types"),
        ("fresh randomness", "composition"),
    ],
)
def test_a_fault_fails_the_check_that_names_it_and_no_other(fault, check):
    assert failed(check_model(trained(fault), sinh_data(), strict=False)) == [check]


def test_an_action_that_is_forgotten_fails_effectiveness(monkeypatch):
    verbs = importlib.import_module("causal_pyro_models.inference.prediction")
    world = verbs.world
    monkeypatch.setattr(verbs, "world", lambda model, noise, do, *rest: world(model, noise, {}, *rest))
    assert failed(check_model(trained(), sinh_data(), strict=False)) == ["effectiveness"]


def program():
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    x = pyro.sample("X", dist.Bernoulli(logits=z))
    m = pyro.deterministic("M", x - z)
    pyro.sample("Y", dist.Gamma((0.3 * m).exp(), 1.0))


def program_data(units=100):
    generator = torch.Generator().manual_seed(0)
    z, u, v = torch.randn(3, units, generator=generator)
    return {"Z": z, "X": (u + z > 0).float(), "Y": v.exp()}


OF_MODULES = ["losses", "gradients", "files", "precision", "types"]


def test_a_program_is_held_to_all_laws_but_those_of_modules():
    graph = CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("Z", "Y"), ("X", "Y")])
    report = check_model(program, program_data(), graph=graph)
    assert sorted(report.left_out) == sorted(OF_MODULES)
    assert sorted(check_model(program, program_data()).left_out) == sorted(
        [*OF_MODULES, "locality", "reads its parents"]
    )


@pytest.mark.parametrize(("dtype", "fails"), [(torch.float32, ["consistency"]), (torch.float64, [])])
def test_evidence_comes_back_relative_to_its_standard_deviation_and_not_to_its_size(dtype, fails):
    """A number at a thousand of its standard deviations from zero, whose logarithm float32 rounds too much."""
    location, scale = torch.tensor([9.2, 1e-3], dtype=dtype)

    def far():
        pyro.sample("X", dist.LogNormal(location, scale))

    x = torch.randn(100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    data = {"X": (9.2 + 1e-3 * x).exp().numpy()}
    assert failed(check_model(far, data, without=without_all_but("consistency"), strict=False)) == fails


def test_a_graph_that_is_not_the_programs_fails():
    """Without Z -> X what Z moves is not local; with X -> Z an edge is not read."""
    missing = CausalGraph(["Z", "X", "Y"], [("Z", "Y"), ("X", "Y")])
    assert failed(check_model(program, program_data(), graph=missing, strict=False)) == ["locality"]
    turned = CausalGraph(["Z", "X", "Y"], [("X", "Z"), ("Z", "Y"), ("X", "Y")])
    report = check_model(program, program_data(), graph=turned, strict=False)
    assert failed(report) == ["locality", "reads its parents"]
    assert "'Z' does not read its parent 'X'" in report["reads its parents"].failure


def test_what_data_leave_out_needs_a_method():
    data = {name: value for name, value in program_data().items() if name != "Z"}
    with pytest.raises(AbductionError, match="method"):
        check_model(program, data)
    asked = "consistency", "composition", "noise law"
    report = check_model(program, data, method=ImportanceSampling(), without=without_all_but(*asked))
    assert [check.name for check in report.checks] == list(asked)


def test_a_failure_raises_with_its_name_and_figure():
    with pytest.raises(ModelError, match=r"fails the check 'consistency': 'Y' does not come back .* \(found 0\.0\d+, "):
        check_model(trained("a shifted inverse"), sinh_data())


def test_checks_are_left_out_by_name_and_with_a_reason():
    report = check_model(trained("a shifted inverse"), sinh_data(), without={"consistency": "known"})
    assert report.left_out == {"consistency": "known"}
    assert "left out: known" in repr(report)
    with pytest.raises(QueryError, match="no check 'consistencies'"):
        check_model(trained(), sinh_data(), without={"consistencies": ""})


def plated():
    with pyro.plate("units", 30):
        pyro.sample("X", dist.Normal(0.0, 1.0))


def observed():
    x = pyro.sample("X", dist.Normal(0.0, 1.0))
    pyro.sample("Y", dist.Normal(x, 1.0), obs=torch.tensor(0.0))


@pytest.mark.parametrize(
    ("model", "data", "error", "says"),
    [
        (plated, {"X": torch.zeros(30)}, ModelError, "plates of its own"),
        (observed, {"X": torch.zeros(30)}, ModelError, "the observation 'Y'"),
        (program, program_data(5), DataError, "at least 20 rows"),
        ("no model", {}, ModelError, "callable"),
    ],
)
def test_what_cannot_be_checked_is_refused(model, data, error, says):
    with pytest.raises(error, match=says):
        check_model(model, data)


def test_the_random_state_stays_and_the_report_is_that_of_the_seed():
    model, data = trained(), sinh_data()
    before = torch.random.get_rng_state()
    once = check_model(model, data, seed=3)
    assert torch.equal(before, torch.random.get_rng_state())
    assert repr(once) == repr(check_model(model, data, seed=3))


def test_rows_with_missing_values_or_interventions_are_not_evidence():
    data = sinh_data()
    gaps = {name: torch.cat([value, value.new_full((50,), torch.nan)]) for name, value in data.items()}
    model, without = trained(), without_all_but("consistency")
    assert repr(check_model(model, data, without=without)) == repr(check_model(model, gaps, without=without))
