"""The columns of `trials.csv`, each with its unit and its meaning beside the function that fills it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from model.metric import ACCURACY, LOSS
from search.record.ledger import Phase
from search.record.lookup import is_lookup_like
from search.record.objective import OBJECTIVES
from search.record.outcome import Outcome, Role
from search.record.record import Record, part_of
from search.report.view.data import StudyView
from search.report.view.values import flat, plain_value, redacted
from search.report.view.warming import warming


@dataclass(frozen=True)
class CsvColumn:
    """`unit` is that of a number, or the type of what is none. `optional`: there only where a run has it."""

    name: str
    unit: str
    meaning: str
    of: Callable[[Record], Any]
    optional: bool = False


@dataclass(frozen=True)
class ColumnFamily:
    """Columns that a record alone does not fill. Where their names depend on the study, `name` has the part
    that varies in capitals."""

    name: str
    unit: str
    meaning: str

    def covers(self, column: str) -> bool:
        """Whether the column is one of these."""
        pattern = re.sub(r"[A-Z]+", ".+", re.escape(self.name))
        return re.fullmatch(pattern, column) is not None


_WHO = (
    CsvColumn("trial", "number", "the trial's number in the study", lambda r: r.trial),
    CsvColumn("run_id", "text", "the run's own name, the same in records.jsonl", lambda r: r.run_id),
    CsvColumn(
        "role",
        "text",
        "baseline, search, fit and confirm (of the confirmation), single, or target (target_loss=auto)",
        lambda r: r.role,
    ),
    CsvColumn(
        "outcome",
        "text",
        f"how the run ended: {', '.join(Outcome)}",
        lambda r: r.outcome.value,
    ),
    CsvColumn("reason", "text", "why it ended, in its own words", lambda r: redacted(r.reason)),
    CsvColumn(
        "interrupted", "True or False", "whether it was killed before its end", lambda r: r.interrupted
    ),
    CsvColumn(
        "lookup_like",
        "True or False",
        "whether its model maps the last tokens to the next by looking them up",
        is_lookup_like,
    ),
    CsvColumn("seed", "number", "the seed of the run", lambda r: r.seed),
)

_ENERGY = (
    CsvColumn(
        "gross_energy_j",
        "J",
        "everything that the meter saw, all phases, inference too",
        lambda r: r.gross_energy_j,
    ),
    CsvColumn(
        "counted_energy_j",
        "J",
        "joules of the phases that count until the run ended, whether or not it reached the target",
        lambda r: r.counted_energy_j,
    ),
    CsvColumn(
        "energy_error_j",
        "J",
        "what the meter's tick may have moved into or out of the counted joules; its gain is not in it",
        lambda r: r.energy_error_j,
    ),
    CsvColumn(
        "net_energy_j", "J", "gross minus idle power times time; may be negative", lambda r: r.net_energy_j
    ),
    CsvColumn(
        "counted_time_s",
        "s",
        "seconds of the phases that count until the run ended",
        lambda r: r.counted_time_s,
    ),
    CsvColumn("idle_power_w", "W", "power before the study, nothing running", lambda r: r.idle_power_w),
)


def _joules_of(phase: Phase) -> Callable[[Record], float | None]:
    return lambda record: None if record.ledger is None else record.ledger.energy_j[phase]


def _seconds_of(phase: Phase) -> Callable[[Record], float | None]:
    return lambda record: None if record.ledger is None else record.ledger.time_s[phase]


_PHASES = (
    *(CsvColumn(f"energy_{name}_j", "J", f"joules of the phase {name}", _joules_of(name)) for name in Phase),
    *(CsvColumn(f"time_{name}_s", "s", f"seconds of the phase {name}", _seconds_of(name)) for name in Phase),
)


def _observed(key: str, unit: str, meaning: str) -> CsvColumn:
    return CsvColumn(key, unit, meaning, lambda record: plain_value(record.observed.get(key)), optional=True)


def _gpu_uuid(record: Record) -> str | None:
    uuid = part_of(record.provenance, "hardware").get("device_uuid")
    return str(uuid) if str(uuid).startswith("GPU-") else None


def _node(record: Record) -> str | None:
    node = part_of(record.provenance, "hardware").get("node")
    return None if node is None else str(node)


def _rise_k(record: Record) -> float | None:
    warmed = warming(record)
    return None if warmed is None else warmed.rise_k


_OBSERVED = (
    _observed("mean_power_w", "W", "mean power of the run as the meter saw it"),
    _observed("temperature_start_c", "°C", "the device's temperature at the start"),
    _observed("temperature_end_c", "°C", "the device's temperature at the end"),
    _observed("temperature_max_c", "°C", "the device's highest temperature"),
    _observed("compiled_graphs", "number", "graphs that torch compiled"),
    _observed("graph_breaks", "number", "places where torch could not compile on"),
    CsvColumn(
        "temperature_rise_k", "K", "highest temperature minus the one at the start", _rise_k, optional=True
    ),
)


def _unless_it_finds(field: str) -> Callable[[Record], float | None]:
    """The field of a run that tries to reach the target; empty for the one that finds it."""
    return lambda record: None if record.role is Role.TARGET else getattr(record, field)


def _measured(metric: str, of: Callable[[Record], float | None]) -> Callable[[Record], float | None]:
    """As people read it; empty for runs of the other metric."""

    def value(record: Record) -> float | None:
        found = of(record) if record.metric.name == metric else None
        return None if found is None else record.metric.shown(found)

    return value


def _of_confirmation(field: str) -> Callable[[Record], Any]:
    return lambda record: None if record.confirmation is None else getattr(record.confirmation, field)


_PLACE = (
    CsvColumn(
        "arm",
        "text",
        "of a run of the confirmation: the recipe that it trains; documented and fitted are the baseline",
        _of_confirmation("arm"),
        optional=True,
    ),
    CsvColumn(
        "round",
        "number",
        "of such a run, from 0: runs of one round have the same seed and stand beside each other; of a fit, "
        "the runs of its recipe are counted",
        _of_confirmation("round"),
        optional=True,
    ),
    CsvColumn(
        "attempt",
        "number",
        "of such a run, from 0: it counts up where a round was run again",
        _of_confirmation("attempt"),
        optional=True,
    ),
)
_FACT = "of every run; where it is an objective, empty where the target was not reached"
_WORK = (
    CsvColumn(
        "target_loss",
        "nats per token",
        "the validation loss to reach; empty where the target is an accuracy",
        _measured(LOSS, _unless_it_finds("target_loss")),
    ),
    CsvColumn(
        "best_loss",
        "nats per token",
        "the lowest validation loss of the run; empty where the accuracy is measured",
        _measured(LOSS, lambda r: r.best_loss),
    ),
    CsvColumn(
        "target_accuracy",
        "share",
        "the validation accuracy to reach",
        _measured(ACCURACY, _unless_it_finds("target_loss")),
        optional=True,
    ),
    CsvColumn(
        "best_accuracy",
        "share",
        "the highest validation accuracy of the run",
        _measured(ACCURACY, lambda r: r.best_loss),
        optional=True,
    ),
    CsvColumn(
        "test_loss",
        "nats per token",
        "the loss on the test part at the last step, of a run of fixed length: no run is stopped, ranked or "
        "chosen by it",
        _measured(LOSS, lambda r: r.test_loss),
        optional=True,
    ),
    CsvColumn(
        "test_accuracy",
        "share",
        "the accuracy on the test part, likewise",
        _measured(ACCURACY, lambda r: r.test_loss),
        optional=True,
    ),
    *_PLACE,
    CsvColumn(
        "loss_gap",
        "nats per token, or share",
        "best loss minus target, or target accuracy minus the best: 0 or less reached it",
        _unless_it_finds("loss_gap"),
    ),
    CsvColumn("steps", "number", "optimizer steps taken", lambda r: r.steps),
    CsvColumn("tokens", "number", "training tokens seen", lambda r: r.tokens),
    CsvColumn("parameters", "number", f"trainable parameters of the model; {_FACT}", lambda r: r.parameters),
    CsvColumn(
        "peak_memory_bytes",
        "B",
        f"peak memory of the run, where it is known; {_FACT}",
        lambda r: r.peak_memory_bytes,
    ),
    CsvColumn("meter", "text", "the meter that ranks", lambda r: r.meter.name),
    CsvColumn(
        "kind", "text", "what its joules are: measured, estimated, modelled", lambda r: r.meter.kind.value
    ),
    CsvColumn(
        "flags", "text", "what makes the run doubtful, separated by semicolons", lambda r: "; ".join(r.flags)
    ),
    CsvColumn("started_at", "ISO 8601, UTC", "when the run started", lambda r: r.started_at),
    CsvColumn("ended_at", "ISO 8601, UTC", "when the run ended", lambda r: r.ended_at),
    CsvColumn("gpu_uuid", "text", "the GPU that trained it", _gpu_uuid, optional=True),
    CsvColumn("node", "text", "the node of the cluster that trained it", _node, optional=True),
)

_INFERENCE = (
    ColumnFamily(
        "inference_BATCH_j_per_token",
        "J/token",
        "joules of a generated token at this batch, the prompt's among them; of the meter that ranks",
    ),
    ColumnFamily("inference_BATCH_j", "J", "what generating at this batch took, all repetitions"),
    ColumnFamily("inference_BATCH_error_j", "J", "what the meter's tick may have moved into or out of that"),
    ColumnFamily("inference_BATCH_s", "s", "how long that took"),
    ColumnFamily("inference_BATCH_tokens", "number", "tokens generated meanwhile, of all sequences"),
)
_AGAIN = (
    ColumnFamily(
        "replicate_of",
        "number",
        "the first trial of the same recipe, where this one repeats it with another seed",
    ),
)
_ALSO = (
    ColumnFamily("also_METER_j", "J", "what another meter counted over the same run"),
    ColumnFamily("also_METER_kind", "text", "what that meter's joules are: measured, estimated, modelled"),
)
_FACTS = (
    ColumnFamily(
        "run_FACT", "number", "parameters or peak_memory_bytes of every run, where it is an objective"
    ),
)
_PARAMS = (
    ColumnFamily("params.PATH", "any", "a parameter by its path in the configuration; a list is JSON"),
)


def _objective(name: str) -> CsvColumn:
    row = OBJECTIVES.get(name)
    unit = (row.unit or "number") if row else "number"
    meaning = row.summary if row else name
    text = f"objective: {meaning}; empty where the target was not reached"
    return CsvColumn(name, unit, text, lambda record: record.values.get(name), optional=True)


def trials_frame(view: StudyView) -> pd.DataFrame:
    """A row a record, in the order of the records, with the exact values; unknown is empty, never 0.

    What each column holds is in docs/trials-csv.md, which is written from this file.
    """
    rows = [csv_row(view, record) for record in view.runs]
    columns = dict.fromkeys(name for row in rows for name in row) or head(view)
    return pd.DataFrame(rows, columns=list(columns), dtype=object)


def csv_row(view: StudyView, record: Record) -> dict[str, Any]:
    """One run's values by column, in the order of the file; what is optional and unknown is left out."""
    names = dict.fromkeys((*view.objectives, *record.values))
    row = _filled(record, _WHO)
    if view.replicates:
        row["replicate_of"] = view.replicate_of(record)
    row |= {name: record.values.get(name) for name in names}
    row |= _filled(record, (*_ENERGY, *_PHASES))
    row |= _inference(record)
    for side in record.second_meters:
        row |= {f"also_{side.meter}_j": side.counted_energy_j, f"also_{side.meter}_kind": side.kind.value}
    row |= _filled(record, _OBSERVED)
    row |= {f"run_{name}" if name in names else name: value for name, value in _filled(record, _WORK).items()}
    return row | {f"params.{path}": _cell(value) for path, value in flat(view.params(record)).items()}


