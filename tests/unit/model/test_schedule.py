import itertools
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.config import (
    COOLDOWN_SHAPES,
    RAMP_STARTS,
    ConfigError,
    ModelConfig,
    RunConfig,
    ScheduleConfig,
    TrainConfig,
)
from model.schedule import (
    Plateau,
    averaged_from,
    averaged_steps,
    batch_shape,
    learning_rate,
    momentum_changes,
    momentum_share,
    plateaus,
)
from model.tables import SCHEDULES

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
        cooldown_shape=draw(st.sampled_from(COOLDOWN_SHAPES)),
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


def test_a_square_root_cooldown_is_one_minus_the_root_of_its_progress():
    """Haegele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", 2024."""
    config = ScheduleConfig(
        name="trapezoid", warmup_steps=0, min_lr_ratio=0.0, cooldown_fraction=0.2, cooldown_shape="sqrt"
    )
    for step in range(81):
        assert learning_rate(step, 3.0, config, 100) == 3.0, step
    for step in range(80, 101):
        expected = 3.0 * (1 - math.sqrt((step - 80) / 20))
        assert learning_rate(step, 3.0, config, 100) == pytest.approx(expected, abs=1e-7), step


@given(fraction=st.floats(0.01, 1), position=st.floats(0, 1), minimum=st.floats(0, 1))
def test_a_square_root_cooldown_lies_below_the_straight_one_with_the_same_ends(fraction, position, minimum):
    straight, root = (
        SCHEDULES["trapezoid"].load()(
            position,
            ScheduleConfig(min_lr_ratio=minimum, cooldown_fraction=fraction, cooldown_shape=shape),
        )
        for shape in ("linear", "sqrt")
    )
    assert root <= straight + 1e-12
    if position <= 1 - fraction:
        assert root == straight == 1.0


@given(schedules(), st.floats(0, 1))
def test_no_schedule_jumps(schedule, anywhere):
    """A millionth of the way on, no rate is further off than that of a root where its cooldown starts."""
    config, _ = schedule
    rate = SCHEDULES[config.name].load()
    steepest = math.sqrt(1e-6 / config.cooldown_fraction) + 2e-6
    for position in (0.0, 1 - config.cooldown_fraction, 1 - 1e-6, anywhere):
        assert abs(rate(min(1.0, position + 1e-6), config) - rate(position, config)) <= steepest


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


# --- ramps of the batch size and the context


@st.composite
def ramps(draw):
    def fraction():
        return draw(st.floats(0, 1))

    return RunConfig(
        model=ModelConfig(n_layer=1, n_head=1, n_embd=1, block_size=draw(st.integers(1, 70))),
        train=TrainConfig(
            batch_size=draw(st.integers(1, 70)),
            grad_accum=draw(st.integers(1, 3)),
            max_steps=draw(st.integers(1, 60)),
        ),
        schedule=ScheduleConfig(
            decay_steps=draw(st.none() | st.integers(1, 80)),
            batch_ramp_fraction=fraction(),
            batch_ramp_from=draw(st.sampled_from(RAMP_STARTS)),
            context_ramp_fraction=fraction(),
            context_ramp_from=draw(st.sampled_from(RAMP_STARTS)),
        ),
    )


def ramp(**schedule):
    return RunConfig(train=TrainConfig(max_steps=100), schedule=ScheduleConfig(**schedule))


@pytest.mark.parametrize(
    "none",
    [{}, {"batch_ramp_fraction": 0.5}, {"batch_ramp_from": 0.25}, {"context_ramp_fraction": 1.0}],
    ids=str,
)
def test_without_a_start_below_one_and_a_length_there_is_one_plateau(none):
    assert plateaus(ramp(**none)) == (Plateau(0, 12, 64),)


def test_a_batch_ramp_doubles_in_plateaus_of_equal_length():
    config = ramp(batch_ramp_from=0.25, batch_ramp_fraction=0.4)
    assert plateaus(config) == (Plateau(0, 3, 64), Plateau(20, 6, 64), Plateau(40, 12, 64))


def test_a_context_ramp_doubles_in_plateaus_of_equal_length():
    config = ramp(context_ramp_from=0.125, context_ramp_fraction=0.6)
    assert plateaus(config) == (
        *(Plateau(0, 12, 8), Plateau(20, 12, 16), Plateau(40, 12, 32)),
        Plateau(60, 12, 64),
    )


def test_two_ramps_run_side_by_side():
    config = ramp(
        batch_ramp_from=0.5, batch_ramp_fraction=0.1, context_ramp_from=0.5, context_ramp_fraction=0.3
    )
    assert plateaus(config) == (Plateau(0, 6, 32), Plateau(10, 12, 32), Plateau(30, 12, 64))


def test_the_length_of_a_ramp_is_a_share_of_the_schedule_and_not_of_the_training():
    config = ramp(batch_ramp_from=0.5, batch_ramp_fraction=0.5, decay_steps=40)
    assert plateaus(config) == (Plateau(0, 6, 64), Plateau(20, 12, 64))


@given(ramps())
def test_neither_batch_size_nor_context_ever_falls_or_leaves_its_bounds(config):
    shapes = [batch_shape(step, config) for step in range(config.train.max_steps + 1)]
    for (batch, context), (next_batch, next_context) in itertools.pairwise(shapes):
        assert 1 <= batch <= next_batch <= config.train.batch_size
        assert 1 <= context <= next_context <= config.model.block_size


@given(ramps())
def test_after_its_ramp_a_run_is_whole(config):
    whole = (config.train.batch_size, config.model.block_size)
    assert batch_shape(config.decay_steps, config) == whole
    assert batch_shape(10 * config.decay_steps, config) == whole


