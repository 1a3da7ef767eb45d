"""The console that commands print to."""

from __future__ import annotations

import os

from rich.console import Console

_AS_WIDE_AS_IT_TAKES = 10_000


def console() -> Console:
    """As wide as the terminal. In a file or a pipe nothing has an end on the right, so that no table is cut
    and no line broken there; COLUMNS wins over both."""
    found = Console()
    if found.is_terminal or os.environ.get("COLUMNS"):
        return found
    return Console(width=_AS_WIDE_AS_IT_TAKES)
