"""Files and options of the command line that cannot be read."""

import gzip
import pathlib
import tempfile

from causal_pyro_models.cli.inputs import assignments, read_graph, read_table
from causal_pyro_models.data import Binary, Continuous
from causal_pyro_models.errors import DataError, GraphError, QueryError, UnknownVariableError
from tests.bad_input.case import Bad

TABLE = b"X,Y\n" + b"1.5,2.5\n" * 1_000
KINDS = {"dose": Continuous(), "sex": Binary(("female", "male"))}


def of_file(read, name, content):
    """What a file of this content is read as."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / name
        path.write_bytes(content)
        return read(path)


TABLES = {
    "an empty table": ("a.csv", b"", ("a.csv", "table")),
    "a table of bytes": ("a.csv", bytes(range(256)) * 20, ("a.csv",)),
    "a table of rows that differ": ("a.csv", b"X,Y\n1,2\n1,2,3,4\n", ("a.csv", "line 3")),
    "a compressed table cut short": ("a.csv.gz", gzip.compress(TABLE)[:-20], ("a.csv.gz", "save it again")),
    "a compressed table with a wrong byte": (
        "a.csv.gz", gzip.compress(TABLE)[:15] + b"\xff" + gzip.compress(TABLE)[16:], ("a.csv.gz", "save it again"),
    ),
    "a compressed table that is none": ("a.csv.gz", b"nonsense", ("a.csv.gz", "gzip")),
    "a Parquet table that is none": ("a.parquet", b"PAR1nonsensePAR1", ("a.parquet", "Parquet")),
    "an empty Parquet table": ("a.parquet", b"", ("a.parquet", "Parquet")),
    "a table of another kind": ("a.xlsx", b"", ("a.xlsx", ".csv", ".parquet")),
}  # fmt: skip
GRAPHS = {
    "an empty graph": (b"", ("no edges", "A -> B")),
    "a graph of bytes": (bytes(range(256)), ("graph.dot",)),
    "a graph in prose": (b"X causes Y", ("line 1", "'X causes Y'", "A -> B")),
    "a graph with a cycle": (b"X -> Y\nY -> X", ("cycle", "'X'")),
    "a graph of two arrows in a line": (b"X -> Y -> Z", ("line 1", "A -> B")),
    "a graph in DOT that ends early": (b"digraph { X -> Y", ("line 1", "the end of the text")),
}

CASES = [
    Bad(what, DataError, says, lambda name=name, content=content: of_file(read_table, name, content))
    for what, (name, content, says) in TABLES.items()
] + [
    Bad(what, GraphError, says, lambda content=content: of_file(read_graph, "graph.dot", content))
    for what, (content, says) in GRAPHS.items()
] + [
    Bad("a table that is not there", DataError, ("nowhere.csv", "no file"), lambda: read_table(pathlib.Path("nowhere.csv"))),
    Bad("a graph that is not there", GraphError, ("nowhere.dot",), lambda: read_graph(pathlib.Path("nowhere.dot"))),
    Bad("an option without a value", QueryError, ("--do", "NAME=VALUE", "'dose'"), lambda: assignments(["dose"], "--do", KINDS)),
    Bad("an option of an unknown variable", UnknownVariableError, ("'Dose'", "'dose'"), lambda: assignments(["Dose=1"], "--do", KINDS)),
    Bad("an option given twice", QueryError, ("--do", "'dose'", "twice"), lambda: assignments(["dose=1", "dose=2"], "--do", KINDS)),
    Bad("an option of a word at a number", QueryError, ("dose=high", "finite number"), lambda: assignments(["dose=high"], "--do", KINDS)),
    Bad("an option of NaN", QueryError, ("dose=nan", "finite number"), lambda: assignments(["dose=nan"], "--do", KINDS)),
    Bad("an option of a misspelt label", QueryError, ("sex=Male", "'male'"), lambda: assignments(["sex=Male"], "--do", KINDS)),
]  # fmt: skip
