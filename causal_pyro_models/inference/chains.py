"""How well Markov chains mix: R-hat and effective sample size, of many scalars at once."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Values: TypeAlias = np.ndarray[Any, Any]

FEWEST_DRAWS = 4  # of a chain, that either is defined for
TAILS = (0.05, 0.95)


def r_hat(draws: Values) -> Values:
    """Rank-normalised split R-hat of each scalar, the larger of that of its values and that of their spread.

    Args:
        draws: ``(chains, draws, scalars)``, four draws of a chain or more.

    References:
        Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021), Rank-normalization, folding, and localization: an
        improved R-hat for assessing convergence of MCMC. Bayesian Analysis.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> draws = rng.normal(size=(4, 1_000, 2))
        >>> draws[0, :, 1] += 3.0  # a chain that is elsewhere
        >>> r_hat(draws).round(1)
        array([1. , 1.5])
    """
    halves = _halves(draws)
    folded = np.abs(halves - np.median(halves, axis=(0, 1)))
    found: Values = np.maximum(_between(_normal_scores(halves)), _between(_normal_scores(folded)))
    return found


def bulk_effective_sample_size(draws: Values) -> Values:
    """Effective sample size of each scalar for its location; see :func:`r_hat`.

    Example:
        >>> draws = np.random.default_rng(0).normal(size=(4, 1_000, 1)).cumsum(1)  # random walks
        >>> bool(bulk_effective_sample_size(draws) < 30.0)
        True
    """
    return _effective(_normal_scores(_halves(draws)))


def tail_effective_sample_size(draws: Values) -> Values:
    """Effective sample size of each scalar for its 5% and 95% quantiles, the smaller of the two; see :func:`r_hat`."""
    ends = np.quantile(draws, TAILS, axis=(0, 1))
    found: Values = np.minimum(*(_effective(_halves((draws <= end).astype(float))) for end in ends))
    return found


def _halves(draws: Values) -> Values:
    """Each chain as two: its first and its last half."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, -half:]])


def _normal_scores(draws: Values) -> Values:
    """The normal scores of ranks among all draws of a scalar (Blom 1958)."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    ranks = rankdata(draws.reshape(-1, draws.shape[-1]), axis=0)
    scores: Values = ndtri((ranks - 0.375) / (len(ranks) + 0.25))
    return scores.reshape(draws.shape)


def _between(draws: Values) -> Values:
    """The R-hat of Gelman and Rubin (1992)."""
    size = draws.shape[1]
    between = size * draws.mean(1).var(0, ddof=1)
    found: Values = np.sqrt((between / draws.var(1, ddof=1).mean(0) + size - 1) / size)
    return found


def _effective(draws: Values) -> Values:
    """Effective sample size, autocorrelations summed by Geyer's initial monotone sequence (1992)."""
    chains, size = draws.shape[:2]
    centred = draws - draws.mean(1, keepdims=True)
    spectrum = np.fft.rfft(centred, 2 * size, axis=1)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, 2 * size, axis=1)[:, :size].mean(0) / size
    within = covariance[0] * size / (size - 1)
    total = covariance[0] + (draws.mean(1).var(0, ddof=1) if chains > 1 else 0.0)
    constant = np.ptp(draws, axis=(0, 1)) < np.finfo(float).resolution
    correlation = 1 - (within - covariance) / np.where(constant, 1.0, total)
    correlation[0] = 1.0
    pairs = max(1, (size - 1) // 2)
    even = correlation[0 : 2 * pairs : 2]
    sums = even + correlation[1 : 2 * pairs : 2]
    positive = np.minimum.accumulate(sums, 0)
    last = np.where((sums <= 0).any(0), (sums <= 0).argmax(0), pairs - 1)
    kept = np.where(np.arange(pairs)[:, None] < last, positive, 0.0).sum(0)
    at = np.take_along_axis(even, last[None], 0)[0]
    rest = np.where((at > 0) | (np.take_along_axis(sums, last[None], 0)[0] >= 0), at, 0.0)
    time = np.maximum(2 * kept + rest - 1, 1 / np.log10(chains * size))
    found: Values = np.where(constant, chains * size, chains * size / time)
    return found
