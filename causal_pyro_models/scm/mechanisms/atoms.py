"""Real variables that take some values with positive probability: no income, a dose of zero, a sum insured in full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import constraints

from causal_pyro_models.errors import EvidenceError
from causal_pyro_models.scm.mechanisms.mixtures import JointNoise
from causal_pyro_models.scm.mechanisms.registry import Mechanism, checked_value, mechanism

OPEN = (torch.finfo(torch.float64).tiny, 1.0 - 1e-16)  # probabilities that a normal quantile is taken of


class Atomic(dist.TorchDistribution):
    """A mixture of a continuous law and points of positive probability, the atoms.

    Its density is by the sum of the Lebesgue measure and a unit mass at each atom.

    Args:
        gate: a ``Categorical`` of 1 + atoms classes, of which the first is the continuous law.
        atoms: their values ``(atoms,)``.
        base: the continuous law, univariate.
        edge: of a single atom, 1 where the variable goes on from it upwards, as ``max(0, x)`` does, and -1 where
            downwards. The continuous law is then cut off at the atom, and one standard normal noise, in which the value
            is monotone, chooses and goes on. By default 0: noise that chooses, and noise of the continuous law.

    Example:
        >>> income = Atomic(dist.Categorical(torch.tensor([0.7, 0.3])), torch.tensor([0.0]), dist.LogNormal(0.0, 1.0))
        >>> income.log_prob(torch.tensor([0.0, 1.0])).exp()
        tensor([0.3000, 0.2793])
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real

    def __init__(self, gate: Any, atoms: Tensor, base: Any, edge: int = 0, validate_args: bool | None = None) -> None:
        batch = torch.broadcast_shapes(gate.batch_shape, base.batch_shape)
        self.gate, self.atoms, self.base, self.edge = gate.expand(batch), atoms, base.expand(batch), edge
        super().__init__(batch, validate_args=validate_args)

    def parts(self, value: Tensor) -> Tensor:
        """The class of the gate behind each value: 0, or one more than the place of the atom."""
        return atom_of(value, self.atoms)

    def mixed(self, part: Tensor, value: Tensor) -> Tensor:
        """The atoms where a class is one of theirs, the continuous value elsewhere."""
        return torch.where(part > 0, self.atoms[(part - 1).clamp_min(0)].to(value.dtype), value)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = torch.Size(sample_shape)
        with torch.no_grad():
            if self.edge:
                site = _from_edge(self)
                return site.forward(site.noise.sample(shape))
            return self.mixed(self.gate.sample(shape), self.base.sample(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        part = self.parts(value)
        inside: Tensor = self.base.log_prob(self.within(value, part))
        if self.edge:
            noise = mechanism(self.base).abduct(self.atoms[0].expand(self.batch_shape))
            inside = cut_off(inside, value, self.atoms[0], self.edge, noise)
        found: Tensor = self.gate.log_prob(part) + inside.masked_fill(part > 0, 0.0)
        return found

    def within(self, value: Tensor, part: Tensor) -> Tensor:
        """The value, and in place of atoms one that the continuous law can take."""
        return torch.where(part > 0, self.base.sample().to(value.dtype), value)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> Atomic:
        shape = torch.Size(batch_shape)
        return Atomic(self.gate.expand(shape), self.atoms, self.base.expand(shape), self.edge, self._validate_args)


def atom_of(value: Tensor, atoms: Tensor) -> Tensor:
    """One more than the place of the atom that each value ``(...)`` is, and 0 where it is none.

    Example:
        >>> atom_of(torch.tensor([0.0, 0.5, 9.0]), torch.tensor([0.0, 9.0]))
        tensor([1, 0, 2])
    """
    same = value.unsqueeze(-1) == atoms.to(value.dtype)
    return torch.where(same.any(-1), same.int().argmax(-1) + 1, 0)


def cut_off(log_prob: Tensor, value: Tensor, atom: Tensor, edge: int, noise: Tensor) -> Tensor:
    """Log density of the part of a law beyond an atom.

    Args:
        log_prob: log density of the whole law at the value.
        value: where that is.
        atom, edge: see :class:`Atomic`.
        noise: standard normal, of the law at the atom.
    """
    kept: Tensor = torch.special.log_ndtr(-edge * noise)
    return (log_prob - kept).masked_fill(edge * (value - atom) < 0, -torch.inf)


@mechanism.register(Atomic)
def _atomic(distribution: Atomic) -> Mechanism:
    """The gate's own mechanism chooses; then the continuous law's own, on noise that is there for atoms as well."""
    if distribution.edge:
        return _from_edge(distribution)
    chosen, within = mechanism(distribution.gate), mechanism(distribution.base)
    noise, like = JointNoise(chosen.noise, within.noise), within.noise.sample()

    def forward(u: Tensor) -> Tensor:
        e, v = noise.split(u)
        return distribution.mixed(chosen.forward(e).long(), within.forward(v.to(like.dtype)))

    def abduct(x: Tensor) -> Tensor:
        x = checked_value(distribution, x)
        part = distribution.parts(x)
        behind = distribution.base.sample(x.shape[: x.dim() - len(distribution.batch_shape)])
        return noise.pack(chosen.abduct(part), within.abduct(torch.where(part > 0, behind.to(x.dtype), x)))

    return Mechanism(noise, forward, abduct, bijective=False)


def _from_edge(distribution: Atomic) -> Mechanism:
    """The atom up to its quantile of a standard normal, and from there on the continuous law, monotone throughout."""
    sign, atom, within = distribution.edge, distribution.atoms[0], mechanism(distribution.base)
    like = within.noise.sample()
    beyond = distribution.gate.logits.double()[..., 0].exp()  # the probability of the continuous law
    kept = _tail(sign * within.abduct(atom.expand(distribution.batch_shape)))  # what is not cut off of it

    def forward(u: Tensor) -> Tensor:
        tail = _tail(sign * u)
        v = -sign * torch.special.ndtri((kept * tail / beyond).clamp(*OPEN))
        value = within.forward(v.to(like.dtype))
        value = value.clamp_min(atom.to(value)) if sign > 0 else value.clamp_max(atom.to(value))
        return torch.where(tail >= beyond, atom.to(value), value)

    def abduct(x: Tensor) -> Tensor:
        x = checked_value(distribution, x)
        if bool((sign * (x - atom) < 0).any()):
            raise EvidenceError(f"a value lies {'under' if sign > 0 else 'over'} {float(atom)}, where none can.")
        share = torch.rand(x.shape, dtype=torch.float64, device=x.device)
        tail = beyond / kept * _tail(sign * within.abduct(x))
        tail = torch.where(distribution.parts(x) > 0, beyond + (1.0 - beyond) * share, tail)
        quantile: Tensor = torch.special.ndtri(tail.clamp(*OPEN))
        return -sign * quantile

    noise = dist.Normal(torch.zeros_like(beyond), torch.ones_like(beyond))
    return Mechanism(noise, forward, abduct, bijective=False)


def _tail(noise: Tensor) -> Tensor:
    """The probability of standard normal noise over this, float64, accurate far out."""
    log_tail: Tensor = torch.special.log_ndtr(-noise.double())
    return log_tail.exp().clamp_min(OPEN[0])
