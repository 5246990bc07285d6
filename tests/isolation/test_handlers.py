"""A verb is a closed computation: its answer is the same under handlers of the caller, and they do not notice it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import MCMC, NUTS, SVI, Trace_ELBO, TraceEnum_ELBO, config_enumerate
from pyro.infer.autoguide import AutoNormal
from pyro.infer.reparam import LocScaleReparam

import causal_pyro_models as cpm
from causal_pyro_models.estimators import Bootstrap
from causal_pyro_models.inference import joint_table, with_posterior
from causal_pyro_models.scm.zoo import nonlinear
from tests.isolation.test_threads import (
    ARMS,
    CALLS,
    FLOW,
    LINE,
    ROWS,
    counts,
    guided,
    hierarchical,
    model,
    same,
    trained,
)

pytestmark = pytest.mark.filterwarnings("ignore::causal_pyro_models.CausalWarning")


def binary():
    z = pyro.sample("Z", dist.Bernoulli(0.4))
    x = pyro.sample("X", dist.Bernoulli(0.3 + 0.4 * z))
    pyro.sample("Y", dist.Bernoulli(0.2 + 0.3 * x + 0.2 * z))


GRAPH = cpm.CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("Z", "Y"), ("X", "Y")])
TABLE = cpm.sample(binary, 300, seed=0).to_dataframe().drop(columns="unit")
ZS = {"Z": (0.0, 1.0)}
OPTIONS: dict[str, Any] = {"num_samples": 200, "seed": 11}
GAPS = {"X": [0.5, 0.1], "Y": [float("nan"), 1.0]}
TWICE = Bootstrap(2)
HALF = torch.tensor(0.5, requires_grad=True)
REPLAYED = poutine.trace(model).get_trace()
IMPUTER = copy.deepcopy(FLOW)
cpm.fit(IMPUTER, {"X": [0.1 * i for i in range(60)], "Y": [None if i % 3 else 0.2 * i for i in range(60)]}, steps=5,
        seed=0, progress=False)  # fmt: skip
EVERY: dict[str, Callable[[], Any]] = {
    **CALLS,
    "fit": lambda: trained(steps=3),
    "fit_guide": lambda: guided(steps=3),
    "worlds": lambda: cpm.worlds(model, ROWS, {"a": {"X": 0.0}, "b": {}}, seed=0)["a"].sites,
    "potential": lambda: cpm.counterfactual(binary, {}, {"Z": 1.0, "X": cpm.potential("X", {"Z": 0.0})}, seed=0).sites,
    "cate": lambda: cpm.cate(binary, ARMS, "Y", by="Z", **OPTIONS).value,
    "cde": lambda: cpm.cde(binary, ZS, "Y", {"X": 0.0}, **OPTIONS).value,
    "dose_response": lambda: cpm.dose_response(model, {"X": [0.0, 1.0]}, "Y", **OPTIONS).value,
    "ite": lambda: cpm.ite(model, ARMS, "Y", evidence=ROWS, seed=0).value,
    "nde": lambda: cpm.nde(binary, ZS, "Y", "X", **OPTIONS).value,
    "nie": lambda: cpm.nie(binary, ZS, "Y", "X", **OPTIONS).value,
    "path_specific": lambda: cpm.path_specific(binary, ZS, "Y", [["Z", "Y"]], graph=GRAPH, **OPTIONS).value,
    "risk_ratio": lambda: cpm.risk_ratio(binary, ARMS, "Y", **OPTIONS).value,
    "odds_ratio": lambda: cpm.odds_ratio(binary, ARMS, "Y", **OPTIONS).value,
    "ps": lambda: cpm.ps(binary, ARMS, "Y", **OPTIONS).value,
    "pns": lambda: cpm.pns(binary, ARMS, "Y", **OPTIONS).value,
    "with_posterior": lambda: cpm.sample(with_posterior(hierarchical, {"mu": LINE[:5]}), 5, seed=0).sites,
    "grad": lambda: cpm.sample(cpm.intervene(hierarchical, {"mu": HALF}), 3, seed=0, grad=True)["Y"].detach(),
    "summed": lambda: cpm.probability(binary, {"X": 1}, {"Y": [0.0, 1.0]}),
    "joint_table": lambda: joint_table(binary, ["X", "Y"]).probabilities,
    "estimand": lambda: cpm.identify(GRAPH, "P(Y=1 | do(X=1))").evaluate(binary),
    "aipw": lambda: cpm.aipw(TABLE, ARMS, "Y", adjustment=["Z"], uncertainty=TWICE, seed=0).value,
    "ipw": lambda: cpm.ipw(TABLE, ARMS, "Y", adjustment=["Z"], uncertainty=TWICE, seed=0).value,
    "g_formula": lambda: cpm.g_formula(TABLE, ARMS, "Y", adjustment=["Z"], uncertainty=TWICE, seed=0).value,
    "impute": lambda: cpm.impute(IMPUTER, GAPS, 20, seed=0).sites,
    "learned": lambda: cpm.counterfactual(IMPUTER, {"X": [0.3], "Y": [0.5]}, {"X": 1.0}, seed=0).sites,
    "check_model": lambda: [
        check.figure for check in cpm.check_model(model, cpm.sample(model, 50, seed=0), num_samples=100).checks
    ],
    "simulate": lambda: nonlinear.chain().simulate(5, seed=0),
}
HANDLERS: dict[str, Callable[[], list[AbstractContextManager[Any]]]] = {
    "plates": lambda: [
        pyro.plate("outer", 2, dim=-3),
        pyro.plate("rows", 10, subsample_size=2, dim=-2),
        pyro.plate("_units", 3, dim=-1),
        poutine.enum(first_available_dim=-5),
    ],
    "values": lambda: [
        poutine.condition(data={"Z": torch.tensor(5.0), "U_Z": torch.tensor(5.0)}),
        poutine.do(data={"X": torch.tensor(5.0), "Y": torch.tensor(7.0)}),
        poutine.replay(trace=REPLAYED),
        poutine.uncondition(),
        poutine.lift(prior=dist.Normal(0.0, 1.0)),
        poutine.reparam(config={"Z": LocScaleReparam()}),
        poutine.seed(rng_seed=1),
    ],
    "densities": lambda: [poutine.mask(mask=torch.tensor(False)), poutine.scale(scale=3.0), poutine.block()],
}


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    return {name: call() for name, call in EVERY.items()}


@pytest.mark.parametrize("kind", HANDLERS)
def test_handlers_of_the_caller_do_not_reach_into_a_verb(kind, alone):
    different = []
    with ExitStack() as stack:
        recorder = stack.enter_context(poutine.trace())
        intervened = stack.enter_context(cpm.intervene(do={"X": 1.0}))
        for handler in HANDLERS[kind]():
            stack.enter_context(handler)
        before = list(poutine.runtime._PYRO_STACK)
        for name, call in EVERY.items():
            if not same(call(), alone[name]):
                different.append(name)
            assert before == poutine.runtime._PYRO_STACK
        intervened._seen["X"] = None  # which it expects to meet
    assert not different
    assert set(recorder.trace.nodes) <= {"outer", "rows", "_units"}


def test_the_callers_plates_are_as_they_were():
    with pyro.plate("outer", 2, dim=-2), pyro.plate("inner", 3):
        cpm.sample(model, 5)
        with pytest.raises(cpm.CausalError):
            cpm.sample(model, 0)
        assert pyro.sample("W", dist.Normal(0.0, 1.0)).shape == (2, 3)
        with pyro.plate("third", 4) as index:
            assert len(index) == 4 and pyro.sample("V", dist.Normal(0.0, 1.0)).shape == (4, 2, 3)


def around_a_verb():
    """A model that asks another one for a number in the middle of it."""
    scale = pyro.sample("scale", dist.LogNormal(0.0, 1.0))
    with pyro.plate("rows", 3):
        effect = cpm.ate(binary, ARMS, "Y", num_samples=50, seed=0)
        cpm.sample(counts, 4)
        pyro.sample("obs", dist.Normal(effect.value.float(), scale), obs=torch.tensor([0.1, 0.5, 0.3]))


def plainly():
    """The same with the number put in by hand."""
    scale = pyro.sample("scale", dist.LogNormal(0.0, 1.0))
    with pyro.plate("rows", 3):
        pyro.sample("obs", dist.Normal(EFFECT, scale), obs=torch.tensor([0.1, 0.5, 0.3]))


EFFECT = cpm.ate(binary, ARMS, "Y", num_samples=50, seed=0).value.float()


def test_verbs_inside_a_model_run_by_svi_and_nuts():
    """The cpm.sample without a seed draws from the global state, so that losses are compared at fixed latents."""
    latents = {"scale": torch.tensor(1.5)}
    densities = [
        poutine.trace(poutine.condition(m, latents)).get_trace().log_prob_sum() for m in (around_a_verb, plainly)
    ]
    assert torch.equal(*densities)
    guide = AutoNormal(around_a_verb)
    svi = SVI(around_a_verb, guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO())
    assert all(torch.isfinite(torch.tensor(svi.step())) for _ in range(3))
    pyro.clear_param_store()
    mcmc = MCMC(NUTS(around_a_verb), num_samples=3, warmup_steps=3, disable_progbar=True)
    mcmc.run()
    assert set(mcmc.get_samples()) == {"scale"}


def test_verbs_inside_an_enumerated_model():
    def enumerated():
        k = pyro.sample("k", dist.Bernoulli(0.3))
        effect = cpm.ate(binary, ARMS, "Y", num_samples=50, seed=0).value.float()
        pyro.sample("obs", dist.Normal(k * effect, 1.0), obs=torch.tensor(0.4))

    def guide():
        pass

    loss = TraceEnum_ELBO(max_plate_nesting=0).loss(config_enumerate(enumerated), guide)
    p = (
        torch.tensor([0.7, 0.3])
        * dist.Normal(torch.stack([torch.zeros(()), EFFECT]), 1.0).log_prob(torch.tensor(0.4)).exp()
    )
    assert abs(loss + float(p.sum().log())) < 1e-5


def test_a_verb_inside_the_callable_of_another():
    """In an outcome, an event, an action, and in the program of a model: each as by itself."""

    def outcome(world):
        return world["Y"] + cpm.ate(binary, ARMS, "Y", num_samples=50, seed=0).value

    shifted = cpm.ate(model, ARMS, outcome, **OPTIONS)
    assert torch.allclose(shifted.value, cpm.ate(model, ARMS, "Y", **OPTIONS).value)

    def action(x):
        return x + cpm.sample(binary, 1, seed=0)["X"]

    inside = cpm.counterfactual(model, ROWS | {"X": [0.0]}, {"Z": action}, seed=0)
    step = cpm.sample(binary, 1, seed=0)["X"]
    assert torch.equal(inside["Z"], torch.tensor([0.1]) + step)

    def nested():
        with pyro.plate("units", 3):
            centre = cpm.probability(binary, {"X": 1})
            pyro.sample("Y", dist.Normal(centre.float(), 1e-3))

    assert abs(float(cpm.sample(nested, 50, seed=0)["Y"].mean()) - float(cpm.probability(binary, {"X": 1}))) < 1e-3
