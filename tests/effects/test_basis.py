"""What an answer rests on: every verb says it, prints it, and refuses where it is required."""

import pyro
import pyro.distributions as dist
import pytest
import torch

from causal_pyro_models import (
    abduct,
    ate,
    att,
    cate,
    cde,
    dose_response,
    ite,
    nde,
    nie,
    odds_ratio,
    path_specific,
    pn,
    pns,
    ps,
    risk_ratio,
)
from causal_pyro_models.errors import NotIdentifiableError, QueryError, UnknownVariableError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import Conflict, Hedge

ARMS = {"X": (0.0, 1.0)}
BACK_DOOR = CausalGraph.from_edges([("Z", "X"), ("Z", "M"), ("X", "M"), ("M", "Y"), ("X", "Y"), ("Z", "Y")])
HIDDEN = CausalGraph(["X", "M", "Y"], [("X", "M"), ("M", "Y"), ("X", "Y")], [("X", "Y"), ("X", "M"), ("M", "Y")])
EVIDENCE = {"Z": [0.0, 1.0], "X": [1.0, 0.0], "M": [1.0, 1.0], "Y": [1.0, 0.0]}


def model():
    z = pyro.sample("Z", dist.Bernoulli(0.5))
    x = pyro.sample("X", dist.Bernoulli(0.3 + 0.4 * z))
    m = pyro.sample("M", dist.Bernoulli(0.2 + 0.5 * x))
    pyro.sample("Y", dist.Bernoulli(0.1 + 0.3 * m + 0.2 * x + 0.2 * z))


VERBS = {
    "ate": lambda **options: ate(model, ARMS, "Y", **options),
    "ate of an event": lambda **options: ate(model, ARMS, {"Y": 1}, **options),
    "att": lambda **options: att(model, ARMS, "Y", **options),
    "cate": lambda **options: cate(model, ARMS, "Y", given={"M": 1.0}, **options),
    "cate by": lambda **options: cate(model, ARMS, "Y", by="M", **options),
    "ite": lambda **options: ite(model, ARMS, "Y", evidence={k: v for k, v in EVIDENCE.items() if k != "Z"}, **options),
    "dose_response": lambda **options: dose_response(model, {"X": [0.0, 1.0]}, "Y", **options),
    "risk_ratio": lambda **options: risk_ratio(model, ARMS, "Y", **options),
    "odds_ratio": lambda **options: odds_ratio(model, ARMS, "Y", **options),
    "cde": lambda **options: cde(model, ARMS, "Y", {"M": 1.0}, **options),
    "nde": lambda **options: nde(model, ARMS, "Y", "M", **options),
    "nie": lambda **options: nie(model, ARMS, "Y", "M", **options),
    "path_specific": lambda **options: path_specific(model, ARMS, "Y", [("X", "M", "Y")], **options),
    "pn": lambda **options: pn(model, ARMS, "Y", **options),
    "ps": lambda **options: ps(model, ARMS, "Y", **options),
    "pns": lambda **options: pns(model, ARMS, "Y", **options),
}
OF_ONE_UNIT = {"pn", "ps", "pns"}  # of which data alone say no more than bounds
OF_EFFECTS_OF_THE_TREATMENT = {"cate", "cate by"}  # here given a mediator


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "ite"])
def test_without_hidden_causes_population_effects_are_identified_and_those_of_units_are_not(verb):
    options = {"data_graph": BACK_DOOR, "seed": 0, "num_samples": 200}
    estimate = VERBS[verb](**options)
    expected = verb not in OF_ONE_UNIT | OF_EFFECTS_OF_THE_TREATMENT
    assert estimate.basis.identified is expected
    says = "identified from the data: P(" if expected else "rests on the form of the model"
    assert says in repr(estimate) and says in str(estimate.basis)
    plain = VERBS[verb](**options | {"data_graph": None})
    assert plain.basis is None and torch.equal(plain.value, estimate.value)
    assert repr(estimate).startswith(repr(plain))


@pytest.mark.parametrize("verb", VERBS)
def test_with_hidden_causes_it_is_refused_where_it_is_required(verb):
    with pytest.raises(NotIdentifiableError, match=r"not identifiable.*identification\.\w*bounds\(") as refusal:
        VERBS[verb](data_graph=HIDDEN, require_identified=True)
    assert isinstance(refusal.value.witness, Hedge | Conflict)


def test_an_individual_effect_rests_on_the_model():
    estimate = ite(model, ARMS, "Y", evidence=EVIDENCE, data_graph=BACK_DOOR, seed=0)
    assert not estimate.basis.identified and isinstance(estimate.basis.witness, Conflict)


def test_the_basis_holds_estimand_or_hedge():
    found = ate(model, ARMS, "Y", data_graph=BACK_DOOR, require_identified=True, num_samples=100, seed=0).basis
    (estimand,) = found.estimands
    assert str(estimand) == "sum_z P(y | x, z) P(z)" and found.witness is None
    hidden = ate(model, ARMS, "Y", data_graph=HIDDEN, num_samples=100, seed=0).basis
    assert not hidden.estimands and isinstance(hidden.witness, Hedge) and "hedge" in hidden.reason
    direct = nde(model, ARMS, "Y", "M", data_graph=BACK_DOOR, num_samples=100, seed=0).basis
    assert len(direct.estimands) == 2 and direct.query == "P(Y_{X=x', M_{X}}) and P(Y_{X})"


def test_the_graph_of_the_data_comes_in_any_form():
    text = "Z -> {X M Y}; X -> {M Y}; M -> Y"
    said, stated = (ate(model, ARMS, "Y", data_graph=graph, num_samples=100, seed=0) for graph in (text, BACK_DOOR))
    assert str(said.basis) == str(stated.basis)
    along = path_specific(model, ARMS, "Y", [("X", "M", "Y")], graph=text, num_samples=100, seed=0)
    assert float(along.value) == float(VERBS["path_specific"](graph=BACK_DOOR, num_samples=100, seed=0).value)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: ate(model, ARMS, "Y", require_identified=True), QueryError, "data_graph=CausalGraph"),
        (lambda: ate(model, ARMS, "Y", data_graph=3), QueryError, "CausalGraph, got int"),
        (lambda: ate(model, ARMS, lambda world: world["Y"], data_graph=BACK_DOOR), QueryError, "named outcomes"),
        (
            lambda: ate(model, {"X": (0.0, lambda x: x + 1)}, "Y", data_graph=BACK_DOOR),
            QueryError,
            "set to values.*'X'",
        ),
        (
            lambda: cate(model, ARMS, "Y", by=lambda world: world["Z"] > 0, data_graph=BACK_DOOR),
            QueryError,
            "named variables",
        ),
        (
            lambda: ite(model, ARMS, "Y", evidence=abduct(model, EVIDENCE), data_graph=BACK_DOOR),
            QueryError,
            "abducted noise",
        ),
        (
            lambda: ate(model, ARMS, "Y", data_graph=CausalGraph.from_edges([("X", "Z")])),
            UnknownVariableError,
            "'Y'",
        ),
    ],
)
def test_mistakes_are_named(call, error, says):
    with pytest.raises(error, match=says):
        call()
