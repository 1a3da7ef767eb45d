"""The Pareto front: a panel for each pair of objectives, with a strip for the runs that missed.

Runs that reached the target lie in planes, one for each pair of objectives. Runs that did not lie in a strip
of their own below: what they had spent is a lower bound, and must not look cheap beside a result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.report.figures import panels, style
from search.report.findings import numbers
from search.report.findings.names import kind_words, name_of
from search.report.view.data import StudyView


@dataclass(frozen=True)
class Mark:
    """One run by the axes of the figure. The lows are where its crossing's interval begins."""

    trial: int
    values: Mapping[str, float]
    lows: Mapping[str, float]
    lines: tuple[str, ...]


@dataclass(frozen=True)
class ParetoInfo:
    """Runs by what they are: `front`, `feasible` (each `lookup_` where the run is lookup-like) and
    `baseline` in `reached`; `baseline` or an outcome in `missed`.

    `axes` are the objectives; with a single one, seconds (or joules) stand beside it and rank nothing.
    `staircases` are the corners of the fronts: `without_lookup` and, where that is another one,
    `with_lookup`. There are none where there are not two objectives.
    """

    objectives: tuple[str, ...]
    axes: tuple[str, ...]
    reached: Mapping[str, tuple[Mark, ...]]
    missed: Mapping[str, tuple[Mark, ...]]
    staircases: Mapping[str, tuple[tuple[float, ...], ...]]
    kind: str
    undrawn: int

    @property
    def planes(self) -> tuple[tuple[str, str], ...]:
        """(x, y) of each plane: every pair of axes."""
        return tuple(itertools.combinations(self.axes, 2))

    @property
    def has_marks(self) -> bool:
        return bool(self.reached or self.missed)

    def values(self, axis: str, *, missed: bool) -> list[float]:
        groups = (*self.reached.values(), *(self.missed.values() if missed else ()))
        return [mark.values[axis] for marks in groups for mark in marks]


def pareto_info(view: StudyView) -> ParetoInfo:
    """Every run whose values are known on every axis."""
    axes = _axes(view.objectives)
    reached: dict[str, list[Mark]] = {}
    missed: dict[str, list[Mark]] = {}
    undrawn = 0
    for record in view.to_the_target:
        mark = _mark(view, record, axes)
        if mark is None or record.interrupted:
            undrawn += 1
        else:
            groups = reached if record.feasible else missed
            groups.setdefault(group_of(view, record), []).append(mark)
    return ParetoInfo(
        objectives=view.objectives,
        axes=axes,
        reached=_sorted(reached, axes[0]),
        missed=_sorted(missed, axes[0]),
        staircases=_staircases(view),
        kind=kind_words(view),
        undrawn=undrawn,
    )


def _axes(objectives: tuple[str, ...]) -> tuple[str, ...]:
    if len(objectives) > 1:
        return objectives
    beside = "energy_to_target_j" if objectives[0] == "time_to_target_s" else "time_to_target_s"
    return (objectives[0], beside)


def _sorted(groups: Mapping[str, list[Mark]], axis: str) -> dict[str, tuple[Mark, ...]]:
    return {name: tuple(sorted(marks, key=lambda mark: mark.values[axis])) for name, marks in groups.items()}


def _staircases(view: StudyView) -> dict[str, tuple[tuple[float, ...], ...]]:
    if len(view.objectives) != 2:
        return {}
    fronts = {"with_lookup": view.front} if view.fronts_differ else {}
    fronts["without_lookup"] = view.front_without_lookup
    return {name: tuple(map(view.values, front)) for name, front in fronts.items()}


def group_of(view: StudyView, record: Record) -> str:
    if record is view.baseline:
        return "baseline"
    ranked = "front" if any(record is other for other in view.shown) else "feasible"
    if view.is_lookup(record):
        return f"lookup_{ranked}"
    if record.feasible:
        return "baseline_again" if record.role is Role.BASELINE else ranked
    return record.outcome.value


