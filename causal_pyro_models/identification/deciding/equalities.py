"""How a query is reduced to the observed distribution: a tree of equalities, one kind for each argument.

Every equality is about one probability P(y | do(x), z), with sets of variables as masks (see :class:`BitGraph`), and
has an expression in the observed distribution on its other side. :mod:`.equality_proof` spells out why it holds, in
do-calculus.

Within expressions the value of a variable X is written x throughout, and sums shadow what is outside them; primes come
when the estimand is finished.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from causal_pyro_models.identification.deciding.bit_graph import BitGraph, bits
from causal_pyro_models.identification.expressions.expression import (
    ONE,
    Expression,
    Fraction,
    Probability,
    Symbol,
    product,
    terms,
    total,
)
from causal_pyro_models.identification.expressions.simplification import simplified


@dataclass(frozen=True)
class Statement:
    """P(y | do(x), z) as masks."""

    y: int
    x: int = 0
    z: int = 0

    def written(self, g: BitGraph) -> Probability:
        """The statement as an expression."""
        return Probability(terms(g.named(self.y)), terms(g.named(self.z)), terms(g.named(self.x)))


def summed(g: BitGraph, over: int, body: Expression) -> Expression:
    """The sum over the values of some variables."""
    return total((Symbol(name) for name in g.named(over)), body)


@dataclass(frozen=True)
class Equality:
    """That a probability equals an expression in the observed distribution.

    Args:
        statement: the probability.
    """

    statement: Statement

    def expression(self, g: BitGraph) -> Expression:
        """The other side, in the observed distribution."""
        raise NotImplementedError


@dataclass(frozen=True)
class Observed(Equality):
    """P(y | z): nothing to do."""

    def expression(self, g: BitGraph) -> Expression:
        """The probability itself."""
        return self.statement.written(g)


@dataclass(frozen=True)
class Moved(Equality):
    """One rule of do-calculus, which leads to another statement."""

    rest: Equality

    def expression(self, g: BitGraph) -> Expression:
        """That of the other statement."""
        return self.rest.expression(g)


@dataclass(frozen=True)
class Adjusted(Equality):
    """The sum over w of P(y | x, z, w) P(w | z): the back-door criterion."""

    w: int

    def expression(self, g: BitGraph) -> Expression:
        """The adjustment formula."""
        y, x, z = self.statement.y, self.statement.x, self.statement.z
        factors = (Statement(y, z=x | z | self.w), Statement(self.w, z=z))
        return summed(g, self.w, product(factor.written(g) for factor in factors))


@dataclass(frozen=True)
class Ratio(Equality):
    """P(y, z | do(x)) over its sum over y (line 4 of IDC)."""

    joint: Equality

    def expression(self, g: BitGraph) -> Expression:
        """The ratio."""
        joint = simplified(self.joint.expression(g))
        return Fraction(joint, summed(g, self.statement.y, joint))


@dataclass(frozen=True)
class Factored(Equality):
    """The sum over d without y of the product of Q[c] for the districts c of d = An(y) without x (line 4 of ID)."""

    d: int
    parts: tuple[Equality, ...]

    def expression(self, g: BitGraph) -> Expression:
        """The sum of the product."""
        body = product(part.expression(g) for part in self.parts)
        return summed(g, self.d & ~self.statement.y, body)


@dataclass(frozen=True)
class Chain(Equality):
    """Q[t] for a district t of the graph: the product of P(v | the pillow of v) over v in t (line 6 of ID).

    Args:
        pillows: each v of t with the part of its predecessors that it depends on: the rest of its district among
            them, and the parents of that.
    """

    pillows: tuple[tuple[int, int], ...]

    def expression(self, g: BitGraph) -> Expression:
        """The product."""
        return product(Statement(1 << v, z=pillow).written(g) for v, pillow in self.pillows)


@dataclass(frozen=True)
class Marginal(Equality):
    """Q[a] as a sum of Q[t], where a holds its own ancestors within t (line 2 of ID)."""

    whole: Equality

    def expression(self, g: BitGraph) -> Expression:
        """The sum."""
        return summed(g, self.whole.statement.y & ~self.statement.y, self.whole.expression(g))


@dataclass(frozen=True)
class Extracted(Equality):
    """Q[c] from Q[a], where c is a district of a: ratios of sums of Q[a] (line 7 of ID; Tian's lemma 4).

    Args:
        whole: Q[a].
        order: a topological order of the subgraph over a.
    """

    whole: Equality
    order: tuple[int, ...]

    def expression(self, g: BitGraph) -> Expression:
        """The product of ratios, one for each run of members of c in the order."""
        return self.ratios(g, simplified(self.whole.expression(g)))

    def ratios(self, g: BitGraph, whole: Expression) -> Expression:
        """The product of ratios for an expression of Q[a]."""
        factors = []
        for start, stop in self.runs():
            above = summed(g, self.from_place(stop), whole)
            factors.append(above if start == 0 else Fraction(above, summed(g, self.from_place(start), whole)))
        return product(factors) if factors else ONE

    def runs(self) -> Iterator[tuple[int, int]]:
        """The stretches (first place, place after the last) of the order that lie in c."""
        start = None
        for place, v in enumerate((*self.order, None)):
            inside = v is not None and bool(self.statement.y >> v & 1)
            if inside and start is None:
                start = place
            elif not inside and start is not None:
                yield start, place
                start = None

    def from_place(self, place: int) -> int:
        """The variables of the order from a place on."""
        found = 0
        for v in self.order[place:]:
            found |= 1 << v
        return found


def contiguous_order(g: BitGraph, a: int, c: int) -> tuple[int, ...]:
    """A topological order of the subgraph over ``a`` in which ``c`` lies in as few runs as can be."""
    orders = (_alternating(g, a, sides) for sides in ((c, a & ~c), (a & ~c, c)))
    return min(orders, key=lambda order: sum((c >> u & 1) != (c >> v & 1) for u, v in pairwise(order)))


def _alternating(g: BitGraph, a: int, sides: tuple[int, int]) -> tuple[int, ...]:
    """All that can come from one side, then all that can from the other, and so on."""
    left, order, turn = a, [], 0
    while left:
        for v in bits(left & sides[turn]):
            if not g.parents[v] & left:
                order.append(v)
                left ^= 1 << v
        turn = 1 - turn
    return tuple(order)