@given(ramps())
def test_every_plateau_is_the_whole_over_a_power_of_two(config):
    for plateau in plateaus(config):
        assert plateau.batch_size in {math.ceil(config.train.batch_size / 2**k) for k in range(5)}
        assert plateau.context in {math.ceil(config.model.block_size / 2**k) for k in range(5)}


@given(ramps())
def test_the_plateaus_are_few_and_hold_every_shape_that_a_step_has(config):
    found = plateaus(config)
    assert found[0].first_step == 0
    assert len(found) <= 9
    assert all(earlier.first_step < later.first_step for earlier, later in itertools.pairwise(found))
    for step in range(config.train.max_steps):
        current = [plateau for plateau in found if plateau.first_step <= step][-1]
        assert batch_shape(step, config) == (current.batch_size, current.context)


# --- Muon's momentum


@st.composite
def momenta(draw):
    warmup = draw(st.floats(0, 1))
    return RunConfig(
        train=TrainConfig(max_steps=draw(st.integers(1, 60))),
        schedule=ScheduleConfig(
            decay_steps=draw(st.none() | st.integers(1, 80)),
            momentum_from=draw(st.floats(0, 1, exclude_min=True)),
            momentum_warmup_fraction=warmup,
            momentum_cooldown_fraction=draw(st.floats(0, 1).filter(lambda fall: warmup + fall <= 1)),
        ),
    )


def shares(config, steps):
    return [momentum_share(step, config) for step in range(steps)]


def test_the_momentum_rises_in_a_straight_line_stays_and_falls_back_in_one():
    config = ramp(
        momentum_from=0.8, momentum_warmup_fraction=0.25, momentum_cooldown_fraction=0.1, warmup_steps=3
    )
    for step in range(25):
        assert momentum_share(step, config) == pytest.approx(0.8 + 0.2 * step / 25), step
    assert shares(config, 91)[25:] == [1.0] * 66
    for step in range(90, 101):
        assert momentum_share(step, config) == pytest.approx(1.0 - 0.2 * (step - 90) / 10), step


@pytest.mark.parametrize(
    "whole",
    [
        {},
        {"momentum_from": 0.5},
        {"momentum_warmup_fraction": 0.3, "momentum_cooldown_fraction": 0.7},
        {"momentum_from": 0.5, "momentum_warmup_fraction": 0.004},
    ],
    ids=str,
)
def test_without_a_start_below_one_and_a_step_to_rise_or_fall_in_the_momentum_is_whole(whole):
    assert shares(ramp(**whole), 200) == [1.0] * 200
    assert not momentum_changes(ramp(**whole))


def test_the_momentum_stays_at_its_end_where_the_training_is_longer_than_the_schedule():
    config = ramp(momentum_from=0.5, momentum_cooldown_fraction=0.5, decay_steps=40)
    assert shares(config, 22)[20:] == [1.0, pytest.approx(0.975)]
    assert shares(config, 100)[40:] == [0.5] * 60


@given(momenta())
def test_the_momentum_never_leaves_its_bounds_and_is_whole_between_its_ends(config):
    schedule, length = config.schedule, config.decay_steps
    for step in range(length + 5):
        share = momentum_share(step, config)
        assert schedule.momentum_from - 1e-12 <= share <= 1.0
        rises = step < schedule.momentum_warmup_fraction * length + 1
        falls = step > (1 - schedule.momentum_cooldown_fraction) * length - 1
        assert share == 1.0 or rises or falls


@given(momenta())
def test_the_momentum_turns_once(config):
    found = shares(config, config.decay_steps + 5)
    top = found.index(max(found))
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)


@given(momenta())
def test_whether_the_momentum_changes_is_told_by_its_steps(config):
    assert momentum_changes(config) == any(share < 1.0 for share in shares(config, config.train.max_steps))


# --- the mean of the weights


def test_weights_are_averaged_over_the_last_share_of_the_schedule_and_on_to_the_end_of_training():
    assert averaged_from(ramp()) is None
    assert averaged_from(ramp(average_fraction=0.004)) is None  # no whole step
    assert averaged_from(ramp(average_fraction=0.3)) == 70
    assert averaged_from(ramp(average_fraction=1.0)) == 0
    past_its_schedule = ramp(average_fraction=0.5, decay_steps=40)
    assert averaged_from(past_its_schedule) == 20
    assert averaged_steps(past_its_schedule, 100) == 80


@given(fraction=st.floats(0, 1), decay_steps=st.integers(1, 150), steps=st.integers(0, 200))
def test_the_steps_that_are_averaged_are_those_from_the_first_on(fraction, decay_steps, steps):
    config = ramp(average_fraction=fraction, decay_steps=decay_steps)
    start = averaged_from(config)
    expected = 0 if start is None else sum(step >= start for step in range(steps))
    assert averaged_steps(config, steps) == expected
    assert averaged_steps(config, decay_steps) == round(fraction * decay_steps)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cooldown_shape", "cubic"),
        *((f"{of}_ramp_from", bad) for of in ("batch", "context") for bad in (0.0, 0.3, 2.0, math.nan)),
        *((f"{of}_ramp_fraction", bad) for of in ("batch", "context") for bad in (-0.1, 1.1, math.nan)),
    ],
)
def test_a_ramp_that_cannot_be_meant_is_refused_by_its_name(key, value):
    with pytest.raises(ConfigError, match=f"^schedule.{key} must be "):
        ScheduleConfig(**{key: value})


def test_a_momentum_that_falls_before_it_has_risen_is_refused():
    with pytest.raises(ConfigError) as refused:
        ScheduleConfig(momentum_warmup_fraction=0.7, momentum_cooldown_fraction=0.4)
    assert str(refused.value) == (
        "schedule.momentum_cooldown_fraction must be at most 1 together with "
        "schedule.momentum_warmup_fraction=0.7, got 0.4"
    )
