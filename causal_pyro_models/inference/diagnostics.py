"""Whether posterior draws can be trusted: chains that mix, weights that are not carried by a few draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from causal_pyro_models.errors import QueryError
from causal_pyro_models.inference.arviz_interface import groups_of
from causal_pyro_models.inference.chains import (
    FEWEST_DRAWS,
    bulk_effective_sample_size,
    r_hat,
    tail_effective_sample_size,
)
from causal_pyro_models.inference.draws import Draws, Noise, Worlds

if TYPE_CHECKING:
    import pandas as pd

    from causal_pyro_models.inference.arviz_interface import Container

MARKOV_CHAINS, WEIGHTED, INDEPENDENT = "Markov chains", "weighted draws", "independent draws"
MINIMUM_CHAINS = 4
MAXIMUM_R_HAT = 1.01
MINIMUM_ESS_PER_CHAIN = 100
MINIMUM_ESS = 100
MAXIMUM_PARETO_K = 0.7
SHOWN_ROWS = 10


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """What speaks for and against a set of posterior draws.

    Attributes:
        kind: "Markov chains", "weighted draws" or "independent draws"; each is judged by what applies to it.
        table: for chains ``r_hat``, ``ess_bulk`` and ``ess_tail`` of each scalar that varies; for weighted draws
            ``ess`` and ``pareto_k`` of each unit; no rows for independent draws, which have nothing to converge.
        draws: the number of draws, of all chains together.
        chains: the number of chains.
        divergences: divergent transitions, of all chains together.
        reasons: what speaks against convergence, in words; empty where nothing does.

    Example:
        >>> import torch
        >>> log_weights = torch.tensor([[0.7], [0.1], [0.1], [0.1]]).log()
        >>> noise = Noise(
        ...     {"U_X": torch.zeros(4, 1)}, {"U_X": 0}, 4, log_weights, torch.tensor([1.9]), torch.tensor([0.9])
        ... )
        >>> diagnose(noise)
        4 weighted draws: not converged
          - Pareto k-hat over 0.7 for unit 0, max 0.90
          - effective sample size under 100 for unit 0, min 2
                 ess  pareto_k
        unit 0 1.900     0.900
    """

    kind: str
    table: pd.DataFrame
    draws: int
    chains: int
    divergences: int
    reasons: list[str]

    @property
    def converged(self) -> bool:
        """Whether nothing speaks against using the draws."""
        return not self.reasons

    def __repr__(self) -> str:
        verdict = "converged" if self.converged else "not converged"
        head = f"{self.draws} {self.kind}: {verdict}"
        if self.kind == MARKOV_CHAINS:
            head = f"{self.draws} draws in {self.chains} {self.kind}, {self.divergences} divergent: {verdict}"
        elif self.kind == INDEPENDENT and self.converged:
            head = f"{self.draws} {self.kind}: exact, so there is nothing to converge"
        lines = [head]
        lines += [f"  - {reason}" for reason in self.reasons]
        if len(self.table):
            size = "ess_bulk" if self.kind == MARKOV_CHAINS else "ess"
            worst = self.table.sort_values(size, na_position="first")
            lines += [worst.head(SHOWN_ROWS).to_string(float_format="{:.3f}".format)]
            if len(worst) > SHOWN_ROWS:
                lines += [f"... and {len(worst) - SHOWN_ROWS} better ones"]
        return "\n".join(lines)


def diagnose(result: Draws | Worlds | Container) -> Diagnosis:
    """Whether posterior draws have converged, and why not.

    Markov chains have not converged with fewer than 4 chains, R-hat over 1.01 or undefined, bulk or tail effective
    sample size under 100 a chain, or any divergence. Importance-weighted draws are not to be trusted where Pareto k-hat
    is over 0.7 or undefined, or the effective sample size is under 100. Independent draws from an exact posterior have
    nothing to converge. Scalars that the evidence fixes (the same in every draw) are left out.

    Args:
        result: the :class:`Noise` from :func:`abduct`, the draws of a counterfactual, :class:`Worlds`, or a container
            of ArviZ (``InferenceData``, or from 1.0 on a ``DataTree``) with a posterior.

    Raises:
        QueryError: something else, or a container without a posterior.

    References:
        Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021), Rank-normalization, folding, and localization: an
        improved R-hat; Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling.

    Example:
        >>> import torch
        >>> from causal_pyro_models.seeding import seeded
        >>> with seeded(0):
        ...     u = torch.randn(4_000, 1)
        >>> diagnose(Noise({"U_X": u}, {"U_X": 0}, 4_000, chains=4, divergences=(0, 0, 0, 0))).converged
        True
        >>> stuck = torch.where(torch.arange(4_000)[:, None] < 1_000, 9.0, u)  # the first of the four chains
        >>> report = diagnose(Noise({"U_X": stuck}, {"U_X": 0}, 4_000, chains=4, divergences=(0, 0, 0, 0)))
        >>> print(report.reasons[0])
        R-hat over 1.01 for U_X[0], max 1.52
    """
    if isinstance(result, Worlds):
        return diagnose(result.noise)
    if isinstance(result, Draws):
        return _of_draws(result)
    if "posterior" in (groups := groups_of(result)):
        return _of_groups(groups)
    raise QueryError(
        f"diagnose takes the noise from abduct, the draws of a counterfactual, or data of ArviZ with a posterior, "
        f"got {type(result).__name__}{f' with {list(groups)}' if groups else ''}."
    )


def _of_draws(result: Draws) -> Diagnosis:
    draws = result.num_draws or 1
    if isinstance(result, Noise) and (result.divergences or result.chains > 1):
        values = {**result.parameters, **result.sites}
        split = {n: v.detach().cpu().numpy().reshape(result.chains, -1, *v.shape[1:]) for n, v in values.items()}
        return _of_chains(split, sum(result.divergences))
    if result.log_weights is not None and result.ess is not None and result.pareto_k is not None:
        return _of_weights(result.ess.cpu().numpy(), result.pareto_k.cpu().numpy(), draws)
    dependent = result.ess is not None and bool(((result.ess - draws).abs() > 1e-3 * draws).any())
    reasons = ["the draws come from Markov chains that they do not record: diagnose the noise from abduct"]
    return _independent(draws, reasons if dependent else [])


def _of_groups(groups: Mapping[str, Any]) -> Diagnosis:
    posterior, stats = groups["posterior"], groups.get("sample_stats", {})
    kind = posterior.attrs.get("kind", MARKOV_CHAINS)
    draws = posterior.sizes["chain"] * posterior.sizes["draw"]
    if kind == INDEPENDENT:
        return _independent(draws, [])
    if kind == WEIGHTED:
        return _of_weights(np.atleast_1d(stats["ess"]), np.atleast_1d(stats["pareto_k"]), draws)
    divergences = sum(int(stats[name].sum()) for name in ("diverging", "divergences") if name in stats)
    return _of_chains({name: posterior[name].to_numpy() for name in posterior.data_vars}, divergences)


def _independent(draws: int, reasons: list[str]) -> Diagnosis:
    import pandas as pd

    return Diagnosis(INDEPENDENT, pd.DataFrame(), draws, 1, 0, reasons)


def _of_weights(ess: np.ndarray[Any, Any], pareto_k: np.ndarray[Any, Any], draws: int) -> Diagnosis:
    """Judge importance weights unit by unit; where all are equal there is no tail for k-hat to describe."""
    import pandas as pd

    equal = ess > 0.999 * draws
    index = [f"unit {i}" for i in range(len(ess))]
    table = pd.DataFrame({"ess": ess, "pareto_k": np.where(equal, np.nan, pareto_k)}, index)
    k, what = table["pareto_k"], f"Pareto k-hat over {MAXIMUM_PARETO_K}"
    reasons = _beyond(k, (k <= MAXIMUM_PARETO_K) | equal, what, "max", ".2f")
    few = f"effective sample size under {MINIMUM_ESS}"
    reasons += _beyond(table["ess"], table["ess"] >= MINIMUM_ESS, few, "min", ".0f")
    return Diagnosis(WEIGHTED, table, draws, 1, 0, reasons)


def _of_chains(values: Mapping[str, np.ndarray[Any, Any]], divergences: int) -> Diagnosis:
    """Judge chains by the draws ``(chains, draws, ...)`` of each variable."""
    import pandas as pd

    chains, draws = next(iter(values.values())).shape[:2]
    names, columns = [], []
    for name, value in values.items():
        scalars = value.reshape(chains, draws, -1)
        for i in np.flatnonzero(~(scalars == scalars[0, 0]).all((0, 1))):
            index = ",".join(map(str, np.unravel_index(i, value.shape[2:])))
            names.append(f"{name}[{index}]" if index else name)
            columns.append(scalars[:, :, i])
    judged = _scores(np.stack(columns, -1).astype(float)) if columns else None
    table = pd.DataFrame(judged, names, ["r_hat", "ess_bulk", "ess_tail"])
    doubts = _doubts(table, chains, draws, divergences)
    return Diagnosis(MARKOV_CHAINS, table, chains * draws, chains, divergences, doubts)


def _scores(draws: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """R-hat, bulk and tail effective sample size of scalars ``(chains, draws, scalars)``; NaN where undefined."""
    scores: np.ndarray[Any, Any] = np.full((draws.shape[-1], 3), np.nan)
    sound = np.isfinite(draws).all((0, 1)) & (np.ptp(draws, 1) > 0).any(0)
    if draws.shape[1] >= FEWEST_DRAWS and sound.any():
        some = draws[:, :, sound]
        scores[sound, 1:] = np.stack([bulk_effective_sample_size(some), tail_effective_sample_size(some)], -1)
        if len(draws) > 1:
            scores[sound, 0] = r_hat(some)
    return scores


def _doubts(table: pd.DataFrame, chains: int, draws: int, divergences: int) -> list[str]:
    reasons = []
    if chains < MINIMUM_CHAINS:
        reasons.append(f"{chains} chain{'s' * (chains > 1)}, where {MINIMUM_CHAINS} are the least that can show it")
    if table.empty:
        reasons.append("nothing varies from draw to draw")
        return reasons
    if chains > 1:
        reasons += _beyond(table["r_hat"], table["r_hat"] <= MAXIMUM_R_HAT, f"R-hat over {MAXIMUM_R_HAT}", "max", ".2f")
    least = MINIMUM_ESS_PER_CHAIN * chains
    for column, part in (("ess_bulk", "bulk"), ("ess_tail", "tail")):
        what = f"{part} effective sample size under {MINIMUM_ESS_PER_CHAIN} a chain"
        reasons += _beyond(table[column], table[column] >= least, what, "min", ".0f")
    if divergences:
        reasons.append(f"{divergences} divergent transitions of {chains * draws}: raise target_accept")
    return reasons


def _beyond(score: pd.Series[float], fine: pd.Series[bool], what: str, extreme: str, form: str) -> list[str]:
    """What is wrong with the scores that are not fine and how far it goes; nothing where all are fine."""
    bad = score[~fine]
    names = ", ".join(map(str, bad.index[:3])) + (f" and {len(bad) - 3} more" if len(bad) > 3 else "")
    return [f"{what} for {names}, {extreme} {bad.agg(extreme):{form}}"] if len(bad) else []
