"""Whether a run's process stood still: stopped by a signal, suspended with its container or its job, or
asleep with its machine.

Meters and the clock go on meanwhile, so what was drawn is in the run's joules and nobody can take it out
again. A thread beats a few times a second, through a long evaluation or compilation too. A beat comes late
for other reasons as well, and each leaves a trace: the process worked and held the interpreter, or the thread
asked for the interpreter again and again, or it was ready and had no core. Where none of these explains the
delay, the process stood still. While a machine sleeps the monotonic clock stops, and the clock since boot
goes on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

if sys.platform != "win32":
    import resource

BEAT_EVERY_S = 0.25
# What no scheduler lets a thread wait for; how long a shorter stop was is not known.
STOOD_STILL_S = 1.0
# Of the gap: the process was at work if it used a core for more than this share, over what all cores can do
# until the next beat is due.
WORKED = 0.5
CORES = os.cpu_count() or 1
# The share of a run's time beyond which its joules are not those of its work.
TOO_LONG = 0.01
SCHEDSTAT = Path("/proc/thread-self/schedstat")


@dataclass(frozen=True)
class Moment:
    """Seconds: of the monotonic clock, of the one that goes on while the machine sleeps, of this process' CPU
    time; and of this thread's waits for a core and for the interpreter."""

    time_s: float
    since_boot_s: float
    cpu_s: float
    queued_s: float = 0.0
    asked_s: float = 0.0


def now() -> Moment:
    monotonic_s = time.monotonic()
    boottime = getattr(time, "CLOCK_BOOTTIME", None)  # Linux has it, and the next two
    since_boot_s = monotonic_s if boottime is None else time.clock_gettime(boottime)
    return Moment(monotonic_s, since_boot_s, time.process_time(), _queued_s(), _asked_s())


def _queued_s() -> float:
    try:
        return int(SCHEDSTAT.read_text(encoding="utf-8").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def _asked_s() -> float:
    """A thread that wants the interpreter sleeps for one switch interval, asks, and sleeps again."""
    who = getattr(resource, "RUSAGE_THREAD", None)
    return 0.0 if who is None else resource.getrusage(who).ru_nvcsw * sys.getswitchinterval()


@dataclass(frozen=True)
class Beats:
    """What the beats until `last` have shown."""

    last: Moment
    paused_s: float = 0.0

    def beat(self, moment: Moment) -> Beats:
        return replace(self, last=moment, paused_s=self.paused_s + stood_still_s(self.last, moment))


def stood_still_s(before: Moment, after: Moment, cores: int = CORES) -> float:
    """Seconds between two beats in which the process stood still: 0 where they came in time."""
    gap_s = after.time_s - before.time_s
    explained_s = BEAT_EVERY_S + (after.queued_s - before.queued_s) + (after.asked_s - before.asked_s)
    still_s = gap_s - explained_s
    worked_s = after.cpu_s - before.cpu_s - cores * BEAT_EVERY_S
    if still_s < STOOD_STILL_S or worked_s > WORKED * gap_s:
        still_s = 0.0
    slept_s = (after.since_boot_s - before.since_boot_s) - gap_s
    return still_s + (slept_s if slept_s >= STOOD_STILL_S else 0.0)


@dataclass(frozen=True)
class Stillness:
    """How long a run's process is known to have stood still, and how often it was continued after a stop."""

    paused_s: float = 0.0
    continued: int = 0

    @property
    def at_most_s(self) -> float:
        """At most so many seconds: each stop may have been just too short to delay a beat noticeably."""
        return max(self.paused_s, self.continued * STOOD_STILL_S)


class Pauses(Protocol):
    """What a run asks."""

    def start(self) -> None: ...

    def stop(self) -> Stillness:
        """What was seen since `start`."""
        ...


class NoPauses:
    """For a run that a test drives by a clock of its own."""

    def start(self) -> None:
        pass

    def stop(self) -> Stillness:
        return Stillness()


class Heartbeat:
    """Watches this process from `start` to `stop`. Call both in the main thread, or no SIGCONT is noticed."""

    def __init__(self, moment: Callable[[], Moment] = now) -> None:
        self._moment = moment
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._paused_s = 0.0
        self._continued = 0
        self._handler: Any = None

    def start(self) -> None:
        self._ended = threading.Event()
        self._paused_s, self._continued = 0.0, 0
        if _may_handle_signals():
            self._handler = signal.signal(signal.SIGCONT, self._count)
            signal.siginterrupt(signal.SIGCONT, False)
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def stop(self) -> Stillness:
        """The thread takes the last beat: its waits are its own."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        if self._handler is not None:
            signal.signal(signal.SIGCONT, self._handler)
            self._handler = None
        return Stillness(self._paused_s, self._continued)

    def _count(self, number: int, frame: FrameType | None) -> None:
        self._continued += 1

    def _loop(self) -> None:
        beats = Beats(self._moment())
        while not self._ended.wait(BEAT_EVERY_S):
            beats = beats.beat(self._moment())
        self._paused_s = beats.beat(self._moment()).paused_s


def _may_handle_signals() -> bool:
    return hasattr(signal, "SIGCONT") and threading.current_thread() is threading.main_thread()
