"""Calls that look odd and are valid, so that refusals are not too eager."""

import collections
import pathlib
import tempfile
import types
from datetime import datetime

import networkx as nx
import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import torch

from causal_pyro_models import (
    CausalFlow,
    CausalGraph,
    ImportanceSampling,
    abduct,
    ate,
    att,
    cate,
    counterfactual,
    dose_response,
    fit,
    intervene,
    ite,
    load,
    nde,
    path_specific,
    pn,
    pns,
    potential,
    risk_ratio,
    sample,
    save,
    worlds,
)
from causal_pyro_models.data import Binary, Categorical, Continuous, infer_variables
from causal_pyro_models.models import LocationScale, Spline
from causal_pyro_models.plots import plot_counterfactual, plot_marginals
from causal_pyro_models.scm.zoo import discrete, linear as linear_zoo
from tests.bad_input.case import Good
from tests.bad_input.programs import hidden, linear, mixed, one, plated, treated

# In ``linear`` Y is 2 X plus noise: with X and Y seen, Y under do(X = x) is Y + 2 (x - X).
SEEN = {"X": [0.0, 1.0], "Y": [1.0, 1.0]}
ARMS = {"X": (0.0, 1.0)}
XY = CausalGraph(["X", "Y"], [("X", "Y")])
FEW = {"num_samples": 200, "seed": 0}


def outcome(evidence, do, **settings):
    return counterfactual(linear, evidence, do, **settings)["Y"]


def gives(*expected):
    """Whether a tensor holds these numbers."""
    return lambda value: torch.allclose(value.double(), torch.tensor(expected).double(), atol=1e-5)


def noise(expected, site="U_X"):
    return lambda found: torch.allclose(found[site].double(), torch.tensor(expected).double(), atol=1e-5)


def about(value):
    """Whether an estimate is exact and this number."""
    return lambda estimate: abs(float(estimate.value) - value) < 1e-5


def accents():
    """Größe -> 体重 -> "blood pressure"."""
    x = pyro.sample("Größe", dist.Normal(0.0, 1.0))
    y = pyro.sample("体重", dist.Normal(2.0 * x, 1.0))
    pyro.sample("blood pressure", dist.Normal(y, 1.0))


def unshaken():
    """A model that ignores what it draws."""
    pyro.sample("X", dist.Normal(0.0, 1.0))
    pyro.sample("Y", dist.Bernoulli(0.5))


def law():
    """A law of nature that all units obey, and no noise of their own."""
    slope = pyro.sample("slope", dist.Normal(2.0, 1.0))
    with pyro.plate("people", 3):
        x = pyro.deterministic("X", torch.ones(3), event_dim=0)
        pyro.deterministic("Y", slope * x, event_dim=0)


def round_trip(model):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "a model, of mine"
        save(model, path)
        return load(str(path))


