"""What `python -m search.meter` finds out, on simulated machines and a clock that passes when told to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bare_meter import BareMeter

from search.energy.account import Reading
from search.meter.__main__ import overhead_line
from search.meter.simulated.meter import FakeClock
from search.meter.simulated.program import PowerProfile
from search.meter.survey import Overhead, measure_idle, measure_overhead, update_period_s, windows

IDLE = PowerProfile(((0.0, 20.0),))


def survey(tick_s: float, profile: PowerProfile = IDLE, seconds: float = 3.0):  # type: ignore[no-untyped-def]
    clock = FakeClock(7.0)
    return measure_idle(BareMeter(profile, clock, tick_s), seconds, clock, clock.advance)


@pytest.mark.parametrize("tick_s", [0.02, 0.1])
def test_the_update_period_is_measured(tick_s: float) -> None:
    assert survey(tick_s).update_period_s == pytest.approx(tick_s, abs=0.003)


def test_a_counter_that_moves_at_every_look_has_no_period_that_can_be_told() -> None:
    idle = survey(0.0)
    assert idle.update_period_s is None
    assert idle.moves_always


def test_a_counter_that_hardly_moves_has_no_known_period() -> None:
    idle = survey(0.1, PowerProfile(((0.0, 0.0),)))
    assert idle.update_period_s is None
    assert not idle.moves_always
    assert update_period_s([]) == (None, False)
    assert update_period_s([Reading(0.0, 1.0)]) == (None, False)


def test_idle_power_is_joules_over_seconds() -> None:
    assert survey(0.0).power_w == pytest.approx(20.0, rel=1e-3)


def test_an_unreadable_meter_has_no_idle_power_and_says_why() -> None:
    clock = FakeClock()
    idle = measure_idle(BareMeter(IDLE, clock, unreadable_from_s=1.0), 3.0, clock, clock.advance)
    assert idle.power_w is None
    assert "is lost" in idle.problem


def loads(*meters: Callable[[FakeClock], BareMeter], seconds: float = 20.0):  # type: ignore[no-untyped-def]
    clock = FakeClock()
    return windows([meter(clock) for meter in meters], clock.advance, seconds, clock)


def test_all_meters_read_the_same_window() -> None:
    one, other = loads(
        lambda clock: BareMeter(PowerProfile(((0.0, 70.0),)), clock, 0.1),
        lambda clock: BareMeter(PowerProfile(((0.0, 30.0),)), clock),
    )
    assert one.energy_j == pytest.approx(1400.0, abs=7.1)
    assert other.energy_j == pytest.approx(600.0, abs=0.01)
    assert one.power_w == pytest.approx(70.0, rel=0.01)
    assert one.error_j == pytest.approx(0.1 * 70.0 * 1.1, rel=0.02)
    assert one.temperature_rise_k is not None
    assert one.temperature_rise_k > 0


def test_a_meter_that_fails_says_why_and_leaves_the_others_alone() -> None:
    bad, good = loads(
        lambda clock: BareMeter(IDLE, clock, resets_at_s=5.0), lambda clock: BareMeter(IDLE, clock)
    )
    assert bad.energy_j is None
    assert bad.power_w is None
    assert "went back" in bad.reason
    assert good.energy_j == pytest.approx(400.0, abs=0.01)


def test_what_metering_takes_is_the_time_of_a_reading_times_their_rate() -> None:
    clock = FakeClock(7.0)

    class SlowMeter(BareMeter):
        def read(self) -> Reading:
            clock.advance(0.001)
            return super().read()

    overhead = measure_overhead(SlowMeter(IDLE, clock, 0.02), clock)
    assert overhead.read_s == pytest.approx(0.001)
    assert overhead.share == pytest.approx(0.001 * overhead.rate_hz)
    assert "over the 0.5%" in overhead_line("nvml", overhead)
    assert "within the 0.5%" in overhead_line("nvml", Overhead(0.0001, 12))
