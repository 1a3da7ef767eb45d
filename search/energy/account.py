"""From readings to joules: an account that is advanced reading by reading, and says when it cannot be
trusted.

Unknown is never zero. A reading that is missing, not finite, or lower than the one before, and a counter
that stands still while time passes, make the whole account unmeasured; it keeps the reason and never
recovers.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from search.energy.counter_check import Counter, CounterCheck
from search.record.ledger import Ledger, Phase

# The highest power of a run is looked for over windows of at least so long, and so many update periods: over
# ten periods a counter misreads its own power by up to a tenth, which is the margin.
PEAK_WINDOW_S = 1.0
PEAK_WINDOW_PERIODS = 10.0
PEAK_MARGIN = 1.1


@dataclass(frozen=True)
class Reading:
    """A cumulative counter at one moment. `energy_j` counts from an arbitrary origin; only differences mean
    anything.

    It is None where it could not be read, and `problem` says why. `time_s` is a monotonic clock read right
    after the counter. `temperature_c` is the device's, where it tells one.
    """

    time_s: float
    energy_j: float | None
    problem: str = ""
    temperature_c: float | None = None


def _nothing() -> dict[Phase, float]:
    return dict.fromkeys(Phase, 0.0)


@dataclass(frozen=True)
class Account:
    """Joules and seconds by phase up to the last reading. `advance` books a reading, `enter` also changes the
    phase.

    The differences telescope: phases add up to last reading minus first, whatever the boundaries. `changes`
    counts the changes from one phase to another, `peak_power_w` is the highest mean power of a window.
    """

    phase: Phase
    first: Reading
    last: Reading
    counter: Counter
    check: CounterCheck
    window_start: Reading
    energy_j: Mapping[Phase, float] = field(default_factory=_nothing)
    time_s: Mapping[Phase, float] = field(default_factory=_nothing)
    changes: Mapping[tuple[Phase, Phase], int] = field(default_factory=dict)
    first_phase: Phase = Phase.SETUP
    peak_power_w: float = 0.0
    problem: str = ""

    @staticmethod
    def open(phase: Phase, reading: Reading, counter: Counter) -> Account:
        return Account(
            phase,
            first=reading,
            last=reading,
            counter=counter,
            check=CounterCheck(reading.energy_j or 0.0, reading.time_s),
            window_start=reading,
            first_phase=phase,
            problem=_unreadable(reading),
        )

    def advance(self, reading: Reading) -> Account:
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
        window_start, peak_power_w = self._peak(reading)
        return replace(
            self,
            last=reading,
            time_s=times,
            energy_j=energies,
            check=self.check.after(reading.energy_j, reading.time_s),
            window_start=window_start,
            peak_power_w=peak_power_w,
        )

    def enter(self, phase: Phase, reading: Reading) -> Account:
        """Close the current phase at `reading` and go on in `phase`."""
        booked = self.advance(reading)
        if phase == self.phase:
            return booked
        change = (self.phase, phase)
        return replace(booked, phase=phase, changes={**self.changes, change: self.changes.get(change, 0) + 1})

    def ledger(self) -> Ledger | None:
        """The ledger so far, or None where the energy is unknown."""
        if self.problem or self.last.energy_j == self.first.energy_j:
            return None
        return Ledger(dict(self.energy_j), dict(self.time_s))

    def error_j(self, phases: Collection[Phase]) -> float | None:
        """How many joules the counter's period and resolution may have moved into or out of `phases`, at
        most; None where the energy is unknown.

        A reading lies behind by up to one update period of the power at that moment and one step of the
        resolution, at either end of each unbroken stretch of these phases. Peaks of power shorter than the
        window of `peak_power_w` are not in it.
        """
        edge_j = self.edge_j()
        return None if edge_j is None else self._stretches(phases) * edge_j

    def resolves(self, phases: Collection[Phase]) -> bool:
        """Whether the joules of `phases` stand out from what the counter's period may have moved.

        The errors of the stretches are independent, so together they are about the square root of their
        number times one.
        """
        ledger, edge_j = self.ledger(), self.edge_j()
        if ledger is None or edge_j is None:
            return False
        spent_j = math.fsum(ledger.energy_j[phase] for phase in phases)
        return spent_j > math.sqrt(self._stretches(phases)) * edge_j

    def _stretches(self, phases: Collection[Phase]) -> int:
        """How many unbroken stretches of these phases there were."""
        entered = sum(
            count for (old, new), count in self.changes.items() if new in phases and old not in phases
        )
        return entered + (self.first_phase in phases)

    def edge_j(self) -> float | None:
        """How many joules the counter may be behind by at one reading, and so move into or out of a window;
        None where the energy is unknown."""
        ledger = self.ledger()
        if ledger is None:
            return None
        mean_w = ledger.gross_energy_j / ledger.gross_time_s if ledger.gross_time_s > 0 else 0.0
        power_w = PEAK_MARGIN * max(self.peak_power_w, mean_w)
        return self.counter.update_period_s * power_w + self.counter.resolution_j

    def _peak(self, reading: Reading) -> tuple[Reading, float]:
        """Where the next window starts, and the highest power so far."""
        long_enough_s = max(PEAK_WINDOW_S, PEAK_WINDOW_PERIODS * self.counter.update_period_s)
        if reading.time_s - self.window_start.time_s < long_enough_s:
            return self.window_start, self.peak_power_w
        return reading, max(self.peak_power_w, mean_power_w(self.window_start, reading) or 0.0)

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
        if self.check.went_back(reading.energy_j):
            return (
                f"the energy counter went back from {self.last.energy_j:.3f} J to {reading.energy_j:.3f} J: "
                "it was reset"
            )
        if not self.counter.clocked:
            return ""
        now = self.check.after(reading.energy_j, reading.time_s)
        frozen_s = now.frozen_s(reading.time_s, self.counter.update_period_s)
        if frozen_s is None:
            return ""
        return f"the energy counter stood still for {frozen_s:.1f} s while work was done: it is frozen"


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
