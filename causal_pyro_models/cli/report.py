"""A report in Markdown with its figures, saved stage by stage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causal_pyro_models.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNFINISHED = "> This run was interrupted or is still going on: the sections below are complete, others are missing.\n"


class Report:
    """Sections under a title and a summary, and the figures they show.

    Args:
        folder: where report and figures go; it is made. The draws of an earlier run are removed from it.
        title: of the report.

    Raises:
        DataError: the folder cannot be made or written to.
    """

    def __init__(self, folder: Path, title: str) -> None:
        self.folder, self.title = folder, title
        self.summary: list[str] = []
        self.blocks: list[str] = []
        self.figures: list[str] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.posterior.unlink(missing_ok=True)
            self.save()
        except OSError as error:
            raise DataError(f"cannot write to {folder}: {error.strerror}. Choose another folder by --out.") from error

    @property
    def posterior(self) -> Path:
        """Where the draws go."""
        return self.folder / "posterior.nc"

    def heading(self, text: str) -> None:
        """Begin a section."""
        self.blocks.append(f"## {text}")

    def text(self, *paragraphs: str) -> None:
        """Add paragraphs."""
        self.blocks += paragraphs

    def bullets(self, items: Iterable[str]) -> None:
        """Add a list."""
        self.blocks.append("\n".join(f"- {item}" for item in items))

    def table(self, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Add a table; columns of numbers come as text already rounded."""
        lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
        self.blocks.append("\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines))

    def figure(self, drawn: Axes | Figure, name: str, caption: str) -> None:
        """Write a figure to ``name.png`` and show it; what a file cannot be called becomes ``_``."""
        import matplotlib.pyplot as plt

        figure: Any = drawn.get_figure(root=True) if hasattr(drawn, "get_figure") else drawn
        file = re.sub(r"[^\w.-]", "_", name)
        while file in self.figures:
            file += "_"
        self.figures.append(file)
        figure.savefig(self.folder / f"{file}.png", bbox_inches="tight")
        plt.close(figure)
        self.blocks.append(f"![{file}]({file}.png)\n\n*{caption}*")

    def save(self, finished: bool = False) -> Path:
        """Write what there is, in one stroke."""
        summary = ["\n".join(f"- {line}" for line in self.summary)] if self.summary else []
        parts = [f"# {self.title}", *([] if finished else [UNFINISHED]), *summary, *self.blocks]
        path = self.folder / "report.md"
        fresh = path.with_suffix(".md.part")
        fresh.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
        fresh.replace(path)
        return path


def _cell(content: object) -> str:
    return str(content).replace("|", "\\|")


def number(x: float, digits: int = 2) -> str:
    """A number with so many decimals, and a true minus sign; never minus zero."""
    return f"{x:.{digits}f}".replace("-", "−") if round(x, digits) else f"{0.0:.{digits}f}"


def digits_for(spread: float) -> int:
    """Decimals that show three digits of numbers that differ by ``spread``."""
    from math import floor, log10

    return max(0, 2 - floor(log10(spread))) if spread > 0 else 2


def between(value: float, low: float, high: float, digits: int = 2) -> str:
    """A value with its interval."""
    return f"{number(value, digits)} ({number(low, digits)} to {number(high, digits)})"
