"""What a case of bad input is: a call, the error it must raise, and what the message must say."""

from collections.abc import Callable
from dataclasses import dataclass

from causal_pyro_models.errors import CausalError


@dataclass(frozen=True)
class Bad:
    """A call that must be refused.

    Attributes:
        id: what is wrong, in a few words.
        error: the error it must raise.
        says: words of the message: the name of the variable or setting, what came, the mend.
        call: what a user would write.
    """

    id: str
    error: type[CausalError]
    says: tuple[str, ...]
    call: Callable[[], object]


@dataclass(frozen=True)
class Good:
    """An unusual call that is valid, and a check of what comes back."""

    id: str
    call: Callable[[], object]
    holds: Callable[..., object]