EVIDENCE = [
    Good("one unit without a dimension", lambda: outcome({"X": 0.0, "Y": 1.0}, {"X": 1.0}), gives(3.0)),
    Good("one unit in a list", lambda: outcome({"X": [0.0], "Y": [1.0]}, {"X": 1.0}), gives(3.0)),
    Good("one value for every unit beside two", lambda: outcome({"X": 0.0, "Y": [1.0, 2.0]}, {"X": 1.0}), gives(3.0, 4.0)),
    Good("a unit of length one beside two", lambda: outcome({"X": [0.0], "Y": [1.0, 2.0]}, {"X": 1.0}), gives(3.0, 4.0)),
    Good("a table whose index starts at seven", lambda: outcome(pd.DataFrame(SEEN, index=[7, 9]), {"X": 1.0}), gives(3.0, 1.0)),
    Good("a table of nullable types", lambda: outcome(pd.DataFrame({"X": pd.array([0, 1], "Int64"), "Y": pd.array([1, 1], "Float64")}), {"X": 1.0}), gives(3.0, 1.0)),
    Good("whole numbers at normal sites", lambda: outcome({"X": [0, 1], "Y": np.array([1, 1])}, {"X": 1}), gives(3.0, 1.0)),
    Good("numbers of 8 and of 16 bits", lambda: outcome({"X": np.array([0, 1], np.uint8), "Y": np.array([1, 1], np.float16)}, {"X": 1.0}), gives(3.0, 1.0)),
    Good("numbers in another byte order", lambda: outcome({"X": np.array([0.0, 1.0], ">f8"), "Y": 1.0}, {"X": 1.0}), gives(3.0, 1.0)),
    Good("an array read backwards", lambda: outcome({"X": np.array([1.0, 0.0])[::-1], "Y": 1.0}, {"X": 1.0}), gives(3.0, 1.0)),
    Good("a read-only array", lambda: outcome({"X": np.broadcast_to(0.0, 2), "Y": 1.0}, {"X": 1.0}), gives(3.0, 3.0)),
    Good("a tensor with a gradient", lambda: outcome({"X": torch.tensor([0.0, 1.0], requires_grad=True), "Y": 1.0}, {"X": 1.0}), gives(3.0, 1.0)),
    Good("a list of tensors", lambda: outcome({"X": [torch.tensor(0.0), torch.tensor(1.0)], "Y": 1.0}, {"X": 1.0}), gives(3.0, 1.0)),
    Good("a masked array without a mask", lambda: outcome({"X": np.ma.array([0.0, 1.0]), "Y": 1.0}, {"X": 1.0}), gives(3.0, 1.0)),
    Good("an ordered dict", lambda: outcome(collections.OrderedDict(Y=1.0, X=0.0), {"X": 1.0}), gives(3.0)),
    Good("a dict that cannot be written to", lambda: outcome(types.MappingProxyType({"X": 0.0, "Y": 1.0}), {"X": 1.0}), gives(3.0)),
    Good("samples as evidence", lambda: outcome(sample(linear, 5, seed=0), {}) - sample(linear, 5, seed=0)["Y"], gives(*[0.0] * 5)),
    Good("truth values at a Bernoulli site", lambda: counterfactual(mixed, {"X": 0.0, "B": [True, False]}, {})["B"], gives(1.0, 0.0)),
    Good("a class as a float", lambda: counterfactual(mixed, {"X": 0.0, "B": 0.0, "C": 2.0}, {})["C"], gives(2)),
    Good("a count of zero", lambda: counterfactual(one(dist.Poisson(3.0)), {"X": 0}, {})["X"], gives(0.0)),
    Good("a count at its largest", lambda: counterfactual(one(dist.Binomial(10, torch.tensor(0.3))), {"X": 10}, {})["X"], gives(10.0)),
    Good("what is certain", lambda: counterfactual(one(dist.Bernoulli(torch.tensor(1.0))), {"X": 1.0}, {})["X"], gives(1.0)),
    Good("a very unlikely value", lambda: abduct(one(dist.Normal(0.0, 1.0)), {"X": 40.0}), noise([40.0])),
    Good("no evidence", lambda: ate(linear, ARMS, "Y", evidence={}, **FEW), about(2.0)),
    Good("evidence on the last site alone, by a method", lambda: abduct(hidden, {"Y": [0.0, 1.0]}, ImportanceSampling(), 200, seed=0), lambda found: found["U_X"].shape == (200, 2)),
    Good("a method that is not needed", lambda: abduct(linear, SEEN, ImportanceSampling()), noise([0.0, 1.0])),
    Good("a parameter and units of a plate", lambda: counterfactual(plated, {"slope": 2.0, "X": torch.zeros(4), "Y": [0.0, 1.0, 2.0, 3.0]}, {"X": 1.0})["Y"], gives(2.0, 3.0, 4.0, 5.0)),
]  # fmt: skip

INTERVENTIONS = [
    Good("nothing done", lambda: outcome(SEEN, {}), gives(1.0, 1.0)),
    Good("every site set", lambda: counterfactual(linear, SEEN, {"X": 3.0, "Y": [4.0, 5.0]}), lambda world: gives(3.0, 3.0)(world["X"]) and gives(4.0, 5.0)(world["Y"])),
    Good("a truth value at a normal site", lambda: outcome(SEEN, {"X": True}), gives(3.0, 1.0)),
    Good("a series with an index of its own", lambda: outcome(SEEN, {"X": pd.Series([1.0, 0.0], index=[5, 6])}), gives(3.0, -1.0)),
    Good("an array read backwards, as a do", lambda: outcome(SEEN, {"X": np.array([0.0, 1.0])[::-1]}), gives(3.0, -1.0)),
    Good("an array of no dimension", lambda: outcome(SEEN, {"X": np.array(1.0)}), gives(3.0, 1.0)),
    Good("one vector for every unit", lambda: sample(intervene(mixed, {"V": [1.0, 2.0, 3.0]}), 2)["V"], gives([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])),
    Good("a function that ignores the natural value", lambda: outcome(SEEN, {"X": lambda x: 1}), gives(3.0, 1.0)),
    Good("a function to an array", lambda: outcome(SEEN, {"X": lambda x: x.numpy() + 1.0}), gives(3.0, 3.0)),
    Good("a do on a computed site", lambda: counterfactual(mixed, {"X": 1.0, "B": 0.0}, {"D": 7.0})["D"], gives(7.0)),
    Good("what it would have been anyway", lambda: outcome(SEEN, {"Y": potential("Y", {})}), gives(1.0, 1.0)),
    Good("worlds named by numbers", lambda: worlds(linear, SEEN, {0: {}, 1: {"X": 1.0}})[1]["Y"], gives(3.0, 1.0)),
    Good("a second intervention on a site", lambda: sample(intervene(intervene(linear, {"X": 1.0}), {"X": lambda x: x + 1.0}), 1)["X"], gives(2.0)),
    Good("names with accents and spaces", lambda: counterfactual(accents, {"Größe": 0.0, "体重": 1.0, "blood pressure": 1.0}, {"Größe": 1.0})["blood pressure"], gives(3.0)),
    Good("a name that is NumPy's", lambda: outcome({np.str_("X"): 0.0, "Y": 1.0}, {np.str_("X"): 1.0}), gives(3.0)),
]  # fmt: skip

