"""Protein signalling in single cells, observed and under nine reagents."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from causal_pyro_models.errors import unknown_variable
from causal_pyro_models.graph import CausalGraph

if TYPE_CHECKING:
    import pandas as pd

PROTEINS = ("Raf", "Mek", "PLCg", "PIP2", "PIP3", "Erk", "Akt", "PKA", "PKC", "P38", "Jnk")

_CHILDREN = {
    "PLCg": ("PIP2", "PKC"),
    "PIP3": ("PLCg", "PIP2"),
    "PIP2": ("PKC",),
    "PKC": ("Raf", "Mek", "Jnk", "P38"),
    "PKA": ("Raf", "Mek", "Erk", "Akt", "Jnk", "P38"),
    "Raf": ("Mek",),
    "Mek": ("Erk",),
}

# condition: reagent, measured variable it acts on, kind of its action
_CONDITIONS = {
    "cd3cd28": ("anti-CD3/CD28", None, "stimulation"),
    "cd3cd28_icam2": ("anti-CD3/CD28 + ICAM-2", None, "stimulation"),
    "cd3cd28_aktinhib": ("anti-CD3/CD28 + AKT inhibitor", "Akt", "activity inhibited"),
    "cd3cd28_g0076": ("anti-CD3/CD28 + G06976", "PKC", "activity inhibited"),
    "cd3cd28_psitect": ("anti-CD3/CD28 + psitectorigenin", "PIP2", "level lowered"),
    "cd3cd28_u0126": ("anti-CD3/CD28 + U0126", "Mek", "activity inhibited"),
    "cd3cd28_ly": ("anti-CD3/CD28 + LY294002", "Akt", "activity inhibited"),
    "pma": ("PMA", "PKC", "activated"),
    "b2camp": ("beta2cAMP", "PKA", "activated"),
}


@dataclass(frozen=True, eq=False)
class Sachs:
    """The cells, what was done to them, and the graph that the literature agrees on.

    Attributes:
        data: one row per cell, the natural logarithm of each protein's fluorescence, and the column ``condition``.
        conditions: by condition, the ``reagent``, the measured variable it acts on (``target``, missing for a
            stimulation of the whole pathway), the ``kind`` of its action and the number of ``cells``. An inhibitor
            of *activity* does not set the measured level: phospho-Mek rises under U0126 while Erk falls.
        graph: the consensus graph, 17 edges.

    Example:
        >>> cells = sachs()
        >>> cells.under("cd3cd28_u0126").shape[1], len(cells.graph.edges)
        (11, 17)
    """

    data: pd.DataFrame
    conditions: pd.DataFrame
    graph: CausalGraph

    @property
    def observational(self) -> pd.DataFrame:
        """The 1,755 cells whose pathway was only stimulated (conditions ``cd3cd28`` and ``cd3cd28_icam2``)."""
        stimulated = self.conditions.index[self.conditions["kind"] == "stimulation"]
        return self._rows(self.data["condition"].isin(stimulated))

    def under(self, condition: str) -> pd.DataFrame:
        """The cells of one condition, without the column ``condition``.

        Raises:
            UnknownVariableError: there is no such condition.
        """
        if condition not in self.conditions.index:
            raise unknown_variable(condition, self.conditions.index, "condition")
        return self._rows(self.data["condition"] == condition)

    def _rows(self, chosen: pd.Series) -> pd.DataFrame:
        return self.data.loc[chosen, list(PROTEINS)].reset_index(drop=True)


def sachs() -> Sachs:
    """Protein signalling in 7,466 human T cells: 11 proteins under nine conditions, on the logarithmic scale.

    The graph is the consensus of the literature with 17 edges. Sources differ: some add PIP3 -> Akt, and the network
    inferred in the article has PKC -> PKA and Erk -> Akt. ``data/sachs/README.md`` beside this module tells the
    source, the licence and the differences.

    References:
        K. Sachs, O. Perez, D. Pe'er, D. A. Lauffenburger, G. P. Nolan (2005). Causal protein-signaling networks
        derived from multiparameter single-cell data. Science 308:523-529.

    Example:
        >>> cells = sachs()
        >>> cells.data.shape, cells.observational.shape
        ((7466, 12), (1755, 11))
        >>> cells.conditions.loc["cd3cd28_psitect", "target"]
        'PIP2'
    """
    import numpy as np
    import pandas as pd

    source = files("causal_pyro_models.datasets") / "data" / "sachs" / "sachs.csv.gz"
    with source.open("rb") as file:
        data = pd.read_csv(file, compression="gzip")[[*PROTEINS, "condition"]]
    data[list(PROTEINS)] = np.log(data[list(PROTEINS)])
    conditions = pd.DataFrame.from_dict(_CONDITIONS, orient="index", columns=["reagent", "target", "kind"])
    conditions["cells"] = data["condition"].value_counts()
    conditions.index.name = "condition"
    edges = [(parent, child) for parent, children in _CHILDREN.items() for child in children]
    return Sachs(data, conditions, CausalGraph(PROTEINS, edges))
