"""Where a study's numbers come from: device, versions, dates, text. As far as its records say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from search.console.plural import counted
from search.report import words
from search.report.data import StudyView


@dataclass(frozen=True)
class Origin:
    """`hardware`, `software`, `code` and `data` as the baseline's run noted them, or the first that did.

    The times are ISO 8601, of the first run's start and the last one's end.
    """

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


def provenance(view: StudyView) -> Mapping[str, Any]:
    """The baseline's, or the first that is known."""
    sources = ([] if view.baseline is None else [view.baseline]) + list(view.records)
    return next((record.provenance for record in sources if record.provenance), {})


def origin(view: StudyView) -> Origin:
    """Empty where no record says it."""
    known = provenance(view)
    parts = {name: known.get(name) for name in ("hardware", "software", "code", "data")}
    times = [time for record in view.records for time in (record.started_at, record.ended_at) if time]
    return Origin(
        **{name: _redacted(part) if isinstance(part, Mapping) else {} for name, part in parts.items()},
        first_started=min(times, default=None),
        last_ended=max(times, default=None),
    )


def _redacted(part: Mapping[str, Any]) -> dict[str, Any]:
    return {key: words.redacted(value) if isinstance(value, str) else value for key, value in part.items()}


def origin_words(found: Origin) -> str:
    """Device, dates and versions in one line, without what is not known."""
    return "; ".join(part for part in (_device(found), _dates(found), _versions(found)) if part)


def _device(found: Origin) -> str:
    name = found.hardware.get("device") or found.hardware.get("gpu") or found.hardware.get("cpu")
    if not name:
        return ""
    threads, system = found.hardware.get("threads"), found.hardware.get("system")
    parts = [str(name)]
    if isinstance(threads, int):
        parts.append(counted(threads, "thread"))
    if system:
        parts.append(str(system))
    return ", ".join(parts)


def _dates(found: Origin) -> str:
    """`2026-11-25, 22:47 to 22:48 UTC`; with both days where they differ."""
    try:
        first, last = (datetime.fromisoformat(time or "") for time in (found.first_started, found.last_ended))
    except ValueError:
        return ""
    if first.date() == last.date():
        return f"{first:%Y-%m-%d, %H:%M} to {last:%H:%M} UTC"
    return f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"


def _versions(found: Origin) -> str:
    """Of what moves the joules: the product, torch, Python."""
    named = {
        "joulesearch": found.code.get("version"),
        "torch": found.software.get("torch"),
        "Python": found.software.get("python"),
    }
    return ", ".join(f"{name} {version}" for name, version in named.items() if version)
