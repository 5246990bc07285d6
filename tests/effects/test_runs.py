"""How often a verb runs a model: the cost of an answer, as a count.

A model is inspected once and run once for each world that is asked about; one that the library has not met is first
looked at, once, in the runs of ``test_a_new_model_is_looked_at_once``. Abduction runs it once; again, with draws,
where the first run shows that the evidence does not determine the noise; and with a method once more to read off what
the evidence bears on, and once for the proposal. What seems not to matter is probed in 13 runs of one draw.
"""

import pyro
import pyro.distributions as dist
import pytest
import torch

from causal_pyro_models import (
    AmortizedGuide,
    CausalGraph,
    ImportanceSampling,
    abduct,
    ate,
    att,
    cate,
    cde,
    counterfactual,
    dose_response,
    fit_guide,
    ite,
    nde,
    nie,
    odds_ratio,
    path_specific,
    pn,
    pns,
    ps,
    risk_ratio,
    sample,
    sbc,
    worlds,
)
from causal_pyro_models.inference.program import inspect_model
from causal_pyro_models.inference.replay import ROUNDS
from causal_pyro_models.inference.states import MIXTURES

ARMS = {"X": (0.0, 1.0)}
GRAPH = CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "M"), ("M", "Y"), ("X", "Y")])
ALL = {"Z": [0.0, 1.0, 1.0, 0.0], "X": [1.0, 0.0, 1.0, 0.0], "M": [1.0, 1.0, 0.0, 0.0], "Y": [1.0, 0.0, 1.0, 0.0]}
SOME = {name: values for name, values in ALL.items() if name != "Z"}
IS = ImportanceSampling()
PROBES = 13


class Counted:
    """A model that counts its runs."""

    def __init__(self, model):
        self.model, self.runs = model, 0

    def __call__(self):
        self.runs += 1
        self.model()


def discrete():
    z = pyro.sample("Z", dist.Bernoulli(0.5))
    x = pyro.sample("X", dist.Bernoulli(0.3 + 0.4 * z))
    m = pyro.sample("M", dist.Bernoulli(0.2 + 0.5 * x))
    pyro.sample("Y", dist.Bernoulli(0.3 + 0.3 * m + 0.2 * x + 0.1 * z))


def linear():
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    x = pyro.sample("X", dist.Normal(z, 1.0))
    m = pyro.sample("M", dist.Normal(x, 1.0))
    pyro.sample("Y", dist.Normal(m + x + z, 1.0))


VERBS = {  # and how many worlds each asks about
    "ate": (lambda model, **options: ate(model, ARMS, "Y", **options), 2),
    "att": (lambda model, **options: att(model, ARMS, "Y", **options), 3),
    "cate": (lambda model, **options: cate(model, ARMS, "Y", by=lambda world: world["X"] == 1, **options), 3),
    "dose_response": (lambda model, **options: dose_response(model, {"X": [0.0, 1.0, 0.0]}, "Y", **options), 3),
    "risk_ratio": (lambda model, **options: risk_ratio(model, ARMS, "Y", **options), 2),
    "odds_ratio": (lambda model, **options: odds_ratio(model, ARMS, "Y", **options), 2),
    "cde": (lambda model, **options: cde(model, ARMS, "Y", {"M": 1.0}, **options), 2),
    "nde": (lambda model, **options: nde(model, ARMS, "Y", "M", **options), 3),
    "nie": (lambda model, **options: nie(model, ARMS, "Y", "M", **options), 3),
    "path_specific": (
        lambda model, **options: path_specific(model, ARMS, "Y", [("X", "M", "Y")], graph=GRAPH, **options),
        3,
    ),
    "pn": (lambda model, **options: pn(model, ARMS, "Y", **options), 3),
    "ps": (lambda model, **options: ps(model, ARMS, "Y", **options), 3),
    "pns": (lambda model, **options: pns(model, ARMS, "Y", **options), 3),
}
BINARY = {"risk_ratio", "odds_ratio", "pn", "ps", "pns"}


def runs(model, ask):
    """How often a verb runs a model that the library has met."""
    counted = Counted(model)
    inspect_model(counted)
    before = counted.runs
    ask(counted)
    return counted.runs - before


