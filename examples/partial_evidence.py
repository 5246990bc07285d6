"""Counterfactuals with a hidden confounder: importance sampling, a guide and NUTS against the closed form.

U drives both X and Y; it was not observed, and neither was Y, but a proxy W of U was. What would Y be under X = 0?
Given U the noise of X and W follows exactly, so U is all that is left to infer; everything is Gaussian, so the answer
has a closed form to compare with.
"""

import argparse
import time

import causal_pyro_models as cpm
from causal_pyro_models.scm import zoo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="fewer draws and steps")
    smoke = parser.parse_args().smoke
    draws, steps = (1_000, 200) if smoke else (20_000, 2_000)

    weights = {("U", "W"): 1.0, ("U", "X"): 0.8, ("U", "Y"): 1.5, ("X", "Y"): 0.7}
    scm = zoo.LinearGaussianSCM(weights, scales={"U": 1.0, "W": 0.8, "X": 0.6, "Y": 0.5}, latent=["U"])
    print(f"{scm.graph!r}, with U hidden")
    evidence = {"X": [1.0, -0.5, 2.0], "W": [0.5, -1.0, 1.0]}
    do = {"X": 0.0}
    try:
        cpm.counterfactual(scm, evidence, do)
    except cpm.CausalError as error:
        print(f"without a method: {error}\n")

    law = [scm.counterfactual({name: values[i] for name, values in evidence.items()}, do) for i in range(3)]
    methods = {
        "importance sampling": lambda: cpm.ImportanceSampling(),
        "guide, one for all units": lambda: cpm.fit_guide(
            scm, evidence, guide=cpm.AmortizedGuide, steps=steps, seed=0, progress=not smoke
        ),
        "guide, AutoNormal": lambda: cpm.fit_guide(scm, evidence, steps=steps, seed=0, progress=not smoke),
        "NUTS": lambda: cpm.NUTS(num_warmup=100 if smoke else 300, progress=not smoke),
    }
    print(f"{'E[Y_X=0 | X, W] (standard deviation)':40}" + "".join(f"{f'unit {i}':>17}" for i in range(3)), end=" ")
    print("  ESS  k-hat  seconds")
    exact = [f"{float(unit.expectation('Y')):.3f} ({float(unit.variance('Y')) ** 0.5:.3f})" for unit in law]
    print(f"{'closed form':40} {exact[0]:>16} {exact[1]:>16} {exact[2]:>16}")
    for name, build in methods.items():
        start = time.perf_counter()
        size = min(draws, 4_000) if name == "NUTS" else draws
        world = cpm.counterfactual(scm, evidence, do, method=build(), num_samples=size, seed=0)
        cells = [f"{m:.3f} ({s:.3f})" for m, s in zip(world.mean("Y"), world.std("Y"), strict=True)]
        k = "" if world.pareto_k is None else f"{world.pareto_k.max():.2f}"
        ess = "" if world.ess is None else f"{world.ess.min():.0f}"
        elapsed = time.perf_counter() - start
        print(f"{name:40} {cells[0]:>16} {cells[1]:>16} {cells[2]:>16} {ess:>5} {k:>6} {elapsed:8.1f}")


if __name__ == "__main__":
    main()
