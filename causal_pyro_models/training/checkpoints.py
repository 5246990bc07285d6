"""The state of a training in a file, so that one that was killed goes on as if it had not been."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from causal_pyro_models.data.batches import Batch
from causal_pyro_models.errors import CheckpointError, FormatError
from causal_pyro_models.storage import check_path, read_file, write_file

FORMAT = "causal_pyro_models.fit"
VERSION = 2
MADE_LATER = "imputer"  # the part of a model that training makes


@dataclass(frozen=True)
class Snapshot:
    """What a checkpoint holds.

    Attributes:
        label: the training that was in progress.
        description: numbers and lists.
        tensors: by part and name, "part/name".
    """

    label: str
    description: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of a part, by their names in it."""
        return {key[len(name) + 1 :]: t for key, t in self.tensors.items() if key.startswith(f"{name}/")}

    def restore_random(self, moment: str) -> None:
        """Set the random states of torch, NumPy and Python to what they were at the "start" of all, or "now"."""
        states = self.part(moment)
        torch.set_rng_state(states["cpu"])
        if "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"])
        version, state, gauss = self.description[moment]["python"]
        random.setstate((version, tuple(state), gauss))
        kind, *rest = self.description[moment]["numpy"]
        np.random.set_state((kind, states["numpy"].numpy().astype(np.uint32), *rest))


def random_states() -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The random states of torch, NumPy and Python: numbers, and tensors."""
    numpy_state: Any = np.random.get_state()
    kind, key, *rest = numpy_state
    tensors = {"cpu": torch.get_rng_state(), "numpy": torch.from_numpy(key.astype(np.int64))}
    if torch.cuda.is_initialized():
        tensors["cuda"] = torch.cuda.get_rng_state()
    return {"python": random.getstate(), "numpy": [kind, *rest]}, tensors


class Checkpoint:
    """The file that a training is kept in. The random states are set to those that the training in it started with.

    Args:
        path: the file; one that exists is gone on from, and replaced.
        training: what the training is of, by what is told where it differs.

    Raises:
        CheckpointError: the file holds a training of something else.
        FormatError: the file is none, or is damaged.
        QueryError: the path is none.
    """

    def __init__(self, path: str | PathLike[str], training: Mapping[str, Any]) -> None:
        check_path(path)
        self.path, self.training = path, dict(training)
        self.kept: dict[str, Any] = {}  # of the trainings that are over: results, random states
        self.kept_tensors: dict[str, Tensor] = {}  # and what they trained, "kept/label/name"
        self.saved = self._read() if Path(path).exists() else None
        if self.saved:
            self.saved.restore_random("start")
        self._start = random_states()

    def _read(self) -> Snapshot:
        _, description, tensors = read_file(self.path, FORMAT, VERSION)
        try:
            found = description["training"]
            self.kept = description["kept"]
            saved = Snapshot(description["label"], description, tensors)
            self.kept_tensors = {name: tensor for name, tensor in tensors.items() if name.startswith("kept/")}
        except (KeyError, TypeError) as error:
            raise FormatError(
                f"{self.path} holds no whole training ({error!r:.80}): delete it and start anew."
            ) from error
        for name, value in self.training.items():
            if found.get(name) != value:
                shown = f" ({found.get(name)!r:.40} there, {value!r:.40} here)" if not isinstance(value, str) else ""
                raise CheckpointError(
                    f"{self.path} is the checkpoint of a training with another {name}{shown}. Give that one to go on "
                    f"with it, name another file, or delete this one to start anew."
                )
        return saved

    def keep(self, label: str, result: Any, model: nn.Module) -> None:
        """Keep a training that is over, from the next write on: its result, what it trained and the random states."""
        numbers, states = random_states()
        self.kept[label] = {"result": result, "now": numbers}
        parts = {"model": model.state_dict(), "now": states}
        for part, tensors in parts.items():
            self.kept_tensors |= {f"kept/{label}/{part}/{name}": tensor.clone() for name, tensor in tensors.items()}

    def recall(self, label: str, model: nn.Module) -> Any:
        """The result of a training that is over; the model and the random states are as they were at its end.

        None where the training is not over.
        """
        if label not in self.kept:
            return None
        prefix = f"kept/{label}/"
        tensors = {name[len(prefix) :]: t for name, t in self.kept_tensors.items() if name.startswith(prefix)}
        over = Snapshot(label, self.kept[label], tensors)
        model.load_state_dict(over.part("model"))
        over.restore_random("now")
        return self.kept[label]["result"]

    def write(self, label: str, description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Replace the file by a state, and the random states at this moment."""
        everything = {**description, "label": label, "training": self.training, "kept": self.kept}
        states: dict[str, Tensor] = {}
        for moment, (numbers, parts) in {"start": self._start, "now": random_states()}.items():
            everything[moment] = numbers
            states |= {f"{moment}/{name}": tensor for name, tensor in parts.items()}
        write_file(self.path, FORMAT, VERSION, everything, {**tensors, **self.kept_tensors, **states})


def digest(batch: Batch) -> str:
    """A fingerprint of data."""
    found = hashlib.sha256()
    for part in (batch.values, batch.intervened, batch.missing, {} if batch.weight is None else {"": batch.weight}):
        for name, tensor in part.items():
            found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        found.update(b";")
    return found.hexdigest()


def outline(model: nn.Module) -> str:
    """A fingerprint of a model as it was built: its graph and variables, and its weights' names, types and shapes."""
    parts = [type(model).__qualname__, repr(getattr(model, "graph", "")), repr(getattr(model, "variables", ""))]
    parts += [f"{name}: {type(part).__qualname__}" for name, part in model.named_modules()]
    parts += [f"{name}: {tensor.dtype} {tuple(tensor.shape)}" for name, tensor in model.state_dict().items()]
    parts = [part for part in parts if not part.startswith(MADE_LATER)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
