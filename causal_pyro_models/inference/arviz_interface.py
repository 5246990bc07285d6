"""What is used of ArviZ, whose containers are ``InferenceData`` up to 0.23 and xarray's ``DataTree`` from 1.0 on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import arviz
    import xarray as xr

    Container: TypeAlias = arviz.InferenceData | xr.DataTree

Values: TypeAlias = np.ndarray[Any, Any]


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


def r_hat(draws: Values) -> float:
    """Rank-normalised split R-hat of a scalar, from its draws ``(chains, draws)``.

    References:
        Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021), Rank-normalization, folding, and localization.
    """
    import arviz

    return float(arviz.rhat(_dataset(draws))["x"])


def effective_sample_size(draws: Values, method: str = "bulk") -> Values:
    """Effective sample size of each scalar, from draws ``(chains, draws, ...)``; ``method`` is bulk or tail.

    References:
        Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021), Rank-normalization, folding, and localization.
    """
    import arviz

    found: Values = arviz.ess(_dataset(draws), method=method)["x"].to_numpy()
    return found


def _dataset(draws: Values) -> xr.Dataset:
    import xarray as xr

    rest = [f"dim_{i}" for i in range(draws.ndim - 2)]
    return xr.Dataset({"x": (["chain", "draw", *rest], draws)})
