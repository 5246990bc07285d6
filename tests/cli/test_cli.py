"""The command from outside: exit codes, messages, files, and what it does not import."""

import importlib.metadata
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import causal_pyro_models
from causal_pyro_models.cli import main
from tests.cli.command import (
    FEW,
    LINEAR_GRAPH,
    MIXED_GRAPH,
    call,
    finished,
    linear,
    linear_question,
    mixed,
    mixed_question,
    write,
)

HEAVY = {"torch", "numpy", "pandas", "matplotlib", "pyro", "scipy", "networkx", "arviz"}


# Before a run starts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], [], ["run", "--seed", "x"]])
def test_what_needs_no_run_imports_nothing_heavy(arguments):
    script = (
        "import sys\n"
        "from causal_pyro_models.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit:\n"
        "    pass\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_the_command_is_installed_under_its_name():
    (point,) = importlib.metadata.entry_points(group="console_scripts", name="causal-pyro")
    assert point.load() is main


def test_version_and_help():
    assert call("--version").out == f"causal-pyro {causal_pyro_models.__version__}\n"
    assert call().code == 0
    assert "causal-pyro [-h]" in call().out
    shown = call("run", "--help")
    assert shown.code == 0
    for option in ("--data", "--graph", "--do", "--outcome", "--control", "--out", "--seed", "--steps", "--refits"):
        assert option in shown.out


# Mistakes -------------------------------------------------------------------------------------------------------------

TABLES = {
    "missing": None,
    "latin": "größe,Erk\n1,2\n".encode("latin-1"),
    "utf16": "PKA,Erk\n1,2\n".encode("utf-16"),
    "empty": b"",
    "header": b"X,M,Y\n",
    "ragged": b"X,Y\n1,2\n1,2,3,4\n",
    "semicolons": b"X;M;Y\n1,0;2,0;3,0\n",
}
GRAPHS = {
    "cycle": "X -> M\nM -> X\n",
    "loop": "X -> X\n",
    "hidden": "X -> M\nM -> Y\nX <-> M\n",
    "hidden.dot": "digraph { X -> M -> Y; X -> M [dir=both]; }",
    "cut.dot": "digraph { X -> ",
    "prose": "X causes Y\n",
    "empty": "",
    "other": "X -> Z\n",
    "misspelt": "x -> M\n",
}
ASK = ("--do", "X=1", "--outcome", "Y")


@pytest.mark.parametrize(
    ("table", "graph", "ask", "words"),
    [
        pytest.param("missing", "good", ASK, ["no file", "missing.csv"], id="no such table"),
        pytest.param("latin", "good", ASK, ["latin.csv", "save it as UTF-8"], id="a table in Latin-1"),
        pytest.param("utf16", "good", ASK, ["utf16.csv", "save it as UTF-8"], id="a table in UTF-16"),
        pytest.param("good", "folder", ASK, ["folder.txt", "directory"], id="a folder as graph"),
        pytest.param("empty", "good", ASK, ["empty.csv", "cannot be read"], id="an empty file"),
        pytest.param("header", "good", ASK, ["0 complete rows", "75"], id="a header alone"),
        pytest.param("ragged", "good", ASK, ["ragged.csv", "line 3"], id="rows of different length"),
        pytest.param("semicolons", "good", ASK, ["unknown column 'X'", "X;M;Y"], id="another separator"),
        pytest.param("good", "missing", ASK, ["missing.txt", "No such file"], id="no such graph"),
        pytest.param("good", "cycle", ASK, ["cycle", "'X' -> 'M' -> 'X'", "Drop"], id="a cycle"),
        pytest.param("good", "loop", ASK, ["'X' -> 'X'", "Drop"], id="a self-loop"),
        pytest.param("good", "hidden", ASK, ["M <-> X", "add the confounder"], id="a bidirected edge"),
        pytest.param("good", "hidden.dot", ASK, ["M <-> X", "add the confounder"], id="a bidirected edge in DOT"),
        pytest.param("good", "cut.dot", ASK, ["cut.dot", "line 1", "end of the text"], id="DOT cut short"),
        pytest.param("good", "prose", ASK, ["line 1", "'X causes Y'", "A -> B"], id="a graph in prose"),
        pytest.param("good", "empty", ASK, ["no edges", "A -> B"], id="an empty graph"),
        pytest.param("good", "other", ASK, ["unknown column 'Z'", "X, M, Y"], id="a variable without column"),
        pytest.param("good", "misspelt", ASK, ["unknown column 'x'", "Did you mean 'X'?"], id="a column misspelt"),
        pytest.param("good", "good", ("--do", "x=1", "--outcome", "Y"), ["'x'", "mean 'X'?"], id="--do misspelt"),
        pytest.param("good", "good", ("--do", "X=1", "--outcome", "y"), ["'y'", "mean 'Y'?"], id="--outcome misspelt"),
        pytest.param("good", "good", (*ASK, "--control", "x=0"), ["'x'", "mean 'X'?"], id="--control misspelt"),
        pytest.param("good", "good", (*ASK, "--control", "M=0"), ["X", "M", "same variables"], id="another control"),
        pytest.param("good", "good", (*ASK, "--control", "X=1.0"), ["same values", "Change one"], id="control as do"),
        pytest.param("good", "good", ("--do", "X", "--outcome", "Y"), ["NAME=VALUE", "'X'"], id="no value"),
        pytest.param("good", "good", ("--do", "=1", "--outcome", "Y"), ["NAME=VALUE", "'=1'"], id="no name"),
        pytest.param("good", "good", ("--do", "X=high", "--outcome", "Y"), ["X=high", "finite number"], id="no number"),
        pytest.param("good", "good", ("--do", "X=2,5", "--outcome", "Y"), ["X=2,5", "finite number"], id="a comma"),
        pytest.param("good", "good", ("--do", "X=nan", "--outcome", "Y"), ["X=nan", "finite number"], id="NaN"),
        pytest.param("good", "good", ("--do", "X=1", "--do", "X=2", "--outcome", "Y"), ["'X' twice"], id="do twice"),
        pytest.param("good", "good", ("--do", "X=1", "--outcome", "X"), ["--outcome X", "another"], id="do as outcome"),
        pytest.param("good", "good", (*ASK, "--refits", "1"), ["--refits", "at least 2", "1"], id="one refit"),
        pytest.param("good", "good", (*ASK, "--steps", "0"), ["--steps", "at least 1", "0"], id="no steps"),
        pytest.param("good", "good", (*ASK, "--steps", "few"), ["--steps", "'few'"], id="steps that are no number"),
        pytest.param("good", "good", (*ASK, "--seed", "-1"), ["--seed", "-1", "2**32"], id="a negative seed"),
        pytest.param("good", "good", (*ASK, "--seed", str(2**32)), ["--seed", "2**32"], id="a large seed"),
        pytest.param("good", "good", (*ASK, "--dose", "1"), ["unrecognized", "--dose"], id="an unknown option"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(tmp_path, table, graph, ask, words):
    data, edges = write(tmp_path, linear(), LINEAR_GRAPH)
    if table != "good":
        data = tmp_path / f"{table}.csv"
        if TABLES[table] is not None:
            data.write_bytes(TABLES[table])
    if graph != "good":
        edges = tmp_path / f"{graph}.txt"
        if graph == "folder":
            edges.mkdir()
        elif graph in GRAPHS:
            edges.write_text(GRAPHS[graph], encoding="utf-8")
    called = call("run", "--data", data, "--graph", edges, *ask, "--out", tmp_path / "out")
    assert called.code == 2
    assert called.message.startswith("causal-pyro: ")
    assert "\n" not in called.message and "Traceback" not in called.err
    assert all(word in called.message for word in words), called.message
    assert not (tmp_path / "out").exists()


def test_a_table_of_another_kind(tmp_path):
    _, edges = write(tmp_path, linear(), LINEAR_GRAPH)
    called = call("run", "--data", tmp_path / "data.xlsx", "--graph", edges, *ASK, "--out", tmp_path / "out")
    assert called.code == 2 and ".csv, .csv.gz, .parquet" in called.message


def test_a_graph_in_another_encoding(tmp_path):
    data, edges = write(tmp_path, linear(), LINEAR_GRAPH)
    edges.write_bytes("größe -> X\n".encode("latin-1"))
    called = call("run", "--data", data, "--graph", edges, *ASK, "--out", tmp_path / "out")
    assert called.code == 2 and "graph.txt is not encoded in UTF-8: save it as UTF-8" in called.message


LABELS = [
    ("arm=treat", ["--do arm=treat", "mean 'treated'?", "placebo, treated"]),
    ("arm=1", ["--do arm=1", "placebo, treated"]),
    ("cured=2", ["--do cured=2", "0, 1"]),
    ("stage=Late", ["mean 'late'?", "early, late, middle"]),
    ("centre=7", ["unknown variable 'centre'", "age, dose"]),
]


@pytest.mark.parametrize(("setting", "words"), LABELS, ids=[setting for setting, _ in LABELS])
def test_a_value_that_is_no_label_is_refused_with_the_labels(tmp_path, setting, words):
    data, edges = write(tmp_path, mixed(), MIXED_GRAPH)
    called = call("run", "--data", data, "--graph", edges, "--do", setting, "--outcome", "age", "--out", tmp_path)
    assert called.code == 2
    assert all(word in called.message for word in words), called.message


@pytest.mark.parametrize("given", [["data"], ["graph", "do"], ["do", "outcome"], ["control"], ["data", "graph", "do"]])
def test_a_question_that_is_given_in_part_says_what_is_missing(given):
    called = call("run", *(part for name in given for part in (f"--{name}", "X=1")))
    assert called.code == 2
    assert "\n" not in called.message.strip()
    missing = called.message.partition("missing: ")[2].partition(" (")[0].split(", ")
    assert missing == [f"--{name}" for name in ("data", "graph", "do", "outcome") if name not in given]


@pytest.mark.parametrize("arguments", [["--steps", "0"], ["--refits", "1"], ["--seed", "-1"]])
def test_settings_are_checked_without_a_table_too(tmp_path, arguments):
    called = call("run", *arguments, "--out", tmp_path / "out")
    assert called.code == 2 and called.message.startswith(f"causal-pyro: {arguments[0]} must be")
    assert not (tmp_path / "out").exists()


def test_an_unknown_command():
    called = call("fly")
    assert called.code == 2 and "'fly'" in called.message and "'run'" in called.message


@pytest.mark.parametrize("inside", [".", "sub"])
def test_a_folder_that_cannot_be_written_to(tmp_path, inside):
    data, edges = write(tmp_path, linear(), LINEAR_GRAPH)
    (tmp_path / "file").write_text("in the way")
    called = call("run", "--data", data, "--graph", edges, *ASK, "--out", tmp_path / "file" / inside)
    assert called.code == 2 and "\n" not in called.message
    assert "cannot write to" in called.message and "--out" in called.message


def test_a_file_of_the_report_that_cannot_be_written(tmp_path):
    """The disk may fail after the start: one line, too."""
    data, edges = write(tmp_path, linear(), LINEAR_GRAPH)
    (tmp_path / "out" / "graph.png").mkdir(parents=True)
    called = call("run", "--data", data, "--graph", edges, *ASK, "--out", tmp_path / "out")
    assert called.code == 2 and "graph.png" in called.message and "\n" not in called.message


# Interruption ---------------------------------------------------------------------------------------------------------


def test_what_was_finished_before_an_interruption_is_on_disk(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("causal_pyro_models.cli.run.effects", interrupted)
    data, edges = write(tmp_path, linear(), LINEAR_GRAPH)
    out = tmp_path / "out"
    out.mkdir()
    (out / "posterior.nc").write_text("of an earlier run")
    called = call("run", "--data", data, "--graph", edges, *ASK, *FEW, "--out", out)
    assert called.code == 130
    assert "interrupted" in called.message and str(out / "report.md") in called.message
    text = (out / "report.md").read_text(encoding="utf-8")
    assert "interrupted or is still going on" in text
    assert "## Does the model describe rows" in text and "## What would" not in text
    assert {path.name for path in out.iterdir()} == {"report.md", "graph.png", "marginals.png", "fit.png"}


def test_a_fit_that_needs_no_training_is_said_and_not_drawn(tmp_path):
    data, edges = write(tmp_path, linear(1500), LINEAR_GRAPH)
    out = tmp_path / "out"
    assert call("run", "--data", data, "--graph", edges, *ASK, *FEW, "--out", out).code == 0
    assert "No step of training was taken" in (out / "report.md").read_text(encoding="utf-8")
    assert not (out / "fit.png").exists() and (out / "marginals.png").exists()


def test_ctrl_c_in_the_middle_of_the_fit(tmp_path):
    data, edges = write(tmp_path, linear(), LINEAR_GRAPH)
    out = tmp_path / "out"
    command = [sys.executable, "-c", "import sys; from causal_pyro_models.cli import main; sys.exit(main())", "run"]
    command += ["--data", data, "--graph", edges, *ASK, "--steps", str(10**6), "--out", out]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([str(part) for part in command], **pipes) as running:
        for line in running.stdout:
            if line.startswith("fitting"):
                break
        running.send_signal(signal.SIGINT)
        _, err = running.communicate()
    assert running.returncode == 130
    assert "Traceback" not in err and err.splitlines()[-1].startswith("causal-pyro: interrupted. What was finished")
    assert {path.name for path in out.iterdir()} == {"report.md", "graph.png"}


def test_an_interruption_before_anything_is_written_promises_nothing(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("causal_pyro_models.cli.run.read_table", interrupted)
    data, edges = write(tmp_path, linear(), LINEAR_GRAPH)
    called = call("run", "--data", data, "--graph", edges, *ASK, "--out", tmp_path / "out")
    assert (called.code, called.message) == (130, "causal-pyro: interrupted.")


# The same, and not the same -------------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_report_bit_for_bit(tmp_path, mixed_run):
    again = finished(tmp_path / "out", *mixed_question(tmp_path))
    assert (again.folder / "report.md").read_bytes() == (mixed_run.folder / "report.md").read_bytes()
    for group in ("posterior", "counterfactual", "observed_data", "effects"):
        xr.testing.assert_identical(again.posterior[group], mixed_run.posterior[group])


def test_another_seed_gives_another_report(tmp_path, linear_run):
    other = finished(tmp_path / "out", *linear_question(tmp_path), "--seed", 1)
    assert other.text.replace("Seed 1", "Seed 0") != linear_run.text
    for group in ("posterior", "counterfactual", "effects"):
        assert not other.posterior[group].equals(linear_run.posterior[group])


@pytest.mark.parametrize("steps", ["0", "1"])
def test_a_run_leaves_the_threads_of_torch_as_they_were(tmp_path, monkeypatch, steps):
    seen = []
    monkeypatch.setattr("causal_pyro_models.cli.run._run_sachs", lambda *_: seen.append(torch.get_num_threads()))
    torch.set_num_threads(2)
    try:
        call("run", "--steps", steps)
        assert torch.get_num_threads() == 2
        assert seen == [1] * int(steps)
    finally:
        torch.set_num_threads(1)


def test_a_second_run_in_the_same_folder_leaves_only_its_own_answers(tmp_path):
    data, edges = write(tmp_path, linear(), LINEAR_GRAPH)
    given = ("--data", data, "--graph", edges, *FEW)
    finished(tmp_path / "out", *given, "--do", "X=1", "--outcome", "Y")
    run = finished(tmp_path / "out", *given, "--do", "M=1", "--outcome", "Y")
    assert run.posterior["effects"]["of"].values.tolist() == ["Y: do(M = 1) against the regime as observed"]
    assert not list((tmp_path / "out").glob("*.part"))


def test_names_that_no_file_can_have_are_no_trouble(tmp_path):
    table = linear().rename(columns={"X": "a b", "Y": "total: y (*)|z"})
    data, edges = write(tmp_path, table, "a b -> M\nM -> total: y (*)|z\n")
    given = ("--data", data, "--graph", edges, "--do", "a b=1", "--outcome", "total: y (*)|z")
    run = finished(tmp_path / "out", *given, *FEW)
    assert (run.folder / "dose_response_total__y_____z.png").is_file()
    assert "(dose_response_total__y_____z.png)" in run.text
    assert "total: y (*)\\|z" in run.text
    assert np.isfinite(run.posterior["counterfactual"]["total: y (*)|z"]).all()


def test_labels_of_a_pandas_table(tmp_path):
    table = mixed().assign(cured=lambda t: t["cured"].astype(bool), stage=lambda t: t["stage"].astype("category"))
    data = tmp_path / "data.parquet"
    table.to_parquet(data)
    assert isinstance(pd.read_parquet(data)["stage"].dtype, pd.CategoricalDtype)
    _, edges = write(tmp_path, linear(), MIXED_GRAPH)
    given = ("--data", data, "--graph", edges, "--do", "stage=late", "--outcome", "cured")
    run = finished(tmp_path / "out", *given, *FEW)
    assert "Read as binary: arm (placebo, treated), cured (False, True)." in run.text
    assert "| P(cured = True) |" in run.text
