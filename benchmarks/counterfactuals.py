"""Counterfactuals of this package against ChiRho: time, peak memory, and whether they are right.

python benchmarks/counterfactuals.py            # about ten minutes; writes benchmarks/results/
python benchmarks/counterfactuals.py --smoke    # seconds; writes nothing
"""

import argparse
import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")  # one thread each, here and in every process started here

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyro
import pyro.distributions as dist
import systems
import torch
from harness import GIB, MEMORY_CAP, isolated, peak_memory, provenance, seconds, table, write
from systems import Values
from torch import Tensor

import causal_pyro_models as cpm

OURS = "causal_pyro_models"
ONE, TWO = "ChiRho by hand, one world", "ChiRho by hand, two worlds"
ALL, EACH = "ChiRho by hand, all worlds at once", "ChiRho by hand, a run per world"
Case = Callable[[], Any]


def counterfactual_cases(units: int) -> dict[str, Case]:
    """Exact abduction and prediction in the mixed model, ours and ChiRho's."""
    evidence = dict(cpm.sample(systems.mixed, units, seed=0))
    actions = {"X": torch.tensor(1.0)}
    return {
        OURS: lambda: cpm.counterfactual(systems.mixed, evidence, do={"X": 1.0}),
        ONE: lambda: systems.one_world(systems.mixed_by_hand, systems.mixed_noise(evidence), actions),
        TWO: lambda: systems.two_worlds(systems.mixed_by_hand, systems.mixed_noise(evidence), actions),
    }


def worlds_cases(units: int) -> dict[str, Case]:
    """Eleven interventions on a chain of twelve variables as eleven worlds, ours and ChiRho's."""
    evidence = dict(cpm.sample(systems.chain, units, seed=0))
    acted = systems.CHAIN[:-1]
    one = torch.tensor(1.0)

    def a_run_per_world() -> dict[str, dict[str, Tensor]]:
        noise = systems.chain_noise(evidence)
        return {name: systems.one_world(systems.chain_by_hand, noise, {name: one}) for name in acted}

    return {
        OURS: lambda: cpm.worlds(systems.chain, evidence, {name: {name: 1.0} for name in acted}),
        EACH: a_run_per_world,
        ALL: lambda: systems.all_worlds(
            systems.chain_by_hand, systems.chain_noise(evidence), dict.fromkeys(acted, one)
        ),
    }


TASKS: dict[str, Callable[[int], dict[str, Case]]] = {
    "counterfactual": counterfactual_cases,
    "worlds": worlds_cases,
}


def measure(task: str, units: int, repeats: int) -> list[dict[str, Any]]:
    """Time and peak memory of every case of a task; None where the memory goes beyond the cap."""
    names = list(TASKS[task](10))
    peaks = {name: None if beyond(name, units) else isolated(peak_of, task, name, units) for name in names}
    feasible = [name for name in names if peaks[name] is not None]
    taken = isolated(times_of, task, feasible, units, repeats)
    return [
        {"task": task, "case": name, "units": units, "seconds": taken.get(name), "peak_bytes": peaks[name]}
        for name in names
    ]


def beyond(name: str, units: int) -> bool:
    """Whether 2^11 worlds of two variables cannot fit, without trying."""
    return name == ALL and 2 * 2**11 * units * 4 > MEMORY_CAP


def peak_of(task: str, name: str, units: int) -> int:
    """The peak memory of one case, in the process that calls."""
    TASKS[task](10)[name]()  # loads what is loaded on first use
    return peak_memory(TASKS[task](units)[name])


def times_of(task: str, names: list[str], units: int, repeats: int) -> dict[str, float]:
    """The times of some cases, in the process that calls."""
    cases = TASKS[task](units)
    return seconds({name: cases[name] for name in names}, repeats)


def linear() -> None:
    """Y ~ Normal(2X, 1)."""
    x = pyro.sample("X", dist.Normal(0.0, 1.0))
    pyro.sample("Y", dist.Normal(2.0 * x, 1.0))


def binary() -> None:
    """Y ~ Bernoulli(logits=2X)."""
    x = pyro.sample("X", dist.Normal(0.0, 1.0))
    pyro.sample("Y", dist.Bernoulli(logits=2.0 * x))


