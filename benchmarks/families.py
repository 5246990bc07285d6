"""All model families on the same data: how well they fit, and what their interventions and counterfactuals are worth.

python benchmarks/families.py            # about half an hour; writes benchmarks/results/
python benchmarks/families.py --smoke    # a minute; writes nothing
"""

import argparse
import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from harness import provenance, table, write
from torch import Tensor
from torch.nn.functional import softplus

import causal_pyro_models as cpm
from causal_pyro_models.data.variables import Binary, Categorical, as_variable
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models.networks.scalar_flow import LocationScale, Spline
from causal_pyro_models.models.node import node_for
from causal_pyro_models.models.nodes.additive import AdditiveNoiseModel
from causal_pyro_models.models.nodes.flow import CausalFlow
from causal_pyro_models.models.nodes.gan import CausalGAN, GANNode
from causal_pyro_models.models.nodes.vae import CausalVAE, VAENode
from causal_pyro_models.models.structural import StructuralCausalModel
from causal_pyro_models.training import fit

Values = dict[str, Tensor]
ROWS, HELD_OUT, DRAWS = 4_000, 1_000, 100
TREATMENT, OUTCOME = "X", "Y"
NOISES = 8  # standard normal noises of a unit


@dataclass(frozen=True)
class Case:
    """A structural causal model whose noise is kept.

    Args:
        name: what tables call it.
        graph: its causal graph.
        kinds: of its variables.
        equations: from noise ``(units, NOISES)`` and what X is set to, if it is, to the values.
    """

    name: str
    graph: CausalGraph
    kinds: Mapping[str, Any]
    equations: Callable[[Tensor, Tensor | None], Values]


def _either(value: Tensor | None, natural: Tensor) -> Tensor:
    return natural if value is None else value


def monotone(u: Tensor, do: Tensor | None) -> Values:
    """A response of which location, scale and skewness depend on the dose."""
    x = _either(do, u[:, 0])
    return {"X": x, "Y": torch.tanh(x) + torch.exp(x / 2) * torch.sinh(0.8 * u[:, 1])}


def skewed(u: Tensor, do: Tensor | None) -> Values:
    """A response that is skewed to the right for low doses and to the left for high ones."""
    x = _either(do, u[:, 0])
    noise = u[:, 1] + 0.5 * torch.tanh(2.0 * u[:, 1] * x)
    return {"X": x, "Y": x + (0.3 + torch.sigmoid(2.0 * x)) * noise}


def additive(u: Tensor, do: Tensor | None) -> Values:
    """A nonlinear triangle with additive noise."""
    z = u[:, 0]
    x = _either(do, torch.sin(2.0 * z) + 0.5 * u[:, 1])
    return {"Z": z, "X": x, "Y": z * x + torch.tanh(2.0 * x) + 0.5 * u[:, 2]}


def two_modes(u: Tensor, do: Tensor | None) -> Values:
    """A response with two modes, whose distance grows with the dose."""
    x = _either(do, u[:, 0])
    gap = softplus(2.0 * x) + 0.5
    return {"X": x, "Y": x + gap * torch.tanh(6.0 * u[:, 1]) + 0.4 * u[:, 1]}


def ring(u: Tensor, do: Tensor | None) -> Values:
    """A vector on a ring, whose radius is the dose's, and a response that is high on one side of it."""
    x = _either(do, u[:, 0])
    angle, radius = torch.pi * torch.erf(u[:, 1] / 2**0.5), 1.0 + softplus(x) + 0.1 * u[:, 2]
    v = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], -1)
    return {"X": x, "V": v, "Y": v[:, 0] + 0.3 * u[:, 3]}


def mixed(u: Tensor, do: Tensor | None) -> Values:
    """Binary, categorical and real variables."""
    z = u[:, 0]
    x = _either(do, (z + u[:, 1] > 0).to(z))
    scores = torch.stack([z, x, -z], -1)
    k = (scores - torch.log(-torch.special.ndtr(u[:, 2:5]).clamp(1e-7, 1 - 1e-7).log())).argmax(-1)
    return {"Z": z, "X": x, "K": k, "Y": torch.sin(2.0 * z) + x * (1.0 + 0.5 * z) + 0.7 * k + 0.5 * u[:, 5]}


