"""Labels in, labels out: every verb speaks the labels of a model, and a tensor its codes; both ask the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch

import causal_pyro_models as cpm
from causal_pyro_models import CausalGraph, intervene
from causal_pyro_models.data import Binary, Categorical, Ordinal
from causal_pyro_models.data.coded import codes
from causal_pyro_models.errors import CausalError, EvidenceError, InterventionError, ModelError, QueryError

DAYS = (datetime(2024, 1, 1), datetime(2024, 4, 1), datetime(2024, 7, 1))
KINDS = {
    "strings": (Categorical(3, ("south", "north", "west")), Binary(("no", "yes"))),
    "integers": (Categorical(3, (1, 2, 3)), Binary((1, 2))),
    "integers that are other codes": (Categorical(3, (2, 0, 1)), Binary((1, 0))),
    "booleans": (Categorical(3, ("a", True, 0)), Binary((True, False))),
    "ordered": (Ordinal(3, ("low", "mid", "high")), Binary(("before", "after"))),
    "datetimes": (Ordinal(3, DAYS), Binary(DAYS[:2])),
}
UNITS = {"Z": [2, 0, 1], "X": [1, 0, 1], "Y": [21.0, 0.5, 12.0], "S": [1, 0, 1]}


def program(of_z: Any, binary: Any) -> Callable[[], None]:
    """A confounded treatment, a continuous outcome and a binary one."""

    def model() -> None:
        z = pyro.sample("Z", dist.Categorical(torch.tensor([0.2, 0.3, 0.5])), infer={"variable": of_z})
        x = pyro.sample("X", dist.Bernoulli(torch.where(z == 1, 0.8, 0.3)), infer={"variable": binary})
        y = pyro.sample("Y", dist.Normal(10.0 * z + 2.0 * x * (z + 1), 1.0))
        pyro.sample("S", dist.Bernoulli(logits=0.3 * (y - 10.0)), infer={"variable": binary})

    return model


@pytest.fixture(params=KINDS, name="kinds")
def _kinds(request):
    return dict(zip(("Z", "X", "S"), (*KINDS[request.param], KINDS[request.param][1]), strict=True))


@pytest.fixture(name="model")
def _model(kinds):
    return program(kinds["Z"], kinds["X"])


Say = Callable[[str, Any], Any]


def labels_of(kinds) -> Say:
    return lambda name, code: (
        [kinds[name].labels[c] for c in code] if isinstance(code, list) else kinds[name].labels[code]
    )


def tensors_of(kinds) -> Say:
    return lambda name, code: torch.tensor(code)


def arrays_of(kinds) -> Say:
    return lambda name, code: kinds[name].decode(torch.tensor(code))


def arms(say: Say) -> dict[str, Any]:
    return {"X": (say("X", 0), say("X", 1))}


def seen(say: Say) -> dict[str, Any]:
    return {name: values if name == "Y" else say(name, values) for name, values in UNITS.items()}


SOME: dict[str, Any] = {"num_samples": 200, "seed": 0}
VERBS: dict[str, Callable[[Any, Say], Any]] = {
    "sample": lambda m, say: cpm.sample(intervene(m, {"Z": say("Z", 2), "X": say("X", 1)}), 20, seed=0),
    "a column of values": lambda m, say: cpm.sample(intervene(m, {"Z": say("Z", [2, 0, 1])}), 3, seed=0),
    "abduct": lambda m, say: cpm.abduct(m, seen(say), seed=0),
    "counterfactual": lambda m, say: cpm.counterfactual(m, seen(say), {"X": say("X", 0)}, seed=0),
    "worlds": lambda m, say: cpm.worlds(m, seen(say), {"a": {"Z": say("Z", 1)}, "b": {}}, num_samples=5, seed=0)["a"],
    "probability": lambda m, say: cpm.probability(m, {"Z": say("Z", 2)}, {"X": say("X", [1, 0])}),
    "ate": lambda m, say: cpm.ate(m, arms(say), "Y", **SOME),
    "ate of an event": lambda m, say: cpm.ate(m, {"Z": (say("Z", 0), say("Z", 2))}, {"S": say("S", 1)}, **SOME),
    "ate with evidence": lambda m, say: cpm.ate(m, arms(say), "Y", evidence=seen(say), seed=0),
    "att": lambda m, say: cpm.att(m, arms(say), "Y", **SOME),
    "ite": lambda m, say: cpm.ite(m, arms(say), {"S": say("S", 1)}, evidence=seen(say), **SOME),
    "cate by": lambda m, say: cpm.cate(m, arms(say), "Y", by="Z", **SOME),
    "cate given": lambda m, say: cpm.cate(m, arms(say), "Y", given={"Z": say("Z", [2, 1])}, **SOME),
    "cate given one": lambda m, say: cpm.cate(m, arms(say), "Y", given={"Z": say("Z", 2)}, **SOME),
    "dose_response": lambda m, say: cpm.dose_response(m, {"Z": say("Z", [2, 0])}, {"S": say("S", 1)}, **SOME),
    "cde": lambda m, say: cpm.cde(m, arms(say), {"S": say("S", 1)}, {"Z": say("Z", 1)}, **SOME),
    "nde": lambda m, say: cpm.nde(m, arms(say), {"S": say("S", 1)}, "Y", **SOME),
    "nie": lambda m, say: cpm.nie(m, arms(say), {"S": say("S", 1)}, "Y", **SOME),
    "path_specific": lambda m, say: cpm.path_specific(m, arms(say), "Y", [("X", "Y")], **SOME),
    "risk_ratio": lambda m, say: cpm.risk_ratio(m, arms(say), {"S": say("S", 1)}, **SOME),
    "odds_ratio": lambda m, say: cpm.odds_ratio(m, arms(say), {"S": say("S", 1)}, **SOME),
    "pn": lambda m, say: cpm.pn(m, arms(say), {"S": say("S", 1)}, **SOME),
    "ps": lambda m, say: cpm.ps(m, arms(say), {"S": say("S", 1)}, **SOME),
    "pns": lambda m, say: cpm.pns(m, arms(say), {"S": say("S", 1)}, **SOME),
}


def figures(result: Any) -> list[torch.Tensor]:
    """All numbers of a result."""
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, cpm.Estimate):
        return [result.value, result.standard_error, *result.interval]
    return [codes(value).double() for value in result.values()]


def same(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(figures(one), figures(other), strict=True))


@pytest.mark.parametrize("verb", VERBS)
def test_labels_and_codes_ask_the_same_bit_for_bit(model, kinds, verb):
    by_code = VERBS[verb](model, tensors_of(kinds))
    for say in (labels_of(kinds), arrays_of(kinds)):
        by_label = VERBS[verb](model, say)
        assert same(by_label, by_code)
        assert getattr(by_label, "labels", ()) == getattr(by_code, "labels", ())


@pytest.mark.parametrize("verb", VERBS)
def test_renaming_labels_changes_no_answer_but_the_labels(kinds, verb):
    """Against the same model with codes for labels. Only means of labels that are numbers may differ: none is here."""
    plain = {"Z": Categorical(3), "X": Binary(), "S": Binary()}
    found = VERBS[verb](program(kinds["Z"], kinds["X"]), labels_of(kinds))
    assert same(found, VERBS[verb](program(plain["Z"], plain["X"]), labels_of(plain)))
    if isinstance(found, cpm.Estimate) and found.over == "Z":
        want = {"cate by": (0, 1, 2), "cate given": (2, 1), "dose_response": (2, 0)}[verb]
        assert found.labels == tuple(kinds["Z"].labels[i] for i in want)


def test_permuting_labels_changes_no_probability():
    """P(Z = label | X) whatever the codes; exact, up to rounding."""
    shares = {"a": 0.2, "b": 0.3, "c": 0.5}

    def model(order):
        def run():
            law = dist.Categorical(torch.tensor([shares[label] for label in order]))
            z = pyro.sample("Z", law, infer={"variable": Categorical(3, order)})
            pyro.sample("X", dist.Bernoulli(torch.where(z == order.index("b"), 0.8, 0.3)))

        return run

    for label in shares:
        one, other = (cpm.probability(model(order), {"Z": label}, {"X": 1.0}) for order in (tuple("abc"), tuple("cab")))
        assert torch.allclose(one, other, rtol=1e-6)


def test_functions_compare_with_labels(model, kinds):
    z, s = kinds["Z"].labels, kinds["S"].labels
    want = cpm.ate(model, arms(labels_of(kinds)), {"S": s[1]}, **SOME)
    assert same(cpm.ate(model, arms(labels_of(kinds)), lambda w: w["S"] == s[1], **SOME), want)
    grouped = cpm.cate(model, arms(labels_of(kinds)), "Y", by=lambda w: w["Z"] == z[2], **SOME)
    assert grouped.labels == (False, True) and grouped.value[1] == 6.0
    by_label = cpm.cate(model, arms(labels_of(kinds)), "Y", by=lambda w: w["Z"], **SOME)
    assert by_label.labels == z
    moved = cpm.counterfactual(
        model, seen(labels_of(kinds)), {"Z": lambda v: torch.where(v == z[2], torch.tensor(0), v)}, seed=0
    )
    assert codes(moved["Z"]).tolist() == [0, 0, 1]
    assert (
        cpm.probability(model, lambda w: (w["X"] == kinds["X"].labels[1]) & (w["Z"] != z[0]), {"Z": z[1]}, seed=0) > 0
    )


def test_tables_come_back_as_they_were(model, kinds):
    say = arrays_of(kinds)
    table = pd.DataFrame(seen(say))[["Z", "X", "Y", "S"]]
    world = cpm.counterfactual(model, table, {})
    pd.testing.assert_frame_equal(world.to_dataframe()[list(table)], table, check_dtype=False)
    row = cpm.counterfactual(model, table.iloc[1], {"Z": labels_of(kinds)("Z", 2)}).to_dataframe()
    assert len(row) == 1 and row["Z"][0] == kinds["Z"].labels[2] and row["X"][0] == kinds["X"].labels[0]


def test_missing_labels_are_missing_for_their_unit(model, kinds):
    say = labels_of(kinds)
    whole = pd.DataFrame(seen(say)).astype({"Z": object, "X": object, "S": object})
    gaps = whole.copy()
    gaps.loc[0, "Z"] = None
    gaps.loc[1, "S"] = np.nan
    gaps.loc[2, "X"] = pd.NaT if isinstance(kinds["X"].labels[0], datetime) else pd.NA
    drawn = cpm.abduct(model, gaps, num_samples=400, seed=0)
    for i, absent in enumerate(["Z", "S", "X"]):
        alone = cpm.abduct(model, whole.drop(columns=absent).iloc[i], num_samples=400, seed=0)
        by_series = cpm.abduct(model, gaps.iloc[i], num_samples=400, seed=0)
        assert same(alone, by_series)
        assert torch.allclose(drawn["U_Y"][:, i].mean(), alone["U_Y"].mean(), atol=0.25)  # 5 standard errors of .05


def test_a_world_is_evidence_and_an_action(model, kinds):
    world = cpm.counterfactual(model, seen(labels_of(kinds)), {"X": labels_of(kinds)("X", 0)}, seed=0)
    again = cpm.counterfactual(model, world, {})
    assert same(again, world)
    assert same(cpm.counterfactual(model, seen(labels_of(kinds)), world), world)
    assert torch.equal(
        codes(cpm.counterfactual(model, seen(labels_of(kinds)), {"Z": world["Z"]})["Z"]), codes(world["Z"])
    )
    with pytest.raises(EvidenceError, match="has 7 draws of each unit"):
        cpm.abduct(model, cpm.counterfactual(model, world, {}, num_samples=7, seed=0))


UNKNOWN: dict[str, tuple[Callable[[Any], object], type[CausalError]]] = {
    "evidence": (lambda m: cpm.abduct(m, {"Z": ["nroth"]}), EvidenceError),
    "do": (lambda m: cpm.sample(intervene(m, {"Z": "nroth"})), InterventionError),
    "a treatment": (lambda m: cpm.ate(m, {"Z": ("south", "nroth")}, "Y"), InterventionError),
    "treated": (lambda m: cpm.att(m, {"Z": ("south", "nroth")}, "Y"), InterventionError),
    "an event": (lambda m: cpm.ate(m, {"X": ("no", "yes")}, {"Z": "nroth"}), QueryError),
    "given": (lambda m: cpm.cate(m, {"X": ("no", "yes")}, "Y", given={"Z": "nroth"}), EvidenceError),
    "a probability": (lambda m: cpm.probability(m, {"Z": "nroth"}), QueryError),
    "a grid": (lambda m: cpm.dose_response(m, {"Z": ["south", "nroth"]}, "Y"), QueryError),
    "a function": (lambda m: cpm.ate(m, {"X": ("no", "yes")}, lambda w: w["Z"] == "nroth"), QueryError),
}


@pytest.mark.parametrize("place", UNKNOWN)
def test_an_unknown_label_is_named_with_the_known_ones(place):
    ask, error = UNKNOWN[place]
    with pytest.raises(error, match=r"'Z'.*'south', 'north', 'west'.*nroth.*Did you mean 'north'"):
        ask(program(*KINDS["strings"]))


NOMINAL: dict[str, Callable[[Any, str], object]] = {
    "ate": lambda m, y: cpm.ate(m, {"X": ("no", "yes")}, y),
    "ite": lambda m, y: cpm.ite(m, {"X": ("no", "yes")}, y, evidence={"X": ["no"]}),
    "att": lambda m, y: cpm.att(m, {"X": ("no", "yes")}, y),
    "cate": lambda m, y: cpm.cate(m, {"X": ("no", "yes")}, y, by="Z"),
    "dose_response": lambda m, y: cpm.dose_response(m, {"X": ["no", "yes"]}, y),
    "nde": lambda m, y: cpm.nde(m, {"X": ("no", "yes")}, y, "Y"),
    "risk_ratio": lambda m, y: cpm.risk_ratio(m, {"X": ("no", "yes")}, y),
    "pn": lambda m, y: cpm.pn(m, {"X": ("no", "yes")}, y),
    "a mean of draws": lambda m, y: _drawn(m).mean(y),
    "a standard deviation": lambda m, y: _drawn(m).std(y),
    "an interval": lambda m, y: _drawn(m).interval(y),
}


def _drawn(model: Any) -> Any:
    return cpm.counterfactual(model, {"Y": [1.0]}, {}, num_samples=5, seed=0)


@pytest.mark.parametrize("verb", NOMINAL)
@pytest.mark.parametrize("outcome", ["Z", "S"])
def test_what_is_nominal_has_no_mean_and_the_way_to_ask_is_told(verb, outcome):
    labels = {"Z": "south", "S": "no"}
    if (verb, outcome) == ("cate", "Z"):
        outcome = "S"
    with pytest.raises(QueryError, match=rf"'{outcome}' has no mean.*'{labels[outcome]}'.*such as {{'{outcome}': "):
        NOMINAL[verb](program(*KINDS["strings"]), outcome)


def test_means_of_numbers_are_of_the_labels_and_never_of_codes():
    model = program(Ordinal(3, (10, 20, 40)), Binary((True, False)))
    drawn = cpm.counterfactual(model, {"Z": [40, 10], "X": [True, False], "Y": [0.0, 0.0]}, {}, num_samples=3, seed=0)
    assert drawn.mean("Z").tolist() == [40.0, 10.0] and drawn.mean("X").tolist() == [1.0, 0.0]
    assert drawn.quantile("Z", 0.5).tolist() == [40.0, 10.0]
    assert cpm.ate(model, {"X": (False, True)}, lambda w: w["Z"] * 1.0, **SOME).value == 0.0
    effect = cpm.ate(model, {"Z": (10, 40)}, "X", **SOME)
    assert torch.equal(effect.value, -cpm.ate(program(Ordinal(3), Binary()), {"Z": (0, 2)}, "X", **SOME).value)
    levels = cpm.counterfactual(program(*KINDS["ordered"]), {"Z": ["mid"]}, {}, num_samples=3, seed=0)
    assert levels.quantile("Z", 0.5).tolist() == ["mid"]
    with pytest.raises(QueryError, match="'Z' has no mean: it is one of the ordered levels"):
        levels.mean("Z")


def test_nan_in_a_tensor_is_an_error(model):
    gap = float("nan")
    with pytest.raises(EvidenceError, match=r"'Y' holds 1 NaN.*missing in arrays, rows and tables"):
        cpm.abduct(model, {"Y": torch.tensor([1.0, gap])})
    assert cpm.abduct(model, {"Y": np.array([1.0, gap])}, num_samples=2, seed=0).units == 2


def test_a_site_says_a_kind_or_nothing():
    with pytest.raises(ModelError, match=r"'X'.*'binary'.*expected one of Continuous"):
        cpm.sample(lambda: pyro.sample("X", dist.Bernoulli(0.5), infer={"variable": "binary"}))


def test_inference_data_holds_codes_and_says_their_labels(model, kinds):
    table = pd.DataFrame(seen(labels_of(kinds))).astype({"Z": object})
    noise = cpm.abduct(model, table, seed=0)
    table.loc[1, "Z"] = None
    data = cpm.to_inference_data(
        posterior=noise, counterfactual=cpm.counterfactual(model, noise, {"X": kinds["X"].labels[0]}), observed=table
    )
    np.testing.assert_array_equal(data["observed_data"]["Z"], [2.0, np.nan, 1.0])
    assert data["counterfactual"]["Z"].attrs["labels"] == [str(label) for label in kinds["Z"].labels]
    np.testing.assert_array_equal(np.asarray(data["counterfactual"]["Z"]).reshape(-1), [2, 0, 1])


# Nested plates --------------------------------------------------------------------------------------------------------


def nested():
    with pyro.plate("schools", 3, dim=-2):
        a = pyro.sample("A", dist.Normal(0.0, 1.0))
        pyro.deterministic("D", 2.0 * a, event_dim=0)
        with pyro.plate("pupils", 2, dim=-1):
            pyro.sample("Y", dist.Normal(a, 1.0))


def test_a_world_of_nested_plates_is_an_action_and_evidence():
    world = cpm.counterfactual(nested, {}, {}, seed=0)
    assert world["A"].shape == (3,)
    for do in (world, {"A": world["A"]}, {"A": world["A"].reshape(3, 1)}):
        assert torch.equal(cpm.counterfactual(nested, world, do)["A"], world["A"])
    many = cpm.counterfactual(nested, {}, {}, num_samples=5, seed=0)
    assert torch.equal(cpm.counterfactual(nested, {}, {"A": many["A"]}, num_samples=5, seed=1)["A"], many["A"])
    assert torch.equal(cpm.sample(intervene(nested, {"A": world["A"]}), 1, seed=0)["A"][0], world["A"])
    sampled = cpm.sample(nested, 1, seed=0)
    assert torch.equal(cpm.counterfactual(nested, sampled, {})["Y"], sampled["Y"][0])
    with pytest.raises(InterventionError, match="'A' has shape"):
        cpm.counterfactual(nested, {}, {"A": torch.zeros(2)})


def test_a_world_that_was_intervened_on_below_is_no_evidence_without_that():
    world = cpm.counterfactual(nested, {}, {"D": torch.zeros(3)}, seed=0)
    with pytest.raises(EvidenceError, match="other values of 'D' than follow"):
        cpm.abduct(nested, world)
    assert cpm.abduct(intervene(nested, {"D": torch.zeros(3)}), world).exact


# Learned models -------------------------------------------------------------------------------------------------------


def records(region=("a", "b", "c"), arm=("no", "yes"), rows: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    k = rng.integers(0, 3, rows)
    t = (rng.random(rows) < np.array([0.3, 0.6, 0.5])[k]).astype(int)
    y = np.array([1.0, -0.5, 2.0])[k] * t + k + rng.normal(size=rows)
    return pd.DataFrame({"region": np.array(region)[k], "arm": np.array(arm)[t], "y": y})


def learned(table: pd.DataFrame, refits: int = 0) -> Any:
    graph = CausalGraph.from_edges([("region", "arm"), ("region", "y"), ("arm", "y")])
    kinds = cpm.infer_variables(table, kinds={"region": Categorical})
    model = cpm.AdditiveNoiseModel(graph, kinds, cpm.models.Linear())
    cpm.fit(model, table, steps=5, seed=0, progress=False, **({"refits": refits} if refits else {}))
    return model


@pytest.mark.parametrize("refits", [0, 2])
def test_a_model_that_was_fitted_to_labels_speaks_them(refits, tmp_path):
    """Renamed in the same order, they are the same data, and the fits are equal bit for bit."""
    named, numbered = records(), records((1, 2, 3), (1, 2))
    one, other = learned(named, refits), learned(numbered, refits)
    cpm.save(one, tmp_path / "model.safetensors")
    for model in (one, cpm.load(tmp_path / "model.safetensors")):
        effect = cpm.cate(model, {"arm": ("no", "yes")}, "y", by="region", **SOME)
        assert effect.labels == ("a", "b", "c") and "region = a" in repr(effect)
        assert same(effect, cpm.cate(other, {"arm": (1, 2)}, "y", by="region", **SOME))
    world = cpm.counterfactual(one, named.iloc[:3], {"region": "b"}, seed=0)
    assert same(world, cpm.counterfactual(other, numbered.iloc[:3], {"region": 2}, seed=0))
    first = cpm.counterfactual(one, named.iloc[:3], {}, seed=0).to_dataframe().iloc[:3]
    assert first["region"].tolist() == named["region"][:3].tolist()
    assert np.allclose(first["y"], named["y"][:3], atol=1e-5)


def test_levels_without_data_are_outside_and_imputed_ones_are_labels():
    rng = np.random.default_rng(0)
    grade = pd.Categorical(rng.choice(["low", "mid"], 300), ["low", "mid", "high"], ordered=True)
    table = pd.DataFrame({"grade": grade, "y": rng.normal(size=300) + grade.codes, "s": rng.integers(1, 4, 300)})
    gaps = table.astype({"grade": object})
    gaps.loc[::3, "grade"], gaps.loc[1::3, "y"] = None, np.nan
    graph, kinds = CausalGraph.from_edges([("grade", "y"), ("s", "y")]), cpm.infer_variables(table)
    whole, model = cpm.CausalFlow(graph, kinds), cpm.CausalFlow(graph, kinds)
    for each, data in ((whole, table), (model, gaps)):
        cpm.fit(each, data, steps=5, seed=0, progress=False)
    support = cpm.ate(whole, {"grade": ("low", "high")}, "y", **SOME).support
    assert support.nearest == {"grade": "mid"} and "the nearest supported grade is mid" in str(support)
    drawn = cpm.impute(model, gaps.iloc[:6], num_samples=20, seed=0)
    assert drawn["grade"][:, 1].tolist() == [table["grade"][1]] * 20
    assert set(drawn.to_dataframe()["grade"]) <= set(grade.categories) >= set(drawn.table(seed=0)["grade"])


def test_a_program_that_calls_a_learned_model_speaks_its_labels():
    model, table = learned(records()), records()
    row = cpm.counterfactual(lambda: model(), table.iloc[:2], {"arm": "yes"})
    assert same(row, cpm.counterfactual(model, table.iloc[:2], {"arm": "yes"}))
    with intervene(do={"region": "c"}):
        assert model()["region"].item() == 2
    with pytest.raises(QueryError, match="'region' has no mean"):
        cpm.ate(lambda: model(), {"arm": ("no", "yes")}, "region")


def test_a_world_of_one_model_goes_by_its_labels_into_another_with_other_codes():
    def model(labels):
        return lambda: pyro.sample("Z", dist.Categorical(torch.ones(3) / 3), infer={"variable": Categorical(3, labels)})

    world = cpm.sample(model(("a", "b", "c")), 6, seed=0)
    there = cpm.counterfactual(model(("c", "b", "a")), world, {}, seed=0)
    assert there["Z"].tolist() == world["Z"].tolist() and not torch.equal(codes(there["Z"]), codes(world["Z"]))
