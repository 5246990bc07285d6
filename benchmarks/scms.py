"""Structural causal models with explicit noise, so that their counterfactuals are known: the literature's, and our own.

Each equation is a function of its parents, by name, and of the noise ``u``, standard normal unless said otherwise.

References:
    A. Javaloy, P. Sanchez-Martin, I. Valera (2023). Causal normalizing flows: from theory to practice. NeurIPS.
    P. Chao, P. Blöbaum, S. Patel, S. Kasiviswanathan (2023). Modeling causal mechanisms with diffusion models for
        interventional and counterfactual queries.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.distributions import Distribution, Exponential, Gamma, Gumbel, Laplace, Normal, StudentT
from torch.nn.functional import silu, softplus

Equation = Callable[..., Tensor]
Values = Mapping[str, Tensor]

LINEAR, ADDITIVE, NON_ADDITIVE = "linear", "nonlinear additive", "non-additive"
OWN, UNIDENTIFIED = "held out", "not monotone"
STANDARD = Normal(torch.tensor(0.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64))


@dataclass(frozen=True)
class Simulator:
    """A structural causal model that keeps its noise.

    Args:
        name: what tables call it.
        group: the kind of its equations.
        equations: in causal order, by variable.
        laws: of the noise that is not standard normal, by variable.
    """

    name: str
    group: str
    equations: Mapping[str, Equation]
    laws: Mapping[str, Distribution] = field(default_factory=dict)

    @property
    def variables(self) -> list[str]:
        """In causal order."""
        return list(self.equations)

    def parents(self, name: str) -> list[str]:
        """What the equation of a variable reads, but for its noise."""
        return [argument for argument in inspect.signature(self.equations[name]).parameters if argument != "u"]

    @property
    def edges(self) -> list[tuple[str, str]]:
        """From parent to child."""
        return [(parent, name) for name in self.equations for parent in self.parents(name)]

    def descendants(self, name: str) -> list[str]:
        """What a variable affects, itself left out, in causal order."""
        reached = {name}
        for child in self.equations:
            if reached & set(self.parents(child)):
                reached.add(child)
        return [child for child in self.equations if child in reached - {name}]

    def noise(self, n: int, seed: int) -> dict[str, Tensor]:
        """The noise of ``n`` units, float64."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return {name: self.laws.get(name, STANDARD).sample((n,)).double() for name in self.equations}

    def run(self, noise: Values, do: Mapping[str, Tensor | float] | None = None) -> dict[str, Tensor]:
        """The units with this noise, under an intervention: without one as they are, with one their counterfactuals."""
        do, values = do or {}, {}
        for name, equation in self.equations.items():
            natural = equation(**{parent: values[parent] for parent in self.parents(name)}, u=noise[name])
            values[name] = torch.as_tensor(do[name]).to(natural).expand_as(natural) if name in do else natural
        return values

    def log_density(self, noise: Values) -> Tensor:
        """Log density of the units with this noise; right where every equation is monotone in its noise."""
        leaves = {name: u.clone().requires_grad_() for name, u in noise.items()}
        values = {name: value.detach() for name, value in self.run(noise).items()}
        total = torch.zeros_like(next(iter(noise.values())))
        for name, equation in self.equations.items():
            given = {parent: values[parent] for parent in self.parents(name)}
            (slope,) = torch.autograd.grad(equation(**given, u=leaves[name]).sum(), leaves[name])
            total = total + self.laws.get(name, STANDARD).log_prob(noise[name]) - slope.abs().log()
        return total


def _double(law: type[Distribution], *parameters: float) -> Distribution:
    return law(*(torch.tensor(p, dtype=torch.float64) for p in parameters))


def _layer(x: Tensor, u: Tensor) -> Tensor:
    return softplus(x + 1) + softplus(u + 0.5) - 3


