"""Interventions on any Pyro program: hard, shift and soft, by a policy, stochastic, and nested."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.poutine.do_messenger import DoMessenger

from causal_pyro_models.data.coded import in_codes, labelled
from causal_pyro_models.data.labels import Label
from causal_pyro_models.errors import CausalError, InterventionError
from causal_pyro_models.scm.handlers.policies import RUNNING, Policy, not_before, reads_of
from causal_pyro_models.scm.sites import (
    as_numbers,
    delta,
    describe_support,
    describe_value,
    is_auxiliary,
    is_deterministic,
    role,
    support_of_family,
    unknown_site,
    value_type,
)
from causal_pyro_models.seeding import seeded


@dataclass(frozen=True)
class Potential:
    """The value that a variable takes in another world on the same noise; see :func:`potential`."""

    name: str
    do: Mapping[str, "Intervention"]


Intervention = (
    Label | torch.Tensor | Callable[[torch.Tensor], torch.Tensor | float] | TorchDistributionMixin | Policy | Potential
)
"""What a site may be set to: a value, a label, a function of its natural value, a distribution, a policy that reads
other sites, or a potential outcome."""
Do = Mapping[str, Intervention]
"""Site -> what it is set to."""
Treatment = Mapping[str, tuple[Intervention, Intervention]]
"""Site -> (control, treated)."""

Drawn = dict[tuple[str, int], torch.Tensor]
"""By a site and the identity of what it is set to: the value that a distribution gave, or the seed of a policy."""


def potential(name: str, do: Mapping[str, Intervention]) -> Potential:
    """The value of ``name`` in the world ``do``, for use as an intervention in another world on the same noise.

    ``{"X": 1.0, "M": potential("M", do={"X": 0.0})}`` is the nested counterfactual in which X is 1 while M is what it
    would have been under X = 0. Potentials may be nested in one another.

    References:
        Pearl (2001), Direct and indirect effects.

    Example:
        >>> potential("M", do={"X": 0.0})
        Potential(name='M', do={'X': 0.0})
    """
    if not isinstance(name, str):
        raise InterventionError(f"potential takes the name of a site, a string, got {name!r:.80}.")
    return Potential(name, checked_do(do, f"the do of potential({name!r}, do)"))


class Intervene(DoMessenger):
    """Handler behind :func:`intervene`: the split node of ``pyro.do``, with the intervened half shown.

    The natural half, ``name__natural``, is kept where something uses it: a function of the natural value, or an
    observation. Otherwise it integrates to one and is left out.

    Args:
        do: what each site is set to.
        drawn: what stochastic interventions came to in an earlier world, for worlds that share their randomness.
    """

    def __init__(self, do: Mapping[str, Intervention], drawn: Drawn | None = None) -> None:
        actions: Any = checked_do(do)
        super().__init__(actions)
        self.drawn = drawn
        self._seen: dict[str, None] = {}
        self._values: dict[str, torch.Tensor] = {}
        self._laws: dict[str, Any] = {}  # of the sites that a distribution is given for
        self._reads = frozenset(read for reads in reads_of(actions).values() for read in reads)
        self._world: dict[str, torch.Tensor] = {}  # the values of these

    def __enter__(self) -> "Intervene":
        self._seen, self._values, self._laws, self._world = {}, {}, {}, {}
        self._token = RUNNING.set((*RUNNING.get(), self.data))
        return super().__enter__()

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> Any:
        RUNNING.reset(self._token)
        result = super().__exit__(exc_type, exc_value, traceback)
        if exc_type is None:
            for name in self.data:
                if name not in self._seen:
                    raise unknown_site(name, self._seen)
        return result

    def _pyro_sample(self, msg: Any) -> None:
        if is_auxiliary(msg) or role(msg) in ("exogenous", "natural") or msg["infer"].get("by") is self:
            return
        name, fn = msg["name"], msg["fn"]
        self._seen[name] = None
        if name not in self.data:
            return
        if msg.get("_intervener_id") is not None:
            raise InterventionError(
                f"site {name!r} is intervened on by pyro.do already, inside this intervention, and what follows would "
                f"keep to that one: use intervene for both, and the second replaces the first."
            )
        value: Any = self.data[name]
        infer = {**msg["infer"], "role": "intervened", "by": self}
        if isinstance(value, Potential):
            raise InterventionError(
                f"potential({value.name!r}, ...) at site {name!r} needs the model itself, to run it in another world: "
                f"call intervene(model, do) or a verb, not the handler alone."
            )
        law = value.of(name, self._read(msg, value)) if isinstance(value, Policy) else value
        if isinstance(law, TorchDistributionMixin):
            law = _shaped(name, law, fn)
            value = self._draw(name, law)
            if value is None:
                self._laws[name] = fn
                msg.update(fn=law, value=None, is_observed=False, infer=infer)
                return
        elif isinstance(value, Policy):
            value = law
        elif callable(value):
            value = _called(name, value, labelled(self._natural(msg), msg["infer"].get("variable"), name))
        elif msg["is_observed"] and not is_deterministic(msg):
            self._natural(msg)
        value = _in_plates(in_codes(name, value, msg["infer"].get("variable"), InterventionError), msg)
        x = _as_value(name, value, fn, in_plate=bool(msg["cond_indep_stack"]))
        self._values[name] = x
        infer["_deterministic"] = True
        msg.update(fn=delta(x, fn.event_dim), value=x, is_observed=True, infer=infer)

    def _pyro_post_sample(self, msg: Any) -> None:
        name = msg["name"]
        if name in self._reads and role(msg) not in ("exogenous", "natural"):
            self._world[name] = labelled(msg["value"], msg["infer"].get("variable"), name)
        if msg["infer"].get("by") is not self or name not in self.data:
            return
        if name not in self._values:
            _check_support(name, self._laws[name], msg["value"])
            if self.drawn is not None:
                self.drawn[(name, id(self.data[name]))] = msg["value"]
        elif msg["value"] is not self._values[name]:
            raise InterventionError(
                f"site {name!r} was conditioned on after it had been intervened on, which contradicts the "
                f"intervention. Give evidence about the factual world to counterfactual(model, evidence, do)."
            )

    def _read(self, msg: Any, policy: Policy) -> dict[str, torch.Tensor]:
        """The values in this world of the sites that a policy reads; of the site itself its natural value."""
        name, found = msg["name"], dict(self._world)
        if name in policy.reads or (msg["is_observed"] and not is_deterministic(msg)):
            found[name] = labelled(self._natural(msg), msg["infer"].get("variable"), name)
        if any(read not in found for read in policy.reads):
            raise not_before(name, policy.reads, [site for site in self._seen if site != name])
        return {read: found[read] for read in policy.reads}

    def _draw(self, name: str, law: Any) -> torch.Tensor | None:
        """What a distribution comes to that other worlds draw from, too; None where there are none, or not yet.

        A policy gives another distribution in each world, from which all draw with the same random numbers.
        """
        if self.drawn is None:
            return None
        action, key = self.data[name], (name, id(self.data[name]))
        if not isinstance(action, Policy):
            return self.drawn.get(key)
        seed = self.drawn.setdefault(key, torch.randint(2**32, ()))
        with seeded(int(seed)):
            found: torch.Tensor = law()
        return found

    @staticmethod
    def _natural(msg: Any) -> Any:
        """The value the site would have taken, drawn at its natural half unless the site is computed already."""
        if is_deterministic(msg):
            found: torch.Tensor = msg["value"] if msg["value"] is not None else msg["fn"]()
            return found
        infer: Any = {**msg["infer"], "role": "natural", "natural_of": msg["name"], "by": None}
        return pyro.sample(f"{msg['name']}__natural", msg["fn"], obs=msg["value"], infer=infer)


def checked_do(do: Mapping[str, Intervention], what: str = "do") -> dict[str, Intervention]:
    """An intervention as a dict, once names and values are known to be of a kind that can be one.

    Raises:
        InterventionError: they are not; the message calls the intervention ``what``.
    """
    if not isinstance(do, Mapping):
        raise InterventionError(f"{what} must be a dict from site to intervention ({{}} for none), got {do!r:.80}.")
    for name, value in do.items():
        if not isinstance(name, str):
            raise InterventionError(f"the name of an intervened site must be a string, got {name!r:.80}.")
        if value is None:
            raise InterventionError(
                f"site {name!r} cannot be set to {value!r:.80}: give a number, a tensor, a function of the natural "
                f"value, a distribution, policy(...) or potential(...)."
            )
        if isinstance(value, type):
            raise InterventionError(f"site {name!r} cannot be set to the class {value.__name__}: give an instance.")
        if isinstance(value, torch.distributions.Distribution) and not isinstance(value, TorchDistributionMixin):
            raise InterventionError(
                f"site {name!r} cannot be set to a {type(value).__name__} of torch: give one of pyro.distributions."
            )
    return dict(do)


def _called(name: str, function: Callable[[torch.Tensor], Any], natural: torch.Tensor) -> Any:
    """What a function makes of the natural value of a site."""
    try:
        return function(natural)
    except CausalError:
        raise
    except Exception as error:
        raise InterventionError(
            f"the function given for site {name!r} fails on its natural value, a tensor of shape "
            f"{tuple(natural.shape)}: {type(error).__name__}: {error!s:.200}. It takes that tensor, and nothing else."
        ) from error


def _shaped(name: str, law: Any, fn: Any) -> Any:
    """The distribution of a stochastic intervention, in the shape of the site."""
    if law.event_shape != fn.event_shape:
        raise InterventionError(
            f"the distribution given for site {name!r} has event shape {tuple(law.event_shape)}, expected "
            f"{tuple(fn.event_shape)}; make it one with .to_event()."
        )
    try:
        return law.expand(torch.broadcast_shapes(law.batch_shape, fn.batch_shape))
    except RuntimeError:
        raise _does_not_broadcast(name, law.batch_shape, fn.batch_shape) from None


def _in_plates(value: Any, msg: Any) -> Any:
    """A tensor with a dimension for each plate of its site, as worlds have it, put where these plates have theirs."""
    dims = sorted(frame.dim for frame in msg["cond_indep_stack"] if frame.vectorized)
    shape, events = tuple(msg["fn"].batch_shape), msg["fn"].event_dim
    if not isinstance(value, torch.Tensor) or not dims or len(dims) == -dims[0]:
        return value
    batch, event = value.shape[: value.dim() - events], value.shape[value.dim() - events :]
    for own in (dims, dims[1:]):  # with a dimension for draws, or without
        sizes = [shape[dim] for dim in own]
        if own and list(batch[-len(own) :]) == sizes and set(batch[: -len(own)]) <= {1}:
            full = [1] * -own[0]
            for dim, size in zip(own, sizes, strict=True):
                full[dim] = size
            return value.reshape(*full, *event)
    return value


def _as_value(name: str, value: Any, fn: Any, in_plate: bool) -> torch.Tensor:
    """An intervention as a tensor in the shape, type and support of its site."""
    dtype, device = value_type(fn)
    try:
        x = as_numbers(value, device)
    except (TypeError, ValueError, RuntimeError):
        raise InterventionError(
            f"the intervention on site {name!r} came to {type(value).__name__} {value!r:.80}, expected a "
            f"number or a dense tensor, or a label where the site has some (infer={{'variable': ...}})."
        ) from None
    cast = x if x.is_complex() else x.to(dtype)
    if x.is_complex() or not (torch.isfinite(x).all() and torch.isfinite(cast).all()):
        what = "complex numbers" if x.is_complex() else "NaN or infinite values"
        raise InterventionError(f"the intervention on site {name!r} holds {what}, expected finite real numbers.")
    shape = fn.batch_shape + fn.event_shape
    try:
        full = torch.broadcast_shapes(x.shape, shape)
    except RuntimeError:
        raise _does_not_broadcast(name, x.shape, shape) from None
    if in_plate and full != shape:
        raise _does_not_broadcast(name, x.shape, shape)
    _check_support(name, fn, x if not dtype.is_floating_point and x.is_floating_point() else cast)
    return cast.expand(full)


def _check_support(name: str, fn: Any, x: torch.Tensor) -> None:
    """Refuse values that no member of the site's family takes, since an intervention replaces the law given parents."""
    x = x.expand(torch.broadcast_shapes(x.shape, fn.event_shape))
    support = support_of_family(fn)
    supported = support.check(x)
    if not bool(supported.all()):
        bad = describe_value(x.expand(supported.shape + x.shape[x.dim() - fn.event_dim :])[~supported][0])
        raise InterventionError(
            f"the intervention on site {name!r} leaves its support: {type(fn).__name__} takes "
            f"{describe_support(support)}, got for example {bad}."
        )


def _does_not_broadcast(name: str, came: Any, expected: Any) -> InterventionError:
    return InterventionError(
        f"the intervention on site {name!r} has shape {tuple(came)}, which does not broadcast to {tuple(expected)}, "
        f"the shape of the site."
    )
