from __future__ import annotations

import math
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.record.crossing import CurvePoint, crossing_at_the_end, find_crossing

amounts = st.floats(min_value=0, max_value=1e9)
losses = st.floats(min_value=0.1, max_value=12)


def point(loss: float, energy_j: float | None, time_s: float = 0.0, step: int = 0) -> CurvePoint:
    return CurvePoint(
        step=step, tokens=100 * step, loss=loss, loss_stderr=0.01, energy_j=energy_j, time_s=time_s
    )


@st.composite
def curves(draw: st.DrawFn) -> list[CurvePoint]:
    """Evaluations at growing energies and times, with any losses."""
    values = draw(st.lists(losses, min_size=1, max_size=8))
    energies = accumulate(draw(amounts) for _ in values)
    times = accumulate(draw(amounts) for _ in values)
    return [
        point(loss, energy_j, time_s, step)
        for step, (loss, energy_j, time_s) in enumerate(zip(values, energies, times, strict=True))
    ]


def test_the_target_is_reached_at_the_first_evaluation_at_or_below_it() -> None:
    curve = [
        point(3.0, 10.0, 1.0, 1),
        point(2.5, 20.0, 2.0, 2),
        point(2.9, 25.0, 3.0, 3),
        point(2.0, 30.0, 4.0, 4),
    ]
    at = find_crossing(curve, 2.5)
    below = find_crossing(curve, 2.4)
    assert at is not None
    assert below is not None
    assert (at.step, at.tokens, at.loss, at.energy_j, at.time_s) == (2, 200, 2.5, 20.0, 2.0)
    assert (below.step, below.tokens, below.loss, below.energy_j, below.time_s) == (4, 400, 2.0, 30.0, 4.0)


def test_the_interval_goes_down_to_the_evaluation_before() -> None:
    crossing = find_crossing([point(3.0, 10.0, 1.0), point(2.8, 40.0, 3.0), point(2.0, 50.0, 7.0)], 2.5)
    assert crossing is not None
    assert (crossing.energy_low_j, crossing.time_low_s) == (40.0, 3.0)
    assert crossing.relative_interval == pytest.approx(0.2)


def test_where_the_first_evaluation_reaches_the_target_the_interval_starts_at_nothing_spent() -> None:
    crossing = find_crossing([point(2.0, 50.0, 7.0)], 2.5)
    assert crossing is not None
    assert (crossing.energy_low_j, crossing.time_low_s) == (0.0, 0.0)
    assert crossing.relative_interval == 1.0


def test_a_run_of_fixed_length_crosses_at_its_end_without_an_interval() -> None:
    crossing = crossing_at_the_end([point(2.0, 50.0, 7.0, 3)], 2.0)
    assert crossing is not None
    assert (crossing.step, crossing.loss, crossing.energy_j, crossing.time_s) == (3, 2.0, 50.0, 7.0)
    assert (crossing.energy_low_j, crossing.energy_interpolated_j) == (50.0, 50.0)
    assert (crossing.time_low_s, crossing.time_interpolated_s) == (7.0, 7.0)
    assert crossing.relative_interval == 0.0


@pytest.mark.parametrize("curve", [[], [point(2.1, 50.0)], [point(2.0, None)]])
def test_a_run_of_fixed_length_has_no_crossing_above_the_target_or_without_joules(
    curve: list[CurvePoint],
) -> None:
    assert crossing_at_the_end(curve, 2.0) is None


def test_the_interpolated_estimate_is_linear_in_the_loss() -> None:
    crossing = find_crossing([point(3.0, 100.0, 10.0), point(2.0, 200.0, 30.0)], 2.75)
    assert crossing is not None
    assert crossing.energy_interpolated_j == pytest.approx(125.0)
    assert crossing.time_interpolated_s == pytest.approx(15.0)


def test_a_curve_that_stays_above_the_target_has_no_crossing() -> None:
    assert find_crossing([point(3.0, 10.0), point(2.51, 20.0)], 2.5) is None
    assert find_crossing([], 2.5) is None


@pytest.mark.parametrize(("before_j", "at_j"), [(None, 20.0), (10.0, None), (None, None)])
def test_an_unknown_energy_on_either_side_gives_no_crossing(
    before_j: float | None, at_j: float | None
) -> None:
    assert find_crossing([point(3.0, before_j), point(2.0, at_j)], 2.5) is None


@given(curves(), losses)
def test_the_estimate_lies_within_the_interval_and_the_interval_below_what_was_spent(
    curve: list[CurvePoint], target: float
) -> None:
    crossing = find_crossing(curve, target)
    if crossing is None:
        assert all(point.loss > target for point in curve)
        return
    assert crossing.loss <= target
    assert all(point.loss > target for point in curve[: crossing.step])
    for low, estimate, high in (
        (crossing.energy_low_j, crossing.energy_interpolated_j, crossing.energy_j),
        (crossing.time_low_s, crossing.time_interpolated_s, crossing.time_s),
    ):
        assert low <= high
        assert low <= estimate <= high or math.isclose(estimate, high, rel_tol=1e-12)
    assert 0 <= crossing.relative_interval <= 1
