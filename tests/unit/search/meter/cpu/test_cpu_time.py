from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.energy.account import Reading
from search.meter.cpu.cpu_time import CpuTimeMeter
from search.meter.cpu.load import CpuLoad, MachineTimes, Readers
from search.meter.simulated.meter import FakeClock
from search.record.meter_info import Kind

amounts = st.floats(min_value=0, max_value=1e6)


@dataclass
class Busy:
    """Core-seconds that are used when told to; a text instead of them is trouble."""

    core_s: float = 0.0
    trouble: str = ""

    def __call__(self) -> float:
        if self.trouble:
            raise OSError(self.trouble)
        return self.core_s


@dataclass
class FakeLoad:
    """Says what it was told, and notes what it was asked."""

    calls: list[str] = field(default_factory=list)

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def flags(self) -> tuple[str, ...]:
        return ("cpu_contended",)

    def observed(self) -> Mapping[str, Any]:
        return {"wall_s": 2.0}

    def temperature_c(self) -> float | None:
        return 54.0

    def look(self) -> None:
        pass


def meter_of(watts_per_core: float = 4.0, static_w: float = 1.5) -> tuple[CpuTimeMeter, FakeClock, Busy]:
    clock, busy = FakeClock(100.0), Busy(7.0)
    return CpuTimeMeter(watts_per_core, static_w, clock, busy, FakeLoad()), clock, busy


def joules(reading: Reading) -> float:
    assert reading.energy_j is not None
    return reading.energy_j


# ---- the formula


@given(amounts, amounts, amounts, amounts)
def test_energy_is_busy_core_seconds_and_seconds_times_their_watts(
    watts_per_core: float, static_w: float, core_s: float, seconds: float
) -> None:
    meter, clock, busy = meter_of(watts_per_core, static_w)
    first = meter.read()
    busy.core_s += core_s
    clock.advance(seconds)
    last = meter.read()
    expected = watts_per_core * core_s + static_w * seconds
    assert joules(last) - joules(first) == pytest.approx(expected, rel=1e-6, abs=1e-3)
    assert last.time_s - first.time_s == pytest.approx(seconds)


def test_a_process_that_waits_still_costs_its_static_watts() -> None:
    meter, clock, _ = meter_of(watts_per_core=4.0, static_w=1.5)
    first = meter.read()
    clock.advance(10.0)
    assert joules(meter.read()) - joules(first) == pytest.approx(15.0)


def test_a_reading_carries_its_core_seconds_and_its_temperature_beside_its_joules() -> None:
    meter, _, busy = meter_of()
    busy.core_s = 9.5
    reading = meter.read()
    assert reading.temperature_c == 54.0


def test_the_spec_says_estimated_and_holds_the_coefficients() -> None:
    spec = meter_of(4.0, 1.5)[0].spec
    assert (spec.name, spec.kind, spec.devices) == ("cpu_time", Kind.ESTIMATED, ("cpu",))
    assert spec.settings == {"watts_per_core": 4.0, "static_w": 1.5}
    assert spec.gain_error is None


def test_core_seconds_that_cannot_be_read_are_a_reading_without_a_value() -> None:
    meter, _, busy = meter_of()
    busy.trouble = "permission denied"
    reading = meter.read()
    assert reading.energy_j is None
    assert "permission denied" in reading.problem


def test_this_process_own_work_counts() -> None:
    meter = CpuTimeMeter(watts_per_core=10.0, static_w=0.0)
    first, spent = meter.read(), time.process_time()
    while time.process_time() - spent < 0.05:
        pass
    assert joules(meter.read()) - joules(first) >= 10.0 * 0.05


# ---- as a meter


def test_the_load_of_the_machine_is_watched_from_start_to_stop_and_passed_on() -> None:
    load = FakeLoad()
    meter = CpuTimeMeter(4.0, 1.5, FakeClock(), Busy(), load)
    meter.start()
    meter.stop()
    assert load.calls == ["start", "stop"]
    assert meter.flags() == ("cpu_contended",)
    assert meter.observed() == {"wall_s": 2.0}


def test_the_run_that_is_charged_is_the_one_that_is_watched() -> None:
    clock, busy = FakeClock(), Busy()
    readers = Readers(
        machine=lambda: MachineTimes(busy.core_s + 2.0 * clock(), 0.0),
        run_queue_s=lambda: None,
        throttled_s=lambda: None,
        temperature_c=lambda: None,
    )
    meter = CpuTimeMeter(4.0, 1.5, clock, busy, CpuLoad(clock, busy, readers=readers))
    meter.start()
    busy.core_s += 10.0
    clock.advance(10.0)
    meter.stop()
    assert meter.flags() == ("foreign_cpu_load",)
    assert meter.observed()["foreign_core_s"] == pytest.approx(20.0)


def test_core_seconds_that_cannot_be_read_raise_nowhere_in_a_run() -> None:
    clock, busy = FakeClock(), Busy(trouble="permission denied")
    meter = CpuTimeMeter(4.0, 1.5, clock, busy)
    meter.start()
    clock.advance(1.0)
    assert meter.read().energy_j is None
    meter.stop()
    assert meter.flags() == ("cpu_load_unknown",)
    assert meter.observed() == {}
    meter.close()
