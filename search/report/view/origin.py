"""Where a study's numbers come from: device, versions, dates, text. As far as its records say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.record.record import Record
from search.report.view.values import redacted


@dataclass(frozen=True)
class Origin:
    """`hardware`, `software`, `code` and `data` as the baseline's run noted them, or the first that did.

    The times are ISO 8601, of the first run's start and the last one's end. `provenance` is all that this run
    noted, as it noted it.
    """

    provenance: Mapping[str, Any]
    hardware: Mapping[str, Any]
    software: Mapping[str, Any]
    code: Mapping[str, Any]
    data: Mapping[str, Any]
    first_started: str | None
    last_ended: str | None

    @property
    def bytes_per_token(self) -> float | None:
        value = self.data.get("bytes_per_token")
        return float(value) if isinstance(value, int | float) and value > 0 else None


def origin(records: Sequence[Record], baseline: Record | None) -> Origin:
    """Empty where no record says it."""
    sources = ([] if baseline is None else [baseline]) + list(records)
    known: Mapping[str, Any] = next((record.provenance for record in sources if record.provenance), {})
    parts = {name: known.get(name) for name in ("hardware", "software", "code", "data")}
    times = [time for record in records for time in (record.started_at, record.ended_at) if time]
    return Origin(
        provenance=known,
        **{name: _redacted(part) if isinstance(part, Mapping) else {} for name, part in parts.items()},
        first_started=min(times, default=None),
        last_ended=max(times, default=None),
    )


def _redacted(part: Mapping[str, Any]) -> dict[str, Any]:
    return {key: redacted(value) if isinstance(value, str) else value for key, value in part.items()}
