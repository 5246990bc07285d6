"""Questions about effects that cannot be asked as they stand."""

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import torch

from causal_pyro_models import (
    CausalGraph,
    ImportanceSampling,
    abduct,
    ate,
    att,
    cate,
    cde,
    dose_response,
    ite,
    nde,
    nie,
    odds_ratio,
    path_specific,
    pn,
    pns,
    ps,
    risk_ratio,
)
from causal_pyro_models.errors import (
    AbductionError,
    EvidenceError,
    InterventionError,
    ModelError,
    QueryError,
    UnknownVariableError,
)
from tests.bad_input.case import Bad
from tests.bad_input.programs import linear, plated, treated

nan, inf = float("nan"), float("inf")
ARMS = {"T": (0.0, 1.0)}
ALL = {"Z": [0.0, 1.0], "T": [0.0, 1.0], "M": [0.0, 1.0], "V": [[0.0, 1.0]], "Y": [0.0, 1.0]}
FEW = {"num_samples": 200, "seed": 0}

# every effect as a function of treatment and outcome
EFFECTS = {
    "ate": lambda treatment, outcome, **more: ate(treated, treatment, outcome, **{**FEW, **more}),
    "att": lambda treatment, outcome, **more: att(treated, treatment, outcome, **{**FEW, **more}),
    "cate": lambda treatment, outcome, **more: cate(treated, treatment, outcome, given={"Z": 0.0}, **{**FEW, **more}),
    "ite": lambda treatment, outcome, **more: ite(treated, treatment, outcome, **{"evidence": ALL, **FEW, **more}),
    "cde": lambda treatment, outcome, **more: cde(treated, treatment, outcome, {"M": 0.0}, **{**FEW, **more}),
    "nde": lambda treatment, outcome, **more: nde(treated, treatment, outcome, "M", **{**FEW, **more}),
    "nie": lambda treatment, outcome, **more: nie(treated, treatment, outcome, "M", **{**FEW, **more}),
    "risk_ratio": lambda treatment, outcome, **more: risk_ratio(treated, treatment, outcome, **{**FEW, **more}),
    "odds_ratio": lambda treatment, outcome, **more: odds_ratio(treated, treatment, outcome, **{**FEW, **more}),
    "pn": lambda treatment, outcome, **more: pn(treated, treatment, outcome, **{**FEW, **more}),
    "ps": lambda treatment, outcome, **more: ps(treated, treatment, outcome, **{**FEW, **more}),
    "pns": lambda treatment, outcome, **more: pns(treated, treatment, outcome, **{**FEW, **more}),
}
FIRST = ("ate", "att", "ite", "nde", "pn")

