"""One run at a time on each device, over all processes of this machine, whoever owns them.

The locks do not lie in TMPDIR, which batch systems make private to each job. They lie in the first of
`PLACES` that every user may write to (mode 1777), so that everybody finds the same one.
`JOULESEARCH_LOCK_DIR` names another folder of this machine, for tests that must not wait for anybody, and for
containers, which see each other's runs only in a folder that they share.

A lock is an empty file that anybody may open and only its owner may write; the kernel lets go of it when the
process dies. Who holds it is told to the same user by the study's name, to others by the user's name alone.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import stat
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from search.errors import UserError

PLACES = tuple(map(Path, ("/run/lock", "/var/lock", "/dev/shm", "/var/tmp", "/tmp")))
VARIABLE = "JOULESEARCH_LOCK_DIR"
# The lock of a machine's cores and packages.
CPU = "cpu"
FOR_ALL = 0o1777
TELL_EVERY_S = 2.0
TRY_EVERY_S = 0.05


class DeviceBusy(UserError):
    """Another study holds the device. The text is one line."""


@contextmanager
def exclusive(
    lock_names: Collection[str],
    holder: str,
    wait: bool,
    on_wait: Callable[[str], None] = lambda what: None,
    shared: Collection[str] = (),
) -> Iterator[None]:
    """Hold every one of these devices for one run, taken in an order that is the same for all, so that two
    studies cannot wait for each other; the `shared` ones together with other runs that share them. Raises
    DeviceBusy if told not to wait."""
    with ExitStack() as stack:
        for name in sorted({*lock_names, *shared}):
            stack.enter_context(_held(name, holder, wait, on_wait, name not in lock_names))
        yield


def holder_of(study: str) -> str:
    """What others are told of this process."""
    return f"study {study!r} (process {os.getpid()})"


def check_usable(lock_names: Collection[str]) -> None:
    """Raises UserError where one of these locks could not be taken by anybody, before a run would find it."""
    for name in lock_names:
        path = lock_folder() / f"{name}.lock"
        with _naming_lock(path):
            os.close(_open(path))


def lock_folder(places: Collection[Path] = PLACES) -> Path:
    """Where the locks lie; made where it is missing. Raises UserError where there is no such place."""
    named = os.environ.get(VARIABLE)
    if named:
        folder = Path(named)
        if not folder.is_absolute():  # each folder that somebody types in would have locks of its own
            raise UserError(f"{VARIABLE}={named} must be a whole path; type {VARIABLE}={folder.absolute()}")
        with _naming_lock(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder
    place = next((place for place in places if _is_writable_by_all(place)), None)
    if place is None:
        tried = ", ".join(map(str, places))
        raise UserError(f"no folder that all users may write to (tried {tried}); set {VARIABLE} to a folder")
    folder = place / "joulesearch"
    with _naming_lock(folder):
        with suppress(FileExistsError):
            folder.mkdir()
        found = folder.lstat()
        if found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) != FOR_ALL:
            folder.chmod(FOR_ALL)  # the umask took some of it away
        if folder.is_symlink() or not folder.is_dir():
            raise UserError(f"{folder} is not a folder; remove it, or set {VARIABLE} to a folder")
    return folder


def _is_writable_by_all(place: Path) -> bool:
    try:
        mode = place.stat().st_mode
    except OSError:
        return False
    return stat.S_ISDIR(mode) and stat.S_IMODE(mode) & FOR_ALL == FOR_ALL and os.access(place, os.W_OK)


@contextmanager
def _held(name: str, holder: str, wait: bool, on_wait: Callable[[str], None], shared: bool) -> Iterator[None]:
    """Hold one device. While another holds it, `on_wait` is told so every few seconds."""
    folder = lock_folder()
    path = folder / f"{name}.lock"
    with _naming_lock(path):
        lock = _open(path)
    mine = folder / f"{name}.{os.getuid()}.holder"
    try:
        told_s = float("-inf")
        while not _lock_now(lock, shared):
            if not wait:
                raise DeviceBusy(
                    f"{name} is held by {_holder_of(folder, name)}; end that first, or type device.wait=true"
                )
            if time.monotonic() - told_s >= TELL_EVERY_S:
                told_s = time.monotonic()
                on_wait(f"the device {name}, which {_holder_of(folder, name)} holds")
            time.sleep(TRY_EVERY_S)
        _write_holder(mine, holder)
        yield
        with suppress(OSError):
            mine.unlink()
    finally:
        os.close(lock)


def _open(path: Path) -> int:
    """For reading alone, which is enough to lock: some kernels refuse to open another user's file in a folder
    like this for writing."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        pass
    before = os.umask(0)  # everybody must be able to open it from the first moment on
    try:
        return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o444)
    except FileExistsError:
        return os.open(path, flags)
    finally:
        os.umask(before)


def _lock_now(lock: int, shared: bool) -> bool:
    try:
        fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_holder(path: Path, holder: str) -> None:
    """For this user's eyes. What cannot be noted costs only the name."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(holder)


def _holder_of(folder: Path, name: str) -> str:
    """Who noted last that he holds it. A holder that was killed leaves its note until the next one writes
    another."""
    notes = []
    for path in folder.glob(f"{name}.*.holder"):
        with suppress(OSError):
            notes.append((path.stat().st_mtime, path))
    if not notes:
        return "another process"
    path = max(notes)[1]
    try:
        return path.read_text(encoding="utf-8") or "another process"
    except OSError:
        with suppress(OSError, KeyError):
            return f"a run of the user {pwd.getpwuid(path.stat().st_uid).pw_name}"
        return "another user's run"


@contextmanager
def _naming_lock(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"the lock of the device, {path}, cannot be used ({error.strerror}); set {VARIABLE} to a folder"
        ) from error
