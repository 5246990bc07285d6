"""Every bad call is refused by a typed error that names the variable or setting and the mend; never a number."""

import pytest

from causal_pyro_models.errors import CausalError
from tests.bad_input import effects, evidence, graphs, interventions, learned, models, plots, reports, verbs, zoo

TABLES = [effects, evidence, graphs, interventions, learned, models, plots, reports, verbs, zoo]
BAD = [(table.__name__.rpartition(".")[-1], case) for table in TABLES for case in table.CASES]
LONGEST = 1_500  # characters that a message may have


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{table}-{case.id}") for table, case in BAD])
@pytest.mark.filterwarnings("ignore")
def test_a_bad_call_is_refused(case):
    """The error has its type, its message every word of the case; conftest checks that no handler stays behind."""
    assert issubclass(case.error, CausalError)
    with pytest.raises(case.error) as refusal:
        case.call()
    message = str(refusal.value)
    assert all(words in message for words in case.says), f"{case.says} are not all in: {message}"
    assert message.strip().endswith((".", "?", "!")) and len(message) <= LONGEST


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__.rpartition(".")[-1])
def test_no_two_cases_of_a_table_have_one_name(table):
    ids = [case.id for case in table.CASES]
    assert len(ids) == len(set(ids))


def test_there_are_300_bad_calls():
    assert len(BAD) >= 300
