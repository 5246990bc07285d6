"""A model comes back from its file bit for bit; a file that is not one of ours raises and runs nothing."""

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from causal_pyro_models import counterfactual, sample
from causal_pyro_models.data import Binary, Categorical, Continuous, Count, Ordinal, Positive
from causal_pyro_models.errors import FormatError, ModelError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models import CausalFlow, LocationScale, Spline, load, save
from causal_pyro_models.models.files import described
from causal_pyro_models.models.networks.functions import Linear, Network, Smooth
from causal_pyro_models.models.networks.laws import Laplace, Learned, StudentT
from causal_pyro_models.models.node import Node
from causal_pyro_models.models.nodes.additive import AdditiveNoiseModel, AdditiveNoiseNode
from causal_pyro_models.models.nodes.discrete import CategoricalNode
from causal_pyro_models.models.nodes.flow import FlowNode
from causal_pyro_models.models.nodes.gan import CausalGAN, GANNode
from causal_pyro_models.models.nodes.vae import CausalVAE, VAENode
from causal_pyro_models.models.registry import register
from causal_pyro_models.models.structural import StructuralCausalModel
from causal_pyro_models.seeding import seeded

GRAPH = CausalGraph(["c", "b", "x"], [("b", "c"), ("c", "x"), ("b", "x")])
KINDS = {"b": Binary(("no", "yes")), "c": Categorical(3, ("p", "q", "r")), "x": Continuous()}


OLD = Path(__file__).with_name("version_2")
SAMPLES = json.loads((OLD / "samples.json").read_text())


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
    assert all(torch.equal(old[name], new[name]) and new[name].dtype == old[name].dtype for name in old)
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


def flow(**changes):
    """The description of a flow with some settings changed."""
    whole = described(CausalFlow(GRAPH, KINDS, hidden=(4,)))
    return {**whole, "settings": {**whole["settings"], **changes}}


def spline(bins, bound=3.0):
    return {"kind": "Spline", "settings": {"bins": bins, "bound": bound}}


def kinds(**changes):
    return {"items": [[name, changes.get(name, described(kind))] for name, kind in KINDS.items()]}


@pytest.mark.parametrize(
    "model",
    [
        None,
        "CausalFlow",
        ["CausalFlow"],
        {"kind": "CausalFlow"},
        {"kind": "__import__", "settings": {"name": "os"}},
        {"kind": "Module", "settings": {}},
        {"class": "SiLU"},
        {"class": "Linear"},
        described(GRAPH),
        described(LocationScale()),
        flow(graph=7),
        flow(graph={"kind": "CausalGraph", "settings": {"variables": ["b"], "edges": [], "bidirected": []}}),
        flow(
            graph={
                **described(GRAPH),
                "settings": {"variables": ["b", "c", "x"], "edges": [["b", "c"], ["c", "b"]], "bidirected": []},
            }
        ),
        flow(variables=kinds(b={"kind": "__import__", "settings": {}})),
        flow(variables=kinds(b={"kind": "Categorical", "settings": {"k": 10**9, "labels": []}})),
        flow(variables=kinds(b={"kind": "Categorical", "settings": {"k": 10**5, "labels": []}})),
        flow(variables=kinds(b={"kind": "Binary", "settings": {"labels": [[0], [1]]}})),
        flow(variables=kinds(x={"kind": "Continuous", "settings": {"dim": 10**9}})),
        flow(variables=kinds(x={"kind": "Continuous", "settings": {}})),
        flow(variables={"items": 3}),
        flow(residual=spline(10**9)),
        flow(residual=spline("8")),
        flow(residual=spline(8, float("nan"))),
        flow(residual=[]),
        flow(hidden=[10**12]),
        flow(hidden=[10**5] * 4),
        flow(hidden=[-1]),
        flow(hidden=["4"]),
        flow(depth=3),
    ],
)
def test_hostile_descriptions_are_refused(file, model):
    text = json.dumps({"model": model, "imputed": []})
    save_file(load_file(file), file, metadata={**header(file), "description": text})
    with pytest.raises(FormatError, match="does not describe"):
        load(file)


@pytest.mark.parametrize("imputed", [None, 7, ["b"], ["q", "b"], [["b"]]])
def test_hostile_guides_are_refused(file, imputed):
    text = json.dumps({"model": flow(), "imputed": imputed})
    save_file(load_file(file), file, metadata={**header(file), "description": text})
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
    save_file(load_file(file), file, metadata={**header(file), "version": "1"})
    with pytest.raises(FormatError, match="version '1' of the format, this release reads 2 and 3"):
        load(file)
    save_file(load_file(file), file)
    with pytest.raises(FormatError, match="no format"):
        load(file)


