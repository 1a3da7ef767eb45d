"""Learning curves as a figure: `curves_info` computes plain values, `curves_figure` only draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from model.metric import LOSS, METRICS, Metric
from search.record.crossing import CurvePoint
from search.record.outcome import Outcome
from search.report.figures import panels, style
from search.report.figures.pareto import group_of
from search.report.findings.names import kind_words, marked_name
from search.report.view.data import StudyView

_AXES = ("xaxis", "xaxis2", "yaxis", "yaxis2")


@dataclass(frozen=True)
class Curve:
    """Validation losses of one run, or its accuracies; `part` is baseline, front or other."""

    name: str
    part: str
    diverged: bool
    points: tuple[CurvePoint, ...]


@dataclass(frozen=True)
class CurvesInfo:
    """All curves, with the reference lines."""

    curves: tuple[Curve, ...]
    target_loss: float | None
    ngram_loss: float | None
    kind: str
    metric: Metric = METRICS[LOSS]

    @property
    def partial(self) -> str:
        """What an unfinished evaluation is."""
        return f"evaluation ended early: plainly {self.metric.either('above', 'below')} the target"

    @property
    def unit(self) -> str:
        """After a number."""
        return self.metric.either(" nats", "")


def curves_info(view: StudyView) -> CurvesInfo:
    """A curve for every run with two evaluations or more; points whose loss is no number are left out. All
    values are as people read them."""
    metric = view.problem.metric
    curves = []
    for record in view.records:
        points = tuple(
            replace(point, loss=metric.shown(point.loss))
            for point in record.curve
            if math.isfinite(point.loss)
        )
        if len(points) > 1:
            group = group_of(view, record)
            part = {"baseline": "baseline", "front": "front", "lookup_front": "front"}.get(group, "other")
            diverged = record.outcome is Outcome.DIVERGED
            curves.append(Curve(marked_name(view, record), part, diverged, points))
    return CurvesInfo(
        curves=tuple(curves),
        target_loss=_shown(metric, view.problem.target_loss),
        ngram_loss=_shown(metric, view.problem.ngram_loss),
        kind=kind_words(view),
        metric=metric,
    )


def _shown(metric: Metric, value: float | None) -> float | None:
    return None if value is None else metric.shown(value)


def curves_figure(info: CurvesInfo) -> go.Figure:
    """Validation loss against counted joules (left) and counted seconds (right), on one loss axis."""
    base = style.figure(460)
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.04, figure=base)
    panels = (("energy_j", f"counted energy (J), {info.kind}"), ("time_s", "counted time (s)"))
    log = any(style.spans_decade(_ends(info, which)) for which, _ in panels)
    for column, (which, title) in enumerate(panels, start=1):
        _add_curves(figure, info, which, column, log)
        _add_partial(figure, info, which, column, log)
        _add_references(figure, info, column)
        drawn = [x for curve in info.curves for x, _, _ in _points(curve, which, log)]
        settings = style.axis(title, drawn, log=log and bool(drawn), from_zero=True)
        figure.update_xaxes(settings, row=1, col=column)
    figure.update_yaxes({"title": {"text": _title(info.metric)}, "automargin": True}, col=1)
    figure.update_yaxes(zeroline=False, range=_loss_range(info, log))
    figure.update_layout(margin={"r": 112})
    _note_arrangements(figure)
    return figure


def _title(metric: Metric) -> str:
    return f"validation {metric.name}{metric.either(' (nats per token)', '')}"


def _note_arrangements(figure: go.Figure) -> None:
    """Side by side with one loss axis; on a narrow screen one above the other, the lines named inside."""
    layout = figure.layout
    wide: dict[str, Any] = {f"{axis}.domain": list(layout[axis].domain) for axis in _AXES}
    wide |= {"yaxis2.showticklabels": False, "yaxis2.title.text": ""}
    narrow: dict[str, Any] = {"xaxis.domain": [0, 1], "xaxis2.domain": [0, 1]}
    narrow |= {"yaxis.domain": [0.58, 1], "yaxis2.domain": [0, 0.42], "height": 640}
    narrow |= {"yaxis2.showticklabels": True, "yaxis2.title.text": layout.yaxis.title.text}
    for index, annotation in enumerate(layout.annotations):
        wide |= {f"annotations[{index}].x": annotation.x, f"annotations[{index}].xanchor": annotation.xanchor}
        narrow |= {f"annotations[{index}].x": 1, f"annotations[{index}].xanchor": "right"}
        wide[f"annotations[{index}].yanchor"] = annotation.yanchor
        narrow[f"annotations[{index}].yanchor"] = "bottom"
    panels.note(figure, wide, narrow)


def _points(curve: Curve, which: str, log: bool = False) -> list[tuple[float, float, bool]]:
    """(joules or seconds, loss, whether the evaluation was whole), without what is unknown and, for a log
    axis, without the start at 0."""
    found = [(getattr(point, which), point.loss, point.whole) for point in curve.points]
    return [(x, loss, whole) for x, loss, whole in found if x is not None and (x > 0 or not log)]


def _ends(info: CurvesInfo, which: str) -> list[float]:
    ends = [max((x for x, _, _ in _points(curve, which)), default=0.0) for curve in info.curves]
    return [end for end in ends if end > 0]


def _loss_range(info: CurvesInfo, log: bool) -> list[float] | None:
    """The range of the losses without those of diverging runs, which would squash the rest."""
    steady = [curve for curve in info.curves if not curve.diverged] or info.curves
    losses = [loss for curve in steady for _, loss, _ in _points(curve, "time_s", log)]
    losses += [loss for loss in (info.target_loss, info.ngram_loss) if loss is not None]
    if not losses:
        return None
    room = 0.06 * (max(losses) - min(losses))
    return [min(losses) - room, max(losses) + room]


def _add_curves(figure: go.Figure, info: CurvesInfo, which: str, column: int, log: bool) -> None:
    first = column == 1
    others = [curve for curve in info.curves if curve.part == "other"]
    if others:
        figure.add_trace(_others_trace(others, which, log, first, info.unit), row=1, col=column)
    for index, (curve, colour) in enumerate(_coloured(info)):
        is_baseline = curve.part == "baseline"
        points = _points(curve, which, log)
        trace = go.Scatter(
            x=[x for x, _, _ in points],
            y=[loss for _, loss, _ in points],
            name=style.text(curve.name),
            legendgroup=curve.name,
            showlegend=first,
            mode="lines" if is_baseline else "lines+markers",
            line={
                "color": colour,
                "width": 3 if is_baseline else 2.5,
                "dash": "dash" if is_baseline else "solid",
            },
            marker={
                "symbol": style.SYMBOLS[index % len(style.SYMBOLS)],
                "size": [7 if whole else 0 for _, _, whole in points],
                "color": colour,
            },
            hovertemplate=f"%{{y:.4f}}{info.unit} at %{{x:.4g}} {'J' if first else 's'}",
        )
        figure.add_trace(trace, row=1, col=column)


def _coloured(info: CurvesInfo) -> list[tuple[Curve, str]]:
    """The front and then the baseline, each with its colour."""
    front = [curve for curve in info.curves if curve.part == "front"]
    colours = [style.CYCLE[index % len(style.CYCLE)] for index in range(len(front))]
    baseline = [(curve, style.GREEN) for curve in info.curves if curve.part == "baseline"]
    return [*zip(front, colours, strict=True), *baseline]


def _add_partial(figure: go.Figure, info: CurvesInfo, which: str, column: int, log: bool) -> None:
    """Small hollow marks where an evaluation was not finished: its loss is an estimate from a part of the
    validation tokens."""
    curves = [*((c, style.GREY) for c in info.curves if c.part == "other"), *_coloured(info)]
    found = [
        (x, loss, colour, curve.name)
        for curve, colour in curves
        for x, loss, whole in _points(curve, which, log)
        if not whole
    ]
    if not found:
        return
    trace = go.Scatter(
        x=[x for x, _, _, _ in found],
        y=[loss for _, loss, _, _ in found],
        name=info.partial,
        legendgroup="partial",
        showlegend=column == 1,
        mode="markers",
        marker={
            "symbol": "circle-open",
            "size": [4 if colour == style.GREY else 6 for _, _, colour, _ in found],
            "color": [colour for _, _, colour, _ in found],
            "line": {"width": 1.5},
        },
        hovertext=[style.text(name) for _, _, _, name in found],
        hovertemplate=f"%{{hovertext}}: about %{{y:.3f}}{info.unit}, {info.partial}<extra></extra>",
    )
    figure.add_trace(trace, row=1, col=column)


def _others_trace(curves: Sequence[Curve], which: str, log: bool, legend: bool, unit: str) -> go.Scatter:
    """All the other runs as one trace, a gap between two: a legend entry each would bury the rest."""
    x: list[float | None] = []
    y: list[float | None] = []
    hover: list[str] = []
    for curve in curves:
        points = _points(curve, which, log)
        x += [*(at for at, _, _ in points), None]
        y += [*(loss for _, loss, _ in points), None]
        hover += [style.text(curve.name)] * (len(points) + 1)
    return go.Scatter(
        x=x,
        y=y,
        name="other runs",
        legendgroup="other",
        showlegend=legend,
        mode="lines",
        line={"color": style.GREY, "width": 1},
        opacity=0.6,
        hovertext=hover,
        hovertemplate=f"%{{hovertext}}: %{{y:.4f}}{unit}<extra></extra>",
    )


def _add_references(figure: go.Figure, info: CurvesInfo, column: int) -> None:
    """Lines across both panels, named on the right; the lower name hangs below its line."""
    known = {"target": info.target_loss, "n-gram": info.ngram_loss}
    lines = sorted((loss, name) for name, loss in known.items() if loss is not None)
    for index, (loss, name) in enumerate(lines):
        dash = "solid" if name == "target" else "dot"
        figure.add_hline(y=loss, line={"color": style.GREY, "width": 1.5, "dash": dash}, row=1, col=column)
        if column == 2:
            figure.add_annotation(
                text=f"{name} {info.metric.text(info.metric.shown(loss))}",
                x=1.01,
                xref="paper",
                xanchor="left",
                y=loss,
                yref="y2",
                yanchor="top" if index + 1 < len(lines) else "bottom",
                showarrow=False,
            )
