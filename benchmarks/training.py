"""What interventional data and incomplete rows are worth to a model: errors against the share of each.

python benchmarks/training.py            # about ten minutes; writes benchmarks/results/
python benchmarks/training.py --smoke    # a minute; writes nothing
"""

import argparse
import functools
import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import provenance, table, write

import causal_pyro_models as cpm
from causal_pyro_models.data import Intervened
from causal_pyro_models.inference import impute
from causal_pyro_models.models import StructuralCausalModel
from causal_pyro_models.models.nodes.vae import CausalVAE
from causal_pyro_models.training import fit

Columns = dict[str, np.ndarray]
GRID = 9  # values of the treatment at which the response is compared
DRAWS = 20_000  # to average a response over

TRIANGLE = cpm.CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("Z", "Y"), ("X", "Y")])


@dataclass(frozen=True)
class System:
    """Data with a known response.

    Attributes:
        simulate: units, with X as it comes or set to given values.
        hidden: variables that are not in the data.
        models: what is trained, by name.
        about: one line for the report.
    """

    simulate: Callable[[int, np.random.Generator, np.ndarray | None], Columns]
    hidden: tuple[str, ...]
    models: Mapping[str, Callable[[], StructuralCausalModel]]
    about: str


def confounded(n: int, rng: np.random.Generator, x: np.ndarray | None = None) -> Columns:
    """A hidden cause H of X and Y: what is seen of X and Y has the wrong sign at its centre."""
    h, *u = rng.normal(size=(3, n))
    x = h + 0.6 * u[0] if x is None else x
    return {"H": h, "X": x, "Y": np.sin(x) + 0.5 * x - 2.0 * h + 0.5 * u[1]}


def thin(n: int, rng: np.random.Generator, x: np.ndarray | None = None) -> Columns:
    """Z is observed and nearly determines X, so that few units show what X does by itself."""
    z, *u = rng.normal(size=(3, n))
    x = z + 0.15 * u[0] if x is None else x
    return {"Z": z, "X": x, "Y": np.sin(2.0 * x) - z**2 + 0.5 * x * z + 0.5 * u[1]}


def nonlinear(n: int, rng: np.random.Generator, x: np.ndarray | None = None) -> Columns:
    """A back-door triangle with curves and skewed noise, for incomplete rows."""
    z, *u = rng.normal(size=(3, n))
    x = np.tanh(1.5 * z) + 0.6 * u[0] if x is None else x
    return {"Z": z, "X": x, "Y": 1.5 * np.sin(x) + x + 0.8 * z + 0.5 * np.expm1(0.6 * u[1])}


def flow(graph: cpm.CausalGraph) -> cpm.CausalFlow:
    """A flow of real variables."""
    return cpm.CausalFlow(graph, dict.fromkeys(graph.variables, 1))


def vae(graph: cpm.CausalGraph) -> CausalVAE:
    """A VAE of real variables."""
    return CausalVAE(graph, dict.fromkeys(graph.variables, 1))


XY = cpm.CausalGraph(["X", "Y"], [("X", "Y")])
WITH_CAUSE = cpm.CausalGraph(["X", "Y"], [("X", "Y")], [("X", "Y")])
SYSTEMS = {
    "hidden cause": System(
        confounded,
        ("H",),
        {"CausalFlow without the hidden cause": lambda: flow(XY), "CausalVAE with X <-> Y": lambda: vae(WITH_CAUSE)},
        "A hidden cause of X and Y",
    ),
    "thin overlap": System(
        thin, (), {"CausalFlow": lambda: flow(TRIANGLE)}, "An observed cause that nearly determines X"
    ),
}


def response_error(model: StructuralCausalModel, system: System, seed: int) -> float:
    """Root mean square error of E[Y | do(X=x)] over a grid of central values of X, over the sd of Y."""
    grid, truth, sd = response(system.simulate)
    learned = [float(cpm.sample(cpm.intervene(model, {"X": x}), DRAWS, seed=seed)["Y"].mean()) for x in grid]
    return float(np.sqrt(np.mean(np.subtract(learned, truth) ** 2)) / sd)


@functools.cache
def response(simulate: Callable[..., Columns]) -> tuple[list[float], list[float], float]:
    """Central values of X, E[Y | do(X=x)] at each, and the sd of Y."""
    seen = simulate(100_000, np.random.default_rng(10_000), None)
    grid = np.quantile(seen["X"], np.linspace(0.05, 0.95, GRID)).tolist()
    truth = [simulate(200_000, np.random.default_rng(20_000), np.full(200_000, x))["Y"].mean() for x in grid]
    return grid, truth, float(seen["Y"].std())


