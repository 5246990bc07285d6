"""Models in files of version 2 of the format, which release 0.1 wrote, as this release builds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from causal_pyro_models.models.networks.curves import PIECES, layout

RENAMED_SETTINGS = {"mechanism": "function"}
FUNCTIONS = (".regression.closed", ".encoder.closed")  # of the parents
COLUMNS = {"center": 0.0, "scale": 1.0, "low": -1.0, "high": 1.0}  # theirs, a row each now; of some a file has none
LATER = {"refits": 0, "scaled": [], "indistinct": []}  # what a file of version 2 does not say


def upgraded(description: Any) -> Any:
    """What a file says of how a model is built, in today's words."""
    if isinstance(description, list):
        return [upgraded(part) for part in description]
    if not isinstance(description, dict):
        return description
    changed = {key: upgraded(value) for key, value in description.items()}
    if "settings" in changed:
        changed["settings"] = {RENAMED_SETTINGS.get(name, name): value for name, value in changed["settings"].items()}
    return changed


def upgraded_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a model by today's names, in today's shapes."""
    found = {}
    for name, tensor in tensors.items():
        name = name.replace(".regression.conditioner.", ".regression.")
        found[f"{name.removesuffix('.slope')}.closed" if name.endswith(".slope") else name] = tensor
    functions = [name.removesuffix(".closed") for name in found if name.endswith(FUNCTIONS)]
    for function in functions:
        closed = found[f"{function}.closed"]
        found.setdefault(f"{function}.knots", closed.new_zeros(closed.shape[1], 0))
        for name, fill in COLUMNS.items():
            column = found.get(f"{function}.{name}", closed.new_full((closed.shape[1],), fill))
            found[f"{function}.{name}"] = column.reshape(1, -1)
    for expansion in [name.removesuffix(".open_units") for name in found if name.endswith(".open_units")]:
        center = found[f"{expansion}.center"]
        columns = layout(center.shape[1])
        found |= {f"{expansion}.{name}": center.new_zeros(columns.columns) for name in ("smooth", "open_smooth")}
        found[f"{expansion}.bends"] = center.new_zeros(center.shape[1], PIECES + 3, columns.rank)
    return found
