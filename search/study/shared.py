"""What this process and the others of a study know together: its records, and the runs that go on.

Processes in one folder tell each other by its files, those of other machines by the study's database. Before
anything is decided, what the others have recorded is read, and what they run now; what one of them had spent
that died is recorded in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from search.files.whole_file import FileError
from search.record.late import late
from search.record.record import Record
from search.run.request import RunRequest
from search.study.changed_code import marked
from search.study.exchange.base import Exchange, TooLate
from search.study.folder import StudyFolder
from search.study.mirror import Mirror
from search.study.progress import Watcher
from search.study.recovery import NO_NUMBER
from search.study.seats import Seat, remove


@dataclass
class SharedStudy:
    """`records` are those of the folder's file, and grow with it; `elsewhere` the runs of other processes
    that have not ended, as far as they have come. `is_own`: whether a run's joules compare with those of
    this process."""

    folder: StudyFolder
    seat: Seat
    exchange: Exchange
    records: list[Record]
    mirror: Mirror
    watcher: Watcher
    is_own: Callable[[Record], bool] = lambda record: True
    elsewhere: list[Record] = field(default_factory=list)
    _slots: set[int] = field(default_factory=set)  # in which runs go on here
    _read_to: int = 0

    @property
    def others(self) -> bool:
        """Whether any other process works on the study."""
        return bool(self.seat.others()) or self.exchange.others()

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """No other process of the study decides meanwhile, and what they have done is known."""
        with self.seat.deciding(lambda what: self.watcher.waiting(None, what)), self.exchange.deciding():
            files = [(file, lives) for file, lives in self.seat.running_files() if file not in self._ours()]
            left = [self.folder.read_running(file, lambda line: None) for file, lives in files if lives]
            going = [one.record for one in left if one is not None] + self.exchange.going()
            expired = self.exchange.expire()
            self.read_records()
            if cut_off := [file for file, lives in files if not lives]:
                self._recover(cut_off)
            elif expired:
                self.mirror.reconcile(self.records)
            ended = {record.run_id for record in self.records}
            self.elsewhere[:] = {one.run_id: one for one in going if one.run_id not in ended}.values()
            yield

    def read_records(self) -> None:
        """Those that other processes have added, here or on other machines."""
        with self.seat.reading():
            found, end = self.folder.read_new_records(self.records, self._read_to)
            self.records.extend(found)
            for record in self.exchange.lacking({record.run_id for record in self.records}):
                self.folder.append(record)
                self.records.append(record)
                found.append(record)
            self._read_to = end
        for record in filter(self.is_own, found):
            self.watcher.ran_elsewhere(record)

    def give_records(self) -> None:
        """Let other machines have those that lie here, such as of a study that began on one of them."""
        self.exchange.give(self.records)

    # ---- the runs of this process

    def begin(self, request: RunRequest, just_begun: Record, slot: int) -> int:
        """Take the run for this process; returns its trial's number. Needs `deciding`. Raises TooLate where
        another process has decided meanwhile."""
        self.seat.write_running(replace(just_begun, trial=NO_NUMBER), slot)
        self._slots.add(slot)
        try:
            self.exchange.claim(replace(just_begun, trial=NO_NUMBER))
            theirs = {record.trial for record in self.elsewhere}
            number = self.mirror.begin(request, self.records, theirs)
        except TooLate:
            self._free(slot)
            raise
        self.keep(replace(just_begun, trial=number), slot)
        self.exchange.renew()
        return number

    def keep(self, partial: Record, slot: int) -> None:
        """What is known of the run by now. Raises FileError."""
        self.exchange.keep(partial)
        self.seat.write_running(partial, slot)

    def end(self, record: Record, slot: int) -> Record:
        """Record how the run ended, and tell Optuna; returns the record as it is kept. Raises FileError."""
        record = self._marked(record)
        if self.exchange.is_shared:
            with suppress(FileError):  # it insures against a death in the next moments; the database has room
                self.seat.write_ended(record, slot)
        record = self._recorded(record)
        self._free(slot)
        self.mirror.tell(record, self.records)
        return record

    def _recorded(self, record: Record) -> Record:
        """The record, which every machine can have now. Where the run's lease had run out, it is kept as a
        late result under another number."""
        if not self.exchange.finish(record):
            self.mirror.drop(record.run_id)
            record = late(record)
            theirs = {one.trial for one in self.elsewhere}
            record = replace(record, trial=self.mirror.begin(record, self.records, theirs))
            self.exchange.give([record])
        self._add(record)
        return record

    def _marked(self, record: Record) -> Record:
        """By the baseline of this kind of device: another kind has its own, and may have another torch."""
        return marked(record, list(filter(self.is_own, self.records)))

    def _add(self, record: Record) -> None:
        """Raises FileError."""
        self.folder.append(record)
        self.records.append(record)

    def _free(self, slot: int) -> None:
        self._slots.discard(slot)
        with suppress(OSError):
            self.seat.remove_running(slot)

    def _ours(self) -> list[Path]:
        """The files of the runs that go on here."""
        return [self.seat.running_file(slot) for slot in self._slots]

    def _recover(self, cut_off: Sequence[Path]) -> None:
        """Record what the runs had spent whose process died, and let the storage agree."""
        for file in cut_off:
            left = self.folder.read_running(file, self.watcher.note)
            running = None if left is None else left.record
            record = self.mirror.recovery_plan(self.records, running).cut_off
            if left is None or record is None:
                continue
            if left.has_ended:
                self.watcher.finished(self._recorded(left.record))
            elif self.exchange.finish(record := self._marked(record)):
                self._add(record)
                self.watcher.finished(record)
        self.mirror.reconcile(self.records)
        for file in cut_off:
            remove(file)
