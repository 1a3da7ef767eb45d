"""Whether a run can still matter, by the forecast of its loss."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scripted_run import REQUEST, SETUP_AND_COMPILE, Step, at, ran

from model.config import RunConfig
from search.config.schema import StudyConfig
from search.record.crossing import CurvePoint
from search.record.forecast import Forecast, Schedule
from search.record.limits import Rival
from search.record.objective import Spent
from search.record.outcome import Outcome
from search.record.record import Record
from search.run.foresight import EARLIEST, foresee

NAMES = ("energy_to_target_j", "time_to_target_s")
CONFIG = StudyConfig()
CONFIG.train.max_steps = 200
CONFIG.schedule.warmup_steps = 10
SCHEDULE = Schedule(RunConfig.from_mapping(CONFIG.run_values()))
SURE = Forecast(0.2, 0.1, (0.0, 0.0, 0.0), 0.01, 50, 1.4, 20, chance=0.02)


def point(step: int, loss: float, stderr: float = 0.0) -> CurvePoint:
    whole = stderr == 0.0
    return CurvePoint(step, step * 10, loss, stderr or 0.004, step * 1.0, step * 0.5, whole)


def spent(step: int) -> Spent:
    return Spent(step * 1.0, step * 0.5, step * 10, 800, None)


def chance(
    step: int, loss: float, *rivals: Rival, stderr: float = 0.0, forecast: Forecast = SURE
) -> float | None:
    """What is foreseen at a step, None where it goes on."""
    found = foresee(point(step, loss, stderr), spent(step), SCHEDULE, forecast, 2.0, NAMES, rivals)
    return None if found is None else found.chance


def test_a_run_far_above_the_target_is_foreseen_to_miss_it_and_one_near_it_is_not() -> None:
    assert chance(100, 3.0) is not None
    assert chance(100, 2.05) is None


def test_a_forecast_that_is_unsure_ends_nothing() -> None:
    unsure = replace(SURE, scatter=1.0)
    assert chance(100, 2.5) is not None
    assert chance(100, 2.5, forecast=unsure) is None


def test_a_loss_that_is_only_estimated_counts_for_less() -> None:
    found = [chance(100, 2.4, stderr=stderr) for stderr in (0.01, 0.5)]
    assert found[0] is not None
    assert found[1] is None


def test_nothing_is_foreseen_early_in_the_schedule() -> None:
    first = next(step for step in range(1, 201) if SCHEDULE.share_done(step) >= EARLIEST)
    assert chance(first - 1, 5.0) is None
    assert chance(first, 5.0) is not None


def test_it_must_reach_the_target_before_a_rival_dominates_it() -> None:
    """At a joule and half a second a step, one that needed 120 J and 60 s dominates after 120 steps."""
    alone = foresee(point(100, 2.05), spent(100), SCHEDULE, SURE, 2.0, NAMES, ())
    assert alone is None
    beside = foresee(point(100, 2.05), spent(100), SCHEDULE, SURE, 2.0, NAMES, [Rival(3, (120.0, 60.0))])
    assert beside is not None
    assert beside.until == 120
    with_margin = Rival(3, (120.0, 60.0), margin=0.5)
    found = foresee(point(100, 2.3), spent(100), SCHEDULE, SURE, 2.0, NAMES, [with_margin])
    assert found is not None
    assert found.until == 180


def test_a_rival_that_is_better_in_one_objective_alone_dominates_nobody() -> None:
    quick = Rival(3, (1000.0, 55.0))
    found = foresee(point(100, 3.0), spent(100), SCHEDULE, SURE, 2.0, NAMES, [quick])
    assert found is not None
    assert found.until == 200


# ---- in a run


def run(*losses: float, forecast: Forecast | None = SURE) -> Record:
    """Evaluations after every 40 steps."""
    script: list[Step] = [*SETUP_AND_COMPILE]
    for number, loss in enumerate(losses, start=1):
        script += [(4.0, at(40 * number, "eval")), (0.5, at(40 * number, "train", loss=loss))]
    request = replace(REQUEST, config=CONFIG.run_values(), forecast=forecast)
    return ran(script, request=request)


def test_a_run_that_has_hardly_a_chance_ends_and_says_why() -> None:
    record = run(3.5, 3.4, 1.9)
    assert (record.outcome, record.steps) == (Outcome.DOMINATED, 40)
    assert record.reason.startswith(
        "forecast: at step 40 the loss was 3.5000; it reaches the target by step 200"
    )
    assert record.foreseen is not None
    assert record.foreseen.chance < record.foreseen.threshold
    assert not record.foreseen.audited


def test_an_audited_run_goes_on_and_keeps_what_was_foreseen() -> None:
    record = run(3.5, 3.4, 1.9, forecast=replace(SURE, audit=True))
    assert record.outcome is Outcome.REACHED
    assert record.foreseen is not None
    assert (record.foreseen.step, record.foreseen.audited) == (40, True)


def test_without_a_forecast_nothing_is_foreseen() -> None:
    record = run(3.5, 3.4, 1.9, forecast=None)
    assert (record.outcome, record.foreseen) == (Outcome.REACHED, None)


def test_a_target_that_is_reached_is_reached_whatever_was_foreseen() -> None:
    assert run(1.9).outcome is Outcome.REACHED


@pytest.mark.parametrize("audit", [False, True])
def test_what_was_foreseen_is_kept_in_the_record(audit: bool) -> None:
    record = run(3.5, 3.4, forecast=replace(SURE, audit=audit))
    assert Record.from_dict(record.to_dict()).foreseen == record.foreseen
