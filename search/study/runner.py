"""Running a study's trials, such that nothing is lost: the latest state of each is on the disk while it goes,
and its result is fsynced to `records.jsonl` before Optuna is told.

A slot trains one run at a time. Its thread only carries what the worker says into one queue; whatever is
written, told or shown is so by the thread that asks for the next event, so that signals and errors come
there alone.
"""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from search.errors import Stopped, UserError
from search.files.whole_file import FileError
from search.record.meter_info import MeterInfo
from search.record.record import Record
from search.run.record_builder import unmetered_record
from search.run.request import RunRequest
from search.study.mirror import Mirror
from search.study.progress import Watcher
from search.study.shared import SharedStudy
from search.worker.crew import TrialWorker
from search.worker.protocol import trained_by

KILLED = "the study's process was killed during this run"
OUTPUT_LOST = "nobody read the study's output any more"
FAILED = "the study's process failed during this run"


@dataclass
class _Going:
    """A run that goes on. `last` is what is known of it, should it end now."""

    request: RunRequest
    last: Record
    beating: ExitStack
    warned: bool = False


@dataclass(frozen=True)
class _Said:
    """What a slot's worker said: a partial record, what it waits for, or how the run ended."""

    slot: int
    partial: Record | None = None
    waits_for: str = ""
    record: Record | None = None
    error: BaseException | None = None


@dataclass(frozen=True)
class TrialRunner:
    """A worker is a slot."""

    shared: SharedStudy
    workers: Sequence[TrialWorker]
    meter: MeterInfo
    watcher: Watcher
    _going: dict[int, _Going] = field(default_factory=dict)
    _said: queue.Queue[_Said] = field(default_factory=queue.Queue)
    _inboxes: dict[int, queue.Queue[RunRequest | None]] = field(default_factory=dict)

    @property
    def records(self) -> list[Record]:
        return self.shared.records

    @property
    def mirror(self) -> Mirror:
        return self.shared.mirror

    @property
    def running(self) -> list[RunRequest]:
        """The runs of this process that have not ended, in the order of their slots."""
        return [self._going[slot].request for slot in sorted(self._going)]

    @property
    def has_room(self) -> bool:
        return len(self._going) < len(self.workers)

    def begin(self, request: RunRequest) -> None:
        """Start a run in a slot that is free, while this process decides. Raises TooLate where another one
        has decided meanwhile."""
        slot = next(slot for slot in range(len(self.workers)) if slot not in self._going)
        request = trained_by(replace(request, run_id=uuid.uuid4().hex), self.workers[slot].info)
        number = self.shared.begin(request, self._just_begun(request, slot), slot)
        request = replace(request, trial=number)
        last = self._just_begun(request, slot)
        self._going[slot] = going = _Going(request, last, ExitStack())
        going.beating.enter_context(self.mirror.beating(request.run_id))
        self.watcher.begin(request)
        self._inbox(slot).put(request)

    def next_finished(self, patience_s: float | None = None) -> Record | None:
        """Wait until a run ends; it is recorded and told. None where that takes longer than `patience_s`.
        Raises what its worker raised, such as UserError where it cannot be started again."""
        until_s = None if patience_s is None else time.monotonic() + patience_s
        while True:
            try:
                left_s = None if until_s is None else max(0.0, until_s - time.monotonic())
                said = self._said.get(timeout=left_s)
            except queue.Empty:
                return None
            going = self._going[said.slot]
            if said.partial is not None:
                self._keep(said.partial, going, said.slot)
            elif said.waits_for:
                self.watcher.waiting(going.request, said.waits_for)
            elif said.error is not None:
                raise said.error
            elif said.record is not None:
                return self._end(said.slot, said.record)

    def _keep(self, partial: Record, going: _Going, slot: int) -> None:
        going.last = replace(partial, reason=KILLED)
        try:
            self.shared.keep(going.last, slot)
        except FileError as error:  # what it insures against may never happen, and the run cost joules
            if not going.warned:
                self.watcher.note(f"{error}; the run goes on")
            going.warned = True
        self.watcher.progress(going.request, partial)

    @contextmanager
    def ending_all(self) -> Iterator[None]:
        """Whatever is raised inside, a signal too, ends the runs that go on; what they have spent is
        recorded."""
        try:
            yield
        except BaseException as error:
            said = str(error) or OUTPUT_LOST
            self._give_up(said if isinstance(error, Stopped | UserError) else FAILED)
            raise

    def _give_up(self, reason: str) -> None:
        for slot in self._going:
            self.workers[slot].kill()
        with ExitStack() as each:  # one that cannot be written does not keep the others from it
            for slot, going in sorted(self._going.items(), reverse=True):
                each.callback(self._end, slot, replace(going.last, reason=reason))

    def _just_begun(self, request: RunRequest, slot: int) -> Record:
        """What is known of a run of which nothing was heard yet, should its process be killed."""
        info = self.workers[slot].info
        meter = self.meter if info is None else info.meter
        return unmetered_record(request, meter, KILLED, interrupted=True)

    def _end(self, slot: int, record: Record) -> Record:
        """Record and tell. Raises FileError."""
        going = self._going.pop(slot)
        going.beating.close()
        record = self.shared.end(record, slot)
        self.watcher.finished(record)
        return record

    def close(self) -> None:
        """Nothing runs any more: let the slots' threads end."""
        for inbox in self._inboxes.values():
            inbox.put(None)

    def _inbox(self, slot: int) -> queue.Queue[RunRequest | None]:
        """Of the slot's thread. It lives as long as its worker may: Linux ends the worker with the thread
        that started it."""
        if slot not in self._inboxes:
            self._inboxes[slot] = queue.Queue()
            threading.Thread(target=self._serve, args=(slot,), daemon=True).start()
        return self._inboxes[slot]

    def _serve(self, slot: int) -> None:
        while (request := self._inboxes[slot].get()) is not None:
            try:
                record = self.workers[slot].run(
                    request,
                    lambda partial: self._said.put(_Said(slot, partial=partial)),
                    lambda what: self._said.put(_Said(slot, waits_for=what)),
                )
            except Exception as error:  # raised where the events are read
                self._said.put(_Said(slot, error=error))
            else:
                self._said.put(_Said(slot, record=record))