QUESTIONS = [
    Good("counts and a seed that are NumPy's", lambda: sample(linear, np.int32(3), seed=np.uint8(0))["X"] - sample(linear, 3, seed=0)["X"], gives(0.0, 0.0, 0.0)),
    Good("draws and a level that are NumPy's", lambda: ate(linear, ARMS, "Y", num_samples=np.int64(50), level=np.float32(0.9), seed=0), about(2.0)),
    Good("arms that are NumPy's", lambda: att(treated, {"T": (np.int64(0), np.float32(1))}, "M", **FEW), about(1.0)),
    Good("arms in a list", lambda: ate(linear, {"X": [0, 1]}, "Y", **FEW), about(2.0)),
    Good("arms that are alike", lambda: ate(linear, {"X": (1.0, 1.0)}, "Y", **FEW), about(0.0)),
    Good("an effect of what has none", lambda: ate(unshaken, ARMS, "Y", **FEW), about(0.0)),
    Good("the largest seed", lambda: ate(linear, ARMS, "Y", num_samples=2, seed=2**32 - 1), about(2.0)),
    Good("noise as evidence", lambda: ate(linear, ARMS, "Y", evidence=abduct(linear, SEEN)), about(2.0)),
    Good("noise without noise, of a law that is known", lambda: ite(law, ARMS, "Y", evidence=abduct(law, {"slope": 2.0}, num_samples=2)).value, gives(2.0, 2.0, 2.0)),
    Good("an event of True", lambda: pns(treated, {"T": (0, 1)}, {"Y": True}, **FEW), lambda e: 0.0 <= float(e.value) <= 1.0),
    Good("an event that is an array of no dimension", lambda: risk_ratio(treated, {"T": (0, 1)}, {"Y": np.array(1)}, **FEW), lambda e: float(e.value) > 1.0),
    Good("an event of a computed number", lambda: ate(mixed, {"X": (0.0, 1.0)}, {"D": 2.0}, **FEW), about(1.0)),
    Good("an outcome that is true or false", lambda: pn(treated, {"T": (0, 1)}, lambda world: world["Y"] == 1, **FEW), lambda e: 0.0 <= float(e.value) <= 1.0),
    Good("a covariate in a series", lambda: cate(linear, ARMS, "Y", given={"X": pd.Series([0.0, 1.0], index=[5, 6])}, **FEW).value, gives(2.0, 2.0)),
    Good("a grid of one point", lambda: dose_response(linear, {"X": [1.0]}, "Y", evidence=SEEN).value, gives(2.0)),
    Good("a grid in a series", lambda: dose_response(linear, {"X": pd.Series([0.0, 1.0], index=[5, 6])}, "Y", evidence=SEEN).value, gives(0.0, 2.0)),
    Good("a grid in a range", lambda: dose_response(linear, {"X": range(2)}, "Y", evidence=SEEN).value, gives(0.0, 2.0)),
    Good("a mediator that does not mediate", lambda: nde(treated, {"T": (0.0, 1.0)}, "M", "Z", **FEW), about(1.0)),
    Good("a path given twice", lambda: path_specific(linear, ARMS, "Y", [("X", "Y"), ("X", "Y")], graph=XY, **FEW), about(2.0)),
]  # fmt: skip

