"""Identified estimands from models and from data."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pyro import poutine
from torch.distributions import constraints

from causal_pyro_models.errors import DataError, ModelError, checked_count
from causal_pyro_models.identification.evaluation import Question, Tables
from causal_pyro_models.identification.expression import Probability
from causal_pyro_models.identification.joint import JointTable, is_discrete
from causal_pyro_models.inference.estimate import Estimate
from causal_pyro_models.inference.g_computation import GComputation, PlugIn, checked_columns
from causal_pyro_models.inference.learners import Classifier, LeastSquares, LogisticRegression, Regressor
from causal_pyro_models.inference.prediction import sample
from causal_pyro_models.inference.program import Program, inspect_model, traced
from causal_pyro_models.inference.uncertainty import Bootstrap, DeltaMethod, Statistic, Uncertainty, estimated
from causal_pyro_models.scm.density import log_density
from causal_pyro_models.scm.sites import Model, as_numbers, unknown_site

if TYPE_CHECKING:
    from causal_pyro_models.identification.estimand import Estimand

MOST_STATES = 2_000_000
"""Joint states of a model beyond which it is sampled rather than enumerated."""
SAMPLES = 20_000


def evaluate_on(
    source: Any,
    estimand: "Estimand",
    asked: Sequence[Question],
    *,
    uncertainty: Uncertainty | None = None,
    regressor: Regressor | None = None,
    classifier: Classifier | None = None,
    num_samples: int | None = None,
    level: float = 0.95,
    seed: int | None = None,
) -> float | Estimate:
    """An estimand on data or on a Pyro model; see :func:`causal_pyro_models.identification.evaluation.evaluate`.

    Args:
        source: a DataFrame, or a model without arguments. A model of finitely many states is enumerated, and its
            estimand is exact; any other is sampled, and the samples are data.
        estimand, asked: what is asked.
        uncertainty: ``DeltaMethod()``, the default for discrete data without a learner, or ``Bootstrap()``, the default
            elsewhere.
        regressor, classifier: learn the factors of the estimand; by default frequencies take their place where all
            columns are discrete, elsewhere linear and logistic regressions.
        num_samples: of a model; None enumerates it where that can be done, and otherwise draws 20,000.
        level: probability of the interval.
        seed: of bootstrap and samples.

    Raises:
        DataError: a source of neither kind, or data with gaps or without rows.
        QueryError: a continuous estimand that regressions cannot evaluate.
        ModelError: the model does not have the variables of the estimand, or fails.
    """
    names = estimand.expression.names
    if any(isinstance(p, Probability) and (p.do or p.domain) for p in estimand.expression.walk()):
        raise DataError(
            "the estimand stands on several distributions: pass a dict of joint tables or DataFrames, such as "
            "{('', ()): observed, ('', ('Z',)): randomised}."
        )
    if callable(source):
        if num_samples is None and is_finite(program := inspect_model(source)):
            tables = Tables({("", frozenset()): _enumerated(program, sorted(names))}, names)
            return float(sum(question.sign * tables.number(question) for question in asked))
        source = _sampled(source, sorted(names), num_samples or SAMPLES, seed)
        uncertainty = uncertainty or Bootstrap(50)
    checked_columns(source, sorted(names))
    statistic: Statistic
    if regressor is None and classifier is None and all(is_discrete(source[name]) for name in names):
        statistic, usual = PlugIn(source, asked, names), DeltaMethod()
    else:
        learners = regressor or LeastSquares(), classifier or LogisticRegression()
        statistic, usual = GComputation(source, asked, *learners, seed or 0), Bootstrap()  # type: ignore[assignment]
    text = estimand.query.text()
    return estimated(f"contrast of {text}" if len(asked) > 1 else text, statistic, uncertainty or usual, level, seed)


def joint_table(model: Model, names: Sequence[str]) -> JointTable:
    """The joint law of some sites of a model with finitely many states, by its densities.

    Args:
        model: a callable with Pyro primitives, of one unit, whose sites are Bernoulli, Categorical or alike.
        names: the sites to keep; the others are summed out.

    Raises:
        ModelError: a site with infinitely many states, plates, observed sites, or too many joint states.
        UnknownVariableError: a name that no site has.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def model():
        ...     u = pyro.sample("U", dist.Bernoulli(0.5))
        ...     pyro.sample("X", dist.Bernoulli(0.2 + 0.6 * u))
        >>> joint_table(model, ["X"]).probabilities.round(4)
        array([0.5, 0.5])
    """
    program = inspect_model(model)
    if not is_finite(program):
        raise ModelError(
            f"the model cannot be enumerated: it has plates, observed sites, a site with infinitely many states, or "
            f"more than {MOST_STATES:,} joint states. Sample it: cpm.sample(model, n).to_dataframe()."
        )
    return _enumerated(program, names)


def is_finite(program: Program) -> bool:
    """Whether a model of one unit has finitely many joint states, and no more than can be enumerated."""
    free = [site for site in program.sites.values() if not site.deterministic]
    states = [_states(site.support) for site in free]
    single = not program.plated and not program.observed and all(not site.event_shape for site in free)
    return single and None not in states and np.prod([len(s) for s in states if s], dtype=float) <= MOST_STATES


def _states(support: Any) -> range | None:
    """The states of a finite support; None where there are infinitely many, or parents decide."""
    if support is constraints.boolean:
        return range(2)
    if isinstance(support, type(constraints.integer_interval(0, 1))):
        return range(int(support.lower_bound), int(support.upper_bound) + 1)
    return None


def _enumerated(program: Program, names: Sequence[str]) -> JointTable:
    for name in names:
        if name not in program.sites:
            raise unknown_site(name, program.sites)
    free = {name: site for name, site in program.sites.items() if not site.deterministic}
    axes = [torch.tensor(list(_states(site.support) or ()), dtype=site.dtype) for site in free.values()]
    places = torch.meshgrid(*(torch.arange(len(axis)) for axis in axes), indexing="ij")
    grids = [axis[place.reshape(-1)] for axis, place in zip(axes, places, strict=True)]
    with torch.no_grad():
        data = dict(zip(free, grids, strict=True))
        conditioned = poutine.condition(program.batched(len(grids[0])), data=data)
        trace = traced(conditioned)
        parts = [log_density(trace.nodes[name]["fn"], trace.nodes[name]["value"]).double() for name in free]
        law = torch.stack([part.expand(len(grids[0])) for part in parts]).sum(0).exp().cpu().numpy()
        values = {name: trace.nodes[name]["value"].expand(len(law)).cpu().numpy() for name in names}
    states, codes = {}, []
    for name in names:
        levels, code = np.unique(values[name], return_inverse=True)
        states[name] = levels.tolist()
        codes.append(code)
    table = np.zeros([len(states[name]) for name in names])
    np.add.at(table, tuple(codes), law / law.sum())
    return JointTable(names, table, states)


def _sampled(model: Model, names: Sequence[str], num_samples: int, seed: int | None) -> Any:
    """Samples of some sites as a DataFrame."""
    import pandas as pd

    draws = sample(model, checked_count(num_samples, "num_samples", 2), seed)
    columns = {}
    for name in names:
        value = as_numbers(draws[name])
        if value.dim() != 1:
            raise ModelError(
                f"{name!r} has values of shape {tuple(value.shape[1:])}, expected numbers: split the site."
            )
        columns[name] = value.cpu().numpy()
    return pd.DataFrame(columns)
