"""Effects of treatments on outcomes: on average, by subgroup, on the treated, and for single units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch

from causal_pyro_models.data.coded import Coded, as_labels, in_codes
from causal_pyro_models.effects.outcomes import Outcome, UnitFunction, check_outcome, checked_number, shown
from causal_pyro_models.effects.queries import conditional_queries, effect_queries, treated_queries
from causal_pyro_models.effects.question import Options, Question, asked
from causal_pyro_models.effects.units import Units, difference, scale_of
from causal_pyro_models.errors import EvidenceError, QueryError
from causal_pyro_models.estimate import Estimate
from causal_pyro_models.scm.handlers.interventions import Do, Treatment
from causal_pyro_models.scm.sites import Model, as_numbers

MAXIMUM_GROUPS = 100


def ate(model: Model, treatment: Treatment, outcome: Outcome, **options: Unpack[Options]) -> Estimate:
    """The average treatment effect E[Y_treated - Y_control], the worlds compared on the same noise.

    Without evidence it is the effect in the population that the model describes, and the standard error is that of
    the simulation; where the model has population-level parameters, these are drawn from their prior. With evidence
    it is the average over the units of the evidence, for each posterior draw of their noise and the parameters.

    Args:
        model: a callable with Pyro primitives.
        treatment: site -> (control, treated), each anything that :func:`intervene` takes; several sites together.
        outcome: a site whose values are numbers; an event ``{"Y": 2}`` or ``{"Y": "rare"}``, whose probability is
            compared; or a function of the values in a world (a :class:`Draws`) with a number for each draw and unit.
        options: evidence, method, num_samples, level, seed, data_graph, require_identified; see :class:`Options`,
            which names the errors, too.

    References:
        Pearl (2009), Causality, section 3.2; Imbens and Rubin (2015), Causal inference, chapter 1 (effects on the
        units at hand).

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from causal_pyro_models import CausalGraph
        >>> def model():
        ...     z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        ...     x = pyro.sample("X", dist.Bernoulli(logits=z))
        ...     pyro.sample("Y", dist.Normal(0.5 * x * (1 + z) + z, 1.0))
        >>> ate(model, {"X": (0.0, 1.0)}, "Y", seed=0)  # exactly 0.5
        ate = 0.4947 ± 0.0050 (95% interval 0.4848 to 0.5045)
        >>> graph = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
        >>> print(ate(model, {"X": (0.0, 1.0)}, "Y", seed=0, data_graph=graph).basis)
        identified from the data: P(Y | do(X)) = sum_z P(y | x, z) P(z)
    """

    def answer(question: Question) -> Estimate:
        basis = question.basis(effect_queries, treatment, outcome)
        return question.contrast(outcome, *question.arms(treatment), basis)

    return asked(ate, model, options, answer)


def ite(model: Model, treatment: Treatment, outcome: Outcome, **options: Unpack[Options]) -> Estimate:
    """The individual treatment effect Y_treated - Y_control of each unit, given what was observed of it.

    Args:
        model, treatment, outcome: see :func:`ate`.
        options: see :class:`Options`; the evidence on the units is needed.

    Returns:
        A value for each unit: the posterior mean of its effect, with posterior standard deviation and quantiles; these
        collapse where the evidence determines the effect.

    Raises:
        EvidenceError: no evidence. Otherwise as :class:`Options` says.

    References:
        Pearl (2009), Causality, theorem 7.1.7 and section 8.2.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def model():
        ...     x = pyro.sample("X", dist.Normal(0.0, 1.0))
        ...     pyro.sample("Y", dist.LogNormal(x, 1.0))
        >>> seen = {"X": [0.0, 1.0], "Y": [1.0, 1.0]}
        >>> ite(model, {"X": (0.0, 1.0)}, "Y", evidence=seen).value.round(decimals=3)
        tensor([1.7180, 0.6320], dtype=torch.float64)
    """

    def answer(question: Question) -> Estimate:
        if not question.informed:
            raise EvidenceError(
                "ite needs evidence on the units whose effects are asked for; for a population, ask ate."
            )
        basis = question.basis(conditional_queries, treatment, outcome, question.evidence)
        units = question.units()
        terms = units.outcomes(outcome, *question.arms(treatment))
        scale, labels = scale_of(terms), range(terms.shape[1])
        return question.answer(units.each(terms), difference, basis, scale, "unit", labels)

    return asked(ite, model, options, answer)


def att(model: Model, treatment: Treatment, outcome: Outcome, **options: Unpack[Options]) -> Estimate:
    """The effect on the treated (ATT, ETT), E[Y_treated - Y_control | X = treated].

    For a model of one unit without evidence, simulated units are weighted by how likely they were to be treated, so
    that a continuous treatment is as good as a discrete one. Otherwise the average is over the treated among the units
    of the evidence, or of the model's plates.

    Args:
        model, treatment, outcome: see :func:`ate`. Treated values are numbers.
        options: see :class:`Options`; the method is by default importance sampling from the prior.

    Raises:
        EvidenceError: no unit can be, or is, treated. Otherwise as :class:`Options` says.

    References:
        Pearl (2009), Causality, section 8.2.5; Shpitser and Pearl (2009), Effects of treatment on the treated.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def model():
        ...     z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        ...     x = pyro.sample("X", dist.Normal(z, 1.0))
        ...     pyro.sample("Y", dist.Normal(x * z, 1.0))
        >>> att(model, {"X": (0.0, 1.0)}, "Y", seed=0)  # E[Z | X = 1] = 0.5
        att = 0.4899 ± 0.0070 (95% interval 0.4761 to 0.5037)
    """

    def answer(question: Question) -> Estimate:
        basis = question.basis(treated_queries, treatment, outcome)
        control, treated = question.arms(treatment)
        values = {name: checked_number(name, value, question.program.sites[name]) for name, value in treated.items()}
        if question.evidence is None and not question.program.plated:
            units = question.units_given(values)
            terms = units.outcomes(outcome, control, treated)
            return question.answer(units.means(terms), difference, basis, scale_of(terms))
        units = question.units()
        terms = units.outcomes(outcome, control, treated)
        group = units.values(units.worlds({})[0], values)
        inside = _within(units, terms, group[..., None], ["treated"])
        return question.answer(units.means(inside), lambda means: _mean_within(means)[..., 0], basis, scale_of(terms))

    return asked(att, model, options, answer)


ett = att  # Pearl's name for it


def cate(
    model: Model,
    treatment: Treatment,
    outcome: Outcome,
    *,
    given: Mapping[str, Any] | None = None,
    by: str | UnitFunction | None = None,
    **options: Unpack[Options],
) -> Estimate:
    """The conditional average treatment effect, at covariate values or by subgroup.

    Args:
        model, treatment, outcome: see :func:`ate`.
        given: site -> value or label, for E[Y_treated - Y_control | Z = z] in the population of a model of one unit; an
            array for several points ``(points,)``. Any sites may be given, the treatment and its effects included.
        by: a discrete site, or a function of the factual values (a :class:`Draws`) that gives each unit a label: the
            effect among the units of each label.
        options: see :class:`Options`; evidence goes with ``by``, and the method for ``given`` is by default importance
            sampling from the prior.

    Returns:
        A scalar where every given value is one; otherwise a value for each point or label.

    Raises:
        QueryError: not exactly one of given and by, or more than 100 labels.
        EvidenceError: a label with fewer than 2 units. Otherwise as :class:`Options` says.

    References:
        Pearl (2009), Causality, section 4.2 (conditional interventions); Imbens and Rubin (2015), Causal inference.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def model():
        ...     z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        ...     x = pyro.sample("X", dist.Bernoulli(logits=z))
        ...     pyro.sample("Y", dist.Normal(0.5 * x * z, 1.0))
        >>> cate(model, {"X": (0.0, 1.0)}, "Y", given={"Z": [0.0, 2.0]}, seed=0).value.round(decimals=3)
        tensor([0., 1.], dtype=torch.float64)
        >>> cate(model, {"X": (0.0, 1.0)}, "Y", by=lambda world: world["Z"] > 0, seed=0)
        cate by group:
          group = False: -0.3974 ± 0.0042 (95% interval -0.4056 to -0.3891)
          group = True: 0.3998 ± 0.0044 (95% interval 0.3912 to 0.4083)
    """

    def answer(question: Question) -> Estimate:
        if (given is None) == (by is None):
            raise QueryError("cate takes one of given={'Z': 1.0} (covariate values) and by='Z' (subgroups).")
        if given is not None:
            return _cate_given(question, treatment, outcome, given)
        basis = question.basis(conditional_queries, treatment, outcome, by)
        arms = question.arms(treatment)
        units = question.units(*arms)
        if units.noise.seed is not None and _moved(units, by, *arms):
            units = question.units()  # a question of two worlds, which needs the mechanisms
        terms = units.outcomes(outcome, *arms)
        labels, groups = _groups(units, by)
        inside, over = _within(units, terms, groups, labels), by if isinstance(by, str) else "group"
        return question.answer(units.means(inside), _mean_within, basis, scale_of(terms), over, labels)

    return asked(cate, model, options, answer)


def _cate_given(question: Question, treatment: Treatment, outcome: Outcome, given: Mapping[str, Any]) -> Estimate:
    """The effect at covariate values."""
    if hasattr(given, "to_frame") or hasattr(given, "columns"):  # a row of a table, or several
        given = dict(given)
    if isinstance(given, Mapping) and not given:
        raise QueryError("given is empty: name covariates and their values, or ask ate.")
    if question.evidence is not None:
        raise QueryError("given is the evidence of cate: pass one of the two, or subgroups with by.")
    if question.program.plated:
        raise QueryError("given is for models of one unit; for a model with plates, ask by subgroup (by=...).")
    basis = question.basis(conditional_queries, treatment, outcome, given)
    units = question.units_given(given)
    terms = units.outcomes(outcome, *question.arms(treatment))
    sites = question.program.sites
    columns = {name: as_numbers(in_codes(name, given[name], sites[name].variable, EvidenceError)) for name in given}
    if all(x.dim() == sites[name].place.event_dim for name, x in columns.items()):
        return question.answer(units.means(terms), difference, basis, scale_of(terms))
    points = [as_labels(x.expand(terms.shape[1], *x.shape[1:]), sites[name].variable) for name, x in columns.items()]
    labels = points[0] if len(points) == 1 else list(zip(*points, strict=True))
    return question.answer(units.each(terms), difference, basis, scale_of(terms), ", ".join(columns), labels)


def _moved(units: Units, by: Any, *do: Do) -> bool:
    """Whether some unit is in another group under an intervention."""
    before, *after = (units.values(world, by) for world in units.worlds({}, *do))
    return any(not torch.equal(before, label) for label in after)


def _groups(units: Units, by: Any) -> tuple[list[Any], torch.Tensor]:
    """The labels, and who has which, ``(draws, units, labels)``."""
    if isinstance(by, str):
        check_outcome(units.program, by, mean=False)
    world = units.worlds({})[0]
    raw = units.read(world, by)
    kind = raw.variable if isinstance(raw, Coded) else world.kinds.get(by) if isinstance(by, str) else None
    label = units.flat(raw, world, by)
    values = torch.unique(label)
    if len(values) > MAXIMUM_GROUPS:
        raise QueryError(
            f"{shown(by)} takes {len(values)} different values, at most "
            f"{MAXIMUM_GROUPS} are subgroups: bin them, such as by=lambda world: world['Z'] > 0."
        )
    return as_labels(values, kind), label[..., None] == values


def _within(units: Units, terms: torch.Tensor, groups: torch.Tensor, labels: Sequence[Any]) -> torch.Tensor:
    """Each unit's effect in the groups that it is in, and its membership of them: ``(draws, units, 2 * groups)``."""
    if groups.shape[1] not in (1, terms.shape[1]):
        raise QueryError(
            f"there are labels for {groups.shape[1]} units and outcomes for {terms.shape[1]}: a label must be of the "
            f"same plates as the outcome."
        )
    members = groups.double().expand(*terms.shape[:2], groups.shape[-1])
    sizes = members.sum(1).amin(0) if units.posterior else members.sum((0, 1))
    for label, size in zip(labels, sizes.tolist(), strict=True):
        if size < 2:
            raise EvidenceError(
                f"there are {size:g} units in the subgroup {label!r}, at least 2 are needed: raise num_samples, or "
                f"merge it with another."
            )
    return torch.cat([difference(terms)[..., None] * members, members], -1)


def _mean_within(means: torch.Tensor) -> torch.Tensor:
    """Means within groups, from the means of ``(effect in the group, membership)``."""
    inside, size = means.chunk(2, -1)
    return inside / size
