"""Models that are learned: their graphs, variables, data, training and files."""

import json
import pathlib
import tempfile

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from causal_pyro_models import CausalFlow, CausalGraph, StructuralCausalModel, abduct, counterfactual, fit, load, save
from causal_pyro_models.data import Binary, Categorical, Continuous, Intervened, Pairs, infer_variables
from causal_pyro_models.errors import (
    DataError,
    EvidenceError,
    FitError,
    FormatError,
    InterventionError,
    MissingFileError,
    ModelError,
    QueryError,
    UnknownVariableError,
)
from causal_pyro_models.inference import impute
from causal_pyro_models.models import LocationScale, Node, Spline, files
from tests.bad_input.case import Bad

nan, inf = float("nan"), float("inf")
XY = CausalGraph(["X", "Y"], [("X", "Y")])
REAL = {"X": Continuous(), "Y": Continuous()}
SEXES = {"X": Categorical(2, ("female", "male")), "Y": Continuous()}
ROWS = {"X": np.linspace(0.0, 1.0, 40), "Y": np.sin(np.arange(40.0))}


def flow(**settings):
    return CausalFlow(XY, REAL, LocationScale(), hidden=(4,), **settings)


def trained(data=ROWS, model=None, **settings):
    return fit(model or flow(), data, **{"steps": 3, "seed": 0, "progress": False, **settings})


def changed(**columns):
    return {**ROWS, **columns}


BUILT = [
    Bad("a flow with hidden confounding", ModelError, ("X <-> Y", "confounder"), lambda: CausalFlow(CausalGraph(["X", "Y"], [], [("X", "Y")]), REAL)),
    Bad("a flow without a kind", ModelError, ("Y", "Continuous()"), lambda: CausalFlow(XY, {"X": Continuous()})),
    Bad("a flow with a kind too many", UnknownVariableError, ("'Q'", "X, Y"), lambda: CausalFlow(XY, {**REAL, "Q": Continuous()})),
    Bad("a flow with a kind as a string", ModelError, ("'Y'", "Continuous()", "'real'"), lambda: CausalFlow(XY, {"X": Continuous(), "Y": "real"})),
    Bad("a flow with a kind as a class", ModelError, ("'Y'", "Continuous()"), lambda: CausalFlow(XY, {"X": Continuous(), "Y": Continuous})),
    Bad("a flow on a number", ModelError, ("graph", "CausalGraph", "int"), lambda: CausalFlow(3, REAL)),
    Bad("a flow on None", ModelError, ("graph", "CausalGraph", "NoneType"), lambda: CausalFlow(None, REAL)),
    Bad("a flow with kinds in a list", ModelError, ("variables", "dict", "list"), lambda: CausalFlow(XY, [Continuous(), Continuous()])),
    Bad("a flow with a residual in words", ModelError, ("residual", "'spline'", "Spline()"), lambda: CausalFlow(XY, REAL, "spline")),
    Bad("a flow with negative widths", ModelError, ("hidden", "-3"), lambda: CausalFlow(XY, REAL, hidden=(-3,))),
    Bad("a flow with a width alone", ModelError, ("hidden", "32"), lambda: CausalFlow(XY, REAL, hidden=32)),
    Bad("a flow without variables", ModelError, ("at least one variable",), lambda: CausalFlow(CausalGraph([], []), {})),
    Bad("a spline of one bin", ModelError, ("bins", "1"), lambda: Spline(bins=1)),
    Bad("a spline of NaN", ModelError, ("bound", "nan"), lambda: Spline(bound=nan)),
    Bad("a spline in words", ModelError, ("bound", "'wide'"), lambda: Spline(bound="wide")),
    Bad("one class", ModelError, ("k", "1"), lambda: Categorical(1)),
    Bad("classes in words", ModelError, ("k", "'three'"), lambda: Categorical("three")),
    Bad("too few labels", ModelError, ("3", "('a', 'b')"), lambda: Categorical(3, ("a", "b"))),
    Bad("labels that are alike", ModelError, ("distinct", "('a', 'a')"), lambda: Categorical(2, ("a", "a"))),
    Bad("three labels of a binary variable", ModelError, ("two", "(0, 1, 2)"), lambda: Binary((0, 1, 2))),
    Bad("labels that are not hashable", ModelError, ("labels", "[1]"), lambda: Binary(([1], [2]))),
    Bad("a node too few", ModelError, ("Y", "node"), lambda: StructuralCausalModel(XY, {"X": Node()})),
    Bad("a node too many", UnknownVariableError, ("'Q'", "X, Y"), lambda: StructuralCausalModel(XY, {"X": Node(), "Y": Node(), "Q": Node()})),
    Bad("nodes as a list", ModelError, ("nodes", "dict", "list"), lambda: StructuralCausalModel(XY, [Node(), Node()])),
    Bad("nodes as None", ModelError, ("nodes", "dict", "NoneType"), lambda: StructuralCausalModel(XY, None)),
    Bad("a flow with a width of True", ModelError, ("hidden", "(True,)"), lambda: CausalFlow(XY, REAL, hidden=(True,))),
    Bad("a binary variable of None", ModelError, ("two", "None"), lambda: Binary(None)),
    Bad("a binary variable of a string", ModelError, ("two", "'01'"), lambda: Binary("01")),
    Bad("classes named by a string", ModelError, ("2", "'ab'"), lambda: Categorical(2, "ab")),
    Bad("a node that is none", ModelError, ("'Y'", "Node", "int"), lambda: StructuralCausalModel(XY, {"X": Node(), "Y": 3})),
    Bad("a node without a distribution", ModelError, ("Node", "no distribution"), lambda: abduct(StructuralCausalModel(XY, {"X": Node(), "Y": Node()}), {})),
    Bad("a density without a value", ModelError, ("Y",), lambda: flow().log_prob({"X": torch.zeros(3)})),
    Bad("a class that does not exist, as a parent", ModelError, ("'X'", "classes 0 to 1"), lambda: CausalFlow(XY, SEXES).log_prob({"X": torch.tensor([5]), "Y": torch.zeros(1)})),
]  # fmt: skip

