"""Hidden sites with finitely many states, summed out: all joint states of a unit at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import pyro
import torch
from pyro import poutine
from torch.distributions import constraints

from causal_pyro_models.inference.evidence import Observe, observed_log_prob
from causal_pyro_models.inference.program import Program, Site, traced
from causal_pyro_models.scm.handlers.exogenous import Exogenize
from causal_pyro_models.scm.sites import is_auxiliary, is_deterministic

MOST_STATES = 10_000  # joint states of a unit that are summed over
AT_ONCE = 2**21  # values of a site in one run
IN_TURNS = 2**14  # runs at once of a program that does not broadcast
MIXTURES = 10  # runs with states that differ between units, which show whether one bears on another


def finite_states(site: Site) -> torch.Tensor | None:
    """The states of a site, ``(states, *event)``; None where there are infinitely many, or parents decide."""
    if site.support is constraints.boolean and not site.event_shape:
        return torch.arange(2, dtype=site.dtype, device=site.device)
    if isinstance(site.support, type(constraints.integer_interval(0, 1))) and not site.event_shape:
        low, high = int(site.support.lower_bound), int(site.support.upper_bound)
        return torch.arange(low, high + 1, dtype=site.dtype, device=site.device)
    if site.support is constraints.one_hot and len(site.event_shape) == 1:
        return torch.eye(site.event_shape[0], dtype=site.dtype, device=site.device)
    return None


@dataclass(frozen=True)
class States:
    """Some unobserved sites of a model on evidence, each with finitely many states in every unit.

    Attributes:
        program: the inspected model: of one unit, or with a single plate.
        evidence: by site, see :func:`read_evidence`.
        units: the number of units.
        values: the joint states of a unit, ``(states, *event)`` by site.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from causal_pyro_models.inference.program import inspect_model
        >>> def model():
        ...     b = pyro.sample("B", dist.Bernoulli(0.2))
        ...     pyro.sample("Y", dist.Bernoulli(0.1 + 0.8 * b))
        >>> states = States.of(inspect_model(model), {"Y": torch.tensor([1.0, 0.0])}, 2, ["B"])
        >>> states.log_joint({}, 1).softmax(0).squeeze(1)  # P(B = 0 | Y), P(B = 1 | Y)
        tensor([[0.3077, 0.9730],
                [0.6923, 0.0270]], dtype=torch.float64)
    """

    program: Program
    evidence: Mapping[str, torch.Tensor]
    units: int
    values: Mapping[str, torch.Tensor]

    @classmethod
    def of(cls, program: Program, evidence: Mapping[str, torch.Tensor], units: int, names: Collection[str]) -> States:
        """Those of some sites that have finitely many states, as many as can be summed over, in the order given."""
        axes: dict[str, torch.Tensor] = {}
        most = max(1, IN_TURNS // units) if program.verdict.in_turns else MOST_STATES
        for name in names:
            site = program.sites[name]
            axis = finite_states(site) if not program.plated or site.place.plates == (-1,) else None
            if axis is not None and math.prod(map(len, axes.values())) * len(axis) <= most:
                axes[name] = axis
        if program.nesting > 1 or program.subsampled or not axes:
            return cls(program, evidence, units, {})
        places = torch.meshgrid(*(torch.arange(len(axis)) for axis in axes.values()), indexing="ij")
        values = {name: axis[place.reshape(-1)] for (name, axis), place in zip(axes.items(), places, strict=True)}
        found = cls(program, evidence, units, values)
        return found if found._apart() else cls(program, evidence, units, {})

    @property
    def count(self) -> int:
        """The number of joint states of a unit."""
        return len(next(iter(self.values.values()), [0]))

    def log_joint(self, latents: Mapping[str, torch.Tensor], draws: int) -> torch.Tensor:
        """Log density of each joint state with the evidence, ``(states, draws, units)`` in float64.

        Args:
            latents: what else the evidence bears on, in the shapes the model runs in.
            draws: of the latents.
        """
        return self._run(latents, draws, {name: value[:, None, None] for name, value in self.values.items()})[0]

    def summed(self, latents: Mapping[str, torch.Tensor], draws: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Log density of the evidence given latents, and a draw of the joint state from its posterior given both.

        Returns:
            The density ``(draws, units)``, or ``(draws,)`` where units share something, and the number of the joint
            state ``(draws, units)``.
        """
        most = IN_TURNS if self.program.verdict.in_turns else AT_ONCE
        block = max(1, most // (self.count * self.units_at_once()))
        parts, chosen = [], []
        for start in range(0, draws, block):
            size = min(block, draws - start)
            some = {n: v[start : start + size] if len(v) == draws else v for n, v in latents.items()}
            states = {name: value[:, None, None] for name, value in self.values.items()}
            joint, shared = self._run(some, size, states)
            total = joint.logsumexp(0)
            total = total if self.program.independent_units else total.sum(1) + shared[0]
            parts.append(total.to(next(iter(latents.values())).dtype))
            with torch.no_grad():
                chosen.append(drawn(joint))
        return torch.cat(parts), torch.cat(chosen)

    def draw(self, draws: int) -> dict[str, torch.Tensor]:
        """Draws of the states from their posterior given the evidence alone, ``(draws, units, *event)``."""
        joint = self.log_joint({}, 1)
        block = max(1, AT_ONCE // joint.numel())
        rows = [drawn(joint.expand(-1, min(block, draws - i), -1)) for i in range(0, draws, block)]
        return self.chosen(torch.cat(rows))

    def chosen(self, index: torch.Tensor) -> dict[str, torch.Tensor]:
        """The states of each site from the number of the joint one."""
        return {name: value[index] for name, value in self.values.items()}

    def units_at_once(self) -> int:
        """The number of units, those of the model's plate where it has one."""
        sizes = [v.shape[0] for v in self.evidence.values() if v.dim()] if self.program.plated else []
        return max([self.units, *sizes])

    def _apart(self) -> bool:
        """Whether a state has the same density whatever the states of other units and draws of a run are."""
        with torch.no_grad():
            latents = {}
            with pyro.validation_enabled(False):
                sites = traced(self._model({}, {}, 1)).nodes.items()
            for name, site in sites:
                if site["type"] == "sample" and not site["is_observed"] and not is_auxiliary(site):
                    latents[name] = site["value"]
            joint, shared = self._run(latents, 1, {n: v[:, None, None] for n, v in self.values.items()})
            for _ in range(MIXTURES):
                index = torch.randint(self.count, (1, 1, joint.shape[-1]))
                mixed, again = self._run(latents, 1, {name: value[index] for name, value in self.values.items()})
                for a, b in ((mixed, joint.gather(0, index)), (shared, again.expand_as(shared))):
                    if not torch.allclose(a, b, rtol=1e-4, atol=1e-4, equal_nan=True):
                        return False
        return True

    def _model(
        self, latents: Mapping[str, torch.Tensor], states: Mapping[str, torch.Tensor], draws: int
    ) -> Callable[[], None]:
        def run() -> None:
            with (
                poutine.condition(data=dict(latents)),
                Exogenize(self.program.parameters, observed_noise=False),
                Observe({**self.evidence, **states}),
            ):
                self.program.batched(self.units, draws)()

        return run

    def _run(
        self, latents: Mapping[str, torch.Tensor], draws: int, states: Mapping[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log densities of evidence and states ``(states, draws, units)``; of what units share, ``(states, draws)``.

        Args:
            latents: in the shapes the model runs in.
            draws: of the latents.
            states: by site, ``(states, 1, units or 1, *event)``.
        """
        count = len(next(iter(states.values())))
        rows = {n: v.expand(count, draws, *v.shape[2:]).flatten(0, 1) for n, v in states.items()}
        held = {n: v.expand(count, draws, *v.shape[1:]).flatten(0, 1) for n, v in latents.items()}
        with pyro.validation_enabled(False):
            trace = traced(self._model(held, rows, count * draws))
        units, shared = torch.zeros((), dtype=torch.double), torch.zeros((), dtype=torch.double)
        for name, site in trace.nodes.items():
            if site["type"] != "sample" or not site["is_observed"] or is_deterministic(site) or name in latents:
                continue
            log_prob = observed_log_prob(site).double()
            log_prob = log_prob.reshape((1,) * (2 - log_prob.dim()) + log_prob.shape)
            if any(frame.dim == -1 for frame in site["cond_indep_stack"] if frame.vectorized):
                units = units + log_prob
            else:
                shared = shared + log_prob
        size = units.shape[-1] if units.dim() else 1
        return (
            units.expand(count * draws, size).reshape(count, draws, size),
            shared.expand(count * draws, 1).reshape(count, draws),
        )


def drawn(log_joint: torch.Tensor) -> torch.Tensor:
    """A draw of the state from unnormalised log probabilities ``(states, ...)``: the inverse of their distribution."""
    share = (log_joint - log_joint.amax(0).clamp(min=torch.finfo(torch.double).min)).exp().cumsum(0)
    point = torch.rand(share.shape[1:], dtype=share.dtype, device=share.device) * share[-1]
    return (share <= point).sum(0).clamp(max=len(share) - 1)
