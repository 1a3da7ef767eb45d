"""A step's process: its output goes to a log and to the terminal, and it is ended in time.

It has a process group of its own, so that Ctrl-C reaches the exam alone, which then asks the process in good
order. On Linux it dies with the exam, even of `kill -9`: an orphan would measure beside the next call.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from model.distributed.parent import die_with_parent
from search.console.signals import EndedBySignal
from search.errors import INTERRUPTED, Stopped
from search.exam.plan import Action, Deadline, End, action
from search.files.whole_file import naming

POLL_EVERY_S = 0.2
TICK_EVERY_S = 5.0
# After a person's second signal; a study records what its run has spent meanwhile.
KILL_AFTER_S = 60.0


@dataclass(frozen=True)
class Command:
    """`environment` is added to this process's; `folder`: where it runs, None for here."""

    words: Sequence[str]
    environment: Mapping[str, str]
    folder: Path | None = None


@dataclass(frozen=True)
class Ended:
    """`status`: minus a signal's number where one ended it. `early`: what it was ended for, if it was;
    `person`: the exit status of an exam that a signal from outside stopped, else None."""

    status: int
    seconds: float
    early: End | None = None
    person: int | None = None


def follow(
    command: Command, log: Path, due: Deadline | None, tick: Callable[[float], None] = lambda seconds: None
) -> Ended:
    """Run it to its end, or to its deadline. `tick` is told every few seconds how long it has run."""
    with naming(log, "written"), log.open("ab") as output:
        shown_until = output.tell()
        process = subprocess.Popen(
            list(command.words),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=command.folder,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(command.environment),
            process_group=0,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )
    followed = _Followed(process, due, time.monotonic(), log, shown_until)
    try:
        followed.wait(tick)
    finally:
        with suppress(ProcessLookupError, PermissionError):  # whatever it left behind
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return followed.ended()


@dataclass
class _Followed:
    process: subprocess.Popen[bytes]
    due: Deadline | None
    began_s: float
    log: Path
    shown_until: int
    sent: Action = Action.NONE
    person: int | None = None
    early: End | None = None
    ticked_s: float = 0.0

    def wait(self, tick: Callable[[float], None]) -> None:
        while True:
            try:
                over = self._poll(tick)
            except (KeyboardInterrupt, Stopped) as stop:
                self._stopped_by(stop)
                continue
            if over:
                return

    def _poll(self, tick: Callable[[float], None]) -> bool:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(POLL_EVERY_S)
        self._show()
        if self.process.poll() is not None:
            return True
        now_s = time.monotonic()
        wanted = action(now_s, self.due, self.sent)
        if wanted is not Action.NONE:
            if self.person is None and self.due is not None:
                self.early = self.due.reason
            self._send(wanted)
        if now_s - self.began_s - self.ticked_s >= TICK_EVERY_S:
            self.ticked_s = now_s - self.began_s
            tick(self.ticked_s)
        return False

    def _stopped_by(self, stop: BaseException) -> None:
        """The first Ctrl-C asks, anything more stops; then there is a limit to waiting."""
        gentle = isinstance(stop, KeyboardInterrupt) and not isinstance(stop, EndedBySignal)
        wanted = Action.ASK if gentle and self.person is None else Action.STOP
        status = stop.status if isinstance(stop, Stopped | EndedBySignal) else INTERRUPTED
        self.person = status if self.person is None else self.person
        if wanted is Action.STOP:
            now_s = time.monotonic()
            self.due = Deadline(now_s, now_s, now_s + KILL_AFTER_S, End.SLICE)
        self._send(wanted)

    def _send(self, wanted: Action) -> None:
        self.sent = max(self.sent, wanted)
        with suppress(ProcessLookupError):
            if wanted is Action.KILL:
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.send_signal(signal.SIGINT if wanted is Action.ASK else signal.SIGTERM)

    def _show(self) -> None:
        """Print what the log got since the last time."""
        with self.log.open("rb") as file:
            file.seek(self.shown_until)
            new = file.read()
        self.shown_until += len(new)
        if new:
            sys.stdout.write(new.decode(errors="replace"))
            sys.stdout.flush()

    def ended(self) -> Ended:
        seconds = time.monotonic() - self.began_s
        return Ended(self.process.returncode, seconds, self.early, self.person)
