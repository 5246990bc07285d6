"""The section that holds predicted interventions against measured ones: right where the model is, and only there."""

import re

import numpy as np
import pandas as pd
import pytest

from causal_pyro_models.cli.report import Report, number as printed
from causal_pyro_models.cli.sachs import compare_interventions, readings
from causal_pyro_models.cli.study import Settings, fit_study
from causal_pyro_models.data import Continuous
from causal_pyro_models.datasets import Sachs, sachs
from causal_pyro_models.evaluation import shifts
from tests.cli.command import number, tables

CELLS = sachs()
TARGETS = CELLS.conditions["target"].dropna()
BELOW = {c: [v for v in CELLS.graph.descendants(p) if v != p] for c, p in TARGETS.items()}


# Readings -------------------------------------------------------------------------------------------------------------


def test_an_activity_is_read_as_a_quantile_of_the_observed_level_whatever_the_seed():
    """Linear interpolation between order statistics, by hand, of all 1,755 cells: 3.64 for PKC at 95%."""
    one, other = readings(CELLS, 0), readings(CELLS, 1)
    assert list(one) == list(TARGETS.index)
    for condition, kind in CELLS.conditions.loc[TARGETS.index, "kind"].items():
        if kind == "level lowered":
            continue
        level = np.sort(CELLS.observational[TARGETS[condition]].to_numpy())
        place = (0.95 if kind == "activated" else 0.05) * (len(level) - 1)
        below = int(place)
        want = level[below] + (place - below) * (level[below + 1] - level[below])
        assert one[condition].value == other[condition].value == pytest.approx(want)
        assert not one[condition].sets_level and one[condition].text == f"children see {printed(want)}"
    assert one["pma"].text == "children see 3.64"


def test_a_lowered_level_is_set_to_measured_ones_drawn_by_the_seed():
    one, again, other = (readings(CELLS, seed)["cd3cd28_psitect"] for seed in (0, 0, 1))
    assert one.sets_level and one.target == "PIP2"
    assert set(one.value.flatten().tolist()) <= set(CELLS.under("cd3cd28_psitect")["PIP2"])
    assert (one.value == again.value).all() and not (one.value == other.value).all()


# A world in which the model is right ----------------------------------------------------------------------------------


def simulated(rows: int, seed: int) -> Sachs:
    """Cells of a linear model on the consensus graph, under reagents that do what they are read as."""
    draw = np.random.default_rng(seed)
    graph = CELLS.graph

    def cells(target: str | None = None, seen: float | None = None, level: np.ndarray | None = None) -> pd.DataFrame:
        values = {}
        for name in graph.topological_order:
            told = [seen if p == target and seen is not None else values[p] for p in graph.parents(name)]
            values[name] = 0.5 * sum(told, np.zeros(rows)) + draw.normal(size=rows)
            if name == target and level is not None:
                values[name] = level
        return pd.DataFrame(values)[list(graph.variables)]

    parts = {name: cells() for name in CELLS.conditions.index[CELLS.conditions["kind"] == "stimulation"]}
    before = pd.concat(parts.values())
    for condition, target in TARGETS.items():
        kind = CELLS.conditions.loc[condition, "kind"]
        if kind == "level lowered":
            parts[condition] = cells(target, level=draw.normal(-3.0, 0.5, rows))
        else:
            parts[condition] = cells(target, seen=before[target].quantile(0.95 if kind == "activated" else 0.05))
    data = pd.concat([part.assign(condition=name) for name, part in parts.items()], ignore_index=True)
    return Sachs(data, CELLS.conditions, graph)


def compared(cells: Sachs, folder) -> Report:
    kinds = dict.fromkeys(cells.graph.variables, Continuous())
    study = fit_study(cells.graph, kinds, cells.observational, Settings(2, 4, 0), "cell", "log fluorescence")
    report = Report(folder, "test")
    compare_interventions(study, cells, report)
    return report


@pytest.fixture(scope="module")
def right(tmp_path_factory) -> tuple[Sachs, Report]:
    cells = simulated(400, 0)
    return cells, compared(cells, tmp_path_factory.mktemp("right"))


