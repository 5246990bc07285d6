"""The plug-in estimate: the frequencies of discrete data in place of the distribution."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from causal_pyro_models.arrays import Array, Ints
from causal_pyro_models.errors import DataError
from causal_pyro_models.estimators.uncertainty import Statistic
from causal_pyro_models.identification.estimand_values import JointTables, Quantity, Regime, table_of
from causal_pyro_models.identification.laws.columns import is_dataframe
from causal_pyro_models.identification.laws.joint_table import Joint, JointTable, as_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class _Part:
    """One sample: the cell of each row in a table, and where its rows stand among those of all samples."""

    table: JointTable
    cells: Ints
    start: int

    @classmethod
    def of(cls, data: "pd.DataFrame", names: frozenset[str], start: int) -> "_Part":
        table = JointTable.from_dataframe(data, sorted(names))
        codes = [np.searchsorted(np.asarray(table.states[name]), data[name].to_numpy()) for name in table.names]
        return cls(table, np.ravel_multi_index(codes, table.probabilities.shape), start)

    @property
    def law(self) -> Array:
        return self.table.probabilities.ravel()

    def table_with(self, law: Array) -> JointTable:
        return JointTable(self.table.names, law.reshape(self.table.probabilities.shape), self.table.states)

    def resampled(self, rows: Ints) -> JointTable:
        """The frequencies among those of some rows of all samples that are of this one."""
        own = rows[(rows >= self.start) & (rows < self.start + len(self.cells))] - self.start
        if not len(own):
            raise DataError("a bootstrap sample has no rows of one of the tables: give it more rows.")
        return self.table_with(np.bincount(self.cells[own], minlength=self.law.size) / len(own))


class PlugIn(Statistic):
    """A quantity with the frequencies of discrete data in place of the distribution.

    Args:
        data: a row for each unit; or a law for each domain and experiment, exact or a sample of its own. The rows of
            all samples, one after another, are those of the statistic.
        quantity: what is asked.
    """

    def __init__(self, data: "pd.DataFrame | Mapping[Regime, Joint]", quantity: Quantity) -> None:
        laws = data if isinstance(data, Mapping) else {("", frozenset[str]()): data}
        self.quantity, self.size = quantity, 0
        self.parts: dict[Regime, _Part] = {}
        self.exact: dict[Regime, JointTable] = {}
        for regime, names in quantity.reads.items():
            law = table_of(laws, regime)
            if is_dataframe(law):
                self.parts[regime] = _Part.of(law, names, self.size)
                self.size += len(law)
            else:
                self.exact[regime] = as_table(law, names)
        if not self.parts:  # a number that no data change, such as zero
            self.size = sum(len(law) for law in laws.values() if is_dataframe(law))

    def value(self, rows: Ints) -> float:
        """The number on some of the rows."""
        return self._on({regime: part.resampled(rows) for regime, part in self.parts.items()})

    def _on(self, tables: Mapping[Regime, JointTable]) -> float:
        return JointTables({**self.exact, **tables}, self.quantity).value(self.quantity)

    def influence(self) -> Array:
        """The derivative towards each row's cell: (f((1 - h) p + h cell) - f((1 + h) p - h cell)) / 2h.

        A row counts for more in a small sample than in a large one.
        """
        tables = {regime: part.table for regime, part in self.parts.items()}
        found = []
        for regime, part in self.parts.items():
            law, slopes = part.law, np.zeros(part.law.size)
            for cell in np.flatnonzero(law):
                h = 1e-4 * law[cell]
                there = np.eye(1, law.size, int(cell))[0]
                ends = (part.table_with(law + step * (there - law)) for step in (h, -h))
                high, low = (self._on({**tables, regime: end}) for end in ends)
                slopes[cell] = (high - low) / (2 * h)
            found.append(slopes[part.cells] * (self.size / len(part.cells)))
        return np.concatenate(found) if found else np.zeros(self.size)
