"""What is asked of arguments that many functions take, each check once."""

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from causal_pyro_models.errors import InterventionError, QueryError

Arms = Mapping[str, tuple[Any, Any]]
"""Variable -> its values (control, treated)."""


def checked_count(value: object, what: str, least: int = 1) -> int:
    """A setting that counts something, as an int; QueryError where it is no integer of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise QueryError(f"{what} must be an integer of at least {least}, got {value!r:.80}.")
    return int(value)


def checked_level(level: object) -> float:
    """The probability of an interval, as a float; QueryError where it is no number between 0 and 1."""
    if isinstance(level, bool) or not isinstance(level, Real) or not 0.0 < float(level) < 1.0:
        raise QueryError(f"level must be a number between 0 and 1, such as 0.95, got {level!r:.80}.")
    return float(level)


def checked_arms(treatment: object, what: str = "treatment", most: int | None = None) -> dict[str, tuple[Any, Any]]:
    """The pair (control, treated) of everything that a treatment sets.

    Args:
        treatment: a dict from name to a pair.
        what: what it is called in messages.
        most: how many names there may be; None for any number.

    Raises:
        InterventionError: it is no such dict.

    Example:
        >>> checked_arms({"X": [0, 1]})
        {'X': (0, 1)}
    """
    if not isinstance(treatment, Mapping) or not treatment:
        raise InterventionError(
            f"{what} must be a dict from name to a pair (control, treated), such as {{'X': (0, 1)}}, got "
            f"{treatment!r:.80}."
        )
    if most is not None and len(treatment) > most:
        names = "one name" if most == 1 else f"{most} names"
        raise InterventionError(f"{what} takes {names} here, got {list(treatment)!r:.200}.")
    for name, pair in treatment.items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise InterventionError(f"{what} {name!r} must be a pair (control, treated), got {pair!r:.80}.")
    return {name: (pair[0], pair[1]) for name, pair in treatment.items()}
