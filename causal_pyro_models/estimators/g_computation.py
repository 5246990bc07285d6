"""The parametric g-formula: regressions in place of the factors of an estimand, and draws of what it sums over."""

import copy
from collections.abc import Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from causal_pyro_models.arrays import Array, Ints
from causal_pyro_models.data.design import design, labelled
from causal_pyro_models.errors import DataError, QueryError
from causal_pyro_models.estimators.learners import Classifier, Regressor
from causal_pyro_models.estimators.uncertainty import Statistic
from causal_pyro_models.identification.estimand_values import Quantity, Summand
from causal_pyro_models.identification.expressions.expression import (
    Expression,
    One,
    Probability,
    Product,
    Sum,
    Symbol,
    Term,
)
from causal_pyro_models.identification.laws.columns import is_discrete, levels

if TYPE_CHECKING:
    import pandas as pd

REPEATS = 10
"""How many times every row is used where values are simulated."""


class GComputation(Statistic):
    """A quantity by simulation with learned regressions in place of the factors: the parametric g-formula.

    Bound variables are drawn factor by factor: those of a factor without conditions from the rows of the data, others
    from classifiers, or from regressors with residuals drawn at random. The mean of the outcome is taken at the end.

    Args:
        data: a row for each unit.
        quantity: what is asked.
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
        quantity: Quantity,
        regressor: Regressor,
        classifier: Classifier,
        seed: int,
    ) -> None:
        self.size, self.data, self.seed = len(data), data, seed
        self.regressor, self.classifier = regressor, classifier
        self.orders = [(summand.sign, drawing_order(summand)) for summand in quantity.summands]
        self.levels = {
            name: levels(data, name)[0]
            for _, factors in self.orders
            for factor in factors
            for name in factor.names
            if is_discrete(data[name])
        }

    def value(self, rows: Ints) -> float:
        """The number on some of the rows."""
        sample = _Sample(self, self.data.iloc[rows])
        return sum(sign * sample.mean(factors) for sign, factors in self.orders)


class _Sample:
    """Rows, and the regressions learned from them."""

    def __init__(self, statistic: GComputation, data: "pd.DataFrame") -> None:
        self.statistic, self.data = statistic, data
        self.learned: dict[tuple[str, tuple[str, ...]], Any] = {}

    def mean(self, factors: Sequence[Probability]) -> float:
        """The mean of the outcome of the last factor over draws of all else."""
        rng = np.random.default_rng(self.statistic.seed)
        simulated = any(factor.given for factor in factors[:-1]) or len(factors) > 2
        rows = np.tile(np.arange(len(self.data)), REPEATS if simulated else 1)
        drawn: dict[Symbol, Any] = {}
        marginal = rows
        for factor in factors[:-1]:
            if factor.given:
                self._draw(factor, drawn, len(rows), rng)
            else:
                for term in factor.outcome:
                    drawn[_symbol(term)] = self.data[term.name].to_numpy()[marginal]
                marginal = rng.permutation(rows)
        (target,) = factors[-1].outcome
        return float(self._expected(target, factors[-1].given, drawn, len(rows)).mean())

    def _draw(self, factor: Probability, drawn: dict[Symbol, Any], size: int, rng: np.random.Generator) -> None:
        given = factor.given
        for term in factor.outcome:
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
        if not given:  # a marginal, which takes no regression
            return self._column(target)
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

    def _column(self, target: Term) -> Array:
        """The outcome in each row, or whether its event happens."""
        column = self.data[target.name]
        if not isinstance(target.value, Symbol):
            if not (self.statistic.data[target.name] == target.value).any():
                raise DataError(f"{target.name!r} never has the value {target.value!r:.80}.")
            return np.asarray(column == target.value, dtype=np.float64)
        if column.dtype.kind not in "iufb":
            raise QueryError(f"{target.name!r} has no mean: its values are no numbers. Give the outcome a value.")
        return np.asarray(column, dtype=np.float64)

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
        raise _not_drawn(f"{term.name} is fixed where it would be drawn")
    return term.value


def drawing_order(summand: Summand) -> list[Probability]:
    """The factors of an expression in an order in which all that a factor is given has been drawn before; outcome last.

    Raises:
        QueryError: the expression is no such product.
    """
    factors = _factors(summand.expression, count(10_000))
    target = [(p, t) for p in factors for t in p.outcome if _is_target(t, summand)]
    if len(target) != 1:
        raise _not_drawn("the outcome is not in exactly one of its factors")
    ((last, outcome),) = target
    others = tuple(t for t in last.outcome if t != outcome)
    waiting = [p for p in factors if p is not last]
    if others:
        waiting.append(Probability(others, last.given))
    drawn: set[Symbol] = set()
    order = []
    while waiting:
        ready = [p for p in waiting if all(_is_known(t, drawn) for t in p.given)]
        if not ready:
            raise _not_drawn("its factors depend on one another in a circle")
        following = min(ready, key=lambda p: bool(p.given))
        waiting.remove(following)
        for t in following.outcome:
            if _symbol(t) in drawn:
                raise _not_drawn(f"{t.name} is in the outcome of two factors")
            drawn.add(_symbol(t))
        order.append(following)
    final = Probability((outcome,), last.given + others)
    if not all(_is_known(t, drawn) for t in final.given):
        raise _not_drawn("a condition of the outcome is never drawn")
    return [*order, final]


def _is_known(term: Term, drawn: set[Symbol]) -> bool:
    return not isinstance(term.value, Symbol) or term.value in drawn


def _is_target(term: Term, summand: Summand) -> bool:
    return term.value == summand.outcome if summand.event is None else (term.name, term.value) == summand.event


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
    raise _not_drawn("it has a ratio")


def _not_drawn(why: str) -> QueryError:
    return QueryError(
        f"regressions evaluate estimands that are sums of products in which every variable is drawn once, and this is "
        f"none: {why}. Make all its columns discrete, which any estimand takes."
    )
