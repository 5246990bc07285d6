"""What is known where units come into the data by selection: biased distributions, unbiased ones, and both together."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

from causal_pyro_models.errors import DerivationError, NotIdentifiableError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification.deciding.bit_graph import BitGraph, bits
from causal_pyro_models.identification.deciding.equalities import Equality, Statement, summed
from causal_pyro_models.identification.deciding.equality_proof import proof
from causal_pyro_models.identification.deciding.hedge import hedge_found
from causal_pyro_models.identification.deciding.interventional import HedgeFound, conditional_effect, extracted
from causal_pyro_models.identification.deciding.pruning import pruned
from causal_pyro_models.identification.deciding.sources import Source
from causal_pyro_models.identification.expressions.expression import (
    ONE,
    Expression,
    Fraction,
    Probability,
    Symbol,
    Term,
    product,
    terms,
    total,
)
from causal_pyro_models.identification.expressions.simplification import simplified
from causal_pyro_models.identification.proofs.derivation import (
    TOLERANCE,
    AxiomStep,
    RuleStep,
    Step,
    largest_gap,
    opened,
    replaced,
)
from causal_pyro_models.identification.proofs.rules import Separation, licence


@dataclass(frozen=True)
class RecoveryStep(Step):
    """A step by a theorem on selection.

    Args:
        theorem: its name.
        separations: what it needs of the graph.
    """

    theorem: str
    separations: tuple[Separation, ...] = ()

    @property
    def reason(self) -> str:
        """The theorem and the separations."""
        return f"{self.theorem}: {'; '.join(map(str, self.separations))}" if self.separations else self.theorem

    def check(self, graph: CausalGraph, seed: int) -> None:
        """Raise DerivationError unless the graph has the separations and both sides agree in random models of it."""
        from causal_pyro_models.identification.laws.random_laws import random_laws

        for separation in self.separations:
            if separation.graph != graph or not separation.holds:
                raise DerivationError(f"{self.before} = {self.after}: the graph does not have {separation}.")
        before, after = opened([self.before, self.after])
        for draw in range(2):
            gap = largest_gap(before, after, random_laws(graph, seed + draw), graph.variables)
            if not gap < TOLERANCE:
                raise DerivationError(f"{self.before} = {self.after}: in a random model they are apart by {gap:.3g}.")


@dataclass(frozen=True)
class Unbiased(Source):
    """P(t): the distribution of some variables for all units.

    Args:
        measured: these variables.
    """

    measured: frozenset[str] = frozenset()

    @cached_property
    def seen(self) -> CausalGraph:
        """The graph with all other variables hidden."""
        return self.graph.latent_projection(self.measured)

    def shares(self, variables: Collection[str]) -> bool:
        """Whether the variables and their parents are measured."""
        return self.measured.issuperset(variables) and all(
            self.measured.issuperset(self.graph.parents(v)) for v in variables
        )


@dataclass(frozen=True)
class Biased(Source):
    """P(v | S=1): all variables of the selected units.

    Args:
        selection: the name of S.
    """

    selection: str = ""

    def shares(self, variables: Collection[str]) -> bool:
        """Whether they are seen, as all but S are."""
        return self.selection not in variables

    def kernel(self, outcome: Collection[str], treatment: Collection[str], given: Collection[str] = ()) -> Expression:
        """P(outcome | do(treatment), given), in terms of the biased distribution.

        Raises:
            NotIdentifiableError: the algorithm does not recover it.
        """
        return self._labelled(self._of_selected(outcome, treatment, given))

    def _of_selected(self, outcome: Collection[str], treatment: Collection[str], given: Collection[str]) -> Expression:
        if given:
            joint = self._of_selected({*outcome, *given}, treatment, ())
            return Fraction(joint, total(map(Symbol, outcome), joint))
        g = BitGraph(self.graph)
        y, x, s = (g.mask(names) for names in (outcome, treatment, [self.selection]))
        d = g.ancestors(y, g.all & ~x)
        try:
            parts = [_recovered(g, c, s).expression(g) for c in g.districts(d)]
        except HedgeFound as found:
            found.statement = Statement(y, x)
            hedge = hedge_found(self.graph, g, found)
            raise NotIdentifiableError(str(hedge), hedge) from None
        return summed(g, d & ~y, product(parts))

    def proof(
        self, outcome: Collection[str], treatment: Collection[str], given: Collection[str] = ()
    ) -> tuple[Step, ...]:
        """One step, by the theorem on algorithm RC."""
        before = Probability(terms(outcome), terms(given), terms(treatment))
        return (
            RecoveryStep(before, self.kernel(outcome, treatment, given), "algorithm RC (Bareinboim and Tian 2015)"),
        )


@dataclass(frozen=True)
class Reweighed(Source):
    """P(v) = P(v without t | t, S=1) P(t), where selection depends on the others by variables t that are measured.

    Args:
        measured: the variables whose distribution is known for all units.
        selection: the name of S.

    References:
        Bareinboim, Tian and Pearl (2014), Recovering from selection bias in causal and statistical inference, theorem
        2; King and Zeng (2001), Logistic regression in rare events data (case-control data with a known prevalence).
    """

    measured: frozenset[str] = frozenset()
    selection: str = ""

    def shares(self, variables: Collection[str]) -> bool:
        """Whether they are seen, as all but S are."""
        return self.selection not in variables

    def kernel(self, outcome: Collection[str], treatment: Collection[str], given: Collection[str] = ()) -> Expression:
        """P(outcome | do(treatment), given), in terms of the biased and the unbiased distribution.

        Raises:
            NotIdentifiableError: no part of the variables has a distribution that is recovered and determines it.
        """
        _, g, equality = self._identified(outcome, treatment, given)
        expression, _ = pruned(g, simplified(equality.expression(g)))
        for part in _probabilities(expression):
            through: Expression = part
            for step in self._through(part):
                through = replaced(through, step.before, step.after)
            expression = replaced(expression, part, through)
        return self._labelled(simplified(expression))

    def proof(
        self, outcome: Collection[str], treatment: Collection[str], given: Collection[str] = ()
    ) -> tuple[Step, ...]:
        """The steps to :meth:`kernel`: do-calculus down to P(v), then a sum over t, and rule 1 for S."""
        seen, g, equality = self._identified(outcome, treatment, given)
        steps: list[Step] = list(proof(seen, g, equality))
        expression, _ = pruned(g, simplified(equality.expression(g)))
        steps += [step for part in _probabilities(expression) for step in self._through(part)]
        return tuple(map(self._labelled_step, steps))

    def _identified(
        self, outcome: Collection[str], treatment: Collection[str], given: Collection[str]
    ) -> tuple[CausalGraph, BitGraph, Equality]:
        """How the distribution of some variables that is recovered determines the kernel."""
        failure: NotIdentifiableError | None = None
        for known in self._recoverable({*outcome, *treatment, *given}, outcome):
            seen = self.graph.latent_projection(known)
            g = BitGraph(seen)
            y, x, z = (g.mask(names) for names in (outcome, treatment, given))
            try:
                return seen, g, conditional_effect(g, y, x, z)
            except HedgeFound as found:
                hedge = hedge_found(seen, g, found)
                failure = failure or NotIdentifiableError(str(hedge), hedge)
        names = ", ".join(sorted({*outcome, *treatment, *given}))
        raise failure or NotIdentifiableError(f"the joint distribution of {names} is not recovered", None)

    def _recoverable(self, needed: set[str], outcome: Collection[str]) -> Iterator[frozenset[str]]:
        """Sets of variables around those needed, as large as can be, whose joint distribution is recovered."""
        if self.weights(frozenset(needed)) is None:
            return
        above = [v for v in reversed(self.graph.topological_order) if v in self.graph.ancestors(outcome)]
        others = [v for v in self.graph.variables if v != self.selection]
        found: list[frozenset[str]] = []
        for order in (
            above + others,
            sorted(others, key=lambda v: v not in self.measured),
            sorted(others, key=lambda v: v in self.measured),
        ):
            known = frozenset(needed)
            for v in order:
                if v not in known and self.weights(known | {v}) is not None:
                    known |= {v}
            if known not in found:
                found.append(known)
                yield known

    def weights(self, names: frozenset[str]) -> frozenset[str] | None:
        """The measured t with P(names, t) = P(the others | t, S=1) P(t), few of them; None where there are none.

        If any separate the unmeasured names from S, so do all that are measured among the ancestors of these, of S and
        of the measured names (van der Zander et al. 2014, proposition 1, and weak union).
        """
        unmeasured = names - self.measured
        if not unmeasured:
            return names
        t = self.graph.ancestors({self.selection, *names}) & self.measured
        if not self.graph.m_separated(unmeasured, self.selection, t):
            return None
        for v in sorted(t):
            if self.graph.m_separated(names - (t - {v}), self.selection, t - {v}):
                t -= {v}
        return t

    def _through(self, part: Probability) -> list[Step]:
        """The steps from a part of P(v) to the two distributions."""
        names = frozenset(t.name for t in part.terms)
        if names <= self.measured:
            return []
        one = Term(self.selection, 1)
        outcome, given = ({t.name for t in side} for side in (part.outcome, part.given))
        if self.graph.m_separated(outcome, self.selection, given):
            after = Probability(part.outcome, (one, *part.given))
            return [RuleStep(part, after, *licence(self.graph, part, after))]
        if stratified := self._stratified(part, outcome, given):
            return stratified
        apart, joints = self._apart(part)
        steps: list[Step] = [] if apart == part else [AxiomStep(part, apart, "summing over what selection depends on")]
        for joint in dict.fromkeys(joints):
            after = Probability(joint.outcome, (one, *joint.given))
            steps.append(RuleStep(joint, after, *licence(self.graph, joint, after)))
        return steps

    def _stratified(self, part: Probability, outcome: set[str], given: set[str]) -> list[Step]:
        """The steps to the sum over t of P(a | b, t, S=1) P(t | b), where the last is known; none where it is not."""
        t = self.graph.ancestors({self.selection, *outcome, *given}) & (self.measured - outcome - given)
        if not self.graph.m_separated(outcome, self.selection, t | given):
            return []
        for v in sorted(t):
            if self.graph.m_separated(outcome, self.selection, (t - {v}) | given):
                t -= {v}
        inner = Probability(part.outcome, (*part.given, *terms(t)))
        weight, known = Probability(terms(t), part.given), Probability(terms(t))
        rules = [(inner, Probability(part.outcome, (Term(self.selection, 1), *inner.given)))]
        if not given <= self.measured:
            if not self.graph.m_separated(t, given):
                return []
            rules.append((weight, known))
        summed_up = total(map(Symbol, t), product([inner, weight]))
        steps: list[Step] = [AxiomStep(part, summed_up, "summing over what selection depends on")]
        return steps + [RuleStep(a, b, *licence(self.graph, a, b)) for a, b in rules]

    def _apart(self, part: Probability) -> tuple[Expression, list[Probability]]:
        """P(a | b) as a ratio of sums over t, and the parts of them that selection makes no difference to."""
        joints: list[Probability] = []

        def margin(events: tuple[Term, ...]) -> Expression:
            names = frozenset(t.name for t in events)
            t = self.weights(names)
            assert t is not None, "names whose joint distribution is recovered"
            behind = tuple(e for e in events if e.name in t) + terms(t - names)
            ahead = tuple(e for e in events if e.name not in t)
            factors: list[Expression] = [Probability(behind)] if behind else []
            if ahead:
                joints.append(Probability(ahead, behind))
                factors = [joints[-1], *factors]
            return total((Symbol(v) for v in t - names), product(factors))

        whole = margin(part.outcome + part.given)
        return (Fraction(whole, margin(part.given)) if part.given else whole), joints


def _probabilities(expression: Expression) -> list[Probability]:
    return list(dict.fromkeys(part for part in expression.walk() if isinstance(part, Probability)))


@dataclass(frozen=True)
class Recovered(Equality):
    """Q[d], found from the selected units.

    Args:
        found: the expression.
    """

    found: Expression

    def expression(self, g: BitGraph) -> Expression:
        """The expression."""
        return self.found


@dataclass(frozen=True)
class Weights:
    """A multiple of Q[within] at S=1, as far as the factors divided out are known.

    Args:
        g: the graph.
        s: the mask of S.
        within: the variables it is about, S left out.
        found: an expression of it; None for P(within | S=1) itself.
    """

    g: BitGraph
    s: int
    within: int
    found: Expression | None = None

    def margin(self, mask: int) -> "Weights":
        """Summed over the variables outside ``mask``."""
        return Weights(self.g, self.s, mask, self.found and self.of(mask))

    def of(self, mask: int) -> Expression:
        """The margin as an expression."""
        if self.found:
            return summed(self.g, self.within & ~mask, self.found)
        return Probability(terms(self.g.named(mask)), self._selected) if mask else ONE

    @property
    def _selected(self) -> tuple[Term, ...]:
        return (Term(self.g.named(self.s)[0], 1),)

    def district(self, d: int) -> Expression:
        """Q[d], for a district d without ancestors of S."""
        return product(self._conditional(v, self.within & ((1 << v) - 1)) for v in bits(d))

    def _conditional(self, v: int, earlier: int) -> Expression:
        """P(v | earlier, S=1), in which neither S nor a later ancestor of it makes a difference."""
        one = 1 << v
        if self.found:
            return Fraction(self.of(earlier | one), self.of(earlier))
        district = self.g.district(one, earlier | one)
        pillow = (district | self.g.parents_of(district)) & ~one
        return Probability(terms(self.g.named(one)), self._selected + terms(self.g.named(pillow)))

    def without(self, districts: list[int]) -> "Weights":
        """The factors of some districts divided out."""
        known = product(self.district(d) for d in districts)
        rest = self.within & ~sum(districts)
        return Weights(self.g, self.s, rest, Fraction(self.of(self.within), known))


def _recovered(g: BitGraph, c: int, s: int) -> Equality:
    """How Q[c] is recovered from P(v | S=1), for a district c of an effect.

    At every step ``weights`` stand for a multiple of Q[within] at S=1. A district of that without ancestors of S comes
    after S in some order, so the multiple cancels in its conditional probabilities; it is divided out, which may leave
    fewer ancestors of S among the rest.

    References:
        Bareinboim and Tian (2015), Recovering causal effects from selection bias, algorithm RC.
    """
    weights = Weights(g, s, g.all & ~s)
    while True:
        within = g.ancestors(c | s, weights.within | s)
        weights = weights.margin(within & ~s)
        before = g.ancestors(s, within)
        districts = [d for d in g.districts(within) if not d & before]
        for d in districts:
            if d & c:
                whole = Recovered(Statement(d, g.parents_of(d)), weights.district(d))
                return whole if d == c else extracted(g, c, whole)
        if not districts:
            names = ", ".join(g.named(c))
            raise NotIdentifiableError(f"what selection takes into account cannot be told from {names}", g.named(c))
        weights = weights.without(districts)
