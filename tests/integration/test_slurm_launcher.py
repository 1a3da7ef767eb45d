"""`launcher=slurm` with submitit's own stand-in for a cluster: processes of this machine, and PostgreSQL."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
import psutil
import pytest
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from postgres_server import PASSWORD

from search.files.paths import root
from search.files.records import read_records
from search.record.record import Record

pytestmark = [pytest.mark.slow, pytest.mark.many]
Tiny = Callable[..., list[str]]
LOCAL = ("launcher=slurm", "launcher.slurm_cluster=local", "launcher.slurm_minutes=5")
# Some seconds of training, and no evaluation that could end it earlier.
SLOW = ("train.max_steps=400", "target_loss=0.1", "train.batch_size=32", "budget.n_trials=2")


class Submitted:
    """One job that runs on this machine: a controller of submitit's, and below it the job itself."""

    def __init__(self, said: str, reports: Path) -> None:
        found = re.search(r"submitted 1 job to this machine: (\d+)", said)
        assert found is not None, said
        self.name = found[1]
        (self.folder,) = (reports / ".slurm").glob("*/1")

    def log(self, kind: str = "out") -> str:
        return (self.folder / f"{self.name}_0_log.{kind}").read_text()

    def process(self) -> psutil.Process | None:
        """The one that a cluster would signal."""
        try:
            children = psutil.Process(int(self.name)).children()
            return next((one for one in children if "submitit.core._submit" in one.cmdline()), None)
        except psutil.NoSuchProcess:
            return None

    def records(self) -> list[Record]:
        found = list(self.folder.glob("job-*/*/records.jsonl"))
        return read_records(found[0])[0] if found else []

    def wait_for_joules(self) -> None:
        """Until a run that goes on has spent some."""
        wait_until(lambda: any((running["gross_energy_j"] or 0) > 0 for running in self._running()))

    def _running(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in self.folder.glob("job-*/*/running.json")]

    def wait_for_end(self) -> None:
        wait_until(lambda: not psutil.pid_exists(int(self.name)), 240)


def wait_until(holds: Callable[[], bool], limit_s: float = 120) -> None:
    deadline_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.1)


def submit(command: list[str], reports: Path) -> Submitted:
    """Its output goes to a file: the job would keep a pipe open until it ends."""
    with (reports / "said").open("w+") as said:
        done = subprocess.run(
            [*command, *LOCAL, f"reports={reports}"],
            cwd=root(),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            timeout=300,
        )
        said.seek(0)
        text = said.read()
    assert done.returncode == 0, text
    return Submitted(text, reports)


def trials_in(url: str, name: str) -> list[FrozenTrial]:
    storage = RDBStorage(url)
    trials = optuna.load_study(study_name=name, storage=storage).trials
    storage.remove_session()
    storage.engine.dispose()
    return trials


def test_a_job_runs_the_study_to_its_end_and_the_password_is_in_no_text(
    tiny: Tiny, study_name: str, postgres_url: str, tmp_path: Path
) -> None:
    command = tiny("budget.n_trials=3", "target_loss=3.5", f"storage={postgres_url}")
    job = submit(command, tmp_path)
    job.wait_for_end()
    assert len(job.records()) == 3, job.log() + job.log("err")
    assert all(trial.state.is_finished() for trial in trials_in(postgres_url, study_name))
    assert list(job.folder.glob("job-*/*/report.html"))
    assert stat.S_IMODE(job.folder.stat().st_mode) == 0o700
    pickled = set(job.folder.glob("*.pkl"))  # which submitit needs, and only its owner may read
    for path in {path for path in tmp_path.rglob("*") if path.is_file()} - pickled:
        text = path.read_bytes().decode(errors="replace")
        assert PASSWORD not in text, path
        assert quote(PASSWORD, safe="") not in text, path


def test_a_job_that_is_preempted_records_what_its_run_had_spent_and_goes_on(
    tiny: Tiny, study_name: str, postgres_url: str, tmp_path: Path
) -> None:
    job = submit(tiny(*SLOW, f"storage={postgres_url}"), tmp_path)
    job.wait_for_joules()
    process = job.process()
    assert process is not None
    process.send_signal(signal.SIGUSR2)
    job.wait_for_end()
    said = job.log() + job.log("err")
    first, second = job.records()
    assert (first.interrupted, first.reason) == (True, "stopped by SIGTERM"), said
    assert first.gross_energy_j is not None
    assert first.gross_energy_j > 0
    assert (second.interrupted, second.role, second.retry_of) == (False, "baseline", first.trial)
    assert first.run_id != second.run_id
    states = {trial.number: trial.state.name for trial in trials_in(postgres_url, study_name)}
    assert states == {first.trial: "FAIL", second.trial: "PRUNED"}
    assert list(job.folder.glob("job-*/*/report.html"))
    assert "Requeued job" in said


def test_a_job_that_is_cancelled_records_what_its_run_had_spent_and_ends(
    tiny: Tiny, postgres_url: str, tmp_path: Path
) -> None:
    job = submit(tiny(*SLOW, f"storage={postgres_url}"), tmp_path)
    job.wait_for_joules()
    os.kill(int(job.name), signal.SIGTERM)
    job.wait_for_end()
    (record,) = job.records()
    assert (record.interrupted, record.reason) == (True, "stopped by SIGTERM")
    assert "Requeued job" not in job.log()


def test_a_job_whose_study_is_refused_says_so_in_the_last_line_of_its_log(
    tiny: Tiny, postgres_url: str, tmp_path: Path
) -> None:
    job = submit(tiny("device=cuda", f"storage={postgres_url}"), tmp_path)
    job.wait_for_end()
    assert job.log("err").splitlines()[-1].startswith("joulesearch: device=cuda, but torch sees no GPU")
    assert not list(job.folder.glob("*_result.pkl")), "it is no success"
