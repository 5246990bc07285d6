"""What bounds from data are in doubt of, and what data say against the graph."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy import stats

from causal_pyro_models.arrays import Array
from causal_pyro_models.errors import CausalError
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.identification.bounding.knowledge import STRETCH
from causal_pyro_models.identification.implications import Independence, local_independences
from causal_pyro_models.identification.laws.joint_table import JointTable
from causal_pyro_models.validation import checked_count, checked_level

Ends = tuple[float, float]
EXACT = 1e-9  # mutual information, in nats, that rounding explains
ALARM = 0.01  # the least p-value of all independences of a sample, by Holm, that says nothing


@dataclass(frozen=True)
class Sampling:
    """How an interval is made of resamples.

    Attributes:
        level: the probability that it holds both bounds.
        replicates: how many resamples; 0 for no interval.
        seed: of the resamples.
    """

    level: float = 0.95
    replicates: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        checked_level(self.level)
        checked_count(self.replicates, "replicates", 0)


def resampled_interval(ends: Ends, again: Callable[[np.random.Generator], Ends], sampling: Sampling) -> Ends | None:
    """An interval that holds both bounds with the given probability; None where most resamples fit no model.

    Bounds are the least and the greatest of several functions of the law, so that a sample's are too near each other
    where these functions are nearly equal, and those of resamples nearer still. Each end is moved out by twice that
    difference, and by the spread of the resamples. Resamples that are ``STRETCH`` times as far off as those of a
    bootstrap meet more of the functions that nearly are the least; what they move by is divided by it.

    References:
        Hong and Li (2018), The numerical delta method; Kreider and Pepper (2007), Disability and employment:
        reevaluating the evidence in light of reporting errors (the correction for the bias of least and greatest).
    """
    rng = np.random.default_rng(sampling.seed)
    draws = []
    for _ in range(sampling.replicates):
        try:
            draws.append(again(rng))
        except CausalError:  # a resample that no model of the graph has, or that lacks a value
            continue
    if len(draws) < 2 or len(draws) < sampling.replicates / 2:
        return None
    found = np.array(draws)
    spread = NormalDist().inv_cdf((1.0 + sampling.level) / 2.0) * found.std(0, ddof=1)
    margins = (2.0 * np.abs(found.mean(0) - ends) + spread) / STRETCH
    return float(ends[0] - margins[0]), float(ends[1] + margins[1])


def broken_independences(graph: CausalGraph, table: JointTable, size: int | None) -> tuple[str, ...]:
    """The independences of the graph that a law does not have: beyond rounding, or beyond the chance of a sample.

    Args:
        graph: the causal graph.
        table: the law, or the frequencies of a sample.
        size: the number of rows of the sample; None for a law.
    """
    found = [(i, *_dependence(table, i)) for i in local_independences(graph)]
    if size is None:
        return tuple(str(i) for i, information, _ in found if information > EXACT)
    tested = sorted(
        ((float(stats.chi2.sf(2.0 * size * information, dof)), i) for i, information, dof in found if dof),
        key=lambda pair: pair[0],
    )
    broken = []
    for rank, (p_value, i) in enumerate(tested):
        if p_value * (len(tested) - rank) >= ALARM:
            break
        broken.append(str(i))
    return tuple(broken)


def _dependence(table: JointTable, i: Independence) -> tuple[float, int]:
    """The mutual information of two sets of variables given a third, in nats, and its degrees of freedom."""
    groups = [[v for v in table.names if v in names] for names in (i.xs, i.ys, i.given)]
    joint = table.array([v for group in groups for v in group])
    sizes = [int(np.prod([len(table.states[v]) for v in group], dtype=int)) for group in groups]
    law: Array = joint.reshape(sizes)
    x, y, z = law.sum(1, keepdims=True), law.sum(0, keepdims=True), law.sum((0, 1), keepdims=True)
    seen = law > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        information = float(np.where(seen, law * np.log(law * z / (x * y)), 0.0).sum())
    rows, columns = (x[:, 0] > 0).sum(0), (y[0] > 0).sum(0)
    dof = np.where(z[0, 0] > 0, (rows - 1) * (columns - 1), 0).sum()
    return max(information, 0.0), int(dof)
