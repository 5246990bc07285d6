"""Queries: as text and piece by piece, and all that cannot be asked."""

import pytest
from hypothesis import given, strategies as st

from causal_pyro_models.errors import CausalError
from causal_pyro_models.identification import Query, Symbol, term
from tests.identification import bad_queries
from tests.identification.bad_queries import CASES, LONGEST

VALUES = st.one_of(st.none(), st.integers(-2, 3), st.floats(-9, 9), st.text(max_size=4), st.booleans())


def events(names):
    """A term for each name, with a value, an open value, or primes."""
    return st.tuples(
        *(
            st.one_of(VALUES, st.integers(1, 2).map(lambda k, n=n: Symbol(n, k))).map(lambda v, n=n: term(n, v))
            for n in names
        )
    )


@given(st.permutations(["X", "y", "Z 1", "do", "Größe"]).flatmap(events), st.integers(1, 5), st.integers(0, 5))
def test_the_text_parses_back(found, first, second):
    query = Query(found[:first], found[first : first + second], found[first + second :])
    assert Query.parse(query.text()) == query


@pytest.mark.parametrize(
    "text",
    [
        "P(Y | do(X), Z)",
        "P(Y1, Y2 | do(X1, X2=0))",
        "P(Y=1 | do(X=0), Z=\"old\")",
        "P(Y_{X} | X=x', Y=y')",
        "P(Y_{X=1, M_{X=0}})",
        "P(Y_{X=1, M_{X=0, N_{X=1}}}=1 | Z=-0.5)",
    ],
)  # fmt: skip
def test_what_is_written_is_what_was_read(text):
    assert Query.parse(text).text() == str(Query.parse(text)) == text
    assert repr(Query.parse(text)) == f"Query({text})"


def test_the_forms_of_a_query():
    assert (
        Query("Y", "X") == Query(["Y"], ("X",)) == Query(term("Y"), {"X": Symbol("X")}) == Query.parse("P(Y | do(X))")
    )
    assert Query({"Y", "W"}, "X") == Query(["W", "Y"], "X"), "a set comes in the order of names"
    assert Query.parse("P(Y_{X=x} | X=x')") == Query.parse("P(Y_{X} | X=x')")
    assert Query.parse("P(Y | do(X), do(W), Z)") == Query.parse("P(Y | do(X, W), Z)")
    assert Query.parse("P(Y_{X=1, M_{X=0}} | Z)").names == ("Y", "X", "M", "Z")
    assert Query.parse("P(Y_{X=1})").counterfactual and not Query.parse("P(Y | do(X))").counterfactual


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_a_bad_query_is_refused(case):
    """The error has its type, its message every word of the case, and it ends as a sentence does."""
    assert issubclass(case.error, CausalError)
    with pytest.raises(case.error) as refusal:
        case.call()
    message = str(refusal.value)
    assert all(words in message for words in case.says), f"{case.says} are not all in: {message}"
    assert message.endswith((".", "?")) and len(message) <= LONGEST


def test_there_are_60_bad_queries():
    ids = [case.id for case in CASES]
    assert len(ids) == len(set(ids)) >= 60


@pytest.mark.parametrize("kind", bad_queries.KINDS)
def test_every_kind_of_mistake_has_a_case(kind):
    assert any(kind in case.id for case in CASES)
