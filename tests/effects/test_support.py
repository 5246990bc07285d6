"""Answers of a learned model say how much of what they ask lies outside of the support of its data."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from causal_pyro_models import (
    Binary,
    CausalFlow,
    CausalGraph,
    CausalVAE,
    NeuralCausalModel,
    ate,
    att,
    cate,
    cde,
    counterfactual,
    dose_response,
    fit,
    intervene,
    ite,
    load,
    nde,
    nie,
    odds_ratio,
    path_specific,
    pn,
    pns,
    ps,
    risk_ratio,
    save,
    worlds,
)
from causal_pyro_models.errors import CausalWarning, QueryError, SupportError
from causal_pyro_models.estimate import FALSE_ALARMS
from causal_pyro_models.models import VAENode
from causal_pyro_models.models.support import outside, support_of

BACK_DOOR = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
ARMS = {"X": (0.0, 1.0)}
OPTIONS = {"seed": 0, "num_samples": 1_000}


def thin(noise, n=600):
    """X nearly Z, as in a table where treatment follows from a covariate."""
    r = np.random.default_rng(0)
    z = r.normal(size=n)
    x = z + noise * r.normal(size=n)
    return {"Z": z, "X": x, "Y": np.sin(2 * x) + z + 0.3 * r.normal(size=n)}


def trained(graph, table, kinds=None, family=NeuralCausalModel, model=None, checkpoint=None, **settings):
    if model is None:
        model = family(graph, {name: (kinds or {}).get(name, 1) for name in graph.variables}, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(model, table, steps=20, seed=0, progress=False, checkpoint=checkpoint)
    return model


@functools.cache
def thin_model(noise=0.1, family=NeuralCausalModel):
    return trained(BACK_DOOR, thin(noise), family=family)


@functools.cache
def binary_table():
    r = np.random.default_rng(0)
    z = r.normal(size=800)
    x = (r.random(800) < 1 / (1 + np.exp(-0.4 * z))).astype(float)
    m = 0.5 * x + 0.5 * z + r.normal(size=800)
    y = (r.random(800) < 1 / (1 + np.exp(-x - m))).astype(float)
    return {"Z": z, "X": x, "M": m, "Y": y}


@functools.cache
def binary_model():
    edges = [("Z", "X"), ("Z", "M"), ("X", "M"), ("M", "Y"), ("X", "Y")]
    return trained(CausalGraph.from_edges(edges), binary_table(), {"X": Binary(), "Y": Binary()})


@pytest.mark.parametrize(("noise", "least"), [(0.3, 0.3), (0.1, 0.6)])
@pytest.mark.parametrize("family", [NeuralCausalModel, CausalFlow, CausalVAE])
def test_a_treatment_that_follows_from_a_covariate_is_told(noise, least, family):
    with pytest.warns(CausalWarning, match="outside the support of the data"):
        found = ate(thin_model(noise, family), ARMS, "Y", **OPTIONS)
    assert least < found.support.share < 1 and all(share > 0.2 for share in found.support.shares)
    assert f"{100 * found.support.share:.0f}% of what is asked lies outside the support of the data (Y given Z, X" in (
        repr(found).replace("X, Z", "Z, X")
    )
    assert not found.support.nearest  # of X alone, both arms are well within


@pytest.mark.parametrize("far", [1000.0, -1000.0])
def test_a_value_beyond_all_data_is_told_with_the_nearest_that_there_is(far):
    with pytest.warns(CausalWarning, match="the nearest supported X is"):
        found = ate(thin_model(0.3), {"X": (0.0, far)}, "Y", **OPTIONS)
    assert found.support.shares[1] == 1.0
    column = thin(0.3)["X"]
    end = np.quantile(column, 0.9975 if far > 0 else 0.0025)
    assert found.support.nearest["X"] == pytest.approx(end, abs=0.3)
    assert f"the nearest supported X is {found.support.nearest['X']:.12g}" in repr(found)


def test_the_nearest_value_is_in_the_units_of_the_data():
    table = {**thin(0.3), "X": 1.7e9 + 1e5 * thin(0.3)["X"]}
    with pytest.warns(CausalWarning, match=r"the nearest supported X is 1700[0-9]{6}"):
        found = ate(trained(BACK_DOOR, table), {"X": (1.7e9, 1.8e9)}, "Y", **OPTIONS)
    assert found.support.nearest["X"] == pytest.approx(1.7e9 + 2.8e5, abs=5e4)


VERBS = {
    "ate": lambda m, **o: ate(m, ARMS, "Y", **o),
    "ate of an event": lambda m, **o: ate(m, ARMS, {"Y": 1}, **o),
    "ate of a function": lambda m, **o: ate(m, ARMS, lambda world: world["Y"], **o),
    "att": lambda m, **o: att(m, ARMS, "Y", **o),
    "cate": lambda m, **o: cate(m, ARMS, "Y", given={"Z": 0.5}, **o),
    "cate by": lambda m, **o: cate(m, ARMS, "Y", by=lambda world: world["Z"] > 0, **o),
    "ite": lambda m, **o: ite(m, ARMS, "Y", evidence=EVIDENCE, **o),
    "dose_response": lambda m, **o: dose_response(m, {"X": [0.0, 1.0]}, "Y", **o),
    "risk_ratio": lambda m, **o: risk_ratio(m, ARMS, "Y", **o),
    "odds_ratio": lambda m, **o: odds_ratio(m, ARMS, "Y", **o),
    "cde": lambda m, **o: cde(m, ARMS, "Y", {"M": 1.0}, **o),
    "nde": lambda m, **o: nde(m, ARMS, "Y", "M", **o),
    "nie": lambda m, **o: nie(m, ARMS, "Y", "M", **o),
    "path_specific": lambda m, **o: path_specific(m, ARMS, "Y", [("X", "M", "Y")], **o),
    "pn": lambda m, **o: pn(m, ARMS, "Y", **o),
    "ps": lambda m, **o: ps(m, ARMS, "Y", **o),
    "pns": lambda m, **o: pns(m, ARMS, "Y", **o),
}
EVIDENCE = {"Z": [0.5, -0.5], "X": [1.0, 0.0], "M": [1.0, 0.5], "Y": [1.0, 0.0]}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_it_and_says_nothing_where_groups_overlap(verb):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*support of the data")
        found = VERBS[verb](binary_model(), seed=0, **({"num_samples": 500} if verb != "ite" else {}))
    assert found.support is not None and max(found.support.shares) <= FALSE_ALARMS
    assert "support" not in repr(found) and str(found.support) == ""
    VERBS[verb](binary_model(), seed=0, require_support=True, **({"num_samples": 500} if verb != "ite" else {}))


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("cate", "att", "cde", "path_specific")])
def test_every_verb_refuses_to_leave_it_where_that_is_required(verb):
    """Where the covariate is set to what the data have none of; the others take no such model, or do not mind."""
    model = intervene(binary_model(), {"Z": 60.0})
    evidence = {key: value for key, value in EVIDENCE.items() if key != "Z"}
    options = {"seed": 0, "require_support": True, **({"num_samples": 300} if verb != "ite" else {})}
    with pytest.raises(SupportError, match="outside the support of the data") as refused:
        ite(model, ARMS, "Y", evidence=evidence, **options) if verb == "ite" else VERBS[verb](model, **options)
    assert isinstance(refused.value, QueryError)


@pytest.mark.parametrize("seed", range(4))
def test_a_binary_treatment_of_overlapping_groups_prints_nothing(seed):
    """The design "linear": of 20 seeds tried, the largest share in an arm was .030."""
    r = np.random.default_rng(seed)
    z, w = r.normal(size=1000), r.normal(size=1000)
    x = (r.random(1000) < 1 / (1 + np.exp(-0.8 * z + 0.5 * w))).astype(float)
    table = {"Z": z, "W": w, "X": x, "Y": x + z + w + r.normal(size=1000)}
    graph = CausalGraph.from_edges([("Z", "X"), ("W", "X"), ("Z", "Y"), ("W", "Y"), ("X", "Y")])
    found = ate(trained(graph, table, {"X": Binary()}), ARMS, "Y", **OPTIONS)
    assert max(found.support.shares) <= FALSE_ALARMS and "support" not in repr(found)


def test_a_curve_has_a_share_for_each_of_its_points():
    grid = [-6.0, -1.0, 0.0, 1.0, 6.0]
    with pytest.warns(CausalWarning):
        found = dose_response(thin_model(0.3), {"X": grid}, "Y", **OPTIONS)
    shares = found.support.shares
    assert len(shares) == 5 and shares[0] == shares[-1] == 1.0 and shares[2] == min(shares)
    assert found.support.share == pytest.approx(sum(shares) / 5)


def test_only_mechanisms_on_the_way_to_the_outcome_are_asked():
    """Y is a child of X, and W of X and of a copy of Z; asked about Y, W does not matter."""
    table = thin(0.1)
    r = np.random.default_rng(1)
    table["Y"] = table["X"] + 0.3 * r.normal(size=600)
    table["W"] = table["X"] + table["Z"] + 0.3 * r.normal(size=600)
    model = trained(CausalGraph.from_edges([("Z", "X"), ("X", "Y"), ("X", "W"), ("Z", "W")]), table)
    assert not ate(model, ARMS, "Y", **OPTIONS).support.left
    with pytest.warns(CausalWarning, match="W given"):
        assert ate(model, ARMS, "W", **OPTIONS).support.left
    found = outside(model, {name: torch.as_tensor(v).float() for name, v in table.items()}, ["X", "W"])
    assert set(found) == {"Y"}


def test_the_density_of_a_set_variable_tells_what_many_covariates_hide():
    """X follows from Z; among twelve further causes of Y no row is near another."""
    r = np.random.default_rng(1)
    table = {f"C{i}": r.normal(size=600) for i in range(12)}
    table |= thin(0.3)
    edges = [("Z", "X"), ("Z", "Y"), ("X", "Y"), *((f"C{i}", "Y") for i in range(12))]
    model = trained(CausalGraph.from_edges(edges), table)
    values = {name: torch.as_tensor(v).float() for name, v in table.items()}
    assert outside(model, values, ["X"])["Y"].double().mean() < 0.02
    values["X"] = values["Z"] + 1.2
    by_rows, by_both = (outside(model, values, ["X"], density=d)["Y"].double().mean() for d in (False, True))
    assert by_rows < 0.5 and by_both > 0.95


def test_weighted_draws_count_by_their_weights():
    """The treated have a covariate near the treatment: given that, they are asked for what the data show."""
    with pytest.warns(CausalWarning, match="outside the support"):
        found = att(thin_model(0.3), ARMS, "Y", seed=0, num_samples=10_000)
    untreated, treated = found.support.shares
    assert treated < 0.05 and untreated > 0.5
    everyone = ate(thin_model(0.3), ARMS, "Y", seed=0, num_samples=10_000).support.shares
    assert everyone[1] > 0.3


def test_covariates_that_are_given_decide():
    assert cate(thin_model(0.3), ARMS, "Y", given={"Z": 0.5}, **OPTIONS).support.share < 0.1
    with pytest.warns(CausalWarning):
        found = cate(thin_model(0.3), ARMS, "Y", given={"Z": -2.0}, **OPTIONS)
    assert found.support.share > 0.9


def test_a_program_that_was_not_learned_has_none():
    def program():
        x = pyro.sample("X", dist.Normal(0.0, 1.0))
        pyro.sample("Y", dist.Normal(x, 1.0))

    assert ate(program, ARMS, "Y", **OPTIONS).support is None
    for model in (program, NeuralCausalModel(BACK_DOOR, dict.fromkeys("ZXY", 1))):
        with pytest.raises(QueryError, match="require_support needs a model that fit trained"):
            ate(model, ARMS, "Y", require_support=True, **OPTIONS)


def test_a_model_under_an_intervention_is_asked_where_that_leads():
    assert ate(intervene(thin_model(0.3), {"Z": 0.5}), ARMS, "Y", **OPTIONS).support.shares == (0.0, 0.0)
    with pytest.warns(CausalWarning):
        assert ate(intervene(thin_model(0.3), {"Z": 2.5}), ARMS, "Y", **OPTIONS).support.shares == (1.0, 1.0)


@pytest.mark.parametrize("units", [3, 1000])
def test_counterfactual_worlds_that_leave_it_are_warned_of(units):
    model = thin_model(0.3)
    evidence = {name: column[:units] for name, column in thin(0.3, 1000).items()}
    with pytest.warns(CausalWarning, match="in the world 'do', 100% of what is asked lies outside"):
        counterfactual(model, evidence, do={"X": 1000.0})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        worlds(model, evidence, {"factual": {}, "nudged": {"X": lambda x: x + 0.1}})


def test_a_file_keeps_it_and_a_new_training_forgets_it(tmp_path):
    model = thin_model(0.1)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    with pytest.warns(CausalWarning):
        assert ate(again, ARMS, "Y", **OPTIONS).support == ate(model, ARMS, "Y", **OPTIONS).support
    r = np.random.default_rng(0)
    apart = {name: r.normal(size=600) for name in "ZXY"}
    fit(again, apart, steps=20, seed=0, progress=False)
    assert not ate(again, ARMS, "Y", **OPTIONS).support.left
    assert support_of(again).neighbours["Y"].rows.shape == (600, 2)


def test_causes_that_the_data_do_not_tell_apart_are_named_before_and_with_an_effect(tmp_path):
    table = thin(1.0)
    r = np.random.default_rng(1)
    table |= {"W": 2 * table["X"] + 1, "V": r.normal(size=600)}
    table["U"] = -table["V"]
    edges = [(a, b) for a, b in [("Z", "X"), ("Z", "Y"), ("X", "Y"), ("W", "Y"), ("V", "Y"), ("U", "Y")]]
    model = NeuralCausalModel(CausalGraph.from_edges(edges), dict.fromkeys("ZXYWVU", 1))
    with pytest.warns(CausalWarning, match="among the causes of Y") as told:
        fit(model, table, steps=20, seed=0, progress=False)
    assert {frozenset(group.causes) for group in model.indistinct} == {frozenset("XW"), frozenset("VU")}
    assert len([warning for warning in told if "apart" in str(warning.message)]) == 2
    save(model, tmp_path / "model")
    for each in (model, load(tmp_path / "model")):
        with pytest.warns(CausalWarning, match="do not tell the effects of"):
            found = ate(each, ARMS, "Y", **OPTIONS)
        assert [note for note in found.support.notes if "X and W" in note or "W and X" in note]
        assert len(found.support.notes) == 1  # V and U go on together, whatever X is
        assert "do not tell the effects of" in repr(found) and found.support.left  # W stays where X is set
        both = {"X": (0.0, 1.0), "W": (1.0, 3.0)}
        assert not ate(each, both, "Y", **OPTIONS).support.notes


def test_a_node_with_latents_has_a_support_and_no_density():
    model = trained(BACK_DOOR, thin(0.3), family=CausalVAE)
    assert all(isinstance(node, VAENode) for node in model.nodes.values())
    assert support_of(model).lowest("X") == -np.inf and set(support_of(model).neighbours) == {"X", "Y"}


def test_hidden_causes_are_no_part_of_it():
    graph = CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("X", "Y"), ("Z", "Y")], [("X", "Y")])
    model = trained(graph, thin(0.3), family=CausalVAE, latent=1)
    with pytest.warns(CausalWarning, match="Y given Z, X|Y given X, Z"):
        assert ate(model, {"X": (0.0, 1000.0)}, "Y", **OPTIONS).support.shares[1] == 1.0


def test_a_trained_model_goes_on_with_a_checkpoint(tmp_path):
    """What an earlier training left is no part of what a checkpoint is of."""
    table = thin(0.3)
    table["X"] = 1e9 + table["X"]
    first = trained(BACK_DOOR, table, checkpoint=tmp_path / "fit")
    trained(BACK_DOOR, table, model=first, checkpoint=tmp_path / "fit")
    again = trained(BACK_DOOR, table, checkpoint=tmp_path / "fit")
    tensors = again.state_dict()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in first.state_dict().items())
