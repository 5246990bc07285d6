"""Sources: the distributions that are available, of the population asked about or of others, seen or by experiment."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from causal_pyro_models.errors import NotIdentifiableError, QueryError, unknown_variable
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.graph.validation import Names
from causal_pyro_models.identification.deciding.bit_graph import BitGraph
from causal_pyro_models.identification.deciding.equalities import Equality
from causal_pyro_models.identification.deciding.equality_proof import proof
from causal_pyro_models.identification.deciding.hedge import hedge_found
from causal_pyro_models.identification.deciding.interventional import HedgeFound, conditional_effect
from causal_pyro_models.identification.deciding.pruning import pruned
from causal_pyro_models.identification.expressions.expression import Expression, Probability, terms
from causal_pyro_models.identification.expressions.simplification import simplified
from causal_pyro_models.identification.proofs.derivation import AxiomStep, RuleStep, Step
from causal_pyro_models.identification.proofs.rules import licence


@dataclass(frozen=True)
class Source:
    """A distribution that is available: P(v | do(experiment)) over all other variables, in a domain.

    Args:
        graph: the causal graph of all domains.
        experiment: the variables that are set in it, to every one of their values; none where it is only seen.
        domain: the label of the population; "" for the one at hand.
        changed: the variables whose mechanism may differ there from the population that is asked about, which a
            selection diagram marks with an S-node.
    """

    graph: CausalGraph
    experiment: frozenset[str] = frozenset()
    domain: str = ""
    changed: frozenset[str] = frozenset()

    @cached_property
    def seen(self) -> CausalGraph:
        """The graph over the variables that are seen, not set."""
        return self.graph.subgraph(set(self.graph.variables) - self.experiment)

    def shares(self, variables: Collection[str]) -> bool:
        """Whether these variables have the mechanisms here that they have in the population asked about."""
        return self.changed.isdisjoint(variables) and self.experiment.isdisjoint(variables)

    def kernel(self, outcome: Collection[str], treatment: Collection[str], given: Collection[str] = ()) -> Expression:
        """P(outcome | do(treatment), given) in terms of this distribution.

        Raises:
            NotIdentifiableError: this distribution does not determine it.
        """
        g, equality = self._equality(outcome, treatment, given)
        return self._labelled(pruned(g, simplified(equality.expression(g)))[0])

    def proof(
        self, outcome: Collection[str], treatment: Collection[str], given: Collection[str] = ()
    ) -> tuple[Step, ...]:
        """The steps to :meth:`kernel` from the same probability under the experiment as well, in the domain."""
        g, equality = self._equality(outcome, treatment, given)
        return tuple(map(self._labelled_step, proof(self.seen, g, equality)))

    def _equality(
        self, outcome: Collection[str], treatment: Collection[str], given: Collection[str]
    ) -> tuple[BitGraph, Equality]:
        g = BitGraph(self.seen)
        y, x, z = (g.mask(names) for names in (outcome, set(treatment) - self.experiment, given))
        try:
            return g, conditional_effect(g, y, x, z)
        except HedgeFound as found:
            hedge = hedge_found(self.seen, g, found)
            raise NotIdentifiableError(str(hedge), hedge) from None

    def _labelled(self, expression: Expression) -> Expression:
        """An expression of the variables that are seen, as one of the experiment in the domain."""
        if isinstance(expression, Probability):
            do = terms({*self.experiment, *(t.name for t in expression.do)})
            return Probability(expression.outcome, expression.given, do, self.domain)
        return expression.rebuilt(tuple(map(self._labelled, expression.parts)))

    def _labelled_step(self, step: Step) -> Step:
        before, after = self._labelled(step.before), self._labelled(step.after)
        if isinstance(step, AxiomStep):
            return AxiomStep(before, after, step.axiom)
        assert isinstance(before, Probability) and isinstance(after, Probability)
        return RuleStep(before, after, *licence(self.graph, before, after))


@dataclass(frozen=True)
class EveryExperiment(Source):
    """All experiments of a domain at once, P(v | do(z)) for every set of variables Z."""

    def kernel(self, outcome: Collection[str], treatment: Collection[str], given: Collection[str] = ()) -> Expression:
        """P(outcome | do(treatment), given), by the experiment itself."""
        return Probability(terms(outcome), terms(given), terms(treatment), self.domain)

    def proof(
        self, outcome: Collection[str], treatment: Collection[str], given: Collection[str] = ()
    ) -> tuple[Step, ...]:
        """No steps."""
        return ()


class _Every:
    """See :data:`EVERY`."""

    def __repr__(self) -> str:
        return "EVERY"


EVERY: Final = _Every()
"""Among the experiments of a domain: all of them, P(v | do(z)) for every set of variables Z."""

Experiment = Names | _Every
Experiments = Iterable[Experiment] | Mapping[str, Iterable[Experiment]]


def available(
    graph: CausalGraph,
    experiments: Experiments = (),
    target: str = "",
    selection: Mapping[str, Names] | None = None,
) -> list[Source]:
    """The sources that the keywords of ``identify`` describe, those without experiments and of the target first.

    Args:
        graph: the causal graph of all domains.
        experiments: what has been set in them. An experiment is a name or several, ``()`` for a distribution that was
            only seen, or ``EVERY``. A list is of experiments beside the observational distribution, where there is one
            domain. A mapping from domains to lists says exactly what each has; a domain that it leaves out is seen.
        target: the label of the population asked about.
        selection: for every other domain the variables whose mechanism may differ there from the target: the children
            of the S-nodes in its selection diagram.

    Raises:
        QueryError: a domain that is not in ``selection``, no label of the target, or no experiments where they must be.
        UnknownVariableError: a name that the graph does not have.

    References:
        Bareinboim and Pearl (2012), Transportability of causal effects: completeness results; Bareinboim and Pearl
        (2014), Transportability from multiple environments with limited experiments; Lee, Correa and Bareinboim (2020),
        General transportability.

    Example:
        >>> graph = CausalGraph.from_edges([("Z", "Y"), ("X", "Y")])
        >>> for source in available(graph, {"trial": ["X"]}, target="*", selection={"trial": "Z"}):
        ...     print(repr(source.domain), sorted(source.experiment), sorted(source.changed))
        '*' [] []
        'trial' ['X'] ['Z']
    """
    domains = {target: frozenset[str](), **_changed(graph, target, selection)}
    found = [
        _source(graph, domain, experiment, domains[domain])
        for domain, listed in _listed(experiments, domains).items()
        for experiment in listed
    ]
    return sorted(
        dict.fromkeys(found), key=lambda source: (isinstance(source, EveryExperiment), len(source.experiment))
    )


def _changed(graph: CausalGraph, target: str, selection: Mapping[str, Names] | None) -> dict[str, frozenset[str]]:
    """The variables that differ in each domain but the target."""
    if not isinstance(target, str):
        raise QueryError(f"target must be the label of a domain, a string, got {target!r:.80}.")
    if selection is None:
        if target:
            raise QueryError(
                f"target {target!r} needs selection: a mapping from every other domain to the variables whose "
                f"mechanism may differ there (none: [])."
            )
        return {}
    if not isinstance(selection, Mapping) or not all(isinstance(domain, str) for domain in selection):
        raise QueryError(f"selection must be a mapping from labels of domains to variables, got {selection!r:.80}.")
    if not target or target in selection:
        raise QueryError(
            f"target must be the label of a domain that is not in selection, got {target!r}; selection has the others, "
            f"here {list(selection)}."
        )
    return {domain: named(graph, names, f"selection[{domain!r}]") for domain, names in selection.items()}


def _listed(experiments: Experiments, domains: Mapping[str, frozenset[str]]) -> dict[str, list[Experiment]]:
    """The experiments of each domain, ``()`` where it is seen."""
    if not isinstance(experiments, Mapping):
        if len(domains) > 1 and experiments:
            raise QueryError(f"experiments must say in which of {list(domains)} they were made: give a mapping.")
        return {domain: [(), *_collected(experiments, "experiments")] for domain in domains}
    for domain in experiments:
        if domain not in domains:
            raise unknown_variable(domain, domains, "domain")
    return {d: _collected(experiments.get(d, [()]), f"experiments[{d!r}]") for d in domains}


def _collected(experiments: Iterable[Experiment], what: str) -> list[Experiment]:
    if not isinstance(experiments, Iterable):
        raise QueryError(f"{what} must be a list of experiments, each a name or several, got {experiments!r:.80}.")
    return [experiments] if isinstance(experiments, str) else list(experiments)


def _source(graph: CausalGraph, domain: str, experiment: Experiment, changed: frozenset[str]) -> Source:
    if isinstance(experiment, _Every):
        return EveryExperiment(graph, frozenset(), domain, changed)
    return Source(graph, named(graph, experiment, "an experiment"), domain, changed)


def named(graph: CausalGraph, names: Names, what: str) -> frozenset[str]:
    """Some variables of the graph, checked."""
    if not isinstance(names, Iterable):
        raise QueryError(f"{what} must be a variable or several, got {names!r:.80}.")
    found = frozenset([names] if isinstance(names, str) else names)
    for name in found:
        if name not in graph.variables:
            raise unknown_variable(name, graph.variables)
    return found
