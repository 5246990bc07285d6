"""Importance weights: smoothed, turned into draws of equal weight, and how many draws they are worth."""

from typing import TypeAlias

import numpy as np
import torch

Vector: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]

LARGE_WEIGHT = 0.01  # the share of one draw beyond which its weight needs a look at the tail
EVEN_WEIGHT = 4.0  # times the mean, up to which the largest weight is no tail
SHORTEST_TAIL = 5  # draws that a Pareto law is fitted to
PRIOR_DRAWS = 10  # that the prior of its shape, a half, is worth


def effective_sample_size(log_weights: torch.Tensor) -> torch.Tensor:
    """How many draws of equal weight are worth as much, of normalised log weights along the first dimension."""
    return 1.0 / (2.0 * log_weights).logsumexp(0).exp()


def resampling(log_weights: torch.Tensor, draws: int | None = None) -> torch.Tensor:
    """Indices, in ascending order, of draws that are of equal weight: each as often as its weight says.

    Systematic resampling over the first dimension, from the middle of the first step: the weights alone decide, so that
    all that shares them is resampled alike. Each draw comes up as often as its weight times the number of draws says,
    but for less than one.

    Args:
        log_weights: normalised, along the first dimension.
        draws: how many to choose; by default as many as there are weights.

    References:
        G. Kitagawa (1996), Monte Carlo filter and smoother for non-Gaussian nonlinear state space models.

    Example:
        >>> resampling(torch.tensor([0.5, 0.25, 0.0, 0.25]).log())
        tensor([0, 0, 1, 3])
    """
    draws = draws or len(log_weights)
    cumulative = log_weights.double().exp().cumsum(0).movedim(0, -1).contiguous()
    steps = (torch.arange(draws, device=log_weights.device, dtype=torch.double) + 0.5) / draws
    found = torch.searchsorted(cumulative, (steps * cumulative[..., -1:]).contiguous())
    return found.movedim(-1, 0).clamp(max=len(log_weights) - 1)


def pareto_smooth(log_weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Smoothed, normalised log weights and k-hat; weights that are all equal need no smoothing.

    Where the largest weight is under four times the mean there is no tail: weights stay as they are, and k-hat is 0.
    Weights of a few distinct values, as of discrete evidence, have none that a Pareto distribution could be fitted to:
    k-hat is then 0 where none of them is large, and infinite otherwise.

    References:
        Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> smoothed, k = pareto_smooth(0.7 * torch.randn(1_000).exp())
        >>> round(float(smoothed.exp().sum()), 4), bool(k > 0.7)
        (1.0, True)
    """
    raw = log_weights.double().movedim(0, -1).cpu().numpy()
    flat = raw.reshape(-1, raw.shape[-1])
    top = flat.max(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        smoothed = flat - top - np.log(np.exp(flat - top).sum(-1, keepdims=True))
    k = np.zeros(len(flat))
    for row in np.flatnonzero(smoothed.max(-1) > np.log(EVEN_WEIGHT / flat.shape[-1])):
        smoothed[row], k[row] = _with_smooth_tail(flat[row] - top[row])
    k = np.where(np.isinf(k) & (smoothed.max(-1) < np.log(LARGE_WEIGHT)), 0.0, k)
    smoothed = torch.from_numpy(np.asarray(smoothed).reshape(raw.shape)).to(log_weights.device).movedim(-1, 0)
    smoothed = smoothed - smoothed.logsumexp(0)
    return smoothed.to(log_weights.dtype), torch.as_tensor(k.reshape(-1), device=log_weights.device)


def _with_smooth_tail(log_weights: Vector) -> tuple[Vector, float]:
    """Log weights, the largest of them 0, whose tail is that of the Pareto law fitted to it, normalised; and k-hat."""
    count = len(log_weights)
    order = np.argsort(log_weights)
    length = int(np.ceil(min(count / 5, 3 * count**0.5)))
    cutoff = max(log_weights[order[max(count - length - 1, 0)]], np.log(np.finfo(float).tiny))
    tail = np.flatnonzero(log_weights > cutoff)
    tail = tail[np.argsort(log_weights[tail])]
    smoothed, k = log_weights.copy(), np.inf
    if len(tail) >= SHORTEST_TAIL:
        excess = np.exp(log_weights[tail]) - np.exp(cutoff)
        k, scale = _generalised_pareto(excess)
        if np.isfinite(k):
            upper = -np.log1p(-np.arange(0.5, len(tail)) / len(tail))
            with np.errstate(over="ignore"):  # beyond the largest weight, where it ends
                quantiles = scale * (np.expm1(k * upper) / k if abs(k) > np.finfo(float).eps else upper)
            smoothed[tail] = np.minimum(np.log(quantiles + np.exp(cutoff)), 0.0)
    return smoothed - np.log(np.exp(smoothed).sum()), float(k)


def _generalised_pareto(excess: Vector) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto law fitted to excesses in ascending order, the shape drawn to 1/2.

    References:
        J. Zhang, M. A. Stephens (2009). A new and efficient estimation method for the generalized Pareto distribution.
        Technometrics, with the prior of Vehtari et al. (2024), appendix C.
    """
    n = len(excess)
    points = 30 + int(n**0.5)
    quartile = excess[int(n / 4 + 0.5) - 1]
    theta = 1 / excess[-1] + (1 - np.sqrt(points / (np.arange(1, points + 1) - 0.5))) / (3 * quartile)
    with np.errstate(over="ignore", invalid="ignore"):  # of points whose share then is zero
        shapes = np.log1p(-theta[:, None] * excess).mean(1)
        profile = n * (np.log(-theta / shapes) - shapes - 1)
        share = 1 / np.exp(profile - profile[:, None]).sum(1)
    share = np.where(share >= 10 * np.finfo(float).eps, share, 0.0)
    found = (theta * share).sum() / share.sum()
    k = np.log1p(-found * excess).mean()
    return float((n * k + PRIOR_DRAWS * 0.5) / (n + PRIOR_DRAWS)), float(-k / found)
