"""The laws of structural causal models as checks of one model: each raises AssertionError where a law is broken."""

import functools
import math
from typing import ClassVar

import pyro.distributions as dist
import torch

from causal_pyro_models import abduct, mechanism, potential, worlds
from tests.laws.strategies import BOUNDED, DISCRETE, RandomSCM

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-5}
SHIFTABLE = ("Normal", "Laplace", "Logistic", "Gumbel", "Cauchy", "StudentT", "LogNormal", "Poisson", "Geometric")


class Study:
    """A random model, evidence on all of its variables, the noise abducted from it, and worlds on that noise.

    Args:
        model: the model.
        units: how many, for a model without plates of its own.
        draws: posterior draws of the noise, or None.

    Attributes:
        target: one variable to intervene on; None where all are population-level parameters.
        value: what to set it to, values of another draw of the model, in the shape that its site has there.
    """

    def __init__(self, model: RandomSCM, units: int = 3, draws: int | None = None) -> None:
        self.model, self.draws = model, draws
        self.evidence = model.draw(units, model.seed)
        self.noise = abduct(model, self.evidence, num_samples=draws, seed=model.seed)
        settable = [v for v in model.settable if v.family not in BOUNDED]
        self.target = settable[model.seed % len(settable)] if settable else None
        if self.target:
            self.elsewhere = model.draw(units, model.seed + 1)[self.target.name]
            self.value = self._placed(self.elsewhere)

    def _placed(self, values):
        """With a dimension for every plate, of size 1 for those that the target is not in."""
        places = self.target.places
        if not places:
            return values
        sizes = [self.model.sizes[i] if i in places else 1 for i in reversed(range(max(places) + 1))]
        return values.reshape(*sizes, *values.shape[len(places) :])

    def worlds(self, do):
        """Worlds on the abducted noise; what is drawn anew in them is drawn from one seed."""
        return worlds(self.model, self.noise, do, seed=1)

    @functools.cached_property
    def basic(self):
        """The factual world; the target set to its value, twice; and the target set to its natural value."""
        if not self.target:
            return self.worlds({"factual": {}})
        do = {self.target.name: self.value}
        return self.worlds({"factual": {}, "do": do, "again": do, "identity": {self.target.name: lambda x: x}})

    @property
    def factual(self):
        return self.basic["factual"]

    def assert_close(self, name, value, expected):
        """Equal to the last bit where discrete, and to rounding where continuous."""
        assert value.dtype == expected.dtype, (self.model, name, value.dtype, expected.dtype)
        expected = expected.expand(value.shape)
        if self.model.variable(name).family in DISCRETE:
            assert torch.equal(value, expected), (self.model, name, value, expected)
        else:
            bound = TOLERANCE[self.model.dtype] * (1 + expected.abs())
            assert bool(((value - expected).abs() <= bound).all()), (self.model, name, value, expected)

    def assert_same(self, one, other, names=None):
        """Equal to the last bit in two worlds."""
        for name in one if names is None else names:
            assert torch.equal(one[name], other[name]), (self.model, name, one[name], other[name])


def consistency(study):
    """Law 1: with no action, the evidence comes back, in every draw."""
    lead = () if study.draws is None else (study.draws,)
    for name, value in study.evidence.items():
        assert study.factual[name].shape == lead + value.shape, (study.model, name, study.factual[name].shape)
        study.assert_close(name, study.factual[name], value)


def effectiveness(study):
    """Law 2: an intervened variable has exactly the value that it is set to."""
    if study.target:
        name = study.target.name
        expected = study.elsewhere.expand(study.factual[name].shape)
        assert torch.equal(study.basic["do"][name], expected), (study.model, name)


def effectiveness_of_every_kind(study):
    """Law 2, whatever kind of intervention sets the value."""
    if not study.target:
        return
    name, value, natural = study.target.name, study.value, study.factual[study.target.name]
    kinds = {
        "function": lambda x: value,
        "potential": potential(name, {name: value}),
        "distribution": dist.Delta(value, event_dim=study.factual.event_dims[name]),
    }
    for kind, result in study.worlds({kind: {name: action} for kind, action in kinds.items()}).items():
        study.assert_same(result, study.basic["do"])
        assert torch.equal(result[name], study.elsewhere.expand(natural.shape)), (study.model, name, kind)
    if study.target.family in SHIFTABLE:
        shifted = study.worlds({"shift": {name: lambda x: x + 1}})["shift"]
        assert torch.equal(shifted[name], natural + 1), (study.model, name)


