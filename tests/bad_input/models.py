"""Models that are none, and distributions whose noise cannot be made explicit."""

import functools

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine

from causal_pyro_models import (
    Mechanism,
    abduct,
    check_mechanism,
    counterfactual,
    exogenize,
    intervene,
    mechanism,
    quantile,
    sample,
)
from causal_pyro_models.errors import AbductionError, EvidenceError, MechanismError, ModelError, QueryError
from tests.bad_input.case import Bad
from tests.bad_input.programs import linear, one


def silent():
    """A model without a site."""
    return torch.zeros(())


def needs(x, scale=1.0):
    pyro.sample("Y", dist.Normal(x, scale))


class Needs(torch.nn.Module):
    def forward(self, x):
        return pyro.sample("Y", dist.Normal(x, 1.0))


def twice():
    pyro.sample("X", dist.Normal(0.0, 1.0))
    pyro.sample("X", dist.Normal(0.0, 1.0))


def computed_twice():
    x = pyro.sample("X", dist.Normal(0.0, 1.0))
    pyro.deterministic("X", 2.0 * x)


def clash():
    x = pyro.sample("X", dist.Normal(0.0, 1.0))
    pyro.sample("U_X", dist.Normal(x, 1.0))


def clash_before():
    u = pyro.sample("U_X", dist.Normal(0.0, 1.0))
    pyro.sample("X", dist.Normal(u, 1.0))


def clash_computed():
    x = pyro.sample("X", dist.Normal(0.0, 1.0))
    pyro.deterministic("U_X", 2.0 * x)


def negative_scale():
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    pyro.sample("X", dist.Normal(z, -1.0))


def negative_scale_of_many():
    z = pyro.sample("Z", dist.Normal(torch.zeros(1_000), 1.0).to_event(1))
    pyro.sample("X", dist.Normal(z, z).to_event(1))


def nan_location():
    pyro.sample("X", dist.Normal(float("nan"), 1.0))


def scale_of_parent():
    x = pyro.sample("X", dist.Normal(1.0, 0.1))
    pyro.sample("Y", dist.Normal(0.0, x))


def branches():
    with pyro.plate("rows", 2):
        x = pyro.sample("X", dist.Normal(0.0, 1.0))
        pyro.sample("Y", dist.Normal(1.0 if x > 0 else 0.0, 1.0))


def to_number():
    with pyro.plate("rows", 2):
        x = pyro.sample("X", dist.Normal(0.0, 1.0))
        pyro.sample("Y", dist.Normal(float(x), 1.0))


def two_families():
    x = pyro.sample("X", dist.Normal(0.0, 1.0))
    pyro.sample("Y", dist.Normal(0.0, 1.0) if x > 0 else dist.Exponential(1.0))


def in_one_branch():
    x = pyro.sample("X", dist.Normal(0.0, 1.0))
    if x > 0:
        pyro.sample("Y", dist.Normal(0.0, 1.0))
    pyro.sample("Z", dist.Normal(x, 1.0))


def dropout():
    x = pyro.sample("X", dist.Normal(0.0, 1.0))
    pyro.sample("Y", dist.Normal(torch.nn.functional.dropout(x + 1.0, 0.5), 1.0))


def no_event():
    pyro.sample("X", dist.Normal(torch.zeros(3), 1.0))


def wrong_names():
    pyro.sample(7, dist.Normal(0.0, 1.0))


def not_a_distribution():
    pyro.sample("X", 3.0)


def endless():
    return endless()


def nobody():
    with pyro.plate("people", 0):
        pyro.sample("X", dist.Normal(0.0, 1.0))


def computed_string():
    pyro.deterministic("X", "high")


def missing():
    x = pyro.sample("X", dist.Normal(0.0, 1.0))
    pyro.sample("Y", dist.Normal({"Z": x}["Q"], 1.0))


class Triangular(dist.TorchDistribution):
    """A family that no mechanism knows."""

    arg_constraints = {}  # noqa: RUF012  (as torch has it)
    support = dist.constraints.unit_interval

    def __init__(self):
        super().__init__()

    def sample(self, sample_shape=()):
        return torch.rand(sample_shape).sqrt()

    def expand(self, batch_shape, _instance=None):
        return self

    def log_prob(self, x):
        return (2 * x).log()