DENSITIES = [
    Bad("the density of None", DataError, ("dict", "NoneType"), lambda: flow().log_prob(None)),
    Bad("the density of lists", DataError, ("'X'", "tensor", "[0.0]"), lambda: flow().log_prob({"X": [0.0], "Y": [0.0]})),
    Bad("the density of NaN", DataError, ("'X'", "finite", "nan"), lambda: flow().log_prob({"X": torch.tensor([nan]), "Y": torch.zeros(1)})),
    Bad("the density of units that differ", DataError, ("'X': (3,)", "'Y': (2,)"), lambda: flow().log_prob({"X": torch.zeros(3), "Y": torch.zeros(2)})),
    Bad("the density of a binary seven", ModelError, ("'X'", "neither 0 nor 1"), lambda: CausalFlow(XY, {"X": Binary(), "Y": Continuous()}).log_prob({"X": torch.tensor([7.0]), "Y": torch.zeros(1)})),
]  # fmt: skip

KINDS = [
    Bad("a table with a constant column", DataError, ("'X'", "constant", "leave it out"), lambda: infer_variables(pd.DataFrame({"X": [1.0, 1.0]}))),
    Bad("a table with a column that is all missing", DataError, ("'X'", "no values", "leave it out"), lambda: infer_variables(pd.DataFrame({"X": [None, nan]}))),
    Bad("a table with dates", DataError, ("'X'", "datetime", "convert"), lambda: infer_variables(pd.DataFrame({"X": pd.to_datetime(["2024-01-01", "2024-01-02"])}))),
    Bad("a table with lists", DataError, ("'X'",), lambda: infer_variables(pd.DataFrame({"X": [[1], [2]]}))),
    Bad("a table with numbers and strings", DataError, ("'X'",), lambda: infer_variables(pd.DataFrame({"X": [1, "a", 2.5]}))),
    Bad("a table without rows", DataError, ("rows",), lambda: infer_variables(pd.DataFrame({"X": []}))),
    Bad("a table without columns", DataError, ("columns",), lambda: infer_variables(pd.DataFrame())),
    Bad("a table with complex numbers", DataError, ("'X'", "complex"), lambda: infer_variables(pd.DataFrame({"X": [1j, 2j, 3.0]}))),
    Bad("a table with a column twice", DataError, ("'X'", "twice"), lambda: infer_variables(pd.DataFrame([[1.0, 2.0], [3.5, 4.0]], columns=["X", "X"]))),
    Bad("a table that is a list", DataError, ("DataFrame", "list"), lambda: infer_variables([1.0, 2.0])),
    Bad("a table that is None", DataError, ("DataFrame", "NoneType"), lambda: infer_variables(None)),
    Bad("a table with truth values and strings", DataError, ("'X'", "object", "convert"), lambda: infer_variables(pd.DataFrame({"X": [True, "a"]}))),
    Bad("a table with infinities", DataError, ("'X'", "infinite"), lambda: infer_variables(pd.DataFrame({"X": [1.5, inf, 2.0]}))),
]  # fmt: skip

