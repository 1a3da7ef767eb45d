"""All runs as rows of texts, with the columns that a person compares."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.metric import Metric
from search.record.lookup import is_lookup_like
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.report.findings import numbers
from search.report.view.data import StudyView
from search.report.view.values import brief_names, differing_params, flat, redacted
from search.report.view.warming import warming


@dataclass(frozen=True)
class Column:
    """`title` says in full what the heading says in brief. `style` is `num` for numbers, or the name of a
    column of long texts."""

    heading: str
    title: str
    style: str = ""


@dataclass(frozen=True)
class Cell:
    """What is shown, and what is sorted by: a number, a text, or nothing (sorts last either way)."""

    text: str
    sort: str = ""
    style: str = ""


@dataclass(frozen=True)
class Row:
    """One run. `mark` says what it is to the study: best, on the front, on the front without lookup-like
    runs, killed, another trial again, or nothing."""

    trial: int
    mark: str
    role: str
    outcome: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class RunsTable:
    """Columns after trial, role and outcome; rows in the order of the records; the outcomes among them."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    outcomes: tuple[str, ...]


def runs_table(view: StudyView) -> RunsTable:
    """All runs, those of the confirmation last; a column marks lookup-like ones if one of them ranks."""
    paths = differing_params([view.params(record) for record in view.records])
    warm = any(warming(record) is not None for record in view.runs)
    columns = _columns(view, paths, warm)
    return RunsTable(
        columns,
        tuple(_row(view, record, columns, paths, warm) for record in view.runs),
        tuple(name for name, runs in view.outcomes.items() if runs),
    )


def _columns(view: StudyView, paths: Sequence[str], warm: bool) -> tuple[Column, ...]:
    kind = "" if view.meter is None else f", {view.meter.kind.value}"
    objectives = (
        Column(numbers.labelled(name), f"objective {name}{kind if numbers.is_energy(name) else ''}", "num")
        for name in view.objectives
    )
    lookup = Column("lookup-like", "maps the last tokens to the next by looking them up")
    recipe = Column("recipe", "of a run of the confirmation: what it trains, and in which round")
    return (
        *((recipe,) if _has_places(view) else ()),
        *objectives,
        Column("gross (J)", f"all phases of the run, as metered{kind}", "num"),
        Column("net (J)", f"gross minus idle power times time{kind}", "num"),
        Column("idle (W)", f"power before the study, nothing running{kind}", "num"),
        *((Column("temperature (°C)", "at the start, the highest, and the rise", "num"),) if warm else ()),
        *((lookup,) if view.lookup else ()),
        _best_column(view.problem.metric),
        Column("steps", "optimizer steps taken", "num"),
        Column("seed", "seed of the run", "num"),
        *(
            Column(name, path, "num" if _is_numeric(view, path) else "")
            for path, name in brief_names(paths).items()
        ),
        Column("flags", "what makes the run doubtful", "flags"),
        Column("reason", "why the run ended, in its own words", "reason"),
    )


def _best_column(metric: Metric) -> Column:
    unit = metric.either(", nats per token", "")
    best = f"{metric.either('lowest', 'highest')} validation {metric.name}{unit}"
    return Column(f"best {metric.name}", best, "num")


def _is_numeric(view: StudyView, path: str) -> bool:
    values = [flat(view.params(record)).get(path) for record in view.records]
    return all(isinstance(value, int | float | None) and not isinstance(value, bool) for value in values)


def _row(view: StudyView, record: Record, columns: Sequence[Column], paths: Sequence[str], warm: bool) -> Row:
    cells = (
        dataclasses.replace(cell, style=column.style if column.style == "num" or cell.text else "")
        for column, cell in zip(columns, _cells(view, record, paths, warm), strict=True)
    )
    return Row(record.trial, mark(view, record), record.role, record.outcome.value, tuple(cells))


def _cells(view: StudyView, record: Record, paths: Sequence[str], warm: bool) -> tuple[Cell, ...]:
    params = flat(view.params(record))
    loss = record.best_loss
    return (
        *((_place_cell(record),) if _has_places(view) else ()),
        *(_objective_cell(view, record, name) for name in view.objectives),
        _number_cell(record.gross_energy_j),
        _number_cell(record.net_energy_j),
        _number_cell(record.idle_power_w),
        *((_temperature_cell(record),) if warm else ()),
        *((_lookup_cell(record),) if view.lookup else ()),
        Cell("") if loss is None else Cell(record.metric.text(loss), str(record.metric.shown(loss))),
        Cell(f"{record.steps:,}", str(record.steps)),
        Cell(str(record.seed), str(record.seed)),
        *(_param_cell(params, path) for path in paths),
        _text_cell("; ".join(record.flags)),
        _text_cell(redacted(record.reason)),
    )


def mark(view: StudyView, record: Record) -> str:
    if record is view.best:
        return "best"
    if record.interrupted:
        return "killed"
    if view.on_front(record):
        return "front"
    if any(record is other for other in view.front_without_lookup):
        return "front without lookup-like"
    first = view.replicate_of(record)
    return "" if first is None else f"trial {first} again"


def _objective_cell(view: StudyView, record: Record, objective: str) -> Cell:
    """A run that missed the target shows what it had spent, with a ≥; the run that finds the target shows
    nothing."""
    value = None if record.role is Role.TARGET else record.spent.get(objective)
    if value is None:
        return Cell("unknown" if record.outcome is Outcome.UNMEASURED else "", "")
    if numbers.unit(objective) in ("J", "s"):
        error = numbers.visible_error_j(objective, value, record.energy_error_j)
        shown = numbers.number(float(value)) + ("" if error is None else f" ± {numbers.number(error, 2)}")
    else:
        shown = numbers.objective_value(objective, value)
    return Cell(shown if record.feasible else f"≥ {shown}", str(float(value)))


def _text_cell(text: str) -> Cell:
    return Cell(text, text)


def _number_cell(value: float | None) -> Cell:
    return Cell("unknown") if value is None else Cell(numbers.number(value), str(float(value)))


def _temperature_cell(record: Record) -> Cell:
    """Start and highest in degrees Celsius, and the rise, which is what it is sorted by."""
    warmed = warming(record)
    if warmed is None:
        return Cell("n/a")
    text = f"{warmed.start_c:.0f} → {warmed.highest_c:.0f} ({numbers.kelvin(warmed.rise_k)})"
    return Cell(text, str(warmed.rise_k))


def _has_places(view: StudyView) -> bool:
    return any(record.confirmation is not None for record in view.confirming)


def _place_cell(record: Record) -> Cell:
    """`trial 7, round 3`, counted from 1 as on the console; of a fit, which of its runs."""
    place = record.confirmation
    if place is None:
        return Cell("")
    what = "run" if record.role is Role.FIT else "round"
    again = f", attempt {place.attempt + 1}" if place.attempt else ""
    return _text_cell(f"{place.arm}, {what} {place.round + 1}{again}")


def _lookup_cell(record: Record) -> Cell:
    return _text_cell("lookup-like" if is_lookup_like(record) else "")


def _param_cell(params: Mapping[str, Any], path: str) -> Cell:
    if path not in params:
        return Cell("")
    value = params[path]
    shown = numbers.parameter(value)
    exact = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return Cell(shown, str(float(value)) if exact else shown)
