"""What each GPU has shown in one run: in a sum over GPUs, a counter that resets or stands still is hidden."""

from __future__ import annotations

from search.energy.counter_check import CounterCheck
from search.energy.power_check import PowerCheck
from search.meter.gpu.source import GpuSource


class GpuTrace:
    """One GPU in one run. `check.power` is sampled whatever it is read by; `energy_j` is as of the last value
    that could be trusted."""

    def __init__(self, source: GpuSource) -> None:
        self.source = source
        self.check = PowerCheck()
        self.energy_j = 0.0
        self._counter = CounterHistory()

    def take(self, value: int, now_s: float) -> str:
        """Book what `source.read` gave. Returns why it cannot be trusted, or an empty text."""
        power = self.check.power
        if self.source.by_counter:
            power.hold(now_s)
            problem = self._counter.problem(value, now_s)
            if problem:
                return f"the energy counter of {self.source.gpu.uuid} {problem}"
            self.energy_j = value / 1000.0
            return ""
        power.add(now_s, value / 1000.0)
        if power.energy_j is None:
            return f"the power of {self.source.gpu.uuid} {power.problem}"
        self.energy_j = power.energy_j
        return ""

    @property
    def counter_over_power(self) -> float | None:
        """Joules by the counter over integrated power. None without a counter, and where the two cover
        different things (modules)."""
        return self.check.counter_over_power if self._is_comparable else None

    @property
    def disagrees(self) -> bool:
        return self._is_comparable and self.check.disagrees

    @property
    def _is_comparable(self) -> bool:
        return self.source.by_counter and not self.source.gpu.counts_a_module


class CounterHistory:
    """What one total-energy counter has shown in a run, in millijoules."""

    def __init__(self) -> None:
        self._check: CounterCheck | None = None
        self._went_back = ""

    def problem(self, counter_mj: int, now_s: float) -> str:
        """Why this value cannot be trusted, or an empty text. Going back lasts: no window of this run can be
        trusted to lie on one side."""
        before = self._check or CounterCheck(counter_mj, now_s)
        if before.went_back(counter_mj):
            self._went_back = (
                f"went back from {before.value} to {counter_mj} mJ (driver reloaded, or GPU reset?)"
            )
        self._check = before.after(counter_mj, now_s)
        if self._went_back:
            return self._went_back
        if counter_mj == 0:
            return "reads zero"
        frozen_s = self._check.frozen_s(now_s)
        return "" if frozen_s is None else f"has not moved for {frozen_s:.1f} s"
