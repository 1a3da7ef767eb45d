from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.record.front import dominates, hypervolume, pareto_front

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


def test_hypervolume_of_one_point_is_its_box() -> None:
    assert hypervolume([(1.0, 2.0)], (4.0, 4.0)) == 6.0


def test_hypervolume_of_a_staircase_counts_overlaps_once() -> None:
    assert hypervolume([(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)], (4.0, 4.0)) == 6.0


def test_a_point_on_or_beyond_the_reference_adds_nothing() -> None:
    assert hypervolume([(4.0, 0.0), (5.0, 5.0)], (4.0, 4.0)) == 0.0


def test_three_boxes_in_three_dimensions_match_inclusion_and_exclusion() -> None:
    # 3 boxes of 1x2x2 = 4 each; each pair meets in 1x1x2 = 2; all three in 1.
    points = [(2.0, 1.0, 1.0), (1.0, 2.0, 1.0), (1.0, 1.0, 2.0)]
    assert hypervolume(points, (3.0, 3.0, 3.0)) == 4 + 4 + 4 - 2 - 2 - 2 + 1


@given(point_lists(max_size=6))
def test_hypervolume_counts_the_unit_cells_that_a_point_dominates(points: list[tuple[float, ...]]) -> None:
    size = len(points[0]) if points else 2
    reference = (7.0,) * size
    cells = itertools.product(range(7), repeat=size)
    covered = sum(any(all(x <= c for x, c in zip(p, cell, strict=True)) for p in points) for cell in cells)
    assert hypervolume(points, reference) == covered


@given(point_lists(max_size=8))
def test_dominated_points_add_no_hypervolume(points: list[tuple[float, ...]]) -> None:
    reference = (7.0,) * (len(points[0]) if points else 2)
    front = [points[i] for i in pareto_front(points)]
    assert hypervolume(front, reference) == hypervolume(points, reference)
