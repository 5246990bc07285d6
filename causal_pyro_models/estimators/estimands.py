"""Identified estimands from models and from data."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import pandas as pd

from causal_pyro_models.errors import DataError, ModelError, QueryError
from causal_pyro_models.estimate import Estimate
from causal_pyro_models.estimators.g_computation import GComputation
from causal_pyro_models.estimators.learners import Classifier, LeastSquares, LogisticRegression, Regressor
from causal_pyro_models.estimators.plug_in import PlugIn
from causal_pyro_models.estimators.uncertainty import Bootstrap, DeltaMethod, Statistic, Uncertainty, estimated
from causal_pyro_models.identification.estimand_values import (
    JointTables,
    Quantity,
    Regime,
    evaluate_on,
    evaluate_on_samples,
    table_of,
)
from causal_pyro_models.identification.expressions.expression import Probability
from causal_pyro_models.identification.laws.columns import check_columns, is_dataframe, is_discrete
from causal_pyro_models.identification.laws.joint_table import Joint
from causal_pyro_models.inference.enumeration import enumerated, is_finite
from causal_pyro_models.inference.prediction import sample
from causal_pyro_models.inference.program import inspect_model
from causal_pyro_models.isolation import isolated
from causal_pyro_models.scm.sites import Model
from causal_pyro_models.validation import checked_count

SAMPLES = 20_000


@evaluate_on.register(pd.DataFrame)
def evaluate_on_data(
    data: pd.DataFrame,
    quantity: Quantity,
    *,
    uncertainty: Uncertainty | None = None,
    regressor: Regressor | None = None,
    classifier: Classifier | None = None,
    level: float = 0.95,
    seed: int | None = None,
) -> Estimate:
    """A quantity that is identified by the distribution of data.

    Args:
        data: a row for each unit.
        quantity: what is asked.
        uncertainty: ``DeltaMethod()``, the default for discrete data without a learner, or ``Bootstrap()``, the default
            elsewhere.
        regressor, classifier: learn the factors of the estimand; by default frequencies take their place where all
            columns are discrete, elsewhere linear and logistic regressions.
        level: probability of the interval.
        seed: of the bootstrap.

    Raises:
        DataError: data with gaps or without rows, or an estimand that stands on several distributions.
        QueryError: a continuous estimand that regressions cannot evaluate.
    """
    _check_single(quantity)
    names = sorted(quantity.names)
    check_columns(data, names)
    statistic: Statistic
    if regressor is None and classifier is None and all(is_discrete(data[name]) for name in names):
        statistic, usual = PlugIn(data, quantity), DeltaMethod()
    else:
        learners = regressor or LeastSquares(), classifier or LogisticRegression()
        statistic, usual = GComputation(data, quantity, *learners, seed or 0), Bootstrap()  # type: ignore[assignment]
    return estimated(quantity.name, statistic, uncertainty or usual, level, seed)


@evaluate_on_samples.register(pd.DataFrame)
def evaluate_on_data_of_several(
    sample: pd.DataFrame,
    laws: Mapping[Regime, Joint],
    quantity: Quantity,
    *,
    uncertainty: Uncertainty | None = None,
    regressor: Regressor | None = None,
    classifier: Classifier | None = None,
    level: float = 0.95,
    seed: int | None = None,
) -> Estimate:
    """A quantity that is identified by several distributions, of which some are samples, independent of one another.

    Args:
        sample: one of the samples.
        laws: (domain, variables that were set) -> a DataFrame with a row for each unit, or an exact table; each needs
            the columns that the estimand reads there.
        quantity: what is asked.
        uncertainty: ``DeltaMethod()``, the default, or ``Bootstrap()``.
        regressor, classifier, level, seed: as for data; learners are for one distribution.

    Raises:
        DataError: a distribution that is missing, data with gaps or without rows, or continuous columns in one of
            several distributions.
    """
    reads = quantity.reads
    tables = {regime: table_of(laws, regime) for regime in reads}
    if list(reads) == [("", frozenset())] and is_dataframe(only := tables["", frozenset()]):
        options = {"uncertainty": uncertainty, "regressor": regressor, "classifier": classifier}
        found: Estimate = evaluate_on_data(only, quantity, **options, level=level, seed=seed)
        return found
    if regressor is not None or classifier is not None:
        raise QueryError("an estimand that stands on several distributions takes no learners: leave them out.")
    for regime, table in tables.items():
        if is_dataframe(table):
            check_columns(table, sorted(reads[regime]))
            for name in sorted(reads[regime]):
                if not is_discrete(table[name]):
                    raise DataError(
                        f"column {name!r} is continuous in the data of {regime[0]!r}, {sorted(regime[1])}: an estimand "
                        f"that stands on several distributions takes discrete columns, bin it."
                    )
    return estimated(quantity.name, PlugIn(tables, quantity), uncertainty or DeltaMethod(), level, seed)


@evaluate_on.register(cast(type, Callable))
@isolated
def evaluate_on_model(
    model: Model,
    quantity: Quantity,
    *,
    num_samples: int | None = None,
    uncertainty: Uncertainty | None = None,
    regressor: Regressor | None = None,
    classifier: Classifier | None = None,
    level: float = 0.95,
    seed: int | None = None,
) -> float | Estimate:
    """A quantity on a model: exact where it has finitely many states, otherwise on samples of it.

    Args:
        model: a callable with Pyro primitives, without arguments.
        quantity: what is asked.
        num_samples: None enumerates the model where that can be done, and otherwise draws 20,000.
        uncertainty: by default a bootstrap of 50 replicates.
        regressor, classifier, level: as for data.
        seed: of the samples and of the bootstrap.

    Raises:
        DataError: an estimand that stands on several distributions.
        QueryError: a continuous estimand that regressions cannot evaluate.
        ModelError: the model does not have the variables of the estimand, or fails.
    """
    _check_single(quantity)
    names = sorted(quantity.names)
    if num_samples is None and is_finite(program := inspect_model(model)):
        return JointTables.of(enumerated(program, names), quantity).value(quantity)
    data = _sampled(model, names, num_samples or SAMPLES, seed)
    options = {"uncertainty": uncertainty or Bootstrap(50), "regressor": regressor, "classifier": classifier}
    found: Estimate = evaluate_on_data(data, quantity, **options, level=level, seed=seed)
    return found


def _check_single(quantity: Quantity) -> None:
    parts = (part for summand in quantity.summands for part in summand.expression.walk())
    if any(isinstance(p, Probability) and (p.do or p.domain) for p in parts):
        raise DataError(
            "the estimand stands on several distributions, or on an experiment: pass a dict of joint tables or "
            "DataFrames, such as {('', ()): observed, ('', ('Z',)): randomised}."
        )


def _sampled(model: Model, names: Sequence[str], num_samples: int, seed: int | None) -> pd.DataFrame:
    """Samples of some sites as a DataFrame."""
    draws = sample(model, checked_count(num_samples, "num_samples", 2), seed)
    columns = {}
    for name in names:
        value = draws[name]
        if value.dim() != 1:
            raise ModelError(
                f"{name!r} has values of shape {tuple(value.shape[1:])}, expected numbers: split the site."
            )
        columns[name] = value.cpu().numpy()  # of labels where the site has some
    return pd.DataFrame(columns)
