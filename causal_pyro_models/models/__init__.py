"""Model families: structural causal models whose mechanisms are learned from data."""

from causal_pyro_models.models.flow import CausalFlow, LocationScale, Spline
from causal_pyro_models.models.io import load, save
from causal_pyro_models.models.structural import Node, StructuralCausalModel
from causal_pyro_models.models.variables import Binary, Categorical, Continuous, Variable, infer_variables

__all__ = [
    "Binary",
    "Categorical",
    "CausalFlow",
    "Continuous",
    "LocationScale",
    "Node",
    "Spline",
    "StructuralCausalModel",
    "Variable",
    "infer_variables",
    "load",
    "save",
]
