"""Records that may not be reported together, and what two of them must share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from search.record.meter_info import settings_of_model
from search.record.outcome import Role
from search.record.record import Record


class ReportError(ValueError):
    """Records that cannot be reported together. The text is one line."""


def refuse_mixed(records: Sequence[Record]) -> None:
    """Raise ReportError unless the records share a meter (on devices of one model), a counting policy, a
    target, a data set and the part of it that they validate on."""
    _one_of("meters", [_meter_words(record) for record in records])
    _one_of("targets", [r.metric.typed(r.target_loss) for r in to_the_target(records)])
    _one_of("data sets", [str(data_of(r)["sha256"]) for r in records if data_of(r).get("sha256")])
    parts = [str(data_of(r).get("held_out", "whole")) for r in records if data_of(r).get("sha256")]
    _one_of("ways to divide what is held out", parts)


def _one_of(what: str, values: Sequence[str]) -> None:
    distinct = sorted(set(values))
    if len(distinct) > 1:
        raise ReportError(
            f"expected records that can share a front, got {len(distinct)} {what} ({' | '.join(distinct)}); "
            "report each of them from a folder of its own"
        )


def _meter_words(record: Record) -> str:
    meter = record.meter
    settings = json.dumps(settings_of_model(meter.settings), sort_keys=True, default=str)
    return f"{meter.name}, {meter.kind.value}, counted {record.counted_phases.value}, settings {settings}"


def data_of(record: Record) -> Mapping[str, Any]:
    data = record.provenance.get("data")
    return data if isinstance(data, Mapping) else {}


def to_the_target(records: Sequence[Record]) -> list[Record]:
    """All runs but the one by which a study with target_loss=auto found its target."""
    return [record for record in records if record.role is not Role.TARGET]
