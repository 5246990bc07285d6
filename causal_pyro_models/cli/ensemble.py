"""A fitted flow with its uncertainty: the same flow fitted again to random halves of the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from causal_pyro_models.data import Variable
from causal_pyro_models.estimate import Estimate
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.inference.draws import Draws, Noise, Worlds
from causal_pyro_models.inference.prediction import worlds
from causal_pyro_models.models import CausalFlow
from causal_pyro_models.scm.handlers.interventions import Intervention
from causal_pyro_models.training.fitting import fit
from causal_pyro_models.training.loop import FitResult

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.95


@dataclass(frozen=True)
class Ensemble:
    """A flow, and refits of it on random halves of the data without replacement.

    The spread of estimates on halves about the estimate on all data is, to first order, that of the estimate on all
    data about the truth, since var(half) - var(all) = 2 var - var. Values are those of the flow on all data;
    intervals are as wide as the spread of the refits says, by Student's t.

    Attributes:
        model: fitted to all training data.
        refits: fitted to random halves of them.
        result: how the training of ``model`` went.

    References:
        J. Shao, C. Wu (1989). A general theory for jackknife variance estimation. Annals of Statistics.
        J. Praestgaard, J. Wellner (1993). Exchangeably weighted bootstraps of the general empirical process. Annals of
        Probability.
    """

    model: CausalFlow
    refits: tuple[CausalFlow, ...]
    result: FitResult

    @property
    def quantile(self) -> float:
        """Of Student's t, that makes an interval out of the spread of the refits."""
        from scipy.stats import t

        return float(t.ppf((1 + LEVEL) / 2, len(self.refits) - 1))

    def margin(self, draws: torch.Tensor, error: torch.Tensor | float = 0.0) -> torch.Tensor:
        """Half the width of the interval of a value.

        Args:
            draws: the value in the refits, ``(draws, ...)``.
            error: the standard error of its simulation.
        """
        return self.quantile * (draws.double().var(0) + error**2).sqrt()

    def estimate(self, ask: Callable[[CausalFlow], Estimate]) -> Estimate:
        """The answer to a question, with the spread of the refits' answers and its simulation error as uncertainty."""
        whole = ask(self.model)
        draws = torch.stack([ask(refit).value for refit in self.refits])
        margin = self.margin(draws, whole.standard_error)
        ends = whole.value - margin, whole.value + margin
        return replace(whole, standard_error=margin / self.quantile, interval=ends, level=LEVEL, draws=draws)

    def worlds(
        self, evidence: Mapping[str, Any], do: Mapping[str, Mapping[str, Intervention]], num_samples: int, seed: int
    ) -> Worlds:
        """Worlds of every refit, ``num_samples`` draws each, one after the other along the draws."""
        parts = [worlds(refit, evidence, do, num_samples=num_samples, seed=seed) for refit in self.refits]
        noise = [part.noise for part in parts]
        count = num_samples * len(parts)
        joined = Noise(_joined(noise), noise[0].event_dims, count, units=noise[0].units)
        draws = {name: Draws(_joined([p[name] for p in parts]), parts[0][name].event_dims, count) for name in do}
        return Worlds(draws, joined)


def _joined(parts: Sequence[Draws]) -> dict[str, torch.Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def fit_ensemble(
    graph: CausalGraph, variables: Mapping[str, Variable], data: pd.DataFrame, steps: int, refits: int, seed: int
) -> Ensemble:
    """Fit a flow to the data, and ``refits`` more to random halves, each in half the steps."""
    from tqdm.auto import tqdm

    model = CausalFlow(graph, variables)
    result = fit(model, data, steps=steps, seed=seed)
    generator = np.random.default_rng(seed)
    halves = []
    for i in tqdm(range(refits), desc="refits", unit="fit"):
        rows = generator.permutation(len(data))[: len(data) // 2]
        half = CausalFlow(graph, variables)
        fit(half, data.iloc[rows], steps=max(1, steps // 2), seed=(seed + 1 + i) % 2**32, progress=False)
        halves.append(half)
    return Ensemble(model, tuple(halves), result)
