"""Tables and graphs are read as they stand, or refused in words that name the column and the mend."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from causal_pyro_models.cli.inputs import MIN_ROWS, MIN_VARIED, asked, kinds, matched, read_graph, read_table
from causal_pyro_models.data import Binary, Categorical, Continuous
from causal_pyro_models.errors import DataError, QueryError, UnknownVariableError
from causal_pyro_models.graph import CausalGraph
from tests.cli.command import MIXED_EDGES, MIXED_GRAPH, linear, mixed

# Tables ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "A.CSV", "a.parquet"])
def test_a_table_is_the_same_from_every_kind_of_file(tmp_path, name):
    path = tmp_path / name
    mixed().to_parquet(path) if name.endswith("parquet") else mixed().to_csv(path, index=False)
    pd.testing.assert_frame_equal(read_table(path), mixed(), check_dtype=False)


def test_names_that_are_numbers_become_text(tmp_path):
    pd.DataFrame({0: [1.0], 1: [2.0]}).to_csv(tmp_path / "a.csv", index=False)
    assert list(read_table(tmp_path / "a.csv").columns) == ["0", "1"]


def test_a_column_that_occurs_twice_keeps_its_name(tmp_path):
    """Pandas renames the second; then the first would be taken in silence."""
    (tmp_path / "a.csv").write_text("X,Y,X,,\n1,2,3,4,5\n")
    table = read_table(tmp_path / "a.csv")
    assert [name for name in table.columns if not name.startswith("Unnamed")] == ["X", "Y", "X"]
    with pytest.raises(DataError, match="column 'X' occurs twice"):
        matched(table, CausalGraph.from_edges([("X", "Y")]))


def test_rows_are_counted_as_in_the_table():
    graph = CausalGraph.from_edges(MIXED_EDGES)
    data = matched(mixed(), graph)
    assert list(data.columns) == list(graph.variables)
    assert data.index[:4].tolist() == [2, 3, 4, 6]  # rows 1 and 5 lack a value
    assert data.loc[2, "age"] == mixed()["age"].iloc[1]


def test_what_is_missing_in_a_column_that_is_not_used_does_not_matter():
    table = linear().assign(other=np.nan)
    assert len(matched(table, CausalGraph.from_edges([("X", "Y")]))) == len(table)


def test_too_few_complete_rows_say_how_many_are_missing_where():
    table = linear(MIN_ROWS)
    graph = CausalGraph.from_edges([("X", "Y")])
    assert len(matched(table, graph)) == MIN_ROWS
    table.loc[3, "Y"] = np.nan
    with pytest.raises(DataError, match=f"{MIN_ROWS - 1} complete rows.*Y 1") as refusal:
        matched(table, graph)
    assert "X 1" not in str(refusal.value)


@pytest.mark.parametrize("name", ["chain", "draw", "unit", "world", "a/b", "U_X"])
def test_a_column_that_posterior_nc_cannot_hold(name):
    table = linear().rename(columns={"Y": name})
    with pytest.raises(DataError, match=name) as refusal:
        matched(table, CausalGraph.from_edges([("X", name)]))
    assert "Rename it" in str(refusal.value)


def with_column(values, n: int = 100) -> pd.DataFrame:
    return pd.DataFrame({"X": np.random.default_rng(0).normal(size=n), "Y": values})


def test_columns_that_hardly_vary():
    rare = np.arange(100) < MIN_VARIED
    assert kinds(with_column(rare))["Y"] == Binary((False, True))
    with pytest.raises(DataError, match=r"'Y' is 0\.5 in 81 of the 100.*Leave it out"):
        kinds(with_column(np.where(np.arange(100) < MIN_VARIED - 1, np.arange(100.0), 0.5)))
    with pytest.raises(DataError, match="'Y' is constant"):
        kinds(with_column(["a"] * 100))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param(
            [*map(str, np.arange(99.0)), "missing"], ["'Y'", "'missing'", "leave them empty"], id="a stray word"
        ),
        pytest.param([f"{i},5" for i in range(100)], ["'Y'", "100 different", "decimal point"], id="decimal commas"),
        pytest.param([f"cell {i}" for i in range(100)], ["'Y'", "leave the column out"], id="names of rows"),
        pytest.param([[i] for i in range(100)], ["'Y'"], id="lists"),
        pytest.param(pd.date_range("2020", periods=100), ["'Y'", "datetime"], id="dates"),
        pytest.param([np.inf, *np.arange(99.0)], ["'Y'", "infinite"], id="infinity"),
    ],
)
def test_columns_of_no_kind(values, words):
    with pytest.raises(DataError) as refusal:
        kinds(with_column(values))
    assert all(word in str(refusal.value) for word in words), str(refusal.value)


def test_labels_that_look_like_numbers_are_labels_where_they_are_few():
    labels = ["1", "2", "3", "unknown"] * 25
    assert kinds(with_column(labels))["Y"] == Categorical(4, ("1", "2", "3", "unknown"))


# Graphs ---------------------------------------------------------------------------------------------------------------

EDGES = "; ".join(f"{a} -> {b}" for a, b in MIXED_EDGES)
TEXTS = {
    "DOT": f"// a comment\ndigraph G {{ {EDGES} }}",
    "DOT, strict": f"/* a\ncomment */ strict digraph {{ {EDGES} }}",
    "dagitty": f"dag {{\n age [exposure]\n {EDGES.replace('; ', chr(10))}\n}}",
    "dagitty, braces": "dag { age -> { dose arm }\n dose -> marker\n arm -> marker -> cured\n stage -> marker }",
    "GML": "\n".join(nx.generate_gml(nx.DiGraph(MIXED_EDGES))),
    "GML with its creator": 'Creator "igraph"\nVersion 1\n' + "\n".join(nx.generate_gml(nx.DiGraph(MIXED_EDGES))),
    "a list": MIXED_GRAPH,
    "a list with comments": "# edges\n\n" + MIXED_GRAPH.replace("\n", "  # known\n"),
    "a list with commas": MIXED_GRAPH.replace(" -> ", ","),
    "a byte order mark": "\ufeff" + MIXED_GRAPH,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_graph_is_the_same_in_every_notation(tmp_path, text):
    path = tmp_path / "graph.txt"
    path.write_text(text, encoding="utf-8")
    graph = read_graph(path)
    assert set(graph.edges) == set(MIXED_EDGES) and not graph.bidirected


def test_names_may_have_spaces_in_a_list_of_edges(tmp_path):
    (tmp_path / "graph.txt").write_text("  blood pressure ->stroke \nsalt intake<->blood pressure")
    graph = read_graph(tmp_path / "graph.txt")
    assert set(graph.edges) == {("blood pressure", "stroke")}
    assert {frozenset(pair) for pair in graph.bidirected} == {frozenset({"salt intake", "blood pressure"})}


# Questions ------------------------------------------------------------------------------------------------------------

KINDS = {"X": Continuous(), "B": Binary((False, True)), "C": Categorical(3, ("a", "b=c", "2")), "N": Binary((0, 1))}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("X=2", 2.0),
        ("X = -1e-3", -0.001),
        ("B=True", 1),
        ("B=0", 0),
        ("C=b=c", "b=c"),
        ("C=2", "2"),
        ("N=1.0", 1),
        ("N=0", 0),
    ],
)
def test_values_are_read_as_they_stand_in_the_table(text, want):
    outcome = "N" if text.startswith("X") else "X"
    (value,) = asked([text], None, [outcome], KINDS).do.values()
    assert value == want


def test_an_outcome_is_asked_about_once_and_not_where_it_is_set():
    assert asked(["B=True"], ["B=False"], ["X", "N", "X"], KINDS).outcomes == ("X", "N")
    for control in (None, ["X=1"]):
        with pytest.raises(QueryError, match="--outcome X: it is set"):
            asked(["X=2"], control, ["N", "X"], KINDS)
    with pytest.raises(UnknownVariableError, match="Did you mean 'X'"):
        asked(["B=True"], None, ["x"], KINDS)
    with pytest.raises(QueryError, match="same values"):
        asked(["B=True", "X=1"], ["X=1.0", "B=True"], ["N"], KINDS)
