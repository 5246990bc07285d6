"""Simulation-based calibration: whether a method of abduction draws from the posterior that it says it draws from."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pyro
import torch
from pyro import poutine

from causal_pyro_models.arrays import Array
from causal_pyro_models.errors import AbductionError, CausalWarning, ModelError, QueryError, unknown_variable, warn
from causal_pyro_models.independence import holm
from causal_pyro_models.inference.abduction import Method, abducted
from causal_pyro_models.inference.conditioned import Conditioned
from causal_pyro_models.inference.draws import Draws, Noise
from causal_pyro_models.inference.guides import Guide
from causal_pyro_models.inference.prediction import sample
from causal_pyro_models.inference.program import Program, inspect_model, traced
from causal_pyro_models.isolation import isolated
from causal_pyro_models.scm.handlers.exogenous import Exogenize
from causal_pyro_models.scm.sites import Handled, Model
from causal_pyro_models.seeding import seeded
from causal_pyro_models.validation import checked_count

if TYPE_CHECKING:
    import pandas as pd

LOG_LIKELIHOOD = "log p(evidence)"
BATCH = 500_000  # draws times units abducted at once
BINS = 20  # of the chi-square test
NULL_DRAWS = 10_000  # simulated sets of uniform ranks


@dataclass(frozen=True, eq=False, repr=False)
class Calibration:
    """Ranks of true latents among posterior draws, uniform where the method is right.

    Attributes:
        ranks: by quantity, the rank of the truth in each simulation, an integer from 0 to ``num_ranked``.
        num_ranked: the number of draws that each truth was ranked among.
        alpha: the probability that a right method is found wrong.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> Calibration({"U_Z": rng.integers(0, 100, 2_000)}, num_ranked=99, alpha=0.01).calibrated
        True
        >>> Calibration({"U_Z": rng.integers(5, 100, 2_000)}, num_ranked=99, alpha=0.01)  # a truth that is never low
        not calibrated (alpha 0.01): 2000 simulations, ranks among 99 draws
             chi_square   ecdf  adjusted
        U_Z     2.7e-20 0.0001   5.3e-20
    """

    ranks: Mapping[str, Array]
    num_ranked: int
    alpha: float

    @cached_property
    def p_values(self) -> pd.DataFrame:
        """For each quantity the p-values of two tests of uniformity, and both together adjusted over quantities.

        Columns ``chi_square`` (a histogram of 20 bins), ``ecdf`` (the greatest deviation of the empirical
        distribution) and ``adjusted`` (twice the lesser, then Holm's step-down over the quantities).
        """
        import pandas as pd

        tests = (_chi_square, _ecdf_test)
        rows = {name: [test(ranks, self.num_ranked) for test in tests] for name, ranks in self.ranks.items()}
        table = pd.DataFrame.from_dict(rows, orient="index", columns=["chi_square", "ecdf"])
        table["adjusted"] = holm(np.minimum(1.0, 2.0 * table.min(axis=1).to_numpy()))
        return table

    @property
    def calibrated(self) -> bool:
        """Whether no quantity departs from uniform ranks at the level ``alpha``, all tests taken together."""
        return bool((self.p_values["adjusted"] >= self.alpha).all())

    def __repr__(self) -> str:
        simulations = len(next(iter(self.ranks.values())))
        verdict = "calibrated" if self.calibrated else "not calibrated"
        head = f"{verdict} (alpha {self.alpha:g}): {simulations} simulations, ranks among {self.num_ranked} draws"
        return f"{head}\n{self.p_values.sort_values('adjusted').to_string(float_format='{:.2g}'.format)}"


@isolated
def sbc(
    model: Model,
    method: Method | Guide | None,
    evidence: Sequence[str],
    num_simulations: int = 2_000,
    num_samples: int = 1_000,
    num_ranked: int = 99,
    alpha: float = 0.01,
    seed: int | None = None,
    progress: bool = True,
) -> Calibration:
    """Simulation-based calibration of a method of abduction.

    Units are drawn from the model, all but the evidence is hidden, and the true latents are ranked among the posterior
    draws of the method: uniformly, where it draws from the posterior. Ranked are the noise (of the first unit where a
    model has plates), the population-level parameters, and the log-likelihood of the evidence, which shows a method
    that ignores the evidence where ranks of latents cannot. What the evidence fixes exactly is left out.

    For a model of one unit the simulations are units abducted together; a model with plates is abducted once for each
    simulation. With the default alpha, 2,000 simulations find a posterior scale that is 10% too small 95 times in 100
    and one 10% too large 87 times; 500 simulations are enough for 20%.

    Args:
        model: a callable with Pyro primitives, nothing in it observed.
        method: see :func:`abduct`; None for exact abduction.
        evidence: names of the sites that are observed.
        num_simulations: the number of simulated units or, for a model with plates, data sets.
        num_samples: posterior draws for each.
        num_ranked: how many of them the truth is ranked among: spread evenly over the draws, so that those of a Markov
            chain depend little on each other, or resampled by their weights.
        alpha: the probability that a right method is found wrong.
        seed: makes the result reproducible.
        progress: shows a progress bar.

    Raises:
        QueryError: no evidence, or nothing that it leaves open.
        ModelError: a model with observed sites.
        UnknownVariableError: evidence on a name that no site has.

    References:
        Talts, Betancourt, Simpson, Vehtari and Gelman (2018), Validating Bayesian inference algorithms with
        simulation-based calibration; Säilynoja, Bürkner and Vehtari (2022), Graphical test for discrete uniformity;
        Modrák et al. (2023), Simulation-based calibration checking for Bayesian computation: the choice of test
        quantities shapes sensitivity.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from causal_pyro_models.inference.importance import ImportanceSampling
        >>> def model():
        ...     z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        ...     pyro.sample("X", dist.Normal(z, 1.0))
        >>> result = sbc(model, ImportanceSampling(), ["X"], 200, num_samples=4_000, seed=0, progress=False)
        >>> sorted(result.ranks), result.calibrated
        (['U_X', 'U_Z', 'log p(evidence)'], True)
    """
    from tqdm import tqdm

    program = _checked(model, evidence, num_simulations, num_samples, num_ranked, alpha)
    with seeded(seed), torch.no_grad(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        truths = sample(Handled(model, lambda: Exogenize(program.parameters)), num_simulations)
        size = 1 if program.plated else max(1, BATCH // num_samples)
        ranks: dict[str, list[Array]] = {}
        fixed: dict[str, bool] = {}
        for start in tqdm(range(0, num_simulations, size), desc="sbc", disable=not progress):
            index: Any = start if program.plated else slice(start, start + size)
            truth = {name: value[index] for name, value in truths.items()}
            noise = abducted(program, {name: truth[name] for name in evidence}, method, num_samples)
            for name, draws, true in _quantities(program, noise, truth, evidence, num_ranked):
                ranks.setdefault(name, []).append(_rank(name, draws, true))
                fixed[name] = fixed.get(name, True) and _is_fixed(draws, true)
    _warn_of(caught)
    open_ranks = {name: np.concatenate(parts) for name, parts in ranks.items() if not fixed[name]}
    if not open_ranks:
        raise QueryError(f"the evidence on {sorted(evidence)} leaves nothing open, so there is nothing to calibrate.")
    return Calibration(open_ranks, num_ranked, alpha)


def _checked(
    model: Model, evidence: Sequence[str], simulations: int, samples: int, ranked: int, alpha: float
) -> Program:
    program = inspect_model(model)
    if isinstance(evidence, str) or not isinstance(evidence, Sequence) or not evidence:
        raise QueryError(f"evidence must be a list of names of sites, at least one, got {evidence!r:.80}.")
    for name in evidence:
        if not isinstance(name, str) or name not in program.sites:
            raise unknown_variable(name, program.sites, "site")
    if program.observed:
        raise ModelError(
            f"{list(program.observed)} are observed in the model, which must be free to simulate: drop obs= and "
            f"pyro.factor."
        )
    if not isinstance(alpha, Real) or not 0.0 < alpha < 1.0:
        raise QueryError(f"alpha is a probability between 0 and 1, got {alpha!r:.80}.")
    for name, count in {"num_simulations": simulations, "num_ranked": ranked, "num_samples": samples}.items():
        checked_count(count, name)
    if samples < ranked:
        raise QueryError(f"num_samples must be at least num_ranked, got {samples} and {ranked}.")
    return program


def _quantities(
    program: Program, noise: Noise, truth: Mapping[str, torch.Tensor], evidence: Sequence[str], ranked: int
) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """What is ranked: name, draws ``(num_ranked, simulations)``, truth ``(simulations,)``."""
    latents = {**noise.parameters, **noise.sites}
    fit = _log_likelihood(program, noise, truth, evidence)
    rows = [(name, value, truth[name]) for name, value in latents.items()] + [(LOG_LIKELIHOOD, *fit)]
    for name, value, true in rows:
        draws: Any = _thinned(value, noise, ranked)
        plates = true.dim() - noise.event_dims.get(name, 0)
        if program.plated:  # one simulation, of which the first unit stands for all
            first = (0,) * plates
            draws, true = draws[:, *first][:, None], true[first][None]
        draws, true = draws.flatten(2) if draws.dim() > 2 else draws[..., None], true.reshape(len(true), -1)
        for i in range(true.shape[1]):
            yield name if true.shape[1] == 1 else f"{name}[{i}]", draws[..., i], true[:, i]


def _log_likelihood(
    program: Program, noise: Noise, truth: Mapping[str, torch.Tensor], evidence: Sequence[str]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log density of the evidence given the latents it leaves open: of the draws, and of the truth."""
    conditioned = Conditioned.on(program, {name: truth[name] for name in evidence})
    names = [conditioned.latent_name(name) for name in conditioned.unobserved]

    def of(latents: Mapping[str, torch.Tensor], draws: int) -> torch.Tensor:
        with pyro.validation_enabled(False):
            trace = traced(poutine.condition(conditioned.model(draws), data=dict(latents)))
            return conditioned.log_likelihood(trace, draws)

    places = conditioned.places(conditioned.unobserved)
    true = {}
    for name in names:
        value, place = truth[name], places[name]
        full = [1] * (program.nesting + 1)
        for dim, size in zip(place.plates, value.shape, strict=False):
            full[dim] = size
        true[name] = value.reshape(*full, *value.shape[value.dim() - place.event_dim :])
    draws = noise.num_draws or 1
    return of({name: noise.replay[name] for name in names}, draws), of(true, 1)[0]


def _thinned(value: torch.Tensor, noise: Draws, ranked: int) -> torch.Tensor:
    """Draws of equal weight, ``num_ranked`` of them: resampled by weight, or spread evenly over all."""
    if noise.log_weights is None:
        return value[torch.linspace(0, len(value) - 1, ranked).round().long()]
    weights = noise.log_weights.exp().reshape(len(noise.log_weights), -1)
    index = torch.multinomial(weights.T, ranked, replacement=True).T
    if noise.log_weights.dim() == 1:
        return value[index[:, 0]]
    return value.gather(0, index.reshape(index.shape + (1,) * (value.dim() - 2)).expand(ranked, *value.shape[1:]))


def _rank(name: str, draws: torch.Tensor, true: torch.Tensor) -> Array:
    """How many draws are less than the truth; ties are broken at random."""
    if not torch.isfinite(draws).all():
        raise AbductionError(f"the method gave draws of {name!r} that are not finite, so they have no ranks.")
    ties = (draws == true).sum(0)
    within = (torch.rand(ties.shape, dtype=torch.double) * (ties + 1)).floor().long()
    return ((draws < true).sum(0) + within).cpu().numpy()


def _is_fixed(draws: torch.Tensor, true: torch.Tensor) -> bool:
    """Whether the evidence fixes a quantity: the same in every draw, and right."""
    return bool((draws == draws[0]).all()) and torch.allclose(draws[0], true.to(draws), rtol=1e-2, atol=1e-2)


def _warn_of(caught: Sequence[warnings.WarningMessage]) -> None:
    causal = [w for w in caught if issubclass(w.category, CausalWarning)]
    for other in caught:
        if other not in causal:
            warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    if causal:
        warn(f"{len(causal)} warnings in the simulations, first: {causal[0].message}")


# Tests of uniformity --------------------------------------------------------------------------------------------------


def _chi_square(ranks: Array, num_ranked: int) -> float:
    from scipy.stats import chisquare

    bins = min(BINS, num_ranked + 1)
    of_rank = np.arange(num_ranked + 1) * bins // (num_ranked + 1)
    counts = np.bincount(of_rank[ranks], minlength=bins)
    return float(chisquare(counts, np.bincount(of_rank) * len(ranks) / (num_ranked + 1)).pvalue)


def _ecdf_test(ranks: Array, num_ranked: int) -> float:
    counts = np.bincount(ranks, minlength=num_ranked + 1).cumsum()[:-1]
    null = _null_gamma(len(ranks), num_ranked)
    return float((1 + np.searchsorted(null, _gamma(counts, len(ranks)), side="right")) / (1 + len(null)))


def _gamma(counts: Array, simulations: int) -> Array:
    """Least two-sided binomial tail of cumulative counts (Säilynoja et al., 2022, equation 7); over the last axis."""
    from scipy.stats import binom

    points = counts.shape[-1]
    which, where = np.unique(counts * points + np.arange(points), return_inverse=True)  # few are distinct
    k, z = which // points, (which % points + 1) / (points + 1)
    tails = np.minimum(binom.cdf(k, simulations, z), binom.sf(k - 1, simulations, z))
    return np.asarray(2.0 * tails[where].reshape(counts.shape).min(-1))


@lru_cache(maxsize=8)
def _null_gamma(simulations: int, num_ranked: int) -> Array:
    """The law of gamma under uniform ranks, in ascending order, by simulation."""
    rng = np.random.default_rng(0)
    counts = rng.multinomial(simulations, np.full(num_ranked + 1, 1 / (num_ranked + 1)), size=NULL_DRAWS)
    return np.sort(_gamma(counts.cumsum(1)[:, :-1], simulations))


def ecdf_band(simulations: int, num_ranked: int, alpha: float) -> tuple[Array, Array, Array]:
    """Where the empirical distribution of uniform ranks lies as a whole with probability ``1 - alpha``.

    Returns:
        Fractional ranks ``z``, and the lower and upper end of the band at each, ``(num_ranked,)``.
    """
    from scipy.stats import binom

    gamma = np.quantile(_null_gamma(simulations, num_ranked), alpha)
    z = np.arange(1, num_ranked + 1) / (num_ranked + 1)
    lower, upper = binom.ppf(gamma / 2, simulations, z), binom.ppf(1 - gamma / 2, simulations, z)
    return z, lower / simulations, upper / simulations
