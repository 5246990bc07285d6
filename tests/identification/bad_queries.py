"""Queries that cannot be asked, and what the message must say."""

import networkx as nx

from causal_pyro_models.errors import (
    DerivationError,
    GraphError,
    NotIdentifiableError,
    QueryError,
    UnknownVariableError,
)
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import (
    Derivation,
    Probability,
    Query,
    Symbol,
    Term,
    identify,
    parse,
    rule_1,
    rule_2,
    rule_3,
    term,
    verify,
)
from tests.bad_input.case import Bad

LONGEST = 600  # characters that a message may have
KINDS = ["unknown", "misspelt", "twice", "overlap", "empty", "cycle", "value", "column", "identifiable"]
nan = float("nan")

GRAPH = CausalGraph(["Z", "X", "M", "Smoking"], [("Z", "X"), ("X", "M"), ("M", "Smoking")], [("X", "Smoking")])
BOW = CausalGraph(["X", "Y"], [("X", "Y")], [("X", "Y")])
PROOF = identify(GRAPH, "P(Smoking | do(X))").derivation


def asked(text):
    return lambda: identify(GRAPH, text)


TEXTS = {
    "an empty text, column 1": ("", ("column 1", "expected 'P'", "the end")),
    "no parentheses, column 2": ("P", ("column 2", "'('", "the end")),
    "an empty outcome as text, column 3": ("P()", ("column 3", "a variable", "')'")),
    "an empty outcome before the bar, column 3": ("P( | do(X))", ("column 4", "a variable", "'|'")),
    "nothing behind the bar, column 7": ("P(M | )", ("column 7", "a variable", "')'")),
    "an open parenthesis, column 12": ("P(M | do(X)", ("column 12", "')'", "the end")),
    "an open world, column 8": ("P(M_{X=1)", ("column 9", "'}'", "')'")),
    "an empty world, column 6": ("P(M_{})", ("column 6", "a variable", "'}'")),
    "an empty intervention, column 10": ("P(M | do())", ("column 10", "a variable", "')'")),
    "do without parentheses, column 10": ("P(M | do X)", ("column 10", "'('", "'X'")),
    "two bars, column 9": ("P(M | Z | X)", ("column 9", "')'", "'|'")),
    "a comma too many, column 5": ("P(M,)", ("column 5", "a variable", "')'")),
    "no comma, column 5": ("P(M X)", ("column 5", "')'", "'X'")),
    "a value that is missing, column 5": ("P(M=)", ("column 5", "a value of 'M'", "')'")),
    "a value in parentheses, column 5": ("P(M=(1))", ("column 5", "a value of 'M'", "'('")),
    "an expectation in parentheses, column 2": ("E(M | do(X))", ("column 2", "'['", "'('")),
    "square brackets, column 2": ("P[M]", ("column 2", "'['")),
    "more after the end, column 6": ("P(M) P(Z)", ("column 6", "the end", "'P'")),
    "a strange sign, column 4": ("P(M§)", ("column 4", "'§'")),
    "a string that does not end, column 3": ('P("M)', ("column 3", "does not end")),
    "a name that is a number, column 3": ("P(1 | do(X))", ("column 3", "a variable", "'1'")),
    "a mark of do, column 9": ("P(M | do(X'=1))", ("column 12", "')'", "'='")),
}
READ = [Bad(what, QueryError, says, asked(text)) for what, (text, says) in TEXTS.items()]

