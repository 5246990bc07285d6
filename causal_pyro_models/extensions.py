"""Rooms that register implementations with a room below them, imported when one is asked for.

A function of a low room that dispatches on types (``functools.singledispatch``) knows no room above it. The package
lists here, by the name of that function, what to import for the rest of its implementations.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

_ROOMS: dict[str, tuple[str, ...]] = {}


class Dispatching(Protocol):
    """A function that ``functools.singledispatch`` has made."""

    def dispatch(self, cls: type, /) -> Callable[..., Any]:
        """The implementation for a type."""


def registered_in(function: str, *modules: str) -> None:
    """Say which modules register implementations of a function when they are imported."""
    _ROOMS[function] = modules


def load_for(function: Dispatching, cls: type) -> None:
    """Import the modules that register implementations of a function, unless it has one for a type already."""
    default = function.dispatch(object)
    if function.dispatch(cls) is default:
        for module in _ROOMS[default.__name__]:
            import_module(module)