FITTED = [
    Bad("data as None", DataError, ("DataFrame", "NoneType"), lambda: trained(None)),
    Bad("data as a list of numbers", DataError, ("DataFrame", "list", "float"), lambda: trained([1.0])),
    Bad("data as an array", DataError, ("DataFrame", "ndarray"), lambda: trained(np.zeros((40, 2)))),
    Bad("data without a column", UnknownVariableError, ("column 'Y'", "X"), lambda: trained({"X": ROWS["X"]})),
    Bad("data with a misspelt column", UnknownVariableError, ("'Y'", "Did you mean 'y'?"), lambda: trained({"X": ROWS["X"], "y": ROWS["Y"]})),
    Bad("data without rows", DataError, ("no rows",), lambda: trained({"X": [], "Y": []})),
    Bad("data of three rows", DataError, ("3 rows", "20"), lambda: trained({"X": [1.0, 2.0, 3.0], "Y": [1.0, 2.0, 3.0]})),
    Bad("data of unequal length", DataError, ("length", "'X': 40", "'Y': 3"), lambda: trained(changed(Y=[1.0, 2.0, 3.0]))),
    Bad("data with infinity", DataError, ("'Y'", "infinite"), lambda: trained(changed(Y=np.where(np.arange(40) == 7, inf, 0.5 * ROWS["Y"])))),
    Bad("data with strings", DataError, ("'X'", "not numbers", "Categorical"), lambda: trained(changed(X=["low"] * 40))),
    Bad("data with a matrix", DataError, ("'X'", "(40, 2)"), lambda: trained(changed(X=np.zeros((40, 2))))),
    Bad("data with a constant column", DataError, ("'X'", "constant", "Leave it out"), lambda: trained(changed(X=np.ones(40)))),
    Bad("data with a constant column of huge numbers", DataError, ("'X'",), lambda: trained(changed(X=np.full(40, 1e300)))),
    Bad("data beyond float32", DataError, ("'X'", "float32"), lambda: trained(changed(X=np.append(np.linspace(0, 1, 39), 1e300)))),
    Bad("data with None", DataError, ("'X'",), lambda: trained(changed(X=[None] * 40))),
    Bad("data with complex numbers", DataError, ("'X'", "complex"), lambda: trained(changed(X=ROWS["X"] + 1j))),
    Bad("data with dates", DataError, ("'X'", "not numbers", "datetime64"), lambda: trained(changed(X=pd.date_range("2024-01-01", periods=40)))),
    Bad("data with durations", DataError, ("'X'", "not numbers", "timedelta64"), lambda: trained(changed(X=pd.to_timedelta(range(40))))),
    Bad("data with numbers written out", DataError, ("'X'", "not numbers", "Convert"), lambda: trained(changed(X=[str(i) for i in range(40)]))),
    Bad("data with bytes", DataError, ("'X'", "not numbers"), lambda: trained(changed(X=[b"1.0", b"2.0"] * 20))),
    Bad("data with objects", DataError, ("'X'", "not numbers"), lambda: trained(changed(X=[object()] * 40))),
    Bad("data with one number for all", DataError, ("'X'", "()"), lambda: trained(changed(X=1.0))),
    Bad("data from a generator", DataError, ("'X'", "()"), lambda: trained(changed(X=(float(i) for i in range(40))))),
    Bad("labels that are lists", DataError, ("'X'", "['a']", "female"), lambda: trained(changed(X=pd.Series([["a"], ["b"]] * 20)), CausalFlow(XY, SEXES))),
    Bad("data with unknown labels", DataError, ("'X'", "other", "female"), lambda: trained(changed(X=["female", "other"] * 20), CausalFlow(XY, SEXES))),
    Bad("data with a label of three", DataError, ("'X'", "2", "[0, 1]"), lambda: trained(changed(X=[0, 1, 2, 1] * 10), CausalFlow(XY, {"X": Binary(), "Y": Continuous()}))),
    Bad("a model that is a function", FitError, ("torch.nn.Module", "function"), lambda: fit(lambda: None, ROWS)),
    Bad("a module without an objective", FitError, ("Linear", "encode"), lambda: fit(torch.nn.Linear(1, 1), ROWS)),
    Bad("no step", QueryError, ("steps", "0"), lambda: trained(steps=0)),
    Bad("half a step", QueryError, ("steps", "0.5"), lambda: trained(steps=0.5)),
    Bad("a batch of none", QueryError, ("batch_size", "0"), lambda: trained(batch_size=0)),
    Bad("patience of True", QueryError, ("patience", "True"), lambda: trained(patience=True)),
    Bad("a learning rate of zero", QueryError, ("learning_rate", "0"), lambda: trained(learning_rate=0.0)),
    Bad("a learning rate of NaN", QueryError, ("learning_rate", "nan"), lambda: trained(learning_rate=nan)),
    Bad("a learning rate in words", QueryError, ("learning_rate", "'fast'"), lambda: trained(learning_rate="fast")),
    Bad("validation on all", QueryError, ("validation", "1.0"), lambda: trained(validation=1.0)),
    Bad("validation on none", QueryError, ("validation", "0.0"), lambda: trained(validation=0.0)),
    Bad("validation in words", QueryError, ("validation", "'some'"), lambda: trained(validation="some")),
    Bad("a weight of zero", QueryError, ("intervention_weight", "0"), lambda: trained(intervention_weight=0.0)),
    Bad("a weight in words", QueryError, ("intervention_weight", "'high'"), lambda: trained(intervention_weight="high")),
    Bad("no adversarial step", QueryError, ("adversarial_steps", "0"), lambda: trained(adversarial_steps=0)),
    Bad("a callback that is no function", QueryError, ("callbacks", "[3]", "TensorBoard"), lambda: trained(callbacks=[3])),
    Bad("a callback alone", QueryError, ("callbacks", "list"), lambda: trained(callbacks=print)),
    Bad("a number as a checkpoint", QueryError, ("path", "7"), lambda: trained(checkpoint=7)),
    Bad("a folder as a checkpoint", MissingFileError, ("no file",), lambda: trained(checkpoint=tempfile.gettempdir())),
    Bad("a checkpoint in no folder", MissingFileError, ("no folder nowhere",), lambda: trained(checkpoint="nowhere/fit")),
    Bad("pairs as a table", QueryError, ("Pairs(factual, counterfactual, targets)",), lambda: trained(pairs=[ROWS])),
    Bad("pairs without targets", DataError, ("names of the variables", "[]"), lambda: trained(pairs=Pairs(ROWS, ROWS, []))),
    Bad("pairs of an unknown target", UnknownVariableError, ("'Q'",), lambda: trained(pairs=Pairs(ROWS, ROWS, "Q"))),
    Bad("pairs that miss values", DataError, ("pairs miss values of 'Y'",), lambda: trained(pairs=Pairs(ROWS, changed(Y=np.where(np.arange(40) == 7, nan, 0.5)), "X"))),
    Bad("an unknown target", UnknownVariableError, ("'Q'", "X, Y"), lambda: trained(Intervened(ROWS, "Q"))),
    Bad("a target as a number", DataError, ("names of the variables", "3"), lambda: trained(Intervened(ROWS, 3))),
    Bad("a value for no target", UnknownVariableError, ("'Y'", "X"), lambda: trained(Intervened(ROWS, "X", {"Y": 0.0}))),
    Bad("values without names", DataError, ("dict", "float"), lambda: trained(Intervened(ROWS, "X", 1.0))),
    Bad("a value of the wrong length", DataError, ("length", "'X': 2"), lambda: trained(Intervened({"Y": ROWS["Y"]}, "X", {"X": [1.0, 2.0]}))),
    Bad("a regime of an unknown variable", UnknownVariableError, ("'Q'", "X, Y"), lambda: trained(changed(regime=["Q"] * 40))),
    Bad("a regime as numbers", DataError, ("'regime'", "1"), lambda: trained(changed(regime=[1] * 40))),
    Bad("a variable set to nothing", DataError, ("'X' was set", "missing"), lambda: trained(changed(X=np.where(np.arange(40) == 7, nan, ROWS["X"]), regime=["X"] * 40))),
    Bad("interventions alone", DataError, ("'X'", "set from outside", "observations"), lambda: trained(Intervened(ROWS, "X"))),
    Bad("an empty list of data", DataError, ("empty",), lambda: trained([])),
    Bad("a Dataset of tuples", DataError, ("dicts", "list"), lambda: trained(torch.utils.data.TensorDataset(torch.zeros(40)))),
    Bad("a learning rate of True", QueryError, ("learning_rate", "True"), lambda: trained(learning_rate=True)),
    Bad("a learning rate that is far too high", FitError, ("X, Y", "not finite", "lower learning_rate"), lambda: trained(learning_rate=1e30, steps=20)),
    Bad("a class to train", FitError, ("torch.nn.Module", "type"), lambda: fit(CausalFlow, ROWS)),
    Bad("a seed of -1", QueryError, ("seed", "-1"), lambda: trained(seed=-1)),
]  # fmt: skip

