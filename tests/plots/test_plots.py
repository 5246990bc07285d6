"""What is drawn is what was given; texts do not overlap; matplotlib's own settings are left alone."""

import subprocess
import sys
from itertools import combinations

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_rgba
from scipy.stats import ks_2samp

from causal_pyro_models.data import Categorical, Ordinal
from causal_pyro_models.datasets.protein_signalling import sachs
from causal_pyro_models.errors import CausalError, DataError, UnknownVariableError
from causal_pyro_models.estimate import Estimate
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.inference.calibration import Calibration
from causal_pyro_models.inference.draws import Draws, Noise, Worlds
from causal_pyro_models.plots import (
    plot_counterfactual,
    plot_dose_response,
    plot_fit_history,
    plot_graph,
    plot_interventions,
    plot_marginals,
    plot_ranks,
)
from causal_pyro_models.plots.style import VERMILLION
from causal_pyro_models.training.loop import FitResult

matplotlib.use("Agg")
RNG = np.random.default_rng(0)
HISTORY = {"step": [1.0, 2.0, 3.0, 4.0], "loss": [9.0, 2.0, 1.5, 1.2], "validation": [9.0, 2.2, 2.1, 2.3]}


def two_worlds(draws=200):
    shape = (3,) if draws is None else (draws, 3)

    def world(y):
        sites = {"X": torch.full(shape, 1.0), "Y": torch.randn(shape) + y, "W": torch.zeros(*shape, 2)}
        return Draws(sites, {"X": 0, "Y": 0, "W": 1}, draws)

    return Worlds({"was": world(0.0), "high": world(5.0), "low": world(-5.0)}, Noise({}, {}, draws))


CURVE = Estimate(
    "dose_response", torch.tensor([4.0, 0.0, 1.0]), torch.ones(3), (torch.zeros(3), torch.full((3,), 5.0)),
    bounds=(torch.full((3,), -1.0), torch.full((3,), 6.0)), over="X", labels=(2.0, 0.0, 1.0),
)  # fmt: skip
TABLES = [pd.DataFrame({"X": RNG.normal(m, 1, 400), "Y": RNG.normal(0, 3, 400)}) for m in (0.0, 2.0, 1.0)]
CALIBRATION = Calibration({n: RNG.integers(0, 100, 500) for n in "abcde"}, 99, 0.01)
DRAWN = {
    "graph": lambda: plot_graph(CausalGraph.from_edges([("X", "Y")], [("X", "Y")])),
    "history": lambda: plot_fit_history(FitResult(HISTORY, 3, 4, 0.1)),
    "marginals": lambda: plot_marginals(TABLES[0], TABLES[1]),
    "interventions": lambda: plot_interventions({"drug": TABLES[1]}, {"drug": TABLES[2]}, TABLES[0]),
    "counterfactual": lambda: plot_counterfactual(two_worlds(), "was", unit=[0, 2]),
    "dose": lambda: plot_dose_response(CURVE, "Y"),
    "ranks": lambda: plot_ranks(CALIBRATION),
}


@pytest.fixture(autouse=True)
def closes_figures():
    yield
    plt.close("all")


def axes_of(drawn):
    return drawn.axes if hasattr(drawn, "axes") and isinstance(drawn.axes, list) else [drawn]


def texts_overlapping(figure):
    """Pairs of texts whose boxes overlap by more than a hair, once drawn."""
    figure.canvas.draw()
    ticks = {
        tick.label1: axis.get_view_interval()[0] <= tick.get_loc() <= axis.get_view_interval()[1]
        for ax in figure.axes
        for axis in (ax.xaxis, ax.yaxis)
        for tick in axis.get_major_ticks() + axis.get_minor_ticks()
    }
    texts = [t for t in figure.findobj(matplotlib.text.Text) if t.get_text().strip() and ticks.get(t, True)]
    boxes = [(t.get_text(), t.get_window_extent()) for t in texts]
    overlaps = []
    for (s, a), (t, b) in combinations(boxes, 2):
        width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        if width > 1 and height > 1:
            overlaps.append((s, t))
    return overlaps


@pytest.mark.parametrize("name", DRAWN)
def test_settings_of_matplotlib_are_left_alone(name):
    before = dict(matplotlib.rcParams)
    DRAWN[name]()
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", [n for n in DRAWN if n != "graph"])
def test_every_axis_says_what_it_shows_and_no_text_covers_another(name):
    axes = axes_of(DRAWN[name]())
    figure = axes[0].figure
    assert all(ax.get_xlabel() or figure.get_supxlabel() for ax in axes)
    assert texts_overlapping(figure) == []


def test_importing_plots_does_not_import_matplotlib():
    code = "import sys, causal_pyro_models.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Graphs ---------------------------------------------------------------------------------------------------------------


