"""The parent's handle on the process that trains: start it, give it runs, replace it when it dies.

This side imports no torch. It touches no accelerator but for one thing: through NVML it puts back the power
limit and the clock that a lost worker had changed. A worker that dies or hangs past its limit costs one
trial, not the study.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil

from search.config.schema import DeviceSection
from search.console import signals
from search.errors import USAGE_ERROR, UserError
from search.files.paths import root
from search.own_packages import python_like_this
from search.record.flags import Flag
from search.record.record import Record
from search.run.record_builder import unmetered_record
from search.run.request import RunRequest
from search.worker.fresh_caches import FreshCaches
from search.worker.holding import put_back_left_overs
from search.worker.protocol import (
    Event,
    Failed,
    Finished,
    ProgressReport,
    Ready,
    Refused,
    Waiting,
    WorkerInfo,
    WorkerSetup,
    event_from_dict,
    trained_by,
)

START_LIMIT_S = 300.0
STOP_LIMIT_S = 10.0
# A process that keeps memory of its runs is replaced after so many; and for the sake of the next peak, where
# that is no objective, if starting one takes at most this share of a run.
MOST_RUNS, STARTING_SHARE = 50, 0.05
# A silence is waited for in pieces of this length, to see whether this process slept in one.
PIECE_S = 1.0
# A scheduler's signal may reach the worker first; ours follows within so long, before the next try begins.
OURS_MAY_FOLLOW_S = 1.0


class Worker:
    """One device's process, of the parent's process group: what ends the group ends it too.

    `log` gets whatever it prints; `hang_s` is the longest silence during a run."""

    def __init__(self, setup: WorkerSetup, log: Path, hang_s: float) -> None:
        self._setup = setup
        self._log = log
        self._hang_s = hang_s
        self._process: subprocess.Popen[str] | None = None
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._info: WorkerInfo | None = None
        self._caches: FreshCaches | None = None
        self._cached_at_start: frozenset[str] = frozenset()
        self._began_s = self._start_took_s = 0.0
        self._runs = 0

    def start(self) -> WorkerInfo:
        """Start the process where none runs; returns what it has opened. Raises UserError if it refuses."""
        if self._process is not None and self._info is not None:
            return self._info
        self.begin_start()
        event = self._next_event(START_LIMIT_S)
        if event is None:
            raise UserError(self._why_it_did_not_start())
        if isinstance(event, Refused):
            self.kill()
            raise UserError(event.message)
        assert isinstance(event, Ready)
        assert self._caches is not None
        self._info, self._start_took_s = event.info, time.monotonic() - self._began_s
        self._cached_at_start = self._caches.contents()
        return event.info

    def begin_start(self) -> None:
        """Start the process where none runs, without waiting for what it opens: several can open theirs at
        once. Linux ends it with the thread that calls this."""
        if self._process is None:
            self._began_s, self._runs = time.monotonic(), 0
            self._spawn()
            self._send(self._setup.to_line())

    @property
    def info(self) -> WorkerInfo | None:
        """What it has opened, None while no process runs."""
        return self._info

    def run(
        self,
        request: RunRequest,
        on_progress: Callable[[Record], None],
        on_wait: Callable[[str], None] = lambda what: None,
    ) -> Record:
        """One run to its end. Never raises for the run: a lost worker gives a CRASHED record with what is
        known."""
        info = self.start()
        request = trained_by(request, info)
        last: Record | None = None
        with suppress(OSError):  # it died between runs: the missing event will say so
            self._send(json.dumps(asdict(request)))
        while True:
            match self._next_event(self._hang_s, on_wait):
                case ProgressReport(record):
                    last = record
                    on_progress(record)
                case Waiting(what):
                    on_wait(what)
                case Failed(message):
                    return unmetered_record(request, info.meter, message)
                case Finished(record, worn):
                    self._runs += 1
                    compiled = request.run_config().compiles or self._compiled_something()
                    if compiled or (worn and needs_new(request, record, self._runs, self._start_took_s)):
                        self.stop()
                    return record
                case _:
                    return self._record_of_lost_run(request, info, last)

    def stop(self) -> None:
        """End the process in good order; it has nothing to lose between runs."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        with suppress(OSError, subprocess.TimeoutExpired):
            process.stdin.close()
            process.wait(STOP_LIMIT_S)
        self.kill()

    def kill(self) -> None:
        """End the process and all that it started, now, and put its GPUs back to what it found."""
        process, self._process, self._info = self._process, None, None
        caches, self._caches = self._caches, None
        if process is not None:
            with suppress(psutil.NoSuchProcess):
                for child in psutil.Process(process.pid).children(recursive=True):
                    with suppress(psutil.NoSuchProcess):
                        child.kill()
            process.kill()
            process.wait()
            assert process.stdin is not None
            with suppress(OSError):  # what it never read
                process.stdin.close()
        if caches is not None:
            caches.remove()
        if process is not None:
            put_back_left_overs()

    def _spawn(self) -> None:
        threads = str(self._setup.device.threads)
        self._events = queue.Queue()
        self._caches = FreshCaches.make()
        command, path = python_like_this("search.worker.process")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
                cwd=root(),
                env=os.environ
                | path
                | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
                | ({"CUDA_VISIBLE_DEVICES": gpu} if (gpu := self._setup.slot.gpu) else {})
                | dict(self._caches.environment),
            )
        threading.Thread(target=_read_events, args=(self._process, self._events), daemon=True).start()

    def _compiled_something(self) -> bool:
        """Whether kernels were built on first use, as Triton's are: the next run would find them built."""
        return self._caches is not None and self._caches.contents() != self._cached_at_start

    def _send(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _next_event(self, limit_s: float, on_wait: Callable[[str], None] = lambda what: None) -> Event | None:
        """The next event; None where the process has ended or was silent for too long.

        Time in which it could not speak does not count: while it is stopped, and while this process was (a
        whole group or container, a machine that slept).
        """
        silent_s = 0.0
        while silent_s < limit_s:
            piece_s = min(PIECE_S, limit_s - silent_s)
            began_s = time.monotonic()
            with suppress(queue.Empty):
                body = self._events.get(timeout=piece_s)
                return None if body is None else event_from_dict(body)
            silent_s += piece_s
            if time.monotonic() - began_s > piece_s + PIECE_S:
                silent_s = 0.0
            if self._is_stopped():
                silent_s = 0.0
                on_wait("the worker process, which was stopped (SIGCONT continues it)")
        return None

    def _is_stopped(self) -> bool:
        assert self._process is not None
        with suppress(psutil.Error):
            return psutil.Process(self._process.pid).status() in (
                psutil.STATUS_STOPPED,
                psutil.STATUS_TRACING_STOP,
            )
        return False

    def _status(self) -> int | None:
        """The exit status of a process that fell silent, minus a signal's number; None where it lives."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):  # where its output ended, it is about to end too
            return self._process.wait(1.0)
        return None

    def _why_it_did_not_start(self) -> str:
        status = self._status()
        self.kill()
        if status is not None and status < 0:
            if signals.from_outside(-status):
                time.sleep(OURS_MAY_FOLLOW_S)
            return f"the worker process was ended by {signals.name(-status)} while it started"
        return f"the worker process did not start: {self._last_words()}"

    def _last_words(self) -> str:
        """The last line that it printed."""
        lines = (
            self._log.read_text(encoding="utf-8", errors="replace").split("\n") if self._log.exists() else []
        )
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "it printed nothing")

    def _record_of_lost_run(self, request: RunRequest, info: WorkerInfo, last: Record | None) -> Record:
        status = self._status()
        self.kill()
        if status is None:
            reason = f"the worker said nothing for {self._hang_s:g} s and was ended"
        elif status < 0:
            return self._ended_by(-status, request, info, last)
        else:
            reason = f"the worker ended with status {status}: {self._last_words()}"
        return record_of_lost(request, info, last, reason, interrupted=False)

    def _ended_by(self, number: int, request: RunRequest, info: WorkerInfo, last: Record | None) -> Record:
        if signals.from_outside(number):
            time.sleep(OURS_MAY_FOLLOW_S)
            reason = f"the worker was ended from outside by {signals.name(number)}"
            return record_of_lost(request, info, last, reason, interrupted=True)
        memory = " (out of memory?)" if signals.name(number) == "SIGKILL" else ""
        reason = f"the worker was killed by {signals.name(number)}{memory}"
        return record_of_lost(request, info, last, reason, interrupted=False)


def needs_new(request: RunRequest, record: Record, runs: int, start_took_s: float) -> bool:
    """Whether a process that keeps memory of its `runs`, the last of which is `record`, is to be replaced.
    What it keeps would hide the next run's peak, which is then unknown."""
    if "peak_memory_bytes" in request.objectives or runs >= MOST_RUNS:
        return True
    run_s = 0.0 if record.ledger is None else record.ledger.gross_time_s
    return not request.role.confirms and start_took_s <= STARTING_SHARE * run_s


def record_of_lost(
    request: RunRequest, info: WorkerInfo, last: Record | None, reason: str, interrupted: bool
) -> Record:
    """What is known of a run whose worker was lost, by the last that it reported."""
    if last is None:
        return unmetered_record(request, info.meter, reason, interrupted)
    flags = (*last.flags, Flag.ENERGY_UNTIL_LAST_REPORT)
    return replace(last, reason=reason, interrupted=interrupted, flags=flags)


def check_device(section: DeviceSection) -> None:
    """Raises UserError where a GPU is asked for and torch sees none, before anything is downloaded for it.
    Another process does this: this one imports no torch."""
    if section.name != "cuda":
        return
    command, path = python_like_this("search.worker.device")
    asked = subprocess.run(
        command, input=json.dumps(asdict(section)), capture_output=True, text=True, env=os.environ | path
    )
    if asked.returncode == USAGE_ERROR and asked.stdout.strip():
        raise UserError(asked.stdout.strip())


def _read_events(process: subprocess.Popen[str], events: queue.Queue[dict[str, Any] | None]) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            try:
                events.put(json.loads(line))
            except ValueError:  # a line cut off by the process' death
                break
    events.put(None)
