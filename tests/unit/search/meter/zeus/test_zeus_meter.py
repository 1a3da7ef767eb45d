"""meter=zeus: the rules of the meter, on a source that is not there."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.energy.account import Account
from search.errors import MeterUnavailable
from search.meter.base import Meter
from search.meter.simulated.meter import FakeClock
from search.meter.zeus.meter import PROBE_S, UNSEEN, ZeusMeter
from search.meter.zeus.sources import (
    SourceInfo,
    ZeusError,
)
from search.record.ledger import Phase
from search.record.meter_info import Kind

WATTS = 80.0


class Source:
    """A counter of WATTS times the clock, and a power sensor that reads `power_gain` times that."""

    def __init__(self, clock: FakeClock, *, has_power: bool = False, power_gain: float = 1.0) -> None:
        self.info = SourceInfo("a source", ("GPU-hip-3",), Kind.MEASURED, 0.001, {"x": 1}, has_power)
        self._clock, self._power_gain = clock, power_gain
        self.answer: Callable[[], float] | None = None
        self.sampled = 0
        self.sampled_thrice = threading.Event()
        self.power_fails = False
        self.degrees_c: float | None = 51.0

    def total_mj(self) -> float:
        return self.sound_mj() if self.answer is None else self.answer()

    def sound_mj(self) -> float:
        return 1000.0 * WATTS * self._clock()

    def power_w(self) -> float:
        self.sampled += 1
        if self.sampled == 3:
            self.sampled_thrice.set()
        if self.power_fails:
            raise ZeusError("no power")
        return WATTS * self._power_gain

    def temperature_c(self) -> float | None:
        return self.degrees_c


class Load:
    """What the CPU did, and when it was looked at."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def flags(self) -> tuple[str, ...]:
        return ("foreign_cpu_load",)

    def observed(self) -> Mapping[str, Any]:
        return {"foreign_core_s": 2.5}

    def temperature_c(self) -> float | None:
        return None


def meter_of(
    *, has_power: bool = False, power_gain: float = 1.0, load: Load | None = None
) -> tuple[ZeusMeter, FakeClock, Source]:
    """A started meter, 100 s after its counter began."""
    clock = FakeClock(100.0)
    source = Source(clock, has_power=has_power, power_gain=power_gain)
    meter = ZeusMeter(source, load=load, clock=clock, sleep=clock.advance, in_background=False)
    clock.every = meter.sample
    meter.start()
    return meter, clock, source


def failing() -> float:
    raise ZeusError("the library is gone")


# ---- joules


@given(st.floats(0.0, 1.9), st.floats(0.0, 1.9))
def test_the_difference_of_two_readings_is_what_the_counter_moved(before_s: float, work_s: float) -> None:
    meter, clock, _ = meter_of()
    clock.advance(before_s)
    first = meter.read()
    clock.advance(work_s)
    last = meter.read()
    assert first.energy_j is not None
    assert last.energy_j is not None
    assert last.energy_j - first.energy_j == pytest.approx(WATTS * work_s, abs=1e-6)
    assert last.time_s - first.time_s == pytest.approx(work_s, abs=1e-9)


def test_a_run_gets_a_ledger_of_millijoules_over_1000() -> None:
    meter, clock, _ = meter_of()
    spec = meter.spec
    account = Account.open(Phase.TRAIN, meter.read(), spec.counter)
    for _ in range(20):
        clock.advance(0.5)
        account = account.advance(meter.read())
    ledger = account.ledger()
    assert ledger is not None
    assert ledger.gross_energy_j == pytest.approx(10.0 * WATTS)


def test_the_spec_is_the_sources_and_claims_no_gain() -> None:
    meter, _, _ = meter_of()
    seam: Meter = meter
    spec = seam.spec
    assert (spec.name, spec.kind, spec.devices) == ("zeus", Kind.MEASURED, ("GPU-hip-3",))
    assert spec.settings == {"source": "a source", "x": 1}
    assert spec.gain_error is None


def test_a_reading_carries_the_temperature_whatever_the_counter_says() -> None:
    meter, _, source = meter_of()
    assert meter.read().temperature_c == 51.0
    source.answer = lambda: 0.0
    assert meter.read().temperature_c == 51.0


# ---- unknown is never zero


def test_a_counter_that_is_not_answered_is_a_problem_and_raises_nothing() -> None:
    meter, _, source = meter_of()
    source.answer = failing
    reading = meter.read()
    assert (reading.energy_j, reading.problem) == (None, "the library is gone")


@pytest.mark.parametrize("total_mj", [0.0, -5.0, math.nan, math.inf])
def test_what_no_counter_can_read_is_a_problem(total_mj: float) -> None:
    meter, _, source = meter_of()
    source.answer = lambda: total_mj
    reading = meter.read()
    assert reading.energy_j is None
    assert "a source reads" in reading.problem


