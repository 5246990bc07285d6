"""Shifted and rescaled columns, beyond what float32 holds, give the same answers in their own units."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pandas as pd
import pyro
import pytest
import torch
from hypothesis import given, settings, strategies as st

from causal_pyro_models import (
    CausalFlow,
    CausalGAN,
    CausalGraph,
    CausalVAE,
    Continuous,
    NeuralCausalModel,
    Positive,
    abduct,
    ate,
    cate,
    counterfactual,
    dose_response,
    fit,
    impute,
    ite,
    load,
    sample,
    save,
)
from causal_pyro_models.data import encode
from causal_pyro_models.errors import DataError, FormatError
from causal_pyro_models.models.files import FORMAT, VERSION
from causal_pyro_models.models.scales import Scales
from causal_pyro_models.storage import read_file, write_file

GRAPH = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "M"), ("M", "Y"), ("X", "Y")])
FAMILIES = {kind.__name__: kind for kind in (CausalFlow, NeuralCausalModel, CausalVAE, CausalGAN)}
MAPS = {  # origin and scale
    "time stamps": (1.7e9, 1e5),
    "far from zero": (1e8, 1.0),
    "tiny": (0.0, 1e-30),
    "huge": (0.0, 1e25),
    "nearly constant": (3.0, 1e-9),
    "years": (2000.0, 5.0),
}
EVERYWHERE = {
    "Z": MAPS["time stamps"],
    "X": MAPS["far from zero"],
    "M": MAPS["tiny"],
    "Y": MAPS["nearly constant"],
}
ROWS = 5


@functools.cache
def standard():
    r = np.random.default_rng(0)
    z = r.normal(size=300)
    x = z + r.normal(size=300)
    m = np.sin(2 * x) + 0.5 * r.normal(size=300)
    columns = {"Z": z, "X": x, "M": m, "Y": x + z + m + 0.5 * r.normal(size=300)}
    return {name: standardised(column) for name, column in columns.items()}


def standardised(column):
    """As nodes see a column that float32 cannot hold, so that trainings differ by rounding alone."""
    low, middle, high = np.sort(column, 0)[[round(share * (len(column) - 1)) for share in (0.25, 0.5, 0.75)]]
    return (column - middle) / (high - low) * 1.349


def mapped(maps, table=None):
    table = standard() if table is None else table
    return {name: v if name not in maps else maps[name][0] + maps[name][1] * v for name, v in table.items()}


def trained(family, data, kinds=None):
    model = FAMILIES[family](GRAPH, kinds or dict.fromkeys("ZXMY", 1))
    fit(model, data, steps=10, adversarial_steps=3, seed=0, progress=False)
    return model


@functools.cache
def standard_model(family):
    return trained(family, standard())


def effect(model, maps):
    """The effect of X from 0 to 1, both in their own units."""
    origin, scale = maps.get("X", (0.0, 1.0))
    found = ate(model, {"X": (origin, origin + scale)}, "Y", seed=0, num_samples=500)
    return float(found.value) / maps.get("Y", (0.0, 1.0))[1], float(found.standard_error) / maps.get("Y", (0.0, 1.0))[1]


CASES = [("CausalFlow", {name: units}) for name in "ZXMY" for units in MAPS.values()]
CASES += [(family, EVERYWHERE) for family in FAMILIES]


@pytest.mark.parametrize(("family", "maps"), CASES)
def test_the_effect_is_that_of_the_standardised_column_in_its_own_units(family, maps):
    model = trained(family, mapped(maps))
    assert set(model.scales.variables) == set(maps)
    assert effect(model, maps) == pytest.approx(effect(standard_model(family), {}), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_verb_takes_and_gives_values_in_their_own_units(family):
    model, plain = trained(family, mapped(EVERYWHERE)), standard_model(family)
    origin, scale = EVERYWHERE["X"]
    draws = {"num_samples": 50} if family == "CausalVAE" else {}

    def alike(ours, theirs, name, tolerance=1e-2):
        """Within a hundredth of a standard deviation: trainings that differ by rounding part a little."""
        back = (ours.double() - EVERYWHERE[name][0]) / EVERYWHERE[name][1]
        return bool((back - theirs.double()).abs().max() < tolerance)

    seen = {name: column[:ROWS] for name, column in standard().items()}
    frame = pd.DataFrame(mapped(EVERYWHERE, seen))
    ours, theirs = sample(model, ROWS, seed=0), sample(plain, ROWS, seed=0)
    assert all(ours[name].dtype == torch.float64 and alike(ours[name], theirs[name], name) for name in "ZXMY")
    ours, theirs = abduct(model, frame, seed=0, **draws), abduct(plain, seen, seed=0, **draws)
    assert all(torch.allclose(ours[site], theirs[site], atol=2e-2) for site in theirs if not site.endswith(".z"))
    worlds = [
        counterfactual(model, frame, do={"X": origin + 0.5 * scale}, seed=0, **draws),
        counterfactual(plain, seen, do={"X": 0.5}, seed=0, **draws),
    ]
    shifts = [
        counterfactual(model, frame, do={"X": lambda x: x + scale}, seed=0, **draws),
        counterfactual(plain, seen, do={"X": lambda x: x + 1.0}, seed=0, **draws),
    ]
    for ours, theirs in (worlds, shifts):
        assert all(alike(ours[name], theirs[name], name) for name in "ZXMY")
    grid = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    ours = dose_response(model, {"X": origin + scale * grid}, "Y", seed=0, num_samples=100)
    theirs = dose_response(plain, {"X": grid}, "Y", seed=0, num_samples=100)
    assert alike(ours.value, theirs.value, "Y")


def test_effects_given_covariates_and_of_units_take_them_in_their_own_units():
    model, plain = trained("CausalFlow", mapped(EVERYWHERE)), standard_model("CausalFlow")
    (origin, scale), (start, step), unit = EVERYWHERE["X"], EVERYWHERE["Z"], EVERYWHERE["Y"][1]
    arms = {"X": (origin, origin + scale)}
    options = {"seed": 0, "num_samples": 200}
    ours = cate(model, arms, "Y", given={"Z": [start - step, start + step]}, **options).value / unit
    assert torch.allclose(
        ours, cate(plain, {"X": (0.0, 1.0)}, "Y", given={"Z": [-1.0, 1.0]}, **options).value, rtol=1e-3
    )
    seen = {name: column[:ROWS] for name, column in standard().items()}
    ours = ite(model, arms, "Y", evidence=pd.DataFrame(mapped(EVERYWHERE, seen))).value / unit
    assert torch.allclose(ours, ite(plain, {"X": (0.0, 1.0)}, "Y", evidence=seen).value, rtol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_evidence_comes_back_to_1e_5_of_its_standard_deviation(family):
    """Law 1, on the model as a plain program: the verbs themselves would copy what no action affects."""
    model, table = trained(family, mapped(EVERYWHERE)), mapped(EVERYWHERE)
    draws = 3 if family == "CausalVAE" else None
    noise = abduct(model, table, num_samples=draws, seed=0)
    world = counterfactual(lambda: model(), noise, {})
    for name, column in table.items():
        gap = (world[name] - torch.as_tensor(column)).abs().max() / column.std()
        assert gap < 1e-5


def test_the_density_is_that_of_the_trace_and_of_the_standardised_columns():
    model, plain = trained("CausalFlow", mapped(EVERYWHERE)), standard_model("CausalFlow")
    values = {name: torch.as_tensor(column) for name, column in mapped(EVERYWHERE).items()}
    own = {name: torch.as_tensor(column).float() for name, column in standard().items()}
    with torch.no_grad():
        found = model.log_prob(values)
        slope = sum(np.log(scale) for _, scale in EVERYWHERE.values())
        assert torch.allclose(found.double(), plain.log_prob(own).double() - slope, atol=1e-2)
        held = pyro.poutine.condition(model, data={name: column[3] for name, column in values.items()})
        assert torch.allclose(found[3], pyro.poutine.trace(held).get_trace().log_prob_sum(), atol=1e-4)


def test_vectors_and_positive_numbers_have_scales_of_their_own():
    r = np.random.default_rng(1)
    x = r.normal(size=300)
    graph = CausalGraph.from_edges([("V", "P"), ("P", "Y")])
    v = np.stack([x, r.normal(size=300)], 1)
    log_p = x + 0.5 * r.normal(size=300)
    table = {"V": v, "P": np.exp(log_p), "Y": log_p + 0.3 * r.normal(size=300)}
    scaled = {"V": v * [1e-3, 1e30] + [1e6, 0.0], "P": np.exp(60.0 + 1e-3 * log_p), "Y": table["Y"]}
    kinds = {"V": Continuous(2), "P": Positive(), "Y": 1}
    effects = []
    for data, arms, factor in ((table, (1.0, np.e), 1.0), (scaled, (np.exp(60.0), np.exp(60.001)), 1.0)):
        model = CausalFlow(graph, kinds)
        fit(model, data, steps=10, seed=0, progress=False)
        effects.append(float(ate(model, {"P": arms}, "Y", seed=0, num_samples=200).value) * factor)
        world = counterfactual(lambda m=model: m(), abduct(model, data), {})
        for name in kinds:
            gap = (world[name].double() - torch.as_tensor(data[name])).abs() / torch.as_tensor(data[name]).std(0)
            assert gap.max() < 1e-5
    assert set(model.scales.variables) == {"V", "P"}
    assert effects[0] == pytest.approx(effects[1], rel=1e-3)


def test_a_cast_and_a_file_keep_the_scales(tmp_path):
    model = trained("CausalFlow", mapped(EVERYWHERE))
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert effect(again, EVERYWHERE) == effect(model, EVERYWHERE)
    assert all(tensor.data_ptr() % 64 == 0 for tensor in again.state_dict().values())  # else sums have other bits
    for cast in (lambda m: m.double().float(), lambda m: m.double(), lambda m: m.to(torch.float64)):
        moved, plain = (cast(copy.deepcopy(each)) for each in (model, standard_model("CausalFlow")))
        assert effect(moved, EVERYWHERE)[0] == pytest.approx(effect(plain, {})[0], rel=1e-3)
    _, description, tensors = read_file(tmp_path / "model", FORMAT, VERSION)
    name = next(name for name in tensors if "bits" in name)
    wrong = {**tensors, name: torch.full_like(tensors[name], -1)}
    write_file(tmp_path / "wrong", FORMAT, VERSION, description, wrong)
    with pytest.raises(FormatError, match="scales"):
        load(tmp_path / "wrong")


def test_imputed_values_are_in_their_own_units():
    seen = np.arange(300) % 5 != 0
    table = {**standard(), "X": np.full(300, np.nan)}
    table["X"][seen] = standardised(standard()["X"][seen])
    graph, drawn = CausalGraph.from_edges([("Z", "X"), ("X", "Y")]), []
    for maps in ({}, EVERYWHERE):
        model = CausalFlow(graph, dict.fromkeys("ZXY", 1))
        data = mapped(maps, {name: table[name] for name in "ZXY"})
        fit(model, data, steps=10, seed=0, progress=False)
        found = impute(model, data, num_samples=30, seed=0)
        assert torch.equal(found["X"][0][1:5], torch.as_tensor(data["X"])[1:5].to(found["X"].dtype))
        drawn.append((found.mean("X").double() - maps.get("X", (0.0, 1.0))[0]) / maps.get("X", (0.0, 1.0))[1])
    assert torch.allclose(*drawn, atol=5e-3)


def test_an_ordinary_column_stays_in_float32():
    model = standard_model("CausalFlow")
    assert not model.scales.variables and not list(model.scales.state_dict())
    assert sample(model, 2, seed=0)["Y"].dtype == torch.float32


def test_a_training_on_other_data_forgets_the_scales():
    model = trained("CausalFlow", mapped(EVERYWHERE))
    fit(model, standard(), steps=10, seed=0, progress=False)
    assert not model.scales.variables
    assert effect(model, {}) == effect(standard_model("CausalFlow"), {})


@pytest.mark.parametrize("column", [np.full(300, 3.0), np.full(300, 1.7e9), 0.3 + 1e-18 * np.arange(300)])
def test_a_constant_column_is_refused_still(column):
    with pytest.raises(DataError, match="'X' is constant"):
        trained("CausalFlow", {**standard(), "X": column})


@given(
    origin=st.floats(-1e12, 1e12),
    log_scale=st.floats(-30.0, 30.0),
    positive=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_what_float32_cannot_hold_is_scaled_and_comes_back(origin, log_scale, positive):
    x = np.random.default_rng(0).normal(size=200)
    scale = 10.0**log_scale
    column = np.exp(origin / 1e12 * 50 + scale / 1e30 * x) if positive else origin + scale * x
    kinds = {"X": Positive() if positive else Continuous()}
    values = encode({"X": column}, kinds).values["X"]
    scales = Scales.of(kinds, encode({"X": column}, kinds))
    line = np.log(column) if positive else column
    spread = line.std()
    if column.std() < 1e-13 * abs(column).max():  # rounding
        return
    if "X" not in scales.variables:
        assert abs(np.median(line)) < 50 * spread and (not positive or spread > 0.02)
        assert (np.float32(column) - column).std() < 1e-5 * column.std()
        return
    seen = scales.scaled({"X": values}, torch.float32)["X"]
    back = scales.unscaled({"X": seen})["X"]
    assert seen.dtype == torch.float32 and back.dtype == torch.float64
    inner = (seen.log() if positive else seen).double()
    assert inner.median().abs() < 0.1 and 0.5 < inner.std() < 2.0
    found = (back.log() if positive else back).numpy()
    rounding = 4 * np.finfo(np.float64).eps * np.abs(line).max()
    assert np.abs(found - line).max() < 1e-6 * spread + rounding
