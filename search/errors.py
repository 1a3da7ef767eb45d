"""What ends in one line and an exit status, and the statuses themselves. Imports no Hydra.

| status | meaning |
|---|---|
| 0 | done |
| 1 | ran, and has no result: the baseline failed, a single run missed its target, or meters disagree |
| 2 | a mistake to put right: one line says what was expected, what came, and what to type |
| 129 | stopped by SIGHUP: the terminal closed |
| 130 | stopped by Ctrl-C |
| 143 | stopped by SIGTERM |
"""

from __future__ import annotations

import sys

from model.config import ConfigError
from model.data.errors import DataError
from search.meter.base import MeterUnavailable

NO_RESULT = 1
USAGE_ERROR = 2
INTERRUPTED = 130
TERMINATED = 143


class UserError(Exception):
    """Something that the person at the keyboard can put right. The text is one line."""


# What ends in one line and exit status 2; anything else is a bug and keeps its traceback.
ONE_LINE = (UserError, ConfigError, DataError, MeterUnavailable)


def say(message: str) -> None:
    """One line on standard error."""
    print(f"joulesearch: {' '.join(message.split())}", file=sys.stderr)
