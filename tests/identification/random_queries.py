"""Random queries on random graphs, each answered and the answer checked: numbers against the truth, hedges, proofs.

python -m tests.identification.random_queries          # 20,000 queries, a few minutes
"""

import argparse
import itertools
import time
from collections import Counter

import numpy as np

from causal_pyro_models.errors import NotIdentifiableError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import Query, identify, parse, verify
from causal_pyro_models.identification.expressions.simplification import simplified
from causal_pyro_models.identification.laws.tabulation import Tabulator
from tests.identification.oracles import random_model

TOLERANCE = 1e-9
MODELS = 3  # random models in which each estimand is evaluated


def random_query(rng, smallest=4, largest=8):
    """A graph of some variables, sparse or dense, and a query of one or two outcomes and treatments, and conditions."""
    n = int(rng.integers(smallest, largest + 1))
    order = [f"V{i}" for i in rng.permutation(n)]
    directed, confounded = rng.uniform(0.2, 0.7), rng.uniform(0.05, 0.45)
    pairs = list(itertools.combinations(order, 2))
    edges = [pair for pair in pairs if rng.random() < directed]
    bidirected = [pair for pair in pairs if rng.random() < confounded]
    picked = [f"V{i}" for i in rng.permutation(n)]
    ys, xs, zs = int(rng.integers(1, 3)), int(rng.integers(1, 3)), int(rng.choice([0, 0, 1, 2]))
    y, x, z = picked[:ys], picked[ys : ys + xs], picked[ys + xs : ys + xs + zs]
    return CausalGraph(sorted(order), edges, bidirected), Query(y, x, z)


def gap(estimand, rng):
    """How far an estimand is from the truth under do in random models, at the values where it is furthest."""
    query, graph = estimand.query, estimand.graph
    do = frozenset(t.name for t in query.treatment)
    worst = 0.0
    for _ in range(MODELS):
        sizes = {v: int(rng.choice([2, 2, 3])) if len(graph.variables) < 7 else 2 for v in graph.variables}
        model = random_model(graph, rng, sizes)
        laws = {frozenset(): model.joint(), do: model.law(do)}
        tabulate = Tabulator(graph.variables, lambda domain, names, laws=laws: laws[names])
        symbols = sorted(query.expression.free | estimand.expression.free)
        apart = tabulate.over(query.expression, symbols) - tabulate.over(estimand.expression, symbols)
        worst = max(worst, float(np.abs(apart).max()))
    return worst


def check(graph, query, rng):
    """The verdict on a query; AssertionError where the answer is wrong in any way."""
    try:
        estimand = identify(graph, query)
    except NotIdentifiableError as error:
        error.witness.check()
        return "not identifiable"
    apart = gap(estimand, rng)
    assert apart < TOLERANCE, f"{query} in {graph}: {estimand} is off by {apart:.3g}"
    assert parse(estimand.text()) == estimand.expression == simplified(estimand.expression), f"{query} in {graph}"
    verify(estimand.derivation)
    assert estimand.derivation.lines[-1] == estimand.expression, f"{query} in {graph}: {estimand.derivation}"
    return "identifiable"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng, start = np.random.default_rng(options.seed), time.perf_counter()
    verdicts = Counter(check(*random_query(rng), rng) for _ in range(options.count))
    print(f"{options.count:,} random queries, all right, in {time.perf_counter() - start:.0f} s: {dict(verdicts)}")


if __name__ == "__main__":
    main()
