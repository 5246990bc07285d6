"""Effects of treatments on outcomes: on average, by subgroup, on the treated, and for single units."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from causal_pyro_models.effects.basis import (
    checked_basis,
    conditional_queries,
    effect_queries,
    grounded,
    treated_queries,
)
from causal_pyro_models.effects.population import (
    AnyMethod,
    Outcome,
    Population,
    arms,
    check_number,
    check_outcome,
    contrasted,
    informed,
    shown,
)
from causal_pyro_models.errors import EvidenceError, QueryError
from causal_pyro_models.estimate import Estimate
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.inference.draws import Draws
from causal_pyro_models.inference.importance import ImportanceSampling
from causal_pyro_models.inference.program import inspect_model
from causal_pyro_models.scm.handlers.interventions import Treatment
from causal_pyro_models.scm.sites import Model, as_numbers
from causal_pyro_models.seeding import seeded

MAXIMUM_GROUPS = 100


def difference(means: torch.Tensor) -> torch.Tensor:
    """Treated minus control."""
    return means[..., 1] - means[..., 0]


def _mean_among(means: torch.Tensor) -> torch.Tensor:
    """Means within groups, from the means of ``(effect in the group, membership)``."""
    inside, size = means.chunk(2, -1)
    return inside / size


def ate(
    model: Model,
    treatment: Treatment,
    outcome: Outcome,
    *,
    evidence: Any = None,
    method: AnyMethod = None,
    num_samples: int | None = None,
    level: float = 0.95,
    seed: int | None = None,
    data_graph: CausalGraph | None = None,
    require_identified: bool = False,
) -> Estimate:
    """The average treatment effect E[Y_treated - Y_control], the worlds compared on the same noise.

    Without evidence it is the effect in the population that the model describes, and the standard error is that of
    the simulation; where the model has population-level parameters, these are drawn from their prior. With evidence
    it is the average over the units of the evidence, for each posterior draw of their noise and the parameters.

    Args:
        model: a callable with Pyro primitives.
        treatment: site -> (control, treated), each anything that :func:`intervene` takes; several sites together.
        outcome: a site; an event ``{"Y": 2}``, whose probability is compared; or a function of the values in a world
            (a :class:`Draws`) with a number for each draw and unit.
        evidence: data on units; see :func:`abduct`. Or the :class:`Noise` that it came to.
        method: how the noise of unobserved sites is abducted; see :func:`abduct`.
        num_samples: simulated units (default 10,000); with evidence, posterior draws (default 1,000, or a single one
            where the evidence determines the noise); without evidence on a model with plates, draws of it (1,000).
        level: probability of the interval.
        seed: makes the draws reproducible and leaves the global random state untouched.
        data_graph: the graph of what is measured, with a bidirected edge for each hidden common cause. The estimate
            then says, in its ``basis`` and when printed, whether data determine the effect in the population or the
            answer rests on the form of the model.
        require_identified: whether to refuse an answer that data do not determine.

    Raises:
        NotIdentifiableError: data do not determine the effect, and it was required; with the hedge, and what bounds
            there are.
        QueryError: an outcome that is set by the treatment or has no single number, or too few draws.
        InterventionError: a treatment that is not a pair, or that its site cannot take.
        UnknownVariableError: a name that no site has.
        ModelError: an outcome that is not finite.
        AbductionError: an unobserved site has evidence downstream and no method was given.

    References:
        Pearl (2009), Causality, section 3.2; Imbens and Rubin (2015), Causal inference, chapter 1 (effects on the
        units at hand).

    Example:
        >>> import pyro, pyro.distributions as dist
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
    offer = "ate_bounds(graph, data, ...)"
    basis = checked_basis(data_graph, require_identified, offer, effect_queries, treatment, outcome)
    with seeded(seed), torch.no_grad():
        population, terms = contrasted(model, treatment, outcome, evidence, method, num_samples)
        return grounded(population.estimate("ate", terms, difference, level), basis)


