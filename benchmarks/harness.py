"""Measuring: time interleaved in one process, peak memory in a process of its own, and where it was measured."""

import ctypes
import importlib.metadata
import json
import multiprocessing
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

GIB = 2**30
MEMORY_CAP = 8 * GIB


def isolated(function: Callable[..., Any], *args: Any) -> Any:
    """Run a function in a fresh process of one thread, its memory capped.

    Returns:
        Its result, or None where it ran out of memory.
    """
    fresh = multiprocessing.get_context("forkserver")  # forked from a process that has imported and done nothing else
    fresh.set_forkserver_preload(["systems", "causal_pyro_models.inference"])
    with ProcessPoolExecutor(1, mp_context=fresh, initializer=_cap) as process:
        try:
            return process.submit(function, *args).result()
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "can't allocate memory" not in str(error):
                raise
            return None


def _cap() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_CAP, MEMORY_CAP))
    torch.set_num_threads(1)


def seconds(cases: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median wall-clock time of each case, the cases taking turns, after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats + 1):
        for name, case in cases.items():
            start = time.perf_counter()
            case()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}


def peak_memory(case: Callable[[], Any]) -> int:
    """Bytes of resident memory at the highest, over what was resident before. Linux only."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _resident("VmRSS")
    result = case()
    del result
    return _resident("VmHWM") - before


def _resident(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def provenance(versions: Mapping[str, str], packages: Sequence[str]) -> dict[str, Any]:
    """The date, the machine, and the versions of everything measured."""
    processor = next((s for s in Path("/proc/cpuinfo").read_text().splitlines() if s.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{processor.partition(': ')[2] or platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB",
        "python": platform.python_version(),
        "versions": {**versions, **{name: importlib.metadata.version(name) for name in packages}},
    }


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head, and all columns but the first are figures."""
    head, *body = rows
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *body])


def write(folder: Path, name: str, result: Mapping[str, Any], text: str) -> None:
    """Write a result as JSON, and its tables beside it as Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    (folder / f"{name}.md").write_text(text + "\n")
