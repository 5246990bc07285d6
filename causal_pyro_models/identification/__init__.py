"""Identification: which causal questions data can answer, by what estimand, and why."""

from causal_pyro_models.identification.expression import (
    ONE,
    Expression,
    Fraction,
    Probability,
    Product,
    Sum,
    Symbol,
    Term,
    term,
)
from causal_pyro_models.identification.parsing import parse
from causal_pyro_models.identification.query import Query

__all__ = ["ONE", "Expression", "Fraction", "Probability", "Product", "Query", "Sum", "Symbol", "Term", "parse", "term"]
