"""Several processes on one study in one folder: what a person does with a process for each GPU of a box."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from running_study import records_of

from search.files.paths import root, study_dir
from search.files.whole_file import read_json
from search.record.outcome import Role
from search.record.record import Record

Tiny = Callable[..., list[str]]
pytestmark = pytest.mark.slow


@contextmanager
def together(command: Sequence[str], count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """So many processes that were started at once, each in a session of its own."""
    processes = [begun(command) for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            kill(process)


def begun(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=root(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def ended(processes: Sequence[subprocess.Popen[str]]) -> None:
    """All of them came to their end, and without an error."""
    for process in processes:
        output, _ = process.communicate(timeout=400)
        assert process.returncode == 0, output
        assert "Traceback" not in output


def check_whole(name: str, n_trials: int) -> list[Record]:
    """Nothing lost, nothing doubled, nothing left running; records and storage agree."""
    records = records_of(name)
    assert len({record.run_id for record in records}) == len(records)
    assert len({record.trial for record in records}) == len(records)
    searched = [record for record in records if record.role is Role.SEARCH]
    done = Counter(json.dumps(dict(one.params), sort_keys=True) for one in searched if not one.interrupted)
    assert done.total() >= n_trials - 1 - sum(one.interrupted for one in records)
    assert max(done.values()) == 1
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{study_dir(name) / 'study.db'}")
    stored = {trial.number: trial.state for trial in study.trials}
    assert TrialState.RUNNING not in stored.values()
    assert stored.keys() >= {record.trial for record in records}
    assert not list(study_dir(name).glob("running*.json"))
    return records


def until(happens: Callable[[], object], limit_s: float = 120) -> None:
    deadline = time.monotonic() + limit_s
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def both_run(folder: Path) -> bool:
    """Either of two processes has begun a trial."""
    found = [read_json(folder / name) for name in ("running.json", "running.1.json")]
    return all(one is not None and one["trial"] >= 0 for one in found)


def test_two_processes_share_the_trials_of_one_study(tiny: Tiny, study_name: str) -> None:
    with together(tiny("budget.n_trials=6", "train.max_steps=400", "target_loss=2.6"), 2) as both:
        ended(both)
    records = check_whole(study_name, 6)
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
    records = check_whole(study_name, 5)
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
    assert not any(record.interrupted for record in check_whole(study_name, 5))


def test_a_storage_that_is_deleted_meanwhile_is_built_again_by_the_last(tiny: Tiny, study_name: str) -> None:
    command = tiny("budget.n_trials=8", "noise.runs=1", "train.max_steps=400", "target_loss=2.6")
    folder = study_dir(study_name)
    with together(command, 2) as both:
        until(lambda: (folder / "records.jsonl").exists() and len(records_of(study_name)) >= 3)
        for path in folder.glob("study.db*"):
            path.unlink()
        ended(both)
    check_whole(study_name, 8)


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
    records = check_whole(study_name, 16)
    spent = [record.gross_energy_j for record in records if record.interrupted]
    assert all(joules is None or joules > 0 for joules in spent)


def test_24_processes_share_one_study(tiny: Tiny, study_name: str) -> None:
    with together(tiny("budget.n_trials=40", "noise.runs=1"), 24) as all_of_them:
        ended(all_of_them)
    check_whole(study_name, 40)


def test_of_a_study_that_ended_a_second_process_only_draws_the_report(tiny: Tiny, study_name: str) -> None:
    for _ in range(2):
        with together(tiny("budget.n_trials=2", "noise.runs=1"), 1) as alone:
            ended(alone)
    assert len(check_whole(study_name, 2)) == 2
