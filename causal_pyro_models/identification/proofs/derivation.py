"""Derivations: an estimand proved line by line, each step by a rule of do-calculus or an axiom of probability."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from causal_pyro_models.errors import DerivationError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification.expressions.expression import (
    Expression,
    Probability,
    Symbol,
    Term,
    Value,
    unused,
)
from causal_pyro_models.identification.expressions.notation import Constant
from causal_pyro_models.identification.expressions.simplification import with_primes
from causal_pyro_models.identification.proofs.rules import Separation, licence
from causal_pyro_models.validation import checked_count

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Step:
    """That two expressions are equal, for all values of their free symbols; one line becomes the next by it.

    Args:
        before: what the line before has somewhere.
        after: what the line after has there.

    Example:
        >>> from causal_pyro_models.identification import identify
        >>> graph = CausalGraph.from_edges([("X", "M"), ("M", "Y")])
        >>> for step in identify(graph, "P(Y | do(X))").derivation:
        ...     print(f"{step.before} = {step.after}, {step.reason}")
        P(y | do(x)) = P(y | x), rule 2: (Y _||_ X) in the graph without the edges out of X
    """

    before: Expression
    after: Expression

    @property
    def reason(self) -> str:
        """Why they are equal."""
        raise NotImplementedError

    @property
    def latex_reason(self) -> str:
        """Why they are equal, as LaTeX."""
        return rf"\text{{{self.reason}}}"

    def check(self, graph: CausalGraph, seed: int) -> None:
        """Raise DerivationError unless the step is right in the graph."""
        raise NotImplementedError


@dataclass(frozen=True)
class RuleStep(Step):
    """A step by a rule of do-calculus.

    Args:
        rule: 1, 2 or 3.
        separation: what the rule needs, and the graph in which it needs it.

    Example:
        >>> from causal_pyro_models.identification import parse
        >>> graph = CausalGraph.from_edges([("X", "Y")])
        >>> needed = Separation(graph, ("X",), ("Y",), over=("Y",))
        >>> step = RuleStep(parse("P(x | do(y))"), parse("P(x)"), 3, needed)
        >>> step.check(graph, seed=0)  # X and Y are separated without the edges into Y
        >>> step.reason
        'rule 3: (X _||_ Y) in the graph without the edges into Y'
    """

    rule: int
    separation: Separation

    @property
    def reason(self) -> str:
        """The rule and the separation."""
        return f"rule {self.rule}: {self.separation}"

    @property
    def latex_reason(self) -> str:
        """The rule and the separation, as LaTeX."""
        return rf"\text{{rule {self.rule}: }} {self.separation.latex()}"

    def check(self, graph: CausalGraph, seed: int) -> None:
        """Raise DerivationError unless the rule allows the step in the graph."""
        if self.separation.graph != graph:
            raise DerivationError(f"{self.before} = {self.after}: {self.separation.graph!r} is another graph.")
        if not isinstance(self.before, Probability) or not isinstance(self.after, Probability):
            raise DerivationError(f"rule {self.rule} is about probabilities, not about {self.before} and {self.after}.")
        found = licence(self.separation.graph, self.before, self.after)
        if found != (self.rule, self.separation):
            raise DerivationError(
                f"{self.before} = {self.after} needs rule {found[0]} and {found[1]}, not {self.reason}."
            )
        if not self.separation.holds:
            raise DerivationError(f"{self.before} = {self.after}: the graph does not have {self.separation}.")


@dataclass(frozen=True)
class AxiomStep(Step):
    """A step by an axiom of probability, which holds whatever the graph.

    Args:
        axiom: its name.

    Example:
        >>> from causal_pyro_models.identification import parse
        >>> step = AxiomStep(parse("P(x, y)"), parse("P(y | x) P(x)"), "chain rule")
        >>> step.check(CausalGraph(["X", "Y"], []), seed=0)
        >>> AxiomStep(parse("P(x, y)"), parse("P(x) P(y)"), "chain rule").check(CausalGraph(["X", "Y"], []), seed=0)
        Traceback (most recent call last):
        ...
        causal_pyro_models.errors.DerivationError: P(x, y) = P(x) P(y) is no identity: they are apart by 0.104.
    """

    axiom: str

    @property
    def reason(self) -> str:
        """The name of the axiom."""
        return f"probability axiom: {self.axiom}"

    def check(self, graph: CausalGraph, seed: int) -> None:
        """Raise DerivationError unless both sides agree at random distributions that know of no graph.

        Both sides are ratios of polynomials in the probabilities, so that where they agree at random points they are
        equal with probability one (the lemma of Schwartz and Zippel).
        """
        from causal_pyro_models.identification.laws.random_laws import unrestricted

        before, after = opened([self.before, self.after])
        names = sorted(before.names | after.names)
        for draw in range(2):
            gap = largest_gap(before, after, unrestricted(names, seed + draw), names)
            if not gap < TOLERANCE:
                raise DerivationError(f"{self.before} = {self.after} is no identity: they are apart by {gap:.3g}.")


@dataclass(frozen=True)
class Derivation:
    """A chain of equalities from a query to its estimand.

    Args:
        graph: the causal graph.
        start: the first line.
        steps: what leads from each line to the next.
        values: values that the query gives to symbols, which the lines show.

    Example:
        >>> from causal_pyro_models.identification import identify
        >>> graph = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
        >>> print(identify(graph, "P(Y | do(X))").derivation)
            P(y | do(x))
          = sum_z P(y, z | do(x))
              probability axiom: summing over a variable
          = sum_z P(y | do(x), z) P(z | do(x))
              probability axiom: chain rule
          = sum_z P(y | x, z) P(z | do(x))
              rule 2: (Y _||_ X | Z) in the graph without the edges out of X
          = sum_z P(y | x, z) P(z)
              rule 3: (Z _||_ X) in the graph without the edges into X
    """

    graph: CausalGraph
    start: Expression
    steps: tuple[Step, ...]
    values: Mapping[Symbol, Value]

    @cached_property
    def open_lines(self) -> tuple[Expression, ...]:
        """The lines with the values left open.

        Raises:
            DerivationError: a step that is about nothing in its line.
        """
        lines = [self.start]
        for step in self.steps:
            following = replaced(lines[-1], step.before, step.after)
            if following == lines[-1]:
                raise DerivationError(f"the line {lines[-1]} has no {step.before}, so it cannot become {step.after}.")
            lines.append(following)
        return tuple(lines)

    @cached_property
    def lines(self) -> tuple[Expression, ...]:
        """The lines, from the query to the estimand."""
        return tuple(with_primes(line.substitute(self.values)) for line in self.open_lines)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def text(self) -> str:
        """The derivation as text: each line, and below it why it equals the one before."""
        parts = [f"    {self.lines[0]}"]
        for line, step in zip(self.lines[1:], self.steps, strict=True):
            parts += [f"  = {line}", f"      {step.reason}"]
        return "\n".join(parts)

    def latex(self) -> str:
        """The derivation as LaTeX, an ``align*`` environment."""
        rows = [f"& {self.lines[0].latex(self.graph.variables)}"]
        for line, step in zip(self.lines[1:], self.steps, strict=True):
            rows.append(f"={{}}& {line.latex(self.graph.variables)} && {step.latex_reason}")
        body = " \\\\\n".join(rows)
        return f"\\begin{{align*}}\n{body}\n\\end{{align*}}"

    def _repr_latex_(self) -> str:
        return self.latex()

    def __str__(self) -> str:
        return self.text()


def verify(derivation: Derivation, *, models: int = 0, seed: int = 0) -> None:
    """Check every step of a derivation once more, and every line on random models if asked to.

    A step by a rule is checked against the graph: that the rule says what the step does, and that the separation holds.
    A step by an axiom is checked at random distributions that obey no graph. Then each line must follow from the one
    before.

    Args:
        derivation: what to check.
        models: random discrete models of the graph in which every line is evaluated as well, and must equal the first
            (of those without counterfactuals).
        seed: of the random distributions and models.

    Raises:
        DerivationError: a step that is wrong, which the message shows.
        QueryError: a graph too large for random models.

    Example:
        >>> from dataclasses import replace
        >>> from causal_pyro_models.identification import identify
        >>> graph = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
        >>> derivation = identify(graph, "P(Y | do(X))").derivation
        >>> verify(derivation, models=3)
        >>> verify(replace(derivation, graph=CausalGraph(["Z", "X", "Y"], [])))
        Traceback (most recent call last):
        ...
        causal_pyro_models.errors.DerivationError: ...CausalGraph(Z -> X, Z -> Y, X -> Y) is another graph.
    """
    if not isinstance(derivation, Derivation):
        raise DerivationError(f"expected a Derivation, got {type(derivation).__name__}. Pass estimand.derivation.")
    checked_count(models, "models", least=0)
    for step in derivation.steps:
        step.check(derivation.graph, seed)
    lines = opened([line for line in derivation.open_lines if not _has_worlds(line)])
    if models:
        from causal_pyro_models.identification.laws.random_laws import random_laws

        for draw in range(models):
            laws = random_laws(derivation.graph, seed + draw)
            for line in lines[1:]:
                gap = largest_gap(lines[0], line, laws, derivation.graph.variables)
                if not gap < TOLERANCE:
                    raise DerivationError(f"in a random model {lines[0]} and {line} are apart by {gap:.3g}.")


def replaced(expression: Expression, before: Expression, after: Expression) -> Expression:
    """The expression with one part replaced, wherever it stands."""
    if expression == before:
        return after
    parts = tuple(replaced(part, before, after) for part in expression.parts)
    return expression if parts == expression.parts else expression.rebuilt(parts)


def _has_worlds(expression: Expression) -> bool:
    return any(t.do for part in expression.walk() if isinstance(part, Probability) for t in part.terms)


def opened(expressions: Sequence[Expression]) -> list[Expression]:
    """The expressions with a symbol for every given value: what holds of the symbols holds of all values."""
    taken = frozenset[Symbol]().union(*(e.free for e in expressions))
    symbols: dict[tuple[str, Constant], Symbol] = {}

    def symbol(t: Term) -> Term:
        if isinstance(t.value, Symbol):
            return t
        key = (t.name, t.value)
        if key not in symbols:
            symbols[key] = unused(Symbol(t.name), {*taken, *symbols.values()})
        return Term(t.name, symbols[key], t.do)

    def walk(e: Expression) -> Expression:
        if isinstance(e, Probability):
            outcome, given, do = (tuple(map(symbol, group)) for group in (e.outcome, e.given, e.do))
            return Probability(outcome, given, do, e.domain)
        return e.rebuilt(tuple(map(walk, e.parts)))

    return [walk(e) for e in expressions]


def largest_gap(one: Expression, other: Expression, laws: object, names: object) -> float:
    """How far the two are apart, at the values of their symbols where it is most."""
    import numpy as np

    from causal_pyro_models.identification.laws.tabulation import Tabulator

    tabulate = Tabulator(names, laws)  # type: ignore[arg-type]
    symbols = sorted(one.free | other.free)
    return float(np.max(np.abs(tabulate.over(one, symbols) - tabulate.over(other, symbols))))
