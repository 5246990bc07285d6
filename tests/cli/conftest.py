"""Runs of the command that several tests read."""

import pytest

from tests.cli.command import FEW, Run, finished, linear_question, mixed_question


@pytest.fixture(scope="session")
def linear_run(tmp_path_factory) -> Run:
    """Numbers alone: the noise of a row is determined."""
    folder = tmp_path_factory.mktemp("linear")
    return finished(folder / "out", *linear_question(folder))


@pytest.fixture(scope="session")
def mixed_run(tmp_path_factory) -> Run:
    """Every kind of column."""
    folder = tmp_path_factory.mktemp("mixed")
    return finished(folder / "out", *mixed_question(folder))


@pytest.fixture(scope="session")
def sachs_run(tmp_path_factory) -> Run:
    """The bundled cells."""
    return finished(tmp_path_factory.mktemp("sachs"), *FEW)
