"""The section of a report on what would have been for single rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import torch

from causal_pyro_models.cli.report import Report, between, digits_for, number
from causal_pyro_models.cli.study import Event, Request, Study, events, reached, shown
from causal_pyro_models.data import Continuous
from causal_pyro_models.inference.draws import Draws, Noise, Worlds
from causal_pyro_models.inference.prediction import worlds
from causal_pyro_models.plots import plot_counterfactual

Answer = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # values and ends of their intervals, ``(rows,)`` each
Answers = Mapping[str, Mapping[Event, Answer]]  # by world

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
    whole = worlds(study.model, evidence, actions, num_samples=20 * draws, seed=study.seed)
    refits = study.ensemble.worlds(evidence, actions, draws, study.seed)
    asked = events(reached(study, question), study.variables)
    report.heading(f"What would have been, for single {study.row}s?")
    if not asked:
        report.text(f"Every {study.row} would have the outcomes that it has, since the graph has no path to them.")
        return refits
    report.text(_introduction(study))
    was = {event: event.read(evidence) for event in asked}
    answers = {
        world: {event: _answer(study, event, whole[world], refits[world], draws) for event in asked} for world in do
    }
    for event in asked:
        digits = digits_for(float(event.read(study.seen).std())) if event.code is None else 2
        lines = []
        for i, name in enumerate(rows.index):
            told = []
            for world in do:
                value, low, high = (float(end[i]) for end in answers[world][event])
                told.append(between(value, low, high, digits))
            lines.append([name, number(float(was[event][i]), digits), *told])
        report.table([event.text, FACTUAL, *do], lines)
    _figure(study, [str(name) for name in rows.index], answers, was, report)
    return refits


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


def _answer(study: Study, event: Event, whole: Draws, refits: Draws, draws: int) -> Answer:
    """The value of each row and the ends of its interval.

    The uncertainty of a probability is that between refits; that of a number includes the noise left open.
    """
    values = event.read(whole)
    each = event.read(refits).reshape(-1, draws, values.shape[-1]).mean(1)
    value, spread = values.mean(0), values.std(0)
    margin = study.ensemble.margin(each, spread if event.code is None else spread / len(values) ** 0.5)
    low, high = value - margin, value + margin
    return (value, low, high) if event.code is None else (value, low.clamp(min=0.0), high.clamp(max=1.0))


@dataclass(frozen=True, eq=False)
class _Told(Draws):
    """Values with intervals that are known already: the three draws of a site are the value and both ends."""

    def mean(self, name: str) -> torch.Tensor:
        return self[name][0]

    def interval(self, name: str, level: float = 0.95) -> tuple[torch.Tensor, torch.Tensor]:
        return self[name][1], self[name][2]


def _figure(study: Study, names: list[str], answers: Answers, was: dict[Event, torch.Tensor], report: Report) -> None:
    """The tables as a picture."""
    sites = {event.text: 0 for event in was}
    drawn = {FACTUAL: Draws({event.text: value for event, value in was.items()}, sites)}
    for world, answer in answers.items():
        drawn[world] = _Told({event.text: torch.stack(answer[event]) for event in was}, sites, 3)
    figure = plot_counterfactual(
        Worlds(drawn, Noise({}, {})), FACTUAL, unit=range(len(names)), units=study.unit, unit_names=names
    )
    report.figure(figure, "single_rows", f"Single {study.row}s: as they were, and as they would have been.")
