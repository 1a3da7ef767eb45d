from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.energy.counter_check import FROZEN_AFTER_S, CounterCheck


def test_a_lower_value_means_that_the_counter_was_reset() -> None:
    check = CounterCheck(10.0, 0.0)
    assert check.went_back(9.0)
    assert not check.went_back(10.0)
    assert not check.went_back(11.0)


@pytest.mark.parametrize(("period_s", "patience_s"), [(0.0, 2.0), (0.01, 2.0), (0.1, 2.0), (0.5, 10.0)])
def test_a_counter_may_stand_still_for_two_seconds_or_twenty_of_its_periods(
    period_s: float, patience_s: float
) -> None:
    check = CounterCheck(1.0, 100.0)
    assert check.frozen_s(100.0 + patience_s, period_s) is None
    assert check.frozen_s(100.5 + patience_s, period_s) == pytest.approx(patience_s + 0.5)


@given(st.lists(st.tuples(st.floats(0.001, 1.0), st.booleans()), max_size=30))
def test_a_counter_stands_still_since_it_last_moved(steps: list[tuple[float, bool]]) -> None:
    check, now_s, value, moved_s = CounterCheck(0, 0.0), 0.0, 0, 0.0
    for seconds, moves in steps:
        now_s += seconds
        value += moves
        moved_s = now_s if moves else moved_s
        check = check.after(value, now_s)
    assert (check.frozen_s(now_s) is not None) == (now_s - moved_s > FROZEN_AFTER_S)