def front_door(u: Tensor, do: Tensor | None) -> Values:
    """A hidden cause of treatment and response, and a mediator that it does not reach."""
    hidden = u[:, 0]
    x = _either(do, hidden + 0.7 * u[:, 1])
    m = 0.8 * x + 0.6 * u[:, 2]
    return {"X": x, "M": m, "Y": 0.9 * m + 1.2 * hidden + 0.5 * u[:, 3]}


def instrument(u: Tensor, do: Tensor | None) -> Values:
    """A hidden cause of treatment and response, and an instrument that it does not reach."""
    z, hidden = u[:, 0], u[:, 1]
    x = _either(do, z + hidden + 0.5 * u[:, 2])
    return {"Z": z, "X": x, "Y": 0.5 * x + 1.5 * hidden + 0.5 * u[:, 3]}


def bent_front_door(u: Tensor, do: Tensor | None) -> Values:
    """A front door with bent mechanisms, and a hidden cause that acts by its square too."""
    hidden = u[:, 0]
    x = _either(do, hidden + 0.7 * u[:, 1])
    m = torch.tanh(x) + 0.3 * x + 0.6 * u[:, 2]
    return {"X": x, "M": m, "Y": m + 0.2 * m**2 + hidden + 0.3 * hidden**2 + 0.5 * u[:, 3]}


PAIR = CausalGraph(["X", "Y"], [("X", "Y")])
TRIANGLE = CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("Z", "Y"), ("X", "Y")])
FRONT_DOOR = CausalGraph(["X", "M", "Y"], [("X", "M"), ("M", "Y")], [("X", "Y")])
CASES = [
    Case("monotone", PAIR, {"X": 1, "Y": 1}, monotone),
    Case("monotone, skewed", PAIR, {"X": 1, "Y": 1}, skewed),
    Case("additive", TRIANGLE, {"Z": 1, "X": 1, "Y": 1}, additive),
    Case("two modes", PAIR, {"X": 1, "Y": 1}, two_modes),
    Case(
        "ring",
        CausalGraph(["X", "V", "Y"], [("X", "V"), ("V", "Y")]),
        {"X": 1, "V": 2, "Y": 1},
        ring,
    ),
    Case(
        "mixed",
        CausalGraph(["Z", "X", "K", "Y"], [("Z", "X"), ("Z", "K"), ("X", "K"), ("Z", "Y"), ("X", "Y"), ("K", "Y")]),
        {"Z": 1, "X": Binary(), "K": Categorical(3), "Y": 1},
        mixed,
    ),
    Case("front door, hidden cause", FRONT_DOOR, {"X": 1, "M": 1, "Y": 1}, front_door),
    Case(
        "instrument, hidden cause",
        CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("X", "Y")], [("X", "Y")]),
        {"Z": 1, "X": 1, "Y": 1},
        instrument,
    ),
    Case("bent front door, hidden cause", FRONT_DOOR, {"X": 1, "M": 1, "Y": 1}, bent_front_door),
]


def _naive(case: Case) -> CausalGraph:
    """The graph without its hidden causes."""
    return CausalGraph(case.graph.variables, case.graph.edges)


def _latent(case: Case) -> int | dict[str, int]:
    """Latents for every real variable, but where a hidden cause is what they would compete with."""
    return dict.fromkeys(case.kinds, 0) if case.graph.bidirected else 2


def hybrid(case: Case) -> StructuralCausalModel:
    """Vectors by an autoencoder, the response by a generator, the rest by flows."""
    kinds = {name: as_variable(name, kind) for name, kind in case.kinds.items()}
    nodes = {}
    for name, kind in kinds.items():
        if kind.event_shape:
            nodes[name] = VAENode(kind)
        else:
            nodes[name] = GANNode(kind) if name == OUTCOME else node_for(kind, Spline(), (32, 32))
    return StructuralCausalModel(case.graph, nodes)


