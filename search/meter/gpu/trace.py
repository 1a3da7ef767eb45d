"""What each GPU has shown in one run: in a sum over GPUs, a counter that resets or stands still is hidden."""

from __future__ import annotations

from dataclasses import dataclass

from search.energy.integral import PowerIntegral
from search.meter.gpu.source import GpuSource

FROZEN_AFTER_S = 2.0  # an idle GPU draws watts, so its counter moves at every update
DISAGREE = 0.05  # between a counter and its integrated power
COMPARE_FROM_S = 10.0  # an average over 1 s lags by half a second, which is 5 % of this


@dataclass(frozen=True)
class _Mark:
    """A good reading: joules by what the GPU is read by, and by its integrated power (None: unknown)."""

    time_s: float
    energy_j: float
    power_j: float | None


class GpuTrace:
    """One GPU in one run. `power` is sampled whatever it is read by; `energy_j` is as of the last value that
    could be trusted."""

    def __init__(self, source: GpuSource) -> None:
        self.source = source
        self.power = PowerIntegral()
        self.energy_j = 0.0
        self._counter = CounterHistory()
        self._first: _Mark | None = None
        self._last: _Mark | None = None

    def take(self, value: int, now_s: float) -> str:
        """Book what `source.read` gave. Returns why it cannot be trusted, or an empty text."""
        if self.source.by_counter:
            self.power.hold(now_s)
            problem = self._counter.problem(value, now_s)
            if problem:
                return f"the energy counter of {self.source.gpu.uuid} {problem}"
            self.energy_j = value / 1000.0
            return ""
        self.power.add(now_s, value / 1000.0)
        energy_j = self.power.energy_j
        if energy_j is None:
            return f"the power of {self.source.gpu.uuid} {self.power.problem}"
        self.energy_j = energy_j
        return ""

    def mark(self, now_s: float) -> None:
        """Every GPU gave a value that can be trusted: it was a good reading."""
        self._last = _Mark(now_s, self.energy_j, self.power.energy_j)
        self._first = self._first or self._last

    @property
    def window_s(self) -> float | None:
        """From the first good reading to the last; None before the first."""
        return None if self._first is None or self._last is None else self._last.time_s - self._first.time_s

    @property
    def spent_j(self) -> float | None:
        """Joules in the window, by what the GPU is read by."""
        return (
            None if self._first is None or self._last is None else self._last.energy_j - self._first.energy_j
        )

    @property
    def integrated_j(self) -> float | None:
        """Joules in the window, by integrated power."""
        if self._first is None or self._last is None:
            return None
        first_j, last_j = self._first.power_j, self._last.power_j
        return None if first_j is None or last_j is None else last_j - first_j

    @property
    def counter_over_power(self) -> float | None:
        """None without a counter, without joules by both, and where they do not cover the same (modules)."""
        if not self.source.by_counter or self.source.gpu.counts_a_module:
            return None
        return self.spent_j / self.integrated_j if self.spent_j and self.integrated_j else None

    @property
    def disagrees(self) -> bool:
        """Whether counter and integrated power differ, in a window long enough to tell."""
        ratio = self.counter_over_power
        return ratio is not None and (self.window_s or 0.0) >= COMPARE_FROM_S and abs(ratio - 1) > DISAGREE


class CounterHistory:
    """What one total-energy counter has shown in a run, in millijoules."""

    def __init__(self) -> None:
        self._last_mj: int | None = None
        self._moved_s = 0.0
        self._went_back = ""

    def problem(self, counter_mj: int, now_s: float) -> str:
        """Why this value cannot be trusted, or an empty text. Going back lasts: no window of this run can be
        trusted to lie on one side."""
        if self._last_mj is not None and counter_mj < self._last_mj:
            self._went_back = (
                f"went back from {self._last_mj} to {counter_mj} mJ (driver reloaded, or GPU reset?)"
            )
        if counter_mj != self._last_mj:
            self._last_mj, self._moved_s = counter_mj, now_s
        if self._went_back:
            return self._went_back
        if counter_mj == 0:
            return "reads zero"
        still_s = now_s - self._moved_s
        return f"has not moved for {still_s:.1f} s" if still_s > FROZEN_AFTER_S else ""
