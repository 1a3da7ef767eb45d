from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.record.front import dominates, pareto_front

# Few distinct values, so that ties and duplicates are common.
values = st.integers(min_value=0, max_value=6).map(float)


def point_lists(max_size: int = 12) -> st.SearchStrategy[list[tuple[float, ...]]]:
    return st.integers(min_value=1, max_value=4).flatmap(
        lambda n: st.lists(st.tuples(*[values] * n), max_size=max_size)
    )


def test_a_point_that_is_better_in_one_and_worse_in_none_dominates() -> None:
    assert dominates((1, 2), (1, 3))
    assert not dominates((1, 3), (1, 2))


def test_equal_points_do_not_dominate_each_other() -> None:
    assert not dominates((1, 2), (1, 2))


def test_points_that_trade_one_objective_for_the_other_do_not_dominate() -> None:
    assert not dominates((1, 3), (2, 2))
    assert not dominates((2, 2), (1, 3))


def test_the_front_keeps_every_duplicate_and_the_order_given() -> None:
    assert pareto_front([(3, 1), (1, 3), (2, 2), (2, 2), (3, 3), (1, 3)]) == (0, 1, 2, 3, 5)


def test_the_front_of_nothing_is_empty() -> None:
    assert pareto_front([]) == ()


def test_a_nan_is_refused_rather_than_ranked() -> None:
    with pytest.raises(ValueError, match="expected a number"):
        pareto_front([(1.0, 2.0), (math.nan, 1.0)])


def test_points_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="expected points of 2 objectives, got 1"):
        dominates((1.0, 2.0), (1.0,))


@given(point_lists())
def test_a_point_is_on_the_front_exactly_when_nothing_dominates_it(points: list[tuple[float, ...]]) -> None:
    expected = tuple(i for i, p in enumerate(points) if not any(dominates(q, p) for q in points))
    assert pareto_front(points) == expected


@given(point_lists())
def test_every_point_is_on_the_front_or_dominated_by_a_point_on_it(points: list[tuple[float, ...]]) -> None:
    front = pareto_front(points)
    for index, point in enumerate(points):
        assert index in front or any(dominates(points[i], point) for i in front)
