"""How every program of this package ends: with a status of `errors.py`, and in one line where a person or the
machine is the reason.

Until a task begins, Ctrl-C, SIGTERM and SIGHUP end the process there and then: an import that is interrupted
may swallow an exception, or print it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))


def leave_at_once() -> None:
    """From now on Ctrl-C, SIGTERM and SIGHUP say one line and end the process, even during an import."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and shells set it in the background
            signal.signal(number, _leave)


def raise_when_stopped() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt, SIGTERM and SIGHUP `Stopped`, so that a run can end in
    good order."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else _terminate)


def ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """Around imports that take long, while there is nothing to clean up."""
    before = [signal.getsignal(number) for number in _SIGNALS]
    leave_at_once()
    try:
        yield
    finally:
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)


def end_with(program: Callable[[], int]) -> NoReturn:
    """Run `program` and leave with its status, or with that of what ended it. Bugs keep their traceback."""
    from search.console.signals import EndedBySignal
    from search.console.terminal import tame
    from search.errors import INTERRUPTED, ONE_LINE, USAGE_ERROR, Stopped, refusal, say

    tame()
    try:
        status = _status(program)
        sys.stdout.flush()
    except Stopped as stopped:
        status = stopped.status
        say(str(stopped))
    except KeyboardInterrupt as stopped:
        status = stopped.status if isinstance(stopped, EndedBySignal) else INTERRUPTED
        say("stopped")
    except ONE_LINE as error:
        status = USAGE_ERROR
        say(str(error))
    except OSError as error:
        line = refusal(error)
        if line is None:
            raise
        status = USAGE_ERROR
        say(line)
    for number in _SIGNALS:  # all that is left to do is the interpreter's own shutdown
        signal.signal(number, signal.SIG_IGN)
    if status > 128:  # a library's thread that is still at work may abort the interpreter at its end
        _flush()
        os._exit(status)
    sys.exit(status)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()


def _status(program: Callable[[], int]) -> int:
    try:
        return program()
    except SystemExit as left:  # argparse leaves in this way
        return left.code if isinstance(left.code, int) else int(left.code is not None)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    os.write(2, b"joulesearch: stopped before anything had begun\n")
    os._exit(128 + number)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    from search.console.signals import name
    from search.errors import Stopped

    raise Stopped(f"stopped by {name(number)}", 128 + number)
