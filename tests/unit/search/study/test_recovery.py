"""Plans by which records, storage and running.json agree again, and what Optuna is shown of the records."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial
from records_factory import make_record

from search.config.schema import StudyConfig
from search.record.record import Outcome, Record
from search.sampling.history import RUN_ID, sampler_history, state_of, stored, user_attrs
from search.space.parse import parse_space
from search.study.recovery import (
    NO_NUMBER,
    begun_with,
    cut_off,
    disagreement,
    known_part,
    layout,
    plan,
    unrecorded,
)

NAMES = ("energy_to_target_j", "time_to_target_s")
SPACE = parse_space(
    {
        "optimizer.lr": {"type": "float", "low": 0.1, "high": 0.9, "step": 0.1},
        "train.batch_size": {"type": "categorical", "choices": [4, 8]},
    },
    StudyConfig().run_values(),
)


def record(trial: int, outcome: Outcome = Outcome.REACHED, **fields: Any) -> Record:
    params = {"optimizer.lr": (trial % 9 + 1) / 10, "train.batch_size": 4}
    extra = {"index": trial, "system_attrs": {"NSGAIISampler:generation": 0}}
    made = make_record(trial, outcome=outcome, params=params, extra=extra)
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

# ---- what samplers learn from


def test_samplers_see_every_run_whose_values_can_be_trusted_as_complete_with_what_it_spent() -> None:
    history = sampler_history(ALL, SPACE, NAMES)
    seen = [one for one in ALL if one.outcome.completes]
    assert [trial.state for trial in history] == [TrialState.COMPLETE] * 4
    for trial, run in zip(history, seen, strict=True):
        assert trial.values == list(run.spent.values())
        assert trial.constraints["loss_gap"] == run.loss_gap
        assert trial.params == dict(run.params)
        assert trial.distributions == SPACE.distributions(run.params)
        assert trial.system_attrs["NSGAIISampler:generation"] == 0


def test_a_baseline_that_ran_again_is_learnt_from_once() -> None:
    again = replace(record(5, run_id="again"), params=ALL[0].params, config=ALL[0].config, role="baseline")
    assert len(sampler_history([*ALL, again], SPACE, NAMES)) == 4


def test_a_run_outside_the_space_is_learnt_from_without_parameters() -> None:
    (trial,) = sampler_history([replace(record(0), params={"optimizer.lr": 5.0})], SPACE, NAMES)
    assert trial.params == {}


def test_the_history_does_not_depend_on_how_a_record_was_read() -> None:
    read = [Record.from_dict(one.to_dict()) for one in ALL]
    found, wanted = (sampler_history(records, SPACE, NAMES) for records in (read, ALL))
    for one, other in zip(found, wanted, strict=True):
        assert (one.params, one.values, one.system_attrs) == (other.params, other.values, other.system_attrs)


def test_objectives_are_taken_in_the_studys_order() -> None:
    swapped = sampler_history(ALL[:1], SPACE, NAMES[::-1])
    assert swapped[0].values == list(ALL[0].spent.values())[::-1]


# ---- where storage and records disagree


def test_a_storage_that_was_told_agrees() -> None:
    assert disagreement(ALL, as_stored(ALL)) == ""
    assert plan(ALL, as_stored(ALL), ()).rebuild == ""


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
    found = plan(ALL, trials, {2, len(ALL)})
    assert found.tell == (ALL[2],)
    assert found.fail == (len(ALL),)
    assert found.rebuild == ""


# ---- the run that was going on


def partial(**fields: Any) -> Record:
    return replace(record(len(ALL), Outcome.CRASHED), **fields)


def test_a_run_that_was_cut_off_keeps_its_number() -> None:
    cut = cut_off(partial(), ALL, ())
    assert cut is not None
    assert (cut.trial, cut.interrupted) == (len(ALL), True)


def test_a_run_that_is_recorded_was_not_cut_off() -> None:
    assert cut_off(ALL[2], ALL, ()) is None
    assert cut_off(None, ALL, ()) is None


def test_a_run_without_a_number_takes_that_of_its_trial() -> None:
    begun = partial(trial=NO_NUMBER)
    named = numbered(9, TrialState.RUNNING, user_attrs={RUN_ID: begun.run_id})
    other = numbered(8, TrialState.RUNNING, user_attrs={RUN_ID: "other"})
    nameless = numbered(7, TrialState.RUNNING)
    for gone, number in (([other, named], 9), ([nameless, named], 9), ([nameless, other], 7)):
        cut = cut_off(begun, ALL, gone)
        assert cut is not None
        assert cut.trial == number
    assert cut_off(begun, ALL, ()) is None
    assert cut_off(begun, ALL, [other]) is None


def test_a_number_that_is_taken_is_not_given_twice() -> None:
    cut = cut_off(partial(trial=2), ALL, ())
    assert cut is not None
    assert cut.trial == len(ALL)


# ---- building anew


def test_every_record_keeps_its_number_and_gaps_are_filled() -> None:
    records = [record(0), record(3)]
    refused = numbered(1, TrialState.FAIL, user_attrs={"reason": "no"})
    waiting = numbered(4, TrialState.WAITING)
    assert layout(records, [refused, waiting]) == [records[0], refused, None, records[1], waiting]
    assert layout([], []) == []


def test_what_a_person_sees_of_a_miss_are_lower_bounds_beside_no_values() -> None:
    shown = user_attrs(ALL[1])
    assert shown["spent.energy_to_target_j"] == ALL[1].spent["energy_to_target_j"]
    assert shown["loss_gap"] > 0
    assert not any(key.startswith("spent") for key in user_attrs(ALL[0]))
    assert stored(ALL[1], SPACE).values is None


# ---- whose records they are


def test_a_record_says_enough_to_be_told_from_one_of_another_study() -> None:
    theirs = begun_with(ALL[0])
    ours = theirs | {"space": {}, "study_seed": 0}
    assert known_part(ours, theirs) == theirs
    for change in ({"target_loss": 9.0}, {"data_sha256": "0"}, {"objectives": ["parameters"]}):
        assert known_part(ours | change, theirs) != theirs


def test_what_a_record_of_another_version_lacks_is_not_held_against_it() -> None:
    theirs = begun_with(replace(ALL[0], provenance={}))
    assert "data_sha256" not in theirs
    ours = begun_with(ALL[0]) | {"baseline": begun_with(replace(ALL[0], role="baseline"))["baseline"]}
    ours["baseline"]["model"] = ours["baseline"]["model"] | {"new": 1}
    assert known_part(ours, theirs) == theirs
