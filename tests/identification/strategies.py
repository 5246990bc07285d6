"""Random expressions for hypothesis."""

from hypothesis import strategies as st

from causal_pyro_models.identification import ONE, Fraction, Probability, Product, Sum, Symbol, Term

NAMES = ("A", "B2", "B10", "blood pressure", "Sum")


def symbols(names=NAMES):
    return st.builds(Symbol, st.sampled_from(names), st.integers(0, 2))


@st.composite
def probabilities(draw, names=NAMES, do=True):
    """P(outcome | do(do), given) of distinct variables, with open values and the values 0 and 1."""
    chosen = draw(st.permutations(names))[: draw(st.integers(1, len(names)))]
    roles = [draw(st.sampled_from("ygd" if do else "yg")) for _ in chosen]
    roles[0] = "y"
    terms = [
        Term(name, draw(st.one_of(st.builds(Symbol, st.just(name), st.integers(0, 1)), st.integers(0, 1))))
        for name in chosen
    ]
    sides = (tuple(t for t, role in zip(terms, roles, strict=True) if role == side) for side in "ygd")
    return Probability(*sides)


def expressions(leaves):
    """Trees of sums, products and fractions over some leaves."""
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(lambda f: Product(tuple(f)), st.lists(inner, min_size=2, max_size=3)),
            st.builds(Fraction, inner, inner),
            st.builds(_sum, st.lists(symbols(), min_size=1, max_size=2, unique=True), inner),
        ),
        max_leaves=6,
    )


def _sum(over, body):
    return Sum(tuple(over), body)


def trees():
    """Any expressions."""
    return expressions(st.one_of(probabilities(), st.just(ONE)))
