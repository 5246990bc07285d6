"""Ridge regression whose penalty, and whose columns, are those of the largest evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

PENALTIES = 10.0 ** torch.arange(-9.0, -2.0, 0.5, dtype=torch.float64)  # per unit
MARGIN = 2.0  # of log evidence, that a later choice of columns must win by
PRICE = 0.3  # and for each penalty that it finds more: about what one wins by chance
FREE = 1e-9  # penalty per unit of coefficients that have none, so that columns may depend on each other
BEGIN, STRENGTHS = 1e-3, (1e-6, 1e3)  # penalties per unit of groups: the first, and bounds
SWEEPS, CLOSE = 25, 0.05  # over the penalties of groups, and how little their logarithms move when they are found


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


class Moments(NamedTuple):
    """What a regression needs of its data: products of the columns, with the target, and of that, and their number."""

    gram: Tensor
    moment: Tensor
    total: Tensor
    units: int

    def of(self, columns: Tensor) -> Moments:
        """Those of some columns."""
        return Moments(self.gram[columns][:, columns], self.moment[columns], self.total, self.units)


class Fit(NamedTuple):
    """Coefficients ``(columns,)``, the evidence for their groups, and the penalty of each coefficient."""

    coefficients: Tensor
    evidence: float
    penalties: Tensor


def moments(columns: Tensor, target: Tensor) -> Moments:
    """Those of columns ``(units, columns)`` and a target ``(units,)``, in float64."""
    columns, target = columns.double(), target.double()
    return Moments(columns.T @ columns, columns.T @ target, target @ target, len(target))


def grouped_ridge(data: Moments, groups: Sequence[Tensor]) -> Fit:
    """The regression whose groups of coefficients have normal priors, of variances that the evidence is largest at.

    Args:
        data: of the columns.
        groups: indices of columns that share a prior; columns in none have no penalty.

    References:
        S. Wood, M. Fasiolo (2017). A generalized Fellner-Schall method for smoothing parameter optimization.
        Biometrics 73, equation 5.
    """
    gram, moment, total, units = data
    penalties = torch.full_like(moment, FREE * units)
    if groups:
        member = torch.cat([torch.full((len(group),), i) for i, group in enumerate(groups)])
        penalised, sizes = torch.cat(list(groups)), torch.tensor([len(group) for group in groups]).to(moment)
        found = torch.full_like(sizes, BEGIN * units)
    for _ in range(SWEEPS):
        if groups:
            penalties[penalised] = found[member]
        root = torch.linalg.cholesky(gram + penalties.diag())
        coefficients = torch.cholesky_solve(moment.unsqueeze(-1), root).squeeze(-1)
        unexplained = (total - coefficients @ moment).clamp_min(1e-12 * total)
        if not groups:
            break
        spread, before = torch.cholesky_inverse(root).diagonal(), found
        used = sizes - found * torch.zeros_like(found).index_add_(0, member, spread[penalised])
        size = torch.zeros_like(found).index_add_(0, member, coefficients[penalised].square()) * units / unexplained
        found = (used.clamp_min(1e-9) / size.clamp_min(1e-30)).clamp(*(units * bound for bound in STRENGTHS))
        if bool(((found / before).log().abs() < CLOSE).all()):
            break
    evidence = -0.5 * units * unexplained.log() - root.diagonal().log().sum() + 0.5 * penalties.log().sum()
    return Fit(coefficients, float(evidence), penalties)


def again(data: Moments, fit: Fit) -> Tensor:
    """The coefficients with what the regression finds in its own residuals added, which undoes most of its bias.

    References:
        J. Tukey (1977). Exploratory data analysis, chapter 16 (twicing).
        P. Buhlmann, B. Yu (2003). Boosting with the L2 loss. JASA 98, theorem 1.
    """
    left = data.moment - data.gram @ fit.coefficients
    more: Tensor = torch.linalg.solve(data.gram + fit.penalties.diag(), left)
    return fit.coefficients + more
