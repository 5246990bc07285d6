"""Identification: which causal questions data can answer, by what estimand, and why."""

from causal_pyro_models.identification.counterfactual import Conflict, CounterfactualGraph
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
from causal_pyro_models.identification.mediation import (
    Contrast,
    effect_on_the_treated,
    natural_direct_effect,
    natural_indirect_effect,
    path_specific_effect,
    recanting_witness,
)
from causal_pyro_models.identification.parsing import parse
from causal_pyro_models.identification.query import Query
from causal_pyro_models.identification.rules import Separation, rule_1, rule_2, rule_3
from causal_pyro_models.identification.selection import recover
from causal_pyro_models.identification.transport import EVERY

__all__ = [
    "EVERY",
    "ONE",
    "ZERO",
    "AxiomStep",
    "Conflict",
    "Contrast",
    "CounterfactualGraph",
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
    "effect_on_the_treated",
    "identify",
    "natural_direct_effect",
    "natural_indirect_effect",
    "parse",
    "path_specific_effect",
    "recanting_witness",
    "recover",
    "rule_1",
    "rule_2",
    "rule_3",
    "term",
    "verify",
]
