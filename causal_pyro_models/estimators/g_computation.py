"""The value of an estimand from data: plugged-in frequencies where all is discrete, otherwise regressions."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from causal_pyro_models.data.design import design, labelled
from causal_pyro_models.errors import DataError, QueryError, unknown_variable
from causal_pyro_models.estimators.learners import Classifier, Regressor
from causal_pyro_models.estimators.uncertainty import Array, Statistic
from causal_pyro_models.identification.evaluation import Question, Tables
from causal_pyro_models.identification.expression import (
    Expression,
    One,
    Probability,
    Product,
    Sum,
    Symbol,
    Term,
)
from causal_pyro_models.identification.joint import JointTable, is_discrete, levels

if TYPE_CHECKING:
    import pandas as pd

REPEATS = 10
"""How many times every row is used where values are simulated."""
Ints = NDArray[np.int64]


class PlugIn(Statistic):
    """Questions with the frequencies of discrete data in place of the distribution.

    Args:
        data: a row for each unit.
        questions: what is asked; the value is their signed sum.
        names: the columns in question.
    """

    def __init__(self, data: "pd.DataFrame", questions: Sequence[Question], names: frozenset[str]) -> None:
        table = JointTable.from_dataframe(data, sorted(names))
        self.size, self.questions, self.names, self.states = len(data), questions, names, table.states
        codes = [np.searchsorted(np.asarray(table.states[name]), data[name].to_numpy()) for name in table.names]
        self.columns, self.shape = table.names, table.probabilities.shape
        self.cells: Ints = np.ravel_multi_index(codes, self.shape)

    def value(self, rows: Any) -> float:
        """The number on some of the rows."""
        law = np.bincount(self.cells[rows], minlength=int(np.prod(self.shape))) / len(rows)
        return self._on(law)

    def _on(self, law: Array) -> float:
        table = JointTable(self.columns, law.reshape(self.shape), self.states)
        tables = Tables({("", frozenset()): table}, self.names)
        return sum(question.sign * tables.number(question) for question in self.questions)

    def influence(self) -> Array:
        """The derivative towards each row's cell: (f((1 - h) p + h cell) - f((1 + h) p - h cell)) / 2h."""
        law = np.bincount(self.cells, minlength=int(np.prod(self.shape))) / self.size
        slopes = np.zeros_like(law)
        for cell in np.flatnonzero(law):
            h = 1e-4 * law[cell]
            there = np.eye(1, law.size, int(cell))[0]
            slopes[cell] = (self._on(law + h * (there - law)) - self._on(law - h * (there - law))) / (2 * h)
        return slopes[self.cells]


@dataclass(frozen=True)
class Step:
    """A factor of an estimand: values of some terms are drawn given others, or their mean is taken."""

    outcome: tuple[Term, ...]
    given: tuple[Term, ...]


class GComputation(Statistic):
    """Questions by simulation with learned regressions in place of the factors: the parametric g-formula.

    Bound variables are drawn factor by factor: those of a factor without conditions from the rows of the data, others
    from classifiers, or from regressors with residuals drawn at random. The mean of the outcome is taken at the end.

    Args:
        data: a row for each unit.
        questions: what is asked; the value is their signed sum.
        regressor: learns the means of numbers.
        classifier: learns the probabilities of discrete columns and of events.
        seed: of what is simulated, the same in each arm of a contrast and each resample.

    References:
        Robins (1986), A new approach to causal inference in mortality studies with a sustained exposure period; Hernán
        and Robins (2020), Causal inference: what if, chapters 13 and 21.
    """

    def __init__(
        self,
        data: "pd.DataFrame",
        questions: Sequence[Question],
        regressor: Regressor,
        classifier: Classifier,
        seed: int,
    ) -> None:
        self.size, self.data, self.seed = len(data), data, seed
        self.regressor, self.classifier = regressor, classifier
        self.plans = [(question.sign, plan(question)) for question in questions]
        self.levels = {
            name: levels(data, name)[0]
            for _, steps in self.plans
            for step in steps
            for name in {term.name for term in step.outcome + step.given}
            if is_discrete(data[name])
        }

    def value(self, rows: Any) -> float:
        """The number on some of the rows."""
        sample = _Sample(self, self.data.iloc[rows])
        return sum(sign * sample.mean(steps) for sign, steps in self.plans)