LINEAR_SCMS = [
    Simulator(
        "chain 3",
        LINEAR,
        {"x1": lambda u: u, "x2": lambda x1, u: 10 * x1 - u, "x3": lambda x2, u: 0.25 * x2 + 2 * u},
    ),
    Simulator(
        "chain 4",
        LINEAR,
        {
            "x1": lambda u: u,
            "x2": lambda x1, u: 5 * x1 - u,
            "x3": lambda x2, u: -0.5 * x2 - 1.5 * u,
            "x4": lambda x3, u: x3 + u,
        },
    ),
    Simulator(
        "chain 5",
        LINEAR,
        {
            "x1": lambda u: u,
            "x2": lambda x1, u: 10 * x1 - u,
            "x3": lambda x2, u: 0.25 * x2 + 2 * u,
            "x4": lambda x3, u: x3 + u,
            "x5": lambda x4, u: u - x4,
        },
    ),
    Simulator(
        "collider",
        LINEAR,
        {"x1": lambda u: u, "x2": lambda u: 2 - u, "x3": lambda x1, x2, u: 0.25 * x2 - 0.5 * x1 + 0.5 * u},
    ),
    Simulator(
        "fork",
        LINEAR,
        {
            "x1": lambda u: u,
            "x2": lambda u: 2 - u,
            "x3": lambda x1, x2, u: 0.25 * x2 - 1.5 * x1 + 0.5 * u,
            "x4": lambda x3, u: x3 + 0.25 * u,
        },
    ),
    Simulator(
        "triangle",
        LINEAR,
        {"x1": lambda u: u + 1, "x2": lambda x1, u: 10 * x1 - u, "x3": lambda x1, x2, u: 0.5 * x2 + x1 + u},
    ),
]


def _ladder(rungs: int, additive: bool, group: str) -> Simulator:
    """Rungs of two super-nodes of three variables, each a random network of all variables of the super-nodes before.

    Of the super-nodes of Chao et al., the i-th has the edges i-2 -> i, and i-1 -> i where i is even.
    """
    generator = torch.Generator().manual_seed(0)
    equations: dict[str, Equation] = {}
    for node in range(1, 2 * rungs + 1):
        before = [node - 2] + ([node - 1] if node % 2 == 0 else [])
        causes = [f"x{3 * (b - 1) + i}" for b in before if b >= 1 for i in (1, 2, 3)]
        inputs = len(causes) + (0 if additive else 1)
        first = torch.randn(6, max(inputs, 1), generator=generator).double()
        second = torch.randn(3, 6, generator=generator).double() / math.sqrt(6)
        for i in range(3):
            equations[f"x{3 * (node - 1) + i + 1}"] = _network(causes, first, second[i], additive)
    return Simulator("ladder" if additive else "ladder, published", group, equations)


def _network(causes: list[str], first: Tensor, second: Tensor, additive: bool) -> Equation:
    if not causes:
        return lambda u: u

    def equation(u: Tensor, **parents: Tensor) -> Tensor:
        read = [parents[c] for c in causes] if additive else [*(parents[c] for c in causes), u]
        value = 0.75 * (silu(torch.stack(read, -1) @ first.T) @ second)
        return value + u if additive else value

    names = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in (*causes, "u")]
    equation.__signature__ = inspect.Signature(names)  # type: ignore[attr-defined]
    return equation