def composition(study):
    """Law 3: forcing a variable to the value that it would have had changes nothing."""
    if study.target:
        study.assert_same(study.basic["identity"], study.factual)


def composition_of_potentials(study):
    """Law 3 by nested counterfactuals, and in a world with an action."""
    if not study.target:
        return
    name = study.target.name
    other = next((v.name for v in study.model.settable if v.name != name), name)
    do = {name: study.value}
    result = study.worlds({"nothing": {name: potential(name, {})}, "do": {other: potential(other, do), **do}})
    study.assert_same(result["nothing"], study.factual)
    study.assert_same(result["do"], study.basic["do"])


def reversibility(study):
    """Law 4: Y_{xw} = y and W_{xy} = w imply Y_x = y (Pearl 2009, property 3 of section 7.3.1).

    In a recursive program, with W not downstream of Y, the second premise says that w is W_x. Feedback proper is in
    ``test_laws.py``.
    """
    names = [v.name for v in study.model.settable]
    if not study.target or len(names) < 3:
        return
    w, y = [n for n in names if n != study.target.name][-2:]
    x = {study.target.name: study.value}
    held = potential(y, x)
    result = study.worlds({"xy": {**x, y: held}, "xw": {**x, w: potential(w, {**x, y: held})}})
    study.assert_same(result["xy"], study.basic["do"], [w])
    study.assert_same(result["xw"], study.basic["do"], [y])


def locality(study):
    """Law 5: what is not downstream of an intervention keeps its factual value."""
    if study.target:
        after = study.model.descendants(study.target.name)
        names = [v.name for v in study.model.variables if v.name not in after]
        study.assert_same(study.basic["do"], study.factual, names)


def determinism(study):
    """Law 9: worlds that do the same on the same noise never differ."""
    if study.target:
        study.assert_same(study.basic["do"], study.basic["again"])


def determinism_of_policies(study):
    """Law 9, for interventions that are random themselves."""
    if not study.target:
        return
    name, natural = study.target.name, study._placed(study.evidence[study.target.name])
    policy = EitherOf(natural, study.value, study.factual.event_dims[name])
    do, nested = {name: policy}, {name: potential(name, {name: policy})}
    result = study.worlds({"one": do, "nothing": {}, "other": dict(do), "nested": nested})
    study.assert_same(result["one"], result["other"])
    study.assert_same(result["one"], result["nested"])
    study.assert_same(result["nothing"], study.factual)


def predictions_by_hand(study):
    """What follows from an action, against noise and structural equations written out without any handler.

    For a model of one unit, all of whose mechanisms are bijective.
    """
    if not study.target:
        return
    noise = {}

    def abducted(v, fn, value):
        if fn is not None:
            noise[v.name], value = mechanism(fn).abduct(study.evidence[v.name]), study.evidence[v.name]
        return value

    def acted(v, fn, value):
        if v is study.target:
            return study.elsewhere
        return value if fn is None else mechanism(fn).forward(noise[v.name])

    study.model.evaluate(abducted)
    for name, value in study.model.evaluate(acted).items():
        study.assert_close(name, study.basic["do"][name], value)


class EitherOf(dist.TorchDistribution):
    """One of two values, by the toss of a coin."""

    arg_constraints: ClassVar = {}

    def __init__(self, one, other, event_dim):
        self.one, self.other = torch.broadcast_tensors(one, other)
        split = self.one.dim() - event_dim
        super().__init__(self.one.shape[:split], self.one.shape[split:], validate_args=False)

    def expand(self, batch_shape, _instance=None):
        shape = torch.Size(batch_shape) + self.event_shape
        return EitherOf(self.one.expand(shape), self.other.expand(shape), len(self.event_shape))

    def sample(self, sample_shape=()):
        heads = torch.rand(self.batch_shape) < 0.5
        return torch.where(heads.reshape(self.batch_shape + (1,) * len(self.event_shape)), self.one, self.other)

    def log_prob(self, value):
        return torch.full(self.batch_shape, -math.log(2))


LAWS = (consistency, effectiveness, composition, locality, determinism)
MORE_LAWS = (effectiveness_of_every_kind, composition_of_potentials, reversibility, determinism_of_policies)
