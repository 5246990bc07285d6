"""Does a model describe units that it has not seen? Likelihood, marginal distributions, correlations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from causal_pyro_models.data import Categorical, Continuous, Variable
from causal_pyro_models.data.batches import Values
from causal_pyro_models.data.coded import codes
from causal_pyro_models.errors import DataError, ModelError, unknown_variable
from causal_pyro_models.isolation import isolated
from causal_pyro_models.models import StructuralCausalModel

if TYPE_CHECKING:
    import pandas as pd

Sample = np.ndarray[Any, Any]  # ``(units,)``


@torch.no_grad()
@isolated
def likelihood_gain(model: StructuralCausalModel, baseline: StructuralCausalModel, data: Values) -> pd.DataFrame:
    """Mean log likelihood per unit, of each variable given its parents and (row ``all``) of all together.

    Args:
        model, baseline: two models of the same graph.
        data: values that neither was trained on, ``(units,)`` each.

    Returns:
        Columns ``model``, ``baseline``, ``gain`` (their difference, in nats) and ``standard_error`` of the gain, from
        its spread over the units.

    Raises:
        DataError: fewer than two units, or values that are not tensors of finite numbers.
        ModelError: something else than models, or models of different variables.
        UnknownVariableError: a variable without values.

    Example:
        >>> from causal_pyro_models import AdditiveNoiseModel, CausalFlow, CausalGraph, fit
        >>> from causal_pyro_models.models import Linear
        >>> graph, x = CausalGraph(["X", "Y"], [("X", "Y")]), torch.linspace(-2, 2, 400)
        >>> data = {"X": x, "Y": x**2 + 0.1 * torch.cos(50 * x)}
        >>> line, flow = AdditiveNoiseModel(graph, {"X": 1, "Y": 1}, Linear()), CausalFlow(graph, {"X": 1, "Y": 1})
        >>> for model in (line, flow):
        ...     result = fit(model, data, seed=0, progress=False)
        >>> bool(likelihood_gain(flow, line, data).loc["Y", "gain"] > 1.0)
        True
    """
    import pandas as pd

    columns = {}
    for what, judged in (("model", model), ("baseline", baseline)):
        if not isinstance(judged, StructuralCausalModel):
            raise ModelError(f"the {what} must be a StructuralCausalModel, got {type(judged).__name__}.")
        if unlike := set(judged.graph.variables).symmetric_difference(model.graph.variables):
            raise ModelError(f"only one of the models has {', '.join(sorted(unlike))}: compare models of one graph.")
        _check_values(data, judged.graph.variables, "data")
        found = judged.log_probs(data)
        terms = {name: found[name].double() for name in model.nodes}
        columns[what] = torch.stack([*terms.values(), sum(terms.values(), torch.zeros(()))])
    units = columns["model"].shape[1]
    if units < 2:
        raise DataError(f"{units} held-out unit is too few to judge a model by: at least 2 are needed.")
    gain = columns["model"] - columns["baseline"]
    return pd.DataFrame(
        {
            **{what: terms.mean(1).numpy() for what, terms in columns.items()},
            "gain": gain.mean(1).numpy(),
            "standard_error": (gain.std(1) / units**0.5).numpy(),
        },
        index=[*model.nodes, "all"],
    )


def _check_values(values: Values, names: Iterable[str], what: str) -> None:
    """Refuse what is no mapping to tensors ``(units,)`` of finite numbers."""
    if not isinstance(values, Mapping):
        raise DataError(f"{what} must be a dict from variable to tensor, got {type(values).__name__}.")
    for name in names:
        if name not in values:
            raise unknown_variable(name, values)
        value = values[name]
        if not isinstance(value, torch.Tensor) or value.dim() != 1 or not len(value):
            shape = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise DataError(f"{what} must hold a tensor (units,) of {name!r}, with some units, got {shape}.")
        if not bool(torch.isfinite(value).all()):
            raise DataError(f"{what} has values of {name!r} that are NaN or infinite: drop those units.")


def distances(sampled: Values, reference: Values, variables: Mapping[str, Variable]) -> dict[str, float]:
    """How far two samples of each variable are apart, from 0 to 1.

    Kolmogorov and Smirnov's distance for a real variable (the largest gap between the two cumulative distributions),
    total variation for a discrete one (the share of units that would have to change class).

    Args:
        sampled, reference: values ``(units,)``.
        variables: the variables' kinds.

    Raises:
        DataError: values that are not tensors of finite numbers, or no units.
        UnknownVariableError: a variable without values.

    Example:
        >>> distances({"X": torch.tensor([0.0, 1.0])}, {"X": torch.tensor([0.0, 0.0])}, {"X": Categorical(2)})
        {'X': 0.5}
    """
    found = {}
    for what, values in (("sampled", sampled), ("reference", reference)):
        _check_values(values, variables, what)
    for name, variable in variables.items():
        a, b = codes(sampled[name]).numpy(), codes(reference[name]).numpy()
        found[name] = kolmogorov_smirnov(a, b) if isinstance(variable, Continuous) else total_variation(a, b)
    return found


def kolmogorov_smirnov(a: Sample, b: Sample) -> float:
    """The largest gap between the cumulative distributions of two samples."""
    points = np.concatenate([a, b])
    below = (np.searchsorted(np.sort(values), points, side="right") / len(values) for values in (a, b))
    return float(np.abs(np.subtract(*below)).max())


def total_variation(a: Sample, b: Sample) -> float:
    """The most by which the shares of any set of classes differ between two samples."""
    return float(sum(abs((a == c).mean() - (b == c).mean()) for c in np.union1d(a, b)) / 2)


def correlation_gaps(sampled: Values, reference: Values, variables: Mapping[str, Variable]) -> pd.DataFrame:
    """The correlations of two samples, pair by pair, the largest difference first.

    Args:
        sampled, reference: values ``(units,)``.
        variables: the variables' kinds; categorical variables, and those that are constant in either sample, have no
            correlation and are left out.

    Returns:
        Columns ``first``, ``second``, ``sampled``, ``reference`` and ``gap`` (sampled minus reference).

    Raises:
        DataError: values that are not tensors of finite numbers, or no units.
        UnknownVariableError: a variable without values.

    Example:
        >>> x = torch.linspace(-1, 1, 50)
        >>> gaps = correlation_gaps({"X": x, "Y": -x}, {"X": x, "Y": x}, {"X": Continuous(), "Y": Continuous()})
        >>> float(gaps["gap"][0].round(6))
        -2.0
    """
    import pandas as pd

    for what, values in (("sampled", sampled), ("reference", reference)):
        _check_values(values, variables, what)
    names = [
        name
        for name, variable in variables.items()
        if not isinstance(variable, Categorical)
        and all(bool((values[name] != values[name][0]).any()) for values in (sampled, reference))
    ]
    if len(names) < 2:
        return pd.DataFrame(columns=["second", "first", "sampled", "reference", "gap"])
    a, b = (
        np.atleast_2d(np.corrcoef([codes(values[v]).double().numpy() for v in names]))
        for values in (sampled, reference)
    )
    rows = [(names[i], names[j], a[i, j], b[i, j], a[i, j] - b[i, j]) for i in range(len(names)) for j in range(i)]
    frame = pd.DataFrame(rows, columns=["second", "first", "sampled", "reference", "gap"])
    return frame.sort_values("gap", key=abs, ascending=False, kind="stable", ignore_index=True)
