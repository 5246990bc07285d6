"""Whether sources determine a query near a random model: the derivatives of the query against those of the sources.

If the query changes along a direction in which no source does, then, at a generic model, there are two models that the
sources cannot tell apart and that differ in the query: it is not identifiable.
"""

import math

import numpy as np
import torch

SIZE = 3  # values of each variable: with two, complements identify some queries that are not identifiable otherwise
HIDDEN = 4  # values of the hidden variable behind a bidirected edge; few of them can give away what many hide


class Mixture:
    """A model in which each variable draws a function of its parents, from a law that depends on its hidden causes.

    Args:
        graph: an ADMG.
        rng: draws the functions and the parameters.
        changed: domain -> the variables with a law of their own there.
    """

    def __init__(self, graph, rng, changed=None):
        self.graph = graph
        self.changed = {"": (), **(changed or {})}
        self.functions = {v: _functions(len(graph.parents(v)), rng) for v in graph.variables}
        self.shapes = {pair: (HIDDEN,) for pair in graph.bidirected}
        for domain, names in self.changed.items():
            for v in graph.variables if domain == "" else names:
                self.shapes[domain, v] = (*(HIDDEN for _ in self._hidden(v)), len(self.functions[v]))
        self.parameters = torch.tensor(rng.normal(size=sum(map(math.prod, self.shapes.values()))))

    def _hidden(self, v):
        return [pair for pair in self.graph.bidirected if v in pair]

    def _laws(self, parameters, domain):
        """Hidden pair or variable -> its probabilities, the last axis that of its states."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        parts = dict(zip(self.shapes, parameters.split(sizes), strict=True))
        laws = {key: parts[key].view(shape).softmax(-1) for key, shape in self.shapes.items()}
        own = {v: laws[domain if v in self.changed[domain] else "", v] for v in self.graph.variables}
        return {pair: laws[pair] for pair in self.graph.bidirected}, own

    def source(self, parameters, domain="", do=()):
        """P(v without do | do) for every value of all variables."""
        hidden, own = self._laws(parameters, domain)
        axes = {key: i for i, key in enumerate([*self.graph.variables, *hidden])}
        operands = [item for pair, law in hidden.items() for item in (law, [axes[pair]])]
        for v in self.graph.variables:
            if v in do:
                operands += [torch.ones(SIZE, dtype=parameters.dtype), [axes[v]]]
                continue
            chosen = torch.tensor(self.functions[v][..., None] == np.arange(SIZE), dtype=parameters.dtype)
            kernel = torch.tensordot(own[v], chosen, dims=1)
            keys = [*self._hidden(v), *self.graph.parents(v), v]
            operands += [kernel, [axes[key] for key in keys]]
        return torch.einsum(*operands, [axes[v] for v in self.graph.variables]).flatten()

    def query(self, parameters, events, given, domain=""):
        """P(events | given) of constant terms."""
        return self._mass(parameters, [*events, *given], domain) / self._mass(parameters, given, domain)

    def _mass(self, parameters, events, domain):
        hidden, own = self._laws(parameters, domain)
        needed = self.graph.ancestors({event.name for event in events})
        names = [v for v in self.graph.topological_order if v in needed]
        shape = [len(self.functions[v]) for v in names]
        types = dict(zip(names, np.indices(shape, sparse=True), strict=True))
        held = np.ones(shape, bool)
        for event in events:
            held &= self._value(event.name, event.do, types) == event.value
        axes = {key: i for i, key in enumerate([*names, *hidden])}
        operands = [torch.tensor(held, dtype=parameters.dtype), [axes[v] for v in names]]
        for v in names:
            operands += [own[v], [axes[key] for key in (*self._hidden(v), v)]]
        for pair, law in hidden.items():
            operands += [law, [axes[pair]]]
        return torch.einsum(*operands, [])

    def _value(self, name, world, types):
        """The value of a variable in a world, for all types of all variables."""
        for action in world:
            if action.name == name:
                return self._value(name, action.do, types) if action.do else np.array(action.value)
        inputs = [self._value(parent, world, types) for parent in self.graph.parents(name)]
        return self.functions[name][(types[name], *inputs)]

    def determines(self, sources, events, given, domain=""):
        """Whether, to first order, the query changes only where one of the sources (domain, do) does."""
        jacobian = torch.autograd.functional.jacobian
        rows = torch.cat([jacobian(lambda p, s=s: self.source(p, *s), self.parameters) for s in sources])
        row = jacobian(lambda p: self.query(p, events, given, domain), self.parameters)
        basis = torch.linalg.svd(rows, full_matrices=False)
        kept = basis.Vh[1e-9 * basis.S[0] < basis.S]
        rest = row - kept.T @ (kept @ row)
        return bool(rest.norm() <= 1e-6 * row.norm()) or bool(row.norm() < 1e-12)


def _functions(parents, rng):
    """Functions of some parents: all of them, or enough at random to leave their mixture open."""
    inputs = SIZE**parents
    if parents == 0:
        return np.arange(SIZE)
    return rng.integers(0, SIZE, [4 * inputs, *(SIZE for _ in range(parents))])
