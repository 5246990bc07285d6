"""Derivations of counterfactual, surrogate and transported queries: down to single worlds, then each by do-calculus."""

from collections.abc import Sequence
from dataclasses import dataclass

from causal_pyro_models.errors import DerivationError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification.deciding.equality_proof import REARRANGED
from causal_pyro_models.identification.deciding.reduction import Kernel, reduce
from causal_pyro_models.identification.deciding.sources import EveryExperiment, Source
from causal_pyro_models.identification.expressions.expression import Expression, Probability, Symbol, Value, terms
from causal_pyro_models.identification.expressions.query import Query
from causal_pyro_models.identification.proofs.derivation import (
    TOLERANCE,
    AxiomStep,
    Derivation,
    RuleStep,
    Step,
    largest_gap,
    opened,
    verify,
)
from causal_pyro_models.identification.proofs.rules import licence


def reduction_proof(
    graph: CausalGraph, query: Query, sources: Sequence[Source], target: str, estimand: Expression
) -> Derivation:
    """The derivation of what :func:`identify_from` finds.

    Args:
        graph: the causal graph.
        query: what was asked.
        sources: the distributions at hand.
        target: the label of the population asked about.
        estimand: what was found.
    """
    reduction = reduce(graph, query, sources)
    start = Probability(query.outcome, query.conditions, query.treatment, target)
    steps: list[Step] = []
    line = reduction.expression(lambda kernel: kernel.statement(target).substitute(kernel.values))
    if line != start:
        steps.append(WorldsStep(start, line, query))
    for kernel in reduction.kernels():
        lemma = _lemma(graph, kernel, target)
        step = LemmaStep.of(lemma, kernel)
        if step.before != step.after and step not in steps:
            steps.append(step)
    derivation = Derivation(graph, start, tuple(steps), {})
    if derivation.open_lines[-1] != estimand:
        steps.append(AxiomStep(derivation.open_lines[-1], estimand, REARRANGED))
    return Derivation(graph, start, tuple(steps), {})


def _lemma(graph: CausalGraph, kernel: Kernel, target: str) -> Derivation:
    """How the source tells a kernel: the population may change, the experiment is put in, and rules follow."""
    source, start = kernel.source, kernel.statement(target)
    steps: list[Step] = []
    here = kernel.statement(source.domain)
    if source.domain != target:
        steps.append(SharedStep(start, here, tuple(sorted(source.changed))))
    under = Probability(here.outcome, here.given, terms(kernel.settings | source.experiment), source.domain)
    if under != here:
        steps.append(RuleStep(here, under, *licence(graph, here, under)))
    steps += source.proof(kernel.outcome, kernel.settings, kernel.given)
    return Derivation(graph, start, tuple(steps), {})


@dataclass(frozen=True)
class WorldsStep(Step):
    """From a query to probabilities that each live in one world.

    Args:
        query: the query.
    """

    query: Query

    @property
    def reason(self) -> str:
        """The theorem."""
        return "counterfactual graph: districts are independent, each in one world"

    def check(self, graph: CausalGraph, seed: int) -> None:
        """Raise DerivationError unless the counterfactual graph, built anew, gives the same in random models."""
        from causal_pyro_models.identification.laws.random_laws import random_laws

        anew = reduce(graph, self.query, [EveryExperiment(graph)]).expression(Kernel.estimand)
        found, known = opened([self.after, anew])
        for draw in range(2):
            gap = largest_gap(found, known, random_laws(graph, seed + draw), graph.variables)
            if not gap < TOLERANCE:
                raise DerivationError(f"{self.before} = {self.after}: in a random model they are apart by {gap:.3g}.")


@dataclass(frozen=True)
class SharedStep(Step):
    """From one population to another that does not differ in what the probability is about.

    Args:
        changed: the variables whose mechanism may differ between the two.

    References:
        Pearl and Bareinboim (2011), Transportability of causal and statistical relations, theorem 2 (S-admissibility).
    """

    changed: tuple[str, ...]

    @property
    def reason(self) -> str:
        """The separation from the S-nodes."""
        nodes = ", ".join(self.changed)
        return f"S-nodes at {nodes} are separated from the outcome" if nodes else "the populations do not differ"

    def check(self, graph: CausalGraph, seed: int) -> None:
        """Raise DerivationError unless the selection diagram has the separation."""
        before, after = self.before, self.after
        if not isinstance(before, Probability) or not isinstance(after, Probability):
            raise DerivationError(f"populations share probabilities, not {before} and {after}.")
        if (before.outcome, before.given, before.do) != (after.outcome, after.given, after.do):
            raise DerivationError(f"{before} and {after} differ in more than their population.")
        nodes = {v: f"S at {v}" for v in self.changed}
        diagram = CausalGraph(
            [*graph.variables, *nodes.values()],
            [*graph.edges, *((node, v) for v, node in nodes.items())],
            graph.bidirected,
        )
        y, z, x = ([t.name for t in group] for group in (before.outcome, before.given, before.do))
        if not diagram.do(x).m_separated(y, nodes.values(), [*x, *z]):
            raise DerivationError(f"{before} = {after}: the populations differ at {', '.join(self.changed)}.")


@dataclass(frozen=True)
class LemmaStep(Step):
    """A step with a derivation of its own, which holds for all values and is used at some.

    Args:
        lemma: the derivation.
        values: the values it is used at.
    """

    lemma: Derivation
    values: tuple[tuple[Symbol, Value], ...]

    @classmethod
    def of(cls, lemma: Derivation, kernel: Kernel) -> "LemmaStep":
        """The step that a kernel makes of its lemma."""
        before, after = (line.substitute(kernel.values) for line in (lemma.open_lines[0], lemma.open_lines[-1]))
        return cls(before, after, lemma, tuple(kernel.values.items()))

    @property
    def reason(self) -> str:
        """The reasons of the lemma, one after another."""
        return "; ".join(step.reason for step in self.lemma)

    @property
    def latex_reason(self) -> str:
        """The reasons of the lemma, as LaTeX."""
        return r";\ ".join(step.latex_reason for step in self.lemma)

    def check(self, graph: CausalGraph, seed: int) -> None:
        """Raise DerivationError unless the lemma is right and says what the step does."""
        if self.lemma.graph != graph:
            raise DerivationError(f"{self.before} = {self.after} rests on a proof in another graph.")
        verify(self.lemma, seed=seed)
        lines = self.lemma.open_lines
        ends = tuple(line.substitute(dict(self.values)) for line in (lines[0], lines[-1]))
        if ends != (self.before, self.after):
            raise DerivationError(f"{self.before} = {self.after} is not what its proof shows, {ends[0]} = {ends[1]}.")
