"""The one grammar behind :func:`parse` of expressions and :meth:`Query.parse` of queries.

An expression is a product of items, or one item over another; an item is a probability, a sum that reaches to the end,
``0``, ``1``, or an expression in parentheses. A probability is ``P(events | do(events), events)``.
"""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, NoReturn, TypeVar

from causal_pyro_models.errors import QueryError, unknown_variable
from causal_pyro_models.identification.expressions.expression import (
    ONE,
    ZERO,
    Expression,
    Fraction,
    Probability,
    Product,
    Sum,
    Symbol,
    Term,
    Value,
)

_TOKEN = re.compile(
    r"""
    (?P<space> \s+ )
  | (?P<quoted> "(?:[^"\\]|\\.)*" )
  | (?P<number> -?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?!\w) )
  | (?P<word> [^\W\d_]\w*?(?=_\{) | sum(?=_) | [^\W\d_]\w* )
  | (?P<mark> _\{ | [_(){}\[\]|,=/^*'-] )
    """,
    re.VERBOSE,
)
END = "the end"
Found = TypeVar("Found")


class _Token(NamedTuple):
    kind: str  # a group of _TOKEN, or "end"
    text: str
    position: int


def parse(text: str, variables: Iterable[str] | None = None) -> Expression:
    """The expression that a text describes: what :meth:`Expression.text` writes, read back.

    Args:
        text: such as ``sum_z P(y | x, z) P(z)``.
        variables: the names behind the symbols. Without them a symbol in lower case stands for the name in upper case,
            as in the literature.

    Raises:
        QueryError: with the column of what does not fit.
        UnknownVariableError: for a symbol of none of the variables.

    Example:
        >>> parse("sum_z P(y | x, z) P(z)").latex()
        '\\\\sum_{z} P(y \\\\mid x, z) \\\\, P(z)'
        >>> parse("P(death | smoking)", ["Smoking", "Death"]).names == {"Smoking", "Death"}
        True
    """
    known = None if variables is None else tuple(variables)
    return Reader(text, "expression", lambda word: _variable(word, known)).read(Reader.expression)


def _variable(word: str, known: tuple[str, ...] | None) -> str:
    """The variable that a plain word stands for."""
    if known is None:
        return word.upper() if word == word.lower() else word
    alike = [name for name in known if name.lower() == word.lower()]
    if len(alike) > 1:
        raise QueryError(
            f"symbol {word!r} may stand for {' or '.join(map(repr, alike))}. Put the name in double quotes."
        )
    if not alike:
        raise unknown_variable(word, known)
    return alike[0]


