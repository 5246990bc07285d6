"""Model families of this package against dowhy.gcm and causalflows, on simulators whose counterfactuals are known.

python benchmarks/models.py            # about an hour; writes benchmarks/results/
python benchmarks/models.py --models CausalFlow CausalVAE CausalGAN    # other families on every SCM: hours
python benchmarks/models.py --smoke    # a minute; writes nothing
"""

import argparse
import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import math
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mixed
import torch
from contenders import CONTENDERS, DOWHY, FLOW, MAF, NSF, Contender, Ours
from harness import provenance, table, write
from scms import SCALAR, SCMS, Simulator

import causal_pyro_models as cpm
from causal_pyro_models.models import CausalFlow

SIZES = [20_000, 2_000]  # units to train on
UNITS = 2_000  # that counterfactuals and densities are compared on
QUANTILES = (0.2, 0.8)  # of a variable, that it is set to
REPEATED = (FLOW, DOWHY, MAF)  # on three seeds; the others are slow
GROUPS = {
    "linear": ("linear",),
    "nonlinear additive": ("nonlinear additive",),
    "non-additive": ("non-additive",),
    "our own, held out": ("held out",),
    "not monotone": ("not monotone",),
}
Row = dict[str, Any]


def actions(simulator: Simulator) -> list[tuple[str, list[float]]]:
    """What is set: every variable that affects others, to a low and to a high value."""
    values = simulator.run(simulator.noise(50_000, 77))
    causes = [name for name in simulator.variables if simulator.descendants(name)]
    return [(name, [float(values[name].quantile(q)) for q in QUANTILES]) for name in causes]


def spread(simulator: Simulator) -> dict[str, float]:
    """The standard deviation of each variable."""
    return {name: float(value.std()) for name, value in simulator.run(simulator.noise(50_000, 77)).items()}


def measure(simulator: Simulator, contender: Contender, n: int, seed: int) -> Row:
    """Errors of a model trained on ``n`` units, and the processor time of the training.

    Counterfactual error: the root mean square over units, in standard deviations, averaged over the affected variables
    and the actions. Effect error: that of the average contrast of high and low. KL: the mean gap of the log density.
    """
    train, noise = simulator.run(simulator.noise(n, 1000 + seed)), simulator.noise(UNITS, 2000 + seed)
    units, sd = simulator.run(noise), spread(simulator)
    start = time.process_time()
    contender.fit(simulator, train, seed)
    seconds = time.process_time() - start
    counterfactual, effect = [], []
    for name, settings in actions(simulator):
        truths = [simulator.run(noise, {name: value}) for value in settings]
        guesses = [contender.counterfactual(units, {name: value}) for value in settings]
        for child in simulator.descendants(name):
            off = [guess[child] - truth[child] for guess, truth in zip(guesses, truths, strict=True)]
            counterfactual += [float(error.square().mean().sqrt()) / sd[child] for error in off]
            effect.append(abs(float((off[1] - off[0]).mean())) / sd[child])
    density = contender.log_density(units)
    gap = None if density is None else float((simulator.log_density(noise) - density).mean())
    return {
        "counterfactual": statistics.fmean(counterfactual),
        "effect": statistics.fmean(effect),
        "kl": gap,
        "seconds": seconds,
    }


def suite(names: list[str], simulators: list[Simulator], n: int, seeds: int) -> list[Row]:
    """The median over seeds of every model on every simulator; one that fails says how."""
    rows = []
    for simulator in simulators:
        for name in names:
            runs = []
            for seed in range(seeds if name in REPEATED else 1):
                try:
                    runs.append(measure(simulator, CONTENDERS[name](), n, seed))
                except Exception as error:  # a model that cannot take a simulator must not end the comparison
                    print(f"{name} fails on {simulator.name}: {type(error).__name__}: {error!s:.200}", flush=True)
            row = {"model": name, "scm": simulator.name, "group": simulator.group, "n": n, "runs": runs}
            rows.append({**row, **_medians(runs)})
            print(f"{n} {simulator.name}, {name}: " + ", ".join(cells(rows[-1])), flush=True)
    return rows


def _medians(runs: list[Row]) -> Row:
    found = {}
    for key in ("counterfactual", "effect", "kl", "seconds"):
        values = [run[key] for run in runs if run[key] is not None]
        found[key] = statistics.median(values) if values else None
    return found


def cells(row: Row) -> list[str]:
    """A row's figures as text."""
    digits = {"counterfactual": ".4f", "effect": ".4f", "kl": ".4f", "seconds": ".2f"}
    return ["-" if row[key] is None else format(row[key], form) for key, form in digits.items()]


