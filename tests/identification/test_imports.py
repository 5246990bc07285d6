"""Deciding a query loads neither torch nor pandas, nor any other large library."""

import subprocess
import sys

HEAVY = {"torch", "pyro", "pandas", "scipy", "matplotlib", "arviz", "numpy"}
PROGRAM = """
import sys
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import identify
print(identify(CausalGraph.from_edges([("X", "Y")]), "P(Y | do(X))").derivation)
print(*sys.modules, file=sys.stderr)
"""


def test_a_query_is_answered_without_large_libraries():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert "rule 2: (Y _||_ X) in the graph without the edges out of X" in done.stdout
    assert HEAVY.isdisjoint(name.partition(".")[0] for name in done.stderr.split())
