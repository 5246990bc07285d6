"""How often intervals of learned models hold the truth, and how far their values are off.

Every data set is new and its truth is the simulator's own: of a unit, the outcome that its noise gives under the other
treatment. The report has, for each design, family and number of rows, the share of 95% intervals that hold the truth
and the bias of the value in its standard deviations over the data sets. What was run is kept, so that more data sets
add to it.

python benchmarks/coverage.py --sets 20              # about an hour and a half; writes benchmarks/results/
python benchmarks/coverage.py --sets 200 --refits 40 # days; goes on with what is there
python benchmarks/coverage.py --real                 # five minutes: NHEFS and LaLonde
python benchmarks/coverage.py --smoke                # a minute; writes nothing
"""

import argparse
import json
import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import itertools
import statistics
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import provenance, table, write

import causal_pyro_models as cpm
from causal_pyro_models.data import Binary, Continuous
from causal_pyro_models.datasets import lalonde, nhefs

RESULTS = Path(__file__).parent / "results"
GRAPH = cpm.CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
FAMILIES = {family.__name__: family for family in (cpm.CausalFlow, cpm.NeuralCausalModel, cpm.CausalVAE)}
ROWS = (200, 500, 2_000)
FEW = 12  # refits of the first table
POINT = 0.5  # of Z, where the conditional effect is asked
UNIT = {"Z": 0.5, "noise": 0.7}  # of the unit whose counterfactual is asked; it is a control
TRUE_UNITS = 1_000_000
TITLE = (
    "Share of nominal 95% intervals that hold the truth, and in brackets the bias of the value in its standard "
    "deviations over the data sets. `cate` is at Z = 0.5, `dose` is E[Y] under do(X = 1), `unit` the counterfactual of "
    "one control."
)
ANSWERS = ("ate", "cate", "dose", "unit")
KINDS = {  # of columns of whole numbers that are no counts: grades, and amounts of many values
    **dict.fromkeys(("education", "exercise", "active"), cpm.Categorical),
    **dict.fromkeys(("age", "smokeyrs", "smokeintensity", "educ"), cpm.Continuous()),
}

Outcome = Callable[[Any, Any, Any], Any]


def sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


@dataclass(frozen=True)
class Design:
    """A simulator of Z, X and Y, Z the only common cause.

    Attributes:
        treatment: from Z and standard normal noise to X.
        outcome: from X, Z and standard normal noise to Y.
        binary: whether X is.
        event: whether Y is.
    """

    treatment: Callable[[Any, Any], Any]
    outcome: Outcome
    binary: bool = False
    event: bool = False

    @property
    def kinds(self) -> dict[str, Any]:
        return {"Z": Continuous(), "X": Binary() if self.binary else Continuous(), "Y": Binary() if self.event else 1}

    def draw(self, rows: int, seed: int) -> dict[str, Any]:
        z, e, u = np.random.default_rng(seed).normal(size=(3, rows))
        x = self.treatment(z, e)
        return {"Z": z, "X": x, "Y": self.outcome(x, z, u)}

    def truths(self) -> dict[str, float]:
        z, u = np.random.default_rng(10**6).normal(size=(2, TRUE_UNITS))
        control, treated = (self.outcome(np.full(TRUE_UNITS, x), z, u) for x in (0.0, 1.0))
        here = [self.outcome(np.full(TRUE_UNITS, x), POINT, u).mean() for x in (0.0, 1.0)]
        found = {"ate": (treated - control).mean(), "cate": here[1] - here[0], "dose": treated.mean()}
        if not self.event:
            found["unit"] = float(self.outcome(1.0, UNIT["Z"], UNIT["noise"]))
        return found


def _tossed(logit: Any, noise: Any) -> Any:
    """One with the probability of a logit, monotone in standard normal noise."""
    from scipy.special import log_ndtr

    return (log_ndtr(-noise) < -np.logaddexp(0.0, -logit)) * 1


DESIGNS: dict[str, Design] = {
    "linear": Design(lambda z, e: 0.8 * z + e, lambda x, z, u: x + z + u),
    "nonlinear": Design(
        lambda z, e: np.tanh(1.5 * z) + 0.7 * e, lambda x, z, u: 1.5 * np.sin(1.5 * x) + 0.5 * z**2 + 0.5 * u
    ),
    "heteroscedastic": Design(
        lambda z, e: _tossed(z, e), lambda x, z, u: x + z + np.exp(0.5 * z + 0.5 * x - 0.5) * u, binary=True
    ),
    "binary outcome": Design(lambda z, e: 0.8 * z + e, lambda x, z, u: _tossed(x + z - 0.5, u), event=True),
    "confounded": Design(
        lambda z, e: _tossed(1.5 * np.sin(2 * z) + 0.5 * z, e),
        lambda x, z, u: x * (1 + z) + 2 * np.sin(2 * z) + u,
        binary=True,
    ),
}