ADDITIVE_SCMS = [  # the nonlinear triangle, chain and Y of Chao et al. are the first three on other scales
    Simulator(
        "nonlinear chain",
        ADDITIVE,
        {
            "x1": lambda u: u,
            "x2": lambda x1, u: (x1 / 2).exp() + u / 4,
            "x3": lambda x2, u: (x2 - 5) ** 3 / 15 + u,
        },
    ),
    Simulator(
        "nonlinear fork (Y)",
        ADDITIVE,
        {
            "x1": lambda u: u,
            "x2": lambda u: u,
            "x3": lambda x1, x2, u: 4 * torch.sigmoid(x1 + x2) - x2**2 + u / 2,
            "x4": lambda x3, u: 20 * torch.sigmoid(x3 - x3**2 / 2) + u,
        },
    ),
    Simulator(
        "nonlinear triangle",
        ADDITIVE,
        {
            "x1": lambda u: u,
            "x2": lambda x1, u: 2 * x1**2 + u,
            "x3": lambda x1, x2, u: 20 * torch.sigmoid(x2**2 - x1) + u,
        },
    ),
    Simulator(
        "diamond",  # of Chao et al.: that of Javaloy et al. has a pole
        ADDITIVE,
        {
            "x1": lambda u: u,
            "x2": lambda x1, u: (x1**2 + u / 2) / 1.5,
            "x3": lambda x1, x2, u: (x2**2 - 2 * torch.sigmoid(x1) + u / 2) / 1.27,
            "x4": lambda x2, x3, u: (x3 / ((x2 + x3).abs() + 0.5) + u / 5) / 0.54,
        },
    ),
    Simulator(
        "Simpson, nonlinear",
        ADDITIVE,
        {
            "x1": lambda u: u,
            "x2": lambda x1, u: softplus(1 - x1) + math.sqrt(3 / 20) * u,
            "x3": lambda x1, x2, u: (2 * x2).tanh() + 1.5 * x1 - 1 + u.tanh(),
            "x4": lambda x3, u: (x3 - 4) / 5 + 3 + u / math.sqrt(10),
        },
    ),
    Simulator(
        "Simpson, symmetric product",
        ADDITIVE,
        {
            "x1": lambda u: u,
            "x2": lambda x1, u: 2 * (2 * x1).tanh() + u / math.sqrt(10),
            "x3": lambda x1, x2, u: x1 * x2 / 2 + u / math.sqrt(2),
            "x4": lambda x1, u: (1.5 * x1).tanh() + math.sqrt(0.3) * u,
        },
    ),
    Simulator(
        "large back-door",
        ADDITIVE,
        {
            "x1": lambda u: softplus(1.8 * u) - 1,
            "x2": lambda x1, u: 1.5 * _layer(x1, torch.zeros_like(u)) + u / 4,
            "x3": lambda x1, u: _layer(x1, u),
            "x4": lambda x2, u: _layer(x2, u),
            "x5": lambda x3, u: _layer(x3, u),
            "x6": lambda x4, u: _layer(x4, u),
            "x7": lambda x5, u: _layer(x5, u),
            "x8": lambda x6, u: softplus(x6 + 1) - 1 + 0.3 * u,
            "x9": lambda x7, x8, u: 2 - softplus((1.3 * x7 + x8) / 3 + 1) + u,
        },
        {"x9": _double(Laplace, 0.0, 0.6)},
    ),
    _ladder(2, True, ADDITIVE),
]
NON_ADDITIVE_SCMS = [
    Simulator(
        "skewed chain",
        NON_ADDITIVE,
        {
            "x1": lambda u: (0.6 * u).exp(),
            "x2": lambda x1, u: x1 + (0.3 * x1 + 0.5 * u).exp() / 3,
            "x3": lambda x2, u: x2.sqrt() * 2 + softplus(1.5 * u) * (0.3 + 0.2 * x2),
        },
    ),
    Simulator(
        "non-additive triangle",
        NON_ADDITIVE,
        {
            "x1": lambda u: u,
            "x2": lambda x1, u: x1 + (0.2 + torch.sigmoid(2 * x1)) * u,
            "x3": lambda x1, x2, u: (0.5 * (x2 - x1) + 0.7 * u).sinh() + x1,
        },
    ),
    Simulator(
        "non-additive diamond",
        NON_ADDITIVE,
        {
            "x1": lambda u: u,
            "x2": lambda x1, u: softplus(1.5 * x1 + u),
            "x3": lambda x1, u: (x1 + u).tanh() + 0.3 * u,
            "x4": lambda x2, x3, u: x2 * x3 + (1 + x2) * (u + (2 * u).tanh() * torch.sigmoid(3 * x3)) / 3,
        },
    ),
    Simulator(
        "non-additive chain",
        NON_ADDITIVE,
        {
            "x1": lambda u: u,
            "x2": lambda x1, u: (u.asinh() + 0.8 * x1.tanh()).sinh() + x1,
            "x3": lambda x2, u: torch.sigmoid(x2 + 1.5 * u) + 0.1 * x2 * x2 * (u / 2).exp(),
        },
    ),
]


def _bimodal(u: Tensor, gap: Tensor | float) -> Tensor:
    return u + gap * (4 * u).tanh()


