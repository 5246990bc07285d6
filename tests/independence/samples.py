"""Graphs, and samples of laws of discrete variables."""

import numpy as np
import pandas as pd

from causal_pyro_models.graph import CausalGraph

VERMA = CausalGraph(["A", "B", "C", "D"], [("A", "B"), ("B", "C"), ("C", "D")], [("B", "D")])
CHAIN = CausalGraph.from_edges([("X", "M"), ("M", "Y")])


def draw(law, names, n, rng):
    cells = rng.choice(law.size, size=n, p=law.ravel())
    return pd.DataFrame(np.stack(np.unravel_index(cells, law.shape), 1), columns=list(names))
