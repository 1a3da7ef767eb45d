"""Several machines on one study in PostgreSQL: each is a folder of its own, with the same command."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from postgres_server import PostgresServer, running_server
from running_study import BEHIND_OTHERS, begun, check_whole, ended, kill, until
from small_disk import fill, mounted

from search.files.records import read_records
from search.files.whole_file import read_json
from search.record.flags import Flag
from search.record.late import EXPIRED
from search.record.outcome import Role
from search.record.record import Record
from search.worker.locks import VARIABLE

Tiny = Callable[..., list[str]]
pytestmark = [pytest.mark.slow, pytest.mark.many]
LONGER = ("noise.runs=1", "train.max_steps=400", "target_loss=2.6", "budget.lease_s=10")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_server() as running:
        yield running


class Machines:
    """The same command on each, and a folder for its reports."""

    def __init__(self, command: Sequence[str], url: str, folder: Path, name: str) -> None:
        self.command, self.url, self._folder, self._name = command, url, folder, name

    def folder(self, machine: int) -> Path:
        return self._folder / f"machine-{machine}" / self._name

    def runs(self, machine: int, *overrides: str) -> subprocess.Popen[str]:
        reports = self.folder(machine).parent
        command = [*self.command, f"storage={self.url}", f"reports={reports}", *overrides]
        return begun(command, **{VARIABLE: str(self._folder / f"locks-{machine}")})

    @contextmanager
    def together(self, count: int, *overrides: str) -> Iterator[list[subprocess.Popen[str]]]:
        with ExitStack() as stack:
            processes = [self.runs(machine, *overrides) for machine in range(count)]
            for process in processes:
                stack.callback(kill, process)
            yield processes

    def records(self, machine: int) -> list[Record]:
        path = self.folder(machine) / "records.jsonl"
        return read_records(path)[0] if path.exists() else []

    def recorded(self, machine: int) -> int:
        return len(self.records(machine))

    def trial_of(self, machine: int) -> int | None:
        """The number of the trial that it runs now."""
        partial = read_json(self.folder(machine) / "running.json")
        return partial["trial"] if partial is not None and partial["trial"] >= 0 else None


@pytest.fixture
def machines(server: PostgresServer, tmp_path: Path, tiny: Tiny, study_name: str) -> Machines:
    return Machines(tiny(*LONGER), server.new_database(), tmp_path, study_name)


def test_two_machines_share_a_study_and_both_have_all_of_it(machines: Machines) -> None:
    with machines.together(2, "budget.n_trials=6") as both:
        ended(both)
    here, there = (check_whole(machines.folder(k), 6, machines.url) for k in range(2))
    assert {record.run_id: record for record in here} == {record.run_id: record for record in there}
    assert sum(record.role is Role.BASELINE for record in here) == 1


def test_a_third_machine_that_comes_later_has_the_report_at_once(machines: Machines) -> None:
    for machine in range(2):
        with ExitStack() as stack:
            process = machines.runs(machine, "budget.n_trials=2")
            stack.callback(kill, process)
            ended([process])
    assert len(check_whole(machines.folder(1), 2, machines.url)) == 2
    drawn = machines.folder(7)
    command = [sys.executable, "-m", "search.report", "--storage", machines.url, str(drawn)]
    done = begun(command)
    output, _ = done.communicate(timeout=120)
    assert done.returncode == 0, output
    assert (drawn / "report.html").is_file()
    assert machines.recorded(7) == 2
    assert "hush" not in (drawn / "config.yaml").read_text() + output


def test_what_a_lost_machine_ran_is_recorded_and_tried_again_elsewhere(machines: Machines) -> None:
    with machines.together(2, "budget.n_trials=12", "train.max_steps=1500", "target_loss=2.5") as both:
        until(lambda: machines.recorded(0) >= 1 and all(machines.trial_of(k) is not None for k in range(2)))
        kill(both[0])
        ended(both[1:])
    records = check_whole(machines.folder(1), 12, machines.url)
    (lost,) = (record for record in records if record.interrupted)
    assert lost.reason == EXPIRED
    assert [one.retry_of for one in records if one.index == lost.index] == [None, lost.trial]


def test_a_machine_that_was_stopped_for_longer_than_a_lease_has_a_late_result(machines: Machines) -> None:
    settings = ("budget.n_trials=12", "train.max_steps=1500", "target_loss=2.5", "budget.forecast=null")
    with machines.together(2, *settings) as both:
        until(lambda: machines.recorded(0) >= 1 and all(machines.trial_of(k) is not None for k in range(2)))
        os.killpg(both[0].pid, signal.SIGSTOP)
        until(lambda: any(record.reason == EXPIRED for record in machines.records(1)))
        os.killpg(both[0].pid, signal.SIGCONT)
        ended(both)
    records = check_whole(machines.folder(0), 12, machines.url)
    (late,) = (record for record in records if Flag.LATE in record.flags)
    (lost,) = (record for record in records if record.run_id == late.late_of)
    assert not late.feasible
    again = [one for one in records if one.index == late.index and not one.interrupted]
    assert len(again) == 1
    summary = json.loads((machines.folder(0) / "summary.json").read_text())
    counted = sum(one.gross_energy_j or 0.0 for one in records) - (lost.gross_energy_j or 0.0)
    assert summary["search_cost"]["energy_j"] == pytest.approx(counted)


def test_a_machine_whose_disk_fills_up_ends_in_one_line_and_all_have_its_run(machines: Machines) -> None:
    with ExitStack() as stack:
        stack.enter_context(mounted(machines.folder(0), "size=16m"))
        both = stack.enter_context(machines.together(2, "budget.n_trials=10"))
        until(lambda: machines.recorded(0) >= 1 and all(machines.trial_of(k) is not None for k in range(2)))
        filler = fill(machines.folder(0))
        output, _ = both[0].communicate(timeout=240)
        assert both[0].returncode == 2, output
        assert "Traceback" not in output
        assert "cannot be written: the disk is full" in output.splitlines()[-1]
        ended(both[1:])
        filler.unlink()
        again = machines.runs(0, "budget.n_trials=10")
        stack.callback(kill, again)
        ended([again])
        there = check_whole(machines.folder(1), 10, machines.url)
        here = check_whole(machines.folder(0), 10, machines.url)
    assert {record.run_id: record for record in here} == {record.run_id: record for record in there}
    assert not any(record.interrupted or record.late_of for record in here)


def test_a_machine_whose_disk_is_read_only_is_one_line_and_the_other_goes_on(machines: Machines) -> None:
    with ExitStack() as stack:
        stack.enter_context(mounted(machines.folder(0), "ro"))
        both = stack.enter_context(machines.together(2, "budget.n_trials=2"))
        output, _ = both[0].communicate(timeout=240)
        assert both[0].returncode == 2, output
        assert output.splitlines()[-1].endswith("cannot be used as a folder: the file system is read-only")
        ended(both[1:])
    check_whole(machines.folder(1), 2, machines.url)


def test_a_database_that_restarts_or_is_gone_for_longer_than_a_lease_costs_nothing(
    server: PostgresServer, machines: Machines
) -> None:
    with machines.together(2, "budget.n_trials=8") as both:
        until(lambda: machines.recorded(0) >= 2)
        server.stop()
        server.start()
        until(lambda: machines.recorded(0) >= 4)
        server.stop()
        try:
            time.sleep(25)
        finally:
            server.start()
        ended(both)
    check_whole(machines.folder(0), 8, machines.url)


def test_kills_at_random_of_one_of_two_machines_lose_nothing(machines: Machines) -> None:
    generator = random.Random(11)
    for _ in range(3):
        with machines.together(2, "budget.n_trials=14") as both:
            until(lambda: machines.trial_of(0) is not None or both[0].poll() is not None)
            time.sleep(generator.uniform(0.0, 3.0))
            kill(both[generator.randrange(2)])
            time.sleep(generator.uniform(0.0, 2.0))
    with machines.together(2, "budget.n_trials=14") as both:
        ended(both)
    here = check_whole(machines.folder(0), 14, machines.url)
    assert {record.run_id for record in here} == {
        record.run_id for record in check_whole(machines.folder(1), 14, machines.url)
    }


def test_16_processes_share_one_study(machines: Machines) -> None:
    machines.command = [*BEHIND_OTHERS, *machines.command]
    with machines.together(16, "budget.n_trials=30", "train.max_steps=40", "target_loss=3.25") as all_of_them:
        ended(all_of_them)
    check_whole(machines.folder(0), 30, machines.url)


def test_a_device_of_another_kind_has_a_baseline_of_its_own(machines: Machines) -> None:
    """Other watts for a core are another meter: their joules do not compare."""
    for machine, watts in enumerate((5, 9)):
        process = machines.runs(machine, "budget.n_trials=3", f"meter.watts_per_core={watts}")
        try:
            ended([process])
        finally:
            kill(process)
    records = read_records(machines.folder(1) / "records.jsonl")[0]
    kinds = {record.meter.settings["watts_per_core"] for record in records}
    assert kinds == {5, 9}
    assert sum(record.role is Role.BASELINE for record in records) == 2
    for watts in kinds:
        assert sum(one.meter.settings["watts_per_core"] == watts for one in records) == 3
    page = (machines.folder(1) / "report.html").read_text()
    assert "2 kinds of device" in page
