"""Optuna's storage as a picture of the records, whatever is done to it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
from dashboard import (
    PRESSED,
    Dashboard,
    Press,
    change_a_value,
    complete_the_running_trial,
    delete_a_finished_trial,
    delete_the_file,
    delete_the_study,
    fail_the_running_trial,
    finish_a_trial_of_ones_own,
    put_garbage_in_its_place,
    run_sql,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from mirrored_study import IDENTITY, NAMES, OUTCOMES, SPACE, Study, made_up
from optuna.trial import TrialState, create_trial

from search.errors import UserError
from search.record.outcome import Outcome
from search.sampling.history import state_of
from search.study.storage import open_storage, owner

pytestmark = [
    pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed to be used:UserWarning"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with Optuna's tables in it, which take a second to make."""
    folder = tmp_path_factory.mktemp("blank")
    backend = open_storage("auto", folder)
    backend.remove_session()
    backend.engine.dispose()
    return folder / "study.db"


@pytest.fixture
def study(tmp_path: Path, blank: Path) -> Iterator[Study]:
    shutil.copy(blank, tmp_path / "study.db")
    made = Study(tmp_path)
    made.mirror.reconcile([])
    yield made
    made.mirror.close()


# ---- what it shows


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_a_run_that_reached_the_target_has_values(study: Study, outcome: Outcome) -> None:
    study.run(outcome)
    (trial,), (record,) = study.trials(), study.records
    assert trial.state is state_of(record)
    assert (trial.values is not None) == (outcome is Outcome.REACHED)
    assert trial.params == dict(record.params)
    if outcome.completes:
        assert trial.user_attrs["loss_gap"] == record.loss_gap
        assert trial.constraints["loss_gap"] == trial.system_attrs["constraints"][0] == record.loss_gap
    if outcome in (Outcome.OUT_OF_BUDGET, Outcome.DOMINATED, Outcome.DIVERGED):
        assert trial.state is TrialState.PRUNED
        assert trial.user_attrs["spent.energy_to_target_j"] == record.spent["energy_to_target_j"]
        assert trial.user_attrs["spent.time_to_target_s"] == record.spent["time_to_target_s"]


@pytest.mark.parametrize("names", [NAMES, NAMES[:1]])
def test_a_run_that_missed_cannot_win_in_optuna_or_its_dashboard(
    tmp_path: Path, blank: Path, names: tuple[str, ...]
) -> None:
    """The runs that missed are the cheaper ones."""
    shutil.copy(blank, tmp_path / "study.db")
    study = Study(tmp_path, names)
    study.mirror.reconcile([])
    study.run(Outcome.OUT_OF_BUDGET, Outcome.DOMINATED, Outcome.DIVERGED, Outcome.REACHED, Outcome.REACHED)
    assert [trial.number for trial in study.storage.best_trials] == [3]
    dashboard = Dashboard(tmp_path)
    assert [trial["number"] for trial in dashboard.detail()["best_trials"]] == [3]
    study.mirror.close()


def test_nobody_wins_where_all_missed(study: Study) -> None:
    study.run(Outcome.OUT_OF_BUDGET, Outcome.DOMINATED)
    assert study.storage.best_trials == []
    assert Dashboard(study.folder).detail()["best_trials"] == []


def test_a_study_of_the_version_before_goes_on_and_its_misses_lose_their_values(tmp_path: Path) -> None:
    """That version told COMPLETE with what was spent, and kept no run's name."""
    study = Study(tmp_path)
    study.mirror.study.set_user_attr("identity", IDENTITY)
    for outcome in OUTCOMES:
        run = study.request(trial=len(study.records))
        record = made_up(run, outcome, energy_j=5.0 + run.trial)
        study.records.append(record)
        if outcome.completes:
            complete = {"values": list(record.spent.values()), "state": TrialState.COMPLETE}
        else:
            complete = {"state": TrialState.FAIL}
        params = dict(run.params)
        study.storage.add_trial(
            create_trial(params=params, distributions=SPACE.distributions(params), **complete)
        )
    study.resume()
    assert study.agrees()
    assert [trial.number for trial in study.storage.best_trials] == [0]
    assert len(study.said) == 1
    assert "trial 1 is COMPLETE there, and its run ended as OUT_OF_BUDGET" in study.said[0]
    study.run(Outcome.REACHED)
    study.resume()
    assert len(study.said) == 1
    study.mirror.close()


# What is tried in `make test`; the others take most of a second each.
FAST = (complete_the_running_trial, delete_the_study, delete_a_finished_trial, put_garbage_in_its_place)


def slow_unless_fast(presses: list[Press]) -> list[Any]:
    return [pytest.param(one, marks=() if one in FAST else pytest.mark.slow) for one in presses]