def test_every_variable_and_edge_is_drawn_and_inside():
    graph = sachs().graph
    graph = CausalGraph(graph.variables, graph.edges, [("PKA", "PIP3"), ("P38", "Jnk"), ("Raf", "Erk")])
    ax = plot_graph(graph)
    assert sorted(t.get_text() for t in ax.texts) == sorted(graph.variables)
    arrows = [p for p in ax.patches if isinstance(p, matplotlib.patches.FancyArrowPatch)]
    dashed = [a for a in arrows if a.get_edgecolor() == to_rgba(VERMILLION)]
    assert len(arrows) == 20 and len(dashed) == 3
    assert texts_overlapping(ax.figure) == []
    frame = ax.get_window_extent()
    for artist in [*ax.texts, *ax.patches]:
        box = artist.get_window_extent()
        assert frame.x0 - 1 <= box.x0 and box.x1 <= frame.x1 + 1 and frame.y0 - 1 <= box.y0 and box.y1 <= frame.y1 + 1


def test_labels_fit_their_boxes_whatever_the_size():
    graph = CausalGraph.from_edges([("a_rather_long_name", "WWWW"), ("WWWW", "i"), ("a_rather_long_name", "i")])
    for ax in (None, plt.subplots(figsize=(3, 2))[1], plt.subplots(figsize=(9, 9))[1]):
        drawn = plot_graph(graph, ax)
        drawn.figure.canvas.draw()
        boxes = [p for p in drawn.patches if isinstance(p, matplotlib.patches.FancyBboxPatch)]
        for text, box in zip(drawn.texts, boxes, strict=True):
            inner, outer = text.get_window_extent(), box.get_window_extent()
            assert outer.x0 <= inner.x0 and inner.x1 <= outer.x1 and outer.y0 <= inner.y0 and inner.y1 <= outer.y1


def test_a_confounding_arc_goes_round_the_nodes_between():
    chain = CausalGraph.from_edges([("A", "B"), ("B", "C")], [("A", "C")])
    ax = plot_graph(chain)
    ax.figure.canvas.draw()
    boxes = [p for p in ax.patches if isinstance(p, matplotlib.patches.FancyBboxPatch)]
    (arc,) = [
        p
        for p in ax.patches
        if isinstance(p, matplotlib.patches.FancyArrowPatch) and p.get_edgecolor() == to_rgba(VERMILLION)
    ]
    points = arc.get_path().interpolated(20).vertices
    middle = boxes[1].get_path().vertices
    inside = (points > middle.min(0)).all(1) & (points < middle.max(0)).all(1)
    assert not inside.any()


# Distributions --------------------------------------------------------------------------------------------------------


def test_histograms_hold_the_shares_and_the_distance():
    figure = plot_marginals(TABLES[0], TABLES[1], {"X": "mg"})
    x, y = figure.axes
    assert (x.get_xlabel(), y.get_xlabel()) == ("X (mg)", "Y")
    want = ks_2samp(TABLES[0]["X"], TABLES[1]["X"]).statistic
    assert x.get_title(loc="right") == f"KS distance {want:.2f}"
    area = sum(p.get_width() * p.get_height() for p in x.patches if isinstance(p, matplotlib.patches.Rectangle))
    assert area == pytest.approx(1.0)


def test_discrete_variables_are_bars_of_probabilities():
    a, b = {"K": np.array([0, 0, 0, 1])}, {"K": np.array([0, 1, 1, 2])}
    (ax,) = plot_marginals(a, b).axes
    heights = [p.get_height() for p in ax.patches]
    assert heights == pytest.approx([0.75, 0.25, 0.0, 0.25, 0.5, 0.25])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "1", "2"]


def test_constant_and_shared_variables_only():
    figure = plot_marginals({"X": np.ones(5) / 3, "other": np.ones(5)}, {"X": np.ones(7) / 3, "else": np.ones(7)})
    assert [ax.get_xlabel() for ax in figure.axes] == ["X"]


def test_interventions_show_standardised_shifts():
    (ax,) = plot_interventions({"drug": TABLES[1]}, {"drug": TABLES[2]}, TABLES[0]).axes
    centre, scale = TABLES[0].mean(), TABLES[0].std()
    predicted = ax.collections[-1].get_offsets()
    measured = np.asarray(ax.lines[1].get_xdata(), dtype=float)
    np.testing.assert_allclose(predicted[:, 0], (TABLES[1].mean() - centre) / scale)
    np.testing.assert_allclose(measured, (TABLES[2].mean() - centre) / scale)
    low, high = ax.get_xlim()
    assert low < min(measured.min(), predicted[:, 0].min()) and high > max(measured.max(), predicted[:, 0].max())


