"""A program run once for each draw and unit, all runs in turns: at each site their laws are one batched law."""

from __future__ import annotations

import contextvars
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from greenlet import getcurrent, greenlet
from pyro.nn.module import PyroModule
from pyro.poutine.broadcast_messenger import BroadcastMessenger
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import _DIM_ALLOCATOR, _PYRO_STACK, apply_stack
from pyro.poutine.util import site_is_subsample

from causal_pyro_models.errors import ModelError
from causal_pyro_models.inference.stacking import Runs, batch_of, stacked
from causal_pyro_models.scm.sites import Model

MOST_RUNS = 200_000  # at once: each holds about 12 kB while it waits at a site


def in_turns(model: Model, lead: Sequence[int], dims: int, settle: Callable[[Any], None]) -> None:
    """Run a program once for each of ``lead``, and issue each of its sites once for all runs.

    Each run is a greenlet that waits at its sites until all others have come there. Their laws, observations, scales
    and masks are then put together, and what the handlers and plates around this call make of the one site is dealt
    out to the runs. So handlers see a program that broadcasts.

    Args:
        model: the program of one draw and unit, or of one draw where it has plates of its own.
        lead: the dimensions of the runs, whose plates are around this call.
        dims: the dimensions of the program's own plates, to the right of ``lead``.
        settle: called on the message of each site of a run.

    Raises:
        ModelError: runs that come to different sites, or to laws that cannot be put together.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from pyro import poutine
        >>> def model():
        ...     x = pyro.sample("X", dist.Normal(0.0, 1.0))
        ...     pyro.sample("Y", dist.Normal(5.0 if x > 0 else -5.0, 1e-6))
        >>> _ = torch.manual_seed(0)
        >>> with pyro.plate("units", 3), poutine.trace() as trace:
        ...     in_turns(model, [3], 0, lambda site: None)
        >>> {name: trace.trace.nodes[name]["value"].round() for name in "XY"}
        {'X': tensor([ 2., -0., -2.]), 'Y': tensor([ 5., -5., -5.])}
    """
    if (count := math.prod(lead)) > MOST_RUNS:
        raise ModelError(
            f"the program does not broadcast, and {count:,} draws of units are more than the {MOST_RUNS:,} that it is "
            f"run for at once: ask for fewer of them, or write the model so that it broadcasts (docs/broadcasting.md)."
        )
    hub: Any = getcurrent()
    with _noting_modules() as now:
        runs = [_Run(model, hub, now) for _ in range(count)]
        try:
            while _together(messages := [run.resume() for run in runs]):
                _issue(messages, tuple(lead), dims, settle)
        finally:
            for run in runs:
                run.close()


class _Run:
    """One run of a program, with the part of the global state that is its own while it waits."""

    def __init__(self, model: Model, hub: greenlet, now: list[_Run]) -> None:
        self.model = model
        self.hub = hub
        self.now = now
        self.thread = greenlet(self._start, hub)
        self.thread.gr_context = contextvars.copy_context()
        self.stack: list[Any] = []
        self.plates: list[Any] = []
        self.gradients = torch.is_grad_enabled()
        self.contexts: dict[Any, tuple[int, dict[str, torch.Tensor]]] = {}

    def _start(self) -> None:
        with _Pause(self.hub):
            self.model()

    def resume(self) -> Any:
        """The message of the next site; None at the end."""
        return None if self.thread.dead else self._inside(self.thread.switch)

    def close(self) -> None:
        """End a run that waits, so that its handlers leave the stack that they are on."""
        if self.thread and not self.thread.dead:
            self._inside(self.thread.throw)

    def _inside(self, switch: Callable[[], Any]) -> Any:
        """Give the run its state, and back what was there before when it waits again."""
        stack, plates, gradients = _PYRO_STACK[:], _DIM_ALLOCATOR._stack, torch.is_grad_enabled()
        _PYRO_STACK[:], _DIM_ALLOCATOR._stack = self.stack, self.plates
        for context, (active, cache) in self.contexts.items():
            context.active, context.cache = active, cache
        torch._C._set_grad_enabled(self.gradients)
        self.now[:] = [self]
        try:
            return switch()
        finally:
            self.now.clear()
            self.stack, self.plates, self.gradients = _PYRO_STACK[:], _DIM_ALLOCATOR._stack, torch.is_grad_enabled()
            for context in self.contexts:
                self.contexts[context] = context.active, context.cache
                context.active, context.cache = 0, {}
            torch._C._set_grad_enabled(gradients)
            _PYRO_STACK[:], _DIM_ALLOCATOR._stack = stack, plates