BUILT = [
    Bad("an empty outcome", QueryError, ("no outcome", "Query('Y', 'X')"), lambda: Query([], "X")),
    Bad("an empty name", QueryError, ("outcome", "''", "non-empty"), lambda: Query("")),
    Bad("an empty name of a treatment", QueryError, ("treatment", "''"), lambda: Query("M", [""])),
    Bad("an outcome that is a number", QueryError, ("outcome", "3"), lambda: Query(3)),
    Bad("an outcome that is None", QueryError, ("outcome", "None"), lambda: Query(None)),
    Bad("a name that is None", QueryError, ("conditions", "None"), lambda: Query("M", "X", [None])),
    Bad("a name that is a number", QueryError, ("treatment", "3"), lambda: Query("M", [3])),
    Bad("an outcome twice", QueryError, ("'M'", "more than once", "disjoint"), lambda: Query(["M", "M"])),
    Bad("an overlap of outcome and treatment", QueryError, ("'M'", "disjoint", "Y_{X=1}"), lambda: Query("M", "M")),
    Bad("an overlap of outcome and conditions", QueryError, ("'M'", "disjoint"), lambda: Query("M", "X", "M")),
    Bad("an overlap of treatment and conditions", QueryError, ("'X'", "disjoint"), lambda: Query("M", "X", ["Z", "X"])),
    Bad("an overlap in the text", QueryError, ("'X'", "P(M | do(X), X=1)", "disjoint"), asked("P(M | do(X), X=1)")),
    Bad("a treatment twice, with two values", QueryError, ("'X'", "more than once"), asked("P(M | do(X=1, X=0))")),
    Bad("a value that is NaN", QueryError, ("'M'", "nan", "finite"), lambda: Query({"M": nan})),
    Bad("a value that is infinite", QueryError, ("'X'", "inf", "finite"), lambda: Query("M", {"X": float("inf")})),
    Bad("a value that is a list", QueryError, ("'M'", "[1]", "number or a string"), lambda: Query({"M": [1]})),
    Bad("a value that is None", QueryError, ("'M'", "None"), lambda: Query({"M": None})),
    Bad("an open value of another variable", QueryError, ("'M'", "'X'", "Symbol('M')"), lambda: Query({"M": Symbol("X")})),
    Bad("a value in a world that is NaN", QueryError, ("'X'", "the world of 'M'", "nan"), lambda: Query(term("M", do=[term("X", nan)]))),
    Bad("a treatment in a world", QueryError, ("'X'", "world of its own"), lambda: Query("M", [term("X", do=[term("Z", 1)])])),
    Bad("a treatment beside worlds", QueryError, ("do(...)", "Y_{X=1}"), asked("P(M_{X=1} | do(Z))")),
    Bad("a domain in the query", QueryError, ("domain", "target="), asked("P^*(M | do(X))")),
    Bad("a query that is bytes", QueryError, ("b'P(M)'", "P(Y | do(X))"), lambda: identify(GRAPH, b"P(M)")),
    Bad("a query that is None", QueryError, ("None", "Query('Y', 'X')"), lambda: identify(GRAPH, None)),
    Bad("text that is None", QueryError, ("query", "text", "None"), lambda: Query.parse(None)),
    Bad("an expression that is None", QueryError, ("expression", "text", "None"), lambda: parse(None)),
]  # fmt: skip

NAMES = [
    Bad("an unknown outcome", UnknownVariableError, ("'Q'", "Z, X, M, Smoking"), asked("P(Q | do(X))")),
    Bad("an unknown treatment", UnknownVariableError, ("'Q'", "Z, X, M, Smoking"), asked("P(M | do(Q))")),
    Bad("an unknown condition", UnknownVariableError, ("'Q'", "Z, X, M, Smoking"), asked("P(M | do(X), Q)")),
    Bad("an unknown variable of a world", UnknownVariableError, ("'Q'",), asked("P(M_{Q=1})")),
    Bad("an unknown variable of a nested world", UnknownVariableError, ("'Q'",), asked("P(M_{X=1, Z_{Q=0}})")),
    Bad("a misspelt outcome", UnknownVariableError, ("'smoking'", "Did you mean 'Smoking'"), asked("P(smoking | do(X))")),
    Bad("a misspelt treatment", UnknownVariableError, ("'x'", "Did you mean 'X'"), asked("P(M | do(x))")),
    Bad("a misspelt condition", UnknownVariableError, ("'Smokng'", "Did you mean 'Smoking'"), asked("P(M | do(X), Smokng)")),
    Bad("an unknown experiment", UnknownVariableError, ("'Q'",), lambda: identify(GRAPH, "P(M | do(X))", experiments=["Q"])),
    Bad("an unknown symbol of an expression", UnknownVariableError, ("'q'", "X, Y"), lambda: parse("P(q)", ["X", "Y"])),
]  # fmt: skip

