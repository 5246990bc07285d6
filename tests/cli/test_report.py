"""What a report says is what was computed: its numbers agree with each other, the netCDF, the figures and the data."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import special
from scipy.stats import t

from causal_pyro_models.cli.fit_check import check_fit
from causal_pyro_models.cli.report import Report, between, digits_for, number as printed
from causal_pyro_models.cli.study import HELD_OUT, SIMULATED, Settings, fit_study
from causal_pyro_models.data import Binary, Continuous
from causal_pyro_models.graph import CausalGraph
from tests.cli.command import (
    FEW,
    LINEAR_GRAPH,
    ends,
    finished,
    half_digit,
    linear,
    mixed,
    number,
    tables,
    write,
)

RUNS = ["linear_run", "mixed_run", "sachs_run"]


@pytest.fixture(params=RUNS)
def run(request):
    return request.getfixturevalue(request.param)


# The document ---------------------------------------------------------------------------------------------------------


def test_every_figure_is_shown_once_and_there(run):
    shown = re.findall(r"\]\((.+?\.png)\)", run.text)
    assert sorted(shown) == sorted(path.name for path in run.folder.glob("*.png"))
    assert len(set(shown)) == len(shown) == len(run.figures)


def test_nothing_is_said_twice(run):
    """No paragraph, and no point of a list, is repeated word for word."""
    parts = [part for block in run.text.split("\n\n") for part in block.split("\n") if len(part) > 40]
    assert len(set(parts)) == len(parts)
    assert "nan" not in run.text and "interrupted" not in run.text
    assert not list(run.folder.glob("*.part"))


def test_tables_are_rectangular(run):
    for block in re.findall(r"(?:^\|.*\n?)+", run.text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.strip().splitlines()}) == 1


def test_what_was_read_is_told(mixed_run):
    asked = mixed_run.section("What is asked")
    assert "What would happen to marker, cured, stage, age" in asked
    assert "under do(dose = 4), compared with do(dose = 2.5)?" in asked
    assert "2 of 120 rows have missing values and are left out (dose 1, stage 1)" in asked
    assert "ignored: id, centre." in asked
    assert "Read as continuous: age, dose, marker." in asked
    assert "Read as binary: arm (placebo, treated), cured (0, 1)." in asked
    assert "Read as categorical: stage (early, late, middle)." in asked
    assert "note: 2 of 120 rows have missing values" in mixed_run.out
    assert mixed_run.out.splitlines()[-1].endswith(f"The report is {mixed_run.folder / 'report.md'}.")


# Fit ------------------------------------------------------------------------------------------------------------------


def test_the_likelihoods_add_up(run):
    fit = tables(run.section("Does the model describe"))["variable given its parents"]
    parts, total = fit.drop(index="**all**"), fit.loc["**all**"]
    for column in ("linear", "flow"):
        assert abs(parts[column].map(number).sum() - number(total[column])) < 0.005 * (len(parts) + 1)
    gain, flow, line = (number(total[column].split(" ±")[0].lstrip("+")) for column in ("gain", "flow", "linear"))
    assert abs(flow - line - gain) < 0.016
    assert total["gain"] in run.summary()[0]
    for said in fit["gain"]:
        assert said.startswith("+") == (number(said.split(" ±")[0].lstrip("+")) > 0)


def test_the_summary_names_the_largest_gap(run):
    gaps = tables(run.section("Does the model describe"))["pair"]
    sizes = gaps["gap"].map(number).abs()
    assert sizes.is_monotonic_decreasing
    first = gaps.iloc[0]
    said = run.summary()[1]
    assert gaps.index[0].replace(", ", " and ") in said and first["flow"] in said and first["held out"] in said


def reported(data: pd.DataFrame, edges: list, folder) -> Report:
    graph = CausalGraph(data.columns, edges)
    kinds = {name: Binary() if set(data[name]) == {0, 1} else Continuous() for name in data}
    study = fit_study(graph, kinds, data, Settings(2, 2, 0))
    report = Report(folder, "test")
    check_fit(study, report)
    return report


def test_a_gap_is_called_one_only_where_it_is_more_than_chance(tmp_path):
    """That of a missing edge is; under the right graph, in at most 1 of 5 data sets.

    There the largest of three gaps is called clear with probability of at most about 5%, so that two or more of five
    are with probability 0.02.
    """
    assert (
        "Its largest error among correlations: at X and M" in reported(linear(300), [("M", "Y")], tmp_path).summary[1]
    )
    right = [("X", "M"), ("M", "Y"), ("X", "Y")]
    said = [reported(linear(300, seed), right, tmp_path).summary[1] for seed in range(5)]
    assert sum("nothing beyond chance" not in line for line in said) <= 1


def test_a_column_that_does_not_vary_among_the_held_out_rows(tmp_path):
    """It has no correlation there, which is no reason for a warning or a nan."""
    data = linear(100)
    order = np.random.default_rng(0).permutation(100)
    data["B"] = 0
    data.iloc[order[round(HELD_OUT * 100) :][:25], -1] = 1
    report = reported(data[["X", "Y", "B"]], [("X", "Y")], tmp_path)
    text = "\n".join(report.blocks)
    assert "over 1 pairs" in text and "nan" not in text


# Effects --------------------------------------------------------------------------------------------------------------


def test_effects_in_the_table_are_those_in_the_netcdf(run):
    table = tables(run.section("What would happen"))["average"]
    effects = run.posterior["effects"]
    columns = [name for name in table if name.startswith("change against")]
    assert effects.sizes["of"] == len(table) * len(columns)
    said = iter(effects["effect_estimate"].transpose("of", "end").values)
    for _, row in table.iterrows():
        for column in columns:
            estimate = next(said)
            if row[column] == "0 by assumption":
                np.testing.assert_array_equal(estimate, 0.0)
                continue
            np.testing.assert_allclose(ends(row[column]), estimate, atol=half_digit(row[column]))
            low, high = ends(row[column])[1:]
            verb = "raises" if low > 0 else "lowers" if high < 0 else "does not clearly change"
            against = column.removeprefix("change ")
            assert any(f"{against}: {row[column]}" in line and verb in line for line in run.summary())


def test_intervals_are_as_wide_as_the_refits_say(run):
    """Half the width, over Student's t, is the spread of the draws in the netCDF with the error of simulation.

    Of a curve of probabilities on the logit scale, of all else as it is.
    """
    effects = run.posterior["effects"]
    found = [(effects["effect"], effects["effect_estimate"], lambda x: x)]
    for curve in effects["dose_response"].curve.values:
        line = special.logit if curve.startswith("P(") else lambda x: x
        found.append(
            (effects["dose_response"].sel(curve=curve), effects["dose_response_estimate"].sel(curve=curve), line)
        )
    for draws, estimate, line in found:
        value, low, high = (line(estimate.sel(end=end).values) for end in ("value", "low", "high"))
        whole = (low > -1.0) & (high < 1.0) | (abs(value) > 1.0)  # a difference of probabilities is cut off there
        np.testing.assert_allclose((value - low)[whole], (high - value)[whole], rtol=1e-6)
        spread = line(draws.isel(chain=0)).var("draw", ddof=1)
        error = (((high - value) / t.ppf(0.975, draws.sizes["draw"] - 1)) ** 2 - spread)[whole]
        assert (error > -1e-9).all()
        assert (error < 25 / SIMULATED).all()  # a unit of the outcome has no larger standard deviation than 5


def test_a_curve_passes_through_the_mean_under_each_intervention(linear_run):
    """The dose-response of Y is 2 x up to the fit: its slope is the effect of X = 1 against X = 0, all else linear."""
    effects = linear_run.posterior["effects"]
    curve = effects["dose_response_estimate"].sel(end="value", curve="mean of Y under do(X = x)")
    slope = np.polyfit(curve["x"], curve, 1)[0]
    effect = effects["effect_estimate"].sel(end="value", of="Y: do(X = 1) against do(X = 0)")
    np.testing.assert_allclose(slope, effect, rtol=0.05)
    assert abs(float(effect) - 2.0) < 0.5


def test_the_axis_of_a_curve_names_what_is_averaged(mixed_run):
    assert mixed_run.figures["dose_response_marker"].axes[0].get_ylabel() == "mean of marker"
    assert mixed_run.figures["dose_response_cured_1"].axes[0].get_ylabel() == "P(cured = 1)"
    assert not {name for name in mixed_run.figures if "stage" in name or "age" in name}


def test_means_of_the_rows_fitted_to(linear_run):
    order = np.random.default_rng(0).permutation(100)
    train = linear().iloc[order[round(HELD_OUT * 100) :]]
    table = tables(linear_run.section("What would happen"))["average"]
    for name in ("Y", "M"):
        said = table.loc[f"mean of {name}", "in the rows fitted to"]
        assert said == printed(train[name].mean(), digits_for(train[name].std()))


def test_an_outcome_without_a_path_has_no_effect_and_that_is_said_once(mixed_run):
    section = mixed_run.section("What would happen")
    assert section.count("The graph has no path from dose to stage, age: no effect, by assumption.") == 1
    assert "0 by assumption" in section
    assert [line for line in mixed_run.summary() if "stage" in line or "age:" in line] == [
        "**Effect.** The graph has no path from dose to stage, age: no effect, by assumption."
    ]
    assert set(tables(mixed_run.section("What would have been"))) == {"marker", "P(cured = 1)"}


def test_how_many_rows_are_where_the_intervention_leads(mixed_run, linear_run):
    order = np.random.default_rng(0).permutation(118)
    dose = mixed().dropna()["dose"].iloc[order[round(HELD_OUT * 118) :]]
    section = mixed_run.section("What would happen")
    for value in (4, 2.5):
        assert f"- dose is below {value} in {100 * (dose < value).mean():.0f}% of the rows fitted to." in section


def test_an_intervention_outside_the_data_is_called_an_extrapolation(tmp_path):
    """Of two variables at once, which has no curve."""
    data, edges = write(tmp_path, linear(), LINEAR_GRAPH)
    given = ("--data", data, "--graph", edges, "--do", "X=-100.5", "--do", "M=0", "--outcome", "Y", *FEW)
    run = finished(tmp_path / "out", *given)
    section = run.section("What would happen under do(X = -100.5, M = 0)?")
    low, high = re.search(r"\*\*X = -100\.5 lies outside the data\*\*, which go from (\S+) to (\S+):", section).groups()
    assert linear()["X"].min() - 1e-3 <= float(low) < float(high) <= linear()["X"].max() + 1e-3
    assert "M = 0 lies" not in section and "dose_response" not in run.text
    values = run.posterior["counterfactual"].sel(world="do(X = -100.5, M = 0)")
    np.testing.assert_allclose((values["X"] - -100.5) ** 2 + values["M"] ** 2, 0.0)


def test_a_label_that_is_set_and_a_table_without_correlations(tmp_path):
    data, edges = write(tmp_path, mixed(), "stage -> marker\n")
    run = finished(
        tmp_path / "out", "--data", data, "--graph", edges, "--do", "stage=late", "--outcome", "marker", *FEW
    )
    assert "Correlations" not in run.text and "correlations" not in run.text
    assert re.search(r"- stage is late in (3\d|2\d|4\d)% of the rows fitted to\.", run.text)
    assert "dose_response" not in run.text
    assert (run.posterior["counterfactual"]["stage"].sel(world="do(stage = late)") == 1).all()


def test_a_question_whose_answer_is_in_the_graph(tmp_path):
    data, edges = write(tmp_path, linear(), LINEAR_GRAPH)
    run = finished(tmp_path / "out", "--data", data, "--graph", edges, "--do", "Y=1", "--outcome", "X", *FEW)
    assert "Every row would have the outcomes that it has" in run.section("What would have been")
    assert "no path from Y to X" in run.section("What would happen")
    assert "single_rows" not in run.figures
    assert (run.posterior["effects"]["effect"] == 0).all()


# Single rows ----------------------------------------------------------------------------------------------------------


def test_the_interval_of_a_row_holds_its_value_and_is_that_of_the_figure(run):
    section = tables(run.section("What would have been"))
    axes = run.figures["single_rows"].axes
    assert len(axes) == len(section)
    for ax, (outcome, table) in zip(axes, section.items(), strict=True):
        assert ax.get_xlabel().startswith(outcome)
        worlds = list(table.columns[1:])
        drawn = iter(ax.lines)
        bars = iter(ax.collections)
        for _, row in table.iterrows():
            was = next(drawn).get_xdata()[0]
            assert abs(was - number(row["as it was"])) <= half_digit(row[worlds[0]])
            for world in worlds:
                value, low, high = ends(row[world])
                assert low <= value <= high
                shown = (next(drawn).get_xdata()[0], *next(bars).get_segments()[0][:, 0])
                np.testing.assert_allclose(shown, (value, low, high), atol=half_digit(row[world]))


def test_the_interval_of_a_row_is_the_spread_of_the_refits(linear_run):
    """All numbers: Student's t times the standard deviation of the draws in the netCDF."""
    values = linear_run.posterior["counterfactual"]
    quantile = t.ppf(0.975, values.sizes["draw"] - 1)
    for outcome, table in tables(linear_run.section("What would have been")).items():
        for name, row in table.iterrows():
            for world in table.columns[1:]:
                value, low, high = ends(row[world])
                spread = float(values[outcome].sel(world=world, unit=name).std(ddof=1))
                np.testing.assert_allclose((high - low) / 2, quantile * spread, atol=2 * half_digit(row[world]))
                assert abs(float(values[outcome].sel(world=world, unit=name).mean()) - value) < 4 * spread


