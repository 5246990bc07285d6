"""The posterior draws of a run as netCDF."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from causal_pyro_models.cli.study import Study
from causal_pyro_models.inference.draws import Worlds
from causal_pyro_models.inference.estimate import Estimate
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
    data = to_inference_data(
        posterior=worlds.noise, counterfactual=worlds, observed=study.model.encode(rows), seed=study.seed
    )
    for group in ("posterior", "counterfactual", "observed_data"):
        data[group] = data[group].assign_coords(unit=[str(name) for name in rows.index])
    draw = np.arange(len(study.ensemble.refits))
    single = {name: effect for name, effect in effects.items() if effect.over is None}
    curves = {name: effect for name, effect in effects.items() if effect.over is not None}
    variables = {"effect": (["chain", "draw", "of"], np.stack([_draws(e) for e in single.values()], -1)[None])}
    coords = {"chain": [0], "draw": draw, "of": list(single)}
    if curves:
        variables["dose_response"] = (
            ["chain", "draw", "curve", "x"],
            np.stack([_draws(e) for e in curves.values()], 1)[None],
        )
        coords |= {"curve": list(curves), "x": list(next(iter(curves.values())).labels)}
    data.add_groups({"effects": xr.Dataset(variables, coords)}, warn_on_custom_groups=False)
    fresh = path.with_suffix(".nc.part")
    data.to_netcdf(str(fresh), engine="h5netcdf")
    fresh.replace(path)


def _draws(effect: Estimate) -> np.ndarray[Any, Any]:
    assert effect.draws is not None
    return effect.draws.numpy()
