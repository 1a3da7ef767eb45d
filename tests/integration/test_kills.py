"""Kills at random moments of a study that two processes share: its parents, their workers, or both at once.

JOULESEARCH_KILLS sets how many, JOULESEARCH_KILLS_APART how many seconds lie between two of them at most; by
hand it was a hundred on each storage, up to 30 s apart.
"""

from __future__ import annotations

import json
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

from search.record.outcome import Outcome
from search.worker.locks import VARIABLE

Tiny = Callable[..., list[str]]
KILLS = int(os.environ.get("JOULESEARCH_KILLS", "8"))
APART_S = float(os.environ.get("JOULESEARCH_KILLS_APART", "4"))
pytestmark = [pytest.mark.slow, pytest.mark.many, pytest.mark.timeout(3600)]


class Shared:
    """Two processes that are started again when they were killed. On SQLite they share a folder, on
    PostgreSQL each has its own."""

    def __init__(self, command: list[str], folder: Path, url: str | None) -> None:
        self._command, self._folder, self._url = command, folder, url
        self.processes = [self._start(number) for number in range(2)]
        self._last_kept: dict[str, tuple[float, float]] = {}

    def reports(self, number: int) -> Path:
        return self._folder / f"machine-{number}" if self._url else self._folder

    def _start(self, number: int, *overrides: str) -> subprocess.Popen[str]:
        storage = [f"storage={self._url}"] if self._url else []
        command = [*self._command, *storage, f"reports={self.reports(number)}", *overrides]
        return begun(command, **{VARIABLE: str(self._folder / f"locks-{number if self._url else 0}")})

    def kill(self, number: int, what: str, study: str) -> None:
        process = self.processes[number]
        kept = self._kept(study)
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
        self._note(kept)

    def _kept(self, study: str) -> dict[str, float]:
        """When what the runs had spent was written last, by their names."""
        kept = {}
        for number in range(2):
            for file in (self.reports(number) / study).glob("running*.json"):
                with suppress(FileNotFoundError):
                    kept[json.loads(file.read_text())["run_id"]] = file.stat().st_mtime
        return kept

    def _note(self, kept: dict[str, float]) -> None:
        """There was a kill, and this was known. A run that it did not strike will be kept again later."""
        for run_id, kept_s in kept.items():
            if kept_s > self._last_kept.get(run_id, (0.0, 0.0))[0]:
                self._last_kept[run_id] = (kept_s, time.time())

    def lost_s(self, run_id: str) -> float:
        """For how long a run that was struck had gone on since its joules were written."""
        kept_s, struck_s = self._last_kept[run_id]
        return struck_s - kept_s

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
        "budget.replicates=1",  # a configuration that runs twice is one that was doubled
    )
    with ExitStack() as stack:
        shared = Shared(command, tmp_path, url)
        stack.callback(shared.end)
        for _ in range(KILLS):
            victim = generator.randrange(2)
            shared.wait_until_it_runs(victim, study_name)
            time.sleep(generator.uniform(0.0, APART_S))
            shared.kill(victim, generator.choice(["parent", "worker", "both"]), study_name)
            time.sleep(0.1)
            shared.start_the_dead()
        for number in range(2):
            shared.kill(number, "both", study_name)
            kill(shared.processes[number])
        so_far = (shared.reports(0) / study_name / "records.jsonl").read_text().splitlines()
        n_trials = len(so_far) + 4
        shared.start_the_dead(f"budget.n_trials={n_trials}")
        ended(shared.processes)
    for number in range(2):
        records = check_whole(shared.reports(number) / study_name, 4, url or "")
        struck = [record for record in records if record.interrupted or record.outcome is Outcome.CRASHED]
        assert all(record.gross_energy_j is None or record.gross_energy_j > 0 for record in struck)
    spent_s = sum(record.ledger.gross_time_s for record in records if record.ledger is not None)
    lost_s = sum(shared.lost_s(record.run_id) for record in struck if record.ledger is not None)
    unheard = sum(record.ledger is None for record in struck)
    print(
        f"\n{storage}: {KILLS} kills, {len(records)} runs, {len(struck)} of them struck ({unheard} before "
        f"their first reading); {lost_s / (spent_s + lost_s):.2%} of the runs' time is not in their joules"
    )
    assert KILLS < 50 or lost_s <= 0.02 * spent_s