def ite(
    model: Model,
    evidence: Any,
    treatment: Treatment,
    outcome: Outcome,
    method: AnyMethod = None,
    num_samples: int | None = None,
    *,
    level: float = 0.95,
    seed: int | None = None,
    data_graph: CausalGraph | None = None,
    require_identified: bool = False,
) -> Estimate:
    """The individual treatment effect Y_treated - Y_control of each unit, given what was observed of it.

    Args:
        model, treatment, outcome, level, seed, data_graph, require_identified: see :func:`ate`.
        evidence: data on the units; see :func:`abduct`. Or the :class:`Noise` that it came to.
        method: how the noise of unobserved sites is abducted; see :func:`abduct`.
        num_samples: posterior draws. Default: one where the evidence determines the noise, otherwise 1,000.

    Returns:
        A value for each unit: the posterior mean of its effect, with posterior standard deviation and quantiles; these
        collapse where the evidence determines the effect.

    Raises:
        EvidenceError: no evidence, or some that the model cannot have produced. Otherwise as :func:`ate`.

    References:
        Pearl (2009), Causality, theorem 7.1.7 and section 8.2.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def model():
        ...     x = pyro.sample("X", dist.Normal(0.0, 1.0))
        ...     pyro.sample("Y", dist.LogNormal(x, 1.0))
        >>> ite(model, {"X": [0.0, 1.0], "Y": [1.0, 1.0]}, {"X": (0.0, 1.0)}, "Y").value.round(decimals=3)
        tensor([1.7180, 0.6320], dtype=torch.float64)
    """
    if not informed(inspect_model(model), evidence):
        raise EvidenceError("ite needs evidence on the units whose effects are asked for; for a population, ask ate.")
    offer = "bounds(graph, data, 'P(Y_{X=1}=1 | X=0, Y=0)')"
    basis = checked_basis(data_graph, require_identified, offer, conditional_queries, treatment, outcome, evidence)
    with seeded(seed), torch.no_grad():
        population, terms = contrasted(model, treatment, outcome, evidence, method, num_samples)
        estimate = population.estimate(
            "ite", terms, difference, level, per_unit=True, over="unit", labels=range(terms.shape[1])
        )
        return grounded(estimate, basis)


def att(
    model: Model,
    treatment: Treatment,
    outcome: Outcome,
    *,
    evidence: Any = None,
    method: AnyMethod = None,
    num_samples: int | None = None,
    level: float = 0.95,
    seed: int | None = None,
    data_graph: CausalGraph | None = None,
    require_identified: bool = False,
) -> Estimate:
    """The effect on the treated (ATT, ETT), E[Y_treated - Y_control | X = treated].

    For a model of one unit without evidence, simulated units are weighted by how likely they were to be treated, so
    that a continuous treatment is as good as a discrete one. Otherwise the average is over the treated among the units
    of the evidence, or of the model's plates.

    Args:
        model, treatment, outcome, evidence, num_samples, level, seed, data_graph, require_identified: see
            :func:`ate`. Treated values are numbers.
        method: see :func:`abduct`; by default importance sampling from the prior.

    Raises:
        EvidenceError: no unit can be, or is, treated. Otherwise as :func:`ate`.

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
    offer = "bounds(graph, data, 'P(Y_{X=0}=1 | X=1)')"
    basis = checked_basis(data_graph, require_identified, offer, treated_queries, treatment, outcome)
    with seeded(seed), torch.no_grad():
        program = inspect_model(model)
        treated = arms(program, treatment)[1]
        for name, value in treated.items():
            check_number(name, value)
        if evidence is None and not program.plated:
            population = Population.given(model, treated, method or ImportanceSampling(), num_samples)
            terms = population.outcomes(outcome, *arms(program, treatment))
            return grounded(population.estimate("att", terms, difference, level), basis)
        population, terms = contrasted(model, treatment, outcome, evidence, method, num_samples)
        group = population.values(population.draws({})[0], treated)
        return grounded(_among(population, "att", terms, group[..., None].double(), level, labels=("treated",)), basis)


ett = att  # Pearl's name for it


def cate(
    model: Model,
    treatment: Treatment,
    outcome: Outcome,
    *,
    given: Mapping[str, Any] | None = None,
    by: str | Callable[[Draws], Any] | None = None,
    evidence: Any = None,
    method: AnyMethod = None,
    num_samples: int | None = None,
    level: float = 0.95,
    seed: int | None = None,
    data_graph: CausalGraph | None = None,
    require_identified: bool = False,
) -> Estimate:
    """The conditional average treatment effect, at covariate values or by subgroup.

    Args:
        model, treatment, outcome, num_samples, level, seed, data_graph, require_identified: see :func:`ate`.
        given: site -> value, for E[Y_treated - Y_control | Z = z] in the population of a model of one unit; an array
            for several points ``(points,)``. Any sites may be given, the treatment and its effects included.
        by: a discrete site, or a function of the factual values (a :class:`Draws`) that gives each unit a label: the
            effect among the units of each label.
        evidence: with ``by``, data on units; see :func:`ate`.
        method: see :func:`abduct`; for ``given``, by default importance sampling from the prior.

    Returns:
        A scalar where every given value is one; otherwise a value for each point or label.

    Raises:
        QueryError: not exactly one of given and by; more than 100 labels; a label with fewer than 2 units. Otherwise as
            :func:`ate`.

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
    if (given is None) == (by is None):
        raise QueryError("cate takes one of given={'Z': 1.0} (covariate values) and by='Z' (subgroups).")
    offer = "bounds(graph, data, 'P(Y=1 | do(X=1), Z=1)')"
    basis = checked_basis(
        data_graph, require_identified, offer, conditional_queries, treatment, outcome, by if given is None else given
    )
    with seeded(seed), torch.no_grad():
        if given is not None:
            if isinstance(given, Mapping) and not given:
                raise QueryError("given is empty: name covariates and their values, or ask ate.")
            if evidence is not None:
                raise QueryError("given is the evidence of cate: pass one of the two, or subgroups with by.")
            return grounded(_cate_given(model, treatment, outcome, given, method, num_samples, level), basis)
        population, terms = contrasted(model, treatment, outcome, evidence, method, num_samples)
        labels, groups = _groups(population, by)
        over = by if isinstance(by, str) else "group"
        return grounded(_among(population, "cate", terms, groups, level, over, labels=labels), basis)


