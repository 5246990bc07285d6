"""Variables: data become values, or an error that names the column and the mend."""

import numpy as np
import pandas as pd
import pytest
import torch

from causal_pyro_models.errors import DataError, ModelError, UnknownVariableError
from causal_pyro_models.models.variables import Binary, Categorical, Continuous, as_values, infer_variables

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
        "level": Categorical(3, ("lo", "hi", "top")),
        "small": Categorical(3, (1, 2, 3)),
    }
    assert infer_variables(pd.DataFrame({"count": range(30)})) == {"count": Continuous()}
    as_values(frame, infer_variables(frame))


@pytest.mark.parametrize(
    ("column", "message"), [([1.0, np.nan], "missing"), (["a", "a"], "constant"), ([1, 1], "constant")]
)
def test_inference_refuses_what_cannot_be_a_variable(column, message):
    with pytest.raises(DataError, match=message):
        infer_variables(pd.DataFrame({"x": column}))


def test_dates_are_refused():
    with pytest.raises(DataError, match="datetime"):
        infer_variables(pd.DataFrame({"when": pd.to_datetime(["2020-01-01", "2020-01-02"])}))


def test_class_that_does_not_exist_is_refused_as_a_parent():
    with pytest.raises(ModelError, match="'c' was given a value that is none of its classes 0 to 2"):
        KINDS["c"].features("c", torch.tensor([0, 3]))