def test_a_counter_that_went_back_gives_nothing_until_the_next_run() -> None:
    meter, clock, source = meter_of()
    meter.read()
    source.answer = lambda: source.sound_mj() - 1e6
    clock.advance(1.0)
    assert "went back" in meter.read().problem
    clock.advance(100.0)
    assert meter.read().energy_j is None
    meter.start()
    assert meter.read().energy_j is not None


def test_a_counter_that_stands_still_is_a_problem_after_two_seconds() -> None:
    meter, clock, source = meter_of()
    frozen_mj = source.sound_mj()
    source.answer = lambda: frozen_mj
    assert meter.read().energy_j is not None
    clock.advance(1.9)
    assert meter.read().energy_j is not None
    clock.advance(0.2)
    assert "has not moved" in meter.read().problem


def test_a_closed_meter_reads_nothing_and_closes_twice() -> None:
    meter, _, _ = meter_of()
    meter.close()
    meter.close()
    meter.start()
    meter.stop()
    assert meter.read().problem == "the meter is closed"


@pytest.mark.parametrize("standing_mj", [0.0, 123456.0])
def test_a_counter_that_stands_for_a_second_is_refused_at_once(standing_mj: float) -> None:
    clock = FakeClock()
    source = Source(clock)
    source.answer = lambda: standing_mj
    with pytest.raises(MeterUnavailable, match=r"stood at .* meter=auto"):
        ZeusMeter(source, clock=clock, sleep=clock.advance)
    assert PROBE_S <= clock() < 2 * PROBE_S


def test_a_counter_that_starts_at_zero_and_moves_is_taken() -> None:
    clock = FakeClock(0.0)
    meter = ZeusMeter(Source(clock), clock=clock, sleep=clock.advance)
    assert meter.read().energy_j is not None


def test_a_counter_that_cannot_be_read_is_refused_with_what_it_said() -> None:
    source = Source(FakeClock())
    source.answer = failing
    with pytest.raises(MeterUnavailable, match="the library is gone"):
        ZeusMeter(source)


# ---- flags


def test_what_zeus_cannot_see_is_flagged_in_every_run() -> None:
    meter, clock, _ = meter_of(has_power=True)
    meter.read()
    clock.advance(20.0)
    meter.read()
    meter.stop()
    assert tuple(meter.flags()) == UNSEEN


@pytest.mark.parametrize(
    ("power_gain", "seconds", "flagged"),
    [(1.0, 20.0, False), (0.96, 20.0, False), (0.94, 20.0, True), (10.0, 20.0, True), (0.9, 9.0, False)],
)
def test_counter_and_power_that_differ_by_over_5_percent_are_flagged_from_10_s_on(
    power_gain: float, seconds: float, flagged: bool
) -> None:
    meter, clock, _ = meter_of(has_power=True, power_gain=power_gain)
    meter.read()
    clock.advance(seconds)
    meter.read()
    meter.stop()
    assert ("counter_power_disagree" in meter.flags()) is flagged
    assert meter.observed()["counter_over_power"] == pytest.approx(1 / power_gain, rel=1e-3)


def test_a_power_that_was_not_sampled_for_long_checks_nothing() -> None:
    meter, clock, source = meter_of(has_power=True, power_gain=0.5)
    meter.read()
    source.power_fails = True
    clock.advance(20.0)
    assert meter.read().energy_j is not None
    assert meter.observed()["counter_over_power"] is None
    assert set(meter.flags()) == {*UNSEEN, "sampling_gap"}


def test_power_is_not_sampled_outside_a_run() -> None:
    meter, clock, source = meter_of(has_power=True)
    meter.read()
    clock.advance(10.0)
    meter.read()
    meter.stop()
    sampled = source.sampled
    clock.advance(10.0)
    assert source.sampled == sampled > 90
    assert meter.observed()["counter_over_power"] == pytest.approx(1.0)


def test_a_meter_in_use_samples_the_power_by_itself() -> None:
    clock = FakeClock(100.0)
    source = Source(clock, has_power=True)
    meter = ZeusMeter(source, clock=clock, sleep=clock.advance)
    meter.start()
    assert source.sampled_thrice.wait(5.0)
    meter.close()


def test_what_the_cpu_did_is_seen_from_start_to_stop() -> None:
    load = Load()
    meter, _, _ = meter_of(load=load)
    meter.stop()
    assert load.calls == ["start", "stop"]
    assert "foreign_cpu_load" in meter.flags()
    assert meter.observed()["foreign_core_s"] == 2.5


def test_what_was_observed_is_json_and_unknown_before_the_first_reading() -> None:
    meter, clock, _ = meter_of()
    assert json.loads(json.dumps(meter.observed())) == {"mean_power_w": None, "counter_over_power": None}
    meter.read()
    clock.advance(1.0)
    meter.read()
    assert meter.observed()["mean_power_w"] == pytest.approx(WATTS)
