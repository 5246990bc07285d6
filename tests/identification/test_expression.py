"""Expressions: their text parses back, and rewriting them leaves their values as they are."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from causal_pyro_models.errors import QueryError, UnknownVariableError
from causal_pyro_models.identification import ONE, ZERO, Probability, Product, Sum, Symbol, identify, parse, term
from causal_pyro_models.identification.expressions.expression import product, terms, total
from causal_pyro_models.identification.expressions.notation import Latex
from causal_pyro_models.identification.expressions.simplification import simplified, with_primes
from causal_pyro_models.identification.laws.random_laws import unrestricted
from causal_pyro_models.identification.laws.tabulation import Tabulator
from tests.identification.oracles import value_of
from tests.identification.strategies import NAMES, expressions, probabilities, symbols, trees

LAWS = unrestricted(NAMES, seed=0)


def values(expression, over):
    return Tabulator(NAMES, LAWS).over(expression, over)


def agree(one, other):
    over = sorted(one.free | other.free)
    np.testing.assert_allclose(*np.broadcast_arrays(values(one, over), values(other, over)), rtol=1e-9)


@given(trees())
def test_the_text_parses_back(expression):
    assert parse(expression.text(), NAMES) == expression


@given(
    st.lists(
        st.sampled_from(["x", "X", "P", "sum", "do", "sum_1", "a b", 'q"\\', "Σ", "x_", "_", "1"]),
        unique=True,
        min_size=1,
    )
)
def test_any_name_parses_back(names):
    expression = Product((Probability(tuple(term(name) for name in names)), Probability((term(names[0], "v"),))))
    assert parse(expression.text(), names) == expression


@settings(max_examples=100)
@given(trees(), st.data())
def test_tables_agree_with_reading_the_expression_off(expression, data):
    assignment = {symbol: data.draw(st.integers(0, 1)) for symbol in sorted(expression.free)}
    laws = {
        ("", frozenset(t.name for t in p.do)): LAWS("", frozenset(t.name for t in p.do)) for p in _leaves(expression)
    }
    laws["", frozenset()] = LAWS("", frozenset())
    array, axes = Tabulator(NAMES, LAWS)(expression)
    assert set(axes) == expression.free
    read = value_of(expression, laws, NAMES, assignment)
    np.testing.assert_allclose(array[tuple(assignment[symbol] for symbol in axes)], read, rtol=1e-9)


def _leaves(expression):
    return [part for part in expression.walk() if isinstance(part, Probability)]


@settings(max_examples=200)
@given(expressions(probabilities()))
def test_simplifying_changes_no_value_and_is_done_at_once(expression):
    simple = simplified(expression)
    agree(expression, simple)
    assert simplified(simple) == simple
    assert simple.free <= expression.free


@given(trees())
def test_primes_change_no_value_and_keep_symbols_apart(expression):
    clear = with_primes(expression)
    agree(expression, clear)
    _check_scopes(clear, clear.free)


def _check_scopes(expression, taken):
    if isinstance(expression, Sum):
        assert taken.isdisjoint(expression.over) and len(set(expression.over)) == len(expression.over)
        taken = taken.union(expression.over)
    for part in expression.parts:
        _check_scopes(part, taken)


@settings(max_examples=100)
@given(trees(), st.data())
def test_substitution_reads_the_value_at_another_place(expression, data):
    chosen = {s: data.draw(st.one_of(st.integers(0, 1), st.just(Symbol(s.name, 7)))) for s in sorted(expression.free)}
    found = expression.substitute(chosen)
    array, axes = Tabulator(NAMES, LAWS)(expression)
    assert found.free == {value for value in chosen.values() if isinstance(value, Symbol)}
    for at in range(2):
        place = tuple(at if isinstance(chosen[s], Symbol) else chosen[s] for s in axes)
        after, left = Tabulator(NAMES, LAWS)(found)
        np.testing.assert_allclose(after[(at,) * len(left)], array[place], rtol=1e-9)


@given(trees(), symbols(), symbols())
def test_bound_symbols_do_not_catch_what_comes_in(expression, old, new):
    if old.name != new.name or old not in expression.free:
        return
    assert expression.substitute({old: new}).free == expression.free - {old} | {new}


def test_a_new_name_for_a_bound_symbol_is_new_to_the_whole_sum():
    found = parse("sum_x P(a | x) P(b | x') P(c | x'')").substitute({Symbol("X", 2): Symbol("X")})
    assert found.text() == "sum_x''' P(a | x''') P(b | x') P(c | x)"


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("sum_{z, a} P(y | x, z) P(z | a) P(a)", "sum_z P(y | x, z) P(z)"),
        ("sum_m P(m | x) sum_x P(y | m, x) P(x)", "sum_m P(m | x) sum_x' P(y | m, x') P(x')"),
        ("sum_z P(y | x, z) P(z | x)", "P(y | x)"),
        ("P(z) P(y | x, z)", "P(y | x, z) P(z)"),
        ("P(x, y) / P(x)", "P(y | x)"),
        ("P(x, y, z) / P(z)", "P(x, y | z)"),
        ("(P(a, b) / P(b)) (P(c) / P(a | b))", "P(c)"),
        ("(sum_z P(y | x, z) P(x, z)) / P(x)", "P(y | x)"),
        ("(sum_z P(y | w, x, z) P(x, z)) / P(x)", "sum_z P(y | w, x, z) P(z | x)"),
        ("sum_{a, b} P(a | c) P(b | d) P(e | a) P(f | b)", "(sum_a P(e | a) P(a | c)) sum_b P(f | b) P(b | d)"),
        ("sum_y sum_z P(y | x, z) P(z)", "1"),
        ("sum_y P(y | do(x), z)", "1"),
        ("sum_y P(y | x) P^*(y)", "sum_y P(y | x) P^*(y)"),
        ("P(y | do(x), z) P(z)", "P(y | do(x), z) P(z)"),
        ("P(z10, z2, y | x)", "P(y, z2, z10 | x)"),
        ("sum_y P(y_{x})", "1"),
        ("sum_y P(y, y_{x})", "sum_y P(y, y_{x})"),
        ("(sum_x P(y | w, x, z) P(x, z)) / P(x)", "(sum_x' P(y | w, x', z) P(x', z)) / P(x)"),
        ("sum_a P(a | b) / P(c | a)", "sum_a P(a | b) / P(c | a)"),
        ("(sum_a P(b | a, c) P(a, c)) / P(c | a)", "P(b, c) / P(c | a)"),
        ("sum_x P(y_{x} | x)", "sum_x P(y_{x} | x)"),
        ("sum_{x, y} P(y_{x}, x)", "1"),
    ],
)
def test_textbook_forms(long, short):
    assert simplified(parse(long)).text() == short


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("sum_z P(y | x, z) P(z)", r"\sum_{z} P(y \mid x, z) \, P(z)"),
        ("P(x, y) / P(x)", r"\frac{P(x, y)}{P(x)}"),
        ("P(y | do(x))", r"P(y \mid \operatorname{do}(x))"),
        ("P^*(y | X1=1)", r"P^{*}(y \mid X_{1}=1)"),
        ("(sum_x P(x)) P(y_{x})", r"\left(\sum_{x} P(x)\right) \, P({y}_{x})"),
        ("P(smoking, alpha_1)", r"P(\mathit{smoking}, \alpha_{1})"),
        ('P("blood pressure"=3 | "a_b")', r"P(\text{blood pressure}=3 \mid \mathit{a\_b})"),
        ("P(alpha, S=\"a_b\")", r"P(\alpha, S=\text{a\_b})"),
        ('P("x" | "X")', r"P(\text{x} \mid \text{X})"),
        ('P("x"=1 | y)', r"P(x=1 \mid y)"),
        ('P("W1" | "W_1", "W2")', r"P(\text{W1} \mid \text{W\_1}, w_{2})"),
        ('P("Xi"=1 | "Xi1")', r"P(\mathit{Xi}=1 \mid \mathit{xi}_{1})"),
        ('P("Xi" | "xi")', r"P(\text{Xi} \mid \text{xi})"),
        ("P(BETA=1 | BETA2)", r"P(\mathit{BETA}=1 \mid \beta_{2})"),
        ('P("a^b~")', r"P(\text{a\textasciicircum b\textasciitilde })"),
    ],
)  # fmt: skip
def test_latex(text, latex):
    assert parse(text).latex() == latex
    assert parse(text)._repr_latex_() == f"${latex}$"


@given(st.lists(st.text("xXiIwW_12", min_size=1), min_size=2, max_size=4, unique=True))
def test_latex_tells_all_names_apart(names):
    notation = Latex.among(names)
    for written in ([notation.name(v) for v in names], [notation.symbol(v, 0) for v in names]):
        assert len(set(written)) == len(names)


def test_latex_is_the_same_throughout_a_graph():
    """The query mentions X alone, the estimand and its proof x as well."""
    found = identify([("x", "X"), ("x", "Y"), ("X", "Y")], "P(Y | do(X))")
    assert found._repr_latex_() == (
        r"$P(y \mid \operatorname{do}(\text{X})) = \sum_{\text{x}} P(y \mid \text{X}, \text{x}) \, P(\text{x})$"
    )
    assert r"(Y \perp\!\!\!\perp \text{X} \mid \text{x})" in found.derivation.latex()


def test_symbols_stand_for_the_variables_that_are_given():
    assert parse("P(death | smoking)", ["Smoking", "Death"]).names == {"Smoking", "Death"}
    assert parse('P("x" | y)', ["x", "X", "y"]).names == {"x", "y"}
    with pytest.raises(QueryError, match=r"'x' may stand for 'x' or 'X'.*quotes"):
        parse("P(x)", ["x", "X"])
    with pytest.raises(UnknownVariableError, match=r"'smokin'.*Did you mean 'Smoking'"):
        parse("P(smokin)", ["Smoking"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "column 1: expected 'P', got the end"),
        ("P(y", "column 4: expected ')', got the end"),
        ("P(y))", "column 5: expected the end, got ')'"),
        ("sum P(y)", "column 5: expected '_', got 'P'"),
        ("sum_ P(y)", "column 8: expected 'P', got 'y'"),
        ("P(y) / ", "column 8: expected 'P'"),
        ('P("y)', "column 3: a string that does not end"),
        ("P(y) + P(x)", "column 6: unexpected '+'"),
        ("P^(y)", "column 3: expected the label of a domain"),
    ],
)
def test_text_that_does_not_fit(text, says):
    with pytest.raises(QueryError) as refusal:
        parse(text)
    assert says in str(refusal.value)


def test_tables_refuse_what_they_cannot_hold():
    tabulate = Tabulator(NAMES, LAWS)
    with pytest.raises(QueryError, match="'A' is in another world"):
        tabulate(Probability((term("A", do=[term("B2", 1)]),)))
    with pytest.raises(QueryError, match=r"'A'.*stands twice"):
        tabulate(Probability((term("A"),), (term("A", 1),)))
    with pytest.raises(QueryError, match=r"'A' has the value 'high'.*number of a state"):
        tabulate(Probability((term("A", "high"),)))
    placed = Tabulator(NAMES, LAWS, place=lambda name, value: ["low", "high"].index(value))
    assert placed(Probability((term("A", "high"),)))[0] == tabulate(Probability((term("A", 1),)))[0]


def test_products_and_sums_of_any_number():
    p, q = Probability(terms("Y")), Probability(terms("X"))
    assert product([]) == ONE and product([ONE, p]) == p and product([Product((p, q)), ONE, p]) == Product((p, q, p))
    assert total([], p) == p and total([Symbol("Y")], p) == Sum((Symbol("Y"),), p)
    assert parse("1") == ONE and parse("0") == ZERO