def _inference(record: Record) -> dict[str, Any]:
    """Of each batch that was generated, whether or not its joules are known."""
    row: dict[str, Any] = {}
    for one in () if record.inference is None else record.inference.batches:
        row |= {
            f"inference_{one.batch_size}_j_per_token": one.energy_j_per_token,
            f"inference_{one.batch_size}_j": one.energy_j,
            f"inference_{one.batch_size}_error_j": one.energy_error_j,
            f"inference_{one.batch_size}_s": one.time_s,
            f"inference_{one.batch_size}_tokens": one.tokens,
        }
    return row


def _filled(record: Record, columns: Iterable[CsvColumn]) -> dict[str, Any]:
    values = {column: column.of(record) for column in columns}
    return {c.name: value for c, value in values.items() if value is not None or not c.optional}


def _cell(value: Any) -> Any:
    """Lists as JSON, so that they can be read back; the rest as it is."""
    plain = plain_value(value)
    return json.dumps(plain) if isinstance(plain, list) else plain


def head(view: StudyView) -> list[str]:
    """The first columns, for a file without runs."""
    return [*(column.name for column in _WHO), *view.objectives]


def documented() -> tuple[CsvColumn | ColumnFamily, ...]:
    """Every column that the file can have, in its order."""
    facts = {column.name for column in _WORK}
    objectives = [_objective(name) for name in OBJECTIVES if name not in facts]
    return (
        *_WHO,
        *_AGAIN,
        *objectives,
        *_ENERGY,
        *_PHASES,
        *_INFERENCE,
        *_ALSO,
        *_OBSERVED,
        *_WORK,
        *_FACTS,
        *_PARAMS,
    )


def dictionary() -> str:
    """`docs/trials-csv.md`."""
    lines = [
        "# The columns of `trials.csv`",
        "",
        "A row a run, in the order in which they ended. Unknown is empty, never 0. Columns in *italics* are "
        "not there for every study: objectives are the study's own, and what no run has has no column.",
        "",
        "Written by `python -m search.report.schema docs`; `summary.schema.json` beside it is that of "
        "`summary.json`.",
        "",
        "| column | unit | meaning |",
        "|---|---|---|",
    ]
    for column in documented():
        varies = isinstance(column, ColumnFamily) or column.optional
        name = f"*`{column.name}`*" if varies else f"`{column.name}`"
        lines.append(f"| {name} | {column.unit} | {column.meaning} |")
    return "\n".join(itertools.chain(lines, [""]))
