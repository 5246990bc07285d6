"""Graphs as text: the part of DOT (Graphviz) and of dagitty's language that describes a causal graph.

The two share their statements (variables, chains of edges, groups in braces, attributes, comments) and one parser;
a :class:`Language` holds what differs.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from causal_pyro_models.errors import GraphError
from causal_pyro_models.graph.validation import Edge

_TOKEN = re.compile(
    r"""
    (?P<skip> \s+ | //[^\n]* | /\*.*?\*/ | \#[^\n]* )
  | (?P<quoted> "(?:[^"\\]|\\.)*" )
  | (?P<arrow> <-> | -> | <- | -- )
  | (?P<mark> [{}\[\]=;,:+] )
  | (?P<word> -?(?:\d+(?:\.\d*)?|\.\d+)(?![\w.]) | [\w.]+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYWORDS = frozenset({"strict", "graph", "digraph", "node", "edge", "subgraph"})
_HEADERS = frozenset({"dag", "pdag", "mag", "pag", "graph", "digraph"})  # kinds of graphs of dagitty


@dataclass(frozen=True)
class Language:
    """What sets a language apart.

    Args:
        name: the name that error messages use.
        header: the word before the opening brace.
        keywords: words that are no names unless quoted.
        bidirected: how a bidirected edge is written, given its two ends.
        latent: the attributes (key, value) that mark a variable as hidden.
        bare: whether edges may stand without header and braces.
    """

    name: str
    header: str
    keywords: frozenset[str]
    bidirected: str
    latent: frozenset[tuple[str, str]]
    bare: bool = False


DOT = Language("DOT", "digraph", _KEYWORDS, "{} -> {} [dir=both]", frozenset({("observed", "no")}))
DAGITTY = Language(
    "dagitty",
    "dag",
    frozenset(),
    "{} <-> {}",
    frozenset({("latent", ""), ("l", ""), ("unobserved", ""), ("u", "")}),
    bare=True,
)


def write(language: Language, variables: Iterable[str], edges: Iterable[Edge], bidirected: Iterable[Edge]) -> str:
    """A graph as text, one statement a line."""
    lines = [_quote(v) for v in variables]
    lines += [f"{_quote(a)} -> {_quote(b)}" for a, b in edges]
    lines += [language.bidirected.format(_quote(a), _quote(b)) for a, b in bidirected]
    return "\n".join([f"{language.header} {{", *(f"  {line};" for line in lines), "}"])


def _quote(name: str) -> str:
    if _BARE.fullmatch(name) and name.lower() not in _KEYWORDS:
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class _Token(NamedTuple):
    kind: str  # a group of _TOKEN, or "end"
    text: str
    position: int


@dataclass
class Description:
    """What a text says: the variables with their attributes, and the edges in the order of the text."""

    variables: dict[str, dict[str, str]] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    bidirected: list[Edge] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)


@dataclass
class _Scope:
    """The default attributes that hold inside one pair of braces."""

    node: dict[str, str] = field(default_factory=dict)
    edge: dict[str, str] = field(default_factory=dict)

    def inner(self) -> "_Scope":
        return _Scope(dict(self.node), dict(self.edge))


def parse(text: str, language: Language) -> Description:
    """Read a graph.

    Raises:
        GraphError: with the line and column of what does not fit.
    """
    if not isinstance(text, str):
        raise GraphError(f"expected a {language.name} string, got {type(text).__name__}.")
    try:
        return _Parser(text, language).parse()
    except RecursionError:
        raise GraphError(
            f"the {language.name} graph has too many braces within braces: write its edges flat."
        ) from None


