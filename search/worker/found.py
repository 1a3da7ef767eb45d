"""What a run found of a GPU before it changed it, noted beside the GPU's lock until it is put back.

The note is on the disk before the change, so that whoever comes after a kill can put it back. Only who holds
the GPU's lock writes or removes its note: a note whose lock is free was left by a run that died.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from search.errors import UserError
from search.files.whole_file import naming
from search.worker.locks import lock_folder

_ENDING = ".found.json"
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Found:
    """`power_limit_mw`: the limit before, None where it is not changed. `fixes_clock`: the run fixes the
    clock; what was before, NVML does not tell. `boot`: since when the machine runs; a driver forgets both
    when it is loaded anew."""

    power_limit_mw: int | None
    fixes_clock: bool
    boot: str

    @property
    def still_holds(self) -> bool:
        """Whether the machine has not been booted since."""
        return self.boot == this_boot()


def this_boot() -> str:
    """Which boot of the machine this is; empty where the system does not say."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def note_of(uuid: str) -> Path:
    return lock_folder() / f"{uuid}{_ENDING}"


def noted() -> list[str]:
    """The UUIDs of all GPUs that have a note."""
    return sorted(path.name.removesuffix(_ENDING) for path in lock_folder().glob(f"GPU-*{_ENDING}"))


def write_note(uuid: str, found: Found) -> None:
    """On the disk when this returns. Raises FileError where it cannot be written.

    Others may write into the folder too: the draft is a new file that nobody can have prepared."""
    path = note_of(uuid)
    with naming(path, "written"):
        descriptor, draft = tempfile.mkstemp(prefix=f".{uuid}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(asdict(found), file)
                file.flush()
                os.fchmod(descriptor, 0o644)
                os.fsync(descriptor)
            os.replace(draft, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(draft)
            raise
        _sync_folder(path.parent)


def read_note(uuid: str) -> Found | None:
    """None where there is none. Raises UserError for one that cannot be read or believed: only root's and
    one's own are."""
    path = note_of(uuid)
    with naming(path, "read"):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
            owner = os.fstat(descriptor)
            text = file.read()
    if stat.S_ISREG(owner.st_mode) and owner.st_uid in (0, os.getuid()):
        with suppress(ValueError, TypeError):
            return Found(**json.loads(text))
    raise UserError(f"{path} cannot be believed, and {uuid} may be changed; {by_hand(uuid)}")


def remove_note(uuid: str) -> None:
    """Another user's stays where it is: it says what holds now."""
    with suppress(PermissionError, FileNotFoundError):
        note_of(uuid).unlink()


def by_hand(uuid: str, found: Found | None = None) -> str:
    """What to type to put a GPU back without us."""
    limit_mw = None if found is None else found.power_limit_mw
    watts = "WATTS" if limit_mw is None else f"{limit_mw / 1000:g}"
    limit = f"nvidia-smi -i {uuid} -pl {watts}; " if found is None or limit_mw is not None else ""
    clock = f"nvidia-smi -i {uuid} -rgc; " if found is None or found.fixes_clock else ""
    return f"type, as root: {limit}{clock}rm {note_of(uuid)}"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
