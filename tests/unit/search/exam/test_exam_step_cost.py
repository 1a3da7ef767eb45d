"""Joules and seconds of a step, from readings."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.exam.step_cost import Sample, step_cost, window


@settings(max_examples=30)
@given(st.floats(0.001, 1.0), st.floats(10, 700), st.floats(0.5, 20))
def test_constant_power_gives_power_times_the_time_of_a_step(
    step_s: float, watts: float, long_s: float
) -> None:
    samples = [Sample(5 + 0.5 * n, 3 + watts * 0.5 * n, int(0.5 * n / step_s)) for n in range(100)]
    found = window(samples, 2.0, long_s)
    assert found is not None
    start, end = found
    cost = step_cost(start, end, 0.0, 0.0)
    assert end.time_s - start.time_s >= long_s
    assert start.time_s - samples[0].time_s >= 2.0
    assert cost.energy_j == pytest.approx(watts * cost.time_s)


def test_what_is_unknown_is_not_zero_and_says_why() -> None:
    cost = step_cost(Sample(0, 1.0, 1), Sample(1, None, 11, "the GPU is lost"), 0.1, 0.001)
    assert (cost.energy_j, cost.error_j, cost.reason) == (None, None, "the GPU is lost")
    assert cost.time_s == pytest.approx(0.1)


def test_joules_within_the_meters_error_are_unknown() -> None:
    cost = step_cost(Sample(0, 1.0, 1), Sample(0.05, 2.0, 11), 0.1, 0.001)
    assert cost.energy_j is None
    assert "do not stand out" in cost.reason


def test_a_run_that_ends_before_its_window_has_none() -> None:
    assert window([], 1, 1) is None
    assert window([Sample(0, 0, 0), Sample(1.5, 9, 4)], 1, 1) is None
    assert window([Sample(0, 0, 0), Sample(1.5, 9, 4), Sample(9, 99, 4)], 1, 1) is None