LEARNED = [
    Good("a graph of edges alone", lambda: CausalGraph.from_edges([("X", "Y")]), lambda graph: graph == XY),
    Good("a graph without edges", lambda: CausalGraph(["X", "Y"], []), lambda graph: graph.m_separated("X", "Y")),
    Good("a graph of nothing", lambda: CausalGraph([], []), lambda graph: graph.topological_order == ()),
    Good("an edge in a list", lambda: CausalGraph(["X", "Y"], [["X", "Y"]]), lambda graph: graph == XY),
    Good("names with accents in DOT", lambda: CausalGraph.from_dot('digraph { "Größe" -> "blood pressure" }').edges, lambda edges: edges == (("Größe", "blood pressure"),)),
    Good("an adjacency matrix of truth values", lambda: CausalGraph.from_adjacency([[False, True], [False, False]], ["X", "Y"]), lambda graph: graph == XY),
    Good("an adjacency matrix in a table", lambda: CausalGraph.from_adjacency(pd.DataFrame([[0, 1], [0, 0]]), ["X", "Y"]), lambda graph: graph == XY),
    Good("an adjacency matrix in a table with labels", lambda: CausalGraph.from_adjacency(pd.DataFrame([[0, 1], [0, 0]], ["X", "Y"], ["X", "Y"]), ["X", "Y"]), lambda graph: graph == XY),
    Good("a networkx graph without attributes", lambda: CausalGraph.from_networkx(nx.DiGraph([("X", "Y")])), lambda graph: graph == XY),
    Good("widths and bins that are NumPy's, in a file", lambda: round_trip(CausalFlow(XY, {"X": Categorical(np.int64(2), np.array(["a", "b"]).tolist()), "Y": Continuous()}, Spline(np.int64(4), np.float32(3.0)), [np.int64(4)])), lambda model: model.hidden == (4,) and model.residual == Spline(4, 3.0)),
    Good("labels that are NumPy's, in a file", lambda: round_trip(CausalFlow(XY, {"X": Binary((np.int64(1), np.int64(2))), "Y": Continuous()})), lambda model: model.variables["X"] == Binary((1, 2))),
    Good("no hidden layer", lambda: fit(CausalFlow(XY, {"X": Continuous(), "Y": Continuous()}, LocationScale(), hidden=()), {"X": np.linspace(0, 1, 40), "Y": np.sin(np.arange(40.0))}, steps=3, seed=0, progress=False), lambda result: result.steps == 3),
    Good("columns that the graph does not have", lambda: fit(CausalFlow(CausalGraph(["X"], []), {"X": Continuous()}, hidden=(4,)), {"X": list(range(40)), "name": ["a"] * 40}, steps=2, seed=0, device=torch.device("cpu"), progress=False), lambda result: result.steps == 2),
    Good("numbers of mixed types as objects", lambda: CausalFlow(CausalGraph(["X"], []), {"X": Continuous()}).encode({"X": np.array([1, 2.5, True], dtype=object)}).values["X"], gives(1.0, 2.5, 1.0)),
    Good("a frame with a column of objects that are numbers", lambda: abduct(linear, pd.DataFrame({"X": pd.Series([1.0, 2], dtype=object), "Y": [0.0, 1.0]}))["U_X"], gives(1.0, 2.0)),
    Good("None among numbers as missing evidence", lambda: abduct(linear, {"X": [1.0, None], "Y": 0.0}, num_samples=3, seed=0), lambda noise: noise["U_Y"].shape == (3, 2)),
    Good("labels that are datetimes, in a file", lambda: round_trip(CausalFlow(XY, {"X": Binary((pd.Timestamp("2024-01-01"), np.datetime64("2024-04-01"))), "Y": Continuous()})), lambda model: model.variables["X"] == Binary((datetime(2024, 1, 1), datetime(2024, 4, 1)))),
    Good("truth values as a kind", lambda: infer_variables(pd.DataFrame({"X": [True, False]})), lambda kinds: kinds == {"X": Binary((False, True))}),
    Good("a law without an intervention", lambda: float(linear_zoo.chain().law(None).variance("X")), lambda variance: variance > 0.0),
    Good("the probability of anything", lambda: discrete.chain().probability({}), lambda probability: probability == 1.0),
]  # fmt: skip

PLOTTED = [
    Good("a unit that is NumPy's", lambda: plot_counterfactual(worlds(linear, SEEN, {"a": {}, "b": {"X": 1.0}}), "a", unit=np.int64(1)), lambda figure: len(figure.axes) == 2),
    Good("one site by its name", lambda: plot_counterfactual(worlds(linear, SEEN, {"a": {}, "b": {"X": 1.0}}), "a", sites="Y"), lambda figure: figure.axes[0].get_xlabel() == "Y"),
    Good("tensors with a gradient", lambda: plot_marginals({"X": torch.tensor([0.0, 1.5, 2.0], requires_grad=True)}, {"X": [0.0, 1.0]}), lambda figure: len(figure.axes) == 1),
    Good("a constant sample", lambda: plot_marginals({"X": [0.5, 0.5]}, {"X": [0.5, 0.5, 0.5]}), lambda figure: len(figure.axes) == 1),
]  # fmt: skip

CASES = [*EVIDENCE, *INTERVENTIONS, *QUESTIONS, *LEARNED, *PLOTTED]