def _mark(view: StudyView, record: Record, axes: Sequence[str]) -> Mark | None:
    found = {axis: _spent(record, axis) for axis in axes}
    values = {axis: value for axis, value in found.items() if value is not None}
    if len(values) < len(axes):
        return None
    lows = {axis: _crossing_low(record, axis, value) for axis, value in values.items()}
    name = name_of(view, record)
    return Mark(
        record.trial, values, lows, style.describe(record, name, view.objectives, view.params(record))
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


# Group -> (legend, symbol, colour, size), what matters most first. Filled: front and baseline.
_REACHED_MARKERS = {
    "front": ("Pareto front", "circle", style.BLUE, 12),
    "lookup_front": ("Pareto front, lookup-like", "diamond", style.ORANGE, 13),
    "baseline": ("baseline", "star", style.GREEN, 17),
    "baseline_again": ("baseline again: the noise", "star-open", style.GREEN, 12),
    "feasible": ("reached the target, beaten", "circle-open", style.GREY, 9),
    "lookup_feasible": ("lookup-like, beaten", "diamond-open", style.ORANGE, 10),
}
_MISSED_MARKERS = {
    "baseline": ("did not reach: the baseline", "star-open", style.GREEN, 15),
    Outcome.OUT_OF_BUDGET.value: ("did not reach: out of budget", "triangle-up-open", style.VERMILLION, 10),
    Outcome.DOMINATED.value: (
        *("did not reach: ended as dominated", "triangle-right-open"),
        *(style.VERMILLION, 10),
    ),
    Outcome.DIVERGED.value: ("did not reach: diverged", "x-thin-open", style.VERMILLION, 9),
}
_NAMED = ("front", "lookup_front", "baseline")

# Front -> (legend, colour, dash, the group that it is shown and hidden with).
_STAIRCASES = {
    "without_lookup": ("front without lookup-like runs", style.BLUE, "solid", "front"),
    "with_lookup": ("front with lookup-like runs", style.ORANGE, "dash", "lookup_front"),
}
_LAST = 1001  # in the legend: a trace without a rank has 1000
_MANY = 5  # panels, from which on three stand in a row
_HEIGHTS = {1: 460, 2: 380, 3: 320}  # of a panel, by columns
_STRIP = 70  # pixels


def pareto_figure(info: ParetoInfo) -> go.Figure:
    """A panel for each pair of axes, with a strip for the runs that did not reach the target."""
    strip = _STRIP if info.reached and info.missed else 0
    columns = min(2 if len(info.planes) < _MANY else 3, len(info.planes))
    wide = panels.arrange(len(info.planes), columns, _HEIGHTS[columns] + strip, strip)
    narrow = panels.arrange(len(info.planes), 1, 320 + strip, strip)
    figure = style.figure(wide.height)
    for name in _STAIRCASES:
        corners = info.staircases.get(name, ())
        if len(corners) > 1:
            figure.add_trace(_staircase_trace(name, corners, legend="with_lookup" in info.staircases))
    for number, (x, y) in enumerate(info.planes, start=1):
        _add_panel(figure, info, number, (x, y), strip > 0)
    panels.place(figure, wide, narrow)
    return figure


def _add_panel(figure: go.Figure, info: ParetoInfo, number: int, plane: tuple[str, str], strip: bool) -> None:
    """Marks and axes of one panel. What matters most is drawn last, on top, and is first in the legend."""
    x, y = plane
    baseline_right = _lies_right(info, x)
    places = ((_REACHED_MARKERS, info.reached, False), (_MISSED_MARKERS, info.missed, strip))
    for markers, groups, in_strip in places:
        for rank, group in reversed(list(enumerate(markers, start=1 if markers is _REACHED_MARKERS else 50))):
            if marks := groups.get(group):
                trace = _marks_trace(markers[group], group, marks, plane, in_strip, baseline_right)
                trace.update(legendrank=rank, showlegend=number == 1, **panels.axes_of(number, in_strip))
                figure.add_trace(trace)
    missed = {axis: strip is False or axis == x for axis in plane}
    drawn = {axis: info.values(axis, missed=missed[axis]) for axis in plane}
    log = any(map(style.spans_decade, drawn.values())) and all(min(values) > 0 for values in drawn.values())
    kind = info.kind.partition(" by ")[0] if len(info.planes) >= _MANY else info.kind
    titles = {
        axis: f"{numbers.labelled(axis)}{f', {kind}' if numbers.is_energy(axis) else ''}" for axis in plane
    }
    panels.set_axes(
        figure,
        number,
        style.axis(titles[x], drawn[x], log=log, from_zero=True),
        style.axis(titles[y], drawn[y], log=log, from_zero=True),
        "missed" if strip else "",
    )


def _lies_right(info: ParetoInfo, x: str) -> bool:
    """Whether the baseline's name has its room on the left."""
    marks = (*info.reached.get("baseline", ()), *info.missed.get("baseline", ()))
    values = info.values(x, missed=True)
    return any(mark.values[x] > (min(values) * max(values)) ** 0.5 for mark in marks)


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


def _marks_trace(
    marker: tuple[str, str, str, int],
    group: str,
    marks: Sequence[Mark],
    plane: tuple[str, str],
    in_strip: bool,
    baseline_right: bool,
) -> go.Scatter:
    legend, symbol, colour, size = marker
    x, y = plane
    named = group in _NAMED
    beside_baseline = "middle left" if baseline_right else "middle right"
    return go.Scatter(
        x=[mark.values[x] for mark in marks],
        y=[0] * len(marks) if in_strip else [mark.values[y] for mark in marks],
        name=legend,
        legendgroup=group,
        mode="markers+text" if named else "markers",
        marker={"symbol": symbol, "color": colour, "size": size, "line": {"width": 2, "color": colour}},
        text=["  baseline  " if group == "baseline" else str(mark.trial) for mark in marks],
        textposition=beside_baseline if group == "baseline" else "bottom left",  # below a front nothing lies
        error_x=_interval([mark.values[x] - mark.lows[x] for mark in marks], colour) if named else None,
        error_y=_interval([mark.values[y] - mark.lows[y] for mark in marks], colour)
        if named and not in_strip
        else None,
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
