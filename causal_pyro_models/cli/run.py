"""From data to a report, stage by stage; what a stage finished is on disk before the next one begins."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import pandas as pd
import torch

from causal_pyro_models.cli.effects import effects
from causal_pyro_models.cli.fit_check import check_fit
from causal_pyro_models.cli.inputs import asked, kinds, matched, read_graph, read_table
from causal_pyro_models.cli.posterior import write_posterior
from causal_pyro_models.cli.report import Report, number
from causal_pyro_models.cli.sachs import compare_interventions
from causal_pyro_models.cli.single_rows import DRAWS, exact, single_rows
from causal_pyro_models.cli.study import LEVEL, Request, Settings, Study, fit_study, shown
from causal_pyro_models.data import Continuous, Labelled, Variable
from causal_pyro_models.datasets import sachs
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.inference.mixtures import student
from causal_pyro_models.models import CausalFlow
from causal_pyro_models.plots import plot_graph

FIRST_ROWS = 3  # complete ones of a user's table, whose counterfactuals are shown
CELLS = {"low": 0.1, "middle": 0.5, "high": 0.9}  # quantiles of PKA among the held-out cells that are shown


def run(options: argparse.Namespace) -> Path:
    """Do what the command line asks, and return where the report is.

    Raises:
        CausalError: for anything in the options, the table or the graph that does not fit.
    """
    settings = Settings(options.steps, options.refits, options.seed)
    start = time.perf_counter()
    matplotlib.use("Agg")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small networks: threads would only wait for each other
    try:
        path = _run_sachs(options.out, settings) if options.data is None else _run_table(options, settings)
    finally:
        torch.set_num_threads(threads)
    print(f"{time.perf_counter() - start:.0f} s. The report is {path}.")
    return path


def _run_sachs(out: Path, settings: Settings) -> Path:
    cells = sachs()
    data, graph = cells.observational, cells.graph
    report = Report(out, "What proteins would do: a causal flow on the cells of Sachs et al. (2005)")
    low, high = (round(float(data["PKA"].quantile(q)), 2) for q in (0.05, 0.95))
    question = Request({"PKA": high}, {"PKA": low}, ("Erk", "Akt"))
    report.heading("What is asked")
    report.text(
        f"In {len(data)} human T cells the levels of {len(graph.variables)} phosphorylated proteins and lipids were "
        f"measured, cell by cell, while the signalling pathway was only stimulated (conditions cd3cd28 and "
        f"cd3cd28_icam2). From these *observational* cells, and a graph of who signals to whom, a model is learned. "
        f"Then: does it describe cells it has not seen; are its predictions right about cells whose pathway was "
        f"interfered with; and what would Erk and Akt have been, had PKA been at another level? All levels are natural "
        f"logarithms of fluorescence.",
    )
    _assumptions(report, graph, "The consensus graph of the literature, 17 edges.")
    variables: dict[str, Variable] = dict.fromkeys(graph.variables, Continuous())
    with _stage(report, f"fitting to {len(data)} cells, and refitting to halves"):
        study = fit_study(graph, variables, data, settings, "cell", "log fluorescence")
    with _stage(report, "checking against held-out cells"):
        check_fit(study, report)
    with _stage(report, "predicting interventions and comparing with the cells that had them"):
        compare_interventions(study, cells, report)
    return _answer(study, question, _three_cells(study.held_out), report)


def _three_cells(held_out: pd.DataFrame) -> pd.DataFrame:
    """Held-out cells with low, middling and high PKA."""
    order = held_out["PKA"].sort_values(kind="stable").index
    chosen = {f"cell {order[round(q * (len(order) - 1))]} ({name} PKA)": q for name, q in CELLS.items()}
    return held_out.loc[[order[round(q * (len(order) - 1))] for q in CELLS.values()]].set_axis(list(chosen))


def _run_table(options: argparse.Namespace, settings: Settings) -> Path:
    table, graph = read_table(options.data), read_graph(options.graph)
    data = matched(table, graph)
    variables = kinds(data)
    question = asked(options.do, options.control, options.outcome, variables)
    CausalFlow(graph, variables)  # refuses a graph that it cannot express before anything is written
    report = Report(options.out, f"What if? {options.data.name}")
    report.heading("What is asked")
    control = f", compared with {shown(question.control, variables)}" if question.control else ""
    report.text(
        f"What would happen to {', '.join(question.outcomes)}, and what would have happened in single rows, under "
        f"{shown(question.do, variables)}{control}? The answer is that of a model learned from the {len(data)} "
        f"complete rows of {options.data.name} and the graph in {options.graph.name}."
    )
    notes = _left_out(table, data, graph)
    for note in notes:
        print(f"note: {note}")
    report.bullets([*notes, *_read_as(variables)])
    _assumptions(report, graph, f"The graph in {options.graph.name}.")
    with _stage(report, f"fitting to {len(data)} rows, and refitting to halves"):
        study = fit_study(graph, variables, data, settings)
    with _stage(report, "checking against held-out rows"):
        check_fit(study, report)
    rows = data.head(FIRST_ROWS)
    return _answer(study, question, rows.set_axis([f"row {i}" for i in rows.index]), report)


def _left_out(table: pd.DataFrame, data: pd.DataFrame, graph: CausalGraph) -> list[str]:
    """What of the table is not used."""
    notes = []
    if dropped := len(table) - len(data):
        missing = table[list(graph.variables)].isna().sum()
        counts = ", ".join(f"{name} {count}" for name, count in missing.items() if count)
        notes.append(
            f"{dropped} of {len(table)} rows have missing values and are left out ({counts}). That is harmless only if "
            f"they are missing at random."
        )
    if unused := [name for name in table.columns if name not in graph.variables]:
        notes.append(f"Columns that the graph does not have are ignored: {', '.join(unused)}.")
    return notes


def _read_as(variables: Mapping[str, Variable]) -> list[str]:
    """How the columns were read."""
    found: dict[str, list[str]] = {}
    for name, variable in variables.items():
        labels = f" ({', '.join(map(str, variable.labels))})" if isinstance(variable, Labelled) else ""
        found.setdefault(type(variable).__name__.lower(), []).append(name + labels)
    return [f"Read as {kind}: {', '.join(names)}." for kind, names in found.items()]


def _answer(study: Study, question: Request, rows: pd.DataFrame, report: Report) -> Path:
    """The stages on effects and single rows, and the end of the report."""
    with _stage(report, "average effects"):
        found = effects(study, question, report)
    with _stage(report, f"counterfactuals of {len(rows)} {study.row}s"):
        worlds = single_rows(study, rows, question, report)
        write_posterior(report.posterior, study, rows, worlds, found)
    _how_sure(report, study)
    return report.save(finished=True)


def _assumptions(report: Report, graph: CausalGraph, caption: str) -> None:
    report.heading("What is assumed")
    report.bullets(
        [
            "**The graph is right**: an arrow that is not drawn is an effect that does not exist. Every answer below "
            "depends on it, and observational data alone can refute it only in part.",
            "**No hidden common causes**: nothing outside the graph moves two of its variables.",
            "**Rows are independent** and come from one population.",
            "**Mechanisms stay** what they are when another variable is set from outside.",
            "For single rows, moreover: **each mechanism is monotone in its noise**, so that a row keeps its rank "
            "among its like in every world. No data can test this.",
        ]
    )
    report.figure(plot_graph(graph), "graph", f"{caption} Arrows go from causes to effects.")


def _how_sure(report: Report, study: Study) -> None:
    refits, quantile = len(study.refits), student(LEVEL, len(study.refits))
    report.heading("How sure is this?")
    report.text(
        f"**Where the intervals come from.** The same model was fitted again {refits} times, each time to a random "
        f"half of the {len(study.train)} {study.row}s. Answers from halves scatter about the answer from all as much, "
        f"to first order, as the answer from all does about that of unlimited data. So a 95% interval is the answer "
        f"from all, plus and minus that scatter times {number(quantile)} (Student's t, of {refits} answers), with the "
        f"error of simulation added.",
        "**What they leave out.** They say how much the answer would change with another sample of the same size, and "
        "with other random starts of the training. They do not cover a wrong graph, a hidden common cause, or an "
        "intervention that does more than it says. Only a check against real interventions can tell how large such "
        "errors are.",
    )
    report.heading("Files")
    report.bullets(
        [
            "`posterior.nc`: the draws behind the intervals, for ArviZ (`arviz.from_netcdf`). `posterior` has the "
            "noise of the single rows, `counterfactual` their values in each `world`, `effects` the average effects; "
            f"{_draws(study)}. The mean of the draws is close to the value from all {study.row}s, not equal to it; "
            "what ends in `_estimate` is what this report says.",
            "`*.png`: the figures above.",
            f"Seed {study.seed}: the same seed, data and versions give the same report.",
        ]
    )


def _draws(study: Study) -> str:
    refits = len(study.refits)
    if exact(study):
        return f"a draw is a refit ({refits} of them)"
    return (
        f"an effect has a draw for each of the {refits} refits, a single row {DRAWS} for each, refit after refit, "
        f"since it leaves the noise of its discrete variables open"
    )


@contextmanager
def _stage(report: Report, text: str) -> Iterator[None]:
    """Say what is done, and write what there is when it is done."""
    print(f"{text} ...", flush=True)
    yield
    report.save()
