"""The posterior of the noise given evidence, as a Pyro model that any method can work on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import pyro
import torch
from pyro import poutine
from pyro.ops.provenance import get_provenance

from causal_pyro_models.errors import AbductionError
from causal_pyro_models.inference.evidence import Observe, observed_log_prob, read_evidence
from causal_pyro_models.inference.measured import with_measurements
from causal_pyro_models.inference.program import Place, Program, traced
from causal_pyro_models.inference.solved import Solved, tracked, with_solutions
from causal_pyro_models.inference.states import States
from causal_pyro_models.scm.handlers.exogenous import Exogenize
from causal_pyro_models.scm.sites import is_auxiliary, is_deterministic, noise_name

PROBES = 12  # runs that tell whether a density varies: a branch taken half the time goes unseen once in 2,000


@dataclass(frozen=True)
class Conditioned:
    """A model conditioned on evidence, with its noise explicit.

    Attributes:
        program: the inspected model.
        evidence: by site, from :func:`read_evidence`.
        units: the number of units.
    """

    program: Program
    evidence: Mapping[str, torch.Tensor]
    units: int

    @classmethod
    def on(cls, program: Program, evidence: Any) -> Conditioned:
        """A model conditioned on evidence as users have it; see :func:`read_evidence`."""
        program, evidence = with_measurements(program, evidence)
        return cls.given(program, *read_evidence(program, evidence))

    @classmethod
    def given(cls, program: Program, evidence: Mapping[str, torch.Tensor], units: int) -> Conditioned:
        """A model conditioned on evidence that is read already, on deterministic sites as well.

        Raises:
            EvidenceError: a deterministic site is not an invertible function of a hidden one.
        """
        program, evidence = with_solutions(program, evidence, units)
        return cls(program, evidence, units)

    @property
    def unobserved(self) -> list[str]:
        """Sites with noise of their own that the evidence says nothing about directly."""
        sites = self.program.sites.items()
        return [name for name, s in sites if not (s.deterministic or s.observed or name in self.evidence)]

    def latent_name(self, name: str) -> str:
        """The site that carries the randomness of ``name``: its noise, or itself for a population-level parameter."""
        return name if name in self.program.parameters else noise_name(name)

    def model(self, draws: int | None = None, hide: Collection[str] = ()) -> Callable[..., Any]:
        """The posterior density of the noise as a Pyro model, over units and draws; sites to ``hide`` stay prior."""

        def run(*_: Any) -> Any:
            with ExitStack() as handlers:
                if hide:
                    handlers.enter_context(poutine.block(hide=list(hide)))
                handlers.enter_context(Exogenize(self.program.parameters, observed_noise=False))
                handlers.enter_context(Observe(self.evidence))
                return self.program.batched(self.units, draws)()

        return run

    def sampled_model(self) -> Callable[..., Any]:
        """The posterior density of the latents that are left to a method, as a Pyro model; all else is summed out.

        Noise that the evidence says nothing about is left out as well.
        """
        wanted = [self.latent_name(name) for name in self.sampled]
        if not self.states.values:
            return self.model(hide={self.latent_name(name) for name in self.unobserved}.difference(wanted))

        def run(*_: Any) -> None:
            trace: Any = poutine.trace(poutine.block(self.model(), expose=wanted)).get_trace()
            latents = {}
            for name in wanted:
                value, event_dim = trace.nodes[name]["value"], trace.nodes[name]["fn"].event_dim
                lead = (1,) * (self.program.nesting + 1 + event_dim - value.dim())
                latents[name] = value.reshape(lead + value.shape)
            pyro.factor("_evidence", self.states.summed(latents, 1)[0].sum())

        return run

    def log_likelihood(self, trace: Any, draws: int) -> torch.Tensor:
        """Log density of what is observed or held in a trace of :meth:`model`, ``(draws, units)`` or ``(draws,)``."""
        total = torch.zeros(())
        for site in trace.nodes.values():
            if site["type"] == "sample" and site["is_observed"] and not is_deterministic(site):
                total = total + self.per_unit(observed_log_prob(site), draws)
        return total.expand(draws, *total.shape[1:])

    def per_unit(self, log_prob: torch.Tensor, draws: int) -> torch.Tensor:
        """Sum a log density over everything but draws and, where they are independent, units."""
        nesting = self.program.nesting
        full = log_prob.reshape((1,) * (nesting + 1 - log_prob.dim()) + log_prob.shape)
        if self.program.independent_units:
            return full
        return full.expand(draws, *full.shape[1:]).flatten(1).sum(1)

    @cached_property
    def relevant(self) -> list[str]:
        """The unobserved sites whose noise the evidence bears on.

        Read off a traced program; and because a trace misses what goes through Python numbers, branches or in-place
        writes, checked by whether the density of the evidence moves when noise that should not matter does.

        Raises:
            AbductionError: there are some, and a plate is subsampled.
        """
        unobserved = self.unobserved
        if not unobserved or not (self.evidence or self.program.observed):
            return []
        with pyro.validation_enabled(False):
            found = self._traced_dependencies()
            relevant = [name for name in unobserved if name in found]
            if len(relevant) < len(unobserved) and self._moves_beyond(relevant):
                relevant = unobserved
        if relevant and self.program.subsampled:
            raise AbductionError(
                f"the evidence bears on {relevant}, and the plate {self.program.subsampled[0]!r} is subsampled: Pyro "
                f"scales the likelihood of its units up to those left out, which is no posterior of any unit. Declare "
                f"the plate over the units of the evidence alone."
            )
        return relevant

    @cached_property
    def states(self) -> States:
        """The relevant sites with finitely many states in a unit, which are summed out."""
        return States.of(self.program, self.evidence, self.units, self.relevant)

    @property
    def sampled(self) -> list[str]:
        """The relevant sites that are left to a method."""
        return [name for name in self.relevant if name not in self.states.values]

    def places(self, names: Collection[str]) -> dict[str, Place]:
        """Where the latents of some sites lie, by the name of the latent."""
        nodes = traced(self.model()).nodes
        return {latent: Place.of(nodes[latent]) for latent in map(self.latent_name, names)}

    def _traced_dependencies(self) -> frozenset[str]:
        if isinstance(self.program, Solved):
            plain, found = cast(Program, self.program.plain), self.program.dependencies(self.units)
        else:
            plain, found = self.program, frozenset()
        for site in tracked(plain, self.evidence, self.units).nodes.values():
            if site["type"] == "sample" and site["is_observed"] and not is_deterministic(site):
                found = found | get_provenance(site["fn"].log_prob(site["value"]))
        return found

    def _moves_beyond(self, relevant: Collection[str]) -> bool:
        """Whether the density of the evidence varies with the rest of the noise, the relevant sites held fixed.

        Each probe is a run of its own, so that a branch which all units and draws of a run take together shows.
        """
        held = {self.latent_name(name) for name in relevant}
        fixed = {name: value for name, value in latents_of(traced(self.model(1))).items() if name in held}
        model = poutine.condition(self.model(1), data=fixed)
        lowest = torch.finfo(torch.get_default_dtype()).min
        before = self.log_likelihood(traced(model), 1).clamp(min=lowest)
        for _ in range(PROBES - 1):
            after = self.log_likelihood(traced(model), 1).clamp(min=lowest)
            if bool(((after - before).abs() > 1e-4 * (1 + before.abs())).any()):
                return True
        return False


def latents_of(trace: Any) -> dict[str, torch.Tensor]:
    """The values of the unobserved random sites of a trace: noise and population-level parameters."""
    return {
        name: site["value"]
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and not site["is_observed"] and not is_auxiliary(site)
    }
