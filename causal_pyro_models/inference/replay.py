"""Whether a program broadcasts: its values over units and draws are replayed in runs of one, and laws compared."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn

from causal_pyro_models.errors import ModelError
from causal_pyro_models.scm.sites import is_deterministic

SUSPICION = 40  # pairs of runs of a program that draws random numbers beside its sites: dropout may spare all of a few
ROUNDS = 3  # of two units and two draws: a branch that looks at all of them goes unseen in one of 30 programs
DENSITY = 1e-4  # that log densities may differ by, of their size
ROUNDING = 1e-5  # that numbers may differ by, of the largest of them

Trace = Mapping[str, Any]
Part = Callable[[Tensor, int], Tensor]
"""What of a value, density or moment, whose events have so many dimensions, is compared."""


@dataclass
class Verdict:
    """How a program is run over units and draws.

    Attributes:
        in_turns: whether one by one, since it does not broadcast.
        why: where and how that showed.
        refusal: what showed that several runs cannot be in turns either.
        coupled: whether units of its plate bear on each other.
        said: whether the user has been told.
        modules: those that it calls, and whether each was in training mode.
    """

    in_turns: bool = False
    why: str = ""
    refusal: str = ""
    coupled: bool = False
    said: bool = False
    modules: list[tuple[weakref.ref[nn.Module], bool]] = field(default_factory=list)

    @property
    def stands(self) -> bool:
        """Whether all modules are as they were."""
        return all((module := ref()) is not None and module.training is mode for ref, mode in self.modules)


@dataclass(frozen=True)
class Forms:
    """The ways in which a program can be run.

    Attributes:
        single: for one draw, and one unit where it has no plates of its own.
        whole: for all of ``lead`` at once.
        in_turns: for all of ``lead``, one by one.
        lead: the dimensions of draws and units, of size 2.
        dims: the dimensions of the program's own plates.
        event_dims: the dimensions of the events of its sites.
    """

    single: Callable[[], Any]
    whole: Callable[[], Any]
    in_turns: Callable[[], Any]
    lead: tuple[int, ...]
    dims: int
    event_dims: Mapping[str, int]


def replayed(forms: Forms) -> Verdict:
    """Whether a program broadcasts, and is a function of its sites alone.

    Raises:
        ModelError: the law of a site moves where the values of all sites before it stay.
    """
    with _modules() as met:
        found = _verdict(forms)
    found.modules = [(weakref.ref(module), module.training) for module in met]
    return found


def _verdict(forms: Forms) -> Verdict:
    met: list[str] = []
    why = next(filter(None, (_fault(forms, met) for _ in range(ROUNDS))), None)
    if why is None and not met:
        return Verdict()
    for _ in range(SUSPICION if met else ROUNDS):
        _refuse_randomness(forms)
    if why is None:
        return Verdict()
    for _ in range(ROUNDS):
        with suppress(Exception):  # of runs that cannot be together at these values, and say so where it matters
            return Verdict(True, why, _replayed_fault(forms, _trace(forms.in_turns), met))
    return Verdict(True, why)


def _fault(forms: Forms, met: list[str]) -> str:
    """What is wrong with a run over draws and units; empty where nothing is."""
    try:
        whole = _trace(forms.whole)
    except Exception as error:
        return f"it fails there with {type(error).__name__}: {(str(error).splitlines() or [''])[0]:.120}"
    return _replayed_fault(forms, whole, met)


def _replayed_fault(forms: Forms, whole: Trace, met: list[str]) -> str:
    """What is wrong with a run over draws and units, by replays of two of them; empty where nothing is.

    Args:
        forms: the program.
        whole: its run over all of ``lead``.
        met: takes up that a replay, in which all values are given, drew random numbers.
    """
    for index in ((0, 1)[: len(forms.lead)], (1, 0)[: len(forms.lead)]):  # not on the diagonal: nor may they be swapped
        part, state = partial(_part, forms=forms, index=index), _random_state()
        try:
            one = _trace(forms.single, {name: _own(site, part) for name, site in _free(whole)})
        except Exception:
            return "a run for one draw and unit fails on values of a run for several"
        if _random_state() != state:
            met.append("random numbers")
        if (name := _moved(whole, one, part, forms)) is not None:
            return f"site {name!r} is another for one draw and unit than among others"
    return ""


def _random_state() -> tuple[Any, ...]:
    """Where the global generators of random numbers are."""
    numpy: Any = np.random.get_state(legacy=False)["state"]
    torchs = bytes(torch.get_rng_state().tolist())  # which works inside of torch.func.grad, too
    return torchs, random.getstate(), numpy["key"].tobytes(), numpy["pos"]


def _refuse_randomness(forms: Forms) -> None:
    """Refuse a program in which the law of a site changes from run to run while all sites keep their values."""
    try:
        first = _trace(forms.single)
        again = _trace(forms.single, {name: site["value"] for name, site in _free(first)})
    except Exception:  # of runs at other values than the first, which are made and judged when they are asked for
        return
    name = _moved(first, again, _all, forms)
    if name is not None:
        raise ModelError(
            f"site {name!r} is another in two runs in which all sites before it have the same values: the program "
            f"draws random numbers outside of pyro.sample, by dropout in training mode, torch.randn, random or NumPy, "
            f"or it keeps something from run to run. Make them sites, or put its modules in evaluation mode (.eval())."
        )


def coupled(forms: Forms) -> bool:
    """Whether the law of a unit in the last plate of a program, or a factor, moves with the values of another unit.

    Units are changed by the digits of their numbers: for any two there is a run that changes one and leaves the other.
    Units of two plates are other units, however many they are.
    """
    try:
        one, other = _trace(forms.single), _trace(forms.single)
        plates = {f.name: f.size for site in one.values() for f in site["cond_indep_stack"] if f.dim == -1}
        if len(plates) > 1:
            return True
        laws = {name: site for name, site in one.items() if not is_deterministic(site)}
        return any(_bears_on_others(forms, one, other, laws, units) for units in _told_apart(*plates.values()))
    except Exception:  # of runs that come to other sites: nothing shows that the units are apart
        return True


def _told_apart(size: int) -> Iterator[Tensor]:
    """Sets of units, as truth values: for any two units there is one with the first and without the second."""
    number = torch.arange(size)
    for digit in range((size - 1).bit_length()):
        inside = number >> digit & 1 == 1
        yield inside
        yield ~inside


def _bears_on_others(forms: Forms, one: Trace, other: Trace, laws: Trace, units: Tensor) -> bool:
    """Whether a law of the other units moves where the values of some units are changed."""
    mixed = {}
    for name, site in _free(one):
        mixed[name] = site["value"]
        if not site_is_subsample(site):
            chosen = units.reshape(-1, *(1,) * site["fn"].event_dim)
            mixed[name] = torch.where(chosen, _another(site, other[name]["value"]), site["value"])

    def rest(value: Tensor, event_dim: int) -> Tensor:
        dim = value.dim() - 1 - event_dim
        return value.index_select(dim, (~units).nonzero()[:, 0]) if dim >= 0 and value.shape[dim] > 1 else value

    moved = {name: site for name, site in _trace(forms.single, mixed).items() if not is_deterministic(site)}
    return _moved(laws, moved, rest, forms, rest) is not None


def _another(site: Any, value: Tensor) -> Tensor:
    """A value that is another than that of the site, where it has few: the next of them."""
    fn = site["fn"]
    if not fn.has_enumerate_support or fn.event_dim:
        return value
    values = fn.enumerate_support()
    following: Tensor = values.roll(-1, 0).gather(0, (values == site["value"]).long().argmax(0, keepdim=True))[0]
    return following


def _trace(run: Callable[[], Any], values: Mapping[str, Tensor] | None = None) -> dict[str, Any]:
    """The sample sites of a run, unseen by handlers around it, on given values of its free sites."""
    with poutine.block(), poutine.trace() as recorder, _Given(values or {}):
        run()
    return {name: site for name, site in recorder.trace.nodes.items() if site["type"] == "sample"}


def _free(trace: Trace) -> Iterator[tuple[str, Any]]:
    """The sites that have values of their own."""
    return ((name, site) for name, site in trace.items() if not (site["is_observed"] or is_deterministic(site)))


def _own(site: Any, part: Part) -> Tensor:
    value: Tensor = site["value"]
    return value if site_is_subsample(site) else part(value, site["fn"].event_dim)


class _Given(Messenger):
    """Gives sites their values, in the shape that each has."""

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.values = values

    def _pyro_sample(self, msg: Any) -> None:
        value = self.values.get(msg["name"])
        if value is None or msg["is_observed"]:
            return
        if not site_is_subsample(msg):
            value = value.reshape(msg["fn"].batch_shape + msg["fn"].event_shape)
        msg["value"], msg["done"] = value, True


def _part(value: Tensor, event_dim: int, forms: Forms, index: tuple[int, ...]) -> Tensor:
    """The part of a value, density or moment of a run over all draws and units that belongs to one of them."""
    rank = len(forms.lead) + forms.dims + event_dim
    value = value.reshape((1,) * (rank - value.dim()) + value.shape)
    for place in index:
        value = value[place if len(value) > 1 else 0]
    return value


def _all(value: Tensor, _: int) -> Tensor:
    return value


def _moved(one: Trace, other: Trace, part: Part, forms: Forms, of_other: Part = _all) -> str | None:
    """The first site whose law is not the same in two runs on the same values; None where there is none."""
    names = (name for trace in (one, other) for name, site in trace.items() if not site_is_subsample(site))
    for name in dict.fromkeys(names):
        if name not in one or name not in other or not _alike(one[name], other[name], part, of_other, forms):
            return name
    return None


def _alike(one: Any, other: Any, part: Part, of_other: Part, forms: Forms) -> bool:
    """Whether a site has the same law, or where it is deterministic the same value."""
    event_dim = forms.event_dims.get(one["name"], one["fn"].event_dim)
    if is_deterministic(one) or is_deterministic(other):
        return _close(part(one["value"], event_dim), of_other(other["value"], event_dim), ROUNDING)
    laws = one["fn"], other["fn"]
    if laws[0].event_shape != laws[1].event_shape or one["is_observed"] != other["is_observed"]:
        return False
    same = _close(part(_density(one), 0), of_other(_density(other), 0), DENSITY, 1.0)
    try:
        means, spreads = (
            (part(getattr(laws[0], moment), event_dim), of_other(getattr(laws[1], moment), event_dim))
            for moment in ("mean", "variance")
        )
    except (NotImplementedError, AttributeError, ValueError, RuntimeError):
        return same
    if not bool(torch.isfinite(means[0]).all() and torch.isfinite(spreads[0]).all()):
        return same
    if not same:  # in the density of a narrow law far from zero, the rounding of its mean shows
        return _close(*means, ROUNDING) and _close(*spreads, DENSITY)
    return _close(*means, ROUNDING, 100 * _largest(spreads[0]) ** 0.5)


def _density(site: Any) -> Tensor:
    try:
        found: Tensor = site["fn"].log_prob(site["value"])
    except (ValueError, RuntimeError):  # an observation that cannot be, which the verbs refuse by name; or no density
        return torch.full(site["fn"].batch_shape, torch.nan)
    return found


def _close(one: Tensor, other: Tensor, tolerance: float, least: float = 0.0) -> bool:
    """Whether numbers broadcast to each other and agree, by the size of the largest and ``least``."""
    try:
        one, other = torch.broadcast_tensors(one.detach().double(), other.detach().double())
    except RuntimeError:
        return False
    gap = torch.where((one == other) | (one.isnan() & other.isnan()), 0.0, (one - other).abs())
    size = torch.maximum(one.abs(), other.abs())
    return bool((gap <= tolerance * (_largest(size) + least)).all())


def _largest(size: Tensor) -> float:
    finite = size[torch.isfinite(size)]
    return float(finite.max()) if finite.numel() else 0.0


@contextmanager
def _modules() -> Iterator[list[nn.Module]]:
    """The modules that are called meanwhile."""
    met: dict[int, nn.Module] = {}

    def note(module: nn.Module, _: Any) -> None:
        met[id(module)] = module

    hook = nn.modules.module.register_module_forward_pre_hook(note)
    found: list[nn.Module] = []
    try:
        yield found
    finally:
        hook.remove()
        found.extend(met.values())
