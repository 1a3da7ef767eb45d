"""A study in a process of its own that tests send signals to, its worker, and what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
import time

import psutil

from search.files.paths import root, study_dir
from search.files.records import read_records
from search.record.record import Record


def started(command: list[str], name: str, **environment: str) -> subprocess.Popen[str]:
    """The study in a session of its own, once its first run has spent joules."""
    process = subprocess.Popen(
        command,
        cwd=root(),
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
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
