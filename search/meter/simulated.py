"""A meter driven by a program instead of hardware: a power profile over a clock, and the faults that meters
have.

It is what the measurement contract is tested on, and `meter=simulated` runs a study on it. Its joules are
modelled.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from search.meter.base import MeterSpec, Reading
from search.trial import Kind


class FakeClock:
    """Seconds that pass when told to."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


@dataclass(frozen=True)
class PowerProfile:
    """Watts by time: each step is (from this second on, watts). Before the first step nothing is drawn."""

    steps: tuple[tuple[float, float], ...]

    def energy_j(self, time_s: float) -> float:
        """Exact joules from second 0 to `time_s`."""
        total = 0.0
        for index, (since, watts) in enumerate(self.steps):
            until = self.steps[index + 1][0] if index + 1 < len(self.steps) else math.inf
            total += watts * max(0.0, min(time_s, until) - max(0.0, since))
        return total


@dataclass(frozen=True)
class Faults:
    """What goes wrong, and from which second on."""

    frozen_from_s: float = math.inf
    reset_at_s: float = math.inf
    unreadable_from_s: float = math.inf
    always_zero: bool = False
    flags: tuple[str, ...] = ()


class SimulatedMeter:
    """A counter that moves every `tick_s` and counts whole `resolution_j`, as NVML's does."""

    def __init__(
        self,
        profile: PowerProfile,
        clock: Callable[[], float] = time.perf_counter,
        tick_s: float = 0.0,
        resolution_j: float = 0.001,
        faults: Faults | None = None,
    ) -> None:
        self._profile = profile
        self._clock = clock
        self._tick_s = tick_s
        self._resolution_j = resolution_j
        self._faults = faults or Faults()
        self._origin_s = clock()

    @property
    def spec(self) -> MeterSpec:
        return MeterSpec(
            name="simulated",
            kind=Kind.MODELLED,
            update_period_s=self._tick_s,
            resolution_j=self._resolution_j,
            devices=("simulated",),
            settings={"profile": [list(step) for step in self._profile.steps]},
        )

    def read(self) -> Reading:
        now = self._clock()
        elapsed = now - self._origin_s
        if elapsed >= self._faults.unreadable_from_s:
            return Reading(now, None, "the simulated counter is unreadable")
        return Reading(now, 0.0 if self._faults.always_zero else self._count(elapsed))

    def _count(self, elapsed_s: float) -> float:
        seconds = min(elapsed_s, self._faults.frozen_from_s)
        if self._tick_s > 0:
            seconds = math.floor(seconds / self._tick_s + 1e-9) * self._tick_s
        joules = self._profile.energy_j(seconds)
        if elapsed_s >= self._faults.reset_at_s:
            joules -= self._profile.energy_j(self._faults.reset_at_s)
        return math.floor(joules / self._resolution_j + 1e-9) * self._resolution_j

    def start(self) -> None:
        pass

    def flags(self) -> Sequence[str]:
        return self._faults.flags

    def close(self) -> None:
        pass
