"""NUTS on a regression of 170 rows: the time of ``abduct`` against that of Pyro's own ``MCMC``.

python benchmarks/nuts.py            # two minutes; writes benchmarks/results/
python benchmarks/nuts.py --smoke    # seconds; writes nothing

The rows are like those of "Rugged" in Pyro's tutorial on Bayesian regression (ruggedness, Africa or not, and their
product on the logarithm of income). Both run one chain from the same seed, taking turns. Time is the processor's in the
whole call. Chains differ, since they draw different numbers on the way; the time by gradient is beside it.
"""

import argparse
import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from harness import provenance, table, write
from pyro.infer import MCMC, NUTS
from pyro.nn import PyroModule, PyroSample
from pyro.ops import integrator

import causal_pyro_models as cpm

ROWS = 170
GENERATOR = torch.Generator().manual_seed(0)
AFRICA = (torch.rand(ROWS, generator=GENERATOR) < 0.3).float()
RUGGED = 1.2 * torch.randn(ROWS, generator=GENERATOR).abs()
INCOME = 9.2 - 1.95 * AFRICA - 0.2 * RUGGED + 0.4 * AFRICA * RUGGED + 0.93 * torch.randn(ROWS, generator=GENERATOR)
COLUMNS = torch.stack([AFRICA, RUGGED, AFRICA * RUGGED], -1)


def slopes() -> tuple[torch.Tensor, ...]:
    level = pyro.sample("level", dist.Normal(0.0, 10.0))
    rest = (pyro.sample(name, dist.Normal(0.0, 1.0)) for name in ("africa", "rugged", "both"))
    return level, *rest, pyro.sample("scale", dist.Uniform(0.0, 10.0))


def as_written() -> None:
    """The regressors are data in the program."""
    level, africa, rugged, both, scale = slopes()
    with pyro.plate("countries", ROWS):
        mean = level + africa * AFRICA + rugged * RUGGED + both * AFRICA * RUGGED
        pyro.sample("income", dist.Normal(mean, scale))


def causal() -> None:
    """The regressors are variables, which can be intervened on."""
    level, africa, rugged, both, scale = slopes()
    with pyro.plate("countries", ROWS):
        a = pyro.sample("A", dist.Bernoulli(0.3))
        r = pyro.sample("R", dist.HalfNormal(1.2))
        pyro.sample("income", dist.Normal(level + africa * a + rugged * r + both * a * r, scale))


class Linear(PyroModule[torch.nn.Module]):
    """``nn.Linear`` with priors on its weights, as in the tutorial."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = PyroModule[torch.nn.Linear](3, 1)
        self.linear.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 3]).to_event(2))
        self.linear.bias = PyroSample(dist.Normal(0.0, 10.0).expand([1]).to_event(1))

    def forward(self) -> None:
        scale = pyro.sample("scale", dist.Uniform(0.0, 10.0))
        mean = self.linear(COLUMNS).squeeze(-1)
        with pyro.plate("countries", ROWS):
            pyro.sample("income", dist.Normal(mean, scale))


PROGRAMS: dict[str, tuple[Callable[[], None], dict[str, torch.Tensor]]] = {
    "regressors as data": (as_written, {"income": INCOME}),
    "regressors as variables": (causal, {"A": AFRICA, "R": RUGGED, "income": INCOME}),
    "`PyroModule[nn.Linear]`": (Linear(), {"income": INCOME}),
}


def by_pyro(model: Callable[[], None], evidence: dict[str, torch.Tensor], draws: int, seed: int) -> None:
    pyro.set_rng_seed(seed)
    kernel = NUTS(pyro.condition(model, data=evidence))
    MCMC(kernel, num_samples=draws, warmup_steps=draws, disable_progbar=True).run()


def by_ours(model: Callable[[], None], evidence: dict[str, torch.Tensor], draws: int, seed: int) -> None:
    method = cpm.NUTS(num_warmup=draws, num_chains=1, progress=False)
    cpm.abduct(model, evidence, method=method, num_samples=draws, seed=seed)


def timed(run: Callable[..., None], *args: Any) -> tuple[float, int]:
    """Seconds of the processor in a run, and how many gradients it took."""
    gradients, plain = 0, integrator.potential_grad

    def counted(*given: Any) -> Any:
        nonlocal gradients
        gradients += 1
        return plain(*given)

    integrator.potential_grad = counted
    try:
        start = time.process_time()
        run(*args)
        return time.process_time() - start, gradients
    finally:
        integrator.potential_grad = plain


def measured(draws: int, seeds: int) -> list[dict[str, Any]]:
    rows = []
    for name, (model, evidence) in PROGRAMS.items():
        by_ours(model, evidence, 4, 0)
        pairs = [[timed(run, model, evidence, draws, seed) for run in (by_pyro, by_ours)] for seed in range(seeds)]
        ratios = [ours[0] / pyros[0] for pyros, ours in pairs]
        each = [sum(pair[i][0] for pair in pairs) / sum(pair[i][1] for pair in pairs) for i in (0, 1)]
        rows.append(
            {
                "program": name,
                "pyro": statistics.median(pyros[0] for pyros, _ in pairs),
                "ours": statistics.median(ours[0] for _, ours in pairs),
                "ratios": ratios,
                "ratio": statistics.median(ratios),
                "gradients": [sum(pair[i][1] for pair in pairs) for i in (0, 1)],
                "each": each,
            }
        )
    return rows


def report(result: dict[str, Any]) -> str:
    head = ["program", "Pyro's `MCMC`, s", "`abduct`, s", "ratio, median and range", "each gradient: ratio"]
    body = [
        [
            row["program"],
            f"{row['pyro']:.1f}",
            f"{row['ours']:.1f}",
            f"{row['ratio']:.2f} ({min(row['ratios']):.2f} to {max(row['ratios']):.2f})",
            f"{row['each'][1] / row['each'][0]:.2f}",
        ]
        for row in result["programs"]
    ]
    return (
        f"NUTS on a regression of {ROWS} rows with four coefficients and a scale: one chain of {result['draws']} draws "
        f"after as many of warm-up, {result['seeds']} seeds, the two taking turns.\n\n{table([head, *body])}\n"
    )


def main() -> None:
    """Measure, print the table, and write it."""
    parser = argparse.ArgumentParser(description="NUTS against Pyro's own.")
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="a quick run that writes nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    draws, seeds = (10, 2) if options.smoke else (options.draws, options.seeds)
    result = {
        **provenance({"causal_pyro_models": cpm.__version__}, ["pyro-ppl", "torch"]),
        "draws": draws,
        "seeds": seeds,
        "programs": measured(draws, seeds),
    }
    text = report(result)
    print(text)
    if not options.smoke:
        write(Path(__file__).parent / "results", "nuts", result, text)


if __name__ == "__main__":
    main()
