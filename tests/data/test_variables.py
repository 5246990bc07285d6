"""Variables: data become values, or an error that names the column and the mend."""

from datetime import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from causal_pyro_models.data.tables import as_values, infer_variables
from causal_pyro_models.data.variables import (
    Binary,
    Categorical,
    Continuous,
    Count,
    Image,
    Ordinal,
    Positive,
    as_variable,
)
from causal_pyro_models.errors import DataError, ModelError, UnknownVariableError

KINDS = {"x": Continuous(), "b": Binary(("no", "yes")), "c": Categorical(3, ("low", "mid", "high"))}
FRAME = pd.DataFrame({"x": [0.5, -1.0, 2.0], "b": ["no", "yes", "no"], "c": ["high", "low", "mid"], "other": [1, 2, 3]})


@pytest.mark.parametrize("data", [FRAME, FRAME.to_dict("list"), {n: FRAME[n].to_numpy() for n in FRAME}])
def test_labels_become_indices_whatever_the_container(data):
    values = as_values(data, KINDS)
    assert values["x"].tolist() == [0.5, -1.0, 2.0]
    assert values["b"].tolist() == [0.0, 1.0, 0.0]
    assert values["c"].tolist() == [2, 0, 1]
    assert values["c"].dtype == torch.int64


def test_booleans_and_tensors_are_read():
    values = as_values(
        {"b": torch.tensor([True, False]), "x": torch.tensor([1, 2])}, {"b": Binary(), "x": Continuous()}
    )
    assert values["b"].tolist() == [1.0, 0.0]
    assert values["x"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("column", "kind", "message"),
    [
        ([0.0, np.nan], Continuous(), "'x' has 1 missing values, the first in row 1"),
        ([0.0, np.inf], Continuous(), "'x' has 1 infinite"),
        (["a", "b"], Continuous(), "'x' is declared Continuous"),
        (["a", "z"], Categorical(2, ("a", "b")), "'x' has values that are none of its labels .*: z"),
        ([0, 2], Binary(), "'x' has values that are none of its labels .*: 2"),
        ([], Continuous(), "no rows"),
        (np.zeros((2, 2)), Continuous(), r"'x' must hold one number or label per unit, got shape \(2, 2\)"),
        (pd.Series(["a", None]), Categorical(2, ("a", "b")), "'x' has 1 missing"),
    ],
)
def test_bad_columns_are_refused_by_name(column, kind, message):
    with pytest.raises(DataError, match=message):
        as_values({"x": column}, {"x": kind})


def test_bad_tables_are_refused():
    with pytest.raises(UnknownVariableError, match="Did you mean 'dose'"):
        as_values({"dose": [1.0]}, {"dosis": Continuous()})
    with pytest.raises(DataError, match="differ in length"):
        as_values({"x": [1.0], "y": [1.0, 2.0]}, {"x": Continuous(), "y": Continuous()})
    with pytest.raises(DataError, match="DataFrame or a mapping"):
        as_values([1.0, 2.0], {"x": Continuous()})


@pytest.mark.parametrize("build", [lambda: Categorical(1), lambda: Categorical(2, ("a", "a")), lambda: Binary(("a",))])
def test_impossible_variables_are_refused(build):
    with pytest.raises(ModelError, match=r"classes|labels"):
        build()


def test_inference_of_kinds():
    frame = pd.DataFrame(
        {
            "real": [0.1, 0.2, 0.3],
            "flag": [True, False, True],
            "zero_one": [0.0, 1.0, 1.0],
            "one_two": [1, 2, 2],
            "text": ["u", "v", "w"],
            "level": pd.Categorical(["lo", "hi", "lo"], categories=["lo", "hi", "top"], ordered=True),
            "small": [3, 1, 2],
        }
    )
    assert infer_variables(frame) == {
        "real": Continuous(),
        "flag": Binary((False, True)),
        "zero_one": Binary((0.0, 1.0)),
        "one_two": Binary((1, 2)),
        "text": Categorical(3, ("u", "v", "w")),
        "level": Ordinal(3, ("lo", "hi", "top")),
        "small": Count(),
    }
    for count in (3, 10, 11, 30):  # whatever the number of levels
        assert infer_variables(pd.DataFrame({"count": range(count)})) == {"count": Count()}
    assert infer_variables(pd.DataFrame({"below": [-1, 0, 1]})) == {"below": Continuous()}
    assert infer_variables(pd.DataFrame({"gaps": [1.0, np.nan, 3.0, 2.0]})) == {"gaps": Count()}
    assert infer_variables(pd.DataFrame({"no_gaps": [1.0, 3.0, 2.0]})) == {"no_gaps": Continuous()}
    as_values(frame, infer_variables(frame))


@pytest.mark.parametrize(
    ("column", "message"), [([np.nan, np.nan], "no values"), (["a", "a"], "constant"), ([1, 1], "constant")]
)
def test_inference_refuses_what_cannot_be_a_variable(column, message):
    with pytest.raises(DataError, match=message):
        infer_variables(pd.DataFrame({"x": column}))


