"""Identification: which causal questions data can answer, by what estimand, and why."""

from causal_pyro_models.identification.derivation import AxiomStep, Derivation, RuleStep, Step, verify
from causal_pyro_models.identification.estimand import Estimand
from causal_pyro_models.identification.expression import (
    ONE,
    ZERO,
    Expression,
    Fraction,
    Probability,
    Product,
    Sum,
    Symbol,
    Term,
    term,
)
from causal_pyro_models.identification.hedge import Hedge
from causal_pyro_models.identification.identify import identify
from causal_pyro_models.identification.parsing import parse
from causal_pyro_models.identification.query import Query
from causal_pyro_models.identification.rules import Separation, rule_1, rule_2, rule_3

__all__ = [
    "ONE",
    "ZERO",
    "AxiomStep",
    "Derivation",
    "Estimand",
    "Expression",
    "Fraction",
    "Hedge",
    "Probability",
    "Product",
    "Query",
    "RuleStep",
    "Separation",
    "Step",
    "Sum",
    "Symbol",
    "Term",
    "identify",
    "parse",
    "rule_1",
    "rule_2",
    "rule_3",
    "term",
    "verify",
]
