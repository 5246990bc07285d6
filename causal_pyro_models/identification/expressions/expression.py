"""Expressions of probabilities: what estimands and the lines of derivations are made of.

An expression is a tree of :class:`Probability`, :class:`Sum`, :class:`Product`, :class:`Fraction` and ``ONE``. It is a
number once each of its free symbols has a value. All nodes are immutable and hashable.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

from causal_pyro_models.identification.expressions.notation import Constant, Latex, Text


class Symbol(NamedTuple):
    """A value of a variable that is left open: ``Symbol("X")`` is x, ``Symbol("X", 1)`` is x'.

    Example:
        >>> Probability((Term("Y", 1),), (Term("X", Symbol("X", 1)),)).text()
        "P(Y=1 | x')"
    """

    name: str
    primes: int = 0


Value = Symbol | Constant


class Term(NamedTuple):
    """The event that a variable has a value, in the actual world or under an intervention.

    ``Term("X", Symbol("X"))`` is x, ``Term("X", 1)`` is X=1, and ``Term("Y", Symbol("Y"), (Term("X", 1),))`` is y under
    do(X=1). Within ``do``, a term with a world of its own stands for a nested counterfactual: in Y_{X=1, M_{X=0}} the
    second term has M at the value that it takes under do(X=0). See :func:`term` for a shorter way to write terms.

    Example:
        >>> nested = Term("M", Symbol("M"), (Term("X", 0),))
        >>> Probability((Term("Y", 1, (Term("X", 1), nested)),)).text()
        'P(Y_{X=1, m_{X=0}}=1)'
    """

    name: str
    value: Value
    do: tuple["Term", ...] = ()

    def symbols(self) -> Iterator[Symbol]:
        """The open values in the term, those of its world included; a nested counterfactual has a value of its own."""
        if isinstance(self.value, Symbol):
            yield self.value
        for action in self.do:
            yield from Term(action.name, 0, action.do).symbols() if action.do else action.symbols()

    def names(self) -> Iterator[str]:
        """The variables in the term, those of its world included."""
        yield self.name
        for action in self.do:
            yield from action.names()

    def substitute(self, values: Mapping[Symbol, Value]) -> "Term":
        """The term with values for some of its symbols."""
        value = values.get(self.value, self.value) if isinstance(self.value, Symbol) else self.value
        world = (
            action.substitute(values)._replace(value=action.value) if action.do else action.substitute(values)
            for action in self.do
        )
        return Term(self.name, value, tuple(world))

    def render(self, notation: Text) -> str:
        """The term in a notation."""
        world = [action.render(notation) for action in self.do]
        if isinstance(self.value, Symbol):
            symbol = notation.symbol(*self.value)
            return notation.world(symbol, world) if world else symbol
        name = notation.name(self.name)
        return notation.equation(notation.world(name, world) if world else name, notation.constant(self.value))


def term(name: str, value: Value | None = None, do: Iterable[Term] = ()) -> Term:
    """A term, with the open value of the variable where no value is given.

    Example:
        >>> Probability((term("Y", do=[term("X", 1)]),), (term("X", 0),)).text()
        'P(y_{X=1} | X=0)'
    """
    return Term(name, Symbol(name) if value is None else value, tuple(do))


def terms(names: Iterable[str]) -> tuple[Term, ...]:
    """A term with an open value for each name, in the order of :func:`in_order`."""
    return tuple(Term(name, Symbol(name)) for name in sorted(names, key=in_order))


_PARTS = re.compile(r"(\d+)")


@cache
def in_order(name: str) -> tuple[str | tuple[int, str], ...]:
    """A key that sorts names as readers do: Z2 before Z10."""
    return tuple((int(part), part) if part.isdigit() else part for part in _PARTS.split(name))


class Expression:
    """Base of all expressions.

    Example:
        >>> adjusted = Sum((Symbol("Z"),), product([Probability(terms("Y"), terms("XZ")), Probability(terms("Z"))]))
        >>> print(adjusted)
        sum_z P(y | x, z) P(z)
        >>> sorted(adjusted.names), adjusted.free == {Symbol("X"), Symbol("Y")}
        (['X', 'Y', 'Z'], True)
        >>> print(adjusted.substitute({Symbol("X"): 1}))
        sum_z P(y | X=1, z) P(z)
    """

    def text(self) -> str:
        """The expression as text; :func:`parse` reads it back."""
        return self.render(self.notation())

    def notation(self) -> Text:
        """That of its text, which tells its names apart."""
        plain: dict[str, set[str]] = {}
        for name in self.names:
            plain.setdefault(name.lower(), set()).add(name)
        return Text(frozenset(name for alike in plain.values() if len(alike) > 1 for name in alike))

    def latex(self, names: Iterable[str] = ()) -> str:
        """The expression as LaTeX, without the dollar signs, told apart from some other names as well."""
        return self.render(Latex.among(self.names.union(names)))

    def _repr_latex_(self) -> str:
        return f"${self.latex()}$"

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text()})"

    def render(self, notation: Text) -> str:
        """The expression in a notation."""
        raise NotImplementedError

    @cached_property
    def free(self) -> frozenset[Symbol]:
        """The symbols that need a value before the expression is a number."""
        raise NotImplementedError

    @cached_property
    def names(self) -> frozenset[str]:
        """The variables that the expression mentions."""
        raise NotImplementedError

    @property
    def parts(self) -> tuple["Expression", ...]:
        """The expressions that this one is made of."""
        return ()

    def rebuilt(self, parts: tuple["Expression", ...]) -> "Expression":
        """The same kind of expression made of other parts."""
        return self

    def walk(self) -> Iterator["Expression"]:
        """This expression and all inside it, from the outside in."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def substitute(self, values: Mapping[Symbol, Value]) -> "Expression":
        """The expression with values, or other symbols, for some of its free symbols.

        Bound symbols that would catch a new one get a prime.
        """
        return self.rebuilt(tuple(part.substitute(values) for part in self.parts))


