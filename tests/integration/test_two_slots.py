"""A study that trains on two slots at once, as a person runs it: real runs, real kills."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import run_here
from running_study import begun, records_of

from search.config.cores import usable_cores
from search.files.paths import study_dir
from search.record.outcome import Outcome, Role
from search.record.record import Record

Tiny = Callable[..., list[str]]
pytestmark = pytest.mark.skipif(usable_cores().threads < 2, reason="two slots need two cores")
LONGER = ("train.max_steps=400", "target_loss=2.6")


def started_with_both(command: list[str], folder: Path) -> subprocess.Popen[str]:
    """The study in a session of its own, once a run goes on in either slot."""
    process = begun(command)
    deadline = time.monotonic() + 90
    both = [folder / "running.json", folder / "running-1.json"]
    while time.monotonic() < deadline:
        if all(path.exists() for path in both):
            return process
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    raise AssertionError(process.communicate()[0])


def is_whole(records: list[Record], n_trials: int) -> bool:
    """Every trial has one record, and what ran was begun once."""
    numbers = [record.trial for record in records if record.role is not Role.BASELINE or record.trial == 0]
    configurations = {str(record.config) for record in records if not record.interrupted}
    again = sum(record.role is Role.BASELINE for record in records) - 1
    return (
        len(set(numbers)) == len(numbers) >= n_trials
        and len({record.run_id for record in records}) == len(records)
        and len(configurations) + again == sum(not record.interrupted for record in records)
    )


@pytest.mark.slow
def test_two_slots_train_at_once_and_a_kill_of_all_loses_neither(tiny: Tiny, study_name: str) -> None:
    command = tiny("device.slots=2", "budget.n_trials=6", "noise.runs=1", *LONGER)
    folder = study_dir(study_name)
    process = started_with_both(command, folder)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = run_here(command)
    assert done.returncode == 0, done.stdout + done.stderr
    records = records_of(study_name)
    assert is_whole(records, 6)
    assert 1 <= sum(record.interrupted for record in records) <= 2
    assert all(record.outcome is Outcome.CRASHED for record in records if record.interrupted)
    assert not list(folder.glob("running*.json"))


@pytest.mark.slow
def test_ctrl_c_twice_ends_both_and_keeps_their_joules(tiny: Tiny, study_name: str) -> None:
    process = started_with_both(
        tiny(
            "device.slots=2",
            "budget.n_trials=20",
            "budget.forecast=null",
            "train.max_steps=4000",
            "target_loss=2.6",
        ),
        study_dir(study_name),
    )
    time.sleep(1.0)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    interrupted = [record for record in records_of(study_name) if record.interrupted]
    assert len(interrupted) == 2
    assert not list(study_dir(study_name).glob("running*.json"))


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing(tiny: Tiny, study_name: str) -> None:
    generator = random.Random(3)
    command = tiny("device.slots=2", "budget.n_trials=14", "noise.runs=1", *LONGER)
    folder = study_dir(study_name)
    for _ in range(4):
        process = started_with_both(command, folder)
        time.sleep(generator.uniform(0.0, 2.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    done = run_here(command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert is_whole(records_of(study_name), 14)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("device.slots=0",), "device.slots"),
        (
            ("device.slots=1000",),
            "device.slots=1000 times device.threads=1 is more than this process",
        ),
        (("device.slots=2", "meter=rapl"), "which meter rapl cannot tell apart"),
        (("device.slots=2", "meter.also=[rapl]"), "which meter rapl cannot tell apart"),
    ],
)
def test_slots_that_cannot_be_had_cost_one_line(tiny: Tiny, settings: tuple[str, ...], said: str) -> None:
    done = run_here(tiny(*settings))
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