class Reader:
    """Recursive descent over the tokens of one text.

    Args:
        text: what to read.
        what: what it should be, for messages.
        variable: the variable that a word without quotes stands for.
    """

    def __init__(self, text: str, what: str, variable: Callable[[str], str]) -> None:
        if not isinstance(text, str):
            raise QueryError(f"the {what} must be text, got {text!r:.80}.")
        self.text = text
        self.what = what
        self.variable = variable
        self.tokens = self._tokenize()
        self.at = 0

    def _tokenize(self) -> list[_Token]:
        tokens, position = [], 0
        while position < len(self.text):
            match = _TOKEN.match(self.text, position)
            if match is None:
                wrong = self.text[position]
                self.fail(position, "a string that does not end" if wrong == '"' else f"unexpected {wrong!r}")
            if match.lastgroup != "space":
                tokens.append(_Token(str(match.lastgroup), match.group(), position))
            position = match.end()
        return [*tokens, _Token("end", END, position)]

    def fail(self, position: int, problem: str) -> NoReturn:
        """Raise the error that points at a column."""
        raise QueryError(f"the {self.what} {self.text!r:.200}, column {position + 1}: {problem}.")

    @property
    def token(self) -> _Token:
        """The next token."""
        return self.tokens[self.at]

    def accept(self, text: str) -> bool:
        """Step over the next token if it is this mark or word."""
        if self.token.kind in ("quoted", "end") or self.token.text != text:
            return False
        self.at += 1
        return True

    def expect(self, text: str) -> None:
        """Step over the next token, which must be this mark or word."""
        if not self.accept(text):
            self.fail(self.token.position, f"expected {text!r}, got {self._shown()}")

    def _shown(self) -> str:
        return END if self.token.kind == "end" else repr(self.token.text)

    def read(self, rule: "Callable[[Reader], Found]") -> Found:
        """What a rule of the grammar makes of the whole text."""
        try:
            found = rule(self)
        except RecursionError:
            raise QueryError(f"the {self.what} is nested too deeply, it begins with {self.text!r:.80}.") from None
        if self.token.kind != "end":
            self.fail(self.token.position, f"expected {END}, got {self._shown()}")
        return found

    # Expressions ----------------------------------------------------------------------------------------------------

    def expression(self) -> Expression:
        """A product of items, or one item over another."""
        items = [self._item()]
        if self.accept("/"):
            return Fraction(items[0], self._item())
        while self.token.text in ("P", "sum", "(", "1", "0") and self.token.kind != "quoted":
            items.append(self._item())
        return Product(tuple(items)) if len(items) > 1 else items[0]

    def _item(self) -> Expression:
        if self.accept("("):
            inside = self.expression()
            self.expect(")")
            return inside
        if self.accept("1"):
            return ONE
        if self.accept("0"):
            return ZERO
        if self.token.kind == "word" and self.token.text == "sum":
            return self._sum()
        return self.probability()

    def _sum(self) -> Sum:
        self.expect("sum")
        if self.accept("_{"):
            over = [self._symbol()]
            while self.accept(","):
                over.append(self._symbol())
            self.expect("}")
        else:
            self.expect("_")
            over = [self._symbol()]
        return Sum(tuple(over), self.expression())

    def _symbol(self) -> Symbol:
        return Symbol(self._name(), self._primes())

    # Probabilities --------------------------------------------------------------------------------------------------

    def difference(self) -> list[tuple[Probability, bool]]:
        """A mean or probability, or one less another: each with whether it is a mean."""
        found = [self.asked()]
        if self.accept("-"):
            found.append(self.asked())
        return found

    def asked(self) -> tuple[Probability, bool]:
        """A probability, or a mean, ``E[Y | do(X), Z]``."""
        if not self.accept("E"):
            return self.probability(), False
        self.expect("[")
        return self._inside("", "]"), True

    def probability(self) -> Probability:
        """``P(events | do(events), events)``, with the label of a domain behind the P where there is one."""
        self.expect("P")
        domain = ""
        if self.accept("^"):
            domain = "*" if self.accept("*") else self._word("the label of a domain")
        self.expect("(")
        return self._inside(domain, ")")

    def _inside(self, domain: str, end: str) -> Probability:
        """``events | do(events), events`` and what closes them."""
        outcome = self._terms()
        do: list[Term] = []
        given: list[Term] = []
        if self.accept("|"):
            self._behind(do, given)
            while self.accept(","):
                self._behind(do, given)
        self.expect(end)
        return Probability(tuple(outcome), tuple(given), tuple(do), domain)

    def _behind(self, do: list[Term], given: list[Term]) -> None:
        """What stands behind the bar between two commas: an intervention or a condition."""
        if self.token.kind == "word" and self.token.text == "do" and self.tokens[self.at + 1].text != "=":
            self.at += 1
            self.expect("(")
            do += self._terms()
            self.expect(")")
        else:
            given.append(self.term())

    def _terms(self) -> list[Term]:
        found = [self.term()]
        while self.accept(","):
            found.append(self.term())
        return found

    def term(self) -> Term:
        """``X``, ``x'``, ``X=1``, ``Y_{X=1}``, ``Y_{X=1, M_{X=0}}=1``."""
        name, primes, world = self._name(), self._primes(), []
        if self.accept("_{"):
            world = self._terms()
            self.expect("}")
        value: Value = Symbol(name, primes)
        if not primes and self.accept("="):
            value = self._value(name)
        return Term(name, value, tuple(world))

    def _value(self, name: str) -> Value:
        """What follows the equals sign: a number, a string, or an open value such as x'."""
        kind, text, position = self.token
        if kind not in ("number", "quoted", "word"):
            self.fail(position, f"expected a value of {name!r}, got {self._shown()}")
        self.at += 1
        if kind == "number":
            return float(text) if re.search(r"[.eE]", text) else int(text)
        if kind == "quoted":
            return _unquoted(text)
        if text in ("True", "False"):
            return text == "True"
        if text.lower() == name.lower():
            return Symbol(name, self._primes())
        return text

    def _primes(self) -> int:
        count = 0
        while self.accept("'"):
            count += 1
        return count

    def _name(self) -> str:
        if self.token.kind == "quoted":
            return self._word("a variable")
        return self.variable(self._word("a variable"))

    def _word(self, what: str) -> str:
        kind, text, position = self.token
        if kind not in ("quoted", "word"):
            self.fail(position, f"expected {what}, got {self._shown()}")
        self.at += 1
        return _unquoted(text) if kind == "quoted" else text


def _unquoted(text: str) -> str:
    return re.sub(r'\\(["\\])', r"\1", text[1:-1])
