"""Where the numbers of a study come from, in full: meters, code, hardware, data, dates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.report.findings import numbers
from search.report.view.data import StudyView
from search.report.view.values import flat, redacted

_GAIN = "one constant factor on every joule of this meter; ratios of runs on the same device are free of it"


@dataclass(frozen=True)
class Part:
    """Names and values that belong together."""

    name: str
    entries: tuple[tuple[str, str], ...]


def provenance_parts(view: StudyView) -> tuple[Part, ...]:
    """The meter that ranks and those beside it, then what the run that stands for all noted."""
    if view.meter is None:
        return ()
    parts: dict[str, Any] = {
        "meter": {
            "name": view.meter.name,
            "kind": view.meter.kind.value,
            "counted phases": ", ".join(view.counted_phases.phases if view.counted_phases else ()),
            "chosen because": view.meter.chosen_because,
            **_settings(view.meter.settings),
        }
    }
    sides = {side.meter: side for record in reversed(view.records) for side in record.second_meters}
    for name, side in sides.items():
        parts[f"meter beside it: {name}"] = {"kind": side.kind.value, **_settings(side.settings)}
    parts |= view.origin.provenance
    if view.origin.first_started is not None:
        dates = {"first started": view.origin.first_started, "last ended": view.origin.last_ended}
        parts["runs"] = dates
    return tuple(Part(name, _entries(part)) for name, part in parts.items())


def _entries(part: Any) -> tuple[tuple[str, str], ...]:
    entries = flat(part) if isinstance(part, Mapping) else {"": part}
    return tuple((path, _text(value)) for path, value in entries.items())


def _text(value: Any) -> str:
    """Losses and rates as people read them; `records.jsonl` has every digit."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return redacted("none" if value is None else str(value))


def _settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """As they are, but for the gain error, which needs a word on what it does."""
    shown = {key: value for key, value in settings.items() if key != "gain_error"}
    if "gain_error" in settings:
        gain = settings["gain_error"]
        size = numbers.UNKNOWN if gain is None else f"± {numbers.number(100 * float(gain), 2)} %"
        shown["gain error"] = f"{size}: {_GAIN}"
    return shown