def _cate_given(
    model: Model,
    treatment: Treatment,
    outcome: Outcome,
    given: Any,
    method: AnyMethod,
    num_samples: int | None,
    level: float,
) -> Estimate:
    program = inspect_model(model)
    if program.plated:
        raise QueryError("given is for models of one unit; for a model with plates, ask by subgroup (by=...).")
    control, treated = arms(program, treatment)
    population = Population.given(model, given, method or ImportanceSampling(), num_samples)
    terms = population.outcomes(outcome, control, treated)
    columns = {name: as_numbers(given[name]) for name in given}
    if all(x.dim() == program.sites[name].place.event_dim for name, x in columns.items()):
        return population.estimate("cate", terms, difference, level)
    points = [x.expand(terms.shape[1], *x.shape[1:]).tolist() for x in columns.values()]
    labels = points[0] if len(points) == 1 else list(zip(*points, strict=True))
    return population.estimate("cate", terms, difference, level, per_unit=True, over=", ".join(columns), labels=labels)


def _groups(population: Population, by: Any) -> tuple[list[Any], torch.Tensor]:
    """The labels, and who has which, ``(draws, units, labels)``."""
    if isinstance(by, str):
        check_outcome(population.program, by)
    label = population.values(population.draws({})[0], by)
    values = torch.unique(label)
    if len(values) > MAXIMUM_GROUPS:
        raise QueryError(
            f"{shown(by)} takes {len(values)} different values, at most "
            f"{MAXIMUM_GROUPS} are subgroups: bin them, such as by=lambda world: world['Z'] > 0."
        )
    groups = label[..., None] == values
    return values.tolist(), groups.double()


def _among(
    population: Population,
    name: str,
    terms: torch.Tensor,
    groups: torch.Tensor,
    level: float,
    over: str | None = None,
    *,
    labels: Sequence[Any],
) -> Estimate:
    """The average effect in each group; a scalar where there are no labels."""
    if groups.shape[1] not in (1, terms.shape[1]):
        raise QueryError(
            f"there are labels for {groups.shape[1]} units and outcomes for {terms.shape[1]}: a label must be of the "
            f"same plates as the outcome."
        )
    members = groups.expand(*terms.shape[:2], groups.shape[-1])
    sizes = members.sum(1).amin(0) if population.posterior else members.sum((0, 1))
    for label, size in zip(labels, sizes.tolist(), strict=True):
        if size < 2:
            raise EvidenceError(
                f"there are {size:g} units in the subgroup {label!r}, at least 2 are needed: raise num_samples, or "
                f"merge it with another."
            )
    inside = torch.cat([difference(terms)[..., None] * members, members], -1)
    if over is None:
        return population.estimate(name, inside, lambda means: _mean_among(means)[..., 0], level)
    return population.estimate(name, inside, _mean_among, level, over=over, labels=labels)
