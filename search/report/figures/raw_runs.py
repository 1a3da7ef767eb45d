"""Every run by each parameter, for a study too small to say which parameters mattered: what happened, without
a conclusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from search.record.record import Record
from search.report.figures import panels, style
from search.report.findings import numbers
from search.report.findings.names import kind_words, name_of
from search.report.view.data import StudyView
from search.report.view.values import brief_names, differing_params, flat, plain_value

MOST_PANELS = 12
MIN_REACHED = 2  # with one there is nothing to set beside it
_COLUMNS = 4
_PANEL_PX = 110
_STRIP_PX = 36
_BETWEEN_PX = 96  # names of values may stand aslant
_MOST_TICKS = 5  # where each whole number gets its own


@dataclass(frozen=True)
class RawRun:
    """One run: the value of each parameter that it has, and of the first objective (None: it missed)."""

    params: Mapping[str, Any]
    value: float | None
    part: str  # baseline, front, reached or missed
    lines: tuple[str, ...]


@dataclass(frozen=True)
class RawRunsInfo:
    """The runs, and the parameters that vary among them under their brief names; `left_out` are the further
    ones for which there is no panel."""

    runs: tuple[RawRun, ...]
    names: Mapping[str, str]
    objective: str
    kind: str
    left_out: int

    @property
    def worth_drawing(self) -> bool:
        """Whether there is anything to set side by side."""
        return bool(self.names) and sum(run.value is not None for run in self.runs) >= MIN_REACHED


def raw_runs_info(view: StudyView) -> RawRunsInfo:
    """Every run that ended by itself."""
    records = [record for record in view.records if record.outcome.completes and not record.interrupted]
    paths = differing_params([view.params(record) for record in records])
    names = brief_names(paths)
    return RawRunsInfo(
        runs=tuple(_run(view, record) for record in records),
        names={path: names[path] for path in paths[:MOST_PANELS]},
        objective=view.objectives[0],
        kind=kind_words(view),
        left_out=max(0, len(paths) - MOST_PANELS),
    )


def _run(view: StudyView, record: Record) -> RawRun:
    params = {path: plain_value(value) for path, value in flat(view.params(record)).items()}
    ranks = view.ranks(record)
    lines = style.describe(record, name_of(view, record), view.objectives, params)
    value = float(record.values[view.objectives[0]]) if ranks else None
    return RawRun(params, value, _part(view, record, ranks), lines)


def _part(view: StudyView, record: Record, ranks: bool) -> str:
    if not ranks:
        return "missed"
    if record is view.baseline:
        return "baseline"
    return "front" if view.on_front(record) else "reached"


# Part -> (legend, symbol, colour, size), the last drawn on top.
_MARKERS = {
    "missed": ("did not reach", "triangle-up-open", style.VERMILLION, 8),
    "reached": ("reached the target", "circle-open", style.GREY, 8),
    "baseline": ("baseline", "star", style.GREEN, 13),
    "front": ("Pareto front", "circle", style.BLUE, 9),
}


def raw_runs_figure(info: RawRunsInfo) -> go.Figure:
    """A panel a parameter: its value against the first objective."""
    strip = _STRIP_PX if any(run.part == "missed" for run in info.runs) else 0
    count = len(info.names)
    wide = panels.arrange(count, min(_COLUMNS, count), _PANEL_PX + strip, strip, _BETWEEN_PX)
    narrow = panels.arrange(count, min(2, count), _PANEL_PX + strip, strip, _BETWEEN_PX)
    figure = style.figure(wide.height)
    for number, path in enumerate(info.names, start=1):
        _add_panel(figure, info, number, path, strip > 0)
    panels.place(figure, wide, narrow)
    return figure


def _add_panel(figure: go.Figure, info: RawRunsInfo, number: int, path: str, strip: bool) -> None:
    having = [run for run in info.runs if path in run.params]
    numeric = all(_is_number(run.params[path]) for run in having)
    for rank, part in enumerate(_MARKERS):
        runs = [run for run in having if run.part == part]
        if runs or (number == 1 and any(run.part == part for run in info.runs)):
            trace = _trace(part, runs, path, numeric)
            trace.update(
                showlegend=number == 1,
                legendrank=len(_MARKERS) - rank,
                **panels.axes_of(number, in_strip=part == "missed"),
            )
            figure.add_trace(trace)
    values = [run.params[path] for run in having]
    costs = [run.value for run in info.runs if run.value is not None]
    x = style.axis(info.names[path], values, log=numeric and style.spans_decade(values))
    if all(isinstance(value, int) for value in values) and len(set(values)) <= _MOST_TICKS:
        x["tickvals"] = sorted(set(values))
    title = numbers.labelled(info.objective) if number % _COLUMNS == 1 else ""
    y = style.axis(title, costs, log=style.spans_decade(costs), from_zero=True)
    small = {"tickfont": {"size": 10}, "title": {"text": x["title"]["text"], "standoff": 4}, "nticks": 5}
    x = {**x, **small} if numeric else {**x, **small, "type": "category"}
    rail = "missed" if number % _COLUMNS == 1 else " "
    panels.set_axes(figure, number, x, y, rail if strip else "")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _trace(part: str, runs: Sequence[RawRun], path: str, numeric: bool) -> go.Scatter:
    legend, symbol, colour, size = _MARKERS[part]
    values = [run.params[path] for run in runs]
    return go.Scatter(
        x=values if numeric else [style.text(value) for value in values],
        y=[0 if run.value is None else run.value for run in runs],
        name=legend,
        legendgroup=part,
        mode="markers",
        marker={"symbol": symbol, "color": colour, "size": size, "line": {"width": 1.5, "color": colour}},
        hovertext=[style.lines(run.lines) for run in runs],
        hovertemplate="%{hovertext}<extra></extra>",
        cliponaxis=False,
    )
