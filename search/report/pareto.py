"""The Pareto front as a figure: `pareto_info` computes plain values, `pareto_figure` only draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from search.report import style, words
from search.report.data import StudyView
from search.trial import Outcome, Record


@dataclass(frozen=True)
class Mark:
    """One run in the plane of two objectives. The lows are where its crossing's interval begins."""

    trial: int
    x: float
    y: float
    x_low: float
    y_low: float
    lines: tuple[str, ...]


@dataclass(frozen=True)
class ParetoInfo:
    """Runs by what they are: `front`, `feasible` (each `lookup_` where the run is lookup-like), `replicate`,
    `baseline`, or an outcome short of it.

    `staircases` are the corners of the fronts: `without_lookup` and, where that is another one,
    `with_lookup`. There are none where there are not two objectives.
    """

    x_objective: str
    y_objective: str
    groups: Mapping[str, tuple[Mark, ...]]
    baseline_reached: bool
    staircases: Mapping[str, tuple[tuple[float, ...], ...]]
    kind: str
    note: str

    def values(self, which: str) -> list[float]:
        return [getattr(mark, which) for marks in self.groups.values() for mark in marks]


def pareto_info(view: StudyView) -> ParetoInfo:
    """The first two objectives; with a single one, seconds (or joules) beside it."""
    first = view.objectives[0]
    beside = "energy_to_target_j" if first == "time_to_target_s" else "time_to_target_s"
    second = view.objectives[1] if len(view.objectives) > 1 else beside
    groups: dict[str, list[Mark]] = {}
    undrawn = 0
    for record in view.records:
        mark = _mark(view, record, first, second)
        if mark is None or record.interrupted:
            undrawn += 1
        else:
            groups.setdefault(group_of(view, record), []).append(mark)
    return ParetoInfo(
        x_objective=first,
        y_objective=second,
        groups={name: tuple(sorted(marks, key=lambda mark: mark.x)) for name, marks in groups.items()},
        baseline_reached=view.baseline_reached,
        staircases=_staircases(view),
        kind=words.kind_words(view),
        note=_pareto_note(view, undrawn),
    )


def _staircases(view: StudyView) -> dict[str, tuple[tuple[float, ...], ...]]:
    if len(view.objectives) != 2:
        return {}
    fronts = {"with_lookup": view.front} if view.fronts_differ else {}
    fronts["without_lookup"] = view.front_without_lookup
    return {name: tuple(map(view.values, front)) for name, front in fronts.items()}


def _pareto_note(view: StudyView, undrawn: int) -> str:
    notes = []
    if len(view.objectives) > 2:
        named = ", ".join(words.label(name) for name in view.objectives)
        notes.append(
            f"The front is over {len(view.objectives)} objectives ({named}); the first two are drawn, "
            "so a front point may look dominated here."
        )
    if undrawn:
        runs = "1 run is" if undrawn == 1 else f"{undrawn} runs are"
        notes.append(f"{runs} not drawn: killed, crashed, or without an energy that can be trusted.")
    return " ".join(notes)


def group_of(view: StudyView, record: Record) -> str:
    if record is view.baseline:
        return "baseline"
    ranked = "front" if any(record is other for other in view.shown) else "feasible"
    if view.is_apart(record):
        return f"lookup_{ranked}"
    if record.feasible:
        return "replicate" if record.role == "replicate" else ranked
    return record.outcome.value


def _mark(view: StudyView, record: Record, first: str, second: str) -> Mark | None:
    x, y = _spent(record, first), _spent(record, second)
    if x is None or y is None:
        return None
    name = words.name_of(view, record)
    x_low, y_low = (_crossing_low(record, name, value) for name, value in ((first, x), (second, y)))
    return Mark(
        record.trial, x, y, x_low, y_low, style.describe(record, name, view.objectives, view.params(record))
    )


def _spent(record: Record, objective: str) -> float | None:
    """What the run cost or, where it did not reach the target, had cost when it ended."""
    if not record.outcome.completes:
        return None
    counted = {"energy_to_target_j": record.counted_energy_j, "time_to_target_s": record.counted_time_s}
    value = record.spent.get(objective, counted.get(objective))
    return None if value is None or not math.isfinite(value) else float(value)


def _crossing_low(record: Record, objective: str, value: float) -> float:
    if record.crossing is None:
        return value
    lows = {
        "energy_to_target_j": record.crossing.energy_low_j,
        "time_to_target_s": record.crossing.time_low_s,
    }
    return min(value, lows.get(objective, value))


