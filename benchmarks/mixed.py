"""Structural causal models of discrete and continuous variables, whose interventional probabilities are exact."""

from typing import Any

import torch
from torch import Tensor

import causal_pyro_models as cpm
from causal_pyro_models.data import Binary, Categorical, Continuous, Ordinal
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models import CausalFlow

GRID = torch.linspace(-8.0, 8.0, 20_001, dtype=torch.float64)
WEIGHT = torch.exp(-0.5 * GRID**2) / torch.exp(-0.5 * GRID**2).sum()  # of the standard normal law, on the grid
UNITS = 100_000  # to train on: of 20,000, the data themselves leave a probability at a point open by .01 to .02
DRAWS = 400_000

# dose: Z ~ Bernoulli(.4); C in three classes given Z; X = dose given Z and C; Y ~ Bernoulli given X, C
CLASS = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]], dtype=torch.float64)
SHIFT = torch.tensor([-0.5, 0.3, 1.0], dtype=torch.float64)


def _outcome(x: Tensor, c: Tensor) -> Tensor:
    return torch.sigmoid(1.5 * x.sin() + SHIFT[c] * x - 0.4)


def _grade(y: Tensor) -> Tensor:
    """P(at least level 1), P(level 2) of an ordinal grade given a real cause."""
    return torch.stack([torch.sigmoid(y + 0.5), torch.sigmoid(1.5 * y - 1.5) * torch.sigmoid(y + 0.5)], -1)


def dose(n: int) -> dict[str, Tensor]:
    """Binary, categorical, real and binary."""
    z = (torch.rand(n) < 0.4).double()
    c = torch.multinomial(CLASS[z.long()], 1).squeeze(-1)
    x = 0.8 * z + SHIFT[c] + (0.5 + 0.3 * z) * torch.randn(n, dtype=torch.float64)
    return {"Z": z, "C": c, "X": x, "Y": (torch.rand(n) < _outcome(x, c)).double()}


def grade(n: int) -> dict[str, Tensor]:
    """Real, binary, real and ordinal."""
    a = torch.randn(n, dtype=torch.float64)
    t = (torch.rand(n) < torch.sigmoid(1.2 * a)).double()
    m = a**2 / 2 + t + 0.7 * torch.randn(n, dtype=torch.float64)
    levels = (torch.rand(n, 1) < _grade(m - a)).double()
    return {"A": a, "T": t, "M": m, "G": levels.cumprod(-1).sum(-1).long()}


def _exact_dose(do: dict[str, float]) -> float:
    """P(Y = 1) under an intervention, by summing over Z and C and quadrature over the noise of X."""
    total = 0.0
    for z, p_z in enumerate((0.6, 0.4)):
        z_now = int(do.get("Z", z))
        for c in range(3):
            p_c = float(CLASS[z_now, c])
            if "C" in do:
                p_c = float(c == do["C"])
            x = 0.8 * z_now + SHIFT[c] + (0.5 + 0.3 * z_now) * GRID
            x = torch.full_like(x, do["X"]) if "X" in do else x
            total += p_z * p_c * float((WEIGHT * _outcome(x, torch.tensor(c))).sum())
    return total


def _exact_grade(t: float) -> float:
    """P(G = 2 | do(T = t)) by quadrature over A and the noise of M."""
    a = GRID[::40]
    weight = WEIGHT[::40] / WEIGHT[::40].sum()
    m = a[:, None] ** 2 / 2 + t + 0.7 * a[None, :]
    top = _grade(m - a[:, None])
    return float((weight[:, None] * weight[None, :] * top[..., 1]).sum())


def probabilities() -> list[dict[str, Any]]:
    """Interventional probabilities of a trained CausalFlow, beside the exact ones."""
    torch.manual_seed(0)
    rows = []
    model = CausalFlow(
        CausalGraph(["Z", "C", "X", "Y"], [("Z", "C"), ("Z", "X"), ("C", "X"), ("X", "Y"), ("C", "Y")]),
        {"Z": Binary(), "C": Categorical(3), "X": Continuous(), "Y": Binary()},
    )
    cpm.fit(model, dose(UNITS), seed=0, progress=False)
    for do in ({"Z": 0.0}, {"Z": 1.0}, {"C": 0}, {"C": 2}, {"X": 0.0}, {"X": 1.5}, {"Z": 1.0, "X": 0.0}):
        found = cpm.sample(cpm.intervene(model, do), DRAWS, seed=1)["Y"].double().mean()
        query = "P(Y=1), " + " and ".join(f"{name}={value:g}" for name, value in do.items())
        rows.append({"scm": "dose", "query": query, "exact": _exact_dose(do), "found": float(found)})
    model = CausalFlow(
        CausalGraph(["A", "T", "M", "G"], [("A", "T"), ("A", "M"), ("T", "M"), ("M", "G"), ("A", "G")]),
        {"A": Continuous(), "T": Binary(), "M": Continuous(), "G": Ordinal(3)},
    )
    cpm.fit(model, grade(UNITS), seed=0, progress=False)
    for t in (0.0, 1.0):
        found = (cpm.sample(cpm.intervene(model, {"T": t}), DRAWS, seed=1)["G"] == 2).double().mean()
        rows.append({"scm": "grade", "query": f"P(G=2), T={t:g}", "exact": _exact_grade(t), "found": float(found)})
    return rows