def test_kinds_are_printed_and_overridden_in_one_place():
    frame = pd.DataFrame(
        {"g": [3, 1, 2], "when": pd.to_datetime(["2024-01-01", "2024-04-01", "2024-01-01"]), "y": [1.5, 2.0, 0.5]}
    )
    with pytest.raises(DataError, match=r"'when' has type datetime64.*kinds=\{'when': Ordinal\}"):
        infer_variables(frame)
    kinds = infer_variables(frame, kinds={"g": Categorical, "when": Binary, "y": Positive()})
    days = (datetime(2024, 1, 1), datetime(2024, 4, 1))
    assert kinds == {"g": Categorical(3, (1, 2, 3)), "when": Binary(days), "y": Positive()}
    assert repr(kinds).splitlines()[0].split("  ")[0] == "g" and repr(kinds).splitlines()[0].endswith("  as given")
    assert as_values(frame, kinds)["when"].tolist() == [0.0, 1.0, 0.0]
    assert kinds["when"].decode(torch.tensor([1.0])).tolist() == [days[1]]
    told = repr(infer_variables(frame[["g", "y"]])).splitlines()
    assert told == ["g  Count()            whole numbers from 0 up", "y  Continuous(dim=1)  numbers with a fraction"]
    with pytest.raises(UnknownVariableError, match=r"'G'.*Did you mean 'g'"):
        infer_variables(frame, kinds={"G": Categorical})
    with pytest.raises(ModelError, match="'g'"):
        infer_variables(frame, kinds={"g": "nominal"})


def test_tensors_hold_codes_and_all_else_labels():
    kinds = {"arm": Categorical(3, ("c", "a", "b")), "flag": Binary((2, 1))}
    by_label = as_values({"arm": ["a", "b", "c"], "flag": np.array([1, 2, 1])}, kinds)
    by_code = as_values({"arm": torch.tensor([1, 2, 0]), "flag": torch.tensor([1.0, 0.0, 1.0])}, kinds)
    for name in kinds:
        assert torch.equal(by_label[name], by_code[name])
    with pytest.raises(DataError, match="indices 0 to 2"):
        as_values({"arm": torch.tensor([3])}, {"arm": kinds["arm"]})


def test_dates_are_refused():
    with pytest.raises(DataError, match="datetime"):
        infer_variables(pd.DataFrame({"when": pd.to_datetime(["2020-01-01", "2020-01-02"])}))


def test_class_that_does_not_exist_is_refused_as_a_parent():
    with pytest.raises(ModelError, match="'c' was given a value that is none of its classes 0 to 2"):
        KINDS["c"].features("c", torch.tensor([0, 3]))


ROUND_TRIPS = [
    (Continuous(), [0.25, -3.0, 1e9]),
    (Continuous(2), [[0.25, -3.0], [1.0, 2.0]]),
    (Positive(), [1e-9, 2.0]),
    (Count(), [0, 3, 10**6]),
    (Binary(("no", "yes")), ["yes", "no"]),
    (Binary((2, 7)), [7, 2, 7]),
    (Categorical(3, ("a", 1, 2.5)), [2.5, "a", 1]),
    (Ordinal(3, ("low", "mid", "high")), ["high", "low"]),
    (Image(1, 2, 2), np.linspace(0.0, 1.0, 8).reshape(2, 1, 2, 2).tolist()),
]


@pytest.mark.parametrize(("kind", "column"), ROUND_TRIPS)
def test_values_come_back_as_they_were_and_show_their_children_what_they_say(kind, column):
    value = as_values({"v": column}, {"v": kind})["v"]
    assert value.shape == (len(column), *kind.event_shape)
    assert kind.decode(value).tolist() == column
    assert kind.features("v", value).shape == (len(column), kind.width)


def test_bytes_of_images_are_shares():
    image = np.array([[[[0, 255]]]], dtype=np.uint8)
    assert as_values({"v": image}, {"v": Image(1, 1, 2)})["v"].tolist() == [[[[0.0, 1.0]]]]


@pytest.mark.parametrize(
    ("kind", "column", "message"),
    [
        (Positive(), [1.0, 0.0], "1 values that are not above zero, such as 0"),
        (Count(), [1.0, 0.5], "no whole numbers from 0 up, such as 0.5"),
        (Count(), [-1.0], "no whole numbers"),
        (Image(1, 1, 1), [[[[1.5]]]], "beyond 0 to 1"),
        (Continuous(2), [1.0, 2.0], r"an array \(2,\) for each unit, got shape \(2,\)"),
        (Ordinal(2), [0, 2], "none of its labels"),
    ],
)
def test_values_beyond_a_kind_are_refused(kind, column, message):
    with pytest.raises(DataError, match=message):
        as_values({"v": column}, {"v": kind})


def test_only_indices_of_labels_come_back_as_labels():
    for value in (2.0, 0.5, float("nan")):
        with pytest.raises(DataError, match="indices 0 to 1"):
            Binary().decode(torch.tensor([value]))


@pytest.mark.parametrize("bad", ["real", Continuous, True, None, 0, -1])
def test_a_kind_is_a_kind_or_a_dimension(bad):
    assert as_variable("v", 3) == Continuous(3)
    with pytest.raises(ModelError, match=r"'v'|dim >= 1"):
        as_variable("v", bad)


def test_polars_and_pandas_are_read_alike():
    columns = {
        "real": [0.1, None, 0.3],
        "flag": [True, False, None],
        "text": ["u", "v", "w"],
        "small": [3, 1, 2],
        "few": [1, None, 2],
    }
    frame = pl.DataFrame(columns).with_columns(
        level=pl.Series(["lo", "hi", "lo"], dtype=pl.Enum(["lo", "hi", "top"])),
        kind=pl.Series(["p", "q", "p"], dtype=pl.Categorical),
        pair=pl.Series([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
    )
    kinds = infer_variables(frame.drop("pair"))
    assert kinds == {
        "real": Continuous(),
        "flag": Binary((False, True)),
        "text": Categorical(3, ("u", "v", "w")),
        "small": Count(),
        "few": Binary((1, 2)),
        "level": Ordinal(3, ("lo", "hi", "top")),
        "kind": Binary(("p", "q")),
    }
    assert infer_variables(pd.DataFrame(columns)) == {name: kinds[name] for name in columns}
    values = as_values(frame, {"pair": Continuous(2), "level": kinds["level"]})
    assert values["pair"].tolist() == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    assert values["level"].tolist() == [0, 1, 0]
