"""Data of every form become one batch, with what was set and what is missing marked, and nothing is guessed."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from torch.utils.data import DataLoader

from causal_pyro_models.data.batches import encode
from causal_pyro_models.data.regimes import Intervened
from causal_pyro_models.data.variables import Binary, Categorical, Continuous, Positive
from causal_pyro_models.errors import DataError, UnknownVariableError

KINDS = {"x": Continuous(), "c": Categorical(3, ("low", "mid", "high")), "v": Continuous(2)}
COLUMNS = {
    "x": [0.5, -1.0, 2.0],
    "c": ["high", "low", "mid"],
    "v": np.arange(6.0).reshape(3, 2),
}


class Rows(torch.utils.data.Dataset):
    """The units of a table, one by one."""

    def __init__(self, columns):
        self.columns = columns

    def __len__(self):
        return len(self.columns["x"])

    def __getitem__(self, i):
        return {name: column[i] for name, column in self.columns.items()}


@pytest.mark.parametrize(
    "data",
    [
        COLUMNS,
        pd.DataFrame(COLUMNS | {"v": COLUMNS["v"].tolist()}),
        pl.DataFrame(COLUMNS),
        Rows(COLUMNS),
        DataLoader(Rows(COLUMNS), batch_size=2),
        [
            {name: column[:1] for name, column in COLUMNS.items()},
            {name: column[1:] for name, column in COLUMNS.items()},
        ],
    ],
    ids=["dict", "pandas", "polars", "Dataset", "DataLoader", "list"],
)
def test_every_container_gives_the_same_batch(data):
    batch = encode(data, KINDS)
    assert len(batch) == 3 and not batch.intervened and not batch.missing and batch.weight is None
    assert batch.values["x"].tolist() == [0.5, -1.0, 2.0]
    assert batch.values["c"].tolist() == [2, 0, 1]
    assert batch.values["v"].tolist() == COLUMNS["v"].tolist()


def test_regimes_come_from_a_column_or_a_wrapper():
    seen = {"x": [0.0, 1.0], "y": [0.0, 1.0]}
    kinds = {"x": Continuous(), "y": Continuous()}
    column = encode({"x": [0.0, 1.0, 5.0, 5.0], "y": [0.0, 1.0, 2.0, 3.0], "regime": ["", None, "x", "x, y"]}, kinds)
    wrapped = encode(
        [seen, Intervened({"y": [2.0]}, "x", {"x": 5.0}), Intervened({"x": [5.0], "y": [3.0]}, ["x", "y"])], kinds
    )
    for batch in (column, wrapped):
        assert batch.values["x"].tolist() == [0.0, 1.0, 5.0, 5.0]
        assert batch.intervened["x"].tolist() == [False, False, True, True]
        assert batch.intervened["y"].tolist() == [False, False, False, True]
    part = column[torch.tensor([3, 0])]
    assert part.intervened["y"].tolist() == [True, False] and part.values["y"].tolist() == [3.0, 0.0]


def test_values_may_be_labels_or_one_for_each_row():
    kinds = {"a": Binary(("off", "on")), "x": Continuous()}
    data = [
        Intervened({"x": [1.0, 2.0]}, ["a"], {"a": "on"}),
        Intervened({"a": ["off", "on"]}, ["x"], {"x": [3.0, 4.0]}),
    ]
    assert encode(data, kinds).values["a"].tolist() == [1.0, 1.0, 0.0, 1.0]
    assert encode(data, kinds).values["x"].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_missing_values_are_marked_and_stood_in_for():
    kinds = {"p": Positive(), "b": Binary(("no", "yes")), "v": Continuous(2)}
    columns = {"p": [None, 2.0, 3.0], "b": ["yes", None, "no"], "v": np.array([[1.0, 2.0], [3.0, np.nan], [5.0, 6.0]])}
    for data in (columns, pd.DataFrame(columns | {"v": columns["v"].tolist()}), [columns, columns]):
        batch = encode(data, kinds)[torch.arange(3)]
        assert {name: mask.tolist() for name, mask in batch.missing.items()} == {
            "p": [True, False, False],
            "b": [False, True, False],
            "v": [False, True, False],
        }
        assert batch.intact("p", "b").tolist() == [False, False, True]
        assert batch.values["p"].tolist() == [2.0, 2.0, 3.0]
        assert all(bool(torch.isfinite(value).all()) for value in batch.values.values())
    masked = encode({"x": np.ma.array([1.0, 2.0], mask=[True, False])}, {"x": Continuous()})
    assert masked.missing["x"].tolist() == [True, False]


XY = {"x": Continuous(), "y": Continuous()}


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([], DataError, "list of data is empty"),
        ({"x": [1.0], "y": [2.0], "regime": ["z"]}, UnknownVariableError, "unknown variable 'z'"),
        ({"x": [1.0], "y": [2.0], "regime": [1]}, DataError, "names the variables that were set"),
        ({"x": [1.0, None], "y": [2.0, 1.0], "regime": ["", "x"]}, DataError, "'x' was set in row 1"),
        ([{"x": [1.0], "y": [2.0, 1.0]}, {"x": [1.0, 2.0], "y": [3.0]}], DataError, "differ in length"),
        ([{"x": [1.0]}, {"x": [1.0], "y": [3.0]}], UnknownVariableError, "column 'y'"),
        (torch.utils.data.TensorDataset(torch.zeros(3)), DataError, "must be dicts .* got list"),
        (pl.LazyFrame({"x": [1.0], "y": [1.0]}), DataError, "lazy frame must be collected"),
    ],
)
def test_bad_data_are_refused(data, error, message):
    with pytest.raises(error, match=message):
        encode(data, XY)


def test_bad_regimes_are_refused():
    with pytest.raises(DataError, match="names of the variables that were set"):
        Intervened({}, [])
    with pytest.raises(DataError, match="dict from target to value"):
        Intervened({}, ["x"], 1.0)
    with pytest.raises(UnknownVariableError, match="unknown target 'y'"):
        Intervened({}, ["x"], {"y": 1.0})
    with pytest.raises(UnknownVariableError, match="unknown variable 'z'"):
        encode(Intervened({"x": [1.0], "y": [1.0]}, ["z"]), XY)
