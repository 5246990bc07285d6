"""Policies: interventions that look at other variables, as a doctor does before he treats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch

from causal_pyro_models.errors import CausalError, InterventionError, suggestion

RUNNING: ContextVar[tuple[Mapping[str, Any], ...]] = ContextVar("running", default=())
"""The interventions of the handlers that are at work, from the outermost in."""


@dataclass(frozen=True, repr=False, eq=False)
class Policy:
    """What a site is set to as a function of other sites; see :func:`policy`."""

    function: Callable[[Mapping[str, torch.Tensor]], Any]
    reads: tuple[str, ...]

    def __repr__(self) -> str:
        return f"policy(reads={list(self.reads)})"

    def of(self, name: str, values: Mapping[str, torch.Tensor]) -> Any:
        """What the function makes of the values that it reads, at the site ``name``: a value or a distribution."""
        try:
            return self.function(_Read(name, values))
        except CausalError:
            raise
        except Exception as error:
            shapes = {read: tuple(value.shape) for read, value in values.items()}
            raise InterventionError(
                f"the policy for site {name!r} fails on tensors of shapes {shapes}: {type(error).__name__}: "
                f"{error!s:.200}. It takes a dict from the names of its reads to their values for all units at once, "
                f"so that a branch is torch.where."
            ) from error


class _Read(dict[str, torch.Tensor]):
    """The values that a policy reads; any other name is an error that says what to add."""

    def __init__(self, site: str, values: Mapping[str, torch.Tensor]) -> None:
        super().__init__(values)
        self.site = site

    def __missing__(self, name: object) -> torch.Tensor:
        raise InterventionError(
            f"the policy for site {self.site!r} asks for {name!r}, which is not among its reads, {list(self)}: add it "
            f"to reads."
        )


def policy(function: Callable[[Mapping[str, torch.Tensor]], Any], reads: Sequence[str]) -> Policy:
    """An intervention that sets a site by a rule of other sites: do(X = g(Z)), or X ~ p(x | z).

    It goes wherever a ``do`` goes: :func:`intervene`, worlds, effects, potentials. The sites that it reads have the
    values of the world that it acts in, under all else that is done there; they come before the site in the program.

    Args:
        function: from a dict of the sites in ``reads`` to what the site is set to: a tensor that broadcasts to the site
            (truth values count as 0 and 1), or a distribution, from which it is then drawn. It sees all units at once.
            Worlds on the same noise draw with the same random numbers.
        reads: the sites that the function looks at. The site itself among them stands for its natural value, the one it
            would have taken.

    Raises:
        InterventionError: not a function, or reads that are no names. When run: the function fails, or a site that it
            reads does not come before the site that it sets.

    References:
        Pearl (2009), Causality, section 4.2 (conditional interventions and stochastic policies); Robins (1986), A new
        approach to causal inference in mortality studies (dynamic regimes).

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from causal_pyro_models import ate
        >>> def model():
        ...     z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        ...     x = pyro.sample("X", dist.Bernoulli(logits=z))
        ...     pyro.sample("Y", dist.Normal(x * z, 1.0))
        >>> treat = policy(lambda v: v["Z"] > 0, reads=["Z"])
        >>> ate(model, {"X": (0.0, treat)}, "Y", seed=0)  # E[Z; Z > 0] = 0.3989
        ate = 0.3932 ± 0.0059 (95% interval 0.3817 to 0.4047)
    """
    if not callable(function) or isinstance(function, type):
        raise InterventionError(f"a policy is a function of the values that it reads, got {function!r:.80}.")
    if isinstance(reads, str) or not isinstance(reads, Iterable) or not all(isinstance(n, str) for n in reads):
        raise InterventionError(f"reads must be a list of the names of sites, such as ['Z'], got {reads!r:.80}.")
    found = tuple(dict.fromkeys(reads))
    if not found:
        raise InterventionError("a policy reads at least one site: for a rule that reads none, give the value itself.")
    return Policy(function, found)


def reads_of(do: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """For each site that a policy sets, the sites that the policy reads."""
    return {name: value.reads for name, value in do.items() if isinstance(value, Policy)}


def not_before(name: str, reads: Sequence[str], before: Iterable[str]) -> InterventionError:
    """The error for a policy that reads what the program has not come to."""
    known = list(before)
    late = next(read for read in reads if read not in known)
    listed, hint = ", ".join(known) or "none", suggestion(late, known)
    return InterventionError(
        f"the policy for site {name!r} reads {late!r}, which does not come before it in the program.{hint} "
        f"The sites before {name!r} are: {listed}. A policy reads what is there when it acts: no effect of what it "
        f"sets, and in a program the sample statement of {late!r} has to stand before that of {name!r}."
    )


def reads_first(order: Sequence[str], parents: Callable[[str], Iterable[str]]) -> Sequence[str]:
    """An order of variables in which what the policies at work read comes before what they set.

    Args:
        order: causes before effects.
        parents: of a variable.

    Returns:
        The order itself where it will do, or where none does since a policy reads an effect of what it sets.
    """
    needed = {name: set(reads) for do in RUNNING.get() for name, reads in reads_of(do).items() if name in order}
    if not needed:
        return order
    left, found = list(order), dict[str, None]()
    waits = {name: ({*parents(name), *needed.get(name, ())} - {name}).intersection(order) for name in order}
    while left:
        ready = next((name for name in left if waits[name] <= found.keys()), None)
        if ready is None:
            return order
        found[ready] = None
        left.remove(ready)
    return list(found)
