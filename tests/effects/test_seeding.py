"""Seeds: the same one gives the same bits, another another answer, and no generator outside is touched by either."""

import functools
import random

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch

from causal_pyro_models import (
    CausalFlow,
    CausalGraph,
    Draws,
    ImportanceSampling,
    abduct,
    ate,
    att,
    cate,
    cde,
    counterfactual,
    dose_response,
    effects,
    ett,
    fit,
    fit_guide,
    impute,
    inference,
    ite,
    nde,
    nie,
    odds_ratio,
    path_specific,
    pn,
    pns,
    probability,
    ps,
    risk_ratio,
    sample,
    sbc,
    with_posterior,
    worlds,
)
from causal_pyro_models.errors import ModelError

ARMS = {"X": (0.0, 1.0)}
SEEN = {"Z": [0.0, 1.0, 1.0], "X": [1.0, 0.0, 1.0], "M": [1.0, 0.0, 1.0], "Y": [1.0, 0.0, 1.0]}
HIDDEN = {name: values for name, values in SEEN.items() if name != "Z"}
GRAPH = CausalGraph.from_edges([("Z", "X"), ("X", "M"), ("M", "Y"), ("X", "Y"), ("Z", "Y")])
IS = ImportanceSampling()
FEW = {"num_samples": 300}


def model():
    """Draws from every generator there is, as a user's own code may."""
    z = pyro.sample("Z", dist.Bernoulli(0.5))
    x = pyro.sample("X", dist.Bernoulli(0.3 + 0.4 * z))
    m = pyro.sample("M", dist.Bernoulli(0.2 + 0.5 * x))
    random.random(), np.random.rand(), torch.rand(())
    pyro.sample("Y", dist.Bernoulli(0.2 + 0.3 * m + 0.2 * x + 0.2 * z))


def continuous():
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    pyro.sample("X", dist.Normal(z, 1.0))


def shared(unit):
    """Units with a level in common."""
    pyro.sample("level", dist.Normal(0.0, 1.0))
    with pyro.plate("units", 2):
        unit()


EFFECTS = {
    "ate": lambda model, **options: ate(model, ARMS, "Y", **FEW, **options),
    "att": lambda model, **options: att(model, ARMS, "Y", **FEW, **options),
    "ett": lambda model, **options: ett(model, ARMS, "Y", evidence=SEEN, **FEW, **options),
    "cate": lambda model, **options: cate(model, ARMS, "Y", by="Z", **FEW, **options),
    "ite": lambda model, **options: ite(model, ARMS, "Y", evidence=HIDDEN, method=IS, **FEW, **options),
    "dose_response": lambda model, **options: dose_response(model, {"X": [0.0, 1.0]}, "Y", **FEW, **options),
    "risk_ratio": lambda model, **options: risk_ratio(model, ARMS, "Y", **FEW, **options),
    "odds_ratio": lambda model, **options: odds_ratio(model, ARMS, "Y", **FEW, **options),
    "cde": lambda model, **options: cde(model, ARMS, "Y", {"M": 1.0}, **FEW, **options),
    "nde": lambda model, **options: nde(model, ARMS, "Y", "M", **FEW, **options),
    "nie": lambda model, **options: nie(model, ARMS, "Y", "M", **FEW, **options),
    "path_specific": lambda model, **options: path_specific(
        model, ARMS, "Y", [("X", "M", "Y")], graph=GRAPH, **FEW, **options
    ),
    "pn": lambda model, **options: pn(model, ARMS, "Y", **FEW, **options),
    "ps": lambda model, **options: ps(model, ARMS, "Y", **FEW, **options),
    "pns": lambda model, **options: pns(model, ARMS, "Y", **FEW, **options),
}
OTHERS = {
    "sample": lambda model, **options: sample(model, 5, **options),
    "abduct": lambda model, **options: abduct(model, SEEN, **options),
    "counterfactual": lambda model, **options: counterfactual(model, HIDDEN, {"X": 1.0}, IS, 300, **options),
    "probability": lambda model, **options: probability(
        model, lambda world: world["Z"] > 0, HIDDEN, None, 300, **options
    ),
    "worlds": lambda model, **options: worlds(model, SEEN, {"one": {"X": dist.Bernoulli(0.5)}}, None, 5, **options),
    "sbc": lambda model, **options: sbc(model, IS, ["X", "Y"], 40, 20, 9, progress=False, **options),
    "with_posterior": lambda model, **options: with_posterior(
        lambda: shared(model), lambda: pyro.sample("level", dist.Normal(0.0, 1.0)), num_draws=5, **options
    ).held.draws["level"],
}
FITTED = {
    "fit_guide": lambda model, **options: fit_guide(continuous, {"X": [1.0, 2.0]}, steps=3, progress=False, **options),
    "impute": lambda model, **options: impute(imputer(), {"X": [0.5, 1.0], "Y": [None, 2.0]}, 20, **options),
    "table": lambda model, **options: impute(imputer(), {"X": [0.5] * 9, "Y": [None] * 9}, 20, seed=0).table(**options),
}
VERBS = EFFECTS | OTHERS | FITTED
SETTLED = {"joint_table", "diagnose", "soft", "to_inference_data"}  # nothing in them is drawn


