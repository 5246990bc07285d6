"""Interventions that a site cannot take."""

import decimal

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import torch
from pyro import poutine

from causal_pyro_models import counterfactual, exogenize, intervene, policy, potential, sample, worlds
from causal_pyro_models.errors import InterventionError, ModelError, UnknownVariableError
from tests.bad_input.case import Bad
from tests.bad_input.evidence import IMPOSSIBLE
from tests.bad_input.programs import linear, mixed, one, plated

nan, inf = float("nan"), float("inf")
SEEN = {"X": [0.0, 1.0], "Y": [1.0, 1.0]}

BOUNDED_BY_PARAMETERS = {"binomial 11 of 10", "uniform 2", "pareto 0.5", "von mises 9"}  # which interventions replace
OUT_OF_SUPPORT = [
    Bad(
        f"{what} as intervention", InterventionError, ("'X'", "support"),
        lambda law=law, value=value: sample(intervene(one(law), {"X": torch.tensor(value)}), 2),
    )
    for what, (law, value) in IMPOSSIBLE.items()
    if what not in BOUNDED_BY_PARAMETERS
]  # fmt: skip

VALUES = {
    "a string": ("high", ("'X'", "'high'", "a number")),
    "None": (None, ("'X'", "None", "a number")),
    "a dict": ({"a": 1.0}, ("'X'", "dict", "a number")),
    "a list of strings": (["a", "b"], ("'X'", "list", "a number")),
    "a set": ({1.0, 2.0}, ("'X'", "set", "a number")),
    "an object array": (np.array([1.0, "b"], dtype=object), ("'X'", "ndarray", "a number")),
    "a series of strings": (pd.Series(["a", "b"]), ("'X'", "Series", "a number")),
    "a complex number": (1.0 + 2.0j, ("'X'", "complex", "finite real numbers")),
    "a complex tensor": (torch.tensor(1j), ("'X'", "complex", "finite real numbers")),
    "a decimal": (decimal.Decimal("1.5"), ("'X'", "Decimal", "a number")),
    "a date": (np.datetime64("2024-01-01"), ("'X'", "datetime64", "a number")),
    "a missing value": (pd.NA, ("'X'", "NAType", "a number")),
    "a masked value": (np.ma.array([1.0, 2.0], mask=[0, 1]), ("'X'", "MaskedArray", "a number")),
    "a sparse tensor": (torch.ones(2).to_sparse(), ("'X'", "dense tensor")),
    "a tensor without values": (torch.ones(2, device="meta"), ("'X'", "dense tensor")),
    "a table": (pd.DataFrame({"X": [1.0, 2.0]}), ("'X'", "(2, 1)", "(2,)")),
    "NaN": (nan, ("'X'", "NaN")),
    "NaN for one unit": ([0.0, nan], ("'X'", "NaN")),
    "infinity": (inf, ("'X'", "infinite")),
    "a number beyond float32": (1e300, ("'X'", "infinite")),
    "an integer beyond int64": (10**30, ("'X'",)),
    "no number": ([], ("'X'", "(0,)", "(2,)")),
    "three numbers for two units": ([1.0, 2.0, 3.0], ("'X'", "(3,)", "(2,)")),
    "a matrix": (torch.zeros(2, 2), ("'X'", "(2, 2)", "(2,)")),
    "a draws dimension": (torch.zeros(100, 1), ("'X'", "(100, 1)", "(2,)")),
    "the distribution class": (dist.Normal, ("'X'", "Normal", "instance")),
    "a vector distribution": (dist.Normal(torch.zeros(3), 1.0).to_event(1), ("'X'", "(3,)", "()", "event")),
    "a distribution for three units": (dist.Normal(torch.zeros(3), 1.0), ("'X'", "(3,)", "(2,)")),
    "a torch distribution": (torch.distributions.Normal(0.0, 1.0), ("'X'", "Normal", "pyro.distributions")),
    "a function to None": (lambda x: None, ("'X'", "NoneType", "a number")),
    "a function to a string": (lambda x: "high", ("'X'", "str", "a number")),
    "a function to NaN": (lambda x: x.log() * nan, ("'X'", "NaN")),
    "a function to infinity": (lambda x: x / 0.0, ("'X'", "infinite")),
    "a function to the wrong shape": (lambda x: torch.zeros(3), ("'X'", "(3,)", "(2,)")),
    "a function to a distribution": (lambda x: dist.Normal(x, 1.0), ("'X'", "Normal", "a number")),
    "a policy to NaN": (policy(lambda v: v["X"] * nan, ["X"]), ("'X'", "NaN")),
    "a policy to the wrong shape": (policy(lambda v: torch.zeros(3), ["X"]), ("'X'", "(3,)", "(2,)")),
    "a policy that fails": (policy(lambda v: v["X"].shape[7], ["X"]), ("'X'", "policy", "IndexError")),
    "a policy with a branch": (
        policy(lambda v: 1.0 if v["X"] > 0 else 0.0, ["X"]),
        ("'X'", "policy", "RuntimeError", "torch.where"),
    ),
    "a policy that asks for more than it reads": (policy(lambda v: v["Y"], ["X"]), ("'X'", "'Y'", "reads")),
    "a policy that reads an effect": (policy(lambda v: v["Y"], ["Y"]), ("'X'", "'Y'", "before")),
    "a policy that reads a misspelt site": (policy(lambda v: v["x"], ["x"]), ("'X'", "'x'", "before")),
    "a policy to a vector distribution": (
        policy(lambda v: dist.Normal(torch.zeros(3), 1.0).to_event(1), ["X"]),
        ("'X'", "(3,)", "()", "event"),
    ),
    "a function that fails": (lambda x: x.shape[7], ("'X'", "function", "IndexError")),
    "a function of nothing": (lambda: 1.0, ("'X'", "function", "natural value")),
    "a function of two values": (lambda x, y: x, ("'X'", "function", "natural value")),
}
AT_X = [
    Bad(f"do {what}", InterventionError, says, lambda value=value: counterfactual(linear, SEEN, {"X": value}))
    for what, (value, says) in VALUES.items()
]

