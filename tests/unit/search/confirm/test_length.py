"""One configuration at another number of steps: every share of its schedule stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.config import RunConfig
from search.confirm.length import at_length

steps = st.integers(min_value=1, max_value=5_000)


def config(max_steps: int, warmup_steps: int = 0, decay_steps: int | None = None) -> dict[str, object]:
    return {
        "model": {"n_layer": 2},
        "schedule": {"name": "linear", "warmup_steps": warmup_steps, "decay_steps": decay_steps},
        "train": {"batch_size": 16, "max_steps": max_steps},
        "seed": 7,
    }


def test_warm_up_and_decay_keep_their_shares() -> None:
    shorter = at_length(config(2000, warmup_steps=100, decay_steps=1600), 500)
    assert shorter == config(500, warmup_steps=25, decay_steps=400)


@given(steps, st.integers(0, 500), st.none() | steps)
def test_the_same_length_is_the_same_configuration(
    max_steps: int, warmup_steps: int, decay_steps: int | None
) -> None:
    whole = config(max_steps, warmup_steps, decay_steps)
    assert at_length(whole, max_steps) == whole


@given(steps, steps, steps, st.integers(0, 500))
def test_two_changes_of_length_are_one_but_for_rounding(
    first: int, middle: int, last: int, warmup_steps: int
) -> None:
    twice = at_length(at_length(config(first, warmup_steps), middle), last)
    once = at_length(config(first, warmup_steps), last)
    assert twice["train"] == once["train"]
    rounding = 1.0 + last / middle  # of a step in the middle, and of one at the end
    assert twice["schedule"]["warmup_steps"] == pytest.approx(once["schedule"]["warmup_steps"], abs=rounding)


@given(steps, st.integers(1, 500), steps)
def test_a_warm_up_keeps_a_step_and_none_stays_none(before: int, warmup_steps: int, after: int) -> None:
    assert at_length(config(before, warmup_steps), after)["schedule"]["warmup_steps"] >= 1
    assert at_length(config(before, 0), after)["schedule"]["warmup_steps"] == 0


def test_what_a_configuration_leaves_out_has_its_default() -> None:
    """2,000 steps with 100 of warm-up."""
    half = RunConfig.from_mapping(at_length({}, 1000))
    assert (half.train.max_steps, half.schedule.warmup_steps) == (1000, 50)
    assert half.schedule.decay_steps is None


def test_the_configuration_that_came_in_stays_as_it_is() -> None:
    whole = config(2000, warmup_steps=100)
    at_length(whole, 10)
    assert whole == config(2000, warmup_steps=100)
