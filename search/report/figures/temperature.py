"""Temperatures beside joules: what draws more gets hotter, and a thermometer does not depend on the meter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from search.energy.agreement import Correlation, spearman
from search.record.record import Record
from search.report.figures import style
from search.report.findings import numbers
from search.report.findings.names import brief_run, kind_words, name_of
from search.report.view.data import StudyView
from search.report.view.warming import Warming, warming

MIN_RUNS = 3  # fewer show no trend


@dataclass(frozen=True)
class WarmedRun:
    """One run: mean power over all of its phases by the meter that ranks, and how far it warmed up."""

    name: str
    power_w: float
    warming: Warming
    lines: tuple[str, ...]


@dataclass(frozen=True)
class TemperatureInfo:
    """Runs by part (baseline, front or other), and the rank correlation of power and warming over them."""

    parts: Mapping[str, tuple[WarmedRun, ...]]
    correlation: Correlation | None
    kind: str

    @property
    def runs(self) -> int:
        return sum(map(len, self.parts.values()))


def temperature_info(view: StudyView) -> TemperatureInfo:
    """Every run with temperatures and an energy, whatever became of it."""
    parts: dict[str, list[WarmedRun]] = {}
    for record in view.runs:
        warmed, ledger = warming(record), record.ledger
        if warmed is not None and ledger is not None and ledger.gross_time_s > 0:
            power_w = ledger.gross_energy_j / ledger.gross_time_s
            parts.setdefault(_part(view, record), []).append(_run(view, record, power_w, warmed))
    runs = [run for part in parts.values() for run in part]
    return TemperatureInfo(
        parts={part: tuple(found) for part, found in parts.items()},
        correlation=spearman([run.power_w for run in runs], [run.warming.rise_k for run in runs]),
        kind=kind_words(view),
    )


def _part(view: StudyView, record: Record) -> str:
    if record is view.baseline:
        return "baseline"
    return "front" if view.on_front(record) else "other"


def _run(view: StudyView, record: Record, power_w: float, warmed: Warming) -> WarmedRun:
    name = name_of(view, record)
    degrees = f"{warmed.start_c:.0f} °C to {warmed.highest_c:.0f} °C: {numbers.kelvin(warmed.rise_k)}"
    power = f"mean power {numbers.quantity(power_w, 'W')}"
    return WarmedRun(
        name,
        power_w,
        warmed,
        style.describe(record, name, view.objectives, view.params(record), (power, degrees)),
    )


# Part -> (legend, symbol, colour, size), the last drawn on top.
_MARKERS = {
    "other": ("other runs", "circle-open", style.GREY, 9),
    "front": ("Pareto front", "circle", style.BLUE, 12),
    "baseline": ("baseline", "star", style.GREEN, 17),
}


def temperature_figure(info: TemperatureInfo) -> go.Figure:
    """Warming against mean power."""
    figure = style.figure(360)
    for part, (legend, symbol, colour, size) in _MARKERS.items():
        runs = info.parts.get(part, ())
        if not runs:
            continue
        figure.add_trace(
            go.Scatter(
                x=[run.power_w for run in runs],
                y=[run.warming.rise_k for run in runs],
                name=legend,
                mode="markers" if part == "other" else "markers+text",
                text=[brief_run(run.name) for run in runs],
                textposition="top left" if part == "baseline" else "bottom right",
                marker={
                    "symbol": symbol,
                    "color": colour,
                    "size": size,
                    "line": {"width": 2, "color": colour},
                },
                hovertext=[style.lines(run.lines) for run in runs],
                hovertemplate="%{hovertext}<extra></extra>",
                cliponaxis=False,
            )
        )
    figure.update_xaxes(style.axis(f"mean power (W), {info.kind}", [], log=False))
    figure.update_yaxes(style.axis("temperature rise (K)", [], log=False))
    return figure