class _Sample:
    """Rows, and the regressions learned from them."""

    def __init__(self, statistic: GComputation, data: "pd.DataFrame") -> None:
        self.statistic, self.data = statistic, data
        self.learned: dict[tuple[str, tuple[str, ...]], Any] = {}

    def mean(self, steps: Sequence[Step]) -> float:
        """The mean of the outcome over draws of all else."""
        rng = np.random.default_rng(self.statistic.seed)
        simulated = any(step.given for step in steps[:-1]) or len(steps) > 2
        rows = np.tile(np.arange(len(self.data)), REPEATS if simulated else 1)
        drawn: dict[Symbol, Any] = {}
        marginal = rows
        for step in steps[:-1]:
            if step.given:
                self._draw(step, drawn, len(rows), rng)
            else:
                for term in step.outcome:
                    drawn[_symbol(term)] = self.data[term.name].to_numpy()[marginal]
                marginal = rng.permutation(rows)
        (target,) = steps[-1].outcome
        return float(self._expected(target, steps[-1].given, drawn, len(rows)).mean())

    def _draw(self, step: Step, drawn: dict[Symbol, Any], size: int, rng: np.random.Generator) -> None:
        given = step.given
        for term in step.outcome:
            features = self._at(given, drawn, size)
            if term.name in self.statistic.levels:
                chances = self._chances(term.name, given, features).cumsum(1)
                place = (rng.random((size, 1)) > chances[:, :-1]).sum(1)
                drawn[_symbol(term)] = self.statistic.levels[term.name][place]
            else:
                learned, residuals = self._regression(term.name, given)
                drawn[_symbol(term)] = learned.predict(features) + rng.choice(residuals, size)
            given = (*given, term)

    def _expected(self, target: Term, given: tuple[Term, ...], drawn: Mapping[Symbol, Any], size: int) -> Array:
        features = self._at(given, drawn, size)
        if isinstance(target.value, Symbol) and not _is_binary(self.statistic.levels.get(target.name)):
            return np.asarray(self._regression(target.name, given)[0].predict(features), dtype=np.float64)
        values = self.statistic.levels.get(target.name, np.zeros(0)).tolist()
        if not isinstance(target.value, Symbol) and target.value not in values:
            raise DataError(f"{target.name!r} never has the value {target.value!r:.80}, or is continuous.")
        chances = self._chances(target.name, given, features)
        if isinstance(target.value, Symbol):
            return np.asarray(chances @ np.array(values, dtype=np.float64))
        return np.asarray(chances[:, values.index(target.value)])

    def _regression(self, name: str, given: tuple[Term, ...]) -> tuple[Any, Array]:
        """The learned mean of a column given others, and its residuals."""
        key = (name, tuple(term.name for term in given))
        if key not in self.learned:
            if self.data[name].dtype.kind not in "iufb":
                raise QueryError(f"{name!r} has no mean: its values are no numbers. Give the outcome a value.")
            features, y = self._features(given), self.data[name].to_numpy(np.float64)
            learned = copy.deepcopy(self.statistic.regressor)
            learned.fit(features, y)
            self.learned[key] = learned, y - np.asarray(learned.predict(features))
        found: tuple[Any, Array] = self.learned[key]
        return found

    def _chances(self, name: str, given: tuple[Term, ...], features: Array) -> Array:
        """The probability of every level of a discrete column given others."""
        key = ("P " + name, tuple(term.name for term in given))
        values = self.statistic.levels[name]
        codes = np.searchsorted(values, self.data[name].to_numpy())
        if key not in self.learned:
            learned = copy.deepcopy(self.statistic.classifier)
            learned.fit(self._features(given), codes)
            self.learned[key] = learned
        chances = np.zeros((len(features), len(values)))
        chances[:, np.unique(codes)] = self.learned[key].predict_proba(features)
        return chances

    def _features(self, given: tuple[Term, ...]) -> Array:
        columns = [(term.name, self.data[term.name].to_numpy()) for term in given]
        return design(columns, labelled(self.statistic.levels), len(self.data))

    def _at(self, given: tuple[Term, ...], drawn: Mapping[Symbol, Any], size: int) -> Array:
        columns = [(t.name, drawn[t.value] if isinstance(t.value, Symbol) else np.full(size, t.value)) for t in given]
        return design(columns, labelled(self.statistic.levels), size)