RUNS = {
    "in a sample": lambda model: sample(model, 3),
    "in a counterfactual": lambda model: counterfactual(model, {}, {}),
    "in an abduction": lambda model: abduct(model, {}),
}
MODELS = {
    "None as a model": (None, ("callable", "NoneType")),
    "a dict as a model": ({"X": 1.0}, ("callable", "dict")),
    "a string as a model": ("linear", ("callable", "str")),
    "a distribution as a model": (dist.Normal(0.0, 1.0), ("distribution", "pyro.sample")),
    "a list of models": ([linear], ("callable", "list")),
    "a model that calls itself": (endless, ("before its first site", "RecursionError")),
    "a plate of nobody": (nobody, ("before its first site", "ZeroDivisionError")),
    "a computed site of a string": (computed_string, ("before its first site", "str")),
    "a class as a model": (Needs, ("class", "Needs(...)")),
    "a model without sites": (silent, ("pyro.sample", "silent")),
    "a model that needs arguments": (needs, ("'needs'", "'x'", "functools.partial")),
    "a module that needs arguments": (Needs(), ("'Needs'", "'x'", "functools.partial")),
    "a partial that needs arguments": (functools.partial(needs, scale=2.0), ("'x'", "functools.partial")),
    "two sites of one name": (twice, ("'X'", "name of its own")),
    "a computed site of the same name": (computed_twice, ("'X'", "name of its own")),
    "a negative scale": (negative_scale, ("after site 'Z'", "scale", "Normal")),
    "a thousand negative scales": (negative_scale_of_many, ("after site 'Z'", "scale", "Normal")),
    "a location of NaN": (nan_location, ("loc", "Normal")),
    "a key that is not there": (missing, ("after site 'X'", "KeyError", "'Q'")),
    "a number instead of a distribution": (not_a_distribution, ("before its first site", "float")),
}  # fmt: skip
BROKEN = [
    Bad(f"{what}, {where}", ModelError, says, lambda model=model, run=run: run(model))
    for what, (model, says) in MODELS.items()
    for where, run in RUNS.items()
]
CLASHES = [
    Bad(f"{what}, {where}", ModelError, ("'U_X'", "noise of 'X'", "rename"), lambda model=model, run=run: run(model))
    for what, model in {
        "a site named like noise": clash,
        "a site named like noise, first": clash_before,
        "a computed site named like noise": clash_computed,
    }.items()
    for where, run in {
        "in a counterfactual": lambda model: counterfactual(model, {}, {}),
        "in an abduction": lambda model: abduct(model, {}, num_samples=3),
        "exogenized": lambda model: exogenize(model)(),
    }.items()
]
BATCHED = [
    Bad(f"{what}, {where}", ModelError, says, lambda model=model, run=run: run(model))
    for what, (model, says) in {
        "a branch on the values of a plate": (branches, ("after site 'X'", "torch.where")),
        "the values of a plate as a number": (to_number, ("after site 'X'", "torch.where")),
        "two families in two branches": (two_families, ("'Y'", "Exponential", "broadcast")),
        "a site in one branch alone": (in_one_branch, ("'Y'", "some of these runs", "'Z'")),
        "dropout in training mode": (dropout, ("'Y'", "pyro.sample", "eval")),
        "a vector without an event": (no_event, ("site 'X'", "to_event")),
    }.items()
    for where, run in {
        "in a sample": lambda model: sample(model, 20),
        "in a counterfactual": lambda model: counterfactual(model, {"X": [1.0, -2.0]}, {}, num_samples=5),
    }.items()
]

LAWS = {
    "delta": (dist.Delta(torch.tensor(1.0)), ("Delta", "pyro.deterministic")),
    "a family of one's own": (Triangular(), ("Triangular", "register")),
    "a straight-through estimator": (
        dist.RelaxedBernoulliStraightThrough(torch.tensor(1.0), torch.tensor(0.5)), ("discrete",),
    ),
    "a transform that cannot be inverted": (
        dist.TransformedDistribution(dist.Normal(0.0, 1.0), [torch.distributions.transforms.AbsTransform()]),
        ("AbsTransform", "bijective", "Register"),
    ),
    "a Wishart matrix": (dist.Wishart(torch.tensor(5.0), torch.eye(2)), ("Wishart", "register")),
    "a multinomial count": (dist.Multinomial(5, torch.ones(3)), ("Multinomial", "register")),
    "None": (None, ("NoneType",)),
    "a number": (3.0, ("float",)),
    "a string": ("Normal", ("str",)),
    "a class": (dist.Normal, ("class Normal", "Normal(...)")),
}  # fmt: skip
MECHANISMS = [
    Bad(f"mechanism of {what}", MechanismError, says, lambda law=law: mechanism(law))
    for what, (law, says) in LAWS.items()
]
AT_SITES = [
    Bad(
        f"noise of {what} at a site", MechanismError, ("'X'", *says),
        lambda law=law, wanted=wanted: wanted(one(law)),
    )
    for what, (law, says) in list(LAWS.items())[1:6]
    for wanted in (lambda model: exogenize(model)(), )
]  # fmt: skip

normal = mechanism(dist.Normal(torch.zeros(2), 1.0))

