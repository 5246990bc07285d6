"""How training went, and whether posteriors are calibrated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from causal_pyro_models.errors import DataError
from causal_pyro_models.inference.calibration import BINS, Calibration, ecdf_band
from causal_pyro_models.plots.style import BLUE, GREY, INK, PALE, VERMILLION, expect, new_axes, styled
from causal_pyro_models.training.loop import FitResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@styled
def plot_fit_history(result: FitResult, ax: Axes | None = None) -> Axes:
    """Loss on the training and on the held-out units over the steps of a training, and the step that was kept.

    The first fifth of the steps, where the loss falls from wherever it began, does not stretch the axis.

    Args:
        result: from :func:`fit`.
        ax: where to draw; None for a new figure.

    Returns:
        The axes.

    Raises:
        DataError: a training without a validation.
        QueryError: something else than what a training came to.

    Example:
        >>> history = {"step": [1, 2, 3], "loss": [3.0, 2.0, 1.5], "validation": [3.1, 2.2, 2.3]}
        >>> plot_fit_history(FitResult(history, best_step=2, steps=3, seconds_per_step=0.1)).get_xlabel()
        'step'
    """
    expect(result, FitResult, "fit(model, data)")
    steps = np.asarray(result.history.get("step", []), dtype=float)
    if not len(steps):
        raise DataError("the history of this training is empty: nothing was validated.")
    ax = new_axes(ax)
    for name, label, style in (
        ("loss", "training", {"color": GREY, "linestyle": "-"}),
        ("validation", "held out", {"color": BLUE, "linestyle": "-", "marker": "o", "markersize": 2.5}),
    ):
        ax.plot(steps, result.history[name], label=label, linewidth=1.4, **style)
    ax.axvline(
        result.best_step, color=VERMILLION, linestyle="--", linewidth=1.0, label=f"kept: step {result.best_step}"
    )
    settled = steps >= 0.2 * steps[-1]
    values = np.array([result.history[name] for name in ("loss", "validation")])[:, settled]
    values = values[np.isfinite(values)]
    if values.size and np.ptp(values):
        ax.set_ylim(values.min() - 0.06 * np.ptp(values), values.max() + 0.06 * np.ptp(values))
    ax.set(xlabel="step", ylabel="loss per unit (nats)")
    ax.legend()
    return ax


@styled
def plot_ranks(calibration: Calibration) -> Figure:
    """Ranks of the truth among posterior draws, for each quantity: their histogram, and their distribution function.

    Shaded is where a right method stays with probability ``1 - alpha``: in the histogram bin by bin, in the other
    panel as a whole, where the line is the empirical distribution function of the ranks less that of uniform ones. A
    histogram like a U means posteriors too narrow, a hill too wide, a slope that they are off to one side.

    Args:
        calibration: from :func:`sbc`.

    Returns:
        The figure.

    Raises:
        QueryError: something else than a calibration.

    References:
        Säilynoja, Bürkner and Vehtari (2022), Graphical test for discrete uniformity.

    Example:
        >>> import numpy as np
        >>> ranks = np.random.default_rng(0).integers(0, 100, 1_000)
        >>> len(plot_ranks(Calibration({"U_Z": ranks}, num_ranked=99, alpha=0.01)).axes)
        2
    """
    import matplotlib.pyplot as plt

    expect(calibration, Calibration, "sbc(model, method, evidence)")
    adjusted = calibration.p_values["adjusted"]
    across = 1 if len(adjusted) <= 4 else 2
    rows = -(-len(adjusted) // across)
    figure, grid = plt.subplots(rows, 2 * across, figsize=(5.4 * across, 1.75 * rows + 0.3), squeeze=False)
    pairs = grid.reshape(-1, 2)
    for spare in pairs[len(adjusted) :].flat:
        spare.remove()
    for (name, ranks), (left, right) in zip(calibration.ranks.items(), pairs, strict=False):
        verdict = f"adjusted p = {adjusted[name]:.2g}"
        colour = BLUE if adjusted[name] >= calibration.alpha else VERMILLION
        _histogram(left, ranks, calibration, colour)
        _ecdf_difference(right, ranks, calibration, colour)
        left.set_title(name, loc="left")
        right.set_title(verdict, loc="right", color=INK if colour == BLUE else VERMILLION)
    return figure


def _histogram(ax: Axes, ranks: np.ndarray[Any, Any], calibration: Calibration, colour: str) -> None:
    from scipy.stats import binom

    bins = min(BINS, calibration.num_ranked + 1)
    edges = np.linspace(-0.5, calibration.num_ranked + 0.5, bins + 1).tolist()
    low, high = binom.interval(1 - calibration.alpha, len(ranks), 1 / bins)
    ax.axhspan(low, high, color=PALE, alpha=0.6, linewidth=0)
    ax.hist(ranks, bins=edges, color=colour, alpha=0.85, rwidth=0.9)
    ax.set(xlabel=f"rank among {calibration.num_ranked} draws", ylabel="simulations")


def _ecdf_difference(ax: Axes, ranks: np.ndarray[Any, Any], calibration: Calibration, colour: str) -> None:
    z, low, high = ecdf_band(len(ranks), calibration.num_ranked, calibration.alpha)
    below = np.bincount(ranks, minlength=calibration.num_ranked + 1).cumsum()[:-1] / len(ranks)
    ax.fill_between(z, low - z, high - z, color=PALE, alpha=0.6, linewidth=0, step="mid")
    ax.plot(z, below - z, color=colour, linewidth=1.4, drawstyle="steps-mid")
    ax.set(xlabel="fractional rank z", ylabel="ECDF(z) − z", xlim=(0, 1))
