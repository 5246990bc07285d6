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

SMALLEST = torch.finfo(torch.float64).tiny  # probability that a normal quantile is taken of


class Atomic(dist.TorchDistribution):
    """A mixture of a continuous law and points of positive probability, the atoms.

    Its density is by the sum of the Lebesgue measure and a unit mass at each atom.

    Args:
        gate: a ``Categorical`` of 1 + atoms classes, of which the first is the continuous law.
        atoms: their values ``(atoms,)``.
        base: the continuous law, univariate.

    Example:
        >>> income = Atomic(dist.Categorical(torch.tensor([0.7, 0.3])), torch.tensor([0.0]), dist.LogNormal(0.0, 1.0))
        >>> income.log_prob(torch.tensor([0.0, 1.0])).exp()
        tensor([0.3000, 0.2793])
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real

    def __init__(self, gate: Any, atoms: Tensor, base: Any, validate_args: bool | None = None) -> None:
        batch = torch.broadcast_shapes(gate.batch_shape, base.batch_shape)
        self.gate, self.atoms, self.base = gate.expand(batch), atoms, base.expand(batch)
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
            return self.mixed(self.gate.sample(shape), self.base.sample(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        part = self.parts(value)
        inside: Tensor = self.base.log_prob(self.within(value, part))
        found: Tensor = self.gate.log_prob(part) + inside.masked_fill(part > 0, 0.0)
        return found

    def within(self, value: Tensor, part: Tensor) -> Tensor:
        """The value, and in place of atoms one that the continuous law can take."""
        return torch.where(part > 0, self.base.sample().to(value.dtype), value)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> Atomic:
        shape = torch.Size(batch_shape)
        return Atomic(self.gate.expand(shape), self.atoms, self.base.expand(shape), self._validate_args)


def atom_of(value: Tensor, atoms: Tensor) -> Tensor:
    """One more than the place of the atom that each value ``(...)`` is, and 0 where it is none.

    Example:
        >>> atom_of(torch.tensor([0.0, 0.5, 9.0]), torch.tensor([0.0, 9.0]))
        tensor([1, 0, 2])
    """
    same = value.unsqueeze(-1) == atoms.to(value.dtype)
    return torch.where(same.any(-1), same.int().argmax(-1) + 1, 0)


@mechanism.register(Atomic)
def _atomic(distribution: Atomic) -> Mechanism:
    """The gate's own mechanism chooses; then the continuous law's own, on noise that is there for atoms as well."""
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


class Censored(dist.TorchDistribution):
    """A continuous law whose values under an atom, or over it, are the atom: ``max(atom, x)`` or ``min(atom, x)``.

    Its noise is that of the continuous law, of which it is a monotone function.

    Args:
        base: the continuous law, univariate, its noise standard normal.
        atom: the value at the edge.
        sign: 1 for a smallest value, -1 for a largest one.

    References:
        J. Tobin (1958). Estimation of relationships for limited dependent variables. Econometrica 26.

    Example:
        >>> Censored(dist.Normal(0.0, 1.0), torch.tensor(0.0), 1).log_prob(torch.tensor([0.0, 1.0])).exp()
        tensor([0.5000, 0.2420])
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real

    def __init__(self, base: Any, atom: Tensor, sign: int, validate_args: bool | None = None) -> None:
        self.base, self.atom, self.sign = base, atom, sign
        super().__init__(base.batch_shape, validate_args=validate_args)

    def kept(self, value: Tensor) -> Tensor:
        """Values with those beyond the edge replaced by it."""
        atom = self.atom.to(value)
        return value.clamp_min(atom) if self.sign > 0 else value.clamp_max(atom)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with torch.no_grad():
            return self.kept(self.base.sample(torch.Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        noise = mechanism(self.base).abduct(self.atom.expand(self.batch_shape))
        return censored(self.base.log_prob(value), value, self.atom, self.sign, noise)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> Censored:
        return Censored(self.base.expand(torch.Size(batch_shape)), self.atom, self.sign, self._validate_args)


def censored(log_prob: Tensor, value: Tensor, atom: Tensor, sign: int, noise: Tensor) -> Tensor:
    """Log density of values of a :class:`Censored` law.

    Args:
        log_prob: log density of the continuous law at the value.
        value: where that is.
        atom, sign: see :class:`Censored`.
        noise: standard normal, of the continuous law at the atom.
    """
    beyond: Tensor = torch.special.log_ndtr(sign * noise)
    found = torch.where(value == atom, beyond, log_prob)
    return found.masked_fill(sign * (value - atom) < 0, -torch.inf)


@mechanism.register(Censored)
def _censored(distribution: Censored) -> Mechanism:
    """The noise of the continuous law; behind the atom, a draw of all that leads there."""
    within, sign, atom = mechanism(distribution.base), distribution.sign, distribution.atom

    def abduct(x: Tensor) -> Tensor:
        x = checked_value(distribution, x)
        if bool((sign * (x - atom) < 0).any()):
            raise EvidenceError(f"a value lies {'under' if sign > 0 else 'over'} {float(atom)}, where none can.")
        v = within.abduct(x)
        log_beyond = torch.special.log_ndtr(sign * v.double())
        share = torch.rand(x.shape, dtype=torch.float64, device=x.device).clamp_min(2.0**-54)
        behind = sign * torch.special.ndtri((log_beyond.exp() * share).clamp_min(SMALLEST)).to(v.dtype)
        return torch.where(x == atom, behind, v)

    return Mechanism(within.noise, lambda u: distribution.kept(within.forward(u)), abduct, bijective=False)
