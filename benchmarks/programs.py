"""Programs in the style of Pyro's tutorials under every verb: right, wrong or refused, and time against plain Pyro.

python benchmarks/programs.py            # about fifteen minutes; writes benchmarks/results/
python benchmarks/programs.py --smoke    # a minute; writes nothing

The truth is that of ``by_hand.py``: exact independent draws from the posterior, and worlds on them, without Pyro and
without this package. A number is right within four of its Monte Carlo errors and those of the truth.
"""

import argparse
import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import by_hand
import numpy as np
import pyro
import torch
import tutorials
from asked import Case, Size, Truth
from harness import provenance, table, write
from pyro import poutine
from pyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO, TraceEnum_ELBO, config_enumerate
from pyro.infer.autoguide import AutoNormal
from verbs import VERBS, Verb

import causal_pyro_models as cpm

OURS = "causal_pyro_models"
LIMIT = 4.0  # Monte Carlo errors beyond which a number is wrong
ROUNDING = 1e-4  # of numbers that the evidence determines
IN_TURNS = "the program does not broadcast"  # a notice of time, not a doubt
RIGHT, WRONG, REFUSED = "right", "wrong", "refused"
MARKOV = [f"{name}_{t}" for t in range(tutorials.STEPS) for name in "DY"]
ON_X = {"X": (0.0, 1.0)}


def cases() -> list[Case]:
    """The programs and what is asked of each; evidence is from a run in which the first unit is not treated."""
    return [
        Case(
            "regression", tutorials.Regression(), by_hand.Regression(), True, "ZXY", ON_X, "Y", 0.5,
            lambda world: world["sigma"], 1.0, seed=17, in_turns=True,
        ),
        Case(
            "hierarchical", tutorials.hierarchical, by_hand.Hierarchical(), True, "XY", ON_X, "Y", 0.5,
            lambda world: world["slope"], 0.0, groups=False,
        ),
        Case(
            "eight schools", tutorials.eight_schools, by_hand.EightSchools(), True, "Y", {"tau": (1.0, 5.0)}, "Y", 5.0,
            lambda world: world["tau"], 5.0, fixed={"Y": tutorials.MEASURED}, groups=False,
        ),
        Case(
            "mixture", tutorials.mixture, by_hand.Mixture(), True, "Y", {"K": (0, 1)}, "Y", 0.5,
            lambda world: world["K"], 0.5, seed=2, in_turns=True, groups=False,
        ),
        Case(
            "hidden Markov", tutorials.hidden_markov, by_hand.HiddenMarkov(), False, MARKOV, {"D_1": (0.0, 1.0)}, "Y_2",
            1.0, lambda world: world["level"], 2.0, seed=171,
        ),
        Case(
            "autoencoder", tutorials.autoencoder, by_hand.Autoencoder(), True, "CX", {"C": (0.0, 1.0)},
            lambda world: world["X"][..., 8], -0.1, lambda world: world["Z"][..., 0], 0.0, seed=4,
        ),
        Case(
            "counts", tutorials.counts, by_hand.Counts(), False, "XMY", ON_X, "Y", 1.5,
            lambda world: world["Z"], 0.0, mediator="M", seed=24,
        ),
        Case(
            "Gaussian process", tutorials.gaussian_process, by_hand.GaussianProcess(), True, "XY", ON_X, "Y", 0.5,
            lambda world: world["length"], 1.0, seed=7, in_turns=True,
        ),
    ]  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """What came of a question.

    Attributes:
        case, verb: what was asked.
        verdict: right, wrong or refused.
        value, error: the number and its Monte Carlo error.
        truth, truth_error: the same by hand.
        seconds: what it took; ``plain`` what plain Pyro or the program by hand took for the same.
        words: of the refusal, or what was warned of.
    """

    case: str
    verb: str
    verdict: str
    value: float = math.nan
    error: float = math.nan
    truth: float = math.nan
    truth_error: float = math.nan
    seconds: float = math.nan
    plain: float = math.nan
    words: str = ""


