"""A study in which the number of processes is a dimension, and what is left of one that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest
from conftest import run
from running_study import records_of

from search.config.cores import usable_cores
from search.files.paths import root, study_dir
from search.record.outcome import Outcome

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(usable_cores().threads < 2, reason="two processes need two cores"),
]
ONE_OR_TWO = "+space.train.processes={type: categorical, choices: [1, 2, 64]}"


def ranks_below(process: psutil.Process) -> list[psutil.Process]:
    return [p for p in process.children(recursive=True) if "model.distributed.rank" in p.cmdline()]


def test_the_number_of_processes_is_a_dimension_and_what_the_machine_lacks_is_not_offered(
    tiny: Callable[..., list[str]], study_name: str
) -> None:
    done = run(tiny("budget.n_trials=5", "sampler=random", "device=cpu", ONE_OR_TWO))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "train.processes=64 needs device.threads cores each" in done.stdout.replace("\n", " ")
    records = records_of(study_name)
    processes = [record.config["train"]["processes"] for record in records]
    assert set(processes) == {1, 2}
    assert all(record.outcome is not Outcome.CRASHED for record in records), [r.reason for r in records]
    assert all(record.gross_energy_j for record in records)
    summary = json.loads((study_dir(study_name) / "summary.json").read_text())
    assert summary["front"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a rank ends at its next step")
def test_nothing_outlives_a_study_that_is_killed(tiny: Callable[..., list[str]]) -> None:
    command = tiny("device=cpu", "train.processes=2", "train.max_steps=1000000", "target_loss=0.1")
    study = subprocess.Popen(
        command, cwd=root(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ)
    )
    own = psutil.Process(study.pid)
    until_s = time.monotonic() + 60
    while len(ranks_below(own)) < 2 and time.monotonic() < until_s:
        time.sleep(0.05)
    time.sleep(1.0)
    family = own.children(recursive=True)
    assert len(ranks_below(own)) == 2
    study.send_signal(signal.SIGKILL)
    study.wait()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
