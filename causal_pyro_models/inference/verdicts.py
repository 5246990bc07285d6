"""What is known of programs: verdicts on whether they broadcast, kept as long as the programs are what they were."""

from __future__ import annotations

import functools
import types
import weakref
from typing import Any

from causal_pyro_models.errors import ModelError, warn
from causal_pyro_models.inference.replay import Verdict

PAGE = "docs/broadcasting.md"
MOST = 256  # verdicts that are kept
LONG = 1_000  # what holds more than this is not looked through
PLAIN = (type(None), bool, int, float, complex, str, bytes)

_known: dict[Any, tuple[list[weakref.ref[Any]], Verdict]] = {}


def remembered(model: Any) -> Verdict | None:
    """The verdict on a program that was judged before, if it and all that it refers to are the same."""
    refs, found = _known.get(_identity(model, [], {}), ([], None))
    return found if found and found.stands and all(ref() is not None for ref in refs) else None


def remember(model: Any, found: Verdict) -> None:
    """Keep a verdict, the last ones of all."""
    parts: list[Any] = []
    key = _identity(model, parts, {})
    try:
        refs = [weakref.ref(part) for part in parts]
    except TypeError:  # something that cannot be referred to weakly: it is asked anew
        return
    _known.pop(key, None)
    _known[key] = refs, found
    if len(_known) > MOST:
        del _known[next(iter(_known))]


def tell(found: Verdict) -> None:
    """Say once that a program runs one by one, or that it cannot.

    Raises:
        ModelError: it cannot be run in turns.
    """
    if found.refusal:
        raise ModelError(
            f"{found.refusal} It does not broadcast over draws and units either: {found.why}. Keep what goes from site "
            f"to site in local variables, or see {PAGE}."
        )
    if not found.said:
        found.said = True
        warn(
            f"the program does not broadcast over draws and units ({found.why}), so it runs for one after the other, "
            f"which is slower. {PAGE} says how to write one that does."
        )


def _identity(part: Any, parts: list[Any], seen: dict[int, int]) -> Any:
    """What tells a program, or a part of it, from others: functions made anew of the same parts are the same.

    Args:
        part: a program, or what it refers to.
        parts: takes up what is told by where it lies, which holds as long as it is there.
        seen: the parts on the way, by where they lie.
    """
    if isinstance(part, PLAIN):
        return type(part), part
    if id(part) in seen:
        return seen[id(part)]
    seen[id(part)] = len(seen)
    if isinstance(part, tuple | list | dict) and len(part) > LONG:
        parts.append(part)
        return None
    if isinstance(part, tuple | list):
        return type(part), *(_identity(each, parts, seen) for each in part)
    if isinstance(part, dict):
        return dict, *((_identity(k, parts, seen), _identity(v, parts, seen)) for k, v in part.items())
    if isinstance(part, functools.partial):
        return functools.partial, *(_identity(each, parts, seen) for each in (part.func, part.args, part.keywords))
    if isinstance(part, types.MethodType):
        return types.MethodType, _identity(part.__self__, parts, seen), _identity(part.__func__, parts, seen)
    if isinstance(part, types.FunctionType) and not str(part.__module__).startswith(
        ("pyro.", "torch.", "causal_pyro_models.")
    ):
        return _of_function(part, parts, seen)
    parts.append(part)
    return type(part), id(part)


def _of_function(function: types.FunctionType, parts: list[Any], seen: dict[int, int]) -> Any:
    """The code of a function, and what it has from around it: closure, defaults, and the globals that it names."""
    code = function.__code__
    parts.append(code)
    around: list[Any] = [_contents(cell) for cell in function.__closure__ or ()]
    around += [function.__defaults__, function.__kwdefaults__]
    around += [function.__globals__.get(name) for name in sorted(_names(code))]
    return (id(code), *(_identity(each, parts, seen) for each in around))


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


@functools.lru_cache(maxsize=1_000)
def _names(code: types.CodeType) -> frozenset[str]:
    """The names that a function and the functions in it look up outside of it."""
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return frozenset(code.co_names).union(*map(_names, inner))