TREATMENTS = {
    "an unknown treatment": ({"Q": (0.0, 1.0)}, UnknownVariableError, ("'Q'", "Z, T")),
    "a misspelt treatment": ({"t": (0.0, 1.0)}, UnknownVariableError, ("'t'", "Did you mean 'T'?")),
    "no treatment": ({}, InterventionError, ("treatment", "pair", "{}")),
    "the treatment as a name": ("T", InterventionError, ("treatment", "pair", "'T'")),
    "the treatment as None": (None, InterventionError, ("treatment", "pair", "None")),
    "one arm": ({"T": 1.0}, InterventionError, ("'T'", "pair", "1.0")),
    "three arms": ({"T": (0.0, 0.5, 1.0)}, InterventionError, ("'T'", "pair")),
    "arms as a string": ({"T": "01"}, InterventionError, ("'T'", "pair", "'01'")),
    "arms of words": ({"T": ("no", "yes")}, InterventionError, ("'T'", "a number")),
    "an arm of None": ({"T": (None, 1.0)}, InterventionError, ("'T'", "None")),
    "an arm of NaN": ({"T": (0.0, nan)}, InterventionError, ("'T'", "NaN")),
    "an arm out of support": ({"T": (0.0, 2.0)}, InterventionError, ("'T'", "support", "2")),
}
OUTCOMES = {
    "an unknown outcome": ("Q", UnknownVariableError, ("'Q'", "Z, T")),
    "no outcome": ("", QueryError, ("outcome", "empty")),
    "the outcome as None": (None, QueryError, ("None", "site")),
    "the outcome as a number": (3, QueryError, ("3", "site")),
    "the outcome as a list": (["Y"], QueryError, ("['Y']", "site")),
    "the treatment as outcome": ("T", QueryError, ("'T'", "outcome", "another variable")),
    "a vector as outcome": ("V", QueryError, ("'V'", "(2,)", "lambda")),
    "an event of an unknown site": ({"Q": 1}, UnknownVariableError, ("'Q'", "Z, T")),
    "an event without a site": ({}, QueryError, ("outcome", "empty")),
    "an event that is no number": ({"Y": "yes"}, QueryError, ("'Y'", "'yes'")),
    "an event of NaN": ({"Y": nan}, QueryError, ("'Y'", "nan")),
    "an event of two numbers": ({"Y": [0, 1]}, QueryError, ("'Y'", "[0, 1]", "single number")),
    "an event of a tensor of two": ({"Y": torch.tensor([0.0, 1.0])}, QueryError, ("'Y'", "single number")),
    "an event of probability zero": ({"M": 0.3}, QueryError, ("'M'", "probability zero", "continuous", "lambda")),
    "the outcome as a set": ({"Y"}, QueryError, ("{'Y'}", "site")),
    "the outcome as bytes": (b"Y", QueryError, ("b'Y'", "site")),
    "an event that cannot be": ({"Y": 7}, QueryError, ("'Y'", "7", "0 or 1")),
    "a function to a number": (lambda world: 1.0, QueryError, ("function", "float", "a number for each unit")),
    "a function to None": (lambda world: None, QueryError, ("function", "NoneType", "a number for each unit")),
    "a function to the wrong shape": (lambda world: torch.zeros(7, 3), QueryError, ("function", "(7, 3)")),
    "a function to NaN": (lambda world: world["Y"] * nan, ModelError, ("function", "NaN")),
    "a function of an unknown site": (lambda world: world["Q"], UnknownVariableError, ("'Q'", "Z, T")),
    "a function that fails": (lambda world: world["Y"].shape[9], QueryError, ("function", "IndexError")),
}
SETTINGS = {
    "one sample": ({"num_samples": 1}, QueryError, ("num_samples", "2", "got 1")),
    "no sample": ({"num_samples": 0}, QueryError, ("num_samples", "got 0")),
    "half a sample": ({"num_samples": 10.5}, QueryError, ("num_samples", "10.5")),
    "samples in words": ({"num_samples": "many"}, QueryError, ("num_samples", "'many'")),
    "a level of one": ({"level": 1.0}, QueryError, ("level", "1.0")),
    "a level of 95": ({"level": 95}, QueryError, ("level", "95")),
    "a level in words": ({"level": "95%"}, QueryError, ("level", "'95%'")),
    "a level of NaN": ({"level": nan}, QueryError, ("level", "nan")),
    "a level of True": ({"level": True}, QueryError, ("level", "True")),
    "a seed beyond 32 bits": ({"seed": 10**30}, QueryError, ("seed", f"{10**30}")),
    "a seed that is a tensor": ({"seed": torch.tensor(3)}, QueryError, ("seed", "tensor(3)")),
    "a negative seed": ({"seed": -1}, QueryError, ("seed", "-1")),
    "a method in words": ({"method": "exact"}, AbductionError, ("method", "'exact'")),
}
EVIDENCE = {
    "evidence of None for a column": ({"Y": None}, EvidenceError, ("'Y'", "numbers")),
    "unknown evidence": ({"Q": [1.0]}, UnknownVariableError, ("'Q'", "Z, T")),
    "evidence out of support": ({**ALL, "Y": [3.0, 1.0]}, EvidenceError, ("'Y'", "support")),
    "evidence of a table of nothing": (pd.DataFrame(), EvidenceError, ("columns", "{} for none")),
    "evidence that needs a method": ({"Y": [0.0, 1.0]}, AbductionError, ("'Y'", "ImportanceSampling()")),
    "evidence of no dict": ([1.0], EvidenceError, ("dict", "list")),
}
ASKED = [
    Bad(f"{effect} of {what}", error, says, lambda ask=EFFECTS[effect], treatment=treatment: ask(treatment, "Y"))
    for what, (treatment, error, says) in TREATMENTS.items()
    for effect in (EFFECTS if what in ("an unknown treatment", "one arm") else FIRST)
    if not (effect == "att" and what in ("an arm of NaN", "an arm out of support"))
] + [
    Bad(f"{effect} of {what}", error, says, lambda ask=EFFECTS[effect], outcome=outcome: ask(ARMS, outcome))
    for what, (outcome, error, says) in OUTCOMES.items()
    for effect in (EFFECTS if what in ("an unknown outcome", "the outcome as None") else FIRST[:3])
] + [
    Bad(f"{effect} with {what}", error, says, lambda ask=EFFECTS[effect], more=more: ask(ARMS, "Y", **more))
    for what, (more, error, says) in SETTINGS.items()
    for effect in FIRST[:3]
] + [
    Bad(f"ate with {what}", error, says, lambda evidence=evidence: EFFECTS["ate"](ARMS, "Y", evidence=evidence))
    for what, (evidence, error, says) in EVIDENCE.items()
]  # fmt: skip


