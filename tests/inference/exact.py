"""Random models with known answers, and draws held against them."""

import arviz
import numpy as np
import torch

from causal_pyro_models import potential, sample
from causal_pyro_models.scm import zoo

Z = 4.0  # standard errors that an estimate may be off
ROUNDING = 1e-4


def linear_case(seed, units=3):
    """A random linear-Gaussian SCM with two hidden confounders, partial evidence on it, and an intervention.

    Returns the model, the evidence as float32 arrays ``(units,)``, and what is done: a variable is set, another one
    is shifted, and a third one takes the value it has where the first is set to something else.
    """
    rng = np.random.default_rng([seed, 7])
    inner = zoo.random_linear_gaussian(5, seed, max_parents=2)
    order = list(inner.graph.topological_order)
    weights, scales = dict(inner.weights), dict(inner.scales)
    for hidden in ("H0", "H1"):
        scales[hidden] = 1.0
        for child in rng.choice(order, 2, replace=False):
            weights[hidden, str(child)] = float(rng.choice([-1, 1]) * rng.uniform(0.4, 1.0))
    scm = zoo.LinearGaussianSCM(weights, scales, inner.intercepts, latent=["H0", "H1"])
    seen = [str(name) for name in rng.choice(order, 3, replace=False)]
    values = sample(scm, units, seed=seed)
    first, second, third = (order[i] for i in sorted(rng.choice(len(order), 3, replace=False)))
    x = float(rng.normal())
    do = {first: x, second: lambda natural: natural + 0.5, third: potential(third, {first: -x})}
    return scm, {name: values[name].numpy() for name in seen}, do


def gaussian_misses(world, law):
    """Where weighted means or variances are more than Z Monte Carlo standard errors off those of a GaussianLaw."""
    misses = []
    for name in law.names:
        x = world.proposed[name].double()
        w = world.shares().double()
        w = w.reshape(w.shape + (1,) * (x.dim() - w.dim()))
        mean = (w * x).sum(0)
        square = (x - mean).square()
        variance = (w * square).sum(0)
        misses += _off(name, "mean", mean, law.expectation(name), (w * (x - mean)).square().sum(0).sqrt())
        misses += _off(name, "var", variance, law.variance(name), (w * (square - variance)).square().sum(0).sqrt())
    return misses


def chain_misses(world, law, chains):
    """The same for autocorrelated draws of several Markov chains: standard errors by batch of draws, as ArviZ has."""
    misses = []
    for name in law.names:
        x = world[name].double()
        mean = x.mean(0)
        square = (x - mean).square()
        misses += _off(name, "mean", mean, law.expectation(name), chain_error(x, chains))
        misses += _off(name, "var", square.mean(0), law.variance(name), chain_error(square, chains))
    return misses


def chain_error(draws, chains):
    """The Monte Carlo standard error of the mean of draws ``(draws, units)``, unit by unit."""
    by_chain = draws.reshape(chains, -1, *draws.shape[1:]).numpy()
    constant = np.ptp(draws.numpy(), axis=0) < ROUNDING
    with np.errstate(invalid="ignore", divide="ignore"):
        error = arviz.mcse(arviz.convert_to_dataset(by_chain), method="mean")["x"].values
    return torch.from_numpy(np.where(constant, 0.0, error))


def _off(name, what, value, truth, error):
    truth = torch.as_tensor(np.asarray(truth, dtype=float))
    bound = Z * error + ROUNDING * (1 + truth.abs())
    bad = ~((value - truth).abs() <= bound)
    return [(name, what, value, truth, error)] if bool(bad.any()) else []


def discrete_misses(world, law, unit=0, least=0.01):
    """Where the frequency of a joint state of one unit is more than Z standard errors off a DiscreteLaw.

    States less likely than ``least`` are held to be drawn at all only where they are possible.
    """
    states = torch.stack([world.proposed[name][:, unit].long() for name in law.names], -1)
    weights = world.shares().double()
    weights = weights[:, unit] if weights.dim() > 1 else weights
    possible = {tuple(state) for state in law.states.tolist()}
    misses = [state for state in set(map(tuple, states[weights > 0].tolist())) if state not in possible]
    for state, p in zip(law.states, law.probabilities, strict=True):
        if p < least:
            continue
        hit = (states == torch.as_tensor(state)).all(-1).double()
        error = (weights * (hit - p)).square().sum().sqrt()
        if not abs(float(weights @ hit) - p) <= Z * float(error) + 1e-6:
            misses.append((tuple(state), float(weights @ hit), p, float(error)))
    return misses
