"""A model as the verbs see it: its sites, its plates, and how it runs over units and posterior draws."""

import inspect
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_factor
from torch.distributions.constraints import Constraint

from causal_pyro_models.data.variables import VARIABLES, Variable
from causal_pyro_models.errors import CausalError, ModelError
from causal_pyro_models.inference.held import Held, held_by
from causal_pyro_models.inference.replay import Forms, Verdict, coupled, replayed
from causal_pyro_models.inference.turns import in_turns
from causal_pyro_models.inference.verdicts import remember, remembered, tell
from causal_pyro_models.models.stand_in import WithStandIns, noted
from causal_pyro_models.models.structural import StructuralCausalModel
from causal_pyro_models.scm.sites import (
    Handled,
    Model,
    check_callable,
    delta,
    is_auxiliary,
    is_deterministic,
    role,
    value_type,
)
from causal_pyro_models.seeding import seeded

UNITS, DRAWS = "_units", "_draws"
BY_UNIT = ("activation", "container", "linear")  # modules of torch.nn in which no unit bears on another

_VECTORISED = "In a plate a value is that of all units: keep it as a tensor, and write branches with torch.where."
_EVENTS = "It runs on all units and draws at once: compute along the last dimension, and make vectors .to_event(1)."


@dataclass(frozen=True)
class Place:
    """Where the values of a site lie: ``event_dim`` dimensions on the right, and the plates it is in (as dims)."""

    event_dim: int
    plates: tuple[int, ...]

    @classmethod
    def of(cls, site: Any) -> "Place":
        """The place of a traced site, the plate over draws left out."""
        frames = [f for f in site["cond_indep_stack"] if f.vectorized and f.name != DRAWS]
        event_dim = site["fn"].event_dim
        if _counts_all_dims(site):
            shape, sizes = site["value"].shape, {f.dim: f.size for f in frames}
            depth = min(-min(sizes, default=0), len(shape))
            if all(shape[-d] in (1, sizes.get(-d, 1)) for d in range(1, depth + 1)):
                event_dim -= depth
        return cls(event_dim, tuple(sorted(f.dim for f in frames)))


@dataclass(frozen=True)
class Site:
    """What is known of a site before it runs on evidence; its support where no parent bears on it, else None.

    Its variable is the kind that its ``infer={"variable": ...}`` says, which knows the labels of its values.
    """

    place: Place
    event_shape: torch.Size
    support: Any
    dtype: torch.dtype
    device: torch.device | None
    observed: bool
    deterministic: bool
    role: str | None
    in_plate: bool
    variable: Variable | None = None


@dataclass(frozen=True)
class Program:
    """A model with its sites and plates known.

    Attributes:
        nesting: how many dimensions its plates take; 1 for a model of one unit, which gets a plate over units.
        plated: whether the model declares its own plates.
        subsampled: its plates that hold a part of their units only.
        observed: its sites that are observed in the model itself, and its factors.
        learned: the models of a graph that it is, or that it calls.
        held: the draws from a posterior that some of its sites are held at.
        verdict: whether it broadcasts over units and draws, or runs for one after the other.
    """

    model: Model
    sites: Mapping[str, Site]
    nesting: int
    plated: bool
    subsampled: tuple[str, ...] = ()
    observed: tuple[str, ...] = ()
    learned: tuple[torch.nn.Module, ...] = ()
    held: Held | None = None
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def factors(self) -> list[str]:
        """Its ``pyro.factor`` statements."""
        return [name for name in self.observed if name not in self.sites]

    @property
    def parameters(self) -> list[str]:
        """Population-level sites: those outside every plate of a model that has plates."""
        return [name for name, s in self.sites.items() if self.plated and not s.in_plate and not s.deterministic]

    @property
    def independent_units(self) -> bool:
        """Whether the units share nothing random, so that each has a posterior of its own."""
        if not self.plated or self.verdict.coupled:
            return not self.plated
        known = self.held.draws if self.held else {}
        sites = self.sites.items()
        return all(s.place.plates == (-1,) for name, s in sites if not s.deterministic and name not in known)

    def batched(self, units: int, draws: int | None = None) -> Callable[[], Any]:
        """The model over ``units`` (where it has no plates of its own), and over posterior draws.

        Raises:
            ModelError: it does not broadcast, and cannot be run for one after the other either.
        """
        lead = (*(() if draws is None else (draws,)), *(() if self.plated else (units,)))
        model = self._in_turns(lead) if self.verdict.in_turns and lead else self.model

        def run() -> Any:
            with ExitStack() as plates:
                if draws is not None:
                    plates.enter_context(pyro.plate(DRAWS, draws, dim=-self.nesting - 1))
                if not self.plated:
                    plates.enter_context(pyro.plate(UNITS, units, dim=-1))
                if self.held is not None:
                    plates.enter_context(self.held.over(draws))
                plates.enter_context(_Deterministic(self, self.nesting + (draws is not None)))
                return model()

        return run

    def _in_turns(self, lead: tuple[int, ...]) -> Model:
        """The model run for one draw and unit after the other, under the handlers that are around it."""
        settle = _Deterministic(self, self.nesting if self.plated else 0)._pyro_sample
        tell(self.verdict)

        def run_all(model: Model) -> Model:
            if isinstance(model, Handled):
                return model.around(run_all(model.model))
            return partial(in_turns, model, lead, self.nesting if self.plated else 0, settle)

        return run_all(self.model)

    def values(self, site: Any, draws: int | None) -> torch.Tensor:
        """The values of a traced site, ``(draws, *its own plates, *event)``."""
        place, fn = Place.of(site), site["fn"]
        batch = tuple(fn.batch_shape)
        full = (1,) * (self.nesting - len(batch) + (draws is not None)) + batch
        own = tuple(full[dim] for dim in place.plates)
        value: torch.Tensor = site["value"].expand(batch + tuple(fn.event_shape))
        return value.reshape((() if draws is None else full[:1]) + own + tuple(fn.event_shape))