@pytest.mark.parametrize("press", slow_unless_fast(PRESSED))
def test_whatever_is_pressed_while_a_run_goes_on_the_records_win(study: Study, press: Press) -> None:
    study.run(Outcome.REACHED, Outcome.OUT_OF_BUDGET, Outcome.CRASHED)
    run = study.begin()
    press(study)
    study.end(run)
    study.run(Outcome.OUT_OF_BUDGET, Outcome.REACHED)
    study.mirror.reconcile(study.records)  # the end of the sitting
    assert study.agrees()
    assert len({record.trial for record in study.records}) == len(study.records) == 6
    best = {trial.number for trial in study.storage.best_trials}
    assert best == {0}
    assert all("\n" not in line for line in study.said)


@pytest.mark.parametrize("press", slow_unless_fast(PRESSED))
def test_whatever_is_pressed_while_several_runs_go_on_the_records_win(study: Study, press: Press) -> None:
    study.run(Outcome.REACHED, Outcome.OUT_OF_BUDGET, Outcome.CRASHED)
    first, second = (study.begin(run_id=f"a run of slot {slot}") for slot in range(2))
    press(study)
    study.end(second, Outcome.OUT_OF_BUDGET)
    third = study.begin(run_id="another run")
    study.end(first)
    study.end(third, Outcome.DOMINATED)
    study.mirror.reconcile(study.records)  # the end of the sitting
    assert study.agrees()
    assert len({record.trial for record in study.records}) == len(study.records) == 6
    assert all("\n" not in line for line in study.said)


def test_runs_that_go_on_stay_running_while_another_is_put_right(study: Study) -> None:
    study.run(Outcome.REACHED)
    first, second = (study.begin(run_id=f"a run of slot {slot}") for slot in range(2))
    study.mirror.reconcile(study.records)
    states = [trial.state for trial in study.trials()]
    assert states == [TrialState.COMPLETE, TrialState.RUNNING, TrialState.RUNNING]
    study.end(second)
    assert [trial.state for trial in study.trials()][1:] == [TrialState.RUNNING, TrialState.COMPLETE]
    study.end(first)
    assert study.agrees()
    assert not study.said


@pytest.mark.parametrize("press", slow_unless_fast([one for one in PRESSED if "running" not in one.__name__]))
def test_whatever_is_pressed_between_two_sittings_a_resume_puts_it_right(study: Study, press: Press) -> None:
    study.run(Outcome.REACHED, Outcome.OUT_OF_BUDGET, Outcome.CRASHED)
    study.mirror.close()
    press(study)
    study.resume()
    assert study.agrees()
    study.run(Outcome.REACHED)
    assert [record.trial for record in study.records][:3] == [0, 1, 2]
    assert study.agrees()
    said = len(study.said)
    study.resume()
    assert len(study.said) == said


def test_what_was_put_right_is_said_in_one_line_that_names_the_file_and_the_reason(study: Study) -> None:
    study.run(Outcome.REACHED, Outcome.REACHED)
    delete_the_study(study)
    study.resume()
    (line,) = study.said
    assert "study.db: it holds nothing of the study; built again from the 2 runs of" in line


def test_a_damaged_file_is_named_and_set_aside_as_it_was(study: Study) -> None:
    study.run(Outcome.REACHED, Outcome.REACHED)
    study.mirror.close()
    put_garbage_in_its_place(study)
    study.resume()
    assert (study.folder / "study.db.corrupt-1").read_bytes() == b"garbage " * 1000
    assert "study.db is damaged (file is not a database); it was set aside as" in study.said[0]
    assert "built again from the 2 runs" in study.said[1]


def test_trials_that_no_record_knows_are_kept_beside_the_study(study: Study) -> None:
    study.run(Outcome.REACHED)
    finish_a_trial_of_ones_own(study)
    study.resume()
    assert "what it held is kept as study 'a study (set aside" in study.said[0]
    names = optuna.get_all_study_names(f"sqlite:///{study.folder / 'study.db'}")
    assert len(names) == 2


def test_notes_outlive_what_is_built_anew(study: Study) -> None:
    study.run(Outcome.REACHED, Outcome.REACHED)
    board = Dashboard(study.folder)
    board.press("PUT", f"/api/studies/{board.study_id()}/note", body="of the study", version=1)
    path = f"/api/studies/{board.study_id()}/{board.trial_id(1)}/note"
    board.press("PUT", path, body="of trial 1", version=1)
    run = study.begin()
    fail_the_running_trial(study)
    study.end(run)
    assert study.agrees()
    detail = Dashboard(study.folder).detail()
    assert detail["note"]["body"] == "of the study"
    assert [trial["note"]["body"] for trial in detail["trials"]] == ["", "of trial 1", ""]


def test_a_note_that_is_edited_changes_nothing_else(study: Study) -> None:
    study.run(Outcome.REACHED)
    run = study.begin()
    board = Dashboard(study.folder)
    board.press("PUT", f"/api/studies/{board.study_id()}/note", body="a thought", version=1)
    study.end(run)
    study.resume()
    assert study.agrees()
    assert study.said == []


def test_a_running_trial_that_nobody_knows_of_is_failed_with_a_reason(study: Study) -> None:
    study.run(Outcome.REACHED)
    trial = study.storage.ask()
    study.resume()
    found = study.trials()[trial.number]
    assert found.state is TrialState.FAIL
    assert "no record" in found.user_attrs["reason"]
    study.run(Outcome.REACHED)
    assert [record.trial for record in study.records] == [0, 2]
    assert study.agrees()