class _Pause(Messenger):
    """The outermost handler of a run: waits at each site until it has its value; parameters are the run's own."""

    def __init__(self, hub: greenlet) -> None:
        super().__init__()
        self.hub = hub

    def _process_message(self, msg: Any) -> None:
        if msg["type"] == "sample":
            self.hub.switch(msg)
        msg["stop"] = True


class _Around(Messenger):
    """The plates, scale and mask that a site has in each run, for it and for what handlers draw in its place."""

    def __init__(self, frames: tuple[Any, ...], scale: Any, mask: Any) -> None:
        super().__init__()
        self.frames, self.scale, self.mask = frames, scale, mask

    def _process_message(self, msg: Any) -> None:
        msg["cond_indep_stack"] = self.frames + msg["cond_indep_stack"]
        msg["scale"] = self.scale * msg["scale"]
        if self.mask is not None:
            msg["mask"] = self.mask if msg["mask"] is None else self.mask & msg["mask"]
        BroadcastMessenger._pyro_sample(msg)


@contextmanager
def _noting_modules() -> Iterator[list[_Run]]:
    """Let each run have the values of Pyro modules to itself, which these keep while they are called.

    Yields:
        A list that holds the run that is at work.
    """
    now: list[_Run] = []

    def note(module: Any, _: Any) -> None:
        if now and isinstance(module, PyroModule):
            context = module._pyro_context
            now[0].contexts.setdefault(context, (context.active, context.cache))

    hook = torch.nn.modules.module.register_module_forward_pre_hook(note)
    try:
        yield now
    finally:
        hook.remove()


def _together(messages: Sequence[Any]) -> bool:
    """Whether all runs wait at one site; False where all have ended.

    Raises:
        ModelError: some wait at another site than others.
    """
    names = list(dict.fromkeys(message and message["name"] for message in messages))
    if len(names) > 1:
        name = next(name for name in names if name is not None)
        at = "end" if None in names else f"come to {names[1 if names[0] == name else 0]!r}"
        raise ModelError(
            f"the program does not broadcast and runs once for each draw and unit, but site {name!r} is there in some "
            f"of these runs only, where others {at}: let it have the same sites in the same order whatever their "
            f"values are; a law may depend on a branch, and where it does not matter any one will do."
        )
    return names[0] is not None


def _issue(messages: Sequence[Any], lead: tuple[int, ...], dims: int, settle: Callable[[Any], None]) -> None:
    """Issue a site once for all runs, and deal out its values."""
    first = messages[0]
    if site_is_subsample(first):
        one: Any = dict(first)
        apply_stack(one)
        for message in messages:
            message.update(value=one["value"], done=True)
        return
    for message in messages:
        settle(message)
    laws = [message["fn"] for message in messages]
    batch, event = batch_of(laws), tuple(first["fn"].event_shape)
    runs = Runs(first["name"], lead, dims - len(batch))
    if runs.pad < 0:
        raise runs.refusal(f"has the batch shape {tuple(batch)} outside of plates; make vectors .to_event(1)")
    given = [message["value"] for message in messages]
    seen = [message["is_observed"] for message in messages]
    if any(value is None for value in given) != all(value is None for value in given) or len(set(seen)) > 1:
        raise runs.refusal("is observed in some of these runs only")
    whole: Any = {
        **first,
        "fn": stacked(laws, runs),
        "value": None if given[0] is None else runs.tensors(given, batch, len(event)),
        "infer": dict(first["infer"]),
        "cond_indep_stack": (),
        "scale": 1.0,
        "mask": None,
    }
    scale, mask = (runs.numbers([message[key] for message in messages], batch) for key in ("scale", "mask"))
    with _Around(first["cond_indep_stack"], scale, mask):
        apply_stack(whole)
    value = whole["value"].expand(lead + (1,) * runs.pad + tuple(batch) + event).reshape(len(messages), *batch, *event)
    for message, own in zip(messages, value.unbind(0), strict=True):
        message.update(value=own, is_observed=whole["is_observed"], done=True)