def test_probabilities_stay_probabilities_and_keep_their_value(mixed_run):
    """Some interval is cut off at 1 or 0, where value and figure must not move with it."""
    table = tables(mixed_run.section("What would have been"))["P(cured = 1)"]
    said = [ends(cell) for column in table.columns[1:] for cell in table[column]]
    assert all(0 <= low <= value <= high <= 1 for value, low, high in said)
    assert any(abs((high - value) - (value - low)) > 0.02 for value, low, high in said)


def test_rows_are_those_of_the_table(mixed_run, linear_run):
    """Row 1 of the mixed table is incomplete, so the first that is shown is row 2."""
    for run, data, names in ((mixed_run, mixed(), [2, 3, 4]), (linear_run, linear(), [1, 2, 3])):
        outcome, table = next(iter(tables(run.section("What would have been")).items()))
        assert table.index.tolist() == [f"row {i}" for i in names]
        seen = [number(value) for value in table["as it was"]]
        np.testing.assert_allclose(seen, data[outcome].iloc[[i - 1 for i in names]], atol=0.006)
        labels = [tick.get_text() for tick in run.figures["single_rows"].axes[0].get_yticklabels()]
        assert labels == table.index.tolist() == run.posterior["observed_data"]["unit"].values.tolist()


def test_the_world_without_intervention_is_what_was_seen(run):
    values, seen = run.posterior["counterfactual"], run.posterior["observed_data"]
    for name in seen:
        factual = values[name].sel(world="as it was").isel(chain=0)
        np.testing.assert_allclose(factual, np.broadcast_to(seen[name], factual.shape), rtol=1e-4, atol=1e-4)


