"""Effects of interventions on any model: a verb for each question, all with one set of keywords, to an ``Estimate``.

Effects from a table and a graph, without a model, belong in ``estimators``; single worlds belong in ``inference``.
"""

from causal_pyro_models.effects.averages import ate, att, cate, ett, ite
from causal_pyro_models.effects.causation import pn, pns, ps
from causal_pyro_models.effects.dose_response import dose_response
from causal_pyro_models.effects.mediation import cde, nde, nie, path_specific
from causal_pyro_models.effects.question import Options
from causal_pyro_models.effects.ratios import odds_ratio, risk_ratio

__all__ = [
    "Options",
    "ate",
    "att",
    "cate",
    "cde",
    "dose_response",
    "ett",
    "ite",
    "nde",
    "nie",
    "odds_ratio",
    "path_specific",
    "pn",
    "pns",
    "ps",
    "risk_ratio",
]
