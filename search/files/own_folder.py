"""Temporary folders that go with the process that made them.

A process that is killed removes nothing. So the process holds a lock in its folder, which the kernel
releases, and folders that nobody holds are removed when the next of their kind is made.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LOCK = "owner.lock"
MAKING = "owner.lock.making"
# A folder without a lock was made just now, or by a process that died at that very moment.
MAKING_S = 3600.0


@dataclass(frozen=True)
class OwnFolder:
    """One process' folder. Whoever made it holds its lock, and removes it."""

    path: Path
    lock: int

    @staticmethod
    def make(prefix: str) -> OwnFolder:
        """A new one in the temporary folder. Raises OSError where nothing can be written there."""
        _remove_abandoned(Path(tempfile.gettempdir()), prefix)
        path = Path(tempfile.mkdtemp(prefix=prefix))
        # It has its name only once it is held: between the two, others would take the folder for abandoned.
        lock = os.open(path / MAKING, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        (path / MAKING).rename(path / LOCK)
        return OwnFolder(path, lock)

    def remove(self) -> None:
        """May be called twice."""
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            os.close(self.lock)


def _remove_abandoned(parent: Path, prefix: str) -> None:
    """The folders of processes that were killed: nobody holds their lock."""
    for folder in parent.glob(f"{prefix}*"):
        if _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    try:
        lock = os.open(folder / LOCK, os.O_RDWR)
    except FileNotFoundError:
        with suppress(OSError):
            return time.time() - folder.stat().st_mtime > MAKING_S
        return False
    except OSError:  # another user's
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True
