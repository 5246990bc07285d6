"""What an effect comes to: a number, or one for each subgroup, grid point or unit, with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd
    import torch

    Ends = tuple[torch.Tensor, torch.Tensor]

SHOWN = 10  # entries of a vector that its repr lists
LARGE = 1e4  # values from which on all digits before the point are shown
EDGE = 1e-3  # a probability nearer to 0 or 1 counts as so near, where its logit is taken
FALSE_ALARMS = 0.05  # share outside of the support, in a world, that is not worth a word; of data it is under 0.01,
# and an intervention makes more of the units that the data have few of


class Identified(Protocol):
    """What a query comes to in the distribution of the data: an ``Estimand``.

    Example:
        >>> from causal_pyro_models import CausalGraph, identify
        >>> found: Identified = identify(CausalGraph.from_edges([("X", "Y")]), "P(Y | do(X))")
        >>> print(found.query, "=", found.text())
        P(Y | do(X)) = P(y | x)
    """

    @property
    def query(self) -> object:
        """What was asked."""

    def text(self) -> str:
        """The expression that it equals."""


@dataclass(frozen=True)
class Basis:
    """What an answer rests on.

    Attributes:
        query: what was asked, as a query of the data's graph.
        estimands: what it equals in the distribution of the data; empty where it is not identifiable.
        witness: the hedge or the conflict that stands in the way; None where it is identifiable.
        reason: the same in words.
        undecided: whether neither can be told, as of some policies.

    Example:
        >>> from causal_pyro_models import CausalGraph, identify
        >>> found = identify(CausalGraph.from_edges([("Z", "X"), ("Z", "Y"), ("X", "Y")]), "P(Y | do(X))")
        >>> print(Basis("P(Y | do(X))", (found,)))
        identified from the data: P(Y | do(X)) = sum_z P(y | x, z) P(z)
        >>> Basis("P(Y | do(X))", reason="X and Y have a hidden common cause.").identified
        False
    """

    query: str
    estimands: tuple[Identified, ...] = ()
    witness: object = None
    reason: str = ""
    undecided: bool = False

    @property
    def identified(self) -> bool:
        """Whether data determine the answer, without the form of the model's distributions."""
        return bool(self.estimands)

    def __str__(self) -> str:
        if self.identified:
            return "identified from the data: " + "; ".join(
                f"{estimand.query} = {estimand.text()}" for estimand in self.estimands
            )
        if self.undecided:
            return f"whether the data alone determine it cannot be told: {self.reason}"
        return f"rests on the form of the model, the data alone do not determine it: {self.reason}"


class Scale:
    """The scale on which the error of a number is symmetric: the number's own, or one that ``line`` takes it to.

    Example:
        >>> import torch
        >>> low, high = LOGIT.ends(torch.tensor(0.9), torch.tensor(0.1))
        >>> f"{low:.2f} to {high:.2f}"
        '0.75 to 0.96'
    """

    def line(self, value: torch.Tensor) -> torch.Tensor:
        """From the number to the real line."""
        return value

    def back(self, point: torch.Tensor) -> torch.Tensor:
        """The inverse of ``line``."""
        return point

    def slope(self, value: torch.Tensor) -> torch.Tensor:
        """The derivative of ``line``."""
        return value.new_ones(())

    def ends(self, value: torch.Tensor, margin: torch.Tensor) -> Ends:
        """The interval of a value, from its margin on its own scale (such as two standard errors)."""
        width = margin * self.slope(value)
        return self.about(value, width, width)

    def about(self, value: torch.Tensor, below: torch.Tensor, above: torch.Tensor) -> Ends:
        """The interval of a value, from margins on the real line; the value is in it."""
        centre = self.line(value)
        return self.back(centre - below).minimum(value), self.back(centre + above).maximum(value)


class _Log(Scale):
    """Of ratios."""

    def line(self, value: torch.Tensor) -> torch.Tensor:
        return value.log()

    def back(self, point: torch.Tensor) -> torch.Tensor:
        return point.exp()

    def slope(self, value: torch.Tensor) -> torch.Tensor:
        return 1 / value


class _Logit(Scale):
    """Of probabilities, which are kept off 0 and 1."""

    def line(self, value: torch.Tensor) -> torch.Tensor:
        return value.clamp(EDGE, 1 - EDGE).logit()

    def back(self, point: torch.Tensor) -> torch.Tensor:
        return point.sigmoid()

    def slope(self, value: torch.Tensor) -> torch.Tensor:
        return 1 / (value * (1 - value)).clamp(min=EDGE)


