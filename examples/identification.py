"""What data can answer: an effect through a mediator, one that only has bounds, and the parts of an effect.

In each of the three studies a hidden cause is at work, or two worlds are compared that nobody sees together. The graph
says whether the question can be answered from what is measured; where it can, the proof is printed and the number
from data stands beside the truth, which the simulated world gives away.
"""

import argparse
from collections.abc import Callable

import pandas as pd
import pyro
import pyro.distributions as dist

import causal_pyro_models as cpm
from causal_pyro_models.errors import NotIdentifiableError
from causal_pyro_models.identification import (
    ate_bounds,
    identify,
    natural_direct_effect,
    path_specific_effect,
    recanting_witness,
    verify,
)


def smoking() -> None:
    """A gene makes people smoke and fall ill; all harm of smoking goes through tar."""
    gene = pyro.sample("Gene", dist.Bernoulli(0.4))
    smoker = pyro.sample("Smoking", dist.Bernoulli(0.2 + 0.5 * gene))
    tar = pyro.sample("Tar", dist.Bernoulli(0.1 + 0.7 * smoker))
    pyro.sample("Cancer", dist.Bernoulli(0.05 + 0.25 * tar + 0.4 * gene))


def encouragement() -> None:
    """A letter at random, a treatment that some take up, and a hidden cause of taking it up and of getting well."""
    letter = pyro.sample("Letter", dist.Bernoulli(0.5))
    health = pyro.sample("Health", dist.Bernoulli(0.5))
    drug = pyro.sample("Drug", dist.Bernoulli(0.1 + 0.65 * letter + 0.2 * health))
    pyro.sample("Well", dist.Bernoulli(0.1 + 0.35 * drug + 0.4 * health))


def training() -> None:
    """A training raises pay directly, and through the skill that it builds."""
    x = pyro.sample("Training", dist.Bernoulli(0.5))
    skill = pyro.sample("Skill", dist.Bernoulli(0.3 + 0.4 * x))
    pyro.sample("Pay", dist.Bernoulli(0.2 + 0.1 * x + 0.3 * skill + 0.2 * x * skill))


def observed(model: Callable[[], None], names: list[str], n: int) -> pd.DataFrame:
    """What is measured of a population."""
    drawn = cpm.sample(model, n, seed=0)
    return pd.DataFrame({name: drawn[name].int() for name in names})


def front_door(n: int) -> None:
    """The effect of smoking on cancer, in spite of the gene."""
    graph = cpm.CausalGraph.from_dagitty("dag { Smoking -> Tar -> Cancer; Smoking <-> Cancer }")
    data = observed(smoking, ["Smoking", "Tar", "Cancer"], n)
    estimand = identify(graph, "P(Cancer | do(Smoking))")
    verify(estimand.derivation, models=3)
    print(f"{estimand.derivation}\n")
    found = estimand.evaluate(data, contrast={"Smoking": (0, 1)})
    truth = cpm.ate(smoking, {"Smoking": (0.0, 1.0)}, "Cancer", num_samples=n, seed=1)
    naive = data.groupby("Smoking")["Cancer"].mean().diff().iloc[-1]
    print(f"smokers less others {naive:.3f}; effect by the front door {found}; simulated truth {truth}\n")


def instrument(n: int) -> None:
    """The effect of a drug that a letter encourages: not identifiable, but bounded."""
    graph = cpm.CausalGraph.from_dagitty("dag { Letter -> Drug -> Well; Drug <-> Well }")
    try:
        identify(graph, "P(Well | do(Drug))")
    except NotIdentifiableError as error:
        error.witness.check()
        print(error)
    data = observed(encouragement, ["Letter", "Drug", "Well"], n)
    bounds = ate_bounds(graph, data, {"Drug": (0, 1)}, "Well")
    truth = cpm.ate(encouragement, {"Drug": (0.0, 1.0)}, "Well", num_samples=n, seed=1)
    print(f"{bounds}; simulated truth {truth}\n")


def mediation(n: int) -> None:
    """How much of the effect of a training on pay is not through skill, and a question that no data can answer."""
    graph = cpm.CausalGraph.from_edges([("Training", "Skill"), ("Skill", "Pay"), ("Training", "Pay")])
    data = observed(training, ["Training", "Skill", "Pay"], n)
    contrast = natural_direct_effect({"Training": (0, 1)}, "Pay", "Skill")
    values = []
    for query in contrast:
        estimand = identify(graph, query)
        verify(estimand.derivation)
        print(f"{query} = {estimand}\n{estimand.derivation}\n")
        values.append(estimand.evaluate(data).value)
    truth = cpm.nde(training, {"Training": (0.0, 1.0)}, "Pay", mediators=["Skill"], num_samples=n, seed=1)
    print(f"direct effect {values[0] - values[1]:.3f}; simulated truth {truth}\n")

    wider = cpm.CausalGraph.from_edges(
        [("Training", "Health"), ("Health", "Skill"), ("Health", "Pay"), ("Skill", "Pay")],
    )
    path = ("Training", "Health", "Skill", "Pay")
    print(f"{' -> '.join(path)}: the recanting witness is {recanting_witness(wider, 'Training', 'Pay', [path])}")
    try:
        identify(wider, path_specific_effect(wider, {"Training": (0, 1)}, "Pay", [path]).active)
    except NotIdentifiableError as error:
        print(error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="fewer units")
    n = 5_000 if parser.parse_args().smoke else 200_000
    front_door(n)
    instrument(n)
    mediation(n)


if __name__ == "__main__":
    main()
