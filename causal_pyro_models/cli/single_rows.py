"""The section of a report on what would have been for single rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch

from causal_pyro_models.cli.report import Report, between, digits_for, number
from causal_pyro_models.cli.study import LEVEL, Event, Request, Study, events, reached, shown
from causal_pyro_models.data import Continuous
from causal_pyro_models.inference.draws import Draws, Noise, Worlds
from causal_pyro_models.inference.prediction import worlds
from causal_pyro_models.plots import plot_counterfactual

FACTUAL = "as it was"
DRAWS = 50  # for each refit, where the discrete variables of a row leave its noise uncertain


def exact(study: Study) -> bool:
    """Whether a row determines its noise: no variable is discrete."""
    return all(isinstance(kind, Continuous) for kind in study.variables.values())


def single_rows(study: Study, rows: pd.DataFrame, question: Request, report: Report) -> Worlds:
    """Counterfactuals of some rows: what the outcomes would have been.

    Args:
        study: the fitted model.
        rows: the rows, their names in the index.
        question: what is asked.
        report: where the section goes.

    Returns:
        The worlds in every refit, the factual one first.
    """
    draws = 1 if exact(study) else DRAWS
    do = {shown(world, study.variables): world for world in (question.do, question.control) if world}
    evidence, actions = study.model.encode(rows).values, {FACTUAL: {}, **do}
    found = worlds(study.model, evidence, actions, num_samples=draws * len(study.refits), seed=study.seed)
    asked = events(reached(study, question), study.variables)
    report.heading(f"What would have been, for single {study.row}s?")
    if not asked:
        report.text(f"Every {study.row} would have the outcomes that it has, since the graph has no path to them.")
        return found
    report.text(_introduction(study))
    was = {event: event.read(evidence) for event in asked}
    read = {world: _of_events(found[world], asked) for world in do}
    for event in asked:
        digits = digits_for(float(event.read(study.seen).std())) if event.code is None else 2
        answers = [(drawn.mean(event.text), *drawn.interval(event.text)) for drawn in read.values()]
        lines = [
            [
                name,
                number(float(was[event][i]), digits),
                *(between(float(value[i]), float(low[i]), float(high[i]), digits) for value, low, high in answers),
            ]
            for i, name in enumerate(rows.index)
        ]
        report.table([event.text, FACTUAL, *do], lines)
    _figure(study, [str(name) for name in rows.index], read, was, report)
    return found


def _introduction(study: Study) -> str:
    told = (
        f"Each mechanism is monotone in its noise, so that a {study.row}, all observed, determines its noise: for one "
        f"fitted model the answer is a single number. The 95% interval is from the refits."
        if exact(study)
        else f"The noise of continuous variables is determined by the {study.row}; that of discrete ones is drawn from "
        f"what the {study.row} leaves possible (logistic or Gumbel-max, an assumption that data cannot test). The 95% "
        f"interval of a probability is from the refits; that of a number holds the noise left open, too."
    )
    return (
        f"Abduction, action, prediction: the noise that made the {study.row} what it was is kept, the intervention is "
        f"made, and everything downstream is computed anew. {told}"
    )


@dataclass(frozen=True, eq=False)
class _Read(Draws):
    """The numbers asked for, by their texts; an interval of a probability keeps within 0 and 1."""

    probabilities: frozenset[str] = frozenset()

    def interval(self, name: str, level: float = LEVEL) -> tuple[torch.Tensor, torch.Tensor]:
        low, high = super().interval(name, level)
        return (low.clamp(min=0.0), high.clamp(max=1.0)) if name in self.probabilities else (low, high)


def _of_events(drawn: Draws, asked: Sequence[Event]) -> _Read:
    """The numbers asked for in place of the sites; of events their probability, in each refit."""
    sites = {}
    for event in asked:
        value = event.read(drawn)
        sites[event.text] = value if event.code is None or drawn.parts else value.mean(0, keepdim=True).expand_as(value)
    return _Read(
        sites,
        dict.fromkeys(sites, 0),
        drawn.num_draws,
        parts=tuple(_of_events(part, asked) for part in drawn.parts),
        probabilities=frozenset(event.text for event in asked if event.code is not None),
    )


def _figure(
    study: Study, names: list[str], read: Mapping[str, Draws], was: Mapping[Event, torch.Tensor], report: Report
) -> None:
    """The tables as a picture."""
    sites = {event.text: value for event, value in was.items()}
    drawn = {FACTUAL: Draws(sites, dict.fromkeys(sites, 0)), **read}
    figure = plot_counterfactual(
        Worlds(drawn, Noise({}, {})), FACTUAL, unit=range(len(names)), units=study.unit, unit_names=names
    )
    report.figure(figure, "single_rows", f"Single {study.row}s: as they were, and as they would have been.")
