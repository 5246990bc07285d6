"""Laws of many runs of a program as one batched law of the same type."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, singledispatch
from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import ExpandedDistribution, MaskedDistribution
from torch import Tensor, distributions as td
from torch.distributions import transforms as tt

from causal_pyro_models.errors import ModelError
from causal_pyro_models.scm.density import given_probs

ALTERNATIVES = (("probs", "logits"), ("gate", "gate_logits"))


@dataclass(frozen=True)
class Runs:
    """Where the runs of a program lie beside the batch dimensions that a site has in each of them.

    Attributes:
        site: its name.
        lead: the dimensions of the runs, on the left: ``(units,)``, ``(draws, units)`` or ``(draws,)``.
        pad: how many dimensions of size 1 come between them and the site's own.
    """

    site: str
    lead: tuple[int, ...]
    pad: int

    def tensors(self, values: Sequence[Any], batch: Sequence[int], event_dim: int) -> Tensor:
        """One tensor ``(*lead, *pad, *batch, *event)`` of one in each run that broadcasts to ``(*batch, *event)``."""
        parts = [value if isinstance(value, Tensor) else torch.as_tensor(value) for value in values]
        event = parts[0].shape[parts[0].dim() - event_dim :]
        full = torch.Size((*batch, *event))
        try:
            whole = torch.stack([part if part.shape == full else part.expand(full) for part in parts])
        except RuntimeError:
            shapes = sorted({tuple(part.shape) for part in parts})
            raise self.refusal(f"has parameters of shapes {shapes[0]} and {shapes[-1]} in two of them") from None
        return whole.reshape(self.lead + (1,) * self.pad + full)

    def numbers(self, values: Sequence[Any], batch: Sequence[int]) -> Any:
        """Numbers of a site (a scale, a mask) in all runs: one number where all have the same."""
        first = values[0]
        if not isinstance(first, Tensor) and all(not isinstance(v, Tensor) and v == first for v in values):
            return first
        return self.tensors(values, batch, 0)

    def refusal(self, why: str) -> ModelError:
        return ModelError(
            f"the program does not broadcast and runs once for each draw and unit, but site {self.site!r} {why}, so "
            f"that its laws cannot be put together. Let it have one family with parameters of one shape, or write the "
            f"model so that it broadcasts (see docs/broadcasting.md)."
        )


def stacked(laws: Sequence[Any], runs: Runs) -> Any:
    """The laws of a site in all runs as one law of the same type, batch shape ``(*lead, *pad, *batch)``.

    Raises:
        ModelError: they are of two types, have different event shapes, or their type is not made of its parameters.

    Example:
        >>> laws = [dist.Normal(0.0, 1.0), dist.Normal(3.0, 1.0)]
        >>> stacked(laws, Runs("X", (2,), 0)).loc
        tensor([0., 3.])
    """
    first = laws[0]
    for law in laws:
        if type(law) is not type(first):
            names = " and ".join(sorted({type(other).__name__ for other in laws}))
            raise runs.refusal(f"has a law of another family in some of them ({names})")
        if law.event_shape != first.event_shape:
            raise runs.refusal(f"has events of shape {tuple(first.event_shape)} and {tuple(law.event_shape)}")
    found = _stack(first, laws, runs)
    if found.has_rsample != first.has_rsample:
        found.has_rsample = first.has_rsample
    return found


def batch_of(laws: Sequence[Any]) -> torch.Size:
    """The batch shape that the laws of all runs broadcast to."""
    first = laws[0].batch_shape
    if all(law.batch_shape == first for law in laws):
        return torch.Size(first)
    return torch.Size(torch.broadcast_shapes(*(law.batch_shape for law in laws)))


@cache
def _arguments(kind: Any) -> dict[str, bool]:
    """The arguments that a type of law is made of, and whether each has to be given."""
    parameters = list(inspect.signature(kind).parameters.values())
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        return {}
    return {p.name: p.default is p.empty for p in parameters if p.name != "validate_args"}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one is other or (not one.requires_grad and torch.equal(one, other))
    return not isinstance(one, Tensor) and not isinstance(other, Tensor) and bool(one == other)


@singledispatch
def _stack(first: Any, laws: Sequence[Any], runs: Runs) -> Any:
    """A law from the parameters that its type is made of, by the names of its ``arg_constraints``."""
    kind: Any = type(first)
    arguments, stated = _arguments(kind), first.arg_constraints
    batch, made = batch_of(laws), {}
    for name in _given(first, arguments):
        values = [getattr(law, name, None) for law in laws]
        if isinstance(values[0], td.Distribution):
            made[name] = stacked(values, runs)
        elif name in stated and isinstance(values[0], Tensor):
            made[name] = runs.tensors(values, batch, stated[name].event_dim)
        elif values[0] is not None and all(_same(value, values[0]) for value in values):
            made[name] = values[0]
        elif arguments[name]:
            raise runs.refusal(f"has the law {type(first).__name__}, whose {name!r} cannot be put together")
    try:
        found = type(first)(**made, validate_args=first._validate_args)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise runs.refusal(f"has the law {type(first).__name__} ({error!s:.120})") from error
    shape = runs.lead + (1,) * runs.pad + tuple(batch)
    if tuple(found.batch_shape) != shape or found.event_shape != first.event_shape:
        raise runs.refusal(f"has the law {type(first).__name__}, which is not made of its parameters alone")
    return found


def _given(law: Any, arguments: Mapping[str, bool]) -> list[str]:
    """The arguments that a law was made of; of those that say the same, such as probabilities and logits, one."""
    names = [name for name in arguments if name not in law.arg_constraints or getattr(law, name, None) is not None]
    for one, other in ALTERNATIVES:
        if one in names and other in names:
            names.remove(_other(law, one, other))
    return names


def _other(law: Any, one: str, other: str) -> str:
    """Of two parameters that say the same, the one that was not given."""
    if one == "probs":
        return one if given_probs(getattr(law, "_categorical", law)) is None else other
    return other if one in vars(law) else one


@_stack.register(td.MultivariateNormal)
def _(first: Any, laws: Sequence[Any], runs: Runs) -> Any:
    batch = batch_of(laws)
    loc = runs.tensors([law.loc for law in laws], batch, 1)
    tril = runs.tensors([law.scale_tril for law in laws], batch, 2)
    return dist.MultivariateNormal(loc, scale_tril=tril, validate_args=first._validate_args)


@_stack.register(td.Independent)
def _(first: Any, laws: Sequence[Any], runs: Runs) -> Any:
    return dist.Independent(stacked([law.base_dist for law in laws], runs), first.reinterpreted_batch_ndims)


@_stack.register
def _(first: ExpandedDistribution, laws: Sequence[Any], runs: Runs) -> Any:
    bases, batch = [law.base_dist for law in laws], batch_of(laws)
    inner = replace(runs, pad=runs.pad + len(batch) - len(batch_of(bases)))
    return stacked(bases, inner).expand(runs.lead + (1,) * runs.pad + tuple(batch))


@_stack.register
def _(first: MaskedDistribution, laws: Sequence[Any], runs: Runs) -> Any:
    mask = runs.numbers([law._mask for law in laws], batch_of(laws))
    return stacked([law.base_dist for law in laws], runs).mask(mask)


@_stack.register
def _(first: td.MixtureSameFamily, laws: Sequence[Any], runs: Runs) -> Any:
    weights = stacked([law.mixture_distribution for law in laws], runs)
    return dist.MixtureSameFamily(weights, stacked([law.component_distribution for law in laws], runs))


@_stack.register
def _(first: dist.MaskedMixture, laws: Sequence[Any], runs: Runs) -> Any:
    mask = runs.tensors([law.mask for law in laws], batch_of(laws), 0)
    return dist.MaskedMixture(
        mask, *(stacked([getattr(law, c) for law in laws], runs) for c in ("component0", "component1"))
    )


@_stack.register
def _(first: dist.Delta, laws: Sequence[Any], runs: Runs) -> Any:
    batch = batch_of(laws)
    value = runs.tensors([law.v for law in laws], batch, first.event_dim)
    density = runs.tensors([law.log_density for law in laws], batch, 0)
    return dist.Delta(value, density, first.event_dim, validate_args=False)


@_stack.register
def _(first: dist.Unit, laws: Sequence[Any], runs: Runs) -> Any:
    factor = runs.tensors([law.log_factor for law in laws], batch_of(laws), 0)
    return dist.Unit(factor, has_rsample=first.has_rsample)


@_stack.register
def _(first: td.TransformedDistribution, laws: Sequence[Any], runs: Runs) -> Any:
    if type(first) not in (td.TransformedDistribution, dist.TransformedDistribution):
        return _stack.dispatch(object)(first, laws, runs)  # one with parameters of its own, such as LogNormal
    bases = [law.base_dist for law in laws]
    batch = batch_of(laws)
    base = stacked(bases, replace(runs, pad=runs.pad + len(batch) - len(batch_of(bases))))
    if any(len(law.transforms) != len(first.transforms) for law in laws):
        raise runs.refusal("has another number of transforms in some of them")
    rank = len(batch) + len(first.event_shape)
    parts = [_transform(same, rank, runs) for same in zip(*(law.transforms for law in laws), strict=True)]
    return dist.TransformedDistribution(base, parts, validate_args=first._validate_args)


def _transform(same: Sequence[Any], rank: int, runs: Runs) -> Any:
    """A transform of all runs, its parameters with those of the runs on the left."""
    first = same[0]
    if all(other is first for other in same):
        return first
    if any(type(other) is not type(first) for other in same):
        raise runs.refusal("is transformed in another way in some of them")
    if isinstance(first, tt.ComposeTransform):
        return tt.ComposeTransform([_transform(p, rank, runs) for p in zip(*(o.parts for o in same), strict=True)])
    if isinstance(first, tt.IndependentTransform):
        inner = _transform([other.base_transform for other in same], rank, runs)
        return tt.IndependentTransform(inner, first.reinterpreted_batch_ndims)
    if isinstance(first, tt.AffineTransform):
        loc, scale = (_shifted([getattr(other, name) for other in same], rank, runs) for name in ("loc", "scale"))
        return tt.AffineTransform(loc, scale, first.event_dim)  # type: ignore[arg-type, call-arg, unused-ignore]
    if isinstance(first, tt._InverseTransform):
        return _transform([other.inv for other in same], rank, runs).inv
    if not any(isinstance(v, Tensor) for v in vars(first).values()) and all(other == first for other in same):
        return first
    raise runs.refusal(f"is transformed by {type(first).__name__}, which cannot be put together")


def _shifted(values: Sequence[Any], rank: int, runs: Runs) -> Tensor:
    parts = [value if isinstance(value, Tensor) else torch.as_tensor(value) for value in values]
    shape = torch.broadcast_shapes(*(part.shape for part in parts))
    return runs.tensors(parts, (1,) * (rank - len(shape)) + tuple(shape), 0)
