"""Files that are whole or absent: what a run may reuse, kept so that no kill and no neighbour can spoil it.

A cache file is one header line, `joulesearch-cache 1 SHA256`, and the payload that the digest is of. It
appears under its name only when complete (written beside it, flushed, renamed), so two processes may write
the same file at once and the last one wins with the same bytes. A file whose digest does not fit counts as
absent. A kill while writing leaves a `.tmp` file that nothing reads.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path

from model.data.errors import DataError

_MAGIC = "joulesearch-cache 1"


def read(path: Path) -> bytes | None:
    """The payload that `write` left at `path`, or None where there is none, or a damaged one."""
    try:
        header, _, payload = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    return payload if header == _header(payload) else None


def write(path: Path, payload: bytes) -> None:
    """Put `payload` at `path`, whole or not at all, creating the folders above it.

    Raises `DataError` where the folder cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("xb") as file:
                file.write(_header(payload) + b"\n")
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"data cache: expected a folder that can be written, got {path.parent} ({error.strerror}); "
            "make it writable, free some space, or choose another folder"
        ) from error


def _header(payload: bytes) -> bytes:
    return f"{_MAGIC} {hashlib.sha256(payload).hexdigest()}".encode("ascii")