def joint() -> list[Row]:
    """A cause and a later mediator set together: the error of what they affect, and of the mediator itself."""
    cases = [("chain 4", {"x1": 1.5, "x3": -1.0}), ("large back-door", {"x1": 1.0, "x5": 0.0})]
    rows = []
    for scm, do in cases:
        simulator = SCMS[scm]
        noise, sd = simulator.noise(UNITS, 1), spread(simulator)
        truth = simulator.run(noise, do)
        for name in (FLOW, DOWHY, MAF, NSF):
            contender = CONTENDERS[name]()
            contender.fit(simulator, simulator.run(simulator.noise(20_000, 0)), 0)
            guess = contender.counterfactual(simulator.run(noise), do)
            off = {v: float((guess[v] - truth[v]).square().mean().sqrt()) / sd[v] for v in truth}
            mediator = list(do)[1]
            affected = simulator.descendants(mediator)
            rows.append(
                {
                    "scm": scm,
                    "do": do,
                    "model": name,
                    "mediator": off[mediator],
                    "affected": statistics.fmean(off[v] for v in affected),
                }
            )
    return rows


def throughput() -> list[Row]:
    """Counterfactuals a second of processor time, 100,000 units at once."""
    rows = []
    for scm, name in (("nonlinear triangle", "x1"), ("large back-door", "x1"), ("large back-door", "x5")):
        simulator = SCMS[scm]
        units = simulator.run(simulator.noise(100_000, 1))
        for model in (FLOW, MAF, NSF):
            contender = CONTENDERS[model]()
            contender.fit(simulator, simulator.run(simulator.noise(2_000, 0)), 0)
            taken = []
            for _ in range(4):
                start = time.process_time()
                contender.counterfactual(units, {name: 0.5})
                taken.append(time.process_time() - start)
            rows.append({"scm": scm, "do": name, "model": model, "per_second": len(units["x1"]) / min(taken[1:])})
    return rows


def step_cost() -> list[Row]:
    """The time of a training step of CausalFlow: through a Pyro trace, node by node, and in one pass."""
    import pyro
    from pyro import poutine

    simulator = SCMS["large back-door"]
    contender = Ours(CausalFlow)
    contender.fit(simulator, simulator.run(simulator.noise(2_000, 0)), 0)
    model: Any = contender.model
    batch = model.encode({name: value[:512] for name, value in simulator.run(simulator.noise(512, 1)).items()})
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)

    def traced() -> torch.Tensor:
        with pyro.validation_enabled(False), pyro.plate("units", 512):
            trace = poutine.trace(poutine.condition(model, data=batch.values)).get_trace()
        loss: torch.Tensor = -trace.log_prob_sum() / 512
        return loss

    def by_node() -> torch.Tensor:
        losses = [node.loss(batch.values[v], batch.values, 1.0).mean() for v, node in model.nodes.items()]
        return torch.stack(losses).sum()

    def in_one_pass() -> torch.Tensor:
        return torch.stack(list(model.losses(batch, 1.0).values())).sum()

    cases: dict[str, Callable[[], torch.Tensor]] = {
        "Pyro trace of the model": traced,
        "plain torch, node by node": by_node,
        "plain torch, all nodes in one pass (what fit does)": in_one_pass,
    }
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(60):
        for name, case in cases.items():
            start = time.process_time()
            optimiser.zero_grad()
            case().backward()
            optimiser.step()
            taken[name].append(time.process_time() - start)
    return [{"case": name, "milliseconds": 1e3 * statistics.median(times[10:])} for name, times in taken.items()]


def transforms() -> list[Row]:
    """The time of the monotone maps of flows, made of parameters of 100,000 units: a density's gradient, an inverse."""
    from zuko.transforms import MonotonicRQSTransform

    from causal_pyro_models.models.networks.monotone import SlopeSpline

    torch.manual_seed(0)
    value, bins = torch.randn(100_000), 8
    maps: dict[str, tuple[list[int], Callable[..., Any]]] = {
        "SlopeSpline": ([bins + 1], lambda slopes: SlopeSpline(slopes, 3.0)),
        "zuko MonotonicRQSTransform": ([bins, bins, bins - 1], lambda *p: MonotonicRQSTransform(*p, bound=3.0)),
    }
    rows = []
    for name, (sizes, build) in maps.items():
        parameters = [torch.randn(len(value), size, requires_grad=True) for size in sizes]

        def gradient(build: Callable[..., Any] = build, parameters: list[torch.Tensor] = parameters) -> None:
            noise, log_slope = build(*parameters).call_and_ladj(value)
            torch.autograd.grad((0.5 * noise.square() - log_slope).sum(), parameters)

        def inverse(build: Callable[..., Any] = build, parameters: list[torch.Tensor] = parameters) -> None:
            with torch.no_grad():
                build(*parameters).inv(value)

        taken = {}
        for case in (gradient, inverse):
            times = []
            for _ in range(12):
                start = time.process_time()
                case()
                times.append(time.process_time() - start)
            taken[case.__name__] = 1e3 * statistics.median(times[2:])
        rows.append({"map": name, "bins": bins, **taken})
    return rows


def geometric_mean(values: list[float]) -> float:
    """The geometric mean."""
    return math.exp(statistics.fmean(math.log(max(value, 1e-9)) for value in values))


