"""A family of one's own: a distribution with a mechanism, and a node of it; and the same with one fault at a time."""

from __future__ import annotations

import math
from typing import ClassVar

import pyro.distributions as dist
import torch
from torch.distributions import constraints

from causal_pyro_models import CausalGraph, Continuous, Mechanism, Node, StructuralCausalModel, mechanism, register
from causal_pyro_models.models import encoded
from causal_pyro_models.scm import checked_value, standard

REAL = Continuous()
SATURATED = 5.0  # standard deviations of the noise


class Sinh(dist.TorchDistribution):
    """The law of ``loc + scale sinh(u)``, u normal with standard deviation ``spread``."""

    arg_constraints: ClassVar = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "spread": constraints.positive,
    }
    support = constraints.real

    def __init__(self, loc, scale, spread=None, fault=""):
        spread = torch.ones_like(loc) if spread is None else spread
        self.loc, self.scale, self.spread = torch.broadcast_tensors(loc, scale, spread)
        self.fault = fault
        super().__init__(self.loc.shape, validate_args=False)

    def expand(self, batch_shape, _instance=None):
        return Sinh(*(p.expand(batch_shape) for p in (self.loc, self.scale, self.spread)), self.fault)

    def sample(self, sample_shape=()):
        shape = torch.Size(sample_shape) + self.batch_shape
        generator = torch.Generator()
        generator.seed() if self.fault == "a seed ignored" else generator.manual_seed(int(torch.randint(2**31, ())))
        u = self.spread * torch.randn(shape, generator=generator, dtype=self.loc.dtype)
        return self.loc + self.scale * u.sinh()

    def log_prob(self, value):
        u = ((value - self.loc) / self.scale).asinh()
        log_slope = self.scale.log() + (0.0 if self.fault == "a wrong Jacobian" else u.cosh().log())
        return -0.5 * (u / self.spread).square() - self.spread.log() - 0.5 * math.log(2 * math.pi) - log_slope


@mechanism.register(Sinh)
def _sinh(law):
    noise = standard(dist.Normal, law.loc, 0, 1)
    if law.fault == "noise that depends on a parent":
        noise = dist.Normal(torch.zeros_like(law.loc), law.spread)

    def forward(u):
        if law.fault == "fresh randomness":
            u = u + 1e-6 * torch.randn_like(u)
        return law.loc + law.scale * u.sinh()

    def abduct(x):
        u = ((checked_value(law, x) - law.loc) / law.scale).asinh()
        if law.fault == "a shifted inverse":
            u = u + 0.05
        if law.fault == "float32 saturates" and u.dtype == torch.float32:
            u = u.clamp(-SATURATED, SATURATED)
        return u

    return Mechanism(noise, forward, abduct)


@register
class SinhNode(Node):
    """A real variable that is a line of its parents plus a scale times the hyperbolic sine of normal noise."""

    def __init__(self, variable=REAL, fault=""):
        super().__init__(variable)
        self.fault = fault
        self.offset = 0.0

    def connect(self, parents):
        self.parents = dict(parents)
        self.weight = torch.nn.Parameter(torch.zeros(sum(kind.width for kind in parents.values())))
        self.bias = torch.nn.Parameter(torch.zeros(()))
        self.log_scale = torch.nn.Parameter(torch.zeros(()))

    def distribution(self, parents):
        features = encoded(self.parents, parents, self.bias.dtype)
        if self.fault == "a parent ignored":
            features = torch.cat([features[..., :-1], torch.ones_like(features[..., -1:])], -1)
        loc = self.bias + self.offset + (features @ self.weight if self.parents else 0.0)
        if self.fault == "a fixed precision":
            loc = loc.float()
        scale = self.log_scale.detach() if self.fault == "a gradient cut" else self.log_scale
        depends = self.fault == "noise that depends on a parent"
        return Sinh(loc, scale.to(loc).exp(), (0.1 * features[..., -1]).exp() if depends else None, self.fault)

    def loss(self, value, parents, progress):
        loss = super().loss(value, parents, progress)
        return loss + 0.1 if self.fault == "a loss apart" else loss

    @torch.no_grad()
    def initialise(self, value, parents):
        """Start near the mean, the weights random."""
        if self.fault == "a number kept out of the state":
            self.offset = 0.5
        self.bias.copy_(value.mean() - self.offset)
        self.weight.copy_(0.1 * torch.randn_like(self.weight))
        self.log_scale.copy_(value.std().log() - 0.5)


GRAPH = CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("Z", "Y"), ("X", "Y")])


def sinh_model(fault: str = "") -> StructuralCausalModel:
    """Z -> X -> Y <- Z, where the last node has a fault."""
    return StructuralCausalModel(GRAPH, {"Z": SinhNode(), "X": SinhNode(), "Y": SinhNode(fault=fault)})


def sinh_data(units: int = 300) -> dict[str, torch.Tensor]:
    """Units of such a model."""
    generator = torch.Generator().manual_seed(0)
    z, x, y = torch.randn(3, units, generator=generator).sinh()
    x = 0.5 * z + x
    return {"Z": z, "X": x, "Y": x - z + 0.5 * y}
