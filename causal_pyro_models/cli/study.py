"""What a run works on: the rows, the model fitted to them with its refits, and what is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from causal_pyro_models.data import Binary, Labelled, Variable
from causal_pyro_models.data.batches import Values
from causal_pyro_models.data.coded import codes
from causal_pyro_models.data.labels import Label
from causal_pyro_models.errors import QueryError, unheard
from causal_pyro_models.graph import CausalGraph
from causal_pyro_models.models import AdditiveNoiseModel, CausalFlow, Linear
from causal_pyro_models.training.fitting import fit
from causal_pyro_models.training.loop import FitResult
from causal_pyro_models.validation import checked_count

if TYPE_CHECKING:
    import pandas as pd

HELD_OUT = 0.2
LEVEL = 0.95  # of intervals
SIMULATED = 4_000  # units for each model, wherever an average is simulated

Levels = Mapping[str, Label]


@dataclass(frozen=True)
class Request:
    """What is asked.

    Attributes:
        do: variable -> value it is set to.
        control: the same for the world to compare with; empty for none but the regime as observed.
        outcomes: the variables asked about.
    """

    do: Levels
    control: Levels
    outcomes: Sequence[str]


@dataclass(frozen=True)
class Settings:
    """How a model is fitted.

    Attributes:
        steps: training steps.
        refits: how many times the model is fitted again to a random half.
        seed: of everything random.

    Raises:
        QueryError: no steps, fewer than two refits, or a seed that is none.
    """

    steps: int
    refits: int
    seed: int

    def __post_init__(self) -> None:
        checked_count(self.steps, "--steps")
        checked_count(self.refits, "--refits", least=2)
        if not 0 <= self.seed < 2**32:
            raise QueryError(f"--seed must be an integer from 0 to 2**32 - 1, got {self.seed}.")


@dataclass(frozen=True)
class Study:
    """A fitted model and the rows behind it.

    Attributes:
        model: the flow, with its refits.
        result: how its training went.
        baseline: the linear model of the same graph, fitted to the same rows.
        train, held_out: the rows, as they stand in the table.
        seed: of everything random.
        row: what a row is called.
        unit: of measurement, for axes.
    """

    model: CausalFlow
    result: FitResult
    baseline: AdditiveNoiseModel
    train: pd.DataFrame
    held_out: pd.DataFrame
    seed: int
    row: str
    unit: str

    @property
    def variables(self) -> dict[str, Variable]:
        return self.model.variables

    @property
    def refits(self) -> tuple[CausalFlow, ...]:
        """Of the model, to random halves of the rows that it was fitted to."""
        return cast("tuple[CausalFlow, ...]", self.model.refits)

    @cached_property
    def seen(self) -> dict[str, torch.Tensor]:
        """The training rows as the model reads them."""
        return self.model.encode(self.train).values

    @cached_property
    def unseen(self) -> dict[str, torch.Tensor]:
        """The held-out rows as the model reads them."""
        return self.model.encode(self.held_out).values


def label(variable: Variable, value: Label) -> str:
    """A value as it stands in the table."""
    return str(value) if isinstance(variable, Labelled) else f"{value:.12g}"


def shown(do: Levels, variables: Mapping[str, Variable]) -> str:
    """An intervention as the user would write it."""
    return "do(" + ", ".join(f"{name} = {label(variables[name], value)}" for name, value in do.items()) + ")"


def reached(study: Study, question: Request) -> list[str]:
    """The outcomes that the intervention can change."""
    below = study.model.graph.descendants(question.do)
    return [name for name in question.outcomes if name in below]


def fit_study(
    graph: CausalGraph,
    variables: Mapping[str, Variable],
    data: pd.DataFrame,
    settings: Settings,
    row: str = "row",
    unit: str = "",
) -> Study:
    """Hold a fifth of the rows out; fit the flow, its refits and the linear baseline to the others."""
    order = np.random.default_rng(settings.seed).permutation(len(data))
    cut = round(HELD_OUT * len(data))
    held_out, train = data.iloc[np.sort(order[:cut])], data.iloc[np.sort(order[cut:])]
    model = CausalFlow(graph, variables)
    result = fit(model, train, steps=settings.steps, refits=settings.refits, seed=settings.seed)
    baseline = AdditiveNoiseModel(graph, variables, Linear())
    with unheard():
        baseline.initialise(baseline.begin(train))
    return Study(model, result, baseline, train, held_out, settings.seed, row, unit)


@dataclass(frozen=True)
class Event:
    """Something with a mean: a variable that is a number, or whether one has a certain label.

    Attributes:
        text: how it is called in a report.
        name: the variable.
        code: of the label; None for the variable itself.
    """

    text: str
    name: str
    code: int | None = None

    @property
    def average(self) -> str:
        """What its mean is called."""
        return f"mean of {self.text}" if self.code is None else self.text

    @property
    def outcome(self) -> str | dict[str, torch.Tensor]:
        """The same for ``ate`` and its like."""
        return self.name if self.code is None else {self.name: torch.tensor(self.code)}

    def read(self, values: Values) -> torch.Tensor:
        """The number that is averaged, of the shape of the variable."""
        value = codes(values[self.name]).double()
        return value if self.code is None else (value == self.code).double()


def events(names: Iterable[str], variables: Mapping[str, Variable]) -> list[Event]:
    """What can be averaged of some variables: of a binary one its second label, of a categorical one each label."""
    found = []
    for name in names:
        kind = variables[name]
        if isinstance(kind, Labelled):
            asked = (1,) if isinstance(kind, Binary) else range(kind.k)
            found += [Event(f"P({name} = {kind.labels[i]})", name, i) for i in asked]
        else:
            found.append(Event(name, name))
    return found
