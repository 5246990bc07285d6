"""The laws of worlds on one noise: consistency, effectiveness, composition, locality, and that edges are read."""

import torch
from torch import Tensor, nn

from causal_pyro_models.evaluation.conformance.subject import Finding, Findings, LeftOut, RecordedSite, Subject, sites
from causal_pyro_models.graph.provenance import site_parents
from causal_pyro_models.inference import sample
from causal_pyro_models.scm.handlers import intervene
from causal_pyro_models.scm.sites import Model


def consistency(subject: Subject) -> Findings:
    """With no action the evidence comes back, every site computed anew from its abducted noise."""
    for name, value in subject.evidence.items():
        figure, limit = subject.gap(name, subject.factual[name], value)
        yield Finding(figure, limit, f"{name!r} does not come back from the noise that was abducted from it")


def effectiveness(subject: Subject) -> Findings:
    """A variable that is set has exactly the value that it is set to, in a counterfactual world and in a sample."""
    for name, seen in subject.evidence.items():
        value = subject.elsewhere(name)
        wrong = _differences(subject.world({name: value})[name], value)
        yield Finding(wrong, 0.0, f"{name!r} has another value than it was set to in a counterfactual world")
        if subject.program.sites[name].support is not None:  # whose bounds no parent moves
            drawn = sample(intervene(subject.model, {name: seen[0]}), subject.units, subject.seed)[name]
            failure = f"{name!r} has another value than it was set to in a sample"
            yield Finding(_differences(drawn, seen[0]), 0.0, failure)


def composition(subject: Subject) -> Findings:
    """Forcing a variable to the value that it would have had changes nothing."""
    for name in subject.evidence:
        world = subject.world({name: subject.factual[name]})
        for other, value in world.items():
            failure = f"{other!r} changes where {name!r} is set to the value that it has anyway"
            yield Finding(_differences(value, subject.factual[other]), 0.0, failure)


def locality(subject: Subject) -> Findings:
    """What is not downstream of an intervention keeps its value."""
    if subject.graph is None:
        raise LeftOut("no graph was stated: pass graph=")
    for name in subject.evidence:
        world = subject.world({name: subject.elsewhere(name)})
        below = subject.graph.descendants(name) | {name}
        for other in [v for v in subject.graph.variables if v in world and v not in below]:
            failure = f"{other!r} changes under an intervention on {name!r}, which is not upstream of it"
            yield Finding(_differences(world[other], subject.factual[other]), 0.0, failure)


def parents(subject: Subject) -> Findings:
    """Other values of a parent change a variable: its density, its value, or the gradient in the model's parameters.

    The gradient is that of a parent which nothing was learned of yet: its weight is zero, and it is read all the same.
    """
    if subject.graph is None:
        raise LeftOut("no graph was stated: pass graph=")
    values, hidden = subject.few(subject.units), _inner_sites(subject)
    before = sites(subject.model, values, gradients=True)
    for parent in [v for v in subject.graph.variables if v in values]:
        after = sites(subject.model, values | {parent: values[parent].roll(1, 0)}, gradients=True)
        for name in [v for v in subject.graph.children(parent) if v in values]:
            moved = any(_moves(subject.model, before[site], after[site]) for site in (name, *hidden[name]))
            yield Finding(float(not moved), 0.0, f"{name!r} does not read its parent {parent!r}")


def _inner_sites(subject: Subject) -> dict[str, set[str]]:
    """The sites with noise, no variables of the graph, that each variable is computed through."""
    marks = site_parents(subject.plain)
    variables = set(getattr(subject.graph, "variables", ()))
    found: dict[str, set[str]] = {}
    for name in variables & set(marks):
        found[name], ahead = set(), [name]
        while ahead:
            inner = marks[ahead.pop()] - variables - found[name]
            found[name] |= inner
            ahead += inner
    return {name: inner & set(subject.population) for name, inner in found.items()}


@torch.enable_grad()
def _moves(model: Model, before: RecordedSite, after: RecordedSite) -> bool:
    """Whether a site has another density, or another value for its noise, or another gradient of its density."""
    densities = before.log_prob(), after.log_prob()
    noise = before.mechanism.abduct(before.value).detach()
    if not (torch.equal(*densities) and torch.equal(before.mechanism.forward(noise), after.mechanism.forward(noise))):
        return True
    weights = [p for p in model.parameters() if p.requires_grad] if isinstance(model, nn.Module) else []
    if not weights or not densities[0].requires_grad:
        return False
    slopes = [torch.autograd.grad(d.sum(), weights, retain_graph=True, allow_unused=True) for d in densities]
    return any(a is not None and b is not None and not torch.equal(a, b) for a, b in zip(*slopes, strict=True))


def _differences(one: Tensor, other: Tensor) -> float:
    return float((one != other).sum())
