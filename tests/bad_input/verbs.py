"""Settings of the verbs, of their methods, and questions to what they return."""

import warnings

import pyro
import pyro.distributions as dist
import torch
from pyro.infer.autoguide import AutoDelta, AutoNormal

from causal_pyro_models import (
    NUTS,
    AmortizedGuide,
    ImportanceSampling,
    abduct,
    counterfactual,
    fit_guide,
    sample,
    worlds,
)
from causal_pyro_models.errors import (
    AbductionError,
    EvidenceError,
    FitError,
    ModelError,
    QueryError,
    UnknownVariableError,
)
from tests.bad_input.case import Bad
from tests.bad_input.programs import curved, hidden, linear, plated, rates

nan, inf = float("nan"), float("inf")
SEEN = {"X": [0.0, 1.0], "Y": [1.0, 1.0]}
IS = ImportanceSampling()


def quietly(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


COUNTS = {
    "zero": 0, "minus one": -1, "one and a half": 1.5, "two as a float": 2.0, "True": True, "a string": "10", "NaN": nan,
    "infinity": inf, "a list": [10], "a tensor": torch.tensor([1, 2]),
}  # fmt: skip
DRAWN = [
    Bad(f"{what} {noun}", QueryError, (setting, "integer of at least 1", f"{value!r}"), lambda call=call, value=value: call(value))
    for what, value in COUNTS.items()
    for noun, setting, call in (
        ("samples", "num_samples", lambda n: sample(linear, n)),
        ("draws of noise", "num_samples", lambda n: abduct(linear, SEEN, num_samples=n)),
        ("draws of a counterfactual", "num_samples", lambda n: counterfactual(linear, SEEN, {"X": 1.0}, num_samples=n)),
    )
] + [Bad("None samples", QueryError, ("num_samples", "None"), lambda: sample(linear, None))]  # fmt: skip

SEEDS = {
    "minus one": -1,
    "a string": "a",
    "a half": 1.5,
    "True": True,
    "beyond 32 bits": 2**32,
    "a list": [1],
    "NaN": nan,
    "a tensor": torch.tensor(3),
    "three as a float": 3.0,
    "too many digits": 10**30,
}
SEEDED = [
    Bad(f"a seed of {what}, {where}", QueryError, ("seed", f"{value!r}", "None"), lambda call=call, value=value: call(value))
    for what, value in SEEDS.items()
    for where, call in (
        ("in a sample", lambda seed: sample(linear, 2, seed=seed)),
        ("in worlds", lambda seed: worlds(linear, SEEN, {"a": {}}, seed=seed)),
    )
] + [
    Bad("a seed of minus one, in fit_guide", QueryError, ("seed", "-1"), lambda: fit_guide(hidden, SEEN, seed=-1, progress=False)),
]  # fmt: skip

METHODS = {
    "a string": "nuts", "a class": ImportanceSampling, "a number": 3, "True": True, "a dict": {"draw": 1}, "the class NUTS": NUTS,
    "an autoguide class": AutoNormal,
}  # fmt: skip
CHOSEN = [
    Bad(f"{what} as a method", AbductionError, ("method", "ImportanceSampling()", "fit_guide"), lambda method=method: abduct(hidden, SEEN, method=method))
    for what, method in METHODS.items()
]  # fmt: skip


def endogenous(evidence):
    """A guide over a variable instead of its noise."""
    pyro.sample("Z", dist.Normal(torch.zeros(2), 1.0))


def unknown(evidence):
    pyro.sample("U_Q", dist.Normal(torch.zeros(2), 1.0))


def empty(evidence):
    return None


def fails(evidence):
    pyro.sample("U_Z", dist.Normal(evidence["Q"], 1.0))


def of_two_arguments(evidence, more):
    pyro.sample("U_Z", dist.Normal(torch.zeros(2), 1.0))


class Learned(torch.nn.Module):
    """A guide whose loss is not a number."""

    def __init__(self):
        super().__init__()
        self.loc = torch.nn.Parameter(torch.tensor(nan))

    def forward(self, evidence):
        pyro.sample("U_Z", dist.Normal(self.loc.expand(2), 1.0, validate_args=False))


def impossible():
    """Y is 1 only where Z is beyond any draw."""
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    pyro.sample("Y", dist.Bernoulli((z > 50.0).float()))


def fixed():
    z = pyro.sample("Z", dist.Uniform(0.0, 1.0))
    pyro.sample("Y", dist.Uniform(z, z + 1.0))


INFERRED = [
    Bad("hidden noise without a method", AbductionError, ("'Z'", "['X']", "ImportanceSampling()", "observe it"), lambda: abduct(curved, {"X": [0.5]})),
    Bad("parameters without a method", AbductionError, ("'rate'", "'X'", "NUTS()"), lambda: abduct(rates, {"X": torch.ones(4)})),
    Bad("evidence below without a method", AbductionError, ("'Z'", "['X']"), lambda: counterfactual(curved, {"X": 1.0}, {"Z": 0.0})),
    Bad("evidence that no draw explains", EvidenceError, ("probability zero", "1000 draws", "1 of 1 units"), lambda: abduct(impossible, {"Y": 1.0}, IS, 1000, seed=0)),
    Bad("evidence that no draw explains in one unit", EvidenceError, ("probability zero", "1 of 2 units"), lambda: abduct(impossible, {"Y": [0.0, 1.0]}, IS, 100, seed=0)),
    Bad("evidence outside every support", EvidenceError, ("probability zero",), lambda: abduct(fixed, {"Y": 5.0}, IS, 100, seed=0)),
    Bad("a guide over a variable", AbductionError, ("'Z'", "noise", "U_Z"), lambda: abduct(hidden, SEEN, endogenous, 10)),
    Bad("a guide over an unknown noise", AbductionError, ("'U_Q'", "U_Z"), lambda: abduct(hidden, SEEN, unknown, 10)),
    Bad("a guide over nothing", AbductionError, ("U_Z", "sample them"), lambda: abduct(hidden, SEEN, empty, 10)),
    Bad("a guide that fails", ModelError, ("the guide", "KeyError", "'Q'"), lambda: abduct(hidden, SEEN, fails, 10)),
    Bad("a guide that takes more", AbductionError, ("a guide", "arguments", "more"), lambda: abduct(hidden, SEEN, of_two_arguments, 10)),
    Bad("importance sampling from a number", AbductionError, ("guide", "3"), lambda: ImportanceSampling(3)),
    Bad("importance sampling from a guide class", AbductionError, ("guide", "AutoNormal", "fit_guide"), lambda: ImportanceSampling(AutoNormal)),
    Bad("no chain", QueryError, ("num_chains", "0"), lambda: NUTS(num_chains=0)),
    Bad("half a chain", QueryError, ("num_chains", "0.5"), lambda: NUTS(num_chains=0.5)),
    Bad("negative warm-up", QueryError, ("num_warmup", "-5"), lambda: NUTS(num_warmup=-5)),
    Bad("a tree of depth zero", QueryError, ("max_tree_depth", "0"), lambda: NUTS(max_tree_depth=0)),
    Bad("acceptance of one", QueryError, ("target_accept", "1.0"), lambda: NUTS(target_accept=1.0)),
    Bad("acceptance in words", QueryError, ("target_accept", "'high'"), lambda: NUTS(target_accept="high")),
    Bad("draws that do not divide into chains", QueryError, ("num_samples=10", "4 chains", "12"), lambda: abduct(hidden, SEEN, NUTS(progress=False), 10)),
    Bad("a guide where nothing is hidden", AbductionError, ("exact", "without a guide"), lambda: fit_guide(linear, SEEN, progress=False)),
    Bad("a guide for unknown evidence", UnknownVariableError, ("'Q'", "Z, X, Y"), lambda: fit_guide(hidden, {"Q": 1.0}, progress=False)),
    Bad("a point estimate as a guide", AbductionError, ("AutoDelta", "AutoNormal"), lambda: fit_guide(hidden, SEEN, AutoDelta, progress=False)),
    Bad("a plain function to train", AbductionError, ("torch module", "function"), lambda: fit_guide(hidden, SEEN, endogenous, progress=False)),
    Bad("a string to train", AbductionError, ("torch module", "str"), lambda: fit_guide(hidden, SEEN, "AutoNormal", progress=False)),
    Bad("a guide of another model", AbductionError, ("U_Z",), lambda: fit_guide(linear, {"Y": [1.0, 2.0]}, Learned(), progress=False)),
    Bad("no step", QueryError, ("steps", "0"), lambda: fit_guide(hidden, SEEN, steps=0, progress=False)),
    Bad("half a step", QueryError, ("steps", "0.5"), lambda: fit_guide(hidden, SEEN, steps=0.5, progress=False)),
    Bad("no particle", QueryError, ("num_particles", "0"), lambda: fit_guide(hidden, SEEN, num_particles=0, progress=False)),
    Bad("a learning rate of zero", QueryError, ("learning_rate", "0"), lambda: fit_guide(hidden, SEEN, learning_rate=0, progress=False)),
    Bad("a learning rate of NaN", QueryError, ("learning_rate", "nan"), lambda: fit_guide(hidden, SEEN, learning_rate=nan, progress=False)),
    Bad("a learning rate in words", QueryError, ("learning_rate", "'fast'"), lambda: fit_guide(hidden, SEEN, learning_rate="fast", progress=False)),
    Bad("a guide that turns to NaN", FitError, ("step 0", "learning_rate"), lambda: fit_guide(hidden, SEEN, Learned(), steps=5, progress=False)),
    Bad("an amortised guide for plates", AbductionError, ("plates", "AutoNormal"), lambda: fit_guide(plated, {"X": torch.zeros(4), "Y": torch.zeros(4)}, AmortizedGuide, progress=False)),
    Bad("a class that is no guide", AbductionError, ("int", "AutoNormal"), lambda: fit_guide(hidden, SEEN, int, progress=False)),
    Bad("a class of modules that is no guide", AbductionError, ("Linear", "AutoNormal"), lambda: fit_guide(hidden, SEEN, torch.nn.Linear, progress=False)),
    Bad("a module that is no guide", ModelError, ("the guide", "TypeError"), lambda: fit_guide(hidden, SEEN, torch.nn.Linear(1, 1), progress=False)),
    Bad("no guide", AbductionError, ("torch module", "NoneType"), lambda: fit_guide(hidden, SEEN, None, progress=False)),
    Bad("an amortised guide of a number", AbductionError, ("fit_guide", "int"), lambda: AmortizedGuide(3)),
    Bad("a guide trained far too fast", FitError, ("lower bound", "lower learning_rate"), lambda: fit_guide(hidden, SEEN, learning_rate=1e30, steps=20, seed=0, progress=False)),
    Bad("a guide of other units", AbductionError, ("2 units", "3", "AmortizedGuide"), lambda: abduct(hidden, {"X": [0.0, 1.0, 2.0], "Y": 0.0}, fit_guide(hidden, SEEN, steps=2, seed=0, progress=False), 10)),
    Bad("acceptance of NaN", QueryError, ("target_accept", "nan"), lambda: NUTS(target_accept=nan)),
    Bad("a chain of True", QueryError, ("num_chains", "True"), lambda: NUTS(num_chains=True)),
    Bad("a guide for NaN", AbductionError, ("exact, without a guide",), lambda: fit_guide(hidden, {"X": [nan]}, progress=False)),
    Bad("an amortised guide for other sites", AbductionError, ("'Y'", "evidence"), lambda: amortised({"X": [0.0, 1.0]})),
    Bad("noise with a method on top", QueryError, ("method", "leave out"), lambda: counterfactual(linear, abduct(linear, SEEN), {}, method=IS)),
    Bad("noise with draws on top", QueryError, ("num_samples", "leave out"), lambda: counterfactual(linear, abduct(linear, SEEN), {}, num_samples=5)),
]  # fmt: skip


def amortised(evidence):
    guide = fit_guide(hidden, SEEN, AmortizedGuide, steps=2, seed=0, progress=False)
    return abduct(hidden, evidence, guide, 10)


def draws():
    return counterfactual(linear, SEEN, {"X": 1.0}, num_samples=20, seed=0)


def single():
    return counterfactual(linear, SEEN, {"X": 1.0})


LEVELS = {
    "above one": 1.5,
    "below zero": -0.1,
    "NaN": nan,
    "a string": "0.5",
    "None": None,
    "True": True,
    "a list": [0.1, 0.9],
}
RETURNED = [
    Bad(f"a quantile {what}", QueryError, ("q must be a number from 0 to 1", f"{q!r}"), lambda q=q: draws().quantile("Y", q))
    for what, q in LEVELS.items()
] + [
    Bad(f"an interval of level {what}", QueryError, ("level", f"{level!r}"), lambda level=level: draws().interval("Y", level))
    for what, level in (("one", 1.0), ("zero", 0.0), ("95", 95), ("NaN", nan), ("a string", "95%"))
] + [
    Bad(f"the {what} of an unknown site", UnknownVariableError, ("'Q'", "X, Y"), call)
    for what, call in {
        "values": lambda: draws()["Q"],
        "mean": lambda: draws().mean("Q"),
        "standard deviation": lambda: draws().std("Q"),
        "quantile": lambda: draws().quantile("Q", 0.5),
        "interval": lambda: draws().interval("Q"),
        "samples": lambda: sample(linear, 3)["Q"],
    }.items()
] + [
    Bad(f"the {what} of a single draw", QueryError, ("'Y'", "single exact draw", "num_samples"), call)
    for what, call in {
        "mean": lambda: single().mean("Y"),
        "standard deviation": lambda: single().std("Y"),
        "quantile": lambda: single().quantile("Y", 0.5),
    }.items()
] + [
    Bad("the noise of an unknown site", UnknownVariableError, ("'U_Q'", "U_X"), lambda: abduct(linear, SEEN)["U_Q"]),
    Bad("a variable among the noise", UnknownVariableError, ("'X'", "U_X"), lambda: abduct(linear, SEEN)["X"]),
    Bad("sites in a list", UnknownVariableError, ("['X']", "X, Y"), lambda: draws()[["X"]]),
    Bad("a site by number", UnknownVariableError, ("0", "X, Y"), lambda: draws()[0]),
]  # fmt: skip

CASES = [*DRAWN, *SEEDED, *CHOSEN, *INFERRED, *RETURNED]
