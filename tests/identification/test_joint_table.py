"""Joint tables refuse what is no law, and know their variables."""

import pandas as pd
import pytest

from causal_pyro_models.errors import DataError, UnknownVariableError
from causal_pyro_models.identification import JointTable

HALF = JointTable(["X", "Y"], [[0.25, 0.25], [0.25, 0.25]])


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: JointTable(["X"], [0.5, 0.4]), "sum to 0.9"),
        (lambda: JointTable(["X"], [1.5, -0.5]), "0 or more"),
        (lambda: JointTable(["X"], [float("nan"), 1.0]), "finite"),
        (lambda: JointTable(["X", "X"], [[0.5, 0.5]]), "distinct"),
        (lambda: JointTable("XY", [[0.5, 0.5]]), "list of variables"),
        (lambda: JointTable(["X", "Y"], [0.5, 0.5]), r"shape \(2,\)"),
        (lambda: JointTable(["X"], ["a", "b"]), "numbers"),
        (lambda: JointTable(["X"], [0.5, 0.5], {"X": ["a"]}), "1 distinct states for an axis of 2"),
        (lambda: JointTable.from_dataframe(pd.DataFrame({"X": []})), "0 rows"),
        (lambda: JointTable.from_dataframe(pd.DataFrame({v: range(1000) for v in "XYZ"})), r"1e\+09 cells"),
        (lambda: JointTable(["X"], [[]]), "shape"),
        (lambda: JointTable.from_dataframe(pd.DataFrame({"X": [1.0, None]})), "missing"),
    ],
)
def test_tables_that_are_no_laws_are_refused(build, says):
    with pytest.raises(DataError, match=says):
        build()


@pytest.mark.parametrize(
    "call",
    [
        lambda: JointTable(["X"], [0.5, 0.5], {"Q": [0, 1]}),
        lambda: HALF.array(["Q"]),
        lambda: HALF.index("Q", 0),
        lambda: JointTable.from_dataframe(pd.DataFrame({"X": [0, 1]}), ["Q"]),
    ],
)
def test_tables_know_their_variables(call):
    with pytest.raises(UnknownVariableError, match="'Q'"):
        call()