@functools.cache
def imputer():
    x = torch.linspace(-1, 1, 40)
    data = {"X": x, "Y": torch.where(torch.arange(40) % 3 == 0, torch.nan, 2 * x)}
    flow = CausalFlow(CausalGraph(["X", "Y"], [("X", "Y")]), {"X": 1, "Y": 1}, hidden=(4,))
    fit(flow, data, steps=2, seed=0, progress=False)
    return flow


@pytest.fixture(autouse=True, scope="module")
def trained():
    """Before any state is looked at: a module that is made draws its first parameters."""
    return imputer()


def bits(answer):
    """All numbers of an answer, whatever it is."""
    if isinstance(answer, torch.nn.Module):
        return {name: value.detach().numpy() for name, value in answer.named_parameters()}
    if isinstance(answer, pd.DataFrame):
        return {name: column.to_numpy() for name, column in answer.items()}
    if hasattr(answer, "ranks"):
        return answer.ranks
    if isinstance(answer, torch.Tensor):
        return {"": answer.numpy()}
    if hasattr(answer, "interval") and hasattr(answer, "value"):
        return {"value": answer.value.numpy(), "draws": answer.draws.numpy(), "low": answer.interval[0].numpy()}
    parts = answer.values() if not isinstance(answer, Draws) else [answer]
    return {f"{i} {name}": value.numpy() for i, part in enumerate(parts) for name, value in part.items()}


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def generators():
    """The states of the generators of torch, NumPy and Python."""
    _, keys, position, *_ = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), keys.tobytes(), position, random.getstate()


def test_every_verb_is_here():
    named = {name for room in (effects, inference) for name in room.__all__ if name.islower()}
    assert named - SETTLED <= {*VERBS}


@pytest.mark.filterwarnings("ignore::causal_pyro_models.CausalWarning")
@pytest.mark.parametrize("name", VERBS)
def test_a_seed_decides_and_touches_nothing(name):
    before = generators()
    one, again, other = (bits(VERBS[name](model, seed=seed)) for seed in (1, 1, 2))
    assert generators() == before
    assert same(one, again) and not same(one, other)


@pytest.mark.filterwarnings("ignore::causal_pyro_models.CausalWarning")
@pytest.mark.parametrize("name", VERBS)
def test_without_a_seed_the_global_state_decides(name):
    answers = []
    for seed in (1, 1, 2):
        pyro.set_rng_seed(seed)
        before = torch.get_rng_state()
        answers.append(bits(VERBS[name](model)))
        assert not torch.equal(torch.get_rng_state(), before)
    assert same(answers[0], answers[1]) and not same(answers[0], answers[2])


@pytest.mark.filterwarnings("ignore::causal_pyro_models.CausalWarning")
@pytest.mark.parametrize("name", EFFECTS | OTHERS)
def test_a_call_that_fails_touches_nothing_either(name):
    """The model fails in the last of its runs, when all have drawn."""
    runs = 0

    def counted(last=None):
        nonlocal runs
        runs += 1
        model()
        if runs == last:
            raise ValueError("the last straw")

    VERBS[name](counted, seed=3)
    last, runs = runs, 0
    before = generators()
    with pytest.raises(ModelError, match="the last straw"):
        VERBS[name](lambda: counted(last), seed=3)
    assert runs == last and generators() == before
