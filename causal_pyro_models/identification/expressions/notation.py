"""How expressions are written: as text that parses back, and as LaTeX."""

import re
from collections.abc import Iterable, Sequence

Constant = int | float | str
_PLAIN = re.compile(r"(?!sum_|(?:do|sum|p|true|false)$)[a-z]\w*(?<!_)", re.ASCII | re.IGNORECASE)
_GREEK = re.compile("alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|chi|psi")


class Text:
    """Plain text. A value of X is written x, and names that are no plain words stand in quotes.

    Args:
        quoted: names to put in quotes all the same, because another one differs from them in case only.
    """

    def __init__(self, quoted: frozenset[str] = frozenset()) -> None:
        self.quoted = quoted

    def name(self, name: str) -> str:
        """A variable."""
        return _in_quotes(name) if name in self.quoted or not _PLAIN.fullmatch(name) else name

    def symbol(self, name: str, primes: int) -> str:
        """A value of a variable."""
        plain = self.name(name)
        return (plain if plain.startswith('"') else plain.lower()) + "'" * primes

    def constant(self, value: Constant) -> str:
        """A given value."""
        return _in_quotes(value) if isinstance(value, str) else repr(value)

    def equation(self, left: str, right: str) -> str:
        """An event."""
        return f"{left}={right}"

    def world(self, left: str, subscripts: Sequence[str]) -> str:
        """A variable in another world."""
        return f"{left}_{{{', '.join(subscripts)}}}"

    def probability(self, domain: str, outcome: Sequence[str], do: Sequence[str], given: Sequence[str]) -> str:
        """A conditional probability under an intervention, in a domain."""
        behind = [f"do({', '.join(do)})"] if do else []
        bar = f" | {', '.join([*behind, *given])}" if behind or given else ""
        label = f"^{domain if domain == '*' else self.name(domain)}" if domain else ""
        return f"P{label}({', '.join(outcome)}{bar})"

    def sum(self, over: Sequence[str], body: str) -> str:
        """A sum over values."""
        return f"sum_{over[0] if len(over) == 1 else '{' + ', '.join(over) + '}'} {body}"

    def product(self, factors: Sequence[str]) -> str:
        """A product."""
        return " ".join(factors)

    def fraction(self, numerator: str, denominator: str) -> str:
        """A fraction, whose parts stand in parentheses where they must."""
        return f"{numerator} / {denominator}"

    def group(self, body: str) -> str:
        """Parentheses."""
        return f"({body})"

    def bar(self, body: str) -> str:
        """A part of a fraction that must be kept together."""
        return self.group(body)


class Latex(Text):
    """LaTeX, without the dollar signs; names in ``quoted`` are upright, letter by letter, as their values are."""

    @classmethod
    def among(cls, names: Iterable[str]) -> "Latex":
        """The notation that tells some names apart, such as x from X and W1 from W_1."""
        alike: dict[str, set[str]] = {}
        for name in names:
            for look in (name.lower(), cls().symbol(name, 0), cls().name(name)):
                alike.setdefault(look, set()).add(name)
        return cls(frozenset(name for group in alike.values() if len(group) > 1 for name in group))

    def name(self, name: str) -> str:
        """A variable; digits at its end become a subscript, Greek letters are those in lower case."""
        return self._written(name, greek=True)

    def symbol(self, name: str, primes: int) -> str:
        """A value of a variable: of XI and xi the Greek letter, of Xi none."""
        plain = name if name in self.quoted else name.lower()
        return self._written(plain, greek=name in (name.lower(), name.upper())) + "'" * primes

    def _written(self, name: str, greek: bool) -> str:
        if name in self.quoted:
            return rf"\text{{{_escaped(name)}}}"
        match = re.fullmatch(r"(.*?[A-Za-z])_?(\d+)", name)
        stem, digits = match.groups() if match else (name, "")
        word = rf"\{stem}" if greek and _GREEK.fullmatch(stem) else _latex_word(stem)
        return word + (f"_{{{digits}}}" if digits else "")

    def constant(self, value: Constant) -> str:
        """A given value."""
        return rf"\text{{{_escaped(value)}}}" if isinstance(value, str) else repr(value)

    def world(self, left: str, subscripts: Sequence[str]) -> str:
        """A variable in another world."""
        return f"{{{left}}}_{{{', '.join(subscripts)}}}"

    def probability(self, domain: str, outcome: Sequence[str], do: Sequence[str], given: Sequence[str]) -> str:
        """A conditional probability under an intervention, in a domain."""
        behind = [rf"\operatorname{{do}}({', '.join(do)})"] if do else []
        bar = rf" \mid {', '.join([*behind, *given])}" if behind or given else ""
        label = f"^{{{domain if domain == '*' else self.name(domain)}}}" if domain else ""
        return f"P{label}({', '.join(outcome)}{bar})"

    def sum(self, over: Sequence[str], body: str) -> str:
        """A sum over values."""
        return rf"\sum_{{{', '.join(over)}}} {body}"

    def product(self, factors: Sequence[str]) -> str:
        """A product."""
        return r" \, ".join(factors)

    def fraction(self, numerator: str, denominator: str) -> str:
        """A fraction."""
        return rf"\frac{{{numerator}}}{{{denominator}}}"

    def group(self, body: str) -> str:
        """Parentheses."""
        return rf"\left({body}\right)"

    def bar(self, body: str) -> str:
        """A part of a fraction, which its bar keeps together."""
        return body


def _in_quotes(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _escaped(text: str) -> str:
    plain = re.sub(r"([#$%&_{}])", r"\\\1", text.replace("\\", r"\textbackslash "))
    return plain.replace("^", r"\textasciicircum ").replace("~", r"\textasciitilde ")


def _latex_word(stem: str) -> str:
    if len(stem) == 1 and stem.isalpha():
        return stem
    return rf"\{'mathit' if stem.isidentifier() else 'text'}{{{_escaped(stem)}}}"