def _counts_all_dims(site: Any) -> bool:
    """Whether a site is from ``pyro.deterministic`` without ``event_dim``, which takes all dimensions for the event."""
    value = site["value"]
    return bool(site["infer"].get("_deterministic")) and value is not None and site["fn"].event_dim == value.dim()


class _Deterministic(Messenger):
    """Tells plates apart from events at deterministic sites: see :func:`_counts_all_dims`."""

    def __init__(self, program: Program, batch_dims: int) -> None:
        super().__init__()
        self.program = program
        self.batch_dims = batch_dims

    def _pyro_sample(self, msg: Any) -> None:
        if not _counts_all_dims(msg):
            return
        site = self.program.sites.get(msg["name"])
        event_dim = site.place.event_dim if site else max(msg["value"].dim() - self.batch_dims, 0)
        msg["fn"] = delta(msg["value"], event_dim)


def traced(model: Model, what: str = "the model") -> Any:
    """The trace of one run, out of sight of any handler around it.

    Raises:
        ModelError: the run fails; ``what`` names in the message what ran.
    """
    with poutine.block(), poutine.trace() as recorder:
        try:
            model()
        except CausalError:
            raise
        except Exception as error:
            raise _failure(error, recorder.trace, what) from error
    return recorder.trace


_MENDS = {
    "Multiple sample sites": "Every site needs a name of its own.",
    "Boolean value of Tensor": _VECTORISED,
    "converted to Python scalars": _VECTORISED,
    "converted to Scalar": _VECTORISED,
    "Shape mismatch inside plate": _EVENTS,
    "invalid log_prob shape": _EVENTS,
    "size of tensor": _EVENTS,
    "must match the existing size": _EVENTS,
}


def _failure(error: Exception, trace: Any, what: str) -> ModelError:
    """What failed in a run, where, and how to mend it where that is known."""
    done = [name for name, site in trace.nodes.items() if site["type"] == "sample" and not is_auxiliary(site)]
    where = f"after site {done[-1]!r}" if done else "before its first site"
    text = (str(error).splitlines() or [""])[0].removesuffix(", but found invalid values:")
    mend = next((mend for sign, mend in _MENDS.items() if sign in str(error)), "Run it by itself to find out more.")
    return ModelError(f"{what} fails {where}: {type(error).__name__}: {text:.240}. {mend}")


def inspect_model(model: Model) -> Program:
    """Run a model once, unseen and on a random state of its own, to learn its sites and plates.

    Raises:
        ModelError: not a callable, needs arguments, has no sample sites, names two sites alike, or fails.
    """
    check_callable(model)
    _check_arguments(model)
    program = _inspected(model)
    return replace(program, verdict=_verdict(program))


