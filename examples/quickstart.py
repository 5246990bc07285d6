"""Seeing, doing and imagining with a ten-line Pyro model.

A clinic gives a treatment X more often to severe cases Z; recovery Y depends on both. Seeing is not doing: among those
who happen to be treated recovery is rarer than the treatment would make it, because they were the severe cases.
"""

import argparse

import pyro
import pyro.distributions as dist
import torch

import causal_pyro_models as cpm


def model() -> None:
    """One patient: severity Z, treatment X, recovery Y."""
    z = pyro.sample("Z", dist.Normal(0.0, 1.0))
    x = pyro.sample("X", dist.Bernoulli(logits=1.5 * z))
    pyro.sample("Y", dist.Bernoulli(logits=1.0 * x - 2.0 * z))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="fewer samples")
    n = 2_000 if parser.parse_args().smoke else 200_000

    seen = cpm.sample(model, n, seed=0)
    treated = seen["X"] == 1
    naive = seen["Y"][treated].mean() - seen["Y"][~treated].mean()
    print(f"seeing     E[Y | X=1] - E[Y | X=0]         = {naive:+.3f}")

    done = cpm.sample(cpm.intervene(model, {"X": 1.0}), n, seed=0)
    print(f"doing      E[Y | do(X=1)]                  = {done['Y'].mean():.3f}")
    print(f"doing      {cpm.ate(model, {'X': (0.0, 1.0)}, 'Y', num_samples=n, seed=0)}")
    print(f"doing      {cpm.cate(model, {'X': (0.0, 1.0)}, 'Y', given={'Z': 1.0}, num_samples=n, seed=0)}")

    patient = {"Z": 0.5, "X": 0.0, "Y": 0.0}
    world = cpm.counterfactual(model, patient, do={"X": 1.0}, num_samples=n, seed=0)
    print(
        f"imagining  this untreated patient, who did not recover: P(Y_X=1 = 1 | Z=0.5, X=0, Y=0) = "
        f"{world.mean('Y').item():.3f}"
    )
    # The noise of Y is a logistic threshold: Y turns from 0 to 1 where it lies between the two log odds.
    before, after = torch.sigmoid(torch.tensor(-1.0)), torch.sigmoid(torch.tensor(0.0))
    print(f"           exactly {(after - before) / (1 - before):.3f}")
    print(f"imagining  {cpm.pns(model, {'X': (0.0, 1.0)}, 'Y', num_samples=n, seed=0)}")


if __name__ == "__main__":
    main()
