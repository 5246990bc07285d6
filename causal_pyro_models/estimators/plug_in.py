"""The plug-in estimate: the frequencies of discrete data in place of the distribution."""

from typing import TYPE_CHECKING

import numpy as np

from causal_pyro_models.arrays import Array, Ints
from causal_pyro_models.estimators.uncertainty import Statistic
from causal_pyro_models.identification.estimand_values import JointTables, Quantity
from causal_pyro_models.identification.laws.joint_table import JointTable

if TYPE_CHECKING:
    import pandas as pd


class PlugIn(Statistic):
    """A quantity with the frequencies of discrete data in place of the distribution.

    Args:
        data: a row for each unit.
        quantity: what is asked.
    """

    def __init__(self, data: "pd.DataFrame", quantity: Quantity) -> None:
        table = JointTable.from_dataframe(data, sorted(quantity.names))
        self.size, self.quantity, self.states = len(data), quantity, table.states
        codes = [np.searchsorted(np.asarray(table.states[name]), data[name].to_numpy()) for name in table.names]
        self.columns, self.shape = table.names, table.probabilities.shape
        self.cells: Ints = np.ravel_multi_index(codes, self.shape)

    def value(self, rows: Ints) -> float:
        """The number on some of the rows."""
        law = np.bincount(self.cells[rows], minlength=int(np.prod(self.shape))) / len(rows)
        return self._on(law)

    def _on(self, law: Array) -> float:
        table = JointTable(self.columns, law.reshape(self.shape), self.states)
        return JointTables.of(table, self.quantity.names).value(self.quantity)

    def influence(self) -> Array:
        """The derivative towards each row's cell: (f((1 - h) p + h cell) - f((1 + h) p - h cell)) / 2h."""
        law = np.bincount(self.cells, minlength=int(np.prod(self.shape))) / self.size
        slopes = np.zeros_like(law)
        for cell in np.flatnonzero(law):
            h = 1e-4 * law[cell]
            there = np.eye(1, law.size, int(cell))[0]
            slopes[cell] = (self._on(law + h * (there - law)) - self._on(law - h * (there - law))) / (2 * h)
        return slopes[self.cells]