@dataclass(frozen=True, repr=False)
class One(Expression):
    """The number one."""

    def render(self, notation: Text) -> str:
        """The expression in a notation."""
        return "1"

    @cached_property
    def free(self) -> frozenset[Symbol]:
        """No symbols."""
        return frozenset()

    @cached_property
    def names(self) -> frozenset[str]:
        """No variables."""
        return frozenset()


ONE = One()


@dataclass(frozen=True, repr=False)
class Zero(Expression):
    """The number zero: the probability of an event that cannot be."""

    def render(self, notation: Text) -> str:
        """The expression in a notation."""
        return "0"

    @cached_property
    def free(self) -> frozenset[Symbol]:
        """No symbols."""
        return frozenset()

    @cached_property
    def names(self) -> frozenset[str]:
        """No variables."""
        return frozenset()


ZERO = Zero()


@dataclass(frozen=True, repr=False)
class Probability(Expression):
    """P(outcome | do(do), given), in a domain.

    Args:
        outcome: the events whose probability it is, at least one.
        given: the events that are conditioned on.
        do: the variables that are set, as terms without a world.
        domain: the label of a population, for transport; "" for the one at hand.

    Example:
        >>> Probability(terms("Y"), terms("Z"), do=terms("X")).text()
        'P(y | do(x), z)'
    """

    outcome: tuple[Term, ...]
    given: tuple[Term, ...] = ()
    do: tuple[Term, ...] = ()
    domain: str = ""

    def render(self, notation: Text) -> str:
        """The expression in a notation."""
        outcome, do, given = ([t.render(notation) for t in group] for group in (self.outcome, self.do, self.given))
        return notation.probability(self.domain, outcome, do, given)

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """All terms: outcome, given and do."""
        return self.outcome + self.given + self.do

    @cached_property
    def free(self) -> frozenset[Symbol]:
        """The symbols of all terms."""
        return frozenset(symbol for t in self.terms for symbol in t.symbols())

    @cached_property
    def names(self) -> frozenset[str]:
        """The variables of all terms."""
        return frozenset(name for t in self.terms for name in t.names())

    def substitute(self, values: Mapping[Symbol, Value]) -> "Probability":
        """The probability with values, or other symbols, for some of its symbols."""
        if self.free.isdisjoint(values):
            return self
        outcome, given, do = (tuple(t.substitute(values) for t in g) for g in (self.outcome, self.given, self.do))
        return Probability(outcome, given, do, self.domain)