DOS = {
    "do as a list": (["X"], InterventionError, ("do", "dict", "['X']", "{} for none")),
    "do as a table": (pd.DataFrame({"X": [1.0]}), InterventionError, ("do", "dict", "{} for none")),
    "do as a name": ("X", InterventionError, ("do", "dict", "'X'", "{} for none")),
    "do on an unknown site": ({"Q": 1.0}, UnknownVariableError, ("'Q'", "The sites are: X, Y")),
    "do on a misspelt site": ({"x": 1.0}, UnknownVariableError, ("'x'", "Did you mean 'X'?")),
    "do on an empty name": ({"": 1.0}, UnknownVariableError, ("''", "The sites are")),
    "do on a number": ({1: 1.0}, InterventionError, ("1", "string")),
    "do on noise": ({"U_X": 1.0}, UnknownVariableError, ("'U_X'", "noise", "'X'")),
    "a potential of an unknown site": ({"X": potential("Q", {})}, UnknownVariableError, ("'Q'", "The sites are")),
    "a potential in an unknown world": (
        {"X": potential("Y", {"Q": 1.0})}, UnknownVariableError, ("'Q'", "The sites are"),
    ),
    "a potential in an impossible world": ({"X": potential("Y", {"X": nan})}, InterventionError, ("'X'", "NaN")),
    "a potential nested in an unknown one": (
        {"X": potential("Y", {"X": potential("Q", {})})}, UnknownVariableError, ("'Q'", "The sites are"),
    ),
}  # fmt: skip
DO = [
    Bad(f"{what}, {where}", error, says, lambda call=call, do=do: call(do))
    for what, (do, error, says) in DOS.items()
    for where, call in {
        "in a counterfactual": lambda do: counterfactual(linear, SEEN, do),
        "in a sample": lambda do: sample(intervene(linear, do), 2),
    }.items()
]