OTHERS = [
    Bad("an order of vectors", MechanismError, ("order",), lambda: quantile(dist.Dirichlet(torch.ones(3)))),
    Bad("an order of one-hot vectors", MechanismError, ("OneHotCategorical", "order"), lambda: quantile(dist.OneHotCategorical(torch.ones(3)))),
    Bad("an order of None", MechanismError, ("NoneType",), lambda: quantile(None)),
    Bad(
        "the quantile of a vector at a site", MechanismError, ("'X'", "order"),
        lambda: exogenize(lambda: pyro.sample("X", dist.OneHotCategorical(torch.ones(3)), infer={"mechanism": quantile}))(),
    ),
    Bad(
        "a mechanism that is no constructor", MechanismError, ("'X'", "mechanism", "str"),
        lambda: exogenize(lambda: pyro.sample("X", dist.Normal(0.0, 1.0), infer={"mechanism": "quantile"}))(),
    ),
    Bad(
        "a constructor that returns no mechanism", MechanismError, ("'X'", "Mechanism", "int"),
        lambda: exogenize(lambda: pyro.sample("X", dist.Normal(0.0, 1.0), infer={"mechanism": lambda d: 3}))(),
    ),
    Bad("an order of a class", MechanismError, ("class Normal", "Normal(...)"), lambda: quantile(dist.Normal)),
    Bad("a check of a class", MechanismError, ("class Normal", "Normal(...)"), lambda: check_mechanism(dist.Normal)),
    Bad("a check with a constructor of a number", MechanismError, ("constructor", "quantile", "3"), lambda: check_mechanism(dist.Normal(0.0, 1.0), constructor=3)),
    Bad("abducting a string", EvidenceError, ("Normal", "tensor", "'a'"), lambda: normal.abduct("a")),
    Bad("abducting a number that is no tensor", EvidenceError, ("Normal", "tensor", "1.0"), lambda: normal.abduct(1.0)),
    Bad("abducting None", EvidenceError, ("Normal", "tensor", "None"), lambda: normal.abduct(None)),
    Bad("a second round of noise", AbductionError, ("'U_X'", "explicit already"), lambda: abduct(exogenize(linear), {"X": 0.0, "Y": 0.0})),
    Bad("a check of None", MechanismError, ("NoneType",), lambda: check_mechanism(None)),
    Bad("a check of a Delta", MechanismError, ("Delta",), lambda: check_mechanism(dist.Delta(torch.zeros(2)))),
    Bad("a check with no draws", QueryError, ("num_samples", "0"), lambda: check_mechanism(dist.Normal(0.0, 1.0), num_samples=0)),
    Bad("a check with a seed that is a string", QueryError, ("seed", "'a'"), lambda: check_mechanism(dist.Normal(0.0, 1.0), seed="a")),
    Bad(
        "a check of a mechanism that forgets", MechanismError, ("Normal", "round trip"),
        lambda: check_mechanism(
            dist.Normal(torch.zeros(2), 1.0),
            constructor=lambda d: Mechanism(dist.Normal(torch.zeros(d.batch_shape), 1.0), lambda u: u, lambda x: torch.randn(torch.broadcast_shapes(x.shape, d.batch_shape))),
        ),
    ),
    Bad("abducting a NaN", EvidenceError, ("finite", "Normal"), lambda: normal.abduct(torch.tensor([0.0, float("nan")]))),
    Bad("abducting a wrong shape", EvidenceError, ("(3,)", "(2,)"), lambda: normal.abduct(torch.zeros(3))),
    Bad("abducting outside the support", EvidenceError, ("support", "-1"), lambda: mechanism(dist.Gamma(torch.ones(2), 1.0)).abduct(torch.tensor([1.0, -1.0]))),
    Bad("abducting a half category", EvidenceError, ("support", "0.5"), lambda: mechanism(dist.Bernoulli(0.5)).abduct(torch.tensor(0.5))),
    Bad("abducting beyond a thousand bounds", EvidenceError, ("support",), lambda: mechanism(dist.Uniform(torch.zeros(1000), torch.ones(1000))).abduct(torch.full((1000,), 2.0))),
    Bad(
        "conditioned after the noise is explicit", EvidenceError, ("'X'", "Condition first"),
        lambda: poutine.condition(exogenize(linear), data={"X": torch.tensor(1.0)})(),
    ),
    Bad("exogenize of None", ModelError, ("callable", "NoneType"), lambda: exogenize(None)),
    Bad("exogenize of a dict", ModelError, ("callable", "dict"), lambda: exogenize({"X": 1.0})),
    Bad(
        "a scale that an intervention makes negative", ModelError, ("after site 'X'", "scale"),
        lambda: sample(intervene(scale_of_parent, {"X": -1.0}), 3),
    ),
    Bad(
        "a scale that a counterfactual makes negative", ModelError, ("after site 'X'", "scale"),
        lambda: counterfactual(scale_of_parent, {"X": 1.0, "Y": 0.0}, {"X": -1.0}),
    ),
    Bad(
        "a scale that evidence makes negative", ModelError, ("after site 'X'", "scale"),
        lambda: abduct(scale_of_parent, {"X": -1.0, "Y": 0.0}),
    ),
    Bad(
        "an unknown family under evidence", MechanismError, ("'X'", "Triangular", "register"),
        lambda: abduct(one(Triangular()), {"X": 0.5}),
    ),
]  # fmt: skip

CASES = [*BROKEN, *CLASHES, *BATCHED, *MECHANISMS, *AT_SITES, *OTHERS]
