"""Where a device's temperature must lie before a run may begin: a pure decision.

A cold device draws less than a warm one for the same work, so that whoever runs first looks better. Runs that
are to be compared start from the same band.
"""

from __future__ import annotations

from dataclasses import dataclass

from search.record.flags import Flag


@dataclass(frozen=True)
class Band:
    """Degrees Celsius to start from, and the longest time to wait for them."""

    low_c: float
    high_c: float
    limit_s: float


@dataclass(frozen=True)
class Step:
    """What to do next: "cool" (wait), "heat" (work), or "start" with these flags."""

    action: str
    flags: tuple[Flag, ...] = ()


def next_step(temperature_c: float | None, band: Band, waited_s: float) -> Step:
    """A device outside the band after `band.limit_s`, or of unknown temperature, starts all the same,
    flagged."""
    if temperature_c is None:
        return Step("start", (Flag.TEMPERATURE_UNKNOWN,))
    late = waited_s >= band.limit_s
    if temperature_c > band.high_c:
        return Step("start", (Flag.STARTED_HOT,)) if late else Step("cool")
    if temperature_c < band.low_c:
        return Step("start", (Flag.STARTED_COLD,)) if late else Step("heat")
    return Step("start")
