"""Instruments, and instruments given covariates."""

from collections.abc import Iterator
from dataclasses import dataclass

from causal_pyro_models.errors import QueryError
from causal_pyro_models.graph.adjustment import Verdict, forbidden_nodes, listed, proper_backdoor_graph
from causal_pyro_models.graph.causal_graph import CausalGraph
from causal_pyro_models.graph.forms import GraphLike, as_graph
from causal_pyro_models.graph.separation import open_path
from causal_pyro_models.graph.separators import minimal_separators
from causal_pyro_models.graph.validation import Names, checked_sets


@dataclass(frozen=True)
class Instrument:
    """An instrument and the covariates given which it is one.

    Attributes:
        variable: the instrument.
        given: the covariates; empty for an instrument without conditions.

    Example:
        >>> print(Instrument("Z", frozenset(["V", "W"])))
        Z | V, W
    """

    variable: str
    given: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.variable} | {', '.join(sorted(self.given))}" if self.given else self.variable


def is_instrument(graph: GraphLike, treatment: str, outcome: str, instrument: str, given: Names = ()) -> Verdict:
    """Whether a variable is an instrument for the total effect of treatment on outcome given others, and if not, why.

    In the graph without the first edges of the causal paths it is m-separated from the outcome and not from the
    treatment; neither it nor the covariates are a causal node or a descendant of one. In a linear model the effect is
    then cov(outcome, instrument | given) / cov(treatment, instrument | given).

    Args:
        graph: an acyclic directed mixed graph.
        treatment, outcome, instrument: distinct variables.
        given: a set of others.

    Raises:
        GraphError: where the sets overlap.
        UnknownVariableError: for a name that the graph does not have.
        QueryError: where treatment, outcome or instrument is not one variable.

    References:
        Brito and Pearl (2002), Generalized instrumental variables; van der Zander, Textor and Liśkiewicz (2015),
        Efficiently finding conditional instruments for causal inference.

    Example:
        >>> graph = CausalGraph.from_edges([("W", "Z"), ("W", "Y"), ("Z", "X"), ("X", "Y")], bidirected=[("X", "Y")])
        >>> is_instrument(graph, "X", "Y", "Z").reason
        "the path Z <- W -> Y, which is no effect of {'X'}, is open given nothing."
        >>> bool(is_instrument(graph, "X", "Y", "Z", given="W"))
        True
    """
    graph = as_graph(graph)
    x, y, z, w = checked_sets(graph.variables, treatment=treatment, outcome=outcome, instrument=instrument, given=given)
    _check_single(treatment=x, outcome=y, instrument=z)
    if bad := (w | z) & forbidden_nodes(graph, x, y):
        return Verdict(
            False, f"{min(bad)!r} lies on a causal path from {listed(x)} to {listed(y)}, or descends from one."
        )
    cut = proper_backdoor_graph(graph, x, y)
    if path := open_path(cut, z, y, w):
        return Verdict(False, f"the path {path}, which is no effect of {listed(x)}, is open given {listed(w)}.")
    if not open_path(cut, z, x, w):
        return Verdict(False, f"{listed(z)} is independent of the treatment {listed(x)} given {listed(w)}.")
    return Verdict(
        True, f"{listed(z)} is an instrument for the effect of {listed(x)} on {listed(y)} given {listed(w)}."
    )


def instruments(
    graph: GraphLike, treatment: str, outcome: str, *, observed: Names | None = None
) -> Iterator[Instrument]:
    """The instruments for the total effect of treatment on outcome, each with one set of covariates.

    The covariates of each are ancestors of it or of the outcome, as few as possible. If any variable is an instrument
    given any covariates, then one of these is.

    Args:
        graph, treatment, outcome: see :func:`is_instrument`.
        observed: the variables that may be used; the others are latent. None for all.

    References:
        van der Zander, Textor and Liśkiewicz (2015), Efficiently finding conditional instruments for causal inference,
        theorem 1 (ancestral instruments).

    Example:
        >>> edges = [("I", "X"), ("W", "Z"), ("W", "Y"), ("Z", "X"), ("X", "Y")]
        >>> graph = CausalGraph.from_edges(edges, bidirected=[("X", "Y")])
        >>> [str(instrument) for instrument in instruments(graph, "X", "Y")]
        ['I', 'Z | W']
    """
    graph = as_graph(graph)
    x, y = checked_sets(graph.variables, treatment=treatment, outcome=outcome)
    _check_single(treatment=x, outcome=y)
    (seen,) = checked_sets(graph.variables, observed=graph.variables if observed is None else observed)
    usable = seen - x - y - forbidden_nodes(graph, x, y)
    return _ancestral(proper_backdoor_graph(graph, x, y), x, y, usable)


def _ancestral(cut: CausalGraph, x: frozenset[str], y: frozenset[str], usable: frozenset[str]) -> Iterator[Instrument]:
    """For each variable the separator from the outcome that leaves the most open towards the treatment, if it does."""
    for z in cut.variables:
        given = next(minimal_separators(cut, y, z, observed=usable), None) if z in usable else None
        if given is not None and open_path(cut, {z}, x, given):
            yield Instrument(z, given)


def _check_single(**sets: frozenset[str]) -> None:
    for argument, names in sets.items():
        if len(names) != 1:
            raise QueryError(f"the {argument} must be one variable, got {listed(names)}.")
