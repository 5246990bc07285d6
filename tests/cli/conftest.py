"""Runs of the command that several tests read."""

import pytest

from tests.cli.command import FEW, LINEAR_GRAPH, MIXED_GRAPH, Run, finished, linear, mixed, write


@pytest.fixture(scope="session")
def linear_run(tmp_path_factory) -> Run:
    """Numbers alone: the noise of a row is determined."""
    folder = tmp_path_factory.mktemp("linear")
    data, graph = write(folder, linear(), LINEAR_GRAPH)
    question = ("--do", "X=1", "--control", "X=0", "--outcome", "Y", "--outcome", "M")
    return finished(folder / "out", "--data", data, "--graph", graph, *question, "--steps", "3", "--refits", "4")


@pytest.fixture(scope="session")
def mixed_run(tmp_path_factory) -> Run:
    """Every kind of column; stage and age are not downstream of what is set."""
    folder = tmp_path_factory.mktemp("mixed")
    data, graph = write(folder, mixed(), MIXED_GRAPH)
    question = ["--do", "dose=4", "--control", "dose=2.5"]
    for name in ("marker", "cured", "stage", "age"):
        question += ["--outcome", name]
    return finished(folder / "out", "--data", data, "--graph", graph, *question, *FEW)


@pytest.fixture(scope="session")
def sachs_run(tmp_path_factory) -> Run:
    """The bundled cells."""
    return finished(tmp_path_factory.mktemp("sachs"), *FEW)
