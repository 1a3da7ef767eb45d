"""Two meters over the same runs as a figure: `meters_info` computes plain values, `meters_figure` draws
them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from search.energy.agreement import Pair
from search.record.record import Record
from search.report.figures import style
from search.report.findings import numbers
from search.report.findings.names import brief_run, meter_words, name_of
from search.report.view.data import StudyView
from search.report.view.side_by_side import Comparison

LABELLED = 3  # of the runs farthest from the median ratio


@dataclass(frozen=True)
class TwoReadings:
    """One run by both meters; `label` is empty but for the worst."""

    reference_j: float
    surrogate_j: float
    label: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class MetersInfo:
    """Runs by group (`baseline`, `ranks`, `again`, `short` of the target), and the median ratio."""

    groups: Mapping[str, tuple[TwoReadings, ...]]
    scale: float
    reference: str
    surrogate: str

    def values(self, which: str) -> list[float]:
        return [getattr(run, which) for runs in self.groups.values() for run in runs]


def meters_info(view: StudyView, comparison: Comparison) -> MetersInfo | None:
    """None where no run was read by both."""
    agreement = comparison.agreement
    if agreement.scale is None:
        return None
    worst = {id(residual.pair) for residual in agreement.residuals[:LABELLED]}
    groups: dict[str, list[TwoReadings]] = {}
    for pair, record in zip(agreement.pairs, comparison.records, strict=True):
        group = _group(view, record, pair)
        label = brief_run(pair.label) if id(pair) in worst or group == "baseline" else ""
        lines = _lines(view, comparison, pair, record, pair.ratio / agreement.scale)
        groups.setdefault(group, []).append(TwoReadings(pair.reference_j, pair.surrogate_j, label, lines))
    return MetersInfo(
        groups={name: tuple(runs) for name, runs in groups.items()},
        scale=agreement.scale,
        reference=meter_words(comparison.reference),
        surrogate=meter_words(comparison.surrogate),
    )


def _group(view: StudyView, record: Record, pair: Pair) -> str:
    if record is view.baseline:
        return "baseline" if pair.ranks else "short"
    if pair.ranks:
        return "ranks"
    return "again" if record.feasible else "short"


def _lines(
    view: StudyView, comparison: Comparison, pair: Pair, record: Record, factor: float
) -> tuple[str, ...]:
    both = (
        f"{meter_words(comparison.reference)}: {numbers.quantity(pair.reference_j, 'J')}",
        f"{meter_words(comparison.surrogate)}: {numbers.quantity(pair.surrogate_j, 'J')}",
        f"{numbers.ratio(factor)} times the median ratio",
    )
    return style.describe(record, name_of(view, record), (), view.params(record), both)


# Group -> (legend, symbol, colour, size). Filled or starred: ranks.
_MARKERS = {
    "short": ("target not reached: joules spent", "triangle-up-open", style.VERMILLION, 10),
    "again": ("run again, not ranked", "circle-open-dot", style.GREY, 9),
    "ranks": ("reached the target", "circle", style.BLUE, 9),
    "baseline": ("baseline", "star", style.GREEN, 15),
}


def meters_figure(info: MetersInfo) -> go.Figure:
    """Joules by the surrogate against joules by the reference; on the line they differ by the scale alone."""
    figure = style.figure(420)
    x, y = info.values("reference_j"), info.values("surrogate_j")
    ends = [
        min((*x, *(value / info.scale for value in y))) / 1.15,
        max((*x, *(value / info.scale for value in y))) * 1.15,
    ]
    figure.add_trace(
        go.Scatter(
            x=ends,
            y=[info.scale * end for end in ends],
            name=f"median ratio {numbers.ratio(info.scale)}",
            mode="lines",
            line={"color": style.GREY, "width": 1.5, "dash": "dash"},
            hoverinfo="skip",
        )
    )
    for group in _MARKERS:
        if runs := info.groups.get(group):
            figure.add_trace(_trace(group, runs))
    line_y = [info.scale * end for end in ends]
    figure.update_xaxes(style.axis(f"energy (J), {info.reference}", ends, log=True))
    figure.update_yaxes(style.axis(f"energy (J), {info.surrogate}", line_y, log=True))
    return figure


def _trace(group: str, runs: Sequence[TwoReadings]) -> go.Scatter:
    legend, symbol, colour, size = _MARKERS[group]
    return go.Scatter(
        x=[run.reference_j for run in runs],
        y=[run.surrogate_j for run in runs],
        name=legend,
        mode="markers+text" if any(run.label for run in runs) else "markers",
        text=[style.text(run.label) for run in runs],
        textposition="top left" if group == "baseline" else "bottom right",
        marker={"symbol": symbol, "color": colour, "size": size, "line": {"width": 1.5, "color": colour}},
        hovertext=[style.lines(run.lines) for run in runs],
        hovertemplate="%{hovertext}<extra></extra>",
        cliponaxis=False,
    )
