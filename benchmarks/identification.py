"""Identification of this package against y0: the time of a decision with its estimand, and how often there is one.

python benchmarks/identification.py            # some minutes; writes benchmarks/results/
python benchmarks/identification.py --smoke    # seconds; writes nothing
"""

import argparse
import itertools
import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import signal
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from harness import provenance, table, write
from y0.algorithm.identify import identify_outcomes
from y0.dsl import Variable
from y0.graph import NxMixedGraph

import causal_pyro_models as cpm
from causal_pyro_models.errors import NotIdentifiableError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification import Query, identify

OURS, PEER = "causal_pyro_models", "y0"
SETTINGS = [(10, 3), (20, 3), (50, 3), (10, 6), (20, 6)]  # variables, expected number of edges at each
LIMIT = 10  # seconds for one query
Question = tuple[CausalGraph, Query]


class OutOfTimeError(Exception):
    """A query that took longer than the limit."""


def question(n: int, degree: int, rng: np.random.Generator) -> Question:
    """A random graph, half of its edges bidirected, and the effect of a variable on one of its descendants."""
    while True:
        order = [f"V{i}" for i in rng.permutation(n)]
        density = degree / (n - 1)
        kinds = {pair: rng.random() for pair in itertools.combinations(order, 2)}
        edges = [pair for pair, u in kinds.items() if u < density / 2]
        bidirected = [pair for pair, u in kinds.items() if density / 2 <= u < density]
        graph = CausalGraph(sorted(order), edges, bidirected)
        pairs = [(v, d) for v in order for d in sorted(graph.descendants(v) - {v})]
        if pairs:
            treatment, outcome = pairs[rng.integers(len(pairs))]
            return CausalGraph(graph.variables, edges, bidirected), Query(outcome, treatment)


def ours(asked: Question) -> Callable[[], bool]:
    """The query, answered here."""

    def answer() -> bool:
        try:
            identify(*asked)
        except NotIdentifiableError:
            return False
        return True

    return answer


def peer(asked: Question) -> Callable[[], bool]:
    """The query, answered by y0, its graph made before."""
    graph, query = asked
    variables = {name: Variable(name) for name in graph.variables}
    mixed = NxMixedGraph.from_edges(
        nodes=variables.values(),
        directed=[(variables[a], variables[b]) for a, b in graph.edges],
        undirected=[(variables[a], variables[b]) for a, b in graph.bidirected],
    )
    x, y = ({variables[t.name] for t in side} for side in (query.treatment, query.outcome))
    return lambda: identify_outcomes(mixed, treatments=x, outcomes=y) is not None


def timed(answer: Callable[[], bool]) -> tuple[str, float]:
    """What a query came to, and the seconds it took, at most the limit."""
    signal.signal(signal.SIGALRM, _stop)
    start = time.perf_counter()
    signal.alarm(LIMIT)
    try:
        verdict = "identifiable" if answer() else "not identifiable"
    except OutOfTimeError:
        return "out of time", float(LIMIT)
    except Exception as error:
        verdict = f"crash: {type(error).__name__}"
    finally:
        signal.alarm(0)
    return verdict, time.perf_counter() - start


def _stop(*_: Any) -> None:
    raise OutOfTimeError


def measure(n: int, degree: int, graphs: int) -> list[dict[str, Any]]:
    """Times and verdicts on random graphs of n variables, the two libraries taking turns, both warmed up."""
    rng = np.random.default_rng([n, degree])
    runs: dict[str, list[tuple[str, float]]] = {OURS: [], PEER: []}
    for number in range(graphs + 5):
        asked = question(n, degree, rng)
        for name, make in ((OURS, ours), (PEER, peer)):
            result = timed(make(asked))
            if number >= 5:
                runs[name].append(result)
    rows = []
    for name, results in runs.items():
        taken = [seconds for _, seconds in results]
        verdicts = [verdict for verdict, _ in results]
        rows.append({
            "variables": n,
            "degree": degree,
            "library": name,
            "graphs": graphs,
            "median_seconds": statistics.median(taken),
            "p90_seconds": float(np.quantile(taken, 0.9)),
            "max_seconds": max(taken),
            "verdicts": {verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))},
        })  # fmt: skip
    agree = [a[0] == b[0] for a, b in zip(runs[OURS], runs[PEER], strict=True) if b[0].endswith("identifiable")]
    return [{**row, "agree": sum(agree), "comparable": len(agree)} for row in rows]


HEAD = ("library", "variables", "degree", "median", "90 %", "longest", "median / ours", "verdicts")


def report(result: Mapping[str, Any]) -> str:
    """The result as Markdown: ratios are y0's over ours, so above 1 ours is the faster."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    rows = result["measurements"]
    fastest = {(row["variables"], row["degree"]): row["median_seconds"] for row in rows if row["library"] == OURS}
    cells = [
        (
            row["library"],
            str(row["variables"]),
            str(row["degree"]),
            *(f"{1e3 * row[key]:.3g} ms" for key in ("median_seconds", "p90_seconds", "max_seconds")),
            f"{row['median_seconds'] / fastest[row['variables'], row['degree']]:.1f}",
            ", ".join(f"{count} {verdict}" for verdict, count in row["verdicts"].items()),
        )
        for row in rows
    ]
    same, comparable = (sum(row[key] for row in rows if row["library"] == OURS) for key in ("agree", "comparable"))
    return "\n\n".join([
        f"{result['date']}; {result['machine']}, one thread; Python {result['python']}, {versions}.",
        f"P(y | do(x)) for a cause x of y in random graphs, half of their edges bidirected: decision and "
        f"estimand; at most {LIMIT} s for a query.",
        table([HEAD, *cells]),
        f"Of the {comparable} verdicts of the peer, {same} are ours as well.",
    ])  # fmt: skip


def main() -> None:
    """Measure, print the table, and write it."""
    parser = argparse.ArgumentParser(description="Identification of this package against y0.")
    parser.add_argument("--graphs", type=int, default=100)
    parser.add_argument("--smoke", action="store_true", help="a quick run that writes nothing")
    options = parser.parse_args()
    settings, graphs = (SETTINGS[:1], 5) if options.smoke else (SETTINGS, options.graphs)
    result = {
        **provenance({OURS: cpm.__version__}, ["y0"]),
        "measurements": [row for n, degree in settings for row in measure(n, degree, graphs)],
    }
    text = report(result)
    print(text)
    if not options.smoke:
        write(Path(__file__).parent / "results", "identification", result, text)


if __name__ == "__main__":
    main()