@dataclass(frozen=True, repr=False)
class Sum(Expression):
    """The sum of ``body`` over all values of the symbols ``over``, at least one, which are bound in it.

    Example:
        >>> z = Symbol("Z")
        >>> Sum((z,), Product((Probability(terms("Y"), terms("XZ")), Probability(terms("Z"))))).text()
        'sum_z P(y | x, z) P(z)'
    """

    over: tuple[Symbol, ...]
    body: Expression

    def render(self, notation: Text) -> str:
        """The expression in a notation."""
        return notation.sum([notation.symbol(*symbol) for symbol in self.over], self.body.render(notation))

    @cached_property
    def free(self) -> frozenset[Symbol]:
        """The free symbols of the body that are not summed over."""
        return self.body.free.difference(self.over)

    @cached_property
    def names(self) -> frozenset[str]:
        """The variables of the body."""
        return self.body.names.union(symbol.name for symbol in self.over)

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The body."""
        return (self.body,)

    def rebuilt(self, parts: tuple[Expression, ...]) -> "Sum":
        """A sum over the same symbols of another body."""
        return Sum(self.over, parts[0])

    def substitute(self, values: Mapping[Symbol, Value]) -> "Sum":
        """The sum with values for some of its free symbols; bound symbols that would catch one get a prime."""
        inner = {symbol: value for symbol, value in values.items() if symbol in self.free}
        if not inner:
            return self
        arriving = {value for value in inner.values() if isinstance(value, Symbol)}
        over: list[Symbol] = []
        for symbol in self.over:
            taken = arriving.union(self.body.free, self.over, over) - {symbol}
            fresh = unused(symbol, taken | {symbol}) if symbol in arriving else symbol
            if fresh != symbol:
                inner[symbol] = fresh
            over.append(fresh)
        return Sum(tuple(over), self.body.substitute(inner))


@dataclass(frozen=True, repr=False)
class Product(Expression):
    """The product of two or more factors; :func:`product` makes one of any number.

    Example:
        >>> Product((Probability(terms("Y"), terms("X")), Probability(terms("X")))).latex()
        'P(y \\\\mid x) \\\\, P(x)'
    """

    factors: tuple[Expression, ...]

    def render(self, notation: Text) -> str:
        """The expression in a notation: a sum reaches to the end, so one before the end stands in parentheses."""
        last = len(self.factors) - 1
        written = []
        for i, factor in enumerate(self.factors):
            keep = isinstance(factor, Probability | One | Zero) or (isinstance(factor, Sum) and i == last)
            written.append(factor.render(notation) if keep else notation.group(factor.render(notation)))
        return notation.product(written)

    @cached_property
    def free(self) -> frozenset[Symbol]:
        """The free symbols of all factors."""
        return frozenset().union(*(factor.free for factor in self.factors))

    @cached_property
    def names(self) -> frozenset[str]:
        """The variables of all factors."""
        return frozenset().union(*(factor.names for factor in self.factors))

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The factors."""
        return self.factors

    def rebuilt(self, parts: tuple[Expression, ...]) -> "Product":
        """A product of other factors."""
        return Product(parts)


@dataclass(frozen=True, repr=False)
class Fraction(Expression):
    """One expression divided by another.

    Example:
        >>> Fraction(Probability(terms("XY")), Probability(terms("X"))).text()
        'P(x, y) / P(x)'
    """

    numerator: Expression
    denominator: Expression

    def render(self, notation: Text) -> str:
        """The expression in a notation."""
        parts = (
            part.render(notation) if isinstance(part, Probability | One | Zero) else notation.bar(part.render(notation))
            for part in self.parts
        )
        return notation.fraction(*parts)

    @cached_property
    def free(self) -> frozenset[Symbol]:
        """The free symbols of both parts."""
        return self.numerator.free | self.denominator.free

    @cached_property
    def names(self) -> frozenset[str]:
        """The variables of both parts."""
        return self.numerator.names | self.denominator.names

    @property
    def parts(self) -> tuple[Expression, ...]:
        """Numerator and denominator."""
        return self.numerator, self.denominator

    def rebuilt(self, parts: tuple[Expression, ...]) -> "Fraction":
        """A fraction of other parts."""
        return Fraction(*parts)


def product(factors: Iterable[Expression]) -> Expression:
    """The product of any number of factors: products inside are opened, and ones are left out."""
    flat: list[Expression] = []
    for factor in factors:
        flat += factor.factors if isinstance(factor, Product) else [factor]
    flat = [factor for factor in flat if factor != ONE]
    return Product(tuple(flat)) if len(flat) > 1 else flat[0] if flat else ONE


def total(over: Iterable[Symbol], body: Expression) -> Expression:
    """The sum of ``body`` over the symbols, which may be none."""
    symbols = tuple(sorted(over, key=lambda symbol: (in_order(symbol.name), symbol.primes)))
    return Sum(symbols, body) if symbols else body


def unused(symbol: Symbol, taken: Iterable[Symbol]) -> Symbol:
    """The symbol of the same variable with the fewest primes that is not taken."""
    others = {other.primes for other in taken if other.name == symbol.name}
    return Symbol(symbol.name, next(k for k in range(len(others) + 1) if k not in others))
