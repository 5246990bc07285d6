"""Every bad call is refused by a typed error that names the variable or setting and the mend; never a number."""

import matplotlib.pyplot as plt
import pytest
import torch

from causal_pyro_models.errors import CausalError
from tests.bad_input import (
    adjustment,
    effects,
    evidence,
    graphs,
    inputs,
    interventions,
    learned,
    models,
    plots,
    reports,
    valid,
    verbs,
    zoo,
)

TABLES = [adjustment, effects, evidence, graphs, inputs, interventions, learned, models, plots, reports, verbs, zoo]
BAD = [(table.__name__.rpartition(".")[-1], case) for table in TABLES for case in table.CASES]
LONGEST = 1_500  # characters that a message may have

# What a user may get wrong, and words that the cases of it have in their names
KINDS = {
    "unknown names": "unknown",
    "misspelt names": "misspelt",
    "cycles": "cycle",
    "wrong shapes": "shape",
    "NaN": "NaN",
    "infinity": "infinit",
    "evidence of probability zero": "probability zero",
    "values outside the support": "support",
    "evidence on deterministic sites": "deterministic site",
    "duplicate sites": "two sites of one name",
    "models without sites": "without sites",
    "empty data": "without rows",
    "constant columns": "constant column",
    "interventions that do not broadcast": "three numbers for two units",
}


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{table}-{case.id}") for table, case in BAD])
@pytest.mark.filterwarnings("ignore")
def test_a_bad_call_is_refused(case):
    """The error has its type, its message every word of the case; conftest checks that no handler stays behind."""
    assert issubclass(case.error, CausalError)
    with pytest.raises(case.error) as refusal:
        case.call()
    message = str(refusal.value)
    assert all(words in message for words in case.says), f"{case.says} are not all in: {message}"
    assert message.strip().endswith((".", "?", "!", ")")) and len(message) <= LONGEST
    assert torch.is_grad_enabled() and not plt.get_fignums()


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in valid.CASES])
@pytest.mark.filterwarnings("ignore")
def test_an_odd_call_is_answered(case):
    assert case.holds(case.call())


@pytest.mark.parametrize("table", [*TABLES, valid], ids=lambda table: table.__name__.rpartition(".")[-1])
def test_no_two_cases_of_a_table_have_one_name(table):
    ids = [case.id for case in table.CASES]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_mistake_has_a_case(kind):
    assert any(KINDS[kind] in case.id for _, case in BAD)


def test_there_are_300_bad_calls():
    assert len(BAD) >= 300