class _Difference(Scale):
    """Of two probabilities."""

    def about(self, value: torch.Tensor, below: torch.Tensor, above: torch.Tensor) -> Ends:
        low, high = super().about(value, below, above)
        return low.clamp(min=-1.0), high.clamp(max=1.0)


LINE, LOG, LOGIT, DIFFERENCE = Scale(), _Log(), _Logit(), _Difference()


@dataclass(frozen=True)
class Doubt:
    """What the interval of an answer accounts for.

    Attributes:
        data: whether the doubt of the data is in it.
        posterior: whether that of what was not observed of the units is.
        simulation: whether the error of the simulation is.
        fitted: the class of the model that was learned from data; empty for a program as it was written.
        refits: to random halves of the data, whose spread is the doubt of the data.

    Example:
        >>> print(Doubt(simulation=True, fitted="CausalFlow"))
        of the simulation alone, that of the data is not in it: fit with refits=12
        >>> print(Doubt(data=True, simulation=True, fitted="CausalFlow", refits=12))
        of the data (12 refits to random halves) and of the simulation
    """

    data: bool = False
    posterior: bool = False
    simulation: bool = False
    fitted: str = ""
    refits: int = 0

    @property
    def complete(self) -> bool:
        """Whether nothing is left out: a program as it was written leaves no doubt of data."""
        return self.data or not self.fitted

    @property
    def sources(self) -> tuple[str, ...]:
        """What is in it, of "data", "posterior" and "simulation"."""
        return tuple(name for name in ("data", "posterior", "simulation") if getattr(self, name))

    def __str__(self) -> str:
        refits = f" ({self.refits} refits to random halves)" if self.refits else ""
        named = {"data": f"the data{refits}", "posterior": "what was not observed of the units"}
        told = " and ".join(f"of {named.get(name, f'the {name}')}" for name in self.sources)
        return told if self.complete else f"{told} alone, that of the data is not in it: fit with refits=12"


@dataclass(frozen=True)
class Support:
    """How much of what an answer asks of a learned model lies outside the joint support of its data.

    Attributes:
        share: of the units in the worlds that an intervention makes, those in which a mechanism is asked for what the
            data do not show.
        shares: the same for each world, in the order of its interventions: of a curve, for each of its points.
        mechanisms: the same for each mechanism, such as "Y given X, Z".
        nearest: for each variable that is set to a value beyond the data, the nearest one that these have, or its
            label.
        notes: what the data cannot tell apart on the way from treatment to outcome.

    Example:
        >>> print(Support(0.12, (0.0, 0.24), {"Y given X, Z": 0.12}, {"X": 2.9}))
        12% of what is asked lies outside the support of the data (Y given X, Z); the nearest supported X is 2.9
    """

    share: float
    shares: tuple[float, ...] = ()
    mechanisms: Mapping[str, float] = field(default_factory=dict)
    nearest: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def left(self) -> bool:
        """Whether more is asked outside, in some world, than chance explains."""
        return max(self.shares, default=self.share) > FALSE_ALARMS

    def __str__(self) -> str:
        parts = list(self.notes)
        if self.left:
            most = max(self.mechanisms.values(), default=0.0)
            where = "; ".join(name for name, share in self.mechanisms.items() if share >= 0.5 * most > 0.0)
            share = f"{100 * self.share:.{int(self.share < 0.1)}f}%"
            text = f"{share} of what is asked lies outside the support of the data"
            shown = {n: f"{v:.12g}" if isinstance(v, int | float) else str(v) for n, v in self.nearest.items()}
            nearest = [f"the nearest supported {name} is {value}" for name, value in shown.items()]
            parts.append("; ".join([f"{text} ({where})" if where else text, *nearest]))
        return "\n  ".join(parts)


