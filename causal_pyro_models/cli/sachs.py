"""The section that holds predicted interventions on proteins against cells in which a reagent made them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from causal_pyro_models.cli.report import Report, between, number
from causal_pyro_models.cli.study import LEVEL, SIMULATED, Study
from causal_pyro_models.datasets import Sachs
from causal_pyro_models.evaluation import agreement, shifts
from causal_pyro_models.inference.mixtures import alone, student
from causal_pyro_models.inference.prediction import worlds
from causal_pyro_models.models import CausalFlow
from causal_pyro_models.plots import plot_interventions

LOW, HIGH = 0.05, 0.95  # quantiles of the observed level that stand for an activity switched off, or on
CLEAR = 0.1  # a smaller shift, in standard deviations, has no direction


@dataclass(frozen=True)
class Reading:
    """How a reagent is read as an intervention.

    Attributes:
        target: the protein.
        value: what its children get to see: a level, or the levels measured under the reagent ``(SIMULATED, 1)``.
        sets_level: whether the measured level of the protein itself is set too.
        text: the same in words.
    """

    target: str
    value: float | torch.Tensor
    sets_level: bool
    text: str


def readings(cells: Sachs, seed: int) -> dict[str, Reading]:
    """The reading of each reagent that acts on a measured protein, by condition.

    Example:
        >>> from causal_pyro_models.datasets import sachs
        >>> read = readings(sachs(), seed=0)
        >>> read["pma"].text, read["cd3cd28_psitect"].sets_level
        ('children see 3.64', True)
    """
    draw, found = np.random.default_rng(seed), {}
    for name, row in cells.conditions.dropna(subset="target").iterrows():
        condition, target = str(name), str(row["target"])
        if row["kind"] == "level lowered":
            level = draw.choice(cells.under(condition)[target].to_numpy(), (SIMULATED, 1))
            found[condition] = Reading(target, torch.as_tensor(level), True, "set to the levels measured")
        else:
            seen = cells.observational[target].quantile(HIGH if row["kind"] == "activated" else LOW)
            found[condition] = Reading(target, float(seen), False, f"children see {number(seen)}")
    return found


def compare_interventions(study: Study, cells: Sachs, report: Report) -> None:
    """Predicted against measured shifts of every protein under every reagent, with a verdict."""
    read = readings(cells, study.seed)
    table = _compared(study, cells, read)
    below = table[table["downstream"]]
    report.heading("Are predicted interventions right?")
    _explain(report, cells)
    _by_condition(table, read, cells, report)
    _figure(study, cells, read, report)
    report.text(
        "**Every shift downstream**, in standard deviations of the observational cells: predicted with its 95% "
        "interval, measured with two standard errors."
    )
    rows = [
        [f"{row['condition']}: {row['target']} → {row['protein']}", _predicted(row), _measured(row), _agrees(row)]
        for _, row in below.iterrows()
    ]
    report.table(["condition: path", "predicted", "measured", "agreement"], rows)
    _verdict(table, report)


def _compared(study: Study, cells: Sachs, read: Mapping[str, Reading]) -> pd.DataFrame:
    """A row per condition and protein other than its target."""
    graph, before = study.model.graph, cells.observational
    means, *refits = (_shifted(model, read, study.seed) for model in (alone(study.model), *study.refits))
    spread = np.stack([refit.to_numpy() for refit in refits]).std(0, ddof=1)
    margins = pd.DataFrame(student(LEVEL, len(refits)) * spread, means.index, means.columns)
    rows = []
    for condition, reading in read.items():
        measured = shifts(cells.under(condition), before)
        below = graph.descendants(reading.target)
        for protein in graph.variables:
            sd = float(before[protein].std())
            rows.append(
                {
                    "condition": condition,
                    "target": reading.target,
                    "protein": protein,
                    "is_target": protein == reading.target,
                    "downstream": protein in below and protein != reading.target,
                    "predicted": float(means.loc[protein, condition]) / sd,
                    "margin": float(margins.loc[protein, condition]) / sd,
                    "measured": float(measured.loc[protein, "shift"]),
                    "error": 2 * float(measured.loc[protein, "standard_error"]),
                }
            )
    return pd.DataFrame(rows)


def _shifted(model: CausalFlow, read: Mapping[str, Reading], seed: int) -> pd.DataFrame:
    """How far the mean of each protein moves in each condition, on the same noise as without intervention."""
    do = {condition: {reading.target: reading.value} for condition, reading in read.items()}
    found = worlds(model, {}, {"": {}, **do}, num_samples=SIMULATED, seed=seed)
    shift = {
        condition: {v: float((found[condition][v] - found[""][v]).double().mean()) for v in model.graph.variables}
        for condition in read
    }
    for condition, reading in read.items():
        if not reading.sets_level:
            shift[condition][reading.target] = 0.0
    return pd.DataFrame(shift, index=model.graph.variables)


def _explain(report: Report, cells: Sachs) -> None:
    report.text(
        "The model saw no cell from these conditions. Each reagent is known to act on one protein; what the model then "
        "predicts for all others is compared with what was measured.",
        "**How a reagent is modelled.** An inhibitor of *activity* is not an intervention on the measured level: "
        "phospho-Mek *rises* under U0126, because what Mek does is blocked and not its phosphorylation. The same holds "
        "for activators. So what the children of the target see is set, for them alone, to the "
        f"{100 * LOW:.0f}% quantile of its observed level where the activity is inhibited, to the {100 * HIGH:.0f}% "
        "quantile where it is raised, and the measured level of the target itself is left alone. Only psitectorigenin, "
        "which lowers the level of PIP2, is a perfect intervention: PIP2 is set to the levels measured under it.",
    )
    report.bullets(
        [
            "How far a reagent moves an activity is not known, so the *direction* of a predicted shift means more than "
            "its size.",
            "Proteins that the graph does not place below the target are predicted not to move at all.",
            "PMA and beta2cAMP were given without anti-CD3/CD28, so their cells differ from the observational ones by "
            "more than the target; the model cannot know that.",
        ]
    )


def _by_condition(table: pd.DataFrame, read: Mapping[str, Reading], cells: Sachs, report: Report) -> None:
    rows = []
    for condition, part in table.groupby("condition", sort=False):
        reading, below = read[str(condition)], part[part["downstream"]]
        other = part[~part["downstream"] & ~part["is_target"]]["measured"].abs().mean()
        scores = ["–", "–", "–"]
        if len(below):
            score = agreement(below["predicted"], below["measured"], CLEAR)
            scores = [number(score.error), number(score.no_effect_error), f"{score.same_sign} of {score.judged}"]
        own = number(float(part[part["is_target"]]["measured"].iloc[0]))
        reagent = f"{condition} ({cells.conditions.loc[condition, 'reagent'].split('+ ')[-1]})"
        rows.append([reagent, f"{reading.target}: {reading.text}", own, len(below), *scores, number(other)])
    report.table(
        ["condition", "modelled as", "target itself", "proteins downstream", "error", "error of “no effect”",
         "direction right", "others"],
        rows,
    )  # fmt: skip
    report.text(
        "In standard deviations of the observational cells. *Target itself*: how far its measured level moved. "
        "*Error*: root mean square of predicted minus measured shift over the proteins downstream; beside it that of "
        f"predicting no shift. *Direction right*: among shifts of at least {CLEAR} predicted and measured. "
        "*Others*: mean size of the measured shift of proteins that the graph does not place downstream, all predicted "
        "not to move."
    )


def _figure(study: Study, cells: Sachs, read: Mapping[str, Reading], report: Report) -> None:
    before = cells.observational
    shift = _shifted(alone(study.model), read, study.seed)
    predicted = {condition: before + shift[condition] for condition in read}
    measured = {condition: cells.under(condition) for condition in read}
    caption = "Shift of the mean of each protein under each reagent: measured, and predicted by the model."
    report.figure(plot_interventions(predicted, measured, before), "interventions", caption)


def _predicted(row: pd.Series) -> str:
    low, high = row["predicted"] - row["margin"], row["predicted"] + row["margin"]
    return between(row["predicted"], low, high)


def _measured(row: pd.Series) -> str:
    return f"{number(row['measured'])} ± {number(row['error'])}"


def _covered(row: pd.Series) -> bool:
    return bool(abs(row["predicted"] - row["measured"]) <= np.hypot(row["margin"], row["error"]))


def _agrees(row: pd.Series) -> str:
    if _covered(row):
        return "within the uncertainty"
    if abs(row["measured"]) < CLEAR:
        return "predicted, not measured"
    if abs(row["predicted"]) < CLEAR:
        return "measured, not predicted"
    return "direction" if row["predicted"] * row["measured"] > 0 else "**opposite direction**"


def _verdict(table: pd.DataFrame, report: Report) -> None:
    below = table[table["downstream"]]
    others = table[~table["downstream"] & ~table["is_target"]]
    score = agreement(below["predicted"], below["measured"], CLEAR)
    covered = sum(_covered(row) for _, row in below.iterrows())
    better = score.error < score.no_effect_error
    moved = int((others["measured"].abs() > np.maximum(CLEAR, others["error"])).sum())
    verdict = (
        f"Of {score.judged} shifts with a direction, {score.same_sign} {'was' if score.same_sign == 1 else 'were'} "
        f"predicted in the right one, and the measured shift lies within the uncertainty in {covered} of {score.count} "
        f"cases."
    )
    report.text(
        f"**Verdict.** {verdict} The root mean square error over all {score.count} shifts downstream is "
        f"{number(score.error)} standard deviations, {'less than' if better else 'no less than'} the "
        f"{number(score.no_effect_error)} of predicting that nothing moves; and {moved} of {len(others)} proteins that "
        f"the graph does not place downstream moved nevertheless."
    )
    report.summary.append(
        f"**Interventions, checked.** {verdict} On the whole the model does {'better' if better else 'no better'} than "
        f"predicting that nothing moves."
    )
