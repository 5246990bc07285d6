"""Verbs have what a process shares for themselves: Pyro's handlers, the random state, how strictly Pyro checks.

Verbs of several threads take turns, and the handlers around a verb are out of its sight while it runs.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import pyro
import pyro.distributions
import torch
from pyro import infer, poutine
from pyro.poutine import runtime

P = ParamSpec("P")
R = TypeVar("R")

_validates_laws: Callable[[], bool] = pyro.distributions.is_validation_enabled
_validates_inference: Callable[[], bool] = infer.is_validation_enabled
_validates_handlers: Callable[[], bool] = poutine.is_validation_enabled


class _Handlers(NamedTuple):
    """Pyro's handlers, and which dimensions their plates and enumerated sites take."""

    stack: list[Any]
    plates: list[Any]
    enumeration: dict[str, Any]

    @classmethod
    def now(cls) -> _Handlers:
        return cls(runtime._PYRO_STACK[:], runtime._DIM_ALLOCATOR._stack, vars(runtime._ENUM_ALLOCATOR).copy())

    def restore(self) -> None:
        runtime._PYRO_STACK[:], runtime._DIM_ALLOCATOR._stack = self.stack, self.plates[:]
        vars(runtime._ENUM_ALLOCATOR).update(self.enumeration)


class _Checks(NamedTuple):
    """How strictly Pyro checks, and which warnings are heard."""

    laws: bool
    inference: bool
    handlers: bool
    filters: list[Any]

    @classmethod
    def now(cls) -> _Checks:
        return cls(_validates_laws(), _validates_inference(), _validates_handlers(), list(warnings.filters))

    def restore(self) -> None:
        pyro.distributions.enable_validation(self.laws)
        infer.enable_validation(self.inference)
        poutine.enable_validation(self.handlers)
        warnings.filters[:] = self.filters  # type: ignore[index]  # a list


class RandomState:
    """The random state of torch, Python and NumPy at the time that this is made."""

    def __init__(self) -> None:
        self._state = pyro.util.get_rng_state()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []

    def restore(self) -> None:
        pyro.util.set_rng_state(self._state)
        torch.cuda.set_rng_state_all(self._cuda)


class _Turns:
    """A re-entrant lock that threads get in the order in which they came, whoever had it before.

    Attributes:
        owner: the thread whose turn it is, 0 for none.
        depth: how many of its calls are in each other.
        handlers, checks: what there was before the outermost of them.
        seeds: the random states to go back to at the end of each seed, the outermost first.
        waiting: the threads that wait, each with a lock that it is woken by.
    """

    def __init__(self) -> None:
        self.owner, self.depth = 0, 0
        self.handlers, self.checks = _Handlers([], [], {}), _Checks(True, True, True, [])
        self.seeds: list[RandomState] = []
        self.waiting: deque[tuple[int, threading.Lock]] = deque()
        self._guard = threading.Lock()

    def take(self) -> None:
        """Wait for a turn; at once where it is this thread's already."""
        me = threading.get_ident()
        if self.owner == me:
            self.depth += 1
            return
        with self._guard:
            if not self.owner:
                self.owner, self.depth = me, 1
                return
            place = (me, threading.Lock())
            place[1].acquire()
            self.waiting.append(place)
        try:
            place[1].acquire()
        except BaseException:  # interrupted while waiting
            with self._guard:
                waiting = place in self.waiting
                if waiting:
                    self.waiting.remove(place)
            if not waiting:
                self.hand_on()
            raise

    def leave(self) -> None:
        """The end of a call; of the outermost, the turn goes to the thread that has waited longest."""
        if self.depth == 1:
            self.hand_on()
        else:
            self.depth -= 1

    def hand_on(self) -> None:
        with self._guard:
            if self.waiting:
                (self.owner, lock), self.depth = self.waiting.popleft(), 1
                lock.release()
            else:
                self.owner, self.depth = 0, 0

    def in_child(self) -> None:
        """In a process that was forked off, where the other threads are not: their turn is over."""
        if self.owner not in (0, threading.get_ident()):
            self.back_outside()
            self.owner, self.depth = 0, 0
        self.waiting.clear()
        self._guard = threading.Lock()

    def back_outside(self) -> None:
        self.handlers.restore()
        self.checks.restore()
        if self.seeds:
            self.seeds[0].restore()
            self.seeds = []


TURNS = _Turns()
if sys.platform != "win32":
    os.register_at_fork(after_in_child=TURNS.in_child)


def isolated(verb: Callable[P, R]) -> Callable[P, R]:
    """Let a verb have what the process shares for itself: no verb of another thread runs meanwhile.

    Nor do the handlers around the call reach in: a verb is a closed computation, whose answer is the same inside a
    plate, a trace or another verb's callable. Threads get their turns in the order in which they come.

    Example:
        >>> from pyro import poutine
        >>> @isolated
        ... def draw():
        ...     return pyro.sample("X", pyro.distributions.Normal(0.0, 1.0))
        >>> with poutine.trace() as seen, pyro.plate("units", 5):
        ...     draw().shape
        torch.Size([])
        >>> "X" in seen.trace
        False
    """
    turns, stack, now, checks, none = TURNS, runtime._PYRO_STACK, _Handlers.now, _Checks.now, _Handlers([], [], {})

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        turns.take()
        around = now() if stack else none
        try:
            if turns.depth == 1:
                turns.handlers, turns.checks = around, checks()
            if around is not none:
                none.restore()
            return verb(*args, **kwargs)
        finally:
            if turns.depth == 1:
                around = turns.handlers  # those that there are now
            if around is not none:
                around.restore()
            turns.leave()

    # with the globals of the verb, by which doctest and warnings know where a function is from
    wrapper = FunctionType(run.__code__, verb.__globals__, run.__name__, None, run.__closure__)
    return cast(Callable[P, R], functools.update_wrapper(wrapper, verb))


def let_others() -> None:
    """Between two steps of a long verb: let the verbs of other threads go first that wait.

    What this one has for itself is put aside and back again, so that neither notices. A verb inside of another keeps
    its turn.
    """
    turns = TURNS
    if not turns.waiting or turns.depth != 1 or turns.owner != threading.get_ident():
        return
    mine = _Handlers.now(), _Checks.now()
    seeds, random = turns.seeds, RandomState() if turns.seeds else None
    turns.back_outside()
    turns.hand_on()
    interrupted: BaseException | None = None
    while turns.owner != threading.get_ident():
        try:
            turns.take()
        except BaseException as error:  # raised once this verb is whole again
            interrupted = error
    turns.handlers, turns.checks = _Handlers.now(), _Checks.now()
    for part in mine:
        part.restore()
    if random is not None:
        turns.seeds = [RandomState(), *seeds[1:]]
        random.restore()
    if interrupted is not None:
        raise interrupted
