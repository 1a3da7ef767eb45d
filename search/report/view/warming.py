"""How far a run warmed the device up, as far as its meter saw it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from search.record.record import Record


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
