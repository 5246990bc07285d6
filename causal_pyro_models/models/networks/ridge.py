"""Ridge regression whose penalty, and whose columns, are those of the largest evidence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

PENALTIES = 10.0 ** torch.arange(-9.0, -2.0, 0.5, dtype=torch.float64)  # per unit
MARGIN = 1.0  # of log evidence, that a later choice of columns must win by


def evidence_ridge(columns: Tensor, target: Tensor, choices: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The coefficients with a normal prior that explain a target best, in float64.

    Args:
        columns: ``(units, columns)``, the scale of each being that of its coefficient's prior.
        target: ``(units,)``.
        choices: indices of the columns that may be taken together, the simplest choice first.

    Returns:
        The coefficients ``(columns,)``, zero where a column was not taken, and the indices of those that were.

    References:
        D. MacKay (1992). Bayesian interpolation. Neural Computation 4.
    """
    units, columns, target = len(target), columns.double(), target.double()
    gram, moment, total = columns.T @ columns, columns.T @ target, target @ target
    penalties = units * PENALTIES.to(columns.device).unsqueeze(-1)
    best, coefficients, taken = torch.tensor(-torch.inf), moment, choices[0]
    for choice in choices:
        values, vectors = torch.linalg.eigh(gram[choice][:, choice])
        values, projected = values.clamp_min(0.0), vectors.T @ moment[choice]
        unexplained = (total - (projected**2 / (values + penalties)).sum(-1)).clamp_min(1e-12 * total)
        evidence = -0.5 * units * unexplained.log() - 0.5 * torch.log1p(values / penalties).sum(-1)
        if evidence.max() > best + MARGIN or torch.isinf(best):
            best, row = evidence.max(), evidence.argmax()
            coefficients, taken = vectors @ (projected / (values + penalties[row])), choice
    result = torch.zeros_like(moment)
    result[taken] = coefficients
    return result, taken
