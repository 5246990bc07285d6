"""Trained models in files: tensors in safetensors, and how the model is built in its JSON header. Nothing is run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from datetime import datetime
from os import PathLike
from typing import Any

import torch

from causal_pyro_models.data.screening import Indistinct
from causal_pyro_models.errors import CausalError, FormatError, ModelError
from causal_pyro_models.models.registry import CLASSES, KINDS
from causal_pyro_models.models.scales import Scales
from causal_pyro_models.models.structural import StructuralCausalModel
from causal_pyro_models.models.support import DataSupport, support_of
from causal_pyro_models.models.version_2 import LATER, upgraded, upgraded_tensors
from causal_pyro_models.storage import read_file, write_file

FORMAT = "causal_pyro_models.save"
VERSION = 3
_REFIT = "refit "
LARGEST = 1_000_000  # size that a description may ask for


def save(model: StructuralCausalModel, path: str | PathLike[str]) -> None:
    """Write a model of any family, or of mixed ones, to a file, to be read by ``load``.

    Args:
        model: a ``CausalFlow`` or another ``StructuralCausalModel``; nodes of one's own need ``register``.
        path: the file; by custom it ends in ``.safetensors``. One that exists is replaced.

    Raises:
        ModelError: the model is of a family that has no file format, or has a part that is not registered.
        MissingFileError: there is no such folder.
        QueryError: the path is that of a folder, or cannot be written.

    Example:
        >>> import tempfile
        >>> from causal_pyro_models import CausalFlow, CausalGraph
        >>> path = f"{tempfile.mkdtemp()}/model.safetensors"
        >>> save(CausalFlow(CausalGraph(["X", "Y"], [("X", "Y")]), {"X": 1, "Y": 1}), path)
        >>> load(path).graph
        CausalGraph(X -> Y)
    """
    if not isinstance(model, StructuralCausalModel):
        raise ModelError(
            f"save writes a StructuralCausalModel, such as a CausalFlow, got {type(model).__name__}. Save its "
            f"state_dict() beside the code that builds it."
        )
    description = {
        "model": described(model),
        "imputed": list(model.imputer.names) if model.imputer else [],
        "refits": len(model.refits),
        "scaled": list(model.scales.variables),
        "indistinct": [[group.variable, list(group.causes), group.how] for group in model.indistinct],
    }
    if (support := support_of(model)) is not None:
        description["support"] = [[name, *shape] for name, shape in support.shapes.items()]
    tensors = dict(model.state_dict())
    for k, refit in enumerate(model.refits):
        tensors |= {f"{_REFIT}{k}/{name}": tensor for name, tensor in refit.state_dict().items()}
    write_file(path, FORMAT, VERSION, description, tensors)


def load(path: str | PathLike[str]) -> StructuralCausalModel:
    """The model in a file that ``save`` wrote, bit for bit, on the CPU; files of release 0.1 are read too.

    Args:
        path: the file.

    Raises:
        FormatError: the file is truncated, of another kind or version, or its parts contradict each other.
        MissingFileError: there is no such file.

    Example:
        >>> import tempfile
        >>> from causal_pyro_models import CausalFlow, CausalGraph
        >>> model, path = CausalFlow(CausalGraph(["X"], []), {"X": 1}), f"{tempfile.mkdtemp()}/model.safetensors"
        >>> save(model, path)
        >>> all(bool(torch.equal(a, b)) for a, b in zip(model.parameters(), load(path).parameters()))
        True
    """
    version, description, tensors = read_file(path, FORMAT, 2, VERSION)
    try:
        if version == 2:
            description, tensors = {**LATER, **upgraded(description)}, upgraded_tensors(tensors)
        own = {name: tensor for name, tensor in tensors.items() if not name.startswith(_REFIT)}
        model = _assembled(description, own, description.get("support"))
        model.refits = tuple(
            _assembled(description, _of_refit(k, tensors)) for k in range(_count(description["refits"], tensors))
        )
    except (CausalError, LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise FormatError(
            f"{path} does not describe a model that fits its tensors ({type(error).__name__}: {error!s:.240}): save "
            f"the model again."
        ) from error
    for each in (model, *model.refits):
        _check_tensors(path, each)
    return model


def _assembled(
    description: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], support: Any = None
) -> StructuralCausalModel:
    """The model of a description, with its tensors; a refit has no support of its own."""
    with torch.device("meta"):  # no memory is taken for what a header claims
        model = restored(description["model"])
        if not isinstance(model, StructuralCausalModel):
            raise ModelError(f"it holds {type(model).__name__}")
        model.impute_with(description["imputed"])
        model.scales = Scales({name: model.variables[name] for name in description["scaled"]})
        if support is not None:
            model.support = DataSupport({name: (rows, width) for name, rows, width in support})
    model.indistinct = tuple(
        Indistinct(str(variable), tuple(map(str, causes)), str(how))
        for variable, causes, how in description["indistinct"]
    )
    model.load_state_dict(tensors, assign=True)
    return model


def _of_refit(k: int, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    prefix = f"{_REFIT}{k}/"
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _count(refits: object, tensors: Mapping[str, torch.Tensor]) -> int:
    """How many refits a file holds, once its tensors are of as many."""
    found = {name.split("/")[0] for name in tensors if name.startswith(_REFIT)}
    if not isinstance(refits, int) or found != {f"{_REFIT}{k}" for k in range(len(found))} or len(found) != refits:
        raise ModelError(f"it claims {refits!r:.40} refits and has tensors of {len(found)}")
    return refits


def described(part: Any) -> Any:
    """How an object is built, in what JSON can hold.

    Raises:
        ModelError: a part of it is not registered.
    """
    if part is None or isinstance(part, bool | int | float | str):
        return part
    if isinstance(part, datetime):
        return {"datetime": part.isoformat()}
    if isinstance(part, list | tuple):
        return [described(item) for item in part]
    if isinstance(part, Mapping):
        return {"items": [[described(key), described(value)] for key, value in part.items()]}
    if isinstance(part, type) and part in CLASSES.values():
        return {"class": part.__name__}
    kind: type = type(part)
    if KINDS.get(kind.__name__) is not kind:
        raise ModelError(
            f"{kind.__name__} has no place in files of models: decorate it with "
            f"causal_pyro_models.register, "
            f"or save the model's state_dict() beside the code that builds it."
        )
    if missing := [name for name in _settings(kind) if not hasattr(part, name)]:
        raise ModelError(f"{kind.__name__} does not keep its setting {missing[0]!r} as an attribute, which files need.")
    return {"kind": kind.__name__, "settings": {name: described(getattr(part, name)) for name in _settings(kind)}}


def restored(description: Any) -> Any:
    """The object that was described.

    Raises:
        ModelError: the description is of no such object.
    """
    if isinstance(description, list):
        return tuple(restored(item) for item in description)
    if not isinstance(description, dict):
        if isinstance(description, int) and abs(description) > LARGEST:
            raise ModelError(f"no setting is as large as {description}")
        return description
    if "items" in description:
        return {restored(key): restored(value) for key, value in description["items"]}
    if "datetime" in description:
        return datetime.fromisoformat(description["datetime"])
    if "class" in description:
        return CLASSES[description["class"]]
    kind, settings = KINDS[description["kind"]], description["settings"]
    if settings.keys() != set(_settings(kind)):
        raise ModelError(f"{kind.__name__} has the settings {_settings(kind)}, got {list(settings)}")
    labels = settings.get("labels")
    if labels == []:
        raise ModelError(f"{kind.__name__} has no labels")
    built = {name: restored(value) for name, value in settings.items() if name != "labels"}
    return kind(**built) if labels is None else kind(**built, labels=tuple(map(_label, labels)))


def _label(description: Any) -> Any:
    return restored(description) if isinstance(description, dict) else description


def _settings(kind: type) -> list[str]:
    return [name for name in inspect.signature(kind).parameters]


def _check_tensors(path: str | PathLike[str], model: StructuralCausalModel) -> None:
    kinds = {tensor.dtype for tensor in model.state_dict().values() if tensor.is_floating_point()}
    if len(kinds) > 1:
        raise FormatError(f"{path} has tensors of the types {sorted(map(str, kinds))}, expected one floating type.")
    if not model.scales.valid:
        raise FormatError(f"{path} has scales of variables that are not finite, or not positive.")
    for name, parameter in model.named_parameters():
        if not parameter.is_floating_point() or not bool(torch.isfinite(parameter).all()):
            raise FormatError(f"{path} has values in {name} that are not finite.")