@dataclass(frozen=True, eq=False)
class Estimate:
    """An effect with its uncertainty.

    Its ``doubt`` says what of it the interval holds. Where the effect is a number that simulation approaches (an effect
    in the population of a fixed model), that is the Monte Carlo error. Where there is a posterior (evidence on units,
    or population-level parameters), it is the posterior's: standard deviation and quantiles. Of a model that was fitted
    with refits it is the doubt of the data as well.

    Attributes:
        name: what was estimated.
        value: a scalar, or ``(n,)`` with one entry for each label.
        standard_error: of the same shape.
        interval: lower and upper end, each of the same shape.
        level: the probability of the interval.
        draws: of equal weight, ``(draws,)`` or ``(draws, n)``: posterior draws of the effect, or the effects of
            simulated units (for a ratio of means its linearisation). Where they were resampled by importance weights,
            the value is more precise than their mean. Of a model with refits: their values.
        bounds: lower and upper bound over all couplings of the noise that the model's own distributions allow; None
            where the effect does not depend on the coupling, or no bounds are known.
        over: what the labels are values of; None for a scalar.
        labels: one for each entry of the value.
        basis: what the answer rests on, identification from data or the form of the model; None where no graph of the
            data was given.
        doubt: what the interval accounts for; by default the data.
        scale: on which the error is symmetric.


        support: how much of what was asked lies outside the support of the data; None for a program that was not
            learned from data.

    Example:
        >>> import torch
        >>> Estimate("ate", torch.tensor(0.5012), torch.tensor(0.0103), (torch.tensor(0.481), torch.tensor(0.5214)))
        ate = 0.501 ± 0.010 (95% interval 0.481 to 0.521)
    """

    name: str
    value: torch.Tensor
    standard_error: torch.Tensor
    interval: tuple[torch.Tensor, torch.Tensor]
    level: float = 0.95
    draws: torch.Tensor | None = None
    bounds: tuple[torch.Tensor, torch.Tensor] | None = None
    over: str | None = None
    labels: tuple[Any, ...] = ()
    basis: Basis | None = None
    doubt: Doubt = Doubt(data=True)
    scale: Scale = LINE
    support: Support | None = None

    def __repr__(self) -> str:
        rows = self._rows()
        footer = [f"  {self.basis}"] if self.basis else []
        if self.doubt.fitted:
            form = ", given that form" if self.basis and not self.basis.identified else ""
            footer.append(f"  estimated by {self.doubt.fitted}; the doubt is {self.doubt}{form}")
        footer += [f"  {self.support}"] if self.support and str(self.support) else []
        if self.over is None:
            return "\n".join([f"{self.name} = {self._text(rows[0])}", *footer])
        labels = _shown([row["label"] for row in rows])
        lines = [
            f"  {self.over} = {label}: {self._text(row)}" for label, row in zip(labels, rows[:SHOWN], strict=False)
        ]
        more = [f"  ... {len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
        return "\n".join([f"{self.name} by {self.over}:", *lines, *more, *footer])

    def _rows(self) -> list[dict[str, Any]]:
        columns = {
            "value": self.value,
            "standard_error": self.standard_error,
            "lower": self.interval[0],
            "upper": self.interval[1],
        }
        if self.bounds is not None:
            columns |= {"bound_lower": self.bounds[0], "bound_upper": self.bounds[1]}
        table = {name: column.reshape(-1).tolist() for name, column in columns.items()}
        if self.over is not None:
            table = {"label": list(self.labels), **table}
        return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]

    def _text(self, row: dict[str, Any]) -> str:
        """A line for one entry, its numbers to the second significant digit of the standard error."""
        value, error = row["value"], row["standard_error"]
        digits = ".4g"
        if error > 1e-6 * abs(value) or (error > 0 and abs(value) >= LARGE):
            digits = f".{max(0, 1 - math.floor(math.log10(error)))}f"
        number = {name: f"{x:{digits}}" for name, x in row.items() if name not in ("label", "standard_error")}
        if self.doubt.complete:
            text = f"{number['value']} ± {error:{digits}} ({100 * self.level:g}% interval "
            text += f"{number['lower']} to {number['upper']})"
        else:
            text = f"{number['value']} ± {error:{digits}} of the {' and '.join(self.doubt.sources)} alone"
        if self.bounds is not None:
            text += f", from {number['bound_lower']} to {number['bound_upper']} over all couplings"
        return text

    def to_dataframe(self) -> pd.DataFrame:
        """A row for each label (one for a scalar): value, standard error, ends of the interval, bounds if any.

        The column ``doubt`` says what the standard error and the interval account for.
        """
        import pandas as pd

        frame = pd.DataFrame(self._rows()).rename(columns={"label": self.over})
        return frame.assign(doubt=" and ".join(self.doubt.sources))


def _shown(labels: Sequence[Any]) -> list[str]:
    """Labels as text, numbers with as many digits as tell them apart."""
    for digits in ("g", ".9g", ".12g", ".17g"):
        texts = [f"{label:{digits}}" if isinstance(label, float) else str(label) for label in labels]
        if len(set(texts)) == len(set(labels)):
            break
    return texts
