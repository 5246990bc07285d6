"""Deciding a query loads neither torch nor pandas, nor any other large library; what evaluates it is loaded then."""

import subprocess
import sys

HEAVY = {"torch", "pyro", "pandas", "scipy", "matplotlib", "arviz", "numpy"}
DECIDE = """
import sys
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import identify
estimand = identify(CausalGraph.from_edges([("X", "Y")]), "P(Y=1 | do(X=1))")
print(estimand.derivation)
print(*sys.modules, file=sys.stderr)
"""
EVALUATE = """
import pandas
print(estimand.evaluate(pandas.DataFrame({"X": [0, 1, 1, 1, 1], "Y": [0, 1, 1, 1, 0]})))
import pyro, pyro.distributions as dist
def model():
    x = pyro.sample("X", dist.Bernoulli(0.5))
    pyro.sample("Y", dist.Bernoulli(0.25 + 0.5 * x))
print(estimand.evaluate(model))
"""


def run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)


def test_a_query_is_answered_without_large_libraries():
    done = run(DECIDE)
    assert "rule 2: (Y _||_ X) in the graph without the edges out of X" in done.stdout
    assert HEAVY.isdisjoint(name.partition(".")[0] for name in done.stderr.split())


def test_data_and_models_are_taken_by_who_has_imported_no_more_than_identify():
    on_data, on_model = run(DECIDE + EVALUATE).stdout.splitlines()[-2:]
    assert on_data.startswith("P(Y=1 | do(X=1)) = 0.75 ±") and abs(float(on_model) - 0.75) < 1e-6
