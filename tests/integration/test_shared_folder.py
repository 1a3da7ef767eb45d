"""Several processes on one study in one folder, killed, stopped, and many."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from running_study import BEHIND_OTHERS, check_whole, ended, kill, records_of, together, until

from search.files.paths import study_dir
from search.files.whole_file import read_json
from search.record.outcome import Role

Tiny = Callable[..., list[str]]
pytestmark = [pytest.mark.slow, pytest.mark.many]


def both_run(folder: Path) -> bool:
    """Either of two processes has begun a trial."""
    found = [read_json(folder / name) for name in ("running.json", "running.1.json")]
    return all(one is not None and one["trial"] >= 0 for one in found)


def test_two_processes_share_the_trials_of_one_study(tiny: Tiny, study_name: str) -> None:
    with together(tiny("budget.n_trials=6", "train.max_steps=400", "target_loss=2.6"), 2) as both:
        ended(both)
    records = check_whole(study_dir(study_name), 6)
    assert sum(record.role is not Role.BASELINE or record.trial == 0 for record in records) == 6
    summary = json.loads((study_dir(study_name) / "summary.json").read_text())
    assert sum(summary["outcomes"].values()) == len(records)


def test_what_a_killed_process_ran_is_recorded_and_tried_again_by_the_other(
    tiny: Tiny, study_name: str
) -> None:
    command = tiny(
        *("budget.n_trials=5", "noise.runs=1", "budget.forecast=null"),
        *("train.max_steps=1500", "target_loss=2.5"),
    )
    folder = study_dir(study_name)
    with together(command, 2) as both:
        until(lambda: both_run(folder))
        kill(both[0])
        ended(both[1:])
    records = check_whole(study_dir(study_name), 5)
    lost = [record for record in records if record.interrupted]
    assert len(lost) == 1
    assert [one.retry_of for one in records if one.index == lost[0].index] == [None, lost[0].trial]


def test_a_process_that_was_stopped_for_long_goes_on_with_its_trial(tiny: Tiny, study_name: str) -> None:
    """On one machine its lock says that it lives, so nobody takes its trial away."""
    command = tiny("budget.n_trials=5", "noise.runs=1", "train.max_steps=800", "target_loss=2.6")
    folder = study_dir(study_name)
    with together(command, 2) as both:
        until(lambda: both_run(folder))
        os.killpg(both[0].pid, signal.SIGSTOP)
        time.sleep(8)
        os.killpg(both[0].pid, signal.SIGCONT)
        ended(both)
    assert not any(record.interrupted for record in check_whole(study_dir(study_name), 5))


def test_a_storage_that_is_deleted_meanwhile_is_built_again_by_the_last(tiny: Tiny, study_name: str) -> None:
    command = tiny("budget.n_trials=8", "noise.runs=1", "train.max_steps=400", "target_loss=2.6")
    folder = study_dir(study_name)
    with together(command, 2) as both:
        until(lambda: (folder / "records.jsonl").exists() and len(records_of(study_name)) >= 3)
        for path in folder.glob("study.db*"):
            path.unlink()
        ended(both)
    check_whole(study_dir(study_name), 8)


def test_kills_at_random_of_one_or_both_lose_nothing(tiny: Tiny, study_name: str) -> None:
    generator = random.Random(7)
    command = tiny("budget.n_trials=16", "noise.runs=1", "train.max_steps=400", "target_loss=2.6")
    for _ in range(4):
        with together(command, 2) as both:
            until(lambda: any(study_dir(study_name).glob("running*.json")) or both[0].poll() is not None)
            time.sleep(generator.uniform(0.0, 3.0))
            for process in both[: generator.randint(1, 2)]:
                kill(process)
            time.sleep(generator.uniform(0.0, 2.0))
    with together(command, 2) as both:
        ended(both)
    records = check_whole(study_dir(study_name), 16)
    spent = [record.gross_energy_j for record in records if record.interrupted]
    assert all(joules is None or joules > 0 for joules in spent)


def test_24_processes_share_one_study(tiny: Tiny, study_name: str) -> None:
    with together([*BEHIND_OTHERS, *tiny("budget.n_trials=40", "noise.runs=1")], 24) as all_of_them:
        ended(all_of_them)
    check_whole(study_dir(study_name), 40)


def test_of_a_study_that_ended_a_second_process_only_draws_the_report(tiny: Tiny, study_name: str) -> None:
    for _ in range(2):
        with together(tiny("budget.n_trials=2", "noise.runs=1"), 1) as alone:
            ended(alone)
    assert len(check_whole(study_dir(study_name), 2)) == 2
