"""Which learned models a program runs, and others that run in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import nn

_MET: ContextVar[list[nn.Module] | None] = ContextVar("met", default=None)
_INSTEAD: ContextVar[Mapping[nn.Module, nn.Module]] = ContextVar("instead", default={})  # noqa: B039 (never changed)


def running(model: nn.Module) -> nn.Module:
    """What is to run where a learned model is called: itself, or its stand-in; it is noted that it was called."""
    met = _MET.get()
    if met is not None and model not in met:
        met.append(model)
    return _INSTEAD.get().get(model, model)


@contextmanager
def noted() -> Iterator[list[nn.Module]]:
    """The learned models that are called meanwhile.

    Example:
        >>> from causal_pyro_models import CausalFlow, CausalGraph
        >>> flow = CausalFlow(CausalGraph(["X"], []), {"X": 1})
        >>> with noted() as met:
        ...     _ = (lambda: flow())()
        >>> met == [flow]
        True
    """
    met: list[nn.Module] = []
    token = _MET.set(met)
    try:
        yield met
    finally:
        _MET.reset(token)


class WithStandIns:
    """A program in which other models run in the place of learned ones.

    Args:
        program: any callable that calls them.
        instead: the model to run, by the one that is called.
    """

    def __init__(self, program: Callable[..., Any], instead: Mapping[nn.Module, nn.Module]) -> None:
        self.program, self.instead = program, instead

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        token = _INSTEAD.set({**_INSTEAD.get(), **self.instead})
        try:
            return self.program(*args, **kwargs)
        finally:
            _INSTEAD.reset(token)
