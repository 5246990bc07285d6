"""The numbers of an expression: arrays with an axis for each free symbol."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from causal_pyro_models.arrays import Array
from causal_pyro_models.errors import QueryError
from causal_pyro_models.identification.expressions.expression import (
    Expression,
    Fraction,
    One,
    Probability,
    Product,
    Sum,
    Symbol,
    Term,
    Zero,
    in_order,
)
from causal_pyro_models.identification.expressions.notation import Constant

Regimes = Callable[[str, frozenset[str]], Array]
"""(domain, variables that are set) -> an array over all variables, ``array[v] = P(the others = v | do(set = v))``."""


class Tabulator:
    """Evaluates expressions on arrays.

    Args:
        variables: the variables, in the order of the axes of the regimes.
        regimes: the distributions that the expressions are about.
        place: (variable, value) -> its place along the axis; by default a value is its own place.
        sizes: the number of values of each variable; by default that in the observed distribution.
    """

    def __init__(
        self,
        variables: Sequence[str],
        regimes: Regimes,
        place: Callable[[str, Constant], int] | None = None,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        self.axis = {name: i for i, name in enumerate(variables)}
        self.regimes = regimes
        self.place = place or _own_place
        self.sizes = sizes
        self._known: dict[Expression, tuple[Array, tuple[Symbol, ...]]] = {}

    def __call__(self, expression: Expression) -> tuple[Array, tuple[Symbol, ...]]:
        """The values of an expression: an array, and the free symbol that each of its axes stands for, in order.

        Where a condition has probability zero the value is NaN.
        """
        if expression not in self._known:
            self._known[expression] = self._values(expression)
        return self._known[expression]

    def over(self, expression: Expression, symbols: Sequence[Symbol]) -> Array:
        """The values as an array that broadcasts with one over ``symbols``, which include the free ones."""
        values, axes = self(expression)
        order = sorted(range(len(axes)), key=lambda i: symbols.index(axes[i]))
        kept = {axes[i]: values.shape[i] for i in order}
        return values.transpose(order).reshape([kept.get(symbol, 1) for symbol in symbols])

    def _values(self, expression: Expression) -> tuple[Array, tuple[Symbol, ...]]:
        match expression:
            case One():
                return np.ones(()), ()
            case Zero():
                return np.zeros(()), ()
            case Probability():
                return self._probability(expression)
            case Product(factors):
                axes = _sorted(expression.free)
                return self._product(factors, axes, axes), axes
            case Sum(over, body):
                factors = body.factors if isinstance(body, Product) else (body,)
                idle = [symbol for symbol in over if symbol not in body.free]
                kept = _sorted(expression.free)
                return self._product(factors, _sorted(body.free), kept) * self._count(idle), kept
            case Fraction(numerator, denominator):
                axes = _sorted(expression.free)
                with np.errstate(divide="ignore", invalid="ignore"):
                    return self.over(numerator, axes) / self.over(denominator, axes), axes
        raise TypeError(f"no values of {expression!r}")

    def _product(self, factors: Iterable[Expression], axes: tuple[Symbol, ...], kept: tuple[Symbol, ...]) -> Array:
        """The product of factors, summed over the axes that are not kept.

        Zero times a value that cannot be known is zero: what never happens is not asked about.
        """
        number = {symbol: i for i, symbol in enumerate(axes)}
        places = [[number[symbol] for symbol in self(factor)[1]] for factor in factors]
        arrays = [self(factor)[0] for factor in factors]

        def summed(parts: Iterable[Array]) -> Array:
            operands: list[Any] = [part for pair in zip(parts, places, strict=True) for part in pair]
            return np.asarray(np.einsum(*operands, [number[symbol] for symbol in kept], optimize="greedy"))

        if all(np.isfinite(array).all() for array in arrays):
            return summed(arrays)
        total = summed(np.where(np.isfinite(array), array, 0.0) for array in arrays)
        terms = summed((array != 0.0) * 1.0 for array in arrays)
        known = summed((np.isfinite(array) & (array != 0.0)) * 1.0 for array in arrays)
        return np.where(terms > known, np.nan, total)

    def _count(self, symbols: Sequence[Symbol]) -> int:
        if not symbols:
            return 1
        sizes = self.sizes or dict(zip(self.axis, self.regimes("", frozenset()).shape, strict=True))
        return int(np.prod([sizes[symbol.name] for symbol in symbols], dtype=int))

    def _probability(self, p: Probability) -> tuple[Array, tuple[Symbol, ...]]:
        law = self.regimes(p.domain, frozenset(t.name for t in p.do))
        joint, axes = self._mass(law, p.outcome + p.given + p.do)
        condition, own = self._mass(law, p.given + p.do)
        with np.errstate(divide="ignore", invalid="ignore"):
            return joint / np.expand_dims(condition, [i for i, symbol in enumerate(axes) if symbol not in own]), axes

    def _mass(self, law: Array, events: tuple[Term, ...]) -> tuple[Array, tuple[Symbol, ...]]:
        """The probability of events as an array over their symbols, all other variables summed out."""
        at: dict[str, Term] = {}
        for t in events:
            if t.do or (t.name in at and at[t.name] != t):
                raise QueryError(f"{t.name!r} is in another world, or stands twice: such terms have no table.")
            at[t.name] = t
        fixed = [slice(None)] * law.ndim
        for name, t in at.items():
            if not isinstance(t.value, Symbol):
                fixed[self.axis[name]] = slice(self.place(name, t.value), self.place(name, t.value) + 1)
        gone = tuple(i for name, i in self.axis.items() if name not in at)
        marginal = law[tuple(fixed)].sum(axis=gone, keepdims=True)
        symbols = {t.value: self.axis[name] for name, t in at.items() if isinstance(t.value, Symbol)}
        axes = _sorted(symbols)
        order = [symbols[symbol] for symbol in axes]
        rest = [i for i in range(law.ndim) if i not in order]
        return marginal.transpose(order + rest).reshape([marginal.shape[i] for i in order]), axes


def _sorted(symbols: Iterable[Symbol]) -> tuple[Symbol, ...]:
    return tuple(sorted(symbols, key=lambda symbol: (in_order(symbol.name), symbol.primes)))


def _own_place(name: str, value: Constant) -> int:
    if not isinstance(value, int):
        raise QueryError(f"{name!r} has the value {value!r}, expected the number of a state.")
    return value
