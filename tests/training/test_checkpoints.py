"""A training that was stopped anywhere goes on as if it had not been; a checkpoint of anything else is refused."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from causal_pyro_models import CausalFlow, CausalGraph, fit, load
from causal_pyro_models.data import Continuous
from causal_pyro_models.errors import CheckpointError, FormatError, MissingFileError, QueryError
from causal_pyro_models.inference.prediction import sample
from causal_pyro_models.seeding import seeded
from tests.training.training_run import SETTINGS, data, model

SCRIPT = Path(__file__).with_name("training_run.py")


@pytest.fixture(scope="module")
def uninterrupted():
    trained = model()
    return trained, fit(trained, data(), **SETTINGS)


def same(a, b):
    old, new = a.state_dict(), b.state_dict()
    return list(old) == list(new) and all(torch.equal(old[name], new[name]) for name in old)


@pytest.mark.parametrize("where", [("start", "120"), ("fit", "20")])
def test_the_same_command_goes_on_after_kill_9(tmp_path, uninterrupted, where):
    """Killed as it writes a validation: in the start, or with three epochs behind and one begun."""
    command = [sys.executable, str(SCRIPT), str(tmp_path / "fit.safetensors"), str(tmp_path / "model.safetensors")]
    killed = subprocess.run([*command, *where], cwd=Path(__file__).parents[2], check=False)
    assert killed.returncode == -signal.SIGKILL and not (tmp_path / "model.safetensors").exists()
    subprocess.run(command, cwd=Path(__file__).parents[2], check=True)
    assert same(load(tmp_path / "model.safetensors"), uninterrupted[0])


class Stopped(Exception):
    pass


def stop_at(training, step):
    def callback(label, model, record):
        if label == training and record["step"] == step:
            raise Stopped

    return callback


@pytest.mark.parametrize("where", [("start", 0), ("start", 90), ("start", 300), ("fit", 0), ("fit", 31), ("fit", 60)])
@pytest.mark.parametrize("seed", [3, None])
def test_stopped_anywhere_it_ends_with_the_same_bits(tmp_path, uninterrupted, where, seed):
    file, settings = tmp_path / "fit", {**SETTINGS, "seed": seed}
    torch.manual_seed(11)
    whole = model()
    result = fit(whole, data(), **settings)
    torch.manual_seed(11)
    with pytest.raises(Stopped):
        fit(model(), data(), checkpoint=file, callbacks=[stop_at(*where)], **settings)
    torch.manual_seed(99)  # another process is elsewhere
    again = model()
    resumed = fit(again, data(), checkpoint=file, **settings)
    assert same(again, whole)
    assert resumed.best_step == result.best_step
    assert resumed.to_dataframe().equals(result.to_dataframe())
    third = model()
    assert fit(third, data(), checkpoint=file, **settings).steps == result.steps  # one that is over is not repeated
    assert same(third, whole)
    assert [path.name for path in tmp_path.iterdir()] == ["fit"]


def test_other_trainings_are_refused(tmp_path):
    file = tmp_path / "fit"
    fit(model(), data(), checkpoint=file, **SETTINGS)
    before = file.read_bytes()
    other = data()
    other["X"][7] += 1e-3
    flow = CausalFlow(CausalGraph(["X", "Y"], [("Y", "X")]), dict.fromkeys("XY", Continuous()), hidden=(8,))
    wider = CausalFlow(model().graph, model().variables, hidden=(9,))
    for message, args, settings in (
        ("another data", (model(), other), SETTINGS),
        ("another model", (wider, data()), SETTINGS),
        ("another data", (flow, data()), SETTINGS),
        (r"another steps \(60 there, 61 here\)", (model(), data()), {**SETTINGS, "steps": 61}),
        (r"another seed \(3 there, None here\)", (model(), data()), {**SETTINGS, "seed": None}),
    ):
        with pytest.raises(CheckpointError, match=message):
            fit(*args, checkpoint=file, **settings)
    assert file.read_bytes() == before


def test_a_graph_the_other_way_is_another_model(tmp_path):
    values = {"X": torch.randn(50), "Y": torch.randn(50)}
    one, other = (
        CausalFlow(CausalGraph(["X", "Y"], [edge]), dict.fromkeys("XY", Continuous()), hidden=(8,))
        for edge in (("X", "Y"), ("Y", "X"))
    )
    fit(one, values, steps=2, progress=False, checkpoint=tmp_path / "fit")
    with pytest.raises(CheckpointError, match="another model"):
        fit(other, values, steps=2, progress=False, checkpoint=tmp_path / "fit")


def test_damaged_files_are_refused(tmp_path):
    file = tmp_path / "fit"
    fit(model(), data(), checkpoint=file, **SETTINGS)
    raw = file.read_bytes()
    for content in (b"", raw[:100], raw[:-1], b"PK\x03\x04" * 9):
        file.write_bytes(content)
        with pytest.raises(FormatError):
            fit(model(), data(), checkpoint=file, **SETTINGS)
    with pytest.raises(QueryError, match="path of a file"):
        fit(model(), data(), checkpoint=7, **SETTINGS)
    with pytest.raises(MissingFileError, match="no folder"):
        fit(model(), data(), checkpoint=tmp_path / "nowhere" / "fit", **SETTINGS)


def test_an_interrupted_training_keeps_its_best_weights():
    def interrupt(label, model, record):
        if label == "fit" and record["step"] == 30:
            seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
            raise KeyboardInterrupt

    seen = []
    trained = model()
    with pytest.raises(KeyboardInterrupt):
        fit(trained, data(), callbacks=[interrupt], learning_rate=0.3, **SETTINGS)
    whole = model()
    history = fit(whole, data(), learning_rate=0.3, **SETTINGS).to_dataframe()["validation"]
    best = history[:30].idxmin()
    assert best < 30  # so that the last weights are not the best
    assert not all(torch.equal(seen[0][name], tensor) for name, tensor in trained.state_dict().items())


def test_an_interrupted_start_is_made_of_what_was_found():
    """At once its hidden units are random, as if none had been moved; then the model is whole, and the call is over."""

    def interrupt(label, model, record):
        seen.append(label)
        raise KeyboardInterrupt

    seen, stopped, unmoved = [], model(), model()
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, data(), callbacks=[interrupt], **SETTINGS)
    assert seen == ["start"]
    with seeded(SETTINGS["seed"]):
        order = torch.randperm(300)
        unmoved.initialise(unmoved.encode(data())[order[30:]])
    assert same(stopped, unmoved)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in sample(stopped, 50, seed=0).values())


def test_a_start_shows_its_progress(capsys):
    fit(model(), data(), **{**SETTINGS, "progress": True})
    shown = capsys.readouterr().err
    assert "300/300" in shown and "start:" in shown and "fit:" in shown


def test_long_stretches_are_written_between_validations(tmp_path, monkeypatch):
    """Where no step is within the time, the file follows every step: one that dies there goes on from there."""
    monkeypatch.setattr("causal_pyro_models.training.loop.CHECKPOINT_SECONDS", 0.0)
    settings = {**SETTINGS, "steps": 200}  # a validation every 4 steps
    whole, stopped, seen = model(), model(), []

    def die(label, trained, record):
        seen.append((label, record["step"]))

    class Dying(type(stopped)):
        def losses(self, batch, progress, without=()):
            if seen and seen[-1] == ("fit", 8) and progress >= 0.05:  # two steps after a validation
                raise Stopped
            return super().losses(batch, progress, without)

    dying = Dying(stopped.graph, stopped.variables, hidden=(8,))
    fit(whole, data(), **settings)
    with pytest.raises(Stopped):
        fit(dying, data(), checkpoint=tmp_path / "fit", callbacks=[die], **settings)
    written = json.loads(safe_open(tmp_path / "fit", "pt").metadata()["description"])
    assert (written["label"], written["step"]) == ("fit", 10)
