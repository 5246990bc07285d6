"""The code of the documentation runs: the fenced python blocks of a page, in order, in one namespace."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [
    "broadcasting.md",
    "extending.md",
    "gradients.md",
    "intervals.md",
    "labels.md",
    "posteriors.md",
    "threads.md",
    "time.md",
]
FENCED = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[str]:
    """The python blocks of a page, each behind as many empty lines as put it on its own line of the page."""
    text = page.read_text(encoding="utf-8")
    return ["\n" * text.count("\n", 0, found.start(1)) + found[1] for found in FENCED.finditer(text)]


def run(page: Path) -> dict[str, Any]:
    """The names that the blocks of a page leave; a failure shows the line of the page."""
    names: dict[str, Any] = {"__name__": page.stem}
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), names)
    return names


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(DOCS / page)


def test_what_a_user_adds_takes_under_30_lines():
    for block in blocks(DOCS / "extending.md"):
        assert len([line for line in block.splitlines() if line.strip()]) < 30


def test_blocks_share_one_namespace_and_fail_on_their_own_line(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n```python\na = 1\n```\n\n```bash\nexit 1\n```\n\n```python\nb = a + 1\n```\n")
    assert run(page)["b"] == 2
    page.write_text(page.read_text() + "\n```python\n\nc = b + missing\n```\n")
    with pytest.raises(NameError, match="missing") as failure:
        run(page)
    assert failure.traceback[-1].lineno == 16  # from 0: the seventeenth line


def test_the_example_of_what_lies_outside_the_data_prints_what_it_says(capsys):
    """The share may be another by a few percent where the models have changed."""
    text = (DOCS / "models.md").read_text(encoding="utf-8").split("## What lies outside the data")[1]
    code = FENCED.findall(text)[0]
    said = code.splitlines()[-1].removeprefix("# ")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(code, "models.md", "exec"), {"__name__": "models"})
    printed = capsys.readouterr().out.strip()
    shares = [float(line.split("%")[0]) for line in (said, printed)]
    assert abs(shares[0] - shares[1]) <= 5 and said.split("%")[1] == printed.split("%")[1]
