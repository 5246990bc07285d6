"""The section of a report on what would have been for single rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch

from causal_pyro_models.cli.report import Report, between, digits_for, number
from causal_pyro_models.cli.study import Do, Event, Study, events
from causal_pyro_models.inference.draws import Draws, Noise, Worlds
from causal_pyro_models.inference.prediction import worlds
from causal_pyro_models.models import Continuous
from causal_pyro_models.plots import plot_counterfactual

Answer = tuple[torch.Tensor, torch.Tensor]  # values and half the widths of their intervals, ``(rows,)`` each
Answers = Mapping[str, Mapping[Event, Answer]]  # by world

FACTUAL = "as it was"
DRAWS = 50  # for each refit, where the discrete variables of a row leave its noise uncertain


def single_rows(
    study: Study, rows: pd.DataFrame, do: Mapping[str, Do], outcomes: Sequence[str], report: Report
) -> Worlds:
    """Counterfactuals of some rows: what the outcomes would have been.

    Args:
        study: the fitted model.
        rows: the rows, their names in the index.
        do: the intervention of each world, by the name of the world.
        outcomes: the variables asked about.
        report: where the section goes.

    Returns:
        The worlds in every refit, the factual one first.
    """
    exact = all(isinstance(kind, Continuous) for kind in study.variables.values())
    draws = 1 if exact else DRAWS
    evidence, actions = study.model.encode(rows), {FACTUAL: {}, **do}
    whole = worlds(study.model, evidence, actions, num_samples=20 * draws, seed=study.seed)
    refits = study.ensemble.worlds(evidence, actions, draws, study.seed)
    asked = events(outcomes, study.variables)
    report.heading(f"What would have been, for single {study.row}s?")
    report.text(_introduction(study, exact))
    was = {event: event.read(evidence) for event in asked}
    answers = {
        world: {event: _answer(study, event, whole[world], refits[world], draws) for event in asked} for world in do
    }
    for event in asked:
        digits = digits_for(float(event.read(study.seen).std())) if event.code is None else 2
        lines = []
        for i, name in enumerate(rows.index):
            there = [[float(end[i]) for end in _ends(event, answers[world][event])] for world in do]
            told = [between(*ends, digits=digits) for ends in there]
            lines.append([name, number(float(was[event][i]), digits), *told])
        report.table([event.text, FACTUAL, *do], lines)
    _figure(study, [str(name) for name in rows.index], answers, was, report)
    return refits


def _introduction(study: Study, exact: bool) -> str:
    told = (
        f"Each mechanism is monotone in its noise, so that a {study.row}, all observed, determines its noise: for one "
        f"fitted model the answer is a single number."
        if exact
        else f"The noise of continuous variables is determined by the {study.row}; that of discrete ones is drawn from "
        f"what the {study.row} leaves possible (logistic or Gumbel-max, an assumption that data cannot test)."
    )
    return (
        f"Abduction, action, prediction: the noise that made the {study.row} what it was is kept, the intervention is "
        f"made, and everything downstream is computed anew. {told} The 95% interval is from the refits."
    )


def _answer(study: Study, event: Event, whole: Draws, refits: Draws, draws: int) -> Answer:
    """The value of each row and half the width of its interval, ``(rows,)`` each.

    The uncertainty of a probability is that between refits; that of a number includes the noise left open.
    """
    each = event.read(refits)
    if event.code is not None:
        each = each.reshape(-1, draws, each.shape[-1]).mean(1)
    return event.read(whole).mean(0), study.ensemble.margin(each)


def _ends(event: Event, answer: Answer) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The value and the ends of its interval; a probability stays one."""
    value, margin = answer
    ends = value - margin, value + margin
    low, high = ends if event.code is None else (end.clamp(0.0, 1.0) for end in ends)
    return value, low, high


def _figure(study: Study, names: list[str], answers: Answers, was: dict[Event, torch.Tensor], report: Report) -> None:
    """The tables as a picture; an interval is drawn as the range of three draws."""
    sites = {event.text: 0 for event in was}
    drawn: dict[str, Draws] = {FACTUAL: Draws({event.text: value for event, value in was.items()}, sites)}
    for world, answer in answers.items():
        ends = {event.text: torch.stack(_ends(event, answer[event])) for event in was}
        drawn[world] = Draws(ends, sites, 3)
    nothing = Noise({}, {})
    figure = plot_counterfactual(Worlds(drawn, nothing), FACTUAL, unit=range(len(names)), level=0.999, units=study.unit)
    for ax in figure.axes:
        if ax.get_yticklabels():
            ax.set_yticks(range(len(names)), names)
    report.figure(figure, "single_rows", f"Single {study.row}s: as they were, and as they would have been.")
