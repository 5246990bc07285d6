"""Discrete variables of discrete parents: frequencies where these tell most, shrunk where a regression does."""

import itertools

import numpy as np
import pytest
import torch

from causal_pyro_models.data import Binary, Categorical, Continuous, Ordinal
from causal_pyro_models.effects import ate
from causal_pyro_models.evaluation import check_model
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.inference import counterfactual, sample
from causal_pyro_models.models import CausalFlow, load, save
from causal_pyro_models.models.nodes.discrete import BernoulliNode, CategoricalNode, OrdinalNode
from causal_pyro_models.training import fit

NODES = {Binary(): BernoulliNode, Categorical(3): CategoricalNode, Ordinal(3): OrdinalNode}


def shares(node, cells):
    """The law at each cell, ``(cells, levels)``."""
    levels = torch.arange(getattr(node.variable, "k", 2)).unsqueeze(-1)
    with torch.no_grad():
        return node.distribution(cells).log_prob(levels.float()).exp().T


def grid(sizes):
    return dict(zip("ABC", torch.tensor(list(itertools.product(*map(range, sizes)))).T, strict=False))


@pytest.mark.parametrize("kind", NODES)
def test_interactions_are_a_table_with_one_added_to_each_count(kind):
    """Classes that are a random function of the cell, with noise: no regression without many units explains them."""
    rng = np.random.default_rng(0)
    k, sizes = getattr(kind, "k", 2), (4, 3)
    a, b = (torch.as_tensor(rng.integers(0, size, 3000)) for size in sizes)
    law = torch.as_tensor(rng.dirichlet(0.3 * np.ones(k), sizes))
    value = torch.distributions.Categorical(law[a, b]).sample()
    node = NODES[kind](kind)
    node.connect({"A": Categorical(4), "B": Ordinal(3)})
    node.initialise(value, {"A": a, "B": b})
    counts = torch.ones(*sizes, k)
    counts.index_put_((a, b, value), torch.ones(3000), accumulate=True)
    expected = (counts / counts.sum(-1, keepdim=True)).reshape(-1, k)
    assert node.settled
    torch.testing.assert_close(shares(node, grid(sizes)), expected, rtol=1e-4, atol=1e-5)


def test_of_many_cells_a_smooth_law_is_found():
    """512 cells, 2,000 units: the divergence from the truth is a tenth of the table's."""
    rng = np.random.default_rng(1)
    x = torch.as_tensor(rng.integers(0, 8, (2000, 3)))
    probability = torch.sigmoid((x - 3.5) @ torch.tensor([0.5, -0.4, 0.3]))
    value = torch.bernoulli(probability)
    node = BernoulliNode()
    node.connect(dict.fromkeys("ABC", Ordinal(8)))
    node.initialise(value, dict(zip("ABC", x.T, strict=True)))
    cells = grid((8, 8, 8))
    truth = torch.sigmoid((torch.stack(list(cells.values()), -1) - 3.5) @ torch.tensor([0.5, -0.4, 0.3]))
    index = x @ torch.tensor([64, 8, 1])
    ones, every = (torch.bincount(index, weights, 512) for weights in (value, torch.ones(2000)))

    def divergence(p):
        return float((truth * (truth / p).log() + (1 - truth) * ((1 - truth) / (1 - p)).log()).mean())

    assert divergence(shares(node, cells)[:, 1]) < 0.1 * divergence((ones + 1) / (every + 2))