def asked(case: Case, verb: Verb, truth: Truth, size: Size) -> Cell:
    """Put a question, and compare the answer with the truth."""
    exact, exact_error = verb.truth(case, truth)
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            value, error = verb.ours(case, size)
        except cpm.CausalError as refusal:
            return Cell(case.name, verb.name, REFUSED, truth=exact, truth_error=exact_error, words=str(refusal))
        finally:
            pyro.clear_param_store()
    seconds = time.perf_counter() - start
    said = [str(warning.message) for warning in heard if issubclass(warning.category, cpm.CausalWarning)]
    words = next((words for words in said if not words.startswith(IN_TURNS)), "")
    off = abs(value - exact) - LIMIT * math.hypot(error, exact_error)
    verdict = RIGHT if off <= ROUNDING * max(1.0, abs(exact)) else WRONG
    return Cell(case.name, verb.name, verdict, value, error, exact, exact_error, seconds, words=words)


def predictive(case: Case, do: Mapping[str, float], size: Size) -> None:
    """Draws of the program by plain Pyro, one by one as ``Predictive`` does; at once where it can."""
    model = poutine.do(case.model, {name: torch.full_like(case.complete[name], x).squeeze() for name, x in do.items()})
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            Predictive(model, num_samples=size.draws, parallel=True)()
        except (RuntimeError, ValueError, IndexError):
            Predictive(model, num_samples=size.draws)()


def chain(case: Case, size: Size) -> None:
    """Hamiltonian Monte Carlo by plain Pyro, discrete sites enumerated."""
    model = config_enumerate(poutine.condition(case.model, case.plain_evidence))
    MCMC(NUTS(model), num_samples=size.chain, warmup_steps=size.chain, disable_progbar=True).run()


def guide(case: Case, size: Size) -> None:
    """A mean-field normal guide by plain Pyro, as many particles and steps as ours; the program's parameters stay."""
    held = poutine.block(case.model, hide_types=["param"])
    model = config_enumerate(poutine.condition(held, case.plain_evidence))
    sites = [site for site in poutine.trace(model).get_trace().nodes.values() if site["type"] == "sample"]
    discrete = [site["name"] for site in sites if not site["is_observed"] and site["fn"].has_enumerate_support]
    fitted = AutoNormal(poutine.block(model, hide=discrete))
    elbo: Any = TraceEnum_ELBO if discrete else Trace_ELBO
    for at_once in (True, False):
        loss = elbo(8, max_plate_nesting=case.nesting, vectorize_particles=at_once)
        step = SVI(model, fitted, pyro.optim.Adam({"lr": 0.01}), loss).step
        try:
            for _ in range(size.steps):
                step()
        except (RuntimeError, ValueError, IndexError):
            continue
        return


def posterior_by_hand(case: Case, size: Size) -> None:
    """Exact draws of the posterior, and the world in which all are treated."""
    seen = {name: value.double().numpy() for name, value in case.evidence.items()}
    case.hand.world(case.hand.posterior(size.draws, seen, np.random.default_rng(1)), case.arm(1))


PLAIN: dict[str, Callable[[Case, Size], object]] = {
    "sample": lambda case, size: predictive(case, {}, size),
    "intervene": lambda case, size: predictive(case, case.arm(1), size),
    "ate": lambda case, size: (predictive(case, case.arm(0), size), predictive(case, case.arm(1), size)),
    "counterfactual, importance sampling": posterior_by_hand,
    "counterfactual, NUTS": chain,
    "counterfactual, a guide": guide,
}
"""What plain Pyro, or the program by hand, does for the same."""


def plain_seconds(case: Case, verb: Verb, size: Size) -> float:
    """The time of the same by plain Pyro; not a number where it fails."""
    if verb.name not in PLAIN:
        return math.nan
    pyro.set_rng_seed(1)
    start = time.perf_counter()
    try:
        PLAIN[verb.name](case, size)
    except Exception as error:
        print(f"plain Pyro, {case.name}, {verb.name}: {type(error).__name__}: {str(error)[:100]}")
        return math.nan
    finally:
        pyro.clear_param_store()
    return time.perf_counter() - start


def measure(chosen: Sequence[Case], verbs: Sequence[Verb], size: Size) -> list[Cell]:
    """Every question of every program."""
    cells = []
    for case in chosen:
        truth, own = Truth(case), size.of(case)
        for verb in (verb for verb in verbs if verb.has_meaning(case)):
            cells.append(replace(asked(case, verb, truth, own), plain=plain_seconds(case, verb, own)))
            print(f"{case.name}, {verb.name}: {cells[-1].verdict}", flush=True)
    return cells


