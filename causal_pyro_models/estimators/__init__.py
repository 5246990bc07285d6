"""Effects and identified estimands from a table of data, an estimator in each file.

Effects of a model that is already there belong in ``effects``; what is identified is decided in ``identification``.
"""

from causal_pyro_models.estimators.augmented import aipw
from causal_pyro_models.estimators.learners import LeastSquares, LogisticRegression
from causal_pyro_models.estimators.standardisation import g_formula
from causal_pyro_models.estimators.uncertainty import Bootstrap, DeltaMethod, Statistic, estimated
from causal_pyro_models.estimators.weighting import ipw

__all__ = [
    "Bootstrap",
    "DeltaMethod",
    "LeastSquares",
    "LogisticRegression",
    "Statistic",
    "aipw",
    "estimated",
    "g_formula",
    "ipw",
]
