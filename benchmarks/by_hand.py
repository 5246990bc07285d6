"""The tutorial models without Pyro and without this package: exact draws of what is hidden, and worlds on it.

Posteriors are independent draws, from a grid over the one parameter that is not conjugate, from all assignments of
discrete sites, and from normal laws in closed form. They are what a user would derive by hand, and the truth here.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import product

import numpy as np
import torch
import tutorials
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit, logsumexp

Array = NDArray[np.float64]
Values = dict[str, Array]
GRID = 2_000


class ByHand(ABC):
    """A model by hand; arrays are ``(draws, ...)`` in the shape of the site."""

    @abstractmethod
    def prior(self, n: int, rng: np.random.Generator) -> Values:
        """Draws of all that a world needs: parameters, noise, and natural values of what only interventions change."""

    @abstractmethod
    def latents(self, n: int, seen: Values, rng: np.random.Generator) -> Values:
        """Draws of the sites that the evidence does not show."""

    @abstractmethod
    def noise(self, sites: Values, rng: np.random.Generator) -> Values:
        """What a world needs, given draws of all sites."""

    def posterior(self, n: int, seen: Values, rng: np.random.Generator) -> Values:
        """What a world needs, given evidence."""
        return self.noise({**self.latents(n, seen, rng), **repeated(seen, n)}, rng)

    @abstractmethod
    def world(self, hidden: Values, do: Mapping[str, float]) -> Values:
        """The values of the sites under an intervention."""


def repeated(values: Values, n: int) -> Values:
    """Values as draws, all alike."""
    return {name: np.broadcast_to(value, (n, *value.shape)) for name, value in values.items()}


def chosen(log_weights: Array, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices drawn in proportion to unnormalised weights."""
    return rng.choice(len(log_weights), n, p=np.exp(log_weights - logsumexp(log_weights)))


def conditioned(prior: Array, reads: Array, noise: Array, seen: Array) -> tuple[float, Array, Array]:
    """A normal vector of mean zero, of which linear functions were seen with noise: evidence, mean, root of covariance.

    Args:
        prior: its covariance, ``(k, k)``.
        reads: the linear functions, ``(m, k)``.
        noise: variances, ``(m,)``.
        seen: ``(m,)``.
    """
    total = reads @ prior @ reads.T + np.diag(noise)
    gain = np.linalg.solve(total, reads @ prior).T
    covariance = prior - gain @ reads @ prior
    evidence = float(stats.multivariate_normal(np.zeros(len(seen)), total).logpdf(seen))
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return evidence, gain @ seen, vectors * np.sqrt(values.clip(0.0))