def never():
    """Nobody is treated, and nobody has the outcome."""
    t = pyro.sample("T", dist.Bernoulli(torch.tensor(0.0)))
    pyro.sample("Y", dist.Bernoulli(0.0 * t))


def three():
    t = pyro.sample("T", dist.Categorical(torch.ones(3)))
    pyro.sample("Y", dist.Normal(t.float(), 1.0))


CHAIN = CausalGraph.from_edges([("T", "M"), ("M", "Y"), ("T", "Y"), ("Z", "T"), ("Z", "Y")])
SOME = {"num_samples": 50, "seed": 0}


def along(paths, graph=None, treatment=None):
    return path_specific(treated, treatment or ARMS, "Y", paths, graph=graph, **SOME)


SPECIAL = [
    Bad("ite without evidence", EvidenceError, ("ite", "evidence", "ate"), lambda: ite(treated, ARMS, "Y", evidence=None)),
    Bad("ite with empty evidence", EvidenceError, ("ite", "evidence"), lambda: ite(treated, ARMS, "Y", evidence={})),
    Bad("ite with a table of nothing", EvidenceError, ("columns", "{} for none"), lambda: ite(treated, ARMS, "Y", evidence=pd.DataFrame())),
    Bad("an effect in noise, with a method on top", QueryError, ("method", "leave out"), lambda: ate(linear, {"X": (0.0, 1.0)}, "Y", evidence=abduct(linear, {"X": [1.0], "Y": [1.0]}), method=ImportanceSampling())),
    Bad("an effect in noise, with draws on top", QueryError, ("num_samples", "leave out"), lambda: ate(linear, {"X": (0.0, 1.0)}, "Y", evidence=abduct(linear, {"X": [1.0], "Y": [1.0]}), num_samples=50)),
    Bad("ite with evidence of a number", EvidenceError, ("dict", "float"), lambda: ite(treated, ARMS, "Y", evidence=3.0)),
    Bad("att by a function", InterventionError, ("'T'", "number"), lambda: att(treated, {"T": (0.0, lambda t: t)}, "Y", **SOME)),
    Bad("att where nobody is treated", EvidenceError, ("'T'", "probability zero"), lambda: att(never, ARMS, "Y", **SOME)),
    Bad("att where nobody of the data is treated", EvidenceError, ("treated", "at least 2"), lambda: att(treated, ARMS, "Y", evidence={**ALL, "T": 0.0})),
    Bad("cate of nothing", QueryError, ("given", "by"), lambda: cate(treated, ARMS, "Y", **SOME)),
    Bad("cate of both", QueryError, ("given", "by"), lambda: cate(treated, ARMS, "Y", given={"Z": 0.0}, by="T", **SOME)),
    Bad("cate given an unknown site", UnknownVariableError, ("'Q'", "Z, T"), lambda: cate(treated, ARMS, "Y", given={"Q": 0.0}, **SOME)),
    Bad("cate given NaN", EvidenceError, ("'Z'", "NaN"), lambda: cate(treated, ARMS, "Y", given={"Z": nan}, **SOME)),
    Bad("cate given a word", EvidenceError, ("'Z'", "numbers"), lambda: cate(treated, ARMS, "Y", given={"Z": "old"}, **SOME)),
    Bad("cate given a name", EvidenceError, ("dict", "str"), lambda: cate(treated, ARMS, "Y", given="Z", **SOME)),
    Bad("cate given nothing", QueryError, ("given", "empty"), lambda: cate(treated, ARMS, "Y", given={}, **SOME)),
    Bad("cate given and with evidence", QueryError, ("given", "evidence"), lambda: cate(treated, ARMS, "Y", given={"Z": 0.0}, evidence=ALL, **SOME)),
    Bad("cate by an unknown site", UnknownVariableError, ("'Q'", "Z, T"), lambda: cate(treated, ARMS, "Y", by="Q", **SOME)),
    Bad("cate by a continuous site", QueryError, ("'Z'", "bin them"), lambda: cate(treated, ARMS, "Y", by="Z", num_samples=500, seed=0)),
    Bad("cate by a vector", QueryError, ("'V'", "(2,)"), lambda: cate(treated, ARMS, "Y", by="V", **SOME)),
    Bad("cate by a number", QueryError, ("3",), lambda: cate(treated, ARMS, "Y", by=3, **SOME)),
    Bad("cate by a list", QueryError, ("['T']", "site"), lambda: cate(treated, ARMS, "Y", by=["T"], **SOME)),
    Bad("cate by a function to words", QueryError, ("function", "str", "a number for each unit"), lambda: cate(treated, ARMS, "Y", by=lambda w: "old", **SOME)),
    Bad("cate by a function to NaN", ModelError, ("function", "NaN"), lambda: cate(treated, ARMS, "Y", by=lambda w: w["T"] * nan, **SOME)),
    Bad("cate by a lone label", EvidenceError, ("subgroup True", "1 units", "2"), lambda: cate(treated, ARMS, "Y", by=lambda w: w["Z"] == w["Z"].max(), **SOME)),
    Bad("cate given in a model with plates", QueryError, ("given", "plates", "by"), lambda: cate(plated, {"X": (0.0, 1.0)}, "Y", given={"slope": 1.0}, **SOME)),
    Bad("cde without mediators", QueryError, ("mediators", "ate"), lambda: cde(treated, ARMS, "Y", {}, **SOME)),
    Bad("cde with a list of mediators", InterventionError, ("mediators", "dict"), lambda: cde(treated, ARMS, "Y", ["M"], **SOME)),
    Bad("cde with an unknown mediator", UnknownVariableError, ("'Q'", "Z, T"), lambda: cde(treated, ARMS, "Y", {"Q": 0.0}, **SOME)),
    Bad("cde with a mediator at NaN", InterventionError, ("'M'", "NaN"), lambda: cde(treated, ARMS, "Y", {"M": nan}, **SOME)),
    Bad("cde with the treatment as mediator", QueryError, ("'T'", "mediator"), lambda: cde(treated, ARMS, "Y", {"T": 0.0}, **SOME)),
    Bad("nde without mediators", QueryError, ("mediators", "ate"), lambda: nde(treated, ARMS, "Y", [], **SOME)),
    Bad("nde with an unknown mediator", UnknownVariableError, ("'Q'", "Z, T"), lambda: nde(treated, ARMS, "Y", "Q", **SOME)),
    Bad("nde with None as mediator", QueryError, ("mediators", "None"), lambda: nde(treated, ARMS, "Y", None, **SOME)),
    Bad("nie with the outcome as mediator", QueryError, ("'Y'", "mediator"), lambda: nie(treated, ARMS, "Y", ["M", "Y"], **SOME)),
    Bad("nde with mediators in a list of lists", UnknownVariableError, ("['M']", "Z, T"), lambda: nde(treated, ARMS, "Y", [["M"]], **SOME)),
    Bad("nie with a number as mediator", QueryError, ("mediators", "3"), lambda: nie(treated, ARMS, "Y", 3, **SOME)),
    Bad("no path", QueryError, ("path", "('X', 'M', 'Y')"), lambda: along([])),
    Bad("a path of unknown sites", UnknownVariableError, ("'Q'", "Z, T"), lambda: along([("T", "Q", "Y")], CHAIN)),
    Bad("a path against the arrows", QueryError, ("T -> Z -> Y", "no edge T -> Z"), lambda: along([("T", "Z", "Y")], CHAIN)),
    Bad("a path from elsewhere", QueryError, ("M -> Y", "'T'", "elsewhere"), lambda: along([("M", "Y")], CHAIN)),
    Bad("a path to elsewhere", QueryError, ("T -> M", "'Y'", "elsewhere"), lambda: along([("T", "M")], CHAIN)),
    Bad("a path of one site", QueryError, ("'T'", "'Y'", "directed path"), lambda: along([("T",)], CHAIN)),
    Bad("a path as a string", QueryError, ("'TY'", "sequence"), lambda: along(["TY"], CHAIN)),
    Bad("paths as None", QueryError, ("path", "None"), lambda: along(None, CHAIN)),
    Bad("paths as a name", QueryError, ("path", "'M'"), lambda: along("M", CHAIN)),
    Bad("a graph without the outcome", UnknownVariableError, ("'Y'", "T, M"), lambda: along([("T", "M", "Y")], CausalGraph(["T", "M"], [("T", "M")]))),
    Bad("a graph that is none", QueryError, ("graph", "CausalGraph", "int"), lambda: along([("T", "M", "Y")], 3)),
    Bad("two treatments along paths", InterventionError, ("one treatment", "['T', 'Z']"), lambda: along([("T", "Y")], CHAIN, {"T": (0.0, 1.0), "Z": (0.0, 1.0)})),
    Bad("an empty grid", QueryError, ("grid", "'T'", "[]"), lambda: dose_response(treated, {"T": []}, "Y", **SOME)),
    Bad("a grid of words", QueryError, ("grid", "'T'", "numbers"), lambda: dose_response(treated, {"T": ["a"]}, "Y", **SOME)),
    Bad("a grid with NaN", QueryError, ("grid", "'T'", "finite"), lambda: dose_response(treated, {"T": [0.0, nan]}, "Y", **SOME)),
    Bad("a grid of complex numbers", QueryError, ("grid", "'T'", "[1j]"), lambda: dose_response(treated, {"T": [1j]}, "Y", **SOME)),
    Bad("a grid with a masked value", QueryError, ("grid", "'T'", "numbers"), lambda: dose_response(treated, {"T": np.ma.array([0.0, 1.0], mask=[0, 1])}, "Y", **SOME)),
    Bad("a grid from a generator", QueryError, ("grid", "'T'", "numbers"), lambda: dose_response(treated, {"T": (x for x in [0.0])}, "Y", **SOME)),
    Bad("a grid beyond float32", InterventionError, ("'X'", "infinite"), lambda: dose_response(linear, {"X": [1e300]}, "Y", **SOME)),
    Bad("a grid of one number", QueryError, ("grid", "'T'", "list"), lambda: dose_response(treated, {"T": 1.0}, "Y", **SOME)),
    Bad("a grid of None", QueryError, ("grid", "'T'", "None"), lambda: dose_response(treated, {"T": None}, "Y", **SOME)),
    Bad("a matrix as a grid", QueryError, ("grid", "'T'"), lambda: dose_response(treated, {"T": torch.zeros(2, 2)}, "Y", **SOME)),
    Bad("a grid out of the support", InterventionError, ("'T'", "support"), lambda: dose_response(treated, {"T": [0.0, 0.5]}, "Y", **SOME)),
    Bad("a grid of an unknown treatment", UnknownVariableError, ("'Q'", "Z, T"), lambda: dose_response(treated, {"Q": [0.0]}, "Y", **SOME)),
    Bad("a grid for a treatment by its name", QueryError, ("treatment", "dict", "'T'"), lambda: dose_response(treated, "T", "Y", **SOME)),
    Bad("grids for two treatments", QueryError, ("one site", "'Z'"), lambda: dose_response(treated, {"T": [0.0], "Z": [0.0]}, "Y", **SOME)),
    Bad("grids for no treatment", QueryError, ("one site", "{}"), lambda: dose_response(treated, {}, "Y", **SOME)),
    Bad("a risk ratio of a continuous outcome", QueryError, ("'M'", "0 or 1", "event"), lambda: risk_ratio(treated, ARMS, "M", **SOME)),
    Bad("an odds ratio of a continuous outcome", QueryError, ("'M'", "0 or 1", "event"), lambda: odds_ratio(treated, ARMS, "M", **SOME)),
    Bad("a risk ratio of no risk", EvidenceError, ("outcome", "control", "ate"), lambda: risk_ratio(never, ARMS, "Y", **SOME)),
    Bad("an odds ratio of no risk", EvidenceError, ("outcome", "ate"), lambda: odds_ratio(never, ARMS, "Y", **SOME)),
    Bad("necessity of a continuous outcome", QueryError, ("'M'", "0 or 1", "event"), lambda: pn(treated, ARMS, "M", **SOME)),
    Bad("necessity where nobody is treated", EvidenceError, ("treated", "probability zero"), lambda: pn(never, ARMS, "Y", **SOME)),
    Bad("sufficiency where everybody has the outcome", EvidenceError, ("untreated", "without the outcome"), lambda: ps(treated, ARMS, lambda w: w["Y"] == w["Y"], **SOME)),
    Bad("necessity of three values", InterventionError, ("'T'", "two values"), lambda: pns(three, {"T": (0, 1)}, lambda w: w["Y"] > 0, **SOME)),
    Bad("necessity of two treatments", InterventionError, ("one treatment",), lambda: pn(treated, {"T": (0.0, 1.0), "Z": (0.0, 1.0)}, "Y", **SOME)),
    Bad("necessity by a function", InterventionError, ("'T'", "number"), lambda: pn(treated, {"T": (0.0, lambda t: t)}, "Y", **SOME)),
    Bad("an effect with a misspelt keyword", QueryError, ("ate", "'num_sample'", "Did you mean 'num_samples'?"), lambda: ate(treated, ARMS, "Y", num_sample=50)),
    Bad("an effect with an unknown keyword", QueryError, ("pns", "'quickly'", "evidence, method, num_samples"), lambda: pns(treated, ARMS, "Y", quickly=True)),
    Bad("cate with a misspelt keyword", QueryError, ("cate", "'givn'", "Did you mean 'given'?"), lambda: cate(treated, ARMS, "Y", givn={"Z": 0.0})),
    Bad("path_specific with a misspelt keyword", QueryError, ("'grahp'", "Did you mean 'graph'?"), lambda: path_specific(treated, ARMS, "Y", [("T", "Y")], grahp=CHAIN)),
    Bad("an effect that must be identified in words", QueryError, ("require_identified", "'yes'"), lambda: ate(treated, ARMS, "Y", data_graph=CHAIN, require_identified="yes")),
    Bad("an effect that must stay within the data, in words", QueryError, ("require_support", "'yes'"), lambda: ate(treated, ARMS, "Y", require_support="yes")),
    Bad("an effect of a program that must stay within data", QueryError, ("require_support", "fit"), lambda: ate(treated, ARMS, "Y", require_support=True)),
    Bad("necessity of two treatments in a graph", InterventionError, ("one treatment",), lambda: pn(treated, {"T": (0.0, 1.0), "Z": (0.0, 1.0)}, "Y", data_graph=CHAIN, **SOME)),
    Bad("necessity of two outcomes in a graph", QueryError, ("one treatment and one outcome",), lambda: pn(treated, ARMS, {"Y": 1, "Z": 1}, data_graph=CHAIN, **SOME)),
    Bad("an effect of None", ModelError, ("callable", "NoneType"), lambda: ate(None, ARMS, "Y")),
    Bad("an effect in noise of another model", AbductionError, ("another model", "'Z'"), lambda: ate(treated, ARMS, "Y", evidence=abduct(linear, {"X": [1.0], "Y": [1.0]}))),
    Bad("an effect with a method that is a class", AbductionError, ("method", "ImportanceSampling()"), lambda: ate(treated, ARMS, "Y", evidence={"Y": [1.0]}, method=ImportanceSampling)),
]  # fmt: skip

CASES = [*ASKED, *SPECIAL]
