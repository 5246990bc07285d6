"""Textbook form: an expression rewritten by the axioms of probability alone, whatever the causal graph.

Variables that nothing else needs are summed out (``sum_w P(y, w | x)`` becomes ``P(y | x)``), chains are joined
(``P(y | x, z) P(x | z)`` becomes ``P(x, y | z)``), fractions are cancelled (``P(x, y) / P(x)`` becomes ``P(y | x)``), a
sum reaches no further than it must, factors and terms stand in the usual order, and a bound symbol that looks like a
free one gets a prime.
"""

from collections.abc import Iterable, Iterator, Mapping

from causal_pyro_models.identification.expressions.expression import (
    ONE,
    Expression,
    Fraction,
    Probability,
    Product,
    Sum,
    Symbol,
    Term,
    in_order,
    product,
    total,
    unused,
)


def simplified(expression: Expression) -> Expression:
    """An equal expression in textbook form; simplifying it once more changes nothing.

    Equal means for all distributions in which no condition has probability zero.

    Example:
        >>> from causal_pyro_models.identification import parse
        >>> print(simplified(parse("sum_{w, z} P(w, y | x, z) P(x, z) / P(x)")))
        P(y | x)
    """
    while (simpler := with_primes(_normal(expression))) != expression:
        expression = simpler
    return expression


def _normal(expression: Expression) -> Expression:
    """The textbook form, but for the names of bound symbols."""
    match expression:
        case Probability():
            return ordered(expression)
        case Sum(over, body):
            return _sum(frozenset(over), *_factors(_normal(body)))
        case Product() | Fraction():
            above, below = _factors(expression)  # of fractions within as well, so that all can cancel
            return _quotient(*_factors(Fraction(product(map(_normal, above)), product(map(_normal, below)))))
        case _:
            return expression


def _factors(expression: Expression) -> tuple[list[Expression], list[Expression]]:
    """The factors above and below the bar, fractions within factors resolved."""
    match expression:
        case Product(factors):
            sides = [_factors(factor) for factor in factors]
            return [f for above, _ in sides for f in above], [f for _, below in sides for f in below]
        case Fraction(numerator, denominator):
            above, below = _factors(numerator), _factors(denominator)
            return above[0] + below[1], above[1] + below[0]
        case _:
            return ([] if expression == ONE else [expression]), []


# Products and fractions -----------------------------------------------------------------------------------------------


def _quotient(above: Iterable[Expression], below: Iterable[Expression]) -> Expression:
    """The factors above the bar over those below it, cancelled, joined and in order."""
    numerator, denominator = _cancelled(joined(above), joined(below))
    upper, lower = _arranged(numerator), _arranged(denominator)
    return upper if lower == ONE else Fraction(upper, lower)


def joined(factors: Iterable[Expression]) -> list[Expression]:
    """The factors with chains joined: P(a | b, c) P(b | c) = P(a, b | c)."""
    rest = list(factors)
    while True:
        heads = {_condition(f): f for f in rest if isinstance(f, Probability) and f.given}
        pairs = ((heads.get(_whole(f)), f) for f in rest if isinstance(f, Probability))
        head, tail = next(((a, b) for a, b in pairs if a is not None), (None, None))
        if head is None or tail is None:
            return rest
        rest.remove(head)
        rest.remove(tail)
        rest.append(ordered(Probability(head.outcome + tail.outcome, tail.given, tail.do, tail.domain)))


def _condition(p: Probability) -> tuple[frozenset[Term], frozenset[Term], str]:
    return frozenset(p.given), frozenset(p.do), p.domain


def _whole(p: Probability) -> tuple[frozenset[Term], frozenset[Term], str]:
    return frozenset(p.outcome + p.given), frozenset(p.do), p.domain


def _cancelled(above: list[Expression], below: list[Expression]) -> tuple[list[Expression], list[Expression]]:
    """The factors without those on both sides, and with P(a, b | c) / P(b | c) = P(a | b, c)."""
    numerator, denominator = list(above), []
    for factor in below:
        if factor in numerator:
            numerator.remove(factor)
        elif (wider := next((f for f in numerator if _is_part(factor, f)), None)) is not None:
            numerator.remove(wider)
            numerator.append(_divided(wider, factor))
            numerator = joined(numerator)
        elif (around := next((f for f in numerator if isinstance(f, Sum) and _divides(factor, f)), None)) is not None:
            numerator.remove(around)
            numerator += _factors(_normal(Sum(around.over, Fraction(around.body, factor))))[0]
        else:
            denominator.append(factor)
    return numerator, denominator


def _is_part(small: Expression, big: Expression) -> bool:
    """Whether the first is a marginal of the second, both probabilities."""
    if not isinstance(small, Probability) or not isinstance(big, Probability) or _condition(small) != _condition(big):
        return False
    return set(small.outcome) < set(big.outcome)


def _divides(factor: Expression, within: Sum) -> bool:
    """Whether a sum of products of probabilities has one of which the factor is a marginal."""
    above, below = _factors(within.body)
    return not below and factor.free.isdisjoint(within.over) and any(_is_part(factor, f) for f in above)