HELD_OUT_SCMS = [
    Simulator(
        "heteroscedastic waves",
        OWN,
        {
            "a": lambda u: u,
            "b": lambda a, u: (2 * a).sin() + (0.2 + 0.5 * torch.sigmoid(2 * a)) * u,
            "c": lambda a, b, u: a * b / 2 + 0.3 * (0.4 * b - 0.3 * a).exp() * u,
        },
    ),
    Simulator(
        "skewed fork",
        OWN,
        {
            "a": lambda u: u,
            "b": lambda a, u: a.abs().sqrt() + u / 2,
            "c": lambda a, u: (1.5 * a).cos() + u / 3,
            "d": lambda b, c, u: b * c + u,
        },
        {"a": _double(Gamma, 3.0, 1.5), "b": _double(Exponential, 1.0), "c": _double(Gumbel, 0.0, 1.0)},
    ),
    Simulator(
        "two modes",
        OWN,
        {
            "a": lambda u: u,
            "b": lambda a, u: (1.5 * a).cos() + 0.3 * _bimodal(u, 2.0),
            "c": lambda a, b, u: b / 2 + 0.2 * a**2 + 0.4 * _bimodal(u, 1.5),
        },
    ),
    Simulator(
        "modes that part",
        OWN,
        {
            "a": lambda u: u,
            "b": lambda a, u: a / 2 + 0.5 * _bimodal(u, softplus(2 * a)),
            "c": lambda b, u: (b / 2).tanh() + 0.3 * (1 + b.abs()) * u,
        },
    ),
    Simulator(
        "multiplicative",
        OWN,
        {
            "a": lambda u: (0.5 * u).exp(),
            "b": lambda a, u: a.sqrt() * (0.4 * u).exp(),
            "c": lambda a, b, u: softplus(a - b + (0.5 + b / 2) * u),
        },
    ),
    Simulator(
        "bounded",
        OWN,
        {
            "a": lambda u: 2 * torch.special.ndtr(u) - 1,
            "b": lambda a, u: torch.sigmoid(3 * a + 1.5 * u),
            "c": lambda a, b, u: 3 * torch.sigmoid(a + 2 * b - 1 + (0.5 + b) * u),
        },
    ),
    Simulator(
        "skewness by the parents",
        OWN,
        {
            "a": lambda u: u,
            "b": lambda u: u,
            "c": lambda a, b, u: (u.asinh() + 0.6 * (a - b).tanh()).sinh() + (a * b).tanh(),
            "d": lambda c, b, u: c / 2 + 0.3 * (b + u).exp() ** 0.5,
        },
    ),
    Simulator(
        "six parents, heavy tails",
        OWN,
        {
            **{name: (lambda u: u) for name in "abcdef"},
            "y": lambda a, b, c, d, e, f, u: a * b + c.sin() + d.abs() - e + f.tanh() + (0.3 + 0.1 * a**2) * u,
        },
        {"y": _double(StudentT, 5.0)},
    ),
]
UNIDENTIFIED_SCMS = [  # the non-additive equations of Chao et al.: not monotone in the noise
    Simulator(
        "triangle, published",
        UNIDENTIFIED,
        {
            "x1": lambda u: u,
            "x2": lambda x1, u: (x1 / ((u + x1) ** 2 + 1) + u / 4) / 0.47,
            "x3": lambda x1, x2, u: (u.abs() + 0.3) * (-x1 + x2 / 2 + u.abs() / 5) ** 2 / 0.93,
        },
    ),
    Simulator(
        "chain, published",
        UNIDENTIFIED,
        {
            "x1": lambda u: u,
            "x2": lambda x1, u: 1 / ((u + x1) ** 2 + 0.5) / 0.63,
            "x3": lambda x2, u: (x2 + u.abs()).sqrt() / (0.1 + x2),
        },
    ),
    Simulator(
        "diamond, published",
        UNIDENTIFIED,
        {
            "x1": lambda u: u,
            "x2": lambda x1, u: (x1.abs().sqrt() * (u.abs() + 0.1) / 2 + x1.abs() + u / 5) / 0.83,
            "x3": lambda x1, x2, u: 6 / (1 + (u.abs() + 0.5) * (x1 - x2).exp()),
            "x4": lambda x2, x3, u: ((x3 + x2 + u / 4 - 7) ** 2 - 20) / 7.27,
        },
    ),
    Simulator(
        "Y, published",
        UNIDENTIFIED,
        {
            "x1": lambda u: u,
            "x2": lambda u: u,
            "x3": lambda x1, x2, u: (x1 - 2 * x2 - 2) * (u.abs() + 0.2) / 2.87,
            "x4": lambda x3, u: 1 / ((u + 2 * x3).abs() + 0.5) / 0.43,
        },
    ),
    _ladder(2, False, UNIDENTIFIED),
]
SCMS = {s.name: s for s in (*LINEAR_SCMS, *ADDITIVE_SCMS, *NON_ADDITIVE_SCMS, *HELD_OUT_SCMS, *UNIDENTIFIED_SCMS)}
SCALAR = Simulator(
    "scalar",
    NON_ADDITIVE,
    {"x": lambda u: u, "y": lambda x, u: (2 * x).sin() + (0.8 * x).exp() * (u + 0.5 * (u + x).tanh())},
)