def interventional(units: int, shares: Sequence[float], seeds: Sequence[int], steps: int) -> list[dict[str, Any]]:
    """Errors against the share of units in which X was set, uniformly over its central range."""
    rows = []
    for name, system in SYSTEMS.items():
        for label, build in system.models.items():
            for share in shares:
                found, taken = [], []
                for seed in seeds:
                    rng = np.random.default_rng(seed)
                    trial = round(share * units)
                    seen = system.simulate(units - trial, rng, None)
                    low, high = np.quantile(system.simulate(100_000, rng, None)["X"], [0.02, 0.98])
                    done = system.simulate(trial, rng, rng.uniform(low, high, trial))
                    parts = [_without(seen, system.hidden)] if share < 1.0 else []
                    data = [*parts, Intervened(_without(done, system.hidden), "X")] if trial else parts
                    model, seconds = trained(build, data, seed, steps)
                    found.append(response_error(model, system, seed))
                    taken.append(seconds)
                rows.append(_row(name, label, share, found, taken))
                print(rows[-1], flush=True)
    return rows


def _without(columns: Columns, hidden: Sequence[str]) -> Columns:
    return {name: column for name, column in columns.items() if name not in hidden}


def trained(
    build: Callable[[], StructuralCausalModel], data: Any, seed: int, steps: int
) -> tuple[StructuralCausalModel, float]:
    """A trained model, and the CPU seconds that it took."""
    model = build()
    start = time.process_time()
    fit(model, data, seed=seed, steps=steps, progress=False)
    return model, time.process_time() - start


def gaps(columns: Columns, share: float, rng: np.random.Generator) -> Columns:
    """X and Z missing at random: each in this share of the rows, the more likely the larger Y, which is complete."""
    y = columns["Y"]
    incomplete = dict(columns)
    for name in ("X", "Z"):
        chance = 1.0 / (1.0 + np.exp(-2.0 * (y - y.mean()) / y.std()))
        low, high = 0.0, 10.0
        for _ in range(50):  # the factor that makes the share right
            middle = 0.5 * (low + high)
            low, high = (middle, high) if np.minimum(middle * chance, 0.95).mean() < share else (low, middle)
        incomplete[name] = np.where(rng.random(len(y)) < np.minimum(low * chance, 0.95), np.nan, columns[name])
    return incomplete


def complete_rows(columns: Columns) -> Columns:
    """The rows in which nothing is missing."""
    whole = ~np.isnan(np.stack(list(columns.values()))).any(0)
    return {name: column[whole] for name, column in columns.items()}


def means_filled_in(columns: Columns) -> Columns:
    """Missing values replaced by the mean of their column."""
    return {name: np.where(np.isnan(c), np.nanmean(c), c) for name, c in columns.items()}


def as_they_are(columns: Columns) -> Columns:
    """Missing values as they are."""
    return columns


METHODS: dict[str, tuple[Callable[[cpm.CausalGraph], StructuralCausalModel], Callable[[Columns], Columns]]] = {
    "CausalFlow, missing values latent": (flow, as_they_are),
    "CausalVAE, missing values latent": (vae, as_they_are),
    "CausalFlow, complete rows": (flow, complete_rows),
    "CausalFlow, means filled in": (flow, means_filled_in),
}


def incomplete(units: int, shares: Sequence[float], seeds: Sequence[int], steps: int) -> list[dict[str, Any]]:
    """Errors of the response and of imputation against the share of missing values."""
    system = System(nonlinear, (), {}, "")
    rows = []
    for share in (0.0, *shares):
        for label, (family, prepared) in METHODS.items():
            if not share and prepared is not as_they_are:
                continue
            found, taken, imputed, covered = [], [], [], []
            for seed in seeds:
                rng = np.random.default_rng(seed)
                columns = nonlinear(units, rng)
                data = gaps(columns, share, rng) if share else columns
                model, seconds = trained(lambda family=family: family(TRIANGLE), prepared(data), seed, steps)
                found.append(response_error(model, system, seed))
                taken.append(seconds)
                if share:
                    error, inside = imputation_error(model, data, columns, seed)
                    imputed.append(error)
                    covered.append(inside)
            name = label if share else label.replace("missing values latent", "nothing missing")
            row = _row("incomplete rows", name, share, found, taken)
            if share:
                row |= {
                    "imputation": statistics.median(imputed),
                    "coverage": None if None in covered else statistics.median(covered),
                }
            rows.append(row)
            print(row, flush=True)
    return rows