def test_missing_file_and_unsavable_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"Own has no place .*register"):
        save(StructuralCausalModel(CausalGraph(["X"], []), {"X": Own()}), tmp_path / "model")


class Own(Node):
    """A node that files do not know."""


class Forgetful(Node):
    """A node that does not keep a setting."""

    def __init__(self, scale=1.0):
        super().__init__()


def test_nodes_of_ones_own_are_registered(tmp_path):
    register(Forgetful)
    with pytest.raises(ModelError, match="Forgetful does not keep its setting 'scale'"):
        described(Forgetful())
    with pytest.raises(ModelError, match="another name"):
        register(type("FlowNode", (Node,), {}))


CHAIN = CausalGraph(["A", "B", "C"], [("A", "B"), ("B", "C"), ("A", "C")])
MIXED = {"A": Continuous(2), "B": Categorical(3, ("u", 1, 2.5)), "C": Continuous()}
EVERY = CausalGraph.from_edges([(a, b) for i, a in enumerate("ABCDEF") for b in "ABCDEF"[i + 1 :]])
EVERY_KIND = (Continuous(), Positive(), Count(), Binary(), Categorical(3), Ordinal(4))
MODELS = [
    CausalFlow(EVERY, dict(zip("ABCDEF", EVERY_KIND, strict=True)), hidden=(6,)),
    AdditiveNoiseModel(CHAIN, {"A": 1, "B": Binary(), "C": 1}, Linear(), Laplace(), heteroscedastic=True),
    AdditiveNoiseModel(CHAIN, dict.fromkeys("ABC", 1), Network((5,), torch.nn.Tanh, torch.nn.LayerNorm), Learned()),
    CausalVAE(CHAIN, MIXED, latent={"A": 3, "B": 0, "C": 1}, hidden=(6,), beta=2.0),
    CausalVAE(CausalGraph(["A", "B"], [("A", "B")], [("A", "B")]), {"A": 1, "B": Binary()}, confounder_dim=2),
    CausalGAN(CHAIN, {"A": 1, "B": Binary(), "C": 1}, hidden=(6,)),
    StructuralCausalModel(
        CHAIN,
        {
            "A": VAENode(Continuous(2), latent=1, hidden=(4,), annealed=0.5),
            "B": CategoricalNode(MIXED["B"], hidden=(4,)),
            "C": AdditiveNoiseNode(Continuous(), Smooth(4), StudentT()),
        },
    ),
    StructuralCausalModel(CHAIN, {"A": FlowNode(), "B": GANNode(Binary()), "C": VAENode(decoder=FlowNode())}),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_every_family_and_mixture_comes_back(tmp_path, model):
    model.impute_with(model.graph.variables[:1])
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert type(again) is type(model) and again.graph == model.graph and again.variables == model.variables
    old, new = model.state_dict(), again.state_dict()
    assert list(old) == list(new) and all(torch.equal(old[name], new[name]) for name in old)
    one, other = (sample(m, 20, seed=0) for m in (model, again))
    assert all(torch.equal(one[name], other[name]) for name in model.graph.variables)
    evidence = {name: one[name] for name in model.graph.variables}
    one, other = (
        counterfactual(m, evidence, {"A": evidence["A"] + 1.0}, num_samples=3, seed=0) for m in (model, again)
    )
    assert all(torch.equal(one[name], other[name]) for name in model.graph.variables)
    batches = [
        m.encode({name: model.variables[name].decode(value) for name, value in evidence.items()})
        for m in (model, again)
    ]
    with seeded(1):
        loss = sum(model.losses(batches[0], 1.0).values())
    with seeded(1):
        assert torch.equal(loss, sum(again.losses(batches[1], 1.0).values()))
    assert described(again) == described(model)


@pytest.mark.parametrize("name", list(SAMPLES))
def test_files_of_version_2_load(name):
    """Each was written by release 0.1, with five samples that it drew under seed 0."""
    model = load(OLD / f"{name}.safetensors")
    drawn = sample(model, 5, seed=0)
    for variable, values in SAMPLES[name].items():
        torch.testing.assert_close(drawn[variable].double(), torch.tensor(values).double(), rtol=1e-5, atol=1e-6)


def test_a_model_of_version_2_is_saved_as_one_of_today(tmp_path):
    save(load(OLD / "network.safetensors"), tmp_path / "model")
    assert header(tmp_path / "model")["version"] == "4"
    again = load(tmp_path / "model")
    assert again.function == Network((3,)) and again.noise == Laplace()