def test_eleven_variables_and_seven_conditions_stay_readable():
    data = sachs()
    names = list(data.graph.variables)
    conditions = [c for c in data.conditions.index if data.conditions.loc[c, "kind"] != "stimulation"]
    tables = {c: data.under(c)[names] for c in conditions}
    observed = data.observational[names]
    for figure in (plot_interventions(tables, tables, observed), plot_marginals(observed, observed, "log a.u.")):
        assert texts_overlapping(figure) == []


LABELLED = pd.DataFrame({
    "arm": RNG.choice(["a", "a long name of an arm", "c"], 200, p=[0.5, 0.3, 0.2]),
    "stage": pd.Categorical(RNG.choice(["low", "high"], 200), ["low", "high"], ordered=True),
    "day": pd.to_datetime(RNG.choice(["2024-01-01", "2024-04-01"], 200)),
    "flag": RNG.random(200) < 0.5,
    "dose": RNG.normal(size=200),
})  # fmt: skip


def test_labels_are_bars_of_their_shares_in_their_order():
    model = LABELLED.sample(100, random_state=0)
    figure = plot_marginals(LABELLED, model)
    assert [ax.get_xlabel() for ax in figure.axes] == list(LABELLED)
    arm, stage = figure.axes[:2]
    assert [text.get_text() for text in stage.get_xticklabels()] == ["low", "high"]  # as declared
    shares = [(LABELLED["arm"] == label).mean() for label in sorted(set(LABELLED["arm"]))]
    np.testing.assert_allclose([bar.get_height() for bar in arm.containers[0]], shares)
    np.testing.assert_allclose(
        [bar.get_height() for bar in arm.containers[1]],
        [(model["arm"] == label).mean() for label in sorted(set(LABELLED["arm"]))],
    )
    assert texts_overlapping(figure) == []
    with pytest.raises(DataError, match="'arm': labels in one, numbers in the other"):
        plot_marginals(LABELLED[["arm"]], {"arm": [0.0, 1.0]})


def test_of_many_labels_the_most_common_are_drawn():
    names = pd.DataFrame({"id": [f"name {i}" for i in range(60)] + ["twice", "twice"]})
    (ax,) = plot_marginals(names, names).axes
    assert len(ax.get_xticklabels()) == 20 and "twice" in [text.get_text() for text in ax.get_xticklabels()]


def test_interventions_on_labels_shift_the_share_of_each():
    (ax,) = plot_interventions({"a": LABELLED[LABELLED["arm"] == "a"]}, {"a": LABELLED}, LABELLED).axes
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names[:3] == ["arm = a", "arm = a long name of an arm", "arm = c"] and names[3] == "stage = high"
    share = LABELLED["arm"].eq("a").astype(float)
    predicted = ax.collections[-1].get_offsets()[0, 0]
    np.testing.assert_allclose(predicted, (1.0 - share.mean()) / share.std())


# Effects --------------------------------------------------------------------------------------------------------------


def test_counterfactuals_show_means_and_intervals_of_each_world():
    worlds = two_worlds()
    x, y = plot_counterfactual(worlds, "was", unit=[0, 2]).axes
    assert (x.get_xlabel(), y.get_xlabel()) == ("X", "Y")  # W is a vector
    drawn = sorted(float(line.get_xdata()[0]) for line in y.lines)
    want = sorted(float(worlds[w].mean("Y")[u]) for w in worlds for u in (0, 2))
    np.testing.assert_allclose(drawn, want, rtol=1e-5)
    spans = sorted(tuple(c.get_segments()[0][:, 0]) for c in y.collections)
    intervals = sorted(
        tuple(float(end[u]) for end in worlds[w].interval("Y", 0.95)) for w in ("high", "low") for u in (0, 2)
    )
    np.testing.assert_allclose(spans, intervals, rtol=1e-5)


def test_exact_counterfactuals_have_no_interval():
    figure = plot_counterfactual(two_worlds(None), "was", sites=["Y"])
    assert not figure.axes[0].collections
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["was", "high", "low"]
    figure.canvas.draw()
    assert figure.legends[0].get_window_extent().x1 <= figure.bbox.x1 + 1