GRAPHS = [
    Bad("a cycle", GraphError, ("cycle", "'X' -> 'Y'"), lambda: identify(CausalGraph.from_edges([("X", "Y"), ("Y", "X")]), "P(Y | do(X))")),
    Bad("a cycle of networkx", GraphError, ("cycle",), lambda: identify(CausalGraph.from_networkx(nx.DiGraph([("X", "Y"), ("Y", "X")])), "P(Y)")),
    Bad("an undirected graph of networkx", GraphError, ("networkx.DiGraph", "Graph"), lambda: identify(nx.Graph([("X", "Y")]), "P(Y | do(X))")),
    Bad("a graph that is a number", GraphError, ("CausalGraph", "int"), lambda: identify(3, "P(Y | do(X))")),
    Bad("the query first", GraphError, ("CausalGraph", "str"), lambda: identify("P(Y | do(X))", BOW)),
    Bad("a query that is not identifiable", NotIdentifiableError, ("P(Y | do(X)) is not identifiable", "{X, Y}", "hedge"), lambda: identify(BOW, "P(Y | do(X))")),
    Bad("a query with values that is not identifiable", NotIdentifiableError, ("P(Y=1 | do(X=0))", "hedge"), lambda: identify(BOW, "P(Y=1 | do(X=0))")),
]  # fmt: skip

RULES = [
    Bad("an observation that tells", QueryError, ("rule 1", "P(m | x)", "which fails"), lambda: rule_1(GRAPH, parse("P(m | x)"), delete="X")),
    Bad("an action that is confounded", QueryError, ("rule 2", "Smoking _||_ X", "which fails"), lambda: rule_2(GRAPH, Probability((term("Smoking"),), (), (term("X"),)), observe="X")),
    Bad("an action that has an effect", QueryError, ("rule 3", "M _||_ X", "which fails"), lambda: rule_3(GRAPH, parse("P(m | do(x))"), delete="X")),
    Bad("an action that a condition tells of", QueryError, ("rule 3", "Y _||_ X | W", "which fails"), lambda: rule_3(CausalGraph(["X", "W", "Y"], [("X", "W")], [("X", "Y")]), parse("P(y | do(x), w)"), delete="X")),
    Bad("a condition that is unknown", UnknownVariableError, ("condition 'Q'",), lambda: rule_1(GRAPH, parse("P(m | x)"), delete="Q")),
    Bad("an unknown action", UnknownVariableError, ("action 'Z'", "X"), lambda: rule_2(GRAPH, parse("P(m | do(x), z)"), observe="Z")),
    Bad("an unknown variable inserted", UnknownVariableError, ("'Q'", "Smoking"), lambda: rule_3(GRAPH, parse("P(m)"), insert="Q")),
    Bad("an unknown variable in a rule", UnknownVariableError, ("'W'",), lambda: rule_1(GRAPH, parse("P(w | x)"), delete="X")),
    Bad("text in place of a probability", QueryError, ("'P(m | x)'", "parse("), lambda: rule_1(GRAPH, "P(m | x)", delete="X")),
    Bad("an unknown action that is a number", UnknownVariableError, ("action 3", "X"), lambda: rule_2(GRAPH, parse("P(m | do(x))"), observe=3)),
    Bad("a rule without a graph", GraphError, ("CausalGraph", "NoneType"), lambda: rule_3(None, parse("P(m | do(x))"), delete="X")),
    Bad("an estimand in place of its proof", DerivationError, ("Derivation", "Estimand", "estimand.derivation"), lambda: verify(identify(GRAPH, "P(M | do(X))"))),
    Bad("parentheses without end", QueryError, ("expression", "nested too deeply"), lambda: parse("(" * 5000)),
    Bad("worlds without end", QueryError, ("query", "nested too deeply"), lambda: Query.parse("P(M" + "_{X" * 5000)),
    Bad("a rule across worlds", QueryError, ("one world", "'M'"), lambda: rule_1(GRAPH, Probability((Term("M", 1, (term("X", 1),)),), (term("Z"),)), delete="Z")),
    Bad("a negative number of models", QueryError, ("models", "-1"), lambda: verify(PROOF, models=-1)),
    Bad("a proof of a large graph on models", QueryError, ("16 variables", "17"), lambda: verify(Derivation(CausalGraph([f"V{i}" for i in range(17)], []), parse("P(v1)"), (), {}), models=1)),
    Bad("a proof of another start", DerivationError, ("has no P",), lambda: verify(Derivation(GRAPH, parse("P(z)"), PROOF.steps, {}))),
]  # fmt: skip

CASES = READ + BUILT + NAMES + GRAPHS + RULES
