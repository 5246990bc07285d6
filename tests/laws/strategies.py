"""Random structural causal models as Pyro programs, for hypothesis.

An example is a batch of models made from one seed: a small price for each, and hypothesis still shrinks the number of
variables. Every mechanism depends on its parents, nonlinearly and boundedly, through all of its parameters, shape
parameters included.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace

import networkx as nx
import numpy as np
import pyro
import pyro.distributions as dist
import torch
from hypothesis import strategies as st

from causal_pyro_models import quantile, sample
from causal_pyro_models.scm.zoo.base import random_dag


def vector(*parts):
    return torch.stack(torch.broadcast_tensors(*parts), -1)


def _lower_triangular(a, b, c):
    zero = torch.zeros_like(a)
    return torch.stack([vector(a.exp(), zero), vector(c, b.exp())], -2)


def _weibull(a, b, c):
    base = dist.Exponential(torch.ones_like(a))
    return dist.TransformedDistribution(
        base,
        [
            dist.transforms.PowerTransform(b.exp()),
            dist.transforms.AffineTransform(torch.zeros_like(c), c.exp()),
        ],
    )


def _mixture(a, b, c):
    components = dist.Normal(vector(3 * a, 3 * b), vector(b, c).exp())
    return dist.MixtureSameFamily(dist.Categorical(logits=vector(a, c)), components)


def _cutpoints(b, c):
    return vector(b - 1, b, b + (c + 0.5).exp())


# Distributions of three bounded drives a, b, c.
BIJECTIVE = {
    "Normal": lambda a, b, c: dist.Normal(2 * a, b.exp()),
    "Laplace": lambda a, b, c: dist.Laplace(2 * a, b.exp()),
    "Logistic": lambda a, b, c: dist.Logistic(a, b.exp()),
    "Gumbel": lambda a, b, c: dist.Gumbel(a, b.exp()),
    "Cauchy": lambda a, b, c: dist.Cauchy(a, b.exp()),
    "LogNormal": lambda a, b, c: dist.LogNormal(a, (b - 1).exp()),
    "Gamma": lambda a, b, c: dist.Gamma((a + 0.5).exp(), b.exp()),
    "InverseGamma": lambda a, b, c: dist.InverseGamma((a + 1).exp(), b.exp()),
    "Beta": lambda a, b, c: dist.Beta((a + 0.5).exp(), (b + 0.5).exp()),
    "Kumaraswamy": lambda a, b, c: dist.Kumaraswamy((a + 0.5).exp(), (b + 0.5).exp()),
    "StudentT": lambda a, b, c: dist.StudentT(2 + (2 * a).exp(), b, c.exp()),
    "Exponential": lambda a, b, c: dist.Exponential(a.exp()),
    "HalfNormal": lambda a, b, c: dist.HalfNormal(a.exp()),
    "HalfCauchy": lambda a, b, c: dist.HalfCauchy(a.exp()),
    "Uniform": lambda a, b, c: dist.Uniform(a, a + b.exp()),
    "VonMises": lambda a, b, c: dist.VonMises(a, b.exp()),
    "AsymmetricLaplace": lambda a, b, c: dist.AsymmetricLaplace(a, b.exp(), c.exp()),
    "GeneralizedPareto": lambda a, b, c: dist.GeneralizedPareto(a, b.exp(), 0.3 * c),
    "Weibull": _weibull,
    "MultivariateNormal": lambda a, b, c: dist.MultivariateNormal(vector(a, b), scale_tril=_lower_triangular(a, b, c)),
    "Normal.to_event": lambda a, b, c: dist.Normal(vector(a, b, c), vector(b, c, a).exp()).to_event(1),
    "Gamma.to_event": lambda a, b, c: dist.Gamma(vector(a, b).exp() + 0.5, vector(c, a).exp()).to_event(1),
    "matrix": lambda a, b, c: dist.Laplace(vector(a, b), vector(c, c).exp()).expand_by([]).to_event(1),
    "Dirichlet": lambda a, b, c: dist.Dirichlet(vector(a, b, c).exp() + 0.5),
}
DISCRETE = {
    "Bernoulli": lambda a, b, c: dist.Bernoulli(logits=3 * a),
    "Bernoulli(probs)": lambda a, b, c: dist.Bernoulli(torch.sigmoid(3 * a)),
    "Bernoulli.to_event": lambda a, b, c: dist.Bernoulli(logits=vector(a, b, c)).to_event(1),
    "Categorical": lambda a, b, c: dist.Categorical(logits=2 * vector(a, b, c)),
    "Categorical(probs)": lambda a, b, c: dist.Categorical(torch.softmax(2 * vector(a, b, c, -a), -1)),
    "OneHotCategorical": lambda a, b, c: dist.OneHotCategorical(logits=2 * vector(a, b, c)),
    "OrderedLogistic": lambda a, b, c: dist.OrderedLogistic(2 * a, _cutpoints(b, c)),
    "Poisson": lambda a, b, c: dist.Poisson((a + 1).exp()),
    "Poisson.to_event": lambda a, b, c: dist.Poisson(vector(a, b).exp()).to_event(1),
    "Binomial": lambda a, b, c: dist.Binomial(7, logits=2 * a),
    "NegativeBinomial": lambda a, b, c: dist.NegativeBinomial((a + 1).exp(), logits=b),
    "Geometric": lambda a, b, c: dist.Geometric(logits=a),
    "ZeroInflatedPoisson": lambda a, b, c: dist.ZeroInflatedPoisson((a + 1).exp(), gate_logits=b),
}
CONTINUOUS = BIJECTIVE | {"mixture": _mixture}
ALL = CONTINUOUS | DISCRETE
BOUNDED = ("Uniform", "GeneralizedPareto")  # by bounds that depend on the parents
QUANTILE = ("Bernoulli", "Categorical", "Categorical(probs)", "OrderedLogistic", "Poisson", "mixture")


def tilt(value, event_dim, dtype):
    """A bounded scalar of a value, whatever its event: what its children see of it."""
    flat = value.to(dtype).reshape((*value.shape[: value.dim() - event_dim], -1))
    weights = torch.linspace(0.4, 1.1, flat.shape[-1], dtype=dtype)
    return torch.tanh((flat * weights).sum(-1))


@dataclass(frozen=True)
class Variable:
    """One node: its family (None for a deterministic one), parents, how they drive it, its coupling and plates."""

    name: str
    family: str | None
    parents: tuple[str, ...]
    bias: torch.Tensor
    weights: torch.Tensor
    quantile: bool = False
    places: frozenset[int] = frozenset()


@dataclass(frozen=True)
class RandomSCM:
    """A Pyro program over random mechanisms; ``sizes`` are those of its own plates, from the rightmost dim."""

    seed: int
    variables: tuple[Variable, ...]
    dtype: torch.dtype
    sizes: tuple[int, ...] = ()

    def __call__(self):
        plates = [pyro.plate(f"plate{i}", size, dim=-1 - i) for i, size in enumerate(self.sizes)]

        def draw(v, fn, value):
            with ExitStack() as stack:
                for i in v.places:
                    stack.enter_context(plates[i])
                if fn is None:
                    return pyro.deterministic(v.name, value)
                return pyro.sample(v.name, fn, infer={"mechanism": quantile} if v.quantile else {})

        self.evaluate(draw)

    def evaluate(self, draw):
        """The values of all variables: ``draw(variable, distribution or None, value where deterministic)``."""
        values, tilts = {}, {}
        for v in self.variables:
            pushes = list(v.bias)
            for parent, column in zip(v.parents, v.weights, strict=True):
                pushes = [push + w * tilts[parent] for push, w in zip(pushes, column, strict=True)]
            a, b, c = torch.broadcast_tensors(*(torch.tanh(push + 0.3 * torch.sin(3 * push)) for push in pushes))
            fn = None if v.family is None else ALL[v.family](a, b, c)
            values[v.name] = draw(v, fn, a + b * c)
            tilts[v.name] = tilt(values[v.name], len(fn.event_shape) if fn else 0, self.dtype)
        return values

    def with_plates(self, count):
        """The same model, declaring plates itself.

        Each variable is in the plates of its parents and perhaps more, so they come nested, crossed, and with
        population-level variables outside of all; the last variable is in all.
        """
        rng = np.random.default_rng([self.seed, count])
        sizes = tuple(int(rng.integers(1, 5, endpoint=True)) for _ in range(count))
        places: dict[str, frozenset[int]] = {}
        for v in self.variables:
            own = {i for i in range(count) if rng.random() < 0.6 or v is self.variables[-1]}
            places[v.name] = frozenset(own.union(*(places[p] for p in v.parents)))
        variables = tuple(replace(v, places=places[v.name]) for v in self.variables)
        return replace(self, variables=variables, sizes=sizes)

    def __repr__(self):
        rows = [f"{v.name} ~ {v.family}({', '.join(v.parents)}) in {sorted(v.places)}" for v in self.variables]
        return f"RandomSCM(seed={self.seed}, sizes={self.sizes}, {self.dtype}: " + "; ".join(rows) + ")"

    def _repr_pretty_(self, printer, cycle):
        printer.text(repr(self))

    @property
    def random(self):
        """The variables with noise, in topological order."""
        return [v for v in self.variables if v.family is not None]

    @property
    def settable(self):
        """What an intervention may be put on: all variables with noise but population-level parameters."""
        return [v for v in self.random if v.places or not self.sizes]

    @property
    def discrete(self):
        return [v for v in self.random if v.family in DISCRETE]

    def variable(self, name):
        return next(v for v in self.variables if v.name == name)

    def ancestors(self, name):
        """The variables with a path to one, itself included."""
        found = {name}
        for v in reversed(self.variables):
            if v.name in found:
                found.update(v.parents)
        return found

    def descendants(self, name):
        """The variables that one has a path to, itself included."""
        found = {name}
        for v in self.variables:
            if found.intersection(v.parents):
                found.add(v.name)
        return found

    def draw(self, units, seed):
        """Values of all variables with noise, in one draw of the whole model or of some units."""
        draws = sample(self, 1 if self.sizes else units, seed=seed)
        return {v.name: draws[v.name][0] if self.sizes else draws[v.name] for v in self.random}


def random_scm(
    seed: int,
    max_variables: int = 12,
    families: Iterable[str] = tuple(ALL),
    dtype: torch.dtype = torch.float64,
    deterministic: float = 0.15,
    coupled: float = 0.3,
) -> RandomSCM:
    """One random model on a random DAG, with no plates of its own.

    Args:
        seed: the same seed gives the same model.
        max_variables: the number of variables is uniform up to this.
        families: those to choose from.
        dtype: of all parameters.
        deterministic: the chance that a variable with parents is deterministic.
        coupled: the chance that an ordered one has the quantile coupling.
    """
    rng = np.random.default_rng(seed)
    names, edges = random_dag(int(rng.integers(1, max_variables, endpoint=True)), seed)
    families, variables = list(families), []
    for name in nx.lexicographical_topological_sort(nx.DiGraph([*edges, *((n, "sink") for n in names)])):
        if name == "sink":
            continue
        parents = tuple(p for p, child in edges if child == name)
        family = None if parents and rng.random() < deterministic else str(rng.choice(families))
        bias = torch.tensor(rng.normal(0, 0.7, 3), dtype=dtype)
        weights = torch.tensor(rng.normal(0, 1.5, (len(parents), 3)), dtype=dtype)
        monotone = family in QUANTILE and rng.random() < coupled
        variables.append(Variable(name, family, parents, bias, weights, monotone))
    return RandomSCM(seed, tuple(variables), dtype)


@st.composite
def populations(draw: Callable, count: int = 10, **options):
    """``count`` random models from one seed; see :func:`random_scm` for the options."""
    seed = draw(st.integers(0, 10**9))
    max_variables = draw(st.integers(1, options.pop("max_variables", 12)))
    return [random_scm(seed + i, max_variables, **options) for i in range(count)]
