"""Signals as schedulers, terminals and containers send them: what was interrupted is tried again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CONF, run
from running_study import records_of, started, worker_of

from search.files.paths import root
from search.files.records import read_records
from search.record.outcome import Outcome

Tiny = Callable[..., list[str]]
# Some seconds of training, and no evaluation that could end it earlier.
SLOW = ("train.max_steps=400", "target_loss=0.1", "train.batch_size=32", "budget.n_trials=2")


@pytest.mark.slow
@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, *(pytest.param(one, marks=pytest.mark.slow) for one in (signal.SIGHUP, signal.SIGUSR1))],
)
def test_a_signal_that_reaches_the_worker_alone_interrupts_the_baseline_which_is_tried_again(
    tiny: Tiny, study_name: str, tmp_path: Path, number: signal.Signals
) -> None:
    process = started(tiny(*SLOW), study_name, TMPDIR=str(tmp_path))
    worker_of(process).send_signal(number)
    output, _ = process.communicate(timeout=120)
    first, second = records_of(study_name)
    assert (first.role, first.interrupted, first.outcome) == ("baseline", True, Outcome.CRASHED), output
    assert f"ended from outside by {number.name}" in first.reason
    assert first.gross_energy_j is not None
    assert (second.role, second.outcome, second.retry_of) == ("baseline", Outcome.OUT_OF_BUDGET, 0)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_scheduler_that_ends_the_worker_before_the_study_costs_one_attempt(
    tiny: Tiny, study_name: str, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    process = started(tiny(*SLOW), study_name, TMPDIR=str(tmp_path))
    worker_of(process).send_signal(number)
    time.sleep(0.05)
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == status, output
    assert "Traceback" not in output
    (record,) = records_of(study_name)
    assert record.interrupted
    assert record.reason == f"stopped by {number.name}"


@pytest.mark.slow
def test_a_worker_that_is_killed_outright_leaves_no_folder_of_caches(
    tiny: Tiny, study_name: str, tmp_path: Path
) -> None:
    process = started(tiny(*SLOW, "budget.n_trials=1"), study_name, TMPDIR=str(tmp_path))
    assert list(tmp_path.glob("joulesearch-caches-*"))
    worker_of(process).kill()
    process.communicate(timeout=60)
    assert "SIGKILL (out of memory?)" in records_of(study_name)[0].reason
    assert not records_of(study_name)[0].interrupted
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_study_that_was_stopped_for_longer_than_a_hang_goes_on_and_tries_the_run_again(
    tiny: Tiny, study_name: str, tmp_path: Path
) -> None:
    process = started(tiny(*SLOW, "budget.hang_s=3"), study_name, TMPDIR=str(tmp_path))
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(5.0)
    os.killpg(process.pid, signal.SIGCONT)
    output, _ = process.communicate(timeout=120)
    first, second = records_of(study_name)
    assert first.outcome is Outcome.UNMEASURED, output
    assert "stood still for" in first.reason
    assert first.observed["paused_s"] == pytest.approx(5.0, abs=1.0)
    assert (second.role, second.outcome) == ("baseline", Outcome.OUT_OF_BUDGET)


@pytest.mark.slow
def test_a_worker_that_is_stopped_is_waited_for_and_its_joules_do_not_rank(
    tiny: Tiny, study_name: str, tmp_path: Path
) -> None:
    process = started(tiny(*SLOW, "meter=simulated", "budget.hang_s=3"), study_name, TMPDIR=str(tmp_path))
    worker = worker_of(process)
    worker.suspend()
    time.sleep(5.0)
    worker.resume()
    output, _ = process.communicate(timeout=120)
    assert "waiting for the worker process, which was stopped" in output
    first, _second = records_of(study_name)
    assert first.outcome is Outcome.UNMEASURED
    assert {"paused", "sampling_gap"} <= set(first.flags)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGTERM, 143),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in ((signal.SIGHUP, 129), (signal.SIGINT, 130))),
    ],
)
def test_a_single_run_ends_for_every_signal_with_its_record_and_a_status_that_names_it(
    tiny: Tiny, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    output = tmp_path / "run.jsonl"
    options = [one for one in tiny() if one.startswith("data")]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "search.train", "--config-dir", str(CONF), "+study=tiny", *options),
            *("train.max_steps=100000", "target_loss=0.1", f"output={output}"),
        ],
        cwd=root(),
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    next(line for line in process.stdout if line.startswith("step"))
    process.send_signal(number)
    process.send_signal(number if number != signal.SIGINT else signal.SIGCONT)  # schedulers say it twice
    try:
        said, _ = process.communicate(timeout=30)
    finally:
        process.kill()  # it would hold the device
    assert process.returncode == status, said
    assert "Traceback" not in said
    ((record,), _) = read_records(output)
    assert record.interrupted
    assert record.gross_energy_j is not None
    assert list(tmp_path.iterdir()) == [output], "the caches are gone"


@pytest.mark.slow
def test_a_study_leaves_no_temporary_folder_and_sweeps_those_of_a_process_that_was_killed(
    tiny: Tiny, study_name: str, tmp_path: Path
) -> None:
    process = started(tiny(*SLOW), study_name, TMPDIR=str(tmp_path))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(list(tmp_path.iterdir())) == 2, "caches, and what the worker printed"
    assert run(tiny(*SLOW, "budget.n_trials=2"), TMPDIR=str(tmp_path)).returncode == 1, "the target is missed"
    assert list(tmp_path.iterdir()) == []
