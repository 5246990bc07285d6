"""The command as a test calls it, small tables with known truth, and reports read back into numbers."""

import contextlib
import io
import re
from dataclasses import dataclass, field
from pathlib import Path

import arviz
import numpy as np
import pandas as pd
import pytest

from causal_pyro_models.cli import main
from causal_pyro_models.cli.report import Report

FEW = ("--steps", "3", "--refits", "2")
INTERVAL = re.compile(r"(?P<value>−?[\d.]+) \((?P<low>−?[\d.]+) to (?P<high>−?[\d.]+)\)")


@dataclass(frozen=True)
class Called:
    """What a call of the command came to."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """What it says on standard error, without the progress bars."""
        lines = re.split(r"[\r\n]+", self.err)
        return "\n".join(line for line in lines if line.strip() and not re.match(r"((fit|refits):|start \.\.\.)", line))


def call(*arguments: object) -> Called:
    """Run the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
    return Called(code, out.getvalue(), err.getvalue())


def linear(n: int = 100, seed: int = 0) -> pd.DataFrame:
    """X -> M -> Y and X -> Y, all linear: do(X = 1) raises Y by 2 * 1.5 - 1 = 2."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=n)
    m = 2.0 * x + draw.normal(size=n)
    return pd.DataFrame({"X": x, "M": m, "Y": 1.5 * m - x + draw.normal(size=n)})


LINEAR_GRAPH = "X -> M\nM -> Y\nX -> Y\n"


def mixed(n: int = 120, seed: int = 0) -> pd.DataFrame:
    """Every kind of column: numbers, two and three labels, 0 and 1, a constant and a column that is not used.

    Rows 1 and 5 (counted from 1) lack ``dose`` and ``stage``.
    """
    draw = np.random.default_rng(seed)
    age = draw.normal(50.0, 10.0, n)
    arm = np.where(draw.random(n) < 1 / (1 + np.exp(-(age - 50) / 10)), "treated", "placebo")
    stage = draw.choice(["early", "late", "middle"], n)
    dose = 0.05 * age + draw.normal(size=n)
    marker = dose + 0.7 * (arm == "treated") + 0.5 * (stage == "late") + draw.normal(0.0, 0.5, n)
    cured = (draw.random(n) < 1 / (1 + np.exp(3.0 - marker))).astype(int)
    table = pd.DataFrame(
        {"id": range(n), "age": age, "arm": arm, "stage": stage, "dose": dose, "marker": marker, "cured": cured}
    ).assign(centre=7)
    table.loc[0, "dose"] = np.nan
    table.loc[4, "stage"] = np.nan
    return table


MIXED_EDGES = [
    ("age", "dose"), ("age", "arm"), ("dose", "marker"), ("arm", "marker"), ("stage", "marker"), ("marker", "cured"),
]  # fmt: skip
MIXED_GRAPH = "".join(f"{a} -> {b}\n" for a, b in MIXED_EDGES)


def write(folder: Path, table: pd.DataFrame, graph: str) -> tuple[Path, Path]:
    """A table and a graph as files."""
    data, edges = folder / "data.csv", folder / "graph.txt"
    table.to_csv(data, index=False)
    edges.write_text(graph, encoding="utf-8")
    return data, edges


def linear_question(folder: Path) -> list[object]:
    """What is asked of the linear table, whose files go to the folder."""
    data, graph = write(folder, linear(), LINEAR_GRAPH)
    question = ["--do", "X=1", "--control", "X=0", "--outcome", "Y", "--outcome", "M"]
    return ["--data", data, "--graph", graph, *question, "--steps", 3, "--refits", 4]


def mixed_question(folder: Path) -> list[object]:
    """The same of the mixed table; stage and age are not downstream of what is set."""
    data, graph = write(folder, mixed(), MIXED_GRAPH)
    question = ["--do", "dose=4", "--control", "dose=2.5"]
    for name in ("marker", "cured", "stage", "age"):
        question += ["--outcome", name]
    return ["--data", data, "--graph", graph, *question, *FEW]


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: where it wrote.
        out: what it printed.
        figures: the figures, by file name without suffix.
    """

    folder: Path
    out: str
    figures: dict = field(default_factory=dict)

    @property
    def text(self) -> str:
        return (self.folder / "report.md").read_text(encoding="utf-8")

    @property
    def posterior(self) -> arviz.InferenceData:
        return arviz.from_netcdf(self.folder / "posterior.nc")

    def section(self, heading: str) -> str:
        """The section whose heading begins so."""
        parts = self.text.split("\n## ")
        return next(part for part in parts if part.startswith(heading))

    def summary(self) -> list[str]:
        """The points of the summary."""
        return [line[2:] for line in self.text.split("\n## ")[0].splitlines() if line.startswith("- ")]


def finished(folder: Path, *arguments: object) -> Run:
    """Run the command to its end, keeping the figures."""
    figures = {}
    draw = Report.figure

    def keep(report, drawn, name, caption):
        figures[name] = drawn.get_figure(root=True) if hasattr(drawn, "get_figure") else drawn
        draw(report, drawn, name, caption)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Report, "figure", keep)
        called = call("run", *arguments, "--out", folder)
    assert called.code == 0, called.message
    return Run(folder, called.out, figures)


def tables(section: str) -> dict[str, pd.DataFrame]:
    """The tables of a section by the name of their first column, which becomes the index."""
    found = {}
    for block in re.findall(r"(?:^\|.*\n?)+", section, re.MULTILINE):
        lines = [[cell.strip() for cell in line.strip("| \n").split(" | ")] for line in block.strip().splitlines()]
        head, _, *rows = lines
        found[head[0]] = pd.DataFrame(rows, columns=head).set_index(head[0])
    return found


def number(text: str) -> float:
    """A number as a report prints it."""
    return float(text.replace("−", "-").replace("*", ""))


def ends(text: str) -> tuple[float, float, float]:
    """Value, lower and upper end out of ``value (low to high)``."""
    match = INTERVAL.search(text)
    assert match, text
    return number(match["value"]), number(match["low"]), number(match["high"])


def half_digit(text: str) -> float:
    """Half a unit of the last digit that a number is printed with."""
    decimals = INTERVAL.search(text)["value"].partition(".")[2]
    return 0.51 * 10.0 ** -len(decimals)
