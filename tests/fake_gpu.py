"""GPUs that draw what they are told over a clock that a test moves, and a meter of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from search.meter.base import Reading
from search.meter.gpu.library import Gpu, GpuError
from search.meter.gpu.meter import GpuMeter


@pytest.fixture
def clock() -> Clock:
    return Clock()


TICK_S = 0.1  # between samples


class Clock:
    """Seconds that pass when told to; a meter's `sample` is called ten times in each."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.sample: Callable[[], None] | None = None

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        start_s = self.now_s
        for tick in range(round(seconds / TICK_S)):
            self.now_s = start_s + (tick + 1) * TICK_S
            if self.sample is not None:
                self.sample()
        self.now_s = start_s + seconds


class FakeGpu:
    """Draws `steps` of (seconds since it was made, watts). What else it says is an attribute for tests to
    set."""

    def __init__(
        self,
        clock: Callable[[], float],
        index: int = 0,
        steps: tuple[tuple[float, float], ...] = ((0.0, 70.0),),
    ) -> None:
        self.uuid = f"GPU-{index}"
        self.name = "Fake"
        self.counts_a_module = False
        self.has_counter = True
        self.instantaneous = True
        self.power_factor = 1.0
        self.counter_error: GpuError | None = None
        self.power_error: GpuError | None = None
        self.frozen_mj: int | None = None
        self.offset_mj = 1_000_000
        self.mig = False
        self.celsius: float | None = 40.0 + index
        self.pids: frozenset[int] | None = frozenset()
        self.throttled: frozenset[str] | None = frozenset()
        self.held_s: Mapping[str, float] | None = {"power": 5.0, "thermal": 7.0}
        self.mhz: Mapping[str, float] | None = {"sm": 1000.0, "memory": 2000.0}
        self.limits_w: tuple[float | None, float | None] = (100.0, 100.0)
        self.limit_range_mw = (50_000, 300_000)
        self.clocks = tuple(range(300, 1501, 15))
        self.fixed_mhz: int | None = None
        self.enforced_mw: int | None = None
        self.refuses: dict[str, GpuError] = {}  # by the name of the method that raises it
        self.deaf = False  # to what it is set to
        self.told: list[str] = []
        self._clock, self._origin_s, self._steps = clock, clock(), steps

    def _power_w(self) -> float:
        now_s = self._clock() - self._origin_s
        return next(watts for since, watts in reversed(self._steps) if now_s >= since - 1e-9)

    def counter_mj(self) -> int:
        if not self.has_counter:
            raise GpuError(f"{self.uuid} has no counter", unsupported=True)
        if self.counter_error is not None:
            raise self.counter_error
        now_s = self._clock() - self._origin_s
        ends = [since for since, _ in self._steps[1:]] + [float("inf")]
        joules = sum(
            watts * max(0.0, min(now_s, end) - since)
            for (since, watts), end in zip(self._steps, ends, strict=True)
        )
        return self.offset_mj + round(1000 * joules) if self.frozen_mj is None else self.frozen_mj

    def power_mw(self) -> int:
        if self.power_error is not None:
            raise self.power_error
        return round(1000 * self._power_w() * self.power_factor)

    def power_is_instantaneous(self) -> bool:
        return self.instantaneous

    def mig_enabled(self) -> bool:
        return self.mig

    def temperature_c(self) -> float | None:
        return self.celsius

    def processes(self) -> frozenset[int] | None:
        return self.pids

    def throttle_flags(self) -> frozenset[str] | None:
        return self.throttled

    def violation_s(self) -> Mapping[str, float] | None:
        return self.held_s

    def clocks_mhz(self) -> Mapping[str, float] | None:
        return self.mhz

    def power_limits_w(self) -> tuple[float | None, float | None]:
        return self.limits_w

    def power_limit_mw(self) -> int:
        self._answer("power_limit_mw")
        assert self.limits_w[0] is not None
        return round(1000 * self.limits_w[0])

    def enforced_limit_mw(self) -> int | None:
        return self.enforced_mw

    def power_limits_mw(self) -> tuple[int, int]:
        self._answer("power_limits_mw")
        return self.limit_range_mw

    def set_power_limit(self, milliwatts: int) -> None:
        self._answer("set_power_limit")
        self.told.append(f"{milliwatts / 1000:g} W")
        if not self.deaf:
            self.limits_w = (milliwatts / 1000, self.limits_w[1])

    def sm_clocks_mhz(self) -> tuple[int, ...]:
        self._answer("sm_clocks_mhz")
        return self.clocks

    def sm_clock_mhz(self) -> int | None:
        if self.mhz is None:
            return None
        return self.fixed_mhz or round(self.mhz["sm"])

    def fix_sm_clock(self, mhz: int) -> None:
        self._answer("fix_sm_clock")
        self.told.append(f"{mhz} MHz")
        if not self.deaf:
            self.fixed_mhz = mhz

    def free_sm_clock(self) -> None:
        self._answer("free_sm_clock")
        self.told.append("any clock")
        self.fixed_mhz = None

    def _answer(self, method: str) -> None:
        if method in self.refuses:
            raise self.refuses[method]

    def describe(self) -> Mapping[str, Any]:
        return {"uuid": self.uuid, "name": self.name}


def metered(*gpus: Gpu, clock: Clock, **options: Any) -> GpuMeter:
    """A meter that has started and is sampled by the clock."""
    meter = GpuMeter(gpus, clock=clock, in_background=False, **options)
    clock.sample = meter.sample
    meter.start()
    return meter


def joules(first: Reading, last: Reading) -> float:
    assert (first.problem, last.problem) == ("", "")
    assert first.energy_j is not None
    assert last.energy_j is not None
    return last.energy_j - first.energy_j


def spent_j(meter: GpuMeter, clock: Clock, seconds: float) -> float:
    first = meter.read()
    clock.advance(seconds)
    return joules(first, meter.read())
