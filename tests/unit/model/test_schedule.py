import itertools
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.config import ScheduleConfig
from model.schedule import SCHEDULES, learning_rate

names = st.sampled_from(sorted(SCHEDULES))


@st.composite
def schedules(draw):
    """A schedule with at least one step after warm-up, and its length."""
    warmup_steps = draw(st.integers(0, 200))
    config = ScheduleConfig(
        name=draw(names),
        warmup_steps=warmup_steps,
        min_lr_ratio=draw(st.floats(0, 1)),
        cooldown_fraction=draw(st.floats(1e-6, 1)),
    )
    return config, warmup_steps + draw(st.integers(1, 200))


def test_cosine_is_nanogpts_get_lr():
    def get_lr(it, learning_rate=1e-3, min_lr=1e-4, warmup_iters=100, lr_decay_iters=2000):
        if it < warmup_iters:
            return learning_rate * (it + 1) / (warmup_iters + 1)
        if it > lr_decay_iters:
            return min_lr
        decay_ratio = (it - warmup_iters) / (lr_decay_iters - warmup_iters)
        coeff = 0.5 * (1.0 + math.cos(math.pi * decay_ratio))
        return min_lr + coeff * (learning_rate - min_lr)

    config = ScheduleConfig(name="cosine", warmup_steps=100, min_lr_ratio=0.1)
    for step in range(2500):
        assert learning_rate(step, 1e-3, config, 2000) == pytest.approx(get_lr(step), rel=1e-12), step


def test_linear_is_a_straight_line_after_warm_up():
    config = ScheduleConfig(name="linear", warmup_steps=10, min_lr_ratio=0.2)
    for step in range(10, 61):
        assert learning_rate(step, 1.0, config, 60) == pytest.approx(1.0 - 0.8 * (step - 10) / 50), step


def test_trapezoid_is_flat_and_then_a_straight_line_over_its_cooldown():
    config = ScheduleConfig(name="trapezoid", warmup_steps=0, min_lr_ratio=0.0, cooldown_fraction=0.25)
    for step in range(76):
        assert learning_rate(step, 3.0, config, 100) == 3.0, step
    for step in range(75, 101):
        assert learning_rate(step, 3.0, config, 100) == pytest.approx(3.0 * (100 - step) / 25), step


@given(schedules())
def test_every_schedule_starts_by_a_straight_warm_up_from_above_zero(schedule):
    config, decay_steps = schedule
    for step in range(config.warmup_steps):
        expected = 2.0 * (step + 1) / (config.warmup_steps + 1)
        assert learning_rate(step, 2.0, config, decay_steps) == pytest.approx(expected)


@given(schedules())
def test_every_schedule_is_at_its_peak_right_after_warm_up(schedule):
    config, decay_steps = schedule
    assert learning_rate(config.warmup_steps, 2.0, config, decay_steps) == pytest.approx(2.0)


@given(schedules())
def test_every_schedule_ends_at_its_minimum_and_stays_there(schedule):
    config, decay_steps = schedule
    for step in (decay_steps, decay_steps + 1, 10 * decay_steps):
        assert learning_rate(step, 2.0, config, decay_steps) == pytest.approx(2.0 * config.min_lr_ratio)


@given(schedules())
def test_every_schedule_reaches_its_minimum_without_a_jump(schedule):
    config, _ = schedule
    at_the_end = SCHEDULES[config.name].load()(1.0, config)
    assert at_the_end == pytest.approx(config.min_lr_ratio, abs=1e-9)


@given(schedules())
def test_no_rate_is_negative_or_above_the_peak(schedule):
    config, decay_steps = schedule
    for step in range(decay_steps + 2):
        assert 0.0 <= learning_rate(step, 2.0, config, decay_steps) <= 2.0 * (1 + 1e-12)


@given(schedules())
def test_no_schedule_rises_after_warm_up(schedule):
    config, decay_steps = schedule
    rates = [learning_rate(s, 2.0, config, decay_steps) for s in range(config.warmup_steps, decay_steps + 3)]
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(rates))


@given(name=names, decay_steps=st.integers(1, 50), longer_by=st.integers(0, 50))
@example(name="cosine", decay_steps=10, longer_by=0)
def test_a_warm_up_as_long_as_the_schedule_or_longer_divides_by_nothing(name, decay_steps, longer_by):
    warmup_steps = decay_steps + longer_by
    config = ScheduleConfig(name=name, warmup_steps=warmup_steps)
    rates = [learning_rate(step, 2.0, config, decay_steps) for step in range(warmup_steps + 5)]
    assert rates[:warmup_steps] == sorted(rates[:warmup_steps])
    assert rates[warmup_steps:] == [2.0 * config.min_lr_ratio] * 5
