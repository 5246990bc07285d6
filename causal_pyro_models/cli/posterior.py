"""The posterior draws of a run as netCDF."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from causal_pyro_models.cli.study import Study
from causal_pyro_models.estimate import Estimate
from causal_pyro_models.inference.arviz_interface import container, groups_of
from causal_pyro_models.inference.draws import Worlds
from causal_pyro_models.inference.inference_data import to_inference_data


def write_posterior(
    path: Path, study: Study, rows: pd.DataFrame, worlds: Worlds, effects: Mapping[str, Estimate]
) -> None:
    """Write the refits' draws: noise and counterfactuals of single rows, and effects.

    Args:
        path: the file.
        study: the fitted model.
        rows: the rows, their names in the index.
        worlds: of the rows, in every refit.
        effects: by name; those over a grid become a variable of their own.
    """
    data = to_inference_data(posterior=worlds.noise, counterfactual=worlds, observed=study.model.encode(rows).values)
    named = {"unit": [str(name) for name in rows.index]}
    groups = {
        name: group.assign_coords(named) if "unit" in group.dims else group for name, group in groups_of(data).items()
    }
    fresh = path.with_suffix(".nc.part")
    container({**groups, "effects": _effects(effects)}).to_netcdf(str(fresh), engine="h5netcdf")
    fresh.replace(path)


def _effects(effects: Mapping[str, Estimate]) -> xr.Dataset:
    """Effects and curves in every refit, and as they stand in the report."""
    group = xr.Dataset(coords={"chain": [0], "end": ["value", "low", "high"]})
    single = {name: effect for name, effect in effects.items() if effect.over is None}
    curves = {name: effect for name, effect in effects.items() if effect.over is not None}
    group = group.assign_coords(of=list(single))
    group["effect"] = ["chain", "draw", "of"], _draws(single)
    group["effect_estimate"] = ["end", "of"], _ends(single)
    if curves:
        group = group.assign_coords(curve=list(curves), x=list(next(iter(curves.values())).labels))
        group["dose_response"] = ["chain", "draw", "curve", "x"], _draws(curves)
        group["dose_response_estimate"] = ["end", "curve", "x"], _ends(curves)
    return group.assign_coords(draw=np.arange(group.sizes["draw"]))


def _draws(effects: Mapping[str, Estimate]) -> np.ndarray[Any, Any]:
    """``(1, draws, effects, ...)``."""
    draws = [effect.draws.numpy() for effect in effects.values() if effect.draws is not None]
    return np.stack(draws, 1)[None]


def _ends(effects: Mapping[str, Estimate]) -> np.ndarray[Any, Any]:
    """``(3, effects, ...)``: value, lower and upper end."""
    return np.stack([torch.stack([effect.value, *effect.interval]).numpy() for effect in effects.values()], 1)
