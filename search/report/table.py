"""The runs as rows: every field for `trials.csv`, and the columns that a person compares for the page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from search.lookup import is_lookup_like
from search.report import words
from search.report.data import StudyView
from search.report.temperature import warming
from search.report.values import brief_names, differing_params, flat, plain_value
from search.trial import PHASES, Outcome, Record


def trials_frame(view: StudyView) -> pd.DataFrame:
    """A row a record, in the order of the records, with the exact values; unknown is empty, never 0.

    Phases are `energy_train_j` and `time_train_s`, parameters `params.` and their path. What another meter
    counted (until the crossing, or the end of the run) is `also_NAME_j`, and `also_NAME_kind` says its kind.
    """
    rows = [_row(view, record) for record in view.records]
    columns = dict.fromkeys(name for row in rows for name in row) or _row_names(view)
    return pd.DataFrame(rows, columns=list(columns), dtype=object)


def _row_names(view: StudyView) -> dict[str, None]:
    """The head of a table without runs."""
    return dict.fromkeys(("trial", "run_id", "role", "outcome", "reason", "seed", *view.objectives))


def _row(view: StudyView, record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {
        "trial": record.trial,
        "run_id": record.run_id,
        "role": record.role,
        "outcome": record.outcome.value,
        "reason": words.redacted(record.reason),
        "interrupted": record.interrupted,
        "lookup_like": is_lookup_like(record),
        "seed": record.seed,
    }
    row |= {name: record.values.get(name) for name in dict.fromkeys((*view.objectives, *record.values))}
    row |= {
        "gross_energy_j": record.gross_energy_j,
        "counted_energy_j": record.counted_energy_j,
        "energy_error_j": record.energy_error_j,
        "net_energy_j": record.net_energy_j,
        "counted_time_s": record.counted_time_s,
        "idle_power_w": record.idle_power_w,
    }
    ledger = record.ledger
    row |= {f"energy_{phase}_j": None if ledger is None else ledger.energy_j[phase] for phase in PHASES}
    row |= {f"time_{phase}_s": None if ledger is None else ledger.time_s[phase] for phase in PHASES}
    for side in record.also:
        row |= {f"also_{side.meter}_j": side.counted_energy_j, f"also_{side.meter}_kind": side.kind.value}
    row |= _observed(record)
    row |= {
        "target_loss": record.target_loss,
        "best_loss": record.best_loss,
        "loss_gap": record.loss_gap,
        "steps": record.steps,
        "tokens": record.tokens,
        "parameters": record.parameters,
        "peak_memory_bytes": record.peak_memory_bytes,
        "meter": record.meter.name,
        "kind": record.meter.kind.value,
        "flags": "; ".join(record.flags),
        "started_at": record.started_at,
        "ended_at": record.ended_at,
    }
    return row | {f"params.{path}": _cell(value) for path, value in flat(view.params(record)).items()}


_OBSERVED = (
    *("mean_power_w", "temperature_start_c", "temperature_end_c", "temperature_max_c"),
    *("compiled_graphs", "graph_breaks"),
)


def _observed(record: Record) -> dict[str, Any]:
    """Mean watts and degrees Celsius as the meter saw them, the rise in kelvin, and what was compiled; what
    was not seen has no column."""
    row = {key: plain_value(record.observed[key]) for key in _OBSERVED if key in record.observed}
    warmed = warming(record)
    return row if warmed is None else row | {"temperature_rise_k": warmed.rise_k}


def _cell(value: Any) -> Any:
    """Lists as JSON, so that they can be read back; the rest as it is."""
    plain = plain_value(value)
    return json.dumps(plain) if isinstance(plain, list) else plain


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
    """A run short of the target has spent at least this much."""
    value = record.spent.get(objective)
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
