"""Shorter estimands by the independences of the graph: irrelevant variables are summed out, idle conditions dropped.

:mod:`.simplification` knows the axioms of probability only. Here rule 1 of do-calculus, for the observed distribution,
adds conditions that make two factors a chain (``sum_m P(n | m) P(m | x)`` is ``sum_m P(n | m, x) P(m | x)``, hence
``P(n | x)``), and takes away conditions that tell nothing.

References:
    Tikka and Karvanen (2017), Simplifying probabilistic expressions in causal inference.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from causal_pyro_models.identification.deciding.bit_graph import BitGraph
from causal_pyro_models.identification.expressions.expression import (
    Expression,
    Probability,
    Product,
    Sum,
    Symbol,
    Term,
    product,
)
from causal_pyro_models.identification.expressions.simplification import ordered, simplified
from causal_pyro_models.identification.proofs.derivation import replaced


@dataclass(frozen=True)
class Rewriting:
    """That a part of an expression may be replaced.

    Args:
        before: the part.
        after: what equals it.
        by_rule: whether by rule 1, rather than by an axiom of probability.
    """

    before: Expression
    after: Expression
    by_rule: bool


def pruned(g: BitGraph, expression: Expression) -> tuple[Expression, list[Rewriting]]:
    """A shorter expression that the observed distribution of every model of the graph makes equal, and the way there.

    Args:
        g: the causal graph.
        expression: in the observed distribution, in textbook form.
    """
    steps: list[Rewriting] = []
    while True:
        found = _first_shorter(g, expression)
        if found is None:
            return expression, steps
        expression = found[-1].after
        steps += found


def _first_shorter(g: BitGraph, expression: Expression) -> list[Rewriting] | None:
    """Rewritings, the last of them of the whole expression, that make it shorter."""
    size = _size(expression)
    for proposal in _proposals(g, expression):
        line = expression
        for step in proposal:
            line = replaced(line, step.before, step.after)
        shorter = simplified(line)
        if _size(shorter) < size:
            return [*proposal, Rewriting(line, shorter, by_rule=False)]
    return None


def _size(expression: Expression) -> tuple[int, int]:
    """How many symbols are summed over, and how many terms there are."""
    parts = list(expression.walk())
    summed = sum(len(part.over) for part in parts if isinstance(part, Sum))
    return summed, sum(len(part.terms) for part in parts if isinstance(part, Probability))


def _proposals(g: BitGraph, expression: Expression) -> Iterator[list[Rewriting]]:
    """Rewritings that the graph allows and that may help."""
    parts = list(expression.walk())
    for part in parts:
        if isinstance(part, Sum):
            for symbol in part.over:
                yield from _joining(g, symbol, part.body)
    for p in dict.fromkeys(part for part in parts if isinstance(part, Probability)):
        for t in p.given:
            fewer = Probability(p.outcome, tuple(other for other in p.given if other != t))
            if _independent(g, p.outcome, [t], fewer.given):
                yield [Rewriting(p, fewer, by_rule=True)]


def _joining(g: BitGraph, symbol: Symbol, body: Expression) -> Iterator[list[Rewriting]]:
    """Where a symbol is in P(a | v, c) and P(v, b | d) only: conditions added to both so that they make a chain."""
    having = [f for f in (body.factors if isinstance(body, Product) else (body,)) if symbol in f.free]
    if len(having) != 2:
        return
    for upper, lower in (having, having[::-1]):
        if not isinstance(upper, Probability) or not isinstance(lower, Probability):
            return
        v = Term(symbol.name, symbol)
        if v not in upper.given or v not in lower.outcome:
            continue
        rest = tuple(t for t in lower.outcome if t != v)
        own = rest + lower.given
        shared = tuple(dict.fromkeys([t for t in upper.given if t != v] + list(own)))
        if len({t.name for t in shared}) < len(shared) or not {t.name for t in shared}.isdisjoint(
            _names(upper.outcome)
        ):
            continue
        added, new = _without(shared, upper.given), _without(shared, own)
        if _independent(g, upper.outcome, added, upper.given) and _independent(g, (v,), new, own):
            yield list(_chained(upper, lower, v, rest, shared))


def _chained(
    upper: Probability, lower: Probability, v: Term, rest: tuple[Term, ...], shared: tuple[Term, ...]
) -> Iterator[Rewriting]:
    """The rewritings to P(a | v, shared) P(v | shared) P(rest | ...)."""
    head = ordered(Probability((v,), rest + lower.given))
    if rest:
        yield Rewriting(lower, product((head, Probability(rest, lower.given))), by_rule=False)
    for before, after in ((upper, Probability(upper.outcome, (v, *shared))), (head, Probability((v,), shared))):
        if before != ordered(after):
            yield Rewriting(before, ordered(after), by_rule=True)


def _without(terms: Iterable[Term], others: Iterable[Term]) -> list[Term]:
    left = set(others)
    return [t for t in terms if t not in left]


def _names(terms: Iterable[Term]) -> set[str]:
    return {t.name for t in terms}


def _independent(g: BitGraph, xs: Iterable[Term], ys: Iterable[Term], given: Iterable[Term]) -> bool:
    """Whether the graph m-separates the variables of some terms, none of them twice."""
    x, y, z = (g.mask(_names(group)) for group in (xs, ys, given))
    return not (x & y or x & z or y & z) and g.separated(x, y, z)
