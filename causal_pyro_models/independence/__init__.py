"""Tests of conditional independence, and of a graph against data, with their number accounted for.

A new test is one new file. Which constraints a graph implies is found in ``identification.implications``, and graphs
are not searched for here.
"""

from causal_pyro_models.independence.correlations import canonical_correlation_test
from causal_pyro_models.independence.frequencies import g_test
from causal_pyro_models.independence.graph_constraints import test_graph
from causal_pyro_models.independence.multiplicity import benjamini_hochberg, holm
from causal_pyro_models.independence.result import ChiSquared, IndependenceTest
from causal_pyro_models.independence.verma import verma_test

__all__ = [
    "ChiSquared",
    "IndependenceTest",
    "benjamini_hochberg",
    "canonical_correlation_test",
    "g_test",
    "holm",
    "test_graph",
    "verma_test",
]
