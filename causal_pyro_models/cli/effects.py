"""The section of a report on what would happen, on average, under an intervention."""

from __future__ import annotations

from typing import Any

import torch

from causal_pyro_models.cli.report import Report, between, digits_for, number
from causal_pyro_models.cli.study import SIMULATED, Event, Levels, Request, Study, events, label, reached, shown
from causal_pyro_models.data import Count, Labelled
from causal_pyro_models.data.coded import in_codes
from causal_pyro_models.effects.averages import ate
from causal_pyro_models.effects.dose_response import dose_response
from causal_pyro_models.errors import QueryError
from causal_pyro_models.estimate import Estimate
from causal_pyro_models.plots import plot_dose_response

POINTS = 9  # of a dose-response curve
RANGE = (0.05, 0.95)  # quantiles of the treatment between which the curve is drawn


def effects(study: Study, question: Request, report: Report) -> dict[str, Estimate]:
    """Average effects against the observed regime and the control, and dose-response curves; all by name."""
    do = shown(question.do, study.variables)
    contrasts: list[tuple[str, Levels | None]] = [("the regime as observed", None)]
    if question.control:
        contrasts.append((shown(question.control, study.variables), question.control))
    report.heading(f"What would happen under {do}?")
    report.text(
        f"How far an average moves when all {study.row}s get {do}, in brackets the 95% interval (see *How sure is "
        f"this?*)."
    )
    found, rows = {}, []
    moved = reached(study, question)
    for event in events(question.outcomes, study.variables):
        digits = _digits(study, event)
        cells = [event.average, number(float(event.read(study.seen).mean()), digits)]
        told: list[str] = []
        what = f"the {event.average}" if event.code is None else event.average
        for name, control in contrasts:
            effect = _effect(study, event, question.do, control)
            found[f"{event.text}: {do} against {name}"] = effect
            text = _text(effect, digits) if event.name in moved else "0 by assumption"
            cells.append(text)
            told.append(f"{_verb(effect)} {'it' if told else what} against {name}: {text}")
        rows.append(cells)
        if event.name in moved:
            report.summary.append(f"**Effect.** {do} {'; '.join(told)}.")
    report.table(
        ["average", f"in the {study.row}s fitted to", *(f"change against {name}" for name, _ in contrasts)], rows
    )
    if still := [name for name in question.outcomes if name not in moved]:
        text = f"The graph has no path from {', '.join(question.do)} to {', '.join(still)}: no effect, by assumption."
        report.summary.append(f"**Effect.** {text}")
        report.text(text)
    _limits(study, question, report)
    return found | _curves(study, question, report)


def _effect(study: Study, event: Event, do: Levels, control: Levels | None) -> Estimate:
    treatment = {name: (_as_it_is if control is None else control[name], value) for name, value in do.items()}
    return ate(study.model, treatment, event.outcome, num_samples=SIMULATED, seed=study.seed)


def _as_it_is(x: torch.Tensor) -> torch.Tensor:
    """The intervention that leaves a variable at its natural value."""
    return x


def _digits(study: Study, event: Event) -> int:
    return digits_for(float(event.read(study.seen).std())) if event.code is None else 3


def _text(effect: Estimate, digits: int) -> str:
    return between(float(effect.value), float(effect.interval[0]), float(effect.interval[1]), digits)


def _verb(effect: Estimate) -> str:
    low, high = (float(end) for end in effect.interval)
    return "raises" if low > 0 else "lowers" if high < 0 else "does not clearly change"


def _limits(study: Study, question: Request, report: Report) -> None:
    """How many data there are where the interventions lead."""
    notes = []
    for world in filter(None, (question.do, question.control)):
        for name, value in world.items():
            notes += _support(study, name, value)
    report.bullets(dict.fromkeys(notes))


def _support(study: Study, name: str, value: Any) -> list[str]:
    kind = study.variables[name]
    column, text = study.seen[name], label(kind, value)
    if isinstance(kind, Labelled):
        share = float((column == in_codes(name, value, kind, QueryError)).double().mean())
        return [f"{name} is {text} in {100 * share:.0f}% of the {study.row}s fitted to."]
    below = float((column < value).double().mean())
    low, high = float(column.min()), float(column.max())
    if low <= value <= high:
        return [f"{name} is below {text} in {100 * below:.0f}% of the {study.row}s fitted to."]
    return [
        f"**{name} = {text} lies outside the data**, which go from {low:.4g} to {high:.4g}: the answer extrapolates, "
        f"and its interval is too short."
    ]


def _curves(study: Study, question: Request, report: Report) -> dict[str, Estimate]:
    """A dose-response curve for each continuous outcome of a single continuous treatment."""
    (name, *others) = question.do
    if others or isinstance(study.variables[name], Labelled):
        return {}
    low, high = (float(study.seen[name].quantile(q)) for q in RANGE)
    grid, found = torch.linspace(low, high, POINTS).tolist(), {}
    if isinstance(study.variables[name], Count):
        grid = sorted({float(round(x)) for x in grid})
    moved = reached(study, question)
    for event in events([outcome for outcome in question.outcomes if outcome in moved], study.variables):
        curve = dose_response(study.model, {name: grid}, event.outcome, num_samples=SIMULATED, seed=study.seed)
        file = f"dose_response_{event.name}" + ("" if event.code is None else f"_{event.code}")
        drawn = plot_dose_response(curve, event.text)
        drawn.set_ylabel(event.average)
        average = event.average[0].upper() + event.average[1:]
        report.figure(
            drawn, file, f"{average} if {name} were set to x, from its 5% to its 95% quantile, with 95% intervals."
        )
        found[f"{event.average} under do({name} = x)"] = curve
    return found