def _inspected(model: Model) -> Program:
    with seeded(0), torch.no_grad(), noted() as learned:
        trace = traced(model)
    nodes = {name: s for name, s in trace.nodes.items() if s["type"] == "sample" and not is_auxiliary(s)}
    if not nodes:
        raise ModelError(
            f"{model!r} has no pyro.sample site, so there is nothing to sample, condition or intervene on."
        )
    frames = [frame for site in nodes.values() for frame in site["cond_indep_stack"]]
    nesting = max((-frame.dim for frame in frames if frame.vectorized), default=0)
    sites = {name: _site(site) for name, site in nodes.items()}
    subsampled = dict.fromkeys(frame.name for frame in frames if frame.full_size not in (None, frame.size))
    factors = [name for name, site in trace.nodes.items() if site["type"] == "sample" and site_is_factor(site)]
    observed = (*(name for name, site in sites.items() if site.observed), *factors)
    plates = nesting if frames else 1, bool(frames), tuple(subsampled)
    return Program(model, sites, *plates, observed, tuple(learned), held_by(model))


def _site(site: Any) -> Site:
    fn, deterministic = site["fn"], is_deterministic(site)
    if deterministic and not torch.allclose(fn.sample(), site["value"], rtol=0.0, atol=0.0, equal_nan=True):
        raise ModelError(
            f"site {site['name']!r} is deterministic and was conditioned to another value, which constrains nothing: "
            f"condition the sites it is computed from, or give it noise of its own."
        )
    observed = site["is_observed"] and not deterministic
    support = fn.support if _is_static(fn.support) else None
    dtype, device = value_type(fn)
    in_plate = bool(site["cond_indep_stack"])
    place, kind = Place.of(site), _kind(site)
    return Site(place, fn.event_shape, support, dtype, device, observed, deterministic, role(site), in_plate, kind)


def _kind(site: Any) -> Variable | None:
    """The kind of variable that a site says it is."""
    kind: Variable | None = site["infer"].get("variable")
    if not isinstance(kind, Variable | None):
        raise ModelError(
            f"site {site['name']!r} has infer={{'variable': {kind!r:.80}}}, expected one of "
            f"{', '.join(VARIABLES)}, such as Binary(('no', 'yes'))."
        )
    return kind


def _is_static(support: Any) -> bool:
    parts = vars(support).values()
    return not any(isinstance(part, torch.Tensor) for part in parts) and all(
        _is_static(part) for part in parts if isinstance(part, Constraint)
    )


def _verdict(program: Program) -> Verdict:
    """Whether a program broadcasts; known of the models that it was asked of before."""
    inner = program.model
    while isinstance(inner, Handled):
        inner = inner.model
    if isinstance(inner, StructuralCausalModel) and all(map(_is_by_unit, inner.modules())):
        return Verdict()
    asked = inner.program if isinstance(inner, WithStandIns) else inner
    found = remembered(asked)
    if found is None:
        with seeded(0), torch.no_grad():
            found = _replayed(program if inner is program.model else _inspected(inner))
        remember(asked, found)
    return found


def _is_by_unit(module: torch.nn.Module) -> bool:
    """Whether a module is of this package, or one of torch that keeps units apart."""
    home = type(module).__module__
    return home.startswith(("causal_pyro_models.", *(f"torch.nn.modules.{name}" for name in BY_UNIT)))


def _replayed(program: Program) -> Verdict:
    units, draws = 2, 2
    by_one = replace(program, verdict=Verdict(in_turns=True, said=True))
    lead = (draws,) if program.plated else (draws, units)
    dims = program.nesting if program.plated else 0
    event_dims = {name: site.place.event_dim for name, site in program.sites.items()}
    forms = Forms(program.model, program.batched(units, draws), by_one.batched(units, draws), lead, dims, event_dims)
    found = replayed(forms)
    if program.plated and program.independent_units:
        found.coupled = coupled(forms)
    return found


def _check_arguments(model: Model) -> None:
    inner: Any = model
    while isinstance(inner, Handled):
        inner = inner.model
    try:
        inspect.signature(inner.forward if isinstance(inner, torch.nn.Module) else inner).bind()
    except TypeError as error:
        raise ModelError(
            f"a model is called without arguments, and {getattr(inner, '__name__', type(inner).__name__)!r} has a "
            f"{error}: bind it with functools.partial(model, ...)."
        ) from None
