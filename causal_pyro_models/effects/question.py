"""How an effect is asked for: the keywords that all verbs share, checked once, and the work that they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any, TypedDict, cast

import torch

from causal_pyro_models.effects.outcomes import Outcome
from causal_pyro_models.effects.queries import (
    BOUNDS,
    OF_PLANS,
    policies_in,
    undecided_plan,
)
from causal_pyro_models.effects.support import check_supported
from causal_pyro_models.effects.units import Effect, Means, Units, check_scaled, difference, scale_of
from causal_pyro_models.errors import (
    AbductionError,
    EvidenceError,
    MechanismError,
    NotIdentifiableError,
    QueryError,
    suggestion,
    unheard,
    unknown_variable,
)
from causal_pyro_models.estimate import LINE, Basis, Doubt, Estimate, Scale
from causal_pyro_models.graph import CausalGraph, as_graph
from causal_pyro_models.identification.expressions.query import Query
from causal_pyro_models.identification.identify import identify
from causal_pyro_models.inference.abduction import DEFAULT_DRAWS, Method, abducted
from causal_pyro_models.inference.draws import Noise
from causal_pyro_models.inference.gradients import check_graph, graph
from causal_pyro_models.inference.guides import Guide
from causal_pyro_models.inference.importance import ImportanceSampling
from causal_pyro_models.inference.mixtures import fitted, refits, student, widened
from causal_pyro_models.inference.prediction import check_abducted
from causal_pyro_models.inference.program import Program, inspect_model
from causal_pyro_models.isolation import isolated
from causal_pyro_models.scm.handlers.interventions import Do, Treatment
from causal_pyro_models.scm.sites import Model
from causal_pyro_models.seeding import seeded
from causal_pyro_models.validation import checked_arms, checked_count, checked_level

SIMULATED_UNITS = 10_000


class Options(TypedDict, total=False):
    """The keywords that every effect takes, all of them optional.

    Attributes:
        evidence: data on units, see :func:`abduct`, or the :class:`Noise` that it came to: the effect is then that on
            these units, and has a posterior. By default it is the effect in the population that the model describes.
        method: how the noise of unobserved sites is abducted; see :func:`abduct`.
        num_samples: simulated units (default 10,000); with evidence, posterior draws (default 1,000, or a single one
            where the evidence determines the noise); without evidence on a model with plates, draws of it (1,000).
        level: probability of the interval (default 0.95).
        seed: makes the draws reproducible and leaves the global random state untouched.
        data_graph: the graph of what is measured, with a bidirected edge for each hidden common cause. The estimate
            then says, in its ``basis`` and when printed, whether data determine the effect or the answer rests on the
            form of the model.
        require_identified: whether to refuse an answer that data do not determine (default False).
        require_support: whether to refuse an answer that leaves the support of the data that the model was learned
            from (default False: the estimate says it).
        grad: whether the value has a graph (default False): derivatives in parameters of the model, evidence and values
            of treatments that require a gradient, the random numbers held fixed. What would jump is refused by name.

    Raises:
        AbductionError: an unobserved site has evidence downstream and no method was given.
        EvidenceError: evidence that the model cannot have produced.
        InterventionError: a treatment that is not a pair, or that its site cannot take.
        MechanismError: the distribution of a site has no mechanism, and several worlds are asked about together: with
            evidence, potentials, or subgroups that the treatment changes.
        ModelError: a model that does not run, or an outcome that is not finite.
        NotIdentifiableError: data do not determine the effect, and it was required; with the hedge, and what bounds
            there are.
        QueryError: a keyword that there is not, an outcome that is set by the treatment or has no single number, or
            too few draws.
        SupportError: the answer leaves the support of the data, and was required not to.
        UnknownVariableError: a name that no site has.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from causal_pyro_models import ate, risk_ratio
        >>> def model():
        ...     x = pyro.sample("X", dist.Bernoulli(0.5))
        ...     pyro.sample("Y", dist.Bernoulli(0.2 + 0.3 * x))
        >>> options: Options = {"num_samples": 100_000, "level": 0.9, "seed": 0}
        >>> ate(model, {"X": (0.0, 1.0)}, "Y", **options)  # exactly 0.3
        ate = 0.2994 ± 0.0014 (90% interval 0.2970 to 0.3018)
        >>> risk_ratio(model, {"X": (0.0, 1.0)}, "Y", **options)  # exactly 2.5
        risk_ratio = 2.496 ± 0.014 (90% interval 2.474 to 2.519)
    """

    evidence: Any
    method: Method | Guide | None
    num_samples: int | None
    level: float
    seed: int | None
    data_graph: CausalGraph | None
    require_identified: bool
    require_support: bool
    grad: bool


@dataclass(frozen=True)
class Question:
    """A question about the effects of a model: its options with their defaults, checked, and what answers share.

    Attributes:
        name: of the effect.
        program: the inspected model.
        evidence, method, num_samples, level, seed, data_graph, require_identified, require_support, grad:
            see :class:`Options`.
    """

    name: str
    program: Program
    evidence: Any = None
    method: Method | Guide | None = None
    num_samples: int | None = None
    level: float = 0.95
    seed: int | None = None
    data_graph: CausalGraph | None = None
    require_identified: bool = False
    require_support: bool = False
    grad: bool = False

    def __post_init__(self) -> None:
        if self.num_samples is not None:
            checked_count(self.num_samples, "num_samples", 2)
        object.__setattr__(self, "level", checked_level(self.level))
        if isinstance(self.evidence, Noise):
            check_abducted(self.method, self.num_samples, self.grad)
        for name in ("require_identified", "require_support"):
            if not isinstance(getattr(self, name), bool):
                raise QueryError(f"{name} must be True or False, got {getattr(self, name)!r:.80}.")
        if self.data_graph is None and self.require_identified:
            raise QueryError("require_identified needs the graph of the data: pass data_graph=CausalGraph(...).")
        if self.data_graph is not None:
            object.__setattr__(self, "data_graph", as_graph(self.data_graph, QueryError))

    @property
    def informed(self) -> bool:
        """Whether anything was observed, as evidence or in the model itself."""
        if self.evidence is None or (isinstance(self.evidence, Mapping) and not isinstance(self.evidence, Noise)):
            return bool(self.evidence) or bool(self.program.observed)
        return True

    def arms(self, treatment: Treatment) -> tuple[Do, Do]:
        """The interventions of the control and of the treated world.

        Raises:
            InterventionError: the treatment is not a dict from site to a pair (control, treated).
            UnknownVariableError: a name that no site has.
        """
        pairs = checked_arms(treatment)
        for name in pairs:
            if name not in self.program.sites:
                raise unknown_variable(name, self.program.sites, "site")
        return {name: pair[0] for name, pair in pairs.items()}, {name: pair[1] for name, pair in pairs.items()}

    def basis(self, queries: Callable[..., Sequence[Query]], *about: object) -> Basis | None:
        """What the answer rests on; None where no graph of the data is given.

        Args:
            queries: makes the queries, all of which have to be identifiable, of what is asked ``about``.

        Raises:
            NotIdentifiableError: with the hedge, where identification is required.
            QueryError: a question that no query of a graph is.
        """
        if self.data_graph is None:
            return None
        if reads := policies_in(*about):
            return self._basis_of_plan(reads, queries, *about)
        found = queries(*about)
        text = " and ".join(str(query) for query in found)
        try:
            return Basis(text, tuple(identify(self.data_graph, query) for query in found))
        except NotIdentifiableError as error:
            if self.require_identified:
                raise NotIdentifiableError(
                    f"{error} Without require_identified=True the answer rests on the form of the model. Of discrete "
                    f"data, bounds that hold without it: causal_pyro_models.identification.{BOUNDS[self.name]}.",
                    error.witness,
                ) from None
            return Basis(text, (), error.witness, str(error))

    def _basis_of_plan(
        self, reads: Mapping[str, Sequence[str]], queries: Callable[..., Sequence[Query]], *about: object
    ) -> Basis:
        """What an answer rests on where policies set something: identified, or it cannot be told.

        Raises:
            NotIdentifiableError: it cannot be told, and identification is required.
        """
        if queries in OF_PLANS:
            found = queries(*about)
            reason = undecided_plan(cast(CausalGraph, self.data_graph), reads, found)
        else:
            found, reason = [], f"of policies, what {self.name} asks for is not decided."
        text = " and ".join(map(str, found))
        if not reason:
            try:
                return Basis(text, tuple(identify(cast(CausalGraph, self.data_graph), query) for query in found))
            except NotIdentifiableError as error:
                reason = str(error)
        plan = "; ".join(f"a policy for {x} that reads {', '.join(names)}" for x, names in reads.items())
        reason = f"it is asked of {plan}, and {reason}"
        if self.require_identified:
            raise NotIdentifiableError(f"whether data determine the effect cannot be told: {reason}")
        return Basis(text, (), None, reason, undecided=True)

    def units(self, *do: Do) -> Units:
        """The units of the evidence; without any, simulated ones (and parameters from their prior).

        Args:
            do: the interventions, where each world is asked about by itself. Without evidence, sites whose distribution
                has no mechanism are then drawn from it in each world.

        Raises:
            MechanismError: a distribution has no mechanism, and several worlds are asked about together.
        """
        program = self.program
        if isinstance(self.evidence, Noise):
            return Units(program, self.evidence, True)
        if self.informed:
            evidence = {} if self.evidence is None else self.evidence
            noise = abducted(program, evidence, self.method, self.num_samples, unless_exact=DEFAULT_DRAWS)
            return Units(program, noise, True)
        draws = self.num_samples or (DEFAULT_DRAWS if program.plated else SIMULATED_UNITS)
        try:
            noise = abducted(program, {}, self.method, draws)
        except MechanismError:
            if not do:
                raise
            noise = abducted(program, {}, self.method, draws, seed=int(torch.randint(2**32, ())))
        return Units(program, noise, bool(program.parameters))

    def units_given(self, values: Mapping[str, Any]) -> Units:
        """Simulated units that have the given values; several values are as many populations."""
        method, draws = self.method or ImportanceSampling(), self.num_samples or SIMULATED_UNITS
        return Units(self.program, abducted(self.program, values, method, draws), False)

    def answer(
        self,
        means: Means,
        effect: Effect,
        basis: Basis | None,
        scale: Scale = LINE,
        over: str | None = None,
        labels: Sequence[Any] = (),
    ) -> Estimate:
        """An effect of means with its uncertainty.

        Args:
            means: over the units, or of each.
            effect: what they come to.
            basis: from :meth:`basis`.
            scale: on which the error is symmetric where the draws are simulated units.
            over, labels: what the entries of the effect are; none for a scalar.
        """
        check_supported(self.program, means.support, self.require_support)
        value, error, ends, draws = means.effect(effect, self.level, scale)
        check_graph([value])
        error, ends, draws = error.detach(), (ends[0].detach(), ends[1].detach()), draws.detach()
        doubt = Doubt(posterior=means.posterior, simulation=not means.posterior, fitted=fitted(self.program))
        return Estimate(
            self.name,
            value,
            error,
            ends,
            self.level,
            draws,
            over=over,
            labels=tuple(labels),
            basis=basis,
            doubt=doubt,
            scale=scale,
            support=means.support,
        )

    def contrast(self, outcome: Outcome, control: Do, treated: Do, basis: Basis | None) -> Estimate:
        """The mean difference of an outcome between two worlds."""
        units = self.units(control, treated)
        terms = units.outcomes(outcome, control, treated)
        return self.answer(units.means(terms), difference, basis, scale_of(terms))


@isolated
def asked(
    verb: Callable[..., Estimate], model: Model, options: Options, answer: Callable[[Question], Estimate]
) -> Estimate:
    """The answer to a question about the effects of a model, under its seed and without gradients.

    A model with refits is asked by itself, and each refit as well: none of them is weighed by evidence on units.

    Raises:
        AbductionError: noise was given that is of a model with other refits.
        ModelError: see :func:`inspect_model`.
        QueryError: an option that there is not, or of a value that it cannot have.
    """
    _check_known(verb, options)
    with seeded(options.get("seed")), graph(options.get("grad", False)):  # which are refused before anything runs
        programs = [inspect_model(model)]
    programs += map(inspect_model, refits(programs[0]))
    evidence = options.get("evidence")
    noise = evidence.parts if isinstance(evidence, Noise) else ()
    if isinstance(evidence, Noise) and len(programs) > 1 and len(noise) != len(programs):
        raise AbductionError(
            f"the noise given was abducted from a model with {max(0, len(noise) - 1)} refits, and this one has "
            f"{len(programs) - 1}: abduct it from this."
        )
    options = Options(**options)
    if len(programs) > 1 and options.get("seed") is None:
        options["seed"] = int(torch.randint(2**31, ()))  # that all simulate the same units
    answers: list[Estimate] = []
    for i, program in enumerate(programs):
        if noise:
            options["evidence"] = noise[i]
        if i:
            options["require_support"] = False  # the fit to all data was asked
        with seeded(options.get("seed")), graph(options.get("grad", False)), unheard() if answers else nullcontext():
            answers.append(answer(Question(verb.__name__, program, **options)))
    return answers[0] if len(programs) == 1 else doubted(answers[0], answers[1:])


def doubted(whole: Estimate, refits: Sequence[Estimate]) -> Estimate:
    """An answer with the doubt of the data: Student's t, on the natural scale, of the spread of the refits' answers.

    The spread of estimates on halves, drawn without replacement, about the estimate on all data is to first order that
    of the estimate on all data about the truth, since var(half) - var(all) = 2 var - var.

    Raises:
        EvidenceError: a refit has no answer for some label.

    References:
        J. Shao, C. Wu (1989). A general theory for jackknife variance estimation. Annals of Statistics.
        J. Praestgaard, J. Wellner (1993). Exchangeably weighted bootstraps of the general empirical process. Annals of
        Probability.
    """
    scale, values = whole.scale, torch.stack([_at(whole.labels, part) for part in refits]).detach()
    check_scaled(scale, values)
    half = student(whole.level, len(refits)) * scale.line(values).std(0)
    if whole.doubt.simulation:
        error = scale.slope(whole.value) * whole.standard_error
        below = above = (half.square() + (student(whole.level, len(refits)) * error).square()).sqrt()
    else:
        low, high = whole.interval
        below, above = widened(scale.line(whole.value), (scale.line(low), scale.line(high)), half)
    return replace(
        whole,
        standard_error=(values.var(0) + whole.standard_error.square()).sqrt(),
        interval=scale.about(whole.value, below, above),
        draws=values,
        doubt=replace(whole.doubt, data=True, refits=len(refits)),
    )


def _at(labels: Sequence[Any], part: Estimate) -> torch.Tensor:
    """The values of a refit at the labels of the whole."""
    if part.labels == labels:
        return part.value
    if lacking := [label for label in labels if label not in part.labels]:
        raise EvidenceError(
            f"a refit simulated no unit of the subgroup {lacking[0]!r}: raise num_samples, or merge it with another."
        )
    return part.value[[part.labels.index(label) for label in labels]]


def _check_known(verb: Callable[..., Estimate], options: Options) -> None:
    own = [name for name in signature(verb).parameters if name != "options"]
    known = [*own, *Options.__annotations__]
    for keyword in options:
        if keyword not in Options.__annotations__:
            raise QueryError(
                f"{verb.__name__} has no argument {keyword!r}.{suggestion(keyword, known)} The arguments are: "
                f"{', '.join(known)}."
            )
