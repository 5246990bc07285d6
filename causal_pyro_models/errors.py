"""Errors and warnings of the package: every one names what came, what was expected, and how to mend it."""

import difflib
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

PASSED_THROUGH = {__name__.partition(".")[0], "contextlib", "functools", "pyro", "torch"}
"""Packages whose frames a warning is not about: this one, and what it calls itself by."""


class CausalError(Exception):
    """Base of every error that this package raises on purpose.

    Example:
        >>> from causal_pyro_models import CausalGraph
        >>> try:
        ...     CausalGraph.from_edges([("X", "Y"), ("Y", "X")])
        ... except CausalError as error:
        ...     type(error).__name__
        'GraphError'
    """


class UnknownVariableError(CausalError, KeyError):
    """A name that no variable, site or node has."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0]) if self.args else ""


class GraphError(CausalError, ValueError):
    """A causal graph that cannot be: a cycle, a duplicate, a self-loop, a malformed description."""


class ModelError(CausalError, ValueError):
    """A model that does not run as a generative program, or has no sites to speak of."""


class MechanismError(CausalError, TypeError):
    """A distribution whose noise cannot be made explicit, or a mechanism that breaks its contract."""


class InterventionError(CausalError, ValueError):
    """An intervention that a site cannot take."""


class EvidenceError(CausalError, ValueError):
    """Evidence that the model cannot have produced, or that does not fit its site."""


class AbductionError(CausalError, RuntimeError):
    """Noise that cannot be abducted in the way that was asked for."""


class DataError(CausalError, ValueError):
    """Data that do not fit the variables."""


class FitError(CausalError, RuntimeError):
    """Training that went wrong, for example to a loss that is not a number.

    Attributes:
        variables: the variables whose loss it was.
        rows: the rows of the data that it came from.
    """

    variables: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()


class FormatError(CausalError, ValueError):
    """A file that is not what it should be, truncated or of another version."""


class CheckpointError(CausalError, ValueError):
    """A checkpoint of another training: of other data, other settings or another model."""


class MissingFileError(CausalError, FileNotFoundError):
    """A file or folder that is not there."""


class QueryError(CausalError, ValueError):
    """A question that cannot be asked as it stands: a vector as an outcome, an empty grid, no draws, half a seed."""


class SupportError(QueryError):
    """A question that leaves the support of the data, where it was required to stay inside."""


class NoValidSetError(CausalError, ValueError):
    """No separator, adjustment set, front-door set or instrument does what was asked for; the message says why."""


class NotIdentifiableError(CausalError, ValueError):
    """A query that the available distributions do not determine.

    Args:
        message: what cannot be identified, and why.
        witness: the structure in the graph that shows it: a hedge, or a conflict between worlds.
    """

    def __init__(self, message: str, witness: object = None) -> None:
        super().__init__(message)
        self.witness = witness


class DerivationError(CausalError, ValueError):
    """A derivation with a step that is wrong."""


class CausalWarning(UserWarning):
    """A result that stands, with something the reader should know about it.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     warn("few draws")
        >>> caught[0].category.__name__
        'CausalWarning'
    """


@contextmanager
def unheard() -> Iterator[None]:
    """No warnings of this package, where they would only repeat what was said.

    Example:
        >>> with unheard():
        ...     warn("once is enough")
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CausalWarning)
        yield


def warn(message: str) -> None:
    """Give a :class:`CausalWarning` at the line of the user that all came from, however deep down it is noticed.

    Example:
        >>> import pytest
        >>> with pytest.warns(CausalWarning, match="few"):
        ...     warn("few draws")
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in PASSED_THROUGH:
        frame = frame.f_back
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    name, line = frame.f_code.co_filename, frame.f_lineno
    module = frame.f_globals.get("__name__") or "<string>"
    warnings.warn_explicit(message, CausalWarning, name, line, module, registry)


def suggestion(name: object, known: Iterable[object]) -> str:
    """The known name that is nearest to a misspelt one, as a question; empty where none is near.

    Example:
        >>> suggestion("incom", ["income", "age"])
        " Did you mean 'income'?"
    """
    lower = {k.lower(): k for k in reversed(list(map(str, known)))}
    near = difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=0.5)
    return f" Did you mean {lower[near[0]]!r}?" if near else ""


def unknown_variable(name: object, known: Iterable[object], what: str = "variable") -> UnknownVariableError:
    """The error for a name that is not among the known ones, with the nearest one suggested.

    Example:
        >>> unknown_variable("incom", ["income", "age"])
        UnknownVariableError("unknown variable 'incom'. Did you mean 'income'? The variables are: income, age.")
    """
    names = [str(k) for k in known]
    listing = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return UnknownVariableError(
        f"unknown {what} {name!r}.{suggestion(name, names)} The {what}s are: {listing or 'none'}."
    )
