"""Randomness under an explicit seed."""

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral

import pyro
import torch

from causal_pyro_models.errors import QueryError
from causal_pyro_models.isolation import TURNS, RandomState


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Run a block under ``seed`` and give the global random state back untouched; None uses the global state.

    Example:
        >>> with seeded(0):
        ...     a = torch.rand(())
        >>> with seeded(0):
        ...     b = torch.rand(())
        >>> bool(a == b)
        True
    """
    if seed is None:
        yield
        return
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < 2**32:
        raise QueryError(f"seed must be an integer from 0 to 2**32 - 1 or None, got {seed!r:.80}.")
    TURNS.seeds.append(RandomState())
    try:
        with torch.random.fork_rng():
            pyro.set_rng_seed(int(seed))
            yield
    finally:
        TURNS.seeds.pop().restore()
