"""Models that the cases are about."""

import functools

import pyro
import pyro.distributions as dist
import torch


def linear():
    """X -> Y."""
    x = pyro.sample("X", dist.Normal(0.0, 1.0))
    pyro.sample("Y", dist.Normal(2.0 * x, 1.0))


def mixed():
    """A site of most kinds, and D computed from X."""
    x = pyro.sample("X", dist.Normal(0.0, 1.0))
    b = pyro.sample("B", dist.Bernoulli(logits=x))
    pyro.sample("C", dist.Categorical(logits=torch.stack([x, -x, b], -1)))
    pyro.sample("N", dist.Poisson(x.exp()))
    pyro.sample("V", dist.Normal(x.unsqueeze(-1) * torch.ones(3), 1.0).to_event(1))
    pyro.deterministic("D", 2.0 * x)
    pyro.sample("Y", dist.Normal(2.0 * x + b, 1.0))


def hidden():
    """Z unobserved above X and Y."""
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    x = pyro.sample("X", dist.Normal(z, 1.0))
    pyro.sample("Y", dist.Normal(x + z, 1.0))


def treated():
    """Z -> T -> M -> Y, Z -> Y, T -> Y; T and Y binary."""
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    t = pyro.sample("T", dist.Bernoulli(logits=z))
    m = pyro.sample("M", dist.Normal(t, 1.0))
    pyro.sample("V", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    pyro.sample("Y", dist.Bernoulli(logits=m + t + z))


def plated():
    """A population-level slope and four units."""
    slope = pyro.sample("slope", dist.Normal(0.0, 1.0))
    with pyro.plate("people", 4):
        x = pyro.sample("X", dist.Normal(0.0, 1.0))
        pyro.sample("Y", dist.Normal(slope * x, 1.0))


def bounded():
    """X below B, its parent."""
    b = pyro.sample("B", dist.LogNormal(0.0, 1.0))
    pyro.sample("X", dist.Uniform(torch.zeros_like(b), b))


def one(law):
    """A model of one site X."""
    return functools.partial(_one, law)


def _one(law):
    pyro.sample("X", law)


def pair(law):
    """X, and a Y computed from it with noise."""
    return functools.partial(_pair, law)


def _pair(law):
    x = pyro.sample("X", law)
    total = x.reshape((*x.shape[: x.dim() - law.event_dim], -1)).sum(-1) if law.event_dim else x
    pyro.sample("Y", dist.Normal(total.to(torch.float32), 1.0))


def curved():
    """A hidden cause without a closed form of its posterior."""
    z = pyro.sample("Z", dist.Gamma(2.0, 1.0))
    pyro.sample("X", dist.Normal(z, 1.0))


def rates():
    """A population-level parameter without one."""
    rate = pyro.sample("rate", dist.Gamma(2.0, 1.0))
    with pyro.plate("units", 4):
        pyro.sample("X", dist.Exponential(rate))