# Group -> (legend, symbol, colour, size). Filled: front and baseline. Round or diamond: reached the target.
_MARKERS = {
    Outcome.DIVERGED.value: ("diverged", "x-thin-open", style.VERMILLION, 10),
    Outcome.OUT_OF_BUDGET.value: ("out of budget (at least)", "triangle-up-open", style.VERMILLION, 11),
    Outcome.DOMINATED.value: ("ended as dominated (at least)", "triangle-right-open", style.VERMILLION, 11),
    "replicate": ("replicate, not ranked", "circle-open-dot", style.GREY, 9),
    "feasible": ("reached the target, dominated", "circle-open", style.GREY, 9),
    "lookup_feasible": ("lookup-like, dominated", "diamond-open", style.ORANGE, 10),
    "front": ("Pareto front", "circle", style.BLUE, 12),
    "lookup_front": ("Pareto front, lookup-like", "diamond", style.ORANGE, 13),
    "baseline": ("baseline", "star", style.GREEN, 17),
}
_NAMED = ("front", "lookup_front", "baseline")

# Front -> (legend, colour, dash, the group that it is shown and hidden with).
_STAIRCASES = {
    "without_lookup": ("front without lookup-like runs", style.BLUE, "solid", "front"),
    "with_lookup": ("front with lookup-like runs", style.ORANGE, "dash", "lookup_front"),
}
_LAST = 1001  # in the legend: a trace without a rank has 1000


def pareto_figure(info: ParetoInfo) -> go.Figure:
    """Every run in the plane of two objectives; nearer to the lower left corner is better in both."""
    figure = style.figure(480)
    both = (info.values("x"), info.values("y"))
    log = any(map(style.spans_decade, both)) and all(min(values) > 0 for values in both)
    for name in _STAIRCASES:
        corners = info.staircases.get(name, ())
        if len(corners) > 1:
            figure.add_trace(_staircase_trace(name, corners, legend="with_lookup" in info.staircases))
    for group in _MARKERS:
        if marks := info.groups.get(group):
            figure.add_trace(_marks_trace(info, group, marks))
    for which, objective, update in (
        ("x", info.x_objective, figure.update_xaxes),
        ("y", info.y_objective, figure.update_yaxes),
    ):
        title = f"{words.labelled(objective)}{f', {info.kind}' if words.is_energy(objective) else ''}"
        update(style.axis(title, info.values(which), log=log, from_zero=True))
    return figure


def _staircase_trace(name: str, corners: Sequence[Sequence[float]], *, legend: bool) -> go.Scatter:
    title, colour, dash, group = _STAIRCASES[name]
    return go.Scatter(
        x=[x for x, _ in corners],
        y=[y for _, y in corners],
        name=title,
        legendgroup=group,
        showlegend=legend,
        legendrank=_LAST,
        mode="lines",
        line={"shape": "hv", "color": colour, "width": 2, "dash": dash},
        cliponaxis=False,
        hoverinfo="skip",
    )


def _marks_trace(info: ParetoInfo, group: str, marks: Sequence[Mark]) -> go.Scatter:
    legend, symbol, colour, size = _MARKERS[group]
    named = group in _NAMED
    if group == "baseline" and not info.baseline_reached:
        legend, symbol = "baseline, target not reached (at least)", "star-open"
    return go.Scatter(
        x=[mark.x for mark in marks],
        y=[mark.y for mark in marks],
        name=legend,
        legendgroup=group,
        mode="markers+text" if named else "markers",
        marker={"symbol": symbol, "color": colour, "size": size, "line": {"width": 2, "color": colour}},
        text=["baseline" if group == "baseline" else str(mark.trial) for mark in marks],
        textposition="bottom right" if group == "baseline" else "bottom left",  # below a front nothing lies
        error_x=_interval([mark.x - mark.x_low for mark in marks], colour) if named else None,
        error_y=_interval([mark.y - mark.y_low for mark in marks], colour) if named else None,
        hovertext=[style.lines(mark.lines) for mark in marks],
        cliponaxis=False,
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _interval(widths: list[float], colour: str) -> dict[str, object]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [0.0] * len(widths),
        "arrayminus": widths,
        "color": colour,
        "thickness": 1,
        "width": 3,
    }
