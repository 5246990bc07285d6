"""Model families: structural causal models whose mechanisms are learned from data."""

from causal_pyro_models.models.data import Batch, Intervened, Pairs
from causal_pyro_models.models.flow import CausalFlow, LocationScale, Spline
from causal_pyro_models.models.io import load, save
from causal_pyro_models.models.structural import Node, StructuralCausalModel
from causal_pyro_models.models.tables import infer_variables
from causal_pyro_models.models.variables import (
    Binary,
    Categorical,
    Continuous,
    Count,
    Image,
    Labelled,
    Ordinal,
    Positive,
    Variable,
)

__all__ = [
    "Batch",
    "Binary",
    "Categorical",
    "CausalFlow",
    "Continuous",
    "Count",
    "Image",
    "Intervened",
    "Labelled",
    "LocationScale",
    "Node",
    "Ordinal",
    "Pairs",
    "Positive",
    "Spline",
    "StructuralCausalModel",
    "Variable",
    "infer_variables",
    "load",
    "save",
]
