"""The Pareto front drawn: a panel for each pair of objectives, with a strip for the runs that missed."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from search.record.outcome import Outcome
from search.report import panels, style, words
from search.report.pareto import Mark, ParetoInfo

# Group -> (legend, symbol, colour, size), what matters most first. Filled: front and baseline.
_REACHED = {
    "front": ("Pareto front", "circle", style.BLUE, 12),
    "lookup_front": ("Pareto front, lookup-like", "diamond", style.ORANGE, 13),
    "baseline": ("baseline", "star", style.GREEN, 17),
    "baseline_again": ("baseline again: the noise", "star-open", style.GREEN, 12),
    "feasible": ("reached the target, beaten", "circle-open", style.GREY, 9),
    "lookup_feasible": ("lookup-like, beaten", "diamond-open", style.ORANGE, 10),
    "replicate": ("replicate, not ranked", "circle-open-dot", style.GREY, 9),
}
_MISSED = {
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
    tables = ((_REACHED, info.reached, False), (_MISSED, info.missed, strip))
    for table, groups, in_strip in tables:
        for rank, group in reversed(list(enumerate(table, start=1 if table is _REACHED else 50))):
            if marks := groups.get(group):
                trace = _marks_trace(table[group], group, marks, plane, in_strip, baseline_right)
                trace.update(legendrank=rank, showlegend=number == 1, **panels.axes_of(number, in_strip))
                figure.add_trace(trace)
    missed = {axis: strip is False or axis == x for axis in plane}
    drawn = {axis: info.values(axis, missed=missed[axis]) for axis in plane}
    log = any(map(style.spans_decade, drawn.values())) and all(min(values) > 0 for values in drawn.values())
    kind = info.kind.partition(" by ")[0] if len(info.planes) >= _MANY else info.kind
    titles = {axis: f"{words.labelled(axis)}{f', {kind}' if words.is_energy(axis) else ''}" for axis in plane}
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
    look: tuple[str, str, str, int],
    group: str,
    marks: Sequence[Mark],
    plane: tuple[str, str],
    in_strip: bool,
    baseline_right: bool,
) -> go.Scatter:
    legend, symbol, colour, size = look
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