DEVICES = [
    Bad(f"a device of {what}", QueryError, ("device", f"{device!r}", "'cpu'"), lambda device=device: trained(device=device))
    for what, device in (
        ("the moon", "moon"), ("no name", ""), ("True", True), ("half a number", 1.5), ("a list", ["cpu"]), ("bytes", b"cpu"),
        ("a type of numbers", torch.float32), ("no memory", "meta"), ("a number below zero", -1), ("a graphics card far away", "cuda:99"),
    )
]  # fmt: skip

ANSWERED = [
    Bad("imputation by a model of complete data", ModelError, ("complete data", "X"), lambda: impute(flow(), changed(X=[nan, *ROWS["X"][1:]]))),
    Bad("imputation by a function", ModelError, ("StructuralCausalModel", "function"), lambda: impute(lambda: None, ROWS)),
    Bad("imputation without draws", QueryError, ("num_samples", "0"), lambda: impute(flow(), ROWS, 0)),
    Bad("a flow asked about an unknown variable", UnknownVariableError, ("'Q'", "X, Y"), lambda: counterfactual(flow(), {"X": 0.0, "Y": 0.0}, {"Q": 1.0})),
    Bad("a flow given NaN", EvidenceError, ("'X'", "NaN"), lambda: abduct(flow(), {"X": nan, "Y": 0.0})),
    Bad("a flow given an unknown label", EvidenceError, ("'X'", "'female', 'male'", "femal", "Did you mean 'female'"), lambda: abduct(CausalFlow(XY, SEXES), {"X": "femal", "Y": 0.0})),
    Bad("a flow given the code of a label", EvidenceError, ("'X'", "'female', 'male'", "0", "torch.Tensor"), lambda: abduct(CausalFlow(XY, SEXES), {"X": 0, "Y": 0.0})),
    Bad("a flow set to an unknown label", InterventionError, ("'X'", "'female', 'male'", "mal", "Did you mean 'male'"), lambda: counterfactual(CausalFlow(XY, SEXES), {"X": "male", "Y": 0.0}, {"X": "mal"})),
    Bad("a flow set to a class that does not exist", InterventionError, ("'X'", "support", "2"), lambda: counterfactual(CausalFlow(XY, SEXES), {"X": torch.tensor(0), "Y": 0.0}, {"X": torch.tensor(2)})),
]  # fmt: skip


