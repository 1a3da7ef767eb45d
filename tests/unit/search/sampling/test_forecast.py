"""How far a loss still falls, learnt from runs; and what a run that ended early teaches by it."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_factory import make_record

from model.config import RunConfig
from search.config.schema import StudyConfig
from search.record.crossing import CurvePoint
from search.record.forecast import DELAY, Forecast, Left, Schedule, delayed
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.sampling.forecast import DECAY, FLOOR, PROGRESS, expected_end, learnt_forecast
from search.sampling.lessons import as_ended, at_the_end

TARGET = 2.3
NAMES = ("energy_to_target_j", "time_to_target_s", "parameters")
TRUE_PROGRESS, TRUE_DECAY, SCATTER = 0.4, 0.3, 0.03


def config(name: str = "linear", max_steps: int = 200, **schedule: Any) -> dict[str, Any]:
    values = StudyConfig().run_values()
    values["train"] = values["train"] | {"max_steps": max_steps}
    values["schedule"] = (
        values["schedule"] | {"name": name, "warmup_steps": 10, "min_lr_ratio": 0.0} | schedule
    )
    return values


def run(number: int, end: float, until: float = 1.0, seed: int = 0, **schedule: Any) -> Record:
    """Evaluated at every tenth of its schedule up to `until` of it. Falls are those of the law, to a loss of
    `end` at its end, with scatter that grows with what is left."""
    values = config(**schedule)
    steps = values["train"]["max_steps"]
    plan, luck = Schedule(RunConfig.from_mapping(values)), random.Random(seed).gauss(0, SCATTER)
    floor = FLOOR * TARGET
    curve = []
    for tenth in range(1, round(10 * until) + 1):
        step = steps * tenth // 10
        left = plan.left(step, steps)
        loss = end + TRUE_DECAY * left.decay + luck * (left.progress + 0.5 * left.decay)
        loss = (loss - TRUE_PROGRESS * floor * left.progress) / (1 - TRUE_PROGRESS * left.progress)
        curve.append(CurvePoint(step, step * 768, loss, 0.004, 0.1 * step, 0.03 * step))
    made = make_record(number, outcome=Outcome.OUT_OF_BUDGET, role=Role.SEARCH, energy_j=0.1 * curve[-1].step)
    spent = {"energy_to_target_j": 0.1 * curve[-1].step, "time_to_target_s": 2.0, "parameters": 800.0}
    return replace(
        made,
        config=values,
        curve=tuple(curve),
        steps=curve[-1].step,
        target_loss=TARGET,
        loss_gap=curve[-1].loss - TARGET,
        spent=spent,
        crossing=None,
    )


def runs(count: int) -> list[Record]:
    names = ["linear", "trapezoid", "cosine"]
    return [
        run(number, 2.2 + 0.01 * number, seed=number, name=names[number % 3], max_steps=150 + 7 * number)
        for number in range(count)
    ]


def test_without_runs_the_forecast_is_the_prior() -> None:
    found = learnt_forecast([], chance=0.02)
    assert (found.progress, found.decay) == pytest.approx((PROGRESS, DECAY))
    assert (found.runs, found.chance, found.audit) == (0, 0.02, False)


def test_runs_outweigh_the_prior() -> None:
    found = learnt_forecast(runs(30))
    assert found.runs == 30
    assert found.progress == pytest.approx(TRUE_PROGRESS, abs=0.08)
    assert found.decay == pytest.approx(TRUE_DECAY, abs=0.08)


def test_a_run_that_ended_early_is_expected_to_end_where_the_others_say() -> None:
    forecast = learnt_forecast(runs(30))
    for until in (0.4, 0.6, 0.8):
        cut = run(99, 2.25, until=until, seed=3, name="trapezoid")
        assert cut.curve[-1].loss > 2.3
        assert expected_end(cut, forecast) == pytest.approx(2.25, abs=0.06)
    whole = run(99, 2.25)
    assert expected_end(whole, forecast) == pytest.approx(whole.curve[-1].loss)


def test_before_a_cool_down_more_is_expected_than_after_it() -> None:
    """The plateau of a trapezoid is not its end."""
    plan = Schedule(RunConfig.from_mapping(config("trapezoid", cooldown_fraction=0.4)))
    forecast = learnt_forecast(runs(30))
    before, after = plan.left(110, 200), plan.left(190, 200)
    assert before.decay > 0.5
    assert after.decay < 0.2
    assert forecast.loss(2.5, before) < forecast.loss(2.5, Left(before.progress, 0.0)) - 0.12
    assert forecast.loss(2.5, after) > 2.4


def test_what_the_rate_falls_is_felt_with_a_delay() -> None:
    """A drop at once comes to all but 1/e of itself in `DELAY` steps; before the peak nothing decays."""
    dropped = delayed([0.5, 1.0, *[0.0] * round(3 * DELAY)])
    assert dropped[:2] == (1.0, 1.0)
    assert dropped[1 + round(DELAY)] == pytest.approx(1 / math.e)
    assert dropped[-1] == pytest.approx(math.exp(-3))


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=200))
def test_the_delayed_rate_lies_between_what_the_rates_were(rates: list[float]) -> None:
    found = delayed(rates)
    assert len(found) == len(rates)
    assert found[rates.index(max(rates))] == max(rates)
    assert all(min(rates) - 1e-12 <= rate <= max(rates) + 1e-12 for rate in found)


def test_a_short_cool_down_ends_with_more_of_its_decay_to_come() -> None:
    ends = {}
    for fraction in (0.1, 0.3, 1.0):
        plan = Schedule(RunConfig.from_mapping(config("trapezoid", cooldown_fraction=fraction)))
        ends[fraction] = plan.left(20, 200).decay
    assert ends[0.1] < ends[0.3] < ends[1.0]


def test_chances_are_right_as_often_as_they_say() -> None:
    """Of runs that are cut off halfway, those given a chance of p come to their target p of the time."""
    forecast = learnt_forecast(runs(40))
    chances, came = [], []
    for number in range(400):
        end = 2.2 + 0.2 * random.Random(number).random()
        cut = run(number, end, until=0.5, seed=1000 + number)
        plan = Schedule(RunConfig.from_mapping(cut.config))
        chances.append(
            forecast.chance_below(TARGET, cut.curve[-1].loss, 0.0, plan.left(cut.curve[-1].step, 200))
        )
        came.append(end <= TARGET)
    for low, high in [(0.0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1.0)]:
        inside = [place for place, chance in enumerate(chances) if low <= chance <= high]
        said, happened = np.mean([chances[i] for i in inside]), np.mean([came[i] for i in inside])
        assert abs(said - happened) < 0.15, (low, high, len(inside))


losses = st.floats(1.0, 5.0)
lefts = st.builds(Left, st.floats(0.0, 2.0), st.floats(0.0, 1.0))


@given(losses, lefts, st.floats(0.0, 0.1))
def test_a_chance_is_a_probability_that_rises_with_the_target(now: float, left: Left, stderr: float) -> None:
    forecast = learnt_forecast(runs(5))
    chances = [forecast.chance_below(target, now, stderr, left) for target in (0.5, 1.5, 2.5, 6.0)]
    assert all(0.0 <= chance <= 1.0 for chance in chances)
    assert chances == sorted(chances)


def test_where_nothing_is_left_the_loss_stays() -> None:
    forecast = learnt_forecast(runs(5))
    assert forecast.loss(2.5, Left(0.0, 0.0)) == 2.5
    assert forecast.chance_below(2.3, 2.5, 0.0, Left(0.0, 0.0)) == 0.0
    assert forecast.chance_below(2.5, 2.5, 0.0, Left(0.0, 0.0)) == 1.0


def test_a_forecast_crosses_to_another_process() -> None:
    import json

    forecast = learnt_forecast(runs(5), 0.02, audit=True)
    assert Forecast.from_dict(json.loads(json.dumps(vars(forecast)))) == forecast


# ---- lessons


def test_as_it_ended_a_run_teaches_what_it_had_spent_and_its_best_loss() -> None:
    cut = run(1, 2.2, until=0.5)
    lesson = as_ended(cut, NAMES, lambda: learnt_forecast([]))
    assert lesson.values == (10.0, 2.0, 800.0)
    assert lesson.gap == cut.loss_gap


def test_at_the_end_a_run_teaches_its_whole_schedule() -> None:
    forecast = learnt_forecast(runs(30))
    cut, whole = run(1, 2.2, until=0.5), run(1, 2.2)
    lesson = at_the_end(cut, NAMES, lambda: forecast)
    assert lesson.values == pytest.approx((20.0, 4.0, 800.0))
    assert lesson.gap == pytest.approx(-0.1, abs=0.06)
    assert at_the_end(whole, NAMES, lambda: forecast).gap == pytest.approx(-0.1, abs=1e-9)


def test_a_run_that_diverged_is_far_from_every_target() -> None:
    diverged = replace(run(1, 2.2, until=0.5), outcome=Outcome.DIVERGED)
    assert at_the_end(diverged, NAMES, lambda: learnt_forecast([])).gap == 10.0


@given(st.lists(st.floats(2.0, 3.0), min_size=1, max_size=8))
def test_what_is_learnt_depends_on_no_order(ends: Sequence[float]) -> None:
    records = [run(number, end, seed=number) for number, end in enumerate(ends)]
    forwards, backwards = learnt_forecast(records), learnt_forecast(records[::-1])
    assert math.isclose(forwards.progress, backwards.progress, rel_tol=1e-9)
    assert math.isclose(forwards.scatter, backwards.scatter, rel_tol=1e-9)


@given(st.sampled_from(["cosine", "linear", "trapezoid"]), st.integers(2, 60), st.integers(0, 20))
def test_a_schedule_of_plain_values_is_that_of_the_whole_configuration(
    name: str, steps: int, decay_steps: int
) -> None:
    values = config(name, steps, decay_steps=decay_steps or None)
    theirs, ours = Schedule(RunConfig.from_mapping(values)), Schedule.of_values(values)
    assert ours.steps == theirs.steps == steps
    assert ours.left(1, steps) == theirs.left(1, steps)
