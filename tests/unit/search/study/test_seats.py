"""Seats: who works on a study in one folder, and who has died."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from records_factory import make_record

from search.errors import UserError
from search.study.seats import Seat, seated


def test_each_process_has_the_first_seat_that_is_free(tmp_path: Path) -> None:
    with seated(tmp_path, "a study") as first:
        with seated(tmp_path, "a study") as second:
            assert (first.number, second.number) == (0, 1)
            assert (first.others(), second.others()) == ([1], [0])
        assert first.others() == []
        with seated(tmp_path, "a study") as again:
            assert again.number == 1


def test_files_of_processes_and_slots_have_names_of_their_own(tmp_path: Path) -> None:
    names = {Seat(tmp_path, seat).running_file(slot).name for seat in range(12) for slot in range(12)}
    assert len(names) == 144
    assert {"running.json", "running-1.json", "running.1.json", "running.1-1.json"} <= names


def test_what_a_dead_process_ran_is_told_from_what_others_run(tmp_path: Path) -> None:
    """The lock of a killed process is free, and its file is there still."""
    with ExitStack() as stack:
        first, second, third = (stack.enter_context(seated(tmp_path, "a study")) for _ in range(3))
        for seat, slot in ((first, 0), (second, 0), (second, 1), (Seat(tmp_path, 9), 3)):
            seat.write_running(make_record(0), slot)
        (tmp_path / "running-notes.json").write_text("somebody's own")
        found = {path.name: lives for path, lives in third.running_files()}
    assert found == {
        "running.json": True,
        "running.1.json": True,
        "running.1-1.json": True,
        "running.9-3.json": False,
    }


def test_one_process_decides_at_a_time_and_one_that_was_stopped_is_waited_for(tmp_path: Path) -> None:
    decides = (
        "import sys, time; from pathlib import Path; from search.study.seats import Seat\n"
        "with Seat(Path(sys.argv[1]), 1).deciding(print):\n"
        "    print('in', flush=True); time.sleep(2.5); (Path(sys.argv[1]) / 'done').touch()"
    )
    command = [sys.executable, "-c", decides, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        said: list[str] = []
        with Seat(tmp_path).deciding(said.append):
            assert (tmp_path / "done").exists()
    assert said == ["another process of this study, which is deciding what it runs next"]


def test_on_a_network_the_second_process_is_refused_with_what_to_use(tmp_path: Path) -> None:
    with seated(tmp_path, "a study", on_network=lambda path: True) as alone:
        assert alone.number == 0
        refused = pytest.raises(UserError, match=r"network file system.*storage=postgresql\+psycopg://")
        with refused, seated(tmp_path, "a study", on_network=lambda path: True):
            raise AssertionError
        database = tmp_path / "elsewhere" / "study.db"
        refused = pytest.raises(UserError, match=f"{database} lies on a network")
        with refused, seated(tmp_path, "a study", database, on_network=lambda path: path == database):
            raise AssertionError
    assert Seat(tmp_path, 5).others() == []
