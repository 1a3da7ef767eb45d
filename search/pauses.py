"""Whether a run's process stood still: stopped by a signal, suspended with its container or its job, or
asleep with its machine.

Its meters and the clock went on, so what was drawn meanwhile is in the run's joules and nobody can take it
out again. A thread beats a few times a second, through a long evaluation or compilation too. A beat that
comes late means that nothing of the process ran, unless the process used its core meanwhile: then something
long held the interpreter. While a machine sleeps the monotonic clock stops, and the clock since boot goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

BEAT_EVERY_S = 0.25
# What no scheduler lets a thread wait for; a stop that is shorter is not seen.
STOOD_STILL_S = 1.0
# Of the gap: the process was at work if it used a core for more than this share.
WORKED = 0.5
# The share of a run's time beyond which its joules are not those of its work.
TOO_LONG = 0.01


@dataclass(frozen=True)
class Moment:
    """Seconds: of the monotonic clock, of the one that goes on while the machine sleeps, and of this process'
    CPU time."""

    time_s: float
    since_boot_s: float
    cpu_s: float


def now() -> Moment:
    monotonic_s = time.monotonic()
    boottime = getattr(time, "CLOCK_BOOTTIME", None)  # Linux has it
    since_boot_s = monotonic_s if boottime is None else time.clock_gettime(boottime)
    return Moment(monotonic_s, since_boot_s, time.process_time())


@dataclass(frozen=True)
class Beats:
    """What the beats until `last` have shown."""

    last: Moment
    paused_s: float = 0.0

    def beat(self, moment: Moment) -> Beats:
        return replace(self, last=moment, paused_s=self.paused_s + stood_still_s(self.last, moment))


def stood_still_s(before: Moment, after: Moment) -> float:
    """Seconds between two beats in which the process stood still: 0 where they came in time."""
    gap_s = after.time_s - before.time_s
    late_s = gap_s - BEAT_EVERY_S
    if late_s < STOOD_STILL_S or after.cpu_s - before.cpu_s > WORKED * gap_s:
        late_s = 0.0
    slept_s = (after.since_boot_s - before.since_boot_s) - gap_s
    return late_s + (slept_s if slept_s >= STOOD_STILL_S else 0.0)


class Pauses(Protocol):
    """What a run asks."""

    def start(self) -> None: ...

    def stop(self) -> float:
        """Seconds since `start` in which the process stood still."""
        ...


class NoPauses:
    """Of a run that a test drives by a clock of its own."""

    def start(self) -> None:
        pass

    def stop(self) -> float:
        return 0.0


class Heartbeat:
    """Watches this process from `start` to `stop`."""

    def __init__(self, moment: Callable[[], Moment] = now) -> None:
        self._moment = moment
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._beats = Beats(moment())

    def start(self) -> None:
        self._ended = threading.Event()
        self._beats = Beats(self._moment())
        threading.Thread(target=self._loop, args=(self._ended,), daemon=True).start()

    def stop(self) -> float:
        self._ended.set()
        self._beat()
        return self._beats.paused_s

    def _loop(self, ended: threading.Event) -> None:
        while not ended.is_set():
            time.sleep(BEAT_EVERY_S)
            if not ended.is_set():
                self._beat()

    def _beat(self) -> None:
        with self._lock:
            self._beats = self._beats.beat(self._moment())
