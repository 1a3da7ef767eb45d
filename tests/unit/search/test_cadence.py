from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from model.config import RunConfig
from search.cadence import evaluation_cost_steps, steps_until_evaluation

losses = st.floats(min_value=0.5, max_value=12.0)
curves = st.lists(st.tuples(st.integers(0, 100_000), losses), max_size=5, unique_by=lambda p: p[0]).map(
    sorted
)


def log_linear(start: float, slope: float, *steps: int) -> list[tuple[int, float]]:
    return [(step, start - slope * math.log(step)) for step in steps]


@given(curves, losses, st.integers(1, 500), st.integers(1, 500), st.sampled_from([0.0, math.nan, math.inf]))
def test_the_next_evaluation_comes_within_shortest_and_longest(
    curve: list[tuple[int, float]], target: float, longest: int, shortest: int, last: float
) -> None:
    if last and curve:  # the latest loss may be no number
        curve = [*curve[:-1], (curve[-1][0], last)]
    steps = steps_until_evaluation(curve, target, longest, shortest)
    assert min(shortest, longest) <= steps <= longest
    assert isinstance(steps, int)


@given(curves, losses, st.integers(1, 500), st.integers(1, 500))
def test_the_same_curve_gives_the_same_steps(
    curve: list[tuple[int, float]], target: float, longest: int, shortest: int
) -> None:
    first = steps_until_evaluation(curve, target, longest, shortest)
    assert first == steps_until_evaluation(list(curve), target, longest, shortest)


@given(
    start=st.floats(3.0, 6.0),
    slope=st.floats(0.05, 1.0),
    steps=st.lists(st.integers(1, 5000), min_size=2, max_size=2, unique=True).map(sorted),
    beyond=st.floats(1.001, 50.0),
    shortest=st.integers(1, 50),
)
def test_a_curve_that_is_straight_in_log_steps_is_never_overshot_unless_shortest_forces_it(
    start: float, slope: float, steps: list[int], beyond: float, shortest: int
) -> None:
    curve = log_linear(start, slope, *steps)
    crossing = steps[-1] * beyond
    target = start - slope * math.log(crossing)
    assume(curve[1][1] < curve[0][1])
    until = steps_until_evaluation(curve, target, longest=10_000, shortest=shortest)
    assert until == shortest or steps[-1] + until <= crossing


@given(
    start=st.floats(3.0, 6.0),
    slope=st.floats(0.05, 1.0),
    steps=st.lists(st.integers(1, 5000), min_size=2, max_size=2, unique=True).map(sorted),
    gaps=st.lists(st.floats(0.001, 5.0), min_size=2, max_size=2).map(sorted),
)
def test_evaluations_get_no_sparser_as_the_target_comes_nearer(
    start: float, slope: float, steps: list[int], gaps: list[float]
) -> None:
    curve = log_linear(start, slope, *steps)
    near, far = (steps_until_evaluation(curve, curve[-1][1] - gap, 1000, 1) for gap in gaps)
    assert near <= far


def test_evaluations_are_dense_near_the_target_and_sparse_far_from_it() -> None:
    curve = log_linear(4.0, 0.3, 500, 1000)
    last = curve[-1][1]
    near, far = (steps_until_evaluation(curve, last - gap, 250, 1) for gap in (0.01, 2.0))
    assert near < 50
    assert far == 250


@pytest.mark.parametrize("last", [3.0, 3.2, math.nan, math.inf])
def test_a_loss_far_from_the_target_that_does_not_fall_waits_longest(last: float) -> None:
    assert steps_until_evaluation([(100, 3.0), (200, last)], 2.0, 250, 5) == 250


def test_a_loss_near_the_target_is_looked_at_often_also_where_it_does_not_fall() -> None:
    assert steps_until_evaluation([(100, 2.05), (200, 2.06)], 2.0, 250, 5) < 50


def test_before_there_are_two_evaluations_the_wait_is_short() -> None:
    assert steps_until_evaluation([], 2.0, 250, 10) == 20
    assert steps_until_evaluation([(20, 3.0)], 2.0, 250, 10) == 20
    assert steps_until_evaluation([], 2.0, 15, 10) == 15


def test_an_evaluation_costs_a_third_of_training_on_as_many_tokens() -> None:
    config = RunConfig.from_mapping(
        {"train": {"batch_size": 10, "grad_accum": 2}, "model": {"block_size": 32}}
    )
    assert evaluation_cost_steps(config, validation_tokens=640 * 30) == pytest.approx(10.0)