def answers(design: Design, model: Any, seed: int) -> dict[str, tuple[float, float, float]]:
    """Value and ends of the interval of each answer."""
    arms, options = {"X": (0.0, 1.0)}, {"num_samples": 4_000, "seed": seed}
    found = {
        "ate": cpm.ate(model, arms, "Y", **options),
        "cate": cpm.cate(model, arms, "Y", given={"Z": POINT}, **options),
        "dose": cpm.dose_response(model, {"X": [1.0]}, "Y", **options),
    }
    told = {name: (float(e.value), *(float(end) for end in e.interval)) for name, e in found.items()}
    if not design.event:
        unit = {"Z": [UNIT["Z"]], "X": [0.0], "Y": [float(design.outcome(0.0, UNIT["Z"], UNIT["noise"]))]}
        world = cpm.counterfactual(model, unit, {"X": 1.0}, num_samples=1_200, seed=seed)
        told["unit"] = (float(world.mean("Y")), *(float(end) for end in world.interval("Y")))
    return told


def trial(name: str, family: str, rows: int, seed: int, refits: int) -> dict[str, Any]:
    """One data set: the answers with the first refits, and with all."""
    design = DESIGNS[name]
    model = FAMILIES[family](GRAPH, design.kinds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cpm.fit(model, design.draw(rows, seed), refits=refits, seed=seed, progress=False)
        found = {}
        for count in sorted({min(FEW, refits), refits}, reverse=True):
            model.refits = model.refits[:count]
            found[str(count)] = answers(design, model, seed)
    return found


def real(refits: int) -> str:
    """A table of the flow's effect beside that of the doubly robust estimator, on two published data sets."""
    people, men = nhefs().dropna(), lalonde()
    before = ["age", "sex", "race", "education", "smokeyrs", "smokeintensity", "wt71", "exercise", "active"]
    earlier = ["age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75"]
    lines = [["data", "CausalFlow, interval of refits", "aipw, interval of theory"]]
    for name, data, covariates, treatment, outcome in (
        ("NHEFS: weight gain by quitting, kg", people, before, "qsmk", "wt82_71"),
        ("LaLonde, randomised: earnings by training, dollars", men, earlier, "treat", "re78"),
    ):
        order, arms = [*covariates, treatment, outcome], {treatment: (0, 1)}
        graph = cpm.CausalGraph(order, list(itertools.combinations(order, 2)))
        kinds = {column: kind for column, kind in KINDS.items() if column in order}
        model = cpm.CausalFlow(graph, cpm.infer_variables(data[order], kinds))
        cpm.fit(model, data, refits=refits, seed=0, progress=False)
        told = cpm.ate(model, arms, outcome, seed=0), cpm.aipw(data, arms, outcome, adjustment=covariates, seed=0)
        digits = 2 if outcome == "wt82_71" else 0
        cells = [
            f"{float(e.value):.{digits}f} ± {float(e.standard_error):.{digits}f} "
            f"({float(e.interval[0]):.{digits}f} to {float(e.interval[1]):.{digits}f})"
            for e in told
        ]
        lines.append([name, *cells])
    return table(lines)


def summary(records: Mapping[str, Mapping[str, Any]]) -> str:
    """A table with a row for each cell and number of refits: coverage and bias of each answer."""
    cells: dict[tuple[str, str, int, str], list[Any]] = {}
    for key, found in records.items():
        name, family, rows, _ = json.loads(key)
        for count, told in found.items():
            cells.setdefault((name, family, rows, count), []).append(told)
    lines = [["design", "family", "rows", "refits", "data sets", *ANSWERS]]
    truths = {name: design.truths() for name, design in DESIGNS.items()}
    for (name, family, rows, count), told in sorted(cells.items()):
        line = [name, family, str(rows), count, str(len(told))]
        for answer in ANSWERS:
            truth = truths[name].get(answer)
            if truth is None or len(told) < 2:
                line.append("–")
                continue
            values = [each[answer][0] for each in told]
            covered = statistics.mean(float(each[answer][1] <= truth <= each[answer][2]) for each in told)
            bias = (statistics.mean(values) - truth) / max(statistics.stdev(values), 1e-12)
            line.append(f"{100 * covered:.0f}% ({bias:+.2f})")
        lines.append(line)
    return table(lines)


def text(result: Mapping[str, Any]) -> str:
    """The report."""
    return "\n\n".join(part for part in (TITLE, summary(result["records"]), result["real"]) if part)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument("--refits", type=int, default=FEW)
    parser.add_argument("--rows", type=int, nargs="*", default=list(ROWS))
    parser.add_argument("--designs", nargs="*", default=list(DESIGNS))
    parser.add_argument("--families", nargs="*", default=list(FAMILIES))
    parser.add_argument("--real", action="store_true", help="NHEFS and LaLonde alone")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    path = RESULTS / "coverage.json"
    if options.smoke:
        smoke = {json.dumps(["linear", "CausalFlow", 200, s]): trial("linear", "CausalFlow", 200, s, 2) for s in (0, 1)}
        print(summary(smoke))
        return
    result: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"records": {}, "real": ""}
    records = result["records"]
    if options.real:
        result["real"] = real(options.refits)
        write(RESULTS, "coverage", result, text(result))
        return
    for seed, rows, family, name in itertools.product(
        range(options.sets), options.rows, options.families, options.designs
    ):
        key = json.dumps([name, family, rows, seed])
        if str(options.refits) in records.get(key, {}):
            continue
        records[key] = records.get(key, {}) | trial(name, family, rows, seed, options.refits)
        about = provenance({"causal_pyro_models": cpm.__version__}, ["torch", "pyro-ppl"])
        result |= about
        write(RESULTS, "coverage", result, text(result))
    print(text(result))


if __name__ == "__main__":
    main()
