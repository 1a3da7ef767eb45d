"""From readings to joules: an account that is advanced reading by reading, and says when it cannot be
trusted.

Unknown is never zero. A reading that is missing, not finite, or lower than the one before, and a counter
that stands still while time passes, make the whole account unmeasured; it keeps the reason and never
recovers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from search.trial import PHASES, Ledger

# A counter that has not moved for this long, or for this many of its update periods, is taken to be frozen.
FROZEN_AFTER_S = 2.0
FROZEN_AFTER_PERIODS = 20.0


@dataclass(frozen=True)
class Reading:
    """One look at a cumulative counter. `energy_j` counts from an arbitrary origin; only differences mean
    anything.

    None is a reading that could not be had, and `problem` says why. `time_s` is a monotonic clock read right
    after the counter. `busy_core_s` (CPU meters) and `temperature_c` are side readings for flags.
    """

    time_s: float
    energy_j: float | None
    problem: str = ""
    busy_core_s: float | None = None
    temperature_c: float | None = None


def _nothing() -> dict[str, float]:
    return dict.fromkeys(PHASES, 0.0)


@dataclass(frozen=True)
class Account:
    """Joules and seconds by phase up to the last reading. Advance it with `look`, change phase with `enter`.

    The differences telescope: phases add up to last reading minus first, whatever the boundaries.
    """

    phase: str
    first: Reading
    last: Reading
    update_period_s: float
    moved_at_s: float
    energy_j: Mapping[str, float] = field(default_factory=_nothing)
    time_s: Mapping[str, float] = field(default_factory=_nothing)
    problem: str = ""

    @staticmethod
    def open(phase: str, reading: Reading, update_period_s: float) -> Account:
        _check_phase(phase)
        return Account(phase, reading, reading, update_period_s, reading.time_s, problem=_unreadable(reading))

    def look(self, reading: Reading) -> Account:
        """Book what was spent since the last reading on the current phase."""
        seconds = reading.time_s - self.last.time_s
        if seconds < 0:
            raise ValueError(f"readings must come in order of time; this one is {-seconds:.6f} s early")
        times = {**self.time_s, self.phase: self.time_s[self.phase] + seconds}
        problem = self.problem or _unreadable(reading) or self._implausible(reading)
        if problem:
            return replace(self, last=reading, time_s=times, problem=problem)
        assert reading.energy_j is not None
        assert self.last.energy_j is not None
        joules = reading.energy_j - self.last.energy_j
        energies = {**self.energy_j, self.phase: self.energy_j[self.phase] + joules}
        moved_at = reading.time_s if joules > 0 else self.moved_at_s
        return replace(self, last=reading, time_s=times, energy_j=energies, moved_at_s=moved_at)

    def enter(self, phase: str, reading: Reading) -> Account:
        """Close the current phase at `reading` and go on in `phase`."""
        _check_phase(phase)
        return replace(self.look(reading), phase=phase)

    def ledger(self) -> Ledger | None:
        """The ledger so far, or None where the energy is unknown."""
        if self.problem or self.last.energy_j == self.first.energy_j:
            return None
        return Ledger(dict(self.energy_j), dict(self.time_s))

    @property
    def reason(self) -> str:
        """Why there is no ledger; empty where there is one."""
        if self.problem:
            return self.problem
        if self.last.energy_j == self.first.energy_j:
            return f"the meter counted 0 J over {self.last.time_s - self.first.time_s:.3f} s of work"
        return ""

    def _implausible(self, reading: Reading) -> str:
        assert reading.energy_j is not None
        assert self.last.energy_j is not None
        if reading.energy_j < self.last.energy_j:
            return (
                f"the energy counter went back from {self.last.energy_j:.3f} J to {reading.energy_j:.3f} J: "
                "it was reset"
            )
        still = reading.time_s - self.moved_at_s
        if reading.energy_j == self.last.energy_j and still > max(
            FROZEN_AFTER_S, FROZEN_AFTER_PERIODS * self.update_period_s
        ):
            return f"the energy counter stood still for {still:.1f} s while work was done: it is frozen"
        return ""


def mean_power_w(start: Reading, end: Reading) -> float | None:
    """Joules over seconds between two readings, or None where either is unreadable or nothing can be said."""
    if _unreadable(start) or _unreadable(end) or end.time_s <= start.time_s:
        return None
    assert start.energy_j is not None
    assert end.energy_j is not None
    joules = end.energy_j - start.energy_j
    return joules / (end.time_s - start.time_s) if joules >= 0 else None


def _unreadable(reading: Reading) -> str:
    if reading.energy_j is None:
        return reading.problem or "the meter gave no reading"
    if not math.isfinite(reading.energy_j) or reading.energy_j < 0:
        return f"the meter gave {reading.energy_j} J, which no counter can"
    return ""


def _check_phase(phase: str) -> None:
    if phase not in PHASES:
        raise ValueError(f"unknown phase {phase!r}; phases are {', '.join(PHASES)}")
