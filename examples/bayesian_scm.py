"""A Bayesian structural causal model: priors on its parameters, NUTS, ArviZ, and counterfactuals with intervals.

Plants get fertiliser X, more of it on poor soil Z, and grow to height Y. The parameters are sites outside the plate
over plants: population-level, the same for every plant and in every world. Their posterior goes into every answer.
"""

import argparse
import warnings
from pathlib import Path

import pyro
import pyro.distributions as dist

import causal_pyro_models as cpm

PLANTS = 60
TRUTH = {"soil": -0.8, "gain": 1.5, "drain": -1.0, "scale": 0.7}


def model() -> None:
    """Plants with unknown parameters."""
    soil = pyro.sample("soil", dist.Normal(0.0, 1.0))
    gain = pyro.sample("gain", dist.Normal(0.0, 1.0))
    drain = pyro.sample("drain", dist.Normal(0.0, 1.0))
    scale = pyro.sample("scale", dist.HalfNormal(1.0))
    with pyro.plate("plants", PLANTS):
        z = pyro.sample("Z", dist.Normal(0.0, 1.0))
        x = pyro.sample("X", dist.Normal(soil * z, 1.0))
        pyro.sample("Y", dist.Normal(gain * x + drain * z, scale))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="short chains")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the trace plot")
    args = parser.parse_args()
    warmup, draws = (100, 400) if args.smoke else (500, 4_000)

    data = cpm.sample(cpm.intervene(model, TRUTH), 1, seed=0)
    evidence = {name: data[name][0] for name in ("Z", "X", "Y")}

    with warnings.catch_warnings():
        warnings.simplefilter("default" if not args.smoke else "ignore", cpm.CausalWarning)
        nuts = cpm.NUTS(num_warmup=warmup, progress=not args.smoke)
        noise = cpm.abduct(model, evidence, method=nuts, num_samples=draws, seed=1)

    import arviz
    import matplotlib.pyplot as plt

    posterior = cpm.to_inference_data(posterior=noise)
    parameters = list(TRUTH)
    print(arviz.summary(posterior, var_names=parameters, round_to=3).assign(truth=TRUTH), end="\n\n")
    print(cpm.diagnose(noise), end="\n\n")
    args.out.mkdir(parents=True, exist_ok=True)
    arviz.plot_trace(posterior, var_names=parameters)
    plt.savefig(args.out / "bayesian_scm_trace.png", dpi=110, bbox_inches="tight")
    print(f"trace plot: {args.out / 'bayesian_scm_trace.png'}\n")

    effect = cpm.ate(model, {"X": (0.0, 1.0)}, "Y", evidence=noise)
    print(f"{effect}, truth {TRUTH['gain']}")

    world = cpm.counterfactual(model, noise, do={"X": 0.0})
    lower, upper = world.interval("Y")
    truth = evidence["Y"] - TRUTH["gain"] * evidence["X"]
    covered = ((lower <= truth) & (truth <= upper)).float().mean()
    print("\nheight had the plant got no fertiliser (X = 0)")
    for i in range(3):
        print(
            f"  plant {i}: grew to {evidence['Y'][i]:+.2f}, would have grown to {world.mean('Y')[i]:+.2f} "
            f"(95% interval {lower[i]:+.2f} to {upper[i]:+.2f}), truth {truth[i]:+.2f}"
        )
    print(f"  intervals that hold the truth: {covered:.0%} of {PLANTS}, all of them through the same four parameters")


if __name__ == "__main__":
    main()
