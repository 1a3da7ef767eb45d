"""What of an exam remains, and what a deadline demands, as functions of values."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.errors import INTERRUPTED, MORE
from search.exam.plan import (
    NOTHING,
    STEPS,
    Action,
    Deadline,
    End,
    Limits,
    State,
    StepName,
    StepProgress,
    action,
    after,
    blocked_by,
    deadline,
    estimate_s,
    fits,
    remaining,
)

LIMITS = Limits(study_s=1200, variants_s=360, profiles_s=120, meter_s=60, let_end_s=60, stop_s=20)
STEP = st.sampled_from(StepName)
SECONDS = st.floats(0, 5000)
PROGRESS = st.builds(StepProgress, state=st.sampled_from(State), spent_s=SECONDS, stops=st.integers(0, 3))


@settings(max_examples=40)
@given(st.dictionaries(STEP, PROGRESS), st.sets(STEP))
def test_what_remains_is_wanted_and_not_over_and_in_order(
    steps: dict[StepName, StepProgress], wanted: set[StepName]
) -> None:
    left = remaining(steps, wanted)
    assert set(left) == {step for step in wanted if not steps.get(step, NOTHING).over}
    assert list(left) == sorted(left, key=list(StepName).index)


@settings(max_examples=40)
@given(STEP, SECONDS, st.none() | st.floats(0, 9000), SECONDS)
def test_a_process_is_asked_then_stopped_then_killed_and_never_runs_past_slice_or_budget(
    step: StepName, now_s: float, slice_s: float | None, spent_s: float
) -> None:
    slice_end_s = None if slice_s is None else now_s + slice_s
    due = deadline(step, now_s, slice_end_s, spent_s, LIMITS)
    budget_s = LIMITS.budget_s(step)
    if due is None:
        assert slice_end_s is None
        assert budget_s is None
        return
    assert now_s <= due.ask_s <= due.stop_s <= due.kill_s
    ends = [] if slice_end_s is None else [slice_end_s]
    ends += [] if budget_s is None else [now_s + max(0.0, budget_s - spent_s)]
    assert due.kill_s == pytest.approx(max(now_s, min(ends)))


@settings(max_examples=40)
@given(st.lists(st.floats(0, 200), min_size=1).map(sorted))
def test_signals_are_sent_once_each_and_only_get_stronger(moments: list[float]) -> None:
    due, sent, all_sent = Deadline(50, 90, 100, End.SLICE), Action.NONE, []
    for now_s in moments:
        wanted = action(now_s, due, sent)
        if wanted is not Action.NONE:
            all_sent.append(wanted)
            sent = wanted
    assert all_sent == sorted(set(all_sent))
    assert (sent is Action.KILL) == (moments[-1] >= 100)


def test_without_a_deadline_nothing_is_sent() -> None:
    assert action(1e9, None, Action.NONE) is Action.NONE


def test_a_study_is_asked_a_minute_before_the_end_and_a_test_run_only_stopped() -> None:
    study = deadline(StepName.STUDY, 0, 540, 0, LIMITS)
    tests = deadline(StepName.TESTS, 0, 540, 0, LIMITS)
    assert study == Deadline(480, 520, 540, End.SLICE)
    assert tests == Deadline(520, 520, 540, End.SLICE)


def test_what_a_study_spent_in_earlier_slices_counts_against_its_budget() -> None:
    assert deadline(StepName.STUDY, 0, 540, 1000, LIMITS) == Deadline(140, 180, 200, End.BUDGET)
    assert estimate_s(StepName.STUDY, StepProgress(spent_s=1000), LIMITS) == 200


def test_what_is_one_measurement_is_begun_only_where_it_fits_or_would_never_be_begun() -> None:
    assert fits(StepName.METER, 171, 150, False, LIMITS)
    assert not fits(StepName.METER, 169, 150, False, LIMITS)
    assert fits(StepName.METER, 60, 150, True, LIMITS)
    assert fits(StepName.METER, None, 1e9, False, LIMITS)


def test_a_study_is_begun_where_time_is_left_for_something_before_it_is_asked_to_end() -> None:
    assert fits(StepName.STUDY, 100, 1200, False, LIMITS)
    assert not fits(StepName.STUDY, 70, 1200, True, LIMITS)


@pytest.mark.parametrize("step", [step for step in StepName if StepName.ENVIRONMENT in STEPS[step].needs])
def test_without_its_environment_no_step_measures(step: StepName) -> None:
    failed = {StepName.ENVIRONMENT: StepProgress(State.FAILED)}
    assert blocked_by(step, failed, tuple(StepName)) is StepName.ENVIRONMENT
    assert blocked_by(step, failed, [step]) is None, "who leaves it out knows better"


def test_a_failed_check_of_the_meter_keeps_nothing_from_running() -> None:
    failed = {StepName.ENVIRONMENT: StepProgress(State.DONE), StepName.METER: StepProgress(State.FAILED)}
    assert [blocked_by(step, failed, tuple(StepName)) for step in StepName] == [None] * len(StepName)


@pytest.mark.parametrize(
    ("step", "status", "ended", "by_person", "state"),
    [
        (StepName.TESTS, 0, None, False, State.DONE),
        (StepName.TESTS, 1, None, False, State.FAILED),
        (StepName.TESTS, -11, None, False, State.FAILED),
        (StepName.STUDY, INTERRUPTED, End.SLICE, False, State.WAITING),
        (StepName.STUDY, INTERRUPTED, End.BUDGET, False, State.DONE),
        (StepName.STUDY, INTERRUPTED, None, True, State.WAITING),
        (StepName.STUDY, 1, None, False, State.FAILED),
        (StepName.VARIANTS, MORE, None, False, State.WAITING),
        (StepName.VARIANTS, -6, None, False, State.WAITING),
        (StepName.VARIANTS, 2, None, False, State.FAILED),
    ],
)
def test_how_a_process_ended_says_where_its_step_stands(
    step: StepName, status: int, ended: End | None, by_person: bool, state: State
) -> None:
    assert after(step, StepProgress(), status, ended, by_person, "now").state is state


def test_a_step_that_no_slice_holds_is_given_up_and_says_what_to_type() -> None:
    once = after(StepName.TESTS, StepProgress(), -15, End.SLICE, False, "now")
    twice = after(StepName.TESTS, once, -15, End.SLICE, False, "now")
    assert (once.state, twice.state) == (State.WAITING, State.FAILED)
    assert "exam.slice_minutes" in twice.note
