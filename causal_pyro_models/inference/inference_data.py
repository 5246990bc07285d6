"""Priors, posteriors, predictions and counterfactuals as data of ArviZ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from causal_pyro_models.data.coded import codes, in_cells
from causal_pyro_models.data.variables import Labelled, Variable
from causal_pyro_models.errors import DataError, QueryError
from causal_pyro_models.inference.arviz_interface import container
from causal_pyro_models.inference.diagnostics import INDEPENDENT, MARKOV_CHAINS, WEIGHTED
from causal_pyro_models.inference.draws import Draws, Noise, Worlds

if TYPE_CHECKING:
    import xarray as xr

    from causal_pyro_models.inference.arviz_interface import Container

Arrays = dict[str, np.ndarray[Any, Any]]
DIMENSIONS = ("chain", "draw", "unit", "world")
RESAMPLED = (
    "resampled by importance weight, which ArviZ does not know: judge these draws by ess and pareto_k in sample_stats, "
    "not by R-hat"
)


def to_inference_data(
    *,
    prior: Draws | None = None,
    posterior: Noise | None = None,
    predictive: Draws | None = None,
    counterfactual: Draws | Worlds | None = None,
    observed: Any = None,
) -> Container:
    """Results as data of ArviZ, for its summaries and plots and for netCDF.

    They are in the container that the installed ArviZ has: ``InferenceData`` up to 0.23, xarray's ``DataTree`` from
    1.0 on.

    Groups, with dimensions ``chain``, ``draw``, ``unit`` and those of a single value: ``prior`` and
    ``prior_predictive`` (the observed sites), ``posterior`` (population-level parameters and noise), ``sample_stats``,
    ``posterior_predictive``, ``counterfactual`` (with a dimension ``world`` after ``draw``), ``observed_data``.

    A site with labels holds their codes, and the labels in its attribute ``labels``.

    Where draws were resampled by their importance weights, the attribute ``resampled`` of the group says so;
    ``sample_stats`` then holds the weight that each draw had, and the effective sample size and Pareto k-hat of each
    unit.

    Args:
        prior: from :func:`sample`.
        posterior: from :func:`abduct`; its chains are those of all groups but the prior.
        predictive: draws of the variables under the posterior.
        counterfactual: from :func:`counterfactual` or :func:`worlds`.
        observed: a DataFrame, or a dict from site to values ``(units, *event)``.

    Raises:
        QueryError: nothing given, or something of the wrong kind.
        DataError: observed values that are not numbers, or a site with the name of a dimension.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from causal_pyro_models.inference import ImportanceSampling, worlds
        >>> def model():
        ...     z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        ...     pyro.sample("X", dist.Normal(z, 1.0))
        >>> evidence = {"X": [1.0, 2.0, 3.0]}
        >>> result = worlds(
        ...     model, evidence, {"factual": {}, "set": {"Z": 0.0}}, ImportanceSampling(), num_samples=2_000, seed=0
        ... )
        >>> data = to_inference_data(posterior=result.noise, counterfactual=result, observed=evidence)
        >>> sorted(data)
        ['counterfactual', 'observed_data', 'posterior', 'sample_stats']
        >>> dict(data.counterfactual["X"].sizes)
        {'chain': 1, 'draw': 2000, 'world': 2, 'unit': 3}
    """
    _check(prior=(prior, Draws), posterior=(posterior, Noise), predictive=(predictive, Draws))
    _check(counterfactual=(counterfactual, (Draws, Worlds)))
    data = {} if observed is None else _observed(observed, _kinds(posterior, prior, predictive, counterfactual))
    worlds = counterfactual if isinstance(counterfactual, Worlds) else {"": counterfactual} if counterfactual else {}
    noise = posterior or (counterfactual.noise if isinstance(counterfactual, Worlds) else None)
    layout = _Layout.of([d for d in (posterior, predictive, *worlds.values()) if d], data, noise)
    groups: dict[str, Any] = {}
    if prior is not None:
        values = layout.dataset(_as_draws(prior))
        seen = [name for name in values if name in data]
        groups |= {"prior": values.drop_vars(seen), "prior_predictive": values[seen]}
    if posterior is not None:
        groups |= {"posterior": layout.dataset(posterior), "sample_stats": layout.statistics(posterior)}
    if predictive is not None:
        groups["posterior_predictive"] = layout.dataset(predictive)
    if isinstance(counterfactual, Worlds):
        groups["counterfactual"] = layout.side_by_side(counterfactual)
    elif counterfactual is not None:
        groups["counterfactual"] = layout.dataset(counterfactual)
    groups["observed_data"] = layout.observed(data)
    groups = {name: group for name, group in groups.items() if group.data_vars}
    if not groups:
        raise QueryError("to_inference_data got nothing to convert: pass prior, posterior, counterfactual or another.")
    return container(groups)


def _check(**given: tuple[object, Any]) -> None:
    for argument, (value, kind) in given.items():
        if value is not None and not isinstance(value, kind):
            names = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
            raise QueryError(f"{argument} must be {names}, got {type(value).__name__}.")


def _kinds(*results: Draws | Worlds | None) -> dict[str, Variable]:
    """What the sites of some results say they are."""
    known: dict[str, Variable] = {}
    for result in results:
        for draws in result.values() if isinstance(result, Worlds) else [result]:
            known |= {} if draws is None else draws.kinds
    return known


def _observed(observed: Any, kinds: Mapping[str, Variable]) -> Arrays:
    """Observed values by site, labels as their codes; what is missing is NaN."""
    if hasattr(getattr(observed, "columns", None), "duplicated"):
        observed = {name: observed[name].to_numpy() for name in observed.columns}
    if not isinstance(observed, Mapping):
        raise QueryError(f"observed must be a dict from site to values or a DataFrame, got {type(observed).__name__}.")
    data = {}
    for name, value in observed.items():
        try:
            data[str(name)] = _array(in_cells(str(name), value, kinds.get(name), DataError))
        except DataError:
            raise
        except TypeError as error:
            raise DataError(f"the observed values of {name!r} must be numbers, got {error}.") from error
        except ValueError as error:
            raise DataError(f"the observed values of {name!r} must be an array of numbers: {error}.") from error
        if (kind := data[str(name)].dtype).kind not in "biuf":
            raise DataError(f"the observed values of {name!r} must be numbers, got {kind}.")
    return data


def _check_name(name: str) -> None:
    if name in DIMENSIONS:
        raise DataError(f"site {name!r} is called like a dimension of ArviZ data ({', '.join(DIMENSIONS)}): rename it.")


def _array(value: Any) -> np.ndarray[Any, Any]:
    return np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)


def _as_draws(prior: Draws) -> Draws:
    """Samples of a model of one unit, each a draw from the prior."""
    return prior if prior.num_draws is not None else replace(prior, num_draws=len(next(iter(prior.values()))))


@dataclass(frozen=True)
class _Layout:
    """Where draws go.

    Attributes:
        units: the length of the dimension ``unit``, the largest innermost plate.
        chains: the number of chains that the draws of the posterior come from.
        draws: the number of those draws.
    """

    units: int
    chains: int
    draws: int | None

    @classmethod
    def of(cls, results: Iterable[Draws], data: Arrays, noise: Noise | None) -> _Layout:
        sizes = [value.shape[0] for value in data.values() if value.ndim]
        for draws in results:
            batches = (_batch(draws, name, value) for name, value in draws.sites.items())
            sizes += [batch[-1] for batch in batches if batch]
        chains, count = (noise.chains, noise.num_draws) if noise else (1, None)
        return cls(max(sizes, default=1), chains, count)

    def dataset(self, draws: Draws) -> xr.Dataset:
        """A group with a variable for every site."""
        sites = {**draws.parameters, **draws} if isinstance(draws, Noise) else draws
        variables = {}
        for name, value in sites.items():
            _check_name(name)
            batch = _batch(draws, name, value)
            dims = [f"{name}_plate_{i}" for i in range(len(batch))]
            if batch and batch[-1] == self.units:
                dims[-1] = "unit"
            values = value if draws.num_draws is not None else value[None]
            dims += [f"{name}_dim_{i}" for i in range(values.dim() - 1 - len(batch))]
            variables[name] = dims, codes(values)
        group = self.group(variables, self.chains if draws.num_draws == self.draws else 1)
        for name, kind in draws.kinds.items():
            if isinstance(kind, Labelled) and name in group:
                group[name].attrs["labels"] = [str(label) for label in kind.labels]
        if draws.log_weights is not None:
            group.attrs["resampled"] = RESAMPLED
        return group.assign_attrs(kind=_kind(draws)) if isinstance(draws, Noise) else group

    def side_by_side(self, worlds: Worlds) -> xr.Dataset:
        """Several worlds along a dimension; a site that a world does not have is NaN there."""
        import xarray as xr

        index = xr.DataArray(list(worlds), dims="world", name="world")
        groups = [self.dataset(draws) for draws in worlds.values()]
        stacked = xr.concat(groups, dim=index, combine_attrs="override", join="outer", data_vars="all")
        return stacked.transpose("chain", "draw", "world", "unit", ..., missing_dims="ignore")

    def statistics(self, noise: Noise) -> xr.Dataset:
        """What the sampler says of its draws."""
        if noise.log_weights is None:
            group = self.group({}, noise.chains)
            return group.assign(divergences=("chain", list(noise.divergences))) if noise.divergences else group
        unit = ["unit"] * (noise.log_weights.dim() - 1)
        weight = replace(noise, sites={"weight": noise.log_weights.exp()}, event_dims={"weight": 0})["weight"]
        group = self.group({"weight": (unit, weight)}, noise.chains)
        for name, value in (("ess", noise.ess), ("pareto_k", noise.pareto_k)):
            if value is not None:
                group[name] = unit, _array(value).reshape(noise.log_weights.shape[1:])
        return group

    def observed(self, data: Arrays) -> xr.Dataset:
        """The observed values; a single one holds for every unit."""
        import xarray as xr

        variables = {}
        for name, value in data.items():
            _check_name(name)
            dims = [f"{name}_dim_{i}" for i in range(-1, value.ndim - 1)]
            if value.ndim:
                dims[0] = "unit" if len(value) == self.units else f"{name}_plate_0"
            variables[name] = dims, value
        return _counted(xr.Dataset(variables))

    def group(self, variables: Mapping[str, tuple[list[str], torch.Tensor]], chains: int) -> xr.Dataset:
        """A group from tensors ``(draws, ...)`` and the names of their dimensions after draws."""
        import xarray as xr

        split = {
            name: (["chain", "draw", *dims], _array(value).reshape(chains, -1, *value.shape[1:]))
            for name, (dims, value) in variables.items()
        }
        return _counted(xr.Dataset(split))


def _counted(group: xr.Dataset) -> xr.Dataset:
    return group.assign_coords({dim: np.arange(size) for dim, size in group.sizes.items()})


def _batch(draws: Draws, name: str, value: torch.Tensor) -> torch.Size:
    """The plates of a site. A population-level parameter has none."""
    lead = 0 if draws.num_draws is None else 1
    return value.shape[lead : value.dim() - draws.event_dims[name]] if name in draws.event_dims else torch.Size()


def _kind(noise: Noise) -> str:
    if noise.log_weights is not None:
        return WEIGHTED
    return MARKOV_CHAINS if noise.chains > 1 or noise.divergences else INDEPENDENT