FAMILIES: dict[str, tuple[Callable[[Case], StructuralCausalModel], dict[str, int]]] = {
    "additive noise": (lambda case: AdditiveNoiseModel(_naive(case), case.kinds), {}),
    "heteroscedastic": (lambda case: AdditiveNoiseModel(_naive(case), case.kinds, heteroscedastic=True), {}),
    "CausalFlow, location-scale": (lambda case: CausalFlow(_naive(case), case.kinds, LocationScale()), {}),
    "CausalFlow, spline": (lambda case: CausalFlow(_naive(case), case.kinds), {}),
    "CausalVAE": (lambda case: CausalVAE(case.graph, case.kinds, _latent(case)), {}),
    "CausalGAN": (lambda case: CausalGAN(case.graph, case.kinds), {}),
    "CausalGAN, critics alone": (
        lambda case: CausalGAN(case.graph, case.kinds),
        {"steps": 1, "adversarial_steps": 1_000},
    ),
    "hybrid": (hybrid, {}),
}
SOME = {  # cases that a family is run on, where not on all
    "CausalGAN": ("monotone", "monotone, skewed", "two modes", "ring", "mixed", "bent front door, hidden cause"),
    "CausalGAN, critics alone": ("two modes", "ring"),
    "hybrid": ("ring", "mixed"),
}
NONE, TRUTH = "no model: the factual value", "the truth, drawn anew"


def energy(one: Values, two: Values, names: tuple[str, ...]) -> float:
    """The energy distance of two samples, each variable on the scale of the first sample's standard deviations."""

    def columns(values: Values) -> Tensor:
        found = []
        for name in names:
            first, value = one[name].double(), values[name].double()
            if not first.is_floating_point() or one[name].dtype == torch.int64:
                value, first = torch.nn.functional.one_hot(values[name], 3).double(), first.new_tensor([0.0, 1.0])
            found.append((value / first.std(0)).reshape(len(value), -1))
        return torch.cat(found, -1)

    a, b = columns(one), columns(two)
    return float(2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean())


def wasserstein(one: Tensor, two: Tensor) -> float:
    """The Wasserstein-1 distance of two samples of one size, in standard deviations of the first."""
    return float((one.sort().values - two.sort().values).abs().mean() / one.std())


@dataclass
class Trial:
    """Data of a case under a seed: to train on, to test on, and doses."""

    case: Case
    seed: int
    rows: int

    def __post_init__(self) -> None:
        torch.manual_seed(1_000 + self.seed)
        self.train = self.case.equations(torch.randn(self.rows, NOISES), None)
        self.noise = torch.randn(HELD_OUT, NOISES)
        self.test = self.case.equations(self.noise, None)
        x = self.train[TREATMENT]
        self.doses = [0.0, 1.0] if case_is_binary(self.case) else x.quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()
        self.names = tuple(self.case.graph.variables)

    def under(self, dose: float, noise: Tensor) -> Values:
        """The units with this noise, X set."""
        return self.case.equations(noise, torch.full((len(noise),), dose))

    def scores(self, sampled: Values, done: list[Tensor], counterfactuals: list[Tensor]) -> dict[str, float]:
        """Fit, interventional and counterfactual error."""
        anew = self.case.equations(torch.randn(2_000, NOISES), None)
        truth = [self.under(dose, torch.randn(2_000, NOISES))[OUTCOME] for dose in self.doses]
        sd = self.test[OUTCOME].std()
        squares = [
            (value - self.under(dose, self.noise)[OUTCOME]).square().mean()
            for dose, value in zip(self.doses, counterfactuals, strict=True)
        ]
        effect = float(done[-1].mean() - done[0].mean()) / (self.doses[-1] - self.doses[0])
        true_effect = float(truth[-1].mean() - truth[0].mean()) / (self.doses[-1] - self.doses[0])
        return {
            "fit": energy(anew, sampled, self.names),
            "interventional": statistics.mean(wasserstein(a, b) for a, b in zip(truth, done, strict=True)),
            "counterfactual": float(torch.stack(squares).mean().sqrt() / sd) if squares else float("nan"),
            "effect": effect,
            "true effect": true_effect,
        }


def case_is_binary(case: Case) -> bool:
    """Whether the treatment has two values."""
    return isinstance(case.kinds[TREATMENT], Binary)


