"""What ends in one line and an exit status, and the statuses themselves. Imports no Hydra.

| status | meaning |
|---|---|
| 0 | done; of `search.confirm`: SAVES |
| 1 | ran, and has no result: nothing reached the target, the baseline failed, or meters disagree |
| 2 | a mistake to put right: one line says what was expected, what came, and what to type |
| 3 | of `search.exam`: ended in time and in good order; more to do: the same command goes on |
| 10 | of `search.confirm`: TIE, the best takes as much energy as the baseline |
| 11 | of `search.confirm`: COSTS, it takes more |
| 12 | of `search.confirm`: UNPROVEN, or there was nothing to confirm; the report says why |
| 129 | stopped by SIGHUP: the terminal was closed |
| 130 | stopped by Ctrl-C |
| 141 | stopped because nobody reads its output any more, as `head` does not after its lines |
| 143 | stopped by SIGTERM |

Whatever stopped it, nothing finished is lost: the same command continues the study.
"""

from __future__ import annotations

import errno
import sys
from contextlib import suppress

from model.config import ConfigError
from model.errors import DataError

NO_RESULT = 1
USAGE_ERROR = 2
MORE = 3
TIE = 10
COSTS = 11
UNPROVEN = 12
HUNG_UP = 129
INTERRUPTED = 130
OUTPUT_CLOSED = 141
TERMINATED = 143


class MeterUnavailable(Exception):
    """This meter cannot work on this machine. The text is one line: what is missing and what to do about
    it."""


class UserError(Exception):
    """Something that the person at the keyboard can put right. The text is one line."""


class Stopped(BaseException):
    """Ends the program with a status of its own. The text is one line, or empty where nothing is to be said.
    Like KeyboardInterrupt it is no Exception, so that it is not taken for an error of a run."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


# What ends in one line and exit status 2; anything else is a bug and keeps its traceback.
ONE_LINE = (UserError, ConfigError, DataError, MeterUnavailable)


def say(message: str) -> None:
    """One line on standard error; nothing where there is nothing to say, or nobody to hear it."""
    if message:
        with suppress(OSError):
            print(f"joulesearch: {' '.join(message.split())}", file=sys.stderr, flush=True)


def refusal(error: OSError) -> str | None:
    """One line on a file or a disk that the machine refused; None where it is no file's, and so a bug."""
    about_disks = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
    if error.filename is None and error.errno not in about_disks:
        return None
    at = "" if error.filename is None else f": {error.filename}"
    return f"{error.strerror}{at}"
