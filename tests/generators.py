"""Laws over random objects that shrink to nothing simpler: each example is a seed, which a failure names."""

import functools
import inspect
import zlib

import numpy as np


def examples(count):
    """Run a test on ``count`` random number generators, passed as its argument ``rng``.

    Where hypothesis would only draw a seed, this is the same without the time that it takes to draw, record and replay.
    """

    def decorated(test):
        @functools.wraps(test)
        def run(*args, **kwargs):
            for number in range(count):
                seed = [zlib.crc32(test.__name__.encode()), number]
                try:
                    test(*args, **kwargs, rng=np.random.default_rng(seed))
                except BaseException as error:
                    error.add_note(f"with rng = np.random.default_rng({seed})")
                    raise

        signature = inspect.signature(test)
        left = [parameter for name, parameter in signature.parameters.items() if name != "rng"]
        run.__signature__ = signature.replace(parameters=left)
        return run

    return decorated