def _divided(big: Expression, small: Expression) -> Probability:
    """P(a, b | c) / P(b | c)."""
    assert isinstance(big, Probability) and isinstance(small, Probability)
    outcome = tuple(t for t in big.outcome if t not in small.outcome)
    return ordered(Probability(outcome, small.outcome + big.given, big.do, big.domain))


# Sums -----------------------------------------------------------------------------------------------------------------


def _sum(over: frozenset[Symbol], above: list[Expression], below: list[Expression]) -> Expression:
    """The sum of a quotient, split into independent sums that reach no further than they must."""
    if not below and len(above) == 1 and isinstance(above[0], Sum) and over.isdisjoint(above[0].over):
        inner = above[0]
        return _sum(over.union(inner.over), *_factors(inner.body))
    left, above = _summed_out(over, joined(above), below)
    outside = (left.isdisjoint(factor.free) for factor in above)
    result = [factor for factor, out in zip(above, outside, strict=True) if out]
    for symbols, upper, lower in _components(left, above, below):
        again = not lower and len(upper) == 1 and isinstance(upper[0], Sum)
        result.append(_sum(symbols, upper, []) if again else total(symbols, _quotient(upper, lower)))
    return _quotient(result, [factor for factor in below if left.isdisjoint(factor.free)])


def _summed_out(
    over: frozenset[Symbol], above: list[Expression], below: list[Expression]
) -> tuple[frozenset[Symbol], list[Expression]]:
    """What is left to sum over, and the factors above, once every symbol that one factor alone has is summed there."""
    left, rest = set(over), above
    again = True
    while again:
        again = False
        for symbol in sorted(left):
            having = [f for f in rest if symbol in f.free]
            if len(having) != 1 or any(symbol in f.free for f in below):
                continue
            marginal = _marginal(symbol, having[0])
            if marginal is not None:
                rest = joined([f for f in rest if f is not having[0]] + _factors(marginal)[0])
                left.remove(symbol)
                again = True
    return frozenset(left), rest


def _marginal(symbol: Symbol, factor: Expression) -> Expression | None:
    """The sum of a factor over a symbol, where it is shorter than the factor or stands within another sum."""
    if isinstance(factor, Sum):
        inner = _sum(frozenset((symbol, *factor.over)), *_factors(factor.body))
        return None if isinstance(inner, Fraction) else inner
    if not isinstance(factor, Probability):
        return None
    holders = [t for t in factor.terms for held in t.symbols() if held == symbol]
    if len(holders) != 1 or holders[0].value != symbol or holders[0] not in factor.outcome:
        return None  # it stands elsewhere too: in a condition, an action, a world
    outcome = tuple(t for t in factor.outcome if t != holders[0])
    return Probability(outcome, factor.given, factor.do, factor.domain) if outcome else ONE


def _components(
    over: frozenset[Symbol], above: list[Expression], below: list[Expression]
) -> Iterator[tuple[frozenset[Symbol], list[Expression], list[Expression]]]:
    """The symbols in groups that no factor connects, each with the factors that have one of them."""
    groups: list[frozenset[Symbol]] = [frozenset((symbol,)) for symbol in over]
    for factor in above + below:
        touched = [g for g in groups if not g.isdisjoint(factor.free)]
        if len(touched) > 1:
            groups = [g for g in groups if g not in touched] + [frozenset().union(*touched)]
    for g in groups:
        yield g, [f for f in above if not g.isdisjoint(f.free)], [f for f in below if not g.isdisjoint(f.free)]


# Order ----------------------------------------------------------------------------------------------------------------


def _key(t: Term) -> tuple[object, ...]:
    return in_order(t.name), str(t.value), t.do


def ordered(p: Probability) -> Probability:
    """The probability with its terms in the order of their names."""
    outcome, given, do = (tuple(sorted(g, key=_key)) if len(g) > 1 else g for g in (p.outcome, p.given, p.do))
    return Probability(outcome, given, do, p.domain)


def _arranged(factors: list[Expression]) -> Expression:
    """The product, in order: P(y | x, z) before P(z), on which it depends; probabilities before fractions and sums."""
    left = sorted(
        (f for f in factors if isinstance(f, Probability)), key=lambda p: [in_order(t.name) for t in p.outcome]
    )
    others = sorted(
        (f for f in factors if not isinstance(f, Probability)), key=lambda f: (isinstance(f, Sum), f.text())
    )
    found: list[Expression] = []
    while left:
        following = (p for p in left if not any(p is not q and not set(p.outcome).isdisjoint(q.given) for q in left))
        chosen = next(following, left[0])
        left.remove(chosen)
        found.append(chosen)
    return product(found + others)


def with_primes(expression: Expression) -> Expression:
    """The same expression, where each bound symbol has as few primes as keep it apart from all that it may meet."""
    return _renamed(expression, {}, expression.free)


def _renamed(expression: Expression, names: Mapping[Symbol, Symbol], taken: frozenset[Symbol]) -> Expression:
    match expression:
        case Probability():
            return expression.substitute(names)
        case Sum(over, body):
            inner = dict(names)
            for symbol in over:
                inner[symbol] = unused(symbol, taken)
                taken |= {inner[symbol]}
            return total((inner[symbol] for symbol in over), _renamed(body, inner, taken))
        case _:
            return expression.rebuilt(tuple(_renamed(part, names, taken) for part in expression.parts))
