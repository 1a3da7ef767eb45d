"""Running a study's next trial, such that nothing is lost: its latest state is on the disk while it goes, and
its result is fsynced to `records.jsonl` before Optuna is told."""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass, replace

from search.errors import Stopped, UserError
from search.files.whole_file import FileError
from search.record.meter_info import MeterInfo
from search.record.record import Record
from search.run.record_builder import unmetered_record
from search.run.request import RunRequest
from search.study.changed_code import marked
from search.study.folder import StudyFolder
from search.study.mirror import Mirror
from search.study.progress import Watcher
from search.study.recovery import NO_NUMBER
from search.worker.handle import Worker

KILLED = "the study's process was killed during this run"
OUTPUT_LOST = "nobody read the study's output any more"


@dataclass(frozen=True)
class TrialRunner:
    """`records` are those of the folder's file, and grow with it."""

    folder: StudyFolder
    records: list[Record]
    mirror: Mirror
    worker: Worker
    meter: MeterInfo
    watcher: Watcher

    def recover(self) -> None:
        """After a kill: record what the killed run had spent, then let the storage agree with the records."""
        running = self.folder.read_running(self.watcher.note)
        cut_off = self.mirror.recovery_plan(self.records, running).cut_off
        if cut_off is not None:
            cut_off = marked(cut_off, self.records)
            self._append(cut_off)
            self.watcher.finished(cut_off)
        self.mirror.reconcile(self.records)
        self.folder.remove_running()

    def run(self, request: RunRequest) -> Record:
        """One run to its end, recorded and told. A run that a signal ends is recorded before it is raised
        again."""
        request = self._begin(request)
        last, warned = self._just_begun(request), False

        def on_progress(partial: Record) -> None:
            nonlocal last, warned
            last = replace(partial, reason=KILLED)
            try:
                self.folder.write_running(last)
            except FileError as error:  # what it insures against may never happen, and the run cost joules
                if not warned:
                    self.watcher.note(f"{error}; the run goes on")
                warned = True
            self.watcher.progress(partial)

        self.watcher.begin(request)
        try:
            with self.mirror.beating():
                record = self.worker.run(request, on_progress, self.watcher.waiting)
        except (Stopped, UserError) as error:
            self.worker.kill()
            self._record_and_tell(replace(last, reason=str(error) or OUTPUT_LOST))
            raise
        return self._record_and_tell(record)

    def _begin(self, request: RunRequest) -> RunRequest:
        """The request with the run's name and the number of its trial. The run is on the disk before its
        trial exists."""
        request = replace(request, run_id=uuid.uuid4().hex)
        self.folder.write_running(self._just_begun(replace(request, trial=NO_NUMBER)))
        request = replace(request, trial=self.mirror.begin(request, self.records))
        self.folder.write_running(self._just_begun(request))
        return request

    def _just_begun(self, request: RunRequest) -> Record:
        """What is known of a run of which nothing was heard yet, should its process be killed."""
        return unmetered_record(request, self.meter, KILLED, interrupted=True)

    def _record_and_tell(self, record: Record) -> Record:
        record = marked(record, self.records)
        self._append(record)
        self.mirror.tell(record, self.records)
        self.watcher.finished(record)
        return record

    def _append(self, record: Record) -> None:
        """Raises FileError."""
        self.folder.append(record)
        self.records.append(record)
        with suppress(OSError):
            self.folder.remove_running()
