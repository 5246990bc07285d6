"""Randomness under an explicit seed."""

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral

import pyro
import torch

from causal_pyro_models.errors import QueryError


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
    state = pyro.util.get_rng_state()  # of torch on the CPU, Python and NumPy; fork_rng keeps the other devices'
    with torch.random.fork_rng():
        try:
            pyro.set_rng_seed(int(seed))
            yield
        finally:
            pyro.util.set_rng_state(state)