def by_group(rows: list[Row]) -> str:
    """A table of each group: geometric means of errors, arithmetic means of KL and time."""
    body = [("group", "model", "SCMs", "counterfactual", "effect", "KL", "CPU s")]
    for title, groups in GROUPS.items():
        for model in dict.fromkeys(row["model"] for row in rows):
            found = [r for r in rows if r["group"] in groups and r["model"] == model and r["runs"]]
            if not found:
                continue
            gaps = [r["kl"] for r in found if r["kl"] is not None]
            summary = {
                "counterfactual": geometric_mean([r["counterfactual"] for r in found]),
                "effect": geometric_mean([r["effect"] for r in found]),
                "kl": statistics.fmean(gaps) if gaps and title != "not monotone" else None,
                "seconds": statistics.fmean(r["seconds"] for r in found),
            }
            body.append((title, model, str(len(found)), *cells(summary)))
    return table(body)


def by_scm(rows: list[Row]) -> str:
    """A table of counterfactual errors, a model a column."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    body = [("SCM", *models)]
    for scm in dict.fromkeys(row["scm"] for row in rows):
        found = {row["model"]: row["counterfactual"] for row in rows if row["scm"] == scm}
        body.append((scm, *("-" if found.get(m) is None else f"{found[m]:.4f}" for m in models)))
    return table(body)


def report(result: Mapping[str, Any]) -> str:
    """The result as Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    parts = [
        f"{result['date']}; {result['machine']}, one thread; Python {result['python']}, {versions}. Errors are in "
        f"standard deviations of the variable, medians over seeds of data and training. The equations of the last "
        f"group are as published, not monotone in their noise, so that no model can know their counterfactuals."
    ]
    for n, rows in result["suites"].items():
        seeds = max(len(row["runs"]) for row in rows)
        once = [name for name in dict.fromkeys(row["model"] for row in rows) if name not in REPEATED]
        also = f" (one of {', '.join(once)})" if once else ""
        parts.append(f"Trained on {int(n):,} units, {seeds} seeds{also}, by group of SCMs\n\n{by_group(rows)}")
        parts.append(f"Counterfactual error, trained on {int(n):,} units\n\n{by_scm(rows)}")
    parts.append(f"One non-additive monotone mechanism, 4,000 units\n\n{by_scm(result['scalar'])}")
    head = ("SCM", "set together", "model", "error at the mediator", "error of what it affects")
    rows = [
        (r["scm"], ", ".join(r["do"]), r["model"], f"{r['mediator']:.4f}", f"{r['affected']:.4f}")
        for r in result["joint"]
    ]
    parts.append(f"A cause and a later mediator set together\n\n{table([head, *rows])}")
    head = ("SCM", "probability under do", "exact", "CausalFlow", "off by")
    rows = [
        (r["scm"], r["query"], f"{r['exact']:.4f}", f"{r['found']:.4f}", f"{abs(r['found'] - r['exact']):.4f}")
        for r in result["mixed"]
    ]
    parts.append(f"Discrete and continuous variables, 100,000 units\n\n{table([head, *rows])}")
    head = ("SCM", "set", "model", "counterfactuals a CPU second")
    rows = [(r["scm"], r["do"], r["model"], f"{r['per_second']:,.0f}") for r in result["throughput"]]
    parts.append(f"Throughput, 100,000 units at once\n\n{table([head, *rows])}")
    rows = [(r["map"], f"{r['gradient']:.1f}", f"{r['inverse']:.1f}") for r in result["transforms"]]
    head = ("map", "density and its gradient, CPU ms", "inverse, CPU ms")
    parts.append(f"Monotone maps of 8 bins, 100,000 units with parameters of their own\n\n{table([head, *rows])}")
    rows = [(r["case"], f"{r['milliseconds']:.2f}") for r in result["step_cost"]]
    parts.append(f"A training step of nine nodes, 512 units\n\n{table([('loss', 'CPU ms'), *rows])}")
    return "\n\n".join(parts)


def main() -> None:
    """Measure, print the tables, and write them."""
    parser = argparse.ArgumentParser(description="Model families of this package against dowhy.gcm and causalflows.")
    parser.add_argument("--models", nargs="+", choices=list(CONTENDERS), default=[FLOW, DOWHY, MAF, NSF])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="a quick run that writes nothing")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    simulators = [SCMS["triangle"]] if options.smoke else list(SCMS.values())
    models, seeds, sizes = ([FLOW, DOWHY], 1, [500]) if options.smoke else (options.models, options.seeds, SIZES)
    result = {
        **provenance({"causal_pyro_models": cpm.__version__}, ["dowhy", "causalflows", "pyro-ppl", "torch", "zuko"]),
        "seeds": seeds,
        "step_cost": step_cost(),
        "transforms": transforms(),
        "throughput": throughput(),
        "joint": joint(),
        "mixed": mixed.probabilities(),
        "scalar": suite(list(CONTENDERS) if not options.smoke else models, [SCALAR], 4_000, seeds),
        "suites": {str(n): suite(models, simulators, n, seeds) for n in sizes},
    }
    text = report(result)
    print(text)
    if not options.smoke:
        write(Path(__file__).parent / "results", "models", result, text)


if __name__ == "__main__":
    main()