def test_a_right_model_is_called_right(right):
    """At least 20 of 23 measured shifts lie within the uncertainty, and every direction is right.

    Prediction and measurement both err by two standard errors or more, added as squares: a nominal 95% or more. At
    95% and were they independent, fewer than 20 would with probability 0.03.
    """
    report = right[1]
    table = tables("\n\n".join(report.blocks))["condition: path"]
    assert len(table) == 23
    assert (table["agreement"] == "within the uncertainty").sum() >= 20
    assert not table["agreement"].str.contains("opposite").any()
    (said,) = report.summary
    judged, same = said.split("Of ")[1].split(" ")[0], said.split("direction, ")[1].split(" ")[0]
    assert judged == same and int(judged) >= 10
    assert "better than predicting that nothing moves" in said


def test_the_same_check_sees_reagents_that_do_the_opposite(right, tmp_path):
    """The cells of each condition are mirrored at the observational means.

    Right are then the six shifts below PIP2 alone, whose level is set to what was measured, mirrored too. Of six that
    are covered with a probability of 95% fewer than five are with probability 0.03.
    """
    cells = right[0]
    mean = cells.observational.mean()
    data = cells.data.copy()
    treated = data["condition"].isin(TARGETS.index)
    data.loc[treated, list(mean.index)] = 2 * mean - data.loc[treated, list(mean.index)]
    report = compared(Sachs(data, cells.conditions, cells.graph), tmp_path)
    table = tables("\n\n".join(report.blocks))["condition: path"]
    pip2 = table.index.str.contains("PIP2 →")
    assert (table["agreement"][~pip2] == "**opposite direction**").all()
    assert (table["agreement"][pip2] == "within the uncertainty").sum() >= 5
    assert "Of 23 shifts with a direction, 6 were predicted in the right one" in report.summary[0]
    assert "no better than predicting that nothing moves" in report.summary[0]


def test_what_was_measured_is_what_the_cells_show(sachs_run):
    table = tables(sachs_run.section("Are predicted"))["condition: path"]
    assert list(table.index) == [
        f"{c}: {p} → {v}" for c, p in TARGETS.items() for v in CELLS.graph.variables if v in BELOW[c]
    ]
    for path, row in table.iterrows():
        condition, _, protein = path.partition(": ")[0], *path.rpartition(" → ")[1:]
        want = shifts(CELLS.under(condition), CELLS.observational).loc[protein]
        assert row["measured"] == f"{printed(want['shift'])} ± {printed(2 * want['standard_error'])}"


def test_the_verdict_counts_what_the_table_says(sachs_run):
    section = sachs_run.section("Are predicted")
    paths, conditions = (tables(section)[name] for name in ("condition: path", "condition"))
    covered = (paths["agreement"] == "within the uncertainty").sum()
    for text in (section, sachs_run.summary()[2]):
        assert f"within the uncertainty in {covered} of 23 cases" in text
    assert [number(count) for count in conditions["proteins downstream"]] == [len(BELOW[c]) for c in TARGETS.index]
    same, judged = zip(*(map(int, s.split(" of ")) for s in conditions["direction right"] if s != "–"), strict=True)
    assert f"Of {sum(judged)} shifts with a direction, {sum(same)} w" in section
    below = conditions[conditions["error"] != "–"]
    weights = below["proteins downstream"].map(number)
    for column, text in (("error", r"downstream is ([\d.]+)"), ("error of “no effect”", r"than the ([\d.]+) of")):
        whole = np.sqrt((weights * below[column].map(number) ** 2).sum() / weights.sum())
        assert abs(number(re.search(text, section)[1]) - whole) < 0.015


def test_single_cells_are_cells_of_the_data(sachs_run):
    section = tables(sachs_run.section("What would have been"))
    assert list(section) == ["Erk", "Akt"]
    levels = []
    for protein, table in section.items():
        for name, row in table.iterrows():
            cell = int(name.split()[1])
            assert row["as it was"] == printed(CELLS.observational.loc[cell, protein], 3)
            levels.append(CELLS.observational.loc[cell, "PKA"])
    assert levels[:3] == sorted(levels[:3])