def over_grid(parts: list[tuple[float, Array, Array]], n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draws from a mixture of normal laws, one for each point of a grid: which point, and the vector."""
    index = chosen(np.array([part[0] for part in parts]), n, rng)
    means, roots = np.stack([part[1] for part in parts]), np.stack([part[2] for part in parts])
    return index, means[index] + np.einsum("nij,nj->ni", roots[index], rng.standard_normal((n, means.shape[1])))


def middles(n: int) -> Array:
    """The middles of n equal parts of (0, 1)."""
    return (np.arange(n) + 0.5) / n


class Regression(ByHand):
    """sigma on a grid, weights and bias normal."""

    def prior(self, n: int, rng: np.random.Generator) -> Values:
        z = rng.standard_normal((n, tutorials.PEOPLE))
        return {
            "sigma": rng.uniform(0.0, 3.0, n),
            "weights": rng.standard_normal((n, 3)) * [1.0, 1.0, 2.0],
            "Z": z,
            "X": (rng.uniform(size=z.shape) < expit(z)).astype(float),
            "U_Y": rng.standard_normal(z.shape),
        }

    def latents(self, n: int, seen: Values, rng: np.random.Generator) -> Values:
        reads = np.stack([seen["X"], seen["Z"], np.ones_like(seen["Z"])], -1)
        sigmas = 3.0 * middles(GRID)
        prior = np.diag([1.0, 1.0, 4.0])
        parts = [conditioned(prior, reads, np.full(len(reads), s**2), seen["Y"]) for s in sigmas]
        index, weights = over_grid(parts, n, rng)
        return {"sigma": sigmas[index], "linear.weight": weights[:, None, :2], "linear.bias": weights[:, 2:]}

    def noise(self, sites: Values, rng: np.random.Generator) -> Values:
        weights = np.c_[sites["linear.weight"][:, 0], sites["linear.bias"]]
        mean = weights[:, :1] * sites["X"] + weights[:, 1:2] * sites["Z"] + weights[:, 2:]
        return {**sites, "weights": weights, "U_Y": (sites["Y"] - mean) / sites["sigma"][:, None]}

    def world(self, hidden: Values, do: Mapping[str, float]) -> Values:
        x = np.full_like(hidden["X"], do["X"]) if "X" in do else hidden["X"]
        w = hidden["weights"][:, :, None]
        y = w[:, 0] * x + w[:, 1] * hidden["Z"] + w[:, 2] + hidden["sigma"][:, None] * hidden["U_Y"]
        return {**hidden, "X": x, "Y": y}


class Hierarchical(ByHand):
    """tau on a grid; mu, slope and levels normal given the doses."""

    shape = (tutorials.HOSPITALS, tutorials.PATIENTS)

    def prior(self, n: int, rng: np.random.Generator) -> Values:
        tau, mu = np.abs(rng.standard_normal(n)), rng.standard_normal(n)
        level = mu[:, None] + tau[:, None] * rng.standard_normal((n, self.shape[0]))
        x = level[:, :, None] + rng.standard_normal((n, *self.shape))
        noise = rng.standard_normal(x.shape)
        return {"mu": mu, "tau": tau, "slope": rng.standard_normal(n), "A": level, "X": x, "U_Y": noise}

    def latents(self, n: int, seen: Values, rng: np.random.Generator) -> Values:
        hospitals, patients = self.shape
        x, y = seen["X"].ravel(), seen["Y"].ravel()
        member = np.kron(np.eye(hospitals), np.ones((patients, 1)))
        zero = np.zeros((len(x), 1))
        reads = np.block([[zero, zero, member], [zero, x[:, None], member]])
        noise = np.r_[np.ones(len(x)), np.full(len(x), 0.25)]
        taus = stats.halfnorm.ppf(middles(GRID))
        parts = []
        for tau in taus:
            prior = np.eye(2 + hospitals)
            prior[2:, 2:] = 1.0 + tau**2 * np.eye(hospitals)
            prior[0, 2:] = prior[2:, 0] = 1.0
            parts.append(conditioned(prior, reads, noise, np.r_[x, y]))
        index, drawn = over_grid(parts, n, rng)
        return {"mu": drawn[:, 0], "tau": taus[index], "slope": drawn[:, 1], "A": drawn[:, 2:]}

    def noise(self, sites: Values, rng: np.random.Generator) -> Values:
        level = sites["A"].reshape(-1, self.shape[0], 1)
        u = (sites["Y"] - level - sites["slope"][:, None, None] * sites["X"]) / 0.5
        return {**sites, "A": level[..., 0], "U_Y": u}

    def world(self, hidden: Values, do: Mapping[str, float]) -> Values:
        x = np.full_like(hidden["X"], do["X"]) if "X" in do else hidden["X"]
        y = hidden["A"][:, :, None] + hidden["slope"][:, None, None] * x + 0.5 * hidden["U_Y"]
        return {**hidden, "X": x, "Y": y}


class EightSchools(ByHand):
    """tau on a grid; mu and effects normal."""

    errors = tutorials.ERRORS.double().numpy()

    def prior(self, n: int, rng: np.random.Generator) -> Values:
        tau = stats.halfcauchy(scale=5.0).ppf(rng.uniform(size=n))
        eta, noise = rng.standard_normal((n, 8)), rng.standard_normal((n, 8))
        return {"mu": 10.0 * rng.standard_normal(n), "tau": tau, "eta": eta, "U_Y": noise}

    def latents(self, n: int, seen: Values, rng: np.random.Generator) -> Values:
        taus = stats.halfcauchy(scale=5.0).ppf(middles(GRID))
        parts = [self._given(tau, seen["Y"]) for tau in taus]
        index, drawn = over_grid(parts, n, rng)
        tau = taus[index]
        return {"mu": drawn[:, 0], "tau": tau, "theta": drawn[:, :1] + tau[:, None] * drawn[:, 1:]}

    def noise(self, sites: Values, rng: np.random.Generator) -> Values:
        eta = (sites["theta"] - sites["mu"][:, None]) / sites["tau"][:, None]
        return {**sites, "eta": eta, "U_Y": (sites["Y"] - sites["theta"]) / self.errors}

    def _given(self, tau: float, y: Array) -> tuple[float, Array, Array]:
        reads = np.c_[np.ones(8), tau * np.eye(8)]
        return conditioned(np.diag([100.0, *np.ones(8)]), reads, self.errors**2, y)

    def world(self, hidden: Values, do: Mapping[str, float]) -> Values:
        tau = np.full_like(hidden["tau"], do["tau"]) if "tau" in do else hidden["tau"]
        theta = hidden["mu"][:, None] + tau[:, None] * hidden["eta"]
        return {**hidden, "tau": tau, "theta": theta, "Y": theta + self.errors * hidden["U_Y"]}


class Mixture(ByHand):
    """All assignments of points to components; locations normal and weights Dirichlet given each."""

    centres = tutorials.CENTRES.double().numpy()

    def prior(self, n: int, rng: np.random.Generator) -> Values:
        weights = rng.uniform(size=n)  # of component 1; Dirichlet(1, 1)
        k = (rng.uniform(size=(n, tutorials.POINTS)) < weights[:, None]).astype(float)
        locs = self.centres + rng.standard_normal((n, 2))
        return {"weights": weights, "locs": locs, "K": k, "U_Y": rng.standard_normal(k.shape)}

    def latents(self, n: int, seen: Values, rng: np.random.Generator) -> Values:
        y = seen["Y"]
        assignments = np.array(list(product([0.0, 1.0], repeat=len(y))))
        log_weights, means, spreads = [], [], []
        for k in assignments:
            ones = k.sum()
            total = stats.betabinom(len(y), 1, 1).logpmf(ones) - np.log(stats.binom(len(y), 0.5).pmf(ones))
            mean, spread = np.zeros(2), np.zeros(2)
            for c in (0, 1):
                own = y[k == c] - self.centres[c]
                evidence, loc, root = (
                    conditioned(np.eye(1), np.ones((len(own), 1)), np.full(len(own), 0.49), own)
                    if len(own)
                    else (0.0, np.zeros(1), np.eye(1))
                )
                total += evidence
                mean[c], spread[c] = self.centres[c] + loc[0], root[0, 0]
            log_weights.append(total)
            means.append(mean)
            spreads.append(spread)
        index = chosen(np.array(log_weights), n, rng)
        k = assignments[index]
        locs = np.array(means)[index] + np.array(spreads)[index] * rng.standard_normal((n, 2))
        return {"weights": rng.beta(1 + k.sum(1), 1 + (1 - k).sum(1)), "locs": locs, "K": k}

    def noise(self, sites: Values, rng: np.random.Generator) -> Values:
        return {**sites, "U_Y": (sites["Y"] - self._locs(sites["locs"], sites["K"])) / 0.7}

    @staticmethod
    def _locs(locs: Array, k: Array) -> Array:
        return np.where(k == 1, locs[:, 1:], locs[:, :1])

    def world(self, hidden: Values, do: Mapping[str, float]) -> Values:
        k = np.full_like(hidden["K"], do["K"]) if "K" in do else hidden["K"]
        return {**hidden, "K": k, "Y": self._locs(hidden["locs"], k) + 0.7 * hidden["U_Y"]}


class HiddenMarkov(ByHand):
    """All paths of the states; the level normal given each; uniform noise of states and treatments."""

    moves = tutorials.MOVES.double().numpy()[..., 1]
    treated = tutorials.TREATED.double().numpy()
    steps = tutorials.STEPS

    def prior(self, n: int, rng: np.random.Generator) -> Values:
        uniform = {f"U_{v}_{t}": rng.uniform(size=n) for t in range(self.steps) for v in "SD"}
        normal = {f"U_Y_{t}": rng.standard_normal(n) for t in range(self.steps)}
        return {"level": 2.0 + rng.standard_normal(n), **uniform, **normal}

    def latents(self, n: int, seen: Values, rng: np.random.Generator) -> Values:
        d, y = (np.array([seen[f"{name}_{t}"][0] for t in range(self.steps)]) for name in "DY")
        paths = np.array(list(product([0, 1], repeat=self.steps)))
        parts = []
        for path in paths:
            p = np.stack(self._odds(path, d.astype(int)))
            log_p = np.log(np.where(np.stack([path, d]) == 1, p, 1 - p)).sum()
            reads = path[:, None].astype(float)
            evidence, mean, root = conditioned(np.eye(1), reads, np.ones(self.steps), y - 2.0 * path)
            parts.append((evidence + log_p, mean, root))
        index, level = over_grid(parts, n, rng)
        return {"level": 2.0 + level, **{f"S_{t}": paths[index, t : t + 1] for t in range(self.steps)}}

    def _odds(self, states: Array, treated: Array) -> tuple[Array, Array]:
        """The probabilities of state 1 and of treatment at each step; steps come last."""
        start = np.zeros((*states.shape[:-1], 1), int)
        before, given = (np.concatenate([start, path[..., :-1]], -1) for path in (states, treated))
        return self.moves[given, before], self.treated[states]

    def noise(self, sites: Values, rng: np.random.Generator) -> Values:
        states, treated = (
            np.concatenate([sites[f"{name}_{t}"] for t in range(self.steps)], -1).astype(int) for name in "SD"
        )
        hidden = {"level": sites["level"][:, 0]}
        for name, value, p in zip("SD", (states, treated), self._odds(states, treated), strict=True):
            u = rng.uniform(size=value.shape)
            u = np.where(value == 1, p * u, p + (1 - p) * u)
            hidden |= {f"U_{name}_{t}": u[:, t] for t in range(self.steps)}
        for t in range(self.steps):
            hidden[f"U_Y_{t}"] = sites[f"Y_{t}"][:, 0] - hidden["level"] * states[:, t]
        return hidden

    def world(self, hidden: Values, do: Mapping[str, float]) -> Values:
        values = {"level": hidden["level"]}
        s, d = np.zeros(len(hidden["level"]), int), np.zeros(len(hidden["level"]), int)
        for t in range(self.steps):
            s = (hidden[f"U_S_{t}"] < self.moves[d, s]).astype(int)
            s = np.full_like(s, do[f"S_{t}"]) if f"S_{t}" in do else s
            d = (hidden[f"U_D_{t}"] < self.treated[s]).astype(int)
            d = np.full_like(d, do[f"D_{t}"]) if f"D_{t}" in do else d
            values |= {f"S_{t}": s.astype(float), f"D_{t}": d.astype(float)}
            values[f"Y_{t}"] = hidden["level"] * s + hidden[f"U_Y_{t}"]
        return {name: value[:, None] for name, value in values.items()}


class Autoencoder(ByHand):
    """The latent of each image on a fine grid."""

    def prior(self, n: int, rng: np.random.Generator) -> Values:
        z = rng.standard_normal((n, tutorials.IMAGES, 2))
        c = (rng.uniform(size=z.shape[:2]) < expit(z[..., 0])).astype(float)
        return {"Z": z, "C": c, "U_X": rng.standard_normal((*c.shape, 9))}

    def latents(self, n: int, seen: Values, rng: np.random.Generator) -> Values:
        line = np.linspace(-5.0, 5.0, 501)
        grid = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
        latents = []
        for c, x in zip(seen["C"], seen["X"], strict=True):
            p = expit(grid[:, 0])
            log_p = -0.5 * (grid**2).sum(1) + np.log(p if c else 1 - p)
            log_p -= 0.5 * (((x - self._decoded(grid, np.full(len(grid), c))) / 0.3) ** 2).sum(1)
            latents.append(grid[chosen(log_p, n, rng)])
        return {"Z": np.stack(latents, 1)}

    def noise(self, sites: Values, rng: np.random.Generator) -> Values:
        return {**sites, "U_X": (sites["X"] - self._decoded(sites["Z"], sites["C"])) / 0.3}

    @staticmethod
    def _decoded(z: Array, c: Array) -> Array:
        with torch.no_grad():
            return tutorials.DECODER(torch.tensor(z).float(), torch.tensor(c.copy()).float()).double().numpy()

    def world(self, hidden: Values, do: Mapping[str, float]) -> Values:
        c = np.full(hidden["C"].shape, do["C"]) if "C" in do else hidden["C"]
        x = self._decoded(hidden["Z"], c) + 0.3 * hidden["U_X"]
        return {"Z": hidden["Z"], "C": c, "X": x}


class Counts(ByHand):
    """Z on a grid; counts are quantiles of uniform noise."""

    def prior(self, n: int, rng: np.random.Generator) -> Values:
        z = rng.standard_normal(n)
        x = (rng.uniform(size=n) < expit(z)).astype(float)
        return {"Z": z, "X": x, "U_M": rng.uniform(size=n), "U_Y": rng.uniform(size=n)}

    def latents(self, n: int, seen: Values, rng: np.random.Generator) -> Values:
        x, m, y = (float(seen[name][0]) for name in "XMY")
        z = stats.norm.ppf(middles(20 * GRID))
        log_p = np.log(expit(z) if x else expit(-z)) + self._visits(z, x).logpmf(m) + self._days(z, x, m).logpmf(y)
        return {"Z": z[chosen(log_p, n, rng), None]}

    def noise(self, sites: Values, rng: np.random.Generator) -> Values:
        z, x, m, y = (sites[name][:, 0] for name in "ZXMY")
        hidden = {"Z": z, "X": x}
        for name, law, count in (("U_M", self._visits(z, x), m), ("U_Y", self._days(z, x, m), y)):
            low, high = law.cdf(count - 1), law.cdf(count)
            hidden[name] = low + (high - low) * rng.uniform(size=len(z))
        return hidden

    @staticmethod
    def _visits(z: Array, x: Array | float) -> stats.rv_discrete:
        return stats.poisson(np.exp(0.2 + 0.6 * x + 0.4 * z))

    @staticmethod
    def _days(z: Array, x: Array | float, m: Array | float) -> stats.rv_discrete:
        return stats.nbinom(3, expit(0.9 - 0.4 * x - 0.3 * z - 0.2 * m))

    def world(self, hidden: Values, do: Mapping[str, float]) -> Values:
        x = np.full_like(hidden["X"], do["X"]) if "X" in do else hidden["X"]
        reads = np.full_like(x, do["X of M"]) if "X of M" in do else x
        m = self._visits(hidden["Z"], reads).ppf(hidden["U_M"])
        m = np.full_like(m, do["M"]) if "M" in do else m
        y = self._days(hidden["Z"], x, m).ppf(hidden["U_Y"])
        return {name: value[:, None] for name, value in {"Z": hidden["Z"], "X": x, "M": m, "Y": y}.items()}


class GaussianProcess(ByHand):
    """The length scale on a grid; effect and curve normal."""

    inputs = tutorials.INPUTS.double().numpy()

    def _kernel(self, length: float) -> Array:
        distance = (self.inputs[:, None] - self.inputs) / length
        return np.exp(-0.5 * distance**2) + 1e-4 * np.eye(len(self.inputs))

    def prior(self, n: int, rng: np.random.Generator) -> Values:
        length = np.exp(0.5 * rng.standard_normal(n))
        roots = np.linalg.cholesky(np.stack([self._kernel(each) for each in length]))
        shape = (n, len(self.inputs))
        f = np.einsum("nij,nj->ni", roots, rng.standard_normal(shape))
        x, noise = (rng.uniform(size=shape) < 0.5).astype(float), rng.standard_normal(shape)
        return {"length": length, "effect": rng.standard_normal(n), "F": f, "X": x, "U_Y": noise}

    def latents(self, n: int, seen: Values, rng: np.random.Generator) -> Values:
        lengths = np.exp(0.5 * stats.norm.ppf(middles(GRID)))
        size = len(self.inputs)
        reads = np.c_[seen["X"], np.eye(size)]
        parts = []
        for length in lengths:
            prior = np.eye(1 + size)
            prior[1:, 1:] = self._kernel(length)
            parts.append(conditioned(prior, reads, np.full(size, 0.09), seen["Y"]))
        index, drawn = over_grid(parts, n, rng)
        return {"length": lengths[index], "effect": drawn[:, 0], "F": drawn[:, 1:]}

    def noise(self, sites: Values, rng: np.random.Generator) -> Values:
        return {**sites, "U_Y": (sites["Y"] - sites["F"] - sites["effect"][:, None] * sites["X"]) / 0.3}

    def world(self, hidden: Values, do: Mapping[str, float]) -> Values:
        x = np.full_like(hidden["X"], do["X"]) if "X" in do else hidden["X"]
        y = hidden["F"] + hidden["effect"][:, None] * x + 0.3 * hidden["U_Y"]
        return {**hidden, "X": x, "Y": y}
