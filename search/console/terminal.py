"""What standard output can take: printing never raises for a character, ends the program once where nobody
reads any more, and cuts nothing in a pipe.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
import threading
import unicodedata
from typing import TYPE_CHECKING, TextIO

from search.errors import OUTPUT_CLOSED, USAGE_ERROR, Stopped

if TYPE_CHECKING:  # rich takes a while, and mistakes are answered without
    from rich.console import Console

_PLAIN = {
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "±": "+-",
    "×": "x",
    "·": "*",
    "−": "-",
    "–": "-",
    "—": "-",
    "…": "...",
    "→": "->",
    "←": "<-",
    "↔": "<->",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "\u00a0": " ",
    "\u202f": " ",
    "\u2009": " ",
}


# A file or a pipe has no edge on the right.
_AS_WIDE_AS_IT_TAKES = 10_000


def console() -> Console:
    """A console as wide as the terminal. In a file or a pipe no table is cut and no line broken; COLUMNS wins
    over both."""
    from rich.console import Console

    found = Console()
    if found.is_terminal or os.environ.get("COLUMNS"):
        return found
    return Console(width=_AS_WIDE_AS_IT_TAKES)


def plain(text: str) -> str:
    """The text in letters that every terminal has: signs spelled out, accents dropped, `?` for all else."""
    spelled = "".join(_PLAIN.get(character, character) for character in text)
    bare = unicodedata.normalize("NFKD", spelled)
    letters = (character for character in bare if not unicodedata.combining(character))
    return "".join(character if character.isascii() else "?" for character in letters)


def _in_plain_letters(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return plain(error.object[error.start : error.end]), error.end


class Output(io.TextIOWrapper):
    """Standard output that raises `Stopped` once when it cannot be written, and is silent from then on.

    A thread that draws a progress line does not raise; the main thread does when it prints next.
    """

    lost: Stopped | None = None

    def write(self, text: str) -> int:
        try:
            written = super().write(text)
        except OSError as error:
            self._lose(error)
            written = len(text)
        self._raise_once()
        return written

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._lose(error)
        self._raise_once()

    def _lose(self, error: OSError) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        if error.errno in (errno.EPIPE, errno.EIO, errno.ECONNRESET):  # a reader that left, a closed terminal
            self.lost = Stopped("", OUTPUT_CLOSED)
        else:
            self.lost = Stopped(f"standard output cannot be written: {error.strerror}", USAGE_ERROR)

    def _raise_once(self) -> None:
        if self.lost is not None and threading.current_thread() is threading.main_thread():
            lost, self.lost = self.lost, None
            raise lost


def register() -> None:
    """Make `errors="plain"` known to Python's streams."""
    codecs.register_error("plain", _in_plain_letters)


def tame() -> None:
    """Make this process' standard streams such that printing never raises for a character."""
    register()
    _open_closed_streams()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and not isinstance(stream, Output):
            setattr(sys, name, _tamed(stream) if name == "stdout" else _reconfigured(stream))


def _open_closed_streams() -> None:
    """Lead closed standard streams nowhere; else the next file that is opened would take their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def _tamed(stream: io.TextIOWrapper) -> TextIO:
    encoding, by_line, at_once = stream.encoding, stream.line_buffering, stream.write_through
    stream.flush()
    return Output(stream.detach(), encoding, "plain", line_buffering=by_line, write_through=at_once)


def _reconfigured(stream: io.TextIOWrapper) -> TextIO:
    stream.reconfigure(errors="plain")
    return stream
