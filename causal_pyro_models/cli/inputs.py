"""A user's own question: table, graph and interventions, read and matched to each other."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

from causal_pyro_models.cli.study import Request
from causal_pyro_models.data import Count, Labelled, Variable, infer_variables
from causal_pyro_models.data.labels import Label
from causal_pyro_models.errors import DataError, GraphError, QueryError, unknown_variable
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.inference.inference_data import DIMENSIONS
from causal_pyro_models.scm.sites import noise_name

if TYPE_CHECKING:
    import pandas as pd

MIN_ROWS = 75  # a fifth is held out, and a half of the others must be enough to train on
MIN_VARIED = 20  # rows that differ from the most common value, so that no half is without one
MAX_NUMBERS = 10  # labels of one column that may be numbers, beside others that are text

_COMMENTS = re.compile(r"\A(?:\s+|//[^\n]*|#[^\n]*|/\*.*?\*/)*", re.DOTALL)
_GML = re.compile(r"(?:(?:creator|version)\s[^\n]*\s+)*graph\s*\[", re.IGNORECASE)
_DOT = re.compile(r"(?:strict\s+)?(?:di)?graph\b[^{>]*\{", re.IGNORECASE)
_DAGITTY = re.compile(r"(?:dag|mag|pdag|pag)\b[^{>]*\{", re.IGNORECASE)
_EDGE = re.compile(r"(?P<a>[^,]*?)\s*(?P<arrow><->|->|,)\s*(?P<b>[^,]*)")


def read_table(path: Path) -> pd.DataFrame:
    """The table in a CSV or Parquet file.

    Raises:
        DataError: no such file, of another kind, or malformed.
    """
    import pandas as pd

    readers = {".csv": pd.read_csv, ".csv.gz": pd.read_csv, ".parquet": pd.read_parquet}
    reader = next((reader for suffix, reader in readers.items() if path.name.lower().endswith(suffix)), None)
    if reader is None:
        raise DataError(f"{path} is none of the tables that can be read: {', '.join(readers)}.")
    if not path.is_file():
        raise DataError(f"there is no file {path}.")
    try:
        table: pd.DataFrame = reader(path)
        if reader is pd.read_csv:
            table.columns = _as_written(table.columns, pd.read_csv(path, header=None, nrows=1, dtype=str).iloc[0])
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not encoded in UTF-8: save it as UTF-8. ({error})") from error
    except (ValueError, OSError, EOFError, zlib.error) as error:  # pandas and pyarrow raise children of the first two
        raise DataError(f"{path} cannot be read as a table ({str(error).strip()}): save it again.") from error
    return table.rename(columns=str)


def _as_written(columns: pd.Index, header: pd.Series) -> list[object]:
    """The names of columns with those that occur twice as they stand in the file; pandas numbers them."""
    twice = header.duplicated(keep=False) & header.notna()
    return [written if again else name for name, written, again in zip(columns, header, twice, strict=True)]


def read_graph(path: Path) -> CausalGraph:
    """The graph in a file: GML, DOT, dagitty, or a list of edges.

    Raises:
        GraphError: no such file, or no such graph.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise GraphError(f"{path} is not encoded in UTF-8: save it as UTF-8. ({error})") from error
    except OSError as error:
        raise GraphError(f"cannot read the graph {path}: {error.strerror}.") from error
    body = text[_COMMENTS.match(text).end() :]  # type: ignore[union-attr]  # it matches the empty string
    try:
        if _GML.match(body):
            return CausalGraph.from_gml(text)
        if _DOT.match(body):
            return CausalGraph.from_dot(text)
        if _DAGITTY.match(body):
            return CausalGraph.from_dagitty(text)
        return _from_lines(text.splitlines())
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from error


def _from_lines(lines: Iterable[str]) -> CausalGraph:
    edges: dict[str, list[tuple[str, str]]] = {"->": [], "<->": []}
    for i, line in enumerate(lines, 1):
        content = line.split("#")[0].strip()
        if not content:
            continue
        match = _EDGE.fullmatch(content)
        if not match or not match["a"] or not match["b"] or "->" in match["b"]:
            raise GraphError(f"line {i} is {line.strip()!r}, expected an edge such as A -> B (or DOT, or dagitty).")
        edges["<->" if match["arrow"] == "<->" else "->"].append((match["a"], match["b"]))
    if not any(edges.values()):
        raise GraphError("there are no edges. Write one A -> B to a line, or use DOT or dagitty.")
    return CausalGraph.from_edges(edges["->"], edges["<->"])


