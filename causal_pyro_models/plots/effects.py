"""Counterfactuals of single units and effects, with their uncertainty."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from causal_pyro_models.data.coded import codes, has_mean
from causal_pyro_models.data.variables import Labelled
from causal_pyro_models.errors import DataError, QueryError, unknown_variable
from causal_pyro_models.estimate import Estimate
from causal_pyro_models.inference.draws import Draws, Worlds
from causal_pyro_models.plots.style import (
    BLUE,
    CYCLE,
    GREY,
    INK,
    MARKERS,
    expect,
    label_ticks,
    legend,
    named,
    new_axes,
    panels,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@styled
def plot_counterfactual(
    worlds: Worlds,
    factual: str,
    sites: str | Sequence[str] | None = None,
    unit: int | Sequence[int] = 0,
    level: float = 0.95,
    units: str | Mapping[str, str] = "",
    unit_names: Sequence[str] | None = None,
) -> Figure:
    """What single units were, and what they would have been: a panel for each site, a row for each unit.

    Of a site that is a number the mean is drawn with its interval; of one with other labels the probability of each, as
    bars that fill the height of a row where it is 1.

    Args:
        worlds: from :func:`worlds`.
        factual: the name of the world without intervention, drawn as a cross.
        sites: what to show; None for every scalar site.
        unit: the units to show.
        level: probability of the intervals; none are drawn of a single exact draw.
        units: the unit of measurement of all sites, or a dict by site.
        unit_names: what the units shown are called; None for their numbers.

    Returns:
        The figure.

    Raises:
        DataError: a site that is not a scalar for each unit, or a unit that is not there or has no name.
        QueryError: something else than worlds, names and numbers of units.
        UnknownVariableError: a site or world that is not there.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from causal_pyro_models.inference.prediction import worlds
        >>> def model():
        ...     x = pyro.sample("X", dist.Normal(0.0, 1.0))
        ...     pyro.sample("Y", dist.Normal(2.0 * x, 1.0))
        >>> result = worlds(model, {"X": [1.0, 2.0], "Y": [2.5, 3.0]}, {"as it was": {}, "X = 0": {"X": 0.0}})
        >>> [ax.get_xlabel() for ax in plot_counterfactual(result, "as it was", unit=[0, 1]).axes]
        ['X', 'Y']
    """
    expect(worlds, Worlds, "worlds(model, evidence, do)")
    from matplotlib.ticker import MaxNLocator

    was = worlds[factual]
    others = [name for name in worlds if name != factual]
    shown = _several(unit, Integral, "unit must be the number of a unit or a list of them")
    names = [name for name in was if _is_scalar(was, name)]
    if sites is not None:
        names = _several(sites, str, "sites must be the name of a site or a list of them")
    _check_shown(was, names, shown)
    called = [f"unit {u}" for u in shown] if unit_names is None else list(unit_names)
    if len(called) != len(shown):
        raise DataError(f"{len(shown)} units are shown and unit_names has {len(called)} names: give one for each.")
    figure, axes = panels(len(names), width=2.2, height=0.75 + 0.16 * len(shown) * (len(others) + 1))
    for i, (name, ax) in enumerate(zip(names, axes, strict=True)):
        for row, u in enumerate(shown):
            ax.axhspan(row - 0.5, row + 0.5, color="#F4F4F4" if row % 2 else "white", zorder=0)
            if not has_mean(was.kinds.get(name)):
                _class_bars(ax, {factual: was, **{world: worlds[world] for world in others}}, name, u, row)
                continue
            label = factual if row == 0 else None
            ax.plot(
                _middle(was, name, u), row, marker="x", markersize=6, color=INK, linestyle="", label=label, zorder=4
            )
            for j, world in enumerate(others):
                _point(ax, worlds[world], name, u, row + _offset(j, len(others)), j, level, None if row else world)
        ax.set_yticks(range(len(shown)), called if i % 4 == 0 else [])
        ax.set_ylim(len(shown) - 0.5, -0.5)
        ax.set_xlabel(named(name, units))
        ax.margins(x=0.12)
        if isinstance(kind := was.kinds.get(name), Labelled) and not has_mean(kind):
            label_ticks(ax, kind.labels)
            ax.set_xlabel(f"probability of {name}")
            continue
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5, min_n_ticks=3, steps=[1, 2, 2.5, 5, 10]))
    figure.set_figwidth(figure.get_figwidth() + 0.06 * max(map(len, called)))
    legend(figure, axes[0])
    return figure


def _several(value: Any, kind: type, expected: str) -> list[Any]:
    """One or several as a list."""
    several = [value] if isinstance(value, kind | str) or not isinstance(value, Iterable) else list(value)
    if bad := [one for one in several if isinstance(one, bool) or not isinstance(one, kind)]:
        raise QueryError(f"{expected}, got {bad[0]!r:.80}.")
    return several


def _is_scalar(draws: Draws, name: str) -> bool:
    return draws.event_dims[name] == 0 and draws[name].dim() == 1 + (draws.num_draws is not None)


def _check_shown(draws: Draws, names: Sequence[str], shown: Sequence[int]) -> None:
    if not names or not shown:
        raise DataError("there is nothing to plot: no scalar site, or no unit.")
    for name in names:
        if name not in draws:
            raise unknown_variable(name, draws, "site")
        if not _is_scalar(draws, name):
            raise DataError(
                f"{name!r} has values {tuple(draws[name].shape)}, not one number for each unit: leave it out."
            )
        if bad := [u for u in shown if not 0 <= u < draws[name].shape[-1]]:
            raise DataError(f"units {bad} are not there: {name!r} has units 0 to {draws[name].shape[-1] - 1}.")


def _class_bars(ax: Axes, worlds: Mapping[str, Draws], name: str, unit: int, row: int) -> None:
    """The probability of each class in each world, the factual one, the first, as an outline around the others."""
    width = 0.8 / max(1, len(worlds) - 1)
    for j, (world, draws) in enumerate(worlds.items()):
        shares = _shares(draws, name, unit)
        style: Any = {"color": CYCLE[(j - 1) % len(CYCLE)], "width": 0.9 * width, "zorder": 2}
        if j == 0:
            style = {"facecolor": "none", "edgecolor": INK, "width": 0.9, "zorder": 3}
        shift = width * (j - 0.5) - 0.4 if j else 0.0
        ax.bar(np.arange(len(shares)) + shift, -0.9 * shares, bottom=row + 0.45, label=None if row else world, **style)


def _shares(draws: Draws, name: str, unit: int) -> np.ndarray[Any, Any]:
    """The probability of each class of a unit."""
    draws = draws.parts[0] if draws.parts else draws
    value, kind = codes(draws.sites[name])[..., unit], draws.kinds[name]
    weight = draws.shares()
    weight = weight[:, unit] if weight.dim() > 1 and weight.shape[1] > 1 else weight.reshape(-1)
    hot = value.reshape(-1, 1) == torch.arange(len(cast(Labelled, kind).labels), device=value.device)
    return (weight[:, None] * hot).sum(0).double().cpu().numpy()


def _middle(draws: Draws, name: str, unit: int) -> float:
    return float(draws[name][unit] if draws.num_draws is None else draws.mean(name)[unit])


def _offset(j: int, count: int) -> float:
    return 0.7 * ((j + 1) / (count + 1) - 0.5) if count > 1 else 0.22


def _point(ax: Axes, draws: Draws, name: str, unit: int, y: float, j: int, level: float, label: str | None) -> None:
    colour, marker = CYCLE[j % len(CYCLE)], MARKERS[j % len(MARKERS)]
    ax.plot(_middle(draws, name, unit), y, marker=marker, markersize=4.5, color=colour, linestyle="", label=label)
    if draws.num_draws is not None:
        low, high = (float(end[unit]) for end in draws.interval(name, level))
        ax.hlines(y, low, high, color=colour, linewidth=1.4)


@styled
def plot_dose_response(estimate: Estimate, outcome: str, ax: Axes | None = None) -> Axes:
    """A dose-response curve with its pointwise intervals.

    Args:
        estimate: from :func:`dose_response`, or any with a label for each value; those that are no numbers are drawn
            side by side.
        outcome: what the curve is the mean of, for the axis.
        ax: where to draw; None for a new figure.

    Returns:
        The axes.

    Raises:
        QueryError: something else than an estimate, or one without a grid.

    Example:
        >>> import torch
        >>> from causal_pyro_models.estimate import Estimate
        >>> y = torch.tensor([0.0, 1.0, 4.0])
        >>> curve = Estimate("dose_response", y, y / 10, (y - 0.2, y + 0.2), over="X", labels=(0.0, 1.0, 2.0))
        >>> plot_dose_response(curve, "Y (mg)").get_ylabel()
        'mean of Y (mg)'
    """
    expect(estimate, Estimate, "dose_response(model, {treatment: grid}, outcome)")
    if estimate.over is None or not estimate.labels:
        raise QueryError(
            f"a dose-response curve needs a grid of numbers or labels, and {estimate.name!r} has {estimate.labels}."
        )
    numeric = all(isinstance(x, int | float) for x in estimate.labels)
    places = np.asarray(estimate.labels if numeric else range(len(estimate.labels)), dtype=float)
    order = np.argsort(places)
    grid = places[order]
    value, low, high = (t.detach().cpu().numpy()[order] for t in (estimate.value, *estimate.interval))
    ax = new_axes(ax)
    doubt = "" if estimate.doubt.complete else f" of the {' and '.join(estimate.doubt.sources)} alone"
    held = f"{100 * estimate.level:g}% interval{doubt}"
    if numeric:
        ax.fill_between(grid, low, high, color=BLUE, alpha=0.22, linewidth=0, label=held)
    else:
        ax.vlines(grid, low, high, color=BLUE, linewidth=1.4, label=held)
        label_ticks(ax, estimate.labels)
    marker, line = "o" if len(grid) <= 30 else "", "-" if numeric else ""
    ax.plot(grid, value, color=BLUE, marker=marker, markersize=3.5, linewidth=1.5, linestyle=line, label="mean")
    if estimate.bounds is not None:
        for bound, label in zip(estimate.bounds, ("bounds over couplings", None), strict=True):
            ax.plot(grid, bound.detach().cpu().numpy()[order], color=GREY, linestyle="--", linewidth=1.0, label=label)
    ax.set(xlabel=f"do({estimate.over} = x)", ylabel=f"mean of {outcome}")
    ax.legend()
    return ax
