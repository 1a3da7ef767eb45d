"""Temperatures beside joules: what draws more gets hotter, and a thermometer knows nothing of the meter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from search.console.plural import counted
from search.energy.agreement import Correlation, spearman
from search.record.record import Record
from search.report import style, words
from search.report.data import StudyView

MIN_RUNS = 3  # fewer show no trend


@dataclass(frozen=True)
class Warming:
    """Degrees Celsius at a run's start and its highest. `rise_k` is not clamped: a run can cool."""

    start_c: float
    highest_c: float

    @property
    def rise_k(self) -> float:
        return self.highest_c - self.start_c


def warming(record: Record) -> Warming | None:
    """What the meter saw, or None where a temperature is unknown. Without a highest, the last one stands in
    for it."""
    start = _degrees(record, "temperature_start_c")
    highest = _degrees(record, "temperature_max_c")
    highest = _degrees(record, "temperature_end_c") if highest is None else highest
    return None if start is None or highest is None else Warming(start, highest)


def _degrees(record: Record, key: str) -> float | None:
    value = record.observed.get(key)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


@dataclass(frozen=True)
class Warmed:
    """One run: mean power over all of its phases by the meter that ranks, and how far it warmed up."""

    name: str
    power_w: float
    warming: Warming
    lines: tuple[str, ...]


@dataclass(frozen=True)
class TemperatureInfo:
    """Runs by part (baseline, front or other), and the rank correlation of power and warming over them."""

    parts: Mapping[str, tuple[Warmed, ...]]
    correlation: Correlation | None
    kind: str

    @property
    def runs(self) -> int:
        return sum(map(len, self.parts.values()))


def temperature_note(info: TemperatureInfo) -> str:
    """What the figure shows, in a sentence."""
    return (
        f"Over {counted(info.runs, 'run')}, Spearman's ρ of temperature rise and mean power is "
        f"{words.correlation_words(info.correlation)}."
    )


def temperature_info(view: StudyView) -> TemperatureInfo:
    """Every run with temperatures and an energy, whatever became of it."""
    parts: dict[str, list[Warmed]] = {}
    for record in view.records:
        seen, ledger = warming(record), record.ledger
        if seen is not None and ledger is not None and ledger.gross_time_s > 0:
            power_w = ledger.gross_energy_j / ledger.gross_time_s
            parts.setdefault(_part(view, record), []).append(_warmed(view, record, power_w, seen))
    runs = [run for part in parts.values() for run in part]
    return TemperatureInfo(
        parts={part: tuple(found) for part, found in parts.items()},
        correlation=spearman([run.power_w for run in runs], [run.warming.rise_k for run in runs]),
        kind=words.kind_words(view),
    )


def _part(view: StudyView, record: Record) -> str:
    if record is view.baseline:
        return "baseline"
    return "front" if any(record is other for other in view.front) else "other"


def _warmed(view: StudyView, record: Record, power_w: float, seen: Warming) -> Warmed:
    name = words.name_of(view, record)
    degrees = f"{seen.start_c:.0f} °C to {seen.highest_c:.0f} °C: {words.kelvin(seen.rise_k)}"
    power = f"mean power {words.quantity(power_w, 'W')}"
    return Warmed(
        name,
        power_w,
        seen,
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
                text=[words.brief_run(run.name) for run in runs],
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