def measure(case: Case, family: str, seed: int, rows: int, quick: bool) -> dict[str, float]:
    """One family on one case under one seed."""
    trial = Trial(case, seed, rows)
    if family == NONE:
        drawn = [trial.test[OUTCOME].repeat(2) for _ in trial.doses]
        return {**trial.scores(trial.train, drawn, [trial.test[OUTCOME]] * len(drawn)), "seconds": 0.0}
    if family == TRUTH:
        again = case.equations(torch.randn(2_000, NOISES), None)
        drawn = [trial.under(dose, torch.randn(2_000, NOISES))[OUTCOME] for dose in trial.doses]
        exact = [trial.under(dose, trial.noise)[OUTCOME] for dose in trial.doses]
        return {**trial.scores(again, drawn, exact), "seconds": 0.0}
    build, settings = FAMILIES[family]
    if quick:
        settings = {"steps": 20, "adversarial_steps": 5}
    torch.manual_seed(seed)
    model = build(case)
    start = time.process_time()
    fit(model, trial.train, seed=seed, progress=False, **settings)
    seconds = time.process_time() - start
    sampled = cpm.sample(model, 2_000, seed=0)
    done = [cpm.sample(cpm.intervene(model, {TREATMENT: dose}), 2_000, seed=1)[OUTCOME] for dose in trial.doses]
    latent = bool(model.cliques) or any(f"{name}.z" in sampled for name in model.variables)
    noise = cpm.abduct(model, trial.test, num_samples=DRAWS if latent else None, seed=0)
    worlds = [cpm.counterfactual(model, noise, do={TREATMENT: dose}) for dose in trial.doses]
    answers = [world.mean(OUTCOME) if latent else world[OUTCOME] for world in worlds]
    return {**trial.scores(dict(sampled), done, answers), "seconds": seconds}


def _families(case: Case) -> list[str]:
    """What is run on a case."""
    return [NONE, *(name for name in FAMILIES if case.name in SOME.get(name, (case.name,))), TRUTH]


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def report(result: Mapping[str, Any]) -> str:
    """The measurements as a table."""
    rows = [["case and family", "fit", "interventional", "counterfactual", "effect", "true effect", "CPU s"]]
    for row in result["measurements"]:
        figures = [f"{row[key]:.3f}" for key in ("fit", "interventional", "counterfactual", "effect", "true effect")]
        rows.append([f"{row['case']}: {row['family']}", *figures, f"{row['seconds']:.1f}"])
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return "\n\n".join(
        [
            f"{result['date']}; {result['machine']}, one thread; Python {result['python']}, {versions}.",
            f"{result['rows']:,} rows to train on; the median of {result['seeds']} seeds. *Fit* is the energy distance "
            "of samples to fresh data; *interventional* the Wasserstein distance of Y under X set to its 10, 50 and "
            "90% quantiles, *counterfactual* the root mean square error of Y's expectation under the same, both over "
            "the standard deviation of Y; *effect* the slope of the mean of Y between the outer two. Samples of the "
            "truth itself show what chance alone does. CausalFlow and additive noise take no hidden causes: they are "
            "given the graph without them. With a hidden cause the counterfactual is not a point, and what remains of "
            "its error cannot be learned from data.",
            table(rows),
        ]
    )


def main() -> None:
    """Measure, print the table, and write it."""
    parser = argparse.ArgumentParser(description="All model families on the same data.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="a quick run that writes nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    seeds, rows = (1, 500) if options.smoke else (options.seeds, ROWS)
    runs: dict[tuple[str, str], list[dict[str, float]]] = {}
    for seed in range(seeds):
        for case in CASES:
            for family in _families(case):
                runs.setdefault((case.name, family), []).append(measure(case, family, seed, rows, options.smoke))
                print(f"seed {seed}, {case.name}: {family}", flush=True)
        measurements = [
            {"case": case, "family": family, **medians(done), "runs": done} for (case, family), done in runs.items()
        ]
        result = {
            **provenance({"causal_pyro_models": cpm.__version__}, ["pyro-ppl", "torch"]),
            "rows": rows,
            "seeds": seed + 1,
            "measurements": measurements,
        }
        if not options.smoke:  # after each seed, for those who look on
            write(Path(__file__).parent / "results", "families", result, report(result))
    print(report(result))


if __name__ == "__main__":
    main()
