"""Refits to random halves: what they are fitted to, and that a training with them is as reproducible as one without."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from causal_pyro_models import CausalFlow, CausalGraph, counterfactual, fit, load, save
from causal_pyro_models.data import Binary, Continuous
from causal_pyro_models.data.batches import Batch
from causal_pyro_models.errors import DataError, FormatError, QueryError
from causal_pyro_models.seeding import seeded
from causal_pyro_models.storage import read_file, write_file
from causal_pyro_models.training.halves import half

GRAPH = CausalGraph.from_edges([("X", "Y")])
KINDS = {"X": Continuous(), "Y": Continuous()}


def table(rows: int = 100, seed: int = 0) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    x = draw.normal(size=rows)
    return {"X": x, "Y": 2 * x + draw.normal(size=rows)}


def fitted(**options) -> CausalFlow:
    model = CausalFlow(GRAPH, KINDS)
    fit(model, table(), steps=4, seed=0, progress=False, **options)
    return model


def same(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@settings(deadline=None)
@given(st.integers(20, 60), st.integers(2, 5), st.integers(0, 1_000))
def test_halves_are_random_and_every_variable_varies_in_them(rows, rare, seed):
    values = {"X": torch.arange(rows).double(), "B": (torch.arange(rows) < rare).double()}
    with seeded(seed):
        chosen = half(Batch(values))
    assert len(chosen) == rows // 2 == len(chosen.unique())
    assert 0 < values["B"][chosen].sum() < rows // 2


def test_a_variable_that_hardly_varies_is_named():
    """Twenty variables that differ in one row each are all in a half once in a million."""
    rows = torch.arange(40)
    with seeded(0), pytest.raises(DataError, match=r"'V\d+'.*refits=0"):
        half(Batch({f"V{i}": (rows == i).double() for i in range(20)}))


def test_refits_come_with_the_seed_and_differ():
    one, other = fitted(refits=3), fitted(refits=3)
    assert len(one.refits) == 3 and all(map(same, one.refits, other.refits))
    assert not same(one.refits[0], one.refits[1]) and not same(one, one.refits[0])
    assert not any(name.startswith("refit") for name in one.state_dict())


def test_a_new_fit_forgets_the_refits():
    model = fitted(refits=2)
    fit(model, table(), steps=1, seed=0, progress=False)
    assert model.refits == ()


def test_refits_follow_their_model():
    model = fitted(refits=2).double()
    assert {p.dtype for refit in model.refits for p in refit.parameters()} == {torch.float64}


def test_refits_are_in_the_file(tmp_path):
    model = fitted(refits=2)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert all(map(same, model.refits, again.refits)) and len(again.refits) == 2
    units = {"X": [0.5], "Y": [1.0]}
    before, after = (counterfactual(m, units, {"X": 0.0})["Y"] for m in (model, again))
    torch.testing.assert_close(before, after)
    assert before.shape == (2, 1)


def test_a_file_with_other_refits_than_it_says_is_refused(tmp_path):
    save(fitted(refits=2), tmp_path / "model")
    version, description, tensors = read_file(tmp_path / "model", "causal_pyro_models.save", 3)
    for claimed in (0, 3, "two", 10**9):
        write_file(tmp_path / "bad", "causal_pyro_models.save", version, {**description, "refits": claimed}, tensors)
        with pytest.raises(FormatError, match="refits"):
            load(tmp_path / "bad")


@pytest.mark.parametrize("refits", [1, -1, 2.5, True])
def test_numbers_of_refits_that_cannot_be(refits):
    with pytest.raises(QueryError, match="refits"):
        fitted(refits=refits)


def test_a_training_that_is_stopped_in_a_refit_ends_with_the_same_bits(tmp_path):
    """Stopped at the first validation of the second refit: what was finished is kept, the rest is made as before."""
    whole = fitted(refits=3)

    class Stop(Exception):
        pass

    import causal_pyro_models.training.fitting as fitting

    calls, trained = [], fitting._Run.__call__

    def stopping(self, label, *args, **kwargs):
        calls.append(label)
        if label.startswith("refit 2") and len([c for c in calls if c.startswith("refit 2")]) == 2:
            raise Stop
        return trained(self, label, *args, **kwargs)

    model = CausalFlow(GRAPH, KINDS)
    options = {"steps": 4, "seed": 0, "progress": False, "refits": 3, "checkpoint": tmp_path / "state"}
    fitting._Run.__call__ = stopping
    try:
        fit(model, table(), **options)
    except Stop:
        pass
    finally:
        fitting._Run.__call__ = trained
    fit(model, table(), **options)
    assert same(model, whole) and all(map(same, model.refits, whole.refits))


def test_discrete_variables_with_rare_values_are_refitted():
    draw = np.random.default_rng(0)
    data = {"X": (draw.random(60) < 0.08) * 1, "Y": draw.normal(size=60)}
    model = CausalFlow(GRAPH, {"X": Binary(), "Y": Continuous()})
    fit(model, data, steps=2, refits=8, seed=0, progress=False)
    assert len(model.refits) == 8
