"""A warning names the line of the user that it came from, whatever lies between that line and where it was noticed."""

import contextlib
import functools
import warnings

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch

from causal_pyro_models import (
    NUTS,
    CausalGraph,
    CausalWarning,
    ImportanceSampling,
    abduct,
    ate,
    att,
    cate,
    counterfactual,
    ipw,
    ite,
    sbc,
    worlds,
)
from causal_pyro_models.errors import warn
from causal_pyro_models.estimators.uncertainty import DeltaMethod

ARMS = {"X": (0.0, 1.0)}
FEW = {"method": ImportanceSampling(), "num_samples": 20, "seed": 0}
NONE = NUTS(num_warmup=2, num_chains=1, max_tree_depth=1, progress=False)
SEEN = {"Y": [9.0]}
GRAPH = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")])
Z = np.linspace(-3.0, 3.0, 400)
RARE = pd.DataFrame({"Z": Z, "X": (np.sin(7 * Z) + Z > 0).astype(int), "Y": Z})


def model():
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    x = pyro.sample("X", dist.Normal(z, 1.0))
    pyro.sample("Y", dist.Normal(x + z, 0.1))


@torch.no_grad()
def decorated():
    return counterfactual(model, SEEN, {"X": 0.0}, **FEW)


def of_the_package(source):
    """A function as if it were written in a module of the package."""
    module = {"__name__": "causal_pyro_models.anywhere", "warn": warn}
    exec(source, module)
    return module["noticed"]


noticed = of_the_package("def noticed(*_): warn('noticed')")
generated = of_the_package("def noticed():\n    yield\n    warn('noticed')")
WRAPPED = {
    "torch": torch.no_grad()(noticed),
    "functools": functools.singledispatch(noticed),
    "pyro": pyro.poutine.trace(noticed),
    "contextlib": contextlib.contextmanager(generated)(),
}


def of_an_outcome(world):
    warn("noticed in a function of the user")
    return world["Y"]


CALLS = {
    "abduct": lambda: abduct(model, SEEN, **FEW),
    "abduct by chains": lambda: abduct(model, SEEN, NONE, 20, seed=0),
    "counterfactual": lambda: counterfactual(model, SEEN, {"X": 0.0}, **FEW),
    "worlds": lambda: worlds(model, SEEN, {"one": {}}, **FEW),
    "ate": lambda: ate(model, ARMS, "Y", evidence=SEEN, **FEW),
    "ite": lambda: ite(model, ARMS, "Y", evidence=SEEN, **FEW),
    "att": lambda: att(model, {"X": (0.0, 9.0)}, "Y", num_samples=20, seed=0),
    "cate": lambda: cate(model, ARMS, "Y", given={"X": 9.0}, num_samples=20, seed=0),
    "sbc": lambda: sbc(model, ImportanceSampling(), ["Y"], 20, 20, 9, seed=0, progress=False),
    "ipw": lambda: ipw(RARE, {"X": (0, 1)}, "Y", graph=GRAPH, uncertainty=DeltaMethod()),
}


def caught_from(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    found = [(w.filename, w.lineno) for w in caught if issubclass(w.category, CausalWarning)]
    assert found
    return found


@pytest.mark.parametrize("name", CALLS)
def test_the_line_is_that_of_the_call(name):
    assert {*caught_from(CALLS[name])} == {(__file__, CALLS[name].__code__.co_firstlineno)}


def test_a_line_in_a_decorated_function_of_the_user_is_the_line():
    assert {*caught_from(decorated)} == {(__file__, decorated.__wrapped__.__code__.co_firstlineno + 2)}


def test_what_the_package_calls_itself_by_does_not_count():
    def enter():
        with WRAPPED["contextlib"]:
            pass

    calls = [lambda: WRAPPED["torch"](), lambda: WRAPPED["functools"](1), lambda: WRAPPED["pyro"]()]
    for call in calls:
        assert caught_from(call) == [(__file__, call.__code__.co_firstlineno)]
    assert caught_from(enter) == [(__file__, enter.__code__.co_firstlineno + 1)]


def test_a_warning_in_a_function_of_the_user_is_there():
    line = of_an_outcome.__code__.co_firstlineno + 1
    assert {*caught_from(lambda: ate(model, ARMS, of_an_outcome, num_samples=5, seed=0))} == {(__file__, line)}


def test_once_for_each_line():
    """The default filter shows a warning once for each line; what was shown is kept with the user's module."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            warn("first")
        warn("first")
    assert len(caught) == 2
