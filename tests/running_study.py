"""A study in a process of its own that tests send signals to, its worker, and what it wrote."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna
import psutil
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from search.files.paths import root, study_dir
from search.files.records import read_records
from search.record.outcome import Role
from search.record.record import Record


def started(command: list[str], name: str, **environment: str) -> subprocess.Popen[str]:
    """The study in a session of its own, once its first run has spent joules."""
    process = begun(command, **environment)
    path = study_dir(name) / "running.json"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if path.exists() and json.loads(path.read_text())["gross_energy_j"] is not None:
            return process
        time.sleep(0.02)
    process.kill()
    raise AssertionError(process.communicate()[0])


def worker_of(process: subprocess.Popen[str]) -> psutil.Process:
    (worker,) = [p for p in psutil.Process(process.pid).children() if "search.worker.process" in p.cmdline()]
    return worker


def records_of(name: str) -> list[Record]:
    return read_records(study_dir(name) / "records.jsonl")[0]


@contextmanager
def together(command: Sequence[str], count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """So many processes that were started at once, each in a session of its own."""
    processes = [begun(command) for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            kill(process)


def begun(command: Sequence[str], **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=root(),
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


# Before a command of which many run at once: other tests have time limits.
BEHIND_OTHERS = ("nice", "-n", "15")


def kill(process: subprocess.Popen[str]) -> None:
    """End it and what it started, where it still runs; nothing of it is left open."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    if process.stdout is not None and not process.stdout.closed:
        process.communicate()


def ended(processes: Sequence[subprocess.Popen[str]]) -> None:
    """All of them came to their end, and without an error."""
    for process in processes:
        output, _ = process.communicate(timeout=800)
        assert process.returncode == 0, output
        assert "Traceback" not in output


def check_whole(folder: Path, n_trials: int, storage: str = "") -> list[Record]:
    """Nothing lost, nothing doubled, nothing left running; records and storage agree. `storage`: where it is
    no file of the folder."""
    records = read_records(folder / "records.jsonl")[0]
    assert len({record.run_id for record in records}) == len(records)
    assert len({record.trial for record in records}) == len(records)
    searched = [record for record in records if record.role is Role.SEARCH]
    done = Counter(json.dumps(dict(one.params), sort_keys=True) for one in searched if not one.interrupted)
    assert done.total() >= n_trials - 1 - sum(one.interrupted for one in records)
    assert max(done.values()) == 1
    backend = RDBStorage(storage or f"sqlite:///{folder / 'study.db'}")
    study = optuna.load_study(study_name=records[0].study, storage=backend)
    stored = {trial.number: trial.state for trial in study.get_trials()}
    backend.remove_session()
    backend.engine.dispose()
    assert TrialState.RUNNING not in stored.values()
    assert stored.keys() >= {record.trial for record in records}
    assert not list(folder.glob("running*.json"))
    return records


def until(happens: Callable[[], object], limit_s: float = 240) -> None:
    deadline = time.monotonic() + limit_s
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.02)