def test_of_classes_the_probabilities_are_drawn_and_of_numbers_the_mean():
    kinds = {"arm": Categorical(3, ("b", "a", "c")), "grade": Ordinal(2, (10, 30))}

    def world(arm, grade):
        sites = {"arm": torch.tensor(arm)[:, None], "grade": torch.tensor(grade)[:, None]}
        return Draws(sites, {"arm": 0, "grade": 0}, 4, kinds=kinds)

    worlds = Worlds({"was": world([0] * 4, [0] * 4), "then": world([0, 2, 2, 2], [0, 1, 1, 1])}, Noise({}, {}, 4))
    arm, grade = plot_counterfactual(worlds, "was").axes
    assert [text.get_text() for text in arm.get_xticklabels()] == ["b", "a", "c"]
    assert arm.get_xlabel() == "probability of arm"
    heights = [[-bar.get_height() / 0.9 for bar in bars] for bars in arm.containers]
    np.testing.assert_allclose(heights, [[1.0, 0.0, 0.0], [0.25, 0.0, 0.75]])
    assert sorted(float(line.get_xdata()[0]) for line in grade.lines) == [10.0, 25.0]
    weighted = Draws(worlds["then"].sites, {"arm": 0, "grade": 0}, 4, torch.tensor([1.0, 0, 0, 0]).log(), kinds=kinds)
    arm, _ = plot_counterfactual(Worlds({"was": worlds["was"], "then": weighted}, Noise({}, {}, 4)), "was").axes
    np.testing.assert_allclose([-bar.get_height() / 0.9 for bar in arm.containers[1]], [1.0, 0.0, 0.0])


def test_a_curve_over_labels_is_a_point_for_each():
    y = torch.tensor([0.0, 1.0])
    ax = plot_dose_response(Estimate("dose_response", y, y, (y - 1, y + 1), over="arm", labels=("b", "a")), "Y")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["b", "a"]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [0.0, 1.0])
    assert ax.lines[0].get_linestyle() == "None"


def test_dose_response_is_drawn_in_the_order_of_the_doses():
    ax = plot_dose_response(CURVE, "Y (mg)")
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [0, 1, 2])
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [0, 1, 4])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("do(X = x)", "mean of Y (mg)")
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["95% interval", "mean", "bounds over couplings"]


# Diagnostics ----------------------------------------------------------------------------------------------------------


def test_history_shows_the_losses_and_the_step_kept():
    ax = plot_fit_history(FitResult(HISTORY, 3, 4, 0.1))
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), HISTORY["loss"])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), HISTORY["validation"])
    assert ax.lines[2].get_xdata()[0] == 3


def test_ranks_leave_the_band_where_they_are_not_uniform():
    narrow = np.concatenate([RNG.integers(0, 100, 800), np.zeros(200, int)])
    figure = plot_ranks(Calibration({"good": RNG.integers(0, 100, 1_000), "bad": narrow}, 99, 0.01))
    _, good, _, bad = figure.axes
    for ax, inside in ((good, True), (bad, False)):
        band = ax.collections[0].get_paths()[0].vertices
        line = ax.lines[0].get_ydata()
        assert bool(abs(line).max() < abs(band[:, 1]).max()) is inside
    assert to_rgba(bad.lines[0].get_color()) != to_rgba(good.lines[0].get_color())


def test_histogram_counts_every_simulation():
    left = plot_ranks(CALIBRATION).axes[0]
    bars = [p for p in left.patches if isinstance(p, matplotlib.patches.Rectangle)]
    assert sum(p.get_height() for p in bars if p.get_height() == round(p.get_height()) and p.get_x() >= -0.5) >= 500


# Errors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plot_marginals({"X": [1.0]}, {"Y": [1.0]}), DataError, "share no variable"),
        (lambda: plot_marginals({"X": [1.0, np.nan]}, {"X": [1.0]}), DataError, r"NaN or infinite in \['X'\]"),
        (lambda: plot_marginals({"X": []}, {"X": [1.0]}), DataError, "no rows"),
        (lambda: plot_marginals(3, {"X": [1.0]}), DataError, "must be a DataFrame"),
        (lambda: plot_interventions({"a": TABLES[0]}, {"b": TABLES[0]}, TABLES[0]), UnknownVariableError, "'a'"),
        (lambda: plot_interventions({}, {}, TABLES[0]), DataError, "no intervention"),
        (lambda: plot_interventions({"a": TABLES[0]}, {"a": TABLES[0]}, {"X": [1.0, 1.0]}), DataError, "constant"),
        (lambda: plot_counterfactual(two_worlds(), "is"), UnknownVariableError, "unknown world 'is'"),
        (lambda: plot_counterfactual(two_worlds(), "was", ["W"]), DataError, "not one number"),
        (lambda: plot_counterfactual(two_worlds(), "was", ["V"]), UnknownVariableError, "unknown site 'V'"),
        (lambda: plot_counterfactual(two_worlds(), "was", unit=3), DataError, "units 0 to 2"),
        (lambda: plot_counterfactual(two_worlds(), "was", unit=[]), DataError, "nothing to plot"),
        (lambda: plot_dose_response(Estimate("ate", *[torch.tensor(1.0)] * 2, (0, 1)), "Y"), CausalError, "grid"),
        (lambda: plot_fit_history(FitResult({}, 0, 0, 0.0)), DataError, "empty"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
