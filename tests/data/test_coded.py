"""Codes that know their labels: compared by labels, moved without losing them, never calculated with in silence."""

from __future__ import annotations

import copy
import operator
import pickle
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, strategies as st

from causal_pyro_models.data import Binary, Categorical, Continuous, Ordinal
from causal_pyro_models.data.coded import Coded, as_labels, codes, in_codes, labelled
from causal_pyro_models.errors import DataError, QueryError

DAYS = (datetime(2024, 1, 1), datetime(2024, 4, 1), datetime(2024, 7, 1))
KINDS = {
    "strings": Categorical(3, ("a", "b", "c")),
    "numbers": Categorical(3, (3, 1, 2)),
    "levels": Ordinal(3, ("low", "mid", "high")),
    "numbers that fall": Ordinal(3, (3, 2, 1)),
    "days": Ordinal(3, DAYS),
    "mixed": Categorical(3, ("a", 1, 2.5)),
}
CODES = torch.tensor([[0, 2, 1], [1, 1, 0]])
NAMED = labelled(torch.tensor([0, 2, 1]), KINDS["strings"], "arm")
NUMBERS = labelled(torch.tensor([0, 2, 1]), KINDS["numbers"], "dose")


@pytest.mark.parametrize("kind", [None, Continuous(), Binary(), Binary((False, True)), Categorical(3), Ordinal(3)])
def test_there_is_nothing_to_know_without_labels_or_where_they_are_the_codes(kind):
    x = torch.tensor([0.0, 1.0])
    assert labelled(x, kind) is x


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@given(row=st.lists(st.integers(0, 2), min_size=1, max_size=5), label=st.integers(0, 2))
def test_comparisons_are_those_of_the_labels(kind, row, label):
    x, other = labelled(torch.tensor(row), kind), kind.labels[label]
    assert (x == other).tolist() == (other == x).tolist() == [code == label for code in row]
    assert (x != other).tolist() == [code != label for code in row]
    assert (x == [kind.labels[label]] * len(row)).tolist() == (x == other).tolist()
    assert torch.equal(x == torch.tensor(label), torch.tensor(row) == label)
    assert x.isin([other]).tolist() == (x == other).tolist()
    assert torch.equal(in_codes("x", x.numpy(), kind, QueryError), x.codes) and x.tolist() == as_labels(x, kind)


@pytest.mark.parametrize("name", ["levels", "numbers that fall", "days", "numbers"])
@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge])
def test_levels_and_numbers_have_an_order(name, compare):
    kind = KINDS[name]
    x = labelled(CODES, kind)
    for i, label in enumerate(kind.labels):
        want = compare(CODES, i)
        if name == "numbers":
            want = torch.tensor([[compare(kind.labels[c], label) for c in row] for row in CODES.tolist()])
        assert torch.equal(compare(x, label), want)


def test_values_between_labels_are_compared_where_labels_are_numbers_or_days():
    assert (NUMBERS > 1.5).tolist() == (NUMBERS > 1.5).tolist() == [True, True, False]
    assert (labelled(CODES, KINDS["days"]) >= "2024-03-01").tolist() == [[False, True, True], [True, True, False]]


