"""A counter compared with the power that is sampled beside it."""

from __future__ import annotations

from dataclasses import dataclass

from search.energy.integral import PowerIntegral

DISAGREE = 0.05  # between a counter and its integrated power
COMPARE_FROM_S = 10.0  # an average over 1 s lags by half a second, which is 5 % of this


@dataclass(frozen=True)
class _Mark:
    """A good reading: joules of the device, and of its integrated power (None: unknown)."""

    time_s: float
    energy_j: float
    power_j: float | None


class PowerCheck:
    """What one device has shown in one run, from its first good reading to its last. `power` is sampled by
    whoever holds this."""

    def __init__(self) -> None:
        self.power = PowerIntegral()
        self._first: _Mark | None = None
        self._last: _Mark | None = None

    def mark(self, time_s: float, energy_j: float) -> None:
        """A good reading."""
        self._last = _Mark(time_s, energy_j, self.power.energy_j)
        self._first = self._first or self._last

    @property
    def window_s(self) -> float | None:
        """From the first good reading to the last; like the joules below, None before the first."""
        return None if self._first is None or self._last is None else self._last.time_s - self._first.time_s

    @property
    def spent_j(self) -> float | None:
        if self._first is None or self._last is None:
            return None
        return self._last.energy_j - self._first.energy_j

    @property
    def integrated_j(self) -> float | None:
        """Joules by integrated power; None also where that is unknown."""
        if self._first is None or self._last is None:
            return None
        first_j, last_j = self._first.power_j, self._last.power_j
        return None if first_j is None or last_j is None else last_j - first_j

    @property
    def mean_power_w(self) -> float | None:
        return self.spent_j / self.window_s if self.spent_j is not None and self.window_s else None

    @property
    def counter_over_power(self) -> float | None:
        """Joules by the counter over joules by power; None without both."""
        return self.spent_j / self.integrated_j if self.spent_j and self.integrated_j else None

    @property
    def disagrees(self) -> bool:
        """Whether counter and power differ, in a window long enough to tell."""
        ratio = self.counter_over_power
        return ratio is not None and (self.window_s or 0.0) >= COMPARE_FROM_S and abs(ratio - 1) > DISAGREE
