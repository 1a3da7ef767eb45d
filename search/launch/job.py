"""What a job of a cluster runs: this program's own command as a child process, told in time when to stop.

submitit pickles a `StudyJob` where jobs are submitted and calls it on the node. Before a time limit or a
preemption it calls `checkpoint` from a signal handler, and requeues what that returns.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from search.console import signals
from search.errors import TERMINATED, say
from search.launch.overrides import VARIABLE, job_arguments
from search.own_packages import python_like_this

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

# Of the warning's time, what is left to submitit for requeuing the job.
RESERVE_S = 15.0
POLL_S = 0.1
# submitit takes one of these as the warning. Some clusters send it to every process of a job, which it would
# end without a word.
_WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)


def patience_s(grace_s: float) -> float:
    """How long the study may take to record what its run has spent, of `grace_s` seconds until the job is
    killed."""
    return max(grace_s - RESERVE_S, grace_s / 2)


@dataclass
class StudyJob:
    """`python -m search ARGUMENTS` in the folder `current`, and `grace_s` between a warning and the end.

    What the study writes goes below `folder`, apart for each job: a job that is requeued finds there what it
    had begun. `storage` may hold a password, so it reaches the command by the environment.
    """

    arguments: tuple[str, ...]
    current: Path
    folder: Path
    grace_s: float
    storage: str = field(repr=False)
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _told: bool = False

    def __call__(self) -> int:
        """Run to the end; returns 0. Raises SystemExit with the command's status where that is another one,
        so that SLURM shows it."""
        before = signal.signal(signal.SIGTERM, self._terminated)
        try:
            status = self._run()
        finally:
            self._tell()
            signal.signal(signal.SIGTERM, before)
        if status < 0:
            say(f"the study's process was ended by {signals.name(-status)}")
            status = 128 - status
        if status != 0:
            raise SystemExit(status)
        return status

    def checkpoint(self, *arguments: Any, **keywords: Any) -> DelayedSubmission:
        """End the study's process once what its run has spent is recorded; returns the same job anew."""
        from submitit.helpers import DelayedSubmission

        self._tell()
        self._wait(patience_s(self.grace_s))
        return DelayedSubmission(replace(self, _child=None, _told=False))

    __submitit_checkpoint__ = checkpoint  # its name in versions to come

    def _run(self) -> int:
        from submitit import JobEnvironment

        command, path = python_like_this("search")
        reports = self.folder / f"job-{JobEnvironment().job_id}"
        with _blocked(_WARNINGS):  # the child is born with them blocked; for this process they wait
            self._child = subprocess.Popen(
                [*command, *job_arguments(self.arguments, str(reports))],
                stdin=subprocess.DEVNULL,
                cwd=self.current,
                env=os.environ | path | {VARIABLE: self.storage, "PYTHONUNBUFFERED": "1"},
            )
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT)
        return self._child.wait()

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM: the job was cancelled. Whether it was requeued as well is SLURM's to say."""
        if self._child is None:
            raise SystemExit(TERMINATED)
        self._tell()

    def _tell(self) -> None:
        """Pass SIGTERM on, once: a second one would end the study in the midst of recording."""
        if self._told or self._has_ended():
            return
        self._told = True
        assert self._child is not None
        os.kill(self._child.pid, signal.SIGTERM)

    def _wait(self, limit_s: float) -> None:
        """Until the child has ended. After `limit_s` seconds it is killed: what it had said of its run until
        then is recorded when the job goes on."""
        deadline_s = time.monotonic() + limit_s
        while not self._has_ended():
            if time.monotonic() > deadline_s:
                assert self._child is not None
                say(f"the study's process did not end within {limit_s:g} s, and is killed")
                os.kill(self._child.pid, signal.SIGKILL)
                return
            time.sleep(POLL_S)

    def _has_ended(self) -> bool:
        """Asked of the system and not of Popen, whose lock the interrupted code may hold. It is not reaped,
        so that its number stays its own."""
        if self._child is None or self._child.returncode is not None:
            return True
        return os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


@contextmanager
def _blocked(numbers: tuple[signal.Signals, ...]) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
