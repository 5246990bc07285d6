"""The laws of the package as checks of a model, a group of them in each file, run one after the other by ``suite``.

A new check is one function from a ``Subject`` to its findings, named in ``suite``. How good a sound model is does not
belong here.
"""

from causal_pyro_models.evaluation.conformance.suite import ModelReport, check_model

__all__ = ["ModelReport", "check_model"]
