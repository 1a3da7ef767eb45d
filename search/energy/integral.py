"""Joules from a power that is sampled now and then."""

from __future__ import annotations

import math

from search.record.flags import Flag

LONGEST_GAP_S = 2.0  # beyond it nobody knows what was drawn between two readings


class PowerIntegral:
    """Each sample holds until the next one, so a step in power counts from the sample that shows it.

    Unknown is never zero: once a sample is not a positive number, or the next one comes more than
    `LONGEST_GAP_S` later, there are no joules any more, and `problem` says why.
    """

    def __init__(self) -> None:
        self.problem = ""
        self.flag: Flag | None = None  # the problem's name
        self._energy_j = 0.0
        self._power_w: float | None = None
        self._sampled_s = 0.0
        self._booked_s = 0.0

    @property
    def energy_j(self) -> float | None:
        """Joules from the first sample to the last `add` or `hold`; None before the first, and with a
        problem."""
        return None if self.problem or self._power_w is None else self._energy_j

    def add(self, time_s: float, power_w: float) -> None:
        """A sample, taken at `time_s` of a monotonic clock."""
        self.hold(time_s)
        if not (math.isfinite(power_w) and power_w > 0):
            self._spoil(f"read {power_w:g} W, which no GPU that is on draws", Flag.POWER_IMPLAUSIBLE)
        self._power_w = power_w
        self._sampled_s = self._booked_s = time_s

    def hold(self, time_s: float) -> None:
        """Book the last sample's power up to `time_s`, without a new sample."""
        if self._power_w is None:
            return
        gap_s = time_s - self._sampled_s
        if gap_s > LONGEST_GAP_S:
            self._spoil(f"was not sampled for {gap_s:.1f} s", Flag.SAMPLING_GAP)
        self._energy_j += self._power_w * (time_s - self._booked_s)
        self._booked_s = time_s

    def _spoil(self, problem: str, flag: Flag) -> None:
        """The first problem stays."""
        if not self.problem:
            self.problem, self.flag = problem, flag
