"""The equalities behind an estimand spelt out in do-calculus: each as steps by its rules and the axioms."""

from collections.abc import Sequence
from itertools import pairwise

from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification.deciding.bit_graph import BitGraph, bits
from causal_pyro_models.identification.deciding.equalities import (
    Adjusted,
    Chain,
    Equality,
    Extracted,
    Factored,
    Marginal,
    Moved,
    Observed,
    Ratio,
    Statement,
    summed,
)
from causal_pyro_models.identification.deciding.pruning import Rewriting, pruned
from causal_pyro_models.identification.expressions.expression import Expression, Fraction, Probability, Product, product
from causal_pyro_models.identification.expressions.simplification import simplified, with_primes
from causal_pyro_models.identification.proofs.derivation import AxiomStep, RuleStep, Step, replaced
from causal_pyro_models.identification.proofs.rules import licence

SUMMING = "summing over a variable"
CHAIN = "chain rule"
CONDITIONAL = "definition of conditional probability"
REARRANGED = "sums, products and fractions simplified"


def proof(graph: CausalGraph, g: BitGraph, equality: Equality) -> tuple[Step, ...]:
    """The steps from the statement of an equality to its estimand in textbook form."""
    return _proved(graph, g, equality, shorter=True)


def plain_proof(graph: CausalGraph, g: BitGraph, equality: Equality) -> tuple[Step, ...]:
    """The steps to its estimand simplified by the axioms of probability alone, with all conditions that it has."""
    return _proved(graph, g, equality, shorter=False)


def _proved(graph: CausalGraph, g: BitGraph, equality: Equality, shorter: bool) -> tuple[Step, ...]:
    prover = _Prover(graph, g)
    prover.prove(equality)
    line: Expression = equality.statement.written(g)
    for step in prover.steps:
        line = replaced(line, step.before, step.after)
    estimand = simplified(equality.expression(g))
    rewritings = pruned(g, estimand)[1] if shorter else ()
    if rewritings or with_primes(line) != estimand:
        prover.axiom(REARRANGED, line, estimand)
    for rewriting in rewritings:
        prover.rewrite(rewriting)
    return tuple(prover.steps)


