"""The processes that work on one study in one folder: where each has its place, and what it runs.

A process holds a seat, the lock of a file, which the kernel lets go of when the process dies. What it runs is
written down under the number of its seat. So a run whose seat nobody holds was cut off, and whoever sees that
first records what it had spent. One process decides at a time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from search.errors import UserError
from search.files.network import is_on_network
from search.files.whole_file import naming, write_atomically
from search.record.record import Record

_RUNNING = re.compile(r"running(?:\.(\d+))?(?:-\d+)?\.json")
# What a run's file says once the run has come to its end.
ENDED = "ended"
TELL_AFTER_S = 2.0
TRY_EVERY_S = 0.02


@dataclass(frozen=True)
class Seat:
    """One process's place in a study's folder."""

    folder: Path
    number: int = 0

    def running_file(self, slot: int = 0) -> Path:
        """Of the run that goes on in a slot of this process."""
        seat = f".{self.number}" if self.number else ""
        return self.folder / f"running{seat}{f'-{slot}' if slot else ''}.json"

    def write_running(self, partial: Record, slot: int = 0) -> None:
        """What is known of the run, should it be cut off now. Raises FileError."""
        write_atomically(self.running_file(slot), json.dumps(partial.to_dict()))

    def write_ended(self, record: Record, slot: int = 0) -> None:
        """The run has ended so, and is still to be recorded. Raises FileError."""
        write_atomically(self.running_file(slot), json.dumps(record.to_dict() | {ENDED: True}))

    def remove_running(self, slot: int = 0) -> None:
        """Raises FileError."""
        remove(self.running_file(slot))

    def running_files(self) -> list[tuple[Path, bool]]:
        """Those that are there, of every process, and whether the process that wrote it is another one that
        lives."""
        found = [(path, self._lives(path)) for path in self.folder.glob("running*.json")]
        return sorted((path, lives) for path, lives in found if _RUNNING.fullmatch(path.name))

    def others(self) -> list[int]:
        """The seats that other processes hold."""
        locks = [re.fullmatch(r"\.lock(?:-(\d+))?", path.name) for path in self.folder.glob(".lock*")]
        numbers = sorted(int(match[1] or 0) for match in locks if match is not None)
        return [number for number in numbers if number != self.number and self._is_held(number)]

    def deciding(self, on_wait: Callable[[str], None]) -> AbstractContextManager[None]:
        """Keep the other processes from deciding what to run next. A process that was stopped in the middle
        of it is waited for, and `on_wait` is told."""
        said = "another process of this study, which is deciding what it runs next"
        return self.locked(".deciding", lambda: on_wait(said))

    @contextmanager
    def locked(self, name: str, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold a lock of the folder, which the processes in it take in turn. `on_wait` is called where that
        takes seconds."""
        lock = FileLock(self.folder / name)
        with naming(self.folder / name, "written"):
            try:
                lock.acquire(timeout=TELL_AFTER_S, poll_interval=TRY_EVERY_S)
            except Timeout:
                on_wait()
                lock.acquire(poll_interval=TRY_EVERY_S)
        try:
            yield
        finally:
            lock.release()

    def reading(self) -> AbstractContextManager[None]:
        """Keep the other processes of this folder from adding to its records what they hear of others."""
        return self.locked(".reading")

    def _lives(self, running_file: Path) -> bool:
        match = _RUNNING.fullmatch(running_file.name)
        number = int(match[1] or 0) if match is not None else 0
        return number != self.number and self._is_held(number)

    def _is_held(self, number: int) -> bool:
        lock = FileLock(_lock_file(self.folder, number))
        if not _taken(lock):
            return True
        lock.release()
        return False


def remove(file: Path) -> None:
    """Raises FileError."""
    with naming(file, "removed"):
        file.unlink(missing_ok=True)


@contextmanager
def seated(
    folder: Path,
    study: str,
    database: Path | None = None,
    on_network: Callable[[Path], bool] = is_on_network,
) -> Iterator[Seat]:
    """Hold the first free seat. `database`: the SQLite file that the processes would share. Raises UserError
    where others hold one, and the folder or the database lies on a network: locks and SQLite do not work
    there between machines."""
    with naming(folder / ".lock", "written"):
        locks = (FileLock(_lock_file(folder, number)) for number in count())
        number, lock = next((number, lock) for number, lock in enumerate(locks) if _taken(lock))
    try:
        shared = next((path for path in (folder, database) if path and on_network(path)), None)
        if number > 0 and shared is not None:
            raise UserError(
                f"study {study!r} is running in another process, and {shared} lies on a network file system, "
                "where several cannot share it; wait for it, type study.name=OTHER, or give all of them "
                "storage=postgresql+psycopg://USER@HOST/DATABASE and a folder each (reports=FOLDER)"
            )
        yield Seat(folder, number)
    finally:
        lock.release()


def _lock_file(folder: Path, number: int) -> Path:
    return folder / (f".lock-{number}" if number else ".lock")


def _taken(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True
