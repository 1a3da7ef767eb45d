"""Files as a whole: whoever reads one sees the old text or the new one, also after a kill; and what is wrong
with one that cannot be read or written, in one line that names it."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from search.errors import UserError
from search.files.paths import shown

_WHY = {
    errno.ENOSPC: "the disk is full; make room",
    errno.EDQUOT: "your quota of the disk is used up; make room",
    errno.EFBIG: "it is larger than this shell allows; see ulimit -f",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EIO: "the disk does not answer (input/output error)",
    errno.EISDIR: "it is a folder",
    errno.ENOTDIR: "a part of its path is a file, not a folder",
    errno.EEXIST: "it is a file, not a folder",
    errno.ENOENT: "it does not exist",
    errno.ENAMETOOLONG: "its name is too long",
    errno.EMFILE: "too many files are open; see ulimit -n",
}


class FileError(UserError, OSError):
    """A file that cannot be read or written. The text is one line and names it."""


def why(error: OSError) -> str:
    """What the system's error means to a person."""
    known = _WHY.get(error.errno or 0)
    return known or " ".join((error.strerror or str(error)).split())


@contextmanager
def naming(path: Path, verb: str) -> Iterator[None]:
    """Raise FileError, with the file's name and the reason, where the block raises OSError. `verb`: read,
    written, ..."""
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{shown(path)} cannot be {verb}: {why(error)}") from error


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by `text`, UTF-8, when it is on the disk. Newlines are kept as they are. Raises
    FileError where it cannot; the old text is then as it was."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with naming(path, "written"):
            with draft.open("w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """What a file says, or None where there is none or it is no JSON. Raises FileError where it cannot be
    read."""
    with naming(path, "read"):
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError, RecursionError):
            return None


def check_folder(folder: Path) -> None:
    """Raises UserError where files cannot be made in `folder`, or it cannot be made itself. Makes nothing."""
    try:
        os.fsencode(folder)
    except UnicodeEncodeError as error:
        raise UserError(
            f"file names are {sys.getfilesystemencoding()} in this locale and cannot hold {folder.name!r}; "
            "type study.name=OTHER, or PYTHONUTF8=1 before the command"
        ) from error
    existing = next(path for path in (folder, *folder.parents) if path.exists() or path.is_symlink())
    if not existing.is_dir():
        raise UserError(
            f"{shown(existing)} is a file where the folder {shown(folder)} would be; move it away, or type "
            "reports=FOLDER or study.name=OTHER"
        )
    verb = "used as a folder" if existing == folder else "written into"
    with naming(existing, verb):
        if os.statvfs(existing).f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    if not os.access(existing, os.W_OK | os.X_OK):
        why_not = _WHY[errno.EACCES]
        raise FileError(f"{shown(existing)} cannot be {verb}: {why_not}; type reports=FOLDER for another")
