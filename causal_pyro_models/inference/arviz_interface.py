"""What is used of ArviZ, whose containers are ``InferenceData`` up to 0.23 and xarray's ``DataTree`` from 1.0 on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import arviz
    import xarray as xr

    Container: TypeAlias = arviz.InferenceData | xr.DataTree


def container(groups: Mapping[str, Any]) -> Container:
    """Groups of variables in the container that the installed ArviZ has."""
    import arviz
    import xarray as xr

    if "InferenceData" in vars(arviz):
        return arviz.InferenceData(**groups)
    return xr.DataTree.from_dict(dict(groups))


def groups_of(data: Any) -> dict[str, xr.Dataset]:
    """The groups of a container of either kind; none of anything else.

    Example:
        >>> import xarray as xr
        >>> list(groups_of(container({"posterior": xr.Dataset({"a": (("chain", "draw"), [[1.0, 2.0]])})})))
        ['posterior']
        >>> groups_of({"a": 1.0})
        {}
    """
    if hasattr(data, "children") and hasattr(data, "to_dataset"):
        return {name: node.to_dataset() for name, node in data.children.items()}
    if type(data).__name__ == "InferenceData":
        return {name: data[name] for name in data.groups()}
    return {}