@pytest.mark.parametrize("model", [discrete, linear])
def test_a_new_model_is_looked_at_once(model):
    """One run tells its sites; rounds of one for two units and two draws, and two replays, whether it broadcasts."""
    counted = Counted(model)
    sample(counted, 5)
    assert counted.runs == 1 + 3 * ROUNDS + 1
    ate(counted, ARMS, "Y", num_samples=500, seed=0)
    assert counted.runs == 1 + 3 * ROUNDS + 1 + (1 + 1 + 2)


@pytest.mark.parametrize("name", [name for name in VERBS if name != "att"])
def test_without_evidence(name):
    verb, asked = VERBS[name]
    assert runs(discrete, lambda model: verb(model, num_samples=500, seed=0)) == 1 + 1 + asked


@pytest.mark.parametrize("name", VERBS)
def test_with_evidence_that_leaves_the_noise_open(name):
    verb, asked = VERBS[name]
    data = dict(sample(discrete, 50, seed=0))
    assert runs(discrete, lambda model: verb(model, evidence=data, seed=0)) == 1 + 2 + asked


@pytest.mark.parametrize("name", [name for name in VERBS if name not in BINARY])
def test_with_evidence_that_determines_the_noise(name):
    verb, asked = VERBS[name]
    assert runs(linear, lambda model: verb(model, evidence=ALL, seed=0)) == 1 + 1 + asked
    assert len(verb(linear, evidence=ALL, seed=0).draws) == 1
    assert len(verb(linear, evidence=ALL, num_samples=5, seed=0).draws) == 5


@pytest.mark.parametrize("name", VERBS)
def test_with_noise(name):
    verb, asked = VERBS[name]
    noise = abduct(discrete, dict(sample(discrete, 50, seed=0)), num_samples=100, seed=0)
    assert runs(discrete, lambda model: verb(model, evidence=noise)) == 1 + asked


@pytest.mark.filterwarnings("ignore::causal_pyro_models.CausalWarning")
@pytest.mark.parametrize("name", VERBS)
def test_with_a_method(name):
    """Z has finitely many states: that units are independent given them is looked at in runs of its own."""
    verb, asked = VERBS[name]
    data = {name: value for name, value in sample(discrete, 50, seed=0).items() if name != "Z"}
    assert runs(discrete, lambda model: verb(model, evidence=data, method=IS, seed=0)) == 1 + 3 + (2 + MIXTURES) + asked


@pytest.mark.filterwarnings("ignore::causal_pyro_models.CausalWarning")
def test_the_rest():
    assert runs(discrete, lambda model: ite(model, ARMS, "Y", evidence=ALL, seed=0)) == 1 + 2 + 2
    assert runs(linear, lambda model: ite(model, ARMS, "Y", evidence=ALL, seed=0)) == 1 + 1 + 2
    assert runs(linear, lambda model: att(model, ARMS, "Y", seed=0)) == 1 + (3 + PROBES) + 2
    assert runs(linear, lambda model: cate(model, ARMS, "Y", given={"Z": 1.0}, seed=0)) == 1 + (1 + PROBES + 1) + 2
    traced = runs(linear, lambda model: path_specific(model, ARMS, "Y", [("X", "M", "Y")], seed=0))
    assert traced == 1 + 1 + 1 + 3  # the graph is traced in a run of its own


def test_verbs_of_single_worlds():
    assert runs(discrete, lambda model: sample(model, 5)) == 1 + 1
    assert runs(discrete, lambda model: abduct(model, ALL)) == 1 + 1
    assert runs(discrete, lambda model: counterfactual(model, ALL, {"X": 1.0})) == 1 + 1 + 1
    assert runs(discrete, lambda model: worlds(model, ALL, {"one": {}, "other": {"X": 1.0}})) == 1 + 1 + 2


def test_what_the_evidence_bears_on_is_found_once():
    """Inspected, traced for what is relevant, checked and warmed up, then a run for each step."""
    quiet = {"steps": 10, "seed": 0, "progress": False}
    assert runs(linear, lambda model: fit_guide(model, SOME, **quiet)) == 1 + 1 + 2 + 10
    assert runs(linear, lambda model: fit_guide(model, SOME, AmortizedGuide, **quiet)) == 1 + 1 + 2 + 10


def plated():
    with pyro.plate("people", 2):
        linear()


def test_calibration_inspects_once_for_all_simulations():
    def calibrate(model):
        sbc(model, IS, ["X", "M", "Y"], 20, num_samples=100, num_ranked=9, seed=0, progress=False)

    assert runs(plated, calibrate) == 2 + 1 + 20 * (3 + 3)
    assert torch.is_grad_enabled()
