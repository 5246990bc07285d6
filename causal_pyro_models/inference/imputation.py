"""Imputation: the posterior of missing values, given what is observed of each unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from causal_pyro_models.data.batches import Batch
from causal_pyro_models.data.variables import Variable
from causal_pyro_models.errors import DataError, ModelError, unheard, warn
from causal_pyro_models.inference.draws import Draws, mixed
from causal_pyro_models.inference.mixtures import shared
from causal_pyro_models.inference.weights import effective_sample_size, pareto_smooth, resampling
from causal_pyro_models.isolation import isolated
from causal_pyro_models.models.missing import leaves, proposed
from causal_pyro_models.models.structural import StructuralCausalModel
from causal_pyro_models.seeding import seeded
from causal_pyro_models.validation import checked_count

if TYPE_CHECKING:
    import pandas as pd

FEW = 10  # effective draws below which a unit's imputation is not to be trusted
PROPOSALS = 5  # for each draw
AT_ONCE = 2**20  # completed units in one run


@dataclass(frozen=True, eq=False, repr=False)
class Imputation(Draws):
    """Draws of completed tables, ``(draws, units, *event)`` for each variable; observed values are in all of them.

    Example:
        >>> from causal_pyro_models.data import Continuous
        >>> values = {"X": torch.tensor([[0.5, 2.0], [0.5, 4.0]])}  # two draws of two units, the first one observed
        >>> drawn = Imputation(values, {"X": 0}, 2, kinds={"X": Continuous()})
        >>> drawn.mean("X")
        tensor([0.5000, 3.0000])
        >>> drawn.table(seed=0)
             X
        0  0.5
        1  4.0
    """

    @property
    def variables(self) -> Mapping[str, Variable]:
        """What the columns are."""
        return self.kinds

    @isolated
    def table(self, seed: int | None = None) -> pd.DataFrame:
        """One completed table, a draw of each unit, with labels as in the data."""
        import pandas as pd

        units = torch.arange(self[next(iter(self.kinds))].shape[1])
        with seeded(seed):
            chosen = torch.randint(self.num_draws or 1, units.shape)
        decoded = {name: kind.decode(self._values(name)[chosen, units]) for name, kind in self.kinds.items()}
        return pd.DataFrame({name: column if column.ndim == 1 else list(column) for name, column in decoded.items()})


@isolated
def impute(model: StructuralCausalModel, data: Any, num_samples: int = 200, seed: int | None = None) -> Imputation:
    """Draws of the missing values in a table from their posterior under a model that was trained on such data.

    A value with nothing observed below it is drawn from the model itself, given its parents. Of all others five times
    as many as are asked for are proposed, by the guide that was trained with the model and by the model given the
    parents, and draws of equal weight are chosen by how likely the model finds the completed unit (Pareto-smoothed).
    Nodes with latents of their own are weighted by their bound.

    Args:
        model: a model that ``fit`` trained on data with missing values in these columns.
        data: anything that ``fit`` takes, with NaN where values are missing.
        num_samples: draws of each missing value; of a model with refits each has its share.
        seed: makes the draws reproducible and leaves the global random state untouched.

    Raises:
        DataError: the data do not fit the variables, or miss values where the training data had all.
        ModelError: the model was trained on complete data.
        QueryError: ``num_samples`` is no positive integer.

    References:
        P.-A. Mattei, J. Frellsen (2019). MIWAE: deep generative modelling and imputation of incomplete data. ICML.
        Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling.

    Example:
        >>> from causal_pyro_models import CausalFlow, CausalGraph, fit
        >>> x = torch.linspace(-1, 1, 300)
        >>> data = {"X": x, "Y": torch.where(torch.arange(300) % 3 == 0, torch.nan, 2 * x)}
        >>> model = CausalFlow(CausalGraph(["X", "Y"], [("X", "Y")]), {"X": 1, "Y": 1})
        >>> _ = fit(model, data, steps=50, seed=0, progress=False)
        >>> drawn = impute(model, {"X": [0.5], "Y": [None]}, seed=0)
        >>> print(f"{drawn.mean('Y').item():.1f}")
        1.0
    """
    checked_count(num_samples, "num_samples")
    if not isinstance(model, StructuralCausalModel):
        raise ModelError(f"impute takes a StructuralCausalModel, got {type(model).__name__}.")
    with seeded(seed), torch.no_grad():
        batch = model.encode(data)
        _check_guided(model, batch.missing)
        whole = _imputed(model, batch, num_samples)
        if model.refits:
            shares = shared(num_samples, len(model.refits))
            with unheard():
                parts = [_imputed(refit, batch, share) for refit, share in zip(model.refits, shares, strict=True)]
    return Imputation(**mixed(whole, parts)) if model.refits else whole


def _imputed(model: StructuralCausalModel, batch: Batch, num_samples: int) -> Imputation:
    """:func:`impute` by a model as it is, of data that were read."""
    values = {name: value.expand(num_samples, *value.shape).clone() for name, value in batch.values.items()}
    ess, k = torch.full((len(batch),), float(num_samples)), torch.zeros(len(batch), dtype=torch.float64)
    if batch.missing:
        rows = torch.stack(list(batch.missing.values())).any(0).nonzero()[:, 0]
        for some in rows.split(max(1, AT_ONCE // (PROPOSALS * num_samples))):
            filled, log_weights = proposed(model, model.as_trained(batch[some]), PROPOSALS * num_samples)
            smoothed, k[some.cpu()] = pareto_smooth(log_weights.cpu())
            ess[some.cpu()] = effective_sample_size(smoothed).clamp(max=num_samples).to(ess.dtype)
            chosen = resampling(smoothed, num_samples).to(some.device)
            filled = model.scales.unscaled({name: filled[name] for name in batch.missing})
            for name, value in filled.items():
                drawn = value[chosen, torch.arange(len(some), device=some.device)]
                absent = batch.missing[name][some]
                values[name][:, some[absent]] = drawn[:, absent].to(values[name])
    if bool((few := ess < min(FEW, 0.5 * num_samples)).any()):
        warn(
            f"{int(few.sum())} of {len(ess)} units have an effective number of draws below {FEW}, the lowest "
            f"{ess.min():.1f}: raise num_samples, or train longer.",
        )
    event_dims = {name: len(kind.event_shape) for name, kind in model.variables.items()}
    return Imputation(values, event_dims, num_samples, None, ess, k, kinds=model.variables)


def _check_guided(model: StructuralCausalModel, missing: Mapping[str, torch.Tensor]) -> None:
    """Refuse what only a guide can draw, and none was trained to."""
    alone = leaves(model.graph, missing) if model.imputes_by_itself else {}
    names = [name for name, mask in missing.items() if not torch.equal(mask, alone.get(name, ~mask))]
    if names and model.imputer is None:
        raise ModelError(
            "the model was trained on complete data and has not learned to impute. Train it on data in which values of "
            f"{', '.join(names)} are missing."
        )
    for name in names:
        if model.imputer is not None and name not in model.imputer.names:
            raise DataError(
                f"values of {name!r} are missing, and none was in the training data, which had missing values in "
                f"{', '.join(model.imputer.names)} alone: train the model on data like these."
            )
