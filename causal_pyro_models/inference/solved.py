"""Evidence on deterministic sites: solved for the hidden site that it is an invertible function of.

Where D = h(S, rest) is monotone in S, the density of D = d is that of S at its solution s, times |ds/dd|. In a run of
the program that is an observation of S, with a value that depends on the rest, and a factor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast

import pyro
import torch
from pyro import poutine
from pyro.ops.provenance import get_provenance, track_provenance
from pyro.poutine import runtime
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import biject_to

from causal_pyro_models.errors import EvidenceError
from causal_pyro_models.inference.evidence import Observe
from causal_pyro_models.inference.program import Program, traced
from causal_pyro_models.scm.sites import is_auxiliary, role
from causal_pyro_models.seeding import seeded

PROBES = 32  # values of the hidden site at which a function has to rise everywhere, or to fall
OTHERS = 4  # values of what else is hidden, at each of which it is probed
STEPS = 200  # of Newton's method within a bracket; a line takes two
STALLED = 30  # steps without a better solution, after which there is none
TOLERANCE = 1e-6  # how far a solution may be off, in spreads of the hidden site


class Track(Messenger):
    """Marks the value of each unobserved site with its name, so that what is computed from it carries the mark."""

    def _pyro_post_sample(self, msg: Any) -> None:
        if not msg["is_observed"] and not is_auxiliary(msg):
            msg["value"] = track_provenance(msg["value"], frozenset({msg["name"]}))


@dataclass(frozen=True)
class Solved(Program):
    """A program on evidence on deterministic sites.

    Attributes:
        plain: the program itself.
        seen: evidence on sites that are not deterministic.
        targets: by deterministic site, its evidence.
        hidden: by deterministic site, the site that it is solved for.
    """

    plain: Program | None = None
    seen: Mapping[str, Tensor] = field(default_factory=dict)
    targets: Mapping[str, Tensor] = field(default_factory=dict)
    hidden: Mapping[str, str] = field(default_factory=dict)

    def batched(self, units: int, draws: int | None = None) -> Callable[[], Any]:
        """The program over units and draws, see :class:`Program`, each hidden site at its solution."""
        assert self.plain is not None
        inner = self.plain.batched(units, draws)

        def run() -> Any:
            with _Solve(self, inner):
                return inner()

        return run

    @property
    def factors(self) -> list[str]:
        """The ``pyro.factor`` statements of the program itself."""
        return [name for name in super().factors if name not in map(slope_name, self.targets)]

    def dependencies(self, units: int) -> frozenset[str]:
        """The hidden sites that bear on the evidence on deterministic sites, the solved ones left out."""
        assert self.plain is not None
        trace = tracked(self.plain, self.seen, units)
        found: frozenset[str] = frozenset()
        for name, site in self.hidden.items():
            node = trace.nodes[site]
            found |= get_provenance(trace.nodes[name]["value"]) | get_provenance(node["fn"].log_prob(node["value"]))
        return found - set(self.hidden.values())


def slope_name(name: str) -> str:
    """The factor of the Jacobian of a deterministic site; minus infinity where there is no solution."""
    return f"_{name}_slope"


def tracked(program: Program, evidence: Mapping[str, Tensor], units: int) -> Any:
    """The trace of a program on evidence, in which values carry the names of the hidden sites they come from."""

    def marked() -> None:
        with Track(), Observe(evidence):
            program.batched(units)()

    with pyro.validation_enabled(False):
        return traced(marked)


def with_solutions(program: Program, evidence: Mapping[str, Tensor], units: int) -> tuple[Program, dict[str, Tensor]]:
    """A program and evidence on sites that are not deterministic, from evidence that may be on any.

    Raises:
        EvidenceError: a deterministic site is not an invertible function of a hidden one.
    """
    targets = {name: value for name, value in evidence.items() if program.sites[name].deterministic}
    if not targets:
        return program, dict(evidence)
    seen = {name: value for name, value in evidence.items() if name not in targets}
    trace = tracked(program, seen, units)
    order, hidden = list(trace.nodes), dict[str, str]()
    for name in sorted(targets, key=order.index):
        causes = get_provenance(trace.nodes[name]["value"]) - set(hidden.values())
        hidden[name] = _last(program, name, sorted(causes, key=order.index))
        _check_invertible(program, seen, units, name, hidden[name])
    sites = {
        name: replace(site, observed=True) if name in hidden.values() else site for name, site in program.sites.items()
    }
    known = {part.name: getattr(program, part.name) for part in fields(Program)}
    observed = (*program.observed, *hidden.values(), *map(slope_name, targets))
    known |= {"sites": sites, "observed": observed}
    return Solved(**known, plain=program, seen=seen, targets=targets, hidden=hidden), seen


def refusal(name: str, why: str) -> EvidenceError:
    """The error for evidence on a deterministic site that cannot be solved for a hidden one."""
    return EvidenceError(
        f"evidence on {name!r} cannot be used: the site is deterministic, and {why}. Give evidence on the sites it is "
        f"computed from; or say that it was measured with an error, {name!r}: soft(value, scale)."
    )


def _last(program: Program, name: str, causes: list[str]) -> str:
    """The hidden site to solve for: the last one, when all else that the deterministic one comes from is known."""
    if not causes:
        raise refusal(name, "its value follows from what is observed, set or solved for already")
    site, cause = program.sites[name], program.sites[causes[-1]]
    where = f"of {causes[-1]!r}, the last hidden site that it is computed from"
    if program.subsampled:
        raise refusal(name, f"the plate {program.subsampled[0]!r} is subsampled")
    if not cause.dtype.is_floating_point or (cause.support is not None and cause.support.is_discrete):
        raise refusal(name, f"it is no invertible function {where}, since that is discrete")
    event = site.event_shape[len(site.event_shape) - site.place.event_dim :]
    if (cause.place, cause.event_shape) != (site.place, event) or causes[-1] in program.parameters:
        raise refusal(name, f"it is no invertible function {where}, since that has another shape or other plates")
    return causes[-1]


def _check_invertible(program: Program, seen: Mapping[str, Tensor], units: int, name: str, cause: str) -> None:
    """Refuse a function that does not rise everywhere, or fall, in the hidden site of the same unit and component."""
    draws = OTHERS * PROBES
    with seeded(0), torch.no_grad(), pyro.validation_enabled(False):
        trace = traced(_observed(program.batched(units, draws), seen))
        others = {}
        for before, node in trace.nodes.items():
            if before == cause:
                break
            if _is_random(program, before, node):
                others[before] = _in_groups(node["value"], draws)
        trace = traced(_observed(poutine.condition(program.batched(units, draws), data=others), seen))
        values = trace.nodes[cause]["value"].double()
        at = _function(program.batched(units, draws), {**others}, seen, name, cause)
        found, slope = _with_slope(at, values)
        groups = slope.reshape(OTHERS, PROBES, *slope.shape[1:])
        if not bool(((groups > 0).all(1) | (groups < 0).all(1)).all()):
            raise refusal(name, f"it is no invertible function of {cause!r}: it does not rise everywhere, or fall")
        kept = torch.rand(values.shape) < 0.5
        again = at(torch.where(kept, values, values.flip(0)))
        if not torch.allclose(again[kept], found[kept], rtol=1e-6, equal_nan=True):
            raise refusal(name, f"units or components of {cause!r} share in the same value")


def _in_groups(value: Tensor, draws: int) -> Tensor:
    """Values of some draws, each repeated for all probes."""
    if len(value) != draws:
        return value
    first = value.reshape(OTHERS, PROBES, *value.shape[1:])[:, :1]
    return first.expand(OTHERS, PROBES, *value.shape[1:]).reshape(value.shape)


def _observed(run: Callable[[], Any], seen: Mapping[str, Tensor]) -> Callable[[], Any]:
    def observed() -> None:
        with Observe(seen):
            run()

    return observed


def _is_random(program: Program, name: str, node: Any) -> bool:
    return node["type"] == "sample" and name in program.sites and not program.sites[name].deterministic


def _function(
    run: Callable[[], Any], values: Mapping[str, Tensor], seen: Mapping[str, Tensor], name: str, cause: str
) -> Callable[[Tensor], Tensor]:
    """The deterministic site as a function of a hidden one, all else that it comes from held at its values.

    What is drawn behind the hidden site is drawn anew each time, so that nothing is solved that depends on it.
    """

    def at(value: Tensor) -> Tensor:
        with _apart(), pyro.validation_enabled(False):
            held = poutine.condition(_observed(run, seen), data={**values, cause: value})
            found: Tensor = traced(held).nodes[name]["value"]
        return found.expand(torch.broadcast_shapes(found.shape, value.shape))

    return at


@contextmanager
def _apart() -> Iterator[None]:
    """A run of its own in the middle of another: out of sight of its handlers, and of the places of its plates."""
    stack, plates = runtime._PYRO_STACK[:], runtime._DIM_ALLOCATOR._stack
    runtime._PYRO_STACK.clear()
    runtime._DIM_ALLOCATOR._stack = []
    try:
        yield
    finally:
        runtime._PYRO_STACK[:] = stack
        runtime._DIM_ALLOCATOR._stack = plates


def _with_slope(at: Callable[[Tensor], Tensor], value: Tensor, graph: bool = False) -> tuple[Tensor, Tensor]:
    """A function of each element and its derivative there."""
    with torch.enable_grad():
        argument = value if value.requires_grad else value.detach().requires_grad_()
        found = at(argument)
        if not found.requires_grad:
            return found, torch.zeros_like(found)
        (slope,) = torch.autograd.grad(found.sum(), argument, create_graph=graph, allow_unused=False)
    return (found, slope) if graph else (found.detach(), slope.detach())


class _Solve(Messenger):
    """Makes hidden sites observations of the values that give deterministic sites theirs."""

    def __init__(self, program: Solved, run: Callable[[], Any]) -> None:
        super().__init__()
        self.program, self.run = program, run
        self.names = {site: name for name, site in program.hidden.items()}
        self.values: dict[str, Tensor] = {}

    def __enter__(self) -> _Solve:
        self.values = {}
        return super().__enter__()

    def _pyro_post_sample(self, msg: Any) -> None:
        if role(msg) not in ("exogenous", "natural") and _is_random(self.program, msg["name"], msg):
            self.values[msg["name"]] = msg["value"]

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] not in self.names or is_auxiliary(msg) or role(msg) is not None or msg["is_observed"]:
            return
        name, fn = self.names[msg["name"]], msg["fn"]
        at = _function(self.run, self.values, self.program.seen, name, msg["name"])
        graph = torch.is_grad_enabled()
        target = self.program.targets[name].double()
        value = _solution(at, target, fn)
        target = target.expand(value.shape)
        found, slope = _with_slope(at, value, graph)
        solved = ((found - target) / slope).detach().abs() <= TOLERANCE * _spread(fn, value)
        if graph:  # the derivative of a solution, by the theorem of implicit functions
            value = value - torch.where(solved, (found - target) / slope.detach(), 0.0)
            _, slope = _with_slope(at, value, graph)
        log_slope = torch.where(solved, -slope.abs().log(), -torch.inf)
        log_slope = log_slope.flatten(-fn.event_dim).sum(-1) if fn.event_dim else log_slope
        dtype = self.program.sites[msg["name"]].dtype
        pyro.factor(slope_name(name), log_slope.to(dtype))
        msg["value"], msg["is_observed"] = value.to(dtype), True


def _spread(fn: Any, value: Tensor) -> Tensor:
    """The standard deviation of a distribution, or what a value is away from zero where it has none."""
    try:
        spread: Tensor = fn.stddev.double().expand(value.shape)
    except NotImplementedError:
        spread = torch.full_like(value, torch.nan)
    return torch.where(torch.isfinite(spread), spread, value.detach().abs() + 1.0)


@torch.no_grad()
def _solution(at: Callable[[Tensor], Tensor], target: Tensor, fn: Any) -> Tensor:
    """Where a monotone function of each element is at its target, within the support of a distribution.

    Newton's method on the real line that the support maps to, within a bracket that each step narrows.
    """
    support = fn.support
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    onto = biject_to(support)
    start = fn.sample().double()
    start = start.expand(at(start).shape)  # which has the dimensions that the rest brings in
    w, target = onto.inv(start), target.expand(start.shape)
    low, high, reach = torch.full_like(w, -torch.inf), torch.full_like(w, torch.inf), 1.0 + w.abs()
    best, error, stalled = w, torch.full_like(w, torch.inf), 0
    done = torch.zeros_like(w, dtype=torch.bool)
    for _ in range(STEPS):
        found, slope = _with_slope(lambda x: at(onto(x)), w)
        gap = found - target
        step = (-gap / slope).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        better = gap.abs() < error
        best, error = torch.where(better, w, best), torch.where(better, gap.abs(), error)
        stalled = 0 if bool(better.any()) else stalled + 1
        done |= (error == 0) | ((step.abs() <= 1e-12 * (1 + w.abs())) & (slope != 0))
        if stalled > STALLED or bool(done.all()):
            break
        above = gap * slope.sign() > 0
        low, high = torch.where(above, low, w), torch.where(above, w, high)
        new = w + torch.where(step.abs() > reach, step.sign() * reach, step)
        outward = torch.where(above, w - reach, w + reach)
        middle = torch.where(torch.isinf(low) | torch.isinf(high), outward, (low + high) / 2)
        w, reach = torch.where((new > low) & (new < high) & (new != w), new, middle), 2.0 * reach
    return cast(Tensor, onto(best))