def test_what_is_set_is_set_and_what_is_not_below_stays(run):
    values = run.posterior["counterfactual"]
    for world in values["world"].values[1:]:
        name, value = world.removeprefix("do(").removesuffix(")").split(" = ")
        np.testing.assert_allclose(values[name].sel(world=world), float(value), rtol=1e-6)
    if "stage" in values:
        for name in ("stage", "age", "arm"):
            assert (values[name] == values[name].sel(world="as it was")).all()


def test_draws_are_counted_as_the_report_says(linear_run, mixed_run):
    assert linear_run.posterior["posterior"].sizes["draw"] == linear_run.posterior["effects"].sizes["draw"] == 4
    assert "a draw is a refit (4 of them)" in linear_run.text
    assert mixed_run.posterior["effects"].sizes["draw"] == 2
    assert mixed_run.posterior["posterior"].sizes["draw"] == 100
    assert "a draw for each of the 2 refits, a single row 50 for each" in mixed_run.text


def test_the_figure_of_single_rows_has_ticks_and_a_legend_in_one_row(sachs_run):
    figure = sachs_run.figures["single_rows"]
    for ax in figure.axes:
        low, high = ax.get_xlim()
        assert sum(low <= tick <= high for tick in ax.get_xticks()) >= 3
    (legend,) = figure.legends
    figure.canvas.draw()
    tops = [text.get_window_extent().y1 for text in legend.get_texts()]
    assert len(tops) == 3 and np.ptp(tops) < 3
    assert legend.get_window_extent().x1 <= figure.bbox.x1 + 1


