"""Importance weights: smoothed, turned into draws of equal weight, and how many draws they are worth."""

import numpy as np
import torch

LARGE_WEIGHT = 0.01  # the share of one draw beyond which its weight needs a look at the tail
EVEN_WEIGHT = 4.0  # times the mean, up to which the largest weight is no tail


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
    """
    import arviz

    raw = log_weights.double().movedim(0, -1).cpu().numpy()
    flat = raw.reshape(-1, raw.shape[-1])
    top = flat.max(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        smoothed = flat - top - np.log(np.exp(flat - top).sum(-1, keepdims=True))
    k, tailed = np.zeros(len(flat)), smoothed.max(-1) > np.log(EVEN_WEIGHT / flat.shape[-1])
    if tailed.any():
        with np.errstate(over="ignore"):  # in the fit, of terms whose share then is zero
            fitted = arviz.psislw(np.where(np.isneginf(flat[tailed]), np.finfo(float).min / 4, flat[tailed]))
        smoothed[tailed], k[tailed] = fitted
    k = np.where(np.isinf(k) & (smoothed.max(-1) < np.log(LARGE_WEIGHT)), 0.0, k)
    smoothed = torch.from_numpy(np.asarray(smoothed).reshape(raw.shape)).to(log_weights.device).movedim(-1, 0)
    smoothed = smoothed - smoothed.logsumexp(0)
    return smoothed.to(log_weights.dtype), torch.as_tensor(k.reshape(-1), device=log_weights.device)
