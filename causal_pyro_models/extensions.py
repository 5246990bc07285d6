"""Rooms that register implementations with a room below them, imported when one is asked for.

A function of a low room that dispatches on types knows no room above it. The package lists here, by the name of that
function, what to import for the rest of its implementations.
"""

from importlib import import_module

_ROOMS: dict[str, list[str]] = {}


def registered_in(function: str, *modules: str) -> None:
    """Say that modules register implementations of a function when they are imported."""
    _ROOMS.setdefault(function, []).extend(modules)


def load(function: str) -> None:
    """Import whatever registers implementations of a function."""
    for module in _ROOMS.get(function, ()):
        import_module(module)
