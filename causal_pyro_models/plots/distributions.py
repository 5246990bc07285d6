"""Distributions of a model beside those of data, as observed and under interventions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from causal_pyro_models.errors import DataError, unknown_variable
from causal_pyro_models.evaluation.held_out import kolmogorov_smirnov, total_variation
from causal_pyro_models.plots.style import (
    BLUE,
    GREY,
    INK,
    PALE,
    VERMILLION,
    indicators,
    is_labels,
    label_ticks,
    legend,
    levels,
    named,
    panels,
    shared,
    styled,
    table,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_LABELS = 20  # that are drawn
MAX_CODES = 12  # a variable of at most so many whole values is drawn as bars


@styled
def plot_marginals(observed: Any, sampled: Any, units: str | Mapping[str, str] = "") -> Figure:
    """The distribution of each variable in data and under a model, a panel each.

    Labels, and numbers of few whole values, are drawn as bars; of more than 20 labels those that are most common. The
    title of a panel gives the distance of the two distributions, 0 where they are the same, 1 where they do not
    overlap: Kolmogorov and Smirnov's (KS), the largest difference between the distribution functions, or for bars the
    total variation (TV), the share of units that would have to change places.

    Args:
        observed: data, best held out from training: a DataFrame, :class:`Draws` or a dict of arrays.
        sampled: samples of the model, likewise.
        units: the unit of all variables, or a dict by variable.

    Returns:
        The figure.

    Raises:
        DataError: tables without rows or without a variable in common, or a variable that is labels in one alone.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> figure = plot_marginals({"X": rng.normal(size=500)}, {"X": rng.normal(size=2_000)}, units="mmol/l")
        >>> figure.axes[0].get_xlabel()
        'X (mmol/l)'
    """
    data, model = table(observed, "observed"), table(sampled, "sampled")
    names = shared(data, model, "observed and sampled")
    figure, axes = panels(len(names))
    for name, ax in zip(names, axes, strict=True):
        a, b = data[name].to_numpy(), model[name].to_numpy()
        if is_labels(data[name]) or is_labels(model[name]):
            _label_bars(ax, data[name], model[name])
            distance = f"TV distance {total_variation(a, b):.2f}"
        elif _is_discrete(a) and _is_discrete(b):
            _bars(ax, a, b)
            distance = f"TV distance {total_variation(a, b):.2f}"
        else:
            _histograms(ax, a, b)
            distance = f"KS distance {kolmogorov_smirnov(a, b):.2f}"
        ax.set_xlabel(named(name, units))
        ax.set_title(distance, color=INK, loc="right", fontsize=8)
    legend(figure, axes[0])
    return figure


def _is_discrete(values: np.ndarray[Any, Any]) -> bool:
    distinct = np.unique(values)
    return len(distinct) <= MAX_CODES and bool((distinct == distinct.round()).all())


def _histograms(ax: Axes, data: np.ndarray[Any, Any], model: np.ndarray[Any, Any]) -> None:
    low, high = np.quantile(np.concatenate([data, np.quantile(model, [0.005, 0.995])]), [0.0, 1.0])
    if low == high:
        low, high = low - 0.5, high + 0.5
    spread = np.subtract(*np.quantile(data, [0.75, 0.25])) or data.std() or high - low
    width = 2 * spread / len(data) ** (1 / 3)  # Freedman and Diaconis (1981)
    bins = np.linspace(low, high, int(np.clip((high - low) / width, 12, 40)) + 1)
    for values, label, style in (
        (data, "data", {"color": PALE}),
        (model, "model", {"histtype": "step", "color": BLUE}),
    ):
        density = np.full(len(values), 1 / (len(values) * (bins[1] - bins[0])))  # of all values, also those outside
        drawn: Any = {"bins": bins, "weights": density, "linewidth": 1.4, **style}
        ax.hist(values, label=label, **drawn)
    ax.set_ylabel("density")


def _label_bars(ax: Axes, data: pd.Series, model: pd.Series) -> None:
    """Shares of labels, the most common ones in their order."""
    if is_labels(data) != is_labels(model):
        raise DataError(
            f"observed and sampled differ in {data.name!r}: labels in one, numbers in the other. Give labels in both."
        )
    common = set(data.value_counts().index[:MAX_LABELS])
    order = {label: i for i, label in enumerate(label for label in levels(data) if label in common)}
    a, b = (column.map(order).astype(float).fillna(-1.0).to_numpy() for column in (data, model))
    for values, label, colour, shift in ((a, "data", PALE, -0.2), (b, "model", BLUE, 0.2)):
        heights = [(values == code).mean() for code in order.values()]
        ax.bar(np.arange(len(order)) + shift, heights, 0.4, color=colour, label=label)
    label_ticks(ax, list(order))
    ax.set_ylabel("probability")


def _bars(ax: Axes, data: np.ndarray[Any, Any], model: np.ndarray[Any, Any]) -> None:
    codes = np.unique(np.concatenate([data, model]))
    for values, label, colour, shift in ((data, "data", PALE, -0.2), (model, "model", BLUE, 0.2)):
        ax.bar(codes + shift, [(values == code).mean() for code in codes], 0.4, color=colour, label=label)
    ax.set_xticks(codes, [f"{code:g}" for code in codes])
    ax.set_ylabel("probability")


@styled
def plot_interventions(predicted: Mapping[str, Any], measured: Mapping[str, Any], baseline: Any) -> Figure:
    """What interventions were predicted to do to the mean of each variable, beside what they did.

    A panel for each intervention. Means are shown as shifts from the baseline, in its standard deviations, so that
    variables of any scale share an axis; bars are 95% confidence intervals of the measured means. Of labels the mean is
    the share of each.

    Args:
        predicted: by the name of the intervention, samples of the model under it.
        measured: likewise, data measured under it.
        baseline: data without intervention.

    Returns:
        The figure.

    Raises:
        DataError: tables without rows or without a variable in common, or a constant variable in the baseline.
        UnknownVariableError: an intervention that was predicted and not measured.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> tables = [{"X": rng.normal(mean, size=300), "Y": rng.normal(size=300)} for mean in (0.0, 1.9, 2.0)]
        >>> plot_interventions({"drug": tables[1]}, {"drug": tables[2]}, tables[0]).axes[0].get_title()
        'drug'
    """
    labels = table(baseline, "baseline")
    before = indicators(labels, labels)
    for what, tables in (("predicted", predicted), ("measured", measured)):
        if not isinstance(tables, Mapping):
            raise DataError(f"{what} must be a dict from intervention to a table, got {type(tables).__name__}.")
        if not tables:
            raise DataError(f"{what} holds no intervention to plot: give at least one.")
    if len(before) < 2:
        raise DataError("baseline has a single row, so shifts have no scale: give 2 or more.")
    if constant := [str(name) for name in before if before[name].std() == 0]:
        raise DataError(f"{constant} are constant in the baseline, so shifts have no scale: leave them out.")
    pairs = {}
    names = list(before)
    for name, samples in predicted.items():
        if name not in measured:
            raise unknown_variable(name, measured, "measured intervention")
        frames = {}
        for what, values in ((f"predicted[{name!r}]", samples), (f"measured[{name!r}]", measured[name])):
            given = table(values, what)
            both = shared(labels, given, f"baseline and {what}")
            frames[what] = indicators(given[both], labels)
            names = [column for column in names if column in frames[what]]
        pairs[name] = tuple(frames.values())
        if len(pairs[name][1]) < 2:
            raise DataError(f"measured[{name!r}] has a single row, so its mean has no error: give 2 or more.")
    if not names:
        raise DataError("the tables share no variable that is in all of them.")
    figure, axes = panels(len(pairs), width=2.1, height=0.9 + 0.19 * len(names), columns=5)
    for i, ((title, (model, data)), ax) in enumerate(zip(pairs.items(), axes, strict=True)):
        _shifts(ax, before, model, data, names)
        ax.set_title(title)
        ax.set_yticks(range(len(names)), names if i % 5 == 0 else [])
    limit = 1.08 * max(abs(bound) for ax in axes for bound in ax.dataLim.intervalx)
    for ax in axes:
        ax.set_xlim(-limit, limit)
    figure.supxlabel("shift of the mean (standard deviations of the baseline)", fontsize=9)
    legend(figure, axes[0])
    return figure


def _shifts(ax: Axes, before: pd.DataFrame, model: pd.DataFrame, data: pd.DataFrame, names: list[str]) -> None:
    rows = np.arange(len(names))
    centre, scale = before[names].mean(), before[names].std()
    real = (data[names].mean() - centre) / scale
    error = 1.96 * np.sqrt(data[names].var() / len(data) / scale**2 + 1 / len(before))
    said = (model[names].mean() - centre) / scale
    ax.axvline(0.0, color=GREY, linewidth=0.8)
    ax.hlines(rows, np.minimum(real, said), np.maximum(real, said), color=PALE, linewidth=1.2, zorder=1)
    ax.errorbar(real, rows, xerr=error, fmt="o", markersize=4.5, color=INK, linewidth=1.0, label="measured", zorder=2)
    ax.scatter(said, rows, marker="D", s=26, facecolor="none", edgecolor=VERMILLION, label="predicted", zorder=3)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