def correctness(units: int) -> list[dict[str, Any]]:
    """How far counterfactuals are from the truth: an additive outcome, and interventions that change nothing."""
    checks = []

    def note(check: str, case: str, value: float) -> None:
        checks.append({"check": check, "case": case, "value": value})

    seen = dict(cpm.sample(linear, units, seed=0))
    moved = {"X": seen["X"] + 1.0}
    for case, values in ordinary(linear, seen, moved).items():
        error = (values["Y"] - (seen["Y"] + 2.0)).square().mean().sqrt()
        note("`Y ~ Normal(2X, 1)`, X raised by 1: root mean square error of Y", case, float(error))
    for model, acted, discrete in ((binary, "X", "Y"), (systems.mixed, "Z", "XC")):
        seen = dict(cpm.sample(model, units, seed=0))
        same = {acted: seen[acted]}
        cases = ordinary(model, seen, same)
        if model is systems.mixed:
            cases[ONE] = systems.one_world(systems.mixed_by_hand, systems.mixed_noise(seen), same)
        for name in discrete:
            for case, values in cases.items():
                flipped = int((values[name] != seen[name]).sum())
                note(f"`{model.__name__}`, {acted} set to what it was: flips of {name} in {units:,}", case, flipped)
    return checks


def ordinary(model: Callable[[], None], evidence: Values, actions: Values) -> dict[str, Mapping[str, Tensor]]:
    """The counterfactual world of an ordinary model, ours and ChiRho's."""
    return {
        OURS: cpm.counterfactual(model, evidence, do=actions),
        "ChiRho on the same model": systems.as_written(model, evidence, actions),
    }


def report(result: Mapping[str, Any]) -> str:
    """The result as Markdown: ratios are ChiRho's over ours, so above 1 ours is the faster or smaller."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    parts = [f"{result['date']}; {result['machine']}, one thread; Python {result['python']}, {versions}."]
    for task, title in TITLES.items():
        rows = [r for r in result["measurements"] if r["task"] == task]
        parts.append(f"{title}\n\n{table([HEAD, *(cells(row, rows) for row in rows)])}")
    checks = [(c["check"], c["case"], f"{c['value']:.3g}") for c in result["correctness"]]
    parts.append(f"Right or wrong\n\n{table([('check', 'case', 'value'), *checks])}")
    return "\n\n".join(parts)


TITLES = {
    "counterfactual": "A counterfactual of each unit, five nodes: Normal, Bernoulli, LogNormal, Categorical and Normal",
    "worlds": "Eleven interventions on a chain of twelve variables, as eleven worlds",
}
HEAD = ("case", "units", "time", "time / ours", "peak memory", "memory / ours")


def cells(row: Mapping[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    """A row of the table of measurements."""
    ours = next(r for r in rows if r["case"] == OURS and r["units"] == row["units"])
    if row["peak_bytes"] is None:
        return [row["case"], f"{row['units']:,}", "-", "-", f"over {MEMORY_CAP / GIB:.0f} GiB", "-"]
    memory = row["peak_bytes"] / max(ours["peak_bytes"], 1)
    return [
        row["case"],
        f"{row['units']:,}",
        f"{1e3 * row['seconds']:.3g} ms",
        f"{row['seconds'] / ours['seconds']:.2f}",
        f"{row['peak_bytes'] / 2**20:.3g} MiB",
        f"{memory:.2f}",
    ]


def main() -> None:
    """Measure, print the tables, and write them."""
    parser = argparse.ArgumentParser(description="Counterfactuals of this package against ChiRho.")
    parser.add_argument("--units", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--smoke", action="store_true", help="a quick run that writes nothing")
    options = parser.parse_args()
    units, repeats = ([1_000], 2) if options.smoke else (options.units, options.repeats)
    result = {
        **provenance({OURS: cpm.__version__}, ["chirho", "pyro-ppl", "torch"]),
        "repeats": repeats,
        "measurements": [row for task in TASKS for n in units for row in measure(task, n, repeats)],
        "correctness": isolated(correctness, max(units)),
    }
    text = report(result)
    print(text)
    if not options.smoke:
        write(Path(__file__).parent / "results", "counterfactuals", result, text)


if __name__ == "__main__":
    main()
