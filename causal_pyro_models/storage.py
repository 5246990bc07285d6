"""Files of tensors and a JSON description, in the safetensors format. Nothing in a file is run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as as_bytes
from torch import Tensor

from causal_pyro_models.errors import FormatError, MissingFileError, QueryError


def write_file(
    path: str | PathLike[str], kind: str, version: int, description: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write a file as a whole or not at all, even where the power fails half way.

    Args:
        path: the file; one that exists is replaced.
        kind: what the file is, read back by :func:`read_file`.
        version: of the format of this kind.
        description: what JSON can hold.
        tensors: by name.

    Raises:
        MissingFileError: there is no such folder.
        QueryError: the path is that of a folder, or cannot be written.
    """
    check_path(path)
    if Path(path).is_dir():
        raise QueryError(f"{str(path)!r} is a folder: name a file in it, such as model.safetensors.")
    if not Path(path).parent.is_dir():
        raise MissingFileError(f"there is no folder {Path(path).parent} to write {path} to: make it first.")
    header = {"format": kind, "version": str(version), "description": json.dumps(description)}
    content = as_bytes({name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}, metadata=header)
    try:
        _replace(Path(path), content)
    except (OSError, ValueError) as error:
        raise QueryError(f"{str(path)!r} cannot be written ({error}): name another file.") from error


def _replace(path: Path, content: bytes) -> None:
    """Write beside the file, then rename; both are on the disk when this returns."""
    partial = path.with_name(f"{path.name}.partial")
    with open(partial, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_file(path: str | PathLike[str], kind: str, *versions: int) -> tuple[int, Any, dict[str, Tensor]]:
    """The version, the description and the tensors of a file that :func:`write_file` wrote.

    Args:
        path: the file.
        kind: what it must be.
        versions: of the format, any of which will do.

    Raises:
        FormatError: the file is truncated, or of another kind or version.
        MissingFileError: there is no such file.
    """
    check_path(path)
    if not Path(path).is_file():
        raise MissingFileError(f"there is no file {str(path)!r}: give the path that it was saved under.")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            names = file.keys()  # copied to where memory is aligned, since sums of unaligned numbers have other bits
            tensors = {name: file.get_tensor(name).clone() for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise FormatError(f"{path} is no safetensors file, or is truncated ({error}): save it again.") from error
    if header.get("format") != kind:
        raise FormatError(f"{path} was not written by {kind}: its header has no format {kind!r}.")
    version = header.get("version", "")
    if version not in map(str, versions):
        raise FormatError(
            f"{path} has version {version!r} of the format, this release reads {' and '.join(map(str, versions))}. "
            f"Use the release that wrote it, or train the model again."
        )
    try:
        return int(version), json.loads(header["description"]), tensors
    except (KeyError, ValueError, RecursionError) as error:
        raise FormatError(
            f"{path} does not describe what it holds ({type(error).__name__}: {error!s:.240}): save it again."
        ) from error


def check_path(path: object) -> None:
    """Refuse what is no path."""
    if not isinstance(path, str | PathLike):
        raise QueryError(f"the path of a file must be a string or a path, got {path!r:.80}.")