def _is_binary(values: Any) -> bool:
    return values is not None and len(values) == 2 and np.asarray(values).dtype.kind in "iufb"


def _symbol(term: Term) -> Symbol:
    if not isinstance(term.value, Symbol):
        raise _no_plan(f"{term.name} is fixed where it would be drawn")
    return term.value


def plan(question: Question) -> list[Step]:
    """The factors of an expression in an order in which all that a factor is given has been drawn before; outcome last.

    Raises:
        QueryError: the expression is no such product.
    """
    factors = _factors(question.expression, count(10_000))
    target = [(p, t) for p in factors for t in p.outcome if _is_target(t, question)]
    if len(target) != 1:
        raise _no_plan("the outcome is not in exactly one of its factors")
    ((last, outcome),) = target
    others = tuple(t for t in last.outcome if t != outcome)
    waiting = [Step(p.outcome, p.given) for p in factors if p is not last]
    if others:
        waiting.append(Step(others, last.given))
    drawn: set[Symbol] = set()
    steps = []
    while waiting:
        ready = [step for step in waiting if all(_is_known(t, drawn) for t in step.given)]
        if not ready:
            raise _no_plan("its factors depend on one another in a circle")
        step = min(ready, key=lambda step: bool(step.given))
        waiting.remove(step)
        for t in step.outcome:
            if _symbol(t) in drawn:
                raise _no_plan(f"{t.name} is in the outcome of two factors")
            drawn.add(_symbol(t))
        steps.append(step)
    final = Step((outcome,), last.given + others)
    if not all(_is_known(t, drawn) for t in final.given):
        raise _no_plan("a condition of the outcome is never drawn")
    return [*steps, final]


def _is_known(term: Term, drawn: set[Symbol]) -> bool:
    return not isinstance(term.value, Symbol) or term.value in drawn


def _is_target(term: Term, question: Question) -> bool:
    return term.value == question.outcome if question.event is None else (term.name, term.value) == question.event


def _factors(expression: Expression, fresh: Any) -> list[Probability]:
    """The probabilities of a product, every bound symbol renamed to one of its own."""
    match expression:
        case One():
            return []
        case Probability():
            return [expression]
        case Product(factors):
            return [p for factor in factors for p in _factors(factor, fresh)]
        case Sum(over, body):
            return _factors(body.substitute({s: Symbol(s.name, next(fresh)) for s in over}), fresh)
    raise _no_plan("it has a ratio")


def _no_plan(why: str) -> QueryError:
    return QueryError(
        f"regressions evaluate estimands that are sums of products in which every variable is drawn once, and this is "
        f"none: {why}. Make all its columns discrete, which any estimand takes."
    )


def checked_columns(data: Any, names: Sequence[str]) -> None:
    """Refuse data without rows, or columns that are not there or have gaps."""
    if not hasattr(data, "columns") or not hasattr(data, "isna"):
        raise DataError(f"expected a DataFrame with a row for each unit, got {type(data).__name__}.")
    for name in names:
        if name not in data.columns:
            raise unknown_variable(name, data.columns, "column")
        if data[name].isna().any():
            raise DataError(f"column {name!r} has missing values: drop or impute these rows first.")
        if data[name].dtype.kind == "f" and not np.isfinite(data[name].to_numpy()).all():
            raise DataError(f"column {name!r} has infinite values: drop these rows first.")
    if len(data) < 2:
        raise DataError(f"the data have {len(data)} rows: too few for an estimate.")
