"""The bundled cells are the published ones."""

import numpy as np
import pytest

from causal_pyro_models.datasets import sachs
from causal_pyro_models.errors import UnknownVariableError

PUBLISHED = (853, 902, 911, 723, 810, 799, 848, 913, 707)


@pytest.fixture(scope="module")
def cells():
    return sachs()


def test_sizes_are_the_published_ones(cells):
    assert cells.data.shape == (7466, 12)
    assert tuple(cells.conditions["cells"]) == PUBLISHED
    assert [len(cells.under(c)) for c in cells.conditions.index] == list(PUBLISHED)
    assert len(cells.observational) == 853 + 902


def test_values_are_logarithms_of_positive_fluorescence(cells):
    values = cells.data.drop(columns="condition").to_numpy()
    assert np.isfinite(values).all()
    assert values.min() == 0.0
    assert np.exp(values[0, 0]) == pytest.approx(26.4)


def test_graph_has_seventeen_edges_over_the_columns(cells):
    assert len(cells.graph.edges) == 17
    assert list(cells.graph.variables) == list(cells.observational.columns)
    assert set(cells.graph.parents("Mek")) == {"Raf", "PKC", "PKA"}
    assert set(cells.conditions["target"].dropna()) <= set(cells.graph.variables)


def test_medians_show_the_known_effects(cells):
    """U0126 blocks the activity of Mek: its phosphorylated form rises while Erk falls; psitectorigenin lowers PIP2."""
    base = cells.under("cd3cd28").median()
    assert cells.under("cd3cd28_u0126")["Mek"].median() > base["Mek"]
    assert cells.under("cd3cd28_u0126")["Erk"].median() < base["Erk"]
    assert cells.under("cd3cd28_psitect")["PIP2"].median() < base["PIP2"]


def test_frames_handed_out_are_copies(cells):
    frame = cells.under("pma")
    frame.loc[:, "Raf"] = -1.0
    assert (cells.data["Raf"] >= 0).all()


def test_unknown_condition_is_named(cells):
    with pytest.raises(UnknownVariableError, match="Did you mean 'pma'"):
        cells.under("pmaa")
