"""Kills at random moments of a study that two processes share: its parents, their workers, or both at once.

JOULESEARCH_KILLS sets how many; by hand it was a hundred on each storage.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest
from running_study import begun, check_whole, ended, kill

from search.worker.locks import VARIABLE

Tiny = Callable[..., list[str]]
KILLS = int(os.environ.get("JOULESEARCH_KILLS", "8"))
pytestmark = [pytest.mark.slow, pytest.mark.many, pytest.mark.timeout(3600)]


class Shared:
    """Two processes that are started again when they were killed. On SQLite they share a folder, on
    PostgreSQL each has its own."""

    def __init__(self, command: list[str], folder: Path, url: str | None) -> None:
        self._command, self._folder, self._url = command, folder, url
        self.processes = [self._start(number) for number in range(2)]

    def reports(self, number: int) -> Path:
        return self._folder / f"machine-{number}" if self._url else self._folder

    def _start(self, number: int, *overrides: str) -> subprocess.Popen[str]:
        storage = [f"storage={self._url}"] if self._url else []
        command = [*self._command, *storage, f"reports={self.reports(number)}", *overrides]
        return begun(command, **{VARIABLE: str(self._folder / f"locks-{number if self._url else 0}")})

    def kill(self, number: int, what: str) -> None:
        process = self.processes[number]
        workers = []
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(process.pid).children(recursive=True)
            workers = [one for one in children if "search.worker.process" in " ".join(one.cmdline())]
        if what in ("worker", "both"):
            for worker in workers:
                with suppress(psutil.NoSuchProcess):
                    worker.kill()
        if what in ("parent", "both"):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    def wait_until_it_runs(self, number: int, study: str, limit_s: float = 20.0) -> None:
        """Until a process has a trial, or for so long: it may wait for the other one."""
        seat = "" if self._url or number == 0 else ".1"
        file = self.reports(number) / study / f"running{seat}.json"
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline and not file.exists():
            time.sleep(0.05)

    def start_the_dead(self, *overrides: str) -> None:
        for number, process in enumerate(self.processes):
            if process.poll() is not None:
                kill(process)
                self.processes[number] = self._start(number, *overrides)

    def end(self) -> None:
        for process in self.processes:
            kill(process)


@pytest.mark.parametrize("storage", ["sqlite", "postgres"])
def test_kills_at_random_lose_and_double_nothing(
    storage: str, tiny: Tiny, study_name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_url") if storage == "postgres" else None
    generator = random.Random(5)
    command = tiny(
        *("noise.runs=1", "train.max_steps=400", "target_loss=2.8", "budget.lease_s=6"),
        *("budget.n_trials=100000", "budget.forecast=null", "budget.rival_margin=0.3"),
    )
    with ExitStack() as stack:
        shared = Shared(command, tmp_path, url)
        stack.callback(shared.end)
        for _ in range(KILLS):
            victim = generator.randrange(2)
            shared.wait_until_it_runs(victim, study_name)
            time.sleep(generator.uniform(0.0, 4.0))
            shared.kill(victim, generator.choice(["parent", "worker", "both"]))
            time.sleep(0.1)
            shared.start_the_dead()
        for process in shared.processes:
            kill(process)
        so_far = (shared.reports(0) / study_name / "records.jsonl").read_text().splitlines()
        n_trials = len(so_far) + 4
        shared.start_the_dead(f"budget.n_trials={n_trials}")
        ended(shared.processes)
    for number in range(2):
        records = check_whole(shared.reports(number) / study_name, 4, url or "")
        spent = [record.gross_energy_j for record in records if record.interrupted]
        assert all(joules is None or joules > 0 for joules in spent)
    print(f"\n{storage}: {KILLS} kills, {len(records)} runs, {len(spent)} of them interrupted")
