"""Data as models and estimators read them: kinds of variables, labels, tables, batches, regimes and pairs.

What knows of Pyro, of models or of graphs does not belong here.
"""

from causal_pyro_models.data.batches import Batch, encode
from causal_pyro_models.data.regimes import Intervened, Pairs
from causal_pyro_models.data.tables import infer_variables
from causal_pyro_models.data.variables import (
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
    "Continuous",
    "Count",
    "Image",
    "Intervened",
    "Labelled",
    "Ordinal",
    "Pairs",
    "Positive",
    "Variable",
    "encode",
    "infer_variables",
]
