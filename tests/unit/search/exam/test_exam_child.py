"""A step's process is asked, stopped and killed in time, and dies with the exam."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from search.exam.child import Command, Ended, follow
from search.exam.plan import Deadline, End
from search.files.paths import root

SHELL = ("sh", "-c")
# Goes on when it is asked to end, as a study does until its run has ended, and ends when it is stopped.
ANSWERS = "trap 'echo asked' INT; trap 'echo stopped; exit 7' TERM; while :; do sleep 0.02; done"
DEAF = "trap '' INT TERM; while :; do sleep 0.02; done"


def ends(script: str, log: Path, due: Deadline | None) -> Ended:
    return follow(Command((*SHELL, script), {}), log, due)


def due_in(ask_s: float, stop_s: float, kill_s: float) -> Deadline:
    now_s = time.monotonic()
    return Deadline(now_s + ask_s, now_s + stop_s, now_s + kill_s, End.SLICE)


def test_its_output_is_kept_and_shown_and_its_status_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    log.write_text("of the call before\n")
    ended = ends("echo out; echo err >&2; exit 5", log, None)
    assert (ended.status, ended.early, ended.person) == (5, None, None)
    assert log.read_text() == "of the call before\nout\nerr\n"
    assert capsys.readouterr().out == "out\nerr\n"


def test_it_is_asked_first_and_stopped_later(tmp_path: Path) -> None:
    ended = ends(ANSWERS, tmp_path / "log", due_in(0.5, 3, 30))
    assert (ended.status, ended.early) == (7, End.SLICE)
    assert (tmp_path / "log").read_text().split() == ["asked", "stopped"]


def test_what_does_not_listen_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    ended = ends(f"sleep 60 & {DEAF}", tmp_path / "log", due_in(0.1, 0.2, 0.4))
    assert (ended.status, ended.early) == (-signal.SIGKILL, End.SLICE)
    assert ended.seconds < 20


def test_what_ends_by_itself_was_not_ended_early(tmp_path: Path) -> None:
    assert ends("exit 0", tmp_path / "log", due_in(60, 60, 60)).early is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_it_dies_with_the_exam(tmp_path: Path) -> None:
    script = f"""
        from pathlib import Path
        from search.exam.child import Command, follow
        words = "sh", "-c", "echo $$ > {tmp_path}/pid; exec sleep 60"
        follow(Command(words, {{}}), Path("{tmp_path}/log"), None)
    """
    exam = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], cwd=root())
    until = time.monotonic() + 60
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text().endswith("\n")):
        assert time.monotonic() < until
        time.sleep(0.05)
    exam.kill()
    exam.wait()
    child = Path(f"/proc/{pid.read_text().strip()}/stat")
    while child.exists() and child.read_text().split()[2] != "Z":
        assert time.monotonic() < until, "it outlived the exam"
        time.sleep(0.05)
