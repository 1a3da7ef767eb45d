"""Every figure that a study has something for, with its caption; what each draws is computed here, once."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from search.report.figures.ablation import ablation_caption, ablation_figure, ablation_info
from search.report.figures.captions import pareto_caption, raw_runs_caption, temperature_caption
from search.report.figures.curves import curves_figure, curves_info
from search.report.figures.importance import importance_figure
from search.report.figures.meters import meters_figure, meters_info
from search.report.figures.outcomes import outcomes_figure, outcomes_info
from search.report.figures.pareto import pareto_figure, pareto_info
from search.report.figures.phases import phases_figure, phases_info
from search.report.figures.raw_runs import raw_runs_figure, raw_runs_info
from search.report.figures.temperature import MIN_RUNS, temperature_figure, temperature_info
from search.report.figures.verdict import verdict_caption, verdict_figure, verdict_info
from search.report.findings import numbers
from search.report.findings.importance import importance_words
from search.report.view.data import StudyView
from search.report.view.importance import Importance
from search.report.view.side_by_side import Comparison


@dataclass(frozen=True)
class Drawing:
    """A figure, what a screen reader says of it, and what stands below it."""

    figure: go.Figure
    label: str
    caption: str


def drawings(view: StudyView, importance: Importance) -> dict[str, Drawing]:
    """Name -> drawing; a figure with nothing in it is left out. The raw runs stand in for the importance."""
    found = {
        "verdict": _verdict(view),
        "pareto": _pareto(view),
        "ablation": _ablation(view),
        "curves": _curves(view),
        "phases": _phases(view),
        "outcomes": _outcomes(view),
        "temperature": _temperature(view),
        "importance": _importance(view, importance),
        "raw-runs": None if importance.shares else _raw_runs(view),
    }
    for index, comparison in enumerate(view.meters.comparisons):
        found[meters_name(index)] = _meters(view, comparison)
    return {name: drawing for name, drawing in found.items() if drawing is not None}


def meters_name(index: int) -> str:
    """The name of the figure of a comparison, by its place among `view.meters.comparisons`."""
    return f"meters-{index}"


def _verdict(view: StudyView) -> Drawing | None:
    info = verdict_info(view)
    if info is None:
        return None
    return Drawing(
        verdict_figure(info),
        "Energy of each candidate over the baseline, round by round with interval, and the end "
        f"{info.metric.either('losses', 'accuracies')} of every arm beside the target; the tables "
        "above hold the same values",
        verdict_caption(info),
    )


def _pareto(view: StudyView) -> Drawing | None:
    info = pareto_info(view)
    if not info.has_marks:
        return None
    objectives = ", ".join(map(numbers.label, view.objectives))
    label = f"Runs by {objectives}; the table of all runs holds the same values"
    return Drawing(pareto_figure(info), label, pareto_caption(info))


def _ablation(view: StudyView) -> Drawing | None:
    info = ablation_info(view)
    if info is None:
        return None
    return Drawing(
        ablation_figure(info),
        "Joules from the baseline's to the winner's, one group of levers after another; the table below "
        "holds the same values",
        ablation_caption(info),
    )


def _curves(view: StudyView) -> Drawing | None:
    info = curves_info(view)
    if not info.curves:
        return None
    return Drawing(
        curves_figure(info),
        f"Validation {info.metric.name} of every run against counted joules and counted seconds",
        "Baseline dashed, front members with markers, other runs thin and grey. Counted phases: "
        f"{' + '.join(view.counted_phases.phases) if view.counted_phases else 'unknown'}.",
    )


def _phases(view: StudyView) -> Drawing | None:
    info = phases_info(view)
    if not info.names:
        return None
    return Drawing(
        phases_figure(info),
        "Gross joules by phase for the baseline and the front; the table below sums them up",
        "Gross joules by phase. Plain bars count, hatched outlines do not; every phase is in the gross "
        "total.",
    )


def _outcomes(view: StudyView) -> Drawing | None:
    info = outcomes_info(view)
    if not info.runs:
        return None
    return Drawing(
        outcomes_figure(info),
        "Gross joules by outcome, with the number of runs",
        "What the runs of each outcome took together, in gross joules; killed runs count as CRASHED.",
    )


def _temperature(view: StudyView) -> Drawing | None:
    info = temperature_info(view)
    if info.runs < MIN_RUNS:
        return None
    return Drawing(
        temperature_figure(info),
        "Temperature rise of each run against its mean power; the table of all runs holds the temperatures",
        temperature_caption(info),
    )


def _importance(view: StudyView, found: Importance) -> Drawing | None:
    if not found.shares:
        return None
    return Drawing(
        importance_figure(found),
        "Share of importance by parameter",
        f"For {numbers.label(view.objectives[0])}, by PED-ANOVA. {importance_words(found)}",
    )


def _raw_runs(view: StudyView) -> Drawing | None:
    info = raw_runs_info(view)
    if not info.worth_drawing:
        return None
    return Drawing(
        raw_runs_figure(info),
        "Every run by each parameter that varies; the table of all runs holds the same values",
        raw_runs_caption(info),
    )


def _meters(view: StudyView, comparison: Comparison) -> Drawing | None:
    info = meters_info(view, comparison)
    if info is None:
        return None
    ours, theirs = comparison.surrogate.name, comparison.reference.name
    return Drawing(
        meters_figure(info),
        f"Joules by {ours} against joules by {theirs} for every run; the lists below name the worst "
        "disagreements",
        "Counted joules of each run by both meters. On the dashed line they differ by the median ratio "
        "alone; the runs farthest from it have their numbers.",
    )
