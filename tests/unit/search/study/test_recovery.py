"""Plans by which records, storage and running.json agree again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState, create_trial
from records_factory import make_record

from search.config.schema import StudyConfig
from search.record.outcome import Outcome
from search.record.record import Record
from search.sampling.history import RUN_ID, state_of, stored
from search.space.parse import parse_space
from search.study.recovery import NO_NUMBER, RecoveryPlan, disagreement, layout, recovery_plan, unrecorded

SPACE = parse_space(
    {
        "optimizer.lr": {"type": "float", "low": 0.1, "high": 0.9, "step": 0.1},
        "train.batch_size": {"type": "categorical", "choices": [4, 8]},
    },
    StudyConfig().run_values(),
)


def record(trial: int, outcome: Outcome = Outcome.REACHED, **fields: Any) -> Record:
    params = {"optimizer.lr": (trial % 9 + 1) / 10, "train.batch_size": 4}
    noted = {"NSGAIISampler:generation": 0}
    made = make_record(trial, outcome=outcome, params=params, index=trial, system_attrs=noted)
    return replace(made, config=SPACE.config(params), **fields)


def as_stored(records: list[Record]) -> list[FrozenTrial]:
    trials = [stored(one, SPACE) for one in records]
    for number, trial in enumerate(trials):
        trial.number = number
    return trials


def numbered(number: int, state: TrialState, **fields: Any) -> FrozenTrial:
    values = {"values": [1.0, 2.0]} if state is TrialState.COMPLETE else {}
    trial = create_trial(state=state, **values, **fields)
    trial.number = number
    return trial


ALL = [record(number, outcome) for number, outcome in enumerate(Outcome)]

# ---- where storage and records disagree


def test_a_storage_that_was_told_agrees() -> None:
    assert disagreement(ALL, as_stored(ALL)) == ""
    assert recovery_plan(ALL, as_stored(ALL), ()) == RecoveryPlan()


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (number, state)
        for number, one in enumerate(ALL)
        for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        if state is not state_of(one)
    ],
)
def test_another_state_is_a_disagreement(number: int, state: TrialState) -> None:
    trials = as_stored(ALL)
    trials[number] = numbered(number, state, user_attrs={RUN_ID: ALL[number].run_id})
    assert f"trial {number} is {state.name} there, and its run " in disagreement(ALL, trials)


def test_other_values_parameters_or_runs_are_disagreements() -> None:
    for change, words in (
        ({"values": [0.0, 0.0]}, "other values"),
        ({"params": {"optimizer.lr": 0.9, "train.batch_size": 4}}, "other parameters"),
        ({"user_attrs": {RUN_ID: "another"}}, "another run"),
    ):
        trials = as_stored(ALL)
        whole = {"values": trials[0].values, "params": trials[0].params} | change
        trials[0] = create_trial(distributions=trials[0].distributions, **whole)  # type: ignore[arg-type]
        trials[0].number = 0
        assert f"trial 0 {'has' if 'other' in words and 'another' not in words else 'is'} {words}" in (
            disagreement(ALL, trials)
        )


def test_a_trial_that_failed_or_waits_without_a_record_is_none() -> None:
    trials = [
        *as_stored(ALL),
        numbered(len(ALL), TrialState.FAIL),
        numbered(len(ALL) + 1, TrialState.WAITING),
    ]
    assert disagreement(ALL, trials) == ""


def test_a_trial_with_values_and_without_a_record_is_one() -> None:
    trials = [*as_stored(ALL), numbered(len(ALL), TrialState.COMPLETE)]
    assert f"trial {len(ALL)} is COMPLETE there, and no record says so" in disagreement(ALL, trials)
    assert unrecorded(ALL, trials) == [len(ALL)]


def test_what_was_deleted_is_named() -> None:
    trials = as_stored(ALL)
    assert disagreement(ALL, []) == "it holds nothing of the study"
    assert disagreement(ALL, trials[:-1]) == f"it lacks trial {len(ALL) - 1}"
    assert disagreement(ALL, trials[:2]) == f"it lacks {len(ALL) - 2} trials, the first of them 2"
    assert disagreement(ALL, [trials[0], *trials[2:]]) == "trials were deleted from it"
    assert disagreement([], []) == ""


def test_running_trials_are_told_where_a_record_is_and_failed_where_none_is() -> None:
    trials = as_stored(ALL)
    trials[2] = numbered(2, TrialState.RUNNING)
    trials.append(numbered(len(ALL), TrialState.RUNNING))
    found = recovery_plan(ALL, trials, {2, len(ALL)})
    assert found.tell == (ALL[2],)
    assert found.fail == (len(ALL),)
    assert found.rebuild == ""


# ---- the run that was going on


def partial(**fields: Any) -> Record:
    return replace(record(len(ALL), Outcome.CRASHED), **fields)


def cut_off(
    running: Record | None, records: list[Record] = ALL, abandoned: Sequence[FrozenTrial] = ()
) -> Record | None:
    trials = [*as_stored(records), *abandoned]
    return recovery_plan(records, trials, {trial.number for trial in abandoned}, running).cut_off


def test_a_run_that_was_cut_off_keeps_its_number() -> None:
    cut = cut_off(partial())
    assert cut is not None
    assert (cut.trial, cut.interrupted) == (len(ALL), True)


def test_a_run_that_is_recorded_was_not_cut_off() -> None:
    assert cut_off(ALL[2]) is None
    assert cut_off(None) is None


def test_a_run_without_a_number_takes_that_of_its_trial() -> None:
    begun = partial(trial=NO_NUMBER)
    named = numbered(9, TrialState.RUNNING, user_attrs={RUN_ID: begun.run_id})
    other = numbered(8, TrialState.RUNNING, user_attrs={RUN_ID: "other"})
    nameless = numbered(7, TrialState.RUNNING)
    for abandoned, number in (([other, named], 9), ([nameless, named], 9), ([nameless, other], 7)):
        cut = cut_off(begun, abandoned=abandoned)
        assert cut is not None
        assert cut.trial == number
    assert cut_off(begun) is None
    assert cut_off(begun, abandoned=[other]) is None


def test_a_number_that_is_taken_is_not_given_twice() -> None:
    cut = cut_off(partial(trial=2))
    assert cut is not None
    assert cut.trial == len(ALL)


@given(
    recorded=st.lists(st.sampled_from(Outcome), max_size=6),
    number=st.sampled_from([NO_NUMBER, 0, 3, 6]),
    left=st.lists(st.sampled_from(["mine", "another", "nameless"]), max_size=3),
)
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(
    recorded: list[Outcome], number: int, left: list[str]
) -> None:
    """Whatever a kill left: records, what `running.json` holds, trials that still count as RUNNING."""
    records = [record(at, outcome) for at, outcome in enumerate(recorded)]
    running = replace(record(len(records), Outcome.CRASHED), run_id="mine", trial=number)
    attrs: dict[str, dict[str, Any]] = {
        "mine": {RUN_ID: "mine"},
        "another": {RUN_ID: "another"},
        "nameless": {},
    }
    trials = as_stored(records)
    for name in left:
        trials.append(numbered(len(trials), TrialState.RUNNING, user_attrs=attrs[name]))
    abandoned = set(range(len(records), len(trials)))

    plan = recovery_plan(records, trials, abandoned, running)
    kept = records if plan.cut_off is None else [*records, plan.cut_off]
    assert len({one.trial for one in kept}) == len(kept)
    assert {*(one.trial for one in plan.tell), *plan.fail} == abandoned
    if plan.rebuild:
        trials = [one if isinstance(one, FrozenTrial) else stored_at(one) for one in layout(kept, trials)]
    else:
        for one in plan.tell:
            trials[one.trial] = as_stored([replace(one, trial=0)])[0]
            trials[one.trial].number = one.trial
        for failed in plan.fail:
            trials[failed] = numbered(failed, TrialState.FAIL)
    for at, trial in enumerate(trials):
        trial.number = at
    assert recovery_plan(kept, trials, (), running) == RecoveryPlan()


def stored_at(one: Record | None) -> FrozenTrial:
    return numbered(0, TrialState.FAIL) if one is None else stored(one, SPACE)


# ---- building anew


def test_every_record_keeps_its_number_and_gaps_are_filled() -> None:
    records = [record(0), record(3)]
    refused = numbered(1, TrialState.FAIL, user_attrs={"reason": "no"})
    waiting = numbered(4, TrialState.WAITING)
    assert layout(records, [refused, waiting]) == [records[0], refused, None, records[1], waiting]
    assert layout([], []) == []
