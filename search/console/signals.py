"""Signals: which are a run's own doing and which come from outside, and how they end a single run."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from search.errors import INTERRUPTED

# What a process brings upon itself, or the kernel for it: memory, a bad pointer, a limit of its own. Anything
# else was sent by a person, a scheduler or a closing terminal, and says nothing of the run.
_OF_THE_RUN = ("KILL", "SEGV", "ABRT", "BUS", "FPE", "ILL", "SYS", "TRAP", "XCPU", "XFSZ", "STKFLT", "EMT")
# A scheduler ends a job with these. SIGHUP is left alone where it is ignored: `nohup` means it.
_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


def from_outside(number: int) -> bool:
    """Whether a process that died of this signal was ended from outside."""
    return name(number).removeprefix("SIG") not in _OF_THE_RUN


def name(number: int) -> str:
    """`SIGTERM`; a real-time signal has only its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def ending_signals() -> tuple[signal.Signals, ...]:
    """The signals that end a job from outside and are not ignored here."""
    return tuple(one for one in _ENDING if signal.getsignal(one) is not signal.SIG_IGN)


class EndedBySignal(KeyboardInterrupt):
    """SIGTERM or SIGHUP, which end a run in the same good order as Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {name(number)}")
        self.status = 128 + number


class Interruption:
    """What stopped this process, if anything did. `status` is the exit status that says so."""

    def __init__(self) -> None:
        self.status = INTERRUPTED

    def _end(self, number: int, frame: FrameType | None) -> None:
        if self.status != INTERRUPTED:  # schedulers say it more than once
            return
        self.status = 128 + number
        raise EndedBySignal(number)


@contextmanager
def ends_like_ctrl_c() -> Iterator[Interruption]:
    """While it lasts, SIGTERM and SIGHUP raise what Ctrl-C raises."""
    interruption = Interruption()
    before = {one: signal.signal(one, interruption._end) for one in ending_signals()}
    try:
        yield interruption
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
