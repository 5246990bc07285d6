"""Soft evidence: sites that were measured with an error, as one more site of the program for each measurement."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.poutine.messenger import Messenger
from torch.distributions import constraints

from causal_pyro_models.errors import EvidenceError
from causal_pyro_models.inference.program import Program
from causal_pyro_models.scm.sites import is_auxiliary, role, unknown_site

MEASURED: Any = {"role": "measured"}


@dataclass(frozen=True)
class Soft:
    """A measurement with normal error; see :func:`soft`."""

    value: Any
    scale: float


def soft(value: Any, scale: float) -> Soft:
    """Evidence that a site was measured as ``value``, with a normal error of standard deviation ``scale``.

    Each value of the site weighs by the density of the measurement, exp(-(x - value)^2 / (2 scale^2)), so that the
    evidence does not set the site but draws it near. It goes wherever evidence on a site goes, for deterministic
    sites as for sampled ones; on a site of classes it is about their codes.

    Args:
        value: what was measured, as evidence is: ``(units, *event)``, or a scalar for every unit.
        scale: the standard deviation of the error, in the units of the site. The smaller it is against the spread of
            the site, the fewer draws of importance sampling come near.

    Raises:
        EvidenceError: a scale that is no positive number.

    References:
        Pearl (1988), Probabilistic reasoning in intelligent systems, section 2.3 (virtual evidence).

    Example:
        >>> from causal_pyro_models import abduct, soft
        >>> def model():
        ...     u = pyro.sample("U", dist.Normal(0.0, 1.0))
        ...     pyro.deterministic("S", u * u)
        ...     pyro.sample("X", dist.Normal(u, 1.0))
        >>> noise = abduct(model, {"X": soft([2.0], 1.0)}, num_samples=4_000, seed=0)
        >>> print(f"{noise.mean('U_U').item():.1f}, exactly {2 / 3:.1f}")
        0.7, exactly 0.7
    """
    if isinstance(scale, torch.Tensor) and scale.numel() == 1:
        scale = scale.item()
    if isinstance(scale, bool) or not isinstance(scale, Real) or not 0.0 < float(scale) < math.inf:
        raise EvidenceError(f"the scale of soft evidence must be a positive number, got {scale!r:.80}.")
    return Soft(value, float(scale))


def measurement_name(name: str) -> str:
    """The site of the measurement of a site."""
    return f"{name}__measured"


@dataclass(frozen=True)
class Measured(Program):
    """A program with a site for each measurement with error.

    Attributes:
        scales: of the errors, by the site that was measured.
    """

    scales: Mapping[str, float] = field(default_factory=dict)

    @property
    def parameters(self) -> list[str]:
        """Population-level sites; a measurement of one is none."""
        measured = {measurement_name(name) for name in self.scales}
        return [name for name in super().parameters if name not in measured]

    def batched(self, units: int, draws: int | None = None) -> Callable[[], Any]:
        """The program over units and draws, see :class:`Program`, with its measurements."""
        inner = super().batched(units, draws)

        def run() -> Any:
            with _Measure(self.scales):
                return inner()

        return run


class _Measure(Messenger):
    """Draws the measurement of a site right behind it."""

    def __init__(self, scales: Mapping[str, float]) -> None:
        super().__init__()
        self.scales = scales

    def _pyro_post_sample(self, msg: Any) -> None:
        name = msg["name"]
        if name in self.scales and not is_auxiliary(msg) and role(msg) not in ("exogenous", "natural"):
            value, event_dim = msg["value"], msg["fn"].event_dim
            value = value.expand(msg["fn"].batch_shape + msg["fn"].event_shape)
            value = value if value.dtype.is_floating_point else value.to(torch.get_default_dtype())
            law = dist.Normal(value, self.scales[name]).to_event(event_dim)
            pyro.sample(measurement_name(name), law, infer=MEASURED)


def with_measurements(program: Program, evidence: Any) -> tuple[Program, Any]:
    """A program and evidence in which soft evidence is plain evidence on the sites of the measurements.

    Raises:
        UnknownVariableError: soft evidence on a name that no site has.
        EvidenceError: soft evidence on a site that is intervened on in the model.
    """
    if not isinstance(evidence, Mapping):
        return program, evidence
    scales = {name: value.scale for name, value in evidence.items() if isinstance(value, Soft)}
    if not scales:
        return program, evidence
    sites = dict(program.sites)
    for name in scales:
        if name not in program.sites:
            raise unknown_site(name, program.sites)
        site = program.sites[name]
        if site.role == "intervened":
            raise EvidenceError(
                f"evidence on {name!r} contradicts the intervention on it in this model: leave it out, or pass the "
                f"model before the intervention and the intervention as do."
            )
        dtype = site.dtype if site.dtype.is_floating_point else torch.get_default_dtype()
        support: Any = constraints.real
        if site.place.event_dim:
            support = constraints.independent(constraints.real, site.place.event_dim)
        sites[measurement_name(name)] = replace(
            site, support=support, dtype=dtype, observed=False, deterministic=False, role="measured"
        )
    known = {part.name: getattr(program, part.name) for part in fields(Program)}
    measured = Measured(**{**known, "sites": sites}, scales=scales)
    return measured, {
        measurement_name(name) if name in scales else name: value.value if name in scales else value
        for name, value in evidence.items()
    }
