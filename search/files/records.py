"""`records.jsonl`: one line a finished run, appended and fsynced, and never rewritten.

The lines are strict JSON, so a number that JSON does not have (the loss of a run that diverged) is written as
`{"float": "nan"}`, `{"float": "inf"}` or `{"float": "-inf"}`, and comes back as that number.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
from pathlib import Path
from typing import Any

from search.errors import UserError
from search.files.paths import shown
from search.files.whole_file import naming
from search.record.record import Record

_BLOCK = 1 << 16
_ROOM_BYTES = 1 << 20  # a record of some thousand evaluations
_NOT_JSON = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class RecordsError(UserError):
    """A records file that holds something else. The text is one line and names the file and the line."""


def read_records(path: Path, start: int = 0) -> tuple[list[Record], int]:
    """The records of a file, and the byte length of the part of it that holds them. `start`: of those that
    begin there or after it, which must be the end of a line.

    A last line without an end that is not JSON is the trace of a process that died while writing it: it is
    left out, and lies beyond the returned length. Raises RecordsError where any other line is not a record
    or repeats one, and FileError where the file cannot be read.
    """
    with naming(path, "read"):
        data = path.read_bytes()
    records: list[Record] = []
    lines: dict[str, int] = {}
    number = data.count(b"\n", 0, start)
    while start < len(data):
        number += 1
        newline = data.find(b"\n", start)
        end = len(data) if newline < 0 else newline + 1
        line = data[start:end]
        if line.strip():
            try:
                record = _parse(line)
            except json.JSONDecodeError:
                if end == len(data) and _is_torn(line, alone=start == 0):
                    return records, start
                raise RecordsError(f"{shown(path)}, line {number}: {_no_record(line)}") from None
            except ValueError as error:
                raise RecordsError(f"{shown(path)}, line {number}: {error}") from error
            if record.trial < 0:
                raise RecordsError(
                    f"{shown(path)}, line {number}: trial must be 0 or more, got {record.trial}"
                )
            first = lines.setdefault(record.run_id, number)
            if first != number:
                repeated = f"repeats line {first}, run {record.run_id}; drop one of them"
                raise RecordsError(f"{shown(path)}, line {number}: {repeated}")
            records.append(record)
        start = end
    return records, len(data)


def as_line(record: Record) -> str:
    """What `append_record` writes, without its newline."""
    return json.dumps(_encode(record.to_dict()), allow_nan=False)


def from_line(line: str) -> Record:
    """What `as_line` wrote. Raises ValueError where it is no record."""
    return _parse(line.encode())


def append_record(path: Path, record: Record) -> None:
    """Add one line and return when it is on the disk. The folder must exist; the file need not.

    A torn last line is cut off first. Raises TypeError where the record holds what JSON cannot, before the
    file is touched, RecordsError where the file ends in something else than a record, and FileError where
    it cannot be written, as on a full disk: the file is then as it was.
    """
    line = as_line(record).encode() + b"\n"
    with naming(path, "written"):
        created = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            # Another process that appends now must neither see its half-written line cut off nor cut off
            # ours.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            end, separator = _valid_end(descriptor, path)
            os.ftruncate(descriptor, end)
            _write_whole(descriptor, separator + line, end)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if created:
            _sync_folder(path.parent)


def check_appendable(path: Path) -> None:
    """Find out whether a record can be added, and leave the file as it is, or absent.

    Raises RecordsError where it holds something else or there is no plain file, and OSError where it cannot
    be written or the disk has no room for a record.
    """
    created = not path.exists()
    if not created and not path.is_file():
        raise RecordsError(f"{path}: expected a file, got {'a folder' if path.is_dir() else 'a device'}")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        _need_records(path)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        end = os.fstat(descriptor).st_size
        try:
            if hasattr(os, "posix_fallocate"):  # not on macOS, where a full disk is found when it is written
                os.posix_fallocate(descriptor, end, _ROOM_BYTES)
        finally:
            os.ftruncate(descriptor, end)
    finally:
        os.close(descriptor)
        if created:
            path.unlink(missing_ok=True)


def _need_records(path: Path) -> None:
    """Raises RecordsError where what would be cut off at the end is not the trace of a record."""
    _, length = read_records(path)
    if path.read_bytes()[length:].lstrip()[:1] not in (b"", b"{"):
        raise RecordsError(f"{path}: expected records alone, and its last line is none")


def _parse(line: bytes) -> Record:
    try:
        data = json.loads(_text(line), object_hook=_decode)
    except RecursionError:
        raise ValueError("expected a record, got brackets in brackets without end") from None
    if not isinstance(data, dict):
        raise ValueError(f"expected a record, got {type(data).__name__}")
    return Record.from_dict(data)


def _text(line: bytes) -> str:
    """Bytes that are no UTF-8 are no JSON either: one kind of error for both."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise json.JSONDecodeError("bytes that are not UTF-8", "", error.start) from error


def _is_json(line: bytes) -> bool:
    try:
        json.loads(_text(line))
    except json.JSONDecodeError:
        return False
    return True


def _is_torn(line: bytes, alone: bool) -> bool:
    """Whether a last line that is no JSON can be what a process left that died while writing it: it has no
    end, or blocks of zeros. `alone`: it is all that the file holds, and must begin as a record does."""
    unwritten = line.strip(b"\0") == b""
    return unwritten or ((b"\0" in line or not line.endswith(b"\n")) and (not alone or line.startswith(b"{")))


def _no_record(line: bytes) -> str:
    text = line[:60].decode("utf-8", errors="replace").strip()
    return f"expected a JSON record, got {text[:30]!r}; take the line out, or put the file back"


def _encode(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(float(value))}
    if isinstance(value, dict):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    return value


def _decode(value: dict[str, Any]) -> Any:
    if value.keys() == {"float"} and value["float"] in _NOT_JSON:
        return _NOT_JSON[value["float"]]
    return value


def _valid_end(descriptor: int, path: Path) -> tuple[int, bytes]:
    """Where the next line goes, and what must stand before it: a newline where a whole line lacks its own.

    Raises RecordsError where the last line is neither a record nor a torn one: it is not ours to cut off.
    """
    size = os.fstat(descriptor).st_size
    last = _last_line(descriptor, size)
    if last.strip() and not _is_json(last):
        if not _is_torn(last, alone=len(last) == size):
            raise RecordsError(f"{shown(path)}, last line: {_no_record(last)}")
        return size - len(last), b""
    return size, b"\n" if last and not last.endswith(b"\n") else b""


def _last_line(descriptor: int, size: int) -> bytes:
    """The last line with its newline, if it has one: read backwards: a study's file grows to tens of MB."""
    tail = b""
    while len(tail) < size and b"\n" not in tail[:-1]:
        start = max(0, size - len(tail) - _BLOCK)
        tail = os.pread(descriptor, size - len(tail) - start, start) + tail
    return tail[tail.rfind(b"\n", 0, max(0, len(tail) - 1)) + 1 :]


def _write_whole(descriptor: int, data: bytes, end: int) -> None:
    try:
        written = os.write(descriptor, data)
    except OSError:
        os.ftruncate(descriptor, end)
        raise
    if written != len(data):
        os.ftruncate(descriptor, end)
        raise OSError(errno.ENOSPC, f"wrote {written} of {len(data)} bytes of a record")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
