"""The law of the noise: as declared, free of the parents, and enough evidence against it counted as such."""

from __future__ import annotations

import math

import scipy.special
import torch
from torch import Tensor

from causal_pyro_models.evaluation.conformance.subject import ERROR_RATE, Finding, Findings, Subject, sites
from causal_pyro_models.inference import abduct
from causal_pyro_models.scm.mechanisms.registry import Distribution
from causal_pyro_models.scm.mechanisms.samples import draw, kolmogorov, ranks
from causal_pyro_models.scm.sites import noise_name

SHARED = 16  # values of the noise whose density must be the same for every unit
DECLARED = 4  # draws of the declared law to each unit


class Evidence:
    """The p-values of several tests, judged together by Bonferroni's correction."""

    def __init__(self) -> None:
        self.p_values: list[tuple[float, str]] = []

    def add(self, p_value: float, failure: str) -> None:
        """One more test, and what its rejection means."""
        self.p_values.append((p_value, failure))

    def deviate(self, z: float, failure: str) -> None:
        """One more test, whose statistic is a standard normal deviate."""
        self.add(2 * float(scipy.special.ndtr(-abs(z))), failure)

    def findings(self) -> Findings:
        """The smallest p-value, corrected, in decimal digits; nothing where there were no tests."""
        if self.p_values:
            p_value, failure = min(self.p_values)
            digits = max(0.0, -math.log10(max(p_value * len(self.p_values), 1e-300)))
            yield Finding(digits, -math.log10(ERROR_RATE), f"{failure}, in digits of a p-value")


def noise_law(subject: Subject) -> Findings:
    """Abducted noise over units of the model itself, what it hides known, against what is declared of it."""
    population = subject.population
    noise = abduct(subject.plain, population, seed=subject.seed + 2)
    found = Evidence()
    before: dict[str, Tensor] = {}
    for name, site in sites(subject.model, population).items():
        u = noise[noise_name(name)]
        failure = f"the law of the noise of {name!r} is not the same for all units"
        yield Finding(_dependence(site.mechanism.noise), 1e-4, failure)
        _compare(found, name, u, site.mechanism.noise)
        _relate(found, name, u, before)
        before |= {repr(name): population[name], f"the noise of {name!r}": u}
    yield from found.findings()


def _dependence(law: Distribution) -> float:
    """How far the log densities of units differ at the same noise."""
    if not law.batch_shape:
        return 0.0
    shared = draw(law, SHARED)[:, :1].expand(SHARED, *law.batch_shape, *law.event_shape)
    density = law.log_prob(shared)
    return float(((density - density[:, :1]).abs() / (1 + density[:, :1].abs())).max())


def _compare(found: Evidence, name: str, u: Tensor, declared: Distribution) -> None:
    """Kolmogorov and Smirnov's test of each coordinate."""
    drawn = draw(declared, DECLARED).reshape(DECLARED * len(u), -1)
    for distance in kolmogorov(u.reshape(len(u), -1), drawn).tolist():
        found.add(2 * math.exp(-2 * distance**2), f"the noise of {name!r} does not follow its law")


def _relate(found: Evidence, name: str, u: Tensor, before: dict[str, Tensor]) -> None:
    """Correlations of ranks and of squared ranks with all that came before."""
    own = _scores(u)
    for other, value in before.items():
        for z in (own.T @ _scores(value) / math.sqrt(len(u))).flatten().tolist():
            found.deviate(z, f"the noise of {name!r} depends on {other}")


def _scores(value: Tensor) -> Tensor:
    """The first two Legendre polynomials of the ranks of each coordinate that varies: mean 0, variance 1, no tails."""
    columns = value.reshape(len(value), -1)
    centred = 2 * ranks(columns[:, columns.amax(0) > columns.amin(0)]) - 1
    return torch.cat([math.sqrt(3) * centred, math.sqrt(5) * (1.5 * centred.square() - 0.5)], 1)