# Pieces ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "digits", "want"),
    [
        (1.005, 1, "1.0"),
        (-0.004, 2, "0.00"),
        (-0.006, 2, "−0.01"),
        (0.0, 0, "0"),
        (-12.5, 0, "−12"),
        (1e6, 2, "1000000.00"),
    ],
)
def test_numbers_have_a_true_minus_and_no_minus_zero(value, digits, want):
    assert printed(value, digits) == want


@pytest.mark.parametrize(("spread", "want"), [(1.0, 2), (0.99, 3), (12.0, 1), (345.0, 0), (1e9, 0), (0.0, 2)])
def test_three_digits_of_the_spread(spread, want):
    assert digits_for(spread) == want


def test_a_value_with_its_interval():
    assert between(1.5, -2.0, 3.25, 2) == "1.50 (−2.00 to 3.25)"
    assert ends(between(-1.5, -2.0, 3.25, 1)) == (-1.5, -2.0, 3.2)


def test_a_report_is_there_from_the_start_and_unfinished_until_saved(tmp_path):
    report = Report(tmp_path / "a" / "b", "Title")
    report.heading("One")
    report.table(["name", "x|y"], [["a|b", 1]])
    assert (tmp_path / "a" / "b" / "report.md").is_file()
    assert "interrupted" in report.save().read_text(encoding="utf-8")
    text = report.save(finished=True).read_text(encoding="utf-8")
    assert text == "# Title\n\n## One\n\n| name | x\\|y |\n| --- | ---: |\n| a\\|b | 1 |\n"


def test_figures_never_share_a_file(tmp_path):
    report = Report(tmp_path, "Title")
    for name in ("a b", "a/b", "a_b"):
        report.figure(plt.figure(), name, name)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["a_b.png", "a_b_.png", "a_b__.png"]
