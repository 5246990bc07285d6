"""Verbs in threads give what they give alone, bit for bit, beside each other and beside a training."""

from __future__ import annotations

import copy
import os
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from inspect import signature
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine

import causal_pyro_models as cpm
from causal_pyro_models.errors import warn
from causal_pyro_models.isolation import TURNS, isolated, let_others
from causal_pyro_models.seeding import seeded

pytestmark = pytest.mark.filterwarnings("ignore::causal_pyro_models.CausalWarning")

THREADS = 8
LIMIT = 60.0  # seconds that a thread may wait, in a test that fails


def model():
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    x = pyro.sample("X", dist.Bernoulli(logits=z))
    pyro.sample("Y", dist.Normal(x + z, 1.0))


def counts():
    r = pyro.sample("R", dist.Gamma(2.0, 1.0))
    pyro.sample("N", dist.Poisson(r))


def hierarchical():
    mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
    with pyro.plate("units", 4):
        pyro.sample("Y", dist.Gamma(2.0, mu.exp()))


FLOW = cpm.CausalFlow(cpm.CausalGraph(["X", "Y"], [("X", "Y")]), {"X": 1, "Y": 1})
LINE = torch.linspace(-2.0, 2.0, 200)
DATA = {"X": LINE, "Y": LINE.exp() + torch.cos(50.0 * LINE)}
ARMS = {"X": (0.0, 1.0)}
ROWS = {"Z": [0.1], "X": [1.0], "Y": [0.3]}
SOME = {"X": [0.0, 1.0], "Y": [0.5, 2.0]}
IS, NUTS = cpm.ImportanceSampling(), cpm.NUTS(num_warmup=2, num_chains=2, max_tree_depth=2, progress=False)


def trained(steps: int = 40) -> Mapping[str, torch.Tensor]:
    flow = copy.deepcopy(FLOW)  # which draws nothing, where making one does
    cpm.fit(flow, DATA, steps=steps, patience=1000, seed=3, progress=False)
    return flow.state_dict()


def guided(steps: int = 40) -> Mapping[str, torch.Tensor]:
    return cpm.fit_guide(counts, {"N": [0.0, 3.0]}, steps=steps, seed=4, progress=False).state_dict()


CALLS: dict[str, Callable[[], Any]] = {
    "sample": lambda: cpm.sample(model, 200, seed=0).sites,
    "intervene": lambda: cpm.sample(cpm.intervene(model, {"X": 1.0}), 50, seed=1).sites,
    "abduct": lambda: cpm.abduct(model, SOME, IS, 300, seed=2).sites,
    "counterfactual": lambda: cpm.counterfactual(model, ROWS, {"X": 0.0}, num_samples=50, seed=3).sites,
    "ate": lambda: cpm.ate(model, ARMS, "Y", num_samples=500, seed=4).value,
    "att": lambda: cpm.att(model, ARMS, "Y", num_samples=500, seed=5).value,
    "pn": lambda: cpm.pn(model, ARMS, lambda world: (world["Y"] > 0).float(), num_samples=500, seed=6).value,
    "probability": lambda: cpm.probability(model, lambda world: world["Y"] > 1, num_samples=300, seed=7),
    "plates": lambda: cpm.sample(hierarchical, 20, seed=8).sites,
    "NUTS": lambda: cpm.abduct(hierarchical, {"Y": torch.ones(4)}, NUTS, 10, seed=9).sites,
    "from_model": lambda: cpm.CausalGraph.from_model(model).edges,
    "sbc": lambda: cpm.sbc(counts, IS, ["N"], 20, 50, num_ranked=9, seed=10, progress=False).ranks,
    "check_mechanism": lambda: cpm.check_mechanism(dist.Gamma(2.0, torch.tensor([1.0, 2.0])), seed=0).checks[0].figure,
}
LONG = {"fit": trained, "fit_guide": guided}


def same(a: Any, b: Any) -> bool:
    """Whether two answers are equal bit for bit."""
    if isinstance(a, Mapping):
        return list(a) == list(b) and all(same(a[name], b[name]) for name in a)
    if isinstance(a, torch.Tensor | np.ndarray):
        return torch.equal(torch.as_tensor(a), torch.as_tensor(b))
    return bool(a == b)


def together(calls: Mapping[str, Callable[[], Any]], rounds: int) -> list[str]:
    """The calls that raise or give other answers in threads than alone."""
    alone = {name: call() for name, call in calls.items()}
    before = torch.get_rng_state(), np.random.get_state()[1]
    jobs = [name for _ in range(rounds) for name in calls]
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [(name, pool.submit(calls[name])) for name in jobs]
    wrong = [name for name, future in futures if future.exception() or not same(future.result(), alone[name])]
    assert not pyro.poutine.runtime._PYRO_STACK
    assert same(before[0], torch.get_rng_state()) and same(before[1], np.random.get_state()[1])
    return wrong


def test_eight_threads_of_mixed_verbs_give_what_each_call_gives_alone():
    assert not together(CALLS, rounds=3)


def test_trainings_beside_other_verbs_give_the_same_bits():
    assert not together({**LONG, **CALLS}, rounds=2)


def test_without_turns_they_do_not(monkeypatch):
    """Of 39 calls, most raise or differ; the test holds as soon as one does."""
    monkeypatch.setattr(type(TURNS), "take", lambda self: setattr(self, "depth", self.depth + 1))
    monkeypatch.setattr(type(TURNS), "leave", lambda self: setattr(self, "depth", self.depth - 1))
    try:
        with pytest.raises(AssertionError):
            assert not together(CALLS, rounds=3)
    finally:
        TURNS.depth, TURNS.seeds = 0, []
        pyro.poutine.runtime._PYRO_STACK.clear()
        pyro.poutine.runtime._DIM_ALLOCATOR._stack = []
        pyro.clear_param_store()
        pyro.enable_validation(__debug__)


