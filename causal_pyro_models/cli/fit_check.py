"""The section of a report that holds the model against rows it has not seen."""

from __future__ import annotations

import numpy as np
import pandas as pd

from causal_pyro_models.cli.report import Report, number
from causal_pyro_models.cli.study import SIMULATED, Study
from causal_pyro_models.data import Continuous, Labelled
from causal_pyro_models.data.batches import Values
from causal_pyro_models.data.coded import codes
from causal_pyro_models.evaluation import correlation_gaps, distances, likelihood_gain
from causal_pyro_models.inference.prediction import sample
from causal_pyro_models.plots import plot_fit_history, plot_marginals

WORST = 5  # correlations that are listed


def check_fit(study: Study, report: Report) -> None:
    """Likelihood, marginal distributions and correlations on held-out rows."""
    sampled = {name: codes(value) for name, value in sample(study.model, SIMULATED, seed=study.seed).items()}
    report.heading(f"Does the model describe {study.row}s it has not seen?")
    report.text(
        f"The model was fitted to {len(study.train)} {study.row}s; {len(study.held_out)} others were held out, and "
        f"everything in this section is judged on them."
    )
    _likelihood(study, report)
    _marginals(study, report, sampled)
    _correlations(study, report, sampled)
    if not study.result.steps:
        report.text(
            "No step of training was taken: no variable's noise depends on its causes, so the regressions that the "
            "flow starts from are all there is to find."
        )
        return
    caption = (
        f"Loss in the course of training. What is called held out here is a tenth of the {len(study.train)} "
        f"{study.row}s, set aside to choose the step whose weights are kept."
    )
    report.figure(plot_fit_history(study.result), "fit", caption)


def _likelihood(study: Study, report: Report) -> None:
    gains = likelihood_gain(study.model, study.baseline, study.unseen)
    continuous = all(isinstance(kind, Continuous) for kind in study.variables.values())
    linear = "linear-Gaussian model" if continuous else "linear model (Gaussian, or logistic for discrete variables)"
    report.text(
        f"**Likelihood.** Mean log density of a held-out {study.row} (nats, higher is better) under the flow, and "
        f"under the {linear} of the same graph fitted to the same {study.row}s. ± is one standard error."
    )
    rows = [
        ["**all**" if name == "all" else name, number(row["baseline"]), number(row["model"]), _gain(row)]
        for name, row in gains.iterrows()
    ]
    report.table(["variable given its parents", "linear", "flow", "gain"], rows)
    total = gains.loc["all"]
    clear = abs(total["gain"]) > 2 * total["standard_error"]
    verdict = ("better than" if total["gain"] > 0 else "worse than") if clear else "not clearly different from"
    report.summary.append(
        f"**Fit.** On {len(study.held_out)} held-out {study.row}s the flow is {verdict} a linear model of the same "
        f"graph: log density {number(total['model'])} against {number(total['baseline'])}, a gain of {_gain(total)}."
    )


def _gain(row: pd.Series) -> str:
    return f"{'+' if round(row['gain'], 2) > 0 else ''}{number(row['gain'])} ± {number(row['standard_error'])}"


def _marginals(study: Study, report: Report, sampled: Values) -> None:
    model, best = (distances(x, study.unseen, study.variables) for x in (sampled, study.seen))
    report.text(
        f"**Distribution of each variable.** Distance between {SIMULATED} samples of the flow and the held-out "
        f"{study.row}s: Kolmogorov-Smirnov's, or total variation for a discrete variable; 0 is equal, 1 is disjoint. "
        f"The yardstick is the distance of the training {study.row}s, which come from the same source."
    )
    rows = [[name, number(model[name], 3), number(best[name], 3)] for name in model]
    report.table(["variable", "flow", "training (yardstick)"], rows)
    caption = f"Held-out {study.row}s and samples of the flow."
    figure = plot_marginals(study.unseen, sampled, study.unit)
    for ax, variable in zip(figure.axes, (study.variables[name] for name in study.unseen), strict=True):
        if isinstance(variable, Labelled):
            ax.set_xticks(range(len(variable.labels)), [str(label) for label in variable.labels])
    report.figure(figure, "marginals", caption)


def _correlations(study: Study, report: Report, sampled: Values) -> None:
    gaps, best = (correlation_gaps(x, study.unseen, study.variables) for x in (sampled, study.seen))
    if gaps.empty:
        return
    report.text(
        f"**Correlations.** Root mean square error over {len(gaps)} pairs: {number(_rms(gaps), 3)} for the flow, "
        f"{number(_rms(best), 3)} for the training {study.row}s (yardstick). A large gap at a pair points at an edge "
        f"or a hidden common cause that the graph lacks. The largest:"
    )
    rows = [
        [f"{row['first']}, {row['second']}", *(number(row[column]) for column in ("reference", "sampled", "gap"))]
        for _, row in gaps.head(WORST).iterrows()
    ]
    report.table(["pair", "held out", "flow", "gap"], rows)
    worst = gaps.iloc[0]
    said = (
        f"at {worst['first']} and {worst['second']} the flow has {number(worst['sampled'])}, the held-out {study.row}s "
        f"{number(worst['reference'])}"
    )
    if _is_clear(worst, len(gaps), study):
        report.summary.append(f"**What the model misses.** Its largest error among correlations: {said}.")
    else:
        report.summary.append(
            f"**What the model misses.** Among correlations nothing beyond chance; the largest gap: {said}."
        )


def _is_clear(gap: pd.Series, pairs: int, study: Study) -> bool:
    """Whether the largest gap of so many is more than the scatter of held-out and training rows (Fisher's z, 5%)."""
    from scipy.stats import norm

    held_out, sampled = np.arctanh(np.clip([gap["reference"], gap["sampled"]], -1 + 1e-9, 1 - 1e-9))
    error = (1 / (len(study.held_out) - 3) + 1 / (len(study.train) - 3)) ** 0.5
    return bool(abs(sampled - held_out) > norm.isf(0.025 / pairs) * error)


def _rms(gaps: pd.DataFrame) -> float:
    return float(np.sqrt(np.mean(np.square(gaps["gap"]))))
