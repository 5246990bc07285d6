"""Handlers of Pyro programs: noise made explicit, and interventions.

What a distribution's noise is belongs in ``mechanisms``; verbs that use the handlers belong in ``inference``.
"""

from causal_pyro_models.scm.handlers.exogenous import exogenize
from causal_pyro_models.scm.handlers.interventions import potential
from causal_pyro_models.scm.handlers.policies import policy
from causal_pyro_models.scm.handlers.worlds import intervene

__all__ = ["exogenize", "intervene", "policy", "potential"]
