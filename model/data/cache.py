"""Files that are either whole or absent, even if a process is killed or two write the same one.

A cache file is one header line, `joulesearch-cache 1 SHA256`, and the payload with that digest. It appears
under its name only when complete (written beside it, flushed, renamed), so two processes may write the same
file at once and the last one wins with the same bytes. A file whose digest does not fit counts as absent. A
kill while writing leaves a `.tmp` file that nothing reads.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

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
    write_whole(path, _header(payload) + b"\n" + payload)


def write_whole(path: Path, content: bytes) -> None:
    """As `write`, of a file without a header."""
    with writing_to(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = unfinished_beside(path)
        try:
            with unfinished.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # renaming a file does not wait for its content
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def unfinished_beside(path: Path) -> Path:
    """A name that is free and that nothing reads, to be renamed to `path` when complete."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Waits until no other process makes `path`, and clears away what a killed one left of it.

    Raises `DataError` where the folder above cannot be written.
    """
    with writing_to(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        lock.acquire()
    try:
        for leftover in path.parent.glob(f".{path.name}.*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield
    finally:
        lock.release()


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turns an OSError within into a `DataError` of one line."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"data cache: expected a folder that can be written, got {folder} ({error.strerror or error}); "
            "make it writable, free some space, or set JOULESEARCH_CACHE_DIR to another"
        ) from error


def _header(payload: bytes) -> bytes:
    return f"{_MAGIC} {hashlib.sha256(payload).hexdigest()}".encode("ascii")