class _Prover:
    """Collects steps. Each proof turns the statement of an equality, wherever it stands, into its expression."""

    def __init__(self, graph: CausalGraph, g: BitGraph) -> None:
        self.graph = graph
        self.g = g
        self.steps: list[Step] = []

    def axiom(self, name: str, before: Expression, after: Expression) -> None:
        """A step by an axiom of probability, if it changes anything."""
        if before != after:
            self.steps.append(AxiomStep(before, after, name))

    def rules(self, statements: Sequence[Statement]) -> None:
        """Steps by rules of do-calculus through a list of statements, equal neighbours left out."""
        for one, other in pairwise(statements):
            if one != other:
                before, after = one.written(self.g), other.written(self.g)
                self.steps.append(RuleStep(before, after, *licence(self.graph, before, after)))

    def rewrite(self, rewriting: Rewriting) -> None:
        """A step that makes an estimand shorter."""
        before, after = rewriting.before, rewriting.after
        if rewriting.by_rule and isinstance(before, Probability) and isinstance(after, Probability):
            self.steps.append(RuleStep(before, after, *licence(self.graph, before, after)))
        else:
            self.axiom(REARRANGED, before, after)

    def prove(self, equality: Equality) -> None:
        """The steps of an equality."""
        match equality:
            case Observed():
                pass
            case Moved(statement, rest):
                self.rules([statement, rest.statement])
                self.prove(rest)
            case Adjusted():
                self._adjusted(equality)
            case Ratio(statement, joint):
                whole = joint.statement.written(self.g)
                fraction = Fraction(whole, summed(self.g, statement.y, whole))
                self.axiom(CONDITIONAL, statement.written(self.g), fraction)
                self.prove(joint)
            case Factored():
                self._factored(equality)
            case Chain():
                self._chain(equality)
            case Marginal(statement, whole):
                s = Statement(statement.y, whole.statement.x)
                self.rules([statement, s])
                self._sum_out(s, whole.statement.y & ~s.y)
                self.prove(whole)
            case Extracted():
                self._extracted(equality)

    def _sum_out(self, s: Statement, w: int) -> None:
        """P(y | do(x), z) as a sum over w."""
        whole = Statement(s.y | w, s.x, s.z).written(self.g)
        self.axiom(SUMMING, s.written(self.g), summed(self.g, w, whole))

    def _adjusted(self, equality: Adjusted) -> None:
        s, w = equality.statement, equality.w
        self._sum_out(s, w)
        outcome, covariates = Statement(s.y, s.x, s.z | w), Statement(w, s.x, s.z)
        self.axiom(CHAIN, Statement(s.y | w, s.x, s.z).written(self.g), self._product([outcome, covariates]))
        self.rules([outcome, Statement(s.y, 0, s.x | s.z | w)])
        self.rules([covariates, Statement(w, 0, s.z)])

    def _product(self, statements: Sequence[Statement]) -> Expression:
        return product(s.written(self.g) for s in statements)

    def _factored(self, equality: Factored) -> None:
        """Rules 2 and 3 take the factors of the chain rule to the districts they belong to."""
        s, d = equality.statement, equality.d
        self._sum_out(s, d & ~s.y)
        whole = Statement(d, s.x)
        if len(equality.parts) == 1:
            self.rules([whole, equality.parts[0].statement])
        else:
            order = tuple(bits(d))
            groups = [[_given(v, order, s.x) for v in bits(part.statement.y)] for part in equality.parts]
            # each district's factors stay together, as a product within the product
            self.axiom(CHAIN, whole.written(self.g), Product(tuple(map(self._product, groups))))
            for part in equality.parts:
                self._to_district(part.statement, order, s.x)
        for part in equality.parts:
            self.prove(part)

    def _to_district(self, c: Statement, order: Sequence[int], x: int) -> None:
        """From the factors P(v | do(x), all before v) for v in c to Q[c]."""
        for v in bits(c.y):
            self.rules(_into_district(v, order, x, c))
        self.axiom(CHAIN, self._product([_given(v, order, c.x, c.y) for v in bits(c.y)]), c.written(self.g))

    def _chain(self, equality: Chain) -> None:
        """Q[t] for a district: later actions are deleted, earlier ones observed, and the pillow is enough."""
        t, x = equality.statement.y, equality.statement.x
        factors = [Statement(1 << v, x, t & _below(v)) for v, _ in equality.pillows]
        self.axiom(CHAIN, equality.statement.written(self.g), self._product(factors))
        for factor, (v, pillow) in zip(factors, equality.pillows, strict=True):
            earlier = x & _below(v)
            path = [factor, Statement(factor.y, earlier, factor.z), Statement(factor.y, 0, earlier | factor.z)]
            self.rules([*path, Statement(factor.y, 0, pillow)])

    def _extracted(self, equality: Extracted) -> None:
        """Q[c] from Q[a]: the factors of the chain rule are those of Q[a], which are ratios of its sums."""
        c, whole = equality.statement, equality.whole.statement
        members = [v for v in equality.order if c.y >> v & 1]
        self.axiom(CHAIN, c.written(self.g), self._product([_given(v, equality.order, c.x, c.y) for v in members]))
        for v in members:
            self.rules(_into_district(v, equality.order, whole.x, c)[::-1])
        factors = self._product([_given(v, equality.order, whole.x) for v in members])
        self.axiom(CONDITIONAL, factors, equality.ratios(self.g, whole.written(self.g)))
        self.prove(equality.whole)


def _below(v: int) -> int:
    return (1 << v) - 1


def _given(v: int, order: Sequence[int], x: int, among: int = -1) -> Statement:
    """P(v | do(x), those before v in the order that are among some)."""
    before = 0
    for u in order[: order.index(v)]:
        before |= 1 << u
    return Statement(1 << v, x, before & among)


def _into_district(v: int, order: Sequence[int], x: int, c: Statement) -> list[Statement]:
    """From P(v | do(x), all before v) to P(v | do(parents of c), those before v in c)."""
    start = _given(v, order, x)
    inside = start.z & c.y
    acted = x | start.z & ~c.y
    return [start, *(Statement(start.y, do, inside) for do in (acted, acted | c.x, c.x))]
