"""The child process of a job: its status comes through, it is told once, and it has time to record."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from search.launch.job import StudyJob, patience_s

SECRET = "postgresql+psycopg://me:hunter2@host/db"


def job(tmp_path: Path, *arguments: str, grace_s: float = 20) -> StudyJob:
    return StudyJob(arguments, tmp_path, tmp_path, grace_s, SECRET)


def test_submitit_keeps_some_of_the_time_of_a_warning_to_itself() -> None:
    assert [patience_s(grace_s) for grace_s in (10, 30, 120)] == [5, 15, 105]


def test_a_job_survives_pickling_and_never_shows_its_storage(tmp_path: Path) -> None:
    made = job(tmp_path, "+study=demo")
    assert pickle.loads(pickle.dumps(made)) == made
    assert "hunter2" not in repr(made)


@contextmanager
def child_of(made: StudyJob, code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A child that runs `code`, once it says that it listens."""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        made._child = child
        assert child.stdout is not None
        child.stdout.readline()
        try:
            yield child
        finally:
            child.kill()


LISTENING = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, {handler}); print(flush=True); time.sleep(60)"
)


def test_a_warning_waits_for_the_child_and_gives_the_same_job_anew(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    made = job(tmp_path, "+study=demo")
    handler = "lambda *_: (time.sleep(0.5), sys.exit(7))"
    with child_of(made, LISTENING.format(handler=handler)) as child:
        delayed = made.checkpoint()
        assert child.wait(0.1) == 7, "it had ended by itself"
    assert delayed.function == job(tmp_path, "+study=demo")


def test_a_child_that_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    made = job(tmp_path, grace_s=1)
    with child_of(made, LISTENING.format(handler="signal.SIG_IGN")) as child:
        began_s = time.monotonic()
        made.checkpoint()
        assert child.wait(5) == -signal.SIGKILL
        assert 0.5 <= time.monotonic() - began_s < 5


def test_a_child_is_told_once_however_often_the_job_is(tmp_path: Path) -> None:
    made = job(tmp_path)
    counting = "lambda *_: (print('told', flush=True), time.sleep(0.5), sys.exit())"
    with child_of(made, LISTENING.format(handler=counting)) as child:
        made._terminated(signal.SIGTERM, None)
        made._terminated(signal.SIGTERM, None)
        assert child.stdout is not None
        assert child.stdout.read() == b"told\n"


@pytest.mark.parametrize(
    ("argument", "status"), [("--version", None), ("--no-such-option", 2)], ids=["done", "a mistake"]
)
def test_the_status_of_the_command_is_that_of_the_job(
    tmp_path: Path, argument: str, status: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "local")
    monkeypatch.setenv("SUBMITIT_LOCAL_JOB_ID", "7")
    before = signal.getsignal(signal.SIGTERM)
    if status is None:
        assert job(tmp_path, argument)() == 0
    else:
        with pytest.raises(SystemExit) as left:
            job(tmp_path, argument)()
        assert left.value.code == status
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGUSR1, signal.SIGUSR2} == set()
    assert SECRET not in os.environ.values()
