"""Trained models in files: tensors in safetensors, their description in its JSON header. Nothing in a file is run."""

from __future__ import annotations

import json
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from causal_pyro_models.errors import CausalError, FormatError, MissingFileError, ModelError, QueryError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models.flow import CausalFlow, LocationScale, Spline
from causal_pyro_models.models.structural import StructuralCausalModel
from causal_pyro_models.models.variables import Binary, Categorical, Continuous

FORMAT = "causal_pyro_models"
VERSION = 1

_VARIABLES = {kind.__name__: kind for kind in (Continuous, Binary, Categorical)}
_RESIDUALS = {kind.__name__: kind for kind in (LocationScale, Spline)}


def save(model: StructuralCausalModel, path: str | PathLike[str]) -> None:
    """Write a model to a file, to be read by ``load``.

    Args:
        model: a ``CausalFlow``.
        path: the file; by custom it ends in ``.safetensors``. One that exists is overwritten.

    Raises:
        ModelError: the model is of a family that has no file format.
        MissingFileError: there is no such folder.
        QueryError: the path is that of a folder, or cannot be written.
    """
    _check_path(path)
    if Path(path).is_dir():
        raise QueryError(f"{str(path)!r} is a folder: name a file in it, such as model.safetensors.")
    if not Path(path).parent.is_dir():
        raise MissingFileError(f"there is no folder {Path(path).parent} to write {path} to: make it first.")
    if type(model) is not CausalFlow:
        raise ModelError(
            f"only a CausalFlow can be saved, got {type(model).__name__}. Save its state_dict() beside the code that "
            f"builds it."
        )
    description = {
        "model": "CausalFlow",
        "graph": {"variables": model.graph.variables, "edges": model.graph.edges},
        "variables": {name: _described(variable) for name, variable in model.variables.items()},
        "residual": _described(model.residual),
        "hidden": model.hidden,
    }
    header = {"format": FORMAT, "version": str(VERSION), "description": json.dumps(description)}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    try:
        save_file(tensors, path, metadata=header)
    except (SafetensorError, OSError) as error:
        raise QueryError(f"{str(path)!r} cannot be written ({error}): name another file.") from error


def load(path: str | PathLike[str]) -> CausalFlow:
    """The model in a file that ``save`` wrote, bit for bit, on the CPU.

    Args:
        path: the file.

    Raises:
        FormatError: the file is truncated, of another kind or version, or its parts contradict each other.
        MissingFileError: there is no such file.
    """
    _check_path(path)
    if not Path(path).is_file():
        raise MissingFileError(f"there is no file {str(path)!r}: give the path that it was saved under.")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise FormatError(f"{path} is no safetensors file, or is truncated ({error}): save the model again.") from error
    if header.get("format") != FORMAT:
        raise FormatError(f"{path} was not written by {FORMAT}.save: its header has no format {FORMAT!r}.")
    if header.get("version") != str(VERSION):
        raise FormatError(
            f"{path} has version {header.get('version')!r} of the format, this release reads version {VERSION}. "
            f"Use the release that wrote it, or train the model again."
        )
    try:
        with torch.device("meta"):  # no memory is taken for what a header claims
            model = _rebuilt(json.loads(header["description"]))
        model.load_state_dict(tensors, assign=True)
    except (CausalError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, RecursionError) as error:
        raise FormatError(
            f"{path} does not describe a model that fits its tensors ({type(error).__name__}: {error!s:.240}): save "
            f"the model again."
        ) from error
    _check_tensors(path, model)
    return model


def _check_path(path: object) -> None:
    if not isinstance(path, str | PathLike):
        raise QueryError(f"the path of a file must be a string or a path, got {path!r:.80}.")


def _check_tensors(path: str | PathLike[str], model: CausalFlow) -> None:
    parameters = dict(model.named_parameters())
    kinds = {tensor.dtype for tensor in model.state_dict().values()}
    if len(kinds) != 1 or not next(iter(kinds)).is_floating_point:
        raise FormatError(f"{path} has tensors of the types {sorted(map(str, kinds))}, expected one floating type.")
    for name, parameter in parameters.items():
        if not bool(torch.isfinite(parameter).all()):
            raise FormatError(f"{path} has values in {name} that are not finite.")


def _described(part: Any) -> dict[str, Any]:
    return {"kind": type(part).__name__, **asdict(part)}


def _restored(description: dict[str, Any], kinds: dict[str, Any]) -> Any:
    settings = {name: tuple(v) if isinstance(v, list) else v for name, v in description.items() if name != "kind"}
    return kinds[description["kind"]](**settings)


def _rebuilt(description: dict[str, Any]) -> CausalFlow:
    graph = description["graph"]
    return CausalFlow(
        CausalGraph(graph["variables"], [tuple(edge) for edge in graph["edges"]]),
        {name: _restored(variable, _VARIABLES) for name, variable in description["variables"].items()},
        _restored(description["residual"], _RESIDUALS),
        tuple(description["hidden"]),
    )
