"""The simulator's programs: watts by time, what a body's temperature does, and what cannot be meant."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.config import ConfigError
from search.meter.simulated.meter import FakeClock, SimulatedGpu, SimulatedPowercap
from search.meter.simulated.program import PowerProfile, Program, temperature_c

seconds = st.floats(0.0, 100.0)
watts = st.floats(0.0, 500.0)
profiles = st.builds(
    lambda steps, repeat: PowerProfile(((0.0, 40.0), *sorted(steps)), repeat),
    st.lists(st.tuples(st.floats(0.1, 50.0), watts), max_size=5, unique_by=lambda step: step[0]),
    st.none() | st.floats(0.5, 60.0),
)


@given(profiles, seconds, seconds)
def test_energy_never_falls_and_adds_up(profile: PowerProfile, a: float, b: float) -> None:
    early, late = sorted((a, b))
    assert profile.energy_j(early) <= profile.energy_j(late) + 1e-9
    if late - early > 1e-3:
        assert 0.0 <= profile.mean_power_w(early, late) <= 500.0 + 1e-3


@given(profiles, st.floats(0.0, 90.0))
def test_energy_is_the_integral_of_power(profile: PowerProfile, start_s: float) -> None:
    step_s = 1e-4
    middle = profile.power_w(start_s + step_s / 2)
    if profile.power_w(start_s) == middle == profile.power_w(start_s + step_s):
        assert profile.mean_power_w(start_s, start_s + step_s) == pytest.approx(middle, rel=1e-3, abs=1e-3)


def test_a_machine_was_on_before_it_was_looked_at() -> None:
    assert PowerProfile(((0.0, 10.0), (1.0, 50.0))).mean_power_w(-2.0, -1.0) == 10.0
    assert PowerProfile(((0.0, 10.0), (1.0, 50.0)), repeat_s=2.0).mean_power_w(-2.0, 0.0) == 30.0


def test_a_repeated_profile_starts_again() -> None:
    profile = PowerProfile(((0.0, 10.0), (1.0, 100.0)), repeat_s=2.0)
    assert profile.energy_j(2.0) == 110.0
    assert profile.energy_j(7.5) == 3 * 110.0 + 10.0 + 50.0
    assert profile.power_w(6.5) == 10.0
    assert profile.power_w(7.5) == 100.0


def test_a_body_warms_towards_its_balance() -> None:
    program = Program(steps=((0.0, 200.0),), ambient_c=25.0, kelvin_per_w=0.1, thermal_time_s=10.0)
    assert temperature_c(program, 0.0) == 25.0
    assert temperature_c(program, 10.0) == pytest.approx(25.0 + 20.0 * (1 - math.exp(-1)))
    assert temperature_c(program, 1000.0) == pytest.approx(45.0)
    assert temperature_c(Program(ambient_c=None), 5.0) is None


def test_a_repeated_load_warms_to_its_mean() -> None:
    program = Program(
        steps=((0.0, 0.0), (1.0, 200.0)), repeat_s=2.0, ambient_c=20.0, kelvin_per_w=0.1, thermal_time_s=50.0
    )
    assert temperature_c(program, 1000.0) == pytest.approx(30.0, abs=0.5)


def test_the_instantaneous_reading_sees_25_ms_of_each_100() -> None:
    clock = FakeClock()
    program = Program(steps=((0.0, 400.0), (0.025, 0.0)), repeat_s=0.1)
    gpu = SimulatedGpu(program, 0, clock, 0.0)
    clock.advance(1.06)
    assert gpu.power_mw() == 400_000  # the mean is 100 W: a load in step with the sensor is misread
    assert program.profile.mean_power_w(0.0, 1.0) == pytest.approx(100.0)


def test_the_averaged_reading_rises_over_a_second() -> None:
    clock = FakeClock()
    gpu = SimulatedGpu(Program(steps=((0.0, 100.0), (5.0, 300.0)), power_reading="average"), 0, clock, 0.0)
    clock.advance(5.5)
    assert gpu.power_mw() == 200_000
    clock.advance(0.5)
    assert gpu.power_mw() == 300_000


def test_the_counter_moves_in_ticks_and_whole_millijoules() -> None:
    clock = FakeClock()
    gpu = SimulatedGpu(Program(steps=((0.0, 70.0),), tick_s=0.1, start_j=0.0), 0, clock, 0.0)
    clock.advance(0.199)
    assert gpu.counter_mj() == 7000
    clock.advance(0.002)
    assert gpu.counter_mj() == 14000


def test_a_package_counter_wraps_at_its_range() -> None:
    clock = FakeClock()
    program = Program(serves="rapl", steps=((0.0, 100.0),), range_j=1000.0, start_j=950.0, tick_s=0.0)
    powercap = SimulatedPowercap(program, clock, 0.0)
    package = powercap.domains()[0]
    clock.advance(1.0)
    assert powercap.energy_uj(package) == pytest.approx(50e6, abs=2)


def test_psys_reads_more_than_its_packages() -> None:
    clock = FakeClock()
    powercap = SimulatedPowercap(Program(serves="rapl", psys=True, dram_w=5.0), clock, 0.0)
    assert [domain.name for domain in powercap.domains()] == ["package-0", "core", "dram", "psys"]
    clock.advance(10.0)
    package, _, dram, psys = (powercap.energy_uj(domain) for domain in powercap.domains())
    assert dram < package < psys


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"step": [[0, 1]]}, "did you mean steps"),
        ({"serves": "cpu"}, "gpu or rapl"),
        ({"steps": []}, "steps must be"),
        ({"steps": [[0, 5], [2, 5], [1, 5]]}, "rising seconds"),
        ({"steps": [[1, 5]]}, "rising seconds"),
        ({"steps": [[0, -5]]}, "no negative watts"),
        ({"steps": 5}, "wrong type"),
        ({"tick_s": -1}, "tick_s must be"),
        ({"devices": 0}, "devices must be"),
        ({"power_reading": "now"}, "instant, average or none"),
        ({"throttled": [[0, 1, "slow"]]}, "throttled"),
        ({"repeat_s": 0}, "repeat_s"),
    ],
)
def test_a_program_that_cannot_be_meant_costs_one_line(values: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as error:
        Program.from_mapping(values)
    assert "meter.simulated" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_fake_clock_calls_ten_times_a_second() -> None:
    clock, calls = FakeClock(5.0), []
    clock.every = lambda: calls.append(clock())
    clock.advance(1.0)
    clock.advance(0.05)
    assert len(calls) == 10
    assert clock() == pytest.approx(6.05)
