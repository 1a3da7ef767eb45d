"""The runs as rows: every field for `trials.csv`, and the columns that a person compares for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from search.record.lookup import is_lookup_like
from search.record.record import Outcome, Record
from search.record.target import ROLE as TARGET_ROLE
from search.report import words
from search.report.csv_columns import csv_row, head
from search.report.data import StudyView
from search.report.temperature import warming
from search.report.values import brief_names, differing_params, flat


def trials_frame(view: StudyView) -> pd.DataFrame:
    """A row a record, in the order of the records, with the exact values; unknown is empty, never 0.

    What each column holds is in `csv_columns`, and in docs/trials-csv.md, which is written from there.
    """
    rows = [csv_row(view, record) for record in view.records]
    columns = dict.fromkeys(name for row in rows for name in row) or head(view)
    return pd.DataFrame(rows, columns=list(columns), dtype=object)


@dataclass(frozen=True)
class Column:
    """A column of the page's table. `title` says in full what the heading says in brief."""

    heading: str
    title: str
    numeric: bool
    energy: bool = False


@dataclass(frozen=True)
class Cell:
    """What is shown, and what is sorted by: a number, a text, or nothing (sorts last either way)."""

    text: str
    sort: str = ""


@dataclass(frozen=True)
class Row:
    """One run. `mark` says what it is to the study: best, on the front, on the front without lookup-like
    runs, killed, or nothing."""

    trial: int
    mark: str
    role: str
    outcome: str
    cells: tuple[Cell, ...]


_LOOKUP_COLUMN = Column("lookup-like", "maps the last tokens to the next by looking them up", False)


def runs_table(view: StudyView) -> tuple[tuple[Column, ...], tuple[Row, ...]]:
    """Columns after trial, role and outcome, and the rows in the order of the records.

    One of the columns says what is lookup-like, where a run that ranks is.
    """
    paths = differing_params([view.params(record) for record in view.records])
    warm = any(warming(record) is not None for record in view.records)
    columns = (
        *(Column(words.labelled(n), f"objective {n}", True, words.is_energy(n)) for n in view.objectives),
        Column("gross (J)", "all phases of the run, as metered", True, energy=True),
        Column("net (J)", "gross minus idle power times time", True, energy=True),
        Column("idle (W)", "power before the study, nothing running", True, energy=True),
        *((Column("temperature (°C)", "at the start, the highest, and the rise", True),) if warm else ()),
        *((_LOOKUP_COLUMN,) if view.lookup else ()),
        Column("best loss", "lowest validation loss, nats per token", True),
        Column("steps", "optimizer steps taken", True),
        Column("seed", "seed of the run", True),
        *(Column(name, path, _is_numeric(view, path)) for path, name in brief_names(paths).items()),
        Column("flags", "what makes the run doubtful", False),
        Column("reason", "why the run ended, in its own words", False),
    )
    return columns, tuple(_table_row(view, record, paths, warm) for record in view.records)


def _is_numeric(view: StudyView, path: str) -> bool:
    values = [flat(view.params(record)).get(path) for record in view.records]
    return all(isinstance(value, int | float | None) and not isinstance(value, bool) for value in values)


def _table_row(view: StudyView, record: Record, paths: Sequence[str], warm: bool) -> Row:
    params = flat(view.params(record))
    cells = (
        *(_objective_cell(view, record, name) for name in view.objectives),
        _number_cell(record.gross_energy_j),
        _number_cell(record.net_energy_j),
        _number_cell(record.idle_power_w),
        *((_temperature_cell(record),) if warm else ()),
        *((_lookup_cell(record),) if view.lookup else ()),
        Cell("", "")
        if record.best_loss is None
        else Cell(words.nats(record.best_loss), str(record.best_loss)),
        Cell(f"{record.steps:,}", str(record.steps)),
        Cell(str(record.seed), str(record.seed)),
        *(_param_cell(params, path) for path in paths),
        Cell("; ".join(record.flags), "; ".join(record.flags)),
        Cell(words.redacted(record.reason), words.redacted(record.reason)),
    )
    return Row(record.trial, mark(view, record), record.role, record.outcome.value, cells)


def mark(view: StudyView, record: Record) -> str:
    if record is view.best:
        return "best"
    if record.interrupted:
        return "killed"
    if any(record is other for other in view.front):
        return "front"
    if any(record is other for other in view.front_without_lookup):
        return "front without lookup-like"
    return ""


def _objective_cell(view: StudyView, record: Record, objective: str) -> Cell:
    """A run short of the target has spent at least this much; of one that finds it nothing is said."""
    value = None if record.role == TARGET_ROLE else record.spent.get(objective)
    if value is None:
        return Cell("unknown" if record.outcome is Outcome.UNMEASURED else "", "")
    if words.unit(objective) in ("J", "s"):
        error = words.visible_error_j(objective, value, record.energy_error_j)
        shown = words.number(float(value)) + ("" if error is None else f" ± {words.number(error, 2)}")
    else:
        shown = words.objective_value(objective, value)
    return Cell(shown if record.feasible else f"≥ {shown}", str(float(value)))


def _number_cell(value: float | None) -> Cell:
    return Cell("unknown") if value is None else Cell(words.number(value), str(float(value)))


def _temperature_cell(record: Record) -> Cell:
    """Start and highest in degrees Celsius, and the rise, which is what it is sorted by."""
    seen = warming(record)
    if seen is None:
        return Cell("n/a")
    text = f"{seen.start_c:.0f} → {seen.highest_c:.0f} ({words.kelvin(seen.rise_k)})"
    return Cell(text, str(seen.rise_k))


def _lookup_cell(record: Record) -> Cell:
    return Cell("lookup-like", "lookup-like") if is_lookup_like(record) else Cell("")


def _param_cell(params: Mapping[str, Any], path: str) -> Cell:
    if path not in params:
        return Cell("")
    value = params[path]
    shown = words.parameter(value)
    exact = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return Cell(shown, str(float(value)) if exact else shown)
