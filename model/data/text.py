"""The data set `text`: any UTF-8 file of the user's, `data.path=FILE`."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from model.config import DataConfig
from model.data.errors import DataError

# A tenth is held out: over 2,000 characters the mean loss has a standard error of some 0.05 nats; with fewer,
# no difference between two recipes would show.
MIN_CHARACTERS = 20_000


def read_text(config: DataConfig) -> str:
    """The text of the file `config.path`; a relative path is relative to the current folder, `~` is the home.

    A byte order mark is dropped and line ends of Windows and old Macs become `\\n`: nothing to learn there.
    Raises `DataError`, one line, for a file that is not there, cannot be read, is not UTF-8 or is too short.
    """
    if not config.path:
        raise DataError("data=text: expected a UTF-8 text file, got no path; type data.path=FILE")
    path = Path(os.path.expanduser(config.path))
    text = _decode(path, _read_bytes(path)).removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if len(text) < MIN_CHARACTERS:
        raise DataError(
            f"data.path={path}: expected at least {MIN_CHARACTERS:,} characters (a tenth is for validation), "
            f"got {len(text):,}; type data.path=FILE with a longer text"
        )
    return text


def _read_bytes(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "something that is not a plain file"
            raise DataError(f"data.path={path}: expected a UTF-8 text file, got {kind}; type data.path=FILE")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            f"data.path={path}: expected a UTF-8 text file, found nothing there (looked from {Path.cwd()}); "
            "type data.path=FILE"
        ) from error
    except OSError as error:
        raise DataError(
            f"data.path={path}: expected a file that can be read, got '{error.strerror}'; "
            "change its permissions, or type data.path=FILE with another"
        ) from error


def _decode(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"data.path={path}: expected UTF-8 text, got byte 0x{data[error.start]:02x} "
            f"at offset {error.start}; save the file as UTF-8"
        ) from error
