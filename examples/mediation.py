"""How much of an effect goes through a mediator: direct, indirect and path-specific effects by nested counterfactuals.

A training X raises pay Y directly and through the skill M that it builds; skill and training reinforce each other, so
the parts depend on the order in which they are switched, and the total effect is one of them less the reverse of the
other. The discrete model is solved by enumeration, so every estimate stands beside its exact value.
"""

import argparse

import causal_pyro_models as cpm
from causal_pyro_models.scm import potential, zoo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="fewer samples")
    n = 5_000 if parser.parse_args().smoke else 500_000

    scm = zoo.discrete.mediation()
    print(f"{scm.graph!r}\n")
    treatment, back = {"X": (0, 1)}, {"X": (1, 0)}
    rows = [
        ("total effect", cpm.ate(scm, treatment, "Y", num_samples=n, seed=0), scm.ate(treatment, "Y")),
        (
            "controlled direct effect, M = 0",
            cpm.cde(scm, treatment, "Y", mediators={"M": 0}, num_samples=n, seed=0),
            scm.cde(treatment, "Y", {"M": 0}),
        ),
        (
            "natural direct effect",
            cpm.nde(scm, treatment, "Y", mediators=["M"], num_samples=n, seed=0),
            scm.nde(treatment, "Y", ["M"]),
        ),
        (
            "natural indirect effect",
            cpm.nie(scm, treatment, "Y", mediators=["M"], num_samples=n, seed=0),
            scm.nie(treatment, "Y", ["M"]),
        ),
        (
            "natural indirect effect, reversed",
            cpm.nie(scm, back, "Y", mediators=["M"], num_samples=n, seed=0),
            scm.nie(back, "Y", ["M"]),
        ),
        (
            "path-specific effect along X -> M -> Y",
            cpm.path_specific(scm, treatment, "Y", paths=[("X", "M", "Y")], graph=scm.graph, num_samples=n, seed=0),
            scm.nie(treatment, "Y", ["M"]),
        ),
    ]
    for name, estimate, exact in rows:
        print(f"{name:40} {estimate}, exactly {float(exact):.4f}")
    total, direct, reverse = (rows[i][1].value for i in (0, 2, 4))
    print(f"\ntotal = direct - reversed indirect: {total:.4f} = {direct:.4f} - {reverse:.4f}")

    world = cpm.sample(cpm.intervene(scm, {"X": 1, "M": potential("M", do={"X": 0})}), n, seed=0)
    exact = scm.counterfactual_probability({"Y": 1}, {"X": 1, "M": potential("M", do={"X": 0})})
    print(f"P(Y_(X=1, M_(X=0)) = 1) = {world['Y'].double().mean():.4f}, exactly {float(exact):.4f}")


if __name__ == "__main__":
    main()
