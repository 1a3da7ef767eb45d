"""The files of a study's folder that the loop reads and writes.

`records.jsonl` is the truth. A run leaves its latest state in `running.json` while it goes, for whoever comes
after a kill.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

import yaml

from search.files.paths import shown
from search.files.records import append_record, read_records
from search.files.whole_file import FileError, naming, read_json, write_atomically
from search.record.record import Record
from search.study.seats import ENDED

LARGEST_DIFF_BYTES = 2**20


class RunLeft(NamedTuple):
    """What a run's file says: its record so far, or the whole of one that has ended."""

    record: Record
    has_ended: bool


@dataclass(frozen=True)
class StudyFolder:
    path: Path

    @property
    def records_file(self) -> Path:
        return self.path / "records.jsonl"

    @property
    def identity_file(self) -> Path:
        return self.path / "identity.json"

    def make(self) -> None:
        with naming(self.path, "made"):
            self.path.mkdir(parents=True, exist_ok=True)

    def read_records(self) -> list[Record]:
        """Empty where there are none yet. Raises RecordsError or FileError."""
        if not self.records_file.exists() and not self.records_file.is_symlink():
            return []
        return read_records(self.records_file)[0]

    def read_new_records(self, known: Sequence[Record], start: int) -> tuple[list[Record], int]:
        """Those that lie at `start` or behind it and are not known, and where they end; of the whole file
        where it is shorter now. Raises RecordsError or FileError."""
        if not self.records_file.exists():
            return [], 0
        size = self.records_file.stat().st_size
        if size == start:
            return [], start
        found, end = read_records(self.records_file, start if size > start else 0)
        names = {record.run_id for record in known}
        return [record for record in found if record.run_id not in names], end

    def append(self, record: Record) -> None:
        """Add the record, which is on the disk afterwards. Where it cannot be written, leave it where there
        is room and say what to type. Raises FileError."""
        try:
            append_record(self.records_file, record)
        except FileError as error:
            elsewhere = Path(tempfile.gettempdir()) / f"joulesearch-{record.run_id}.jsonl"
            try:
                append_record(elsewhere, record)
            except FileError:
                raise error from None
            raise FileError(
                f"{error}; trial {record.trial} lies in {elsewhere}: "
                f"type cat {quote(str(elsewhere))} >> {quote(shown(self.records_file))}"
            ) from error

    def read_running(self, file: Path, say: Callable[[str], None]) -> RunLeft | None:
        """The latest state of a run that was going on when the process before ended. None where there is
        none, or where it cannot be understood, which `say` is told."""
        written = read_json(file)
        if written is None:
            return None
        try:
            has_ended = bool(written.pop(ENDED, False))
            return RunLeft(Record.from_dict(written), has_ended)
        except (ValueError, AttributeError, TypeError) as error:
            say(f"{shown(file)} does not say what was running ({error}): its joules are not known")
            return None

    def read_identity(self) -> Any:
        """As it was written down, None where it was not."""
        return read_json(self.identity_file)

    def write_settings(self, config: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
        write_atomically(self.path / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False))
        write_atomically(self.identity_file, json.dumps(identity, indent=1) + "\n")

    def keep_diff(self, diff: str, sha256: str) -> str | None:
        """Keep what differed from the commit beside the records that name its digest; or say, in a line, that
        it is too large."""
        written = diff.encode(errors="surrogateescape")
        size = len(written)
        if size > LARGEST_DIFF_BYTES:
            return (
                f"uncommitted changes of {size / 2**20:.1f} MiB are not kept with the study (at most "
                f"{LARGEST_DIFF_BYTES / 2**20:g} MiB are): commit them, so that its numbers can be repeated"
            )
        path = self.path / f"code-{sha256[:12]}.diff"
        if not path.exists():
            write_atomically(path, written.decode(errors="replace"))
        return None

    def what_is_safe(self, n_records: int) -> str:
        """The end of a line that says why a study stopped."""
        runs = "1 run is" if n_records == 1 else f"{n_records} runs are"
        safe = f"{runs} safe in {shown(self.records_file)}; " if n_records else ""
        return f"{safe}then the same command continues the study"
