"""What all plots share: colours, a style that is gone after the call, and tables out of what they are given."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from causal_pyro_models.errors import DataError, QueryError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")

# Okabe and Ito (2008), Color Universal Design: told apart whatever the colour vision
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = ("o", "s", "D", "^", "v", "P")
INK, GREY, PALE = "#333333", "#8A8A8A", "#D0D0D0"

LONGEST, ABREAST = 20, 24  # characters of a label, and of all labels side by side, that are shown

STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.8,
    "figure.dpi": 120,
    "savefig.dpi": 150,
    "figure.constrained_layout.use": True,
}


def styled(plot: Callable[P, T]) -> Callable[P, T]:
    """A plot function under the style of this package, which leaves matplotlib's own settings as they were."""

    @functools.wraps(plot)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        import matplotlib
        import matplotlib.pyplot as plt

        before = plt.get_fignums()
        with matplotlib.rc_context(STYLE):
            try:
                return plot(*args, **kwargs)
            except Exception:
                for number in set(plt.get_fignums()).difference(before):  # nothing half drawn is left
                    plt.close(number)
                raise

    return run


def panels(count: int, width: float = 2.4, height: float = 1.9, columns: int = 4) -> tuple[Figure, list[Axes]]:
    """A figure with a grid of panels, none empty."""
    import matplotlib.pyplot as plt

    columns = min(count, columns)
    rows = math.ceil(count / columns)
    figure, grid = plt.subplots(rows, columns, figsize=(max(3.6, width * columns), height * rows + 0.3), squeeze=False)
    for spare in grid.flat[count:]:
        spare.remove()
    return figure, list(grid.flat[:count])


def legend(figure: Figure, ax: Axes) -> None:
    """One legend above all panels, in as many columns as fit."""
    handles, labels = ax.get_legend_handles_labels()
    for columns in range(len(labels), 0, -1):
        drawn = figure.legend(handles, labels, loc="outside upper left", ncols=columns)
        if columns == 1 or drawn.get_window_extent().width <= figure.bbox.width:
            return
        drawn.remove()


def expect(value: object, kind: type, source: str) -> None:
    """Refuse what is not of a kind; ``source`` says what returns one."""
    if not isinstance(value, kind):
        raise QueryError(f"this plot takes what {source} returns, got {type(value).__name__}.")


def check_axes(ax: object) -> None:
    """Refuse what cannot be drawn on."""
    from matplotlib.axes import Axes

    if ax is not None and not isinstance(ax, Axes):
        raise QueryError(f"ax must be matplotlib Axes, or None for a new figure, got {type(ax).__name__}.")


def new_axes(ax: Axes | None, width: float = 5.0, height: float = 3.2) -> Axes:
    """The axes to draw on, in a figure of their own where none are given."""
    import matplotlib.pyplot as plt

    check_axes(ax)
    return ax if ax is not None else plt.subplots(figsize=(width, height))[1]


def as_column(values: Any, what: str, name: object) -> np.ndarray[Any, Any]:
    """An array of one value for each row."""
    try:
        column = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    except ValueError:  # a ragged list
        column = np.empty((0, 0))
    if column.ndim != 1:
        raise DataError(f"{what} must have one number for each row in {name!r}, got {values!r:.80}.")
    return column


def table(values: Any, what: str) -> pd.DataFrame:
    """Columns of numbers, as floats, and of labels, from a DataFrame, :class:`Draws` or a dict of arrays.

    Raises:
        DataError: something else, no rows, or columns that are neither finite numbers nor labels.
    """
    import pandas as pd

    if hasattr(values, "to_dataframe"):
        values = values.to_dataframe().drop(columns=["draw", "unit", "weight"], errors="ignore")
    elif isinstance(values, Mapping):
        columns = {name: as_column(column, what, name) for name, column in values.items()}
        if len({column.shape for column in columns.values()}) > 1:
            raise DataError(f"{what} has columns of unequal length: { {n: len(c) for n, c in columns.items()} }.")
        values = pd.DataFrame(columns)
    if not isinstance(values, pd.DataFrame):
        raise DataError(f"{what} must be a DataFrame, Draws or a dict of arrays, got {type(values).__name__}.")
    if complexes := list(values.select_dtypes("complexfloating")):
        raise DataError(f"{what} has complex numbers in {complexes}: give real and imaginary part a column each.")
    numbers = values.select_dtypes(["number", "bool"])
    if values.empty:
        raise DataError(f"{what} has no rows to plot, only {list(values.columns)} with {len(values)} rows.")
    bad = [str(name) for name in numbers if not np.isfinite(numbers[name].to_numpy(dtype=float)).all()]
    if bad := [*bad, *(str(name) for name in values if name not in numbers and values[name].isna().any())]:
        raise DataError(f"{what} has values that are NaN or infinite in {bad}: drop those rows.")
    return values.astype(dict.fromkeys(numbers, float))


def is_labels(column: pd.Series) -> bool:
    """Whether a column of :func:`table` holds labels rather than numbers."""
    return bool(column.dtype != float)


def levels(column: pd.Series) -> list[Any]:
    """The labels of a column, in their order where they are declared."""
    declared = getattr(getattr(column, "cat", None), "categories", None)
    found = list(column.unique()) if declared is None else list(declared)
    return found if declared is not None else sorted(found, key=lambda label: (str(type(label)), label))


def label_ticks(ax: Axes, labels: Sequence[Any], places: Sequence[float] | None = None) -> None:
    """Name places along the x axis by labels, upright where they would not fit side by side."""
    texts = [text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…" for text in map(str, labels)]
    upright = sum(len(text) + 2 for text in texts) > ABREAST
    ax.set_xticks(range(len(texts)) if places is None else places, texts, rotation=90 if upright else 0)


def indicators(frame: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    """Numbers as they are, and in the place of labels which rows have each that there is in another table.

    Of two labels the second stands for both.
    """
    import pandas as pd

    columns = {}
    for name in frame.columns.intersection(like.columns, sort=False):
        if not is_labels(like[name]):
            columns[name] = frame[name]
            continue
        known = levels(like[name])
        for label in known[1:] if len(known) == 2 else known:
            columns[f"{name} = {label}"] = (frame[name] == label).astype(float)
    return pd.DataFrame(columns)


def shared(first: pd.DataFrame, second: pd.DataFrame, names: str) -> list[str]:
    """The columns that two tables share, in the order of the first."""
    both = [str(name) for name in first.columns if name in second.columns]
    if not both:
        raise DataError(f"{names} share no variable: {list(first.columns)} and {list(second.columns)}.")
    return both


def named(name: str, units: str | Mapping[str, str]) -> str:
    """The name of a variable with its unit, for an axis."""
    if not isinstance(units, str | Mapping):
        raise QueryError(f"units must be the unit of all variables or a dict by variable, got {units!r:.80}.")
    unit = units if isinstance(units, str) else units.get(name, "")
    return f"{name} ({unit})" if unit else name