def grid(cells: Sequence[Cell], of: Callable[[Cell], str], verbs: Sequence[str]) -> str:
    """A table of verbs by programs."""
    names = list(dict.fromkeys(cell.case for cell in cells))
    at = {(cell.verb, cell.case): of(cell) for cell in cells}
    return table([("", *names), *([verb, *(at.get((verb, name), "") for name in names)] for verb in verbs)])


def verdict(cell: Cell) -> str:
    """The verdict, with what was warned of."""
    return f"{cell.verdict}, warned" if cell.words and cell.verdict != REFUSED else cell.verdict


def times(cell: Cell) -> str:
    """Our time, and how many times that of the other it is."""
    if math.isnan(cell.seconds):
        return "-"
    ratio = "" if math.isnan(cell.plain) else f" ({cell.seconds / max(cell.plain, 1e-4):.2g})"
    return f"{cell.seconds:.2g} s{ratio}"


def number(cell: Cell) -> list[str]:
    """A row of the table of numbers."""
    exact = f"{cell.truth:.4f} ± {cell.truth_error:.4f}"
    if cell.verdict == REFUSED:
        return [f"{cell.case}, {cell.verb}", "-", exact, "-"]
    off = (cell.value - cell.truth) / max(math.hypot(cell.error, cell.truth_error), ROUNDING)
    return [f"{cell.case}, {cell.verb}", f"{cell.value:.4f} ± {cell.error:.4f}", exact, f"{off:+.1f}"]


def report(result: Mapping[str, Any], cells: Sequence[Cell]) -> str:
    """The result as Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    verbs = list(dict.fromkeys(verb.name for verb in VERBS if any(cell.verb == verb.name for cell in cells)))
    counted = ", ".join(f"{sum(c.verdict == kind for c in cells)} {kind}" for kind in (RIGHT, WRONG, REFUSED))
    size = result["size"]
    parts = [
        f"{result['date']}; {result['machine']}, one thread; Python {result['python']}, {versions}.",
        f"Of {len(cells)} questions: {counted}. {size['draws']:,} draws, or {size['turns']} of the programs that do "
        f"not broadcast (regression, mixture, Gaussian process); {size['chain']} of one chain after as many of "
        f"warm-up; {size['steps']} steps of a guide. A blank cell is a question that has no meaning for the program.",
        f"Right, wrong or refused\n\n{grid(cells, verdict, verbs)}",
        "Time; in brackets, how many times that of plain Pyro: `Predictive` with `poutine.do` (all draws at once where "
        "it runs so), `MCMC` with `NUTS`, `SVI` with `AutoNormal`; for importance sampling, of exact draws of the "
        f"posterior and the world on them, derived and written by hand\n\n{grid(cells, times, verbs)}",
        "Numbers, ours and the truth by hand, each with its Monte Carlo error, and how many of both they differ by\n\n"
        + table([("question", OURS, "truth", "errors apart"), *map(number, cells)]),
    ]
    if said := dict.fromkeys(f"- {cell.case}, {cell.verb}: {cell.words}" for cell in cells if cell.words):
        parts.append("What was refused or warned of, in the words of the library\n\n" + "\n".join(said))
    return "\n\n".join(parts)


def main() -> None:
    """Measure, print the tables, and write them."""
    parser = argparse.ArgumentParser(description="Pyro's kinds of programs under every verb, against plain Pyro.")
    parser.add_argument("--only", nargs="+", help="names of programs")
    parser.add_argument("--smoke", action="store_true", help="a quick run that writes nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    size = Size(400, 50, 20, 20) if options.smoke else Size()
    chosen = [case for case in cases() if not options.only or case.name in options.only]
    cells = measure(chosen, VERBS, size)
    result = {**provenance({OURS: cpm.__version__}, ["pyro-ppl", "torch"]), "size": asdict(size)}
    text = report(result, cells)
    print(text)
    if not (options.smoke or options.only):
        write(Path(__file__).parent / "results", "programs", {**result, "cells": [asdict(c) for c in cells]}, text)


if __name__ == "__main__":
    main()
