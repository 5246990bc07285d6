"""A model comes back from its file bit for bit; a file that is not one of ours raises and runs nothing."""

import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from causal_pyro_models.errors import FormatError, ModelError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models import Binary, Categorical, CausalFlow, Continuous, LocationScale, Spline, load, save
from causal_pyro_models.models.structural import StructuralCausalModel

GRAPH = CausalGraph(["c", "b", "x"], [("b", "c"), ("c", "x"), ("b", "x")])
KINDS = {"b": Binary(("no", "yes")), "c": Categorical(3, ("p", "q", "r")), "x": Continuous()}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    save(CausalFlow(GRAPH, KINDS, hidden=(4,)), path)
    return path


def header(path):
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length])["__metadata__"]


@pytest.mark.parametrize("residual", [LocationScale(), Spline(bins=5, bound=3.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_round_trip_is_bit_identical(tmp_path, residual, dtype):
    model = CausalFlow(GRAPH, KINDS, residual, hidden=(7, 5)).to(dtype)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert (again.graph, again.variables, again.residual, again.hidden) == (GRAPH, KINDS, residual, (7, 5))
    old, new = model.state_dict(), again.state_dict()
    assert list(old) == list(new)
    assert all(torch.equal(old[name], new[name]) and new[name].dtype == dtype for name in old)
    values = {"b": torch.tensor([0.0, 1.0]), "c": torch.tensor([2, 0]), "x": torch.tensor([0.3, 4.0])}
    assert torch.equal(model.log_prob(values), again.log_prob(values))
    assert all(parameter.requires_grad for parameter in again.parameters())


def test_every_truncation_is_refused(file):
    raw = file.read_bytes()
    for end in [0, 1, 8, 100, len(raw) // 2, len(raw) - 1]:
        file.write_bytes(raw[:end])
        with pytest.raises(FormatError):
            load(file)


@pytest.mark.parametrize("content", [b"\x80\x04cos\nsystem\n(S'true'\ntR.", b"PK\x03\x04" * 10, b"\xff" * 64, b"{}"])
def test_foreign_files_are_refused(file, content):
    file.write_bytes(content)
    with pytest.raises(FormatError, match="no safetensors file"):
        load(file)


@pytest.mark.parametrize(
    "change",
    [
        {"model": None, "graph": {"variables": ["b"], "edges": []}},
        {"graph": {"variables": ["b", "c", "x"], "edges": [["b", "c"], ["c", "b"]]}},
        {"graph": 7},
        {"variables": {"b": {"kind": "__import__"}}},
        {"residual": {"kind": "Spline", "bins": 10**9, "bound": 4.0}},
        {"residual": {"kind": "Spline", "bins": "8", "bound": 4.0}},
        {"residual": []},
        {"hidden": [10**12]},
        {"hidden": [-1]},
        {"hidden": ["4"]},
        {"hidden": None},
    ],
)
def test_hostile_descriptions_are_refused(file, change):
    meta = header(file)
    meta["description"] = json.dumps({**json.loads(meta["description"]), **change})
    save_file(load_file(file), file, metadata=meta)
    with pytest.raises(FormatError, match="does not describe"):
        load(file)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000])
def test_descriptions_that_are_no_object_are_refused(file, text):
    save_file(load_file(file), file, metadata={**header(file), "description": text})
    with pytest.raises(FormatError, match="does not describe"):
        load(file)


def test_wrong_tensors_are_refused(file):
    tensors, meta = load_file(file), header(file)
    name = next(n for n in tensors if n.endswith("bias"))
    bad = {
        "missing": {n: t for n, t in tensors.items() if n != name},
        "surplus": {**tensors, "extra": torch.zeros(1)},
        "shape": {**tensors, name: torch.zeros(99)},
        "type": {**tensors, name: tensors[name].long()},
        "nan": {**tensors, name: torch.full_like(tensors[name], float("nan"))},
    }
    for content in bad.values():
        save_file(content, file, metadata=meta)
        with pytest.raises(FormatError):
            load(file)


def test_other_versions_are_explained(file):
    save_file(load_file(file), file, metadata={**header(file), "version": "2"})
    with pytest.raises(FormatError, match="version '2' of the format, this release reads version 1"):
        load(file)
    save_file(load_file(file), file)
    with pytest.raises(FormatError, match="no format"):
        load(file)


def test_missing_file_and_unsavable_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(tmp_path / "nowhere")
    flow = CausalFlow(CausalGraph(["X"], []), {"X": Continuous()})
    with pytest.raises(ModelError, match="StructuralCausalModel"):
        save(StructuralCausalModel(flow.graph, flow.nodes), tmp_path / "model")