def managed(do):
    with intervene(do=do):
        linear()


HANDLED = [
    Bad("do as None, in a counterfactual", InterventionError, ("do", "dict", "None", "{} for none"), lambda: counterfactual(linear, SEEN, None)),
    Bad("no do at all", InterventionError, ("needs do",), lambda: intervene(linear)),
    Bad("neither model nor do", InterventionError, ("needs do",), lambda: intervene()),
    Bad("do given as the model", InterventionError, ("dict", "do="), lambda: intervene({"X": 1.0})),
    Bad("a model that is none", ModelError, ("callable", "str"), lambda: intervene("linear", {"X": 1.0})),
    Bad("an unknown site, as a context manager", UnknownVariableError, ("'Q'", "X, Y"), lambda: managed({"Q": 1.0})),
    Bad("a wrong type, as a context manager", InterventionError, ("'X'", "None"), lambda: managed({"X": None})),
    Bad("NaN, as a context manager", InterventionError, ("'X'", "NaN"), lambda: managed({"X": nan})),
    Bad(
        "a potential, as a context manager", InterventionError, ("'X'", "intervene(model, do)"),
        lambda: managed({"X": potential("Y", {})}),
    ),
    Bad("a policy that is no function", InterventionError, ("policy", "function", "1.0"), lambda: policy(1.0, ["X"])),
    Bad("a policy that is a class", InterventionError, ("policy", "function"), lambda: policy(dict, ["X"])),
    Bad("reads that are a name", InterventionError, ("reads", "['Z']", "'X'"), lambda: policy(lambda v: 1.0, "X")),
    Bad("reads that are numbers", InterventionError, ("reads", "[1]"), lambda: policy(lambda v: 1.0, [1])),
    Bad("reads that are none", InterventionError, ("at least one",), lambda: policy(lambda v: 1.0, [])),
    Bad("a potential of a number", InterventionError, ("potential", "3", "string"), lambda: potential(3, {"X": 1.0})),
    Bad("a potential with a name for its world", InterventionError, ("'M'", "dict", "got 'X'"), lambda: potential("M", "X")),
    Bad("a potential without a world", InterventionError, ("'M'", "dict", "got None"), lambda: potential("M", None)),
    Bad("a potential at None", InterventionError, ("'X'", "None"), lambda: potential("M", {"X": None})),
    Bad(
        "conditioned after the intervention", InterventionError, ("'X'", "contradicts", "counterfactual"),
        lambda: poutine.condition(intervene(linear, {"X": 1.0}), data={"X": torch.tensor(2.0)})(),
    ),
    Bad(
        "a vector site set to a number of wrong length", InterventionError, ("'V'", "(2,)", "(3,)"),
        lambda: sample(intervene(mixed, {"V": [1.0, 2.0]}), 2),
    ),
    Bad(
        "a category that does not exist", InterventionError, ("'C'", "support", "7"),
        lambda: sample(intervene(mixed, {"C": 7}), 2),
    ),
    Bad(
        "half a category", InterventionError, ("'C'", "0.5"), lambda: sample(intervene(mixed, {"C": 0.5}), 2),
    ),
    Bad("half a binary value", InterventionError, ("'B'", "0.5"), lambda: sample(intervene(mixed, {"B": 0.5}), 2)),
    Bad("half a count", InterventionError, ("'N'", "0.5"), lambda: sample(intervene(mixed, {"N": 0.5}), 2)),
    Bad(
        "a shift out of the support", InterventionError, ("'N'", "support"),
        lambda: sample(intervene(mixed, {"N": lambda n: n - 100}), 5, seed=0),
    ),
    Bad(
        "a policy that leaves the support", InterventionError, ("'B'", "Bernoulli", "support", "0 or 1"),
        lambda: sample(intervene(mixed, {"B": dist.Normal(0.0, 1.0)}), 5, seed=0),
    ),
    Bad(
        "a continuous policy at a category", InterventionError, ("'C'", "Categorical", "support"),
        lambda: sample(intervene(mixed, {"C": dist.Normal(0.0, 1.0)}), 5, seed=0),
    ),
    Bad(
        "a policy for a deterministic vector", InterventionError, ("'V'", "event", "(3,)"),
        lambda: sample(intervene(mixed, {"V": dist.Normal(0.0, 1.0)}), 5, seed=0),
    ),
    Bad(
        "a plate of other size", InterventionError, ("'X'", "(7,)", "(4,)"),
        lambda: sample(intervene(plated, {"X": torch.zeros(7)}), 2),
    ),
    Bad(
        "the law of a parameter changed", InterventionError, ("'location'", "held fixed"),
        lambda: counterfactual(two_parameters, {"scale": 1.0, "location": 0.0, "X": [0.0, 1.0]}, {"scale": 2.0}),
    ),
    Bad(
        "a potential in a model with an observation", InterventionError, ("'Y'", "evidence"),
        lambda: intervene(
            poutine.condition(linear, data={"Y": torch.tensor(0.0)}), {"X": potential("X", {"X": 1.0})}
        )(),
    ),
    Bad(
        "worlds of no dict", InterventionError, ("worlds", "dict", "[{'X': 1.0}]"),
        lambda: worlds(linear, SEEN, [{"X": 1.0}]),
    ),
    Bad("worlds of one intervention", InterventionError, ("world 'X'", "dict", "1.0"), lambda: worlds(linear, SEEN, {"X": 1.0})),
    Bad("no world at all", InterventionError, ("worlds", "at least one"), lambda: worlds(linear, SEEN, {})),
    Bad(
        "one world of two with an unknown site", UnknownVariableError, ("'Q'", "X, Y"),
        lambda: worlds(linear, SEEN, {"a": {"X": 1.0}, "b": {"Q": 1.0}}),
    ),
    Bad("an unknown world afterwards", UnknownVariableError, ("world 'c'", "a, b"), lambda: two_worlds()["c"]),
    Bad("worlds afterwards, in a list", UnknownVariableError, ("world ['a']", "a, b"), lambda: two_worlds()[["a"]]),
    Bad("a second intervention, on an unknown site", UnknownVariableError, ("'Q'", "X, Y"), lambda: sample(intervene(intervene(linear, {"X": 1.0}), {"Q": 1.0}), 2)),
    Bad("an intervention over one of pyro.do", InterventionError, ("'X'", "pyro.do", "intervene for both"), lambda: sample(intervene(poutine.do(linear, {"X": torch.tensor(1.0)}), {"X": 2.0}), 2)),
    Bad("a misspelt world afterwards", UnknownVariableError, ("'treted'", "'treated'"), lambda: worlds(linear, SEEN, {"treated": {}})["treted"]),
    Bad("an unknown site of a world", UnknownVariableError, ("'Q'", "X, Y"), lambda: two_worlds()["a"]["Q"]),
    Bad(
        "NaN after the noise was made explicit", InterventionError, ("'X'", "NaN"),
        lambda: intervene(exogenize(linear), {"X": nan})(),
    ),
]  # fmt: skip


def two_worlds():
    return worlds(linear, SEEN, {"a": {"X": 1.0}, "b": {}})


def two_parameters():
    scale = pyro.sample("scale", dist.LogNormal(0.0, 1.0))
    location = pyro.sample("location", dist.Normal(0.0, scale))
    with pyro.plate("people", 2):
        pyro.sample("X", dist.Normal(location, 1.0))


CASES = [*OUT_OF_SUPPORT, *AT_X, *DO, *HANDLED]