@pytest.mark.parametrize("long", LONG)
def test_a_training_lets_others_run_between_its_steps(long):
    """A short verb of another thread ends long before a training that began earlier does."""
    started, ended = threading.Event(), []

    def train():
        with seeded(0):
            started.set()
        LONG[long]()
        ended.append(long)

    worker = threading.Thread(target=train)
    worker.start()
    assert started.wait(LIMIT)
    while worker.is_alive() and TURNS.owner != worker.ident:
        time.sleep(0.0005)
    rounds = 0
    while worker.is_alive():
        cpm.sample(model, 2)
        rounds += not ended
    worker.join(LIMIT)
    assert rounds >= 5


def test_unseeded_calls_beside_a_seeded_training_go_on_with_the_global_state():
    """The stream of the process is neither repeated nor skipped, whatever a seeded call in between."""
    pyro.set_rng_seed(7)
    alone = [cpm.sample(model, 3)["Z"] for _ in range(20)]
    pyro.set_rng_seed(7)
    worker = threading.Thread(target=trained)
    worker.start()
    beside = [cpm.sample(model, 3)["Z"] for _ in range(20)]
    worker.join(LIMIT)
    assert same(torch.stack(alone), torch.stack(beside))


def test_turns_go_in_the_order_in_which_threads_come():
    order: list[int] = []

    @isolated
    def turn(i: int) -> None:
        order.append(i)

    TURNS.take()
    threads = []
    for i in range(5):
        threads.append(threading.Thread(target=turn, args=(i,)))
        threads[-1].start()
        while len(TURNS.waiting) <= i:
            time.sleep(0.0005)
    TURNS.leave()
    for thread in threads:
        thread.join(LIMIT)
    assert order == list(range(5))


def test_what_a_verb_shares_is_put_aside_while_others_run():
    """Handlers around it, its plates, its seed, its checks and its filters of warnings; all is back afterwards."""
    seen: dict[str, Any] = {}

    def other():
        seen["draw"], seen["checks"] = torch.rand(()), pyro.distributions.is_validation_enabled()
        seen["trace"] = list(poutine.trace(model).get_trace().nodes)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warn("heard")
        seen["warnings"] = len(caught)

    @isolated
    def long():
        with (
            seeded(5),
            pyro.validation_enabled(False),
            warnings.catch_warnings(),
            poutine.block(),
            pyro.plate("units", 3),
        ):
            warnings.simplefilter("ignore")
            first = torch.rand(())
            thread = threading.Thread(target=isolated(other))
            thread.start()
            while not TURNS.waiting:
                time.sleep(0.0005)
            let_others()
            thread.join(LIMIT)
            assert not pyro.distributions.is_validation_enabled()
            return first, torch.rand(()), pyro.sample("Z", dist.Normal(0.0, 1.0)).shape

    with seeded(5):
        expected = torch.rand(()), torch.rand(())
    torch.manual_seed(11)
    outside = torch.rand(())
    torch.manual_seed(11)
    first, second, shape = long()
    assert (first, second) == expected and shape == (3,)
    assert seen["checks"] is True and seen["trace"][1:4] == ["Z", "X", "Y"] and seen["warnings"] == 1
    assert seen["draw"] == outside and torch.rand(()) != outside  # the stream of the process, one draw on


def test_a_verb_inside_of_another_keeps_its_turn():
    ran = threading.Event()

    @isolated
    def inner():
        let_others()
        return ran.is_set()

    @isolated
    def outer():
        thread = threading.Thread(target=isolated(lambda: ran.set()))
        thread.start()
        while not TURNS.waiting:
            time.sleep(0.0005)
        return inner()

    assert outer() is False
    assert ran.wait(LIMIT)


def test_a_verb_that_fails_or_is_interrupted_ends_its_turn():
    @isolated
    def fails():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    assert TURNS.owner == 0 and TURNS.depth == 0
    assert together({"sample": CALLS["sample"]}, rounds=1) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_fork_beside_a_verb_of_another_thread_can_use_verbs():
    """In the child that other thread is not, and neither is what it holds."""
    inside, go_on = threading.Event(), threading.Event()

    @isolated
    def holds():
        with seeded(0), poutine.block(), pyro.plate("units", 3), pyro.validation_enabled(False):
            inside.set()
            go_on.wait(LIMIT)

    thread = threading.Thread(target=holds)
    thread.start()
    assert inside.wait(LIMIT)
    expected = pyro.distributions.is_validation_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, from Python 3.12 on
        child = os.fork()
    if not child:
        try:
            well = cpm.sample(model, 4, seed=0)["Z"].shape == (4,) and not pyro.poutine.runtime._PYRO_STACK
            os._exit(0 if well and pyro.distributions.is_validation_enabled() != expected else 1)
        finally:
            os._exit(2)
    deadline = time.monotonic() + LIMIT
    done, status = os.waitpid(child, os.WNOHANG)
    while not done and time.monotonic() < deadline:
        time.sleep(0.01)
        done, status = os.waitpid(child, os.WNOHANG)
    if not done:
        os.kill(child, 9)
    go_on.set()
    thread.join(LIMIT)
    assert done and os.waitstatus_to_exitcode(status) == 0


def test_a_decorated_verb_is_still_itself():
    assert list(signature(cpm.sample).parameters) == ["model", "num_samples", "seed", "grad"]
    assert cpm.sample.__module__ == "causal_pyro_models.inference.prediction"
    assert cpm.sample.__doc__.startswith("Samples of every site")
