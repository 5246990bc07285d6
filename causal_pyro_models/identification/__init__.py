"""Identification: which causal questions data can answer, by what estimand, and why; and bounds where they cannot.

Exact laws are taken here, and what needs NumPy and SciPy for them is imported on first use. Numbers from data or models
are computed in ``estimators``; tests of what a graph implies are in ``independence``.
"""

import importlib
from typing import TYPE_CHECKING, Any

from causal_pyro_models.identification.deciding.hedge import Hedge
from causal_pyro_models.identification.deciding.selection import recover
from causal_pyro_models.identification.deciding.sources import EVERY
from causal_pyro_models.identification.estimand import ContrastEstimand, Estimand
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
    term,
)
from causal_pyro_models.identification.expressions.parsing import parse
from causal_pyro_models.identification.expressions.query import Contrast, Query
from causal_pyro_models.identification.expressions.simplification import simplified
from causal_pyro_models.identification.identify import identify
from causal_pyro_models.identification.mediation import (
    effect_on_the_treated,
    natural_direct_effect,
    natural_indirect_effect,
    path_specific_effect,
    recanting_witness,
)
from causal_pyro_models.identification.proofs.derivation import AxiomStep, Derivation, RuleStep, Step, verify
from causal_pyro_models.identification.proofs.rules import Separation, rule_1, rule_2, rule_3
from causal_pyro_models.identification.worlds.counterfactual_graph import Conflict, CounterfactualGraph
from causal_pyro_models.identification.worlds.responses import Responses

if TYPE_CHECKING:
    from causal_pyro_models.identification.bounding.bounds import (
        Bounds as Bounds,
        ate_bounds as ate_bounds,
        bounds as bounds,
        pn_bounds as pn_bounds,
        pns_bounds as pns_bounds,
        ps_bounds as ps_bounds,
    )
    from causal_pyro_models.identification.implications import (
        Independence as Independence,
        VermaConstraint as VermaConstraint,
        local_independences as local_independences,
        pairwise_independences as pairwise_independences,
        verma_constraints as verma_constraints,
    )
    from causal_pyro_models.identification.laws.joint_table import JointTable as JointTable

_HOMES = {
    "bounding.bounds": "Bounds ate_bounds bounds pn_bounds pns_bounds ps_bounds",
    "implications": "Independence VermaConstraint local_independences pairwise_independences verma_constraints",
    "laws.joint_table": "JointTable",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [
    "EVERY",
    "ONE",
    "ZERO",
    "AxiomStep",
    "Bounds",
    "Conflict",
    "Contrast",
    "ContrastEstimand",
    "CounterfactualGraph",
    "Derivation",
    "Estimand",
    "Expression",
    "Fraction",
    "Hedge",
    "Independence",
    "JointTable",
    "Probability",
    "Product",
    "Query",
    "Responses",
    "RuleStep",
    "Separation",
    "Step",
    "Sum",
    "Symbol",
    "Term",
    "VermaConstraint",
    "ate_bounds",
    "bounds",
    "effect_on_the_treated",
    "identify",
    "local_independences",
    "natural_direct_effect",
    "natural_indirect_effect",
    "pairwise_independences",
    "parse",
    "path_specific_effect",
    "pn_bounds",
    "pns_bounds",
    "ps_bounds",
    "recanting_witness",
    "recover",
    "rule_1",
    "rule_2",
    "rule_3",
    "simplified",
    "term",
    "verify",
    "verma_constraints",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
