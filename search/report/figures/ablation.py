"""Where the saving comes from: a waterfall of joules, from the baseline's to the winner's."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import plotly.graph_objects as go

from search.confirm.ablation import Part, waterfall
from search.confirm.intervals import Interval
from search.report.figures import style
from search.report.findings import numbers
from search.report.findings.ablation import INTERACTIONS, times
from search.report.view.data import StudyView

_NAME_WIDTH = 14  # characters: a longer name takes two lines
_BEYOND = 2.0  # the axis goes so far beyond the lowest and the highest level; whiskers end there


@dataclass(frozen=True)
class Fall:
    """One bar, from `start_j` to `end_j`. `low_j` and `high_j` are the ends of the interval of `end_j`, None
    where there is none. `open`: a bound, beyond which the bar may reach."""

    name: str
    start_j: float
    end_j: float
    low_j: float | None
    high_j: float | None
    text: str
    open: bool


@dataclass(frozen=True)
class AblationInfo:
    """The joules of both ends, and the falls between them in their order."""

    winner: str
    baseline_j: float
    winner_j: float
    falls: tuple[Fall, ...]
    kind: str


def ablation_info(view: StudyView) -> AblationInfo | None:
    """None before anything is measured."""
    state = view.ablation
    found = None if state is None else waterfall(state)
    if state is None or state.winner is None or found is None:
        return None
    known = [part for part in found.parts if part.factor is not None]
    levels = [found.baseline_j]
    falls = []
    for part in known:
        falls.append(_fall(part, levels[-1]))
        levels.append(falls[-1].end_j)
    left = Part(None, found.interactions, found.interval)
    last = _fall(left, levels[-1], INTERACTIONS, "≤ " if found.at_most else "")
    return AblationInfo(
        winner=state.winner.arm,
        baseline_j=found.baseline_j,
        winner_j=found.winner_j,
        falls=(*falls, last),
        kind="" if view.meter is None else view.meter.kind.value,
    )


def _fall(part: Part, start_j: float, name: str = "", sign: str = "") -> Fall:
    assert part.factor is not None
    sign = "≥ " if part.at_least else sign
    low_j, high_j = _ends(part.interval, start_j)
    return Fall(
        name=name or part.label,
        start_j=start_j,
        end_j=start_j / part.factor,
        low_j=low_j,
        high_j=high_j,
        text=f"÷ {sign}{times(part.factor)}",
        open=bool(sign),
    )


def _ends(interval: Interval | None, start_j: float) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else (start_j / interval.high, start_j / interval.low)


def ablation_caption(info: AblationInfo) -> str:
    """How to read it; of the marks, those that are there."""
    parts = [
        "From the baseline's joules down to the winner's, on a logarithmic axis: each bar is the factor of "
        "one group of levers, with its interval, and interactions are what is left over."
    ]
    if any(_is_dearer(fall) for fall in info.falls):
        parts.append("Orange bars make the winner dearer.")
    if any(fall.open for fall in info.falls):
        parts.append("Hatched bars are bounds: a length that reaches the target was not found.")
    return " ".join(parts)


def ablation_figure(info: AblationInfo) -> go.Figure:
    """A bar a group on a logarithmic axis, where equal lengths are equal factors."""
    figure = style.figure(150 + 42 * (len(info.falls) + 2), showlegend=False, bargap=0.35)
    levels = (info.baseline_j, info.winner_j, *(fall.end_j for fall in info.falls))
    low_j, high_j = min(levels) / _BEYOND, max(levels) * _BEYOND
    ends = (
        _end("the baseline", info.baseline_j, low_j, style.GREEN),
        _end(info.winner, info.winner_j, low_j, style.BLUE),
    )
    for bar in (ends[0], *map(_bar, info.falls), ends[1]):
        figure.add_trace(bar)
    for fall in info.falls:
        if fall.low_j is not None and fall.high_j is not None:
            figure.add_trace(_whisker(fall, max(fall.low_j, low_j), min(fall.high_j, high_j)))
    figure.add_trace(_texts(info, high_j))
    # On the right: room for the text behind the longest bar.
    figure.update_xaxes(style.axis(f"counted energy (J), {info.kind}", [low_j * 1.3, high_j], log=True))
    figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
    return figure


def _end(name: str, energy_j: float, low_j: float, colour: str) -> go.Bar:
    return go.Bar(
        y=[_name(name)],
        x=[energy_j - low_j],
        base=[low_j],
        orientation="h",
        marker={"color": colour},
        hovertext=[style.lines([f"{name}: {numbers.quantity(energy_j, 'J')}"])],
        hoverinfo="text",
    )


def _bar(fall: Fall) -> go.Bar:
    low_j, high_j = sorted((fall.start_j, fall.end_j))
    return go.Bar(
        y=[_name(fall.name)],
        x=[high_j - low_j],
        base=[low_j],
        orientation="h",
        marker=_marker(fall),
        hovertext=[style.lines([_hover(fall)])],
        hoverinfo="text",
    )


def _whisker(fall: Fall, low_j: float, high_j: float) -> go.Scatter:
    return go.Scatter(
        x=[low_j, high_j],
        y=[_name(fall.name)] * 2,
        mode="lines+markers",
        line={"color": style.GREY, "width": 2},
        marker={"symbol": "line-ns", "size": 12, "line": {"color": style.GREY, "width": 2}},
        hoverinfo="skip",
    )


def _texts(info: AblationInfo, high_j: float) -> go.Scatter:
    """A number behind each bar and its whisker."""
    ends = {"the baseline": info.baseline_j, info.winner: info.winner_j}
    rows = [(name, joules, numbers.quantity(joules, "J")) for name, joules in ends.items()]
    for fall in info.falls:
        right_j = max(fall.start_j, fall.end_j, min(fall.high_j or 0.0, high_j))
        rows.append((fall.name, right_j, fall.text))
    return go.Scatter(
        x=[right_j for _, right_j, _ in rows],
        y=[_name(name) for name, _, _ in rows],
        mode="text",
        text=[f" {style.text(text)}" for _, _, text in rows],
        textposition="middle right",
        cliponaxis=False,
        hoverinfo="skip",
    )


def _is_dearer(fall: Fall) -> bool:
    return fall.end_j > fall.start_j and fall.name != INTERACTIONS


def _marker(fall: Fall) -> dict[str, object]:
    """Bounds are hatched. What the colours say, names and numbers say too."""
    colour = style.GREY if fall.name == INTERACTIONS else style.ORANGE if _is_dearer(fall) else style.SKY
    if not fall.open:
        return {"color": colour}
    return {
        "color": colour,
        "line": {"color": colour, "width": 1.5},
        "pattern": {"shape": "/", "size": 7, "solidity": 0.3},
    }


def _hover(fall: Fall) -> str:
    interval = ""
    if fall.low_j is not None and fall.high_j is not None:
        ends = fall.start_j / fall.high_j, fall.start_j / fall.low_j
        interval = f" (factor {numbers.number(ends[0])} to {numbers.number(ends[1])})"
    start, end = numbers.quantity(fall.start_j, "J"), numbers.quantity(fall.end_j, "J")
    return f"{fall.name}: {start} to {end}, {fall.text}{interval}"


def _name(name: str) -> str:
    return "<br>".join(style.text(line) for line in textwrap.wrap(name, _NAME_WIDTH))