def imputation_error(
    model: StructuralCausalModel, data: Columns, truth: Columns, seed: int
) -> tuple[float, float | None]:
    """Error of imputed values over the sd of their variable, and the coverage of 90% intervals.

    A model that was trained without missing values imputes nothing; its rows are those of filling in means.
    """
    filled, interval = means_filled_in(data), None
    if model.imputer:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", cpm.CausalWarning)
            drawn = impute(model, data, 100, seed)
        filled = {name: drawn.mean(name).numpy() for name in data}
        interval = {name: [end.numpy() for end in drawn.interval(name, 0.9)] for name in data}
    errors, inside = [], []
    for name in ("X", "Z"):
        absent = np.isnan(data[name])
        errors.append(np.mean((filled[name] - truth[name])[absent] ** 2) / truth[name].var())
        if interval:
            low, high = interval[name]
            inside.append(((low <= truth[name]) & (truth[name] <= high))[absent].mean())
    return float(np.sqrt(np.mean(errors))), float(np.mean(inside)) if inside else None


def _row(system: str, model: str, share: float, errors: Sequence[float], seconds: Sequence[float]) -> dict[str, Any]:
    """The median over seeds, with the least and the greatest."""
    return {
        "system": system,
        "model": model,
        "share": share,
        "error": statistics.median(errors),
        "range": [min(errors), max(errors)],
        "seconds": statistics.median(seconds),
    }


def report(result: Mapping[str, Any]) -> str:
    """The result as Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    seeds = len(result["seeds"])
    parts = [
        f"{result['date']}; {result['machine']}, one thread; Python {result['python']}, {versions}. "
        f"{result['units']:,} units; medians of {seeds} seeds, in brackets the least and the greatest. The error is "
        f"that of E[Y | do(X=x)] over the central nine tenths of X, root mean square, over the sd of Y."
    ]
    for name, system in SYSTEMS.items():
        rows = [row for row in result["interventional"] if row["system"] == name]
        parts.append(f"{system.about}: error by the share of units in which X was set\n\n{by_share(rows)}")
    rows = result["incomplete"]
    body = [
        (
            f"{row['share']:.0%}",
            row["model"],
            _spread(row),
            f"{row['imputation']:.3f}" if "imputation" in row else "-",
            f"{row['coverage']:.0%}" if row.get("coverage") is not None else "-",
            f"{row['seconds']:.1f}",
        )
        for row in rows
    ]
    head = ("missing", "model", "error", "imputation error / sd", "in 90% intervals", "fit, CPU s")
    parts.append(f"Values of X and Z missing at random, the more likely the larger Y\n\n{table([head, *body])}")
    return "\n\n".join(parts)


def by_share(rows: Sequence[Mapping[str, Any]]) -> str:
    """A row for each model, a column for each share."""
    shares = list(dict.fromkeys(row["share"] for row in rows))
    models = dict.fromkeys(row["model"] for row in rows)
    body = [(m, *(_spread(row) for row in rows if row["model"] == m)) for m in models]
    return table([("model", *(f"{share:.0%}" for share in shares)), *body])


def _spread(row: Mapping[str, Any]) -> str:
    low, high = row["range"]
    return f"{row['error']:.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    """Measure, print the tables, and write them."""
    parser = argparse.ArgumentParser(description="Interventional and incomplete data.")
    parser.add_argument("--units", type=int, default=3_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="a quick run that writes nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    units, seeds, steps = (300, [0], 20) if options.smoke else (options.units, list(range(options.seeds)), 600)
    shares = [0.0, 0.5] if options.smoke else [0.0, 0.05, 0.1, 0.25, 0.5, 0.9]
    missing = [0.4] if options.smoke else [0.1, 0.2, 0.4]
    result = {
        **provenance({"causal_pyro_models": cpm.__version__}, ["pyro-ppl", "torch"]),
        "units": units,
        "seeds": seeds,
        "interventional": interventional(units, shares, seeds, steps),
        "incomplete": incomplete(units, missing, seeds, steps),
    }
    text = report(result)
    print(text)
    if not options.smoke:
        write(Path(__file__).parent / "results", "training", result, text)


if __name__ == "__main__":
    main()