def test_a_trial_of_another_process_that_lives_is_not_built_over(study: Study) -> None:
    study.run(Outcome.REACHED)
    theirs = study.storage.ask()
    held = owner()
    (key,) = held
    theirs.set_user_attr(key, held[key] | {"pid": os.getppid(), "started": _started(os.getppid())})
    change_a_value(study)
    with pytest.raises(UserError, match="trial 1 runs there in another process"):
        study.resume()


def _started(pid: int) -> float:
    import psutil

    return float(psutil.Process(pid).create_time())


@pytest.mark.parametrize("ends", ["whole", "torn"])
def test_a_storage_that_cannot_be_written_is_one_line_that_names_it(study: Study, ends: str) -> None:
    """The folder is gone for good: nothing can be put right."""
    study.run(Outcome.REACHED)
    delete_the_file(study)
    (study.folder / "study.db").mkdir()
    study.mirror.close()
    with pytest.raises(UserError, match=r"the storage .*study\.db cannot be") as caught:
        study.resume()
    assert "\n" not in str(caught.value)


steps = st.lists(st.sampled_from([*PRESSED, "run", "missed", "crashed", "resume"]), min_size=1, max_size=7)


@settings(max_examples=4)
@given(steps=steps)
def test_in_whatever_order_things_happen_the_last_word_is_the_records(
    tmp_path_factory: pytest.TempPathFactory, blank: Path, steps: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("order")
    shutil.copy(blank, folder / "study.db")
    study = Study(folder)
    study.mirror.reconcile([])
    outcomes = {"run": Outcome.REACHED, "missed": Outcome.DOMINATED, "crashed": Outcome.CRASHED}
    study.run(Outcome.REACHED, Outcome.OUT_OF_BUDGET)
    for step in steps:
        if step == "resume":
            study.resume()
        elif isinstance(step, str):
            study.run(outcomes[step])
        else:
            run = study.begin()
            with suppress(Exception):  # a button that finds nothing to press
                step(study)
            study.end(run)
    study.resume()
    assert study.agrees()
    assert len({record.trial for record in study.records}) == len(study.records)
    study.mirror.close()


# ---- trials that somebody enqueued


def test_an_enqueued_trial_becomes_the_run_that_it_asked_for(study: Study) -> None:
    study.run(Outcome.REACHED)
    params = {"optimizer.lr": 0.8, "train.batch_size": 8}
    study.storage.enqueue_trial(params, user_attrs={"why": "a hunch"})
    (waiting,) = study.mirror.waiting(study.records)
    assert waiting.params == params
    run = study.begin(trial=waiting.number, params=params)
    assert run.trial == 1
    study.end(run)
    trial = study.trials()[1]
    assert trial.params == params
    assert trial.user_attrs["why"] == "a hunch"
    assert study.mirror.waiting(study.records) == []
    assert study.agrees()


def test_a_run_that_nobody_enqueued_leaves_those_that_wait_alone(study: Study) -> None:
    study.storage.enqueue_trial({"optimizer.lr": 0.8})
    study.run(Outcome.REACHED)
    assert [(record.trial, dict(record.params)) for record in study.records] == [
        (1, {"optimizer.lr": 0.1, "train.batch_size": 4})
    ]
    assert len(study.mirror.waiting(study.records)) == 1
    assert study.agrees()


def test_an_enqueued_trial_that_was_withdrawn_meanwhile_is_run_all_the_same(study: Study) -> None:
    params = {"optimizer.lr": 0.8, "train.batch_size": 8}
    study.storage.enqueue_trial(params)
    (waiting,) = study.mirror.waiting(study.records)
    run_sql(study, "UPDATE trials SET state = 'FAIL'")
    run = study.begin(trial=waiting.number, params=params)
    study.end(run)
    assert run.trial == 1
    assert study.agrees()


def test_a_refused_trial_says_why_and_has_no_record(study: Study) -> None:
    study.storage.enqueue_trial({"optimizer.lr": 7})
    (waiting,) = study.mirror.waiting(study.records)
    study.mirror.refuse(waiting, "optimizer.lr must be ...", study.records)
    (trial,) = study.trials()
    assert (trial.state, trial.user_attrs["reason"]) == (TrialState.FAIL, "optimizer.lr must be ...")
    study.run(Outcome.REACHED)
    delete_a_finished_trial(study)
    study.resume()
    assert study.trials()[0].user_attrs["reason"] == "optimizer.lr must be ..."
    assert study.agrees()


def test_trials_that_wait_outlive_what_is_built_anew(study: Study) -> None:
    study.run(Outcome.REACHED)
    study.storage.enqueue_trial({"optimizer.lr": 0.8})
    change_a_value(study)
    study.resume()
    (waiting,) = study.mirror.waiting(study.records)
    assert waiting.params == {"optimizer.lr": 0.8}