class _Parser:
    """Recursive descent over the tokens, one method for each rule of the grammar."""

    def __init__(self, text: str, language: Language) -> None:
        self.text = text
        self.language = language
        self.tokens = self._tokenize()
        self.at = 0
        self.found = Description()

    def _tokenize(self) -> list[_Token]:
        tokens, position = [], 0
        while position < len(self.text):
            match = _TOKEN.match(self.text, position)
            if match is None and self.text[position] == "<" and self.language is DOT:
                end = self._markup_end(position)
                tokens.append(_Token("quoted", self.text[position:end], position))
                position = end
                continue
            if match is None:
                wrong = self.text[position]
                problem = "a string or comment that does not end" if wrong in '"/' else f"unexpected {wrong!r}"
                self._fail(position, problem)
            kind = str(match.lastgroup)
            if kind != "skip":
                tokens.append(_Token(kind, match.group(), position))
            position = match.end()
        return [*tokens, _Token("end", "the end of the text", position)]

    def _markup_end(self, position: int) -> int:
        """The end of a string of markup in DOT, ``<...>``, within which each < has its >."""
        depth = 0
        for at in range(position, len(self.text)):
            depth += {"<": 1, ">": -1}.get(self.text[at], 0)
            if not depth:
                return at + 1
        self._fail(position, "a string that does not end")

    def _fail(self, position: int, problem: str) -> NoReturn:
        line = self.text.count("\n", 0, position) + 1
        column = position - (self.text.rfind("\n", 0, position) + 1) + 1
        raise GraphError(f"{self.language.name} graph, line {line}, column {column}: {problem}.")

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def _accept(self, *texts: str) -> bool:
        """Step over the next token if it is one of these marks or unquoted words."""
        if self.token.kind in ("quoted", "end") or self.token.text.lower() not in texts:
            return False
        self.at += 1
        return True

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            self._fail(self.token.position, f"expected {text!r}, got {self.token.text!r}")

    def _is_name(self) -> bool:
        kind, text, _ = self.token
        return kind == "quoted" or (kind == "word" and text.lower() not in self.language.keywords)

    def _name(self) -> str:
        if not self._is_name():
            self._fail(self.token.position, f"expected a name, got {self.token.text!r}")
        kind, text, _ = self.token
        self.at += 1
        if kind != "quoted":
            return text
        name = re.sub(r'\\(["\\])', r"\1", text[1:-1])
        return name + self._name() if self.language is DOT and self._accept("+") else name

    def parse(self) -> Description:
        strict = "strict" in self.language.keywords and self._accept("strict")
        if self._is_bare():
            self._statements(_Scope(), until="end")
        else:
            self._expect(self.language.header)
            if self._is_name():
                self._name()
            self._group(_Scope())
        if self.token.kind != "end":
            self._fail(self.token.position, f"expected the end of the text, got {self.token.text!r}")
        found = self.found
        if strict:  # a strict digraph merges repeated edges
            found.edges = list(dict.fromkeys(found.edges))
            found.bidirected = list(dict.fromkeys(found.bidirected))
        found.hidden = [v for v, attributes in found.variables.items() if self.language.latent & attributes.items()]
        return found

    def _is_bare(self) -> bool:
        """Whether the text has edges and no header."""
        headed = self.token.text.lower() in _HEADERS and self.token.kind == "word"
        return self.language.bare and not headed and any(token.kind == "arrow" for token in self.tokens)

    def _group(self, scope: _Scope) -> list[str]:
        """``{ statement; ... }``: the variables it mentions."""
        self._expect("{")
        mentioned = self._statements(scope, until="}")
        self._expect("}")
        return mentioned

    def _statements(self, scope: _Scope, until: str) -> list[str]:
        """Statements up to a closing brace, or the end: the variables they mention."""
        mentioned: list[str] = []
        while not self._is_at(until):
            if not self._accept(";"):
                mentioned += self._statement(scope)
        return list(dict.fromkeys(mentioned))

    def _is_at(self, text: str) -> bool:
        return self.token.kind == "end" if text == "end" else (self.token.kind, self.token.text) == ("mark", text)

    def _statement(self, scope: _Scope) -> list[str]:
        """Defaults, a graph attribute, or a chain of variables and groups with its attributes."""
        if "node" in self.language.keywords and self._accept("node"):
            scope.node.update(self._attributes())
            return []
        if "edge" in self.language.keywords and self._accept("edge"):
            scope.edge.update(self._attributes())
            return []
        if "graph" in self.language.keywords and self._accept("graph"):
            self._attributes()
            return []
        if self._is_name() and self.tokens[self.at + 1].text == "=":
            self._name()
            self._expect("=")
            self._name()
            return []
        return self._chain(scope)

    def _chain(self, scope: _Scope) -> list[str]:
        ends, arrows = [self._end(scope)], []
        while self.token.kind == "arrow":
            arrows.append(self.token)
            self.at += 1
            ends.append(self._end(scope))
        attributes = self._attributes()
        if not arrows:
            for name in ends[0]:
                self.found.variables[name].update(attributes)
        for arrow, left, right in zip(arrows, ends, ends[1:], strict=False):
            self._connect(arrow, left, right, {**scope.edge, **attributes}.get("dir", "forward").lower())
        return [name for end in ends for name in end]

    def _end(self, scope: _Scope) -> list[str]:
        """One end of an edge: a variable, several with commas between them (in DOT), or all those of a group."""
        if "subgraph" in self.language.keywords and self._accept("subgraph") and self._is_name():
            self._name()
        if self.token.text == "{" and self.token.kind == "mark":
            return self._group(scope.inner())
        names = [self._variable(scope)]
        while self.language is DOT and self._accept(","):
            names.append(self._variable(scope))
        return names

    def _variable(self, scope: _Scope) -> str:
        """A variable; the port of DOT, at which an edge is drawn, says nothing of the graph."""
        name = self._name()
        while self.language is DOT and self._accept(":"):
            self._name()
        self.found.variables.setdefault(name, dict(scope.node))
        return name

    def _attributes(self) -> dict[str, str]:
        """``[key=value, flag]``, any number of times; a flag has an empty value."""
        attributes: dict[str, str] = {}
        while self._accept("["):
            while not self._accept("]"):
                key = self._name()
                attributes[key] = self._name() if self._accept("=") else ""
                self._accept(",", ";")
        return attributes

    def _connect(self, arrow: _Token, left: Sequence[str], right: Sequence[str], direction: str) -> None:
        """Edges from all of ``left`` to all of ``right``; the attribute ``dir`` of DOT may turn or double an arrow."""
        if arrow.text == "--" or direction == "none":
            self._fail(arrow.position, "an undirected edge. A causal graph has -> for a cause and <-> for confounding")
        if direction not in ("forward", "back", "both"):
            self._fail(arrow.position, f"an edge with dir={direction!r}, expected forward, back or both")
        if (arrow.text == "<-") != (direction == "back"):
            left, right = right, left
        both = arrow.text == "<->" or direction == "both"
        (self.found.bidirected if both else self.found.edges).extend((a, b) for a in left for b in right)