def test_effects_are_those_of_the_table():
    """Y an odd function of two causes: the plug-in of frequencies by hand, ``ate`` within 4 simulation errors of it."""
    rng = np.random.default_rng(2)
    n = 1500
    z = rng.integers(0, 4, n)
    x = (rng.random(n) < np.array([0.2, 0.8, 0.3, 0.6])[z]).astype(int)
    law = rng.dirichlet(np.ones(4), (4, 2))
    y = (rng.random(n)[:, None] > law[z, x].cumsum(-1)).sum(-1)
    data = {"Z": z, "X": x, "Y": (y == 3).astype(int)}
    graph = CausalGraph(["Z", "X", "Y"], [("Z", "X"), ("Z", "Y"), ("X", "Y")])
    model = CausalFlow(graph, {"Z": Categorical(4), "X": Binary(), "Y": Binary()})
    result = fit(model, data, seed=0, progress=False)
    assert result.steps == 0
    marginal = (np.bincount(z, minlength=4) + 1) / (n + 4)
    frequency = [
        [(data["Y"][(z == i) & (x == j)].sum() + 1) / (((z == i) & (x == j)).sum() + 2) for j in (0, 1)]
        for i in range(4)
    ]
    expected = marginal @ np.diff(frequency)[:, 0]
    found = ate(model, {"X": (0, 1)}, "Y", num_samples=40_000, seed=0)
    assert abs(found.value - expected) < 4 * 0.7 / 40_000**0.5


def test_counterfactuals_keep_the_laws():
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 2, 800), rng.integers(0, 3, 800)
    c, d = (a + b + (rng.random(800) < 0.3)) % 3, (a * b + (rng.random(800) < 0.4)) % 4
    graph = CausalGraph(["A", "B", "C", "D"], [("A", "C"), ("B", "C"), ("A", "D"), ("B", "D")])
    kinds = {"A": Binary(), "B": Categorical(3), "C": Categorical(3), "D": Ordinal(4)}
    model = CausalFlow(graph, kinds)
    fit(model, {"A": a, "B": b, "C": c, "D": d}, seed=0, progress=False)
    assert all(node.settled for node in model.nodes.values())
    assert not check_model(model, {"A": a, "B": b, "C": c, "D": d}).failures
    evidence = {"A": a[:50], "B": b[:50], "C": c[:50], "D": d[:50]}
    same = counterfactual(model, evidence, {"A": torch.as_tensor(a[:50]).float()}, num_samples=20, seed=0)
    assert bool((same["C"] == torch.as_tensor(c[:50])).all()) and bool((same["D"] == torch.as_tensor(d[:50])).all())


def test_tables_come_back_from_files_and_files_of_before_have_none(tmp_path):
    rng = np.random.default_rng(4)
    a = rng.integers(0, 3, 300)
    data = {"A": a, "B": (a == 1).astype(int) ^ (rng.random(300) < 0.2)}
    model = CausalFlow(CausalGraph(["A", "B"], [("A", "B")]), {"A": Categorical(3), "B": Binary()})
    fit(model, data, seed=0, progress=False)
    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    cells = {"A": torch.arange(3)}
    assert torch.equal(shares(again.nodes["B"], cells), shares(model.nodes["B"], cells))
    old = {name: t for name, t in model.state_dict().items() if not name.endswith(("table", "tabled"))}
    model.load_state_dict(old)
    assert not model.nodes["B"].settled


def test_missing_values_are_filled_before_they_are_counted():
    """Y, of probability 1/2, is missing in 80% of the units with X = 1: P(Y) from complete units would be .65."""
    rng = np.random.default_rng(5)
    x = rng.integers(0, 2, 4000)
    y = (rng.random(4000) < np.where(x == 1, 0.2, 0.8)).astype(float)
    y[(x == 1) & (rng.random(4000) < 0.8)] = np.nan
    model = CausalFlow(CausalGraph(["X", "Y"], [("X", "Y")]), {"X": Binary(), "Y": Binary()})
    fit(model, {"X": x, "Y": y}, steps=60, seed=0, progress=False)
    drawn = sample(model, 40_000, seed=0)["Y"].mean()
    assert abs(float(drawn) - 0.5) < 0.04  # 4 standard errors, of the 400 units that tell of X = 1 most of all


def test_a_real_parent_leaves_no_table():
    node = BernoulliNode()
    node.connect({"X": Continuous(), "A": Binary()})
    assert node.table is None and not node.settled