def matched(table: pd.DataFrame, graph: CausalGraph) -> pd.DataFrame:
    """The columns of the table that the graph names, in its order, with every row that is complete in them.

    The index counts the rows of the table from 1.

    Raises:
        DataError: too few rows are complete, or a column occurs twice or has a name that is taken.
        UnknownVariableError: a variable of the graph has no column.
    """
    for name in graph.variables:
        if name not in table.columns:
            raise unknown_variable(name, table.columns, "column")
        if (table.columns == name).sum() > 1:
            raise DataError(f"column {name!r} occurs twice in the table. Rename or drop one.")
        if name in DIMENSIONS or "/" in name:
            raise DataError(
                f"a column in posterior.nc cannot be called {name!r}. Rename it in the table and the graph."
            )
        if (noise := noise_name(name)) in graph.variables:
            raise DataError(f"{noise!r} is the name of the noise of {name!r}. Rename it in the table and the graph.")
    columns = table[list(graph.variables)].set_axis(range(1, len(table) + 1))
    complete = columns.dropna()
    if len(complete) < MIN_ROWS:
        counts = ", ".join(f"{name} {count}" for name, count in columns.isna().sum().items() if count)
        raise DataError(
            f"{len(complete)} complete rows are too few to hold a fifth out and to halve the others: at least "
            f"{MIN_ROWS} are needed. The table has {len(table)} rows; missing values by column: {counts or 'none'}."
        )
    return complete


def kinds(data: pd.DataFrame) -> dict[str, Variable]:
    """What kind of variable each column is.

    Raises:
        DataError: a column is of no such kind, is nearly constant, mixes numbers and text, or is text that hardly
            ever repeats.
    """
    variables = infer_variables(data)
    for name, variable in variables.items():
        _check_varied(name, data[name])
        if isinstance(variable, Labelled):
            _check_labels(name, [label for label in variable.labels if isinstance(label, str)], len(data))
    return variables


def _check_varied(name: str, column: pd.Series) -> None:
    counts = column.value_counts()
    if len(column) - counts.iloc[0] < MIN_VARIED:
        raise DataError(
            f"column {name!r} is {counts.index[0]} in {counts.iloc[0]} of the {len(column)} complete rows: at least "
            f"{MIN_VARIED} must differ, to learn from halves of them. Leave it out of the graph."
        )


def _check_labels(name: str, labels: Sequence[str], rows: int) -> None:
    """Refuse text that stands for numbers, or that nearly never repeats."""
    text = [label for label in labels if not _is_number(label)]
    if text and len(labels) - len(text) > MAX_NUMBERS:
        raise DataError(
            f"column {name!r} holds numbers, but {text[0]!r} too. Correct such values, or leave them empty to drop "
            f"their rows."
        )
    if len(labels) > rows / 2:
        raise DataError(
            f"column {name!r} is text with {len(labels)} different values in {rows} rows, such as {labels[0]!r}. If "
            f"these are numbers, write them with a decimal point; if not, leave the column out of the graph."
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def assignments(texts: Sequence[str], option: str, variables: Mapping[str, Variable]) -> dict[str, Label]:
    """Interventions from ``NAME=VALUE``, with labels as they stand in the table.

    Raises:
        QueryError: not of this form, a name twice, or a value that its variable cannot take.
        UnknownVariableError: a name that is no variable.
    """
    found: dict[str, Label] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name or not value:
            raise QueryError(f"{option} takes NAME=VALUE, such as {option} {next(iter(variables))}=1, got {text!r}.")
        if name not in variables:
            raise unknown_variable(name, variables)
        if name in found:
            raise QueryError(f"{option} sets {name!r} twice. Repeat it for different variables, to set them together.")
        found[name] = _value(name, value, variables[name], option)
    return found


def _value(name: str, text: str, variable: Variable, option: str) -> Label:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not isinstance(variable, Labelled):
        if not math.isfinite(number):
            what = "a count" if isinstance(variable, Count) else "continuous"
            raise QueryError(f"{option} {name}={text}: {name!r} is {what} in the table, expected a finite number.")
        if isinstance(variable, Count) and (number < 0 or number != round(number)):
            raise QueryError(f"{option} {name}={text}: {name!r} is a count in the table, expected a whole number.")
        return number
    for label in variable.labels:
        if text == str(label) or (isinstance(label, Real) and number == float(label)):
            return label
    hint = unknown_variable(text, variable.labels, "label")
    raise QueryError(f"{option} {name}={text}: {hint}")


def asked(
    do: Sequence[str], control: Sequence[str] | None, outcomes: Sequence[str], variables: Mapping[str, Variable]
) -> Request:
    """The question in the options of the command line.

    Raises:
        QueryError: an outcome that is set by the intervention, or a malformed value.
        UnknownVariableError: a name that is no variable.
    """
    question = Request(
        assignments(do, "--do", variables),
        assignments(control or (), "--control", variables),
        tuple(dict.fromkeys(outcomes)),
    )
    for name in outcomes:
        if name not in variables:
            raise unknown_variable(name, variables)
        if name in question.do or name in question.control:
            raise QueryError(f"--outcome {name}: it is set by the intervention. Ask about another variable.")
    if question.control and question.control.keys() != question.do.keys():
        raise QueryError(
            f"--do sets {', '.join(question.do)} and --control sets {', '.join(question.control)}: set the same "
            f"variables in both worlds."
        )
    if question.control == question.do:
        raise QueryError("--do and --control set the same values, so that there is nothing to compare. Change one.")
    return question