def stored(write):
    """Load a file that ``write`` made."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.safetensors"
        write(path)
        return load(path)


def shortened(path):
    save(flow(), path)
    path.write_bytes(path.read_bytes()[:-50])


def described(description, version="2", format="causal_pyro_models.save"):
    header = {"format": format, "version": version, "description": description}
    return lambda path: save_file({"a": torch.zeros(1)}, path, metadata=header)


def description(**changes):
    """That of a flow of one variable, with some settings changed."""
    settings = files.described(CausalFlow(CausalGraph(["X"], []), {"X": Continuous()}, LocationScale(), hidden=(4,)))
    return {"model": {**settings, "settings": {**settings["settings"], **changes}}, "imputed": []}


def resized(path):
    """The tensors of a model of other width than its description says."""
    save(flow(), path)
    with safe_open(path, "pt") as file:
        header = file.metadata()
    tensors = CausalFlow(XY, REAL, LocationScale(), hidden=(5,)).state_dict()
    save_file(tensors, path, {**header, "description": header["description"].replace("[5]", "[4]")})


def spoilt(path):
    model = flow()
    with torch.no_grad():
        next(model.parameters()).fill_(nan)
    save(model, path)


FILES = [
    Bad("a file of bytes", FormatError, ("model.safetensors", "safetensors"), lambda: stored(lambda path: path.write_bytes(b"nonsense" * 9))),
    Bad("an empty file", FormatError, ("model.safetensors",), lambda: stored(lambda path: path.write_bytes(b""))),
    Bad("a file cut short", FormatError, ("model.safetensors", "truncated"), lambda: stored(shortened)),
    Bad("a file of another package", FormatError, ("causal_pyro_models.save",), lambda: stored(lambda path: save_file({"a": torch.zeros(1)}, path))),
    Bad("a file of another version", FormatError, ("version", "'99'"), lambda: stored(described("{}", version="99"))),
    Bad("a file of another format", FormatError, ("format",), lambda: stored(described("{}", format="other"))),
    Bad("a file with a broken description", FormatError, ("describe",), lambda: stored(described("{"))),
    Bad("a file with an empty description", FormatError, ("describe", "model"), lambda: stored(described("{}"))),
    Bad("a model that has no format", ModelError, ("CausalFlow", "Linear"), lambda: save(torch.nn.Linear(1, 1), "never.safetensors")),
    Bad("None to be saved", ModelError, ("CausalFlow", "NoneType"), lambda: save(None, "never.safetensors")),
    Bad("a file that is not there", MissingFileError, ("nowhere.safetensors", "no file"), lambda: load("nowhere.safetensors")),
    Bad("a folder as a file", MissingFileError, ("no file",), lambda: load("/")),
    Bad("a file of lists", FormatError, ("describe", "TypeError", "save the model again"), lambda: stored(described("[1, 2]"))),
    Bad("a file that is nested without end", FormatError, ("describe", "RecursionError"), lambda: stored(described("[" * 100_000))),
    Bad("a file of a model of another size", FormatError, ("describe", "fits its tensors", "save the model again"), lambda: stored(resized)),
    Bad("a file of a model far too large", FormatError, ("describe", "fits its tensors"), lambda: stored(described(json.dumps(description(hidden=[10**12]))))),
    Bad("a file with an unknown setting", FormatError, ("describe", "'depth'"), lambda: stored(described(json.dumps(description(variables={"items": [["X", {"kind": "Continuous", "settings": {"depth": 3}}]]}))))),
    Bad("a file with weights of NaN", FormatError, ("not finite", "conditioner"), lambda: stored(spoilt)),
    Bad("a file name of no character", MissingFileError, ("no file ''",), lambda: load("")),
    Bad("a file name that cannot be", MissingFileError, ("no file",), lambda: load("a\0b")),
    Bad("bytes as a file", QueryError, ("path", "b'x'"), lambda: load(b"x")),
    Bad("a folder to save to", QueryError, ("folder", "model.safetensors"), lambda: save(flow(), tempfile.gettempdir())),
    Bad("the root to save to", QueryError, ("'/'", "folder"), lambda: save(flow(), "/")),
    Bad("nowhere to save to", QueryError, ("''", "folder"), lambda: save(flow(), "")),
    Bad("a file name that cannot be written", QueryError, ("cannot be written",), lambda: save(flow(), "a\0b")),
    Bad("None as a file", QueryError, ("path", "None"), lambda: load(None)),
    Bad("a file in a folder that is not there", MissingFileError, ("no folder nowhere", "model.safetensors"), lambda: save(flow(), "nowhere/model.safetensors")),
]  # fmt: skip

CASES = [*BUILT, *DENSITIES, *KINDS, *FITTED, *DEVICES, *ANSWERED, *FILES]
