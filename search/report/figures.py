"""The figures beside the Pareto front: an `xxx_info` computes values, its `xxx_figure` only draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from search.report import style, words
from search.report.data import StudyView
from search.report.importance import Importance
from search.report.pareto import group_of
from search.trial import PHASES, CurvePoint, Outcome


@dataclass(frozen=True)
class Curve:
    """Validation losses of one run; `part` is baseline, front or other."""

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


def curves_info(view: StudyView) -> CurvesInfo:
    """A curve for every run with two evaluations or more; points whose loss is no number are left out."""
    curves = []
    for record in view.records:
        points = tuple(point for point in record.curve if math.isfinite(point.loss))
        if len(points) > 1:
            group = group_of(view, record)
            part = group if group in ("baseline", "front") else "other"
            diverged = record.outcome is Outcome.DIVERGED
            curves.append(Curve(words.name_of(view, record), part, diverged, points))
    return CurvesInfo(
        curves=tuple(curves),
        target_loss=view.problem.target_loss,
        ngram_loss=view.problem.ngram_loss,
        kind=words.kind_words(view),
    )


def curves_figure(info: CurvesInfo) -> go.Figure:
    """Validation loss against counted joules (left) and counted seconds (right), on one loss axis."""
    base = style.figure(460)
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.04, figure=base)
    panels = (("energy_j", f"counted energy (J), {info.kind}"), ("time_s", "counted time (s)"))
    log = any(style.spans_decade(_ends(info, which)) for which, _ in panels)
    for column, (which, title) in enumerate(panels, start=1):
        _add_curves(figure, info, which, column, log)
        _add_references(figure, info, column)
        drawn = [x for curve in info.curves for x, _ in _points(curve, which, log)]
        settings = style.axis(title, drawn, log=log and bool(drawn), from_zero=True)
        figure.update_xaxes(settings, row=1, col=column)
    figure.update_yaxes({"title": {"text": "validation loss (nats per token)"}, "automargin": True}, col=1)
    figure.update_yaxes(zeroline=False, range=_loss_range(info, log))
    figure.update_layout(margin={"r": 112})
    return figure


def _points(curve: Curve, which: str, log: bool = False) -> list[tuple[float, float]]:
    """(joules or seconds, loss), without what is unknown and, for a log axis, without the start at 0."""
    found = [(getattr(point, which), point.loss) for point in curve.points]
    return [(x, loss) for x, loss in found if x is not None and (x > 0 or not log)]


def _ends(info: CurvesInfo, which: str) -> list[float]:
    ends = [max((x for x, _ in _points(curve, which)), default=0.0) for curve in info.curves]
    return [end for end in ends if end > 0]


def _loss_range(info: CurvesInfo, log: bool) -> list[float] | None:
    """Everything that is drawn but a run that diverges, which must not squash the rest."""
    steady = [curve for curve in info.curves if not curve.diverged] or info.curves
    losses = [loss for curve in steady for _, loss in _points(curve, "time_s", log)]
    losses += [loss for loss in (info.target_loss, info.ngram_loss) if loss is not None]
    if not losses:
        return None
    room = 0.06 * (max(losses) - min(losses))
    return [min(losses) - room, max(losses) + room]


def _add_curves(figure: go.Figure, info: CurvesInfo, which: str, column: int, log: bool) -> None:
    first = column == 1
    others = [curve for curve in info.curves if curve.part == "other"]
    if others:
        figure.add_trace(_others_trace(others, which, log, first), row=1, col=column)
    shown = [curve for part in ("front", "baseline") for curve in info.curves if curve.part == part]
    for index, curve in enumerate(shown):
        is_baseline = curve.part == "baseline"
        colour = style.GREEN if is_baseline else style.CYCLE[index % len(style.CYCLE)]
        points = _points(curve, which, log)
        trace = go.Scatter(
            x=[x for x, _ in points],
            y=[loss for _, loss in points],
            name=style.text(curve.name),
            legendgroup=curve.name,
            showlegend=first,
            mode="lines" if is_baseline else "lines+markers",
            line={
                "color": colour,
                "width": 3 if is_baseline else 2.5,
                "dash": "dash" if is_baseline else "solid",
            },
            marker={"symbol": style.SYMBOLS[index % len(style.SYMBOLS)], "size": 7, "color": colour},
            hovertemplate="%{y:.4f} nats at %{x:.4g} " + ("J" if first else "s"),
        )
        figure.add_trace(trace, row=1, col=column)


def _others_trace(curves: Sequence[Curve], which: str, log: bool, legend: bool) -> go.Scatter:
    """All the other runs as one trace, a gap between two: a legend entry each would bury the rest."""
    x: list[float | None] = []
    y: list[float | None] = []
    hover: list[str] = []
    for curve in curves:
        points = _points(curve, which, log)
        x += [*(at for at, _ in points), None]
        y += [*(loss for _, loss in points), None]
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
        hovertemplate="%{hovertext}: %{y:.4f} nats<extra></extra>",
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
                text=f"{name} {words.nats(loss)}",
                x=1.01,
                xref="paper",
                xanchor="left",
                y=loss,
                yref="y2",
                yanchor="top" if index + 1 < len(lines) else "bottom",
                showarrow=False,
            )


@dataclass(frozen=True)
class PhasesInfo:
    """Joules by phase for the baseline and the front, and which phases count."""

    names: tuple[str, ...]
    energy_j: Mapping[str, tuple[float, ...]]
    counted: tuple[str, ...]
    kind: str


def phases_info(view: StudyView) -> PhasesInfo:
    """Runs without a ledger have no phases and are left out."""
    known = [(record, record.ledger) for record in view.shown if record.ledger is not None]
    return PhasesInfo(
        names=tuple(words.name_of(view, record) for record, _ in known),
        energy_j={phase: tuple(float(ledger.energy_j[phase]) for _, ledger in known) for phase in PHASES},
        counted=view.meter.counted_phases.phases if view.meter is not None else (),
        kind=words.kind_words(view),
    )


# Phase -> (colour, pattern): each is told from its neighbours by the pattern alone.
_PHASES = {
    "setup": (style.ORANGE, "."),
    "compile": (style.PURPLE, "x"),
    "train": (style.BLUE, "\\"),
    "eval": (style.GREEN, "/"),
    "checkpoint": (style.VERMILLION, "-"),
}


def phases_figure(info: PhasesInfo) -> go.Figure:
    """One stacked bar a run: phases that count are filled, the others only hatched."""
    figure = style.figure(150 + 42 * len(info.names), barmode="stack", bargap=0.35)
    for phase in PHASES:
        colour, pattern = _PHASES[phase]
        counted = phase in info.counted
        figure.add_trace(
            go.Bar(
                y=list(info.names),
                x=list(info.energy_j[phase]),
                name=f"{phase} (counted)" if counted else f"{phase} (not counted)",
                orientation="h",
                marker={
                    "color": colour,
                    "line": {"color": colour, "width": 1.5},
                    "pattern": {"shape": pattern, "size": 7, "solidity": 0.3}
                    | ({"fillmode": "overlay", "fgcolor": "white"} if counted else {}),
                },
                hovertemplate=f"%{{y}}, {phase}: %{{x:.4g}} J<extra></extra>",
            )
        )
    figure.update_xaxes(style.axis(f"gross energy (J), {info.kind}", [], log=False, from_zero=True))
    figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
    return figure


@dataclass(frozen=True)
class OutcomesInfo:
    """How many runs ended how, and the gross joules that they took (None: not known of any)."""

    runs: Mapping[str, int]
    energy_j: Mapping[str, float | None]


def outcomes_info(view: StudyView) -> OutcomesInfo:
    happened = {name: count for name, count in view.outcomes.items() if count}
    return OutcomesInfo(happened, {name: view.cost.by_outcome_j.get(name) for name in happened})


def outcomes_figure(info: OutcomesInfo) -> go.Figure:
    """Runs by outcome, with the joules that each outcome took."""
    figure = style.figure(60 + 34 * len(info.runs), bargap=0.35, margin={"l": 60, "r": 44, "t": 24, "b": 12})
    labels = [
        f"{count} run{'' if count == 1 else 's'}, {words.quantity(info.energy_j[name], 'J')}"
        for name, count in info.runs.items()
    ]
    reached = [name == Outcome.REACHED.value for name in info.runs]
    figure.add_trace(
        go.Bar(
            y=list(info.runs),
            x=list(info.runs.values()),
            orientation="h",
            text=labels,
            textposition="outside",
            cliponaxis=False,
            marker={
                "color": [style.BLUE if yes else style.GREY for yes in reached],
                "pattern": {"shape": ["" if yes else "/" for yes in reached], "solidity": 0.3, "size": 7},
            },
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    top = max(info.runs.values(), default=1)
    figure.update_xaxes(range=[0, 1.3 * top], visible=False)
    figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
    return figure


def importance_figure(importance: Importance) -> go.Figure:
    """Shares of importance, the largest on top."""
    figure = style.figure(110 + 30 * len(importance.shares), bargap=0.35)
    figure.add_trace(
        go.Bar(
            y=[style.text(name) for name in importance.shares],
            x=list(importance.shares.values()),
            orientation="h",
            text=[words.ratio(share) for share in importance.shares.values()],
            textposition="outside",
            cliponaxis=False,
            marker={"color": style.BLUE},
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    figure.update_xaxes(style.axis("share of importance", [], log=False) | {"range": [0, 1.15]})
    figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
    return figure
