"""Joules of sampled power: each sample holds until the next, and what was not seen is unknown."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.energy.integral import PowerIntegral

GAPS = st.floats(0.001, 2.0)
WATTS = st.floats(0.001, 1e4)


def after(*samples: tuple[float, float]) -> PowerIntegral:
    integral = PowerIntegral()
    for time_s, power_w in samples:
        integral.add(time_s, power_w)
    return integral


def test_a_sample_holds_until_the_next() -> None:
    assert after((0.0, 70.0), (1.0, 300.0), (1.5, 10.0)).energy_j == 70.0 + 150.0


def test_the_last_sample_holds_up_to_now_and_is_booked_once() -> None:
    integral = after((0.0, 70.0))
    integral.hold(0.5)
    integral.hold(1.0)
    integral.add(1.5, 300.0)
    assert integral.energy_j == 105.0


def test_before_the_first_sample_nothing_is_known() -> None:
    integral = PowerIntegral()
    integral.hold(1.0)
    assert integral.energy_j is None
    integral.add(5.0, 70.0)
    assert integral.energy_j == 0.0, "counts from the first sample, however late"
    assert integral.problem == ""


@pytest.mark.parametrize("power_w", [0.0, -1.0, math.nan, math.inf])
def test_a_power_that_no_gpu_draws_leaves_no_joules_for_good(power_w: float) -> None:
    integral = after((0.0, 70.0), (0.1, power_w), (0.2, 70.0))
    assert integral.energy_j is None
    assert integral.problem == f"read {power_w:g} W, which no GPU that is on draws"


@pytest.mark.parametrize("hold", [False, True])
def test_two_seconds_without_a_sample_are_bridged_and_more_leave_no_joules_for_good(hold: bool) -> None:
    bridged = after((0.0, 70.0), (2.0, 70.0))
    assert bridged.energy_j == 140.0
    late = after((0.0, 70.0))
    if hold:
        late.hold(1.5)  # no sample, so it does not begin the gap anew
    late.add(2.1, 70.0)
    late.add(2.2, 70.0)
    assert late.energy_j is None
    assert late.problem == "was not sampled for 2.1 s"


@given(st.lists(st.tuples(GAPS, WATTS), min_size=1, max_size=30))
def test_the_integral_is_the_sum_of_power_times_the_time_to_the_next(
    steps: list[tuple[float, float]],
) -> None:
    integral, now_s = PowerIntegral(), 100.0
    for gap_s, power_w in steps:
        integral.add(now_s, power_w)
        now_s += gap_s * 0.999  # not above 2 s by rounding
    integral.hold(now_s)
    expected = math.fsum(gap_s * 0.999 * power_w for gap_s, power_w in steps)
    assert integral.energy_j == pytest.approx(expected, rel=1e-6)


@given(st.lists(st.tuples(GAPS, WATTS, st.booleans()), min_size=2, max_size=30))
def test_it_never_goes_back(steps: list[tuple[float, float, bool]]) -> None:
    integral, now_s, seen = PowerIntegral(), 0.0, [0.0]
    for gap_s, power_w, held in steps:
        if held:
            integral.hold(now_s)
        else:
            integral.add(now_s, power_w)
        now_s += gap_s * 0.05
        if integral.energy_j is not None:
            seen.append(integral.energy_j)
    assert seen == sorted(seen)