MOVES = {
    "an element": lambda x: x[0],
    "some": lambda x: x[torch.tensor([True, False, True])],
    "rows by a list": lambda x: x[[0, 1]],
    "a stack": lambda x: torch.stack([x, x]),
    "a concatenation": lambda x: torch.cat([x, x]),
    "a choice": lambda x: torch.where(torch.tensor([True, False, True]), x, x.flip(0)),
    "a clone": lambda x: x.clone(),
    "a deep copy": copy.deepcopy,
    "detached": lambda x: x.detach(),
    "elsewhere": lambda x: x.to("cpu"),
    "expanded": lambda x: x.expand(2, 3),
    "turned": lambda x: x.reshape(3, 1).T,
    "chosen by index": lambda x: x.index_select(0, torch.tensor([2, 0])),
    "gathered": lambda x: x.gather(0, torch.tensor([2, 0])),
    "the last of many": lambda x: list(x)[-1],
    "broadcast": lambda x: torch.broadcast_tensors(torch.zeros(2, 3), x)[1],
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_moved_values_keep_their_labels(move):
    found = move(NAMED)
    assert isinstance(found, Coded) and torch.equal(found.codes, move(NAMED.codes))
    assert found.tolist() == KINDS["strings"].decode(move(NAMED.codes)).tolist()


def test_what_is_put_in_is_a_label_and_a_tensor_codes():
    assert torch.where(NUMBERS == 3, 2, NUMBERS).tolist() == [2, 2, 1]
    assert torch.where(NUMBERS == 3, torch.tensor(1), NUMBERS).tolist() == [1, 2, 1]
    assert NUMBERS.masked_fill(NUMBERS == 3, 1).tolist() == [1, 2, 1]
    changed = NAMED.clone()
    changed[0] = "b"
    changed[1] = torch.tensor(0)
    assert changed.tolist() == ["b", "a", "b"]


def test_an_index_is_its_codes():
    assert torch.tensor([10, 20, 30])[NUMBERS].tolist() == [10, 30, 20]
    assert torch.nn.functional.one_hot(NAMED, 3).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert torch.equal(NAMED, NAMED.clone()) and not torch.equal(NAMED, torch.tensor([0, 2, 0]))
    assert NAMED.shape == (3,) and NAMED.dim() == 1 and len(NAMED) == 3 and torch.isfinite(NAMED).all()


def test_what_leaves_torch_has_labels():
    assert NAMED.numpy().tolist() == np.asarray(NAMED).tolist() == NAMED.tolist() == ["a", "c", "b"]
    assert KINDS["strings"].decode(NAMED).tolist() == NAMED.tolist()
    assert NAMED[1].item() == "c" and repr(NAMED) == "labelled(['a', 'c', 'b'])"
    assert labelled(CODES, KINDS["days"]).numpy().dtype == "datetime64[us]"
    assert NUMBERS.numpy().dtype == np.int64


def test_numbers_are_calculated_with_and_nothing_else():
    assert (NUMBERS * 2.0).tolist() == [6.0, 4.0, 2.0] and float(NUMBERS[0]) == 3.0
    assert NUMBERS.double().mean() == 2.0 and NUMBERS.sum() == 6.0 and type(codes(NUMBERS + 1)) is torch.Tensor


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: NAMED * 2, "no numbers to calculate with"),
        (lambda: NAMED.float(), "labels of arm.*by .codes"),
        (lambda: NAMED.mean(), "no numbers"),
        (lambda: float(NAMED[0]), "no numbers"),
        (lambda: NAMED > "a", "have no order"),
        (lambda: NAMED == "d", r"'arm' has values that are none of its labels \['a', 'b', 'c'\]: d"),
        (lambda: NUMBERS == 7, "'dose' .*: 7"),
        (lambda: NAMED == NUMBERS, "stand for other things"),
        (lambda: torch.equal(NAMED, NUMBERS), "stand for other things"),
        (lambda: torch.stack([NAMED, NUMBERS]), "stand for other things"),
        (lambda: NUMBERS.clone().add_(1), "in place"),
        (lambda: labelled(CODES, KINDS["levels"]) > "hihg", "Did you mean 'high'"),
        (lambda: labelled(CODES, KINDS["numbers that fall"]) > 1.5, "none of its labels"),
        (lambda: torch.where(NUMBERS == 3, 7, NUMBERS), "'dose'.*: 7"),
    ],
)
def test_there_is_no_silent_wrong_number(ask, message):
    with pytest.raises(QueryError, match=message):
        ask()


def test_values_of_other_codes_are_translated_and_labels_of_any_container_read():
    kind = Categorical(3, ("c", "b", "a"))
    assert in_codes("arm", NAMED, kind, DataError).tolist() == [2, 0, 1]
    for column in (["a", "c"], ("a", "c"), np.array(["a", "c"]), pd.Series(["a", "c"]), pd.Categorical(["a", "c"])):
        assert in_codes("arm", column, kind, DataError).tolist() == [2, 0]
    assert in_codes("arm", "b", kind, DataError).item() == 1 and codes(3.0) == 3.0
    days = KINDS["days"]
    for day in ("2024-04-01", pd.Timestamp("2024-04-01"), np.datetime64("2024-04-01"), DAYS[1], DAYS[1].date()):
        assert in_codes("when", day, days, DataError).item() == 1
    with pytest.raises(DataError, match=r"'when' has values that are none of its labels.*never"):
        in_codes("when", "never", days, DataError)


def test_what_is_calculated_from_labels_says_labels():
    """A function of labels that returns their numbers means labels, in whatever torch operation they came to be."""
    kind = NUMBERS.variable
    for value in (NUMBERS.clamp(max=2), NUMBERS - 0.0, (NUMBERS * 3 + 3).reshape(-1) / 3 - 1, NUMBERS.float()):
        found = in_codes("dose", value, kind, QueryError)
        assert torch.tensor(kind.labels)[found.long()].tolist() == value.tolist()
    with pytest.raises(QueryError, match=r"'dose' has values that are none of its labels.*0\.0"):
        in_codes("dose", NUMBERS - 1, kind, QueryError)
    assert type(in_codes("other", NUMBERS * 2, None, QueryError)) is torch.Tensor


def test_tensors_of_something_else_than_codes_are_refused():
    with pytest.raises(QueryError, match=r"'dose' holds the codes 0 to 2 of its labels .* got 3: give labels"):
        in_codes("dose", torch.tensor([1, 3]), NUMBERS.variable, QueryError)
    assert in_codes("dose", torch.tensor([2, 0]), NUMBERS.variable, QueryError).tolist() == [2, 0]


@pytest.mark.parametrize("value", [NAMED, NUMBERS], ids=["named", "numbers"])
def test_pickles_and_copies_keep_the_labels(value):
    for again in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
        assert type(again) is Coded and again.tolist() == value.tolist() and again.site == value.site


def test_numbers_in_words_are_told_from_numbers():
    with pytest.raises(QueryError, match=r"none of its labels .*: '3'\. Correct"):
        in_codes("dose", "3", NUMBERS.variable, QueryError)
